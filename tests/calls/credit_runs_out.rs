//! The money ends, and with it the call: to the second.

use std::time::Duration;

use callthrough::call::Cause;

use crate::support::switchboard::{ALICE, PRAGUE, Plan, Switchboard};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_second_all_of_it_is_talked_away() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "1.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    board.goes_by(105).await;
    assert_eq!(a.is_hung_up().await, "Q.850;16 Credit exhausted");
    b.is_hung_up().await;
    let record = board.record().await;
    assert_eq!((record.cause, record.side, record.duration), (Cause::CreditExhausted, None, Duration::from_secs(100)));
    assert_eq!(alice.balance().await, "0.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_minute_what_does_not_pay_for_a_minute_stays() {
    let board = Switchboard::planned(Plan { price: "0.60,60,60", ..Plan::default() }).await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "1.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    board.goes_by(65).await;
    a.is_hung_up().await;
    let record = board.record().await;
    assert_eq!((record.cause, record.duration), (Cause::CreditExhausted, Duration::from_secs(60)));
    assert_eq!(alice.balance().await, "0.40");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_cannot_be_paid_for_is_not_dialled() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "0.10").await;
    let mut a = alice.calls(PRAGUE).await;
    assert_eq!(a.is_refused().await, 403);
    assert_eq!(board.record().await.cause.code(), "not_enough_credit");
    assert!(north.is_left_alone());
}
