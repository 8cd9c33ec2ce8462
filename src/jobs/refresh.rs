//! What lives in memory is brought up to date with files, other nodes and the DNS.

use std::time::Duration;

use super::{JobError, Watch};
use crate::http::idempotency;
use crate::{rating, trace};

pub(super) async fn decks(watch: Watch) -> Result<(), JobError> {
    Ok(rating::store::refresh(&watch.web.database, &watch.web.decks, &watch.web.rating, watch.web.clock.timestamp()).await?)
}

/// What crashed imports left behind is taken away.
pub(super) async fn imports(watch: Watch) -> Result<(), JobError> {
    let swept = rating::import::sweep(&watch.web.database, watch.web.clock.timestamp()).await?;
    if swept > 0 {
        tracing::info!(rates = swept, "what an unfinished import left behind is taken away");
    }
    Ok(())
}

pub(super) async fn rules(watch: Watch) -> Result<(), JobError> {
    Ok(crate::fraud::store::refresh(&watch.web.database, &watch.web.rules).await?)
}

pub(super) async fn trunks(watch: Watch) -> Result<(), JobError> {
    Ok(watch.web.trunks.reload(&watch.web.database).await?)
}

pub(super) async fn geoip(watch: Watch) -> Result<(), JobError> {
    // Reading a file of some megabytes blocks.
    tokio::task::spawn_blocking(move || watch.geoip.refresh()).await??;
    Ok(())
}

pub(super) async fn answers(watch: Watch) -> Result<(), JobError> {
    idempotency::forget(&watch.web).await?;
    Ok(())
}

/// Messages of calls are kept for some days; a round ends when nothing is left that is older.
pub(super) async fn traces(watch: Watch) -> Result<(), JobError> {
    const DAY: Duration = Duration::from_secs(86_400);
    let before = watch.web.clock.timestamp() - DAY * watch.traces_kept_days;
    while watch.web.database.write(move |tx| Box::pin(trace::forget(tx, before))).await? > 0 {}
    Ok(())
}
