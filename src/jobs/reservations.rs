//! Reservations nobody called for are marked; old ones and old nonces are forgotten.

use std::time::Duration;

use super::{JobError, Watch};
use crate::{callthrough, subscriber};

pub(super) async fn expire(watch: Watch) -> Result<(), JobError> {
    let now = watch.web.clock.timestamp();
    let expired = watch.web.database.write(move |tx| Box::pin(callthrough::store::expire(tx, now))).await?;
    if expired > 0 {
        tracing::debug!(reservations = expired, "reservations expired");
    }
    Ok(())
}

pub(super) async fn forget(watch: Watch) -> Result<(), JobError> {
    let before = watch.web.clock.timestamp() - hours(watch.config.reservations_kept_hours);
    let forgotten = watch.web.database.write(move |tx| Box::pin(callthrough::store::forget(tx, before))).await?;
    if forgotten > 0 {
        tracing::debug!(reservations = forgotten, "old reservations forgotten");
    }
    Ok(())
}

pub(super) async fn forget_nonces(watch: Watch) -> Result<(), JobError> {
    let before = watch.web.clock.timestamp() - hours(watch.nonce_memory_hours);
    watch.web.database.write(move |tx| Box::pin(subscriber::store::forget_nonces(tx, before))).await?;
    Ok(())
}

const fn hours(count: u32) -> Duration {
    Duration::from_secs(count as u64 * 3600)
}
