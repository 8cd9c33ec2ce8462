//! The API under `/api/v1`: one file a resource.
//!
//! Every request carries `Authorization: Bearer ct_live_…`. Errors are flat `{"code","message"}`, money is
//! `{"amount","currency"}`, times are RFC 3339 with Z, lists are `{"items","next"}`: `next` goes into `?after=` of the next
//! request and is null on the last page. `openapi.yaml` describes all of it.

mod access_numbers;
mod accounts;
mod alerts;
mod approvals;
mod audit;
mod body;
mod calls;
mod cdrs;
mod creating;
mod credentials;
mod decks;
mod holds;
mod hotlists;
mod imports;
mod invitations;
mod keys;
mod messages;
mod people;
mod policy;
mod rates;
mod reservations;
mod session;
mod sheet;
mod statements;
mod stats;
mod subscribers;
mod tenants;
mod transfers;
mod trunks;
mod vouchers;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};

use super::error::Problem;
use super::{State, entrance};

/// Every resource, behind the key.
pub fn router(state: State) -> Router {
    Router::<State>::new()
        .merge(subscribers::router())
        .merge(credentials::router())
        .merge(accounts::router())
        .merge(approvals::router())
        .merge(vouchers::router())
        .merge(transfers::router())
        .merge(statements::router())
        .merge(access_numbers::router())
        .merge(trunks::router())
        .merge(decks::router())
        .merge(rates::router())
        .merge(imports::router())
        .merge(reservations::router())
        .merge(holds::router())
        .merge(calls::router())
        .merge(cdrs::router())
        .merge(messages::router())
        .merge(keys::router())
        .merge(session::router())
        .merge(invitations::router())
        .merge(people::router())
        .merge(tenants::router())
        .merge(audit::router())
        .merge(stats::router())
        .merge(alerts::router())
        .merge(hotlists::router())
        .merge(policy::router())
        .route_layer(from_fn_with_state(state.clone(), creating::once))
        .route_layer(from_fn(entrance::admit))
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_methods)
        .layer(from_fn(sheet::sheets))
        .layer(from_fn_with_state(state.clone(), entrance::enter))
        .with_state(state)
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address. Check the path against the API's description.")
}

async fn other_methods() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address takes other methods. The Allow header names them.")
}
