//! Answers as phones read them: XML, JSON or a form, every value escaped for its format.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::messages::Language;
use crate::callthrough::Refused;
use crate::http::auth::{Challenge, Denied};
use crate::http::error::status;
use crate::types::Refusal;

/// All but the unreserved characters (RFC 3986 §2.3).
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// When to come back if something of ours is away for a moment.
const RETRY_AFTER_SECS: u64 = 5;

/// The shape of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `<response><field>value</field></response>`
    Xml,
    /// `{"field":"value"}`
    Json,
    /// `field=value`
    Form,
}

impl Format {
    /// What a path suffix or the `format` parameter asks for.
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "xml" => Some(Self::Xml),
            "json" => Some(Self::Json),
            "form" | "txt" => Some(Self::Form),
            _ => None,
        }
    }
}

/// The media type of XML answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
pub enum XmlType {
    /// `application/xml`
    #[default]
    #[serde(rename = "application/xml")]
    Application,
    /// `text/xml`
    #[serde(rename = "text/xml")]
    Text,
}

/// An answer before it is sent: what the nonce memory keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The media type.
    pub content_type: Cow<'static, str>,
    /// The text.
    pub body: String,
    /// `Retry-After`.
    pub retry_after_secs: Option<u64>,
    /// `WWW-Authenticate`.
    pub challenges: Vec<Challenge>,
}

impl Reply {
    /// What to dial.
    pub fn dial(format: Format, xml_type: XmlType, dial_string: &str) -> Self {
        Self::with(StatusCode::OK, format, xml_type, &[("dialString", dial_string)])
    }

    /// Why not. JSON carries the machine's word besides the message.
    pub fn trouble(format: Format, xml_type: XmlType, trouble: &Trouble, language: Language) -> Self {
        let message = language.message(trouble.key, &trouble.amount, trouble.seconds.unwrap_or(RETRY_AFTER_SECS));
        let fields: &[(&str, &str)] =
            if format == Format::Json { &[("code", trouble.code), ("message", &message)] } else { &[("message", &message)] };
        let mut reply = Self::with(trouble.status, format, xml_type, fields);
        reply.retry_after_secs = trouble.seconds;
        reply.challenges.clone_from(&trouble.challenges);
        reply
    }

    fn with(status: StatusCode, format: Format, xml_type: XmlType, fields: &[(&str, &str)]) -> Self {
        let (content_type, body) = match format {
            Format::Xml => {
                let content_type = if xml_type == XmlType::Text { "text/xml; charset=utf-8" } else { "application/xml" };
                let child = |(name, value): &(&str, &str)| format!("<{name}>{}</{name}>", quick_xml::escape::escape(*value));
                let children: Vec<_> = fields.iter().map(child).collect();
                (content_type, format!("<response>{}</response>", children.concat()))
            }
            Format::Json => {
                let object: serde_json::Map<_, _> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
                ("application/json", serde_json::Value::from(object).to_string())
            }
            Format::Form => {
                let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, FORM))).collect();
                ("application/x-www-form-urlencoded", pairs.join("&"))
            }
        };
        Self { status: status.as_u16(), content_type: content_type.into(), body, retry_after_secs: None, challenges: Vec::new() }
    }

    /// The response. No redirect, compression or cookie ever; the body's length is known.
    pub fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if let Ok(content_type) = HeaderValue::from_str(&self.content_type) {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        for Challenge(challenge) in self.challenges {
            if let Ok(challenge) = HeaderValue::from_str(&challenge) {
                headers.append(header::WWW_AUTHENTICATE, challenge);
            }
        }
        response
    }
}

/// Why a request got no dial string, as this door tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The status.
    pub status: StatusCode,
    /// For machines.
    pub code: &'static str,
    /// Which message of the catalogue.
    pub key: &'static str,
    /// What the message says in its place for an amount.
    pub amount: String,
    /// When to come back.
    pub seconds: Option<u64>,
    /// Digest is offered.
    pub challenges: Vec<Challenge>,
}

impl Trouble {
    /// Something wrong with the request itself.
    pub const fn new(status: StatusCode, key: &'static str) -> Self {
        Self { status, code: key, key, amount: String::new(), seconds: None, challenges: Vec::new() }
    }

    /// Something wrong with a field.
    pub const fn field(key: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, key)
    }

    /// Come back later.
    pub fn wait(seconds: u64) -> Self {
        Self { seconds: Some(seconds), ..Self::of(Refusal::TooFast) }
    }

    /// A reason of the one list. All sign-in failures sound the same.
    pub fn of(refusal: Refusal) -> Self {
        let told = match refusal {
            Refusal::Disabled => Refusal::SignInFailed,
            other => other,
        };
        let trouble = Self::new(status(told), told.code());
        match told {
            Refusal::BooksDown | Refusal::Draining | Refusal::AllTrunksFailed | Refusal::TooManyCalls | Refusal::TooFast => {
                Self { seconds: Some(RETRY_AFTER_SECS), ..trouble }
            }
            _ => trouble,
        }
    }
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::No(refusal) => Self::of(refusal),
            Refused::TopUp(money) => Self { key: "not_enough_credit_amount", amount: shown(money), ..Self::of(Refusal::NotEnoughCredit) },
            Refused::ShowNumber => Self { key: "show_number", ..Self::of(Refusal::NoAccessNumber) },
            Refused::Fault(fault) => {
                tracing::error!(%fault, "a request was refused because the books cannot be reached");
                Self::of(Refusal::BooksDown)
            }
        }
    }
}

/// Two decimals, rounded up: less would not be enough.
fn shown(money: crate::types::Money) -> String {
    let cents = money.amount.get().div_euclid(10_000) + i64::from(money.amount.get().rem_euclid(10_000) > 0);
    format!("{}.{:02} {}", cents / 100, cents % 100, money.currency)
}

/// The trouble to tell, if it is not a stored answer.
pub fn denied(denied: Denied) -> Result<Trouble, Reply> {
    Ok(match denied {
        Denied::Failed(reason) => {
            tracing::info!(reason = reason.as_str(), "a sign-in failed");
            Trouble::of(Refusal::SignInFailed)
        }
        Denied::Challenge(challenges, reason) => {
            tracing::info!(reason = reason.as_str(), "a sign-in is asked to answer a challenge");
            Trouble { status: StatusCode::UNAUTHORIZED, challenges, ..Trouble::of(Refusal::SignInFailed) }
        }
        Denied::TooFast(seconds) => Trouble::wait(seconds),
        Denied::Fault(fault) => Refused::Fault(fault).into(),
        Denied::Stored(seen) => {
            let content_type = Cow::Owned(seen.content_type);
            return Err(Reply { status: seen.status, content_type, body: seen.body, retry_after_secs: None, challenges: Vec::new() });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Micros, Money};

    const PIN: &str = "+15551230000,,%account[x-cth-pin]%#15551231234#";

    #[test]
    fn three_formats_escape_their_own_way() {
        let body = |format| Reply::dial(format, XmlType::Application, PIN).body;
        assert_eq!(body(Format::Xml), format!("<response><dialString>{PIN}</dialString></response>"));
        assert_eq!(body(Format::Json), format!("{{\"dialString\":\"{PIN}\"}}"));
        assert_eq!(body(Format::Form), "dialString=%2B15551230000%2C%2C%25account%5Bx-cth-pin%5D%25%2315551231234%23");
        assert_eq!(Reply::dial(Format::Form, XmlType::Text, "+15551230000").body, "dialString=%2B15551230000");
    }

    #[test]
    fn every_refusal_has_a_failure_status_and_a_message() {
        for refusal in Refusal::ALL {
            let reply = Reply::trouble(Format::Json, XmlType::Application, &Trouble::of(refusal), Language::De);
            assert!((400..600).contains(&reply.status), "{refusal}");
            let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
            assert!(body["message"].as_str().is_some_and(|message| message.len() > 10), "{refusal}");
            let unavailable = reply.status == 429 || reply.status == 503;
            assert_eq!(reply.retry_after_secs.is_some(), unavailable, "{refusal}");
        }
        let text = Reply::trouble(Format::Form, XmlType::Application, &Trouble::of(Refusal::NotEnoughCredit), Language::En);
        assert!(text.body.starts_with("message=Not%20enough%20credit"), "{}", text.body);
    }

    #[test]
    fn an_amount_to_top_up_is_rounded_up() {
        let money = |micros| Money { amount: Micros::new(micros), currency: "EUR".parse().unwrap() };
        assert_eq!(shown(money(500_000)), "0.50 EUR");
        assert_eq!(shown(money(500_001)), "0.51 EUR");
        assert_eq!(shown(money(12_345_678_900)), "12345.68 EUR");
    }
}
