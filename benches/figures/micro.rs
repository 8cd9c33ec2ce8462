//! What the smallest steps cost, in nanoseconds.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use callthrough::callthrough::Config;
use callthrough::fraud::{Book, Policy};
use callthrough::rating::{DurationRounding, Periods, Rate, Rounding};
use callthrough::sip::msg::Message;
use callthrough::types::{Clock, E164, Micros, Nanos, Random, SubscriberId, TenantId};

const INVITE: &[u8] = b"INVITE sip:+15551230000@198.51.100.1:5060 SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK-27483-1-0;rport\r\n\
Max-Forwards: 70\r\n\
From: \"Ada\" <sip:+15550100001@192.0.2.7:5060>;tag=27483a1\r\n\
To: <sip:+15551230000@198.51.100.1:5060>\r\n\
Call-ID: 1-27483@192.0.2.7\r\n\
CSeq: 1 INVITE\r\n\
Contact: <sip:+15550100001@192.0.2.7:5060>\r\n\
P-Asserted-Identity: <sip:+15550100001@192.0.2.7>\r\n\
Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 120\r\n\r\n\
v=0\r\no=carrier 53655765 2353687637 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=sendrec";

/// A full hotlist, and rules of the tenant.
fn rules() -> Config {
    let config = Config::default();
    let mut book = Book::default();
    book.everybody.add("full", (0..200_000).map(|entry| 88_200_000 + entry));
    let countries = ["CZ", "US", "GB"].iter().filter_map(|country| country.parse().ok()).collect();
    book.policies.insert(TenantId::MAIN, Policy { countries: Some(countries), ..Policy::default() });
    config.rules.swap(book);
    config
}

/// Prints the table.
pub fn print(whole: bool) {
    let clock = Clock::system();
    let time = |name: &str, work: &mut dyn FnMut(u32)| {
        let rounds = if whole { 200_000 } else { 100 };
        for n in 0..rounds / 10 {
            work(n);
        }
        let began = clock.now();
        for n in 0..rounds {
            work(n);
        }
        let took: Duration = clock.now().since(began);
        println!("{name:<36}{:>8.0} ns", took.as_secs_f64() * 1e9 / f64::from(rounds));
    };
    let bytes = Bytes::from_static(INVITE);
    time("parse an INVITE of 13 lines", &mut |_| {
        black_box(Message::parse(black_box(bytes.clone())).is_ok());
    });
    let rate = Rate {
        per_minute: Nanos::new(13_700_000),
        connect_fee: Micros::new(50_000),
        first_secs: 30,
        next_secs: 6,
        min_secs: 0,
        min_charge: Micros::ZERO,
        grace_secs: 0,
        rounding: Rounding::Up,
        duration_rounding: DurationRounding::Up,
        periods: Periods::default(),
    };
    time("charge a call", &mut |n| {
        let _ = black_box(black_box(&rate).charge(n));
    });
    time("how long credit lasts", &mut |n| {
        black_box(black_box(&rate).affordable(Micros::new(i64::from(n)), 7_200));
    });
    let config = rules();
    time("may this be called", &mut |n| {
        let number: E164 = format!("+4206011{:05}", n % 100_000).parse().expect("a number");
        black_box(config.may_call(TenantId::MAIN, black_box(number), &[]).is_ok());
    });
    let somebody = SubscriberId::new(&clock, &Random::seeded(1));
    time("look at a call for signs of fraud", &mut |n| {
        let number: E164 = format!("+4206011{:05}", n % 100_000).parse().expect("a number");
        config.rules.called(TenantId::MAIN, somebody, black_box(number), clock.timestamp());
        config.rules.findings();
    });
}
