//! Every SQL statement of the room: the ladder of a call is one row, written once.

use std::sync::Arc;

use sqlx::{AnyConnection, Row as _};

use super::{Ladder, Message};
use crate::sip::Transport;
use crate::sip::tap::{Seen, Way};
use crate::types::{CallId, Side, Timestamp};

/// Rows that one round forgets: whoever else writes is not kept waiting.
const FORGOTTEN_AT_ONCE: i64 = 1_000;

/// How a message lies in its row.
#[derive(serde::Serialize, serde::Deserialize)]
struct Stored {
    at_us: i64,
    side: Side,
    way: Way,
    transport: Transport,
    local: std::net::SocketAddr,
    remote: std::net::SocketAddr,
    sip_call_id: String,
    text: String,
}

/// Keeps the ladders of these calls; a second one of the same call changes nothing.
pub(super) async fn write(tx: &mut AnyConnection, ladders: Vec<(CallId, Ladder)>, at: Timestamp) -> Result<(), sqlx::Error> {
    for (call, ladder) in ladders {
        let stored: Vec<_> = ladder.messages.iter().map(stored).collect();
        let messages = serde_json::to_string(&stored).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        sqlx::query(
            "insert into call_message (call_id, kept_at_us, left_out, messages) values ($1, $2, $3, $4) on conflict (call_id) do nothing",
        )
        .bind(call.to_string())
        .bind(at.as_micros())
        .bind(i64::from(ladder.left_out))
        .bind(messages)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// The ladder of a call, if it was kept.
pub(super) async fn get(connection: &mut AnyConnection, call: CallId) -> Result<Option<Ladder>, sqlx::Error> {
    let row = sqlx::query("select left_out, messages from call_message where call_id = $1").bind(call.to_string());
    let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
    let stored: Vec<Stored> = serde_json::from_str(row.try_get("messages")?).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    let left_out = u32::try_from(row.try_get::<i64, _>("left_out")?).unwrap_or(u32::MAX);
    Ok(Some(Ladder { messages: stored.into_iter().map(read).collect(), left_out }))
}

/// Forgets ladders that were kept before; how many.
pub async fn forget(tx: &mut AnyConnection, before: Timestamp) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "delete from call_message where call_id in (select call_id from call_message where kept_at_us < $1 order by kept_at_us limit $2)",
    )
    .bind(before.as_micros())
    .bind(FORGOTTEN_AT_ONCE)
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}

fn stored(message: &Message) -> Stored {
    let Seen { at, way, transport, local, remote, sip_call_id, text } = &*message.seen;
    Stored {
        at_us: at.as_micros(),
        side: message.side,
        way: *way,
        transport: *transport,
        local: *local,
        remote: *remote,
        sip_call_id: sip_call_id.clone(),
        text: text.clone(),
    }
}

fn read(stored: Stored) -> Message {
    let Stored { at_us, side, way, transport, local, remote, sip_call_id, text } = stored;
    Message { side, seen: Arc::new(Seen { at: Timestamp::from_micros(at_us), way, transport, local, remote, sip_call_id, text }) }
}
