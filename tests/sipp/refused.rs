//! Every reason to say no that a caller can hear, with its status, and the word of its record.

use std::time::Duration;

use serde_json::json;

use super::*;

impl Stage {
    /// The caller hears `status`; the one record says `cause`; nothing was charged.
    #[track_caller]
    fn is_refused(&self, status: &str, cause: &str) {
        self.play(self.caller("caller_is_refused").fill("status", status)).succeeds();
        let record = self.cost_nothing(cause);
        assert_eq!(record["sip_status"].as_u64(), status.parse().ok(), "{record:#}");
    }
}

#[test]
fn a_stranger_never_reaches_the_room() {
    let stage = Stage::new();
    let stranger = free_address(SECOND);
    let script = Script::caller("caller_is_refused", stranger, stage.world.server.sip, CALLER, &stage.dialled);
    stage.play(script.fill("status", "403")).succeeds();
    assert_eq!(stage.world.records().len(), 0, "a stranger leaves no record");
    // The reservation is untouched.
    stage.plays("caller_hangs_up", "destination_answers");
    stage.was_charged("answered", Duration::from_secs(1), Duration::from_secs(1));
}

#[test]
fn an_unknown_caller_has_no_reservation() {
    let mut stage = Stage::new();
    let known = std::mem::replace(&mut stage.phone.number, "+15550199999".to_owned());
    stage.is_refused("403", "no_reservation");
    stage.phone.number = known;
}

#[test]
fn the_right_caller_at_another_access_number_has_no_reservation() {
    let mut stage = Stage::new();
    stage.world.api.post("/access-numbers", &json!({ "number": "+15551230009", "country": "US" }));
    stage.dialled = "+15551230009".to_owned();
    stage.is_refused("403", "no_reservation");
}

#[test]
fn a_number_that_is_not_ours_has_no_reservation() {
    let mut stage = Stage::new();
    stage.dialled = "+15551239999".to_owned();
    stage.is_refused("403", "no_reservation");
}

#[test]
fn a_withheld_caller_is_refused() {
    let mut stage = Stage::new();
    stage.phone.number = "anonymous".to_owned();
    stage.is_refused("403", "caller_withheld");
}

#[test]
fn an_expired_reservation_is_refused() {
    /// The shortest life there is.
    const LIFE: Duration = Duration::from_secs(15);
    let stage = Stage::with("[callthrough]\nlife_secs = 15\nlate_grace_secs = 0\n");
    std::thread::sleep(LIFE + Duration::from_millis(200));
    stage.is_refused("403", "reservation_expired");
}

#[test]
fn a_late_caller_is_let_in_within_grace() {
    const LIFE: Duration = Duration::from_secs(15);
    let stage = Stage::with("[callthrough]\nlife_secs = 15\nlate_grace_secs = 10\n");
    std::thread::sleep(LIFE + Duration::from_millis(200));
    stage.plays("caller_hangs_up", "destination_answers");
    let record = stage.was_charged("answered", Duration::from_secs(1), Duration::from_secs(1));
    assert_eq!(record["late"], true, "{record:#}");
}

#[test]
fn a_caller_the_carrier_does_not_vouch_for_is_refused() {
    let mut stage = Stage::new();
    let carrier = free_address(SECOND);
    stage.world.trunk("strict", &json!({ "addresses": [carrier.to_string()], "attestation": "require_a" }));
    stage.world.carrier = carrier;
    stage.is_refused("403", "caller_unverified");
}

#[test]
fn a_second_call_cannot_take_the_reservation_of_a_live_one() {
    let stage = Stage::new();
    let other = free_address(SECOND);
    stage.world.trunk("other", &json!({ "addresses": [other.to_string()] }));
    let mut b = stage.destination("destination_is_cancelled");
    let mut a = stage.play(stage.caller("caller_cancels_after").fill("wait", "1500"));
    let rings = crate::support::eventually(Duration::from_secs(10), || a.messages().contains("SIP/2.0 180").then_some(()));
    assert!(rings.is_some(), "it does not ring\n{}", a.shown());
    let second = Script::caller("caller_is_refused", other, stage.world.server.sip, CALLER, &stage.dialled);
    stage.play(second.fill("status", "486")).succeeds();
    a.succeeds();
    b.succeeds();
    let records = stage.world.records_once(2);
    assert!(records.iter().any(|record| record["cause"] == "reservation_used"), "{records:#?}");
    assert!(records.iter().any(|record| record["cause"] == "cancelled"), "{records:#?}");
    stage.world.is_at_rest();
}

#[test]
fn whatever_changed_since_the_request_is_checked_again_at_arrival() {
    let cap = json!({ "amount": "0.001", "currency": "EUR" });
    for (changes, status, cause) in [
        (json!({ "enabled": false }), "403", "disabled"),
        (json!({ "max_calls_hour": 0 }), "486", "too_fast"),
        (json!({ "max_calls": 0 }), "486", "too_many_calls"),
        (json!({ "spend_cap": cap }), "403", "spend_cap"),
        (json!({ "max_price": { "amount": "0.01", "currency": "EUR" } }), "403", "no_rate"),
    ] {
        let stage = Stage::new();
        stage.world.change(&stage.phone, &changes);
        stage.is_refused(status, cause);
    }
}

#[test]
fn credit_that_is_gone_at_arrival_refuses_the_call() {
    let stage = Stage::new();
    let body = json!({ "amount": { "amount": "-5.00", "currency": "EUR" }, "reason": "test" });
    stage.world.api.post(&format!("/accounts/{}/adjust", stage.phone.account), &body);
    stage.play(stage.caller("caller_is_refused").fill("status", "403")).succeeds();
    let record = stage.world.record();
    assert_eq!(record["cause"], "not_enough_credit", "{record:#}");
    assert_eq!(stage.world.account(&stage.phone.account).balance, 0);
    stage.world.is_at_rest();
}

#[test]
fn one_call_more_than_allowed_at_once_is_refused() {
    let stage = Stage::with("[ledger]\nmax_calls = 1\n");
    let other = free_address(SECOND);
    stage.world.trunk("other", &json!({ "addresses": [other.to_string()] }));
    let mut b = stage.destination("destination_answers");
    let mut a = stage.play(stage.caller("caller_hangs_up").pause(Duration::from_secs(3)));
    stage.connected(&a);
    // The same phone asks for a second call and dials, while the first is up.
    let dialled = stage.world.asks(&stage.phone, "+15551235555");
    let second = Script::caller("caller_is_refused", other, stage.world.server.sip, CALLER, &dialled);
    stage.play(second.fill("status", "486")).succeeds();
    a.succeeds();
    b.succeeds();
    let records = stage.world.records_once(2);
    assert!(records.iter().any(|record| record["cause"] == "too_many_calls"), "{records:#?}");
    stage.world.is_at_rest();
}

#[test]
fn books_that_cannot_be_reached_admit_nobody() {
    let stage = Stage::with("[ledger]\nbooks_timeout_ms = 500\n");
    let locked = stage.world.server.lock_books();
    stage.play(stage.caller("caller_is_refused").fill("status", "503")).succeeds();
    drop(locked);
    let record = stage.world.record();
    assert_eq!(record["cause"], "books_down", "{record:#}");
    stage.world.is_at_rest();
}

#[test]
fn a_server_about_to_stop_takes_no_new_calls_and_lets_the_running_one_end() {
    let mut stage = Stage::new();
    let second = stage.world.phone("+15550100002", "1.00");
    let dialled = stage.world.asks(&second, "+15551235678");
    let other = free_address(SECOND);
    stage.world.trunk("other", &json!({ "addresses": [other.to_string()] }));
    let mut b = stage.destination("destination_answers");
    let mut a = stage.play(stage.caller("caller_hangs_up").pause(Duration::from_secs(3)));
    stage.connected(&a);
    stage.world.server.terminate();
    let late = Script::caller("caller_is_refused", other, stage.world.server.sip, &second.number, &dialled).fill("status", "503");
    // The signal takes a moment to be heard; the caller rings after that.
    std::thread::sleep(Duration::from_millis(300));
    stage.play(late).succeeds();
    a.succeeds();
    b.succeeds();
    assert_eq!(stage.world.server.ended(), 0, "a drained server ends well\n{}", stage.world.server.shown());
    stage.world.server.books_are_clean();
    assert_eq!(stage.world.open_holds(), 0);
    assert_eq!(stage.world.count("select count(*) from cdr"), 2);
}

#[test]
fn a_second_signal_ends_the_running_calls_at_once_and_writes_them_down() {
    let mut stage = Stage::new();
    let mut b = stage.destination("destination_answers");
    let mut a = stage.play(stage.caller("caller_waits_for_bye"));
    let up = crate::support::eventually(Duration::from_secs(10), || {
        stage.world.api.list("/calls").into_iter().find(|call| call["state"] == "connected")
    });
    assert!(up.is_some(), "the call is not up\n{}", a.shown());
    stage.world.server.terminate();
    // Two signals in one moment are one signal to the system.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!a.is_over(), "the first signal lets the call go on");
    stage.world.server.terminate();
    a.succeeds();
    b.succeeds();
    assert_eq!(stage.world.server.ended(), 0, "{}", stage.world.server.shown());
    stage.world.server.books_are_clean();
    assert_eq!(stage.world.open_holds(), 0);
    assert_eq!(stage.world.count("select count(*) from cdr where cause = 'server_stopped' and answered_at_us is not null"), 1);
}
