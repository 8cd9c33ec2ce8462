//! Money from one account to another of the same tenant.

use axum::extract::{Extension, State as From};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::short;
use super::body::{Asked, Body, Id, page, page_length};
use crate::http::error::Problem;
use crate::http::idempotency::{self, Answer};
use crate::http::{Caller, State};
use crate::ledger::transfer::{self, NotMade, Transfer, Wanted};
use crate::people::{Scope, audit};
use crate::types::{AccountId, Money, TransferId};

pub(super) fn router() -> Router<State> {
    Router::new().route("/transfers", get(list).post(create)).route("/transfers/{transfer_id}", get(one))
}

fn shape(made: &Transfer) -> Value {
    json!({
        "id": made.id,
        "from_account_id": made.from,
        "to_account_id": made.to,
        "amount": Money { amount: made.amount, currency: made.currency },
        "reason": made.reason,
        "by": made.by,
        "at": made.at,
        "out_posting_id": made.out_posting,
        "in_posting_id": made.in_posting,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    account_id: Option<AccountId>,
    after: Option<TransferId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let filter = transfer::Filter { tenant: caller.tenant, account: asked.account_id };
    let found = transfer::list(&mut *state.database.read().await?, filter, asked.after, limit + 1).await?;
    Ok(page(found, limit, |made| made.id, shape))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<TransferId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let found = transfer::get(&mut *state.database.read().await?, caller.tenant, id).await?;
    Ok(Json(shape(&found.ok_or_else(|| Problem::not_found("transfer"))?)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    from_account_id: AccountId,
    to_account_id: AccountId,
    amount: Money,
    /// Why.
    reason: String,
}

async fn create(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    address: Uri,
    headers: HeaderMap,
    Body(new, bytes): Body<New>,
) -> Result<Response, Problem> {
    caller.need(Scope::Money)?;
    let asked = idempotency::asked(&headers, caller.principal.who.to_string(), format!("POST {}", address.path()), &bytes)?;
    short("reason", &new.reason, 1)?;
    let wanted = Wanted {
        tenant: caller.tenant,
        from: new.from_account_id,
        to: new.to_account_id,
        amount: new.amount.amount,
        currency: new.amount.currency,
        reason: new.reason,
        by: format!("{} {}", caller.principal.name, caller.principal.who),
        key: idempotency::posting_key(&asked),
    };
    let work = state.clone();
    idempotency::once(&state, asked, move |tx| {
        Box::pin(async move {
            let (from, currency) = (wanted.from, wanted.currency);
            let made = transfer::make(tx, wanted, &work.clock, &work.random).await?;
            let made = made.map_err(|why| match why {
                NotMade::Same => Problem::unfit("to_account_id", "Giver and taker are the same account. Name another."),
                NotMade::Amount => Problem::unfit("amount", "Give an amount above zero."),
                NotMade::Currency(id, other) => {
                    let field = if id == from { "from_account_id" } else { "to_account_id" };
                    Problem::unfit(field, format!("This account is in {other}. Choose two accounts in {currency}."))
                }
                NotMade::NotEnough(left) => Problem {
                    code: "not_enough_credit",
                    ..Problem::conflict(format!("The account has {left} {currency} left to spend. Transfer less, or top it up."))
                },
            })?;
            let shape = shape(&made);
            audit::note(tx, &caller.act(&work, "transfer.create", made.id, None, Some(shape.clone()))).await?;
            Ok(Answer::json(StatusCode::CREATED, &shape))
        })
    })
    .await
}
