//! URIs as they come: what they say, what they are compared by, what is refused.

use super::*;

fn uri(text: &str) -> Uri {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn a_uri_comes_apart() {
    let full = uri("sips:al%20ice:secret@[2001:db8::1]:5061;transport=tcp;LR;x=%41?subject=a&b=c");
    assert_eq!((full.scheme(), full.user(), full.host_text(), full.port()), (Scheme::Sips, Some("al%20ice"), "[2001:db8::1]", Some(5061)));
    assert_eq!(full.user_unescaped().as_deref(), Some("al ice"));
    assert_eq!(full.host(), Some(Host::Address("2001:db8::1".parse().unwrap())));
    assert_eq!(
        (full.param("Transport"), full.param("lr"), full.param("none"), full.headers()),
        (Some("tcp"), Some(""), None, "subject=a&b=c")
    );
    assert!(full.is_loose());
    let tel = uri("tel:+1-555-123-1234;phone-context=example.com");
    assert_eq!(
        (tel.scheme(), tel.user(), tel.param("phone-context"), tel.host()),
        (Scheme::Tel, Some("+1-555-123-1234"), Some("example.com"), None)
    );
    assert_eq!((uri("tel:*21#").user(), uri("sip:*21#@192.0.2.1").user()), (Some("*21#"), Some("*21#")));
    assert_eq!((uri("sip:example.com").user(), uri("urn:service:sos").scheme()), (None, Scheme::Other));
    assert_eq!(uri("sip:+15551231234;npdi;rn=+15550000000@192.0.2.1").user_unescaped().as_deref(), Some("+15551231234"));
}

#[test]
fn nonsense_is_no_uri() {
    for text in [
        "",
        "sip",
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip::p@h",
        "sip:a@b@c",
        "sip:a b@h",
        "sip:a@h:",
        "sip:a@h:x",
        "sip:a@h:65536",
        "sip:a@h:5060x",
        "sip:a@[::1",
        "sip:a@[::g]",
        "sip:a@2001:db8::1",
        "sip:a%2@h",
        "sip:a%zz@h",
        "sip:a@h;",
        "sip:a@h;=x",
        "sip:a@h;x=",
        "sip:a@h?",
        "sip:a@h;x=%4",
        "tel:",
        "tel:+",
        "tel:abc-xyz",
        "1sip:a@h",
        ":a@h",
        "urn:",
        "sip:a@h\r\n",
        "sip:a@h<x",
        "sip:a@h\0",
        "sip:[::::192.0.2.1]",
    ] {
        assert!(text.parse::<Uri>().is_err(), "{text:?}");
    }
    assert!(Uri::parse(Bytes::from_static(b"sip:\xe9@h")).is_err());
}

/// RFC 3261 §19.1.4.
#[test]
fn uris_mean_the_same_or_not() {
    for (one, two) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        ("sip:biloxi.com;transport=tcp;method=REGISTER", "sip:biloxi.com;method=REGISTER;transport=tcp"),
    ] {
        assert!(uri(one).is_equivalent(&uri(two)) && uri(two).is_equivalent(&uri(one)), "{one} {two}");
    }
    for (one, two) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@h", "sips:a@h"),
    ] {
        assert!(!uri(one).is_equivalent(&uri(two)) && !uri(two).is_equivalent(&uri(one)), "{one} {two}");
    }
}

#[test]
fn a_uri_of_ours_is_escaped() {
    let host = Host::read("192.0.2.1");
    assert_eq!(Uri::sip(Some("a b@c\r\n"), &host, Some(5060)).as_str(), "sip:a%20b%40c%0D%0A@192.0.2.1:5060");
    assert_eq!(
        Uri::sip(Some("+15551231234"), &Host::Address("2001:db8::1".parse().unwrap()), None).as_str(),
        "sip:+15551231234@[2001:db8::1]"
    );
    assert_eq!(Uri::sip(None, &Host::Name("no host".into()), None).host_text(), "invalid.invalid");
}

#[test]
fn a_request_uri_has_no_headers_and_no_method() {
    assert_eq!(uri("sip:a@h;method=INVITE;lr?x=y").for_request().as_str(), "sip:a@h;lr");
    assert_eq!(uri("sip:a@h;lr").with_param("x", Some("1")).as_str(), "sip:a@h;lr;x=1");
    assert_eq!(uri("sip:a@h?q=r").with_param("lr", None).as_str(), "sip:a@h;lr?q=r");
}
