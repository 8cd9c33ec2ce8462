//! What the parties hear: every reason to say no, and every cause of an end, as a SIP status, a phrase, a hint and a Q.850 cause.

use std::borrow::Cow;

use crate::call::Cause;
use crate::sip::{ByWhom, Header, Reason};
use crate::types::Refusal;

/// A final response to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    /// 400 to 699.
    pub status: u16,
    /// Empty means the usual phrase of the status.
    pub phrase: Cow<'static, str>,
    /// What to do next, for the people who read traces.
    hint: &'static str,
    reason: Reason,
    retry_after_secs: Option<u32>,
}

impl Response {
    /// Warning, Reason and Retry-After, as far as there is something to say.
    pub fn headers(&self) -> Vec<Header> {
        let mut headers = vec![reason_header(&self.reason)];
        if !self.hint.is_empty() {
            // RFC 3261 §20.43: 399 is free text; the agent may be a pseudonym.
            headers.push(Header::new("Warning", format!("399 b2bua \"{}\"", self.hint)));
        }
        if let Some(secs) = self.retry_after_secs {
            headers.push(Header::new("Retry-After", secs.to_string()));
        }
        headers
    }
}

/// What B's side said when it refused: passed on to the caller where it was B's own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub status: u16,
    pub phrase: String,
    pub reason: Option<Reason>,
}

/// What a caller hears when we say no. To callers without a valid reservation it is one and the same answer, whatever is the
/// matter: who guesses must learn nothing.
pub(super) fn to_refusal(refusal: Refusal) -> Response {
    const NO_RESERVATION: &str = "Ask for the call in the app first, then dial the number it gives within a minute";
    let (status, q850, hint, retry_after_secs) = match refusal {
        Refusal::NoSuchNumber => (404, 1, "The destination is not a number that can be dialled", None),
        Refusal::Emergency => (403, 21, "Emergency numbers are not routed: dial them with the phone itself", None),
        Refusal::Barred | Refusal::HighRisk => (403, 21, "The destination is not allowed for this subscriber", None),
        Refusal::NoMargin => (403, 21, "The destination cannot be reached at the price of the tariff", None),
        Refusal::NoRate => (403, 21, "There is no price for the destination in the tariff, or it is above the subscriber's limit", None),
        Refusal::NotEnoughCredit => (403, 21, "Not enough credit for this call: top up", None),
        Refusal::SpendCap => (403, 21, "The spending limit of the day is reached: call again tomorrow or raise it", None),
        Refusal::TooManyCalls => (486, 17, "Too many calls at once: end one first", None),
        Refusal::TooFast => (486, 17, "Too many calls in a short time: wait a little", None),
        Refusal::SignInFailed => (403, 21, "The credential is not valid", None),
        Refusal::Disabled => (403, 21, "The subscriber is switched off", None),
        Refusal::NoAccessNumber => (480, 34, "No access number is free now: try again shortly", None),
        Refusal::NoReservation | Refusal::ReservationExpired | Refusal::CallerWithheld | Refusal::CallerUnverified => {
            (403, 21, NO_RESERVATION, None)
        }
        Refusal::ReservationUsed => (486, 17, "Another call has this reservation: end it first", None),
        Refusal::CoolingDown => (403, 21, "The caller's number was changed lately and may not call yet", None),
        Refusal::ButtonClosed => (403, 21, "The call button is closed now", None),
        Refusal::AllTrunksFailed => (480, 41, "No carrier could take the call: try again shortly", None),
        Refusal::BooksDown => (503, 41, "The books cannot be reached: try again shortly", Some(10)),
        Refusal::Draining => (503, 41, "This server takes no more calls now: try another one", Some(30)),
    };
    Response { status, phrase: Cow::Borrowed(""), hint, reason: Reason::q850(q850, ""), retry_after_secs }
}

/// What a caller who was not answered yet hears when the call ends for `cause`; B's own words where it was B who refused.
pub(super) fn to_cause(cause: Cause, said: Option<&Said>) -> Response {
    let (status, hint, retry_after_secs) = match cause {
        Cause::Refused(refusal) => return to_refusal(refusal),
        Cause::Busy => (486, "", None),
        Cause::Rejected => (603, "", None),
        Cause::NotFound => (404, "", None),
        Cause::Incompatible => (488, "", None),
        Cause::SetupTimeout => (480, "The call could not be set up in time: try again", None),
        Cause::ServerStopped | Cause::ServerRestart => (503, "This server takes no more calls now: try another one", Some(30)),
        Cause::NoAnswer
        | Cause::Unavailable
        | Cause::TrunkFault
        | Cause::Silent
        | Cause::Unreachable
        | Cause::Lost
        | Cause::HungUp
        | Cause::Cancelled
        | Cause::Operator
        | Cause::CreditExhausted
        | Cause::NoSound
        | Cause::LongestCall => (480, "", None),
    };
    let own = Response { status, phrase: Cow::Borrowed(""), hint, reason: reason(cause), retry_after_secs };
    match said {
        Some(said) if !cause.another_trunk_may_help() && (400..700).contains(&said.status) => Response {
            status: said.status,
            phrase: Cow::Owned(said.phrase.clone()),
            reason: said.reason.clone().unwrap_or(own.reason),
            ..own
        },
        _ => own,
    }
}

/// Why a leg ends, for CANCEL and BYE (RFC 3326, causes of ITU-T Q.850).
pub(super) fn reason(cause: Cause) -> Reason {
    match cause {
        Cause::HungUp | Cause::Cancelled => Reason::q850(16, "Normal call clearing"),
        Cause::CreditExhausted => Reason::q850(16, "Credit exhausted"),
        Cause::LongestCall => Reason::q850(16, "Longest call reached"),
        Cause::Busy => Reason::q850(17, "User busy"),
        Cause::NoAnswer => Reason::q850(19, "No answer"),
        Cause::Unavailable => Reason::q850(20, "Subscriber absent"),
        Cause::Rejected => Reason::q850(21, "Call rejected"),
        Cause::NotFound => Reason::q850(1, "Unallocated number"),
        Cause::Incompatible => Reason::q850(88, "Incompatible destination"),
        Cause::Operator => Reason::q850(31, "Ended by the operator"),
        Cause::Silent | Cause::SetupTimeout => Reason::q850(102, "Recovery on timer expiry"),
        Cause::Unreachable => Reason::q850(38, "Network out of order"),
        Cause::TrunkFault | Cause::ServerStopped | Cause::ServerRestart => Reason::q850(41, "Temporary failure"),
        Cause::NoSound => Reason::q850(27, "No sound"),
        Cause::Lost => Reason::q850(111, "Protocol error"),
        Cause::Refused(refusal) => to_refusal(refusal).reason,
    }
}

/// What B's refusal means for the call: is it B's word, or only this trunk's?
pub(super) const fn cause_of(status: u16, by: ByWhom) -> Cause {
    match (by, status) {
        (ByWhom::Transport, _) => Cause::Unreachable,
        (ByWhom::Timeout, _) | (_, 408) => Cause::Silent,
        (_, 486 | 600) => Cause::Busy,
        (_, 404 | 410 | 484 | 485 | 604) => Cause::NotFound,
        (_, 480 | 487) => Cause::Unavailable,
        (_, 415 | 488 | 606) => Cause::Incompatible,
        (_, 601..=699) => Cause::Rejected,
        // The rest is between the trunk and us: credentials, routes, overload, redirections.
        _ => Cause::TrunkFault,
    }
}

fn reason_header(reason: &Reason) -> Header {
    let text = if reason.text.is_empty() { String::new() } else { format!(";text=\"{}\"", reason.text.replace(['"', '\\'], "")) };
    Header::new("Reason", format!("{};cause={}{text}", reason.protocol, reason.cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_without_a_valid_reservation_hear_one_and_the_same() {
        let heard = to_refusal(Refusal::NoReservation);
        assert_eq!(heard.status, 403);
        for refusal in [Refusal::ReservationExpired, Refusal::CallerWithheld, Refusal::CallerUnverified] {
            assert_eq!(to_refusal(refusal), heard);
        }
    }

    #[test]
    fn every_refusal_has_a_final_status_and_says_what_to_do() {
        let statuses: Vec<_> = Refusal::ALL.into_iter().map(|refusal| (refusal.code(), to_refusal(refusal).status)).collect();
        assert!(Refusal::ALL.into_iter().all(|refusal| !to_refusal(refusal).hint.is_empty()));
        for expected in [
            ("no_such_number", 404),
            ("not_enough_credit", 403),
            ("too_many_calls", 486),
            ("no_access_number", 480),
            ("reservation_used", 486),
            ("all_trunks_failed", 480),
            ("books_down", 503),
            ("draining", 503),
        ] {
            assert!(statuses.contains(&expected), "{expected:?}");
        }
    }

    #[test]
    fn a_503_tells_when_to_come_back() {
        let headers = to_refusal(Refusal::BooksDown).headers();
        assert!(headers.contains(&Header::new("Retry-After", "10")) && headers.contains(&Header::new("Reason", "Q.850;cause=41")));
    }

    #[test]
    fn bs_own_word_is_passed_on_and_a_trunks_trouble_is_not() {
        let said = Said { status: 600, phrase: "Engaged".into(), reason: None };
        let heard = to_cause(Cause::Busy, Some(&said));
        assert_eq!((heard.status, heard.phrase.as_ref()), (600, "Engaged"));
        let said = Said { status: 500, phrase: "Oops".into(), reason: None };
        assert_eq!(to_cause(Cause::TrunkFault, Some(&said)).status, 480);
    }

    #[test]
    fn the_next_trunk_is_tried_where_it_may_help() {
        for (status, by, next) in [
            (503, ByWhom::Remote, true),
            (500, ByWhom::Remote, true),
            (408, ByWhom::Remote, true),
            (408, ByWhom::Timeout, true),
            (503, ByWhom::Transport, true),
            (403, ByWhom::Remote, true),
            (302, ByWhom::Remote, true),
            (486, ByWhom::Remote, false),
            (480, ByWhom::Remote, false),
            (600, ByWhom::Remote, false),
            (603, ByWhom::Remote, false),
            (404, ByWhom::Remote, false),
            (488, ByWhom::Remote, false),
        ] {
            assert_eq!(cause_of(status, by).another_trunk_may_help(), next, "{status} {by:?}");
        }
    }
}
