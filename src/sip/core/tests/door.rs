//! What is turned away before it becomes a call, and what odd messages pass.

use super::bench::{STRANGER, all, invite_text, outside};
use super::*;
use crate::sip::endpoint::Strangers;

fn stranger(text: &str) -> String {
    text.replace("198.51.100.1", "203.0.113.66")
}

fn answer_to(bench: &mut Bench, from: &str, text: &str) -> Option<u16> {
    bench.take();
    bench.hear(from, text);
    bench.take().last().map(|sent| status(&sent.text))
}

#[test]
fn nobody_takes_over_a_call_by_replacing_or_joining_it() {
    for header in ["Replaces: call1;to-tag=a;from-tag=b", "Join: call1;to-tag=a;from-tag=b"] {
        let mut bench = Bench::new();
        bench.answered();
        let invite = super::bench::invite_text("z9hG4bKtake0001", "other", &format!("{header}\n"), "v=0\n");
        bench.hear(PEER, &invite);
        assert_eq!((status(&bench.last()), bench.offers.len()), (481, 1), "{header}");
    }
}

#[test]
fn options_of_a_trunk_tells_what_we_can() {
    let mut bench = Bench::new();
    bench.hear(PEER, &outside("OPTIONS", "z9hG4bKopt00001", ""));
    let ok = bench.last();
    assert_eq!((status(&ok), header(&ok, "Allow").as_str()), (200, "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, PRACK"));
    assert!(all(&ok, "Server").is_empty());
    bench.ends_clean();
}

#[test]
fn requests_that_cannot_be_served_are_refused_by_the_book() {
    let mut bench = Bench::new();
    for (number, (text, expected)) in [
        (outside("FROBNICATE", "BRANCH", ""), 501),
        (outside("REGISTER", "BRANCH", ""), 405),
        (outside("SUBSCRIBE", "BRANCH", "Event: x\n"), 405),
        (outside("BYE", "BRANCH", ""), 481),
        (outside("INFO", "BRANCH", ""), 481),
        (outside("BYE", "BRANCH", "").replace("To: <sip:192.0.2.10>", "To: <sip:192.0.2.10>;tag=0123456789abcdef"), 481),
        (invite_text("BRANCH", "BRANCH", "", "").replace("To: <sip:+15551231234@192.0.2.10>", "To: <sip:x@192.0.2.10>;tag=zzz"), 481),
        (invite_text("BRANCH", "BRANCH", "", "").replace("Max-Forwards: 70", "Max-Forwards: 0"), 483),
        (outside("OPTIONS", "BRANCH", "").replace("Max-Forwards: 70", "Max-Forwards: 0"), 200),
        (invite_text("BRANCH", "BRANCH", "Require: frobnicate, 100rel\n", ""), 420),
        (invite_text("BRANCH", "BRANCH", "Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKours0001\n", ""), 482),
        (invite_text("BRANCH", "BRANCH", "", "").replace("INVITE sip:+15551231234@192.0.2.10", "INVITE frob:x"), 416),
        (invite_text("BRANCH", "BRANCH", "Content-Type: application/x-unknown\n", "").replace("\n\n", "\n\nbody"), 415),
        (invite_text("BRANCH", "BRANCH", "", "").replace("Contact: <sip:bob@198.51.100.1:5060>\n", ""), 400),
        (invite_text("BRANCH", "BRANCH", "", "").replace("CSeq: 1 INVITE", "CSeq: 1 OPTIONS"), 400),
        (invite_text("BRANCH", "BRANCH", "Content-Length: 500\n", "v=0\n"), 400),
        (invite_text("BRANCH", "BRANCH", "Content-Length: -1\n", ""), 400),
        (invite_text("BRANCH", "BRANCH", "", "").replace("Call-ID: BRANCH\n", ""), 400),
        (invite_text("BRANCH", "BRANCH", "", "").replacen("SIP/2.0", "SIP/7.0", 1), 505),
    ]
    .into_iter()
    .enumerate()
    {
        let text = text.replace("BRANCH", &format!("z9hG4bKbad{number:05}"));
        assert_eq!(answer_to(&mut bench, PEER, &text), Some(expected), "{text}");
    }
    assert!(bench.offers.is_empty());
}

#[test]
fn a_420_names_what_is_not_supported() {
    let mut bench = Bench::new();
    bench.hear(PEER, &invite_text("z9hG4bKreq00001", "req", "Require: frobnicate\n", ""));
    assert_eq!(header(&bench.last(), "Unsupported"), "frobnicate");
}

#[test]
fn one_request_by_two_ways_is_one_call() {
    let mut bench = Bench::new();
    bench.hear(PEER, &invite_text("z9hG4bKway00001", "merged", "", ""));
    assert_eq!(answer_to(&mut bench, PEER, &invite_text("z9hG4bKway00002", "merged", "", "")), Some(482));
    assert_eq!(bench.offers.len(), 1);
}

#[test]
fn too_many_calls_are_asked_to_come_back() {
    let mut bench = Bench::with(|settings| settings.max_legs = 2);
    bench.offered();
    bench.offered();
    bench.hear(PEER, &invite_text("z9hG4bKmany0001", "many", "", ""));
    assert_eq!(status(&bench.last()), 503);
    assert!(header(&bench.last(), "Retry-After").parse::<u32>().unwrap() > 0);
    assert_eq!(bench.offers.len(), 2);
}

#[test]
fn strangers_get_little_and_leave_nothing_behind() {
    let mut bench = Bench::new();
    for (number, (method, expected)) in
        [("OPTIONS", 200), ("INVITE", 403), ("REGISTER", 405), ("FROB", 501), ("BYE", 481), ("CANCEL", 481)].into_iter().enumerate()
    {
        let text = stranger(&outside(method, &format!("z9hG4bKstr{number:05}"), ""));
        assert_eq!(answer_to(&mut bench, STRANGER, &text), Some(expected), "{method}");
        bench.hear(STRANGER, &text);
        let again = bench.last();
        assert!(all(&again, "Server").is_empty() && all(&again, "Accept").is_empty());
        assert!(!param(&again, "To", "tag").is_empty());
    }
    assert!(bench.core.is_idle(), "answered without keeping anything");
    let sent = bench.take().len();
    bench.pass(60_000);
    assert_eq!((bench.take().len(), sent), (0, 1), "and without repeats");
}

#[test]
fn a_strangers_repeat_gets_the_same_tag() {
    let mut bench = Bench::new();
    let invite = stranger(&outside("INVITE", "z9hG4bKstr00001", ""));
    bench.hear(STRANGER, &invite);
    bench.hear(STRANGER, &invite);
    let sent = bench.take();
    assert_eq!(sent[0].text, sent[1].text);
}

#[test]
fn strangers_may_be_ignored_altogether() {
    let mut bench = Bench::with(|settings| settings.strangers = Strangers::Ignore);
    for (number, method) in ["OPTIONS", "INVITE", "REGISTER", "FROB", "BYE"].into_iter().enumerate() {
        assert_eq!(answer_to(&mut bench, STRANGER, &stranger(&outside(method, &format!("z9hG4bKstr{number:05}"), ""))), None);
    }
    assert_eq!(answer_to(&mut bench, STRANGER, "OPTIONS sip:x SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.66\n"), None);
}

#[test]
fn scanners_hear_nothing() {
    let mut bench = Bench::new();
    let probe = outside("OPTIONS", "z9hG4bKscan0001", "User-Agent: Friendly-Scanner/1.2\n");
    assert_eq!(answer_to(&mut bench, STRANGER, &stranger(&probe)), None);
    assert_eq!(answer_to(&mut bench, PEER, &probe), None);
}

#[test]
fn a_noisy_stranger_falls_silent_and_a_trunk_does_not() {
    let mut bench = Bench::with(|settings| settings.stranger_requests = 20);
    let heard = |bench: &mut Bench, from: &str, count: usize| {
        bench.take();
        for number in 0..count {
            let text = outside("OPTIONS", &format!("z9hG4bK{}{number:05}", bench.millis()), "");
            bench.hear(from, &if from == STRANGER { stranger(&text) } else { text });
        }
        bench.take().len()
    };
    assert_eq!(heard(&mut bench, STRANGER, 50), 20);
    bench.pass(299_000);
    assert_eq!(heard(&mut bench, STRANGER, 5), 0);
    bench.pass(2_000);
    assert_eq!(heard(&mut bench, STRANGER, 5), 5);
    assert_eq!(heard(&mut bench, PEER, 50), 50);
}

#[test]
fn odd_but_right_messages_are_calls_and_their_headers_are_found() {
    let mut bench = Bench::new();
    let text = "INVITE tel:+15551231234 SIP/2.0\r\nv: SIP/2.0/UDP 198.51.100.1:5060 ;branch=z9hG4bKodd00001\r\nMax-Forwards: 9\r\n\
                f: \"A \\\"<quoted>\\\" name\" <sip:+15551230000@198.51.100.1>;tag=theirs\r\nt: <tel:+15551231234>\r\ni: odd@x\r\n\
                CSeq: 1\r\n INVITE\r\nm: <sip:bob@198.51.100.1>\r\nP-Asserted-Identity: \"J\u{1}rg\"\r\n <sip:+15551230000@x>\r\n\
                Diversion: <sip:a@x>, <sip:b@x>\r\nDiversion: <sip:c@x>\r\nX-Own: kept\r\nl: 0\r\n\r\n";
    let bytes = text.bytes().map(|byte| if byte == 1 { 0xf6 } else { byte }).collect::<Vec<_>>();
    bench.hear_bytes(PEER, &bytes);
    let invite = &bench.offers[0].1;
    assert_eq!((invite.request_uri.as_str(), invite.to.as_str(), invite.max_forwards), ("tel:+15551231234", "<tel:+15551231234>", 8));
    assert_eq!(invite.from, "\"A \\\"<quoted>\\\" name\" <sip:+15551230000@198.51.100.1>");
    assert_eq!(invite.header("P-Asserted-Identity"), Some("\"J\u{f6}rg\" <sip:+15551230000@x>"));
    assert_eq!(invite.headers("diversion").collect::<Vec<_>>(), ["<sip:a@x>, <sip:b@x>", "<sip:c@x>"]);
    assert_eq!((invite.header("x-own"), invite.header("Contact")), (Some("kept"), Some("<sip:bob@198.51.100.1>")));
}

#[test]
fn old_branches_without_cookie_are_told_apart_too() {
    let mut bench = Bench::new();
    let one = invite_text("1", "old", "", "");
    bench.hear(PEER, &one);
    bench.hear(PEER, &one);
    bench.hear(PEER, &invite_text("1", "other", "", ""));
    assert_eq!(bench.offers.len(), 2);
}

#[test]
fn keep_alives_and_rubbish_are_not_answered() {
    let mut bench = Bench::new();
    for bytes in [&b"\r\n\r\n"[..], b"", b"\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n", &[0xff; 2000]] {
        bench.hear_bytes(PEER, bytes);
    }
    assert!(bench.take().is_empty());
}
