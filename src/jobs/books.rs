//! Call records that wait for the database are offered to it.

use super::{JobError, Watch};

pub(super) async fn replay(watch: Watch) -> Result<(), JobError> {
    let written = watch.books.replay().await?;
    if written > 0 {
        tracing::info!(records = written, "call records that waited are written");
    }
    Ok(())
}
