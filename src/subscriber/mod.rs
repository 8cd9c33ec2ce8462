//! Who may call: subscribers, what they are called at the door, their verified numbers, their secrets.
//!
//! The account of money is the ledger's; a subscriber only points to one. A verified number is what lets a call in, so it never
//! comes from a request of the phone.

pub mod credential;
pub mod number;
pub mod store;

pub use credential::{Credential, Kind, Sealer};
pub use number::VerifiedNumber;

use crate::types::{AccountId, Country, DeckId, E164, Micros, Nanos, SubscriberId, TenantId, Timestamp};

/// Somebody who may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// Its id.
    pub id: SubscriberId,
    /// Whose customer.
    pub tenant: TenantId,
    /// Who pays.
    pub account: AccountId,
    /// What the operator calls them.
    pub name: String,
    /// Whose national dialling rules their digits follow.
    pub home: Country,
    /// Language of messages, such as `en` or `pt-BR`.
    pub locale: String,
    /// Off: every door refuses.
    pub enabled: bool,
    /// The carrier hides this subscriber's number, so calls are recognised by a code.
    pub withholds_number: bool,
    /// The tariff; none means the default deck.
    pub deck: Option<DeckId>,
    /// The access number they prefer.
    pub access_wish: Option<E164>,
    /// Calls at once; none means the configured default, here and below.
    pub max_calls: Option<u32>,
    /// Spending a day.
    pub spend_cap: Option<Micros>,
    /// Dearest price a minute.
    pub max_price: Option<Nanos>,
    /// Calls an hour.
    pub max_calls_hour: Option<u32>,
    /// Longest call in seconds.
    pub longest_call_secs: Option<u32>,
    /// When they were added.
    pub created_at: Timestamp,
}

/// Everything a sign-in at a door looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Who it would be.
    pub subscriber: Subscriber,
    /// Their verified numbers that may call.
    pub numbers: Vec<E164>,
    /// They have numbers, and all of them have to cool down yet.
    pub cooling: bool,
    /// Their credentials that are not revoked.
    pub credentials: Vec<Credential>,
    /// Settled today (UTC).
    pub spent_today: Micros,
}
