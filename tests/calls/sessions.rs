//! What the parties ask inside the call passes through us, and so do the answers.

use callthrough::sip::{InDialog, LegEvent};

use crate::support::carrier::{ANSWER, OFFER, sdp, text};
use crate::support::switchboard::{ALICE, PRAGUE, Switchboard};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reinvite_goes_to_the_other_leg_and_its_answer_comes_back() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = alice.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    assert!(matches!(b.hears().await, LegEvent::Acked { .. }));

    for (method, status) in [(InDialog::Reinvite, 200), (InDialog::Update, 200), (InDialog::Info, 200), (InDialog::Reinvite, 491)] {
        a.asks(method, sdp(OFFER)).await;
        let LegEvent::Request { id, method: asked, body, .. } = b.hears().await else { panic!("B is asked") };
        assert_eq!((asked, text(body.as_ref())), (method, OFFER));
        b.responds(id, status, if status == 200 { sdp(ANSWER) } else { None }).await;
        let LegEvent::Response { status: heard, .. } = a.hears().await else { panic!("A hears the answer") };
        assert_eq!(heard, status);
        if method == InDialog::Reinvite && status == 200 {
            assert!(matches!(b.hears().await, LegEvent::RequestAcked { .. }));
        }
    }

    b.asks(InDialog::Reinvite, None).await;
    let LegEvent::Request { id, body: None, .. } = a.hears().await else { panic!("A is asked for an offer") };
    a.responds(id, 200, sdp(OFFER)).await;
    let LegEvent::Response { status: 200, body, ack_due: true, .. } = b.hears().await else { panic!("B gets the offer") };
    assert_eq!(text(body.as_ref()), OFFER);
    b.acks(sdp(ANSWER)).await;
    let LegEvent::RequestAcked { body, .. } = a.hears().await else { panic!("A gets the answer") };
    assert_eq!(text(body.as_ref()), ANSWER);
    b.hangs_up().await;
    a.is_hung_up().await;
    board.record().await;
}
