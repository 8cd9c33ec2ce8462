//! How business goes: calls, answers, talk and spend by the hour, requests that no call came for, how the carriers do.
//!
//! A record is noted as uncounted in the transaction that writes it; the night watch takes the notes and adds the records up
//! ([`count_calls`], [`count_requests`]), so that a call pays nothing for it and the overview reads a few hundred rows however many
//! calls there were. The sums can be thrown away and made again from the records ([`recount`]).

pub mod store;
mod sum;

use std::time::Duration;

use crate::types::Timestamp;

pub use store::{count_calls, count_requests, recount};
pub use sum::{Bucket, Step, Sum, buckets, permille};

/// An hour.
pub const HOUR: Duration = Duration::from_secs(3600);
/// Attempts of a trunk are added up by this much time.
const SLOT: Duration = Duration::from_secs(300);
/// How long the sums of trunks are kept.
const TRUNKS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Older requests are decided: no call can come for them any more.
const DECIDED: Duration = Duration::from_secs(600);

/// The beginning of the step of `step` that holds `at`.
pub fn start_of(at: Timestamp, step: Duration) -> Timestamp {
    let step = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(at.as_micros().div_euclid(step) * step)
}
