//! Sees to it that the carriers that want it have our registration, and that the trunks know how it stands.

use std::sync::Arc;
use std::time::Duration;

use super::Board;

/// How often the trunks are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Until told to stop.
pub(super) async fn keep(board: Arc<Board>) {
    let mut kept = Vec::new();
    loop {
        let wanted = board.trunks.wanted_registrations();
        if wanted != kept {
            board.endpoint.register(wanted.clone()).await;
            kept = wanted;
        }
        if !kept.is_empty() {
            board.trunks.note_registrations(board.endpoint.registrations().await);
        }
        board.clock.sleep_until(board.clock.now() + LOOK).await;
    }
}
