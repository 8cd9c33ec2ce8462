use crate::types::{Digit, E164, HoldId, Refusal, Side};
use std::time::Duration;

use super::{Cause, Timer};

/// What the hold pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The money set aside.
    pub hold: HoldId,
    /// How long all of it lasts, counted from B's answer.
    pub funded: Duration,
    /// Whether asking for more is likely to succeed.
    pub more: bool,
}

/// How far a party has come before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Progress {
    /// The call is being worked on; nothing rings yet.
    Trying,
    /// It rings.
    Ringing,
    /// The far end reports how it goes, mostly with sound before the answer.
    EarlyMedia,
}

/// What happened to a call. The past tense: nobody is asked, the machine is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The product rules looked at caller and dialled number: where the call shall go, or why not.
    Screened(Result<E164, Refusal>),
    /// The reservation is claimed and the money set aside.
    Authorised {
        /// What the call may cost.
        grant: Grant,
        /// The longest this subscriber's calls may last.
        longest: Duration,
    },
    /// The numbers alone do not say whose call it is: its digits must.
    ToCollect,
    /// The party pressed a key.
    Pressed(Side, Digit),
    /// The party has heard all that was to be said.
    Played(Side),
    /// The books said no.
    Declined(Refusal),
    /// No trunk is left that could take the call to B.
    NoTrunkLeft,
    /// A provisional answer.
    Progressed(Side, Progress),
    /// The party picked up.
    Answered(Side),
    /// The party, or its carrier, did not take the call.
    Refused(Side, Cause),
    /// The party ended the call, before or after its answer.
    HungUp(Side, Cause),
    /// More money is set aside.
    Extended(Grant),
    /// No more money could be set aside now: no credit, or the books are silent.
    NotExtended,
    /// The party should be heard and has not been for too long.
    Unheard(Side),
    /// A timer ran out.
    Fired(Timer),
    /// Somebody with the right to end the call did so, or the server stops.
    Stopped(Cause),
}
