//! One call told whole: its record with what the books know around it, and the steps of both in the order they happened.

pub mod store;

use std::time::Duration;

use super::Record;
use crate::types::{HoldId, Money, PostingId, ReservationId, Side, Timestamp};

/// A call that is over, with everything around its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// What happened.
    pub record: Record,
    /// What the subscriber is called.
    pub subscriber_name: Option<String>,
    /// What the phone had asked for, as long as it is remembered.
    pub reservation: Option<Reservation>,
    /// The money that was set aside.
    pub hold: Option<Hold>,
    /// The money that moved because of the call, oldest first.
    pub postings: Vec<Posting>,
}

/// The request that led to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its id.
    pub id: ReservationId,
    /// When the phone asked.
    pub created_at: Timestamp,
    /// Until when its call was awaited.
    pub expires_at: Timestamp,
    /// The number it was told to dial.
    pub access_number: String,
    /// The rule that chose it.
    pub rule: String,
    /// The client's address.
    pub source: String,
}

/// The hold of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// All of it.
    pub amount: Money,
    /// How long it paid for.
    pub funded_secs: i64,
    /// When the call was let in.
    pub created_at: Timestamp,
    /// Settled or released; none while it is open.
    pub outcome: Option<String>,
    /// What was taken of it.
    pub settled: Option<Money>,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
}

/// Money that moved because of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Its id.
    pub id: PostingId,
    /// The kind of movement.
    pub kind: String,
    /// For a reader.
    pub note: String,
    /// When.
    pub at: Timestamp,
    /// Its lines: the book and how much, credits positive.
    pub entries: Vec<(String, Money)>,
}

/// Who takes part in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The caller's side.
    Phone,
    /// Us.
    Server,
    /// The books.
    Books,
    /// A carrier towards the destination.
    Trunk,
}

impl Lane {
    /// The word the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Server => "server",
            Self::Books => "books",
            Self::Trunk => "trunk",
        }
    }
}

/// One step of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// From whom.
    pub from: Lane,
    /// To whom.
    pub to: Lane,
    /// What: `reserved`, `arrived`, `held`, `dialled`, `failed`, `progressed`, `answered`, `extended`, `refused`, `ended`, `moved`.
    pub what: &'static str,
    /// The trunk it concerns.
    pub trunk: Option<String>,
    /// The SIP status it brought.
    pub sip_status: Option<u16>,
    /// The cause's word, of an end or a failure.
    pub cause: Option<String>,
    /// How many seconds are paid for from the answer on.
    pub funded_secs: Option<i64>,
    /// Money that moved, as the subscriber's account sees it.
    pub amount: Option<Money>,
}

impl Step {
    const fn new(at: Timestamp, from: Lane, to: Lane, what: &'static str) -> Self {
        Self { at, from, to, what, trunk: None, sip_status: None, cause: None, funded_secs: None, amount: None }
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Detail {
    attempts: Vec<Attempt>,
    funded: Vec<Funded>,
}

#[derive(Debug, serde::Deserialize)]
struct Attempt {
    trunk: String,
    at: Option<Timestamp>,
    sip_status: Option<u16>,
    outcome: String,
    #[serde(default)]
    millis: u64,
}

#[derive(Debug, serde::Deserialize)]
struct Funded {
    at: Timestamp,
    secs: i64,
}

impl Story {
    /// Everything that is known to have happened, in order.
    pub fn steps(&self) -> Vec<Step> {
        let record = &self.record;
        let detail = record.detail.as_deref().and_then(|json| serde_json::from_str::<Detail>(json).ok()).unwrap_or_default();
        let mut steps = Vec::new();
        steps.extend(self.reservation.as_ref().map(|asked| Step::new(asked.created_at, Lane::Phone, Lane::Server, "reserved")));
        steps.push(Step { trunk: record.trunk_in.clone(), ..Step::new(record.began_at, Lane::Phone, Lane::Server, "arrived") });
        if let Some(hold) = &self.hold {
            let secs = detail.funded.first().map_or(hold.funded_secs, |first| first.secs);
            steps.push(Step { funded_secs: Some(secs), ..Step::new(hold.created_at, Lane::Server, Lane::Books, "held") });
        }
        for attempt in &detail.attempts {
            let Some(at) = attempt.at else { continue };
            let trunk = Some(attempt.trunk.clone());
            steps.push(Step { trunk: trunk.clone(), ..Step::new(at, Lane::Server, Lane::Trunk, "dialled") });
            if attempt.outcome != "answered" {
                let (over, cause) = (at + Duration::from_millis(attempt.millis), Some(attempt.outcome.clone()));
                let failed = Step::new(over, Lane::Trunk, Lane::Server, "failed");
                steps.push(Step { trunk, sip_status: attempt.sip_status, cause, ..failed });
            }
        }
        let trunk = &record.trunk_out;
        if let Some(at) = record.progressed_at {
            steps.push(Step::new(at, Lane::Trunk, Lane::Phone, "progressed"));
        }
        if let Some(at) = record.answered_at {
            steps.push(Step { trunk: trunk.clone(), sip_status: Some(200), ..Step::new(at, Lane::Trunk, Lane::Phone, "answered") });
        }
        let later = detail.funded.iter().skip(1);
        steps.extend(
            later.map(|slice| Step { funded_secs: Some(slice.secs), ..Step::new(slice.at, Lane::Server, Lane::Books, "extended") }),
        );
        steps.push(self.end());
        for posting in &self.postings {
            let amount = posting.entries.iter().find(|(book, _)| book == "subscriber").map(|(_, amount)| *amount);
            steps.push(Step { amount, ..Step::new(posting.at, Lane::Server, Lane::Books, "moved") });
        }
        steps.sort_by_key(|step| step.at);
        steps
    }

    fn end(&self) -> Step {
        let record = &self.record;
        let what = if record.answered_at.is_some() { "ended" } else { "refused" };
        let (from, to) = match record.side {
            Some(Side::A) => (Lane::Phone, Lane::Server),
            Some(Side::B) => (Lane::Trunk, Lane::Phone),
            None => (Lane::Server, Lane::Phone),
        };
        let cause = Some(super::cause_word(record.cause).to_owned());
        Step { sip_status: record.sip_status, cause, ..Step::new(record.ended_at, from, to, what) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Cause;
    use crate::types::{CallId, Clock, Random};

    fn at(secs: u64) -> Timestamp {
        Timestamp::parse("2030-01-02T03:04:00Z").unwrap() + Duration::from_secs(secs)
    }

    #[test]
    fn steps_are_told_in_the_order_they_happened() {
        let detail = serde_json::json!({
            "attempts": [
                { "trunk": "north", "sip_status": 503, "outcome": "trunk_fault", "at": at(2), "millis": 500 },
                { "trunk": "south", "sip_status": 200, "outcome": "answered", "at": at(3), "millis": 4000 },
            ],
            "funded": [{ "at": at(1), "secs": 60 }, { "at": at(37), "secs": 120 }],
        });
        let record = Record {
            call: CallId::new(&Clock::system(), &Random::seeded(1)),
            tenant: None,
            subscriber: None,
            account: None,
            reservation: None,
            sip_call_id: None,
            caller: None,
            dialled: String::new(),
            destination: None,
            trunk_in: Some("carrier".into()),
            trunk_out: Some("south".into()),
            cause: Cause::HungUp,
            side: Some(Side::A),
            sip_status: Some(200),
            late: false,
            began_at: at(1),
            progressed_at: Some(at(5)),
            answered_at: Some(at(7)),
            ended_at: at(68),
            duration: Duration::from_secs(61),
            charged: None,
            cost: None,
            sound: None,
            detail: Some(detail.to_string()),
        };
        let story = Story { record, subscriber_name: None, reservation: None, hold: None, postings: Vec::new() };
        let told: Vec<_> = story.steps().iter().map(|step| (step.what, step.trunk.clone().unwrap_or_default())).collect();
        let expected = [
            ("arrived", "carrier"),
            ("dialled", "north"),
            ("failed", "north"),
            ("dialled", "south"),
            ("progressed", ""),
            ("answered", "south"),
            ("extended", ""),
            ("ended", ""),
        ];
        assert_eq!(told, expected.map(|(what, trunk)| (what, trunk.to_owned())));
    }
}
