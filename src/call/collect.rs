//! A is asked for a code: answered, told what to key in, heard, and told when it was wrong.

use std::time::Duration;

use super::{Call, Grant, Order, Prompt, State, Timer};
use crate::types::{Digit, Digits, Moment, Refusal, Side};

/// Digits of a one-time code.
pub(super) const CODE_DIGITS: usize = 8;
/// Wrong codes that one call may bring (spec: security, T10).
const MOST_TRIES: u8 = 3;
/// From the prompt to the first key: the prompt is said meanwhile.
const FIRST_KEY: Duration = Duration::from_secs(20);
/// From one key to the next.
const NEXT_KEY: Duration = Duration::from_secs(8);
/// What the last sentence may take.
const LAST_WORDS: Duration = Duration::from_secs(15);

impl Call {
    pub(super) fn ask_for_digits(&mut self) -> Vec<Order> {
        self.spoken_to = true;
        self.state = State::Collecting { digits: Digits::NONE, tries: 0 };
        vec![Order::Answer(Side::A), Order::Play(Side::A, Prompt::Code), Order::Arm(Timer::Digits, FIRST_KEY)]
    }

    /// Star begins anew; hash says that it was all.
    pub(super) fn press(&mut self, now: Moment, digits: Digits, tries: u8, digit: Digit) -> Vec<Order> {
        let digits = match digit {
            Digit::STAR => Digits::NONE,
            Digit::HASH if digits.count() == 0 => digits,
            Digit::HASH => return self.wrong(now, tries),
            digit => digits.with(digit),
        };
        if digits.count() == CODE_DIGITS {
            self.state = State::Checking { tries };
            return vec![Order::Disarm(Timer::Digits), Order::Hush(Side::A), Order::Check(digits)];
        }
        self.state = State::Collecting { digits, tries };
        vec![Order::Hush(Side::A), Order::Arm(Timer::Digits, NEXT_KEY)]
    }

    /// One try less.
    pub(super) fn wrong(&mut self, now: Moment, tries: u8) -> Vec<Order> {
        let tries = tries + 1;
        if tries >= MOST_TRIES {
            return self.refuse(now, None, Refusal::NoReservation);
        }
        self.state = State::Collecting { digits: Digits::NONE, tries };
        vec![Order::Play(Side::A, Prompt::WrongCode), Order::Arm(Timer::Digits, FIRST_KEY)]
    }

    /// Whoever was answered is told why the call comes to nothing, and then hung up.
    pub(super) fn part(&mut self, grant: Option<Grant>, refusal: Refusal) -> Vec<Order> {
        self.state = State::Parting { grant, refusal };
        vec![
            Order::Disarm(Timer::Setup),
            Order::Disarm(Timer::Digits),
            Order::Play(Side::A, Prompt::Refused(refusal)),
            Order::Arm(Timer::Parting, LAST_WORDS),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CallEvent, Cause, Fact, Limits, Progress};
    use super::*;
    use crate::types::{Clock, HoldId, Random, Timestamp};

    fn grant(more: bool) -> Grant {
        let hold = HoldId::new(&Clock::manual(Timestamp::from_micros(1)), &Random::seeded(5));
        Grant { hold, funded: Duration::from_secs(100), more }
    }

    fn asked() -> Call {
        let (mut call, _) = Call::arrived(Moment::from_nanos(1), Limits::default());
        let orders = call.step(Moment::from_nanos(2), Fact::ToCollect);
        assert_eq!(orders[..2], [Order::Answer(Side::A), Order::Play(Side::A, Prompt::Code)]);
        call
    }

    fn keys(call: &mut Call, text: &str) -> Vec<Order> {
        text.chars().filter_map(Digit::new).map(|digit| call.step(Moment::from_nanos(3), Fact::Pressed(Side::A, digit))).last().unwrap()
    }

    fn hears(call: &mut Call, fact: Fact) -> Vec<Order> {
        call.step(Moment::from_nanos(4), fact)
    }

    #[test]
    fn eight_digits_are_checked_and_star_begins_anew() {
        let mut call = asked();
        assert_eq!(keys(&mut call, "123"), [Order::Hush(Side::A), Order::Arm(Timer::Digits, NEXT_KEY)]);
        let orders = keys(&mut call, "*87654321");
        let Some(Order::Check(digits)) = orders.last() else { panic!("{orders:?}") };
        assert_eq!(digits.reveal(), "87654321");
        assert_eq!(call.state(), &State::Checking { tries: 0 });
    }

    #[test]
    fn the_third_wrong_code_is_the_last() {
        let mut call = asked();
        for _ in 0..2 {
            keys(&mut call, "12345678");
            let orders = hears(&mut call, Fact::Screened(Err(Refusal::NoReservation)));
            assert_eq!(orders[0], Order::Play(Side::A, Prompt::WrongCode));
        }
        keys(&mut call, "1");
        assert!(hears(&mut call, Fact::Fired(Timer::Digits)).contains(&Order::Play(Side::A, Prompt::Refused(Refusal::NoReservation))));
        let orders = hears(&mut call, Fact::Played(Side::A));
        assert_eq!(orders[0], Order::HangUp(Side::A, Cause::Refused(Refusal::NoReservation)));
        assert_eq!(call.state(), &State::Ended);
    }

    #[test]
    fn with_the_right_code_the_call_goes_on_and_is_charged_from_bs_answer() {
        let mut call = asked();
        keys(&mut call, "12345678");
        let destination = "+420601123456".parse().unwrap();
        assert_eq!(hears(&mut call, Fact::Screened(Ok(destination))), [Order::Authorise(destination)]);
        let orders = hears(&mut call, Fact::Authorised { grant: grant(false), longest: Duration::from_secs(7200) });
        assert!(orders.contains(&Order::Play(Side::A, Prompt::Standing(grant(false)))) && orders.contains(&Order::Dial(Side::B)));
        let orders = hears(&mut call, Fact::Progressed(Side::B, Progress::Ringing));
        assert!(orders.contains(&Order::Play(Side::A, Prompt::Ringing)) && !orders.contains(&Order::Progress(Side::A, Progress::Ringing)));
        let orders = hears(&mut call, Fact::Answered(Side::B));
        assert!(orders.contains(&Order::Hush(Side::A)) && !orders.contains(&Order::Answer(Side::A)), "it was answered before");
        assert!(orders.contains(&Order::Arm(Timer::Warning, Duration::from_secs(70))) && orders.contains(&Order::Bridge));
        let orders = call.step(Moment::from_nanos(4) + Duration::from_secs(70), Fact::Fired(Timer::Warning));
        assert_eq!(orders, [Order::Play(Side::A, Prompt::Warning)]);
        let orders = hears(&mut call, Fact::HungUp(Side::A, Cause::HungUp));
        assert!(orders.iter().any(|order| matches!(order, Order::Close(record) if record.answered.is_some())));
    }

    #[test]
    fn who_was_answered_is_told_what_stands_in_the_way() {
        let mut call = asked();
        keys(&mut call, "12345678");
        hears(&mut call, Fact::Screened(Ok("+420601123456".parse().unwrap())));
        let orders = hears(&mut call, Fact::Declined(Refusal::NotEnoughCredit));
        assert!(orders.contains(&Order::Play(Side::A, Prompt::Refused(Refusal::NotEnoughCredit))));
        let orders = hears(&mut call, Fact::HungUp(Side::A, Cause::HungUp));
        let cause = Cause::Refused(Refusal::NotEnoughCredit);
        assert!(orders.contains(&Order::Tell(CallEvent::Ended(cause))) && !orders.contains(&Order::HangUp(Side::A, cause)));
    }
}
