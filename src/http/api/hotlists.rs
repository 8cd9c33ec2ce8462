//! Lists of numbers and prefixes that must not be called.

use axum::extract::{DefaultBodyLimit, Extension, State as From};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, line, page, page_length};
use crate::fraud::hotlist::{self, Hotlist};
use crate::fraud::store;
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::{Scope, audit};
use crate::types::HotlistId;

/// Longest name or source.
const LONGEST_TEXT: usize = 200;

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/hotlists", get(list).post(create))
        .route("/hotlists/{hotlist_id}", get(one).put(replace).delete(delete))
        .route("/hotlists/{hotlist_id}/entries", get(entries))
        .layer(DefaultBodyLimit::max(hotlist::MOST_BYTES))
}

fn shape(list: &Hotlist) -> Value {
    json!({
        "id": list.id,
        "operator": list.tenant.is_none(),
        "name": list.name,
        "source": list.source,
        "entries": list.entries,
        "updated_at": list.updated_at,
    })
}

/// What a list is made of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    #[serde(default)]
    source: String,
    text: String,
    #[serde(default)]
    operator: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replacement {
    source: Option<String>,
    text: String,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let found = store::list(&mut *state.database.read().await?, caller.tenant).await?;
    Ok(Json(json!({ "items": found.iter().map(shape).collect::<Vec<_>>(), "next": null })))
}

async fn create(From(state): From<State>, Extension(caller): Extension<Caller>, Body(new, _): Body<New>) -> Result<Response, Problem> {
    caller.need(Scope::Fraud)?;
    if new.operator {
        caller.need_operator()?;
    }
    line("name", &new.name, 1, LONGEST_TEXT)?;
    line("source", &new.source, 0, LONGEST_TEXT)?;
    let entries = hotlist::read(&new.text).map_err(|problem| Problem::unfit("text", problem))?;
    let made = Hotlist {
        id: HotlistId::new(&state.clock, &state.random),
        tenant: (!new.operator).then_some(caller.tenant),
        name: new.name,
        source: new.source,
        entries: i64::try_from(entries.len()).unwrap_or(i64::MAX),
        updated_at: state.clock.timestamp(),
    };
    let shape = write(&state, caller, None, made, entries).await?;
    Ok((StatusCode::CREATED, Json(shape)).into_response())
}

/// Writes a list with its line of the audit log, and puts it to use.
async fn write(state: &State, caller: Caller, before: Option<Hotlist>, list: Hotlist, entries: Vec<u64>) -> Result<Value, Problem> {
    let (house, after) = (state.clone(), shape(&list));
    let line = after.clone();
    let written = state.database.write(move |tx| {
        Box::pin(async move {
            let siblings = store::list(tx, caller.tenant).await?.iter().filter(|other| other.tenant == list.tenant).count();
            if before.is_none() && siblings >= store::MOST_LISTS {
                return Err(Problem::conflict(format!("There are {} lists already. Delete or replace one.", store::MOST_LISTS)));
            }
            store::put(tx, &list, &entries).await?;
            let action = if before.is_some() { "hotlist.replace" } else { "hotlist.create" };
            audit::note(tx, &caller.act_for(&house, list.tenant, action, list.id, before.as_ref().map(shape), Some(line))).await?;
            Ok::<_, Problem>(())
        })
    });
    written.await?;
    store::refresh(&state.database, &state.rules).await?;
    Ok(after)
}

/// A list that counts for the tenant; another tenant's is unknown.
async fn found(state: &State, caller: &Caller, id: HotlistId) -> Result<Hotlist, Problem> {
    let found = store::get(&mut *state.database.read().await?, id).await?;
    found.filter(|list| list.tenant.is_none_or(|tenant| tenant == caller.tenant)).ok_or_else(|| Problem::not_found("hotlist"))
}

/// The same, if they may change it: the operator's own lists are the operator's to change.
async fn own(state: &State, caller: &Caller, id: HotlistId) -> Result<Hotlist, Problem> {
    caller.need(Scope::Fraud)?;
    let list = found(state, caller, id).await?;
    if list.tenant.is_none() {
        caller.need_operator()?;
    }
    Ok(list)
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<HotlistId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    Ok(Json(shape(&found(&state, &caller, id).await?)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    q: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

/// Digits that entries begin with, or come after.
fn digits(field: &'static str, text: Option<String>) -> Result<String, Problem> {
    let text = text.unwrap_or_default();
    let digits = text.strip_prefix('+').unwrap_or(&text);
    if digits.len() <= hotlist::LONGEST && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(digits.to_owned());
    }
    Err(Problem::field(field, "Write digits with country code, such as 88213."))
}

async fn entries(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<HotlistId>,
    Asked(asked): Asked<Page>,
) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let (begins, after) = (digits("q", asked.q)?, digits("after", asked.after)?);
    let list = found(&state, &caller, id).await?;
    let entries = store::entries(&mut *state.database.read().await?, list.id).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let entries = hotlist::page(&entries, &begins, &after, wanted);
    Ok(page(entries, limit, Clone::clone, |digits| json!({ "digits": digits })))
}

async fn replace(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<HotlistId>,
    Body(new, _): Body<Replacement>,
) -> Result<Json<Value>, Problem> {
    let before = own(&state, &caller, id).await?;
    let source = new.source.unwrap_or_else(|| before.source.clone());
    line("source", &source, 0, LONGEST_TEXT)?;
    let entries = hotlist::read(&new.text).map_err(|problem| Problem::unfit("text", problem))?;
    let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let after = Hotlist { source, entries: count, updated_at: state.clock.timestamp(), ..before.clone() };
    Ok(Json(write(&state, caller, Some(before), after, entries).await?))
}

async fn delete(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<HotlistId>) -> Result<StatusCode, Problem> {
    let before = own(&state, &caller, id).await?;
    let house = state.clone();
    let deleted = state.database.write(move |tx| {
        Box::pin(async move {
            store::delete(tx, id).await?;
            audit::note(tx, &caller.act_for(&house, before.tenant, "hotlist.delete", id, Some(shape(&before)), None)).await?;
            Ok::<_, Problem>(())
        })
    });
    deleted.await?;
    store::refresh(&state.database, &state.rules).await?;
    Ok(StatusCode::NO_CONTENT)
}
