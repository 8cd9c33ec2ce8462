//! The seam: which way the sound of a call goes, and what the switchboard may ask of it.

use std::net::IpAddr;

use bytes::Bytes;

use super::relay::{self, Relay};
use super::{Carrier, Config, Heard, Statistics};
use crate::sdp::SdpError;
use crate::types::{Clock, Random, Side};

/// Why there is no sound for a call.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// Every pair of ports is lent.
    #[error("all ports of the relay are taken: widen media.first_port to media.last_port, or raise the limit of open files")]
    NoPort,
    /// No address in the family of the far end.
    #[error("the relay has no address in the family of {0}: add one to media.listen")]
    NoAddress(IpAddr),
    /// The description cannot be used.
    #[error(transparent)]
    Description(#[from] SdpError),
    /// The sockets.
    #[error("the relay: {0}")]
    Socket(#[from] std::io::Error),
}

/// Where the relay lives: what is bound, and what others see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Homes(Vec<(IpAddr, IpAddr)>);

impl Homes {
    /// From the settings, those of SIP standing in where nothing is said.
    pub fn new(config: &Config, sip_listen: &[IpAddr], sip_advertise: &[IpAddr]) -> Self {
        let listen = if config.listen.is_empty() { sip_listen } else { &config.listen };
        let advertise = if config.advertise.is_empty() { sip_advertise } else { &config.advertise };
        let shown = |bound: IpAddr| advertise.iter().copied().find(|ip| ip.is_ipv4() == bound.is_ipv4()).unwrap_or(bound);
        Self(listen.iter().map(|&bound| (bound, shown(bound))).collect())
    }

    /// What to bind towards a far end there, and what to show it: of our addresses in its family one that is as local as it is.
    pub fn towards(&self, far: IpAddr) -> Option<(IpAddr, IpAddr)> {
        let family = || self.0.iter().copied().filter(|(bound, _)| bound.is_ipv4() == far.is_ipv4());
        family().find(|(bound, _)| bound.is_loopback() == far.is_loopback()).or_else(|| family().next())
    }
}

/// Which way the sound goes.
#[derive(Debug, Clone)]
pub enum Engine {
    /// Its own: descriptions pass untouched.
    Bypass,
    /// Through the relay of our own.
    Relay(Relay),
}

impl Engine {
    /// As the settings have it.
    pub fn new(config: &Config, homes: Homes, clock: Clock, random: Random) -> Self {
        match config.relay {
            Carrier::Bypass => Self::Bypass,
            Carrier::Embedded => Self::Relay(Relay::new(config, homes, clock, random)),
        }
    }

    /// Makes room for a call whose caller is there; nothing if its sound finds its own way.
    pub fn open(&self, caller: IpAddr) -> Result<Option<Session>, MediaError> {
        match self {
            Self::Bypass => Ok(None),
            Self::Relay(relay) => Ok(Some(Session(relay.open(caller)?))),
        }
    }
}

/// The sound of one call. Dropping it gives everything back.
#[derive(Debug)]
pub struct Session(relay::Session);

impl Session {
    /// The other party is there: the side gets a home in its family.
    pub fn towards(&mut self, side: Side, far: IpAddr) -> Result<(), MediaError> {
        self.0.towards(side, far)
    }

    /// `from` describes itself, in an offer or an answer: what the other side gets to read.
    #[expect(clippy::unused_async, reason = "another relay than our own is asked over the network")]
    pub async fn describe(&mut self, from: Side, text: &Bytes) -> Result<Bytes, MediaError> {
        self.0.describe(from, text)
    }

    /// Both have answered: from now on silence is watched.
    pub fn answered(&self) {
        self.0.answered();
    }

    /// The next thing that is heard. Safe to drop half-way.
    pub async fn heard(&mut self) -> Heard {
        self.0.heard().await
    }

    /// Ends it: how both streams arrived.
    pub async fn close(self) -> Statistics {
        self.0.close().await
    }
}
