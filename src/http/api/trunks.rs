//! The carriers.

use axum::extract::{Extension, State as From};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, from_value, line, objects, page, page_length, parted, patched};
use crate::database::Connection;
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::{Scope, audit};
use crate::trunk::normalise::number_of;
use crate::trunk::{AddressHealth, PingState, RegistrationState, SecretKind, Settings, Trunk, TrunkError, Trunks, store};
use crate::types::TrunkId;

/// Longest name.
const LONGEST_NAME: usize = 100;

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/trunks", get(list).post(create))
        .route("/trunks/{trunk_id}", get(one).patch(update).delete(remove))
        .route("/trunks/{trunk_id}/numbers", get(numbers))
}

/// What can be changed beside the settings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    name: String,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default = "middle")]
    priority: i64,
}

const fn yes() -> bool {
    true
}

const fn middle() -> i64 {
    100
}

fn fields(trunk: &Trunk) -> Value {
    let mut fields = json!(Head { name: trunk.name.clone(), enabled: trunk.enabled, priority: trunk.priority });
    if let (Value::Object(fields), Value::Object(settings)) = (&mut fields, json!(trunk.settings)) {
        fields.extend(settings);
    }
    fields
}

/// A trunk with what running calls know of it.
fn shape(state: &State, trunk: &Trunk) -> Value {
    let mut shape = json!({ "id": trunk.id });
    if let (Value::Object(shape), Value::Object(fields)) = (&mut shape, fields(trunk)) {
        shape.extend(fields);
        shape.insert("calls".to_owned(), json!(state.trunks.in_use(trunk.id)));
        shape.insert("failing".to_owned(), json!(state.trunks.penalised(trunk.id)));
        shape.insert("has_password".to_owned(), json!(state.trunks.has_password(trunk.id)));
        shape.insert("registration".to_owned(), registration(state, trunk.id));
        shape.insert("health".to_owned(), state.trunks.addresses(trunk.id).into_iter().map(|address| health(state, address)).collect());
        let resolved = state.trunks.get(trunk.id).and_then(|known| known.target);
        shape.insert("resolved".to_owned(), json!(resolved.map(|address| address.to_string())));
    }
    shape
}

/// How one address does.
fn health(state: &State, address: AddressHealth) -> Value {
    let (word, since) = match address.state {
        None => ("unasked", None),
        Some(PingState::Unknown) => ("unknown", None),
        Some(PingState::Alive { since }) => ("alive", Some(since)),
        Some(PingState::Lost { since }) => ("lost", Some(since)),
    };
    json!({
        "address": address.hop.address.to_string(),
        "transport": address.hop.transport,
        "state": word,
        "since": since.map(|since| state.clock.timestamp_at(since)),
        "last": address.last,
    })
}

/// How its registration stands.
fn registration(state: &State, id: TrunkId) -> Value {
    match state.trunks.registration(id) {
        None => Value::Null,
        Some(RegistrationState::Trying) => json!({ "state": "trying" }),
        Some(RegistrationState::Registered { until }) => json!({ "state": "registered", "until": state.clock.timestamp_at(until) }),
        Some(RegistrationState::Failed { reason, status }) => json!({ "state": "failed", "reason": reason, "sip_status": status }),
    }
}

/// Takes a password out of a body: it is written, never read. Nothing if it is not there, null to forget it.
#[expect(clippy::option_option, reason = "whether it is there, and whether it is to be forgotten")]
fn password(body: &mut Value, name: &'static str) -> Result<Option<Option<String>>, Problem> {
    let Some(given) = body.as_object_mut().and_then(|fields| fields.remove(name)) else { return Ok(None) };
    let wrong = || Problem::field(name, "Write the password as text of 1 to 128 bytes without control characters, or null to forget it.");
    match given {
        Value::Null => Ok(Some(None)),
        Value::String(text) if (1..=128).contains(&text.len()) && !text.chars().any(char::is_control) => Ok(Some(Some(text))),
        _ => Err(wrong()),
    }
}

/// Keeps passwords sealed, or forgets them: ours at the carrier, and the hashes of the carrier's with us.
#[expect(clippy::option_option, reason = "see `password`")]
async fn keep_passwords(
    tx: &mut Connection,
    state: &State,
    trunk: &Trunk,
    (ours, theirs): (Option<Option<String>>, Option<Option<String>>),
) -> Result<(), Problem> {
    let theirs = match (theirs, &trunk.settings.digest_user) {
        (Some(Some(_)), None) => return Err(Problem::field("digest_user", "Name the user whose password it is.")),
        (Some(Some(text)), Some(user)) => Some(Some(Trunks::digest_hashes(user, &text))),
        (given, _) => given,
    };
    for (kind, secret) in [(SecretKind::Password, ours), (SecretKind::Digest, theirs)] {
        let Some(secret) = secret else { continue };
        let sealed = match (&secret, &state.sealer) {
            (None, _) => None,
            (Some(text), Some(sealer)) => Some(sealer.seal(text, &state.random)),
            (Some(_), None) => return Err(Problem::conflict("Without a master key no password can be kept. Set master_key_file.")),
        };
        store::set_secret(tx, trunk.id, kind, sealed.as_deref()).await?;
    }
    Ok(())
}

fn read(value: Value) -> Result<(Head, Settings), Problem> {
    let (head, settings) = parted(value, &["name", "enabled", "priority"])?;
    objects(&settings, &["rules_in", "rules_out", "headers"])?;
    let (head, settings): (Head, Settings) = (from_value(head)?, from_value(settings)?);
    line("name", &head.name, 1, LONGEST_NAME)?;
    if i32::try_from(head.priority).is_err() {
        return Err(Problem::field("priority", "Write a whole number of at most nine digits."));
    }
    settings.check().map_err(|(field, message)| match field {
        "country" | "target" | "headers" => Problem::unfit(field, message),
        _ => Problem::field(field, message),
    })?;
    Ok((head, settings))
}

/// An address that two trunks claim would decide by chance whose rules a call is read by. A deck that is none of a carrier's
/// would keep every call from the trunk.
async fn check_addresses(tx: &mut Connection, trunk: &Trunk) -> Result<(), Problem> {
    if let Some(deck) = trunk.settings.cost_deck
        && !crate::rating::store::get(tx, deck).await?.is_some_and(|deck| deck.kind == crate::rating::Kind::Cost)
    {
        return Err(Problem::unfit("cost_deck", "There is no carrier's deck of this id. Name a deck of the kind cost, or leave it out."));
    }
    for other in store::list(tx).await?.iter().filter(|other| other.id != trunk.id) {
        if trunk.settings.digest_user.is_some() && trunk.settings.digest_user == other.settings.digest_user {
            let message = format!("The trunk {} has this name already. Give each trunk a name of its own.", other.name);
            return Err(Problem { field: Some("digest_user".into()), ..Problem::conflict(message) });
        }
        if let Some(shared) = trunk.settings.addresses.iter().find(|entry| other.settings.addresses.contains(entry)) {
            let message = format!("The trunk {} has the address {shared} already. Give each address to one trunk.", other.name);
            return Err(Problem { field: Some("addresses".into()), ..Problem::conflict(message) });
        }
    }
    Ok(())
}

impl std::convert::From<TrunkError> for Problem {
    fn from(error: TrunkError) -> Self {
        match error {
            TrunkError::NameTaken => Self { field: Some("name".into()), ..Self::conflict("Another trunk has this name. Choose another.") },
            TrunkError::TooMany => Self::conflict("There are as many trunks as can be. Delete one first."),
            TrunkError::Broken(..) => Self::fault(&error),
            TrunkError::Books(error) => error.into(),
        }
    }
}

/// The carriers are the operator's own: so is the line in the log.
async fn note(
    tx: &mut Connection,
    caller: &Caller,
    state: &State,
    action: &'static str,
    id: TrunkId,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<(), Problem> {
    Ok(audit::note(tx, &caller.act_for(state, None, action, id, before, after)).await?)
}

/// Running calls see the change at once; other nodes within their next look.
async fn reload(state: &State) {
    if let Err(error) = state.trunks.reload(&state.database).await {
        tracing::error!(%error, "the trunks were changed but could not be read again; calls use the old ones until the next look");
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<TrunkId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Trunks)?;
    let limit = page_length(asked.limit)?;
    let mut trunks = store::list(&mut *state.database.read().await?).await?;
    trunks.sort_by_key(|trunk| trunk.id);
    let rest = trunks.into_iter().filter(|trunk| asked.after.is_none_or(|after| trunk.id > after)).collect();
    Ok(page(rest, limit, |trunk| trunk.id, |trunk| shape(&state, trunk)))
}

async fn create(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Body(mut body, _): Body<Value>,
) -> Result<Response, Problem> {
    caller.need(Scope::Trunks)?;
    let passwords = (password(&mut body, "password")?, password(&mut body, "digest_password")?);
    let (head, settings) = read(body)?;
    let id = TrunkId::new(&state.clock, &state.random);
    let trunk = Trunk { id, name: head.name, enabled: head.enabled, priority: head.priority, settings, target: None };
    let (shape, now, house) = (shape(&state, &trunk), state.clock.timestamp(), state.clone());
    let added = state.database.write(move |tx| {
        Box::pin(async move {
            check_addresses(tx, &trunk).await?;
            store::create(tx, &trunk, now).await?;
            keep_passwords(tx, &house, &trunk, passwords).await?;
            note(tx, &caller, &house, "trunk.create", id, None, Some(fields(&trunk))).await
        })
    });
    added.await?;
    reload(&state).await;
    Ok((StatusCode::CREATED, Json(shape)).into_response())
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<TrunkId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Trunks)?;
    let found = store::get(&mut *state.database.read().await?, id).await?;
    Ok(Json(shape(&state, &found.ok_or_else(|| Problem::not_found("trunk"))?)))
}

/// A number to try on a trunk's rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    typed: String,
}

/// What a number means when it comes by the trunk, and how it is written when a call goes out there.
async fn numbers(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<TrunkId>,
    Asked(asked): Asked<Typed>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Trunks)?;
    let found = store::get(&mut *state.database.read().await?, id).await?.ok_or_else(|| Problem::not_found("trunk"))?;
    let read = number_of(&found.settings, &asked.typed);
    let written = asked.typed.parse().ok().or(read).map(|number| found.write_number(number));
    Ok(Json(json!({ "typed": asked.typed, "read": read, "written": written })))
}

async fn update(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<TrunkId>,
    Body(mut patch, _): Body<Value>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Trunks)?;
    let passwords = (password(&mut patch, "password")?, password(&mut patch, "digest_password")?);
    let house = state.clone();
    let changed = state.database.write(move |tx| {
        Box::pin(async move {
            let found = store::get(tx, id).await?.ok_or_else(|| Problem::not_found("trunk"))?;
            let before = fields(&found);
            let (head, settings) = read(patched(&before, patch)?)?;
            let changed = Trunk { name: head.name, enabled: head.enabled, priority: head.priority, settings, ..found };
            check_addresses(tx, &changed).await?;
            store::update(tx, &changed).await?;
            keep_passwords(tx, &house, &changed, passwords).await?;
            note(tx, &caller, &house, "trunk.update", id, Some(before), Some(fields(&changed))).await?;
            Ok::<_, Problem>(changed)
        })
    });
    let changed = changed.await?;
    reload(&state).await;
    Ok(Json(shape(&state, &changed)))
}

async fn remove(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<TrunkId>) -> Result<StatusCode, Problem> {
    caller.need(Scope::Trunks)?;
    let house = state.clone();
    let gone = state.database.write(move |tx| {
        Box::pin(async move {
            let Some(before) = store::get(tx, id).await? else { return Ok(false) };
            let gone = store::delete(tx, id).await?;
            note(tx, &caller, &house, "trunk.delete", id, Some(fields(&before)), None).await?;
            Ok::<_, Problem>(gone)
        })
    });
    if !gone.await? {
        return Err(Problem::not_found("trunk"));
    }
    reload(&state).await;
    Ok(StatusCode::NO_CONTENT)
}
