//! OPTIONS of ours: who answers lives, who is silent or cannot serve is lost, and nobody is asked twice at once.

use super::bench::{Bench, PEER, PEER_TWO, header, reply};
use crate::sip::core::{Input, Ping, PingState};
use crate::sip::leg::Hop;
use crate::sip::transport::Transport;

fn ping(address: &str, secs: u32) -> Ping {
    let hop = Hop { transport: Transport::Udp, address: address.parse().unwrap(), by_size: false };
    Ping { hop, uri: "sip:carrier.example.com".into(), secs }
}

/// What is known of an address; none if it is not asked.
fn state(bench: &Bench, address: &str) -> Option<PingState> {
    bench.core.pings().into_iter().find(|(hop, _)| hop.address == address.parse().unwrap()).map(|(_, state)| state)
}

/// Waits for the next question; how many milliseconds it took.
fn asked(bench: &mut Bench, most: u64) -> (u64, String) {
    bench.take();
    let before = bench.millis();
    while bench.sent.is_empty() {
        bench.pass(10);
        assert!(bench.millis() - before <= most, "nobody is asked");
    }
    (bench.millis() - before, bench.last())
}

#[test]
fn an_address_is_asked_now_and_then_and_any_answer_is_a_sign_of_life() {
    let mut bench = Bench::new();
    bench.put(Input::Pings(vec![ping(PEER, 30)]));
    assert_eq!((bench.sent.len(), state(&bench, PEER)), (0, Some(PingState::Unknown)));
    let mut number = 0;
    for answer in ["200 OK", "404 Not Found", "401 Unauthorized", "501 Not Implemented", "486 Busy Here"] {
        let (waited, options) = asked(&mut bench, 33_100);
        assert!((27_000..=33_010).contains(&waited), "{waited}");
        assert!(options.starts_with("OPTIONS sip:carrier.example.com SIP/2.0\r\n"), "{options}");
        assert!(header(&options, "From").starts_with("<sip:192.0.2.10:5060>;tag="), "{options}");
        assert_eq!((header(&options, "Max-Forwards").as_str(), header(&options, "Accept").as_str()), ("70", "application/sdp"));
        number += 1;
        assert_eq!(header(&options, "CSeq"), format!("{number} OPTIONS"));
        bench.hear(PEER, &reply(&options, answer, "t", "", ""));
        assert!(matches!(state(&bench, PEER), Some(PingState::Alive { .. })), "{answer}");
    }
    bench.put(Input::Pings(vec![]));
    bench.ends_clean();
}

#[test]
fn two_silences_lose_an_address_and_its_first_answer_brings_it_back() {
    let mut bench = Bench::new().unaudited();
    bench.put(Input::Pings(vec![ping(PEER, 30), ping(PEER_TWO, 30)]));
    let live = |bench: &mut Bench, until: u64, silent: &str| {
        // PEER_TWO answers whatever it is asked, `silent` nothing; how often `silent` was asked anew.
        let mut anew = std::collections::BTreeSet::new();
        while bench.millis() < until {
            bench.pass(100);
            for sent in bench.take() {
                if sent.to == silent {
                    anew.insert(header(&sent.text, "CSeq"));
                } else {
                    bench.hear(&sent.to.clone(), &reply(&sent.text, "200 OK", "t", "", ""));
                }
                // Never more than one of each.
                assert!(bench.core.tables().transactions <= 4);
            }
        }
        anew.len()
    };
    // 27 to 33 seconds, then 32 of silence: one miss is not enough.
    assert_eq!(live(&mut bench, 58_900, PEER), 1);
    assert_eq!(state(&bench, PEER), Some(PingState::Unknown));
    // Five seconds later the second, and 32 of silence.
    live(&mut bench, 102_500, PEER);
    assert!(matches!(state(&bench, PEER), Some(PingState::Lost { .. })));
    assert!(matches!(state(&bench, PEER_TWO), Some(PingState::Alive { .. })));
    // While it is lost it is asked nearly without a break, so it is back with the first repeat that it hears.
    let until = bench.millis() + 10_000;
    live(&mut bench, until, "nobody");
    assert!(matches!(state(&bench, PEER), Some(PingState::Alive { .. })));
}

#[test]
fn a_503_or_408_counts_as_a_miss_and_so_does_what_cannot_leave() {
    let mut bench = Bench::new().unaudited();
    bench.put(Input::Pings(vec![ping(PEER, 10)]));
    for (answer, lost) in [("503 Service Unavailable", false), ("200 OK", false), ("408 Request Timeout", false), ("503 Busy", true)] {
        let (_, options) = asked(&mut bench, 11_100);
        bench.hear(PEER, &reply(&options, answer, "t", "", ""));
        assert_eq!(matches!(state(&bench, PEER), Some(PingState::Lost { .. })), lost, "{answer}");
    }
    let (_, options) = asked(&mut bench, 11_100);
    bench.hear(PEER, &reply(&options, "200 OK", "t", "", ""));
    for lost in [false, true] {
        asked(&mut bench, 11_100);
        bench.not_sent();
        assert_eq!(matches!(state(&bench, PEER), Some(PingState::Lost { .. })), lost);
    }
}

#[test]
fn what_is_known_stays_when_others_come_and_goes_with_its_address() {
    let mut bench = Bench::new().unaudited();
    bench.put(Input::Pings(vec![ping(PEER, 10), ping(PEER, 20)]));
    assert_eq!(bench.core.pings().len(), 1, "one address is one");
    let (_, options) = asked(&mut bench, 11_100);
    bench.hear(PEER, &reply(&options, "200 OK", "t", "", ""));
    bench.put(Input::Pings(vec![ping(PEER, 20), ping(PEER_TWO, 10)]));
    assert!(matches!(state(&bench, PEER), Some(PingState::Alive { .. })));
    let (_, options) = asked(&mut bench, 11_100);
    bench.put(Input::Pings(vec![]));
    // An answer to a question that nobody asks any more.
    bench.hear(PEER, &reply(&options, "200 OK", "t", "", ""));
    assert_eq!(bench.core.pings(), []);
    bench.take();
    bench.pass(60_000);
    assert_eq!(bench.sent, [], "nobody is asked any more");
    assert!(bench.core.is_idle());
    // An address of a family that we have no socket of is nobody's fault.
    bench.put(Input::Pings(vec![ping("[2001:db8::1]:5060", 10)]));
    bench.take();
    bench.pass(60_000);
    assert_eq!((bench.sent.len(), state(&bench, "[2001:db8::1]:5060")), (0, Some(PingState::Unknown)));
}
