//! The reservation: its life in words. Values in, values out.

use crate::types::{CallId, E164, ReservationId, SubscriberId, Timestamp};

/// "This subscriber, calling that access number within a minute, means that destination."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its id.
    pub id: ReservationId,
    /// Whose request it was.
    pub subscriber: SubscriberId,
    /// The number to be dialled.
    pub access_number: E164,
    /// What is meant by it.
    pub destination: E164,
    /// How far it has come.
    pub state: State,
    /// Which rule chose the access number.
    pub rule: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// End of its life.
    pub expires_at: Timestamp,
    /// End of the grace after its life.
    pub late_until: Timestamp,
    /// How often a call has had it.
    pub claims: u32,
    /// The call that has it, or had it last.
    pub call: Option<CallId>,
    /// When that call ended.
    pub released_at: Option<Timestamp>,
    /// Claimed between the end of its life and the end of grace.
    pub late: bool,
}

/// How far a reservation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for its call.
    Pending,
    /// A call has it, or had it and ended before B answered.
    Claimed,
    /// B answered: never again.
    Used,
    /// Nobody called in time.
    Expired,
    /// A newer request took its access number.
    Superseded,
    /// Taken back by the operator.
    Cancelled,
}

impl State {
    /// The word in the books.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Claimed => "claimed",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
        }
    }

    /// From the word in the books.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Claimed, Self::Used, Self::Expired, Self::Superseded, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// What an arriving call finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A reservation that may be claimed (again).
    Pending(Reservation),
    /// There was one; its life and grace are over: `Refusal::ReservationExpired`.
    Expired(Reservation),
    /// There is one, and another call that is still alive has it: `Refusal::ReservationUsed`.
    Used(Reservation),
    /// None, or one that was used up by a call that has ended: `Refusal::NoReservation`.
    None,
}

/// A reservation that a call now has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// As it stands after the claim.
    pub reservation: Reservation,
    /// Claimed in the grace after its life.
    pub late: bool,
}
