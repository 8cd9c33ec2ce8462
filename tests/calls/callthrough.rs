//! A phone asks, dials the access number, and is connected.

use std::time::Duration;

use callthrough::call::Cause;
use callthrough::types::Side;

use crate::support::carrier::{ANSWER, OFFER, text};
use crate::support::switchboard::{ALICE, PRAGUE, Switchboard};
use crate::support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_becomes_a_completed_and_charged_call() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;

    let mut a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    assert!(b.invite().request_uri.starts_with("sip:+420601123456@"), "{}", b.invite().request_uri);
    assert!(b.invite().from.contains(ALICE), "{}", b.invite().from);
    assert_eq!(text(b.invite().body.as_ref()), OFFER, "the offer passes byte for byte");
    assert_eq!(b.invite().max_forwards, 68, "one hop of ours, one for the next");

    b.rings().await;
    b.answers().await;
    assert_eq!(a.is_answered().await, ANSWER, "the answer passes byte for byte");
    board.goes_by(61).await;
    a.hangs_up().await;
    assert_eq!(b.is_hung_up().await, "Q.850;16 Normal call clearing");

    let record = board.record().await;
    assert_eq!((record.cause, record.side, record.sip_status), (Cause::HungUp, Some(Side::A), Some(200)));
    assert_eq!((record.trunk_in.as_deref(), record.trunk_out.as_deref()), (Some("origin"), Some("north")));
    assert_eq!(record.duration, Duration::from_secs(61));
    assert_eq!(alice.balance().await, "4.39");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b_hangs_up_and_says_why() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    board.goes_by(10).await;
    b.hangs_up().await;
    a.is_hung_up().await;
    let record = board.record().await;
    assert_eq!((record.cause, record.side, record.duration), (Cause::HungUp, Some(Side::B), Duration::from_secs(10)));
    assert_eq!(alice.balance().await, "4.90");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_ends_a_call_and_a_drain_refuses_new_ones() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    let call = until("the call on the list", async || board.calls.list().into_iter().find(|call| call.answered.is_some())).await;
    assert_eq!((call.state, call.trunk_out.as_deref()), ("connected", Some("north")));
    assert!(board.calls.hang_up(call.id));
    assert_eq!(a.is_hung_up().await, "Q.850;31 Ended by the operator");
    b.is_hung_up().await;
    assert_eq!(board.record().await.cause, Cause::Operator);

    board.calls.drain(Duration::ZERO).await;
    let mut a = alice.calls(PRAGUE).await;
    assert_eq!(a.is_refused().await, 503);
    assert!(board.records(2).await.iter().any(|record| record.cause.code() == "draining"), "a refused call leaves a record too");
}
