//! Who gets into the API: a key as bearer, or a browser's sign-in with the anti-forgery token for whatever changes something.
//! Every answer says how many requests are left.

use std::time::Duration;

use axum::extract::{self, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::caller::{self, working_in};
use super::error::Problem;
use super::gate::too_fast;
use super::limits::Allowed;
use super::{Caller, Peer, State};
use crate::people::key::{self, ApiKey};

/// The header with the anti-forgery token of a sign-in.
const CSRF: &str = "x-csrf-token";
/// Bucket and window of the requests, as `RateLimit-Policy` and `RateLimit` tell them.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// What can be asked before anybody is signed in.
fn open(request: &Request) -> bool {
    let path = request.uri().path();
    (path == "/session" && ![Method::GET, Method::HEAD, Method::DELETE].contains(request.method())) || path.starts_with("/invitations/")
}

/// Lets in, or says why not.
pub async fn enter(extract::State(state): extract::State<State>, mut request: Request, next: Next) -> Response {
    // From inside the house: a page has signed its caller in already. Nothing of the network gets into the extensions.
    if request.extensions().get::<Caller>().is_some() {
        return next.run(request).await;
    }
    // No route takes another method: 405, whoever asks.
    if ![Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(request.method()) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().copied();
    let client = state.gate.client(peer, request.headers());
    let (counted, found) = if open(&request) {
        (client.address.to_string(), Ok(None))
    } else {
        match let_in(&state, request.method(), request.headers(), peer).await {
            Ok(caller) => (caller.counted_as(), Ok(Some(caller))),
            Err(problem) => (client.address.to_string(), Err(problem)),
        }
    };
    let allowed = state.gate.count(&counted);
    let answered = match (allowed.wait, found) {
        (Some(seconds), _) => too_fast(seconds).into_response(),
        // A method that is not taken here is told first, whatever else is wrong: 405 comes from the routes.
        (None, Err(problem)) if problem.status == StatusCode::NOT_FOUND => {
            request.extensions_mut().insert(Refused(problem));
            next.run(request).await
        }
        (None, Err(problem)) => refused(problem),
        (None, Ok(caller)) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
    };
    announce(answered, allowed)
}

/// Among the request's extensions: who asks is known, but not in which books.
#[derive(Debug, Clone)]
struct Refused(Problem);

/// Stands before every handler: without a tenant nothing is done.
pub async fn admit(request: Request, next: Next) -> Response {
    match request.extensions().get::<Refused>() {
        Some(Refused(problem)) => problem.clone().into_response(),
        None => next.run(request).await,
    }
}

fn refused(problem: Problem) -> Response {
    let unauthorized = problem.status == StatusCode::UNAUTHORIZED;
    let mut response = problem.into_response();
    if unauthorized {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn announce(mut response: Response, allowed: Allowed) -> Response {
    if allowed.a_minute > 0 {
        let texts = [
            (POLICY, format!("\"default\";q={};w=60", allowed.a_minute)),
            (LEFT, format!("\"default\";r={};t={}", allowed.left, allowed.wait.unwrap_or(60))),
        ];
        for (name, text) in texts {
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

async fn let_in(state: &State, method: &Method, headers: &HeaderMap, peer: Option<Peer>) -> Result<Caller, Problem> {
    if headers.contains_key(header::AUTHORIZATION) {
        return by_key(state, headers, peer).await;
    }
    let Some((caller, sign_in)) = caller::from_cookie(state, headers, peer).await? else { return Err(unknown()) };
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let token = headers.get(CSRF).and_then(|token| token.to_str().ok()).unwrap_or_default();
    if reads || sign_in.csrf.matches(token) {
        return Ok(caller);
    }
    let message = "Send the header X-CSRF-Token with the csrf value of GET /session, or use a key.";
    Err(Problem::new(StatusCode::FORBIDDEN, "csrf", message))
}

async fn by_key(state: &State, headers: &HeaderMap, peer: Option<Peer>) -> Result<Caller, Problem> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let found = match bearer {
        Some(bearer) => key::find(&state.database, bearer, state.clock.timestamp()).await?,
        None => None,
    };
    let key = found.ok_or_else(unknown)?;
    note_use(state, &key);
    let principal = key.principal();
    let tenant = working_in(state, &principal, headers).await?;
    Ok(Caller { principal, tenant, from: Some(state.gate.client(peer, headers).address), sign_in: None, confirmed: true })
}

fn unknown() -> Problem {
    tracing::info!("a request to the API came without a key or sign-in that is known");
    let message =
        "Send the header Authorization: Bearer ct_live_… with a key that holds, or sign in. Make a key with `callthrough key create`.";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

/// Last-used is kept to the minute: one write a minute and key, and nobody waits for it.
fn note_use(state: &State, key: &ApiKey) {
    const TO_THE: Duration = Duration::from_secs(60);
    let now = state.clock.timestamp();
    if key.last_used_at.is_some_and(|last| now.since(last) < TO_THE) {
        return;
    }
    let (database, id) = (state.database.clone(), key.id);
    tokio::spawn(async move {
        if database.write(move |tx| Box::pin(async move { key::touch(tx, id, now, now - TO_THE).await })).await.is_err() {
            tracing::warn!(key.id = %id, "the last use of a key could not be noted");
        }
    });
}
