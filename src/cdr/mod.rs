//! What happened: one record a call, and its export.
//!
//! A call leaves exactly one [`Record`], refused ones included, written in the same transaction that settles or releases its
//! hold. It carries its rate, its billed seconds and the exact fraction, so that anybody can compute the charge again.

mod cause;
pub mod store;
mod story;

use std::time::Duration;

use crate::call::Cause;
use crate::media::Statistics;
use crate::rating::{Charge, Quote};
use crate::types::{AccountId, CallId, E164, ReservationId, Side, SubscriberId, TenantId, Timestamp};

pub use cause::{cause_word, parse_cause};
pub use story::store::tell;
pub use story::{Posting, Step, Story};

/// One call, as it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// In whose books; none while the call is not written, or when it is nobody's.
    pub tenant: Option<TenantId>,
    /// Our call.
    pub call: CallId,
    /// Who called, if known.
    pub subscriber: Option<SubscriberId>,
    /// Who paid, if anybody could have.
    pub account: Option<AccountId>,
    /// The reservation it claimed.
    pub reservation: Option<ReservationId>,
    /// Call-ID of A's leg.
    pub sip_call_id: Option<String>,
    /// The caller's number; none when withheld.
    pub caller: Option<String>,
    /// What the caller dialled, as it arrived.
    pub dialled: String,
    /// Where it was meant to go.
    pub destination: Option<E164>,
    /// The trunk it came by.
    pub trunk_in: Option<String>,
    /// The trunk it left by.
    pub trunk_out: Option<String>,
    /// Why it ended.
    pub cause: Cause,
    /// Which side ended it; none if we did.
    pub side: Option<Side>,
    /// The SIP status A heard, or that B's leg ended with.
    pub sip_status: Option<u16>,
    /// It arrived after the reservation's expiry, within grace.
    pub late: bool,
    /// The INVITE arrived.
    pub began_at: Timestamp,
    /// First ringing or early media.
    pub progressed_at: Option<Timestamp>,
    /// B answered.
    pub answered_at: Option<Timestamp>,
    /// It was over.
    pub ended_at: Timestamp,
    /// Answer to end by the steady clock.
    pub duration: Duration,
    /// What it cost, under which rate; none if it never got that far.
    pub charged: Option<(Quote, Charge)>,
    /// What the carrier it left by takes for it, under which rate; none if nobody knows.
    pub cost: Option<(Quote, Charge)>,
    /// How it sounded from each side, where our relay carried it.
    pub sound: Option<Statistics>,
    /// JSON: attempts per trunk, anything a reader at three in the morning wants.
    pub detail: Option<String>,
}
