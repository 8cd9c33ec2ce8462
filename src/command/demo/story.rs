//! The story: four requests, a stranger's attempt, a call that the first trunk drops and the second completes, and the last cent.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::api::Api;
use super::carrier::{Brought, Carrier};
use super::checks::Checks;
use super::ladder::{Ladder, Lane};
use super::provision::{ADA, COUNTRIES, CREDIT, Country, PRICE, Person, World, provision};
use crate::app::Running;
use crate::command::Failure;
use crate::ledger;
use crate::simulate::{Outcome, Phone, Service};
use crate::types::{Clock, E164, Random};

/// Where Ada wants to talk to: an on-screen number of the North American plan.
const DESTINATION: &str = "+15551231234";
/// Five seconds at 0.008 EUR.
const SECONDS: u64 = 5;
const CHARGE: &str = "0.04";
const LEFT: &str = "0.005";
/// No story of five seconds takes longer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at the books when the call is over.
const LOOK: Duration = Duration::from_millis(50);

/// What the story was like, and what one can try now.
pub(super) struct Told {
    pub(super) wrong: usize,
    try_it: Vec<String>,
}

impl Told {
    pub(super) fn say_what_to_try(&self) {
        println!("\nThe server keeps running; Ctrl-C stops it. Try:\n");
        for line in &self.try_it {
            println!("  {line}\n");
        }
    }
}

pub(super) async fn tell(
    running: &Running,
    api: &Api,
    client: &reqwest::Client,
    key: &str,
    clock: &Clock,
    random: &Random,
) -> Result<Told, Failure> {
    let ladder = Ladder::new(clock.clone());
    let mut checks = Checks::default();
    let carriers = start_carriers(&ladder, clock, random).await?;
    let [incoming, north, south] = carriers;
    println!("A callthrough server runs at http://{} and sip:{}.", running.http_addr, running.sip_addr);
    println!("Through its API come a deck, four access numbers, three trunks, Ada with {CREDIT} EUR and Ben with 10.00 EUR.\n");
    let world = provision(api, incoming.address(), north.address(), south.address()).await?;

    println!("1. The phones ask from four countries");
    let scene = Scene { running, client, ladder: &ladder, random };
    scene.requests(&world, &mut checks).await?;

    println!("\n2. Somebody else calls Ada's access number");
    let brought = incoming.bring(running.sip_addr, world.ben.number, number(COUNTRIES[0].access_number)?).await;
    checks.same("Ben's call to it is refused", "403", status(brought));

    println!("\n3. Ada calls hers; trunk north fails, trunk south connects, the credit ends the call");
    let before = account(api, &world.ada).await?;
    let failing = tokio::spawn(north.fail());
    let taking = tokio::spawn(south.take());
    let call = incoming.bring(running.sip_addr, world.ada.number, number(COUNTRIES[0].access_number)?);
    let brought = tokio::time::timeout(PATIENCE, call).await.map_err(|_| Failure::other("the call does not end"))?;
    let wanted = tokio::time::timeout(PATIENCE, taking).await.map_err(|_| Failure::other("trunk south never got the call"))?;
    failing.abort();
    checks.same("Ada's call was answered and has ended", "yes", if brought == Brought::Connected { "yes" } else { "no" });
    checks.same("the far phone was asked for as", DESTINATION, wanted.ok().flatten().unwrap_or_default());
    checks.same("trunk north was tried before", 1, ladder.count(Lane::FirstOut, Lane::Us, "503"));

    let record = record_of(api, &world.ada).await?;
    println!("\n{ladder}");
    check_match(api, &record, &mut checks).await?;
    check_record(&record, &mut checks);
    check_books(api, &world, &before, running, clock, &mut checks).await?;

    println!("\n5. Ada asks again");
    let outcome = scene.ask(&world.ada, &COUNTRIES[0], DESTINATION).await?;
    let (code, message) = refusal(&outcome);
    checks.same("her phone is refused with", "403 not_enough_credit", &code);
    checks.that("and she reads why", !message.is_empty());
    println!("       \"{message}\"");

    println!("\n{} of {} steps were as told.", checks.all() - checks.wrong(), checks.all());
    Ok(Told { wrong: checks.wrong(), try_it: what_to_try(running, &world, key) })
}

async fn start_carriers(ladder: &Ladder, clock: &Clock, random: &Random) -> Result<[Carrier; 3], Failure> {
    let start = || Carrier::start(ladder, clock, random);
    let told = |error| Failure::other(format!("a carrier of the demo cannot start: {error}"));
    Ok([start().await.map_err(told)?, start().await.map_err(told)?, start().await.map_err(told)?])
}

/// What a phone needs to ask.
struct Scene<'a> {
    running: &'a Running,
    client: &'a reqwest::Client,
    ladder: &'a Ladder,
    random: &'a Random,
}

impl Scene<'_> {
    async fn requests(&self, world: &World, checks: &mut Checks) -> Result<(), Failure> {
        // Other targets get other numbers: four requests in a minute, four pairs of caller and access number.
        for (person, country, target) in [
            (&world.ada, &COUNTRIES[0], DESTINATION),
            (&world.ada, &COUNTRIES[1], "+15551230199"),
            (&world.ben, &COUNTRIES[2], "+420601123456"),
            (&world.ben, &COUNTRIES[3], "+15551230142"),
        ] {
            let outcome = self.ask(person, country, target).await?;
            let digits = match &outcome {
                Outcome::Dial { digits, .. } => digits.clone(),
                Outcome::Refused { .. } => refusal(&outcome).0,
            };
            let what = format!("{} at {} ({}, {}) dials", person.user, country.client_address, country.whose, country.code);
            checks.same(&what, country.access_number, digits);
        }
        let (code, message) = refusal(&self.ask(&world.ben, &COUNTRIES[2], "112").await?);
        checks.same("an emergency number is never ours", "403 emergency", code);
        println!("       \"{message}\"");
        Ok(())
    }

    async fn ask(&self, person: &Person, country: &Country, target: &str) -> Result<Outcome, Failure> {
        self.ladder.say(Lane::Phone, Lane::Us, format!("{} wants {target}", person.user));
        let phone = phone(self.running, person, country);
        let exchange = phone.ask(self.client, target, self.random).await.map_err(|error| Failure::other(error.to_string()))?;
        match &exchange.outcome {
            Outcome::Dial { dial_string, .. } => self.ladder.say(Lane::Us, Lane::Phone, format!("dial {dial_string}")),
            Outcome::Refused { status, .. } => self.ladder.say(Lane::Us, Lane::Phone, format!("{status}, a message")),
        }
        Ok(exchange.outcome)
    }
}

/// A phone as provisioned. A proxy on this machine has taken the TLS off and tells where the phone is.
fn phone(running: &Running, person: &Person, country: &Country) -> Phone {
    Phone {
        service: Service {
            url: format!("http://{}/callthrough", running.http_addr),
            post_data: "u=%account[username]%&p=%account[x-ct-token]%&to=%targetNumber%&dev=%installid%".into(),
            ..Service::default()
        },
        account: BTreeMap::from([("username".into(), person.user.into()), ("x-ct-token".into(), person.token.clone())]),
        globals: BTreeMap::from([("installid".into(), format!("phone-of-{}", person.user))]),
        headers: vec![("X-Forwarded-For".into(), country.client_address.into()), ("X-Forwarded-Proto".into(), "https".into())],
        bare: false,
    }
}

/// `403 not_enough_credit` and the message, or what happened instead.
fn refusal(outcome: &Outcome) -> (String, String) {
    match outcome {
        Outcome::Dial { digits, .. } => (format!("dials {digits}"), String::new()),
        Outcome::Refused { status, code, message } => {
            (format!("{status} {}", code.as_deref().unwrap_or("without a code")), message.clone().unwrap_or_default())
        }
    }
}

fn status(brought: Brought) -> String {
    match brought {
        Brought::Connected => "connected".into(),
        Brought::Refused(status) => status.to_string(),
        Brought::Lost => "lost".into(),
    }
}

fn number(text: &str) -> Result<E164, Failure> {
    text.parse().map_err(|error| Failure::other(format!("{text}: {error}")))
}

async fn account(api: &Api, person: &Person) -> Result<Value, Failure> {
    api.get(&format!("/accounts/{}", person.account)).await
}

/// The record of the person's one call; it is written right after the last BYE.
async fn record_of(api: &Api, person: &Person) -> Result<Value, Failure> {
    let clock = Clock::system();
    let began = clock.now();
    while clock.now().since(began) < PATIENCE {
        let records = api.get(&format!("/cdrs?subscriber_id={}", person.subscriber)).await?;
        if let Some(record) = records["items"].as_array().and_then(|items| items.first()) {
            return Ok(record.clone());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::other("the call left no record"))
}

/// The reservation that turned "this caller, that access number" into the destination.
async fn check_match(api: &Api, record: &Value, checks: &mut Checks) -> Result<(), Failure> {
    let reservation = api.get(&format!("/reservations/{}", record["reservation_id"].as_str().unwrap_or_default())).await?;
    let field = |name: &str| reservation[name].as_str().unwrap_or_default().to_owned();
    println!("   The match: {} calling {} means {} (reservation {})\n", ADA, field("access_number"), field("destination"), field("id"));
    checks.same("the access number was chosen by", "geoip", field("rule"));
    checks.same("the reservation is now", "used", field("state"));
    checks.same("claimed by the call of the record", &record["call_id"], &reservation["call_id"]);
    println!();
    Ok(())
}

fn check_record(record: &Value, checks: &mut Checks) {
    println!("4. The record and the books, against a calculation by hand\n");
    println!("   {PRICE} EUR a minute by the second = 0.008 EUR a second");
    println!("   {CREDIT} EUR / 0.008 EUR = 5.6, so the credit carries {SECONDS} whole seconds");
    println!("   {SECONDS} s x 0.008 EUR = {CHARGE} EUR charged; {CREDIT} - {CHARGE} = {LEFT} EUR left\n");
    println!("   the record: {record}\n");
    for (field, wanted) in [
        ("cause", "credit_exhausted"),
        ("destination", DESTINATION),
        ("caller", ADA),
        ("dialled", COUNTRIES[0].access_number),
        ("trunk_in", "incoming"),
        ("trunk_out", "south"),
    ] {
        checks.same(field, wanted, record[field].as_str().unwrap_or_default());
    }
    checks.same("billed_secs", SECONDS, &record["billed_secs"]);
    checks.same("charge", money(CHARGE), &record["charge"]);
}

async fn check_books(
    api: &Api,
    world: &World,
    before: &Value,
    running: &Running,
    clock: &Clock,
    checks: &mut Checks,
) -> Result<(), Failure> {
    let after = account(api, &world.ada).await?;
    println!("\n   Ada's account before: {}", amounts(before));
    println!("   Ada's account after:  {}", amounts(&after));
    let entries = api.get(&format!("/accounts/{}/entries", world.ada.account)).await?;
    for entry in entries["items"].as_array().into_iter().flatten() {
        println!("     {} {:>9}  for {}", entry["kind"].as_str().unwrap_or_default(), amount(&entry["amount"]), entry["cause"]);
    }
    println!();
    checks.same("balance before", money(CREDIT), &before["balance"]);
    checks.same("balance after", money(LEFT), &after["balance"]);
    checks.same("held after", money("0.00"), &after["held"]);
    let ben = account(api, &world.ben).await?;
    checks.same("Ben's balance", money("10.00"), &ben["balance"]);
    let verified = ledger::verify(&running.database, clock.timestamp()).await.map_err(|error| Failure::other(error.to_string()))?;
    match verified {
        Ok(counts) => {
            checks.that("ledger verify finds nothing wrong", true);
            checks.same("open holds", 0, counts.open_holds);
            checks.same("call records: Ada's call and Ben's refused one", 2, counts.records);
        }
        Err(finding) => checks.same("ledger verify finds nothing wrong", "yes", finding),
    }
    Ok(())
}

fn amounts(account: &Value) -> String {
    let [balance, held, available] = ["balance", "held", "available"].map(|field| amount(&account[field]));
    format!("balance {balance}, held {held}, available {available}")
}

fn amount(money: &Value) -> String {
    format!("{} {}", money["amount"].as_str().unwrap_or("?"), money["currency"].as_str().unwrap_or("?"))
}

fn money(amount: &str) -> Value {
    serde_json::json!({ "amount": amount, "currency": "EUR" })
}

fn what_to_try(running: &Running, world: &World, key: &str) -> Vec<String> {
    let web = format!("http://{}", running.http_addr);
    let ben = &world.ben;
    vec![
        format!("curl -i '{web}/callthrough?u={}&p={}&to=%2B15551230177'", ben.user, ben.token),
        format!("curl -i '{web}/callthrough?u={}&p={}&to=112'", ben.user, ben.token),
        format!("curl -H 'Authorization: Bearer {key}' {web}/api/v1/cdrs"),
        format!("curl -H 'Authorization: Bearer {key}' {web}/api/v1/accounts/{}", world.ada.account),
    ]
}
