//! The process is killed with calls up: the next one hangs up both legs and settles at the last heartbeat.

use std::time::Duration;

use callthrough::call::Cause;

use crate::support::switchboard::{ALICE, PRAGUE, Switchboard};
use crate::support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_call_is_hung_up_and_charged_to_its_last_heartbeat() {
    let mut board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let mut a = board.subscriber(ALICE, "5.00").await.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    until("the answer in the books", async || board.calls.list().first().and_then(|call| call.answered)).await;
    board.goes_by(20).await;
    board.is_killed_and_starts_again().await;
    a.is_hung_up().await;
    b.is_hung_up().await;
    let record = board.record().await;
    assert_eq!(record.cause, Cause::ServerRestart);
    assert!(record.duration >= Duration::from_secs(20) && record.duration <= Duration::from_secs(25), "{:?}", record.duration);
}
