//! Ten thousand generated arrivals: whatever the carrier writes, exactly one call wins a reservation, and none a wrong destination.

use std::time::Duration;

use callthrough::callthrough::access_number::Candidate;
use callthrough::callthrough::store::{Ask, reserve};
use callthrough::callthrough::{AccessNumber, Mode, Reservation, Rule};
use callthrough::database::Kind;
use callthrough::trunk::{self, Arrival};
use callthrough::types::{E164, Random};
use serde_json::json;

use crate::support::office::{Office, Person};

const CASES: u64 = 10_000;
const SEED: u64 = 0x5eed_ca11;

/// A United Kingdom trunk: national numbers are British, P-Asserted-Identity is believed.
fn trunk() -> trunk::Settings {
    serde_json::from_value(json!({ "addresses": ["192.0.2.1"], "country": "GB", "trusted": true })).expect("sound settings")
}

/// A way a carrier may write a British number.
fn written(number: E164, random: &Random) -> String {
    let digits = number.digits();
    let national = &digits[2..];
    match random.below(6) {
        0 => format!("+{digits}"),
        1 => format!("00{digits}"),
        2 => digits,
        3 => format!("0{national}"),
        4 => format!("+{digits};phone-context=example.com"),
        _ => format!("+44-{national}"),
    }
}

/// A way a caller may be hidden.
fn withheld(random: &Random) -> &'static str {
    [
        "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1",
        "<sip:Restricted@example.com>;tag=1",
        "<sip:unavailable@example.com>;tag=1",
        "<sip:unknown@example.com>;tag=1",
        "<sip:266696687@example.com>;tag=1",
        "<sip:example.com>;tag=1",
    ][usize::try_from(random.below(6)).unwrap()]
}

struct World {
    office: Office,
    people: Vec<(Person, Vec<E164>)>,
    numbers: Vec<AccessNumber>,
    random: Random,
}

impl World {
    async fn new() -> Self {
        let office = Office::open(Kind::Sqlite).await;
        let mut numbers = Vec::new();
        for index in 0..3 {
            numbers.push(office.number(&format!("+44207946000{index}"), "GB", json!({})).await);
        }
        let mut people = Vec::new();
        for index in 0..6 {
            // Neighbours share a line: the second number of one is the first of the next.
            let callers = [format!("+4477009000{:02}", index * 10), format!("+4477009000{:02}", (index + 1) * 10)];
            let person = office.person(&[&format!("person{index}")], &[&callers[0], &callers[1]], 0).await;
            people.push((person, callers.iter().map(|caller| caller.parse().unwrap()).collect()));
        }
        Self { office, people, numbers, random: Random::seeded(SEED) }
    }

    fn pick(&self, bound: usize) -> usize {
        usize::try_from(self.random.below(u64::try_from(bound).unwrap())).unwrap()
    }

    /// Somebody asks for some destination; what they are told to dial, if anything is free.
    async fn request(&self) -> Option<(E164, Vec<E164>, E164)> {
        let (person, callers) = self.people[self.pick(self.people.len())].clone();
        let destination: E164 = format!("+1555{:07}", self.random.below(10_000_000)).parse().unwrap();
        let (numbers, config) = (self.numbers.clone(), self.office.config.clone());
        let (clock, random, own) = (self.office.clock.clone(), self.office.random.clone(), callers.clone());
        let reserved = self
            .office
            .database
            .write(move |tx| {
                Box::pin(async move {
                    let group: Vec<_> = numbers.iter().map(|number| Candidate { number, mode: Mode::Pinless, rule: Rule::Home }).collect();
                    let ask = Ask {
                        tenant: callthrough::types::TenantId::MAIN,
                        subscriber: person.id,
                        callers: own,
                        destination,
                        groups: vec![group],
                        fallback: Vec::new(),
                        source: String::new(),
                        nonce: None,
                        places: vec![],
                    };
                    reserve(tx, &config, &ask, &clock, &random).await
                })
            })
            .await;
        reserved.ok().map(|reserved| (reserved.access_number, callers, destination))
    }
}

/// What the model knows: who meant what by which number, and until when.
struct Meant {
    access_number: E164,
    callers: Vec<E164>,
    destination: E164,
    until: callthrough::types::Timestamp,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_winner_each_and_never_a_wrong_destination() {
    let world = World::new().await;
    let (office, random, settings) = (&world.office, &world.random, trunk());
    let mut model: Vec<Meant> = Vec::new();
    let (mut won, mut refused, mut hidden) = (0_u64, 0_u64, 0_u64);
    for case in 0..CASES {
        office.clock.advance(Duration::from_millis(random.below(20_000)));
        let now = office.clock.timestamp();
        if let Some((access_number, callers, destination)) = world.request().await {
            // Last wins: what was meant before by any of these pairs is meant no more.
            model.retain(|meant| meant.access_number != access_number || !meant.callers.iter().any(|caller| callers.contains(caller)));
            let until = now + Duration::from_secs(70);
            model.push(Meant { access_number, callers, destination, until });
        }
        office.clock.advance(Duration::from_millis(random.below(40_000)));
        let now = office.clock.timestamp();
        model.retain(|meant| meant.until >= now);

        // Somebody calls one of our numbers: mostly one who asked, sometimes another, sometimes hidden.
        let stranger: E164 = "+447700900999".parse().unwrap();
        let caller = match random.below(10) {
            0 => stranger,
            _ => world.people[world.pick(world.people.len())].1[world.pick(2)],
        };
        let dialled = world.numbers[world.pick(world.numbers.len())].number;
        let lie = format!("<sip:{}@example.com>;tag=1", written(stranger, random));
        let truth = format!("<sip:{}@example.com>", written(caller, random));
        let (from, asserted, known): (String, Vec<&str>, Option<E164>) = match random.below(4) {
            0 => (format!("{truth};tag=1"), vec![], Some(caller)),
            1 => (lie, vec![truth.as_str()], Some(caller)),
            2 => (withheld(random).to_owned(), vec![truth.as_str()], Some(caller)),
            _ => (withheld(random).to_owned(), vec![], None),
        };
        let request_uri = format!("sip:{}@192.0.2.9", written(dialled, random));
        let arrival =
            Arrival { request_uri: &request_uri, to: "<sip:x@example.com>", from: &from, asserted: &asserted, ..Arrival::default() };
        let read = trunk::read(&settings, &arrival);
        assert_eq!(read.caller.number(), known, "case {case} of seed {SEED:#x}: {from} {asserted:?}");
        assert_eq!(read.dialled, Some(dialled), "case {case} of seed {SEED:#x}: {request_uri}");
        let Some(caller) = read.caller.number() else {
            hidden += 1;
            continue;
        };

        // The carrier may send the call more than once: exactly one wins.
        let expected = model.iter().find(|meant| meant.access_number == dialled && meant.callers.contains(&caller));
        let copies = 1 + random.below(3);
        let mut winners: Vec<(callthrough::types::CallId, Reservation)> = Vec::new();
        for _ in 0..copies {
            match office.arrive(&caller.to_string(), &dialled.to_string()).await {
                Ok((call, reservation, _)) => winners.push((call, reservation)),
                Err(_) => refused += 1,
            }
        }
        let destinations: Vec<E164> = winners.iter().map(|(_, reservation)| reservation.destination).collect();
        let wanted: Vec<E164> = expected.iter().map(|meant| meant.destination).collect();
        assert_eq!(destinations, wanted, "case {case} of seed {SEED:#x}: {caller} to {dialled} in {copies} copies");
        if let Some((call, reservation)) = winners.pop() {
            won += 1;
            office.consume(&reservation, call).await;
            office.release(&reservation, call).await;
            let again = office.arrive(&caller.to_string(), &dialled.to_string()).await;
            assert!(again.is_err(), "case {case} of seed {SEED:#x}: used up");
            model.retain(|meant| meant.destination != reservation.destination || meant.access_number != dialled);
        }
    }
    assert!(won > 500 && refused > 2000 && hidden > 1000, "{won} won, {refused} refused, {hidden} hidden");
}
