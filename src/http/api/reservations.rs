//! Reservations: what phones have asked for.

use axum::extract::{Extension, State as From};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Id, named, names, page, page_length};
use crate::callthrough::store::{self, Filter};
use crate::callthrough::{Reservation, reservation};
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::Scope;
use crate::types::{E164, Refusal, ReservationId, SubscriberId};

pub(super) fn router() -> Router<State> {
    Router::new().route("/reservations", get(list)).route("/reservations/{reservation_id}", get(one).delete(cancel))
}

fn shape(reservation: &Reservation) -> Value {
    json!({
        "id": reservation.id,
        "subscriber_id": reservation.subscriber,
        "access_number": reservation.access_number,
        "destination": reservation.destination,
        "state": reservation.state.as_str(),
        "rule": reservation.rule,
        "created_at": reservation.created_at,
        "expires_at": reservation.expires_at,
        "late_until": reservation.late_until,
        "claims": reservation.claims,
        "call_id": reservation.call,
        "late": reservation.late,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    subscriber_id: Option<SubscriberId>,
    access_number: Option<E164>,
    destination: Option<E164>,
    state: Option<String>,
    live: Option<bool>,
    after: Option<ReservationId>,
    limit: Option<u32>,
}

async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let filter = Filter {
        subscriber: asked.subscriber_id,
        access_number: asked.access_number,
        destination: asked.destination,
        state: asked.state.as_deref().map(reservation_state).transpose()?,
        live: asked.live,
    };
    let found = store::list(&mut *state.database.read().await?, caller.tenant, &filter, asked.after, limit + 1).await?;
    let names = names(&state, found.iter().map(|reservation| Some(reservation.subscriber))).await?;
    Ok(page(found, limit, |reservation| reservation.id, |reservation| named(shape(reservation), Some(reservation.subscriber), &names)))
}

fn reservation_state(word: &str) -> Result<reservation::State, Problem> {
    let message = "No reservation has this state. Write pending, claimed, used, expired, superseded or cancelled.";
    reservation::State::parse(word).ok_or_else(|| Problem::field("state", message))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<ReservationId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let found = store::get(&mut *state.database.read().await?, id).await?.filter(|found| found.tenant == caller.tenant);
    let found = found.ok_or_else(|| Problem::not_found("reservation"))?;
    let names = names(&state, [Some(found.subscriber)]).await?;
    Ok(Json(named(shape(&found), Some(found.subscriber), &names)))
}

async fn cancel(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<ReservationId>) -> Result<StatusCode, Problem> {
    caller.need(Scope::Calls)?;
    let house = state.clone();
    let cancelled = state.database.write(move |tx| {
        Box::pin(async move {
            let found =
                store::get(tx, id).await?.filter(|found| found.tenant == caller.tenant).ok_or_else(|| Problem::not_found("reservation"))?;
            if store::cancel(tx, id).await? {
                caller.note(tx, &house, "reservation.cancel", id, Some(shape(&found)), None).await?;
                Ok(StatusCode::NO_CONTENT)
            } else if found.is_in_a_call() {
                Err(Refusal::ReservationUsed.into())
            } else {
                Err(Problem::conflict("The reservation no longer waits for its call. Leave it as it is: no call can use it."))
            }
        })
    });
    cancelled.await
}
