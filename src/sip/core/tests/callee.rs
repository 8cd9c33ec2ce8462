//! Calls that come in.

use super::bench::{PEER_TWO, STRANGER, all, in_dialog};
use super::*;
use crate::sip::leg::{ByWhom, Command, Header, LegEvent};

fn at(bench: &mut Bench) -> Vec<u64> {
    bench.take().iter().map(|sent| sent.at).collect()
}

#[test]
fn a_repeated_invite_while_ringing_replays_the_180_and_makes_no_second_call() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.offered();
    assert_eq!(bench.lines(), ["SIP/2.0 100 Trying"]);
    bench.hear(PEER, &invite);
    assert_eq!(bench.lines(), ["SIP/2.0 100 Trying"]);
    bench.progress(leg, 180, None);
    let ringing = bench.last();
    bench.hear(PEER, &invite);
    assert_eq!(bench.last(), ringing);
    assert_eq!((bench.lines().len(), bench.offers.len()), (2, 1));
    bench.refuse(leg, 486);
    bench.hear(PEER, &invite.replacen("INVITE", "ACK", 1).replace("1 INVITE", "1 ACK"));
    bench.ends_clean();
}

#[test]
fn a_repeated_invite_after_the_200_repeats_the_200() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.offered();
    bench.answer(leg, Some(sdp("answer")));
    let ok = bench.last();
    bench.take();
    bench.hear(PEER, &invite);
    assert_eq!(bench.take().iter().map(|sent| sent.text.clone()).collect::<Vec<_>>(), std::slice::from_ref(&ok));
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKack00001", ""));
    bench.hear(PEER, &invite);
    assert!(bench.take().is_empty(), "absorbed once it is acknowledged");
    bench.hear(PEER, &in_dialog("BYE", 2, &ok, "z9hG4bKbye00001", ""));
    bench.ends_clean();
}

#[test]
fn a_refusal_repeats_until_its_ack_comes() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.offered();
    bench.refuse(leg, 486);
    bench.take();
    bench.pass(8_000);
    assert_eq!(at(&mut bench), [500, 1_500, 3_500, 7_500]);
    let ack = in_dialog("ACK", 1, &invite, &param(&invite, "Via", "branch"), "");
    bench.hear(PEER, &ack);
    bench.pass(30_000);
    assert!(bench.take().is_empty());
    bench.ends_clean();
}

#[test]
fn the_tag_is_the_same_in_the_180_and_the_200_and_the_200_has_what_a_dialog_needs() {
    let mut bench = Bench::new();
    let (leg, _) =
        bench.offered_with("Record-Route: <sip:198.51.100.7;lr>, <sip:198.51.100.8;lr>\nRecord-Route: <sip:198.51.100.9;lr>\n", "v=0\n");
    bench.progress(leg, 183, Some(sdp("early")));
    let early = bench.last();
    bench.answer(leg, Some(sdp("answer")));
    let ok = bench.last();
    assert!(!param(&early, "To", "tag").is_empty());
    assert_eq!(param(&early, "To", "tag"), param(&ok, "To", "tag"));
    for text in [&early, &ok] {
        assert_eq!(all(text, "Record-Route"), ["<sip:198.51.100.7;lr>, <sip:198.51.100.8;lr>", "<sip:198.51.100.9;lr>"]);
        assert_eq!(header(text, "Contact"), "<sip:192.0.2.10:5060>");
        assert!(all(text, "Server").is_empty() && all(text, "User-Agent").is_empty());
    }
    assert!(early.ends_with("\r\n\r\nearly") && ok.ends_with("\r\n\r\nanswer"));
    // RFC 3261 §12.1.1: our own requests go through the proxies in the order of the Record-Route.
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKack00001", ""));
    bench.hang_up(leg);
    let bye = bench.take().pop().unwrap();
    assert_eq!((bye.to.as_str(), bye.text.lines().next().unwrap()), ("198.51.100.7:5060", "BYE sip:bob@198.51.100.1:5060 SIP/2.0"));
    assert_eq!(all(&bye.text, "Route"), ["<sip:198.51.100.7;lr>", "<sip:198.51.100.8;lr>", "<sip:198.51.100.9;lr>"]);
    bench.hear(PEER, &super::bench::reply(&bye.text, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn a_strict_router_becomes_the_request_line() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered_with("Record-Route: <sip:198.51.100.7>\nRecord-Route: <sip:198.51.100.8;lr>\n", "v=0\n");
    bench.answer(leg, None);
    let ok = bench.last();
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKack00001", ""));
    bench.hang_up(leg);
    let bye = bench.take().pop().unwrap();
    assert_eq!((bye.to.as_str(), bye.text.lines().next().unwrap()), ("198.51.100.7:5060", "BYE sip:198.51.100.7 SIP/2.0"));
    assert_eq!(all(&bye.text, "Route"), ["<sip:198.51.100.8;lr>", "<sip:bob@198.51.100.1:5060>"]);
    bench.hear(PEER, &super::bench::reply(&bye.text, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn cancel_is_answered_200_and_the_invite_487_with_one_tag() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.offered();
    bench.progress(leg, 180, None);
    let tag = param(&bench.last(), "To", "tag");
    bench.take();
    let cancel = invite.split("Contact").next().unwrap().replacen("INVITE", "CANCEL", 1).replace("1 INVITE", "1 CANCEL");
    bench.hear(PEER, &format!("{cancel}Reason: SIP;cause=200;text=\"Call completed elsewhere\"\n\n"));
    let sent = bench.take();
    assert_eq!(sent.iter().map(|sent| status(&sent.text)).collect::<Vec<_>>(), [200, 487]);
    assert!(sent.iter().all(|sent| param(&sent.text, "To", "tag") == tag));
    let [LegEvent::Cancelled { reason: Some(reason) }] = &bench.events()[..] else { panic!("not cancelled") };
    assert_eq!((reason.cause, &*reason.text), (200, "Call completed elsewhere"));
    assert_eq!(bench.ended, [leg]);
    bench.hear(PEER, &in_dialog("ACK", 1, &sent[1].text, &param(&invite, "Via", "branch"), ""));
    bench.pass(1_000);
    assert!(bench.take().is_empty());
    bench.ends_clean();
}

#[test]
fn a_cancel_after_the_200_changes_nothing_and_one_of_nothing_is_481() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.offered();
    bench.answer(leg, None);
    let ok = bench.last();
    bench.take();
    let cancel = invite.split("Contact").next().unwrap().replacen("INVITE", "CANCEL", 1).replace("1 INVITE", "1 CANCEL");
    bench.hear(PEER, &cancel);
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"]);
    assert!(bench.events().is_empty());
    bench.hear(PEER, &cancel.replace("z9hG4bKpeer", "z9hG4bKother"));
    assert_eq!(bench.lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    bench.hear(STRANGER, &cancel.replace("198.51.100.1:5060;branch", "203.0.113.66;branch"));
    assert_eq!(bench.lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKack00001", ""));
    bench.hear(PEER, &in_dialog("BYE", 2, &ok, "z9hG4bKbye00001", ""));
    bench.ends_clean();
}

#[test]
fn a_200_nobody_acknowledges_is_repeated_ten_times_and_then_bye() {
    let mut bench = Bench::new().unaudited();
    let (leg, _) = bench.offered();
    bench.answer(leg, Some(sdp("answer")));
    bench.take();
    bench.pass(31_999);
    let repeats = bench.take();
    assert!(repeats.iter().all(|sent| status(&sent.text) == 200));
    let times = repeats.iter().map(|sent| sent.at).collect::<Vec<_>>();
    assert_eq!(times, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    bench.pass(1);
    let bye = bench.take();
    assert_eq!((bye.len(), bye[0].at, &bye[0].text[..4]), (1, 32_000, "BYE "));
    assert_eq!(bench.events(), [LegEvent::HungUp { reason: None, by: ByWhom::Timeout }]);
    bench.ends_clean();
}

#[test]
fn the_ack_ends_the_repeats_and_brings_the_answer_to_a_late_offer() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered_with("", "");
    assert_eq!(bench.offers[0].1.body, None);
    bench.answer(leg, Some(sdp("offer")));
    let ok = bench.last();
    bench.pass(600);
    assert_eq!(bench.lines().len(), 3);
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKack00001", "Content-Type: application/sdp\n\nanswer"));
    assert_eq!(bench.events(), [LegEvent::Acked { body: Some(sdp("answer")) }]);
    bench.pass(10_000);
    assert!(bench.take().is_empty());
    bench.hear(PEER, &in_dialog("BYE", 2, &ok, "z9hG4bKbye00001", "Reason: Q.850;cause=16"));
    assert!(matches!(&bench.events()[..], [LegEvent::HungUp { reason: Some(reason), by: ByWhom::Remote }] if reason.cause == 16));
    bench.ends_clean();
}

#[test]
fn hanging_up_before_the_ack_waits_for_it() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered();
    bench.answer(leg, None);
    let ok = bench.last();
    bench.take();
    bench.hang_up(leg);
    assert!(bench.take().is_empty(), "RFC 3261 §15: no BYE before the ACK");
    bench.pass(500);
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"]);
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKack00001", ""));
    let bye = bench.last();
    assert_eq!(bench.lines(), ["BYE sip:bob@198.51.100.1:5060 SIP/2.0"]);
    bench.hear(PEER, &super::bench::reply(&bye, "200 OK", "", "", ""));
    assert!(bench.events().is_empty());
    bench.ends_clean();
}

#[test]
fn hanging_up_before_the_answer_is_480() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.offered();
    bench.hang_up(leg);
    assert_eq!(bench.lines(), ["SIP/2.0 100 Trying", "SIP/2.0 480 Temporarily Unavailable"]);
    bench.hear(PEER, &in_dialog("ACK", 1, &invite, &param(&invite, "Via", "branch"), ""));
    bench.ends_clean();
}

#[test]
fn a_refusal_carries_phrase_and_headers_but_not_ours() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered();
    let headers = vec![Header::new("Retry-After", "7"), Header::new("Contact", "<sip:x@x>"), Header::new("X-Bad", "a\r\nInjected: b")];
    bench.command(leg, Command::Refuse { status: 503, phrase: "Come back\r\nlater".into(), headers });
    let refusal = bench.last();
    assert!(refusal.starts_with("SIP/2.0 503 Come back  later\r\n"), "{refusal}");
    assert_eq!(header(&refusal, "Retry-After"), "7");
    assert!(all(&refusal, "Contact").is_empty() && all(&refusal, "Injected").is_empty() && all(&refusal, "X-Bad").is_empty());
}

#[test]
fn a_caller_that_says_bye_before_the_answer_is_heard() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered();
    bench.progress(leg, 180, None);
    let ringing = bench.last();
    bench.take();
    bench.hear(PEER, &in_dialog("BYE", 2, &ringing, "z9hG4bKbye00001", ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(bench.events(), [LegEvent::Cancelled { reason: None }]);
}

#[test]
fn a_ringing_call_is_reminded_of_every_minute() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered();
    bench.progress(leg, 180, None);
    bench.take();
    bench.pass(125_000);
    let reminders = bench.take();
    assert_eq!(reminders.iter().map(|sent| (sent.at, status(&sent.text))).collect::<Vec<_>>(), [(60_000, 180), (120_000, 180)]);
}

#[test]
fn only_the_legs_own_trunk_may_speak_in_it() {
    let mut bench = Bench::new();
    let (_, _, ok) = bench.answered();
    bench.take();
    bench.hear(STRANGER, &in_dialog("BYE", 2, &ok, "z9hG4bKbye00001", ""));
    assert_eq!(status(&bench.last()), 481);
    assert!(bench.events().iter().all(|event| matches!(event, LegEvent::Acked { .. })));
    bench.hear(PEER, &in_dialog("BYE", 2, &ok.replace(&param(&ok, "To", "tag"), "0000000000000000"), "z9hG4bKbye00002", ""));
    assert_eq!(status(&bench.last()), 481);
    bench.hear(PEER, &in_dialog("BYE", 2, &ok.replace("tag=theirs", "tag=other"), "z9hG4bKbye00003", ""));
    assert_eq!(status(&bench.last()), 481);
    bench.hear(PEER_TWO, &in_dialog("BYE", 2, &ok, "z9hG4bKbye00004", ""));
    assert_eq!(status(&bench.last()), 200);
    assert_eq!(bench.events(), [LegEvent::HungUp { reason: None, by: ByWhom::Remote }]);
    bench.ends_clean();
}

#[test]
fn a_repeated_bye_hears_the_same_200_and_another_is_481() {
    let mut bench = Bench::new();
    let (_, _, ok) = bench.answered();
    bench.take();
    let bye = in_dialog("BYE", 2, &ok, "z9hG4bKbye00001", "");
    bench.hear(PEER, &bye);
    bench.hear(PEER, &bye);
    bench.hear(PEER, &in_dialog("BYE", 3, &ok, "z9hG4bKbye00002", ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 200 OK", "SIP/2.0 481 Call/Transaction Does Not Exist"]);
    bench.ends_clean();
}

#[test]
fn responses_go_where_rport_and_via_say_but_never_elsewhere() {
    for (via, to, shown) in [
        ("SIP/2.0/UDP 10.1.1.1:5070;rport;branch=z9hG4bKnat00001", "198.51.100.1:5060", Some("198.51.100.1")),
        ("SIP/2.0/UDP 10.1.1.1:5070;branch=z9hG4bKnat00001", "198.51.100.1:5070", Some("198.51.100.1")),
        ("SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKnat00001", "198.51.100.1:5060", None),
        ("SIP/2.0/UDP 198.51.100.1;maddr=203.0.113.1;branch=z9hG4bKnat00001", "198.51.100.1:5060", None),
    ] {
        let mut bench = Bench::new();
        let invite = super::bench::invite_text("z9hG4bKnat00001", "nat", "", "")
            .replace("SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKnat00001", via);
        bench.hear(PEER, &invite);
        let sent = bench.take().pop().unwrap();
        assert_eq!(sent.to, to, "{via}");
        assert_eq!(Some(param(&sent.text, "Via", "received")).filter(|it| !it.is_empty()).as_deref(), shown, "{via}");
        if via.contains("rport") {
            assert_eq!(param(&sent.text, "Via", "rport"), "5060");
        }
    }
}

#[test]
fn a_stored_dialog_is_hung_up_after_a_restart() {
    let mut bench = Bench::new();
    bench.answered();
    let text = serde_json::to_string(&bench.offers[0].2).unwrap();
    let mut later = Bench::new();
    later.bye_stored(serde_json::from_str(&text).unwrap());
    let bye = later.take().pop().unwrap();
    assert_eq!((bye.to.as_str(), &bye.text[..11]), (PEER, "BYE sip:bob"));
    assert!(header(&bye.text, "CSeq").trim_end_matches(" BYE").parse::<u32>().unwrap() > 1000);
    later.hear(PEER, &super::bench::reply(&bye.text, "200 OK", "", "", ""));
    later.ends_clean();
    // The first life takes it as its far end's own words would be taken: the tags are right.
    assert_eq!(param(&bye.text, "From", "tag"), param(&bench.last(), "To", "tag"));
    assert_eq!(param(&bye.text, "To", "tag"), "theirs");
}
