//! What the tests against real peers share: the server as a process, SIPp as carrier and destination, the API by HTTP.

pub mod browser;
pub mod carrier;
pub mod cluster;
pub mod desk;
pub mod door;
pub mod exercise;
pub mod folder;
pub mod office;
pub mod peer;
pub mod proxy;
pub mod server;
pub mod sipp;
pub mod small_disk;
pub mod sound;
pub mod switchboard;
pub mod traffic;
pub mod truth;
pub mod world;

use std::time::Duration;

use callthrough::types::Clock;

/// Waits until `found` finds something, up to `patience`.
pub fn eventually<T>(patience: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    /// Real processes tell nobody when they are ready; so one looks again.
    const LOOK_AGAIN: Duration = Duration::from_millis(5);
    let clock = Clock::system();
    let began = clock.now();
    loop {
        if let Some(found) = found() {
            return Some(found);
        }
        if clock.now().since(began) > patience {
            return None;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Waits inside a runtime for something that is about to become true; who waits longer than this has found a bug.
pub async fn until<T>(what: &str, mut seen: impl AsyncFnMut() -> Option<T>) -> T {
    const PATIENCE: Duration = Duration::from_secs(10);
    let looking = async {
        loop {
            if let Some(seen) = seen().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Whether the long forms of the tests were asked for.
pub fn long_form() -> bool {
    std::env::var_os("CALLTHROUGH_TEST_LONG").is_some_and(|value| !value.is_empty() && value != "0")
}
