//! Calls that end because the money does.

use std::time::Duration;

use serde_json::json;

use super::*;

#[test]
fn credit_ends_the_call() {
    // 0.015 pays for three seconds at 0.30 a minute.
    let world = World::with("[ledger]\nslice_secs = 1\nmin_talk_secs = 1\n");
    let destination = free_address(FIRST);
    world.trunk_out("first", destination, 10);
    let phone = world.phone(CALLER, "0.015");
    let dialled = world.asks(&phone, DESTINATION);
    let stage = Stage { world, phone, destination, dialled };
    let (a, _) = stage.plays("caller_waits_for_bye", "destination_answers");
    let record = stage.world.record();
    assert_eq!(record["cause"], "credit_exhausted", "{record:#}");
    assert_eq!(record["billed_secs"], 3, "{record:#}");
    assert_eq!(record["side"], Value::Null, "{record:#}");
    let account = stage.world.account(&stage.phone.account);
    assert_eq!((account.balance, account.held), (0, 0), "every micro-unit was paid for and used: {record:#}");
    assert!(a.messages().contains("Credit exhausted"), "the BYE says why\n{}", a.messages());
    stage.world.is_at_rest();
}

#[test]
fn minute_steps_are_charged_whole_and_bound_the_call_by_what_is_paid() {
    let stage = Stage::with("[ledger]\nslice_secs = 60\n");
    let deck = stage.world.deck("0.48", 60, 60);
    let phone = stage.world.phone_with("+15550100002", "0.50", &json!({ "deck_id": deck }));
    let dialled = stage.world.asks(&phone, DESTINATION);
    let mut b = stage.destination("destination_answers");
    let mut a = stage.play(stage.world.calls("caller_hangs_up", &phone, &dialled).pause(Duration::from_millis(1200)));
    a.succeeds();
    b.succeeds();
    let record = stage.world.record();
    assert_eq!((record["billed_secs"].as_i64(), micros(&record["charge"])), (Some(60), 480_000), "{record:#}");
    assert_eq!(stage.world.account(&phone.account).balance, 20_000);
    stage.world.is_at_rest();
}

#[test]
fn the_operator_ends_a_call() {
    let stage = Stage::new();
    let mut b = stage.destination("destination_answers");
    let mut a = stage.play(stage.caller("caller_waits_for_bye"));
    let id = stage.connected(&a);
    stage.world.api.post(&format!("/calls/{id}/hang_up"), &json!({}));
    a.succeeds();
    b.succeeds();
    stage.was_charged("operator", Duration::from_secs(1), Duration::from_secs(2));
}
