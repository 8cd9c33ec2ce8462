//! Messages whole and broken.

use super::*;

const HEAD: &str =
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: 1\r\n";

fn read(text: impl Into<Bytes>) -> Result<Message, ParseError> {
    Message::parse(text.into())
}

fn options(more: &str) -> Result<Message, ParseError> {
    read(format!("OPTIONS sip:b@example.com SIP/2.0\r\n{HEAD}CSeq: 1 OPTIONS\r\n{more}"))
}

fn fault(result: Result<Message, ParseError>) -> (Option<u16>, &'static str) {
    let error = result.unwrap_err();
    (error.status().map(Status::code), error.fault())
}

#[test]
fn latin_1_folds_compact_names_tel_and_quoted_brackets_pass() {
    let mut text = b"INVITE tel:+15551231234;phone-context=example.com SIP/2.0\r\nv: SIP/2.0/UDP h.example.com;branch=z9hG4bK1\r\nf: M\xfcller <sip:a@example.com>;tag=1\r\nt: \"<Bob>, \\\"x\\\"\" <sip:b@example.com>\r\ni: 1\r\nCSeq: 1 INVITE\r\nX-Odd: \xe9\xff\r\n\tand more\r\nm: <sip:a@192.0.2.1>, \"A, <B>\" <sip:c@192.0.2.1>;q=0.5\r\nP-Asserted-Identity: tel:+15551231234, \"x, y\" <sip:z@example.com>\r\n\r\n".to_vec();
    let message = read(text.clone()).unwrap();
    assert_eq!(message.bytes(), &text);
    assert_eq!(message.request_uri().unwrap().user(), Some("+15551231234"));
    assert_eq!((&*message.from().display(), message.from().display_text().as_str()), (&b"M\xfcller"[..], "M\u{fc}ller"));
    assert_eq!(&*message.to().display(), br#"<Bob>, "x""#);
    assert_eq!(message.named("x-odd").next().unwrap().raw(), b"X-Odd: \xe9\xff\r\n\tand more\r\n");
    assert_eq!(message.contacts().map(|contact| contact.uri().to_string()).collect::<Vec<_>>(), ["sip:a@192.0.2.1", "sip:c@192.0.2.1"]);
    let asserted: Vec<_> = message.name_addrs(Name::PAssertedIdentity).map(|one| one.uri().user().unwrap().to_owned()).collect();
    assert_eq!(asserted, ["+15551231234", "z"]);
    text.splice(0..0, *b"\r\n\r\n");
    assert!(read(text).is_ok(), "empty lines before a message are ignored");
}

#[test]
fn the_body_is_what_content_length_says() {
    assert_eq!(options("Content-Length: 2\r\n\r\nabcd").unwrap().body(), b"ab");
    assert_eq!(options("\r\nabcd").unwrap().body(), b"abcd");
    assert_eq!(fault(options("Content-Length: 5\r\n\r\nabcd")).0, Some(400));
    for length in ["-1", "+1", "", "1 1", "99999999999999999999", "0x1"] {
        assert_eq!(fault(options(&format!("Content-Length: {length}\r\n\r\nabcd"))), (Some(400), "Malformed Content-Length"), "{length}");
    }
}

#[test]
fn what_is_no_request_gets_no_answer() {
    for text in ["", "\r\n\r\n", "hello", "GET / HTTP/1.1\r\n\r\n", "\0\u{1}\0\0!\u{12}", "SIP/2.0 200 OK\r\n\r\n", "SIP/2.0 99 x\r\n\r\n"]
    {
        assert_eq!(fault(read(text.to_owned())).0, None, "{text:?}");
    }
    assert_eq!(fault(read(format!("ACK sip:b@example.com SIP/2.0\r\n{HEAD}CSeq: 1 BYE\r\n\r\n"))).0, None);
    assert_eq!(fault(read("OPTIONS sip:b@example.com SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n")).0, None, "no Via, no way back");
}

#[test]
fn line_ends_are_cr_lf_and_nothing_else() {
    for more in ["X: a\nY: b\r\n\r\n", "X: a\rY: b\r\n\r\n", "X: a\r\n", "X: a"] {
        assert_eq!(fault(options(more)).0, Some(400), "{more:?}");
    }
    assert_eq!(fault(options("no colon\r\n\r\n")), (Some(400), "Malformed header line"));
    assert_eq!(fault(options(": x\r\n\r\n")), (Some(400), "Malformed header line"));
}

#[test]
fn limits_hold() {
    let via = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n";
    assert_eq!(options(&format!("{}\r\n", via.repeat(63))).unwrap().vias().count(), 64);
    assert_eq!(fault(options(&format!("{}\r\n", via.repeat(64)))).0, Some(400));
    assert!(options(&format!("{}\r\n", "Q: y\r\n".repeat(195))).is_ok());
    assert_eq!(fault(options(&format!("{}\r\n", "Q: y\r\n".repeat(196)))).0, Some(513));
    assert!(options(&format!("Contact: {}\r\n\r\n", vec!["<sip:a@b>"; 32].join(","))).is_ok());
    assert_eq!(fault(options(&format!("Contact: {}\r\n\r\n", vec!["<sip:a@b>"; 33].join(",")))).0, Some(400));
    assert!(options(&format!("Q: {}\r\n\r\n", "y".repeat(8187))).is_ok());
    assert_eq!(fault(options(&format!("Q: {}\r\n\r\n", "y".repeat(8188)))), (Some(513), "Header line too long"));
    assert_eq!(fault(options(&format!("\r\n{}", "y".repeat(65_536)))), (None, "Message over 64 KiB"));
}

#[test]
fn versions_are_told_from_nonsense() {
    let read = |version: &str| fault(read(format!("OPTIONS sip:b@example.com {version}\r\n{HEAD}CSeq: 1 OPTIONS\r\n\r\n"))).0;
    assert_eq!((read("SIP/7.0"), read("sip/1.0"), read("SIP/2.00")), (Some(505), Some(505), Some(505)));
    assert_eq!((read("SIP/2"), read("SIP/a.b"), read("SIP/")), (Some(400), Some(400), Some(400)));
}

#[test]
fn a_broken_request_is_answered_where_it_came_from_with_a_tag_that_stays() {
    let error = options("Max-Forwards: many\r\n\r\n").unwrap_err();
    let answer = |error: &ParseError| Message::parse(error.response_to("203.0.113.9:4444".parse().unwrap()).unwrap().encode()).unwrap();
    let (one, two) = (answer(&error), answer(&error.clone()));
    assert_eq!(one.bytes(), two.bytes());
    assert_eq!((one.via().received(), one.via().rport()), (Some("203.0.113.9".parse().unwrap()), Some(Some(4444))));
    assert_eq!((one.status(), one.reason(), one.call_id()), (Some(Status::BAD_REQUEST), &b"Malformed Max-Forwards"[..], "1"));
    assert!(one.to_tag().is_some_and(|tag| tag.len() == 16));
}
