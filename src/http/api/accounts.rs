//! Accounts: what is on them, what moved, and moving it.

use axum::extract::{Extension, State as From};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, Ids, line, page, page_length};
use crate::database::Connection;
use crate::http::error::Problem;
use crate::http::idempotency::{self, Answer};
use crate::http::{Caller, State};
use crate::ledger::approval::{self, Question, Wanted};
use crate::ledger::entry::DraftError;
use crate::ledger::movement::{self, Movement, Order};
use crate::ledger::store::Posted;
use crate::ledger::{self, Account, Draft, Kind, LedgerError, Posting, store};
use crate::people::Scope;
use crate::people::audit;
use crate::subscriber;
use crate::types::{AccountId, Currency, Micros, Money, PostingId, SubscriberId, Timestamp};

/// Longest cause, note or name of a second person.
const LONGEST_TEXT: usize = 200;

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/accounts", get(list).post(create))
        .route("/accounts/{account_id}", get(one).patch(update))
        .route("/accounts/{account_id}/entries", get(entries))
        .route("/accounts/{account_id}/top_up", post(top_up))
        .route("/accounts/{account_id}/adjust", post(adjust))
        .route("/accounts/{account_id}/entries/{posting_id}/reverse", post(reverse))
}

/// Users of an account that are named with it.
const USERS: usize = 3;

fn shape(account: &Account) -> Result<Value, Problem> {
    let money = |amount| Money { amount, currency: account.currency };
    Ok(json!({
        "id": account.id,
        "currency": account.currency,
        "balance": money(account.balance),
        "held": money(account.held),
        "credit_limit": money(account.credit_limit),
        "available": money(account.available().map_err(|error| Problem::fault(&error))?),
        "low_balance": money(account.low_balance),
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Those {
    currency: Option<Currency>,
    below: Option<String>,
    after: Option<AccountId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Those>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let below = asked.below.map(|amount| amount.parse::<Micros>()).transpose();
    let below = below.map_err(|error| Problem::field("below", format!("{error}. Correct the query.")))?;
    let filter = store::Filter { tenant: caller.tenant, currency: asked.currency, below };
    let found = store::list(&mut *state.database.read().await?, filter, asked.after, limit + 1).await?;
    let users = subscriber::store::users(&mut *state.database.read().await?, found.iter().map(|account| account.id), USERS).await?;
    Ok(page(
        found,
        limit,
        |account| account.id,
        |account| shape(account).map(|shape| used(shape, users.get(&account.id))).unwrap_or_default(),
    ))
}

/// An account with the first of those who use it.
fn used(mut shape: Value, users: Option<&Vec<(SubscriberId, String)>>) -> Value {
    let users = users.into_iter().flatten().map(|(id, name)| json!({ "id": id, "name": name }));
    shape["subscribers"] = users.collect();
    shape
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    currency: Currency,
    #[serde(default)]
    credit_limit: Option<Money>,
    #[serde(default)]
    low_balance: Option<Money>,
}

/// A limit in the account's currency, zero or more.
fn limit(field: &'static str, limit: Option<Money>, currency: Currency, unless_said: Micros) -> Result<Micros, Problem> {
    match limit {
        None => Ok(unless_said),
        Some(limit) if limit.currency == currency && limit.amount >= Micros::ZERO => Ok(limit.amount),
        Some(_) => Err(Problem::unfit(field, format!("Give an amount of zero or more in {currency}."))),
    }
}

async fn create(From(state): From<State>, Extension(caller): Extension<Caller>, Body(new, _): Body<New>) -> Result<Response, Problem> {
    caller.need(Scope::Money)?;
    let credit_limit = limit("credit_limit", new.credit_limit, new.currency, Micros::ZERO)?;
    let low_balance = limit("low_balance", new.low_balance, new.currency, ledger::LOW_BALANCE)?;
    let id = AccountId::new(&state.clock, &state.random);
    let account =
        Account { id, tenant: caller.tenant, currency: new.currency, credit_limit, balance: Micros::ZERO, held: Micros::ZERO, low_balance };
    let (row, now) = (account.clone(), state.clock.timestamp());
    let (work, told) = (state.clone(), shape(&account)?);
    let made = state.database.write(move |tx| {
        Box::pin(async move {
            store::create(tx, &row, now).await?;
            audit::note(tx, &caller.act(&work, "account.create", id, None, Some(told))).await?;
            Ok::<_, Problem>(())
        })
    });
    made.await?;
    Ok((StatusCode::CREATED, Json(shape(&account)?)).into_response())
}

/// The tenant's account.
pub(super) async fn found(connection: &mut Connection, caller: &Caller, id: AccountId) -> Result<Account, Problem> {
    let account = store::get(connection, id).await?.filter(|account| account.tenant == caller.tenant);
    account.ok_or_else(|| Problem::not_found("account"))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<AccountId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let mut connection = state.database.read().await?;
    let account = found(&mut connection, &caller, id).await?;
    let users = subscriber::store::users(&mut connection, [id], USERS).await?;
    Ok(Json(used(shape(&account)?, users.get(&id))))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    credit_limit: Option<Money>,
    low_balance: Option<Money>,
}

async fn update(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<AccountId>,
    Body(change, _): Body<Change>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Money)?;
    let work = state.clone();
    let changed = state.database.write(move |tx| {
        Box::pin(async move {
            let account = found(tx, &caller, id).await?;
            let credit_limit = limit("credit_limit", change.credit_limit, account.currency, account.credit_limit)?;
            let low_balance = limit("low_balance", change.low_balance, account.currency, account.low_balance)?;
            store::set_limits(tx, id, credit_limit, low_balance).await?;
            let after = found(tx, &caller, id).await?;
            let act = caller.act(&work, "account.update", id, Some(shape(&account)?), Some(shape(&after)?));
            audit::note(tx, &act).await?;
            Ok::<_, Problem>(after)
        })
    });
    Ok(Json(shape(&changed.await?)?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    kind: Option<Kind>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// The place in the chain the last page ended with.
    after: Option<u32>,
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
    let wanted = store::Wanted { kind: asked.kind, since: asked.since, until: asked.until };
    let mut connection = state.database.read().await?;
    found(&mut connection, &caller, id).await?;
    let postings = store::postings(&mut connection, id, wanted, asked.after.map(i64::from), limit + 1).await?;
    Ok(page(postings, limit, |posting| posting.seq, entry_shape))
}

/// A posting from the account's side.
pub(super) fn entry_shape(posting: &Posting) -> Value {
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
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<AccountId>,
    address: Uri,
    headers: HeaderMap,
    Body(wanted, bytes): Body<TopUp>,
) -> Result<Response, Problem> {
    caller.need(Scope::Money)?;
    let asked = idempotency::asked(&headers, caller.principal.who.to_string(), format!("POST {}", address.path()), &bytes)?;
    short("payment", &wanted.payment, 1)?;
    short("note", &wanted.note, 0)?;
    // The posting's own key: should the stored answer be lost with its process, the money still moves once.
    let draft = Draft {
        account: id,
        kind: Kind::TopUp,
        amount: wanted.amount.amount,
        cause: wanted.payment,
        idempotency_key: idempotency::posting_key(&asked),
        note: wanted.note,
        against: None,
    };
    draft.check().map_err(|error| ledger_problem(error.into()))?;
    let work = state.clone();
    idempotency::once(&state, asked, move |tx| {
        Box::pin(async move {
            let account = in_currency(tx, &caller, id, wanted.amount).await?;
            let posted = store::post(tx, draft, &work.clock, &work.random).await?;
            let shape = posted_shape(&posted, &account);
            audit::note(tx, &caller.act(&work, "account.top_up", id, None, Some(shape.clone()))).await?;
            Ok(Answer::json(StatusCode::CREATED, &shape))
        })
    })
    .await
}

/// A text of a movement.
pub(super) fn short(field: &'static str, text: &str, least: usize) -> Result<(), Problem> {
    line(field, text, least, LONGEST_TEXT)
}

/// The tenant's account, if the amount is in its currency.
pub(super) async fn in_currency(tx: &mut Connection, caller: &Caller, id: AccountId, amount: Money) -> Result<Account, Problem> {
    let account = found(tx, caller, id).await?;
    if account.currency == amount.currency {
        return Ok(account);
    }
    Err(Problem::unfit("amount.currency", format!("The account is in {}. Send the amount in {0}.", account.currency)))
}

/// A posting with the balance after it.
pub(super) fn posted_shape(posted: &Posted, account: &Account) -> Value {
    let mut shape = entry_shape(&posted.posting);
    shape["balance"] = json!(Money { amount: posted.balance, currency: account.currency });
    shape
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Adjusting {
    #[default]
    Adjustment,
    Bonus,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjust {
    amount: Money,
    #[serde(default)]
    kind: Adjusting,
    /// Why.
    reason: String,
}

async fn adjust(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<AccountId>,
    address: Uri,
    headers: HeaderMap,
    Body(wanted, bytes): Body<Adjust>,
) -> Result<Response, Problem> {
    caller.need(Scope::Money)?;
    let asked = idempotency::asked(&headers, caller.principal.who.to_string(), format!("POST {}", address.path()), &bytes)?;
    short("reason", &wanted.reason, 1)?;
    let amount = wanted.amount.amount;
    let movement = match wanted.kind {
        Adjusting::Adjustment => Movement::Adjust { account: id, amount },
        Adjusting::Bonus => Movement::Bonus { account: id, amount },
    };
    if amount == Micros::ZERO || (wanted.kind == Adjusting::Bonus && amount < Micros::ZERO) {
        return Err(ledger_problem(DraftError::Amount.into()));
    }
    let work = state.clone();
    idempotency::once(&state, asked.clone(), move |tx| {
        Box::pin(async move {
            in_currency(tx, &caller, id, wanted.amount).await?;
            move_or_ask(tx, &work, &caller, &asked, movement, wanted.reason).await
        })
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reverse {
    /// Why.
    reason: String,
}

async fn reverse(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Ids(id, posting): Ids<AccountId, PostingId>,
    address: Uri,
    headers: HeaderMap,
    Body(wanted, bytes): Body<Reverse>,
) -> Result<Response, Problem> {
    caller.need(Scope::Money)?;
    let asked = idempotency::asked(&headers, caller.principal.who.to_string(), format!("POST {}", address.path()), &bytes)?;
    short("reason", &wanted.reason, 1)?;
    let work = state.clone();
    idempotency::once(&state, asked.clone(), move |tx| {
        Box::pin(async move {
            found(tx, &caller, id).await?;
            move_or_ask(tx, &work, &caller, &asked, Movement::Reverse { account: id, posting }, wanted.reason).await
        })
    })
    .await
}

/// Moves money, or asks for a second person where it is more than one may move. The account is the caller's own.
pub(super) async fn move_or_ask(
    tx: &mut Connection,
    state: &State,
    caller: &Caller,
    asked: &idempotency::Asked,
    movement: Movement,
    reason: String,
) -> Result<Answer, Problem> {
    let weighed = movement::weigh(tx, &movement).await?;
    let (id, amount) = weighed.ok_or_else(|| Problem::not_found("entry that could be reversed or corrected"))?;
    let account = found(tx, caller, id).await?;
    if amount.get().unsigned_abs() > state.ledger.adjustment_limit.get().unsigned_abs() {
        let question = Question {
            tenant: caller.tenant,
            wanted: Wanted::Movement(movement),
            amount,
            currency: account.currency,
            subject: id.to_string(),
            reason,
            by: caller.by(tx).await?,
        };
        let approval = approval::ask(tx, question, &state.clock, &state.random).await?;
        let shape = super::approvals::shape(&approval);
        audit::note(tx, &caller.act(state, "approval.ask", approval.id, None, Some(shape.clone()))).await?;
        return Ok(Answer::json(StatusCode::ACCEPTED, &shape));
    }
    let by = format!("{} {}", caller.principal.name, caller.principal.who);
    let order = Order { movement, by, reason, key: idempotency::posting_key(asked) };
    let posted = movement::carry_out(tx, order, &state.clock, &state.random).await?;
    let shape = posted_shape(&posted, &account);
    let action = match movement {
        Movement::Adjust { .. } => "account.adjust",
        Movement::Bonus { .. } => "account.bonus",
        Movement::Reverse { .. } => "account.reverse",
        Movement::Correct { .. } => "cdr.correct",
    };
    audit::note(tx, &caller.act(state, action, id, None, Some(shape.clone()))).await?;
    Ok(Answer::json(StatusCode::CREATED, &shape))
}

impl std::convert::From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        ledger_problem(error)
    }
}

fn ledger_problem(error: LedgerError) -> Problem {
    match error {
        LedgerError::NoAccount(_) => Problem::not_found("account"),
        LedgerError::NoPosting(_) => Problem::not_found("entry"),
        LedgerError::NotReversible(_) | LedgerError::NotCharged(_) | LedgerError::Decided | LedgerError::TooManyPending => {
            Problem::conflict(sentence(&error))
        }
        LedgerError::NothingToCorrect(_) => Problem { field: Some("charge".into()), ..Problem::conflict(sentence(&error)) },
        LedgerError::SamePerson => Problem::new(StatusCode::FORBIDDEN, "second_person_needed", sentence(&error)),
        LedgerError::KeyUsed => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_used",
            "This Idempotency-Key was used for another movement. Send a new key for a new movement.",
        ),
        LedgerError::Draft(DraftError::Amount) => {
            Problem::unfit("amount", "A top-up is above zero, an adjustment is not zero. Send another amount.")
        }
        LedgerError::Draft(error) => Problem::unfit("amount", format!("{error}.")),
        LedgerError::Money(_) => Problem::unfit("amount", "The account cannot hold this amount. Send a smaller one."),
        LedgerError::Damaged(_) => Problem::fault(&error),
        LedgerError::Database(error) => error.into(),
    }
}

/// An error as a sentence.
fn sentence(error: &LedgerError) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}
