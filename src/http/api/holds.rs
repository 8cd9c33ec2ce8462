//! Money that is set aside for calls that are up.

use axum::Router;
use axum::extract::{Extension, State as From};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, page, page_length};
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::ledger::open_hold::{self, Filter, OpenHold};
use crate::people::Scope;
use crate::types::{AccountId, HoldId, Money, SubscriberId};

pub(super) fn router() -> Router<State> {
    Router::new().route("/holds", get(list))
}

fn shape(hold: &OpenHold) -> Value {
    json!({
        "id": hold.id,
        "call_id": hold.call,
        "leg": hold.leg,
        "account_id": hold.account,
        "subscriber_id": hold.subscriber,
        "amount": Money { amount: hold.amount, currency: hold.currency },
        "funded_secs": hold.funded_secs,
        "created_at": hold.created_at,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    account_id: Option<AccountId>,
    subscriber_id: Option<SubscriberId>,
    after: Option<HoldId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let filter = Filter { account: asked.account_id, subscriber: asked.subscriber_id };
    let found = open_hold::list(&mut *state.database.read().await?, caller.tenant, filter, asked.after, limit + 1).await?;
    Ok(page(found, limit, |hold| hold.id, shape))
}
