//! The API under `/api/v1`: one file a resource.
//!
//! Every request carries `Authorization: Bearer ct_live_…`. Errors are flat `{"code","message"}`, money is
//! `{"amount","currency"}`, times are RFC 3339 with Z, lists are `{"items","next"}`: `next` goes into `?after=` of the next
//! request and is null on the last page. `openapi.yaml` describes all of it.

mod access_numbers;
mod accounts;
mod body;
mod calls;
mod cdrs;
mod decks;
mod keys;
mod reservations;
mod sheet;
mod stats;
mod subscribers;
mod trunks;

use std::time::Duration;

use axum::Router;
use axum::extract::{self, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};

use super::error::Problem;
use super::key::{self, ApiKey};
use super::{Caller, Peer, State, store};
use crate::people::{Principal, Role, Who};
use crate::types::TenantId;

/// The header by which an operator's key or person says in whose books it works.
pub const TENANT: &str = "callthrough-tenant";

/// Every resource, behind the key.
pub fn router(state: State) -> Router {
    Router::<State>::new()
        .merge(subscribers::router())
        .merge(accounts::router())
        .merge(access_numbers::router())
        .merge(trunks::router())
        .merge(decks::router())
        .merge(reservations::router())
        .merge(calls::router())
        .merge(cdrs::router())
        .merge(keys::router())
        .merge(stats::router())
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_methods)
        .layer(from_fn(sheet::sheets))
        .layer(from_fn_with_state(state.clone(), authenticate))
        .with_state(state)
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address. Check the path against the API's description.")
}

async fn other_methods() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address takes other methods. The Allow header names them.")
}

async fn authenticate(extract::State(state): extract::State<State>, mut request: Request, next: Next) -> Response {
    // From inside the house: a page has signed its caller in already. Nothing of the network gets into the extensions.
    if request.extensions().get::<Caller>().is_some() {
        return next.run(request).await;
    }
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let found = match bearer {
        Some(bearer) => key::find(&state.database, bearer).await,
        None => Ok(None),
    };
    match found {
        Ok(Some(key)) => {
            note_use(&state, &key);
            let principal = Principal { who: Who::Key(key.id), name: key.name, tenant: None, scopes: Role::Owner.scopes() };
            let tenant = match tenant(&state, &principal, request.headers().get(TENANT).cloned()).await {
                Ok(tenant) => tenant,
                Err(problem) => return problem.into_response(),
            };
            let from = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
            request.extensions_mut().insert(Caller { principal, tenant, from });
            next.run(request).await
        }
        Ok(None) => {
            tracing::info!("a request to the API came without a key that is known");
            let message = "Send the header Authorization: Bearer ct_live_… with a key that has not been revoked. Make one with `callthrough key create`.";
            let mut response = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message).into_response();
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        Err(error) => Problem::books_down(&error).into_response(),
    }
}

/// Whose books the request is about: the principal's own tenant; for the operator's the one the header names, or the main one.
async fn tenant(state: &State, principal: &Principal, named: Option<HeaderValue>) -> Result<TenantId, Problem> {
    let Some(named) = named else { return Ok(principal.tenant.unwrap_or(TenantId::MAIN)) };
    let unknown = || Problem { field: Some(TENANT.into()), ..Problem::not_found("tenant") };
    let id: TenantId = named.to_str().ok().and_then(|id| id.parse().ok()).ok_or_else(unknown)?;
    if principal.tenant.is_some_and(|own| own != id) {
        return Err(unknown());
    }
    let found = crate::tenant::store::get(&mut *state.database.read().await?, id).await?;
    found.map(|tenant| tenant.id).ok_or_else(unknown)
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
        let noted = database.write(move |tx| Box::pin(async move { Ok::<_, Problem>(store::touch_key(tx, id, now, now - TO_THE).await?) }));
        if noted.await.is_err() {
            tracing::warn!(key.id = %id, "the last use of a key could not be noted");
        }
    });
}
