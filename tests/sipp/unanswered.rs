//! Calls that ring and are not answered.

use super::*;

#[test]
fn a_busy_destination_is_heard_as_busy() {
    let stage = Stage::new();
    let mut b = stage.play(Script::destination("destination_refuses", stage.destination).fill("status", "486"));
    let mut a = stage.play(stage.caller("caller_is_refused").fill("status", "486"));
    a.succeeds();
    b.succeeds();
    stage.cost_nothing("busy");
}

#[test]
fn the_destinations_own_word_reaches_the_caller() {
    for (said, heard, cause) in
        [("404", "404", "not_found"), ("603", "603", "rejected"), ("480", "480", "unavailable"), ("488", "488", "incompatible")]
    {
        let stage = Stage::new();
        let mut b = stage.play(Script::destination("destination_refuses", stage.destination).fill("status", said));
        let mut a = stage.play(stage.caller("caller_is_refused").fill("status", heard));
        a.succeeds();
        b.succeeds();
        stage.cost_nothing(cause);
    }
}

#[test]
fn nobody_picks_up() {
    let stage = Stage::with("[calls]\nring_secs = 2\n");
    let mut b = stage.destination("destination_is_cancelled");
    let mut a = stage.play(stage.caller("caller_is_refused").fill("status", "480"));
    a.succeeds();
    b.succeeds();
    stage.cost_nothing("no_answer");
}

#[test]
fn the_caller_gives_up_while_it_rings() {
    let stage = Stage::new();
    stage.plays("caller_cancels", "destination_is_cancelled");
    let record = stage.cost_nothing("cancelled");
    assert_eq!(record["side"], "a", "{record:#}");
}

#[test]
fn a_redial_within_the_window_finds_the_reservation_again() {
    let stage = Stage::new();
    stage.plays("caller_cancels", "destination_is_cancelled");
    stage.world.record();
    stage.plays("caller_hangs_up", "destination_answers");
    let records = stage.world.records_once(2);
    let mut causes: Vec<_> = records.iter().map(|record| record["cause"].as_str().unwrap_or_default()).collect();
    causes.sort_unstable();
    assert_eq!(causes, ["answered", "cancelled"], "{records:#?}");
    // After B answered once, never again.
    let mut third = stage.play(stage.caller("caller_is_refused").fill("status", "403"));
    third.succeeds();
    stage.world.records_once(3);
    stage.world.is_at_rest();
}
