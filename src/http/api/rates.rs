//! Why a call costs what it costs, and what currencies are in each other.

use axum::extract::{Extension, State as From};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, page_length};
use crate::cdr;
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::ledger;
use crate::people::Scope;
use crate::people::audit::{self, Act};
use crate::rating::explain::{Explanation, Talk, unpriced};
use crate::rating::store;
use crate::rating::{Fraction, FxRate, Kind, Quote};
use crate::subscriber;
use crate::types::{CallId, Country, Currency, DeckId, E164, MoneyError, Refusal, SubscriberId, Timestamp, is_emergency};

/// A question without a length is about a call of a minute.
const A_MINUTE: u32 = 60;
/// Longest call that is explained: a day.
const LONGEST_SECS: u32 = 86_400;

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/rates/explain", get(explain))
        .route("/cdrs/{call_id}/explain", get(explain_call))
        .route("/fx-rates", get(list_fx).post(add_fx))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    number: E164,
    /// Whose tariff; the default one if both are left out.
    subscriber_id: Option<SubscriberId>,
    deck_id: Option<DeckId>,
    /// Answered at this moment; now if left out.
    at: Option<Timestamp>,
    duration_secs: Option<u32>,
}

async fn explain(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<Question>,
) -> Result<Json<Explanation>, Problem> {
    caller.need(Scope::Read)?;
    let secs = asked.duration_secs.unwrap_or(A_MINUTE);
    if secs > LONGEST_SECS {
        return Err(Problem::field("duration_secs", format!("Ask for at most {LONGEST_SECS} seconds.")));
    }
    let own: Vec<Country> = asked.number.country().into_iter().collect();
    if is_emergency(&asked.number.to_string(), &own) {
        return Err(Refusal::Emergency.into());
    }
    let at = asked.at.unwrap_or_else(|| state.clock.timestamp());
    let mut connection = state.database.read().await?;
    let deck = match (asked.deck_id, asked.subscriber_id) {
        (Some(_), Some(_)) => return Err(Problem::unfit("deck_id", "Name a deck or a subscriber, not both.")),
        (Some(id), None) => {
            let deck = store::get(&mut connection, id).await?.filter(|deck| caller.sees(deck.tenant));
            Some(deck.ok_or_else(|| Problem::not_found("deck"))?.id)
        }
        (None, Some(id)) => {
            let found = subscriber::store::get(&mut connection, id).await?.filter(|found| found.tenant == caller.tenant);
            found.ok_or_else(|| Problem::not_found("subscriber"))?.deck
        }
        (None, None) => None,
    };
    let shelf = state.decks.shelf();
    let deck = deck.or_else(|| shelf.defaults.get(&caller.tenant).copied()).and_then(|id| shelf.decks.get(&id));
    let quote = deck.and_then(|deck| deck.quote(asked.number, at)).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no_rate",
            "No prefix of the deck fits the number at that time, so the call would be refused. Import a rate for it, or ask for another number.",
        )
    })?;
    let carriers = if caller.principal.tenant.is_none() && deck.is_some_and(|deck| deck.kind == Kind::Sell) {
        carriers(&state, asked.number, at)
    } else {
        Vec::new()
    };
    let duration = std::time::Duration::from_secs(secs.into());
    let talk = Talk { answered_at: at, duration, funded_secs: None, answered: true };
    let explanation = store::explain(&mut connection, Some(asked.number), &quote, talk, carriers).await?;
    explanation.map(Json).map_err(out_of_range)
}

fn out_of_range(error: MoneyError) -> Problem {
    Problem::unfit("duration_secs", format!("The charge cannot be computed: {error}. Ask for fewer seconds."))
}

/// The trunks that may take the number and have a carrier's deck, with its price.
fn carriers(state: &State, number: E164, at: Timestamp) -> Vec<(String, Option<Quote>)> {
    let trunks = state.trunks.candidates(number).into_iter();
    trunks.filter_map(|trunk| Some((trunk.name.clone(), state.decks.cost(trunk.settings.cost_deck?, number, at)))).collect()
}

async fn explain_call(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<CallId>,
) -> Result<Json<Explanation>, Problem> {
    caller.need(Scope::Read)?;
    let mut connection = state.database.read().await?;
    let record = cdr::store::get(&mut connection, id).await?.filter(|record| caller.sees(record.tenant));
    let record = record.ok_or_else(|| Problem::not_found("call record"))?;
    let Some((quote, _)) = &record.charged else {
        return Ok(Json(unpriced(record.destination, record.began_at, cdr::cause_word(record.cause))));
    };
    let carriers = if caller.principal.tenant.is_none() {
        record.cost.iter().map(|(quote, _)| (record.trunk_out.clone().unwrap_or_default(), Some(quote.clone()))).collect()
    } else {
        Vec::new()
    };
    let talk = Talk {
        answered_at: record.answered_at.unwrap_or(record.began_at),
        duration: record.duration,
        funded_secs: ledger::store::funded_secs(&mut connection, id).await?,
        answered: record.answered_at.is_some(),
    };
    let explanation = store::explain(&mut connection, record.destination, quote, talk, carriers).await?;
    explanation.map(Json).map_err(|error| Problem::fault(&error))
}

fn fx_shape(rate: &FxRate) -> Value {
    json!({
        "from": rate.from,
        "to": rate.to,
        "rate": rate.rate,
        "numerator": rate.rate.numerator(),
        "denominator": rate.rate.denominator(),
        "effective_from": rate.effective_from,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Newest {
    limit: Option<u32>,
}

async fn list_fx(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<Newest>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    caller.need_operator()?;
    let limit = usize::try_from(page_length(asked.limit)?).unwrap_or(usize::MAX);
    let rates = store::fx_rates(&mut *state.database.read().await?).await?;
    Ok(Json(json!({ "items": rates.iter().take(limit).map(fx_shape).collect::<Vec<_>>() })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFx {
    from: Currency,
    to: Currency,
    /// `0.9231` or `9231/10000`
    rate: String,
    effective_from: Option<Timestamp>,
}

async fn add_fx(From(state): From<State>, Extension(caller): Extension<Caller>, Body(new, _): Body<NewFx>) -> Result<Response, Problem> {
    caller.need(Scope::Decks)?;
    caller.need_operator()?;
    if new.from == new.to {
        return Err(Problem::unfit("to", "Name two currencies: one in itself is always one."));
    }
    let rate: Fraction = new.rate.parse().map_err(|error| Problem::unfit("rate", format!("Not a rate: {error}.")))?;
    let now = state.clock.timestamp();
    let rate = FxRate { from: new.from, to: new.to, rate, effective_from: new.effective_from.unwrap_or(now) };
    let target = format!("{}/{}", rate.from, rate.to);
    let act = Act { tenant: None, ..caller.act(&state, "fx_rate.add", target, None, Some(fx_shape(&rate))) };
    let added = state.database.write(move |tx| {
        Box::pin(async move {
            if !store::add_fx_rate(tx, &rate, now).await? {
                let message = "There is a rate of these currencies from the same moment on. Rates are only added: choose a later moment.";
                return Err(Problem { field: Some("effective_from".into()), ..Problem::conflict(message) });
            }
            Ok(audit::note(tx, &act).await?)
        })
    });
    added.await?;
    super::decks::refresh(&state).await;
    Ok((StatusCode::CREATED, Json(fx_shape(&rate))).into_response())
}
