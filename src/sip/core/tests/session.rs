//! Session timers (RFC 4028): agreed, kept, missed.

use super::bench::{all, from_callee, in_dialog, reply};
use super::*;
use crate::sip::leg::{ByWhom, LegEvent, LegId};

/// An incoming call of somebody who says this of timers, answered and acknowledged: its leg and our 200.
fn answered(bench: &mut Bench, says: &str) -> (LegId, String) {
    let (leg, _) = bench.offered_with(says, "v=0\n");
    bench.answer(leg, Some(sdp("answer")));
    let ok = bench.last();
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKackack1", ""));
    bench.events();
    bench.take();
    (leg, ok)
}

/// An outgoing call, answered by somebody who says this of timers: its leg and our INVITE.
fn connected(bench: &mut Bench, says: &str) -> (LegId, String) {
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    bench.hear(PEER, &reply(&invite, "200 OK", "far", &format!("Contact: <sip:far@198.51.100.1:5060>\n{says}"), "v=0\n"));
    bench.events();
    bench.take();
    (leg, invite)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap()
}

#[test]
fn who_promises_to_refresh_and_does_not_is_hung_up() {
    let mut bench = Bench::new();
    let (_, ok) = answered(&mut bench, "Supported: timer\nSession-Expires: 90;refresher=uac\n");
    assert_eq!((header(&ok, "Session-Expires").as_str(), header(&ok, "Require").as_str()), ("90;refresher=uac", "timer"));
    bench.pass(50_000);
    bench.hear(
        PEER,
        &in_dialog(
            "UPDATE",
            2,
            &ok,
            "z9hG4bKup000001",
            "Supported: timer\nSession-Expires: 90;refresher=uac\nContact: <sip:moved@198.51.100.9>",
        ),
    );
    let refreshed = bench.last();
    assert_eq!((status(&refreshed), header(&refreshed, "Session-Expires").as_str()), (200, "90;refresher=uac"));
    assert!(bench.events().is_empty(), "a sign of life is nobody else's business");
    bench.take();
    bench.pass(59_000);
    assert!(bench.take().is_empty());
    bench.pass(22_000);
    let bye = bench.last();
    assert_eq!(first_line(&bye), "BYE sip:moved@198.51.100.9 SIP/2.0");
    assert_eq!(bench.events(), [LegEvent::HungUp { reason: None, by: ByWhom::Timeout }]);
    bench.hear("198.51.100.9:5060", &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn we_refresh_by_update_where_it_is_taken() {
    let mut bench = Bench::new();
    let (leg, ok) = answered(&mut bench, "Supported: timer\nAllow: INVITE, UPDATE\n");
    assert_eq!((header(&ok, "Session-Expires").as_str(), all(&ok, "Require").len()), ("1800;refresher=uas", 0));
    for number in 1..=3 {
        bench.pass(901_000 + 20_000);
        let update = bench.last();
        assert_eq!(first_line(&update), "UPDATE sip:bob@198.51.100.1:5060 SIP/2.0");
        assert_eq!(
            (header(&update, "CSeq"), header(&update, "Session-Expires")),
            (format!("{number} UPDATE"), "1800;refresher=uac".into())
        );
        assert_eq!(header(&update, "Content-Length"), "0");
        bench.hear(PEER, &reply(&update, "200 OK", "", "Session-Expires: 1800;refresher=uac\nContact: <sip:bob@198.51.100.1:5060>\n", ""));
    }
    assert!(bench.events().is_empty());
    bench.hang_up(leg);
    let bye = bench.last();
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn nobody_left_to_refresh_with_ends_the_call() {
    let mut bench = Bench::new().unaudited();
    answered(&mut bench, "Supported: timer\nAllow: INVITE, UPDATE\n");
    bench.pass(921_000);
    assert!(bench.last().starts_with("UPDATE "));
    bench.pass(33_000);
    assert_eq!(bench.events(), [LegEvent::HungUp { reason: None, by: ByWhom::Timeout }]);
    assert!(bench.last().starts_with("BYE "));
    bench.ends_clean();
}

#[test]
fn we_refresh_by_the_description_as_it_is_where_update_is_not_taken() {
    let mut bench = Bench::new();
    let (leg, invite) = connected(&mut bench, "Allow: INVITE, BYE\nSession-Expires: 600;refresher=uac\nRequire: timer\n");
    assert_eq!((header(&invite, "Session-Expires").as_str(), header(&invite, "Supported").contains("timer")), ("1800", true));
    bench.pass(321_000);
    let again = bench.last();
    assert!(again.starts_with("INVITE sip:far@198.51.100.1:5060 SIP/2.0\r\n") && again.ends_with("offer"), "{again}");
    assert_eq!((header(&again, "CSeq").as_str(), header(&again, "Session-Expires").as_str()), ("2 INVITE", "600;refresher=uac"));
    bench.hear(PEER, &reply(&again, "200 OK", "", "Contact: <sip:far@198.51.100.1:5060>\nSession-Expires: 600;refresher=uac\n", "v=0\n"));
    assert!(bench.last().starts_with("ACK ") && bench.events().is_empty());
    bench.hear(PEER, &from_callee("BYE", 1, &invite, "far", "z9hG4bKbye00001", ""));
    assert!(matches!(&bench.events()[..], [LegEvent::HungUp { by: ByWhom::Remote, .. }]));
    let _ = leg;
    bench.ends_clean();
}

#[test]
fn who_knows_no_timers_is_asked_whether_they_are_there() {
    let mut bench = Bench::new();
    let (leg, _) = connected(&mut bench, "");
    bench.pass(921_000);
    let options = bench.last();
    assert_eq!(first_line(&options), "OPTIONS sip:far@198.51.100.1:5060 SIP/2.0");
    bench.hear(PEER, &reply(&options, "405 Method Not Allowed", "", "", ""));
    assert!(bench.events().is_empty(), "who says no is there");
    bench.pass(890_000);
    let options = bench.last();
    bench.hear(PEER, &reply(&options, "481 Call/Transaction Does Not Exist", "", "", ""));
    assert_eq!(bench.events(), [LegEvent::HungUp { reason: None, by: ByWhom::Remote }]);
    let bye = bench.last();
    bench.hear(PEER, &reply(&bye, "481 Call/Transaction Does Not Exist", "", "", ""));
    let _ = leg;
    bench.ends_clean();
}

#[test]
fn too_small_an_interval_is_422_both_ways() {
    let mut bench = Bench::new();
    bench.hear(PEER, &bench::invite_text("z9hG4bKsmall001", "small", "Supported: timer\nSession-Expires: 60\n", "v=0\n"));
    let refused = bench.last();
    assert_eq!((status(&refused), header(&refused, "Min-SE").as_str()), (422, "90"));
    assert!(bench.offers.is_empty());
    bench.hear(PEER, &in_dialog("ACK", 1, &refused, "z9hG4bKsmall001", ""));

    let (leg, invite) = bench.invite(Some(sdp("offer")));
    bench.hear(PEER, &reply(&invite, "422 Session Interval Too Small", "t1", "Min-SE: 3600\n", ""));
    let again = bench.last();
    assert_eq!((header(&again, "Session-Expires").as_str(), header(&again, "Min-SE").as_str()), ("3600", "3600"));
    assert_eq!((header(&again, "CSeq").as_str(), header(&again, "Call-ID")), ("2 INVITE", header(&invite, "Call-ID")));
    assert_eq!((header(&again, "From"), header(&again, "Privacy")), (header(&invite, "From"), header(&invite, "Privacy")));
    assert!(again.ends_with("offer") && bench.events().is_empty());
    bench.hear(
        PEER,
        &reply(&again, "200 OK", "far", "Contact: <sip:far@198.51.100.1:5060>\nSession-Expires: 3600;refresher=uas\n", "v=0\n"),
    );
    assert!(matches!(&bench.events()[..], [LegEvent::Answered { .. }]));
    assert_eq!(header(&bench.last(), "CSeq"), "2 ACK");
    bench.hang_up(leg);
    let bye = bench.last();
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn an_invite_is_not_sent_for_ever() {
    let mut bench = Bench::new();
    let (_, mut invite) = bench.invite(Some(sdp("offer")));
    for _ in 0..2 {
        bench.hear(PEER, &reply(&invite, "422 Session Interval Too Small", "t1", "Min-SE: 3600\n", ""));
        invite = bench.last();
    }
    bench.hear(PEER, &reply(&invite, "422 Session Interval Too Small", "t1", "Min-SE: 3600\n", ""));
    assert!(matches!(&bench.events()[..], [LegEvent::Refused { status: 422, .. }]));
    bench.ends_clean();
}
