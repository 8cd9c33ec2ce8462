//! The keys to this API: who has one, when it was last used, and taking it back. New ones are made on the server itself.

use axum::Router;
use axum::extract::{Extension, State as From};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Id, page, page_length};
use crate::http::error::Problem;
use crate::http::key::{self, ApiKey};
use crate::http::{Caller, State};
use crate::people::Scope;
use crate::types::ApiKeyId;

pub(super) fn router() -> Router<State> {
    Router::new().route("/keys", get(list)).route("/keys/{key_id}", delete(revoke))
}

fn shape(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<ApiKeyId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let keys = key::list(&state.database, asked.after, limit + 1).await?;
    Ok(page(keys, limit, |key| key.id, shape))
}

async fn revoke(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<ApiKeyId>) -> Result<StatusCode, Problem> {
    caller.need(Scope::People)?;
    if key::revoke(&state.database, &state.clock, id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("live key")) }
}
