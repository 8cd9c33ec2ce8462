use std::time::Duration;

use crate::types::{E164, Refusal, Side};

use super::{CallEvent, CallRecord, Cause, Progress};

/// The alarms of a call. The machine names them, the shell owns the clockwork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The caller gets a final response by then, whatever happens.
    Setup,
    /// A trunk that has not even said "trying" by then is skipped.
    Silence,
    /// B has rung long enough.
    Ring,
    /// Time to ask for more money.
    ExtendAt,
    /// The funded time is over.
    CreditLimit,
    /// The longest call we carry is over.
    LongestCall,
    /// The books had their time to answer.
    Grace,
}

impl Timer {
    /// Every timer, in the order of [`Timer::index`].
    pub const ALL: [Self; 7] = [Self::Setup, Self::Silence, Self::Ring, Self::ExtendAt, Self::CreditLimit, Self::LongestCall, Self::Grace];

    /// A small number for tables of timers.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What is to be done. The imperative: the shell carries it out and reports facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Find out where the call shall go; answer with `Screened`.
    Screen,
    /// Claim, check limits, quote and hold in one transaction; answer with `Authorised` or `Declined`.
    Authorise(E164),
    /// Call the party over the next trunk; answer with `NoTrunkLeft` if there is none.
    Dial(Side),
    /// Pass a provisional answer on.
    Progress(Side, Progress),
    /// Pick up towards the party.
    Answer(Side),
    /// Turn the party away for a reason of ours.
    Refuse(Side, Refusal),
    /// End the party's leg in whatever state it is: refuse, cancel or hang up.
    HangUp(Side, Cause),
    /// Let the parties talk, and write down that they do.
    Bridge,
    /// Set more money aside; answer with `Extended` or `NotExtended`.
    Extend,
    /// Start or restart a timer.
    Arm(Timer, Duration),
    /// Stop a timer.
    Disarm(Timer),
    /// Tell whoever watches.
    Tell(CallEvent),
    /// Settle or release the hold and write the one record. The last word but for the final event.
    Close(CallRecord),
}
