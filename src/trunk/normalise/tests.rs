//! Numbers as carriers write them.

use super::*;

fn settings(country: &str) -> Settings {
    Settings { country: country.parse().ok(), ..Settings::default() }
}

fn from(value: &str) -> ReadCall {
    read(&settings("US"), &Arrival { request_uri: "sip:+15551230000@192.0.2.1", from: value, ..Arrival::default() })
}

#[test]
fn withheld_in_every_spelling() {
    for value in [
        "<sip:anonymous@anonymous.invalid>;tag=1",
        "\"Anonymous\" <sip:Anonymous@192.0.2.1>;tag=1",
        "<sip:restricted@192.0.2.1>",
        "<sip:UNAVAILABLE@192.0.2.1>",
        "<sip:unknown@192.0.2.1>",
        "<sip:Private@192.0.2.1>",
        "<sip:192.0.2.1>;tag=1",
        "<sip:@192.0.2.1>",
        "<sip:266696687@192.0.2.1>",
        "<sip:+266696687@192.0.2.1>",
        "<tel:266696687>",
        "<sip:+15551231234@anonymous.invalid>",
        "<sip:%61nonymous@192.0.2.1>",
        "sip:anonymous@192.0.2.1;tag=1",
        "",
    ] {
        let call = from(value);
        assert_eq!((call.caller, call.hidden), (CallerId::Withheld, true), "{value}");
    }
    // Not withheld, but no number either: nothing that could match, nothing to hide.
    for value in ["<sip:alice@192.0.2.1>;tag=1", "<sip:12@192.0.2.1>", "<sip:+1555123123456789@192.0.2.1>"] {
        let call = from(value);
        assert_eq!((call.caller, call.hidden), (CallerId::Withheld, false), "{value}");
    }
    let custom = Settings { withheld: vec!["no-number".into(), "000".into()], ..settings("US") };
    let call = read(&custom, &Arrival { from: "<sip:No-Number@192.0.2.1>", ..Arrival::default() });
    assert_eq!(call.caller, CallerId::Withheld);
}

#[test]
fn addresses_in_every_shape() {
    for value in [
        "<sip:+15551231234@192.0.2.1>;tag=1",
        "sip:+15551231234@192.0.2.1;tag=1",
        "\"Smith, <Bob>\" <sip:+15551231234@192.0.2.1:5070;user=phone>;tag=1",
        "\"a \\\" <sip:1@x>\" <sip:+15551231234@192.0.2.1>",
        "Bob <sips:+15551231234;npdi@example.com;transport=tls?Subject=x>",
        "<tel:+1-555-123-1234>",
        "<tel:+1(555)123.1234;ext=7>",
        "<tel:5551231234;phone-context=+1>",
        "<tel:5551231234;phone-context=example.com>",
        "<sip:%2B15551231234@example.com>",
        "<sip:+15551231234:secret@example.com>",
        "<sip:+15551231234@[2001:db8::1]:5060>",
    ] {
        assert_eq!(from(value).caller.number(), "+15551231234".parse().ok(), "{value}");
    }
}

#[test]
fn numbers_by_country_and_habit() {
    use Bare::{Auto, International, National};
    for (country, bare, typed, number) in [
        ("US", Auto, "+15551231234", "+15551231234"),
        ("US", Auto, "0015551231234", "+15551231234"),
        ("US", Auto, "01115551231234", "+15551231234"),
        ("US", Auto, "15551231234", "+15551231234"),
        ("US", Auto, "5551231234", "+15551231234"),
        ("US", Auto, "011420601123456", "+420601123456"),
        ("US", Auto, "420601123456", "+420601123456"),
        ("CZ", Auto, "601123456", "+420601123456"),
        ("CZ", Auto, "00420601123456", "+420601123456"),
        ("CZ", Auto, "420601123456", "+420601123456"),
        ("CZ", Auto, "011420601123456", "+420601123456"),
        ("CZ", Auto, "447700900123", "+447700900123"),
        ("GB", Auto, "07700900123", "+447700900123"),
        ("GB", Auto, "01134960123", "+441134960123"),
        ("GB", Auto, "02079460123", "+442079460123"),
        ("GB", International, "447700900123", "+447700900123"),
        ("GB", International, "07700900123", "+447700900123"),
        ("GB", International, "011447700900123", "+447700900123"),
        ("GB", National, "7700900123", "+447700900123"),
        ("GB", National, "00447700900123", "+447700900123"),
    ] {
        let settings = Settings { bare, ..settings(country) };
        assert_eq!(number_of(&settings, typed), number.parse().ok(), "{country} {bare:?} {typed}");
    }
    for typed in ["", "+", "alice", "12", "+0123456789", "1234567890123456", "５５５１２３１２３４", "+1555*1234"] {
        assert_eq!(number_of(&settings("US"), typed), None, "{typed}");
    }
    let rules = |strip: &str, add: &str| Rule { strip: strip.into(), add: add.into() };
    let settings = Settings { rules_in: vec![rules("9", "+44"), rules("99", "+1"), rules("", "")], ..settings("US") };
    assert_eq!(number_of(&settings, "97700900123"), "+447700900123".parse().ok());
    assert_eq!(number_of(&settings, "995551231234"), "+15551231234".parse().ok());
    assert_eq!(number_of(&settings, "5551231234"), "+15551231234".parse().ok());
}

#[test]
fn the_order_of_identity_headers_decides() {
    use IdentityHeader::{From, PAssertedIdentity, RemotePartyId};
    let arrival = Arrival {
        request_uri: "sip:+15551230000@192.0.2.1",
        from: "<sip:+15550100003@192.0.2.1>;tag=1",
        asserted: &["\"x\" <sip:bob@example.com>, <tel:+15550100001>"],
        remote_party: Some("<sip:+15550100002@192.0.2.1>;party=calling;screen=yes"),
        ..Arrival::default()
    };
    for (identity, trusted, number, told_by) in [
        (vec![PAssertedIdentity, From], true, "+15550100001", PAssertedIdentity),
        (vec![PAssertedIdentity, From], false, "+15550100003", From),
        (vec![From, PAssertedIdentity], true, "+15550100003", From),
        (vec![RemotePartyId, From], true, "+15550100002", RemotePartyId),
        (vec![From], true, "+15550100003", From),
    ] {
        let call = read(&Settings { identity: identity.clone(), trusted, ..settings("US") }, &arrival);
        assert_eq!((call.caller.number(), call.told_by), (number.parse().ok(), Some(told_by)), "{identity:?} {trusted}");
    }
    // A trusted assertion matches although From is anonymous and Privacy asks to hide it; B does not see it.
    let private = Arrival { from: "<sip:anonymous@anonymous.invalid>;tag=1", privacy: Some("id"), ..arrival };
    let call = read(&settings("US"), &private);
    assert_eq!((call.caller.number(), call.hidden), ("+15550100001".parse().ok(), true));
    let untrusted = read(&Settings { trusted: false, ..settings("US") }, &private);
    assert_eq!((untrusted.caller, untrusted.hidden), (CallerId::Withheld, true));
}

#[test]
fn privacy_hides_the_number_from_b_only() {
    for (privacy, hidden) in [
        (None, false),
        (Some("none"), false),
        (Some("id"), true),
        (Some("critical; ID"), true),
        (Some("user;session"), true),
        (Some("session"), false),
    ] {
        let call = read(&settings("US"), &Arrival { from: "<sip:+15551231234@192.0.2.1>", privacy, ..Arrival::default() });
        assert_eq!((call.caller.number(), call.hidden), ("+15551231234".parse().ok(), hidden), "{privacy:?}");
    }
    for (value, hidden) in [("privacy=full", true), ("privacy=off", false), ("screen=yes", false)] {
        let remote_party = format!("<sip:+15551231234@192.0.2.1>;{value}");
        let arrival = Arrival { from: "<sip:+15551231234@192.0.2.1>", remote_party: Some(&remote_party), ..Arrival::default() };
        assert_eq!(read(&settings("US"), &arrival).hidden, hidden, "{value}");
    }
}

#[test]
fn what_the_carrier_vouches_for() {
    use Attestation::{Failed, Full, Gateway, None, Partial};
    for (value, expected) in [
        ("<sip:+15551231234;verstat=TN-Validation-Passed@example.com>", Full),
        ("<sip:+15551231234;verstat=TN-Validation-Passed-A@example.com>", Full),
        ("<sip:+15551231234@example.com;verstat=TN-Validation-Passed-B>", Partial),
        ("<sip:+15551231234@example.com>;verstat=tn-validation-passed-c", Gateway),
        ("<tel:+15551231234;verstat=TN-Validation-Failed>", Failed),
        ("<tel:+15551231234;verstat=No-TN-Validation>", None),
        ("<tel:+15551231234;verstat=Nonsense>", None),
        ("<tel:+15551231234>", None),
    ] {
        assert_eq!(from(value).caller, CallerId::Number("+15551231234".parse().unwrap(), expected), "{value}");
        let untrusted = read(&Settings { trusted: false, ..settings("US") }, &Arrival { from: value, ..Arrival::default() });
        assert_eq!(untrusted.caller, CallerId::Number("+15551231234".parse().unwrap(), None), "a stranger vouches for nobody");
    }
    let elsewhere = Arrival {
        from: "<sip:+15551231234;verstat=TN-Validation-Passed@example.com>;tag=1",
        asserted: &["<sip:+15551231234@example.com>"],
        ..Arrival::default()
    };
    assert_eq!(read(&settings("US"), &elsewhere).caller, CallerId::Number("+15551231234".parse().unwrap(), Full));
    let another = Arrival { asserted: &["<sip:+15550100001@example.com>"], ..elsewhere };
    assert_eq!(read(&settings("US"), &another).caller, CallerId::Number("+15550100001".parse().unwrap(), None));
}

#[test]
fn the_dialled_number_is_read_from_the_first_place_that_has_one() {
    let arrival = Arrival {
        request_uri: "sip:s@192.0.2.1:5060",
        to: "<sip:+15551230001@192.0.2.1>",
        diversion: Some("<sip:+15551230002@192.0.2.1>;reason=unconditional, <sip:+15551230003@192.0.2.1>"),
        ..Arrival::default()
    };
    let on = Settings { diversion: true, ..settings("US") };
    let dialled = |settings: &Settings, arrival: &Arrival<'_>| read(settings, arrival).dialled.map(|number| number.to_string());
    assert_eq!(
        dialled(&on, &Arrival { request_uri: "sip:15551230000;x=y@192.0.2.1;user=phone", ..arrival }).as_deref(),
        Some("+15551230000")
    );
    assert_eq!(dialled(&on, &arrival).as_deref(), Some("+15551230001"));
    assert_eq!(dialled(&on, &Arrival { to: "<sip:trunk@192.0.2.1>", ..arrival }).as_deref(), Some("+15551230002"));
    assert_eq!(dialled(&settings("US"), &Arrival { to: "<sip:trunk@192.0.2.1>", ..arrival }), None);
}

#[test]
fn numbers_are_written_as_the_trunk_wants() {
    let number = "+420601123456".parse().unwrap();
    for (format_out, country, written) in [
        (Format::Plus, "CZ", "+420601123456"),
        (Format::ZeroZero, "CZ", "00420601123456"),
        (Format::ZeroOneOne, "US", "011420601123456"),
        (Format::Bare, "CZ", "420601123456"),
        (Format::National, "CZ", "601123456"),
        (Format::National, "GB", "00420601123456"),
        (Format::National, "US", "011420601123456"),
    ] {
        assert_eq!(write_number(&Settings { format_out, ..settings(country) }, number), written);
    }
    let british = Settings { format_out: Format::National, ..settings("GB") };
    assert_eq!(write_number(&british, "+447700900123".parse().unwrap()), "07700900123");
    let rules_out = vec![Rule { strip: String::new(), add: "77".into() }, Rule { strip: "4206".into(), add: "06".into() }];
    let settings = Settings { format_out: Format::Bare, rules_out, ..settings("CZ") };
    assert_eq!(write_number(&settings, number), "0601123456");
    assert_eq!(write_number(&settings, "+15551231234".parse().unwrap()), "7715551231234");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(value in "\\PC{0,80}", uri in "[<>\"\\\\;:@,=a-z0-9+% ]{0,60}") {
        let arrival = Arrival { request_uri: &uri, to: &value, from: &uri, asserted: &[&value, &uri], diversion: Some(&uri), remote_party: Some(&uri), privacy: Some(&value), identity: Some(&value) };
        let _ = read(&Settings { diversion: true, identity: vec![IdentityHeader::RemotePartyId, IdentityHeader::PAssertedIdentity, IdentityHeader::From], ..settings("GB") }, &arrival);
    }
}
