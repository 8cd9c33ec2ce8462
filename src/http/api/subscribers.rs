//! Subscribers, what they are called and their verified numbers.

use axum::extract::{Extension, State as From};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, Ids, from_value, line, page, page_length, patched};
use crate::database::Connection;
use crate::http::error::{Problem, taken};
use crate::http::{Caller, State};
use crate::ledger::{self, Account};
use crate::people::Scope;
use crate::subscriber::{Subscriber, VerifiedNumber, store};
use crate::types::{AccountId, Country, Currency, DeckId, E164, Micros, Money, Nanos, SubscriberId, TenantId, object};

/// Longest name.
pub(super) const LONGEST_NAME: usize = 200;
/// Most identities, numbers or credentials of one subscriber.
pub(super) const MOST: usize = 100;

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/subscribers", get(list).post(create))
        .route("/subscribers/{subscriber_id}", get(one).patch(update).delete(remove))
        .route("/subscribers/{subscriber_id}/identities", get(list_identities).post(add_identity))
        .route("/subscribers/{subscriber_id}/identities/{identity}", delete(remove_identity))
        .route("/subscribers/{subscriber_id}/numbers", get(list_numbers).post(add_number))
        .route("/subscribers/{subscriber_id}/numbers/{number}", delete(remove_number))
}

/// A price a minute, as the API writes it.
#[derive(Debug, Clone, Copy, Serialize)]
struct Price {
    amount: Nanos,
    currency: Currency,
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Shape {
            amount: Nanos,
            currency: Currency,
        }
        object::<D, Shape>(deserializer).map(|Shape { amount, currency }| Self { amount, currency })
    }
}

/// What can be said of a subscriber, and changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: String,
    home_country: Country,
    #[serde(default = "english")]
    locale: String,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    withholds_number: bool,
    #[serde(default)]
    deck_id: Option<DeckId>,
    #[serde(default)]
    access_wish: Option<E164>,
    #[serde(default)]
    max_calls: Option<u32>,
    #[serde(default)]
    spend_cap: Option<Money>,
    #[serde(default)]
    max_price: Option<Price>,
    #[serde(default)]
    max_calls_hour: Option<u32>,
    #[serde(default)]
    longest_call_secs: Option<u32>,
}

fn english() -> String {
    "en".to_owned()
}

const fn yes() -> bool {
    true
}

impl Fields {
    fn of(subscriber: &Subscriber, currency: Currency) -> Self {
        Self {
            name: subscriber.name.clone(),
            home_country: subscriber.home,
            locale: subscriber.locale.clone(),
            enabled: subscriber.enabled,
            withholds_number: subscriber.withholds_number,
            deck_id: subscriber.deck,
            access_wish: subscriber.access_wish,
            max_calls: subscriber.max_calls,
            spend_cap: subscriber.spend_cap.map(|amount| Money { amount, currency }),
            max_price: subscriber.max_price.map(|amount| Price { amount, currency }),
            max_calls_hour: subscriber.max_calls_hour,
            longest_call_secs: subscriber.longest_call_secs,
        }
    }

    fn check(&self, account_currency: Currency) -> Result<(), Problem> {
        line("name", &self.name, 1, LONGEST_NAME)?;
        let language = |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !self.locale.split('-').all(language) || self.locale.len() > 35 {
            return Err(Problem::field("locale", "Write the language as a tag, such as en or pt-BR."));
        }
        let currencies = [("spend_cap", self.spend_cap.map(|cap| cap.currency)), ("max_price", self.max_price.map(|price| price.currency))];
        for (field, currency) in currencies {
            if currency.is_some_and(|currency| currency != account_currency) {
                return Err(Problem::unfit(field, format!("Write the amount in the currency of the account, {account_currency}.")));
            }
        }
        let negative = |field| Problem::field(field, "Give an amount of zero or more.");
        if self.spend_cap.is_some_and(|cap| cap.amount < Micros::ZERO) {
            return Err(negative("spend_cap"));
        }
        if self.max_price.is_some_and(|price| price.amount < Nanos::ZERO) {
            return Err(negative("max_price"));
        }
        Ok(())
    }

    fn onto(self, subscriber: &Subscriber) -> Subscriber {
        Subscriber {
            name: self.name,
            home: self.home_country,
            locale: self.locale,
            enabled: self.enabled,
            withholds_number: self.withholds_number,
            deck: self.deck_id,
            access_wish: self.access_wish,
            max_calls: self.max_calls,
            spend_cap: self.spend_cap.map(|cap| cap.amount),
            max_price: self.max_price.map(|price| price.amount),
            max_calls_hour: self.max_calls_hour,
            longest_call_secs: self.longest_call_secs,
            ..subscriber.clone()
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<SubscriberId>,
    limit: Option<u32>,
    /// Only who is called this at the door.
    identity: Option<String>,
    /// Only who has verified this number.
    number: Option<E164>,
    /// Only those whose name has this in it.
    name: Option<String>,
    /// Only those who spend from this account.
    account_id: Option<AccountId>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let mut connection = state.database.read().await?;
    let found = match (asked.identity, asked.number) {
        (Some(identity), _) => store::find(&mut connection, caller.tenant, &identity).await?.into_iter().collect(),
        (None, Some(number)) => store::find_by_number(&mut connection, caller.tenant, number).await?,
        (None, None) => {
            let name = asked.name.as_deref().filter(|name| !name.trim().is_empty());
            store::list(&mut connection, caller.tenant, (name, asked.account_id), asked.after, limit + 1).await?
        }
    };
    let mut shapes = Vec::with_capacity(found.len());
    for subscriber in &found {
        shapes.push(shape(&mut connection, subscriber, false).await?);
    }
    Ok(page(shapes, limit, |shape| shape["id"].as_str().unwrap_or_default().to_owned(), Value::clone))
}

/// A subscriber as the API shows it, whole or as one of a list.
async fn shape(connection: &mut Connection, subscriber: &Subscriber, whole: bool) -> Result<Value, Problem> {
    let account = account(connection, subscriber.tenant, subscriber.account).await?;
    let balance = Money { amount: account.balance, currency: account.currency };
    let mut shape = json!({ "id": subscriber.id, "account_id": subscriber.account, "balance": balance });
    if let (Value::Object(shape), Value::Object(fields)) = (&mut shape, json!(Fields::of(subscriber, account.currency))) {
        shape.extend(fields);
        if whole {
            shape.insert("identities".to_owned(), json!(store::list_identities(connection, subscriber.id).await?));
            let numbers = store::list_numbers(connection, subscriber.id).await?;
            shape.insert("numbers".to_owned(), json!(numbers.iter().map(|number| number.number).collect::<Vec<_>>()));
        }
        shape.insert("created_at".to_owned(), json!(subscriber.created_at));
    }
    Ok(shape)
}

async fn account(connection: &mut Connection, tenant: TenantId, id: AccountId) -> Result<Account, Problem> {
    ledger::store::get(connection, id)
        .await?
        .filter(|account| account.tenant == tenant)
        .ok_or_else(|| Problem::unfit("account_id", "There is no such account. Create it first, or check the id."))
}

#[derive(Debug, Deserialize)]
struct New {
    account_id: Option<AccountId>,
    currency: Option<Currency>,
    #[serde(default)]
    identities: Vec<String>,
    #[serde(default)]
    numbers: Vec<E164>,
}

async fn create(From(state): From<State>, Extension(caller): Extension<Caller>, Body(body, _): Body<Value>) -> Result<Response, Problem> {
    caller.need(Scope::Subscribers)?;
    let (new, fields) = super::body::parted(body, &["account_id", "currency", "identities", "numbers"])?;
    let (new, fields): (New, Fields) = (from_value(new)?, from_value(fields)?);
    if new.identities.len() > MOST || new.numbers.len() > MOST {
        return Err(Problem::bad_request(format!("Give at most {MOST} identities and {MOST} numbers.")));
    }
    let house = state.clone();
    let (clock, random) = (state.clock.clone(), state.random.clone());
    let made = state.database.write(move |tx| {
        Box::pin(async move {
            let now = clock.timestamp();
            let account = match (new.account_id, new.currency) {
                (Some(id), None) => account(tx, caller.tenant, id).await?,
                (None, Some(currency)) => {
                    let id = AccountId::new(&clock, &random);
                    let account = Account {
                        id,
                        tenant: caller.tenant,
                        currency,
                        credit_limit: Micros::ZERO,
                        balance: Micros::ZERO,
                        held: Micros::ZERO,
                        low_balance: ledger::LOW_BALANCE,
                    };
                    ledger::store::create(tx, &account, now).await?;
                    account
                }
                _ => {
                    return Err(Problem::unfit(
                        "currency",
                        "Give either currency for a new account, such as EUR, or account_id of one that is there.",
                    ));
                }
            };
            fields.check(account.currency)?;
            check_deck(tx, caller.tenant, &fields, account.currency).await?;
            let subscriber = fields.onto(&Subscriber {
                id: SubscriberId::new(&clock, &random),
                tenant: caller.tenant,
                account: account.id,
                name: String::new(),
                home: "CZ".parse().map_err(|error| Problem::fault(&error))?,
                locale: english(),
                enabled: true,
                withholds_number: false,
                deck: None,
                access_wish: None,
                max_calls: None,
                spend_cap: None,
                max_price: None,
                max_calls_hour: None,
                longest_call_secs: None,
                created_at: now,
            });
            store::create(tx, &subscriber).await?;
            for identity in &new.identities {
                name(tx, "identities", subscriber.id, identity).await?;
            }
            for &number in &new.numbers {
                store::add_number(tx, subscriber.id, VerifiedNumber::new(number, now)).await?;
            }
            let made = shape(tx, &subscriber, true).await?;
            caller.note(tx, &house, "subscriber.create", subscriber.id, None, Some(made.clone())).await?;
            Ok(made)
        })
    });
    Ok((StatusCode::CREATED, Json(made.await?)).into_response())
}

/// A tariff in another currency could charge nobody.
async fn check_deck(tx: &mut Connection, tenant: TenantId, fields: &Fields, currency: Currency) -> Result<(), Problem> {
    let Some(id) = fields.deck_id else { return Ok(()) };
    let deck =
        crate::rating::store::get(tx, id).await?.filter(|deck| deck.tenant == Some(tenant) && deck.kind == crate::rating::Kind::Sell);
    let deck = deck.ok_or_else(|| Problem::unfit("deck_id", "There is no such deck. Create it first, or check the id."))?;
    if deck.currency == currency {
        Ok(())
    } else {
        Err(Problem::unfit("deck_id", format!("The deck is in {}, the account in {currency}. Choose a deck in {currency}.", deck.currency)))
    }
}

async fn name(tx: &mut Connection, field: &'static str, id: SubscriberId, identity: &str) -> Result<(), Problem> {
    let added =
        store::add_identity(tx, id, identity).await.map_err(taken("This identity stands for a subscriber already. Choose another."))?;
    if added { Ok(()) } else { Err(Problem::field(field, "Write a name of 1 to 255 characters on one line.")) }
}

pub(super) async fn found(connection: &mut Connection, tenant: TenantId, id: SubscriberId) -> Result<Subscriber, Problem> {
    let subscriber = store::get(connection, id).await?.filter(|subscriber| subscriber.tenant == tenant);
    subscriber.ok_or_else(|| Problem::not_found("subscriber"))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<SubscriberId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let mut connection = state.database.read().await?;
    let subscriber = found(&mut connection, caller.tenant, id).await?;
    Ok(Json(shape(&mut connection, &subscriber, true).await?))
}

async fn update(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<SubscriberId>,
    Body(patch, _): Body<Value>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Subscribers)?;
    let house = state.clone();
    let changed = state.database.write(move |tx| {
        Box::pin(async move {
            let subscriber = found(tx, caller.tenant, id).await?;
            if subscriber.name.is_empty() {
                return Err(Problem::conflict("The subscriber was deleted. Nothing of it can be changed; create another one."));
            }
            let account = account(tx, caller.tenant, subscriber.account).await?;
            let before = Fields::of(&subscriber, account.currency);
            let fields: Fields = from_value(patched(&before, patch)?)?;
            fields.check(account.currency)?;
            check_deck(tx, caller.tenant, &fields, account.currency).await?;
            let after = json!(fields);
            let subscriber = fields.onto(&subscriber);
            store::update(tx, &subscriber).await?;
            caller.note(tx, &house, "subscriber.update", id, Some(json!(before)), Some(after)).await?;
            shape(tx, &subscriber, true).await
        })
    });
    Ok(Json(changed.await?))
}

async fn remove(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<SubscriberId>) -> Result<StatusCode, Problem> {
    caller.need(Scope::Subscribers)?;
    let house = state.clone();
    let gone = state.database.write(move |tx| {
        Box::pin(async move {
            let subscriber = found(tx, caller.tenant, id).await?;
            let before = shape(tx, &subscriber, true).await?;
            let gone = store::delete(tx, id).await?;
            if gone {
                caller.note(tx, &house, "subscriber.delete", id, Some(before), None).await?;
            }
            Ok::<_, Problem>(gone)
        })
    });
    if gone.await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("subscriber")) }
}

async fn list_identities(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<SubscriberId>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let mut connection = state.database.read().await?;
    found(&mut connection, caller.tenant, id).await?;
    let names = store::list_identities(&mut connection, id).await?;
    Ok(Json(json!({ "items": names.iter().map(|name| json!({ "identity": name })).collect::<Vec<_>>(), "next": null })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewIdentity {
    identity: String,
}

async fn add_identity(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<SubscriberId>,
    Body(new, _): Body<NewIdentity>,
) -> Result<Response, Problem> {
    caller.need(Scope::Subscribers)?;
    let folded = crate::subscriber::number::fold_identity(&new.identity);
    let house = state.clone();
    let added = state.database.write(move |tx| {
        Box::pin(async move {
            found(tx, caller.tenant, id).await?;
            if store::list_identities(tx, id).await?.len() >= MOST {
                return Err(Problem::conflict(format!("The subscriber has {MOST} identities already. Remove one first.")));
            }
            name(tx, "identity", id, &new.identity).await?;
            caller.note(tx, &house, "subscriber.identity_add", id, None, Some(json!({ "identity": new.identity }))).await
        })
    });
    added.await?;
    Ok((StatusCode::CREATED, Json(json!({ "identity": folded }))).into_response())
}

async fn remove_identity(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Ids(id, identity): Ids<SubscriberId, String>,
) -> Result<StatusCode, Problem> {
    caller.need(Scope::Subscribers)?;
    let house = state.clone();
    let gone = state.database.write(move |tx| {
        Box::pin(async move {
            found(tx, caller.tenant, id).await?;
            let gone = store::remove_identity(tx, id, &identity).await?;
            if gone {
                caller.note(tx, &house, "subscriber.identity_remove", id, Some(json!({ "identity": identity })), None).await?;
            }
            Ok::<_, Problem>(gone)
        })
    });
    if gone.await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("identity of this subscriber")) }
}

fn number_shape(number: &VerifiedNumber) -> Value {
    json!({ "number": number.number, "verified_at": number.verified_at, "usable_from": number.usable_from })
}

async fn list_numbers(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<SubscriberId>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let mut connection = state.database.read().await?;
    found(&mut connection, caller.tenant, id).await?;
    let numbers = store::list_numbers(&mut connection, id).await?;
    Ok(Json(json!({ "items": numbers.iter().map(number_shape).collect::<Vec<_>>(), "next": null })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNumber {
    number: E164,
}

async fn add_number(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<SubscriberId>,
    Body(new, _): Body<NewNumber>,
) -> Result<Response, Problem> {
    caller.need(Scope::Subscribers)?;
    let verified = VerifiedNumber::new(new.number, state.clock.timestamp());
    let house = state.clone();
    let added = state.database.write(move |tx| {
        Box::pin(async move {
            found(tx, caller.tenant, id).await?;
            if store::list_numbers(tx, id).await?.len() >= MOST {
                return Err(Problem::conflict(format!("The subscriber has {MOST} numbers already. Remove one first.")));
            }
            let cool_down = crate::fraud::store::policy(tx, caller.tenant).await?.cool_down();
            store::change_number(tx, id, verified, cool_down).await?;
            let numbers = store::list_numbers(tx, id).await?;
            let added = numbers.into_iter().find(|number| number.number == verified.number).unwrap_or(verified);
            caller.note(tx, &house, "subscriber.number_add", id, None, Some(number_shape(&added))).await?;
            Ok(added)
        })
    });
    Ok((StatusCode::CREATED, Json(number_shape(&added.await?))).into_response())
}

async fn remove_number(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Ids(id, number): Ids<SubscriberId, E164>,
) -> Result<StatusCode, Problem> {
    caller.need(Scope::Subscribers)?;
    let house = state.clone();
    let gone = state.database.write(move |tx| {
        Box::pin(async move {
            found(tx, caller.tenant, id).await?;
            let gone = store::remove_number(tx, id, number).await?;
            if gone {
                caller.note(tx, &house, "subscriber.number_remove", id, Some(json!({ "number": number })), None).await?;
            }
            Ok::<_, Problem>(gone)
        })
    });
    if gone.await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("number of this subscriber")) }
}
