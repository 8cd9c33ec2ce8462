//! The numbers people dial to reach us.

use axum::extract::{Extension, State as From};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, from_value, objects, page, page_length, parted, patched};
use crate::callthrough::access_number::Settings;
use crate::callthrough::{AccessNumber, store};
use crate::http::error::{Problem, taken};
use crate::http::{Caller, State};
use crate::people::Scope;
use crate::types::{Country, E164};

/// Most commas before digits.
const MOST_PAUSES: u8 = 10;

pub(super) fn router() -> Router<State> {
    Router::new().route("/access-numbers", get(list).post(create)).route("/access-numbers/{number}", get(one).patch(update).delete(remove))
}

/// What can be changed beside the settings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    country: Country,
    #[serde(default = "yes")]
    enabled: bool,
}

const fn yes() -> bool {
    true
}

fn fields(number: &AccessNumber) -> Value {
    let mut fields = json!(Head { country: number.country, enabled: number.enabled });
    if let (Value::Object(fields), Value::Object(settings)) = (&mut fields, json!(number.settings)) {
        fields.extend(settings);
    }
    fields
}

fn shape(number: &AccessNumber) -> Value {
    let mut shape = json!({ "number": number.number });
    if let (Value::Object(shape), Value::Object(fields)) = (&mut shape, fields(number)) {
        shape.extend(fields);
        shape.insert("created_at".to_owned(), json!(number.created_at));
    }
    shape
}

fn read(value: Value) -> Result<(Head, Settings), Problem> {
    let (head, settings) = parted(value, &["country", "enabled"])?;
    objects(&settings, &["coordinates"])?;
    let (head, settings): (Head, Settings) = (from_value(head)?, from_value(settings)?);
    if settings.modes.is_empty() {
        return Err(Problem::field("modes", "Name at least one mode, such as pinless."));
    }
    if settings.pauses > MOST_PAUSES {
        return Err(Problem::field("pauses", format!("Give at most {MOST_PAUSES} pauses.")));
    }
    if settings.coordinates.is_some_and(|place| !(-90.0..=90.0).contains(&place.latitude) || !(-180.0..=180.0).contains(&place.longitude)) {
        return Err(Problem::field("coordinates", "Write the latitude from -90 to 90 and the longitude from -180 to 180 degrees."));
    }
    Ok((head, settings))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<E164>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let numbers = store::list_access_numbers(&mut *state.database.read().await?).await?;
    let after = asked.after.map(|number| number.to_string());
    let ours = numbers.into_iter().filter(|number| number.tenant == caller.tenant);
    let rest = ours.filter(|number| after.as_ref().is_none_or(|after| number.number.to_string() > *after)).collect();
    Ok(page(rest, limit, |number| number.number, shape))
}

async fn create(From(state): From<State>, Extension(caller): Extension<Caller>, Body(body, _): Body<Value>) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    struct New {
        number: E164,
    }
    caller.need(Scope::Numbers)?;
    caller.need_operator()?;
    let (new, rest) = parted(body, &["number"])?;
    let (new, (head, settings)): (New, _) = (from_value(new)?, read(rest)?);
    let number = AccessNumber {
        tenant: caller.tenant,
        number: new.number,
        country: head.country,
        enabled: head.enabled,
        settings,
        created_at: state.clock.timestamp(),
    };
    let shape = shape(&number);
    let (house, after) = (state.clone(), shape.clone());
    let added = state.database.write(move |tx| {
        Box::pin(async move {
            let there = taken("This access number is there already. Change it with PATCH.");
            store::create_access_number(tx, &number).await.map_err(there)?;
            caller.note(tx, &house, "access_number.create", number.number, None, Some(after)).await
        })
    });
    added.await?;
    Ok((StatusCode::CREATED, Json(shape)).into_response())
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(number): Id<E164>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let found = store::get_access_number(&mut *state.database.read().await?, number).await?.filter(|number| number.tenant == caller.tenant);
    Ok(Json(shape(&found.ok_or_else(|| Problem::not_found("access number"))?)))
}

async fn update(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(number): Id<E164>,
    Body(patch, _): Body<Value>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Numbers)?;
    let house = state.clone();
    let changed = state.database.write(move |tx| {
        Box::pin(async move {
            let found = store::get_access_number(tx, number)
                .await?
                .filter(|found| found.tenant == caller.tenant)
                .ok_or_else(|| Problem::not_found("access number"))?;
            let before = shape(&found);
            let (head, settings) = read(patched(&fields(&found), patch)?)?;
            let changed = AccessNumber { country: head.country, enabled: head.enabled, settings, ..found };
            store::update_access_number(tx, &changed).await?;
            caller.note(tx, &house, "access_number.update", number, Some(before), Some(shape(&changed))).await?;
            Ok::<_, Problem>(shape(&changed))
        })
    });
    Ok(Json(changed.await?))
}

async fn remove(From(state): From<State>, Extension(caller): Extension<Caller>, Id(number): Id<E164>) -> Result<StatusCode, Problem> {
    caller.need(Scope::Numbers)?;
    caller.need_operator()?;
    let house = state.clone();
    let gone = state.database.write(move |tx| {
        Box::pin(async move {
            let found = store::get_access_number(tx, number).await?.filter(|found| found.tenant == caller.tenant);
            let Some(found) = found else { return Ok(false) };
            let gone = store::delete_access_number(tx, number).await?;
            caller.note(tx, &house, "access_number.delete", number, Some(shape(&found)), None).await?;
            Ok::<_, Problem>(gone)
        })
    });
    if gone.await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("access number")) }
}
