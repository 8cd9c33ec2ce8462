//! The caller gives up.

use callthrough::call::Cause;
use callthrough::sip::LegEvent;
use callthrough::types::Side;

use crate::support::switchboard::{ALICE, PRAGUE, Switchboard};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_b_rings() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.rings().await;
    while !matches!(a.hears().await, LegEvent::Progress { status: 180, .. }) {}
    a.hangs_up().await;
    b.is_hung_up().await;
    let record = board.record().await;
    assert_eq!((record.cause, record.side, record.sip_status), (Cause::Cancelled, Some(Side::A), Some(487)));
    assert_eq!((record.answered_at, alice.balance().await.as_str()), (None, "5.00"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_dials_again_at_once_with_the_same_reservation() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    a.hangs_up().await;
    b.is_hung_up().await;
    board.records(1).await;
    let mut a = alice.dials().await;
    let b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    a.hangs_up().await;
    assert!(board.records(2).await.iter().any(|record| record.cause == Cause::HungUp));
    let mut third = alice.dials().await;
    assert_eq!(third.is_refused().await, 403, "once answered, the reservation is used up");
    board.is_at_rest().await;
}
