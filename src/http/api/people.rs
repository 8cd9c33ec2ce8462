//! The people who keep the books: who there is, what they may do, the links that let them in.

use axum::extract::{Extension, State as From};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, from_value, page, page_length, patched};
use crate::database::Connection;
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::person::{self, Change, NewPerson, Person};
use crate::people::{Role, Scope, audit, invitation, sign_in};
use crate::types::{PersonId, Secret, Timestamp};

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/people", get(list).post(create))
        .route("/people/{person_id}", get(one).patch(update).delete(remove))
        .route("/people/{person_id}/invite", post(invite))
        .route("/people/{person_id}/totp", delete(forget_second_factor))
        .route("/people/{person_id}/sign-ins", get(sign_ins).delete(sign_out))
}

pub(super) fn shape(person: &Person) -> Value {
    json!({
        "id": person.id,
        "tenant": person.tenant,
        "login": person.login,
        "name": person.name,
        "role": person.role,
        "enabled": person.enabled,
        "accepted": person.accepted,
        "second_factor": person.second_factor,
        "created_at": person.created_at,
        "signed_in_at": person.signed_in_at,
    })
}

fn with_link(person: &Person, (token, expires_at): &(Secret, Timestamp)) -> Value {
    let mut shape = shape(person);
    shape["invitation"] = json!({ "token": token.expose(), "path": invitation::path(token), "expires_at": expires_at });
    shape
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<PersonId>,
    limit: Option<u32>,
    operator: Option<bool>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::People)?;
    let limit = page_length(asked.limit)?;
    let whose = caller.whose(asked.operator)?;
    let people = person::list(&mut *state.database.read().await?, whose, asked.after, limit + 1).await?;
    Ok(page(people, limit, |person| person.id, shape))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    login: String,
    name: String,
    role: Role,
    operator: Option<bool>,
}

async fn create(From(state): From<State>, Extension(caller): Extension<Caller>, Body(new, _): Body<New>) -> Result<Response, Problem> {
    caller.need(Scope::People)?;
    caller.need_confirmed()?;
    let new = NewPerson { tenant: caller.whose(new.operator)?, login: new.login, name: new.name, role: new.role };
    let house = state.clone();
    let made = state.database.write(move |tx| {
        Box::pin(async move {
            let person = person::create(tx, &caller.principal, new, &house.clock, &house.random).await?;
            let link = invitation::create(tx, Some(person.id), &house.clock, &house.random).await?;
            audit::note(tx, &caller.act_for(&house, person.tenant, "person.create", person.id, None, Some(shape(&person)))).await?;
            Ok::<_, Problem>(with_link(&person, &link))
        })
    });
    Ok((StatusCode::CREATED, Json(made.await?)).into_response())
}

async fn known(connection: &mut Connection, caller: &Caller, id: PersonId) -> Result<Person, Problem> {
    let found = person::get(connection, id, caller.tenant, caller.is_operator()).await?;
    found.ok_or_else(|| Problem::not_found("person"))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<PersonId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::People)?;
    Ok(Json(shape(&known(&mut *state.database.read().await?, &caller, id).await?)))
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: String,
    role: Role,
    enabled: bool,
}

async fn update(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<PersonId>,
    Body(patch, _): Body<Value>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::People)?;
    caller.need_confirmed()?;
    let house = state.clone();
    let changed = state.database.write(move |tx| {
        Box::pin(async move {
            let before = known(tx, &caller, id).await?;
            let fields = Fields { name: before.name.clone(), role: before.role, enabled: before.enabled };
            let fields: Fields = from_value(patched(&fields, patch)?)?;
            let change = Change { name: Some(fields.name), role: Some(fields.role), enabled: Some(fields.enabled) };
            let after = person::update(tx, &caller.principal, &before, &change).await?;
            let line = caller.act_for(&house, after.tenant, "person.update", id, Some(shape(&before)), Some(shape(&after)));
            audit::note(tx, &line).await?;
            Ok::<_, Problem>(shape(&after))
        })
    });
    Ok(Json(changed.await?))
}

async fn remove(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<PersonId>) -> Result<StatusCode, Problem> {
    caller.need(Scope::People)?;
    caller.need_confirmed()?;
    let house = state.clone();
    let done = state.database.write(move |tx| {
        Box::pin(async move {
            let person = known(tx, &caller, id).await?;
            person::remove(tx, &caller.principal, &person).await?;
            audit::note(tx, &caller.act_for(&house, person.tenant, "person.remove", id, Some(shape(&person)), None)).await?;
            Ok::<_, Problem>(StatusCode::NO_CONTENT)
        })
    });
    done.await
}

async fn invite(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<PersonId>) -> Result<Response, Problem> {
    caller.need(Scope::People)?;
    caller.need_confirmed()?;
    let house = state.clone();
    let made = state.database.write(move |tx| {
        Box::pin(async move {
            let person = known(tx, &caller, id).await?;
            person::may_change(&caller.principal, &person)?;
            let link = invitation::create(tx, Some(id), &house.clock, &house.random).await?;
            audit::note(tx, &caller.act_for(&house, person.tenant, "person.invite", id, None, None)).await?;
            Ok::<_, Problem>(with_link(&person, &link))
        })
    });
    Ok((StatusCode::CREATED, Json(made.await?)).into_response())
}

async fn forget_second_factor(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<PersonId>,
) -> Result<StatusCode, Problem> {
    caller.need(Scope::People)?;
    caller.need_confirmed()?;
    let house = state.clone();
    let done = state.database.write(move |tx| {
        Box::pin(async move {
            let person = known(tx, &caller, id).await?;
            person::forget_second_factor(tx, &caller.principal, &person).await?;
            audit::note(tx, &caller.act_for(&house, person.tenant, "person.totp_remove", id, None, None)).await?;
            Ok::<_, Problem>(StatusCode::NO_CONTENT)
        })
    });
    done.await
}

async fn sign_ins(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<PersonId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::People)?;
    let mut connection = state.database.read().await?;
    let person = known(&mut connection, &caller, id).await?;
    let found = sign_in::list(&mut connection, person.id, state.clock.timestamp()).await?;
    let items: Vec<Value> = found
        .iter()
        .map(|one| {
            json!({
                "id": one.id, "source": one.source, "agent": one.agent,
                "created_at": one.created_at, "seen_at": one.seen_at, "ends_at": one.ends_at(),
            })
        })
        .collect();
    Ok(Json(json!({ "items": items, "next": Value::Null })))
}

async fn sign_out(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<PersonId>) -> Result<StatusCode, Problem> {
    caller.need(Scope::People)?;
    let house = state.clone();
    let done = state.database.write(move |tx| {
        Box::pin(async move {
            let person = known(tx, &caller, id).await?;
            person::sign_out(tx, &caller.principal, &person, house.clock.timestamp()).await?;
            audit::note(tx, &caller.act_for(&house, person.tenant, "person.sign_out", id, None, None)).await?;
            Ok::<_, Problem>(StatusCode::NO_CONTENT)
        })
    });
    done.await
}
