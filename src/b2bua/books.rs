//! Money and records of calls: the one place where a call meets the books.
//!
//! Authorise claims the reservation, checks limits, quotes and sets money aside, all in one transaction; close settles or
//! releases and writes the record in another. Between them a call costs the books nothing but its heartbeat. When the books
//! cannot be reached no call is admitted; records of calls that end meanwhile wait in a bounded file beside us and are
//! written once when the books are back.

mod spool;
mod statements;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::AnyConnection;

use self::spool::{Replayed, Spool, Waits};
use crate::call::{CallRecord, Cause, Grant};
use crate::callthrough;
use crate::cdr::Record;
use crate::database::{Database, Script};
use crate::ledger::{self, Draft, LedgerError};
use crate::media::Statistics;
use crate::rating::{self, Charge, Decks, Quote};
use crate::types::{
    CallId, Clock, DeckId, E164, HoldId, Micros, Money, PostingId, Random, Refusal, ReservationId, Side, SubscriberId, Timestamp,
};

/// A call that was alive this long before a crash is charged up to here beyond its last heartbeat (money, M5).
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A look for what was left behind, and a record that waited, may take this long; a database that hangs is asked again later.
const LOOK_OVER: Duration = Duration::from_secs(30);

/// What a call needs to be let in.
#[derive(Debug, Clone)]
pub struct Authorise {
    /// Our call.
    pub call: CallId,
    /// Who pays.
    pub subscriber: SubscriberId,
    /// The reservation to claim, if it came by one.
    pub reservation: Option<ReservationId>,
    /// Call-ID of A's leg.
    pub sip_call_id: Option<String>,
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
    /// The carriers' decks of the trunks that may take it onward, in their order; none for a trunk whose costs nobody knows.
    pub cost_decks: Vec<Option<DeckId>>,
}

/// What a trunk takes for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cost {
    /// Nobody knows.
    Unknown,
    /// This much; it leaves a margin.
    Known(Box<Quote>),
    /// More than the tariff does, or nobody can tell: this trunk does not get the call.
    TooMuch,
}

/// A call that is let in and paid for.
#[derive(Debug, Clone)]
pub struct Authorised {
    /// The hold and how long it lasts.
    pub grant: Grant,
    /// The price, as copied into the hold.
    pub quote: Quote,
    /// What each trunk takes, in the order of [`Authorise::cost_decks`].
    pub costs: Vec<Cost>,
    /// It came after the reservation's expiry, within grace.
    pub late: bool,
    /// The longest this call may last, by the subscriber's limits.
    pub longest: Duration,
    /// What there is to spend, where that is so little that the account is to be told.
    pub low: Option<Money>,
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
    /// What the trunk it left by takes, if anybody knows.
    #[serde(default)]
    pub cost: Option<Box<Quote>>,
    /// How it sounded, where our relay carried it.
    #[serde(default)]
    pub sound: Option<Statistics>,
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

/// The way a call goes on.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// By which trunk.
    pub trunk: String,
    /// What it takes, if anybody knows.
    pub cost: Option<Box<Quote>>,
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
    /// How long and how often a reservation may be claimed.
    pub callthrough: callthrough::Config,
}

/// The books of calls. Cheap to clone.
#[derive(Clone)]
pub struct Books(Arc<Inner>);

struct Inner {
    database: Database,
    decks: Decks,
    clock: Clock,
    random: Random,
    setup: Setup,
    spool: Spool,
    /// Calls of this process that have a hold: whatever else this node has open in the books is left over.
    live: Mutex<HashSet<CallId>>,
}

/// Calls to a class of prefixes are counted in it.
const HOUR: Duration = Duration::from_secs(3600);
/// Who waits for an authorisation, and who was first to move: the answer or the waiter's patience.
const WAITING: u8 = 0;
const ANSWERED: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Why a transaction came to nothing.
enum Undone {
    Refused(Refusal),
    Ledger(LedgerError),
}

impl From<sqlx::Error> for Undone {
    fn from(fault: sqlx::Error) -> Self {
        Self::Ledger(fault.into())
    }
}

impl From<LedgerError> for Undone {
    fn from(fault: LedgerError) -> Self {
        Self::Ledger(fault)
    }
}

impl From<crate::types::MoneyError> for Undone {
    fn from(fault: crate::types::MoneyError) -> Self {
        Self::Ledger(fault.into())
    }
}

impl From<Refusal> for Undone {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<callthrough::Error> for Undone {
    fn from(error: callthrough::Error) -> Self {
        match error {
            callthrough::Error::Refused(refusal) => Self::Refused(refusal),
            callthrough::Error::Fault(fault) => fault.into(),
        }
    }
}

impl Books {
    /// Opens nothing: the spool is read by [`Books::recover`].
    pub fn new(database: Database, decks: Decks, clock: Clock, random: Random, setup: Setup) -> Self {
        let spool = Spool::new(setup.spool.clone());
        Self(Arc::new(Inner { database, decks, clock, random, setup, spool, live: Mutex::default() }))
    }

    /// Lets a call in: claims its reservation, checks limits, quotes, sets money aside, in one transaction. Slower than
    /// `books_timeout_ms` is no; a hold that is made after that is released.
    pub async fn authorise(&self, ask: Authorise) -> Result<Authorised, NotAuthorised> {
        let (books, call, reservation) = (self.clone(), ask.call, ask.reservation);
        let first = Arc::new(AtomicU8::new(WAITING));
        let theirs = Arc::clone(&first);
        let mut work = tokio::spawn(async move {
            let inner = Arc::clone(&books.0);
            let gone = Arc::clone(&theirs);
            let outcome = books.0.database.write(move |tx| Box::pin(async move { authorise(tx, &inner, &ask, &gone).await })).await;
            if outcome.is_ok() {
                let in_time = theirs.compare_exchange(WAITING, ANSWERED, Ordering::SeqCst, Ordering::SeqCst).is_ok();
                if in_time {
                    books.live().insert(call);
                } else {
                    books.undo(call, reservation).await;
                }
            }
            outcome
        });
        let patience = Duration::from_millis(self.0.setup.ledger.books_timeout_ms);
        let joined = match tokio::time::timeout(patience, &mut work).await {
            Ok(joined) => joined,
            Err(_) if first.compare_exchange(WAITING, GIVEN_UP, Ordering::SeqCst, Ordering::SeqCst).is_ok() => {
                return Err(NotAuthorised::Fault(format!("no answer within {} ms", patience.as_millis())));
            }
            Err(_) => work.await,
        };
        match joined {
            Ok(Ok(authorised)) => Ok(authorised),
            Ok(Err(Undone::Refused(refusal))) => Err(NotAuthorised::Refused(refusal)),
            Ok(Err(Undone::Ledger(fault))) => Err(NotAuthorised::Fault(fault.to_string())),
            Err(fault) => Err(NotAuthorised::Fault(fault.to_string())),
        }
    }

    /// Sets one more slice aside, or what is left.
    pub async fn extend(&self, call: CallId) -> Result<Grant, NotExtended> {
        let inner = Arc::clone(&self.0);
        let work = self.0.database.write(move |tx| Box::pin(async move { extend(tx, &inner, call).await }));
        let patience = Duration::from_millis(self.0.setup.ledger.books_timeout_ms);
        match tokio::time::timeout(patience, work).await {
            Ok(Ok(Some(grant))) => Ok(grant),
            Ok(Ok(None) | Err(Undone::Refused(_))) => Err(NotExtended::Exhausted),
            Ok(Err(Undone::Ledger(fault))) => Err(NotExtended::Fault(fault.to_string())),
            Err(_) => Err(NotExtended::Fault(format!("no answer within {} ms", patience.as_millis()))),
        }
    }

    /// Writes down that B answered, with what a recovery needs to hang up and to pay the carrier: JSON of both dialogs, the
    /// trunk it leaves by. Uses the reservation up.
    pub async fn answered(
        &self,
        call: CallId,
        reservation: Option<ReservationId>,
        at: Timestamp,
        dialogs: String,
        leaving: Option<Leaving>,
    ) -> Result<(), BooksError> {
        let now = self.0.clock.timestamp();
        let work = move |books: Self| async move {
            let work = books.0.database.write(move |tx| {
                Box::pin(async move {
                    statements::answered(tx, call, reservation, at, (dialogs, leaving), now).await.map_err(LedgerError::from)
                })
            });
            work.await
        };
        self.in_time(work).await.map_err(BooksError::from)
    }

    /// The heartbeat: one write for all calls of the node, every five seconds.
    pub async fn alive(&self, calls: &[CallId]) -> Result<(), BooksError> {
        if calls.is_empty() {
            return Ok(());
        }
        let (calls, now) = (calls.to_vec(), self.0.clock.timestamp());
        let work = move |books: Self| async move {
            let work = books
                .0
                .database
                .write(move |tx| Box::pin(async move { statements::alive(tx, &calls, now).await.map_err(LedgerError::from) }));
            work.await
        };
        self.in_time(work).await.map_err(BooksError::from)
    }

    /// Settles or releases the hold, ends the call, releases or uses up the reservation, writes the record: one transaction.
    /// Calls that were refused before they had a hold leave their record this way too. When the database is away the closing
    /// goes to the spool, durable before this returns.
    pub async fn close(&self, closing: Closing) -> Result<Closed, BooksError> {
        let call = closing.call;
        let late = closing.clone();
        let closed = match self.in_time(move |books| async move { books.try_close(late).await }).await {
            Ok(closed) => Ok(closed),
            Err(fault) => {
                tracing::warn!(call.id = %call, %fault, "the books did not take a call record; it waits in the spool");
                match self.0.spool.append(closing).await {
                    // Still ours: nobody else is to settle it by what the books last heard.
                    Ok(Waits::InMemory) => return Ok(Closed::Spooled),
                    waits => waits.map(|_| Closed::Spooled),
                }
            }
        };
        self.live().remove(&call);
        closed
    }

    /// At the start: replays the spool, then lists the calls that an earlier process of this node left open. For each, hang up
    /// its dialogs and call [`Books::close_abandoned`]. While running: lists what a late or lost write left behind.
    pub async fn recover(&self) -> Result<Vec<Abandoned>, BooksError> {
        self.replay().await?;
        let looking = async {
            let mut connection = self.0.database.read().await?;
            statements::open_calls(&mut connection, &self.0.setup.node).await
        };
        let rows = tokio::time::timeout(LOOK_OVER, looking).await.unwrap_or(Err(LedgerError::Database(sqlx::Error::PoolTimedOut)))?;
        let live = self.live();
        let abandoned = rows.into_iter().filter(|row| !live.contains(&row.closing.call));
        Ok(abandoned.map(|row| Abandoned { call: row.closing.call, dialogs: row.dialogs, answered_at: row.closing.answered_at }).collect())
    }

    /// Settles an abandoned call at the last heartbeat plus five seconds, at most at its funded time; releases it if it was
    /// never answered; writes its record with the cause `server_restart`. Doing it twice changes nothing.
    pub async fn close_abandoned(&self, call: CallId) -> Result<Closed, BooksError> {
        let looking = async {
            let mut connection = self.0.database.read().await?;
            statements::open_call(&mut connection, call).await
        };
        let row = tokio::time::timeout(LOOK_OVER, looking).await.unwrap_or(Err(LedgerError::Database(sqlx::Error::PoolTimedOut)))?;
        let Some(row) = row else { return Ok(Closed::Already) };
        let mut closing = row.closing;
        if let Some(answered_at) = closing.answered_at {
            let last = row.last_alive_at.max(answered_at) + HEARTBEAT;
            closing.ended_at = row.funded_until.map_or(last, |funded| last.min(funded)).max(answered_at);
            closing.duration = closing.ended_at.since(answered_at);
        }
        self.try_close(closing).await.map_err(BooksError::from)
    }

    /// Writes what waits in the spool; the night watch calls it every few seconds. Returns how many were written.
    pub async fn replay(&self) -> Result<usize, BooksError> {
        let books = self.clone();
        self.0.spool.replay(move |closing| books.clone().close_spooled(closing)).await
    }

    async fn close_spooled(self, closing: Closing) -> Replayed {
        let call = closing.call;
        // Nobody waits for this one: slow books are no reason to stop.
        let written = self.within(LOOK_OVER, move |books| async move { books.try_close(closing).await }).await;
        let Err(fault) = written else {
            self.live().remove(&call);
            return Replayed::Written;
        };
        let away = match &fault {
            LedgerError::Database(sqlx::Error::Database(refused)) => is_away(&**refused),
            LedgerError::Database(_) => true,
            _ => false,
        };
        if away {
            return Replayed::Stop;
        }
        tracing::error!(%fault, "the books refuse a spooled call record; it stays in the spool");
        Replayed::Keep
    }

    /// Waits as long as books may take. The work goes on beside us and may still be done: whatever is written here is harmless
    /// when it comes late, for a call has one record, and its hold is resolved once.
    async fn in_time<T, W>(&self, work: impl FnOnce(Self) -> W) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, LedgerError>> + Send + 'static,
    {
        let patience = Duration::from_millis(self.0.setup.ledger.books_timeout_ms);
        self.within(patience, work).await
    }

    async fn within<T, W>(&self, patience: Duration, work: impl FnOnce(Self) -> W) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, LedgerError>> + Send + 'static,
    {
        match tokio::time::timeout(patience, tokio::spawn(work(self.clone()))).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(sqlx::Error::WorkerCrashed.into()),
            Err(_) => Err(sqlx::Error::PoolTimedOut.into()),
        }
    }

    async fn try_close(&self, closing: Closing) -> Result<Closed, LedgerError> {
        let inner = Arc::clone(&self.0);
        self.0.database.write(move |tx| Box::pin(async move { close(tx, &inner, closing).await })).await
    }

    async fn undo(&self, call: CallId, reservation: Option<ReservationId>) {
        let now = self.0.clock.timestamp();
        let work = self
            .0
            .database
            .write(move |tx| Box::pin(async move { statements::undo(tx, call, reservation, now).await.map_err(LedgerError::from) }));
        if let Err(fault) = work.await {
            tracing::warn!(call.id = %call, %fault, "a hold that came too late is still open; the next recovery releases it");
        }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashSet<CallId>> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the database says that it cannot write now, rather than that it does not like what is written.
fn is_away(refused: &dyn sqlx::error::DatabaseError) -> bool {
    matches!(refused.kind(), sqlx::error::ErrorKind::Other)
}

async fn authorise(tx: &mut AnyConnection, books: &Inner, ask: &Authorise, waiter: &AtomicU8) -> Result<Authorised, Undone> {
    let (now, config) = (books.clock.timestamp(), &books.setup.ledger);
    let mut script = Script::default();
    if let Some(id) = ask.reservation {
        callthrough::store::add_claim(&mut script, &books.setup.callthrough, id, ask.call, now);
    }
    statements::lock_payer(&mut script, books.database.kind(), ask.subscriber, now);
    statements::add_standing(&mut script, ask.subscriber, now);
    let answers = script.ask(tx).await?;
    let late = match (ask.reservation, answers.first()) {
        (Some(id), Some(rows)) => callthrough::store::claimed(tx, &books.setup.callthrough, id, rows, now).await?.late,
        _ => false,
    };
    let row = answers.last().and_then(|rows| rows.first());
    let standing = statements::read_standing(row, config, now)?.ok_or(Refusal::Disabled)?;
    if !standing.enabled {
        return Err(Refusal::Disabled.into());
    }
    let rules = &books.setup.callthrough.rules;
    let tenant = standing.account.tenant;
    let outcome = let_in(tx, books, ask, &standing, late, now).await;
    match &outcome {
        Ok(_) => rules.called(tenant, ask.subscriber, ask.destination, now),
        Err(Undone::Refused(refusal)) => rules.refused(tenant, ask.subscriber, *refusal, now),
        Err(Undone::Ledger(_)) => {}
    }
    let authorised = outcome?;
    if waiter.load(Ordering::SeqCst) == GIVEN_UP {
        return Err(Refusal::BooksDown.into());
    }
    Ok(authorised)
}

/// A subscriber who may call at all: limits, price, margin, and the hold.
async fn let_in(
    tx: &mut AnyConnection,
    books: &Inner,
    ask: &Authorise,
    standing: &statements::Standing,
    late: bool,
    now: Timestamp,
) -> Result<Authorised, Undone> {
    let config = &books.setup.ledger;
    let policy = books.setup.callthrough.rules.policy(standing.account.tenant);
    if policy.as_ref().and_then(|policy| policy.max_calls_minute).is_some_and(|most| standing.calls_minute >= most) {
        tracing::info!(subscriber.id = %ask.subscriber, rule = "max_calls_minute", "a call is refused");
        return Err(Refusal::TooFast.into());
    }
    let digits = ask.destination.digits();
    let watched = match policy.as_ref().and_then(|policy| policy.class(&digits)) {
        Some(class) => {
            let called = statements::calls_since(tx, ask.subscriber, now - HOUR).await?;
            let calls = called.iter().filter(|called| class.fits(called.trim_start_matches('+')).is_some()).count();
            let calls = u32::try_from(calls).unwrap_or(u32::MAX);
            if class.max_calls_hour.is_some_and(|most| calls >= most) {
                tracing::info!(subscriber.id = %ask.subscriber, rule = "classes", "a call is refused");
                return Err(Refusal::TooFast.into());
            }
            class.alert_calls_hour.is_some_and(|most| calls + 1 >= most).then_some(calls + 1)
        }
        None => None,
    };
    let quote = books.decks.quote(standing.account.tenant, standing.deck, ask.destination, now).ok_or(Refusal::NoRate)?;
    if quote.currency != standing.account.currency {
        tracing::error!(subscriber.id = %ask.subscriber, deck.id = %quote.deck, "the deck is in another currency than the account");
        return Err(Refusal::NoRate.into());
    }
    let costs = costs(&books.decks, ask, &quote, quote.rate.first_secs.max(config.slice_secs), now);
    if !costs.is_empty() && costs.iter().all(|cost| *cost == Cost::TooMuch) {
        return Err(Refusal::NoMargin.into());
    }
    let slice = ledger::hold::authorise(config, &standing.limits, &standing.account, &standing.usage, &quote.rate)?.inspect_err(|refusal| {
        let tenant = standing.usage.tenant;
        tracing::info!(subscriber.id = %ask.subscriber, rule = refusal.code(), tenant.calls_left = tenant.calls, tenant.spend_left = tenant.spend.map(tracing::field::display), "a call is refused");
    })?;
    let hold = HoldId::new(&books.clock, &books.random);
    statements::begin(tx, &books.setup.node, ask, standing.account.id, (hold, &slice, &quote), now).await?;
    if let Some(calls) = watched {
        books.setup.callthrough.rules.watched(standing.account.tenant, ask.subscriber, calls, ask.destination, now);
    }
    let grant = Grant { hold, funded: Duration::from_secs(slice.funded_secs.into()), more: slice.more };
    let left = standing.account.available()?;
    let low = (left < standing.account.low_balance).then_some(Money { amount: left, currency: standing.account.currency });
    Ok(Authorised { low, grant, quote, costs, late, longest: Duration::from_secs(standing.limits.longest_call_secs.into()) })
}

/// What each trunk takes for the call, and whether its first slice leaves a margin (spec: money, section 6).
fn costs(decks: &Decks, ask: &Authorise, sell: &Quote, secs: u32, now: Timestamp) -> Vec<Cost> {
    let exchange = &decks.shelf().exchange;
    let cost = |deck: &Option<DeckId>| {
        let Some(deck) = *deck else { return Cost::Unknown };
        let Some(buy) = decks.cost(deck, ask.destination, now) else {
            tracing::warn!(call.id = %ask.call, deck.id = %deck, "a trunk is left out: its carrier's deck has no price for the number; import one");
            return Cost::TooMuch;
        };
        match rating::check(sell, &buy, exchange, secs, now) {
            Ok(_) => Cost::Known(Box::new(buy)),
            Err(rating::NoMargin::Loss) => {
                tracing::info!(call.id = %ask.call, deck.id = %deck, buy.prefix = buy.prefix, sell.prefix = sell.prefix, "a trunk is left out: it takes more than the tariff does");
                Cost::TooMuch
            }
            Err(error) => {
                tracing::error!(call.id = %ask.call, deck.id = %deck, %error, "a trunk is left out: its margin cannot be computed");
                Cost::TooMuch
            }
        }
    };
    ask.cost_decks.iter().map(cost).collect()
}

async fn extend(tx: &mut AnyConnection, books: &Inner, call: CallId) -> Result<Option<Grant>, Undone> {
    let (now, config) = (books.clock.timestamp(), &books.setup.ledger);
    let ending = statements::running(tx, books.database.kind(), call, now).await?;
    let Some(hold) = ending.hold else { return Ok(None) };
    let Some(standing) = statements::standing(tx, hold.subscriber, config, now).await? else { return Ok(None) };
    if !standing.enabled {
        return Ok(None);
    }
    let so_far = (hold.amount, hold.funded_secs);
    let slice =
        ledger::hold::extend(config, &standing.limits, &standing.account, &standing.usage, &hold.quote.rate, so_far, ending.answered_at)?;
    let Some(slice) = slice else { return Ok(None) };
    statements::extend(tx, call, &slice).await?;
    Ok(Some(Grant { hold: hold.id, funded: Duration::from_secs(slice.funded_secs.into()), more: slice.more }))
}

async fn close(tx: &mut AnyConnection, books: &Inner, closing: Closing) -> Result<Closed, LedgerError> {
    let now = books.clock.timestamp();
    let mut ending = statements::ending(tx, books.database.kind(), closing.call, now).await?;
    if ending.recorded {
        if ending.hold.is_some() {
            statements::undo(tx, closing.call, closing.reservation, now).await?;
        }
        return Ok(Closed::Already);
    }
    let (call, answered) = (closing.call, closing.answered_at.is_some());
    let mut closing = closing;
    let buy = closing.cost.take();
    let mut record = record(closing);
    let mut posting = None;
    let mut settled = None;
    let mut notice = None;
    if let Some(hold) = ending.hold.take() {
        let talked = if answered { record.duration } else { Duration::ZERO };
        let answered_at = ending.answered_at.or(record.answered_at).unwrap_or(record.ended_at);
        let charge = ledger::hold::settle(&hold.quote.rate, talked, hold.funded_secs, answered_at)?;
        record.answered_at = record.answered_at.map(|_| answered_at);
        if charge.amount > hold.amount {
            return Err(LedgerError::Damaged("a hold smaller than the charge of what it funds"));
        }
        settled = answered.then_some(charge.amount);
        notice = hold.watch.after(Micros::ZERO.minus(charge.amount)?, hold.amount)?;
        record.account = Some(hold.account);
        record.subscriber = Some(hold.subscriber);
        record.cost = carrier_cost(buy.filter(|_| answered), &record)?;
        let cost = record.cost.as_ref().map(|(quote, charge)| Money { amount: charge.amount, currency: quote.currency });
        let cost = cost.filter(|cost| cost.amount > Micros::ZERO);
        let id = PostingId::new(&books.clock, &books.random);
        let post = |draft: Draft| draft.post(id, hold.posting_seq + 1, now, hold.quote.currency, hold.posting_hash);
        posting = match (charge.amount > Micros::ZERO, cost) {
            (true, None) => Some(post(Draft::charge(hold.account, call, hold.id, charge.amount)?)?),
            (true, Some(cost)) => Some(post(Draft::charge(hold.account, call, hold.id, charge.amount)?)?.with_carrier(cost)?),
            (false, Some(cost)) => Some(post(Draft::carrier_cost(hold.account, call, hold.id))?.with_carrier(cost)?),
            (false, None) => None,
        };
        record.charged = Some((hold.quote, charge));
    }
    statements::end(tx, &record, settled, posting.as_ref(), &ending, now).await?;
    if let Some(notice) = notice {
        notice.give(tx, &books.clock, &books.random).await?;
    }
    if let Some(subscriber) = record.subscriber.filter(|_| answered) {
        books.setup.callthrough.rules.ended(subscriber, record.duration, now);
    }
    Ok(Closed::Written(settled.unwrap_or_default()))
}

/// What the carrier takes for a call that was answered.
fn carrier_cost(buy: Option<Box<Quote>>, record: &Record) -> Result<Option<(Quote, Charge)>, LedgerError> {
    let Some((buy, answered_at)) = buy.zip(record.answered_at) else { return Ok(None) };
    let charge = rating::cost(&buy, record.duration, answered_at)?;
    Ok(Some((*buy, charge)))
}

fn record(closing: Closing) -> Record {
    Record {
        tenant: None, // the store finds it by the subscriber, or by the access number
        call: closing.call,
        subscriber: closing.subscriber,
        account: None,
        reservation: closing.reservation,
        sip_call_id: closing.sip_call_id,
        caller: closing.caller,
        dialled: closing.dialled,
        destination: closing.destination,
        trunk_in: closing.trunk_in,
        trunk_out: closing.trunk_out,
        cause: closing.cause,
        side: closing.side,
        sip_status: closing.sip_status,
        late: closing.late,
        began_at: closing.began_at,
        progressed_at: closing.progressed_at,
        answered_at: closing.answered_at,
        ended_at: closing.ended_at,
        duration: closing.duration,
        charged: None,
        cost: None,
        sound: closing.sound,
        detail: closing.detail,
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
