//! Accounts: what is on them, what moved, and moving it.

use axum::extract::{Extension, State as From};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, page, page_length};
use crate::database::Connection;
use crate::http::error::Problem;
use crate::http::idempotency::{self, Answer};
use crate::http::{Caller, State};
use crate::ledger::{Account, Draft, Kind, LedgerError, Posting, store};
use crate::people::Scope;
use crate::types::{AccountId, Currency, Micros, Money};

/// Longest cause, note or name of a second person.
const LONGEST_TEXT: usize = 200;

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/accounts", post(create))
        .route("/accounts/{account_id}", get(one).patch(update))
        .route("/accounts/{account_id}/entries", get(entries))
        .route("/accounts/{account_id}/top_up", post(top_up))
        .route("/accounts/{account_id}/adjust", post(adjust))
}

fn shape(account: &Account) -> Result<Value, Problem> {
    let money = |amount| Money { amount, currency: account.currency };
    Ok(json!({
        "id": account.id,
        "currency": account.currency,
        "balance": money(account.balance),
        "held": money(account.held),
        "credit_limit": money(account.credit_limit),
        "available": money(account.available().map_err(|error| Problem::fault(&error))?),
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    currency: Currency,
    #[serde(default)]
    credit_limit: Option<Money>,
}

async fn create(From(state): From<State>, Extension(caller): Extension<Caller>, Body(new, _): Body<New>) -> Result<Response, Problem> {
    caller.need(Scope::Money)?;
    if new.credit_limit.is_some_and(|limit| limit.currency != new.currency || limit.amount < Micros::ZERO) {
        return Err(Problem::field("credit_limit", format!("Give an amount of zero or more in {}.", new.currency)));
    }
    let credit_limit = new.credit_limit.map_or(Micros::ZERO, |limit| limit.amount);
    let id = AccountId::new(&state.clock, &state.random);
    let account = Account { id, tenant: caller.tenant, currency: new.currency, credit_limit, balance: Micros::ZERO, held: Micros::ZERO };
    let (row, now) = (account.clone(), state.clock.timestamp());
    state.database.write(move |tx| Box::pin(async move { Ok::<_, Problem>(store::create(tx, &row, now).await?) })).await?;
    Ok((StatusCode::CREATED, Json(shape(&account)?)).into_response())
}

/// The tenant's account.
async fn found(connection: &mut Connection, caller: &Caller, id: AccountId) -> Result<Account, Problem> {
    let account = store::get(connection, id).await?.filter(|account| account.tenant == caller.tenant);
    account.ok_or_else(|| Problem::not_found("account"))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<AccountId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    Ok(Json(shape(&found(&mut *state.database.read().await?, &caller, id).await?)?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    credit_limit: Money,
}

async fn update(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<AccountId>,
    Body(change, _): Body<Change>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Money)?;
    let limit = change.credit_limit;
    let changed = state.database.write(move |tx| {
        Box::pin(async move {
            let account = found(tx, &caller, id).await?;
            if limit.currency != account.currency || limit.amount < Micros::ZERO {
                return Err(Problem::field("credit_limit", format!("Give an amount of zero or more in {}.", account.currency)));
            }
            store::set_credit_limit(tx, id, limit.amount).await?;
            found(tx, &caller, id).await
        })
    });
    Ok(Json(shape(&changed.await?)?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    /// The place in the chain the last page ended with.
    after: Option<i64>,
    limit: Option<u32>,
}

async fn entries(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<AccountId>,
    Asked(asked): Asked<Page>,
) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let mut connection = state.database.read().await?;
    found(&mut connection, &caller, id).await?;
    let postings = store::postings(&mut connection, id, asked.after, limit + 1).await?;
    Ok(page(postings, limit, |posting| posting.seq, entry_shape))
}

/// A posting from the account's side.
fn entry_shape(posting: &Posting) -> Value {
    json!({
        "id": posting.id,
        "account_id": posting.account,
        "seq": posting.seq,
        "kind": posting.kind,
        "amount": Money { amount: posting.gain().unwrap_or_default(), currency: posting.currency },
        "cause": posting.cause,
        "note": posting.note,
        "at": posting.at,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopUp {
    amount: Money,
    /// The payment's reference at whoever took it.
    payment: String,
    #[serde(default)]
    note: String,
}

async fn top_up(
    from: From<State>,
    caller: Extension<Caller>,
    id: Id<AccountId>,
    address: Uri,
    headers: HeaderMap,
    Body(wanted, bytes): Body<TopUp>,
) -> Result<Response, Problem> {
    let movement =
        Movement { kind: Kind::TopUp, amount: wanted.amount, cause: ("payment", wanted.payment), note: wanted.note, approved_by: None };
    post_once(from, caller, id, &address, &headers, movement, &bytes).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjust {
    amount: Money,
    /// Who corrects.
    person: String,
    /// Who else has seen it, for large amounts.
    #[serde(default)]
    approved_by: Option<String>,
    note: String,
}

async fn adjust(
    from: From<State>,
    caller: Extension<Caller>,
    id: Id<AccountId>,
    address: Uri,
    headers: HeaderMap,
    Body(wanted, bytes): Body<Adjust>,
) -> Result<Response, Problem> {
    let movement = Movement {
        kind: Kind::Adjustment,
        amount: wanted.amount,
        cause: ("person", wanted.person),
        note: wanted.note,
        approved_by: wanted.approved_by,
    };
    post_once(from, caller, id, &address, &headers, movement, &bytes).await
}

struct Movement {
    kind: Kind,
    amount: Money,
    /// The field it stands in, and what it says.
    cause: (&'static str, String),
    note: String,
    approved_by: Option<String>,
}

impl Movement {
    fn check(&self) -> Result<(), Problem> {
        let texts = [
            (self.cause.0, self.cause.1.as_str(), 1),
            ("note", self.note.as_str(), 0),
            ("approved_by", self.approved_by.as_deref().unwrap_or_default(), 0),
        ];
        for (field, text, least) in texts {
            if text.trim().len() < least || text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
                return Err(Problem::field(field, format!("Give {least} to {LONGEST_TEXT} bytes without control characters.")));
            }
        }
        Ok(())
    }
}

async fn post_once(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<AccountId>,
    address: &Uri,
    headers: &HeaderMap,
    movement: Movement,
    bytes: &[u8],
) -> Result<Response, Problem> {
    caller.need(Scope::Money)?;
    let asked = idempotency::asked(headers, caller.principal.who.to_string(), format!("POST {}", address.path()), bytes)?;
    movement.check()?;
    // The posting's own key: should the stored answer be lost with its process, the money still moves once.
    let draft = Draft {
        account: id,
        kind: movement.kind,
        amount: movement.amount.amount,
        cause: movement.cause.1,
        idempotency_key: idempotency::posting_key(&asked),
        note: movement.note,
        approved_by: movement.approved_by,
    };
    let limit = state.ledger.adjustment_limit;
    draft.check(limit).map_err(|error| ledger_problem(error.into()))?;
    let (clock, random) = (state.clock.clone(), state.random.clone());
    idempotency::once(&state, asked, move |tx| {
        Box::pin(async move {
            let account = found(tx, &caller, id).await?;
            if account.currency != movement.amount.currency {
                return Err(Problem::field("amount.currency", format!("The account is in {}. Send the amount in {0}.", account.currency)));
            }
            let posted = store::post(tx, draft, limit, &clock, &random).await?;
            let mut shape = entry_shape(&posted.posting);
            shape["balance"] = json!(Money { amount: posted.balance, currency: account.currency });
            Ok(Answer::json(StatusCode::CREATED, &shape))
        })
    })
    .await
}

impl std::convert::From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        ledger_problem(error)
    }
}

fn ledger_problem(error: LedgerError) -> Problem {
    use crate::ledger::entry::DraftError;
    match error {
        LedgerError::NoAccount(_) => Problem::not_found("account"),
        LedgerError::KeyUsed => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_used",
            "This Idempotency-Key was used for another movement. Send a new key for a new movement.",
        ),
        LedgerError::Draft(DraftError::NeedsSecondPerson(limit)) => Problem {
            field: Some("approved_by".into()),
            ..Problem::new(
                StatusCode::FORBIDDEN,
                "second_person_needed",
                format!("An adjustment above {limit} needs a second person. Send approved_by with the name of somebody else."),
            )
        },
        LedgerError::Draft(DraftError::Amount) => {
            Problem::field("amount", "A top-up is above zero, an adjustment is not zero. Send another amount.")
        }
        LedgerError::Draft(error) => Problem::bad_request(format!("{error}.")),
        LedgerError::Money(_) => Problem::field("amount", "The account cannot hold this amount. Send a smaller one."),
        LedgerError::Damaged(_) => Problem::fault(&error),
        LedgerError::Database(error) => error.into(),
    }
}
