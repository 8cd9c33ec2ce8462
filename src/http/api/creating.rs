//! `Idempotency-Key` for whatever makes something: a repeated request gets the first answer, and nothing is made twice.
//!
//! What moves money takes its key itself, in the transaction of the movement; these take it around their handler.

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, MatchedPath, Request, State as From};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::fraud::hotlist;
use crate::http::error::Problem;
use crate::http::{Caller, State, idempotency};

/// Where something is made that is no movement of money.
const CREATES: [&str; 15] = [
    "/access-numbers",
    "/accounts",
    "/decks",
    "/decks/{deck_id}/roll_back",
    "/fx-rates",
    "/hotlists",
    "/keys",
    "/people",
    "/people/{person_id}/invite",
    "/subscribers",
    "/subscribers/{subscriber_id}/credentials",
    "/subscribers/{subscriber_id}/identities",
    "/subscribers/{subscriber_id}/numbers",
    "/tenants",
    "/trunks",
];

fn creates(request: &Request) -> bool {
    let matched = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    request.method() == Method::POST
        && request.headers().contains_key("idempotency-key")
        && CREATES.contains(&matched.strip_prefix("/api/v1").unwrap_or(matched))
}

/// Answers a request under a key once.
pub(super) async fn once(From(state): From<State>, caller: Option<Extension<Caller>>, request: Request, next: Next) -> Response {
    let Some(Extension(caller)) = caller.filter(|_| creates(&request)) else { return next.run(request).await };
    // The same words to another tenant are another request.
    let named = format!("POST {} {}", caller.tenant, request.uri().path());
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, hotlist::MOST_BYTES).await else {
        let message = "The body is larger than this address takes, or did not arrive whole. Send less.";
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message).into_response();
    };
    let asked = match idempotency::asked(&parts.headers, caller.principal.who.to_string(), named, &body) {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let request = Request::from_parts(parts, Body::from(body));
    idempotency::once_around(&state, asked, next.run(request)).await.unwrap_or_else(IntoResponse::into_response)
}
