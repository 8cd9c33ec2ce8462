//! The sound of a call goes through the relay: it is heard at the other end, noticed when it is gone, and told in the record.

use std::time::Duration;

use callthrough::call::Cause;
use callthrough::ledger;
use callthrough::media::{self, g711};
use callthrough::sip::{InDialog, LegEvent};

use crate::support::carrier::{Party, text};
use crate::support::sound::Sound;
use crate::support::switchboard::{ACCESS, ALICE, PRAGUE, Plan, Switchboard};

fn relayed() -> Plan {
    let ledger = ledger::Config { slice_secs: 300, ..ledger::Config::default() };
    Plan { media: media::Config::default(), ledger, ..Plan::default() }
}

/// A call whose both ends have sound.
pub(super) async fn talk(board: &Switchboard, a: &mut Sound, b: &mut Sound) -> (Party, Party) {
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    alice.requests(PRAGUE).await;
    let mut caller = board.origin.brings(board.sip, ALICE, ACCESS, Some(a.described("a=x-own:kept as it is\r\n")), vec![]).await;
    let mut called = north.gets_a_call().await;
    let offer = text(called.invite().body.as_ref()).to_owned();
    assert!(offer.contains("a=x-own:kept as it is\r\n"), "{offer}");
    let at = b.towards(&offer);
    assert!(at != a.address() && at.port().is_multiple_of(2), "the relay is in between: {at}");
    called.answers_with(Some(b.described(""))).await;
    let answer = caller.is_answered().await;
    assert_ne!(a.towards(&answer), b.address());
    assert!(matches!(called.hears().await, LegEvent::Acked { .. }));
    (caller, called)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tone_at_one_end_is_heard_at_the_other_and_keys_pass() {
    let board = Switchboard::planned(relayed()).await;
    let (mut a, mut b) = (Sound::new(1).await, Sound::new(2).await);
    let (caller, mut called) = talk(&board, &mut a, &mut b).await;
    a.hums(1_000.0, 25).await;
    let heard = b.listens(25).await;
    assert!(g711::share(&heard, 1_000.0) > 0.9, "A's tone at B");
    b.hums(440.0, 25).await;
    let heard = a.listens(25).await;
    assert!(g711::share(&heard, 440.0) > 0.9, "B's tone at A");
    a.presses(5).await;
    let (packet, payload, _) = b.hears().await;
    assert_eq!((packet.payload_type, packet.ssrc, payload[0]), (101, 1, 5), "the event passes as it is");
    board.goes_by(10).await;
    caller.hangs_up().await;
    called.is_hung_up().await;
    let sound = board.record().await.sound.expect("the relay counted");
    assert_eq!((sound.a.packets, sound.a.lost, sound.b.packets, sound.b.lost), (34, 0, 25, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_not_heard_and_a_caller_behind_nat_is() {
    let board = Switchboard::planned(relayed()).await;
    let (mut a, mut b) = (Sound::new(1).await, Sound::new(2).await);
    let (caller, mut called) = talk(&board, &mut a, &mut b).await;
    a.hums(1_000.0, 1).await;
    b.listens(1).await;
    let mut stranger = Sound::new(3).await;
    stranger.to = a.to;
    stranger.hums(440.0, 3).await;
    assert!(b.hears_nothing().await, "A is known by now");
    // B describes itself at one port and speaks from another one, as behind a NAT.
    let mut elsewhere = Sound::new(2).await;
    elsewhere.to = b.to;
    elsewhere.hums(440.0, 1).await;
    a.listens(1).await;
    a.hums(1_000.0, 1).await;
    elsewhere.listens(1).await;
    caller.hangs_up().await;
    called.is_hung_up().await;
    board.record().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_put_on_hold_keeps_its_ports_and_is_not_taken_for_lost() {
    let board = Switchboard::planned(relayed()).await;
    let (mut a, mut b) = (Sound::new(1).await, Sound::new(2).await);
    let (mut caller, mut called) = talk(&board, &mut a, &mut b).await;
    let at = b.to;
    caller.asks(InDialog::Reinvite, Some(a.described("a=inactive\r\n"))).await;
    let LegEvent::Request { id, body, .. } = called.hears().await else { panic!("no re-INVITE") };
    assert!(text(body.as_ref()).contains("a=inactive\r\n"));
    assert_eq!(Some(b.towards(text(body.as_ref()))), at, "the ports stay");
    called.responds(id, 200, Some(b.described("a=inactive\r\n"))).await;
    assert!(matches!(caller.hears().await, LegEvent::Response { status: 200, .. }));
    board.goes_by(90).await;
    caller.hangs_up().await;
    let record = board.record().await;
    assert_eq!((record.cause, record.duration), (Cause::HungUp, Duration::from_secs(90)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_without_sound_ends_the_call_and_settles_it() {
    let board = Switchboard::planned(relayed()).await;
    let (mut a, mut b) = (Sound::new(1).await, Sound::new(2).await);
    let (mut caller, mut called) = talk(&board, &mut a, &mut b).await;
    board.goes_by(30).await;
    a.hums(1_000.0, 1).await;
    b.listens(1).await;
    board.goes_by(40).await;
    assert_eq!(caller.is_hung_up().await, "Q.850;27 No sound");
    called.is_hung_up().await;
    let record = board.record().await;
    assert_eq!((record.cause, record.side, record.duration), (Cause::NoSound, None, Duration::from_secs(60)));
}
