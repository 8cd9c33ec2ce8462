//! The database goes away during calls, in every way it can: nobody is let in free, running calls end with their money, web doors
//! say when to come back, and once it is back every call has its one record.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use callthrough::types::{Clock, Moment};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::cluster::Cluster;
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::server::LockedBooks;
use crate::support::sipp::{CARRIER, FIRST, free_address};
use crate::support::traffic::GENEROUS;
use crate::support::truth::{End, Truth};
use crate::support::world::{ACCESS_NUMBER, MICROS_A_SECOND, Phone, World, micros, text};
use crate::support::{eventually, long_form};

/// Seconds of talk that are set aside at once: what is left never reaches twice as many.
const SLICE: u64 = 8;
/// How late the end of a call may be heard of.
const LATE: Duration = Duration::from_secs(2);
/// Talk of those who hang up by themselves while the database is away.
const SHORT_TALK: Duration = Duration::from_secs(9);
/// Callers of each kind in a round.
const CALLERS: usize = 6;
/// An outage this long, until everything works again, is survived by every call.
const BLINK: Duration = Duration::from_secs(4);
/// What a web door may take to say no.
const NO_AT_LAST: Duration = Duration::from_secs(6);

/// A way for the database to be away.
trait Trouble {
    fn begins(&mut self, world: &World);
    fn ends(&mut self, world: &World);
}

impl<B: FnMut(&World), E: FnMut(&World)> Trouble for (B, E) {
    fn begins(&mut self, world: &World) {
        self.0(world);
    }

    fn ends(&mut self, world: &World) {
        self.1(world);
    }
}

/// The outages of a story.
fn lengths() -> Vec<Duration> {
    let seconds: &[u64] = if long_form() { &[1, 30, 600] } else { &[1, 20] };
    seconds.iter().copied().map(Duration::from_secs).collect()
}

fn settings(books: &str) -> String {
    format!("{GENEROUS}slice_secs = {SLICE}\nmin_talk_secs = 2\nbooks_timeout_ms = 1000\n{books}")
}

fn postgres(address: SocketAddr) -> World {
    World::with(&settings(&format!("[database]\nurl = \"{}\"\n", Cluster::url(address))))
}

#[test]
fn the_embedded_file_is_locked() {
    let world = World::with(&settings(""));
    let lock: std::cell::RefCell<Option<LockedBooks>> = std::cell::RefCell::default();
    let begins = |world: &World| *lock.borrow_mut() = Some(world.server.lock_books());
    story(&world, "the file is locked", (begins, |_: &World| *lock.borrow_mut() = None));
}

#[test]
fn the_database_server_crashes() {
    let cluster = Cluster::start();
    let world = postgres(cluster.address);
    story(&world, "the server crashes", (|_: &World| cluster.crashes(), |_: &World| cluster.starts()));
}

#[test]
fn the_database_server_freezes() {
    let cluster = Cluster::start();
    let world = postgres(cluster.address);
    story(&world, "the server freezes", (|_: &World| cluster.freezes(), |_: &World| cluster.thaws()));
}

#[test]
fn the_database_server_only_reads() {
    let cluster = Cluster::start();
    let world = postgres(cluster.address);
    story(&world, "the server only reads", (|_: &World| cluster.only_reads(true), |_: &World| cluster.only_reads(false)));
}

#[test]
fn a_table_of_the_database_is_locked() {
    let cluster = Cluster::start();
    let world = postgres(cluster.address);
    let url = Cluster::url(cluster.address);
    let lock = std::cell::RefCell::new(None);
    let begins = |world: &World| {
        *lock.borrow_mut() = Some(world.api.block_on(async {
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::raw_sql("begin; lock table account in access exclusive mode").execute(&mut connection).await.unwrap();
            connection
        }));
    };
    let ends = |world: &World| {
        let connection = lock.borrow_mut().take().unwrap();
        world.api.block_on(async { connection.close().await.unwrap() });
    };
    story(&world, "a table is locked", (begins, ends));
}

#[test]
fn the_network_to_the_database_is_cut() {
    let cluster = Cluster::start();
    let proxy = Proxy::before(cluster.address);
    let world = postgres(proxy.address);
    story(&world, "the network is cut", (|_: &World| proxy.cuts(), |_: &World| proxy.mends()));
}

#[test]
fn the_network_to_the_database_swallows_everything() {
    let cluster = Cluster::start();
    let proxy = Proxy::before(cluster.address);
    let world = postgres(proxy.address);
    story(&world, "the network swallows", (|_: &World| proxy.swallows(), |_: &World| proxy.hears_again()));
}

#[test]
fn the_database_is_slow() {
    let cluster = Cluster::start();
    let proxy = Proxy::before(cluster.address);
    let world = postgres(proxy.address);
    let slow = Duration::from_millis(500);
    story(&world, "the database is slow", (|_: &World| proxy.slows_to(slow), |_: &World| proxy.slows_to(Duration::ZERO)));
}

/// What a call was meant to be.
struct Caller {
    phone: Phone,
    call_id: String,
}

fn story(world: &World, what: &str, mut trouble: impl Trouble) {
    let destination = free_address(FIRST);
    world.trunk_out("first", destination, 10);
    let mut probe = Peer::at(CARRIER);
    world.trunk("probe", &json!({ "addresses": [probe.address.to_string()] }));
    let talkers: Vec<_> = (0..CALLERS).map(|n| world.phone(&format!("+1555016{n:04}"), "500.00")).collect();
    let shorts: Vec<_> = (0..CALLERS).map(|n| world.phone(&format!("+1555017{n:04}"), "500.00")).collect();
    let probing: Vec<_> = (0..CALLERS).map(|n| world.phone(&format!("+1555018{n:04}"), "500.00")).collect();
    let payer = world.phone("+15550190000", "10.00");
    let (grant, granted) = mpsc::channel();
    let callers = End::callers(world.carrier, world.server.sip, granted);
    let destinations = End::destinations(destination);
    let clock = Clock::system();
    let mut calls = 0;
    for (round, length) in lengths().into_iter().enumerate() {
        let place = |phone: &Phone, talk: Duration| {
            world.asks(phone, &phone.number.replace("+15550", "+15553"));
            let call_id = format!("outage-{round}-{}", phone.number);
            grant.send((call_id.clone(), phone.number.clone(), ACCESS_NUMBER.to_owned(), talk)).unwrap();
            Caller { phone: phone.clone(), call_id }
        };
        // Who talks long is hung up by us if the money ends; in the blink nobody is, and they go after it.
        let long_talk = if length <= BLINK { SHORT_TALK * 2 } else { Duration::from_secs(3600) };
        let talking: Vec<_> = talkers.iter().map(|phone| place(phone, long_talk)).collect();
        for phone in &probing {
            world.asks(phone, &phone.number.replace("+15550", "+15553"));
        }
        let hanging_up: Vec<_> = shorts.iter().map(|phone| place(phone, SHORT_TALK)).collect();
        calls += 2 * CALLERS;
        let up = eventually(Duration::from_secs(15), || (callers.talking() == 2 * CALLERS).then_some(()));
        assert!(up.is_some(), "{what}: {} of {} calls are up\n{}", callers.talking(), 2 * CALLERS, world.server.shown());

        trouble.begins(world);
        let began = clock.now();
        let mut refused = 0;
        if length > BLINK {
            refused = hears_no(world, &mut probe, &probing, &payer, round, what);
            calls += refused;
        }
        let left = (began + length).since(clock.now());
        std::thread::sleep(left);
        let truths = callers.truths();
        trouble.ends(world);
        // A server that crashed takes its time to start.
        let away = clock.now().since(began);
        if length > BLINK {
            for caller in &talking {
                let ended = truths[&caller.call_id].1.ended;
                let ended = ended.unwrap_or_else(|| panic!("{what}: a call outlived its money\n{}", world.server.shown()));
                assert!(ended.since(began) <= Duration::from_secs(2 * SLICE) + LATE, "{what}: {:?} after", ended.since(began));
            }
        }

        comes_back(world, &mut probe, &probing[0], &payer, round, what);
        calls += 1;
        let over = eventually(Duration::from_secs(60), || (callers.talking() == 0).then_some(()));
        assert!(over.is_some(), "{what}: {} calls are still up", callers.talking());
        let records = world.records_once(calls);
        assert_eq!(records.len(), calls, "{what}: {records:#?}");
        let quiet = eventually(Duration::from_secs(60), || (world.open_holds() == 0).then_some(()));
        assert!(quiet.is_some(), "{what}: money is still set aside\n{}", world.server.shown());
        world.is_at_rest();
        let truths = callers.truths();
        let exhausted = judge(&records, &truths, &talking, &hanging_up, (length, away), what);
        let heard: Vec<_> = destinations.truths().into_values().map(|(number, _)| number).collect();
        for phone in &probing[1..] {
            let number = phone.number.replace("+15550", "+15553");
            assert!(length <= BLINK || !heard.contains(&number), "{what}: {number} was called though it was refused");
        }
        println!("{what} for {away:.1?}: {} calls up, {exhausted} ended with their money, {refused} refused", 2 * CALLERS);
    }
    assert_eq!(world.account(&payer.account).balance, 10_000_000 + 500_000 * i64::try_from(lengths().len()).unwrap(), "{what}");
}

/// While it is away: calls, phones, machines and people hear no, with a time to come back. How many calls were refused.
fn hears_no(world: &World, probe: &mut Peer, probing: &[Phone], payer: &Phone, round: usize, what: &str) -> usize {
    for phone in probing {
        let call_id = format!("probe-{round}-{}", phone.number);
        let invite = probe.invites(world.server.sip, &phone.number, ACCESS_NUMBER, &call_id);
        let no = probe.hears("503 INVITE");
        assert!(no.header("Retry-After").parse::<u32>().is_ok_and(|secs| secs > 0), "{}", no.text);
        probe.acknowledges(&invite, &no, world.server.sip);
    }
    let clock = Clock::system();
    let asked = clock.now();
    let (status, answer) = world.requests(payer, "+15553190000");
    assert!(status == 503 && answer.contains("message"), "{what}: a phone hears {status} {answer}");
    assert!(clock.now().since(asked) < NO_AT_LAST, "{what}: a phone waits {:?}", clock.now().since(asked));
    let (status, retry, answer) = pays(world, payer, round);
    // A slow database may take it after all; then that is the one time.
    assert!(status == 503 || (200..300).contains(&status), "{what}: a machine hears {status} {answer}");
    if status == 503 {
        let body: Value = serde_json::from_str(&answer).unwrap_or_default();
        assert!(retry && body["code"] == "books_down" && !text(&body, "message").is_empty(), "{what}: {retry} {answer}");
    }
    probing.len()
}

/// It is back: what was refused works at once, and what was tried again is done once.
fn comes_back(world: &World, probe: &mut Peer, phone: &Phone, payer: &Phone, round: usize, what: &str) {
    let patience = Duration::from_secs(20);
    let paid = eventually(patience, || (200..300).contains(&pays(world, payer, round).0).then_some(()));
    assert!(paid.is_some(), "{what}: no payment {patience:?} after it came back\n{}", world.server.shown());
    let asked = eventually(patience, || (world.requests(phone, &phone.number.replace("+15550", "+15554")).0 == 200).then_some(()));
    assert!(asked.is_some(), "{what}: phones are refused {patience:?} after it came back\n{}", world.server.shown());
    let call_id = format!("again-{round}");
    let invite = probe.invites(world.server.sip, &phone.number, ACCESS_NUMBER, &call_id);
    let yes = probe.hears("200 INVITE");
    probe.acknowledges(&invite, &yes, world.server.sip);
    probe.hangs_up(&yes.contact(), yes.header("From"), yes.header("To"), &call_id, world.server.sip);
    probe.hears("200 BYE");
}

/// The same payment, however often it is sent: status, whether it says when to come back, and the answer.
fn pays(world: &World, payer: &Phone, round: usize) -> (u16, bool, String) {
    let body = json!({ "amount": { "amount": "0.50", "currency": "EUR" }, "payment": "outage" });
    world.api.try_post(&format!("/accounts/{}/top_up", payer.account), &body, &format!("outage-{round}"))
}

/// The records of a round against what the callers saw. How many calls we ended because their money did.
fn judge(
    records: &[Value],
    truths: &HashMap<String, (String, Truth)>,
    talking: &[Caller],
    hanging_up: &[Caller],
    (length, away): (Duration, Duration),
    what: &str,
) -> usize {
    let mut exhausted = 0;
    for caller in talking.iter().chain(hanging_up) {
        let of_it: Vec<_> = records.iter().filter(|record| record["sip_call_id"] == caller.call_id.as_str()).collect();
        let [record] = of_it[..] else { panic!("{what}: {} has {} records", caller.call_id, of_it.len()) };
        assert_eq!(record["account_id"], caller.phone.account.as_str(), "{what}: {record}");
        let (answered, ended): (Moment, Moment) = match truths[&caller.call_id].1 {
            Truth { answered: Some(answered), ended: Some(ended), .. } => (answered, ended),
            ref other => panic!("{what}: {} is {other:?}", caller.call_id),
        };
        let (real, billed) = (ended.since(answered), Duration::from_secs(record["billed_secs"].as_u64().unwrap()));
        assert!(billed <= real + LATE && real <= billed + LATE, "{what}: {real:?} were talked and {billed:?} billed: {record}");
        assert_eq!(micros(&record["charge"]), i64::try_from(billed.as_secs()).unwrap() * MICROS_A_SECOND, "{what}: {record}");
        let funded = record["detail"]["funded"].as_array().and_then(|all| all.last()?["secs"].as_u64()).unwrap_or_default();
        assert!(billed.as_secs() <= funded, "{what}: {billed:?} billed of {funded} s that were set aside: {record}");
        if record["cause"] == "credit_exhausted" {
            exhausted += 1;
            assert_eq!(billed.as_secs(), funded, "{what}: it ended before its money: {record}");
        }
    }
    let expected = match (length <= BLINK, away <= BLINK) {
        (true, true) => 0,
        (true, false) => return exhausted,
        (false, _) => talking.len(),
    };
    let of_talkers = |record: &&Value| talking.iter().any(|caller| record["sip_call_id"] == caller.call_id.as_str());
    let ended_by_us = records.iter().filter(of_talkers).filter(|record| record["cause"] == "credit_exhausted").count();
    assert_eq!(ended_by_us, expected, "{what} for {away:?}: calls that ended with their money");
    exhausted
}
