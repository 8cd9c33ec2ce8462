//! The async door of the room: one task owns the core, the sockets and nothing else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::leg::{Command, Incoming, Leg, LegId, OutgoingInvite, StoredDialog};
use crate::types::{Clock, Random, TrunkId};

/// Settings of the SIP side.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// UDP addresses to listen on, IPv4 and IPv6; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// The addresses that others reach us by, where they differ from `listen` (behind NAT, or listening on all addresses):
    /// at most one for each family.
    pub advertise: Vec<IpAddr>,
    /// What strangers get.
    pub strangers: Strangers,
    /// The beginnings of User-Agent values that get no answer at all.
    pub scanners: Vec<String>,
    /// Legs at once; more are answered 503 with Retry-After.
    pub max_legs: usize,
    /// New calls that may wait for the switchboard; more are answered 503 with Retry-After.
    pub max_waiting_calls: usize,
    /// Requests a stranger's address may send in two seconds before it is ignored for five minutes.
    pub stranger_requests: u32,
    /// RFC 3261 T1: the round trip to reckon with.
    pub t1_ms: u32,
    /// RFC 3261 T2: the longest interval between repeats.
    pub t2_ms: u32,
    /// RFC 3261 T4: the longest life of a message in the network.
    pub t4_ms: u32,
}

/// What strangers get for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strangers {
    /// OPTIONS 200 without details, INVITE 403, the rest 405.
    #[default]
    Refuse,
    /// Nothing at all.
    Ignore,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 5060))],
            advertise: Vec::new(),
            strangers: Strangers::Refuse,
            scanners: [
                "friendly-scanner",
                "sipvicious",
                "sip-scan",
                "sipcli",
                "sundayddr",
                "iWar",
                "VaxSIPUserAgent",
                "pplsip",
                "siparmyknife",
            ]
            .map(String::from)
            .to_vec(),
            max_legs: 20_000,
            max_waiting_calls: 1_000,
            stranger_requests: 100,
            t1_ms: 500,
            t2_ms: 4_000,
            t4_ms: 5_000,
        }
    }
}

/// Who an address is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// An address of this trunk: its calls are offered to the switchboard, and any of its addresses may speak inside its calls.
    Trunk(TrunkId),
    /// Nobody we know.
    Stranger,
}

/// Tells trunks from strangers. Asked for every request that belongs to no call, so it must be quick.
pub trait SourcePolicy: Send + Sync {
    /// Who this address is.
    fn classify(&self, source: SocketAddr) -> Source;
}

/// Everything the endpoint's task may be told.
#[derive(Debug)]
pub(crate) enum Order {
    Leg(LegId, Command),
}

/// The door to SIP. A clone is another handle to the same task; when the last one and the last leg are gone, the task ends.
#[derive(Debug, Clone)]
pub struct Endpoint {
    orders: mpsc::Sender<Order>,
    local: Arc<[SocketAddr]>,
}

impl Endpoint {
    /// Binds the sockets and starts the task. Until [`Endpoint::set_sources`] everybody is a stranger.
    pub async fn start(config: Config, clock: Clock, random: Random) -> io::Result<(Self, mpsc::Receiver<Incoming>)> {
        let _ = (config, clock, random);
        Err(io::Error::other("not built yet"))
    }

    /// Says from now on who is a trunk and who a stranger.
    pub async fn set_sources(&self, policy: Arc<dyn SourcePolicy>) {
        let _ = policy;
    }

    /// Calls somebody. The leg is there at once; how it fares comes as its events, failures of sending included.
    pub async fn invite(&self, invite: OutgoingInvite) -> Leg {
        let _ = (invite, &self.orders);
        std::future::pending().await
    }

    /// Hangs up a leg of an earlier life of this process. No event: BYE is repeated as long as RFC 3261 has it, then forgotten.
    pub async fn bye(&self, dialog: StoredDialog) {
        let _ = dialog;
    }

    /// The addresses the sockets are bound to, in the order of [`Config::listen`].
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.local
    }
}
