//! Where a page stands: who reads it, and the API it asks on their behalf.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::House;
use super::layout;
use super::session::Visit;
use crate::http::{Caller, Peer};
use crate::people::Scope;
use crate::tenant::Tenant;

/// Most bytes of an answer of the API that a page reads.
const ANSWER: usize = 8 * 1024 * 1024;
/// How often and how long the second of two equal requests waits for the first.
const PATIENCE: u32 = 50;
const A_MOMENT: Duration = Duration::from_millis(50);

/// The reader's desk. Every page behind the sign-in takes one.
pub struct Desk {
    /// The doors' state and the API.
    pub house: House,
    /// As whom the API is asked.
    pub caller: Caller,
    /// The signed-in browser.
    pub visit: Visit,
    /// The path of the page, for the navigation and for coming back.
    pub path: String,
    /// The host the browser knows us by.
    pub host: String,
    /// The other end of the connection, and what proxies say of it.
    way: Way,
}

/// How a browser's request came: the API counts wrong passwords by it, whoever asks on its behalf.
#[derive(Debug, Clone)]
pub struct Way {
    peer: Option<Peer>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Way {
    /// As the request says.
    pub fn of(headers: &HeaderMap, peer: Option<Peer>) -> Self {
        const KEPT: [&str; 6] = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "user-agent", "host", "cookie"];
        let kept = KEPT.into_iter().map(HeaderName::from_static);
        let headers = kept.flat_map(|name| headers.get_all(&name).iter().map(move |value| (name.clone(), value.clone())));
        Self { peer, headers: headers.collect() }
    }

    /// A request of ours becomes one that came this way.
    pub fn mark(&self, request: &mut Request<Body>) {
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
    }
}

/// Why the API did not do it, as it told.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// The status.
    pub status: StatusCode,
    /// For machines.
    pub code: String,
    /// For people.
    pub message: String,
    /// The part of the request that is wrong.
    pub field: Option<String>,
    /// The lines of a file that are wrong.
    pub lines: Vec<Value>,
}

impl Trouble {
    /// What an answer that is no success says.
    pub fn read(status: StatusCode, body: &Value) -> Self {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        Self {
            status,
            code: text("code").unwrap_or_else(|| "internal_error".to_owned()),
            message: text("message").unwrap_or_else(|| "Something broke on our side. Try again.".to_owned()),
            field: text("field"),
            lines: body["lines"].as_array().cloned().unwrap_or_default(),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        layout::trouble(&self)
    }
}

impl FromRequestParts<House> for Desk {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, house: &House) -> Result<Self, Response> {
        let found = parts.extensions.get::<Caller>().cloned().zip(parts.extensions.get::<Visit>().cloned());
        let (caller, visit) = found.ok_or_else(|| super::session::to_sign_in(&parts.uri))?;
        let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = named.or_else(|| parts.uri.authority().map(axum::http::uri::Authority::as_str)).unwrap_or("localhost").to_owned();
        let way = Way::of(&parts.headers, parts.extensions.get::<Peer>().copied());
        Ok(Self { house: house.clone(), caller, visit, path: parts.uri.path().to_owned(), host, way })
    }
}

impl Desk {
    /// May the reader do this? Pages leave out what they may not.
    pub fn may(&self, scope: Scope) -> bool {
        self.caller.principal.may(scope)
    }

    /// The way to the password page and back to `next`, for those who gave theirs too long ago: money and people want it given
    /// lately.
    pub fn confirm_first(&self, next: &str) -> Option<Response> {
        let needed = self.caller.sign_in.is_some() && !self.caller.confirmed;
        needed.then(|| Redirect::to(&format!("/admin/confirm?next={}", escaped(next))).into_response())
    }

    /// How the browser reaches us, such as `https://ct.example.com`; plain on this machine only.
    pub fn origin(&self) -> String {
        let here = ["localhost", "127.", "[::1]"].iter().any(|own| self.host.starts_with(own));
        format!("{}://{}", if here { "http" } else { "https" }, self.host)
    }

    /// The tenant whose books the reader works in.
    pub async fn tenant(&self) -> Option<Tenant> {
        let mut connection = self.house.state.database.read().await.ok()?;
        crate::tenant::store::get(&mut connection, self.caller.tenant).await.ok().flatten()
    }

    /// Asks the API: `get("/subscribers?limit=20")`.
    pub async fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.ask(Method::GET, path, None, None).await
    }

    /// Has the API do something. `key` is the form's idempotency key where money moves.
    pub async fn send(&self, method: Method, path: &str, body: &Value, key: Option<&str>) -> Result<Value, Trouble> {
        for _ in 0..PATIENCE {
            match self.ask(method.clone(), path, Some(body), key).await {
                // The other half of a double click: it gets the answer of the first.
                Err(trouble) if trouble.code == "idempotency_running" => tokio::time::sleep(A_MOMENT).await,
                answer => return answer,
            }
        }
        self.ask(method, path, Some(body), key).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>, key: Option<&str>) -> Result<Value, Trouble> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let broken = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, path, "a page asked the API something that is no request; this is a bug");
            Trouble::read(StatusCode::INTERNAL_SERVER_ERROR, &Value::Null)
        };
        let response = self.pass(request.body(body).map_err(|error| broken(&error))?).await;
        let status = response.status();
        let answer = read(response).await.map_err(|error| broken(&error))?;
        let answer = if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer).map_err(|error| broken(&error))? };
        if status.is_success() { Ok(answer) } else { Err(Trouble::read(status, &answer)) }
    }

    /// Passes a request on to the API as the reader, and its answer back as it is: for files.
    pub async fn pass(&self, mut request: Request<Body>) -> Response {
        self.way.mark(&mut request);
        request.extensions_mut().insert(self.caller.clone());
        self.house.api.clone().oneshot(request).await.into_response()
    }

    /// A file of the API, such as a list as CSV, for the browser to keep.
    pub async fn download(&self, path: &str) -> Result<Response, Trouble> {
        let request = Request::builder().uri(path).header(header::ACCEPT, "text/csv").body(Body::empty());
        let request = request.map_err(|_| Trouble::read(StatusCode::BAD_REQUEST, &Value::Null))?;
        let response = self.pass(request).await;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let answer = read(response).await.unwrap_or_default();
        Err(Trouble::read(status, &serde_json::from_slice(&answer).unwrap_or_default()))
    }
}

async fn read(response: Response) -> Result<Bytes, axum::Error> {
    let body = http_body_util::Limited::new(response.into_body(), ANSWER);
    body.collect().await.map(http_body_util::Collected::to_bytes).map_err(axum::Error::new)
}

/// A value as a part of a path or query.
pub fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A query of the pairs that say something.
pub fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let parts: Vec<String> =
        pairs.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}
