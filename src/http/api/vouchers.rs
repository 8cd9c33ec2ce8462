//! Money on paper: batches of vouchers, and redeeming them.

use axum::extract::{Extension, State as From};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::{found as account, posted_shape, short};
use super::body::{Asked, Body, Id, page, page_length, whole_number};
use crate::http::error::Problem;
use crate::http::idempotency::{self, Answer};
use crate::http::{Caller, State};
use crate::ledger::approval::{self, Question, Wanted};
use crate::ledger::voucher::{self, Batch, BatchState, Code, MOST, NewBatch, NotRedeemed, Voucher};
use crate::people::{Scope, audit};
use crate::types::{AccountId, Micros, Money, Timestamp, VoucherBatchId, VoucherId};

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/vouchers/batches", get(list).post(create))
        .route("/vouchers/batches/{batch_id}", get(one))
        .route("/vouchers/batches/{batch_id}/void", post(void_batch))
        .route("/vouchers/batches/{batch_id}/vouchers", get(vouchers))
        .route("/vouchers/redeem", post(redeem))
        .route("/vouchers/{voucher_id}/void", post(void))
}

fn shape(batch: &Batch, now: Timestamp) -> Value {
    let expired = batch.expires_at.is_some_and(|at| at <= now);
    json!({
        "id": batch.id,
        "name": batch.name,
        "amount": Money { amount: batch.amount, currency: batch.currency },
        "count": batch.count,
        "state": if expired && batch.state == BatchState::Active { json!("expired") } else { json!(batch.state) },
        "redeemed": batch.redeemed,
        "voided": batch.voided,
        "expires_at": batch.expires_at,
        "made_by": batch.made_by,
        "created_at": batch.created_at,
    })
}

fn voucher_shape(voucher: &Voucher) -> Value {
    json!({
        "id": voucher.id,
        "number": voucher.number,
        "redeemed_at": voucher.redeemed.map(|(at, _)| at),
        "account_id": voucher.redeemed.map(|(_, account)| account),
        "voided_at": voucher.voided_at,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<VoucherBatchId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let now = state.clock.timestamp();
    let found = voucher::batches(&mut *state.database.read().await?, caller.tenant, asked.after, limit + 1).await?;
    Ok(page(found, limit, |batch| batch.id, |batch| shape(batch, now)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    amount: Money,
    #[serde(deserialize_with = "whole_number")]
    count: u32,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

async fn create(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    address: Uri,
    headers: HeaderMap,
    Body(new, bytes): Body<New>,
) -> Result<Response, Problem> {
    caller.need(Scope::Money)?;
    let asked =
        idempotency::asked(&headers, caller.principal.who.to_string(), format!("POST {} {}", caller.tenant, address.path()), &bytes)?;
    short("name", &new.name, 1)?;
    if !(1..=MOST).contains(&new.count) {
        return Err(Problem::field("count", format!("Make 1 to {MOST} vouchers at a time.")));
    }
    if new.amount.amount <= Micros::ZERO {
        return Err(Problem::unfit("amount", "A voucher is worth more than zero. Send another amount."));
    }
    if new.expires_at.is_some_and(|at| at <= state.clock.timestamp()) {
        return Err(Problem::unfit("expires_at", "Give a time to come, or leave it out."));
    }
    let total = new.amount.amount.get().checked_mul(i64::from(new.count)).map(Micros::new);
    let total = total.ok_or_else(|| Problem::unfit("amount", "All vouchers together are worth more than can be counted. Send less."))?;
    let waits = total > state.ledger.adjustment_limit;
    let work = state.clone();
    // The codes are told once: a repeated request gets the batch without them, for they are kept nowhere.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let answer = idempotency::once(&state, asked, move |tx| {
        Box::pin(async move {
            let by = caller.by(tx).await?;
            let wanted = NewBatch {
                tenant: caller.tenant,
                name: new.name.clone(),
                amount: new.amount.amount,
                currency: new.amount.currency,
                count: new.count,
                expires_at: new.expires_at,
                made_by: by.who.clone(),
                waits,
            };
            let (batch, codes) = voucher::make(tx, wanted, &work.clock, &work.random).await?;
            let mut shape = shape(&batch, work.clock.timestamp());
            if waits {
                let question = Question {
                    tenant: caller.tenant,
                    wanted: Wanted::Vouchers { batch: batch.id },
                    amount: total,
                    currency: new.amount.currency,
                    subject: batch.id.to_string(),
                    reason: format!("{} vouchers: {}", new.count, new.name),
                    by,
                };
                let approval = approval::ask(tx, question, &work.clock, &work.random).await?;
                shape["approval_id"] = json!(approval.id);
            }
            audit::note(tx, &caller.act(&work, "voucher_batch.create", batch.id, None, Some(shape.clone()))).await?;
            let answer = Answer::json(StatusCode::CREATED, &shape);
            // Nobody waits only if the client has gone.
            let _ = sender.send((shape, codes));
            Ok(answer)
        })
    })
    .await?;
    match receiver.await {
        Ok((mut shape, codes)) if answer.status() == StatusCode::CREATED => {
            shape["codes"] = json!(codes.iter().map(Code::printed).collect::<Vec<_>>());
            Ok((StatusCode::CREATED, Json(shape)).into_response())
        }
        _ => Ok(answer),
    }
}

async fn batch(state: &State, caller: &Caller, id: VoucherBatchId) -> Result<Batch, Problem> {
    let found = voucher::get_batch(&mut *state.database.read().await?, caller.tenant, id).await?;
    found.ok_or_else(|| Problem::not_found("batch of vouchers"))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<VoucherBatchId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    Ok(Json(shape(&batch(&state, &caller, id).await?, state.clock.timestamp())))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    /// The number the last page ended with.
    after: Option<u32>,
    limit: Option<u32>,
}

async fn vouchers(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<VoucherBatchId>,
    Asked(asked): Asked<Numbers>,
) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    batch(&state, &caller, id).await?;
    let found = voucher::vouchers(&mut *state.database.read().await?, id, asked.after.unwrap_or(0), limit + 1).await?;
    Ok(page(found, limit, |voucher| voucher.number, voucher_shape))
}

async fn void_batch(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<VoucherBatchId>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Money)?;
    let before = batch(&state, &caller, id).await?;
    let work = state.clone();
    let after = state.database.write(move |tx| {
        Box::pin(async move {
            let now = work.clock.timestamp();
            if !voucher::void_batch(tx, id, now).await? {
                return Err(Problem::conflict("The batch is void already."));
            }
            let after = voucher::get_batch(tx, caller.tenant, id).await?.ok_or_else(|| Problem::not_found("batch of vouchers"))?;
            let (before, after) = (shape(&before, now), shape(&after, now));
            audit::note(tx, &caller.act(&work, "voucher_batch.void", id, Some(before), Some(after.clone()))).await?;
            Ok::<_, Problem>(after)
        })
    });
    Ok(Json(after.await?))
}

async fn void(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<VoucherId>) -> Result<StatusCode, Problem> {
    caller.need(Scope::Money)?;
    let work = state.clone();
    let done = state.database.write(move |tx| {
        Box::pin(async move {
            let done = voucher::void(tx, caller.tenant, id, work.clock.timestamp()).await?;
            if done {
                audit::note(tx, &caller.act(&work, "voucher.void", id, None, None)).await?;
            }
            Ok::<_, Problem>(done)
        })
    });
    if done.await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("voucher that is still good")) }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Redeem {
    code: String,
    account_id: AccountId,
}

async fn redeem(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    address: Uri,
    headers: HeaderMap,
    Body(wanted, bytes): Body<Redeem>,
) -> Result<Response, Problem> {
    caller.need(Scope::Money)?;
    let asked = idempotency::asked(&headers, caller.principal.who.to_string(), format!("POST {}", address.path()), &bytes)?;
    let code = Code::parse(&wanted.code).ok_or_else(|| {
        Problem::unfit("code", "This is no voucher code: it has 17 letters and digits in groups of four. Read it again from the voucher.")
    })?;
    let (who, whose) = (caller.principal.who.to_string(), wanted.account_id.to_string());
    state.gate.may_guess(&who, &whose)?;
    let work = state.clone();
    idempotency::once(&state, asked, move |tx| {
        Box::pin(async move {
            let account = account(tx, &caller, wanted.account_id).await?;
            let redeemed = voucher::redeem(tx, caller.tenant, &code, (account.id, account.currency), &work.clock, &work.random).await?;
            if redeemed == Err(NotRedeemed::Unknown) {
                work.gate.guessed_wrong(&who, &whose);
            }
            let posted = redeemed.map_err(not_redeemed)?;
            let shape = posted_shape(&posted, &account);
            audit::note(tx, &caller.act(&work, "voucher.redeem", account.id, None, Some(shape.clone()))).await?;
            Ok(Answer::json(StatusCode::CREATED, &shape))
        })
    })
    .await
}

fn not_redeemed(why: NotRedeemed) -> Problem {
    let (code, message) = match why {
        NotRedeemed::Unknown => ("voucher_unknown", "There is no voucher of this code. Read it again from the voucher."),
        NotRedeemed::Used => ("voucher_used", "The voucher was redeemed before. Each is good once."),
        NotRedeemed::Expired => ("voucher_expired", "The voucher is past its day. Give another one."),
        NotRedeemed::Void => ("voucher_void", "The voucher was made void. Give another one."),
        NotRedeemed::Pending => ("voucher_pending", "The batch of this voucher waits for a second person. Have it approved first."),
        NotRedeemed::Currency => ("voucher_currency", "The voucher is in another currency than the account. Choose another account."),
    };
    Problem { field: Some("code".into()), ..Problem::new(StatusCode::CONFLICT, code, message) }
}
