//! The disk is full: database, log and spool are on it. New money is refused, running calls end with theirs and are charged right,
//! and with room again everything goes on by itself, after a kill too.

use std::sync::mpsc;
use std::time::Duration;

use callthrough::types::Clock;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::folder::Folder;
use crate::support::peer::Peer;
use crate::support::sipp::{CARRIER, FIRST, free_address};
use crate::support::small_disk::SmallDisk;
use crate::support::traffic::GENEROUS;
use crate::support::truth::{End, Truth};
use crate::support::world::{ACCESS_NUMBER, MICROS_A_SECOND, Phone, World, micros};

/// MiB of the disk.
const DISK: u32 = 24;
/// Seconds of talk that are set aside at once.
const SLICE: u64 = 4;
/// Calls of each kind.
const CALLERS: usize = 5;
/// How late the end of a call may be heard of.
const LATE: Duration = Duration::from_secs(2);
/// What may be charged beyond the truth after a kill: one heartbeat, and the second that was begun.
const HEARTBEAT: Duration = Duration::from_secs(6);

#[test]
fn a_full_disk_costs_nobody_anything() {
    let folder = Folder::new();
    let disk = SmallDisk::at(&folder.file("data"), DISK);
    let settings = format!("{GENEROUS}slice_secs = {SLICE}\nmin_talk_secs = 2\nbooks_timeout_ms = 1000\n");
    let mut world = World::with_around(folder, &settings, disk.around());
    let destination = free_address(FIRST);
    world.trunk_out("first", destination, 10);
    let mut probe = Peer::at(CARRIER);
    world.trunk("probe", &json!({ "addresses": [probe.address.to_string()] }));
    let talkers: Vec<_> = (0..CALLERS).map(|n| world.phone(&format!("+1555016{n:04}"), "500.00")).collect();
    let shorts: Vec<_> = (0..CALLERS).map(|n| world.phone(&format!("+1555017{n:04}"), "500.00")).collect();
    let late = world.phone("+15550180000", "10.00");
    let (grant, granted) = mpsc::channel();
    let callers = End::callers(world.carrier, world.server.sip, granted);
    let _destinations = End::destinations(destination);
    let call = |world: &World, phone: &Phone, round: u32, talk: u64| {
        world.asks(phone, &phone.number.replace("+15550", "+15553"));
        let call = (format!("disk-{round}-{}", phone.number), phone.number.clone(), ACCESS_NUMBER.to_owned(), Duration::from_secs(talk));
        grant.send(call).unwrap();
    };
    let all_up = |world: &World| {
        let up = eventually(Duration::from_secs(15), || (callers.talking() == 2 * CALLERS).then_some(()));
        assert!(up.is_some(), "{} calls are up\n{}", callers.talking(), world.server.shown());
    };

    // Some hang up while it is full, the others' money ends.
    for phone in &talkers {
        call(&world, phone, 0, 3600);
    }
    world.asks(&late, "+15553180000");
    for phone in &shorts {
        call(&world, phone, 0, 8);
    }
    all_up(&world);
    let room = disk.fills();
    let (full, clock) = (Clock::system().now(), Clock::system());
    hears_no(&world, &mut probe, &late, 0);
    let quiet = eventually(Duration::from_secs(2 * SLICE) + LATE, || (callers.talking() == 0).then_some(()));
    assert!(quiet.is_some(), "{} calls outlived their money\n{}", callers.talking(), world.server.shown());
    println!("{} KiB of {DISK} MiB were left; full for {:?}", room >> 10, clock.now().since(full));
    disk.empties();
    comes_back(&world, &late, 0);
    let records = world.records_once(2 * CALLERS + 1);
    assert_eq!(records.len(), 2 * CALLERS + 1, "{records:#?}");
    is_at_rest(&world);
    judge(&world, &callers, 0, LATE);

    // The same, and the process is killed while it is full.
    for phone in &talkers {
        call(&world, phone, 1, 3600);
    }
    for phone in &shorts {
        call(&world, phone, 1, 8);
    }
    all_up(&world);
    disk.fills();
    let quiet = eventually(Duration::from_secs(2 * SLICE) + LATE, || (callers.talking() == 0).then_some(()));
    assert!(quiet.is_some(), "{} calls outlived their money\n{}", callers.talking(), world.server.shown());
    world.server.kill();
    disk.empties();
    world.server.start_again();
    comes_back(&world, &late, 1);
    let records = world.records_once(4 * CALLERS + 1);
    assert_eq!(records.len(), 4 * CALLERS + 1, "{records:#?}");
    is_at_rest(&world);
    judge(&world, &callers, 1, HEARTBEAT);
    assert_eq!(world.account(&late.account).balance, 11_000_000);
}

/// While it is full: no call, no reservation, no payment.
fn hears_no(world: &World, probe: &mut Peer, phone: &Phone, round: usize) {
    let invite = probe.invites(world.server.sip, &phone.number, ACCESS_NUMBER, "disk-probe");
    let no = probe.hears("503 INVITE");
    assert!(no.header("Retry-After").parse::<u32>().is_ok_and(|secs| secs > 0), "{}", no.text);
    probe.acknowledges(&invite, &no, world.server.sip);
    let (status, answer) = world.requests(phone, "+15553190000");
    assert!(status == 503 && answer.contains("message"), "a phone hears {status} {answer}");
    let (status, retry, answer) = pays(world, phone, round);
    let body: Value = serde_json::from_str(&answer).unwrap_or_default();
    assert!(status == 503 && retry && body["code"] == "books_down", "a machine hears {status} {retry} {answer}");
}

/// With room again, by itself.
fn comes_back(world: &World, phone: &Phone, round: usize) {
    let patience = Duration::from_secs(20);
    let paid = eventually(patience, || (200..300).contains(&pays(world, phone, round).0).then_some(()));
    assert!(paid.is_some(), "no payment {patience:?} after there was room again\n{}", world.server.shown());
    let asked = eventually(patience, || (world.requests(phone, "+15553190000").0 == 200).then_some(()));
    assert!(asked.is_some(), "phones are refused {patience:?} after there was room again\n{}", world.server.shown());
}

/// No money is set aside, and the books are clean. From outside the file cannot be opened: SQLite follows the way to it by name.
fn is_at_rest(world: &World) {
    let quiet = eventually(Duration::from_secs(60), || world.api.list("/holds").is_empty().then_some(()));
    assert!(quiet.is_some(), "money is still set aside: {:#?}", world.api.list("/holds"));
    world.server.books_are_clean();
}

fn pays(world: &World, phone: &Phone, round: usize) -> (u16, bool, String) {
    let body = json!({ "amount": { "amount": "0.50", "currency": "EUR" }, "payment": "disk" });
    world.api.try_post(&format!("/accounts/{}/top_up", phone.account), &body, &format!("disk-{round}"))
}

/// The records of a round against what the callers saw.
fn judge(world: &World, callers: &End, round: u32, tolerance: Duration) {
    let records = world.records();
    let beginning = format!("disk-{round}-");
    let mut seen = 0;
    for (call_id, (_, truth)) in callers.truths().into_iter().filter(|(call_id, _)| call_id.starts_with(&beginning)) {
        let of_it: Vec<_> = records.iter().filter(|record| record["sip_call_id"] == call_id.as_str()).collect();
        let [record] = of_it[..] else { panic!("{call_id} has {} records", of_it.len()) };
        let Truth { answered: Some(answered), ended: Some(ended), .. } = truth else { panic!("{call_id} is {truth:?}") };
        let (real, billed) = (ended.since(answered), Duration::from_secs(record["billed_secs"].as_u64().unwrap()));
        assert!(billed <= real + tolerance && real <= billed + tolerance, "{real:?} were talked and {billed:?} billed: {record}");
        assert_eq!(micros(&record["charge"]), i64::try_from(billed.as_secs()).unwrap() * MICROS_A_SECOND, "{record}");
        seen += 1;
    }
    assert_eq!(seen, 2 * CALLERS);
}
