use std::fmt;

/// Why we say no. One list; `http/error.rs`, `b2bua/response.rs` and `cdr/cause.rs` each render all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The digits are no number that can be dialled.
    NoSuchNumber,
    /// An emergency number: never routed by us, dial it with the phone itself.
    Emergency,
    /// The destination is barred.
    Barred,
    /// The destination is of a kind that is off because of fraud.
    HighRisk,
    /// The tariff has no price for the destination, or its price is above the subscriber's limit.
    NoRate,
    /// Every trunk for the destination takes more than the tariff does.
    NoMargin,
    /// Available credit does not pay for the first slice.
    NotEnoughCredit,
    /// The day's spending limit is reached.
    SpendCap,
    /// Too many calls at once.
    TooManyCalls,
    /// Too many calls or requests in too short a time.
    TooFast,
    /// Unknown user or wrong secret; the log knows which.
    SignInFailed,
    /// The subscriber is switched off.
    Disabled,
    /// No access number can be given now.
    NoAccessNumber,
    /// No reservation of this caller for this access number.
    NoReservation,
    /// There was one, but it is past its life and grace.
    ReservationExpired,
    /// There was one, and another call has it.
    ReservationUsed,
    /// The caller's number is withheld.
    CallerWithheld,
    /// The carrier does not vouch for the caller's number as policy demands.
    CallerUnverified,
    /// The caller's number was changed lately and has to cool down.
    CoolingDown,
    /// The call button is closed.
    ButtonClosed,
    /// Every trunk for the destination refused or stayed silent.
    AllTrunksFailed,
    /// The books cannot be reached: fail closed.
    BooksDown,
    /// The server is about to stop and takes no new calls.
    Draining,
}

impl Refusal {
    /// Every reason, for tests and tables.
    pub const ALL: [Self; 23] = [
        Self::NoSuchNumber,
        Self::Emergency,
        Self::Barred,
        Self::HighRisk,
        Self::NoRate,
        Self::NoMargin,
        Self::NotEnoughCredit,
        Self::SpendCap,
        Self::TooManyCalls,
        Self::TooFast,
        Self::SignInFailed,
        Self::Disabled,
        Self::NoAccessNumber,
        Self::NoReservation,
        Self::ReservationExpired,
        Self::ReservationUsed,
        Self::CallerWithheld,
        Self::CallerUnverified,
        Self::CoolingDown,
        Self::ButtonClosed,
        Self::AllTrunksFailed,
        Self::BooksDown,
        Self::Draining,
    ];

    /// The machine-readable name: HTTP `code`, CDR cause and log field are this one word.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoSuchNumber => "no_such_number",
            Self::Emergency => "emergency",
            Self::Barred => "barred",
            Self::HighRisk => "high_risk",
            Self::NoRate => "no_rate",
            Self::NoMargin => "no_margin",
            Self::NotEnoughCredit => "not_enough_credit",
            Self::SpendCap => "spend_cap",
            Self::TooManyCalls => "too_many_calls",
            Self::TooFast => "too_fast",
            Self::SignInFailed => "sign_in_failed",
            Self::Disabled => "disabled",
            Self::NoAccessNumber => "no_access_number",
            Self::NoReservation => "no_reservation",
            Self::ReservationExpired => "reservation_expired",
            Self::ReservationUsed => "reservation_used",
            Self::CallerWithheld => "caller_withheld",
            Self::CallerUnverified => "caller_unverified",
            Self::CoolingDown => "cooling_down",
            Self::ButtonClosed => "button_closed",
            Self::AllTrunksFailed => "all_trunks_failed",
            Self::BooksDown => "books_down",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
