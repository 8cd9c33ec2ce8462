//! Requests inside a dialog, both ways.

use super::bench::{all, from_callee, in_dialog, reply};
use super::*;
use crate::sip::leg::{ByWhom, Command, InDialog, LegEvent, RequestId};

const DESCRIBED: &str = "Contact: <sip:moved@198.51.100.9:5099>\nContent-Type: application/sdp\n\nnew offer";

fn asked(bench: &mut Bench) -> RequestId {
    match bench.events().pop() {
        Some(LegEvent::Request { id, .. }) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reinvite_of_theirs_is_passed_answered_until_acknowledged_and_moves_the_target() {
    let mut bench = Bench::new();
    let (leg, _, ok) = bench.answered();
    bench.events();
    bench.take();
    let reinvite = in_dialog("INVITE", 2, &ok, "z9hG4bKre000001", DESCRIBED);
    bench.hear(PEER, &reinvite);
    assert_eq!(bench.lines(), ["SIP/2.0 100 Trying"]);
    let seen = bench.events();
    let [LegEvent::Request { id, method: InDialog::Reinvite, body: Some(body), early: None }] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(body, &sdp("new offer"));
    bench.hear(PEER, &reinvite);
    assert_eq!(bench.lines(), ["SIP/2.0 100 Trying"]);
    bench.respond(leg, *id, 200, Some(sdp("new answer")));
    let agreed = bench.last();
    assert_eq!((header(&agreed, "CSeq").as_str(), header(&agreed, "Contact").as_str()), ("2 INVITE", "<sip:192.0.2.10:5060>"));
    bench.take();
    bench.pass(1_600);
    assert_eq!(bench.lines().len(), 2, "repeated until the ACK");
    bench.hear(PEER, &in_dialog("ACK", 2, &ok, "z9hG4bKack00002", ""));
    assert_eq!(bench.events(), [LegEvent::RequestAcked { id: *id, body: None }]);
    bench.pass(20_000);
    assert!(bench.take().is_empty());
    bench.hang_up(leg);
    let bye = bench.take().pop().unwrap();
    assert_eq!((bye.to.as_str(), bye.text.lines().next().unwrap()), ("198.51.100.9:5099", "BYE sip:moved@198.51.100.9:5099 SIP/2.0"));
    bench.hear(PEER, &reply(&bye.text, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn a_refused_reinvite_leaves_the_call_and_the_target_as_they_were() {
    let mut bench = Bench::new();
    let (leg, _, ok) = bench.answered();
    bench.hear(PEER, &in_dialog("INVITE", 2, &ok, "z9hG4bKre000001", DESCRIBED));
    let id = asked(&mut bench);
    bench.respond(leg, id, 488, None);
    assert_eq!(status(&bench.last()), 488);
    bench.hear(PEER, &in_dialog("ACK", 2, &ok, "z9hG4bKre000001", ""));
    bench.hang_up(leg);
    let bye = bench.last();
    assert!(bye.starts_with("BYE sip:bob@198.51.100.1:5060"));
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn a_reinvite_of_ours_is_acknowledged_and_its_repeated_200_again() {
    let mut bench = Bench::new();
    let (leg, _, _) = bench.connected();
    bench.events();
    let id = bench.ask(leg, InDialog::Reinvite, Some(sdp("new offer")));
    let reinvite = bench.last();
    assert!(reinvite.starts_with("INVITE sip:far@198.51.100.1:5060 SIP/2.0\r\n"));
    assert_eq!(header(&reinvite, "CSeq"), "2 INVITE");
    let ok = reply(&reinvite, "200 OK", "", "Contact: <sip:moved@198.51.100.9>\n", "new answer");
    bench.hear(PEER, &ok);
    let ack = bench.last();
    assert!(ack.starts_with("ACK sip:moved@198.51.100.9 SIP/2.0\r\n") && header(&ack, "CSeq") == "2 ACK");
    bench.hear(PEER, &ok);
    assert_eq!(bench.last(), ack);
    let body = Some(sdp("new answer"));
    assert_eq!(bench.events(), [LegEvent::Response { id, status: 200, body, ack_due: false, retry_after: None, by: ByWhom::Remote }]);
    bench.hang_up(leg);
    let bye = bench.last();
    assert!(bye.starts_with("BYE sip:moved@198.51.100.9 ") && header(&bye, "CSeq") == "3 BYE");
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn a_reinvite_of_ours_without_offer_gets_its_answer_in_the_ack() {
    let mut bench = Bench::new();
    let (leg, _, _) = bench.connected();
    bench.events();
    bench.ask(leg, InDialog::Reinvite, None);
    let reinvite = bench.last();
    bench.take();
    bench.hear(PEER, &reply(&reinvite, "200 OK", "", "Contact: <sip:far@198.51.100.1>\n", "their offer"));
    assert!(bench.take().is_empty());
    assert!(matches!(&bench.events()[..], [LegEvent::Response { status: 200, ack_due: true, .. }]));
    bench.command(leg, Command::Ack { body: Some(sdp("our answer")) });
    assert!(bench.last().starts_with("ACK ") && bench.last().ends_with("our answer"));
}

#[test]
fn when_both_ask_at_once_theirs_is_491_and_ours_waits_as_the_rfc_draws() {
    for (is_caller, least, most) in [(true, 2_100, 4_000), (false, 0, 2_000)] {
        let mut bench = Bench::new();
        let (leg, theirs) = if is_caller {
            let (leg, invite, _) = bench.connected();
            (leg, from_callee("INVITE", 1, &invite, "far", "z9hG4bKre000001", DESCRIBED))
        } else {
            let (leg, _, ok) = bench.answered();
            (leg, in_dialog("INVITE", 2, &ok, "z9hG4bKre000001", DESCRIBED))
        };
        bench.ask(leg, InDialog::Reinvite, Some(sdp("ours")));
        let ours = bench.last();
        bench.events();
        bench.hear(PEER, &theirs);
        assert_eq!(status(&bench.last()), 491);
        assert!(bench.events().is_empty());
        bench.hear(PEER, &reply(&ours, "491 Request Pending", "", "", ""));
        let seen = bench.events();
        let [LegEvent::Response { status: 491, retry_after: Some(wait), by: ByWhom::Remote, .. }] = &seen[..] else { panic!("{seen:?}") };
        let millis = u64::try_from(wait.as_millis()).unwrap();
        assert!((least..=most).contains(&millis) && millis.is_multiple_of(10), "{millis}");
    }
}

#[test]
fn a_second_reinvite_before_the_first_is_answered_is_500_and_ours_is_491_without_being_sent() {
    let mut bench = Bench::new();
    let (leg, _, ok) = bench.answered();
    bench.hear(PEER, &in_dialog("INVITE", 2, &ok, "z9hG4bKre000001", DESCRIBED));
    let id = asked(&mut bench);
    bench.hear(PEER, &in_dialog("INVITE", 3, &ok, "z9hG4bKre000002", DESCRIBED));
    assert_eq!(status(&bench.last()), 500);
    assert!(header(&bench.last(), "Retry-After").parse::<u32>().unwrap() <= 10);
    bench.take();
    bench.ask(leg, InDialog::Reinvite, Some(sdp("ours")));
    assert!(bench.take().is_empty());
    assert!(matches!(&bench.events()[..], [LegEvent::Response { status: 491, by: ByWhom::Local, retry_after: Some(_), .. }]));
    bench.respond(leg, id, 200, None);
    assert_eq!(status(&bench.last()), 200);
}

#[test]
fn a_cancelled_reinvite_is_487_and_the_call_goes_on() {
    let mut bench = Bench::new();
    let (leg, _, ok) = bench.answered();
    bench.hear(PEER, &in_dialog("INVITE", 2, &ok, "z9hG4bKre000001", DESCRIBED));
    let id = asked(&mut bench);
    bench.take();
    bench.hear(PEER, &in_dialog("CANCEL", 2, &ok, "z9hG4bKre000001", ""));
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(bench.events(), [LegEvent::RequestCancelled { id }]);
    bench.respond(leg, id, 200, None);
    assert!(bench.take().is_empty(), "too late");
    bench.hear(PEER, &in_dialog("ACK", 2, &ok, "z9hG4bKre000001", ""));
    bench.hear(PEER, &in_dialog("BYE", 3, &ok, "z9hG4bKbye00001", ""));
    bench.ends_clean();
}

#[test]
fn update_in_an_early_dialog_goes_both_ways() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    bench.hear(PEER, &reply(&invite, "183 Session Progress", "far", "Contact: <sip:far@198.51.100.1>\n", "early answer"));
    bench.events();
    bench.hear(PEER, &from_callee("UPDATE", 1, &invite, "far", "z9hG4bKup000001", DESCRIBED));
    let seen = bench.events();
    let [LegEvent::Request { id, method: InDialog::Update, early: Some(early), .. }] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(early.0, 0);
    bench.respond(leg, *id, 200, Some(sdp("agreed")));
    assert_eq!((status(&bench.last()), header(&bench.last(), "CSeq")), (200, "1 UPDATE".into()));
    let ours = bench.ask(leg, InDialog::Update, Some(sdp("ours")));
    let update = bench.last();
    assert!(update.starts_with("UPDATE sip:moved@198.51.100.9:5099 ") && header(&update, "CSeq") == "2 UPDATE");
    bench.hear(PEER, &reply(&update, "200 OK", "", "Contact: <sip:far@198.51.100.1>\n", "theirs"));
    assert!(matches!(&bench.events()[..], [LegEvent::Response { id, status: 200, .. }] if *id == ours));
    bench.hear(PEER, &reply(&invite, "200 OK", "far", "Contact: <sip:far@198.51.100.1>\n", "early answer"));
    bench.hang_up(leg);
    let bye = bench.last();
    assert_eq!(header(&bye, "CSeq"), "3 BYE", "the early dialog's numbers go on");
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn update_in_a_ringing_call_of_theirs_reaches_the_switchboard() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered();
    bench.progress(leg, 180, None);
    let ringing = bench.last();
    // RFC 3311 §5.2: their offer of the INVITE has no answer yet, so another must wait.
    bench.hear(PEER, &in_dialog("UPDATE", 2, &ringing, "z9hG4bKup000001", DESCRIBED));
    assert_eq!(status(&bench.last()), 500);
    bench.progress(leg, 183, Some(sdp("early answer")));
    bench.hear(PEER, &in_dialog("UPDATE", 3, &ringing, "z9hG4bKup000002", DESCRIBED));
    let id = asked(&mut bench);
    bench.respond(leg, id, 200, Some(sdp("agreed")));
    assert_eq!((status(&bench.last()), header(&bench.last(), "CSeq")), (200, "3 UPDATE".into()));
}

#[test]
fn updates_with_offers_never_overlap() {
    let mut bench = Bench::new();
    let (leg, _, ok) = bench.answered();
    bench.ask(leg, InDialog::Update, Some(sdp("ours")));
    bench.hear(PEER, &in_dialog("UPDATE", 2, &ok, "z9hG4bKup000001", DESCRIBED));
    assert_eq!(status(&bench.last()), 491);
    bench.hear(PEER, &in_dialog("UPDATE", 3, &ok, "z9hG4bKup000002", "Contact: <sip:bob@198.51.100.1>"));
    assert_eq!(status(&bench.last()), 200, "without a description it is a sign of life");
    let update = bench.sent.iter().find(|sent| sent.text.starts_with("UPDATE ")).unwrap().text.clone();
    bench.hear(PEER, &reply(&update, "200 OK", "", "Contact: <sip:bob@198.51.100.1>\n", "agreed"));
    bench.hear(PEER, &in_dialog("UPDATE", 4, &ok, "z9hG4bKup000003", DESCRIBED));
    asked(&mut bench);
    bench.hear(PEER, &in_dialog("UPDATE", 5, &ok, "z9hG4bKup000004", DESCRIBED));
    assert_eq!(status(&bench.last()), 500);
}

#[test]
fn info_is_passed_both_ways() {
    let mut bench = Bench::new();
    let (leg, _, ok) = bench.answered();
    bench.hear(PEER, &in_dialog("INFO", 2, &ok, "z9hG4bKin000001", "Content-Type: application/dtmf-relay\n\nSignal=5"));
    let seen = bench.events();
    let Some(LegEvent::Request { id, method: InDialog::Info, body: Some(body), .. }) = seen.last() else { panic!("{seen:?}") };
    assert_eq!((&*body.content_type, &body.bytes[..]), ("application/dtmf-relay", &b"Signal=5"[..]));
    bench.respond(leg, *id, 200, None);
    assert_eq!(status(&bench.last()), 200);
    let ours = bench.ask(leg, InDialog::Info, Some(body.clone()));
    let info = bench.last();
    assert_eq!((header(&info, "Content-Type").as_str(), all(&info, "Contact").len()), ("application/dtmf-relay", 0));
    bench.hear(PEER, &reply(&info, "415 Unsupported Media Type", "", "", ""));
    assert!(matches!(&bench.events()[..], [LegEvent::Response { id, status: 415, .. }] if *id == ours));
    bench.hear(PEER, &in_dialog("BYE", 3, &ok, "z9hG4bKbye00001", ""));
    bench.ends_clean();
}

#[test]
fn a_lower_number_is_500_and_a_repeat_hears_its_answer_again() {
    let mut bench = Bench::new();
    let (leg, _, ok) = bench.answered();
    let info = in_dialog("INFO", 5, &ok, "z9hG4bKin000001", "");
    bench.hear(PEER, &info);
    bench.hear(PEER, &info);
    let id = asked(&mut bench);
    bench.respond(leg, id, 200, None);
    bench.take();
    bench.hear(PEER, &info);
    assert_eq!(bench.lines(), ["SIP/2.0 200 OK"]);
    bench.hear(PEER, &in_dialog("INFO", 4, &ok, "z9hG4bKin000002", ""));
    assert_eq!(bench.lines(), ["SIP/2.0 500 Server Internal Error"]);
    assert!(bench.events().is_empty());
}

#[test]
fn what_is_not_done_inside_a_dialog_is_refused_and_options_answered() {
    let mut bench = Bench::new();
    let (_, _, ok) = bench.answered();
    let mut number = 1;
    for (method, headers, expected) in [
        ("OPTIONS", "", 200),
        ("REFER", "Refer-To: <sip:x@example.com>", 603),
        ("MESSAGE", "", 405),
        ("PRACK", "RAck: 1 1 INVITE", 481),
        ("FROBNICATE", "", 501),
        ("UPDATE", "Require: frobnicate", 420),
    ] {
        number += 1;
        bench.hear(PEER, &in_dialog(method, number, &ok, &format!("z9hG4bKodd{number:05}"), headers));
        assert_eq!(status(&bench.last()), expected, "{method}");
    }
}

#[test]
fn a_far_end_that_lost_the_call_is_hung_up() {
    let mut bench = Bench::new();
    let (leg, _, _) = bench.answered();
    bench.events();
    bench.ask(leg, InDialog::Reinvite, Some(sdp("ours")));
    let reinvite = bench.last();
    bench.hear(PEER, &reply(&reinvite, "481 Call/Transaction Does Not Exist", "", "", ""));
    assert!(matches!(&bench.events()[..], [LegEvent::Response { status: 481, .. }, LegEvent::HungUp { .. }]));
    let bye = bench.last();
    assert!(bye.starts_with("BYE "));
    bench.hear(PEER, &reply(&bye, "481 Call/Transaction Does Not Exist", "", "", ""));
    bench.ends_clean();
}

#[test]
fn a_request_of_ours_nobody_answers_ends_the_call() {
    let mut bench = Bench::new();
    let (leg, _, _) = bench.answered();
    bench.events();
    bench.ask(leg, InDialog::Update, None);
    bench.pass(32_000);
    let seen = bench.events();
    assert!(matches!(&seen[..], [LegEvent::Response { status: 408, .. }, LegEvent::HungUp { by: ByWhom::Timeout, .. }]), "{seen:?}");
    assert!(bench.last().starts_with("BYE "));
    bench.ends_clean();
}

#[test]
fn what_waits_for_the_switchboard_is_answered_when_the_call_ends() {
    let mut bench = Bench::new();
    let (leg, _, ok) = bench.answered();
    bench.hear(PEER, &in_dialog("INVITE", 2, &ok, "z9hG4bKre000001", DESCRIBED));
    bench.hear(PEER, &in_dialog("INFO", 3, &ok, "z9hG4bKin000001", ""));
    bench.take();
    bench.hang_up(leg);
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(
        lines,
        ["BYE sip:bob@198.51.100.1:5060 SIP/2.0", "SIP/2.0 481 Call/Transaction Does Not Exist", "SIP/2.0 487 Request Terminated"]
    );
}

#[test]
fn a_reinvite_that_stays_at_a_provisional_does_not_stay_for_ever() {
    let mut bench = Bench::new();
    let (leg, _, _) = bench.answered();
    bench.ask(leg, InDialog::Reinvite, Some(sdp("ours")));
    let reinvite = bench.last();
    bench.hear(PEER, &reply(&reinvite, "100 Trying", "", "", ""));
    bench.hang_up(leg);
    let bye = bench.last();
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();

    let mut bench = Bench::new();
    let (leg, _, _) = bench.answered();
    bench.events();
    bench.ask(leg, InDialog::Reinvite, Some(sdp("ours")));
    let reinvite = bench.last();
    bench.hear(PEER, &reply(&reinvite, "100 Trying", "", "", ""));
    bench.pass(180_000);
    assert!(matches!(&bench.events()[..], [LegEvent::Response { status: 408, .. }, LegEvent::HungUp { by: ByWhom::Timeout, .. }]));
}

#[test]
fn a_question_from_a_ringing_phone_is_answered_when_we_give_up() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    bench.hear(PEER, &reply(&invite, "180 Ringing", "far", "Contact: <sip:far@198.51.100.1>\n", ""));
    bench.hear(PEER, &from_callee("INFO", 1, &invite, "far", "z9hG4bKin000001", ""));
    bench.take();
    bench.hang_up(leg);
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(lines, ["CANCEL sip:+15551231234@carrier.example.com SIP/2.0", "SIP/2.0 481 Call/Transaction Does Not Exist"]);
}
