//! The machine told facts, one by one and at random.

use proptest::prelude::*;

use super::*;
use crate::types::{Clock, Digit, HoldId, Random, Timestamp};

fn hold() -> HoldId {
    HoldId::new(&Clock::manual(Timestamp::from_micros(1_900_000_000_000_000)), &Random::seeded(5))
}

fn grant(secs: u64) -> Grant {
    Grant { hold: hold(), funded: Duration::from_secs(secs), more: true }
}

fn authorised(secs: u64) -> Fact {
    Fact::Authorised { grant: grant(secs), longest: Duration::from_secs(7200) }
}

fn berlin() -> E164 {
    "+493012345678".parse().unwrap()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A call, the time, and all the orders so far.
struct Script {
    call: Call,
    now: Moment,
    last: Vec<Order>,
}

impl Script {
    fn arrives() -> Self {
        let now = Moment::from_nanos(7_000_000_000);
        let (call, last) = Call::arrived(now, Limits::default());
        Self { call, now, last }
    }

    fn hears(&mut self, fact: Fact) -> &mut Self {
        self.last = self.call.step(self.now, fact);
        self
    }

    fn later(&mut self, by: Duration) -> &mut Self {
        self.now = self.now + by;
        self
    }

    #[track_caller]
    fn does(&mut self, orders: &[Order]) -> &mut Self {
        assert_eq!(self.last, orders);
        self
    }

    /// Up to B's answer, on a grant of this many seconds.
    fn connected(funded_secs: u64) -> Self {
        let mut script = Self::arrives();
        script
            .hears(Fact::Screened(Ok(berlin())))
            .hears(authorised(funded_secs))
            .hears(Fact::Progressed(Side::B, Progress::Ringing))
            .later(secs(3))
            .hears(Fact::Answered(Side::B));
        script
    }

    #[track_caller]
    fn record(&self) -> CallRecord {
        let records: Vec<_> =
            self.last.iter().filter_map(|order| if let Order::Close(record) = order { Some(*record) } else { None }).collect();
        assert_eq!(records.len(), 1, "{:?}", self.last);
        records[0]
    }
}

#[test]
fn a_call_that_is_answered_and_hung_up() {
    let limits = Limits::default();
    let mut script = Script::arrives();
    script.does(&[Order::Arm(Timer::Setup, limits.setup), Order::Screen]);
    script.hears(Fact::Screened(Ok(berlin()))).does(&[Order::Authorise(berlin())]);
    script.hears(authorised(60)).does(&[
        Order::Tell(CallEvent::Accepted),
        Order::Arm(Timer::Silence, limits.silence),
        Order::Dial(Side::B),
    ]);
    script.hears(Fact::Progressed(Side::B, Progress::Trying)).does(&[Order::Disarm(Timer::Silence), Order::Arm(Timer::Ring, limits.ring)]);
    script
        .hears(Fact::Progressed(Side::B, Progress::Ringing))
        .does(&[Order::Progress(Side::A, Progress::Ringing), Order::Tell(CallEvent::Ringing(Side::B))]);
    script.hears(Fact::Progressed(Side::B, Progress::EarlyMedia)).does(&[Order::Progress(Side::A, Progress::EarlyMedia)]);
    script.later(secs(5)).hears(Fact::Answered(Side::B)).does(&[
        Order::Arm(Timer::CreditLimit, secs(60)),
        Order::Arm(Timer::LongestCall, limits.longest),
        Order::Arm(Timer::ExtendAt, secs(30)),
        Order::Disarm(Timer::Setup),
        Order::Disarm(Timer::Silence),
        Order::Disarm(Timer::Ring),
        Order::Answer(Side::A),
        Order::Bridge,
        Order::Tell(CallEvent::Connected(Side::B)),
        Order::Tell(CallEvent::Connected(Side::A)),
        Order::Tell(CallEvent::Bridged),
    ]);
    script.later(secs(20)).hears(Fact::HungUp(Side::A, Cause::HungUp));
    assert_eq!(script.last[0], Order::HangUp(Side::B, Cause::HungUp));
    assert_eq!(script.last[2], Order::Tell(CallEvent::Ended(Cause::HungUp)));
    let record = script.record();
    assert_eq!((record.duration(), record.side, record.grant, record.tried), (secs(20), Some(Side::A), Some(grant(60)), 1));
}

#[test]
fn a_caller_whose_cancel_won_against_the_answer_pays_nothing() {
    let mut script = Script::connected(60);
    script.hears(Fact::HungUp(Side::A, Cause::Cancelled));
    assert_eq!(script.last[0], Order::HangUp(Side::B, Cause::Cancelled));
    let record = script.record();
    assert_eq!((record.answered, record.duration(), record.cause), (None, Duration::ZERO, Cause::Cancelled));
}

#[test]
fn money_is_asked_for_at_half_of_what_remains_and_the_limit_moves_only_with_money() {
    let mut script = Script::connected(60);
    script.later(secs(30)).hears(Fact::Fired(Timer::ExtendAt)).does(&[Order::Extend]);
    script.hears(Fact::Extended(grant(100))).does(&[Order::Arm(Timer::CreditLimit, secs(70)), Order::Arm(Timer::ExtendAt, secs(35))]);
    script.later(secs(35)).hears(Fact::Fired(Timer::ExtendAt)).does(&[Order::Extend]);
    script.hears(Fact::NotExtended).does(&[Order::Arm(Timer::ExtendAt, Duration::from_millis(17_500))]);
    script.later(secs(35)).hears(Fact::NotExtended).does(&[]);
    script.later(Duration::from_millis(80)).hears(Fact::Fired(Timer::CreditLimit));
    assert_eq!(script.last[..2], [Order::HangUp(Side::A, Cause::CreditExhausted), Order::HangUp(Side::B, Cause::CreditExhausted)]);
    assert_eq!(script.record().duration(), secs(100), "the delay of our own hang-up is ours");
}

#[test]
fn an_extension_that_was_overtaken_takes_nothing_back() {
    let mut script = Script::connected(60);
    script.hears(Fact::Extended(grant(120))).hears(Fact::Extended(grant(90)));
    assert_eq!(script.last[0], Order::Arm(Timer::CreditLimit, secs(120)));
}

#[test]
fn the_longest_call_ends() {
    let mut script = Script::connected(9000);
    script.later(secs(7200)).hears(Fact::Fired(Timer::LongestCall));
    assert_eq!((script.record().cause, script.record().duration()), (Cause::LongestCall, secs(7200)));
}

#[test]
fn a_trunk_that_fails_gives_way_to_the_next_and_b_that_says_no_does_not() {
    let limits = Limits::default();
    let mut script = Script::arrives();
    script.hears(Fact::Screened(Ok(berlin()))).hears(authorised(60));
    script.hears(Fact::Refused(Side::B, Cause::TrunkFault)).does(&[
        Order::Disarm(Timer::Ring),
        Order::Tell(CallEvent::Failed(Side::B, Cause::TrunkFault)),
        Order::Arm(Timer::Silence, limits.silence),
        Order::Dial(Side::B),
    ]);
    script.hears(Fact::Fired(Timer::Silence)).does(&[
        Order::HangUp(Side::B, Cause::Silent),
        Order::Disarm(Timer::Ring),
        Order::Tell(CallEvent::Failed(Side::B, Cause::Silent)),
        Order::Arm(Timer::Silence, limits.silence),
        Order::Dial(Side::B),
    ]);
    script.hears(Fact::Refused(Side::B, Cause::Busy));
    assert_eq!(script.last[..2], [Order::Tell(CallEvent::Failed(Side::B, Cause::Busy)), Order::HangUp(Side::A, Cause::Busy)]);
    let record = script.record();
    assert_eq!((record.tried, record.side, record.answered, record.duration()), (3, Some(Side::B), None, Duration::ZERO));
}

#[test]
fn when_no_trunk_is_left_the_caller_hears_so() {
    let mut script = Script::arrives();
    script.hears(Fact::Screened(Ok(berlin()))).hears(authorised(60)).hears(Fact::NoTrunkLeft);
    assert_eq!(script.last[0], Order::Refuse(Side::A, Refusal::AllTrunksFailed));
    assert_eq!(script.record().grant, Some(grant(60)), "a hold was made and must be released");
}

#[test]
fn a_caller_who_leaves_while_the_books_are_asked_leaves_no_hold() {
    let mut script = Script::arrives();
    script.hears(Fact::Screened(Ok(berlin()))).hears(Fact::HungUp(Side::A, Cause::Cancelled));
    script.does(&[Order::Disarm(Timer::Setup), Order::Arm(Timer::Grace, secs(10))]);
    script.hears(authorised(60));
    let record = script.record();
    assert_eq!((record.grant, record.cause, record.side, record.tried), (Some(grant(60)), Cause::Cancelled, Some(Side::A), 0));
}

#[test]
fn refusals_reach_the_caller_and_the_record() {
    let mut script = Script::arrives();
    script.hears(Fact::Screened(Err(Refusal::NoReservation)));
    assert_eq!(script.last[0], Order::Refuse(Side::A, Refusal::NoReservation));
    assert_eq!(script.record().cause, Cause::Refused(Refusal::NoReservation));
    let mut script = Script::arrives();
    script.hears(Fact::Screened(Ok(berlin()))).hears(Fact::Declined(Refusal::NotEnoughCredit));
    assert_eq!(script.last[0], Order::Refuse(Side::A, Refusal::NotEnoughCredit));
}

#[test]
fn nobody_waits_for_ever() {
    for (fact, cause) in [(Fact::Fired(Timer::Ring), Cause::NoAnswer), (Fact::Fired(Timer::Setup), Cause::SetupTimeout)] {
        let mut script = Script::arrives();
        script.hears(Fact::Screened(Ok(berlin()))).hears(authorised(60)).hears(Fact::Progressed(Side::B, Progress::Ringing)).hears(fact);
        assert_eq!(script.last[..2], [Order::HangUp(Side::A, cause), Order::HangUp(Side::B, cause)]);
    }
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let side = prop_oneof![Just(Side::A), Just(Side::B)];
    let cause = prop_oneof![
        Just(Cause::HungUp),
        Just(Cause::Cancelled),
        Just(Cause::Busy),
        Just(Cause::TrunkFault),
        Just(Cause::Silent),
        Just(Cause::Operator)
    ];
    let refusal = prop::sample::select(&Refusal::ALL[..]);
    let progress = prop_oneof![Just(Progress::Trying), Just(Progress::Ringing), Just(Progress::EarlyMedia)];
    prop_oneof![
        3 => Just(Fact::Screened(Ok(berlin()))),
        1 => refusal.clone().prop_map(|refusal| Fact::Screened(Err(refusal))),
        3 => (0_u64..200).prop_map(authorised),
        1 => refusal.prop_map(Fact::Declined),
        1 => Just(Fact::ToCollect),
        8 => (0_u8..12).prop_map(|key| Fact::Pressed(Side::A, Digit::event(key).unwrap())),
        1 => side.clone().prop_map(Fact::Played),
        1 => side.clone().prop_map(Fact::Unheard),
        1 => Just(Fact::NoTrunkLeft),
        2 => (side.clone(), progress).prop_map(|(side, progress)| Fact::Progressed(side, progress)),
        3 => side.clone().prop_map(Fact::Answered),
        2 => (side.clone(), cause.clone()).prop_map(|(side, cause)| Fact::Refused(side, cause)),
        1 => (side, cause.clone()).prop_map(|(side, cause)| Fact::HungUp(side, cause)),
        2 => (0_u64..400).prop_map(|secs| Fact::Extended(grant(secs))),
        2 => Just(Fact::NotExtended),
        2 => prop::sample::select(&Timer::ALL[..]).prop_map(Fact::Fired),
        1 => cause.prop_map(Fact::Stopped),
    ]
}

/// What the orders of a whole call must satisfy, whatever was heard.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is something that was seen")]
struct Witness {
    armed: std::collections::HashSet<Timer>,
    b_answered: bool,
    /// A was answered to be asked for digits.
    spoken_to: bool,
    a_answered: bool,
    a_left: bool,
    /// A's CANCEL won against our 200.
    overtaken: bool,
    a_final: usize,
    closed: usize,
    finals: usize,
    limit_armed: bool,
    granted: bool,
}

impl Witness {
    fn sees(&mut self, fact: Option<Fact>, orders: &[Order], before: State) {
        match fact {
            Some(Fact::Answered(Side::B)) if matches!(before, State::Dialling { .. } | State::Ringing { .. }) => self.b_answered = true,
            Some(Fact::HungUp(Side::A, cause)) if before != State::Ended => {
                self.a_left = true;
                self.overtaken = cause == Cause::Cancelled;
            }
            Some(Fact::Authorised { .. }) if matches!(before, State::Authorising { .. } | State::Ending { .. }) => self.granted = true,
            _ => {}
        }
        for order in orders {
            assert_eq!(self.finals, 0, "nothing follows the final event: {order:?}");
            match *order {
                Order::Arm(timer, _) => {
                    self.armed.insert(timer);
                    self.limit_armed |= timer == Timer::CreditLimit;
                }
                Order::Disarm(timer) => {
                    self.armed.remove(&timer);
                }
                Order::Answer(side) => {
                    assert_eq!(side, Side::A, "only A called us");
                    self.spoken_to = fact == Some(Fact::ToCollect);
                    assert!(self.b_answered || self.spoken_to, "A is answered only when B is, or for its digits");
                    assert!(self.limit_armed || self.spoken_to, "the credit limit is armed before the answer");
                    assert!(!self.a_left && self.a_final == 0);
                    self.a_answered = true;
                    self.a_final += 1;
                }
                Order::Bridge => assert!(self.b_answered && self.limit_armed && self.a_answered),
                Order::Refuse(side, _) => {
                    assert_eq!(side, Side::A);
                    assert!(!self.a_left && !self.a_answered);
                    self.a_final += 1;
                }
                Order::HangUp(Side::A, _) => {
                    assert!(!self.a_left);
                    if !self.a_answered {
                        self.a_final += 1;
                    }
                }
                Order::Close(record) => {
                    self.closed += 1;
                    let talked = if self.spoken_to { self.b_answered } else { self.a_answered };
                    assert_eq!(record.answered.is_some(), talked && !self.overtaken);
                    assert_eq!(record.grant.is_some(), self.granted, "a hold that was made is in the record");
                }
                Order::Tell(event) => self.finals += usize::from(event.is_final()),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Random facts, and then what always comes: the timers that are armed fire, the caller leaves, the books answer.
    #[test]
    fn the_promises_hold_whatever_is_heard(heard in prop::collection::vec((any_fact(), 0_u64..90), 0..40)) {
        let mut now = Moment::from_nanos(1);
        let (mut call, orders) = Call::arrived(now, Limits::default());
        let mut witness = Witness::default();
        witness.sees(None, &orders, State::Screening);
        for (fact, secs) in heard {
            // A timer that is not armed cannot fire.
            if let Fact::Fired(timer) = fact && !witness.armed.contains(&timer) {
                continue;
            }
            now = now + Duration::from_secs(secs);
            let before = *call.state();
            let orders = call.step(now, fact);
            witness.sees(Some(fact), &orders, before);
        }
        for timer in [Timer::Setup, Timer::Parting, Timer::Grace, Timer::LongestCall] {
            if witness.armed.contains(&timer) {
                let before = *call.state();
                let orders = call.step(now, Fact::Fired(timer));
                witness.sees(Some(Fact::Fired(timer)), &orders, before);
            }
        }
        prop_assert_eq!(call.state(), &State::Ended);
        prop_assert_eq!((witness.closed, witness.finals), (1, 1));
        prop_assert!(witness.a_left || witness.a_final == 1, "the caller gets a final response or has left");
    }

    /// An armed hang-up timer never lies beyond the money.
    #[test]
    fn the_limit_is_the_funded_time(first in 1_u64..200, steps in prop::collection::vec((0_u64..30, 0_u64..400), 0..20)) {
        let mut script = Script::connected(first);
        let (answered, mut funded) = (script.now, first);
        for (wait, more) in steps {
            script.later(secs(wait)).hears(Fact::Extended(grant(more)));
            funded = funded.max(more);
            let Order::Arm(Timer::CreditLimit, left) = script.last[0] else { panic!("{:?}", script.last) };
            prop_assert_eq!(left, secs(funded).saturating_sub(script.now.since(answered)));
        }
    }
}
