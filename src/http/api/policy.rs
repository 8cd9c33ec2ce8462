//! A tenant's own rules on what may be called.

use axum::extract::{Extension, State as From};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::body::{Body, from_value, patched};
use crate::fraud::{Policy, store};
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::{Scope, audit};

pub(super) fn router() -> Router<State> {
    Router::new().route("/policy", get(one).patch(update))
}

fn shape(policy: &Policy) -> Value {
    json!(policy)
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    Ok(Json(shape(&store::policy(&mut *state.database.read().await?, caller.tenant).await?)))
}

async fn update(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Body(patch, _): Body<Value>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Fraud)?;
    caller.need_confirmed()?;
    let house = state.clone();
    let changed = state.database.write(move |tx| {
        Box::pin(async move {
            let before = store::policy(tx, caller.tenant).await?;
            let after: Policy = from_value(patched(&before, patch)?)?;
            after.check().map_err(|(field, problem)| Problem::unfit(field, problem))?;
            store::set_policy(tx, caller.tenant, &after).await?;
            audit::note(tx, &caller.act(&house, "policy.update", caller.tenant, Some(shape(&before)), Some(shape(&after)))).await?;
            Ok::<_, Problem>(shape(&after))
        })
    });
    let after = changed.await?;
    store::refresh(&state.database, &state.rules).await?;
    Ok(Json(after))
}
