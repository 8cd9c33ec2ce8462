use std::time::Duration;

use crate::types::{E164, Moment, Side};

use super::{Cause, Grant};

/// What is known of a call when it is over: moments of the steady clock, the cause, the side. The books add the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRecord {
    /// When A's call arrived.
    pub began: Moment,
    /// The first sign of life from B.
    pub progressed: Option<Moment>,
    /// B's answer: what is charged starts here.
    pub answered: Option<Moment>,
    /// The first hang-up, or our decision to end.
    pub ended: Moment,
    /// Why it ended.
    pub cause: Cause,
    /// Who ended it; nobody if it was us.
    pub side: Option<Side>,
    /// Where it was to go, once that was known.
    pub destination: Option<E164>,
    /// The hold, if the books granted one: to be settled if B answered, released if not.
    pub grant: Option<Grant>,
    /// How many trunks were tried.
    pub tried: u8,
}

impl CallRecord {
    /// From B's answer to the end, by the steady clock. When we ended the call because the funded time was over, the delay
    /// of our own hang-up is ours (money, section 3.2).
    pub fn duration(&self) -> Duration {
        let Some(answered) = self.answered else { return Duration::ZERO };
        let talked = self.ended.since(answered);
        match (self.cause, self.grant) {
            (Cause::CreditExhausted, Some(grant)) => talked.min(grant.funded),
            _ => talked,
        }
    }
}
