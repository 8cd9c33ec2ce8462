//! Reliable provisional responses (RFC 3262), both sides.

use super::bench::{all, in_dialog, reply};
use super::*;
use crate::sip::leg::{ByWhom, InDialog, LegEvent};

fn number(response: &str) -> u32 {
    header(response, "RSeq").parse().unwrap()
}

fn prack(response: &str, cseq: u32, rest: &str) -> String {
    let rack = format!("RAck: {} 1 INVITE\n{rest}", header(response, "RSeq"));
    in_dialog("PRACK", cseq, response, &format!("z9hG4bKprack{cseq:03}"), &rack)
}

#[test]
fn a_caller_that_requires_it_gets_each_provisional_until_prack_and_one_at_a_time() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered_with("Require: 100rel\n", "v=0\n");
    bench.take();
    bench.progress(leg, 180, None);
    bench.progress(leg, 183, Some(sdp("early")));
    let ringing = bench.last();
    assert_eq!((bench.sent.len(), status(&ringing), header(&ringing, "Require").as_str()), (1, 180, "100rel"));
    bench.pass(3_600);
    assert_eq!(bench.lines().len(), 4, "at 0, 0.5, 1.5 and 3.5 s");
    bench.hear(PEER, &prack(&ringing, 2, ""));
    let [accepted, early] = &bench.take().iter().map(|sent| sent.text.clone()).collect::<Vec<_>>()[..] else { panic!("two messages") };
    assert_eq!((status(accepted), header(accepted, "CSeq").as_str(), status(early)), (200, "2 PRACK", 183));
    assert_eq!(number(early), number(&ringing) + 1);
    bench.pass(600);
    assert_eq!(status(&bench.last()), 183);
    bench.hear(PEER, &prack(early, 3, ""));
    bench.take();
    bench.pass(10_000);
    assert!(bench.take().is_empty());
    bench.answer(leg, Some(sdp("answer")));
    let ok = bench.last();
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKackack1", ""));
    bench.hear(PEER, &in_dialog("BYE", 4, &ok, "z9hG4bKbye00001", ""));
    bench.ends_clean();
}

#[test]
fn the_answer_waits_for_the_prack_of_early_media() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered_with("Supported: 100rel\n", "v=0\n");
    bench.progress(leg, 180, None);
    assert!(all(&bench.last(), "RSeq").is_empty(), "a plain ringing goes as ever");
    bench.progress(leg, 183, Some(sdp("early")));
    let early = bench.last();
    bench.take();
    bench.answer(leg, Some(sdp("answer")));
    assert!(bench.take().is_empty());
    bench.hear(PEER, &prack(&early, 2, ""));
    let ok = bench.last();
    assert_eq!((status(&ok), header(&ok, "CSeq").as_str()), (200, "1 INVITE"));
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKackack1", ""));
    assert!(matches!(&bench.events()[..], [LegEvent::Acked { .. }]));
    bench.hear(PEER, &in_dialog("BYE", 3, &ok, "z9hG4bKbye00001", ""));
    bench.ends_clean();
}

#[test]
fn no_prack_at_all_refuses_the_call() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.offered_with("Require: 100rel\n", "v=0\n");
    bench.progress(leg, 180, None);
    bench.answer(leg, Some(sdp("answer")));
    let ok = bench.last();
    assert_eq!(status(&ok), 200, "a 180 without description holds nothing up");
    bench.hear(PEER, &prack(&bench.sent[1].text.clone(), 2, ""));
    assert_eq!(header(&bench.last(), "CSeq"), "2 PRACK");
    assert_eq!(status(&bench.last()), 200, "the PRACK that the answer overtook");
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKackack1", ""));
    bench.hear(PEER, &in_dialog("BYE", 3, &ok, "z9hG4bKbye00001", ""));
    let _ = invite;

    let (leg, invite) = bench.offered_with("Require: 100rel\n", "v=0\n");
    bench.events();
    bench.progress(leg, 183, Some(sdp("early")));
    bench.pass(33_000);
    let refused = bench.last();
    assert_eq!((status(&refused), header(&refused, "CSeq").as_str()), (504, "1 INVITE"));
    assert_eq!(bench.events(), [LegEvent::HungUp { reason: None, by: ByWhom::Timeout }]);
    let branch = crate::sip::core::tests::param(&invite, "Via", "branch");
    bench.hear(PEER, &in_dialog("ACK", 1, &refused, &branch, ""));
    bench.ends_clean();
}

#[test]
fn a_prack_that_fits_nothing_is_481_and_one_with_an_offer_asks_like_an_update() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered_with("Supported: 100rel\n", "v=0\n");
    bench.progress(leg, 183, Some(sdp("early")));
    let early = bench.last();
    let wrong = prack(&early, 2, "").replace(&format!("RAck: {}", number(&early)), &format!("RAck: {}", number(&early) + 1));
    bench.hear(PEER, &wrong);
    assert_eq!(status(&bench.last()), 481);
    bench.hear(PEER, &prack(&early, 3, "Content-Type: application/sdp\n\nanother offer"));
    let seen = bench.events();
    let [LegEvent::Request { id, method: InDialog::Update, body: Some(body), early: Some(_) }] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(body, &sdp("another offer"));
    bench.respond(leg, *id, 200, Some(sdp("another answer")));
    let agreed = bench.last();
    assert_eq!((status(&agreed), header(&agreed, "CSeq").as_str(), all(&agreed, "Contact").len()), (200, "3 PRACK", 0));
    bench.answer(leg, Some(sdp("answer")));
    let ok = bench.last();
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKackack1", ""));
    bench.hear(PEER, &in_dialog("BYE", 4, &ok, "z9hG4bKbye00001", ""));
    bench.ends_clean();
}

#[test]
fn a_reliable_provisional_of_theirs_is_acknowledged_once_and_told_in_order() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    assert!(header(&invite, "Supported").contains("100rel"));
    let says = |number: u32, body: &'static str| {
        reply(
            &invite,
            "183 Session Progress",
            "far",
            &format!("Contact: <sip:far@198.51.100.1:5060>\nRequire: 100rel\nRSeq: {number}\n"),
            body,
        )
    };
    bench.take();
    bench.hear(PEER, &says(7, "early"));
    let prack = bench.last();
    assert_eq!(prack.lines().next().unwrap(), "PRACK sip:far@198.51.100.1:5060 SIP/2.0");
    assert_eq!((header(&prack, "RAck").as_str(), header(&prack, "CSeq").as_str()), ("7 1 INVITE", "2 PRACK"));
    bench.hear(PEER, &says(7, "early"));
    bench.hear(PEER, &says(9, "later"));
    assert_eq!((bench.events().len(), bench.take().len()), (1, 1), "a repeat and one too early");
    bench.hear(PEER, &reply(&prack, "200 OK", "", "", ""));
    bench.hear(PEER, &says(8, "next"));
    let next = bench.last();
    assert_eq!((header(&next, "RAck").as_str(), header(&next, "CSeq").as_str()), ("8 1 INVITE", "3 PRACK"));
    bench.hear(PEER, &reply(&next, "200 OK", "", "", ""));
    bench.hear(PEER, &reply(&invite, "200 OK", "far", "Contact: <sip:far@198.51.100.1:5060>\n", ""));
    bench.hang_up(leg);
    let bye = bench.last();
    assert_eq!(header(&bye, "CSeq"), "4 BYE");
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn without_an_offer_it_is_not_offered() {
    let mut bench = Bench::new();
    let (_, invite) = bench.invite(None);
    assert_eq!(header(&invite, "Supported"), "timer");
}
