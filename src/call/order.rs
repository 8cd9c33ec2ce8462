use std::time::Duration;

use crate::types::{Digits, E164, Refusal, Side};

use super::{CallEvent, CallRecord, Cause, Grant, Progress};

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
    /// The next key is due.
    Digits,
    /// What is said before the end has had its time.
    Parting,
    /// The funded time is nearly over.
    Warning,
}

/// What a party is told by ear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// To key in the code.
    Code,
    /// That it was wrong, and to key it in again.
    WrongCode,
    /// How the account stands, where that is worth a word.
    Standing(Grant),
    /// That it rings at the other end.
    Ringing,
    /// Why the call comes to nothing.
    Refused(Refusal),
    /// That the money is nearly over.
    Warning,
}

impl Timer {
    /// Every timer, in the order of [`Timer::index`].
    pub const ALL: [Self; 10] = [
        Self::Setup,
        Self::Silence,
        Self::Ring,
        Self::ExtendAt,
        Self::CreditLimit,
        Self::LongestCall,
        Self::Grace,
        Self::Digits,
        Self::Parting,
        Self::Warning,
    ];

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
    /// Find out what the digits mean; answer with `Screened`.
    Check(Digits),
    /// Say something to the party; answer with `Played` when it is a sentence and said.
    Play(Side, Prompt),
    /// Say no more.
    Hush(Side),
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
