//! What has happened is added up.

use super::{JobError, Watch};
use crate::stats;

/// Transactions of one round: at five seconds a round, far more calls than a node takes.
const TURNS: usize = 40;

pub(super) async fn count(watch: Watch) -> Result<(), JobError> {
    let now = watch.web.clock.timestamp();
    for _ in 0..TURNS {
        let counted = watch.web.database.write(move |tx| Box::pin(stats::count_calls(tx, now))).await?;
        if counted < stats::store::COUNTED {
            break;
        }
    }
    Ok(())
}

pub(super) async fn count_requests(watch: Watch) -> Result<(), JobError> {
    let now = watch.web.clock.timestamp();
    watch.web.database.write(move |tx| Box::pin(stats::count_requests(tx, now))).await?;
    Ok(())
}
