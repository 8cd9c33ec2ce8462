//! What somebody should look at.

use axum::extract::{Extension, State as From};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, line, page, page_length};
use crate::alert::{self, Alert, Filter, Severity};
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::{Scope, audit};
use crate::types::AlertId;

/// Longest note.
const LONGEST_NOTE: usize = 500;

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/alerts", get(list))
        .route("/alerts/{alert_id}", get(one))
        .route("/alerts/{alert_id}/acknowledge", post(acknowledge))
}

fn shape(alert: &Alert) -> Value {
    json!({
        "id": alert.id,
        "kind": alert.kind,
        "severity": alert.severity,
        "subject": alert.subject,
        "text": alert.text,
        "times": alert.times,
        "first_at": alert.first_at,
        "last_at": alert.last_at,
        "acknowledged_at": alert.acknowledged_at,
        "acknowledged_by": alert.acknowledged_by,
        "note": alert.note,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    open: Option<bool>,
    kind: Option<String>,
    severity: Option<Severity>,
    after: Option<AlertId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let filter = Filter {
        tenant: caller.tenant,
        operator: caller.is_operator(),
        open: asked.open,
        kind: asked.kind,
        severity: asked.severity,
        after: asked.after,
    };
    let found = alert::list(&mut *state.database.read().await?, &filter, limit + 1).await?;
    Ok(page(found, limit, |alert| alert.id, shape))
}

fn visible(caller: &Caller, found: Option<Alert>) -> Result<Alert, Problem> {
    let found = found.filter(|alert| alert.tenant.map_or(caller.is_operator(), |tenant| tenant == caller.tenant));
    found.ok_or_else(|| Problem::not_found("alert"))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<AlertId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let found = alert::get(&mut *state.database.read().await?, id).await?;
    Ok(Json(shape(&visible(&caller, found)?)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    #[serde(default)]
    note: String,
}

/// Doing it twice keeps the first.
async fn acknowledge(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<AlertId>,
    Body(note, _): Body<Note>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Fraud)?;
    line("note", &note.note, 0, LONGEST_NOTE)?;
    let house = state.clone();
    let done = state.database.write(move |tx| {
        Box::pin(async move {
            let before = visible(&caller, alert::get(tx, id).await?)?;
            if before.acknowledged_at.is_some() {
                return Ok(before);
            }
            alert::acknowledge(tx, id, house.clock.timestamp(), &caller.principal.name, &note.note).await?;
            let after = visible(&caller, alert::get(tx, id).await?)?;
            let line = caller.act_for(&house, before.tenant, "alert.acknowledge", id, Some(shape(&before)), Some(shape(&after)));
            audit::note(tx, &line).await?;
            Ok::<_, Problem>(after)
        })
    });
    Ok(Json(shape(&done.await?)))
}
