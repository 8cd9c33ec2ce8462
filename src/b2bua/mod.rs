//! The switchboard: feeds calls their facts, carries out their orders.
//!
//! A call arrives at `incoming.rs`, lives in one task in `run.rs`, reaches the far side through `outgoing.rs`, is paid for
//! by `books.rs`, and says no by `response.rs`; `recovery.rs` cleans up behind a process that was killed. The decisions are
//! made in [`crate::call`]; nothing here decides what a call may do.
//!
//! Two promises: after 100 Trying the caller always gets a final response within a deadline; every hold is settled or
//! released exactly once and every call leaves exactly one CDR.

pub mod books;
mod early;
mod guess;
mod handle;
mod incoming;
mod outgoing;
mod ping;
mod recovery;
mod register;
mod relay;
mod response;
mod run;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::callthrough;
use crate::database::Database;
use crate::media::Engine;
use crate::sip::{self, Endpoint, Incoming, SourcePolicy};
use crate::trace::Trace;
use crate::trunk::Trunks;
use crate::types::{Clock, Random, Secret, TrunkId};

pub use handle::{Handle, LiveCall, Watched};

/// What a killed process costs the operator at most, a call (money, M5).
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What the switchboard is wired to.
pub struct Wiring {
    /// Its own settings.
    pub config: Config,
    /// How reservations are judged.
    pub callthrough: callthrough::Config,
    /// Where reservations are looked up.
    pub database: Database,
    /// Money and records.
    pub books: books::Books,
    /// The carriers.
    pub trunks: Trunks,
    /// Who carries the sound.
    pub media: Engine,
    /// SIP, with its calls.
    pub endpoint: Endpoint,
    /// The calls that arrive there.
    pub incoming: mpsc::Receiver<Incoming>,
    /// What goes over the wire.
    pub trace: Trace,
    /// How others reach us, where that differs from the addresses we listen on (`sip.advertise`).
    pub advertise: Vec<IpAddr>,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
}

/// What every call's task sees of the switchboard.
struct Board {
    config: Config,
    callthrough: Arc<callthrough::Config>,
    database: Database,
    books: books::Books,
    trunks: Trunks,
    media: Engine,
    endpoint: Endpoint,
    trace: Trace,
    hosts: outgoing::Hosts,
    guesses: guess::Guesses,
    handle: Handle,
    clock: Clock,
    random: Random,
}

/// Starts the switchboard: tells SIP who is a trunk, ends what a killed process left behind, then takes calls.
pub async fn start(wiring: Wiring) -> Handle {
    let Wiring { config, callthrough, database, books, trunks, media, endpoint, incoming, trace, advertise, clock, random } = wiring;
    endpoint.set_sources(Arc::new(KnownTrunks(trunks.clone()))).await;
    let handle = Handle::new(config.max_calls);
    let hosts = outgoing::Hosts { advertise, local: endpoint.local_addresses().to_vec() };
    let callthrough = Arc::new(callthrough);
    let board = Board {
        config,
        callthrough,
        database,
        books,
        trunks,
        media,
        endpoint,
        trace,
        hosts,
        guesses: guess::Guesses::default(),
        handle: handle.clone(),
        clock,
        random,
    };
    tokio::spawn(take_calls(Arc::new(board), incoming));
    handle
}

async fn take_calls(board: Arc<Board>, mut incoming: mpsc::Receiver<Incoming>) {
    recovery::recover(&board, &mut incoming).await;
    let watching = [
        tokio::spawn(beat(board.clone())),
        tokio::spawn(recovery::sweep(board.clone())),
        tokio::spawn(register::keep(board.clone())),
        tokio::spawn(ping::keep(board.clone())),
    ];
    while let Some(call) = incoming.recv().await {
        take_call(&board, call, None).await;
    }
    for watch in watching {
        watch.abort();
    }
}

/// Gives the call a task of its own.
async fn take_call(board: &Arc<Board>, call: Incoming, refused: Option<crate::types::Refusal>) {
    match board.trunks.get(call.invite.trunk).filter(|trunk| trunk.enabled) {
        Some(trunk) => drop(tokio::spawn(run::run(board.clone(), trunk, call, refused))),
        // The trunk went away between the endpoint's look and ours.
        None => call.leg.refuse(403, "", vec![]).await,
    }
}

/// One write for all calls of the node, so that a restart knows how long each was alive.
async fn beat(board: Arc<Board>) {
    let mut next = board.clock.now();
    loop {
        next = next + HEARTBEAT;
        board.clock.sleep_until(next).await;
        let calls = board.handle.answered();
        if calls.is_empty() {
            continue;
        }
        if let Err(error) = board.books.alive(&calls).await {
            tracing::warn!(calls = calls.len(), %error, "the heartbeat of the running calls could not be written; check the database");
        }
    }
}

/// Tells SIP who is a trunk.
struct KnownTrunks(Trunks);

impl SourcePolicy for KnownTrunks {
    fn classify(&self, source: SocketAddr) -> sip::Source {
        self.0.identify(source).map_or(sip::Source::Stranger, |trunk| sip::Source::Trunk(trunk.id))
    }

    fn classify_proved(&self, source: SocketAddr, names: &[String]) -> sip::Source {
        match self.0.identify_by_certificate(names) {
            Some(trunk) => sip::Source::Trunk(trunk.id),
            None => self.classify(SocketAddr::new(source.ip(), 0)),
        }
    }

    fn asks_for_digest(&self) -> bool {
        self.0.asks_for_digest()
    }

    fn digest(&self, user: &str, algorithm: sip::digest::Algorithm) -> Option<(TrunkId, Secret)> {
        self.0.digest_of(user, algorithm)
    }

    fn login(&self, address: SocketAddr) -> Option<sip::Login> {
        self.0.login_at(address)
    }

    fn server_name(&self, address: SocketAddr) -> Option<String> {
        self.0.domain_of(address).map(|domain| domain.to_string())
    }
}

/// The settings of the switchboard.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Calls at once; one more is refused.
    pub max_calls: usize,
    /// From arrival to a final response.
    pub setup_deadline_secs: u32,
    /// From dialling a trunk to its first word; then the next trunk is tried.
    pub silence_secs: u32,
    /// From B's first word to its answer.
    pub ring_secs: u32,
    /// The longest call carried, whatever the credit.
    pub longest_call_secs: u32,
    /// What B sees as the caller.
    pub shown_caller: ShownCaller,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_calls: 10_000,
            setup_deadline_secs: 180,
            silence_secs: 4,
            ring_secs: 120,
            longest_call_secs: 7200,
            shown_caller: ShownCaller::Subscriber,
        }
    }
}

/// Which number B sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShownCaller {
    /// The subscriber's verified number the call came from.
    Subscriber,
    /// The access number that was dialled.
    AccessNumber,
    /// None.
    Withheld,
}
