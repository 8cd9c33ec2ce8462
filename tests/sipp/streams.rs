//! Calls by TCP on both sides, and carriers with several addresses of which some are dead.

use serde_json::json;

use super::*;
use crate::support::sipp::CARRIER;

const SECOND: Duration = Duration::from_secs(1);
/// SIPp by TCP, one connection for all.
const TCP: &[&str] = &["-t", "t1"];

/// A stage whose carrier comes, and whose trunk out goes, by TCP; the trunk's first addresses are `dead`.
fn stage(transport: &str, dead: &[SocketAddr]) -> Stage {
    let world = World::with("");
    let destination = free_address(FIRST);
    world.trunk("carrier by stream", &json!({ "addresses": [CARRIER.to_string()] }));
    let mut targets = dead.iter().chain([&destination]).map(ToString::to_string).collect::<Vec<_>>();
    let first = targets.remove(0);
    world.trunk(
        "first",
        &json!({ "addresses": [FIRST.to_string(), SECOND_ADDRESS.to_string()], "target": first, "more_targets": targets, "transport": transport, "priority": 10, "options_secs": 0 }),
    );
    let phone = world.phone(CALLER, "5.00");
    let dialled = world.asks(&phone, DESTINATION);
    Stage { world, phone, destination, dialled }
}

const SECOND_ADDRESS: std::net::Ipv4Addr = crate::support::sipp::SECOND;

#[test]
fn a_call_goes_by_tcp_from_end_to_end() {
    let stage = stage("tcp", &[]);
    let mut b = stage.play(Script::destination("destination_answers", stage.destination).with(TCP));
    let mut a = stage.play(stage.caller("caller_hangs_up").with(TCP).pause(Duration::from_millis(1500)));
    a.succeeds();
    b.succeeds();
    assert!(b.messages().contains("Via: SIP/2.0/TCP ") && b.messages().contains(";transport=tcp>"), "{}", b.messages());
    let record = stage.was_charged("answered", 2 * SECOND, 2 * SECOND);
    assert_eq!(record["side"], "a", "{record:#}");
}

#[test]
fn the_destination_hangs_up_by_tcp_and_the_carrier_hears_it_by_its_own_connection() {
    let stage = stage("tcp", &[]);
    let mut b = stage.play(Script::destination("destination_hangs_up", stage.destination).with(TCP).pause(Duration::from_millis(1500)));
    let mut a = stage.play(stage.caller("caller_waits_for_bye").with(TCP));
    a.succeeds();
    b.succeeds();
    assert_eq!(stage.was_charged("answered", 2 * SECOND, 2 * SECOND)["side"], "b");
}

#[test]
fn a_call_by_tcp_is_cancelled() {
    let stage = stage("tcp", &[]);
    let mut b = stage.play(Script::destination("destination_is_cancelled", stage.destination).with(TCP));
    let mut a = stage.play(stage.caller("caller_cancels").with(TCP));
    a.succeeds();
    b.succeeds();
    stage.cost_nothing("cancelled");
}

#[test]
fn a_call_comes_by_udp_and_goes_by_tcp() {
    let stage = stage("tcp", &[]);
    let mut b = stage.play(Script::destination("destination_answers", stage.destination).with(TCP));
    let mut a = stage.play(stage.caller("caller_hangs_up").pause(Duration::from_millis(500)));
    a.succeeds();
    b.succeeds();
    stage.was_charged("answered", SECOND, SECOND);
}

/// From the start of the caller to its end, less what it pauses.
fn took(transport: &str, dead: &[SocketAddr], arguments: &[&str]) -> Duration {
    let stage = stage(transport, dead);
    let mut b = stage.play(Script::destination("destination_answers", stage.destination).with(arguments));
    let clock = callthrough::types::Clock::system();
    let began = clock.now();
    let mut a = stage.play(stage.caller("caller_hangs_up").pause(Duration::from_millis(1)));
    a.succeeds();
    let took = clock.now().since(began);
    b.succeeds();
    stage.was_charged("answered", Duration::ZERO, 2 * SECOND);
    took
}

#[test]
fn the_next_address_of_a_carrier_is_tried_within_two_seconds() {
    // Nobody listens: known at once. Silence: after a second and a half.
    let nobody = free_address(SECOND_ADDRESS);
    assert!(took("tcp", &[nobody], TCP) < 2 * SECOND);
    let silent = silence();
    assert!(took("udp", &[silent.local_addr().unwrap()], &[]) < 3 * SECOND);
}
