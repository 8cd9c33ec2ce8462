//! The first trunk fails and the second takes the call.

use std::time::Duration;

use super::*;

fn second_trunk(stage: &Stage) -> SocketAddr {
    let second = free_address(SECOND);
    stage.world.trunk_out("second", second, 20);
    second
}

#[test]
fn a_trunk_that_says_503_is_passed_over() {
    let stage = Stage::new();
    let second = second_trunk(&stage);
    let mut first = stage.play(Script::destination("destination_refuses", stage.destination).fill("status", "503"));
    let mut b = stage.play(Script::destination("destination_answers", second));
    let mut a = stage.play(stage.caller("caller_hangs_up").pause(Duration::from_millis(500)));
    a.succeeds();
    first.succeeds();
    b.succeeds();
    let record = stage.was_charged("answered", Duration::from_secs(1), Duration::from_secs(1));
    assert_eq!(record["trunk_out"], "second", "{record:#}");
}

#[test]
fn a_silent_trunk_is_passed_over() {
    let world = World::with("[calls]\nsilence_secs = 1\n");
    let silent = silence();
    world.trunk_out("first", silent.local_addr().expect("bound"), 10);
    let phone = world.phone(CALLER, "5.00");
    let dialled = world.asks(&phone, DESTINATION);
    let stage = Stage { world, phone, destination: free_address(SECOND), dialled };
    stage.world.trunk_out("second", stage.destination, 20);
    let mut b = stage.destination("destination_answers");
    let mut a = stage.play(stage.caller("caller_hangs_up").pause(Duration::from_millis(500)));
    a.succeeds();
    b.succeeds();
    let record = stage.was_charged("answered", Duration::from_secs(1), Duration::from_secs(1));
    assert_eq!(record["trunk_out"], "second", "{record:#}");
}

#[test]
fn a_trunk_nobody_listens_at_is_passed_over() {
    let stage = Stage::with("[calls]\nsilence_secs = 1\n");
    let mut b = stage.play(Script::destination("destination_answers", second_trunk(&stage)));
    let mut a = stage.play(stage.caller("caller_hangs_up").pause(Duration::from_millis(500)));
    a.succeeds();
    b.succeeds();
    let record = stage.was_charged("answered", Duration::from_secs(1), Duration::from_secs(1));
    assert_eq!(record["trunk_out"], "second", "{record:#}");
}

#[test]
fn the_silent_trunk_that_answers_at_last_is_hung_up_and_nobody_pays_for_it() {
    let stage = Stage::with("[calls]\nsilence_secs = 1\n");
    let mut late = stage.destination("destination_answers_too_late");
    let mut b = stage.play(Script::destination("destination_answers", second_trunk(&stage)));
    let mut a = stage.play(stage.caller("caller_hangs_up").pause(Duration::from_millis(2500)));
    a.succeeds();
    b.succeeds();
    late.succeeds();
    let record = stage.was_charged("answered", Duration::from_secs(3), Duration::from_secs(3));
    assert_eq!(record["trunk_out"], "second", "{record:#}");
}

#[test]
fn when_every_trunk_fails_the_caller_hears_480() {
    let stage = Stage::new();
    let second = second_trunk(&stage);
    let mut first = stage.play(Script::destination("destination_refuses", stage.destination).fill("status", "503"));
    let mut b = stage.play(Script::destination("destination_refuses", second).fill("status", "500"));
    let mut a = stage.play(stage.caller("caller_is_refused").fill("status", "480"));
    a.succeeds();
    first.succeeds();
    b.succeeds();
    stage.cost_nothing("all_trunks_failed");
}

#[test]
fn a_busy_destination_is_not_tried_over_another_trunk() {
    let stage = Stage::new();
    second_trunk(&stage);
    let mut first = stage.play(Script::destination("destination_refuses", stage.destination).fill("status", "486"));
    let mut a = stage.play(stage.caller("caller_is_refused").fill("status", "486"));
    a.succeeds();
    first.succeeds();
    stage.cost_nothing("busy");
}
