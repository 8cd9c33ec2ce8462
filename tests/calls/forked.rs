//! A carrier that forks, and trunks that fail after their early media: each far end that described itself has a dialog of its own with
//! A (RFC 3261 §12.1, §13.2.1), seen on the wire at both ends.

use std::net::Ipv4Addr;

use crate::support::carrier::OFFER;
use crate::support::peer::{Message, Peer};
use crate::support::switchboard::{ACCESS, ALICE, PRAGUE, Phone, Plan, Switchboard};
use crate::support::until;

/// What the far ends describe.
const ONE: &str = "v=0\r\no=one 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 41000 RTP/AVP 8\r\n";
const TWO: &str = "v=0\r\no=two 2 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 42000 RTP/AVP 8\r\n";

/// A board with A on a raw socket, and carriers on raw sockets in the order of their trial.
async fn stage<const CARRIERS: usize>() -> (Switchboard, Peer, [Peer; CARRIERS]) {
    let board = Switchboard::planned(Plan::default()).await;
    let a = Peer::at(Ipv4Addr::LOCALHOST);
    board.add_trunk("phones", 0, None, vec![a.address.to_string()]).await;
    let carriers = std::array::from_fn(|_| Peer::at(Ipv4Addr::LOCALHOST));
    for (place, carrier) in carriers.iter().enumerate() {
        let name = format!("carrier-{place}");
        board.add_trunk(&name, 1 + i64::try_from(place).unwrap(), Some(carrier.address), vec![carrier.address.to_string()]).await;
    }
    (board, a, carriers)
}

/// Alice asks and calls; her INVITE.
async fn calls(board: &Switchboard, alice: &Phone<'_>, a: &mut Peer) -> String {
    alice.requests(PRAGUE).await;
    a.invites(board.sip, ALICE, ACCESS, "forked")
}

/// A acknowledges the answer, hangs up, and the carrier hears it in the dialog of the far end that answered.
async fn ends(board: &Switchboard, a: &mut Peer, carrier: &mut Peer, invite: &str, ok: &Message, far_tag: &str) {
    a.acknowledges(invite, ok, board.sip);
    carrier.hears("ACK");
    parts(board, a, carrier, ok, far_tag).await;
}

async fn parts(board: &Switchboard, a: &mut Peer, carrier: &mut Peer, ok: &Message, far_tag: &str) {
    a.hangs_up(&ok.contact(), ok.header("From"), ok.header("To"), ok.header("Call-ID"), board.sip);
    a.hears("200 BYE");
    let bye = carrier.hears("BYE");
    assert_eq!(bye.to_tag(), far_tag);
    carrier.answers(&bye, "200 OK", false);
    assert_eq!(board.record().await.cause.code(), "answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_phones_with_media_of_their_own_are_two_early_dialogs() {
    let (board, mut a, [mut north]) = stage().await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let invite = calls(&board, &alice, &mut a).await;
    let asked = north.hears("INVITE");
    north.answers_as(&asked, "183 Session Progress", "one", ONE);
    let one = a.hears("183 INVITE");
    north.answers_as(&asked, "183 Session Progress", "two", TWO);
    let two = a.hears("183 INVITE");
    north.answers_as(&asked, "180 Ringing", "one", "");
    let again = a.hears("180 INVITE");
    assert_eq!((one.body(), two.body()), (ONE, TWO));
    assert_ne!(one.to_tag(), two.to_tag());
    assert_eq!(again.to_tag(), one.to_tag());
    // The second answers, and says nothing new in its 200.
    north.answers_as(&asked, "200 OK", "two", "");
    let ok = a.hears("200 INVITE");
    assert_eq!((ok.to_tag(), ok.body()), (two.to_tag(), TWO));
    // The dialog of the first is gone.
    a.asks("INFO", 2, &one, "", board.sip);
    a.hears("481 INFO");
    ends(&board, &mut a, &mut north, &invite, &ok, "two").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_answers_without_having_rung_is_a_dialog_of_its_own() {
    let (board, mut a, [mut north]) = stage().await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let invite = calls(&board, &alice, &mut a).await;
    let asked = north.hears("INVITE");
    north.answers_as(&asked, "183 Session Progress", "one", ONE);
    let one = a.hears("183 INVITE");
    north.answers_as(&asked, "200 OK", "two", TWO);
    let ok = a.hears("200 INVITE");
    assert_eq!(ok.body(), TWO);
    assert_ne!(ok.to_tag(), one.to_tag());
    ends(&board, &mut a, &mut north, &invite, &ok, "two").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_trunk_after_early_media_is_another_dialog() {
    let (board, mut a, [mut north, mut south]) = stage().await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let invite = calls(&board, &alice, &mut a).await;
    let asked = north.hears("INVITE");
    north.answers_as(&asked, "183 Session Progress", "far", ONE);
    let one = a.hears("183 INVITE");
    north.answers_as(&asked, "503 Service Unavailable", "far", "");
    north.hears("ACK");
    let asked = south.hears("INVITE");
    // The same tag by chance: it is another far end all the same.
    south.answers_as(&asked, "183 Session Progress", "far", TWO);
    let two = a.hears("183 INVITE");
    assert_eq!((one.body(), two.body()), (ONE, TWO));
    assert_ne!(one.to_tag(), two.to_tag());
    // What A asks of the far end that has failed finds nobody; of the one that rings it is passed on.
    a.asks("INFO", 2, &one, "", board.sip);
    a.hears("481 INFO");
    a.asks("INFO", 3, &two, "", board.sip);
    let info = south.hears("INFO");
    south.answers(&info, "200 OK", false);
    a.hears("200 INFO");
    south.answers_as(&asked, "200 OK", "far", TWO);
    let ok = a.hears("200 INVITE");
    assert_eq!(ok.to_tag(), two.to_tag());
    ends(&board, &mut a, &mut south, &invite, &ok, "far").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_and_trunks_that_only_ring_are_one_dialog() {
    let (board, mut a, [mut north, mut south]) = stage().await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let invite = calls(&board, &alice, &mut a).await;
    let asked = north.hears("INVITE");
    north.answers_as(&asked, "180 Ringing", "one", "");
    let mut tags = vec![a.hears("180 INVITE").to_tag().to_owned()];
    north.answers_as(&asked, "180 Ringing", "two", "");
    tags.push(a.hears("180 INVITE").to_tag().to_owned());
    north.answers_as(&asked, "503 Service Unavailable", "one", "");
    let asked = south.hears("INVITE");
    south.answers_as(&asked, "180 Ringing", "three", "");
    tags.push(a.hears("180 INVITE").to_tag().to_owned());
    south.answers_as(&asked, "200 OK", "three", ONE);
    let ok = a.hears("200 INVITE");
    tags.push(ok.to_tag().to_owned());
    tags.dedup();
    assert_eq!(tags.len(), 1, "{tags:?}");
    ends(&board, &mut a, &mut south, &invite, &ok, "three").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_word_of_the_phone_that_lost_does_not_end_the_call_with_the_one_that_won() {
    let (board, mut a, [mut north]) = stage().await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let invite = calls(&board, &alice, &mut a).await;
    let asked = north.hears("INVITE");
    north.answers_as(&asked, "183 Session Progress", "one", ONE);
    let one = a.hears("183 INVITE");
    north.answers_as(&asked, "183 Session Progress", "two", TWO);
    a.hears("183 INVITE");
    // A changes its mind about the media with the first, and the second answers before the first does.
    a.asks("UPDATE", 2, &one, OFFER, board.sip);
    let update = north.hears("UPDATE");
    assert_eq!((update.to_tag(), update.body()), ("one", OFFER));
    north.answers_as(&asked, "200 OK", "two", TWO);
    let ok = a.hears("200 INVITE");
    a.hears("481 UPDATE");
    a.acknowledges(&invite, &ok, board.sip);
    north.hears("ACK");
    north.answers(&update, "481 Call/Transaction Does Not Exist", false);
    // The call goes on: A asks again, and the phone that won hears it.
    a.asks("INFO", 2, &ok, "", board.sip);
    let info = north.hears("INFO");
    assert_eq!(info.to_tag(), "two");
    north.answers(&info, "200 OK", false);
    a.hears("200 INFO");
    assert_eq!(board.calls.count(), 1);
    parts(&board, &mut a, &mut north, &ok, "two").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_phones_own_question_reaches_the_caller_in_its_dialog() {
    let (board, mut a, [mut north]) = stage().await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let invite = calls(&board, &alice, &mut a).await;
    let asked = north.hears("INVITE");
    for (tag, body) in [("one", ONE), ("two", TWO)] {
        north.answers_as(&asked, "183 Session Progress", tag, body);
        let early = a.hears("183 INVITE");
        // The far end asks: its own tag stands in From, ours in To.
        let (far, near) = (format!("{};tag={tag}", asked.header("To")), asked.header("From").to_owned());
        let info = format!(
            "INFO {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKinfo{tag}\r\nMax-Forwards: 70\r\nFrom: {far}\r\nTo: {near}\r\n\
             Call-ID: {}\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n",
            asked.contact(),
            north.address,
            asked.header("Call-ID"),
        );
        north.send(&info, asked.from);
        let heard = a.hears("INFO");
        assert_eq!(heard.header("From").split_once(";tag=").map(|(_, tag)| tag), Some(early.to_tag()));
        a.answers(&heard, "200 OK", false);
        north.hears("200 INFO");
    }
    north.answers_as(&asked, "200 OK", "one", ONE);
    let ok = a.hears("200 INVITE");
    ends(&board, &mut a, &mut north, &invite, &ok, "one").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_the_caller_is_hung_up_in_the_dialog_that_was_answered() {
    let (mut board, mut a, [mut north]) = stage().await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let invite = calls(&board, &alice, &mut a).await;
    let asked = north.hears("INVITE");
    north.answers_as(&asked, "183 Session Progress", "one", ONE);
    a.hears("183 INVITE");
    north.answers_as(&asked, "200 OK", "two", TWO);
    let ok = a.hears("200 INVITE");
    a.acknowledges(&invite, &ok, board.sip);
    north.hears("ACK");
    until("the call to be up", async || board.calls.list().first().filter(|call| call.answered.is_some()).map(drop)).await;
    board.is_killed_and_starts_again().await;
    let bye = a.hears("BYE");
    assert_eq!(bye.header("From").split_once(";tag=").map(|(_, tag)| tag), Some(ok.to_tag()));
    a.answers(&bye, "200 OK", false);
    let bye = north.hears("BYE");
    assert_eq!(bye.to_tag(), "two");
    north.answers(&bye, "200 OK", false);
    board.record().await;
}
