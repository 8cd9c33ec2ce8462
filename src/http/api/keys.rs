//! The keys to this API: who has one, what it may do, when it was last used, and taking it back.

use std::collections::BTreeSet;

use axum::extract::{Extension, State as From};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, from_value, line, page, page_length, patched};
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::key::{self, ApiKey, LONGEST_NAME, NewKey};
use crate::people::{Scope, audit};
use crate::types::{ApiKeyId, Timestamp};

pub(super) fn router() -> Router<State> {
    Router::new().route("/keys", get(list).post(create)).route("/keys/{key_id}", get(one).patch(update).delete(revoke))
}

fn shape(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": key.scopes,
        "made_by": key.made_by,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<ApiKeyId>,
    limit: Option<u32>,
    operator: Option<bool>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::People)?;
    let limit = page_length(asked.limit)?;
    let tenant = caller.whose(asked.operator)?;
    let keys = key::list(&mut *state.database.read().await?, tenant, asked.after, limit + 1).await?;
    Ok(page(keys, limit, |key| key.id, shape))
}

/// What can be said of a key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: String,
    scopes: BTreeSet<Scope>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

impl Fields {
    fn checked(self, now: Timestamp) -> Result<Self, Problem> {
        line("name", &self.name, 1, LONGEST_NAME)?;
        if self.scopes.is_empty() {
            return Err(Problem::field("scopes", "Name at least one scope, such as read."));
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(Problem::unfit("expires_at", "Name a time that lies ahead, or leave it out."));
        }
        Ok(self)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    scopes: BTreeSet<Scope>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    operator: Option<bool>,
}

async fn create(From(state): From<State>, Extension(caller): Extension<Caller>, Body(new, _): Body<New>) -> Result<Response, Problem> {
    caller.need(Scope::People)?;
    caller.need_confirmed()?;
    let tenant = caller.whose(new.operator)?;
    let fields = Fields { name: new.name, scopes: new.scopes, expires_at: new.expires_at }.checked(state.clock.timestamp())?;
    let new = NewKey { tenant, name: fields.name, scopes: fields.scopes, expires_at: fields.expires_at };
    let house = state.clone();
    let made = state.database.write(move |tx| {
        Box::pin(async move {
            let (key, secret) = key::make(tx, &caller.principal, new, &house.clock, &house.random).await?;
            audit::note(tx, &caller.act_for(&house, key.tenant, "key.create", key.id, None, Some(shape(&key)))).await?;
            Ok::<_, Problem>((key, secret))
        })
    });
    let (key, secret) = made.await?;
    let mut shape = shape(&key);
    shape["key"] = json!(secret.expose());
    Ok((StatusCode::CREATED, Json(shape)).into_response())
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<ApiKeyId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::People)?;
    let found = key::get(&mut *state.database.read().await?, id, caller.tenant, caller.is_operator()).await?;
    Ok(Json(shape(&found.ok_or_else(|| Problem::not_found("key"))?)))
}

async fn update(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<ApiKeyId>,
    Body(patch, _): Body<Value>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::People)?;
    caller.need_confirmed()?;
    let house = state.clone();
    let changed = state.database.write(move |tx| {
        Box::pin(async move {
            let before = live(key::get(tx, id, caller.tenant, caller.is_operator()).await?)?;
            let fields = Fields { name: before.name.clone(), scopes: before.scopes.clone(), expires_at: before.expires_at };
            let fields: Fields = from_value(patched(&fields, patch)?)?;
            let fields = fields.checked(house.clock.timestamp())?;
            let after = ApiKey { name: fields.name, scopes: fields.scopes, expires_at: fields.expires_at, ..before.clone() };
            key::update(tx, &caller.principal, &before, &after).await?;
            let line = caller.act_for(&house, after.tenant, "key.update", id, Some(shape(&before)), Some(shape(&after)));
            audit::note(tx, &line).await?;
            Ok::<_, Problem>(shape(&after))
        })
    });
    Ok(Json(changed.await?))
}

async fn revoke(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<ApiKeyId>) -> Result<StatusCode, Problem> {
    caller.need(Scope::People)?;
    let house = state.clone();
    let done = state.database.write(move |tx| {
        Box::pin(async move {
            let key = live(key::get(tx, id, caller.tenant, caller.is_operator()).await?)?;
            key::revoke(tx, id, house.clock.timestamp()).await?;
            audit::note(tx, &caller.act_for(&house, key.tenant, "key.revoke", id, Some(shape(&key)), None)).await?;
            Ok::<_, Problem>(StatusCode::NO_CONTENT)
        })
    });
    done.await
}

/// A key that was taken back stays on the list and is nothing else any more.
fn live(found: Option<ApiKey>) -> Result<ApiKey, Problem> {
    found.filter(|key| key.revoked_at.is_none()).ok_or_else(|| Problem::not_found("live key"))
}
