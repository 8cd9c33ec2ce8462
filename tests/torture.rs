//! Every message of RFC 4475 and RFC 5118 with the treatment it must get. `fixtures/torture/` holds them byte for byte.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use callthrough::sip::msg::{Frame, Framer, Host, Message, Method, Name, Scheme, Status, Verdict, screen_request, screen_response};

use crate::support::exercise::CAN;

/// What must happen to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Parses and passes the screen.
    Passes,
    /// Parses; the screen answers this.
    Screened(u16),
    /// Does not parse; this is answered.
    Answered(u16),
    /// Dropped without an answer.
    Dropped,
    /// A response that parses and is looked at.
    Response(u16),
}

use Treatment::{Answered, Dropped, Passes, Response, Screened};

/// With our capabilities below. Where RFC 4475 leaves a choice between 400 and leniency, the reason for ours stands beside.
pub(crate) const EXPECTED: &[(&str, Treatment)] = &[
    // RFC 4475 §3.1.1: valid.
    ("wsinv", Passes),
    ("intmeth", Screened(501)),
    ("esc01", Passes),
    ("escnull", Screened(405)),
    // The method is literally "RE%47IST%45R".
    ("esc02", Screened(501)),
    ("lwsdisp", Passes),
    ("longreq", Passes),
    // One request in a datagram: what follows its body is ignored.
    ("dblreq", Screened(405)),
    ("semiuri", Passes),
    ("transports", Passes),
    ("mpart01", Screened(405)),
    ("unreason", Response(200)),
    ("noreason", Response(100)),
    // §3.1.2: invalid.
    ("badinv01", Answered(400)),
    ("clerr", Answered(400)),
    ("ncl", Answered(400)),
    ("scalar02", Answered(400)),
    // Status line and number alike beyond any scale: a response is never answered.
    ("scalarlg", Dropped),
    ("quotbal", Answered(400)),
    // Brackets around the Request-URI: taking them off would be guessing, so 400.
    ("ltgtruri", Answered(400)),
    ("lwsruri", Answered(400)),
    // Two spaces in the start line, and spaces after it: no stack of a carrier sends them, scanners do, so 400.
    ("lwsstart", Answered(400)),
    ("trws", Answered(400)),
    // Headers in the Request-URI could only be dropped or obeyed, both wrong, so 400.
    ("escruri", Answered(400)),
    // We read no Date, so a bad one harms nobody: lenient.
    ("baddate", Passes),
    // An unbracketed Contact with a question mark is ambiguous, and it is routed by, so 400.
    ("regbadct", Answered(400)),
    ("badaspec", Answered(400)),
    // "Bell, Alexander" without quotes is two values; the RFC's file also lacks its empty line. 400 for both.
    ("baddn", Answered(400)),
    ("baddn_alt_with_final_crlf", Answered(400)),
    ("badvers", Answered(505)),
    ("mismatch01", Answered(400)),
    // Unknown method and another one in CSeq: the syntax is judged first.
    ("mismatch02", Answered(400)),
    ("bigcode", Dropped),
    // §3.2: transaction layer.
    ("badbranch", Passes),
    // §3.3: application layer.
    ("insuf", Answered(400)),
    ("unkscm", Screened(416)),
    ("novelsc", Screened(416)),
    ("unksm2", Screened(405)),
    ("bext01", Screened(420)),
    ("invut", Screened(415)),
    ("regaut01", Screened(405)),
    ("multi01", Answered(400)),
    ("mcl01", Answered(400)),
    // Two Vias in a response: it is somebody else's.
    ("bcast", Dropped),
    // We are the target of an OPTIONS, whatever its hops.
    ("zeromf", Passes),
    ("cparam01", Screened(405)),
    ("cparam02", Screened(405)),
    ("regescrt", Screened(405)),
    ("sdp01", Screened(406)),
    // §3.4: no tags, no cookie, no Max-Forwards, no Content-Length.
    ("inv2543", Passes),
    // RFC 5118.
    ("ipv6-good", Screened(405)),
    ("ipv6-bad", Answered(400)),
    ("port-ambiguous", Screened(405)),
    ("port-unambiguous", Screened(405)),
    ("via-received-param-with-delim", Passes),
    ("via-received-param-no-delim", Passes),
    ("ipv6-in-sdp", Passes),
    ("mult-ip-in-header", Passes),
    ("mult-ip-in-sdp", Passes),
    ("ipv4-mapped-ipv6", Passes),
    ("ipv6-bug-abnf-3-colons", Passes),
    ("ipv6-correct-abnf-2-colons", Passes),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torture")
}

pub(crate) fn bytes(name: &str) -> Bytes {
    std::fs::read(folder().join(format!("{name}.dat"))).unwrap_or_else(|error| panic!("{name}: {error}")).into()
}

fn message(name: &str) -> Message {
    Message::parse(bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn treatment(bytes: Bytes) -> Treatment {
    match Message::parse(bytes) {
        Err(error) => match error.verdict() {
            Verdict::Reply(status) => Answered(status.code()),
            Verdict::Discard => Dropped,
        },
        Ok(message) => match message.status() {
            Some(status) if screen_response(&message) => Response(status.code()),
            Some(_) => Dropped,
            None => screen_request(&message, CAN).map_or_else(|rejection| Screened(rejection.status.code()), |()| Passes),
        },
    }
}

#[test]
fn every_message_gets_its_treatment() {
    let wrong: Vec<_> = EXPECTED
        .iter()
        .map(|(name, expected)| (*name, *expected, treatment(bytes(name))))
        .filter(|(_, expected, found)| expected != found)
        .collect();
    assert_eq!(wrong, []);
}

#[test]
fn every_file_is_in_the_table() {
    let files: BTreeSet<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let table: BTreeSet<_> = EXPECTED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, table);
    assert_eq!(files.len(), 49 + 1 + 12);
}

#[test]
fn whitespace_folds_and_compact_names_are_read() {
    let invite = message("wsinv");
    assert_eq!(invite.call_id(), "wsinv.ndaksdj@192.0.2.1");
    assert_eq!((invite.cseq().number, &invite.cseq().method, invite.max_forwards()), (9, &Method::Invite, Some(68)));
    assert_eq!((invite.from_tag(), invite.to_tag()), (Some("98asjd8"), Some("1918181833n")));
    assert_eq!(&*invite.from().display(), br#"J Rosenberg \""#);
    let vias: Vec<_> = invite.vias().map(|via| (via.transport().to_owned(), via.host_text().to_owned(), via.branch().to_owned())).collect();
    let via = |transport: &str, host: &str, branch: &str| (transport.to_owned(), host.to_owned(), branch.to_owned());
    assert_eq!(
        vias,
        [
            via("UDP", "192.0.2.2", "390skdjuw"),
            via("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
            via("UDP", "192.168.255.111", "z9hG4bK30239")
        ]
    );
    let contact = invite.contact().unwrap();
    assert_eq!(
        (&*contact.display(), contact.params().get("newparam"), contact.params().get("q")),
        (&br#"Quoted string """#[..], Some("newvalue"), Some("0.33"))
    );
    assert!(contact.params().has("secondparam"));
    assert_eq!(invite.text(Name::Subject), Some(""));
    assert_eq!(invite.named("newfangledheader").next().unwrap().value(), b"newfangled value\r\n continued newfangled value");
    assert_eq!(invite.named("UnknownHeaderWithUnusualValue").next().unwrap().value(), b";;,,;;,;");
    assert!(invite.routes().next().unwrap().uri().is_loose());
    assert_eq!((invite.content_type(), invite.body().len()), (Some("application/sdp"), 150));
}

#[test]
fn unusual_but_valid_values_are_read() {
    let odd = message("intmeth");
    assert_eq!(odd.method().as_str(), "!interesting-Method0123456789_*+`.%indeed'~");
    assert_eq!(odd.from_tag(), Some("_token~1'+`*%!-."));
    assert_eq!(&*odd.to().display(), b"BEL:\x07 NUL:\0 DEL:\x7f");
    assert_eq!(odd.to().display_text(), "BEL: NUL: DEL:");
    assert_eq!(odd.call_id(), r#"intmeth.word%ZK-!.*_+'@word`~)(><:\/"][?}{"#);
    assert_eq!(odd.request_uri().unwrap().host_text(), "example.com");
    assert_eq!(odd.request_uri().unwrap().user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));

    let escaped = message("esc01");
    assert_eq!(escaped.request_uri().unwrap().user_unescaped().unwrap(), "sips:user@example.com");
    assert_eq!(escaped.contact().unwrap().uri().user_unescaped().unwrap(), "caller");
    assert_eq!(message("escnull").contacts().count(), 2);
    // "C%6Fntact" is no Contact.
    assert_eq!(message("esc02").contacts().count(), 2);

    let long = message("longreq");
    assert_eq!((long.vias().count(), long.via().host_text()), (34, "sip33.example.com"));
    assert_eq!(message("semiuri").request_uri().unwrap().user(), Some("user;par=u%40example.net"));
    assert_eq!(message("semiuri").values(Name::Accept).count(), 6);
    assert_eq!(
        message("transports").vias().map(|via| via.transport().to_owned()).collect::<Vec<_>>(),
        ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]
    );
    assert_eq!(message("mpart01").body().len(), 553);
    assert!(message("unreason").reason().starts_with(b"= 2**3 * 5**2 "));
    assert_eq!(message("noreason").reason(), b"");
    assert_eq!(&*message("lwsdisp").from().display(), b"caller");
}

#[test]
fn a_datagram_holds_one_request_and_a_stream_two() {
    let both = bytes("dblreq");
    let first = Message::parse(both.clone()).unwrap();
    assert_eq!((first.method(), first.bytes().ends_with(b"Content-Length: 0\r\n\r\n")), (&Method::Register, true));

    let (mut framer, mut rest, mut methods) = (Framer::default(), both, Vec::new());
    loop {
        match framer.next(&rest) {
            Frame::Complete(length) => methods.push(Message::parse(rest.split_to(length)).unwrap().method().clone()),
            Frame::KeepAlive(length) => drop(rest.split_to(length)),
            // The second body is longer than it says; what is left over is no message.
            Frame::Partial | Frame::Broken(_) => break,
        }
    }
    assert_eq!(methods, [Method::Register, Method::Invite]);
}

#[test]
fn a_stream_waits_for_what_was_promised_and_breaks_on_nonsense() {
    assert_eq!(Framer::default().next(&bytes("clerr")), Frame::Partial);
    let broken = bytes("ncl");
    let Frame::Broken(head) = Framer::default().next(&broken) else { panic!("a negative length gives no boundary") };
    assert_eq!(Message::parse(broken.slice(..head)).unwrap_err().status(), Some(Status::BAD_REQUEST));
    assert!(matches!(Framer::default().next(&bytes("mcl01")), Frame::Broken(_)));
}

#[test]
fn a_stream_is_framed_the_same_however_it_is_cut() {
    let both = bytes("dblreq");
    let mut framer = Framer::default();
    let (mut start, mut lengths) = (0, Vec::new());
    'bytes: for end in 1..=both.len() {
        loop {
            match framer.next(&both[start..end]) {
                Frame::Complete(length) => {
                    lengths.push(length);
                    start += length;
                }
                Frame::KeepAlive(length) => start += length,
                Frame::Partial => break,
                Frame::Broken(_) => break 'bytes,
            }
        }
    }
    assert_eq!((lengths.len(), lengths[0]), (2, Message::parse(both.clone()).unwrap().bytes().len()));
    assert!(both[start - lengths[1]..].starts_with(b"INVITE ") && both[..start].ends_with(b"31 LP"), "{start}");
}

#[test]
fn refusals_say_what_would_do() {
    let refusal = |name: &str| screen_request(&message(name), CAN).unwrap_err();
    assert_eq!(refusal("bext01").headers, [(Name::Unsupported, "nothingSupportsThis, nothingSupportsThisEither".to_owned())]);
    assert_eq!(refusal("invut").headers, [(Name::Accept, "application/sdp".to_owned())]);
    let allow = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO".to_owned();
    assert_eq!(refusal("intmeth").headers, [(Name::Allow, allow.clone())]);
    let response = refusal("regaut01").response(&message("regaut01"), Some(&"t1".into())).encode();
    let response = Message::parse(response).unwrap();
    assert_eq!(
        (response.status(), response.text(Name::Allow), response.to_tag()),
        (Some(Status::METHOD_NOT_ALLOWED), Some(&*allow), Some("t1"))
    );
}

#[test]
fn a_broken_request_is_answered_with_what_it_had() {
    for (name, treatment) in EXPECTED {
        let Answered(code) = treatment else { continue };
        let error = Message::parse(bytes(name)).unwrap_err();
        let answer = error.response_to("192.0.2.77:5062".parse().unwrap()).unwrap().encode();
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with(&format!("SIP/2.0 {code} ")), "{name}: {text}");
        assert!(text.contains("\r\nVia: "), "{name}: {text}");
        assert!(text.ends_with("Content-Length: 0\r\n\r\n"), "{name}: {text}");
    }
    let answer = Message::parse(bytes("badvers")).unwrap_err().response_to("192.0.2.77:5062".parse().unwrap()).unwrap().encode();
    assert!(answer.windows(27).any(|window| window == b"Call-ID: badvers.31417@c.ex"), "{answer:?}");
    assert!(Message::parse(bytes("badinv01")).unwrap_err().via().is_none());
    assert_eq!(Message::parse(bytes("clerr")).unwrap_err().via().unwrap().host_text(), "host5.example.com");
}

#[test]
fn transactions_of_old_are_told_apart() {
    assert!(!message("badbranch").via().is_unique());
    assert!(!message("inv2543").via().is_unique());
    assert!(message("zeromf").via().is_unique());
    assert_eq!(
        (message("inv2543").from_tag(), message("inv2543").max_forwards(), message("inv2543").body().is_empty()),
        (None, None, false)
    );
}

#[test]
fn other_schemes_are_kept_as_they_are() {
    let odd = message("unksm2");
    assert_eq!((odd.to().uri().scheme(), odd.to().uri().as_str()), (Scheme::Other, "isbn:2983792873"));
    assert_eq!(odd.from().uri().as_str(), "http://www.example.com");
    assert_eq!(odd.contact().unwrap().uri().scheme_text(), "name");
    // Without brackets the parameter is the Contact's, within them the URI's.
    assert!(message("cparam01").contact().unwrap().params().has("unknownparam"));
    assert_eq!(message("cparam02").contact().unwrap().uri().param("unknownparam"), Some(""));
    assert_eq!(message("regescrt").contact().unwrap().uri().headers(), "Route=%3Csip:sip.example.com%3E");
}

#[test]
fn ipv6_is_read_wherever_it_stands() {
    let host = |text: &str| Host::Address(text.parse().unwrap());
    let good = message("ipv6-good");
    assert_eq!(good.request_uri().unwrap().host().unwrap(), host("2001:db8::10"));
    assert_eq!(good.via().host(), host("2001:db8::9:1"));
    let ambiguous = message("port-ambiguous");
    assert_eq!(
        (ambiguous.request_uri().unwrap().host().unwrap(), ambiguous.request_uri().unwrap().port()),
        (host("2001:db8::10:5070"), None)
    );
    let plain = message("port-unambiguous");
    assert_eq!((plain.request_uri().unwrap().host().unwrap(), plain.request_uri().unwrap().port()), (host("2001:db8::10"), Some(5070)));
    for name in ["via-received-param-with-delim", "via-received-param-no-delim"] {
        assert_eq!(message(name).via().received().unwrap(), "2001:db8::9:255".parse::<std::net::IpAddr>().unwrap(), "{name}");
    }
    let mixed: Vec<_> = message("mult-ip-in-header").vias().map(|via| (via.host(), via.port())).collect();
    assert_eq!(mixed, [(host("2001:db8::9:1"), Some(6050)), (host("192.0.2.1"), None), (host("2001:db8::9:255"), None)]);
    assert_eq!(message("ipv4-mapped-ipv6").via().host(), host("::ffff:192.0.2.10"));
    for name in ["ipv6-bug-abnf-3-colons", "ipv6-correct-abnf-2-colons"] {
        assert_eq!(message(name).request_uri().unwrap().host().unwrap(), host("2001:db8::192.0.2.1"), "{name}");
    }
}
