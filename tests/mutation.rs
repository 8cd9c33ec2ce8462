//! Broken messages by the hundred thousand: nothing may panic, stall, or be read differently when it is written again.

use bytes::Bytes;
use callthrough::sip::msg::{Message, Method, Name, NameAddr, Request, Uri, Via};
use callthrough::types::{Clock, Random};

use crate::support::exercise::{self, timed};
use crate::torture;

const SEEDS: [&str; 16] = [
    "wsinv",
    "intmeth",
    "esc01",
    "longreq",
    "dblreq",
    "semiuri",
    "transports",
    "mpart01",
    "unreason",
    "baddate",
    "inv2543",
    "regescrt",
    "sdp01",
    "cparam01",
    "ipv4-mapped-ipv6",
    "mult-ip-in-sdp",
];

/// Pieces that have hurt parsers.
const HURTFUL: [&[u8]; 24] = [
    b"\r\n",
    b"\r\n ",
    b"\n",
    b"\r",
    b"\0",
    b"\"",
    b"\\",
    b"<",
    b">",
    b";",
    b",",
    b":",
    b"%",
    b"%0",
    b"@",
    b"[",
    b"]",
    b"=",
    b"\xff",
    b"\xe9",
    b"\r\n\r\n",
    b"Via: x\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"SIP/2.0",
];

/// One mutation: a bit, a byte, a hurtful piece, a cut, a repeat, a swap with another message.
fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &Random) {
    let pick = |bound: usize| usize::try_from(random.below(bound.max(1) as u64)).unwrap();
    let at = pick(bytes.len());
    match pick(9) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << pick(8),
        1 if !bytes.is_empty() => bytes[at] = u8::try_from(pick(256)).unwrap(),
        2 => drop(bytes.splice(at..at, HURTFUL[pick(HURTFUL.len())].iter().copied())),
        3 => drop(bytes.drain(at..(at + pick(20)).min(bytes.len()))),
        4 => bytes.truncate(at),
        5 => {
            let piece = bytes[at..(at + pick(60)).min(bytes.len())].to_vec();
            for _ in 0..=pick(40) {
                bytes.splice(at..at, piece.iter().copied());
            }
        }
        6 => {
            let other = &others[pick(others.len())];
            let from = pick(other.len());
            bytes.splice(at..at, other[from..(from + pick(200)).min(other.len())].iter().copied());
        }
        7 => {
            let digits = bytes[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset);
            if let Some(digit) = digits {
                bytes.splice(digit..digit, b"4294967296".iter().copied());
            }
        }
        _ => {
            // Swap two lines.
            let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            if lines.len() > 2 {
                let (one, two) = (pick(lines.len()), pick(lines.len()));
                lines.swap(one, two);
                *bytes = lines.concat();
            }
        }
    }
}

/// A million in a release build, enough to notice in a debug one.
const MUTATIONS: usize = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };

#[test]
fn mutated_messages_neither_crash_nor_stall() {
    let (clock, seed) = (Clock::system(), 0x5150_2026);
    let random = Random::seeded(seed);
    let seeds: Vec<_> = SEEDS.iter().map(|name| torture::bytes(name).to_vec()).collect();
    let mut parsed = 0;
    for round in 0..MUTATIONS {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, &seeds, &random);
        }
        let bytes = Bytes::from(bytes);
        parsed += usize::from(Message::parse(bytes.clone()).is_ok());
        timed(&clock, || format!("seed {seed}, round {round}"), || exercise::message(bytes.clone()));
    }
    // Otherwise the mutations were so rough that only the first check was tested.
    assert!(parsed > MUTATIONS / 10, "{parsed} of {MUTATIONS} parsed");
}

/// In the manner of the PROTOS c07-sip suite: an INVITE in which one element after another takes one anomaly after another.
fn protos() -> Vec<String> {
    const TEMPLATE: &str = "{METHOD} {SCHEME}:{USER}@{HOST}:{PORT};{UPARAM} {VERSION}\r\nVia: {VERSION}/{TRANSPORT} {VHOST}:{VPORT};branch={BRANCH}\r\nFrom: {DISPLAY} <sip:{FUSER}@{FHOST}>;tag={TAG}\r\nTo: <sip:{TUSER}@{THOST}>\r\nCall-ID: {CALLID}\r\nCSeq: {NUMBER} {CMETHOD}\r\nMax-Forwards: {HOPS}\r\nContact: <sip:{KUSER}@{KHOST}>;expires={EXPIRES}\r\nContent-Type: {TYPE}\r\n{NAME}: {VALUE}\r\nContent-Length: {LENGTH}\r\n\r\nv={SDPV}\r\no={OUSER} 1 {OVER} IN IP4 {OHOST}\r\ns=-\r\nc=IN {CTYPE} {CHOST}\r\nt=0 0\r\nm=audio {MPORT} RTP/AVP {FORMAT}\r\n";
    const DEFAULTS: [(&str, &str); 38] = [
        ("METHOD", "INVITE"),
        ("SCHEME", "sip"),
        ("USER", "bob"),
        ("HOST", "192.0.2.4"),
        ("PORT", "5060"),
        ("UPARAM", "user=phone"),
        ("VERSION", "SIP/2.0"),
        ("TRANSPORT", "UDP"),
        ("VHOST", "192.0.2.1"),
        ("VPORT", "5060"),
        ("BRANCH", "z9hG4bK77"),
        ("DISPLAY", "\"A\""),
        ("FUSER", "a"),
        ("FHOST", "example.com"),
        ("TAG", "1"),
        ("TUSER", "bob"),
        ("THOST", "example.com"),
        ("CALLID", "c@192.0.2.1"),
        ("NUMBER", "1"),
        ("CMETHOD", "INVITE"),
        ("HOPS", "70"),
        ("KUSER", "a"),
        ("KHOST", "192.0.2.1"),
        ("EXPIRES", "60"),
        ("TYPE", "application/sdp"),
        ("NAME", "X-Extra"),
        ("VALUE", "x"),
        ("LENGTH", "0"),
        ("SDPV", "0"),
        ("OUSER", "-"),
        ("OVER", "1"),
        ("OHOST", "192.0.2.1"),
        ("CTYPE", "IP4"),
        ("CHOST", "192.0.2.1"),
        ("MPORT", "4000"),
        ("FORMAT", "0"),
        ("", ""),
        ("", ""),
    ];
    let mut anomalies: Vec<String> = [
        "",
        " ",
        "\t",
        "\r\n",
        "\r\n ",
        "\0",
        "%00",
        "%",
        "%s%n",
        "%x%x%x%x",
        "../../etc",
        "\u{e9}",
        "-1",
        "0",
        "+1",
        "1e9",
        "65536",
        "2147483648",
        "4294967296",
        "18446744073709551616",
        "00000000000000000000001",
        "0x10",
        ":",
        "::",
        ";;",
        ",,",
        "<>",
        "<<",
        ">>",
        "\"",
        "\"\"\"",
        "\\",
        "\"\\",
        "@",
        "@@",
        "a@b@c",
        "[",
        "]",
        "[::",
        "[::1",
        "[:::::::::]",
        "[::1]",
        "999.999.999.999",
        "1.2.3",
        "=",
        "==",
        "*",
        "()",
        "{}",
        "`id`",
        "SIP/2.0",
        "sip:sip:sip:",
        "\r\n\r\n",
        "\n\n",
        "\u{7f}",
        "\u{1b}[2J",
    ]
    .map(str::to_owned)
    .to_vec();
    for (piece, counts) in
        [("a", [64, 255, 1023, 8191, 30_000]), ("1", [64, 255, 1023, 8191, 30_000]), ("%00", [10, 80, 300, 2700, 10_000])]
    {
        anomalies.extend(counts.map(|count| piece.repeat(count)));
    }
    for piece in ["<", "\"", ";", ",", ":", "(", "\\", "[", " ", "=", "@", "%", ";a", ";a=b", ",a", "<sip:a@b>,", "\r\n ", "\u{e9}"] {
        anomalies.extend([16, 128, 2000].map(|count| piece.repeat(count)));
    }
    let mut cases = Vec::new();
    for (target, _) in DEFAULTS.iter().filter(|(name, _)| !name.is_empty()) {
        for anomaly in &anomalies {
            let mut text = String::from(TEMPLATE);
            for (name, value) in DEFAULTS.iter().filter(|(name, _)| !name.is_empty()) {
                text = text.replace(&format!("{{{name}}}"), if name == target { anomaly } else { value });
            }
            cases.push(text);
        }
    }
    cases
}

#[test]
fn generated_anomalies_neither_crash_nor_stall() {
    let clock = Clock::system();
    let cases = protos();
    assert!(cases.len() >= 4500, "{}", cases.len());
    let mut parsed = 0;
    for (number, case) in cases.into_iter().enumerate() {
        let bytes = Bytes::from(case);
        parsed += usize::from(Message::parse(bytes.clone()).is_ok());
        timed(&clock, || format!("case {number}"), || exercise::message(bytes.clone()));
    }
    assert!(parsed > 1000, "{parsed} parsed");
}

#[test]
fn small_grammars_take_any_text() {
    let random = Random::seeded(7);
    let alphabet = b"sip:tel+a1.@[];=,<>\"\\%41?&#*\xe9 \t\r\n/-_";
    let (mut uris, mut addresses, mut vias) = (0, 0, 0);
    for _ in 0..MUTATIONS {
        let begin = ["", "sip:", "tel:", "a <sip:a@b", "sip:a@b", "SIP/2.0/UDP a"][usize::try_from(random.below(6)).unwrap()];
        let mut text = begin.as_bytes().to_vec();
        text.extend((0..random.below(16)).map(|_| alphabet[usize::try_from(random.below(alphabet.len() as u64)).unwrap()]));
        let text = Bytes::from(text);
        let [uri, address, via] = exercise::uri(&text);
        uris += usize::from(uri);
        addresses += usize::from(address);
        vias += usize::from(via);
        exercise::sdp(&text);
        exercise::digest(&text);
    }
    assert!(uris > MUTATIONS / 200 && addresses > MUTATIONS / 200 && vias > MUTATIONS / 200, "{uris} {addresses} {vias}");
}

#[test]
fn sound_takes_any_bytes() {
    let random = Random::seeded(11);
    let clock = Clock::system();
    let mut packets = 0;
    for round in 0..MUTATIONS / 50 {
        let mut bytes = vec![0; usize::try_from(random.below(400)).unwrap()];
        random.fill(&mut bytes);
        // Every other begins as a packet does.
        if round % 2 == 0 {
            bytes.splice(0..0, [0, 40, 0x80, 8]);
        }
        timed(&clock, || format!("round {round}"), || exercise::event(&bytes));
        packets += exercise::rtp(&bytes);
    }
    assert!(packets > MUTATIONS / 200, "{packets} packets");
}

#[test]
fn nothing_a_value_holds_ends_its_line() {
    let hostile = "x\r\nContact: <sip:thief@example.net>\r\n\r\nv=0\0\n\r";
    let uri: Uri = "sip:bob@example.com".parse().unwrap();
    let request = Request::new(&Method::Other(hostile.into()), &uri)
        .header(Name::Via, Via::new(hostile, &callthrough::sip::msg::Host::Name(hostile.into()), Some(5060), hostile))
        .header(Name::From, NameAddr::new(Some(hostile), &uri).with_tag(&hostile.into()))
        .header(Name::Subject, hostile.to_owned())
        .other("X-Extra", hostile)
        .other(hostile, "value")
        .body(hostile, "body")
        .encode();
    let head = &request[..request.windows(4).position(|window| window == b"\r\n\r\n").unwrap()];
    let lines: Vec<_> = head.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 7, "{}", String::from_utf8_lossy(head));
    assert!(!lines.iter().any(|line| line.starts_with(b"Contact")));
}
