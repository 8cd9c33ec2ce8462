//! One-time links: what one is for, and the password that is chosen by it. Whoever holds the link may.

use axum::extract::State as From;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Body, Id};
use super::people;
use super::session::{acting, open};
use crate::http::caller::Visitor;
use crate::http::error::Problem;
use crate::http::{State, gate};
use crate::people::invitation::{self, Acceptance, Invitation};
use crate::people::{PeopleError, audit, sign_in};
use crate::tenant;
use crate::types::Secret;

pub(super) fn router() -> Router<State> {
    Router::new().route("/invitations/{token}", get(one).post(accept))
}

async fn find(state: &State, visitor: &Visitor, token: &str) -> Result<Invitation, Problem> {
    state.gate.may_try("invitation", visitor.client)?;
    let found = invitation::find(&mut *state.database.read().await?, token, state.clock.timestamp()).await?;
    found.ok_or_else(|| {
        state.gate.tried("invitation", visitor.client, false);
        PeopleError::Gone.into()
    })
}

async fn one(From(state): From<State>, visitor: Visitor, Id(token): Id<String>) -> Result<Json<Value>, Problem> {
    let found = find(&state, &visitor, &token).await?;
    let tenant = match found.person.as_ref().and_then(|person| person.tenant) {
        Some(id) => tenant::store::get(&mut *state.database.read().await?, id).await?.map(|tenant| tenant.slug),
        None => None,
    };
    Ok(Json(json!({
        "makes": if found.person.is_some() { "password" } else { "owner" },
        "login": found.person.as_ref().map(|person| &person.login),
        "name": found.person.as_ref().map(|person| &person.name),
        "tenant": tenant,
        "second_factor": found.person.as_ref().is_some_and(|person| person.second_factor),
        "expires_at": found.expires_at,
    })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    #[serde(default)]
    login: Option<String>,
    #[serde(default)]
    name: Option<String>,
    password: Secret,
    #[serde(default)]
    code: Option<String>,
}

async fn accept(
    From(state): From<State>,
    visitor: Visitor,
    Id(token): Id<String>,
    Body(chosen, _): Body<Chosen>,
) -> Result<Response, Problem> {
    gate::cookie_name(visitor.client)?;
    let found = find(&state, &visitor, &token).await?;
    invitation::check(&found, chosen.login.as_deref(), chosen.password.expose())?;
    let hashed = state.gate.hash(chosen.password).await?;
    let acceptance = Acceptance { login: chosen.login, name: chosen.name, hashed };
    let (house, from, code) = (state.clone(), visitor.clone(), chosen.code);
    let accepted = state.database.write(move |tx| {
        Box::pin(async move {
            let now = house.clock.timestamp();
            if let Some(person) = &found.person {
                // Whoever has a second factor shows it here too: the link alone is not enough.
                sign_in::second_factor(tx, person, code.as_deref(), house.sealer.as_ref(), now).await?;
            }
            let person = invitation::accept(tx, &token, acceptance, &house.clock, &house.random).await?;
            let line =
                acting(&person, &from).act_for(&house, person.tenant, "person.accept", person.id, None, Some(people::shape(&person)));
            audit::note(tx, &line).await?;
            Ok::<_, Problem>(person)
        })
    });
    let person = accepted.await?;
    // The second factor was shown a moment ago, and each code counts once: somebody who has one signs in by the sign-in page.
    if person.second_factor {
        return Ok(Json(json!({ "person": people::shape(&person), "csrf": Value::Null })).into_response());
    }
    let mut signed_in = open(&state, &visitor, person, None, None).await?;
    *signed_in.status_mut() = StatusCode::OK;
    Ok(signed_in)
}
