//! Arrivals that do not get through: one answer to all who have no valid reservation, and a record that tells them apart.

use callthrough::sip::Header;

use crate::support::carrier::{OFFER, sdp};
use crate::support::switchboard::{ACCESS, ALICE, PRAGUE, Plan, Switchboard};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_reservation_everybody_hears_403() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let call =
        async |caller: &str, dialled: &str| board.origin.brings(board.sip, caller, dialled, sdp(OFFER), vec![]).await.is_refused().await;
    assert_eq!(call("+15557654321", ACCESS).await, 403);
    alice.requests(PRAGUE).await;
    assert_eq!(call(ALICE, "+15551230009").await, 403);
    assert_eq!(call("<sip:anonymous@anonymous.invalid>", ACCESS).await, 403);
    board.clock.advance(std::time::Duration::from_secs(71));
    assert_eq!(call(ALICE, ACCESS).await, 403);
    assert_eq!(call(ALICE, "lobby").await, 404);
    let mut causes: Vec<_> = board.records(5).await.iter().map(|record| record.cause.code()).collect();
    causes.sort_unstable();
    assert_eq!(causes, ["caller_withheld", "no_reservation", "no_reservation", "no_such_number", "reservation_expired"]);
    assert!(north.is_left_alone());
    board.is_at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_call_for_the_same_reservation_is_busy_and_the_first_goes_on() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let b = north.gets_a_call().await;
    assert_eq!(alice.dials().await.is_refused().await, 486);
    b.answers().await;
    a.is_answered().await;
    a.hangs_up().await;
    let mut causes: Vec<_> = board.records(2).await.iter().map(|record| record.cause.code()).collect();
    causes.sort_unstable();
    assert_eq!(causes, ["answered", "reservation_used"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_asserted_identity_counts_and_privacy_is_honoured() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    alice.requests(PRAGUE).await;
    let headers = vec![Header::new("P-Asserted-Identity", format!("<sip:{ALICE}@example.com>")), Header::new("Privacy", "id")];
    let a = board.origin.brings(board.sip, "\"Anonymous\" <sip:anonymous@anonymous.invalid>", ACCESS, sdp(OFFER), headers).await;
    let mut b = north.gets_a_call().await;
    assert!(b.invite().from.contains("anonymous.invalid"), "{}", b.invite().from);
    assert_eq!(b.invite().header("Privacy"), Some("id"));
    a.hangs_up().await;
    b.is_hung_up().await;
    board.record().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_barred_since_the_request_is_not_called() {
    let mut plan = Plan::default();
    plan.callthrough.destinations.barred_prefixes = vec![PRAGUE.trim_start_matches('+').to_owned()];
    let board = Switchboard::planned(plan).await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    alice.requests(PRAGUE).await;
    assert_eq!(alice.dials().await.is_refused().await, 403);
    assert_eq!(board.record().await.cause.code(), "barred");
    assert!(north.is_left_alone());
    board.is_at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_of_destination_switched_off_since_the_request_is_not_called() {
    const PREMIUM: &str = "+19005551234";
    let mut open = Plan::default();
    open.callthrough.destinations.allow_high_risk = true;
    for (plan, status, cause) in [(Plan::default(), 403, "high_risk"), (open, 486, "busy")] {
        let board = Switchboard::planned(plan).await;
        let mut north = board.carrier("north", 1).await;
        let alice = board.subscriber(ALICE, "5.00").await;
        let mut a = alice.calls(PREMIUM).await;
        if cause == "busy" {
            north.gets_a_call().await.refuses(486).await;
        }
        assert_eq!(a.is_refused().await, status);
        assert_eq!(board.record().await.cause.code(), cause);
        assert!(north.is_left_alone());
        board.is_at_rest().await;
    }
}
