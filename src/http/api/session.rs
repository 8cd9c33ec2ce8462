//! A person's own sign-in: in and out, the password given again, a second factor, another password.

use axum::extract::{Extension, State as From};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Body;
use super::people;
use crate::http::caller::{SignedIn, Visitor};
use crate::http::error::Problem;
use crate::http::{Caller, State, gate};
use crate::people::person::Person;
use crate::people::sign_in::{self, SignIn};
use crate::people::{PeopleError, Who, audit, password, person, totp};
use crate::tenant;
use crate::types::{PersonId, Secret, SignInId, TenantId};

/// What authenticator apps show above the code.
const ISSUER: &str = "callthrough";

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/session", get(one).post(begin).delete(end))
        .route("/session/confirm", post(confirm))
        .route("/session/password", post(change_password))
        .route("/session/totp", post(offer).delete(forget))
        .route("/session/totp/confirm", post(accept_offer))
}

/// Who is signed in, as a browser has to know it.
fn shape(person: &Person, sign_in: &SignIn, csrf: &Secret) -> Value {
    json!({
        "person": people::shape(person),
        "key": Value::Null,
        "tenant": person.tenant,
        "scopes": person.role.scopes(),
        "csrf": csrf.expose(),
        "created_at": sign_in.created_at,
        "confirmed_at": sign_in.confirmed_at,
        "ends_at": sign_in.ends_at(),
    })
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, visitor: Visitor) -> Result<Json<Value>, Problem> {
    if let Some(SignedIn { person, sign_in, csrf }) = visitor.signed_in(&state).await? {
        return Ok(Json(shape(&person, &sign_in, &csrf)));
    }
    let (person, key) = match caller.principal.who {
        // A page asks on behalf of its reader: the anti-forgery token stays with the browser.
        Who::Person(id) => (people::shape(&whole(&state, id).await?), Value::Null),
        Who::Key(id) => (Value::Null, json!(id)),
        Who::Server => (Value::Null, Value::Null),
    };
    Ok(Json(json!({
        "person": person,
        "key": key,
        "tenant": caller.principal.tenant,
        "scopes": caller.principal.scopes,
        "csrf": Value::Null,
        "created_at": Value::Null,
        "confirmed_at": Value::Null,
        "ends_at": Value::Null,
    })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The tenant's name in paths; without it the operator's own.
    #[serde(default)]
    tenant: Option<String>,
    login: String,
    password: Secret,
    #[serde(default)]
    code: Option<String>,
}

/// One answer for whoever is unknown, switched off, or wrong.
fn failed() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "sign_in_failed", "Unknown name or wrong password. Check both.")
}

async fn begin(From(state): From<State>, visitor: Visitor, Body(asked, _): Body<Credentials>) -> Result<Response, Problem> {
    gate::cookie_name(visitor.client)?;
    let slug = asked.tenant.as_deref().map(str::trim).filter(|slug| !slug.is_empty()).unwrap_or_default().to_lowercase();
    let name = format!("{slug}/{}", asked.login.trim().to_lowercase());
    state.gate.may_try(&name, visitor.client)?;
    let candidate = {
        let mut connection = state.database.read().await?;
        let tenant = match slug.as_str() {
            "" => Some(None),
            slug => tenant::store::by_slug(&mut connection, slug).await?.map(|tenant| Some(tenant.id)),
        };
        // A tenant that is not there has nobody, and it takes as long.
        match tenant {
            Some(tenant) => sign_in::candidate(&mut connection, tenant, &asked.login).await?,
            None => None,
        }
    };
    let (person, kept) = candidate.map_or((None, None), |(person, kept)| (Some(person), Some(kept)));
    let right = state.gate.verify(kept, asked.password).await?;
    let Some(person) = person.filter(|_| right) else {
        state.gate.tried(&name, visitor.client, false);
        tracing::info!(source = %visitor.client.address, "a sign-in failed");
        return Err(failed());
    };
    let old = visitor.signed_in(&state).await?.map(|old| old.sign_in.id);
    let begun = open(&state, &visitor, person, asked.code, old).await;
    // The password alone is not yet a sign-in; only a wrong code counts against the name.
    match &begun {
        Ok(_) => state.gate.tried(&name, visitor.client, true),
        Err(problem) if problem.code == "code_wrong" => state.gate.tried(&name, visitor.client, false),
        Err(_) => {}
    }
    begun
}

/// Signs somebody in whose password was right; an older sign-in of the same browser ends.
pub(super) async fn open(
    state: &State,
    visitor: &Visitor,
    person: Person,
    code: Option<String>,
    old: Option<SignInId>,
) -> Result<Response, Problem> {
    let (house, who, from) = (state.clone(), person.clone(), visitor.clone());
    let begun = state.database.write(move |tx| {
        Box::pin(async move {
            let now = house.clock.timestamp();
            sign_in::second_factor(tx, &who, code.as_deref(), house.sealer.as_ref(), now).await?;
            if let Some(old) = old {
                sign_in::end(tx, old, now).await?;
            }
            let source = from.client.address.to_string();
            let begun = sign_in::begin(tx, &who, (&source, &from.agent), &house.clock, &house.random).await?;
            let caller = acting(&who, &from);
            audit::note(tx, &caller.act_for(&house, who.tenant, "session.begin", who.id, None, None)).await?;
            Ok::<_, Problem>(begun)
        })
    });
    let (sign_in, token) = begun.await?;
    let body = Json(shape(&person, &sign_in, &sign_in::csrf(token.expose())));
    let mut response = (StatusCode::CREATED, body).into_response();
    response.headers_mut().append(header::SET_COOKIE, gate::set_cookie(visitor.client, &token)?);
    Ok(response)
}

/// Somebody who is about to be signed in, for the audit log.
pub(super) fn acting(person: &Person, visitor: &Visitor) -> Caller {
    let principal = person.principal();
    let tenant = principal.tenant.unwrap_or(TenantId::MAIN);
    Caller { principal, tenant, from: Some(visitor.client.address), sign_in: None, confirmed: false }
}

/// What only a person in a browser can do.
fn own(caller: &Caller) -> Result<(PersonId, SignInId), Problem> {
    match (caller.principal.who, caller.sign_in) {
        (Who::Person(person), Some(sign_in)) => Ok((person, sign_in)),
        _ => Err(Problem::conflict("A key is not signed in. Sign in as a person, or revoke the key with DELETE /keys/{key_id}.")),
    }
}

async fn end(From(state): From<State>, Extension(caller): Extension<Caller>) -> Result<Response, Problem> {
    let (person, sign_in) = own(&caller)?;
    let house = state.clone();
    let done = state.database.write(move |tx| {
        Box::pin(async move {
            sign_in::end(tx, sign_in, house.clock.timestamp()).await?;
            audit::note(tx, &caller.act_for(&house, caller.principal.tenant, "session.end", person, None, None)).await?;
            Ok::<_, Problem>(())
        })
    });
    done.await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    for cookie in gate::no_cookies() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn whole(state: &State, id: PersonId) -> Result<Person, Problem> {
    let found = person::find(&mut *state.database.read().await?, id).await?;
    found.ok_or_else(|| Problem::not_found("person"))
}

/// Whether the password is theirs; wrong ones are counted and delayed as at the sign-in.
async fn prove(state: &State, visitor: &Visitor, person: &Person, given: Secret) -> Result<(), Problem> {
    let name = person.id.to_string();
    state.gate.may_try(&name, visitor.client)?;
    let kept = sign_in::password_of(&mut *state.database.read().await?, person.id).await?;
    let right = state.gate.verify(kept, given).await?;
    state.gate.tried(&name, visitor.client, right);
    if right { Ok(()) } else { Err(Problem { field: Some("password".into()), ..failed() }) }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    password: Secret,
    #[serde(default)]
    code: Option<String>,
}

async fn confirm(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    visitor: Visitor,
    Body(asked, _): Body<Confirmation>,
) -> Result<Json<Value>, Problem> {
    let (id, sign_in) = own(&caller)?;
    let person = whole(&state, id).await?;
    prove(&state, &visitor, &person, asked.password).await?;
    let house = state.clone();
    let done = state.database.write(move |tx| {
        Box::pin(async move {
            let now = house.clock.timestamp();
            sign_in::second_factor(tx, &person, asked.code.as_deref(), house.sealer.as_ref(), now).await?;
            sign_in::confirm(tx, sign_in, now).await?;
            audit::note(tx, &caller.act_for(&house, person.tenant, "session.confirm", id, None, None)).await?;
            Ok::<_, Problem>(now)
        })
    });
    let done = done.await.inspect_err(|problem| {
        if problem.code == "code_wrong" {
            state.gate.tried(&id.to_string(), visitor.client, false);
        }
    });
    let now = done?;
    Ok(Json(json!({ "confirmed_at": now, "confirmed_until": now + sign_in::CONFIRMED_FOR })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    password: Secret,
    new_password: Secret,
}

async fn change_password(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    visitor: Visitor,
    Body(asked, _): Body<NewPassword>,
) -> Result<StatusCode, Problem> {
    let (id, sign_in) = own(&caller)?;
    let person = whole(&state, id).await?;
    password::check(asked.new_password.expose(), &person.login)
        .map_err(|error| Problem { field: Some("new_password".into()), ..error.into() })?;
    prove(&state, &visitor, &person, asked.password).await?;
    let hashed = state.gate.hash(asked.new_password).await?;
    let house = state.clone();
    let done = state.database.write(move |tx| {
        Box::pin(async move {
            sign_in::change_password(tx, id, &hashed, sign_in, house.clock.timestamp()).await?;
            audit::note(tx, &caller.act_for(&house, person.tenant, "person.password", id, None, None)).await?;
            Ok::<_, Problem>(StatusCode::NO_CONTENT)
        })
    });
    done.await
}

async fn offer(From(state): From<State>, Extension(caller): Extension<Caller>) -> Result<Json<Value>, Problem> {
    let (id, _) = own(&caller)?;
    caller.need_confirmed()?;
    let house = state.clone();
    let made = state.database.write(move |tx| {
        Box::pin(async move {
            let secret = sign_in::offer_second_factor(tx, id, house.sealer.as_ref(), &house.random).await?;
            audit::note(tx, &caller.act_for(&house, caller.principal.tenant, "person.totp_offer", id, None, None)).await?;
            Ok::<_, Problem>((secret, caller.principal.name))
        })
    });
    let (secret, login) = made.await?;
    let address = totp::address(ISSUER, &login, &secret);
    Ok(Json(json!({ "secret": secret.expose(), "address": address, "svg": totp::picture(&address) })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    code: String,
}

async fn accept_offer(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    visitor: Visitor,
    Body(asked, _): Body<Code>,
) -> Result<Json<Value>, Problem> {
    let (id, _) = own(&caller)?;
    caller.need_confirmed()?;
    let name = id.to_string();
    state.gate.may_try(&name, visitor.client)?;
    let house = state.clone();
    let done = state.database.write(move |tx| {
        Box::pin(async move {
            let now = house.clock.timestamp();
            let codes = sign_in::confirm_second_factor(tx, id, &asked.code, house.sealer.as_ref(), &house.random, now).await?;
            audit::note(tx, &caller.act_for(&house, caller.principal.tenant, "person.totp_confirm", id, None, None)).await?;
            Ok::<_, Problem>(codes)
        })
    });
    let codes = done.await.inspect_err(|_| state.gate.tried(&name, visitor.client, false))?;
    Ok(Json(json!({ "recovery_codes": codes.iter().map(Secret::expose).collect::<Vec<_>>() })))
}

async fn forget(From(state): From<State>, Extension(caller): Extension<Caller>) -> Result<StatusCode, Problem> {
    let (id, _) = own(&caller)?;
    caller.need_confirmed()?;
    let house = state.clone();
    let done = state.database.write(move |tx| {
        Box::pin(async move {
            if !person::find(tx, id).await?.is_some_and(|person| person.second_factor) {
                return Err(PeopleError::NothingOffered.into());
            }
            sign_in::remove_second_factor(tx, id).await?;
            audit::note(tx, &caller.act_for(&house, caller.principal.tenant, "person.totp_remove", id, None, None)).await?;
            Ok::<_, Problem>(StatusCode::NO_CONTENT)
        })
    });
    done.await
}
