//! The secrets of a subscriber and of their devices.

use axum::extract::{Extension, State as From};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Body, Id, Ids, line};
use super::subscribers::{LONGEST_NAME, MOST, found};
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::Scope;
use crate::subscriber::credential::{self, CredentialError, Wanted};
use crate::subscriber::{Credential, Kind, store};
use crate::types::{CredentialId, Secret, SubscriberId};

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/subscribers/{subscriber_id}/credentials", get(list_credentials).post(add_credential))
        .route("/subscribers/{subscriber_id}/credentials/{credential_id}", delete(revoke_credential))
}

/// A credential without anything that could let somebody in.
fn credential_shape(credential: &Credential) -> Value {
    json!({
        "id": credential.id,
        "kind": credential.kind,
        "device": credential.device,
        "created_at": credential.created_at,
        "last_used_at": credential.last_used_at,
        "revoked_at": credential.revoked_at,
    })
}

async fn list_credentials(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<SubscriberId>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let mut connection = state.database.read().await?;
    found(&mut connection, caller.tenant, id).await?;
    let credentials = store::list_credentials(&mut connection, id).await?;
    Ok(Json(json!({ "items": credentials.iter().map(credential_shape).collect::<Vec<_>>(), "next": null })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCredential {
    kind: Kind,
    #[serde(default)]
    secret: Option<Secret>,
    #[serde(default)]
    device: Option<String>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    realm: Option<String>,
}

async fn add_credential(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<SubscriberId>,
    Body(new, _): Body<NewCredential>,
) -> Result<Response, Problem> {
    caller.need(Scope::Subscribers)?;
    if let Some(device) = &new.device {
        line("device", device, 1, LONGEST_NAME)?;
    }
    let generated = new.secret.is_none();
    let (credential, secret) = make(&state, id, new).await?;
    let mut shape = credential_shape(&credential);
    if let (Value::Object(shape), true) = (&mut shape, generated) {
        // Shown this once; nothing that is kept tells it again.
        shape.insert("secret".to_owned(), json!(secret.expose()));
    }
    let (house, kept) = (state.clone(), credential_shape(&credential));
    let added = state.database.write(move |tx| {
        Box::pin(async move {
            found(tx, caller.tenant, id).await?;
            let live = store::list_credentials(tx, id).await?;
            if live.len() >= MOST {
                return Err(Problem::conflict(format!("The subscriber has had {MOST} credentials. Use one of them.")));
            }
            store::add_credential(tx, &credential).await?;
            caller.note(tx, &house, "subscriber.credential_add", id, None, Some(kept)).await
        })
    });
    added.await?;
    Ok((StatusCode::CREATED, Json(shape)).into_response())
}

async fn make(state: &State, subscriber: SubscriberId, new: NewCredential) -> Result<(Credential, Secret), Problem> {
    let id = CredentialId::new(&state.clock, &state.random);
    let (config, sealer, random, now) = (state.credentials.clone(), state.sealer.clone(), state.random.clone(), state.clock.timestamp());
    let wanted = Wanted { kind: new.kind, secret: new.secret, device: new.device, user: new.user, realm: new.realm };
    // Hashing a password takes tens of milliseconds and megabytes of memory.
    let made = tokio::task::spawn_blocking(move || Credential::make(id, subscriber, wanted, &config, sealer.as_ref(), &random, now)).await;
    made.map_err(|error| Problem::fault(&error))?.map_err(|error: credential::CredentialError| {
        let field = match error {
            CredentialError::Secret | CredentialError::Asterisks => "secret",
            CredentialError::NoMasterKey => "kind",
            CredentialError::NoRealm => "realm",
        };
        Problem::unfit(field, format!("{error}."))
    })
}

async fn revoke_credential(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Ids(id, credential): Ids<SubscriberId, CredentialId>,
) -> Result<StatusCode, Problem> {
    caller.need(Scope::Subscribers)?;
    let now = state.clock.timestamp();
    let house = state.clone();
    let gone = state.database.write(move |tx| {
        Box::pin(async move {
            found(tx, caller.tenant, id).await?;
            let gone = store::revoke_credential(tx, id, credential, now).await?;
            if gone {
                caller.note(tx, &house, "subscriber.credential_revoke", id, Some(json!({ "id": credential })), None).await?;
            }
            Ok::<_, Problem>(gone)
        })
    });
    if gone.await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("live credential of this subscriber")) }
}
