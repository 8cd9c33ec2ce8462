//! Values of headers, read and written.

use super::*;

fn address(text: &str) -> Option<NameAddr> {
    NameAddr::parse(Bytes::copy_from_slice(text.as_bytes()))
}

fn via(text: &'static str) -> Option<Via> {
    Via::parse(Bytes::from_static(text.as_bytes()))
}

#[test]
fn every_name_is_found_in_any_case_and_compact() {
    for name in Name::KNOWN {
        let text = name.as_str();
        for written in [text.to_owned(), text.to_ascii_lowercase(), text.to_ascii_uppercase()] {
            assert_eq!(Name::read(written.as_bytes()), *name, "{written}");
        }
    }
    for (compact, name) in
        [("i", Name::CallId), ("M", Name::Contact), ("l", Name::ContentLength), ("V", Name::Via), ("x", Name::SessionExpires)]
    {
        assert_eq!(Name::read(compact.as_bytes()), name);
    }
    for other in ["", "X-Custom", "Viaa", "q", "1", "C%6Fntact"] {
        assert_eq!(Name::read(other.as_bytes()), Name::Other, "{other}");
    }
}

#[test]
fn addresses_come_apart() {
    let full = address(r#""A. \"B\" <x>, y" <sip:a@h;lr?x=y> ;tag=1; expires = "5" ;flag"#).unwrap();
    assert_eq!((&*full.display(), full.uri().as_str(), full.tag()), (&br#"A. "B" <x>, y"#[..], "sip:a@h;lr?x=y", Some("1")));
    assert_eq!((full.params().get("Expires"), full.params().get("flag"), full.params().has("lr")), (Some("5"), Some(""), false));
    let bare = address("sip:a@h;tag=2").unwrap();
    assert_eq!((bare.uri().as_str(), bare.tag(), bare.display().is_empty()), ("sip:a@h", Some("2"), true));
    assert_eq!(address("<sip:a@h>").unwrap().tag(), None);
    for wrong in [
        "",
        "<>",
        "<sip:a@h",
        "< sip:a@h>",
        "A, B <sip:a@h>",
        "\"A <sip:a@h>",
        "\"A\"",
        "\"A\" sip:a@h",
        "sip:a@h?x=y",
        "sip:a@h, sip:b@h",
        "<sip:a@h>;",
        "<sip:a@h>;;x",
        "<sip:a@h>;x=",
        "<sip:a@h> x",
        "*",
    ] {
        assert!(address(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn addresses_of_ours_are_quoted_and_tagged() {
    let uri: Uri = "sip:a@h;lr".parse().unwrap();
    let made = NameAddr::new(Some("Eve \"<x>\" \\ \r\nVia: y"), &uri);
    assert_eq!(made.as_bytes(), br#""Eve \"<x>\" \\ Via: y" <sip:a@h;lr>"#);
    assert_eq!(&*made.display(), br#"Eve "<x>" \ Via: y"#);
    assert_eq!(NameAddr::new(None, &uri).with_tag(&"1".into()).with_tag(&"2".into()).as_bytes(), b"<sip:a@h;lr>;tag=2");
    assert_eq!(address("sip:a@h ;x=1;tag=1").unwrap().with_tag(&"2".into()).as_bytes(), b"<sip:a@h>;x=1;tag=2");
    assert_eq!(address("<sip:a@h>").unwrap().with_tag(&"a b;c".into()).as_bytes(), b"<sip:a@h>");
}

#[test]
fn vias_come_apart() {
    let one = via("SIP / 2.0 / UDP  h.example.com : 5062 ; branch = z9hG4bK7 ; rport ; received=192.0.2.9").unwrap();
    assert_eq!((one.transport(), one.host_text(), one.port(), one.branch()), ("UDP", "h.example.com", Some(5062), "z9hG4bK7"));
    assert_eq!((one.rport(), one.received(), one.is_unique()), (Some(None), Some("192.0.2.9".parse().unwrap()), true));
    for wrong in [
        "",
        "x",
        "SIP/2.0",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "HTTP/1.1/TCP h",
        "SIP/2.0/UDP h:70000",
        "SIP/2.0/UDP h;;",
        "SIP/2.0/UDP h, SIP/2.0/UDP i",
        "SIP/2.0/UDP 2001:db8::1",
    ] {
        assert!(via(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn sequence_numbers_stay_below_their_bound() {
    assert_eq!(CSeq::read(b"0009 \r\n INVITE"), Some(CSeq { number: 9, method: Method::Invite }));
    assert_eq!(CSeq::read(b"2147483647 X").unwrap().number, 2_147_483_647);
    for wrong in ["2147483648 INVITE", "-1 INVITE", "1INVITE", "1", "INVITE 1", "1 INVITE x", "1 IN(VITE"] {
        assert!(CSeq::read(wrong.as_bytes()).is_none(), "{wrong}");
    }
}

#[test]
fn methods_compare_with_case() {
    assert_eq!(Method::read(b"INVITE"), Some(Method::Invite));
    assert_eq!(Method::read(b"invite"), Some(Method::Other("invite".into())));
    assert_eq!((Method::read(b""), Method::read(b"A B"), Method::read(b"A\xe9")), (None, None, None));
}
