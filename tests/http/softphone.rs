//! The golden exchanges of Web Call-Through, one by one, over real sockets.

use std::sync::atomic::Ordering;
use std::time::Duration;

use callthrough::callthrough::{Emergency, Found};
use callthrough::database::Kind;
use callthrough::subscriber;
use serde_json::json;

use crate::support::office::{ACCESS_NUMBER, DESTINATION, Office, Person, Served};

const CALLER: &str = "+15551230001";
const XML: &str = "<response><dialString>+15551230000</dialString></response>";
const JSON: &str = r#"{"dialString":"+15551230000"}"#;
const FORM: &str = "dialString=%2B15551230000";

/// Johndow with his password, ten units of credit and one number to call.
async fn office() -> (Office, Person) {
    let office = Office::open(Kind::Sqlite).await;
    office.number(ACCESS_NUMBER, "US", json!({})).await;
    let johndow = office.person(&["johndow"], &[CALLER], 10_000_000).await;
    office.credential(&johndow, subscriber::Kind::Password, "tok").await;
    (office, johndow)
}

async fn served() -> Served {
    office().await.0.serve("").await
}

#[tokio::test]
async fn g1_g2_every_spelling_renews_the_same_reservation() {
    let door = served().await;
    let first = door.get("/callthrough/?u=johndow&p=tok&to=%2B15551231234").await;
    assert_eq!((first.status, first.body.as_str()), (200, XML));
    assert_eq!(first.header("content-type"), Some("application/xml"));
    assert_eq!(first.header("cache-control"), Some("no-store"));
    let Found::Pending(one) = door.office.find(CALLER, ACCESS_NUMBER).await else { panic!("not found") };
    assert_eq!((one.destination.to_string().as_str(), one.rule.as_str()), (DESTINATION, "home"));
    door.office.clock.advance(Duration::from_secs(10));
    for target in ["+15551231234", "15551231234", "5551231234"] {
        assert_eq!(door.get(&format!("/callthrough/?u=johndow&p=tok&to={target}")).await.body, XML, "{target}");
    }
    let Found::Pending(again) = door.office.find(CALLER, ACCESS_NUMBER).await else { panic!("not found") };
    assert_eq!(again.id, one.id);
    assert_eq!(again.expires_at.since(one.expires_at), Duration::from_secs(10), "its life starts anew");
    assert_eq!(door.office.count("pending").await, 1);
}

#[tokio::test]
async fn g3_g4_g5_g15_path_form_and_json_in_xml_json_and_form() {
    let door = served().await;
    for (suffix, body, content_type) in
        [(".xml", XML, "application/xml"), (".json", JSON, "application/json"), (".form", FORM, "application/x-www-form-urlencoded")]
    {
        let path = door.get(&format!("/callthrough/johndow/%2B15551231234{suffix}?p=tok")).await;
        assert_eq!((path.status, path.body.as_str(), path.header("content-type")), (200, body, Some(content_type)));
        let query = door.get(&format!("/callthrough{suffix}?u=johndow&p=tok&to=%2B15551231234")).await;
        assert_eq!((query.status, query.body.as_str()), (200, body));
        let form = door.post(&format!("/callthrough{suffix}"), "", "username=johndow&p=tok&to=%2B15551231234").await;
        assert_eq!((form.status, form.body.as_str()), (200, body), "no Content-Type means a form");
        let format = suffix.trim_start_matches('.');
        let text = json!({ "username": "johndow", "p": "tok", "to": DESTINATION, "format": format }).to_string();
        let json = door.post("/callthrough", "Content-Type: application/json; charset=utf-8\r\n", &text).await;
        assert_eq!((json.status, json.body.as_str()), (200, body));
        let failed = door.get(&format!("/callthrough{suffix}?u=johndow&p=wrong&to=%2B15551231234")).await;
        assert_eq!((failed.status, failed.header("content-type")), (403, Some(content_type)), "asked for, so failures too");
        assert!(failed.body.contains("Sign-in") && !failed.body.contains("wrong"), "{failed:?}");
    }
}

#[tokio::test]
async fn g3_g15_an_endpoint_may_answer_in_another_format_and_type() {
    let settings = r#"
        [[endpoint]]
        service = "callthrough"
        path = "/v1/{username}/{targetNumber}"
        reply = "json"
        [[endpoint]]
        service = "callthrough"
        path = "/form"
        reply = "form"
        error_reply = "form"
        [[endpoint]]
        service = "callthrough"
        path = "/text"
        methods = ["POST"]
        xml_type = "text/xml"
        error_reply = "xml"
        fields = { target = ["dialled"] }
        headers = { user = "X-User" }
    "#;
    let door = office().await.0.serve(settings).await;
    assert_eq!(door.get("/v1/johndow/%2B15551231234?p=tok").await.body, JSON);
    assert_eq!(door.get("/form?u=johndow&p=tok&to=15551231234").await.body, FORM);
    assert!(door.get("/form?u=johndow&p=no&to=15551231234").await.body.starts_with("message=Sign-in%20failed"));
    let text = door.post("/text", "X-User: johndow\r\n", "p=tok&dialled=15551231234&to=ignored").await;
    assert_eq!((text.body.as_str(), text.header("content-type")), (XML, Some("text/xml; charset=utf-8")));
    assert_eq!(door.get("/text?u=johndow&p=tok&dialled=1").await.status, 405);
    let failed = door.post("/text", "X-User: johndow\r\n", "p=no&dialled=15551231234").await;
    assert!(failed.body.starts_with("<response><message>Sign-in failed"), "{failed:?}");
    assert_eq!(door.get("/callthrough?u=johndow&p=tok&to=15551231234").await.status, 404, "the built-in ones are not there");
}

#[tokio::test]
async fn g6_too_little_credit_says_how_much_to_top_up() {
    let (office, _) = office().await;
    let poor = office.person(&["poor"], &["+15551230002"], 100_000).await;
    office.credential(&poor, subscriber::Kind::Password, "tok").await;
    let door = office.serve("").await;
    let refused = door.get("/callthrough?u=poor&p=tok&to=%2B15551231234").await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("not_enough_credit")));
    assert_eq!(refused.header("content-type"), Some("application/json"));
    assert_eq!(refused.message(), "Not enough credit for this call. Top up at least 0.05 EUR.", "30 s at 0.30 is 0.15");
    assert_eq!(door.office.count("pending").await, 0);
    let czech = door.get("/callthrough?u=poor&p=tok&to=%2B15551231234&locale=cs_CZ").await;
    assert!(czech.message().contains("Dobijte alespoň 0.05 EUR"), "{czech:?}");
}

#[tokio::test]
async fn g8_malformed_targets_are_refused_and_never_echoed() {
    let door = served().await;
    let long = "1".repeat(60);
    let bad = ["%25account%5Bpassword%5D%25", "", &long, "letters", "sip:5551231234", "%2B%2B15551231234", "1234", "*31%2315551231234"];
    for (index, target) in bad.iter().enumerate() {
        door.office.clock.advance(Duration::from_secs(10));
        for suffix in ["", ".xml", ".form"] {
            let refused = door.get(&format!("/callthrough{suffix}?u=johndow&p=tok&to={target}")).await;
            assert_eq!(refused.status, 400, "{index} {refused:?}");
            for echo in ["account", "password%5D", "letters", "sip:", "1234", "11111", "*31"] {
                assert!(!refused.body.contains(echo), "{refused:?}");
            }
            if suffix.is_empty() {
                refused.message();
            }
        }
    }
    assert_eq!(door.get("/callthrough?u=johndow&p=tok&to=1&to=2").await.json()["code"], "conflicting_fields");
    assert_eq!(door.get("/callthrough?p=tok&to=15551231234").await.json()["code"], "missing_user");
    assert_eq!(door.get("/callthrough?u=johndow&to=15551231234").await.json()["code"], "missing_secret");
    assert_eq!(door.office.count("pending").await, 0);
}

#[tokio::test]
async fn g9_emergency_numbers_are_never_routed() {
    let forms = ["112", "911", "%2B112", "+911", "00112", "011911", "1911", "tel:112", "1-1-2", "999", "000", "%D9%A1%D9%A1%D9%A2"];
    let door = served().await;
    for target in forms {
        door.office.clock.advance(Duration::from_secs(10));
        for suffix in [".json", ".xml", ".form"] {
            let refused = door.get(&format!("/callthrough{suffix}?u=johndow&p=tok&to={target}")).await;
            assert_eq!(refused.status, 403, "{target} {refused:?}");
            assert!(refused.body.contains("mergency"), "{target} {refused:?}");
        }
    }
    let czech = door.get_with("/callthrough?u=johndow&p=tok&to=155&country=CZ", "").await;
    assert_eq!((czech.status, czech.json()["code"].as_str()), (403, Some("emergency")), "of the country of the request");
    assert_eq!(door.office.count("pending").await, 0);

    let (mut office, _) = office().await;
    office.config.emergency = Emergency::Native;
    let door = office.serve("").await;
    for (target, dialled) in [("112", "112"), ("%2B112", "112"), ("011911", "911"), ("tel:112", "112")] {
        assert_eq!(door.get(&format!("/callthrough?u=johndow&p=tok&to={target}")).await.dial_string(), dialled, "{target}");
    }
    assert_eq!(door.office.count("pending").await, 0, "nothing of it is routed by us");
}

#[tokio::test]
async fn g10_g11_arrivals_in_time_late_and_too_late() {
    let door = served().await;
    let ask = || door.get("/callthrough?u=johndow&p=tok&to=%2B15551231234");
    ask().await.dial_string();
    door.office.clock.advance(Duration::from_secs(30));
    let (call, reservation, late) = door.office.arrive(CALLER, ACCESS_NUMBER).await.unwrap();
    assert!(!late);
    door.office.consume(&reservation, call).await;
    door.office.release(&reservation, call).await;
    assert_eq!(door.office.arrive(CALLER, ACCESS_NUMBER).await.unwrap_err(), "no_reservation");
    for (after, expected) in [(61, Ok(true)), (70, Ok(true)), (71, Err("reservation_expired".to_owned())), (60, Ok(false))] {
        ask().await.dial_string();
        door.office.clock.advance(Duration::from_secs(after));
        let arrived = door.office.arrive(CALLER, ACCESS_NUMBER).await;
        assert_eq!(arrived.as_ref().map(|(_, _, late)| *late).map_err(Clone::clone), expected, "after {after} s");
        if let Ok((call, reservation, _)) = arrived {
            door.office.consume(&reservation, call).await;
            door.office.release(&reservation, call).await;
        }
    }
}

#[tokio::test]
async fn g11_without_grace_late_is_too_late() {
    let (mut office, _) = office().await;
    office.config.late_grace_secs = 0;
    let door = office.serve("").await;
    door.get("/callthrough?u=johndow&p=tok&to=%2B15551231234").await.dial_string();
    door.office.clock.advance(Duration::from_secs(61));
    assert_eq!(door.office.arrive(CALLER, ACCESS_NUMBER).await.unwrap_err(), "reservation_expired");
}

#[tokio::test]
async fn g12_g13_other_numbers_and_other_targets() {
    let (office, _) = office().await;
    office.number("+15551230009", "US", json!({ "user_cost": "mobile" })).await;
    let door = office.serve("").await;
    let ask = async |target: &str| door.get(&format!("/callthrough?u=johndow&p=tok&to={target}")).await.dial_string();
    assert_eq!(ask("15551231111").await, ACCESS_NUMBER);
    assert_eq!(door.office.arrive(CALLER, "+15551230009").await.unwrap_err(), "no_reservation");
    assert!(matches!(door.office.find(CALLER, ACCESS_NUMBER).await, Found::Pending(_)), "still pending");
    door.office.clock.advance(Duration::from_secs(1));
    assert_eq!(ask("15551232222").await, "+15551230009");
    door.office.clock.advance(Duration::from_secs(1));
    assert_eq!(ask("15551233333").await, ACCESS_NUMBER, "none is free: the oldest makes room");
    let Found::Pending(last) = door.office.find(CALLER, ACCESS_NUMBER).await else { panic!("not found") };
    assert_eq!(last.destination.to_string(), "+15551233333", "last wins");
    assert_eq!((door.office.count("pending").await, door.office.count("superseded").await), (2, 1));
}

#[tokio::test]
async fn g14_without_a_number_a_code_is_given() {
    let office = Office::open(Kind::Sqlite).await;
    office.number(ACCESS_NUMBER, "US", json!({ "modes": ["pinless", "code"] })).await;
    let ann = office.person(&["ann"], &[], 10_000_000).await;
    office.credential(&ann, subscriber::Kind::Password, "tok").await;
    let door = office.serve("").await;
    let dialled = door.get("/callthrough?u=ann&p=tok&to=15551231234&platform=iOS").await.dial_string();
    let code = dialled.strip_prefix("+15551230000,,").unwrap();
    assert!(code.len() == 8 && code.bytes().all(|byte| byte.is_ascii_digit()), "{dialled}");
    let mut connection = door.office.database.read().await.unwrap();
    let (number, now) = (ACCESS_NUMBER.parse().unwrap(), door.office.clock.timestamp());
    let config = &door.office.config;
    let found = callthrough::callthrough::store::find_code(&mut connection, config, code, number, now).await.unwrap();
    assert!(matches!(found, Found::Pending(found) if found.destination.to_string() == DESTINATION));
    let other = callthrough::callthrough::store::find_code(&mut connection, config, "00000000", number, now).await.unwrap();
    assert_eq!(other, Found::None);
}

#[tokio::test]
async fn g14_without_code_mode_the_message_says_to_show_the_number() {
    let office = Office::open(Kind::Sqlite).await;
    office.number(ACCESS_NUMBER, "US", json!({})).await;
    let ann = office.person_with(&["ann"], &[CALLER], 10_000_000, |ann| ann.withholds_number = true).await;
    office.credential(&ann, subscriber::Kind::Password, "tok").await;
    let door = office.serve("").await;
    let refused = door.get("/callthrough?u=ann&p=tok&to=15551231234").await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (404, Some("no_access_number")));
    assert!(refused.message().contains("Show your number"), "{refused:?}");
}

#[tokio::test]
async fn g16_the_operators_placeholder_is_sent_verbatim() {
    let office = Office::open(Kind::Sqlite).await;
    let settings = json!({ "modes": ["pin"], "pin": "%account[x-cth-pin]%", "terminator": "#" });
    office.number(ACCESS_NUMBER, "US", settings).await;
    let ann = office.person(&["ann"], &[CALLER], 10_000_000).await;
    office.credential(&ann, subscriber::Kind::Password, "tok").await;
    let door = office.serve("").await;
    let pin = "+15551230000,,%account[x-cth-pin]%#15551231234#";
    for suffix in [".xml", ".json"] {
        assert_eq!(door.get(&format!("/callthrough{suffix}?u=ann&p=tok&to=15551231234")).await.dial_string(), pin);
    }
    let form = door.get("/callthrough.form?u=ann&p=tok&to=15551231234").await.body;
    assert_eq!(form, "dialString=%2B15551230000%2C%2C%25account%5Bx-cth-pin%5D%25%2315551231234%23");
    let ios = door.get("/callthrough?u=ann&p=tok&to=15551231234&platform=iPhone+OS").await.dial_string();
    assert!(!ios.contains(['#', '*']), "{ios}");
}

#[tokio::test]
async fn g18_old_http_slashes_and_sizes() {
    let door = served().await;
    let old = door.raw(b"GET /callthrough?u=johndow&p=tok&to=15551231234 HTTP/1.0\r\n\r\n").await;
    assert_eq!((old.status, old.body.as_str()), (200, XML));
    assert_eq!(door.get("//callthrough//?u=johndow&p=tok&to=15551231234++").await.body, XML);
    assert_eq!(door.get("//callthrough//johndow//15551231234/?p=tok").await.body, XML);
    let large = door.post("/callthrough", "", &format!("u=johndow&p=tok&x={}", "x".repeat(17 * 1024))).await;
    assert_eq!(large.status, 413);
    large.message();
    let long = door.get(&format!("/callthrough?u=johndow&p=tok&x={}", "x".repeat(9 * 1024))).await;
    assert_eq!(long.status, 414);
    long.message();
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let refused = door
            .raw(format!("{method} /callthrough?u=johndow&p=tok&to=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .await;
        assert_eq!(refused.status, 405, "{method}");
        refused.message();
    }
}

#[tokio::test]
async fn g19_a_stopped_database_is_said_in_time() {
    let door = served().await;
    door.office.database.close().await;
    let refused = tokio::time::timeout(Duration::from_secs(5), door.get("/callthrough?u=johndow&p=tok&to=15551231234")).await.unwrap();
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("books_down")));
    assert!(refused.header("retry-after").is_some());
    refused.message();
}

#[tokio::test]
async fn g20_unknown_paths_speak_the_language_that_was_asked_for() {
    let door = served().await;
    let english = door.get("/nothing/here/at/all").await;
    assert_eq!(english.status, 404);
    english.message();
    assert!(door.get("/nothing.xml?locale=de").await.body.contains("<message>Unter dieser Adresse"), "German, in XML");
}

#[tokio::test]
async fn refusals_have_their_status_and_a_message() {
    let (mut office, _) = office().await;
    office.config.destinations.barred_prefixes = vec!["1555666".to_owned()];
    let off = office.person_with(&["off"], &["+15551230003"], 10_000_000, |off| off.enabled = false).await;
    office.credential(&off, subscriber::Kind::Password, "tok").await;
    let capped = office.person_with(&["capped"], &["+15551230004"], 10_000_000, |who| who.spend_cap = Some(100_000.into_micros())).await;
    office.credential(&capped, subscriber::Kind::Password, "tok").await;
    let abroad = office.person_with(&["abroad"], &["+420601000001"], 10_000_000, |who| who.home = "CZ".parse().unwrap()).await;
    office.credential(&abroad, subscriber::Kind::Password, "tok").await;
    let door = office.serve("").await;
    for (user, target, status, code) in [
        ("johndow", "%2B33123456789", 403, "no_rate"),
        ("johndow", "%2B15556661234", 403, "barred"),
        ("johndow", "%2B19005551234", 403, "high_risk"),
        ("johndow", "lobby", 400, "no_such_number"),
        ("johndow", "%2B881612345678", 403, "high_risk"),
        ("off", "%2B15551231234", 403, "sign_in_failed"),
        ("capped", "%2B15551231234", 403, "spend_cap"),
        ("abroad", "%2B15551231234", 404, "no_access_number"),
    ] {
        let refused = door.get(&format!("/callthrough?u={user}&p=tok&to={target}")).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (status, Some(code)), "{user} {target}");
        refused.message();
    }
    door.office.carriers.down.store(true, Ordering::Relaxed);
    let refused = door.get("/callthrough?u=johndow&p=tok&to=15551231234").await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("all_trunks_failed")));
    door.office.carriers.draining.store(true, Ordering::Relaxed);
    let refused = door.get("/callthrough?u=johndow&p=tok&to=15551231234").await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("draining")));
    assert!(refused.header("retry-after").is_some());
}

/// `too_many_calls` is never heard here: one call more is refused when it arrives, not when it is asked for, because the first may
/// be over by then.
#[tokio::test]
async fn a_phone_may_ask_while_it_talks() {
    let office = Office::open(Kind::Sqlite).await;
    office.number(ACCESS_NUMBER, "US", json!({})).await;
    let busy = office.person_with(&["busy"], &[CALLER], 10_000_000, |who| who.max_calls = Some(1)).await;
    office.credential(&busy, subscriber::Kind::Password, "tok").await;
    let door = office.serve("").await;
    let ask = async || door.get("/callthrough?u=busy&p=tok&to=15551231234").await;
    ask().await.dial_string();
    let (call, reservation, _) = door.office.arrive(CALLER, ACCESS_NUMBER).await.unwrap();
    assert_eq!(ask().await.status, 200);
    door.office.release(&reservation, call).await;
}

trait IntoMicros {
    fn into_micros(self) -> callthrough::types::Micros;
}

impl IntoMicros for i64 {
    fn into_micros(self) -> callthrough::types::Micros {
        callthrough::types::Micros::new(self)
    }
}

#[tokio::test]
async fn s8_a_hundred_requests_a_minute_are_too_many() {
    let door = served().await;
    let mut statuses = Vec::new();
    for _ in 0..100 {
        statuses.push(door.get("/callthrough?u=johndow&p=tok&to=15551231234").await.status);
    }
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 30);
    assert_eq!(statuses.iter().filter(|&&status| status == 429).count(), 70);
    let refused = door.get("/callthrough?u=johndow&p=tok&to=15551231234").await;
    assert!(refused.message().contains("Wait 2 s"), "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(door.office.count("pending").await, 1);
}

#[tokio::test]
async fn the_access_number_follows_the_address_behind_a_trusted_proxy() {
    let (office, _) = office().await;
    office.number("+420601000000", "CZ", json!({})).await;
    office.number("+442079460000", "GB", json!({})).await;
    let door = office.serve("trusted_proxies = [\"127.0.0.0/8\"]").await;
    let ask = async |query: &str, headers: &str| {
        door.office.clock.advance(Duration::from_secs(100));
        door.get_with(&format!("/callthrough?u=johndow&p=tok&to=15551231234{query}"), headers).await.dial_string()
    };
    assert_eq!(ask("", "").await, ACCESS_NUMBER, "home");
    let czech = "X-Forwarded-For: 195.113.144.1\r\nX-Forwarded-Proto: https\r\n";
    assert_eq!(ask("", czech).await, "+420601000000", "where the request came from");
    assert_eq!(ask("", "Forwarded: for=\"[2001:718:1::1]\";proto=https\r\n").await, "+420601000000", "over IPv6");
    assert_eq!(ask("&country=GB", czech).await, "+442079460000", "where the phone says it is");
    assert_eq!(ask("&locale=en-GB", czech).await, "+442079460000");
    assert_eq!(ask("&country=GB&access=%2B420601000000", "").await, "+420601000000", "what it asks for");
}
