//! The books by month: of one account, of all accounts of the tenant, and of the tenant's books themselves.

use axum::extract::{Extension, State as From};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::{entry_shape, found};
use super::body::{Asked, Id, Ids, page_length};
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::ledger::statement::{self, BookSum, Month, Sum};
use crate::people::Scope;
use crate::types::{AccountId, Micros, Money, PostingId, Timestamp};

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/accounts/{account_id}/statements", get(months))
        .route("/accounts/{account_id}/statements/{month}", get(one))
        .route("/statements", get(all_months))
        .route("/statements/{month}", get(all))
        .route("/books", get(books))
}

/// What is shown of a list of months, newest first.
fn months_shape(first: Option<Timestamp>, now: Timestamp) -> Json<Value> {
    let months = first.map(|first| Month::of(first).until(Month::of(now))).unwrap_or_default();
    let item = |month: &Month| json!({ "month": month, "from": month.start(), "until": month.end(), "over": month.end() <= now });
    Json(json!({ "items": months.iter().map(item).collect::<Vec<_>>(), "next": null }))
}

async fn months(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<AccountId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let mut connection = state.database.read().await?;
    found(&mut connection, &caller, id).await?;
    Ok(months_shape(statement::begun(&mut connection, caller.tenant, Some(id)).await?, state.clock.timestamp()))
}

async fn all_months(From(state): From<State>, Extension(caller): Extension<Caller>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let first = statement::begun(&mut *state.database.read().await?, caller.tenant, None).await?;
    Ok(months_shape(first, state.clock.timestamp()))
}

fn sum_shape(sum: &Sum) -> Value {
    json!({ "kind": sum.kind, "count": sum.count, "amount": Money { amount: sum.amount, currency: sum.currency } })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    /// The place in the chain the last page ended with.
    after: Option<u32>,
    limit: Option<u32>,
}

async fn one(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Ids(id, month): Ids<AccountId, Month>,
    Asked(asked): Asked<Page>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let mut connection = state.database.read().await?;
    let account = found(&mut connection, &caller, id).await?;
    let lines = statement::account_lines(&mut connection, id, month, asked.after.map_or(0, i64::from), limit + 1).await?;
    let money = |amount| Money { amount, currency: account.currency };
    let (lines, next) = cut(lines, limit, |line| line.posting.seq.to_string());
    let items = lines.iter().map(|line| {
        let mut shape = entry_shape(&line.posting);
        shape["balance"] = json!(money(line.balance));
        shape
    });
    let mut shape = json!({
        "account_id": id,
        "month": month,
        "from": month.start(),
        "until": month.end(),
        "items": items.collect::<Vec<_>>(),
        "next": next,
        "summary": null,
    });
    if asked.after.is_none() {
        let summary = statement::summary(&mut connection, id, month).await?;
        let charged = summary.sums.iter().find(|sum| sum.kind == crate::ledger::Kind::Charge).map_or(Micros::ZERO, |sum| sum.amount);
        let charged = Micros::ZERO.minus(charged).map_err(|error| Problem::fault(&error))?;
        shape["summary"] = json!({
            "opening": money(summary.opening),
            "closing": money(summary.closing),
            "sums": summary.sums.iter().map(sum_shape).collect::<Vec<_>>(),
            "calls": { "count": summary.calls, "billed_secs": summary.billed_secs, "charge": money(charged) },
        });
    }
    Ok(Json(shape))
}

/// A page of what was found with one more than `limit` asked for, and where the next begins.
fn cut<T>(mut found: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(cursor);
    (found, next)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AllPage {
    after: Option<PostingId>,
    limit: Option<u32>,
}

async fn all(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(month): Id<Month>,
    Asked(asked): Asked<AllPage>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let mut connection = state.database.read().await?;
    let found = statement::tenant_lines(&mut connection, caller.tenant, month, asked.after, limit + 1).await?;
    let (found, next) = cut(found, limit, |posting| posting.id.to_string());
    let mut shape = json!({
        "month": month,
        "from": month.start(),
        "until": month.end(),
        "items": found.iter().map(entry_shape).collect::<Vec<_>>(),
        "next": next,
        "sums": null,
    });
    if asked.after.is_none() {
        let sums = statement::tenant_sums(&mut connection, caller.tenant, month).await?;
        shape["sums"] = sums.iter().map(sum_shape).collect();
    }
    Ok(Json(shape))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    month: Option<Month>,
    /// Of a table; there is one page.
    #[serde(rename = "limit")]
    _limit: Option<u32>,
}

async fn books(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Which>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Money)?;
    let month = asked.month.unwrap_or_else(|| Month::of(state.clock.timestamp()));
    let sums = statement::books(&mut *state.database.read().await?, caller.tenant, month).await?;
    let item = |sum: &BookSum| json!({ "book": sum.book.as_str(), "amount": Money { amount: sum.amount, currency: sum.currency }, "entries": sum.count });
    Ok(Json(json!({ "month": month, "items": sums.iter().map(item).collect::<Vec<_>>(), "next": null })))
}
