//! The pages under `/admin`: HTML made on the server, one file a page.
//!
//! The pages are the API's first customer: a page asks the API in-process as the person who is signed in ([`desk`]) and renders
//! what it answers. So whatever a page can do a machine can do too, and what keeps tenants apart, writes the audit log, makes a
//! double click harmless and words a refusal stands in one place. No page needs JavaScript to work.

pub mod asset;
pub mod chart;
pub mod desk;
pub mod form;
pub mod layout;
pub mod session;
pub mod show;
pub mod table;
pub mod text;

mod access_numbers;
mod accounts;
mod alerts;
mod approvals;
mod audit;
mod calls;
mod correct;
mod decks;
mod exchange_rates;
mod explain;
mod holds;
mod hotlists;
mod keys;
mod ladder;
mod map;
mod overview;
mod own;
mod people;
mod record;
mod records;
mod reservations;
mod rules;
mod sign_in;
mod statements;
mod subscriber;
mod subscribers;
mod tenants;
mod transfers;
mod trunks;
mod upload;
mod vouchers;
mod welcome;
mod wire;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::any;

pub use desk::{Desk, Trouble};
pub use form::{Again, Field, Form, Submitted};
pub use layout::{Page, Section};
pub use text::t;

use super::State;

/// What the pages work with: the state of the doors, and the API they ask.
#[derive(Clone)]
pub struct House {
    /// As every door has it.
    pub state: State,
    /// The API, asked in-process.
    pub api: Router,
}

/// Every page. Those behind the sign-in are let in by their cookie.
pub fn router(state: State, api: Router) -> Router {
    let house = House { state, api };
    let inside = Router::<House>::new()
        .merge(sign_in::inside())
        .merge(keepers())
        .merge(books())
        .merge(traffic())
        .route("/admin/{*rest}", any(layout::nothing_here))
        .method_not_allowed_fallback(layout::page_above)
        // Of routes only: what no page answers is another door's.
        .route_layer(from_fn_with_state(house.clone(), session::enter));
    Router::<House>::new()
        .merge(asset::router())
        .merge(sign_in::outside())
        .merge(welcome::router())
        .merge(inside)
        .route_layer(from_fn(session::same_origin))
        .route_layer(from_fn(layout::headers))
        .route_layer(from_fn(text::speak))
        .with_state(house)
}

/// The pages of how things stand, and of who keeps the books.
fn keepers() -> Router<House> {
    Router::new()
        .merge(overview::router())
        .merge(audit::router())
        .merge(keys::router())
        .merge(own::router())
        .merge(people::router())
        .merge(tenants::router())
}

/// The pages of customers and their money.
fn books() -> Router<House> {
    Router::new()
        .merge(accounts::router())
        .merge(approvals::router())
        .merge(holds::router())
        .merge(subscriber::router())
        .merge(subscribers::router())
        .merge(statements::router())
        .merge(transfers::router())
        .merge(vouchers::router())
}

/// The pages of calls, prices and the network.
fn traffic() -> Router<House> {
    Router::new()
        .merge(access_numbers::router())
        .merge(calls::router())
        .merge(alerts::router())
        .merge(correct::router())
        .merge(decks::router())
        .merge(exchange_rates::router())
        .merge(explain::router())
        .merge(hotlists::router())
        .merge(record::router())
        .merge(records::router())
        .merge(reservations::router())
        .merge(rules::router())
        .merge(trunks::router())
}
