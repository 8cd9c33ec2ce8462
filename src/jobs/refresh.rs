//! What lives in memory is brought up to date with files, other nodes and the DNS.

use super::{JobError, Watch};
use crate::rating;

pub(super) async fn decks(watch: Watch) -> Result<(), JobError> {
    Ok(rating::store::refresh(&watch.database, &watch.decks, &watch.rating, watch.clock.timestamp()).await?)
}

pub(super) async fn trunks(watch: Watch) -> Result<(), JobError> {
    Ok(watch.trunks.reload(&watch.database).await?)
}

pub(super) async fn geoip(watch: Watch) -> Result<(), JobError> {
    // Reading a file of some megabytes blocks.
    tokio::task::spawn_blocking(move || watch.geoip.refresh()).await??;
    Ok(())
}
