//! The tables of the reservation, on both databases: S1 to S7 by requests, A1 to A14 by arrivals.

use std::time::Duration;

use callthrough::callthrough::{self as room, Refused, Request};
use callthrough::database::Kind;
use callthrough::types::{Micros, Refusal};
use serde_json::json;

use crate::support::door::Door;
use crate::support::office::{ACCESS_NUMBER, Office, Person};

const CALLER: &str = "+15551230001";
const SECOND: &str = "+15551230008";

async fn ask(office: &Office, person: &Person, target: &str) -> Result<String, Refused> {
    let mut connection = office.database.read().await.unwrap();
    let subscriber = callthrough::subscriber::store::get(&mut connection, person.id).await.unwrap().unwrap();
    let callers = callthrough::subscriber::store::list_numbers(&mut connection, person.id).await.unwrap();
    drop(connection);
    let request = Request {
        subscriber,
        callers: callers.into_iter().map(|number| number.number).collect(),
        cooling: false,
        target: target.to_owned(),
        wish: None,
        hint: None,
        source: [127, 0, 0, 1].into(),
        ios: false,
        nonce: None,
        spent_today: Micros::ZERO,
    };
    room::request(&office.desk(), request).await.map(|answer| answer.dial_string.to_string())
}

fn refusal(refused: &Result<String, Refused>) -> Option<Refusal> {
    match refused {
        Err(Refused::No(refusal)) => Some(*refusal),
        _ => None,
    }
}

async fn requests(kind: Kind) {
    let office = Office::open(kind).await;
    office.number(ACCESS_NUMBER, "US", json!({})).await;
    office.number(SECOND, "US", json!({ "user_cost": "mobile" })).await;
    let ann = office.person(&["ann"], &[CALLER, "+15551230002"], 10_000_000).await;
    let bob = office.person(&["bob"], &["+15551230002"], 10_000_000).await;

    // S1, S2: dual SIM means both numbers are recognised; the same again is one row.
    assert_eq!(ask(&office, &ann, "15551231234").await.unwrap(), ACCESS_NUMBER);
    assert_eq!(ask(&office, &ann, "15551231234").await.unwrap(), ACCESS_NUMBER);
    assert_eq!(office.count("pending").await, 1);
    // S6: Bob shares one of Ann's numbers, so he never gets her access number.
    assert_eq!(ask(&office, &bob, "15551231234").await.unwrap(), SECOND);
    for (caller, number, who) in [(CALLER, ACCESS_NUMBER, &ann), ("+15551230002", ACCESS_NUMBER, &ann), ("+15551230002", SECOND, &bob)] {
        let room::Found::Pending(found) = office.find(caller, number).await else { panic!("{caller} {number}") };
        assert_eq!(found.subscriber, who.id);
    }
    // S6: Ann's next one has none left but her own.
    assert_eq!(ask(&office, &ann, "15551239999").await.unwrap(), ACCESS_NUMBER, "S5: her own oldest makes room");
    assert_eq!(office.count("superseded").await, 1);
    // S6: a third person on the shared line gets nothing, and a code where that is allowed.
    let eve = office.person(&["eve"], &["+15551230002"], 10_000_000).await;
    assert_eq!(refusal(&ask(&office, &eve, "15551231234").await), Some(Refusal::NoAccessNumber));
    office.number("+15551230009", "US", json!({ "modes": ["code"] })).await;
    let coded = ask(&office, &eve, "15551231234").await.unwrap();
    assert!(coded.starts_with("+15551230009,,") && coded.len() == 22, "{coded}");
    let rows = office.count("pending").await;
    assert_ne!(ask(&office, &eve, "15551231234").await.unwrap(), coded, "S2 in code mode: a new code");
    assert_eq!(office.count("pending").await, rows, "and the same row");
    // A life that is over is in nobody's way.
    office.clock.advance(Duration::from_secs(71));
    assert_eq!(ask(&office, &bob, "15551231234").await.unwrap(), SECOND, "the one he knows");
    assert_eq!(ask(&office, &eve, "15551231234").await.unwrap(), ACCESS_NUMBER);
}

#[tokio::test]
async fn requests_on_sqlite() {
    requests(Kind::Sqlite).await;
}

#[tokio::test]
async fn requests_on_postgres() {
    requests(Kind::Postgres).await;
}

async fn arrivals(kind: Kind) {
    let office = Office::open(kind).await;
    office.number(ACCESS_NUMBER, "US", json!({})).await;
    office.number(SECOND, "US", json!({ "user_cost": "mobile" })).await;
    let ann = office.person(&["ann"], &[CALLER], 10_000_000).await;
    let used = Err("reservation_used".to_owned());
    let none = Err("no_reservation".to_owned());
    let arrive = async || office.arrive(CALLER, ACCESS_NUMBER).await.map(|(call, reservation, _)| (call, reservation));

    // A1, A2: claimed once; while the first call is alive the second hears it is used.
    ask(&office, &ann, "15551231234").await.unwrap();
    let (call, reservation) = arrive().await.unwrap();
    assert_eq!(arrive().await, used);
    // A4: the first ends before B answered, so the carrier's next try finds it, twice.
    office.release(&reservation, call).await;
    office.clock.advance(Duration::from_secs(10));
    let (second, _) = arrive().await.unwrap();
    office.release(&reservation, call).await;
    assert_eq!(arrive().await, used, "a late word of the first call changes nothing");
    office.release(&reservation, second).await;
    let (third, _) = arrive().await.unwrap();
    office.release(&reservation, third).await;
    assert_eq!(arrive().await, none, "at most twice again");
    // A4: outside the window.
    ask(&office, &ann, "15551232222").await.unwrap();
    let (call, reservation) = arrive().await.unwrap();
    office.release(&reservation, call).await;
    office.clock.advance(Duration::from_secs(11));
    assert_eq!(arrive().await, none);
    // A4: not after expiry plus grace, however soon.
    ask(&office, &ann, "15551233333").await.unwrap();
    office.clock.advance(Duration::from_secs(69));
    let (call, reservation) = arrive().await.unwrap();
    assert!(reservation.late, "A6");
    office.clock.advance(Duration::from_secs(2));
    office.release(&reservation, call).await;
    assert_eq!(arrive().await, Err("reservation_expired".to_owned()));
    // A5: once B answered, never again.
    ask(&office, &ann, "15551234444").await.unwrap();
    let (call, reservation) = arrive().await.unwrap();
    office.consume(&reservation, call).await;
    assert_eq!(arrive().await, used);
    office.release(&reservation, call).await;
    assert_eq!(arrive().await, none);
    // A7, A8.
    ask(&office, &ann, "15551235555").await.unwrap();
    assert_eq!(office.arrive(CALLER, SECOND).await.map(|(call, reservation, _)| (call, reservation)), none);
    office.clock.advance(Duration::from_secs(71));
    assert_eq!(arrive().await, Err("reservation_expired".to_owned()));
    // A new request while its own call rings gets another number, and the ringing one keeps its own.
    ask(&office, &ann, "15551236666").await.unwrap();
    let (call, ringing) = arrive().await.unwrap();
    assert_eq!(ask(&office, &ann, "15551236666").await.unwrap(), SECOND);
    office.consume(&ringing, call).await;
    // A11: a claim that is undone leaves the reservation as it was.
    let room::Found::Pending(pending) = office.find(CALLER, SECOND).await else { panic!("not pending") };
    let (config, id, now) = (office.config.clone(), pending.id, office.clock.timestamp());
    let undone: Result<(), room::Error> = office
        .database
        .write(move |tx| {
            Box::pin(async move {
                room::store::claim(tx, &config, id, call, now).await?;
                Err(Refusal::NotEnoughCredit.into())
            })
        })
        .await;
    assert!(undone.is_err());
    assert!(matches!(office.find(CALLER, SECOND).await, room::Found::Pending(found) if found.claims == 0));
    // A clock set back while we were away lengthens no life.
    let an_hour_back = now - Duration::from_secs(3600);
    let (caller, number) = (CALLER.parse().unwrap(), SECOND.parse().unwrap());
    let mut connection = office.database.read().await.unwrap();
    let found = room::store::find(&mut connection, &office.config, caller, number, an_hour_back).await.unwrap();
    assert!(!matches!(found, room::Found::Pending(_)));
    let claimed: Result<room::Claimed, room::Error> = office
        .database
        .write(move |tx| Box::pin(async move { room::store::claim(tx, &room::Config::default(), id, call, an_hour_back).await }))
        .await;
    assert!(claimed.is_err());
}

#[tokio::test]
async fn arrivals_on_sqlite() {
    arrivals(Kind::Sqlite).await;
}

#[tokio::test]
async fn arrivals_on_postgres() {
    arrivals(Kind::Postgres).await;
}

/// A13, and a hundred INVITEs for one reservation: one claim wins, the others hear that it is used.
async fn races(kind: Kind) {
    let office = std::sync::Arc::new(Office::open(kind).await);
    office.number(ACCESS_NUMBER, "US", json!({})).await;
    let ann = office.person(&["ann"], &[CALLER], 10_000_000).await;
    ask(&office, &ann, "15551231234").await.unwrap();
    let room::Found::Pending(pending) = office.find(CALLER, ACCESS_NUMBER).await else { panic!("not pending") };
    let mut claims = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (office, pending) = (office.clone(), pending.clone());
        claims.spawn(async move { office.claim(&pending).await.map(drop) });
    }
    let claims = claims.join_all().await;
    assert_eq!(claims.iter().filter(|claim| claim.is_ok()).count(), 1);
    assert_eq!(claims.iter().filter(|claim| claim.as_ref().is_err_and(|word| word == "reservation_used")).count(), 99);

    // Two people on one line ask at one instant for the one free number: one gets it.
    let line = ["+15551230005"];
    let (bob, eve) = (office.person(&["bob"], &line, 10_000_000).await, office.person(&["eve"], &line, 10_000_000).await);
    let (one, other) = tokio::join!(ask(&office, &bob, "15551231111"), ask(&office, &eve, "15551232222"));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test]
async fn races_on_sqlite() {
    races(Kind::Sqlite).await;
}

#[tokio::test]
async fn races_on_postgres() {
    races(Kind::Postgres).await;
}

#[tokio::test]
async fn a_reservation_is_taken_back_unless_a_call_has_it() {
    let office = Office::open(Kind::Sqlite).await;
    office.number(ACCESS_NUMBER, "US", json!({})).await;
    let ann = office.person(&["ann"], &[CALLER], 10_000_000).await;
    let door = Door::beside(office.database.clone(), office.clock.clone(), callthrough::b2bua::Handle::new(1)).await;
    let cancel = async |reservation: &str| door.send("DELETE", &format!("/reservations/{reservation}"), &[], None).await;
    ask(&office, &ann, "15551231234").await.unwrap();
    let (call, reservation, _) = office.arrive(CALLER, ACCESS_NUMBER).await.unwrap();
    let refused = cancel(&reservation.id.to_string()).await;
    assert_eq!((refused.status, refused.code()), (409, "reservation_used"), "{}", refused.text);
    office.consume(&reservation, call).await;
    office.release(&reservation, call).await;
    let refused = cancel(&reservation.id.to_string()).await;
    assert_eq!((refused.status, refused.code()), (409, "conflict"), "{}", refused.text);

    office.clock.advance(Duration::from_secs(1));
    ask(&office, &ann, "15551231234").await.unwrap();
    let waiting = door.get("/reservations").await.body["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(cancel(&waiting).await.status, 204);
    assert_eq!(office.arrive(CALLER, ACCESS_NUMBER).await.unwrap_err(), "no_reservation");
}
