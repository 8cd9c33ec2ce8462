//! What went over the wire: the messages of each call as a ladder, for whoever asks why it went as it did.
//!
//! Off unless the operator switches it on. Messages are looked at through the tap of [`crate::sip`], so their secrets are gone before
//! they get here. The switchboard says which Call-IDs make a call; its ladder is kept in memory within bounds and, where the
//! settings say so, written beside the call's record a few seconds after its end.

mod export;
mod hep;
mod kept;
pub mod pcap;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

pub use kept::Ladder;
pub use store::forget;

use crate::database::{self, Database};
use crate::sip::tap::{self, Lever, Seen, Tap, Tapped};
use crate::types::{CallId, Clock, Secret, Side};
use export::Export;
use kept::Kept;

/// How often it is looked whether calls have ended.
const SWEEP: Duration = Duration::from_secs(1);
/// Calls whose ladders are written in one go.
const WRITTEN_AT_ONCE: usize = 200;

/// Settings of tracing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the messages of calls are kept.
    pub calls: Keeping,
    /// For how long the books keep them.
    pub kept_days: u32,
    /// Homer's address as `host:port`: every message is sent there as HEP3.
    pub hep: Option<String>,
    /// The number by which the collector knows us.
    pub hep_id: u32,
    /// What the collector asks of us; empty for nothing.
    pub hep_password: Secret,
}

impl Default for Config {
    fn default() -> Self {
        Self { calls: Keeping::Off, kept_days: 7, hep: None, hep_id: 2001, hep_password: Secret::default() }
    }
}

/// Where the messages of calls are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeping {
    /// Nowhere.
    #[default]
    Off,
    /// In memory, until newer ones need the room.
    Memory,
    /// In memory while the call is up, then in the books.
    Books,
}

/// One message of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// On whose leg.
    pub side: Side,
    /// The message.
    pub seen: Arc<Seen>,
}

/// What the switchboard and the doors hold of it. Cheap to clone.
#[derive(Clone)]
pub struct Trace(Arc<Inner>);

struct Inner {
    kept: Mutex<Kept>,
    keeping: Keeping,
    database: Database,
    lever: Lever,
}

impl Trace {
    /// Begins to look, and gives the tap for the endpoint.
    pub fn start(config: &Config, database: Database, clock: Clock) -> (Self, Tap) {
        let (tap, tapped) = tap::tap();
        let lever = tapped.lever();
        lever.open(config.calls != Keeping::Off || config.hep.is_some());
        let kept = Mutex::new(Kept::new(config.calls != Keeping::Off));
        let trace = Self(Arc::new(Inner { kept, keeping: config.calls, database, lever }));
        tokio::spawn(look(Arc::downgrade(&trace.0), tapped, Export::new(config, clock.clone())));
        tokio::spawn(sweep(Arc::downgrade(&trace.0), clock));
        (trace, tap)
    }

    /// Whether anybody looks: only then the switchboard says what belongs together.
    pub fn is_on(&self) -> bool {
        self.0.lever.is_open()
    }

    /// Where the messages of calls are kept.
    pub fn keeping(&self) -> Keeping {
        self.0.keeping
    }

    /// This Call-ID is one of this call's; the first that is said is the caller's.
    pub fn belongs(&self, call: CallId, sip_call_id: &str) {
        if self.is_on() {
            self.0.kept().belongs(call, sip_call_id);
        }
    }

    /// The call is over: its ladder leaves when its last words are said.
    pub fn ended(&self, call: CallId, clock: &Clock) {
        if self.is_on() {
            self.0.kept().ended(call, clock.now());
        }
    }

    /// The messages of a call: from memory, or else from the books.
    pub async fn ladder(&self, call: CallId) -> Result<Option<Ladder>, database::Error> {
        let kept = self.0.kept().ladder(call);
        match kept {
            Some(ladder) => Ok(Some(ladder)),
            None => store::get(&mut *self.0.database.read().await?, call).await,
        }
    }

    /// Writes whatever has ended, before the server stops.
    pub async fn flush(&self, clock: &Clock) {
        while self.0.write(clock, true).await > 0 {}
    }
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes ladders of calls that have ended, or forgets them; how many it was.
    async fn write(&self, clock: &Clock, hurry: bool) -> usize {
        let leaving = self.kept().leaving(clock.now(), WRITTEN_AT_ONCE, hurry);
        match self.keeping {
            Keeping::Memory => return 0,
            Keeping::Off => {}
            Keeping::Books => {
                let ladders: Vec<_> = leaving.iter().filter_map(|call| Some((*call, self.kept().ladder(*call)?))).collect();
                let at = clock.timestamp();
                if !ladders.is_empty()
                    && let Err(error) = self.database.write(move |tx| Box::pin(store::write(tx, ladders, at))).await
                {
                    tracing::warn!(calls = leaving.len(), %error, "the messages of calls could not be written; it is tried again");
                    let mut kept = self.kept();
                    for call in leaving {
                        kept.stays(call);
                    }
                    return 0;
                }
            }
        }
        let mut kept = self.kept();
        for call in &leaving {
            kept.forget(*call);
        }
        leaving.len()
    }
}

/// Takes messages as they come.
async fn look(trace: Weak<Inner>, mut tapped: Tapped, mut export: Option<Export>) {
    while let Some(seen) = tapped.next().await {
        let Some(trace) = trace.upgrade() else { return };
        let seen = Arc::new(seen);
        let belongs = trace.kept().add(&seen);
        drop(trace);
        if let Some(export) = &mut export {
            // Both legs are found by the caller's Call-ID.
            let correlation = belongs.map_or_else(|| seen.sip_call_id.as_str().into(), |(_, first)| first);
            export.send(&seen, &correlation).await;
        }
    }
}

async fn sweep(trace: Weak<Inner>, clock: Clock) {
    loop {
        clock.sleep_until(clock.now() + SWEEP).await;
        let Some(trace) = trace.upgrade() else { return };
        while trace.write(&clock, false).await == WRITTEN_AT_ONCE {}
        let missed = trace.lever.missed();
        if missed > 0 {
            tracing::warn!(sip.messages = missed, "SIP messages came faster than they could be traced; they are missing in ladders");
        }
    }
}
