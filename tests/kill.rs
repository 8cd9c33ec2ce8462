//! `kill -9` while calls come and go: after each restart the books are clean, nothing stays set aside, and every call that was
//! answered has its one record.

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;

use callthrough::types::{Clock, Random, Timestamp};
use serde_json::Value;

use crate::support::sipp::{FIRST, free_address};
use crate::support::traffic::{GENEROUS, Phones};
use crate::support::truth::{End, Truth};
use crate::support::world::{ACCESS_NUMBER, MICROS_A_SECOND, World, micros};
use crate::support::{eventually, long_form};

/// Calls a second.
const RATE: u32 = 50;
/// What may be charged beyond the truth, or less than it: one heartbeat, and the second that was begun.
const HEARTBEAT: Duration = Duration::from_secs(6);

#[test]
fn a_killed_server_comes_back_and_every_answered_call_has_one_record() {
    /// Seconds of asking between two kills at most: five minutes of calls in the long form.
    const LIFE: u32 = 7;
    let kills: u32 = if long_form() { 40 } else { 3 };
    let mut world = World::with(GENEROUS);
    let random = Random::system();
    let destination = free_address(FIRST);
    world.trunk_out("first", destination, 10);
    // Each phone calls a few times, each time somebody else.
    let phones = Phones::new(&world, RATE * LIFE * (kills + 1) / 8, "50.00");
    let (grant, granted) = mpsc::channel();
    let callers = End::callers(world.carrier, world.server.sip, granted);
    let destinations = End::destinations(destination);

    let mut asked_for = 0;
    for life in 0..=kills {
        let grant = grant.clone();
        let numbers: Vec<_> = (0..RATE * LIFE).map(|n| phones.call(asked_for + n).0.number.clone()).collect();
        let (first, talk) = (asked_for, random.clone());
        let asking = phones.ask_and_tell(&world, first, RATE * LIFE, RATE, move |n| {
            let talk = Duration::from_millis(500 + talk.below(7_000));
            let number = numbers[(n - first) as usize].clone();
            let _ = grant.send((format!("kill-{life}-{n}"), number, ACCESS_NUMBER.to_owned(), talk));
        });
        asked_for += RATE * LIFE;
        if life < kills {
            // Somewhere in the second half: calls in every state are under way.
            std::thread::sleep(Duration::from_millis(u64::from(LIFE) * 500 + random.below(u64::from(LIFE) * 400)));
            world.server.kill();
            let killed = Clock::system().timestamp();
            world.server.start_again();
            let over = eventually(Duration::from_secs(60), || (left_open(&world, killed) == 0).then_some(()));
            assert!(over.is_some(), "life {life}: {} holds are still open\n{}", left_open(&world, killed), world.server.shown());
            world.server.books_are_clean();
        }
        let _ = asking.join();
    }
    drop(grant);

    // Everybody hangs up by themselves, or was hung up by the server that came back.
    let quiet = eventually(Duration::from_secs(40), || (callers.talking() == 0 && world.open_holds() == 0).then_some(()));
    assert!(quiet.is_some(), "{} callers still talk, {} holds are open", callers.talking(), world.open_holds());
    world.is_at_rest();
    compare(&world, &callers, &destinations, kills);
}

/// Open holds of calls that began before the kill.
fn left_open(world: &World, killed: Timestamp) -> i64 {
    let question = "select count(*) from hold join call on call.id = hold.call_id where hold.resolved_at_us is null and began_at_us < $1";
    world.count_of(question, killed.as_micros())
}

/// The records against what both ends saw.
fn compare(world: &World, callers: &End, destinations: &End, kills: u32) {
    let mut records: HashMap<String, Vec<Value>> = HashMap::new();
    for record in world.records() {
        records.entry(record["sip_call_id"].as_str().unwrap_or_default().to_owned()).or_default().push(record);
    }
    let (mut answered, mut wrong, mut lost) = (0, Vec::new(), Duration::ZERO);
    for (call_id, (_, truth)) in callers.truths() {
        let Truth { answered: Some(began), ended, .. } = truth else { continue };
        answered += 1;
        let real = ended.unwrap_or(began).since(began);
        let all = records.get(&call_id).map_or(&[][..], Vec::as_slice);
        let charged: Vec<_> = all.iter().filter(|record| !record["answered_at"].is_null()).collect();
        let [record] = charged[..] else {
            wrong.push(format!("{call_id} was answered and has {} records: {all:?}", charged.len()));
            continue;
        };
        let billed = Duration::from_secs(record["billed_secs"].as_u64().unwrap_or_default());
        let charge = micros(&record["charge"]);
        if charge != i64::try_from(billed.as_secs()).unwrap_or_default() * MICROS_A_SECOND {
            wrong.push(format!("{call_id}: {charge} is not the price of {billed:?}"));
        }
        if billed > real + HEARTBEAT || billed + HEARTBEAT < real {
            wrong.push(format!("{call_id}: {real:?} were talked and {billed:?} billed: {record}"));
        }
        lost += real.saturating_sub(billed);
    }
    let heard = destinations.truths();
    let b_answered = heard.values().filter(|(_, truth)| truth.answered.is_some()).count();
    let restarted = world.count("select count(*) from cdr where cause = 'server_restart'");
    println!(
        "{kills} kills: {answered} calls answered for the caller, {b_answered} acknowledged to the destination, {} records, \
         {restarted} ended by a restart, {:.1} s of talk not billed in all",
        world.count("select count(*) from cdr"),
        lost.as_secs_f64(),
    );
    assert!(wrong.is_empty(), "{} of {answered} calls:\n{}", wrong.len(), wrong.join("\n"));
    assert!(restarted > 0, "no kill hit a call");
    let twice =
        "select count(*) from (select 1 from cdr where answered_at_us is not null group by destination having count(*) > 1) as more";
    assert_eq!(world.count(twice), 0, "a destination was answered twice in the records");
}
