use crate::types::{Digits, E164, Moment, Refusal, Side};

use super::{Cause, Grant};

/// Where a call stands. A state carries its own facts; something that happens is never a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The product rules are looking.
    Screening,
    /// A was answered and is asked for its digits.
    Collecting {
        /// What it has keyed in.
        digits: Digits,
        /// How often that was wrong.
        tries: u8,
    },
    /// The product rules look at the digits.
    Checking {
        /// How often they were wrong.
        tries: u8,
    },
    /// A, answered, is told why the call comes to nothing.
    Parting {
        /// The hold, if there is one.
        grant: Option<Grant>,
        /// Why.
        refusal: Refusal,
    },
    /// The books are asked.
    Authorising {
        /// Where the call shall go.
        destination: E164,
    },
    /// B is dialled and has not said a word.
    Dialling {
        /// What the call may cost.
        grant: Grant,
    },
    /// B's side works on it.
    Ringing {
        /// What the call may cost.
        grant: Grant,
    },
    /// The parties talk.
    Connected {
        /// B's answer.
        answered_at: Moment,
        /// What the call may cost.
        grant: Grant,
    },
    /// Over for the parties; the books still owe the answer to `Authorise`, and a hold may come of it.
    Ending {
        /// Why.
        cause: Cause,
        /// Who ended it.
        side: Option<Side>,
        /// When.
        at: Moment,
    },
    /// Over for everybody.
    Ended,
}

impl State {
    /// The word the API and the logs use.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Screening => "screening",
            Self::Collecting { .. } => "collecting",
            Self::Checking { .. } => "checking",
            Self::Authorising { .. } => "authorising",
            Self::Dialling { .. } => "dialling",
            Self::Ringing { .. } => "ringing",
            Self::Connected { .. } => "connected",
            Self::Parting { .. } | Self::Ending { .. } => "ending",
            Self::Ended => "ended",
        }
    }
}
