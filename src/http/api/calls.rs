//! The calls that are up on this node.

use axum::extract::{Extension, State as From};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Id, named, names, page, page_length};
use crate::b2bua::LiveCall;
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::Scope;
use crate::types::{CallId, SubscriberId};

pub(super) fn router() -> Router<State> {
    Router::new().route("/calls", get(list)).route("/calls/{call_id}", get(one)).route("/calls/{call_id}/hang_up", post(hang_up))
}

fn shape(call: &LiveCall) -> Value {
    json!({
        "id": call.id,
        "subscriber_id": call.subscriber,
        "caller": call.caller.number(),
        "dialled": call.dialled,
        "destination": call.destination,
        "trunk_in": call.trunk_in,
        "trunk_out": call.trunk_out,
        "state": call.state,
        "began_at": call.began,
        "answered_at": call.answered,
        "funded_until": call.funded_until,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    subscriber_id: Option<SubscriberId>,
    after: Option<CallId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let calls = state.calls.list().into_iter().filter(|call| {
        let wanted = asked.subscriber_id.is_none_or(|subscriber| call.subscriber == Some(subscriber));
        wanted && caller.sees(call.tenant) && asked.after.is_none_or(|after| call.id > after)
    });
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let calls: Vec<_> = calls.take(most).collect();
    let names = names(&state, calls.iter().map(|call| call.subscriber)).await?;
    Ok(page(calls, limit, |call| call.id, |call| named(shape(call), call.subscriber, &names)))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<CallId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let call = state
        .calls
        .get(id)
        .filter(|call| caller.sees(call.tenant))
        .ok_or_else(|| Problem::not_found("live call; an ended one is among the CDRs"))?;
    let names = names(&state, [call.subscriber]).await?;
    Ok(Json(named(shape(&call), call.subscriber, &names)))
}

/// The call ends as if both had hung up; its CDR says that we did it.
async fn hang_up(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<CallId>) -> Result<StatusCode, Problem> {
    caller.need(Scope::Calls)?;
    let unknown = || Problem::not_found("live call; an ended one is among the CDRs");
    let call = state.calls.get(id).filter(|call| caller.sees(call.tenant)).ok_or_else(unknown)?;
    // Who wants it is written down before it is done: without books nobody hangs up calls of others.
    let (house, before) = (state.clone(), shape(&call));
    let noted =
        state.database.write(move |tx| Box::pin(async move { caller.note(tx, &house, "call.hang_up", id, Some(before), None).await }));
    noted.await?;
    if state.calls.hang_up(id) { Ok(StatusCode::ACCEPTED) } else { Err(unknown()) }
}
