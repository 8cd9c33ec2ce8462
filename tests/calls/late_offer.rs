//! A calls without an offer: B's comes in the 200, A's answer in the ACK, end to end.

use callthrough::sip::LegEvent;

use crate::support::carrier::{ANSWER, OFFER, sdp, text};
use crate::support::switchboard::{ACCESS, ALICE, PRAGUE, Switchboard};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_travels_in_the_ack() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    alice.requests(PRAGUE).await;
    let mut a = board.origin.brings(board.sip, ALICE, ACCESS, None, vec![]).await;
    let mut b = north.gets_a_call().await;
    assert_eq!(b.invite().body, None);
    b.answers_with(sdp(OFFER)).await;
    let LegEvent::Answered { body, ack_due: true, .. } = a.hears_at_last().await else { panic!("A is asked for an answer") };
    assert_eq!(text(body.as_ref()), OFFER);
    a.acks(sdp(ANSWER)).await;
    let LegEvent::Acked { body } = b.hears().await else { panic!("B gets the answer") };
    assert_eq!(text(body.as_ref()), ANSWER);
    a.hangs_up().await;
    b.is_hung_up().await;
    board.record().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_came_early_stands_in_for_a_200_without_one() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let b = north.gets_a_call().await;
    b.sounds(183, sdp(ANSWER)).await;
    loop {
        if let LegEvent::Progress { status: 183, body, .. } = a.hears().await {
            assert_eq!(text(body.as_ref()), ANSWER, "early media passes");
            break;
        }
    }
    b.answers_with(None).await;
    assert_eq!(a.is_answered().await, ANSWER);
    a.hangs_up().await;
    board.record().await;
}
