//! The books fail at each of their three steps: nobody is let in free, a running call ends with its money, no record is lost.

use std::time::Duration;

use callthrough::call::Cause;
use callthrough::types::Side;

use crate::support::switchboard::{ALICE, PRAGUE, Switchboard};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_authorise_the_caller_hears_503() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    board.sabotages("create trigger broken before insert on hold begin select raise(abort, 'broken'); end").await;
    let mut a = alice.calls(PRAGUE).await;
    assert_eq!(a.is_refused().await, 503);
    assert_eq!(board.record().await.cause.code(), "books_down");
    assert!(north.is_left_alone());
    board.sabotages("drop trigger broken").await;
    let mut a = alice.dials().await;
    let b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    a.hangs_up().await;
    board.records(2).await;
    board.is_at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_extend_the_call_ends_with_its_funded_time() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    board.sabotages("create trigger broken before update of amount_micros on hold begin select raise(abort, 'broken'); end").await;
    board.goes_by(65).await;
    a.is_hung_up().await;
    let record = board.record().await;
    assert_eq!((record.cause, record.duration), (Cause::CreditExhausted, Duration::from_secs(60)));
    assert_eq!(alice.balance().await, "4.40");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_extend_the_call_goes_on_if_they_are_back_in_time() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    board.sabotages("create trigger broken before update of amount_micros on hold begin select raise(abort, 'broken'); end").await;
    board.goes_by(40).await;
    board.sabotages("drop trigger broken").await;
    board.goes_by(30).await;
    a.hangs_up().await;
    let record = board.record().await;
    assert_eq!((record.cause, record.side, record.duration), (Cause::HungUp, Some(Side::A), Duration::from_secs(70)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_close_the_record_waits_and_is_written_once() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    board.goes_by(10).await;
    board.sabotages("create trigger broken before insert on cdr begin select raise(abort, 'broken'); end").await;
    a.hangs_up().await;
    crate::support::until("the end of the call", async || (board.calls.count() == 0).then_some(())).await;
    assert_eq!(board.records(0).await.len(), 0);
    board.sabotages("drop trigger broken").await;
    board.goes_by(60).await;
    let record = board.record().await;
    assert_eq!((record.cause, record.duration), (Cause::HungUp, Duration::from_secs(10)));
    assert_eq!(alice.balance().await, "4.90");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_they_did_not_take_is_written_with_the_next_slice() {
    let mut board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let b = north.gets_a_call().await;
    board.sabotages("create trigger broken before update of answered_at_us on call begin select raise(abort, 'broken'); end").await;
    b.answers().await;
    a.is_answered().await;
    board.goes_by(10).await;
    board.sabotages("drop trigger broken").await;
    board.goes_by(40).await;
    board.is_killed_and_starts_again().await;
    a.is_hung_up().await;
    let record = board.record().await;
    assert_eq!(record.cause, Cause::ServerRestart);
    assert!(record.duration >= Duration::from_secs(50) && record.duration <= Duration::from_secs(55), "{:?}", record.duration);
}
