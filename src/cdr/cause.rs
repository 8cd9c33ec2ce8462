use crate::call::Cause;
use crate::types::Refusal;

/// Every cause but the refusals, for [`parse_cause`].
const CAUSES: [Cause; 19] = [
    Cause::HungUp,
    Cause::Cancelled,
    Cause::Busy,
    Cause::NoAnswer,
    Cause::Rejected,
    Cause::NotFound,
    Cause::Unavailable,
    Cause::Incompatible,
    Cause::TrunkFault,
    Cause::Silent,
    Cause::Unreachable,
    Cause::Lost,
    Cause::CreditExhausted,
    Cause::LongestCall,
    Cause::NoSound,
    Cause::SetupTimeout,
    Cause::Operator,
    Cause::ServerStopped,
    Cause::ServerRestart,
];

/// The record's word for why a call ended: one word, the same in the API, the export and the log.
pub const fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::HungUp => "answered",
        Cause::Cancelled => "cancelled",
        Cause::Busy => "busy",
        Cause::NoAnswer => "no_answer",
        Cause::Rejected => "rejected",
        Cause::NotFound => "not_found",
        Cause::Unavailable => "unavailable",
        Cause::Incompatible => "incompatible",
        Cause::TrunkFault => "trunk_fault",
        Cause::Silent => "trunk_silent",
        Cause::Unreachable => "trunk_unreachable",
        Cause::Lost => "lost",
        Cause::CreditExhausted => "credit_exhausted",
        Cause::LongestCall => "longest_call",
        Cause::NoSound => "no_sound",
        Cause::SetupTimeout => "setup_timeout",
        Cause::Operator => "operator",
        Cause::ServerStopped => "server_stopped",
        Cause::ServerRestart => "server_restart",
        Cause::Refused(refusal) => refusal_word(refusal),
    }
}

/// From the record's word.
pub fn parse_cause(word: &str) -> Option<Cause> {
    CAUSES.into_iter().chain(Refusal::ALL.map(Cause::Refused)).find(|&cause| cause_word(cause) == word)
}

/// The record's word for each reason to turn a caller away. Add a reason and the compiler asks for its word here.
const fn refusal_word(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NoSuchNumber => "no_such_number",
        Refusal::Emergency => "emergency",
        Refusal::Barred => "barred",
        Refusal::HighRisk => "high_risk",
        Refusal::NoRate => "no_rate",
        Refusal::NoMargin => "no_margin",
        Refusal::NotEnoughCredit => "not_enough_credit",
        Refusal::SpendCap => "spend_cap",
        Refusal::TooManyCalls => "too_many_calls",
        Refusal::TooFast => "too_fast",
        Refusal::SignInFailed => "sign_in_failed",
        Refusal::Disabled => "disabled",
        Refusal::NoAccessNumber => "no_access_number",
        Refusal::NoReservation => "no_reservation",
        Refusal::ReservationExpired => "reservation_expired",
        Refusal::ReservationUsed => "reservation_used",
        Refusal::CallerWithheld => "caller_withheld",
        Refusal::CallerUnverified => "caller_unverified",
        Refusal::CoolingDown => "cooling_down",
        Refusal::ButtonClosed => "button_closed",
        Refusal::AllTrunksFailed => "all_trunks_failed",
        Refusal::BooksDown => "books_down",
        Refusal::Draining => "draining",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_one_word_everywhere_and_no_word_means_two_things() {
        for cause in CAUSES.into_iter().chain(Refusal::ALL.map(Cause::Refused)) {
            assert_eq!(cause_word(cause), cause.code());
            assert_eq!(parse_cause(cause_word(cause)), Some(cause));
        }
        for refusal in Refusal::ALL {
            assert_eq!(refusal_word(refusal), refusal.code());
        }
        assert_eq!(parse_cause("ok"), None);
    }
}
