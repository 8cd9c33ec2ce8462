//! Cleans up behind a process of this node that was killed: both legs hear BYE, the hold is settled at the last heartbeat, the
//! record is written. Doing it twice changes nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::books::Abandoned;
use super::{Board, take_call};
use crate::sip::{Incoming, StoredDialog};
use crate::types::Refusal;

/// Between two tries while the books are away.
const RETRY: Duration = Duration::from_secs(2);
/// Between two looks for what was left behind while running: two of them fit into a minute.
const SWEEP: Duration = Duration::from_secs(25);
/// Calls that are ended at the same time, so that they share the commits of the books.
const AT_ONCE: usize = 64;

/// Ends what was left behind. New calls are refused until the books have told what that is: an old call and a new one must not
/// be mistaken for each other.
pub(super) async fn recover(board: &Arc<Board>, incoming: &mut mpsc::Receiver<Incoming>) {
    let listing = list(board);
    tokio::pin!(listing);
    let abandoned = loop {
        tokio::select! {
            abandoned = &mut listing => break abandoned,
            Some(call) = incoming.recv() => take_call(board, call, Some(Refusal::BooksDown)).await,
        }
    };
    end_all(board, abandoned).await;
}

/// What was left behind, as soon as the books can tell.
async fn list(board: &Board) -> Vec<Abandoned> {
    loop {
        match board.books.recover().await {
            Ok(abandoned) => return abandoned,
            Err(error) => {
                tracing::error!(%error, "the calls of the last run cannot be read, so no call is taken; check the database");
                board.clock.sleep_until(board.clock.now() + RETRY).await;
            }
        }
    }
}

/// What slips through while running: a hold that came too late, a record that could not be written. Looks now and then, and ends
/// what is there at two looks in a row and belongs to no call that is up: a call that is just being written is not left behind.
pub(super) async fn sweep(board: Arc<Board>) {
    let mut seen = HashSet::new();
    loop {
        board.clock.sleep_until(board.clock.now() + SWEEP).await;
        let left = match board.books.recover().await {
            Ok(left) => left,
            Err(error) => {
                tracing::warn!(%error, "the books could not be looked over; check the database");
                continue;
            }
        };
        let left = left.into_iter().filter(|call| board.handle.get(call.call).is_none());
        let (again, new): (Vec<_>, Vec<_>) = left.partition(|call| seen.contains(&call.call));
        seen = new.iter().map(|call| call.call).collect();
        end_all(&board, again).await;
    }
}

async fn end_all(board: &Arc<Board>, abandoned: Vec<Abandoned>) {
    if abandoned.is_empty() {
        return;
    }
    tracing::info!(calls = abandoned.len(), "ending calls that were left behind");
    let mut tasks = tokio::task::JoinSet::new();
    for call in abandoned {
        if tasks.len() >= AT_ONCE {
            tasks.join_next().await;
        }
        tasks.spawn(end(board.clone(), call));
    }
    tasks.join_all().await;
}

async fn end(board: Arc<Board>, abandoned: Abandoned) {
    for dialog in dialogs(abandoned.dialogs.as_deref()) {
        board.endpoint.bye(dialog).await;
    }
    if let Err(error) = board.books.close_abandoned(abandoned.call).await {
        tracing::error!(call.id = %abandoned.call, %error, "a call that was left behind could not be settled; it is tried again");
    }
}

fn dialogs(text: Option<&str>) -> Vec<StoredDialog> {
    let parsed: Result<Vec<Option<StoredDialog>>, _> = serde_json::from_str(text.unwrap_or("[]"));
    parsed.map_or_else(
        |error| {
            tracing::error!(%error, "the stored dialogs of a call cannot be read, so nobody hears BYE");
            Vec::new()
        },
        |dialogs| dialogs.into_iter().flatten().collect(),
    )
}
