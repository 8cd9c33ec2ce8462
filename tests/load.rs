//! Many calls at once: each to its own destination, each paid for, nothing left over.

use std::collections::BTreeSet;
use std::time::Duration;

use callthrough::types::Clock;
use serde_json::json;

use crate::support::sipp::{FIRST, Script, free_address};
use crate::support::traffic::{GENEROUS, Phones, usage};
use crate::support::world::{MICROS_A_SECOND, World};
use crate::support::{eventually, long_form};

/// Calls a second: what is promised of the program as it is built for use.
const RATE: u32 = if cfg!(debug_assertions) { 50 } else { 500 };

#[test]
fn every_call_reaches_its_own_destination_at_full_rate() {
    /// How long a reservation waits for its call: less than the ten seconds after which its phone asks again.
    const LEAD: Duration = Duration::from_secs(5);
    /// How long each call lasts.
    const TALK: Duration = Duration::from_secs(1);
    let seconds = if long_form() { 60 } else { 10 };
    let calls = RATE * seconds;
    let world = World::with(GENEROUS);
    let destination = free_address(FIRST);
    world.trunk_out("first", destination, 10);
    let phones = Phones::new(&world, RATE * 10, "5.00");
    let injection = world.folder.file("calls.csv");
    std::fs::write(&injection, phones.injection(calls)).expect("a file");
    let patience = Duration::from_secs(u64::from(seconds) + 60);

    let before = usage(world.server.pid());
    let clock = Clock::system();
    let began = clock.now();
    let mut b = Script::destination("load_destination", destination).calls(calls).untraced().patience(patience).start(world.folder.path());
    let asking = phones.ask(&world, 0, calls, RATE);
    std::thread::sleep(LEAD);
    let mut a = Script::caller("load_caller", world.carrier, world.server.sip, "", "")
        .calls(calls)
        .untraced()
        .patience(patience)
        .pause(TALK)
        .with(&["-inf", &injection.display().to_string(), "-r", &RATE.to_string(), "-l", &(RATE * 10).to_string()])
        .start(world.folder.path());
    // What is remembered of a call for 64 T1 (32 s) fills up first; from then on nothing may grow.
    let mut memory = Vec::new();
    while !a.is_over() {
        memory.push(usage(world.server.pid()).memory_kib);
        std::thread::sleep(Duration::from_secs(1));
    }
    let asked = asking.join().expect("the phones asked");
    let full = usage(world.server.pid());
    a.succeeds();
    b.succeeds();
    let took = clock.now().since(began);
    assert_eq!((asked.granted, asked.refused.len()), (calls, 0), "{:#?}", asked.refused);

    // Everybody was connected to the destination that was asked for, once.
    let connected: BTreeSet<_> = b.logged().lines().filter_map(|line| Some(line.split_whitespace().nth(2)?.to_owned())).collect();
    let wanted: BTreeSet<_> = (0..calls).map(|n| phones.call(n).1.trim_start_matches('+').to_owned()).collect();
    assert_eq!(connected.len(), wanted.len());
    assert!(connected == wanted, "somebody was connected to the wrong destination");

    let recorded = |cause: &'static str| world.count(cause);
    eventually(Duration::from_secs(20), || (recorded("select count(*) from cdr") >= i64::from(calls)).then_some(()));
    assert_eq!(recorded("select count(*) from cdr"), i64::from(calls));
    assert_eq!(recorded("select count(*) from cdr where cause = 'answered'"), i64::from(calls));
    assert_eq!(recorded("select count(distinct reservation_id) from cdr"), i64::from(calls));
    assert_eq!(recorded("select count(*) from reservation where state <> 'used'"), 0);
    assert_eq!(recorded("select sum(charge_micros) from cdr"), recorded("select sum(billed_secs) from cdr") * MICROS_A_SECOND);
    world.is_at_rest();

    let after = usage(world.server.pid());
    println!(
        "{calls} calls at {RATE}/s in {took:.1?}: 0 failed, {} retransmissions of the callers; requests p50 {:.1?} p99 {:.1?}; \
         CPU {:.3} ms a call with its request; memory {} -> {} -> {} KiB; descriptors {} -> {} -> {}",
        a.figure("Retransmissions(C)"),
        asked.within(500),
        asked.within(990),
        after.cpu.checked_sub(before.cpu).unwrap().as_secs_f64() * 1000.0 / f64::from(calls),
        before.memory_kib,
        full.memory_kib,
        after.memory_kib,
        before.descriptors,
        full.descriptors,
        after.descriptors,
    );
    // Connections of phones come and go; nothing else may stay.
    assert!(after.descriptors <= before.descriptors + 32, "descriptors leak: {before:?} {after:?}");
    if long_form() {
        println!("memory by the second, KiB: {memory:?}");
        let (settled, last) = (memory[45], memory[58]);
        assert!(last <= settled + settled / 20, "memory grows from {settled} KiB at 45 s to {last} KiB at 58 s");
    }
}

/// So many subscribers on one account with 3.00: 600 seconds at 0.30 a minute.
fn crowd(world: &World, count: u32) -> (String, Vec<(String, String)>) {
    let account = world.api.post("/accounts", &json!({ "currency": "EUR" }));
    let account = crate::support::world::text(&account, "id");
    world.top_up(&account, "3.00");
    let callers = (0..count)
        .map(|n| {
            let phone = world.phone_on(&account, &format!("+1555014{n:04}"));
            let dialled = world.asks(&phone, &format!("+1555024{n:04}"));
            (phone.number, dialled)
        })
        .collect();
    (account, callers)
}

/// Two hundred callers at once on credit for ten minutes in all; `longest` is when a caller has had enough.
fn two_hundred_at_once(settings: &str, longest: Duration) -> (World, String, i64) {
    const CALLERS: u32 = 200;
    let world = World::with(settings);
    let destination = free_address(FIRST);
    world.trunk_out("first", destination, 10);
    let (account, callers) = crowd(&world, CALLERS);
    let lines: String = callers.iter().map(|(number, dialled)| format!("{number};{dialled};\n")).collect();
    let injection = world.folder.file("crowd.csv");
    std::fs::write(&injection, format!("SEQUENTIAL\n{lines}")).expect("a file");
    let mut b = Script::destination("load_destination", destination).calls(CALLERS).untraced().start(world.folder.path());
    let mut a = Script::caller("load_caller_until_credit_ends", world.carrier, world.server.sip, "", "")
        .calls(CALLERS)
        .untraced()
        .fill("longest", &longest.as_millis().to_string())
        .with(&["-inf", &injection.display().to_string(), "-r", "2000", "-l", "200"])
        .start(world.folder.path());
    let mut lowest = i64::MAX;
    while !a.is_over() {
        let now = world.account(&account);
        lowest = lowest.min(now.balance - now.held);
        std::thread::sleep(Duration::from_millis(20));
    }
    a.succeeds();
    b.stop();
    let records = world.records_once(CALLERS as usize);
    assert_eq!(records.len(), CALLERS as usize);
    assert!(lowest >= 0, "the account fell to {lowest} micro-units");
    let charged = world.count("select coalesce(sum(charge_micros), 0) from cdr");
    assert_eq!(world.account(&account).balance, 3_000_000 - charged);
    assert_eq!(world.count("select count(*) from cdr where charge_micros <> billed_secs * 5000"), 0);
    assert!(charged <= 3_000_000);
    world.is_at_rest();
    (world, account, charged)
}

#[test]
fn two_hundred_calls_race_for_credit_that_admits_ten() {
    // A slice of 60 seconds sets 0.30 aside: 3.00 admits ten.
    let (world, _, _) = two_hundred_at_once(GENEROUS, Duration::from_secs(4));
    assert_eq!(world.count("select count(*) from cdr where cause = 'answered'"), 10);
    assert_eq!(world.count("select count(*) from cdr where cause = 'not_enough_credit'"), 190);
}

#[test]
fn two_hundred_calls_share_ten_minutes_second_by_second() {
    let settings = format!("{GENEROUS}slice_secs = 1\nmin_talk_secs = 1\n");
    let (world, account, charged) = two_hundred_at_once(&settings, Duration::from_secs(25));
    assert_eq!(world.count("select count(*) from cdr where cause = 'credit_exhausted'"), 200);
    // Everybody talked until nothing was left for one more second.
    assert_eq!((charged, world.account(&account).balance), (3_000_000, 0));
}
