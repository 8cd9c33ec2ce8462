//! When money may be set aside, how much, and for how long a talk. Values in, values out.

use super::{Account, Config};
use crate::rating::Rate;
use crate::types::{Micros, MoneyError, Nanos, Refusal};

/// The limits of one subscriber: their own where they have one, else the configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once.
    pub max_calls: u32,
    /// Settled and held since 00:00 UTC.
    pub spend_cap: Micros,
    /// Highest price a minute.
    pub max_price: Nanos,
    /// Calls in the last hour.
    pub max_calls_hour: u32,
    /// No call is longer.
    pub longest_call_secs: u32,
}

/// What a subscriber has going on: read in the same transaction, under the account's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Calls of the subscriber with open holds.
    pub calls: u32,
    /// Calls of the last hour.
    pub calls_hour: u32,
    /// Settled since 00:00 UTC.
    pub spent: Micros,
    /// Open holds of the subscriber.
    pub held: Micros,
}

/// Money to set aside and the talk it pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The whole hold, not the difference.
    pub amount: Micros,
    /// The whole talk it funds, from the answer on.
    pub funded_secs: u32,
    /// Whether asking for more may help: neither the longest call nor the end of credit is reached.
    pub more: bool,
}
