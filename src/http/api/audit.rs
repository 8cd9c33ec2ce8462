//! Who changed what: the log, newest first.

use axum::Router;
use axum::extract::{Extension, State as From};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, page, page_length};
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::Scope;
use crate::people::audit::{self, Filter, Line};
use crate::types::{AuditId, Timestamp};

pub(super) fn router() -> Router<State> {
    Router::new().route("/audit", get(list))
}

fn shape(line: &Line) -> Value {
    json!({
        "id": line.id,
        "tenant": line.tenant,
        "at": line.at,
        "who": line.who,
        "name": line.name,
        "from": line.from,
        "action": line.action,
        "target": line.target,
        "before": line.before,
        "after": line.after,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<AuditId>,
    limit: Option<u32>,
    who: Option<String>,
    action: Option<String>,
    target: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Audit)?;
    let limit = page_length(asked.limit)?;
    let filter = Filter {
        tenant: caller.tenant,
        operator: caller.is_operator(),
        who: asked.who,
        action: asked.action,
        target: asked.target,
        since: asked.since,
        until: asked.until,
        after: asked.after,
    };
    let lines = audit::list(&mut *state.database.read().await?, &filter, limit + 1).await?;
    Ok(page(lines, limit, |line| line.id, shape))
}
