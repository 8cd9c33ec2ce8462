//! The prepaid books: accounts, entries, holds.
//!
//! Every movement is a posting: two or more entries that sum to zero, added once (its idempotency key sees to that), never
//! changed, and chained by hash to the posting before it on the same account. The balance of an account is a cache of its
//! entries, written with them. A hold is money set aside for one leg of a call: `authorise` makes it, `extend` adds to it,
//! and exactly one of settle (take the charge, free the rest) and release (free all) ends it. What an account can still
//! spend is its balance plus its credit limit less its open holds; no order of events lets that fall below zero.
//! [`verify()`] reads all of it and names the first row that does not add up.

pub mod approval;
pub mod entry;
pub mod hold;
pub mod low;
pub mod movement;
pub mod open_hold;
pub mod statement;
pub mod store;
pub mod transfer;
pub mod verify;
pub mod voucher;

use crate::types::{AccountId, CallId, Currency, Micros, MoneyError, Nanos, PostingId, TenantId};

pub use entry::{Book, Draft, Entry, Kind, Posting};
pub use verify::{Finding, verify};

/// Settings of the room: slices of holds, and the limits of a subscriber who has none of their own.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How much talk a hold sets money aside for at a time, in seconds.
    pub slice_secs: u32,
    /// A call that credit cannot carry for this long is refused.
    pub min_talk_secs: u32,
    /// Calls at once.
    pub max_calls: u32,
    /// Spend a day (00:00 UTC), settled plus held.
    pub spend_cap: Micros,
    /// Highest price a minute.
    pub max_price_per_minute: Micros,
    /// Calls an hour.
    pub max_calls_hour: u32,
    /// No call is longer.
    pub longest_call_secs: u32,
    /// A database slower than this at authorise refuses the call.
    pub books_timeout_ms: u64,
    /// An adjustment above this needs a second person.
    pub adjustment_limit: Micros,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slice_secs: 60,
            min_talk_secs: 30,
            max_calls: 2,
            spend_cap: Micros::new(10_000_000),
            max_price_per_minute: Micros::new(500_000),
            max_calls_hour: 20,
            longest_call_secs: 7200,
            books_timeout_ms: 2000,
            adjustment_limit: Micros::new(100_000_000),
        }
    }
}

impl Config {
    /// The highest price in the unit of decks.
    pub fn max_price(&self) -> Nanos {
        Nanos::new(self.max_price_per_minute.get().saturating_mul(1000))
    }
}

/// Less than this left to spend is told, unless the account says otherwise.
pub const LOW_BALANCE: Micros = Micros::new(2_000_000);

/// An account as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Which one.
    pub id: AccountId,
    /// In whose books.
    pub tenant: TenantId,
    /// Its one currency, fixed at creation.
    pub currency: Currency,
    /// How far below zero it may go.
    pub credit_limit: Micros,
    /// The sum of its entries.
    pub balance: Micros,
    /// The sum of its open holds.
    pub held: Micros,
    /// When less than this is left to spend, somebody is told once.
    pub low_balance: Micros,
}

impl Account {
    /// What it can still spend: balance less holds plus credit limit.
    pub fn available(&self) -> Result<Micros, MoneyError> {
        self.balance.minus(self.held)?.plus(self.credit_limit)
    }
}

/// What the books refuse, or why they could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is no such account.
    #[error("there is no account {0}: create it first, or check the id")]
    NoAccount(AccountId),
    /// The idempotency key belongs to another movement.
    #[error("the idempotency key was used for another movement: send a new key for a new movement")]
    KeyUsed,
    /// The movement itself is wrong.
    #[error("{0}")]
    Draft(#[from] entry::DraftError),
    /// There is no such entry on the account.
    #[error("the account has no entry {0}: check the id")]
    NoPosting(PostingId),
    /// Its kind is undone another way.
    #[error("an entry of the kind {} is not reversed by hand: correct the call, or move the money back", .0.as_str())]
    NotReversible(Kind),
    /// The call cost nothing that could be corrected.
    #[error("the call {0} was never answered and paid for: there is nothing to correct")]
    NotCharged(CallId),
    /// It costs that already.
    #[error("the call {0} costs that already: send another charge")]
    NothingToCorrect(CallId),
    /// Whoever asked cannot approve.
    #[error("the second person is somebody else than the first: let another approve it")]
    SamePerson,
    /// Somebody was faster, or its time is over.
    #[error("it is decided already, or its time is over: look at it again")]
    Decided,
    /// Too many wait.
    #[error("too many movements wait for a second person: decide some of them first")]
    TooManyPending,
    /// Beyond 64 bits.
    #[error("the account cannot hold this amount: {0}")]
    Money(#[from] MoneyError),
    /// A stored row that no program of ours writes.
    #[error("a row of the books is damaged ({0}): run `callthrough ledger verify`")]
    Damaged(&'static str),
    /// The database.
    #[error("the books cannot be reached: {0}")]
    Database(#[from] sqlx::Error),
}
