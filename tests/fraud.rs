//! Signs of fraud become alerts, and switch subscribers off where the tenant wants it; changed numbers cool down at both doors.

use std::time::Duration;

use callthrough::database::Kind;
use callthrough::fraud::{Book, Policy, PrefixClass, Signs};
use callthrough::jobs;
use callthrough::subscriber::{self, VerifiedNumber};
use callthrough::types::{Refusal, SubscriberId, TenantId};
use serde_json::{Value, json};

use crate::support::desk::Desk;
use crate::support::door::Door;
use crate::support::office::{ACCESS_NUMBER, DESTINATION, Office};
use crate::support::switchboard::{ALICE, PRAGUE, Switchboard};

const MAIN: TenantId = TenantId::MAIN;

async fn somebody(door: &Door) -> SubscriberId {
    let body = json!({ "name": "Alice", "home_country": "US", "currency": "EUR", "numbers": ["+15551231234"] });
    let made = door.post("/subscribers", &body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["id"].as_str().unwrap().parse().unwrap()
}

async fn policy(door: &Door, rules: Value) {
    let set = door.send("PATCH", "/policy", &[], Some(&rules)).await;
    assert_eq!(set.status, 200, "{}", set.text);
}

/// The alerts there are: kind, severity, whom it is about, how often.
async fn alerts(door: &Door) -> Vec<(String, String, String, u64)> {
    jobs::fraud::tell(&door.state).await.unwrap();
    let text = |alert: &Value, name: &str| alert[name].as_str().unwrap().to_owned();
    let found = door.get("/alerts").await;
    let alerts = found.body["items"].as_array().unwrap().iter();
    let told = alerts.map(|alert| (text(alert, "kind"), text(alert, "severity"), text(alert, "subject"), alert["times"].as_u64().unwrap()));
    sorted(told.collect())
}

/// In an order of their own: what is raised in one instant has none.
fn sorted(mut alerts: Vec<(String, String, String, u64)>) -> Vec<(String, String, String, u64)> {
    alerts.sort_unstable();
    alerts
}

fn call(door: &Door, subscriber: SubscriberId, number: &str) {
    door.state.clock.advance(Duration::from_secs(1));
    door.state.rules.called(MAIN, subscriber, number.parse().unwrap(), door.state.clock.timestamp());
}

fn alert(kind: &str, severity: &str, subject: impl ToString, times: u64) -> (String, String, String, u64) {
    (kind.to_owned(), severity.to_owned(), subject.to_string(), times)
}

#[tokio::test]
async fn each_sign_is_an_alert_and_nothing_more_unless_the_tenant_wants_it() {
    let door = Door::open().await;
    let signs = json!({ "sequential_numbers": 3, "same_number": 3, "short_calls": 2, "refusals": 2, "new_country": "off" });
    policy(&door, json!({ "signs": signs })).await;
    let (rows, again, short, refused) = (somebody(&door).await, somebody(&door).await, somebody(&door).await, somebody(&door).await);
    for number in ["+420601123450", "+420601123452", "+420601123451", "+420601123453"] {
        call(&door, rows, number);
    }
    (0..3).for_each(|_| call(&door, again, PRAGUE));
    call(&door, short, PRAGUE);
    for secs in [9, 10, 11] {
        door.state.rules.ended(short, Duration::from_secs(secs), door.state.clock.timestamp());
    }
    for refusal in [Refusal::HighRisk, Refusal::NotEnoughCredit, Refusal::Barred] {
        door.state.rules.refused(MAIN, refused, refusal, door.state.clock.timestamp());
    }
    let expected = sorted(vec![
        alert("sequential_numbers", "warning", rows, 2),
        alert("same_number", "warning", again, 1),
        alert("short_calls", "warning", short, 1),
        alert("many_refusals", "warning", refused, 1),
    ]);
    assert_eq!(alerts(&door).await, expected);
    assert_eq!(alerts(&door).await, expected, "told once");
    for subscriber in [rows, again, short, refused] {
        assert_eq!(door.get(&format!("/subscribers/{subscriber}")).await.body["enabled"], true);
    }
}

#[tokio::test]
async fn who_looks_like_fraud_is_switched_off_where_the_tenant_wants_it() {
    let door = Door::open().await;
    policy(&door, json!({ "on_fraud": "suspend", "signs": { "same_number": 3, "new_country": "subscriber" } })).await;
    let (alice, bob) = (somebody(&door).await, somebody(&door).await);
    (0..4).for_each(|_| call(&door, alice, PRAGUE));
    call(&door, bob, PRAGUE);
    let found = alerts(&door).await;
    assert_eq!(
        found,
        sorted(vec![
            alert("first_call_to_country", "notice", format!("{alice} CZ"), 1),
            alert("same_number", "critical", alice, 2),
            alert("first_call_to_country", "notice", format!("{bob} CZ"), 1),
        ])
    );
    let told = door.get("/alerts?kind=same_number").await.text;
    assert!(told.contains("calls to +420601123456"), "{told}");
    assert_eq!(door.get(&format!("/subscribers/{alice}")).await.body["enabled"], false);
    assert_eq!(door.get(&format!("/subscribers/{bob}")).await.body["enabled"], true, "a country alone switches nobody off");
    let audit = door.get("/audit?action=subscriber.suspend").await;
    assert_eq!(
        (audit.body["items"][0]["who"].as_str(), audit.body["items"].as_array().unwrap().len()),
        (Some("server"), 1),
        "{}",
        audit.text
    );
}

#[tokio::test]
async fn the_first_call_to_a_country_is_told_once_and_home_is_never_new() {
    let door = Door::open().await;
    let (alice, bob) = (somebody(&door).await, somebody(&door).await);
    for subscriber in [alice, bob, alice] {
        for number in ["+15551231299", PRAGUE, "+447700900123"] {
            call(&door, subscriber, number);
        }
    }
    let told = sorted(vec![
        alert("first_call_to_country", "notice", format!("{alice} CZ"), 1),
        alert("first_call_to_country", "notice", format!("{alice} GB"), 1),
    ]);
    assert_eq!(alerts(&door).await, told, "the tenant's first; home is the United States");
    // Another process of the same books has forgotten what was seen, and the books have not.
    let after = Door::beside(door.state.database.clone(), door.state.clock.clone(), door.state.calls.clone()).await;
    call(&after, bob, PRAGUE);
    assert_eq!(alerts(&after).await, told);
}

#[tokio::test]
async fn what_cannot_be_told_now_is_told_later() {
    let door = Door::open().await;
    let alice = somebody(&door).await;
    call(&door, alice, PRAGUE);
    let away =
        |sql: &'static str| door.state.database.write(move |tx| Box::pin(async move { sqlx::query(sql).execute(tx).await.map(drop) }));
    away("alter table called_country rename to mislaid").await.unwrap();
    assert!(jobs::fraud::tell(&door.state).await.is_err());
    away("alter table mislaid rename to called_country").await.unwrap();
    assert_eq!(alerts(&door).await.len(), 1);
}

#[tokio::test]
async fn the_books_of_calls_tell_the_watch() {
    let desk = Desk::open(Kind::Sqlite, 50_000_000).await;
    for number in 0..5 {
        let (call, _) = desk.authorise(&format!("+42060112340{number}")).await.unwrap();
        desk.books.close(desk.closing(call, Some(Duration::from_secs(3)))).await.unwrap();
    }
    for _ in 0..20 {
        assert_eq!(desk.authorise("+881612345678").await.unwrap_err().refusal(), Refusal::NoRate, "above the price of a minute");
    }
    let kinds: Vec<_> = desk.rules.findings().into_iter().map(|finding| finding.sign.kind()).collect();
    assert_eq!(kinds, ["first_call_to_country", "sequential_numbers", "many_refusals"]);
}

#[tokio::test]
async fn a_class_of_prefixes_has_limits_of_its_own() {
    let desk = Desk::open(Kind::Sqlite, 50_000_000).await;
    let class = PrefixClass { prefixes: vec!["4206".to_owned()], alert_calls_hour: Some(2), max_calls_hour: Some(3) };
    let mut book = Book::default();
    let signs = Signs { sequential_numbers: 0, ..Signs::default() };
    book.policies.insert(MAIN, Policy { classes: vec![class], signs, ..Policy::default() });
    desk.rules.swap(book);
    let call = async |number: &str| {
        let outcome = desk.authorise(number).await;
        if let Ok((call, _)) = &outcome {
            desk.books.close(desk.closing(*call, None)).await.unwrap();
        }
        outcome.map(drop).map_err(|refused| refused.refusal())
    };
    for number in ["+420601123456", "+421601123456", "+420601123457", "+420601123456"] {
        assert_eq!(call(number).await, Ok(()), "{number}");
    }
    assert_eq!(call("+420601123458").await, Err(Refusal::TooFast), "a fourth in the hour");
    assert_eq!(call("+421601123456").await, Ok(()), "others have no such limit");
    let found: Vec<_> = desk.rules.findings().into_iter().filter(|finding| finding.sign.kind() == "watched_class").collect();
    assert_eq!(found.len(), 2, "the second and the third: {found:?}");
    desk.clock.advance(Duration::from_secs(3601));
    assert_eq!(call("+420601123456").await, Ok(()));
}

#[tokio::test]
async fn a_refused_request_counts_at_the_web_door() {
    let office = Office::open(Kind::Sqlite).await;
    office.number(ACCESS_NUMBER, "US", json!({})).await;
    let person = office.person(&["johndow"], &["+15551230001"], 10_000_000).await;
    office.credential(&person, subscriber::Kind::Token, "tok").await;
    let rules = office.config.rules.clone();
    let door = office.serve("").await;
    for _ in 0..20 {
        assert_eq!(door.get("/callthrough.json?u=johndow&p=tok&to=%2B19005551234").await.status, 403);
    }
    let found = rules.findings();
    assert_eq!(found.iter().map(|finding| (finding.subscriber, finding.sign.kind())).collect::<Vec<_>>(), [(person.id, "many_refusals")]);
}

#[tokio::test]
async fn a_changed_number_cools_down_at_the_web_door() {
    const CHANGED: &str = "+15551230002";
    let office = Office::open(Kind::Sqlite).await;
    office.number(ACCESS_NUMBER, "US", json!({ "modes": ["pinless", "code"] })).await;
    let person = office.person(&["johndow"], &["+15551230001"], 10_000_000).await;
    office.credential(&person, subscriber::Kind::Token, "tok").await;
    let (id, now) = (person.id, office.clock.timestamp());
    let day = callthrough::fraud::Policy::default().cool_down();
    assert_eq!(day, Duration::from_secs(24 * 3600));
    let change = office.database.write(move |tx| {
        Box::pin(async move {
            subscriber::store::remove_number(tx, id, "+15551230001".parse().unwrap()).await?;
            subscriber::store::change_number(tx, id, VerifiedNumber::new(CHANGED.parse().unwrap(), now), day).await
        })
    });
    change.await.unwrap();
    let door = office.serve("").await;
    let ask = |to: &'static str| door.get(to);
    let refused = ask("/callthrough.json?u=johndow&p=tok&to=%2B15551231234").await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("cooling_down")), "no code takes its place: {refused:?}");
    let emergency = ask("/callthrough.json?u=johndow&p=tok&to=911").await;
    assert_eq!(emergency.json()["code"], "emergency", "whatever else there is to say");
    assert_eq!(door.office.count("pending").await, 0);
    door.office.clock.advance(day.saturating_sub(Duration::from_secs(1)));
    assert_eq!(ask("/callthrough.json?u=johndow&p=tok&to=%2B15551231234").await.status, 403);
    door.office.clock.advance(Duration::from_secs(1));
    assert_eq!(ask("/callthrough.json?u=johndow&p=tok&to=%2B15551231234").await.dial_string(), ACCESS_NUMBER);
    let (_, reservation, _) = door.office.arrive(CHANGED, ACCESS_NUMBER).await.unwrap();
    assert_eq!(reservation.destination.to_string(), DESTINATION);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_number_cools_down_when_it_calls() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    alice.requests(PRAGUE).await;
    board.sabotages("update subscriber_number set usable_from_us = verified_at_us + 86400000000").await;
    assert_eq!(alice.dials().await.is_refused().await, 403);
    assert_eq!(board.record().await.cause.code(), "cooling_down");
    assert!(north.is_left_alone());
}

#[tokio::test]
async fn the_first_number_may_call_at_once_and_those_after_it_as_the_rules_say() {
    let door = Door::open().await;
    let alice = somebody(&door).await;
    let path = format!("/subscribers/{alice}/numbers");
    let first = door.get(&path).await.body["items"][0].clone();
    assert_eq!((&first["usable_from"], first["verified_at"].as_str()), (&first["verified_at"], Some("2026-03-01T12:00:00Z")));
    let add = async |number: &str| door.post(&path, &json!({ "number": number })).await.body["usable_from"].as_str().unwrap().to_owned();
    assert_eq!(add("+15551230002").await, "2026-03-02T12:00:00Z");
    assert_eq!(door.send("DELETE", &format!("{path}/%2B15551230002"), &[], None).await.status, 204);
    assert_eq!(door.send("DELETE", &format!("{path}/%2B15551231234"), &[], None).await.status, 204);
    assert_eq!(add("+15551231234").await, "2026-03-02T12:00:00Z", "all of them gone is no way around it");
    policy(&door, json!({ "cool_down_hours": 2 })).await;
    assert_eq!(add("+15551230003").await, "2026-03-01T14:00:00Z");
    policy(&door, json!({ "cool_down_hours": 0 })).await;
    assert_eq!(add("+15551230004").await, "2026-03-01T12:00:00Z");
    policy(&door, json!({ "cool_down_hours": null })).await;
    assert_eq!(add("+15551230005").await, "2026-03-02T12:00:00Z");
}
