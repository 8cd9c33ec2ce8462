//! Movements that wait for a second person, and corrections of calls.

use axum::extract::{Extension, State as From};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::{found as account, move_or_ask, short};
use super::body::{Asked, Body, Id, page, page_length};
use crate::http::error::Problem;
use crate::http::{Caller, State, idempotency};
use crate::ledger::approval::{self, Approval, Filter, State as Standing};
use crate::ledger::movement::Movement;
use crate::people::{Scope, audit};
use crate::types::{ApprovalId, CallId, Micros, Money};

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/approvals", get(list))
        .route("/approvals/{approval_id}", get(one))
        .route("/approvals/{approval_id}/approve", post(approve))
        .route("/approvals/{approval_id}/decline", post(decline))
        .route("/cdrs/{call_id}/correct", post(correct))
}

pub(super) fn shape(approval: &Approval) -> Value {
    json!({
        "id": approval.id,
        "state": approval.state,
        "wanted": approval.wanted,
        "amount": Money { amount: approval.amount, currency: approval.currency },
        "subject": approval.subject,
        "reason": approval.reason,
        "asked_by": approval.asked.who,
        "asked_name": approval.asked.name,
        "asked_at": approval.asked_at,
        "expires_at": approval.expires_at,
        "decided_by": approval.decided.as_ref().map(|(who, _)| who),
        "decided_name": approval.decided.as_ref().map(|(_, name)| name),
        "decided_at": approval.decided_at,
        "posting_id": approval.posting,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    state: Option<Standing>,
    after: Option<ApprovalId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let (filter, now) = (Filter { state: asked.state }, state.clock.timestamp());
    let found = approval::list(&mut *state.database.read().await?, caller.tenant, filter, asked.after, limit + 1, now).await?;
    Ok(page(found, limit, |approval| approval.id, shape))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<ApprovalId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let found = approval::get(&mut *state.database.read().await?, caller.tenant, id, state.clock.timestamp()).await?;
    Ok(Json(shape(&found.ok_or_else(|| Problem::not_found("approval"))?)))
}

async fn approve(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<ApprovalId>) -> Result<Json<Value>, Problem> {
    decide(state, caller, id, true).await
}

async fn decline(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<ApprovalId>) -> Result<Json<Value>, Problem> {
    decide(state, caller, id, false).await
}

async fn decide(state: State, caller: Caller, id: ApprovalId, yes: bool) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Money)?;
    let work = state.clone();
    let decided = state.database.write(move |tx| {
        Box::pin(async move {
            let now = work.clock.timestamp();
            let before = approval::get(tx, caller.tenant, id, now).await?.ok_or_else(|| Problem::not_found("approval"))?;
            let by = caller.by(tx).await?;
            if yes {
                approval::approve(tx, &before, &by, &work.clock, &work.random).await?;
            } else {
                approval::decline(tx, &before, &by, now).await?;
            }
            let after = approval::get(tx, caller.tenant, id, now).await?.ok_or_else(|| Problem::not_found("approval"))?;
            let action = if yes { "approval.approve" } else { "approval.decline" };
            audit::note(tx, &caller.act(&work, action, id, Some(shape(&before)), Some(shape(&after)))).await?;
            Ok::<_, Problem>(shape(&after))
        })
    });
    Ok(Json(decided.await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Correct {
    /// What it should have cost.
    charge: Money,
    /// Why.
    reason: String,
}

async fn correct(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(call): Id<CallId>,
    address: Uri,
    headers: HeaderMap,
    Body(wanted, bytes): Body<Correct>,
) -> Result<Response, Problem> {
    caller.need(Scope::Money)?;
    let asked = idempotency::asked(&headers, caller.principal.who.to_string(), format!("POST {}", address.path()), &bytes)?;
    short("reason", &wanted.reason, 1)?;
    if wanted.charge.amount < Micros::ZERO {
        return Err(Problem::unfit("charge", "Give a charge of zero or more."));
    }
    let work = state.clone();
    idempotency::once(&state, asked.clone(), move |tx| {
        Box::pin(async move {
            let record = crate::cdr::store::get(tx, call).await?.filter(|record| caller.sees(record.tenant));
            let record = record.ok_or_else(|| Problem::not_found("CDR; a call that is still up has none yet"))?;
            if let Some(id) = record.account {
                let account = account(tx, &caller, id).await?;
                if account.currency != wanted.charge.currency {
                    return Err(Problem::unfit(
                        "charge.currency",
                        format!("The account is in {}. Send the charge in {0}.", account.currency),
                    ));
                }
            }
            move_or_ask(tx, &work, &caller, &asked, Movement::Correct { call, charge: wanted.charge.amount }, wanted.reason).await
        })
    })
    .await
}
