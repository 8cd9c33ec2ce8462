use std::fmt;

use crate::types::{Refusal, Side};

/// Why a call, or an attempt to reach a party, came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A party hung up an answered call: how calls should end.
    HungUp,
    /// The caller gave up before the answer.
    Cancelled,
    /// B is busy.
    Busy,
    /// B rang and nobody picked up.
    NoAnswer,
    /// B, or somebody for B, declined.
    Rejected,
    /// B's carrier knows no such number.
    NotFound,
    /// B cannot be reached at present.
    Unavailable,
    /// The parties' media do not fit.
    Incompatible,
    /// The trunk refused for reasons of its own: another may do better.
    TrunkFault,
    /// The trunk did not say a word in time.
    Silent,
    /// The trunk could not be reached at all.
    Unreachable,
    /// A leg broke: a lost ACK, a refresh that failed, a dialog the far end no longer knows.
    Lost,
    /// The funded time is over.
    CreditExhausted,
    /// The longest call we carry is over.
    LongestCall,
    /// A party that should be heard was not for too long: the call is taken for lost.
    NoSound,
    /// The call could not be set up within the deadline.
    SetupTimeout,
    /// An operator or a machine ended it through our API.
    Operator,
    /// The server stopped.
    ServerStopped,
    /// The server was killed and ended the call when it came back.
    ServerRestart,
    /// We said no.
    Refused(Refusal),
}

impl Cause {
    /// Whether the next trunk may succeed where this one failed.
    pub const fn another_trunk_may_help(self) -> bool {
        matches!(self, Self::TrunkFault | Self::Silent | Self::Unreachable)
    }

    /// The one word of the CDR, the events and the logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::HungUp => "answered",
            Self::Cancelled => "cancelled",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Incompatible => "incompatible",
            Self::TrunkFault => "trunk_fault",
            Self::Silent => "trunk_silent",
            Self::Unreachable => "trunk_unreachable",
            Self::Lost => "lost",
            Self::CreditExhausted => "credit_exhausted",
            Self::LongestCall => "longest_call",
            Self::NoSound => "no_sound",
            Self::SetupTimeout => "setup_timeout",
            Self::Operator => "operator",
            Self::ServerStopped => "server_stopped",
            Self::ServerRestart => "server_restart",
            Self::Refused(refusal) => refusal.code(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A call's progress as everybody outside hears it. Exactly one [`CallEvent::Ended`] closes the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEvent {
    /// Money is set aside; B will be dialled.
    Accepted,
    /// The party's phone rings.
    Ringing(Side),
    /// The party picked up.
    Connected(Side),
    /// The parties can talk.
    Bridged,
    /// An attempt to reach the party failed; the call may go on over another trunk.
    Failed(Side, Cause),
    /// It is over.
    Ended(Cause),
}

impl CallEvent {
    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Ended(_))
    }
}
