//! Calls of ours.

use super::bench::{PEER_TWO, all, from_callee, reply};
use super::*;
use crate::sip::leg::{ByWhom, Command, EarlyDialogId, LegEvent, Reason, Target};

const CONTACT: &str = "Contact: <sip:far@198.51.100.1:5060>\n";

#[test]
fn the_invite_says_what_it_was_told_and_repeats_by_timers_a_and_b() {
    let mut bench = Bench::new();
    let (_, invite) = bench.invite(Some(sdp("offer")));
    assert!(invite.starts_with("INVITE sip:+15551231234@carrier.example.com SIP/2.0\r\n"));
    assert_eq!((header(&invite, "Max-Forwards"), header(&invite, "Privacy")), ("69".into(), "none".into()));
    assert!(header(&invite, "From").starts_with("\"Ada\" <sip:+15551230000@example.com>;tag="));
    assert!(header(&invite, "Via").starts_with("SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK"));
    assert!(all(&invite, "User-Agent").is_empty());
    bench.pass(31_999);
    assert_eq!(bench.take().iter().map(|sent| sent.at).collect::<Vec<_>>(), [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    bench.pass(1);
    assert!(matches!(&bench.events()[..], [LegEvent::Refused { status: 408, by: ByWhom::Timeout, .. }]));
    bench.ends_clean();
}

#[test]
fn provisionals_are_told_and_stop_the_repeats() {
    let mut bench = Bench::new();
    let (_, invite) = bench.invite(Some(sdp("offer")));
    bench.hear(PEER, &reply(&invite, "100 Trying", "", "", ""));
    bench.hear(PEER, &reply(&invite, "180 Ringing", "a", CONTACT, ""));
    bench.hear(PEER, &reply(&invite, "183 Session Progress", "a", CONTACT, "early"));
    let early = EarlyDialogId(0);
    let seen = bench.events();
    assert!(matches!(seen[0], LegEvent::Progress { status: 100, .. }));
    assert_eq!(seen[1], LegEvent::Progress { status: 180, early, body: None });
    assert_eq!(seen[2], LegEvent::Progress { status: 183, early, body: Some(sdp("early")) });
    bench.take();
    bench.pass(100_000);
    assert!(bench.take().is_empty());
}

#[test]
fn record_route_is_reversed_for_us_and_the_target_is_their_contact() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    let routes = "Record-Route: <sip:198.51.100.9;lr>\nRecord-Route: <sip:198.51.100.8;lr>,<sip:198.51.100.7;lr>\n";
    bench.hear(PEER, &reply(&invite, "200 OK", "far", &format!("{routes}Contact: <sip:far@198.51.100.77:5071>\n"), "v=0\n"));
    let ack = bench.take().pop().unwrap();
    assert_eq!((ack.to.as_str(), ack.text.lines().next().unwrap()), ("198.51.100.7:5060", "ACK sip:far@198.51.100.77:5071 SIP/2.0"));
    assert_eq!(all(&ack.text, "Route"), ["<sip:198.51.100.7;lr>", "<sip:198.51.100.8;lr>", "<sip:198.51.100.9;lr>"]);
    assert_ne!(param(&ack.text, "Via", "branch"), param(&invite, "Via", "branch"));
    assert_eq!(header(&ack.text, "CSeq"), "1 ACK");
    bench.hang_up(leg);
    let bye = bench.last();
    assert_eq!(header(&bye, "CSeq"), "2 BYE");
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn a_refusal_is_acknowledged_on_the_invites_branch_every_time_it_comes() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    bench.take();
    let busy = reply(&invite, "486 Busy Here", "far", "Retry-After: 12\nReason: Q.850;cause=17;text=\"User busy\"\n", "");
    bench.hear(PEER, &busy);
    bench.hear(PEER, &busy);
    let acks = bench.take();
    assert_eq!((acks.len(), &acks[0].text), (2, &acks[1].text));
    assert_eq!(param(&acks[0].text, "Via", "branch"), param(&invite, "Via", "branch"));
    assert_eq!(acks[0].text.lines().next(), Some("ACK sip:+15551231234@carrier.example.com SIP/2.0"));
    assert!(header(&acks[0].text, "To").ends_with(";tag=far"));
    let seen = bench.events();
    let [LegEvent::Refused { status: 486, phrase, retry_after: Some(wait), reason: Some(reason), by: ByWhom::Remote, .. }] = &seen[..]
    else {
        panic!("{seen:?}")
    };
    assert_eq!((phrase.as_str(), wait.as_secs(), reason.cause, &*reason.text), ("Busy Here", 12, 17, "User busy"));
    assert_eq!(bench.ended, [leg]);
    bench.ends_clean();
}

#[test]
fn cancel_is_held_until_a_provisional_has_come_and_looks_like_its_invite() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    bench.command(leg, Command::HangUp { reason: Some(Reason::q850(16, "Gone")) });
    bench.pass(600);
    assert!(bench.lines().iter().all(|line| line.starts_with("INVITE")));
    assert_eq!(bench.ended, [leg]);
    bench.hear(PEER, &reply(&invite, "100 Trying", "", "", ""));
    let cancel = bench.last();
    assert!(cancel.starts_with("CANCEL sip:+15551231234@carrier.example.com SIP/2.0\r\n"));
    for name in ["Via", "From", "To", "Call-ID"] {
        assert_eq!(header(&cancel, name), header(&invite, name));
    }
    assert_eq!((header(&cancel, "CSeq"), header(&cancel, "Reason")), ("1 CANCEL".into(), "Q.850;cause=16;text=\"Gone\"".into()));
    bench.hear(PEER, &reply(&cancel, "200 OK", "far", "", ""));
    bench.hear(PEER, &reply(&invite, "487 Request Terminated", "far", "", ""));
    assert!(bench.last().starts_with("ACK "));
    assert!(bench.events().is_empty(), "nobody listens any more");
    bench.ends_clean();
}

#[test]
fn a_200_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    bench.hear(PEER, &reply(&invite, "180 Ringing", "far", CONTACT, ""));
    bench.hang_up(leg);
    let cancel = bench.last();
    bench.take();
    let ok = reply(&invite, "200 OK", "far", CONTACT, "v=0\n");
    bench.hear(PEER, &ok);
    let sent = bench.take();
    assert_eq!(sent.iter().map(|sent| &sent.text[..4]).collect::<Vec<_>>(), ["ACK ", "BYE "]);
    bench.hear(PEER, &reply(&cancel, "481 Call/Transaction Does Not Exist", "far", "", ""));
    bench.hear(PEER, &ok);
    assert_eq!(bench.last(), sent[0].text, "its ACK again");
    bench.hear(PEER, &reply(&sent[1].text, "200 OK", "", "", ""));
    assert!(bench.events().iter().all(|event| matches!(event, LegEvent::Progress { .. })));
    bench.ends_clean();
}

#[test]
fn a_200_to_a_held_cancel_is_acknowledged_and_hung_up() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    bench.hang_up(leg);
    bench.take();
    bench.hear(PEER, &reply(&invite, "200 OK", "far", CONTACT, "v=0\n"));
    let sent = bench.take();
    assert_eq!(sent.iter().map(|sent| &sent.text[..4]).collect::<Vec<_>>(), ["ACK ", "BYE "]);
    bench.hear(PEER, &reply(&sent[1].text, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn a_cancel_that_brings_no_final_answer_gives_up() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    bench.hear(PEER, &reply(&invite, "180 Ringing", "far", CONTACT, ""));
    bench.hang_up(leg);
    bench.pass(32_001);
    bench.take();
    bench.pass(60_000);
    assert!(bench.take().is_empty());
    bench.ends_clean();
}

#[test]
fn several_phones_ring_any_may_answer_and_a_second_answer_is_hung_up() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    bench.hear(PEER, &reply(&invite, "180 Ringing", "one", "Contact: <sip:one@198.51.100.21>\n", ""));
    bench.hear(PEER, &reply(&invite, "183 Session Progress", "two", "Contact: <sip:two@198.51.100.22>\n", "v=0 two\n"));
    bench.hear(PEER, &reply(&invite, "180 Ringing", "one", "Contact: <sip:one@198.51.100.21>\n", ""));
    bench.take();
    bench.hear(PEER, &reply(&invite, "200 OK", "two", "Contact: <sip:two@198.51.100.22>\n", "v=0 two\n"));
    let three = reply(&invite, "200 OK", "three", "Contact: <sip:three@198.51.100.23>\n", "v=0 three\n");
    bench.hear(PEER, &three);
    let early = |event: &LegEvent| match event {
        LegEvent::Progress { early, .. } | LegEvent::Answered { early, .. } => early.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(bench.events().iter().map(early).collect::<Vec<_>>(), [0, 1, 0, 1]);
    let sent = bench.take();
    let shown = sent.iter().map(|sent| (sent.to.as_str(), sent.text.split(" SIP").next().unwrap())).collect::<Vec<_>>();
    assert_eq!(
        shown,
        [
            ("198.51.100.22:5060", "ACK sip:two@198.51.100.22"),
            ("198.51.100.23:5060", "ACK sip:three@198.51.100.23"),
            ("198.51.100.23:5060", "BYE sip:three@198.51.100.23"),
        ]
    );
    assert!(header(&sent[2].text, "To").ends_with(";tag=three"));
    bench.hear(PEER, &three);
    assert_eq!(bench.last(), sent[1].text, "the other fork's ACK again, and no second BYE");
    bench.hear(PEER, &reply(&sent[2].text, "200 OK", "", "", ""));
    bench.hang_up(leg);
    let bye = bench.last();
    assert!(bye.starts_with("BYE sip:two@198.51.100.22"));
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn a_repeated_200_is_acknowledged_again() {
    let mut bench = Bench::new();
    let (leg, _, ok) = bench.connected();
    let ack = bench.last();
    bench.take();
    for _ in 0..3 {
        bench.pass(500);
        bench.hear(PEER, &ok);
    }
    assert!(bench.take().iter().all(|sent| sent.text == ack));
    assert_eq!(bench.events().len(), 1, "told once");
    bench.hang_up(leg);
    let bye = bench.last();
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.hear(PEER, &ok);
    assert_eq!(bench.last(), ack, "and even after the BYE");
    bench.ends_clean();
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(None);
    assert!(all(&invite, "Content-Type").is_empty());
    bench.take();
    let ok = reply(&invite, "200 OK", "far", CONTACT, "their offer");
    bench.hear(PEER, &ok);
    bench.hear(PEER, &ok);
    assert!(bench.take().is_empty(), "the ACK waits for the answer");
    assert_eq!(bench.events(), [LegEvent::Answered { early: EarlyDialogId(0), body: Some(sdp("their offer")), ack_due: true }]);
    bench.command(leg, Command::Ack { body: Some(sdp("our answer")) });
    let ack = bench.last();
    assert!(ack.ends_with("\r\n\r\nour answer"));
    bench.hear(PEER, &ok);
    assert_eq!(bench.last(), ack);
    bench.hang_up(leg);
    let bye = bench.last();
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn hanging_up_a_late_offer_sends_ack_and_bye() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(None);
    bench.hear(PEER, &reply(&invite, "200 OK", "far", CONTACT, "their offer"));
    bench.take();
    bench.hang_up(leg);
    let sent = bench.take();
    assert_eq!(sent.iter().map(|sent| &sent.text[..4]).collect::<Vec<_>>(), ["ACK ", "BYE "]);
    bench.hear(PEER, &reply(&sent[1].text, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn both_byes_at_once_end_the_call_once() {
    let mut bench = Bench::new();
    let (leg, invite, _) = bench.connected();
    bench.events();
    bench.hang_up(leg);
    let bye = bench.last();
    bench.take();
    bench.hear(PEER, &from_callee("BYE", 1, &invite, "far", "z9hG4bKbye00001", ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"]);
    bench.hear(PEER, &reply(&bye, "481 Call/Transaction Does Not Exist", "", "", ""));
    assert!(bench.events().is_empty());
    bench.ends_clean();
}

#[test]
fn a_bye_nobody_answers_is_repeated_by_timers_e_and_f_and_forgotten() {
    let mut bench = Bench::new();
    let (leg, _, _) = bench.connected();
    bench.hang_up(leg);
    bench.take();
    bench.pass(40_000);
    let times = bench.take().iter().map(|sent| sent.at).collect::<Vec<_>>();
    assert_eq!(times, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    bench.ends_clean();
}

#[test]
fn an_invite_that_cannot_leave_is_refused_at_once() {
    let mut bench = Bench::new();
    bench.start(Target::Address("[2001:db8::1]:5060".parse().unwrap()), Some(sdp("offer")));
    assert!(matches!(&bench.events()[..], [LegEvent::Refused { status: 503, by: ByWhom::Local, .. }]));
    bench.invite(Some(sdp("offer")));
    bench.not_sent();
    assert!(matches!(&bench.events()[..], [LegEvent::Refused { status: 503, by: ByWhom::Transport, .. }]));
    bench.ends_clean();
}

#[test]
fn an_invite_to_a_name_is_sent_to_the_name_and_whoever_answers_first_is_the_peer() {
    let mut bench = Bench::new();
    let (_, invite) = bench.invite_to(Target::Host("Carrier.example.com".into(), None), Some(sdp("offer")));
    assert_eq!(bench.take()[0].to, "carrier.example.com:5060");
    bench.hear("203.0.113.9:5060", &reply(&invite, "200 OK", "far", "Contact: <sip:far@carrier.example.com>\n", "v=0\n"));
    assert_eq!(bench.take().pop().unwrap().to, "carrier.example.com:5060");
    bench.hear("203.0.113.9:5060", &from_callee("BYE", 1, &invite, "far", "z9hG4bKbye00001", ""));
    assert_eq!(status(&bench.last()), 200);
}

#[test]
fn any_address_of_the_trunk_may_answer_and_ask() {
    let mut bench = Bench::new();
    let (_, invite) = bench.invite(Some(sdp("offer")));
    bench.hear(PEER_TWO, &reply(&invite, "200 OK", "far", CONTACT, "v=0\n"));
    bench.hear(PEER_TWO, &from_callee("BYE", 1, &invite, "far", "z9hG4bKbye00001", ""));
    assert_eq!(status(&bench.last()), 200);
    bench.ends_clean();
}

#[test]
fn a_response_nobody_waits_for_is_dropped() {
    let mut bench = Bench::new();
    let (_, invite) = bench.invite(Some(sdp("offer")));
    bench.take();
    let forged = reply(&invite, "200 OK", "x", CONTACT, "");
    bench.hear(PEER, &forged.replace(&param(&invite, "Via", "branch"), "z9hG4bK0000000000000000"));
    bench.hear(PEER, &forged.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"));
    bench.hear(PEER, &forged.replacen("Via:", "Via: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKover\nVia:", 1));
    assert!(bench.take().is_empty() && bench.events().is_empty());
}
