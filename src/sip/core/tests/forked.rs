//! Several early dialogs: towards a caller of theirs, and with the forks of a call of ours.

use super::bench::{from_callee, in_dialog, reply};
use super::*;
use crate::sip::leg::{ByWhom, EarlyDialogId, InDialog, LegEvent};

const CONTACT: &str = "Contact: <sip:far@198.51.100.1:5060>\n";
const OFFER: &str = "Contact: <sip:bob@198.51.100.1:5060>\nContent-Type: application/sdp\n\nnew offer";

fn tag(text: &str) -> String {
    param(text, "To", "tag")
}

#[test]
fn each_early_dialog_has_its_tag_and_the_one_that_is_answered_stays() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered();
    let one = bench.progress_in(leg, 0, 183, Some(sdp("one")));
    let two = bench.progress_in(leg, 1, 183, Some(sdp("two")));
    assert_ne!(tag(&one), tag(&two));
    assert_eq!(tag(&bench.progress_in(leg, 0, 180, None)), tag(&one));
    let ok = bench.answer_in(leg, 1, Some(sdp("two")));
    assert_eq!(tag(&ok), tag(&two));
    bench.hear(PEER, &in_dialog("ACK", 1, &one, "z9hG4bKack00000", ""));
    assert!(bench.events().is_empty(), "an ACK in a dialog that is gone");
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKack00001", ""));
    assert_eq!(bench.events(), [LegEvent::Acked { body: None }]);
    bench.hear(PEER, &in_dialog("BYE", 2, &one, "z9hG4bKbye00001", ""));
    assert_eq!(status(&bench.last()), 481, "the one that lost is gone");
    bench.hang_up(leg);
    let bye = bench.last();
    assert_eq!((param(&bye, "From", "tag"), header(&bye, "CSeq")), (tag(&two), "1 BYE".into()));
    bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
    bench.ends_clean();
}

#[test]
fn a_fork_that_answers_without_having_rung_gets_a_tag_of_its_own() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.offered();
    let one = bench.progress_in(leg, 0, 183, Some(sdp("one")));
    let ok = bench.answer_in(leg, 1, Some(sdp("two")));
    assert_ne!(tag(&one), tag(&ok));
    bench.hear(PEER, &invite);
    assert_eq!(bench.last(), ok);
    bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKack00001", ""));
    bench.hear(PEER, &in_dialog("BYE", 2, &ok, "z9hG4bKbye00001", ""));
    assert_eq!(status(&bench.last()), 200);
    bench.ends_clean();
}

#[test]
fn a_refusal_ends_all_early_dialogs_and_has_the_first_tag() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.offered();
    let one = bench.progress_in(leg, 0, 183, Some(sdp("one")));
    let two = bench.progress_in(leg, 1, 183, Some(sdp("two")));
    bench.refuse(leg, 480);
    let refusal = bench.last();
    assert_eq!(tag(&refusal), tag(&one));
    bench.hear(PEER, &in_dialog("UPDATE", 2, &two, "z9hG4bKup000001", OFFER));
    assert_eq!(status(&bench.last()), 481);
    bench.hear(PEER, &in_dialog("ACK", 1, &refusal, &param(&invite, "Via", "branch"), ""));
    bench.ends_clean();
}

#[test]
fn the_dialogs_count_and_describe_for_themselves() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered();
    let one = bench.progress_in(leg, 0, 183, Some(sdp("one")));
    let two = bench.progress_in(leg, 1, 180, None);
    // RFC 3311 §5.2: only where the offer of the INVITE has its answer may there be another.
    bench.hear(PEER, &in_dialog("UPDATE", 2, &two, "z9hG4bKup000001", OFFER));
    assert_eq!(status(&bench.last()), 500);
    bench.hear(PEER, &in_dialog("UPDATE", 2, &one, "z9hG4bKup000002", OFFER));
    let seen = bench.events();
    let [LegEvent::Request { id, early: Some(EarlyDialogId::FIRST), .. }] = &seen[..] else { panic!("{seen:?}") };
    bench.progress_in(leg, 1, 183, Some(sdp("two")));
    bench.hear(PEER, &in_dialog("UPDATE", 3, &two, "z9hG4bKup000003", OFFER));
    let early = EarlyDialogId::numbered(1);
    assert!(matches!(&bench.events()[..], [LegEvent::Request { early: Some(of), .. }] if *of == early), "an offer in each");
    bench.respond(leg, *id, 200, Some(sdp("agreed")));
    assert_eq!((status(&bench.last()), tag(&bench.last())), (200, tag(&one)));
    // Ours: each dialog has numbers of its own.
    for (early, response) in [(0, &one), (1, &two)] {
        bench.ask_in(leg, Some(early), InDialog::Info, None);
        let info = bench.last();
        assert_eq!((param(&info, "From", "tag"), header(&info, "CSeq")), (tag(response), "1 INFO".into()));
    }
}

#[test]
fn at_the_answer_what_was_asked_in_other_dialogs_is_refused_and_what_we_asked_there_is_no_news() {
    for late in [Some("481 Call/Transaction Does Not Exist"), Some("408 Request Timeout"), None] {
        let mut bench = Bench::new();
        let (leg, _) = bench.offered();
        let one = bench.progress_in(leg, 0, 183, Some(sdp("one")));
        bench.progress_in(leg, 1, 183, Some(sdp("two")));
        bench.hear(PEER, &in_dialog("INFO", 2, &one, "z9hG4bKin000001", ""));
        let theirs = bench.events().pop();
        let Some(LegEvent::Request { id: theirs, .. }) = theirs else { panic!("{theirs:?}") };
        let ours = bench.ask_in(leg, Some(0), InDialog::Update, Some(sdp("offer")));
        let update = bench.last();
        bench.take();
        bench.answer_in(leg, 1, Some(sdp("two")));
        let [ok, gone] = &bench.take()[..] else { panic!("a 200 and a 481") };
        let ok = ok.text.clone();
        assert_eq!((status(&ok), status(&gone.text)), (200, 481));
        bench.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKack00001", ""));
        bench.respond(leg, theirs, 200, None);
        assert!(bench.take().is_empty(), "it has its answer");
        // An offer in the dialog that won does not wait for the one that lost.
        bench.ask(leg, InDialog::Update, Some(sdp("offer")));
        let next = bench.last();
        bench.hear(PEER, &reply(&next, "200 OK", "", CONTACT, "answer"));
        bench.events();
        match late {
            Some(late) => bench.hear(PEER, &reply(&update, late, "", "", "")),
            None => bench.pass(33_000),
        }
        let seen = bench.events();
        assert!(matches!(&seen[..], [LegEvent::Response { id, status: 481 | 408, .. }] if *id == ours), "{seen:?}");
        bench.hear(PEER, &in_dialog("BYE", 5, &ok, "z9hG4bKbye00001", ""));
        assert_eq!(bench.events(), [LegEvent::HungUp { reason: None, by: ByWhom::Remote }]);
        bench.ends_clean();
    }
}

#[test]
fn a_question_to_a_fork_that_lost_does_not_end_the_call_with_the_one_that_won() {
    for late in [Some("481 Call/Transaction Does Not Exist"), Some("408 Request Timeout"), None] {
        let mut bench = Bench::new();
        let (leg, invite) = bench.invite(Some(sdp("offer")));
        bench.hear(PEER, &reply(&invite, "183 Session Progress", "one", CONTACT, "one"));
        bench.hear(PEER, &reply(&invite, "183 Session Progress", "two", CONTACT, "two"));
        bench.hear(PEER, &from_callee("INFO", 1, &invite, "one", "z9hG4bKin000001", ""));
        bench.events();
        let ours = bench.ask_in(leg, Some(0), InDialog::Update, Some(sdp("new offer")));
        let update = bench.last();
        assert_eq!(param(&update, "To", "tag"), "one");
        bench.take();
        bench.hear(PEER, &reply(&invite, "200 OK", "two", CONTACT, "two"));
        let mut lines = bench.lines();
        lines.sort();
        assert_eq!(lines, ["ACK sip:far@198.51.100.1:5060 SIP/2.0", "SIP/2.0 481 Call/Transaction Does Not Exist"]);
        bench.events();
        match late {
            Some(late) => bench.hear(PEER, &reply(&update, late, "", "", "")),
            None => bench.pass(33_000),
        }
        let seen = bench.events();
        assert!(matches!(&seen[..], [LegEvent::Response { id, status: 481 | 408, .. }] if *id == ours), "{seen:?}");
        bench.ask_in(leg, Some(0), InDialog::Info, None);
        assert!(matches!(&bench.events()[..], [LegEvent::Response { status: 481, by: ByWhom::Local, .. }]), "it is gone");
        bench.hang_up(leg);
        let bye = bench.last();
        assert_eq!(param(&bye, "To", "tag"), "two");
        bench.hear(PEER, &reply(&bye, "200 OK", "", "", ""));
        bench.ends_clean();
    }
}

#[test]
fn a_caller_may_hang_up_one_early_dialog_and_keep_the_others() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered();
    let one = bench.progress_in(leg, 0, 183, Some(sdp("one")));
    let two = bench.progress_in(leg, 1, 183, Some(sdp("two")));
    bench.hear(PEER, &in_dialog("BYE", 2, &one, "z9hG4bKbye00001", ""));
    assert_eq!(status(&bench.last()), 200);
    assert!(bench.events().is_empty() && bench.ended.is_empty());
    bench.take();
    bench.progress_in(leg, 1, 180, None);
    bench.command(leg, crate::sip::leg::Command::Progress { early: EarlyDialogId::FIRST, status: 180, body: None, headers: vec![] });
    assert_eq!(bench.take().iter().map(|sent| tag(&sent.text)).collect::<Vec<_>>(), [tag(&two)], "nothing more is said in it");
    bench.hear(PEER, &in_dialog("UPDATE", 3, &one, "z9hG4bKup000001", OFFER));
    assert_eq!(status(&bench.last()), 481);
    bench.hear(PEER, &in_dialog("BYE", 2, &two, "z9hG4bKbye00002", ""));
    assert_eq!(bench.events(), [LegEvent::Cancelled { reason: None }], "the last one");
    let refusal = bench.last();
    assert_eq!(status(&refusal), 487);
    bench.hear(PEER, &in_dialog("ACK", 1, &refusal, &param(&refusal, "Via", "branch"), ""));
    bench.ends_clean();
}

#[test]
fn there_are_only_so_many_early_dialogs() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.offered();
    let tags = (0..60).map(|early| tag(&bench.progress_in(leg, early, 183, Some(sdp("media"))))).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(tags.len(), crate::sip::dialog::early::MAX_FORKS + 1);
    bench.hang_up(leg);
    bench.hear(PEER, &in_dialog("ACK", 1, &invite, &param(&invite, "Via", "branch"), ""));
    bench.ends_clean();
}

#[test]
fn what_the_books_keep_has_the_tag_that_is_answered() {
    let mut bench = Bench::new();
    let (leg, _) = bench.offered();
    bench.progress_in(leg, 0, 183, Some(sdp("one")));
    let stored = bench.offers[0].2.in_early(EarlyDialogId::numbered(1)).unwrap();
    let ok = bench.answer_in(leg, 1, Some(sdp("two")));
    assert_eq!(stored.local, header(&ok, "To"));
    assert_eq!(bench.offers[0].2.in_early(EarlyDialogId::FIRST).as_ref(), Some(&bench.offers[0].2));
}
