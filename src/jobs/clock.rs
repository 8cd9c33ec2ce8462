//! Tells when the machine's clock was set while we ran. Nothing that runs is touched by it, for our time goes on evenly from the
//! start; but what we write down is that time, not the machine's.

use std::sync::atomic::{AtomicI64, Ordering};

use super::Watch;

/// Less than this is not told.
const TOLD_SECS: i64 = 5;

pub(super) fn look(watch: &Watch) {
    /// What was told last: the same is not told again.
    static TOLD: AtomicI64 = AtomicI64::new(0);
    let apart_secs = watch.web.clock.set_apart() / 1_000_000;
    let told = TOLD.load(Ordering::Relaxed);
    if (apart_secs - told).abs() >= TOLD_SECS {
        TOLD.store(apart_secs, Ordering::Relaxed);
        tracing::warn!(
            apart_secs,
            "the machine's clock was set while the server ran; times in records go on as before, until a restart when no call is up"
        );
    }
}
