//! A softphone, played: it expands the operator's templates, asks, reads the answer and says which digits it would dial.
//!
//! The commands `simulate` and `demo` and the tests use this one phone. It behaves as the apps are documented to behave; where
//! nobody says how they do it, a field of [`Phone`] says what this one does.

mod reply;
mod template;

use std::collections::BTreeMap;
use std::time::Duration;

pub use reply::{Fields, read_account, read_fields};
pub use template::{Encoding, Expansion, TemplateError};

use crate::types::Random;

/// The apps' own limit is not documented; a sibling service waits this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// More than any answer of ours; a longer one is not read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How the apps introduce themselves.
const USER_AGENT: &str = "CloudSoftphone/1.5.6";
/// What the operator's dialler can dial.
const DIALLABLE: &str = "+0123456789*#,;";

/// How the phone asks: the `cth_ws_*` values of its account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// `cth_ws_url`, a template.
    pub url: String,
    /// `cth_ws_postData`, a template; not empty means POST.
    pub post_data: String,
    /// `cth_ws_contentType`; empty means a form.
    pub content_type: String,
    /// `cth_ws_method`; empty means GET without a body and POST with one.
    pub method: String,
}

/// A phone with an account.
#[derive(Debug, Clone, Default)]
pub struct Phone {
    /// How it asks.
    pub service: Service,
    /// The nodes of its account: what `%account[NODE]%` means.
    pub account: BTreeMap<String, String>,
    /// What `%installid%` and its like mean.
    pub globals: BTreeMap<String, String>,
    /// Headers it adds, such as those of a proxy in front of the server.
    pub headers: Vec<(String, String)>,
    /// Sends values as they are instead of percent-encoded or JSON-escaped (which of the two the apps do is not documented).
    pub bare: bool,
}

/// A request, ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// GET, POST, …
    pub method: String,
    /// The expanded address.
    pub url: String,
    /// Of the body.
    pub content_type: Option<String>,
    /// The expanded body.
    pub body: Option<String>,
}

/// What the phone makes of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It dials.
    Dial {
        /// As the server wrote it.
        dial_string: String,
        /// With the placeholders filled in: what the phone's own dialler gets.
        digits: String,
    },
    /// It shows a message, or stays silent if there is none.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The machine-readable reason, where the format carries one.
        code: Option<String>,
        /// For the user.
        message: Option<String>,
    },
}

/// An exchange: what was asked, what came back, what the phone makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What was sent.
    pub request: Request,
    /// The HTTP status.
    pub status: u16,
    /// The Content-Type of the answer.
    pub content_type: String,
    /// The answer as it came.
    pub body: String,
    /// What the phone does now.
    pub outcome: Outcome,
}

/// Why the phone could not even ask, or could not read the answer.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The account has no address to ask.
    #[error("there is no cth_ws_url: give --url, or an account file that has the node")]
    NoUrl,
    /// The account file.
    #[error("the account is not XML of the kind <account><node>value</node></account>: {0}")]
    Account(String),
    /// A template.
    #[error("in {field}: {source}")]
    Template {
        /// Which value.
        field: &'static str,
        /// What is wrong with it.
        source: TemplateError,
    },
    /// The method or a header.
    #[error("{0}")]
    Request(String),
    /// The network.
    #[error("{url} does not answer: {reason}. Check the address, and that the server runs")]
    Unreachable {
        /// Whom we asked.
        url: String,
        /// What the client says, root cause included.
        reason: String,
    },
    /// The answer.
    #[error("the answer (status {status}, {content_type}) cannot be read: {problem}")]
    Answer {
        /// The HTTP status.
        status: u16,
        /// The Content-Type.
        content_type: String,
        /// What is wrong.
        problem: String,
    },
}

impl Phone {
    /// A phone whose account is the Account XML `xml`.
    pub fn from_account_xml(xml: &str) -> Result<Self, SimulateError> {
        let account: BTreeMap<String, String> = read_account(xml).map_err(SimulateError::Account)?.into_iter().collect();
        let node = |name: &str| account.get(name).cloned().unwrap_or_default();
        let service = Service {
            url: node("cth_ws_url"),
            post_data: node("cth_ws_postData"),
            content_type: node("cth_ws_contentType"),
            method: node("cth_ws_method"),
        };
        Ok(Self { service, account, ..Self::default() })
    }

    /// The request for `target` as typed; `nonce` draws are made once and keep their value throughout it.
    pub fn request(&self, target: &str, random: &Random) -> Result<Request, SimulateError> {
        if self.service.url.is_empty() {
            return Err(SimulateError::NoUrl);
        }
        let target = clean(target);
        let mut expansion = Expansion::new(&self.account, &self.globals, &target, !self.service.url.starts_with("https:"), random);
        let (url_encoding, body_encoding) = match (self.bare, is_json(&self.service.content_type)) {
            (true, _) => (Encoding::None, Encoding::None),
            (false, true) => (Encoding::Percent, Encoding::Json),
            (false, false) => (Encoding::Percent, Encoding::Percent),
        };
        let url =
            expansion.expand(&self.service.url, url_encoding).map_err(|source| SimulateError::Template { field: "cth_ws_url", source })?;
        let body = match self.service.post_data.as_str() {
            "" => None,
            template => Some(
                expansion.expand(template, body_encoding).map_err(|source| SimulateError::Template { field: "cth_ws_postData", source })?,
            ),
        };
        let content_type = body.as_ref().map(|_| match self.service.content_type.as_str() {
            "" => "application/x-www-form-urlencoded".to_owned(),
            other => other.to_owned(),
        });
        let method = match (self.service.method.as_str(), &body) {
            ("", None) => "GET".to_owned(),
            ("", Some(_)) => "POST".to_owned(),
            (method, _) => method.to_ascii_uppercase(),
        };
        Ok(Request { method, url, content_type, body })
    }

    /// Asks for `target` and reads the answer.
    pub async fn ask(&self, client: &reqwest::Client, target: &str, random: &Random) -> Result<Exchange, SimulateError> {
        let request = self.request(target, random)?;
        let method = reqwest::Method::from_bytes(request.method.as_bytes())
            .map_err(|_| SimulateError::Request(format!("cth_ws_method = {:?} is no HTTP method: use GET or POST", request.method)))?;
        let mut sending = client.request(method, &request.url).header("Connection", "close").header("Cache-Control", "max-age=0");
        for (name, value) in &self.headers {
            sending = sending.header(name, value);
        }
        if let (Some(content_type), Some(body)) = (&request.content_type, &request.body) {
            sending = sending.header("Content-Type", content_type).body(body.clone());
        }
        let unreachable =
            |error: reqwest::Error| SimulateError::Unreachable { url: without_query(&request.url).to_owned(), reason: root_cause(&error) };
        let mut answer = sending.send().await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let content_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let unreadable = |problem: String| SimulateError::Answer { status, content_type: content_type.clone(), problem };
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(unreadable(format!("it is longer than {MAX_ANSWER_BYTES} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        let body = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".into()))?;
        let fields = read_fields(&content_type, &body);
        let outcome = if (200..300).contains(&status) {
            self.dial(&fields.map_err(unreadable)?, random).map_err(unreadable)?
        } else {
            let fields = fields.unwrap_or_default();
            let field = |name: &str| fields.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.clone());
            Outcome::Refused { status, code: field("code"), message: field("message") }
        };
        Ok(Exchange { request, status, content_type, body, outcome })
    }

    /// Fills in the placeholders of the dial string, as the phone does before it dials.
    fn dial(&self, fields: &[(String, String)], random: &Random) -> Result<Outcome, String> {
        let dial_string = fields
            .iter()
            .find(|(name, value)| name == "dialString" && !value.is_empty())
            .map(|(_, value)| value.clone())
            .ok_or("a success without a dialString: the app would have nothing to dial")?;
        let mut expansion = Expansion::new(&self.account, &self.globals, "", false, random);
        let digits = expansion.expand(&dial_string, Encoding::None).map_err(|error| format!("in the dialString: {error}"))?;
        match digits.chars().find(|&each| !DIALLABLE.contains(each)) {
            Some(odd) => Err(format!("the dialString {digits:?} holds {odd:?}, which no dialler takes")),
            None => Ok(Outcome::Dial { dial_string, digits }),
        }
    }
}

/// A client that behaves as the apps may: no redirects, no proxy of this machine, a limit on time.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    builder().build()
}

/// The same, trusting the certificates in `pem` besides the system's.
pub fn client_trusting(pem: &[u8]) -> Result<reqwest::Client, reqwest::Error> {
    builder().tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem)?).build()
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(ANSWER_TIMEOUT).user_agent(USER_AGENT)
}

/// What the app sends of a number as typed: `+1 (555) 123-1234` becomes `+15551231234`, national digits stay national.
fn clean(typed: &str) -> String {
    typed.chars().filter(|each| !matches!(each, ' ' | '(' | ')' | '-' | '.' | '/' | '\u{a0}')).collect()
}

fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Secrets may stand in a query: it is never shown.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// The innermost reason, which is the one people can act on.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone() -> Phone {
        Phone::from_account_xml(
            "<account><title>Example</title><username>johndow</username><password>secretPhrase</password>\
             <x-ct-token>tok</x-ct-token>\
             <cth_ws_url>https://ct.example.com/callthrough/?u=%account[username]%&amp;p=%account[x-ct-token]%&amp;to=%targetNumber%</cth_ws_url>\
             </account>",
        )
        .unwrap()
    }

    #[test]
    fn a_query_template_becomes_a_get() {
        let request = phone().request("+1 (555) 123-1234", &Random::seeded(1)).unwrap();
        assert_eq!(request.method, "GET");
        assert_eq!(request.url, "https://ct.example.com/callthrough/?u=johndow&p=tok&to=%2B15551231234");
        assert_eq!(request.body, None);
    }

    #[test]
    fn a_body_template_becomes_a_post_in_its_own_format() {
        let mut phone = phone();
        phone.service.url = "https://ct.example.com/callthrough".into();
        phone.service.post_data =
            r#"{ "username" : "%account[username]%", "p" : "%account[x-ct-token]%", "to" : "%targetNumber%" }"#.into();
        phone.service.content_type = "application/json".into();
        phone.account.insert("username".into(), "john\"dow".into());
        let request = phone.request("5551231234", &Random::seeded(1)).unwrap();
        assert_eq!(request.method, "POST");
        assert_eq!(request.body.as_deref(), Some(r#"{ "username" : "john\"dow", "p" : "tok", "to" : "5551231234" }"#));
        phone.service.content_type = String::new();
        phone.service.post_data = "u=%account[username]%&to=%targetNumber%".into();
        let request = phone.request("+15551231234", &Random::seeded(1)).unwrap();
        assert_eq!(request.body.as_deref(), Some("u=john%22dow&to=%2B15551231234"));
        assert_eq!(request.content_type.as_deref(), Some("application/x-www-form-urlencoded"));
    }

    #[test]
    fn the_dial_string_is_filled_in_on_the_phone() {
        let mut phone = phone();
        phone.account.insert("x-cth-pin".into(), "1234".into());
        let fields = [("dialString".to_owned(), "+15551231234,,%account[x-cth-pin]%#12345678#".to_owned())];
        let Outcome::Dial { digits, .. } = phone.dial(&fields, &Random::seeded(1)).unwrap() else { panic!("it dials") };
        assert_eq!(digits, "+15551231234,,1234#12345678#");
        assert!(phone.dial(&[], &Random::seeded(1)).is_err());
        let fields = [("dialString".to_owned(), "call me".to_owned())];
        assert!(phone.dial(&fields, &Random::seeded(1)).is_err());
    }
}
