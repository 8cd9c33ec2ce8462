//! R20, without which nothing is released: every emergency number of every country, at every door, however it is written, is
//! never routed.

use std::collections::BTreeMap;

use callthrough::callthrough::Emergency;
use callthrough::database::Kind;
use callthrough::subscriber;
use serde_json::json;

use crate::support::carrier::{OFFER, sdp};
use crate::support::door::Door;
use crate::support::long_form;
use crate::support::office::{ACCESS_NUMBER, Office, Served};
use crate::support::switchboard::{ACCESS, ALICE, Switchboard};

const CALLER: &str = "+15551230001";
/// Numbers that phones take for emergency calls wherever they are; no country's list need name them.
const EVERYWHERE: [&str; 9] = ["112", "911", "000", "08", "110", "118", "119", "999", "122"];

/// An emergency number of a country.
struct Number {
    country: &'static str,
    code: &'static str,
    abroad: &'static str,
    digits: &'static str,
}

/// Every one of the list, read from the table itself rather than by the code that is to be tested.
fn numbers() -> Vec<Number> {
    let table = include_str!("../src/types/numbering_plan.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect::<Vec<_>>());
    let found = rows.flat_map(|row| {
        let own = row[7].split(',').filter(|digits| *digits != "-");
        let abroad = row[4].split(',').next().filter(|prefix| *prefix != "-").unwrap_or("00");
        let number = move |digits| Number { country: row[0], code: row[1], abroad, digits };
        own.chain(EVERYWHERE).map(number).collect::<Vec<_>>()
    });
    found.collect()
}

impl Number {
    /// However it may be written.
    fn written(&self) -> Vec<String> {
        let (digits, code) = (self.digits, self.code);
        let spaced = digits.chars().map(String::from).collect::<Vec<_>>().join(" ");
        vec![
            digits.to_owned(),
            spaced.clone(),
            format!("+{digits}"),
            format!("+{code}{digits}"),
            format!("+{code} {spaced}"),
            format!("00{code}{digits}"),
            format!("{}{code}{digits}", self.abroad),
            format!("00{digits}"),
            format!("0{digits}"),
            format!("{digits},"),
            format!(",,{digits}"),
            format!("0,{digits}"),
            format!("{digits};p"),
            format!("tel:{digits}"),
            spaced.replace(' ', "-"),
            format!("({digits})"),
        ]
    }
}

/// Each spelling once, with a country where it is one; in the short form each number in a quarter of them, in turn.
fn spellings() -> BTreeMap<String, &'static str> {
    let step = if long_form() { 1 } else { 4 };
    let spelled = |(turn, number): (usize, &Number)| {
        let country = number.country;
        number.written().into_iter().skip(turn % step).step_by(step).map(move |text| (text, country)).collect::<Vec<_>>()
    };
    numbers().iter().enumerate().flat_map(spelled).collect()
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A phone asks by each method and in each format.
async fn asks(door: &Served, way: usize, target: &str, country: &str) -> (String, crate::support::office::Reply) {
    let form = format!("u=johndow&p=tok&to={}&country={country}", escaped(target));
    let fields = json!({ "u": "johndow", "p": "tok", "to": target, "country": country }).to_string();
    let suffix = [".xml", ".json", ".form"][way % 3];
    let reply = match way / 3 {
        0 => door.get(&format!("/callthrough{suffix}?{form}")).await,
        1 => door.post(&format!("/callthrough{suffix}"), "Content-Type: application/x-www-form-urlencoded\r\n", &form).await,
        2 => door.post(&format!("/callthrough{suffix}"), "Content-Type: application/json\r\n", &fields).await,
        _ => door.get(&format!("/callthrough/johndow/{}{suffix}?p=tok&country={country}", escaped(target))).await,
    };
    (format!("{target:?} in {country}, way {way}"), reply)
}

/// GET, POST of a form, POST of JSON, and the number in the path; each answered as XML, JSON and form.
const WAYS: usize = 12;

async fn office() -> Office {
    let office = Office::open(Kind::Sqlite).await;
    office.number(ACCESS_NUMBER, "US", json!({})).await;
    let johndow = office.person(&["johndow"], &[CALLER], 10_000_000).await;
    office.credential(&johndow, subscriber::Kind::Token, "tok").await;
    office
}

const WITHOUT_LIMITS: &str = "[limits]\nper_subscriber_a_minute = 1000000\nper_source_a_minute = 1000000\n";

#[tokio::test]
async fn no_phone_is_given_an_access_number_for_an_emergency_number() {
    let door = office().await.serve(WITHOUT_LIMITS).await;
    let mut asked = 0;
    for (place, (target, country)) in spellings().iter().enumerate() {
        let ways: Vec<usize> = if long_form() { (0..WAYS).collect() } else { vec![place % WAYS] };
        for way in ways {
            asked += 1;
            let (case, reply) = asks(&door, way, target, country).await;
            assert_eq!(reply.status, 403, "{case}: {reply:?}");
            assert!(reply.body.contains("mergency"), "{case}: {reply:?}");
            assert!(!reply.body.contains("dialString"), "{case}: {reply:?}");
        }
    }
    for state in ["pending", "claimed", "used"] {
        assert_eq!(door.office.count(state).await, 0, "nothing is reserved");
    }
    println!("{asked} requests, none routed");
}

#[tokio::test]
async fn natively_the_phone_is_told_the_bare_number_and_nothing_is_reserved() {
    let mut office = office().await;
    office.config.emergency = Emergency::Native;
    let door = office.serve(WITHOUT_LIMITS).await;
    for (place, number) in numbers().iter().enumerate() {
        let forms = number.written();
        let (case, reply) = asks(&door, place % WAYS, &forms[place % forms.len()], number.country).await;
        assert_eq!(reply.status, 200, "{case}: {reply:?}");
        assert!(!reply.body.contains("15551230000"), "{case}: {reply:?}");
    }
    assert_eq!(door.office.count("pending").await, 0, "nothing is reserved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_that_arrives_reaches_an_emergency_number() {
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut refused = 0;
    // Dialled outright: every bare number, and with its code.
    let mut dialled: Vec<String> =
        numbers().iter().flat_map(|number| [number.digits.to_owned(), format!("+{}{}", number.code, number.digits)]).collect();
    dialled.sort_unstable();
    dialled.dedup();
    let step = if long_form() { 1 } else { 7 };
    for target in dialled.iter().step_by(step) {
        let status = board.origin.brings(board.sip, ALICE, target, sdp(OFFER), vec![]).await.is_refused().await;
        assert!(matches!(status, 403 | 404), "{target}: {status}");
        refused += 1;
    }
    // Meant by a reservation that was written behind everybody's back: those long enough to be a number at all.
    let meant = numbers().into_iter().map(|number| format!("+{}{}", number.code, number.digits)).filter(|number| number.len() > 7);
    for target in meant.step_by(step) {
        alice.requests(&target).await;
        assert_eq!(alice.dials().await.is_refused().await, 403, "{target}");
        refused += 1;
    }
    // The newest of them; the list ends at a hundred.
    let records = board.records(refused.min(100)).await;
    assert!(records.iter().all(|record| matches!(record.cause.code(), "no_reservation" | "no_such_number" | "emergency")));
    assert!(records.iter().any(|record| record.cause.code() == "emergency"));
    assert!(north.is_left_alone(), "no carrier heard of any of them");
    board.is_at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_places_of_the_request_count_when_the_call_arrives() {
    // Eritrea's 124422 behind North America's code: seven digits that could pass for a number.
    const MEANT: &str = "+1124422";
    let board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    alice.requests(MEANT).await;
    board.sabotages("update reservation set places = 'US ER'").await;
    assert_eq!(alice.dials().await.is_refused().await, 403);
    assert_eq!(board.record().await.cause.code(), "emergency");
    assert!(north.is_left_alone());
    // The access number's own country counts without being named.
    assert!(ACCESS.starts_with("+1"));
}

#[tokio::test]
async fn no_price_is_told_for_an_emergency_number() {
    let door = Door::open().await;
    for number in numbers() {
        let target = escaped(&format!("+{}{}", number.code, number.digits));
        let answer = door.get(&format!("/rates/explain?number={target}")).await;
        assert!(matches!(answer.status, 400 | 403), "+{} {}: {}", number.code, number.digits, answer.text);
        let long = number.code.len() + number.digits.len() >= 7;
        assert!(!long || answer.code() == "emergency", "+{} {}: {}", number.code, number.digits, answer.text);
    }
}
