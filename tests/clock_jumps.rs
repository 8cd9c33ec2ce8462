//! The machine's clock is set forward and back, by an hour and a day, at daylight saving and at a leap second, while calls and
//! reservations are open: nothing lasts longer or shorter for it, and what is written down makes sense.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use callthrough::app::{self, Running};
use callthrough::call::Cause;
use callthrough::config::Config;
use callthrough::people::key;
use callthrough::types::{Clock, Random, Timestamp};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::folder::Folder;
use crate::support::server::Around;
use crate::support::sipp::{FIRST, free_address};
use crate::support::switchboard::{ALICE, PRAGUE, Switchboard};
use crate::support::traffic::GENEROUS;
use crate::support::truth::{End, Truth};
use crate::support::until;
use crate::support::world::{ACCESS_NUMBER, Api, MICROS_A_SECOND, World, micros, text};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn by(clock: &Clock, secs: i64) -> Clock {
    Clock::manual(Timestamp::from_micros(clock.timestamp().as_micros() + secs * 1_000_000))
}

async fn killed_while_the_clock_was_set(secs: i64) {
    let mut board = Switchboard::new().await;
    let mut north = board.carrier("north", 1).await;
    let mut a = board.subscriber(ALICE, "5.00").await.calls(PRAGUE).await;
    let mut b = north.gets_a_call().await;
    b.answers().await;
    a.is_answered().await;
    until("the answer in the books", async || board.calls.list().first().and_then(|call| call.answered)).await;
    board.goes_by(20).await;
    board.clock = by(&board.clock, secs);
    board.is_killed_and_starts_again().await;
    a.is_hung_up().await;
    b.is_hung_up().await;
    let record = board.record().await;
    assert_eq!(record.cause, Cause::ServerRestart);
    assert!(record.duration >= Duration::from_secs(20) && record.duration <= Duration::from_secs(25), "{secs}: {:?}", record.duration);
    let answered = record.answered_at.expect("it was answered");
    assert!(record.began_at <= answered && answered <= record.ended_at, "{secs}: {record:?}");
    assert_eq!(record.ended_at.since(answered), record.duration, "{secs}");
    let (_, charge) = record.charged.as_ref().expect("it was charged");
    assert!((200_000..=250_000).contains(&charge.amount.get()), "{secs}: {charge:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_killed_server_is_charged_right_whatever_the_clock_says_then() {
    for secs in [-DAY, -HOUR, HOUR, DAY] {
        killed_while_the_clock_was_set(secs).await;
    }
}

async fn start(folder: &Folder, clock: &Clock) -> (Running, String) {
    let mut config = Config { data_dir: folder.file("data"), ..Config::default() };
    config.http.listen.set_port(0);
    config.sip.listen[0].set_port(0);
    let running = app::start_with(config, clock.clone(), Random::system()).await.unwrap();
    let (_, secret) = key::create(&running.database, clock, &Random::system(), "test").await.unwrap();
    (running, secret.expose().to_owned())
}

#[test]
fn a_reservation_does_not_outlive_a_clock_that_was_set_back() {
    let folder = Folder::new();
    let clock = Clock::manual(Timestamp::parse("2030-01-02T03:04:05Z").unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (running, key) = runtime.block_on(start(&folder, &clock));
    let api = Api::new(running.http_addr, key);
    let deck = text(&api.post("/decks", &json!({ "name": "all", "currency": "EUR" })), "id");
    let csv = "prefix,per_minute\n1,0.01\n";
    let report = api.post_csv(&format!("/decks/{deck}/import"), csv);
    api.post_csv(&format!("/decks/{deck}/import?fingerprint={}", text(&report["report"], "fingerprint")), csv);
    api.post("/access-numbers", &json!({ "number": ACCESS_NUMBER, "country": "US" }));
    api.post("/trunks", &json!({ "name": "out", "addresses": ["127.0.0.1:9"], "target": "127.0.0.1:9" }));
    let wanted = json!({ "name": "Jo", "home_country": "US", "currency": "EUR", "identities": ["jo"], "numbers": ["+15551230099"] });
    let subscriber = api.post("/subscribers", &wanted);
    let (id, account) = (text(&subscriber, "id"), text(&subscriber, "account_id"));
    let credit = json!({ "amount": { "amount": "1.00", "currency": "EUR" }, "payment": "cash" });
    api.post(&format!("/accounts/{account}/top_up"), &credit);
    let token = text(&api.post(&format!("/subscribers/{id}/credentials"), &json!({ "kind": "token" })), "secret");
    // Prices that are an hour old are valid an hour ago.
    clock.advance(Duration::from_secs(7200));
    let asked = |running: &Running| {
        let url = format!("http://{}/callthrough?u=jo&p={token}&to=%2B15551231234", running.http_addr);
        api.block_on(async { reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap().text().await.unwrap() })
    };
    let answer = asked(&running);
    assert!(answer.contains(ACCESS_NUMBER), "{answer}");
    runtime.block_on(running.stop());

    let list = format!("/reservations?subscriber_id={id}");
    let (running, key) = runtime.block_on(start(&folder, &by(&clock, -HOUR)));
    let states = |running: &Running, key: String| -> Vec<Value> {
        Api::new(running.http_addr, key).list(&list).into_iter().map(|one| one["state"].clone()).collect()
    };
    assert_eq!(states(&running, key.clone()), ["expired"], "it would live an hour longer");
    // A new one is nobody's victim.
    let answer = asked(&running);
    assert!(answer.contains(ACCESS_NUMBER), "{answer}");
    assert!(states(&running, key).contains(&json!("pending")));
    runtime.block_on(running.stop());
}

/// What makes a process see another time of day than the machine's.
fn time_machine(environment: &[(&str, &str)]) -> Around {
    let library = || {
        let folders = std::fs::read_dir("/usr/lib").ok()?;
        folders.flatten().map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
    };
    let library: PathBuf = library().expect("this test needs libfaketime: install the package libfaketime");
    // Only the time of day moves: the steady clock is what the kernel says.
    let all = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_NO_CACHE", "1"),
    ];
    let environment = all.iter().chain(environment).map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    Around { environment, ..Around::default() }
}

#[test]
fn the_clock_is_set_under_a_running_server() {
    const STEP: Duration = Duration::from_millis(2_500);
    let folder = Folder::new();
    let hands = folder.file("hands");
    let set = |offset: &str| {
        let next = hands.with_extension("next");
        std::fs::write(&next, format!("{offset}\n")).unwrap();
        std::fs::rename(next, &hands).unwrap();
    };
    set("+0");
    let around = time_machine(&[("FAKETIME_TIMESTAMP_FILE", hands.to_str().unwrap())]);
    let world = World::with_around(
        folder,
        &format!("[callthrough]\nlife_secs = 15\nlate_grace_secs = 0\n{GENEROUS}slice_secs = 4\nmin_talk_secs = 2\n"),
        around,
    );
    let destination = free_address(FIRST);
    world.trunk_out("first", destination, 10);
    let [through, waits, never] = ["+15550160000", "+15550160001", "+15550160002"].map(|number| world.phone(number, "5.00"));
    let (grant, granted) = mpsc::channel();
    let callers = End::callers(world.carrier, world.server.sip, granted);
    let _destinations = End::destinations(destination);
    let clock = Clock::system();
    let began = clock.timestamp();
    let calls = |phone: &crate::support::world::Phone, talk: Duration| {
        grant.send((format!("clock-{}", phone.number), phone.number.clone(), ACCESS_NUMBER.to_owned(), talk)).unwrap();
    };
    let expected = [("+3600", 3600), ("-3600", -3600), ("+86400", 86_400), ("-86400", -86_400), ("+0 x1.001", 0)];
    world.asks(&through, "+15553160000");
    calls(&through, STEP * 6);
    let up = eventually(Duration::from_secs(10), || (callers.talking() == 1).then_some(()));
    assert!(up.is_some(), "{}", world.server.shown());
    world.asks(&waits, "+15553160001");
    world.asks(&never, "+15553160002");
    let asked = clock.now();
    for (turn, (offset, _)) in expected.iter().enumerate() {
        set(offset);
        std::thread::sleep(STEP);
        if turn == 2 {
            // Half its life is over, whatever the wall says.
            calls(&waits, Duration::from_secs(3));
        }
    }
    assert!(world.server.has_logged("clock was set"), "the server did not see it\n{}", world.server.shown());
    std::thread::sleep((asked + Duration::from_secs(17)).since(clock.now()));
    calls(&never, Duration::from_secs(3));
    let over = eventually(Duration::from_secs(20), || {
        let truths = callers.truths();
        (truths.len() == 3 && truths.values().all(|(_, truth)| truth.ended.is_some() || truth.refused.is_some())).then_some(truths)
    });
    let truths = over.unwrap_or_else(|| panic!("calls are still up\n{}", world.server.shown()));
    assert_eq!(truths["clock-+15550160002"].1.refused, Some(403), "a reservation outlived its 15 s");
    let records = world.records_once(3);
    world.is_at_rest();
    judge(&records, &truths, began, 2);
    println!("the clock was set {} times under two calls and three reservations", expected.len());
}

/// Each call that was answered has one record with the truth in it, and stamps of the time when it was.
fn judge(records: &[Value], truths: &std::collections::HashMap<String, (String, Truth)>, began: Timestamp, answered: usize) {
    let mut judged = 0;
    for (call_id, (_, truth)) in truths {
        let Truth { answered: Some(from), ended: Some(until), .. } = truth else { continue };
        let of_it: Vec<_> = records.iter().filter(|record| record["sip_call_id"] == call_id.as_str()).collect();
        let [record] = of_it[..] else { panic!("{call_id} has {} records", of_it.len()) };
        let (real, billed) = (until.since(*from), record["billed_secs"].as_u64().unwrap());
        assert!(real.abs_diff(Duration::from_secs(billed)) <= Duration::from_secs(2), "{real:?} were talked: {record}");
        assert_eq!(micros(&record["charge"]), i64::try_from(billed).unwrap() * MICROS_A_SECOND);
        let [at, answered, ended] = ["began_at", "answered_at", "ended_at"].map(|field| Timestamp::parse(&text(record, field)).unwrap());
        assert!(began <= at && at <= answered && answered <= ended && ended.since(began) < Duration::from_secs(120), "{record}");
        assert!(ended.since(answered).abs_diff(real) <= Duration::from_secs(2), "{record}");
        judged += 1;
    }
    assert_eq!(judged, answered);
}

#[test]
fn calls_cross_daylight_saving_and_a_leap_second() {
    for (zone, start) in
        [("Europe/Prague", "@2031-03-30 01:59:50"), ("Europe/Prague", "@2031-10-26 02:59:50"), ("UTC", "@2016-12-31 23:59:50")]
    {
        let around = time_machine(&[("TZ", zone), ("FAKETIME", start)]);
        let world = World::with_around(Folder::new(), GENEROUS, around);
        let destination = free_address(FIRST);
        world.trunk_out("first", destination, 10);
        let phone = world.phone("+15550160000", "5.00");
        let (grant, granted) = mpsc::channel();
        let callers = End::callers(world.carrier, world.server.sip, granted);
        let _destinations = End::destinations(destination);
        world.asks(&phone, "+15553160000");
        grant.send(("zone".to_owned(), phone.number.clone(), ACCESS_NUMBER.to_owned(), Duration::from_secs(12))).unwrap();
        let ended = |truth: &Truth| truth.ended.is_some() || truth.refused.is_some();
        let over = eventually(Duration::from_secs(30), || callers.truths().into_iter().find(|(_, (_, truth))| ended(truth)));
        assert!(over.is_some(), "{}", world.server.shown());
        let records = world.records_once(1);
        world.is_at_rest();
        let first = Timestamp::parse(&text(&records[0], "began_at")).unwrap();
        assert_ne!(first.start_of_day(), Clock::system().timestamp().start_of_day(), "{zone}: the server did not see {start}");
        judge(&records, &callers.truths(), first, 1);
    }
}
