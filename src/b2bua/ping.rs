//! Sees to it that the addresses of the carriers are asked whether they live, and that the trunks know what they say.

use std::sync::Arc;
use std::time::Duration;

use super::Board;

/// How often the trunks are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Until told to stop.
pub(super) async fn keep(board: Arc<Board>) {
    let mut asked = Vec::new();
    loop {
        let wanted = board.trunks.wanted_pings();
        if wanted != asked {
            board.endpoint.ping(wanted.clone()).await;
            asked = wanted;
        }
        board.trunks.note_pings(if asked.is_empty() { Vec::new() } else { board.endpoint.pings().await });
        board.clock.sleep_until(board.clock.now() + LOOK).await;
    }
}
