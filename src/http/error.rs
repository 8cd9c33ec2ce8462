//! How a refusal or a fault is told over HTTP: flat `{"code","message"}`, and the `field` that is wrong where one is known.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::database;
use crate::people::PeopleError;
use crate::types::Refusal;

/// When to try again if the books or the server are away for a moment.
const RETRY_AFTER_SECS: u32 = 5;

/// The status of a refusal.
pub const fn status(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::NoSuchNumber => StatusCode::BAD_REQUEST,
        Refusal::Emergency
        | Refusal::Barred
        | Refusal::HighRisk
        | Refusal::NoRate
        | Refusal::NoMargin
        | Refusal::NotEnoughCredit
        | Refusal::SpendCap
        | Refusal::SignInFailed
        | Refusal::Disabled
        | Refusal::CallerWithheld
        | Refusal::CallerUnverified
        | Refusal::CoolingDown
        | Refusal::ButtonClosed => StatusCode::FORBIDDEN,
        Refusal::TooManyCalls | Refusal::TooFast => StatusCode::TOO_MANY_REQUESTS,
        Refusal::NoAccessNumber | Refusal::NoReservation | Refusal::ReservationExpired => StatusCode::NOT_FOUND,
        Refusal::ReservationUsed => StatusCode::CONFLICT,
        Refusal::AllTrunksFailed | Refusal::BooksDown | Refusal::Draining => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// What to tell whoever reads the API: what is wrong, and what to do.
pub const fn message(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NoSuchNumber => "This is no number that can be dialled. Write it in international form, such as +15551231234.",
        Refusal::Emergency => "Emergency numbers are never routed here. Dial it with the phone itself.",
        Refusal::Barred => "This destination is barred. Choose another number.",
        Refusal::HighRisk => "This kind of destination is switched off because of fraud. Choose another number, or allow the kind.",
        Refusal::NoRate => {
            "The tariff has no price for this destination, or its price is above the limit. Import a rate, or raise the limit."
        }
        Refusal::NoMargin => "No carrier takes calls to this destination below its price. Raise the price, or find a cheaper carrier.",
        Refusal::NotEnoughCredit => "The credit does not pay for this call. Top up the account.",
        Refusal::SpendCap => "The spending limit of the day is reached. Wait for midnight UTC, or raise the limit.",
        Refusal::TooManyCalls => "Too many calls at once. End one first.",
        Refusal::TooFast => "Too many requests in a short time. Wait a moment and try again.",
        Refusal::SignInFailed => "Unknown user or wrong secret. Check both.",
        Refusal::Disabled => "The subscriber is switched off. Switch it on first.",
        Refusal::NoAccessNumber => "No access number can be given now. Enable one, or try again later.",
        Refusal::NoReservation => "There is no such reservation. Make the request again.",
        Refusal::ReservationExpired => "The reservation has expired. Make the request again.",
        Refusal::ReservationUsed => "The reservation is used by a call. Hang up the call, or make the request again.",
        Refusal::CallerWithheld => "The caller's number is withheld. Call with the number shown.",
        Refusal::CallerUnverified => "The carrier does not vouch for the caller's number. Call from another line.",
        Refusal::CoolingDown => "The number was changed lately and may not call yet. Wait, or shorten the cool-down in the rules.",
        Refusal::ButtonClosed => "The call button is closed. Try again when it is open.",
        Refusal::AllTrunksFailed => "No carrier takes the call now. Try again later.",
        Refusal::BooksDown => "The books cannot be reached now. Try again in a few seconds.",
        Refusal::Draining => "The server is about to stop and takes nothing new. Try again in a few seconds.",
    }
}

/// Why a request is not carried out, as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// For machines.
    pub code: &'static str,
    /// For people: what is wrong and what to do.
    pub message: Cow<'static, str>,
    /// The part of the request that is wrong.
    pub field: Option<Cow<'static, str>>,
    /// When to try again.
    pub retry_after_secs: Option<u32>,
    /// The lines of a file that are wrong, each with its reason.
    pub lines: Vec<serde_json::Value>,
}

impl Problem {
    /// Any problem.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), field: None, retry_after_secs: None, lines: Vec::new() }
    }

    /// A part of the request is wrong: 400.
    pub fn field(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::BAD_REQUEST, "bad_request", message) }
    }

    /// The request as a whole is wrong: 400.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// A part of the request is well written, and yet cannot be done: 422.
    pub fn unfit(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unfit", message) }
    }

    /// There is no such thing: 404.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("There is no such {what}. Check the id."))
    }

    /// It stands against something else: 409.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// Something broke on our side; the cause goes to the log, never to the caller.
    pub fn fault(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed on our side");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something broke on our side. Try again; if it stays, read the server's log.",
        )
    }

    /// The books cannot be reached: 503.
    pub fn books_down(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "the books cannot be reached");
        Refusal::BooksDown.into()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = status(refusal);
        let retry_after_secs = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_SECS);
        Self { retry_after_secs, ..Self::new(status, refusal.code(), message(refusal)) }
    }
}

impl From<database::Error> for Problem {
    fn from(error: database::Error) -> Self {
        match error {
            // The books can be reached, but hold what no program of ours writes.
            database::Error::Decode(_) | database::Error::ColumnDecode { .. } | database::Error::ColumnNotFound(_) => Self::fault(&error),
            _ => Self::books_down(&error),
        }
    }
}

impl From<PeopleError> for Problem {
    fn from(error: PeopleError) -> Self {
        let message = error.to_string();
        let (status, code) = match error {
            PeopleError::Database(error) => return error.into(),
            PeopleError::NoMasterKey => (StatusCode::CONFLICT, "no_master_key"),
            PeopleError::Login => return Self::field("login", message),
            PeopleError::Name => return Self::field("name", message),
            PeopleError::Password(message) => return Self::unfit("password", message),
            PeopleError::Taken | PeopleError::LastOwner | PeopleError::NothingOffered => (StatusCode::CONFLICT, "conflict"),
            PeopleError::MoreThanYou => (StatusCode::FORBIDDEN, "not_allowed"),
            PeopleError::Gone => (StatusCode::NOT_FOUND, "not_found"),
            PeopleError::CodeNeeded => (StatusCode::UNAUTHORIZED, "code_needed"),
            PeopleError::CodeWrong => (StatusCode::UNAUTHORIZED, "code_wrong"),
        };
        Self::new(status, code, message)
    }
}

/// A unique name or number is taken: said by `message`. Everything else stays what it is.
pub fn taken(message: &'static str) -> impl Fn(database::Error) -> Problem {
    move |error| match error.as_database_error() {
        Some(broken) if broken.is_unique_violation() => Problem::conflict(message),
        _ => error.into(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(serde::Serialize)]
        struct Body<'a> {
            code: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            field: Option<&'a str>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            lines: &'a [serde_json::Value],
        }
        let body = Body { code: self.code, message: &self.message, field: self.field.as_deref(), lines: &self.lines };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the doors. What is marked so cannot be heard here: a web request starts no call, so whatever is judged of a call
    /// (its caller's number, its reservation, how many there are at once) is told by SIP when the call arrives.
    #[test]
    fn every_refusal_has_its_status() {
        for (refusal, expected) in [
            (Refusal::NoSuchNumber, 400),
            (Refusal::Emergency, 403),
            (Refusal::Barred, 403),
            (Refusal::HighRisk, 403),
            (Refusal::NoRate, 403),
            (Refusal::NotEnoughCredit, 403),
            (Refusal::SpendCap, 403),
            (Refusal::TooManyCalls, 429), // only of a call: a phone may ask while it talks
            (Refusal::TooFast, 429),
            (Refusal::SignInFailed, 403),
            (Refusal::Disabled, 403), // to phones the same as SignInFailed: a guesser learns nothing
            (Refusal::NoAccessNumber, 404),
            (Refusal::NoReservation, 404),      // only of a call
            (Refusal::ReservationExpired, 404), // only of a call
            (Refusal::ReservationUsed, 409),
            (Refusal::CallerWithheld, 403),   // only of a call
            (Refusal::CallerUnverified, 403), // only of a call
            (Refusal::ButtonClosed, 403),     // only of a call button
            (Refusal::AllTrunksFailed, 503),
            (Refusal::BooksDown, 503),
            (Refusal::Draining, 503),
        ] {
            assert_eq!(status(refusal).as_u16(), expected, "{refusal}");
        }
    }

    #[test]
    fn every_refusal_is_a_failure_with_a_message_that_says_what_to_do() {
        for refusal in Refusal::ALL {
            let problem = Problem::from(refusal);
            assert!(problem.status.is_client_error() || problem.status == StatusCode::SERVICE_UNAVAILABLE, "{refusal}");
            // Two sentences: what is wrong, what to do.
            assert!(problem.message.matches(". ").count() >= 1 && problem.message.ends_with('.'), "{refusal}: {}", problem.message);
            assert_eq!(
                problem.into_response().headers().contains_key(header::RETRY_AFTER),
                status(refusal) == StatusCode::SERVICE_UNAVAILABLE
            );
        }
    }
}
