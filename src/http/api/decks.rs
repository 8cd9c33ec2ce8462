//! Rate decks: made, asked what a destination costs, rolled back, written out as a file. Files come in by `imports`.

use axum::body::Body as Stream;
use axum::extract::{Extension, State as From};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http_body_util::channel::Channel;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, line, page, page_length};
use super::imports::noted;
use crate::database::{Connection, Database};
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::Scope;
use crate::people::audit::{self, Act};
use crate::rating::import::{self, Writer};
use crate::rating::store::{self, Deck, DeckError, Filter, Version};
use crate::rating::{DENOMINATOR, Kind, Quote, numerator};
use crate::types::{Currency, DeckId, DeckVersionId, E164, Micros, Money, Timestamp};

/// Longest name.
const LONGEST_NAME: usize = 100;
/// Rates of a file that are read from the books at a time.
const RATES_A_PAGE: i64 = 5000;
/// Pieces of a file that wait to be sent.
const PIECES: usize = 4;

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/decks", get(list).post(create))
        .route("/decks/{deck_id}", get(one))
        .route("/decks/{deck_id}/rate", get(rate))
        .route("/decks/{deck_id}/export", get(export))
        .route("/decks/{deck_id}/roll_back", post(roll_back))
}

fn shape(deck: &Deck) -> Value {
    json!({ "id": deck.id, "name": deck.name, "kind": deck.kind, "currency": deck.currency, "created_at": deck.created_at })
}

pub(super) fn version_shape(version: &Version) -> Value {
    json!({
        "id": version.id,
        "number": version.number,
        "fingerprint": version.fingerprint,
        "rounding": version.rounding,
        "duration_rounding": version.duration_rounding,
        "effective_from": version.effective_from,
        "created_at": version.created_at,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    kind: Option<Kind>,
    after: Option<DeckId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let filter = Filter { tenant: caller.tenant, operators: caller.principal.tenant.is_none(), kind: asked.kind };
    let decks = store::list(&mut *state.database.read().await?, filter, asked.after, limit + 1).await?;
    Ok(page(decks, limit, |deck| deck.id, shape))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    currency: Currency,
    #[serde(default)]
    kind: Kind,
}

async fn create(From(state): From<State>, Extension(caller): Extension<Caller>, Body(new, _): Body<New>) -> Result<Response, Problem> {
    caller.need(Scope::Decks)?;
    line("name", &new.name, 1, LONGEST_NAME)?;
    let id = DeckId::new(&state.clock, &state.random);
    let tenant = match new.kind {
        Kind::Sell => Some(caller.tenant),
        Kind::Cost => {
            caller.need_operator()?;
            None
        }
    };
    let deck = Deck { id, tenant, kind: new.kind, name: new.name, currency: new.currency, created_at: state.clock.timestamp() };
    let row = deck.clone();
    let act = Act { tenant, ..caller.act(&state, "deck.create", id, None, Some(shape(&deck))) };
    let made = state.database.write(move |tx| {
        Box::pin(async move {
            store::create(tx, &row).await?;
            Ok::<_, Problem>(audit::note(tx, &act).await?)
        })
    });
    made.await?;
    refresh(&state).await;
    Ok((StatusCode::CREATED, Json(shape(&deck))).into_response())
}

impl std::convert::From<DeckError> for Problem {
    fn from(error: DeckError) -> Self {
        match error {
            DeckError::NameTaken => {
                let message = "There is a deck of this name. Choose another name, or import a new version of that deck.";
                Self { field: Some("name".into()), ..Self::conflict(message) }
            }
            DeckError::Database(error) => error.into(),
        }
    }
}

/// New calls see the change at once; other nodes within their next look.
pub(super) async fn refresh(state: &State) {
    if let Err(error) = store::refresh(&state.database, &state.decks, &state.rating, state.clock.timestamp()).await {
        tracing::error!(%error, "the decks were changed but could not be read again; calls use the old ones until the next look");
    }
}

/// The tenant's deck, or the operator's own.
pub(super) async fn found(connection: &mut Connection, caller: &Caller, id: DeckId) -> Result<Deck, Problem> {
    let deck = store::get(connection, id).await?.filter(|deck| caller.sees(deck.tenant));
    deck.ok_or_else(|| Problem::not_found("deck"))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<DeckId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let mut connection = state.database.read().await?;
    let deck = found(&mut connection, &caller, id).await?;
    let versions = store::versions(&mut connection, id).await?;
    let mut shape = shape(&deck);
    shape["versions"] = json!(versions.iter().map(version_shape).collect::<Vec<_>>());
    Ok(Json(shape))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    number: E164,
    /// Explains what a call of this many seconds costs.
    seconds: Option<u32>,
    /// Explains how long this much credit lasts.
    credit: Option<Micros>,
    /// As of this moment; now if left out.
    at: Option<Timestamp>,
}

async fn rate(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<DeckId>,
    Asked(asked): Asked<Question>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    found(&mut *state.database.read().await?, &caller, id).await?;
    let at = asked.at.unwrap_or_else(|| state.clock.timestamp());
    let shelf = state.decks.shelf();
    let quote = shelf.decks.get(&id).and_then(|deck| deck.quote(asked.number, at)).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no_rate",
            "No prefix of this deck fits the number at that time. Import a rate for it, or ask for another number.",
        )
    })?;
    Ok(Json(explanation(&asked, &quote, at)?))
}

fn explanation(asked: &Question, quote: &Quote, at: Timestamp) -> Result<Value, Problem> {
    const LONGEST: u32 = 86_400;
    if asked.seconds.is_some_and(|seconds| seconds > LONGEST) {
        return Err(Problem::field("seconds", format!("Ask for at most {LONGEST} seconds.")));
    }
    let currency = quote.currency;
    let money = |amount| Money { amount, currency };
    let mut shape = json!({
        "number": asked.number,
        "at": at,
        "deck_id": quote.deck,
        "version_id": quote.version,
        "prefix": quote.prefix,
        "name": quote.name,
        "per_minute": { "amount": quote.rate.per_minute, "currency": currency },
        "connect_fee": money(quote.rate.connect_fee),
        "first_secs": quote.rate.first_secs,
        "next_secs": quote.rate.next_secs,
        "min_secs": quote.rate.min_secs,
        "min_charge": money(quote.rate.min_charge),
        "grace_secs": quote.rate.grace_secs,
        "rounding": quote.rate.rounding,
        "duration_rounding": quote.rate.duration_rounding,
        "periods": quote.rate.periods,
    });
    if let Some(seconds) = asked.seconds {
        let charge = quote
            .rate
            .charge_at(seconds, at)
            .map_err(|_| Problem::unfit("seconds", "The charge is out of range. Ask for fewer seconds."))?;
        let exact = numerator(quote.rate.connect_fee, &quote.rate.segments(charge.billed_secs, at));
        shape["charge"] = json!({
            "seconds": seconds,
            "billed_secs": charge.billed_secs,
            "amount": money(charge.amount),
            "exact_micros": format!("{}/{DENOMINATOR}", if charge.billed_secs == 0 { 0 } else { exact }),
        });
    }
    if let Some(credit) = asked.credit {
        shape["affordable"] = json!({ "credit": money(credit), "seconds": quote.rate.affordable_at(credit, LONGEST, at) });
    }
    Ok(shape)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The version valid now if left out.
    version_id: Option<DeckVersionId>,
}

/// A version of the deck: the one that is named, or the one valid now.
async fn version_of(connection: &mut Connection, deck: DeckId, named: Option<DeckVersionId>, now: Timestamp) -> Result<Version, Problem> {
    let versions = store::versions(connection, deck).await?;
    let wanted = versions.into_iter().filter(|version| named.map_or(version.effective_from <= now, |named| version.id == named));
    let wanted = wanted.max_by_key(|version| (version.effective_from, version.number));
    wanted.ok_or_else(|| match named {
        Some(_) => Problem { field: Some("version_id".into()), ..Problem::not_found("version of this deck") },
        None => Problem::not_found("version of this deck that is valid now"),
    })
}

async fn export(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<DeckId>,
    Asked(asked): Asked<Which>,
) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let mut connection = state.database.read().await?;
    let deck = found(&mut connection, &caller, id).await?;
    let version = version_of(&mut connection, id, asked.version_id, state.clock.timestamp()).await?;
    drop(connection);
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(PIECES);
    let (database, number) = (state.database.clone(), version.number);
    tokio::spawn(async move {
        let mut last = String::new();
        let mut heading = true;
        loop {
            let piece = piece(&database, &version, &last, heading).await;
            heading = false;
            match piece {
                Ok(Some((end, bytes))) => {
                    last = end;
                    if sender.send_data(bytes).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(deck.id = %id, %error, "the file of a deck was broken off");
                    sender.abort(error);
                    return;
                }
            }
        }
    });
    let mut response = Response::new(Stream::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    let plain: String = deck.name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    if let Ok(attachment) = HeaderValue::from_str(&format!("attachment; filename=\"{plain}-{number}.csv\"")) {
        headers.insert(header::CONTENT_DISPOSITION, attachment);
    }
    Ok(response)
}

/// The next rates as a piece of the file, and the prefix it ends with.
async fn piece(database: &Database, version: &Version, last: &str, heading: bool) -> std::io::Result<Option<(String, Bytes)>> {
    let fault = |error: crate::database::Error| std::io::Error::other(error.to_string());
    let rates = store::rates(&mut *database.read().await.map_err(fault)?, version, last, RATES_A_PAGE).await.map_err(fault)?;
    let Some((end, _, _)) = rates.last() else { return Ok(None) };
    let mut bytes = Vec::new();
    let mut writer = if heading { Writer::begin(&mut bytes)? } else { Writer::more(&mut bytes) };
    for (prefix, name, rate) in &rates {
        writer.row(*prefix, name, rate)?;
    }
    writer.end()?;
    Ok(Some((end.to_string(), bytes.into())))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Back {
    version_id: DeckVersionId,
    effective_from: Option<Timestamp>,
}

async fn roll_back(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<DeckId>,
    Body(back, _): Body<Back>,
) -> Result<Response, Problem> {
    caller.need(Scope::Decks)?;
    let now = state.clock.timestamp();
    let mut connection = state.database.read().await?;
    let deck = found(&mut connection, &caller, id).await?;
    let old = version_of(&mut connection, id, Some(back.version_id), now).await?;
    let newest = store::versions(&mut connection, id).await?.into_iter().next();
    drop(connection);
    let effective_from = back.effective_from.map_or(now, |at| at.max(now));
    let before = newest.as_ref().map(version_shape);
    let act = Act { tenant: deck.tenant, ..caller.act(&state, "deck.roll_back", id, before, None) };
    let work = state.clone();
    // A version is written whole even if the client goes away.
    let written = tokio::spawn(async move {
        let act = |version: &Version| Some(noted(Act { after: Some(version_shape(version)), ..act }));
        import::roll_back(&work.database, &work.decks, &work.clock, &work.random, &old, effective_from, act).await
    });
    let version = written.await.map_err(|error| Problem::fault(&error))??;
    refresh(&state).await;
    let version = store::one_version(&mut *state.database.read().await?, version).await?.ok_or_else(|| Problem::not_found("version"))?;
    Ok((StatusCode::CREATED, Json(version_shape(&version))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Nanos;

    #[test]
    fn an_explanation_can_be_computed_by_hand() {
        let clock = crate::types::Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        let random = crate::types::Random::seeded(1);
        let quote = Quote {
            deck: DeckId::new(&clock, &random),
            version: crate::types::DeckVersionId::new(&clock, &random),
            prefix: "420".into(),
            name: "Czechia".into(),
            currency: "EUR".parse().unwrap(),
            rate: crate::rating::Rate {
                per_minute: Nanos::new(600_000_000),
                connect_fee: Micros::ZERO,
                first_secs: 60,
                next_secs: 60,
                min_secs: 0,
                min_charge: Micros::ZERO,
                grace_secs: 0,
                rounding: crate::rating::Rounding::Up,
                duration_rounding: crate::rating::DurationRounding::Up,
                periods: crate::rating::Periods::default(),
            },
        };
        let asked =
            Question { number: "+420601123456".parse().unwrap(), seconds: Some(61), credit: Some(Micros::new(1_000_000)), at: None };
        let told = explanation(&asked, &quote, clock.timestamp()).unwrap();
        assert_eq!(told["charge"]["amount"], json!({ "amount": "1.20", "currency": "EUR" }));
        assert_eq!((&told["charge"]["billed_secs"], &told["affordable"]["seconds"]), (&json!(120), &json!(60)));
        assert_eq!(told["charge"]["exact_micros"], "72000000000/60000");
    }
}
