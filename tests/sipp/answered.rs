//! Calls that are answered.

use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_call_is_answered_and_the_caller_hangs_up() {
    let stage = Stage::new();
    let mut b = stage.destination("destination_answers");
    let mut a = stage.play(stage.caller("caller_hangs_up").pause(Duration::from_millis(1500)));
    a.succeeds();
    b.succeeds();
    assert!(was_invited(&b.messages(), DESTINATION), "{}", b.messages());
    let record = stage.was_charged("answered", 2 * SECOND, 2 * SECOND);
    assert_eq!(record["side"], "a", "{record:#}");
    assert_eq!(record["destination"], DESTINATION, "{record:#}");
    assert_eq!(record["caller"], CALLER, "{record:#}");
}

#[test]
fn the_destination_hangs_up() {
    let stage = Stage::new();
    let mut b = stage.play(Script::destination("destination_hangs_up", stage.destination).pause(Duration::from_millis(1500)));
    let mut a = stage.play(stage.caller("caller_waits_for_bye"));
    a.succeeds();
    b.succeeds();
    let record = stage.was_charged("answered", 2 * SECOND, 2 * SECOND);
    assert_eq!(record["side"], "b", "{record:#}");
}

#[test]
fn early_media_reaches_the_caller_before_the_answer() {
    let stage = Stage::new();
    let mut b = stage.destination("destination_answers_early");
    let mut a = stage.play(stage.caller("caller_hears_early_media").pause(Duration::from_millis(200)));
    a.succeeds();
    b.succeeds();
    stage.was_charged("answered", SECOND, SECOND);
}

#[test]
fn the_caller_repeats_itself_and_loses_its_ack() {
    let stage = Stage::new();
    let mut b = stage.destination("destination_answers");
    let mut a = stage.play(stage.caller("caller_repeats_and_loses_ack").hears_repetitions());
    a.succeeds();
    b.succeeds();
    assert_eq!(b.messages().matches("INVITE sip:").count(), 1, "the repeated INVITE made a second call\n{}", b.messages());
    stage.was_charged("answered", SECOND, 2 * SECOND);
}

#[test]
fn the_destination_loses_our_ack_and_repeats_its_answer() {
    let stage = Stage::new();
    let mut b = stage.play(Script::destination("destination_repeats_its_answer", stage.destination).hears_repetitions());
    let mut a = stage.play(stage.caller("caller_hangs_up").pause(Duration::from_millis(500)));
    a.succeeds();
    b.succeeds();
    stage.was_charged("answered", SECOND, SECOND);
}

#[test]
fn a_caller_that_never_acknowledges_is_hung_up() {
    // RFC 3261 §13.3.1.4: the 200 is repeated for 64 T1; then BYE. T1 is 50 ms here.
    let stage = Stage::with("t1_ms = 50\n");
    let mut b = stage.destination("destination_answers");
    let mut a = stage.play(stage.caller("caller_never_acknowledges").hears_repetitions());
    a.succeeds();
    b.succeeds();
    let repeats = a.messages().matches("SIP/2.0 200 ").count();
    assert!((5..=80).contains(&repeats), "the answer was heard {repeats} times\n{}", a.messages());
    let record = stage.was_charged("lost", 3 * SECOND, 5 * SECOND);
    assert!(record["answered_at"].is_string(), "{record:#}");
}

#[test]
fn two_phones_answer_and_only_the_first_has_the_call() {
    let stage = Stage::new();
    let mut b = stage.destination("destination_forks");
    let mut a = stage.play(stage.caller("caller_hangs_up").pause(Duration::from_millis(800)));
    a.succeeds();
    b.succeeds();
    stage.was_charged("answered", SECOND, SECOND);
}

#[test]
fn calls_survive_a_network_that_loses_one_datagram_in_twenty() {
    const CALLS: u32 = 40;
    // Each side loses its own share, in both directions. T1 is short, so that repetitions do not take the whole day.
    let stage = Stage::with("t1_ms = 100\n");
    let mut lines = "SEQUENTIAL\n".to_owned();
    for n in 0..CALLS {
        let phone = stage.world.phone(&format!("+1555011{n:04}"), "1.00");
        let dialled = stage.world.asks(&phone, &format!("+1555022{n:04}"));
        lines.push_str(&format!("{};{dialled};\n", phone.number));
    }
    let calls = stage.world.folder.file("calls.csv");
    std::fs::write(&calls, lines).expect("a file");
    let lossy = ["-lost", "5", "-max_retrans", "12"];
    // A SIPp that lost our ACK gives its own call up at the BYE, and one that lost its BYE takes the next for a new call: so the
    // destination stays for as many as come, and the caller's side and the records are what counts.
    let mut b = stage.play(Script::destination("load_destination", stage.destination).calls(CALLS * 10).with(&lossy));
    let mut a = stage.play(
        stage
            .caller("load_caller")
            .calls(CALLS)
            .pause(Duration::from_millis(300))
            .with(&["-inf", &calls.display().to_string(), "-r", "20", "-l", "40"])
            .with(&lossy),
    );
    a.succeeds();
    b.stop();
    let records = stage.world.records_once(usize::try_from(CALLS).unwrap());
    assert_eq!(records.len(), usize::try_from(CALLS).unwrap());
    assert!(records.iter().all(|record| record["cause"] == "answered"), "{records:#?}");
    stage.world.is_at_rest();
}
