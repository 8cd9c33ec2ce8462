//! A caller whose number says nothing keys in a code: asked in words, heard by three ways, and slowed down when it guesses.

use std::borrow::Cow;
use std::time::Duration;

use callthrough::call::Cause;
use callthrough::callthrough::Mode;
use callthrough::media::{self, Codec, Language, Library, g711};
use callthrough::sip::{Body, Header, InDialog, LegEvent};

use crate::support::carrier::{Party, text};
use crate::support::sound::Sound;
use crate::support::switchboard::{ACCESS, ALICE, PRAGUE, Plan, Switchboard};

const WITHHELD: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

fn coded() -> Plan {
    Plan { media: media::Config::default(), modes: vec![Mode::Pinless, Mode::Code], ..Plan::default() }
}

/// A call that we answer to speak with.
async fn dials(board: &Switchboard, from: &str, sound: &mut Sound) -> Party {
    let headers = if from == WITHHELD { vec![Header::new("Privacy", "id")] } else { vec![] };
    let mut caller = board.origin.brings(board.sip, from, ACCESS, Some(sound.described("")), headers).await;
    let answer = caller.is_answered().await;
    assert!(answer.contains("RTP/AVP 8 101\r\n"), "{answer}");
    sound.towards(&answer);
    caller
}

/// Hears the beginning of these words.
async fn is_told(board: &Switchboard, sound: &Sound, language: Language, words: &[&str]) {
    /// The first one and a second: nothing of it is still on its way when the caller goes on.
    const PACKETS: usize = 51;
    let words: Vec<Box<str>> = words.iter().map(|&word| word.into()).collect();
    let expected = Library::open(None).unwrap().speak(language, Codec::Pcma, &words).concat();
    let heard = {
        // Whoever guessed before waits for its answer: the clock goes on until it comes.
        let first = sound.listens_raw(1);
        tokio::pin!(first);
        let first = loop {
            match tokio::time::timeout(Duration::from_millis(300), &mut first).await {
                Ok(first) => break first,
                Err(_) => board.clock.advance(Duration::from_secs(1)),
            }
        };
        board.clock.advance(Duration::from_secs(1));
        [first, sound.listens_raw(PACKETS - 1).await].concat()
    };
    assert!(expected.starts_with(&heard), "not {words:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withheld_caller_gets_through_by_a_code() {
    let board = Switchboard::planned(coded()).await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let code = alice.requests_code(PRAGUE).await;
    let (mut a, mut b) = (Sound::new(1).await, Sound::new(2).await);
    let caller = dials(&board, WITHHELD, &mut a).await;
    is_told(&board, &a, Language::En, &["code"]).await;
    a.keys(&code).await;
    let mut called = north.gets_a_call().await;
    assert!(called.invite().request_uri.starts_with("sip:+420601123456@"), "{}", called.invite().request_uri);
    let offer = text(called.invite().body.as_ref()).to_owned();
    assert!(offer.contains("RTP/AVP 8 101\r\n"), "B is asked for what A speaks: {offer}");
    b.towards(&offer);
    called.answers_with(Some(b.described(""))).await;
    assert!(matches!(called.hears().await, LegEvent::Acked { .. }));
    a.forgets();
    b.hums(440.0, 10).await;
    assert!(g711::share(&a.listens(10).await, 440.0) > 0.9, "B's tone at A");
    board.goes_by(10).await;
    caller.hangs_up().await;
    called.is_hung_up().await;
    let record = board.record().await;
    assert_eq!((record.cause, record.caller.as_deref(), record.duration), (Cause::HungUp, None, Duration::from_secs(10)));
    assert_eq!(alice.balance().await, "4.90", "what was said before B answered costs nothing");

    // A code is good for one call.
    let mut again = Sound::new(3).await;
    let caller = dials(&board, WITHHELD, &mut again).await;
    again.listens_raw(1).await;
    again.forgets();
    again.keys(&code).await;
    is_told(&board, &again, Language::En, &["wrong", "code"]).await;
    caller.hangs_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guesser_has_three_tries_and_then_waits() {
    let board = Switchboard::planned(coded()).await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let mut a = Sound::new(1).await;
    let mut guesser = dials(&board, ALICE, &mut a).await;
    a.listens_raw(1).await;
    for tries in 0..3 {
        a.forgets();
        a.keys("00000000").await;
        let words: &[&str] = if tries < 2 { &["wrong", "code"] } else { &["no_reservation"] };
        is_told(&board, &a, Language::En, words).await;
    }
    board.goes_by(20).await;
    assert_eq!(guesser.is_hung_up().await, "Q.850;21 ");
    assert_eq!(board.record().await.cause.code(), "no_reservation");

    // The next call of the same number has the right code, and still waits.
    let code = alice.requests_code(PRAGUE).await;
    let mut a = Sound::new(2).await;
    let caller = dials(&board, ALICE, &mut a).await;
    a.keys(&code).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(north.is_left_alone(), "three wrong codes before cost four seconds");
    let called = loop {
        match tokio::time::timeout(Duration::from_millis(300), north.gets_a_call()).await {
            Ok(called) => break called,
            Err(_) => board.clock.advance(Duration::from_secs(1)),
        }
    };
    called.refuses(486).await;
    drop(caller);
    board.records(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_heard_as_tones_and_by_info_too() {
    let board = Switchboard::planned(coded()).await;
    let mut north = board.carrier("north", 1).await;
    let alice = board.subscriber(ALICE, "5.00").await;
    let code = alice.requests_code(PRAGUE).await;
    let mut a = Sound::new(1).await;
    let caller = dials(&board, WITHHELD, &mut a).await;
    a.sounds_keys(&code).await;
    north.gets_a_call().await.refuses(486).await;
    drop(caller);
    board.records(1).await;

    let code = alice.requests_code(PRAGUE).await;
    let mut caller = dials(&board, WITHHELD, &mut a).await;
    for key in code.chars() {
        let body =
            Body { content_type: Cow::Borrowed("application/dtmf-relay"), bytes: format!("Signal={key}\r\nDuration=160\r\n").into() };
        caller.asks(InDialog::Info, Some(body)).await;
        while !matches!(caller.hears().await, LegEvent::Response { status: 200, .. }) {}
    }
    north.gets_a_call().await.refuses(486).await;
    drop(caller);
    board.records(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_credit_is_told_so_in_words() {
    let board = Switchboard::planned(coded()).await;
    let alice = board.subscriber(ALICE, "0.10").await;
    let code = alice.requests_code(PRAGUE).await;
    let mut a = Sound::new(1).await;
    let mut caller = dials(&board, WITHHELD, &mut a).await;
    a.listens_raw(1).await;
    a.forgets();
    a.keys(&code).await;
    is_told(&board, &a, Language::En, &["no_credit"]).await;
    board.goes_by(15).await;
    caller.is_hung_up().await;
    assert_eq!(board.record().await.cause.code(), "not_enough_credit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_code_is_taken_a_withheld_caller_is_refused_as_before() {
    let board = Switchboard::planned(Plan { modes: vec![Mode::Pinless], ..coded() }).await;
    let a = Sound::new(1).await;
    let headers = vec![Header::new("Privacy", "id")];
    let mut caller = board.origin.brings(board.sip, WITHHELD, ACCESS, Some(a.described("")), headers).await;
    assert_eq!(caller.is_refused().await, 403);
    assert_eq!(board.record().await.cause.code(), "caller_withheld");
}
