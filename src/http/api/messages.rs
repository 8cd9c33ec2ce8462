//! The SIP messages of a call that is up or was, without their secrets. They name the carriers, so they are the operator's.

use axum::extract::{Extension, State as From};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Asked, Id};
use crate::cdr;
use crate::http::error::Problem;
use crate::http::{Caller, State};
use crate::people::Scope;
use crate::trace::{Keeping, Ladder, Message, pcap};
use crate::types::CallId;

/// The kind of a capture file.
const PCAP: &str = "application/vnd.tcpdump.pcap";

pub(super) fn router() -> Router<State> {
    Router::new().route("/calls/{call_id}/messages", get(list))
}

fn shape(message: &Message) -> Value {
    let seen = &message.seen;
    json!({
        "at": seen.at,
        "leg": message.side.as_str(),
        "way": seen.way,
        "transport": seen.transport,
        "local": seen.local,
        "remote": seen.remote,
        "sip_call_id": seen.sip_call_id,
        "text": seen.text,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    format: Option<String>,
}

async fn list(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<CallId>,
    Asked(form): Asked<Form>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accepts = |kinds: &str| kinds.contains(PCAP);
    let is_capture = match form.format.as_deref() {
        None => headers.get(header::ACCEPT).and_then(|kinds| kinds.to_str().ok()).is_some_and(accepts),
        Some("json") => false,
        Some("pcap") => true,
        Some(_) => return Err(Problem::field("format", "Messages are written as json or pcap. Ask for one of them.")),
    };
    let Ladder { messages, left_out } = ladder(&state, &caller, id).await?;
    if is_capture {
        let name = format!("attachment; filename=\"{id}.pcap\"");
        return Ok(([(header::CONTENT_TYPE, PCAP.to_owned()), (header::CONTENT_DISPOSITION, name)], pcap::file(&messages)).into_response());
    }
    Ok(Json(json!({ "call_id": id, "messages": messages.iter().map(shape).collect::<Vec<_>>(), "left_out": left_out })).into_response())
}

/// The ladder of a call of the tenant that the operator works in.
async fn ladder(state: &State, caller: &Caller, id: CallId) -> Result<Ladder, Problem> {
    caller.need(Scope::Read)?;
    caller.need_operator()?;
    let tenant = match state.calls.get(id) {
        Some(call) => Some(call.tenant),
        None => cdr::store::get(&mut *state.database.read().await?, id).await?.map(|record| record.tenant),
    };
    if !tenant.is_some_and(|tenant| caller.sees(tenant)) {
        return Err(Problem::not_found("call"));
    }
    let found = state.trace.ladder(id).await?;
    found.ok_or_else(|| {
        let message = match state.trace.keeping() {
            Keeping::Off => "The messages of calls are not kept. Set trace.calls to keep those of calls to come.",
            Keeping::Memory => "The messages of this call are not in memory any more. Set trace.calls to \"books\" to keep others longer.",
            Keeping::Books => "The messages of this call are not kept, or not any more. Set trace.kept_days to keep others longer.",
        };
        Problem::new(StatusCode::NOT_FOUND, "not_found", message)
    })
}
