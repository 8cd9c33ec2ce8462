use std::time::Duration;

use crate::types::{E164, Moment, Refusal, Side};

use super::{CallEvent, CallRecord, Cause, Fact, Grant, Order, Progress, Prompt, State, Timer};

/// Trunks one call may try: a longer list is cut, so that no call runs for ever.
const MOST_TRIES: u8 = 8;
/// So long before the money ends, A hears a tone.
const WARNING: Duration = Duration::from_secs(30);
/// A tone sooner after the answer, or after the alarm before, than this tells nothing new.
const LEAST_BEFORE_WARNING: Duration = Duration::from_secs(5);
/// Below this much remaining time there is no point in asking for more money.
const LEAST_EXTEND: Duration = Duration::from_millis(500);

/// How long the parts of a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From arrival to a final response.
    pub setup: Duration,
    /// From dialling a trunk to its first word.
    pub silence: Duration,
    /// From B's first word to its answer.
    pub ring: Duration,
    /// From answer to end.
    pub longest: Duration,
    /// What the books get to answer a call that is already over.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            setup: Duration::from_secs(180),
            silence: Duration::from_secs(4),
            ring: Duration::from_secs(120),
            longest: Duration::from_secs(7200),
            grace: Duration::from_secs(10),
        }
    }
}

/// A call-through: A arrives, B is dialled, A is answered when B is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    limits: Limits,
    pub(super) state: State,
    began: Moment,
    progressed: Option<Moment>,
    destination: Option<E164>,
    tried: u8,
    /// We have answered A ourselves, to speak with it.
    pub(super) spoken_to: bool,
}

impl Call {
    /// A call has arrived from A: the machine and its first orders.
    pub fn arrived(now: Moment, limits: Limits) -> (Self, Vec<Order>) {
        let call = Self { limits, state: State::Screening, began: now, progressed: None, destination: None, tried: 0, spoken_to: false };
        (call, vec![Order::Arm(Timer::Setup, limits.setup), Order::Screen])
    }

    /// Where the call stands.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Tells the machine one fact; what it returns is to be done in that order.
    #[expect(clippy::match_same_arms, reason = "one line a pair, under the reason it is there")]
    pub fn step(&mut self, now: Moment, fact: Fact) -> Vec<Order> {
        use Fact as F;
        use Side::{A, B};
        use State as S;
        match (self.state, fact) {
            // The product rules.
            (S::Screening, F::Screened(Ok(destination))) => self.authorise(destination),
            (S::Screening, F::Screened(Err(refusal))) => self.refuse(now, None, refusal),
            (S::Screening, F::HungUp(A, cause)) => self.end(now, None, cause, Some(A)),
            (S::Screening, F::Fired(Timer::Setup)) => self.end(now, None, Cause::SetupTimeout, None),
            (S::Screening, F::Stopped(cause)) => self.end(now, None, cause, None),

            (S::Screening, F::ToCollect) => self.ask_for_digits(),

            // Whose call it is only its digits can tell.
            (S::Collecting { digits, tries }, F::Pressed(A, digit)) => self.press(now, digits, tries, digit),
            (S::Collecting { tries, .. }, F::Fired(Timer::Digits)) => self.wrong(now, tries),
            (S::Checking { .. }, F::Screened(Ok(destination))) => self.authorise(destination),
            (S::Checking { tries }, F::Screened(Err(Refusal::NoReservation | Refusal::ReservationExpired))) => self.wrong(now, tries),
            (S::Checking { .. }, F::Screened(Err(refusal))) => self.refuse(now, None, refusal),
            (S::Collecting { .. } | S::Checking { .. }, F::HungUp(A, cause)) => self.end(now, None, cause, Some(A)),
            (S::Collecting { .. } | S::Checking { .. }, F::Fired(Timer::Setup)) => self.end(now, None, Cause::SetupTimeout, None),
            (S::Collecting { .. } | S::Checking { .. }, F::Stopped(cause)) => self.end(now, None, cause, None),

            // A is told why not.
            (S::Parting { grant, refusal }, F::Played(A) | F::Fired(Timer::Parting)) => self.end(now, grant, Cause::Refused(refusal), None),
            (S::Parting { grant, refusal }, F::HungUp(A, _)) => self.end(now, grant, Cause::Refused(refusal), Some(A)),
            (S::Parting { grant, .. }, F::Stopped(cause)) => self.end(now, grant, cause, None),

            // The books. Until they answer a hold may exist, so the record waits for them.
            (S::Authorising { .. }, F::Authorised { grant, longest }) => self.accept(grant, longest),
            (S::Authorising { .. }, F::Declined(refusal)) => self.refuse(now, None, refusal),
            (S::Authorising { .. }, F::HungUp(A, cause)) => self.end_when_books_answer(now, cause, Some(A)),
            (S::Authorising { .. }, F::Fired(Timer::Setup)) => self.end_when_books_answer(now, Cause::SetupTimeout, None),
            (S::Authorising { .. }, F::Stopped(cause)) => self.end_when_books_answer(now, cause, None),

            // On the way to B, trunk after trunk.
            (S::Dialling { grant } | S::Ringing { grant }, F::NoTrunkLeft) => self.refuse(now, Some(grant), Refusal::AllTrunksFailed),
            (S::Dialling { grant } | S::Ringing { grant }, F::Progressed(B, progress)) => self.progress(now, grant, progress),
            (S::Dialling { grant } | S::Ringing { grant }, F::Answered(B)) => self.connect(now, grant),
            (S::Dialling { grant } | S::Ringing { grant }, F::Refused(B, cause)) => self.try_next(now, grant, cause),
            (S::Dialling { grant } | S::Ringing { grant }, F::HungUp(B, cause)) => self.try_next(now, grant, cause),
            (S::Dialling { grant }, F::Fired(Timer::Silence)) => self.skip_silent_trunk(now, grant),
            (S::Ringing { grant }, F::Fired(Timer::Ring)) => self.end(now, Some(grant), Cause::NoAnswer, None),
            (S::Dialling { grant } | S::Ringing { grant }, F::HungUp(A, cause)) => self.end(now, Some(grant), cause, Some(A)),
            (S::Dialling { grant } | S::Ringing { grant }, F::Fired(Timer::Setup)) => self.end(now, Some(grant), Cause::SetupTimeout, None),
            (S::Dialling { grant } | S::Ringing { grant }, F::Stopped(cause)) => self.end(now, Some(grant), cause, None),

            // They talk.
            (S::Connected { .. }, F::Fired(Timer::ExtendAt)) => vec![Order::Extend],
            (S::Connected { answered_at, grant }, F::Extended(more)) => self.extend(now, answered_at, grant, more),
            (S::Connected { answered_at, grant }, F::NotExtended) => {
                Self::ask_again(now, answered_at, grant).into_iter().chain(Self::warning(now, answered_at, grant)).collect()
            }
            (S::Connected { answered_at, grant }, F::Fired(Timer::Warning)) => Self::warn_or_wait(now, answered_at, grant),
            (S::Connected { grant, .. }, F::Fired(Timer::CreditLimit)) => self.end(now, Some(grant), Cause::CreditExhausted, None),
            (S::Connected { grant, .. }, F::Fired(Timer::LongestCall)) => self.end(now, Some(grant), Cause::LongestCall, None),
            // A's CANCEL crossed B's answer and won: A heard 487 and never our 200, so nobody talked and nobody pays.
            (S::Connected { grant, .. }, F::HungUp(A, Cause::Cancelled)) => {
                self.state = S::Ringing { grant };
                self.end(now, Some(grant), Cause::Cancelled, Some(A))
            }
            (S::Connected { grant, .. }, F::HungUp(side, cause)) => self.end(now, Some(grant), cause, Some(side)),
            (S::Connected { grant, .. }, F::Unheard(_)) => self.end(now, Some(grant), Cause::NoSound, None),
            (S::Connected { grant, .. }, F::Stopped(cause)) => self.end(now, Some(grant), cause, None),

            // Over for the parties.
            (S::Ending { cause, side, at }, F::Authorised { grant, .. }) => self.close(at, Some(grant), cause, side),
            (S::Ending { cause, side, at }, F::Declined(_) | F::Fired(Timer::Grace)) => self.close(at, None, cause, side),

            // Said late: news that crossed our own decision on the way.
            (S::Ended | S::Ending { .. }, F::Progressed(..) | F::Answered(_) | F::Refused(..) | F::HungUp(..) | F::Stopped(_)) => vec![],
            (S::Ended | S::Ending { .. }, F::Fired(_) | F::Extended(_) | F::NotExtended | F::NoTrunkLeft | F::Screened(_)) => vec![],
            (S::Ended, F::Authorised { .. } | F::Declined(_)) => vec![],
            (S::Ended | S::Ending { .. }, F::Unheard(_)) => vec![],
            (S::Connected { .. }, F::Progressed(B, _) | F::Answered(B) | F::Refused(B, _) | F::NoTrunkLeft) => vec![],
            (S::Ringing { .. }, F::Fired(Timer::Silence)) | (S::Dialling { .. }, F::Fired(Timer::Ring)) => vec![],
            (S::Connected { .. }, F::Fired(Timer::Setup | Timer::Silence | Timer::Ring)) => vec![],

            (S::Collecting { .. } | S::Checking { .. } | S::Authorising { .. }, F::Played(_)) => vec![],
            (S::Dialling { .. } | S::Ringing { .. } | S::Connected { .. } | S::Ending { .. } | S::Ended, F::Played(_)) => vec![],
            (S::Checking { .. } | S::Authorising { .. } | S::Dialling { .. } | S::Ringing { .. }, F::Pressed(..)) => vec![],
            (S::Connected { .. } | S::Parting { .. } | S::Ending { .. } | S::Ended, F::Pressed(..)) => vec![],
            (S::Collecting { .. }, F::Pressed(B, _)) => vec![],
            (S::Parting { .. }, F::Fired(Timer::Setup | Timer::Silence | Timer::Ring | Timer::Digits)) => vec![],
            (S::Checking { .. } | S::Authorising { .. } | S::Dialling { .. } | S::Ringing { .. }, F::Fired(Timer::Digits)) => vec![],
            (S::Parting { .. }, F::Progressed(..) | F::Answered(_) | F::Refused(..) | F::HungUp(B, _) | F::NoTrunkLeft) => vec![],

            // Cannot happen: nobody was asked, or the side is the wrong one. Nothing is done.
            (S::Screening, F::Authorised { .. } | F::Declined(_) | F::Extended(_) | F::NotExtended | F::NoTrunkLeft) => vec![],
            (S::Screening | S::Authorising { .. }, F::Progressed(..) | F::Answered(_) | F::Refused(..) | F::HungUp(B, _)) => vec![],
            (S::Authorising { .. }, F::Screened(_) | F::Extended(_) | F::NotExtended | F::NoTrunkLeft) => vec![],
            (S::Dialling { .. } | S::Ringing { .. } | S::Connected { .. }, F::Screened(_) | F::Authorised { .. } | F::Declined(_)) => {
                vec![]
            }
            (S::Screening, F::Pressed(..) | F::Played(_)) => vec![],
            (S::Collecting { .. } | S::Checking { .. } | S::Parting { .. } | S::Authorising { .. }, F::ToCollect) => vec![],
            (S::Dialling { .. } | S::Ringing { .. } | S::Connected { .. } | S::Ending { .. } | S::Ended, F::ToCollect) => vec![],
            (S::Collecting { .. } | S::Parting { .. }, F::Screened(_)) => vec![],
            (S::Collecting { .. } | S::Checking { .. } | S::Parting { .. }, F::Authorised { .. } | F::Declined(_) | F::Extended(_)) => {
                vec![]
            }
            (S::Collecting { .. } | S::Checking { .. } | S::Parting { .. }, F::NotExtended | F::Unheard(_)) => vec![],
            (S::Collecting { .. } | S::Checking { .. }, F::Progressed(..) | F::Answered(_) | F::Refused(..) | F::HungUp(B, _)) => vec![],
            (S::Collecting { .. } | S::Checking { .. }, F::NoTrunkLeft) => vec![],
            (S::Parting { .. }, F::Played(B)) => vec![],
            (
                S::Collecting { .. } | S::Checking { .. } | S::Parting { .. },
                F::Fired(Timer::ExtendAt | Timer::CreditLimit | Timer::LongestCall | Timer::Grace | Timer::Warning),
            )
            | (S::Collecting { .. } | S::Checking { .. }, F::Fired(Timer::Silence | Timer::Ring | Timer::Parting)) => vec![],
            (S::Screening | S::Authorising { .. } | S::Dialling { .. } | S::Ringing { .. }, F::Fired(Timer::Parting | Timer::Warning))
            | (S::Screening, F::Fired(Timer::Digits))
            | (S::Connected { .. }, F::Fired(Timer::Digits | Timer::Parting)) => vec![],
            (S::Dialling { .. } | S::Ringing { .. }, F::Extended(_) | F::NotExtended | F::Unheard(_)) => vec![],
            (S::Screening | S::Authorising { .. }, F::Unheard(_)) => vec![],
            (S::Dialling { .. } | S::Ringing { .. } | S::Connected { .. }, F::Progressed(A, _) | F::Answered(A) | F::Refused(A, _)) => {
                vec![]
            }
            (
                S::Screening | S::Authorising { .. },
                F::Fired(Timer::Silence | Timer::Ring | Timer::ExtendAt | Timer::CreditLimit | Timer::LongestCall | Timer::Grace),
            ) => vec![],
            (
                S::Dialling { .. } | S::Ringing { .. },
                F::Fired(Timer::ExtendAt | Timer::CreditLimit | Timer::LongestCall | Timer::Grace),
            )
            | (S::Connected { .. }, F::Fired(Timer::Grace)) => vec![],
        }
    }

    fn authorise(&mut self, destination: E164) -> Vec<Order> {
        self.destination = Some(destination);
        self.state = State::Authorising { destination };
        vec![Order::Authorise(destination)]
    }

    fn accept(&mut self, grant: Grant, longest: Duration) -> Vec<Order> {
        self.limits.longest = self.limits.longest.min(longest);
        let mut orders = vec![Order::Tell(CallEvent::Accepted)];
        if self.spoken_to {
            orders.push(Order::Play(Side::A, Prompt::Standing(grant)));
        }
        orders.extend(self.dial(grant));
        orders
    }

    fn dial(&mut self, grant: Grant) -> [Order; 2] {
        self.tried += 1;
        self.state = State::Dialling { grant };
        [Order::Arm(Timer::Silence, self.limits.silence), Order::Dial(Side::B)]
    }

    fn progress(&mut self, now: Moment, grant: Grant, progress: Progress) -> Vec<Order> {
        self.progressed.get_or_insert(now);
        let mut orders = Vec::new();
        if let State::Dialling { .. } = self.state {
            orders.push(Order::Disarm(Timer::Silence));
            orders.push(Order::Arm(Timer::Ring, self.limits.ring));
        }
        self.state = State::Ringing { grant };
        match progress {
            Progress::Trying => {}
            // Who was answered cannot be told by signals any more.
            Progress::Ringing if self.spoken_to => {
                orders.extend([Order::Play(Side::A, Prompt::Ringing), Order::Tell(CallEvent::Ringing(Side::B))]);
            }
            Progress::EarlyMedia if self.spoken_to => {}
            Progress::Ringing => orders.extend([Order::Progress(Side::A, progress), Order::Tell(CallEvent::Ringing(Side::B))]),
            Progress::EarlyMedia => orders.push(Order::Progress(Side::A, progress)),
        }
        orders
    }

    /// The limit is armed before the answer is passed on: a timer set too late is a call nobody pays for.
    fn connect(&mut self, now: Moment, grant: Grant) -> Vec<Order> {
        self.state = State::Connected { answered_at: now, grant };
        let pick_up = if self.spoken_to { Order::Hush(Side::A) } else { Order::Answer(Side::A) };
        let warning = Self::warning(now, now, grant).filter(|_| !grant.more);
        let mut orders = vec![
            Order::Arm(Timer::CreditLimit, grant.funded),
            Order::Arm(Timer::LongestCall, self.limits.longest),
            Order::Arm(Timer::ExtendAt, grant.funded / 2),
            Order::Disarm(Timer::Setup),
            Order::Disarm(Timer::Silence),
            Order::Disarm(Timer::Ring),
            pick_up,
            Order::Bridge,
            Order::Tell(CallEvent::Connected(Side::B)),
            Order::Tell(CallEvent::Connected(Side::A)),
            Order::Tell(CallEvent::Bridged),
        ];
        orders.extend(warning);
        orders
    }

    /// A tone shortly before the money ends, as long as there is time for it.
    fn warning(now: Moment, answered_at: Moment, grant: Grant) -> Option<Order> {
        let before = remaining(now, answered_at, grant).checked_sub(WARNING).filter(|before| *before > LEAST_BEFORE_WARNING)?;
        Some(Order::Arm(Timer::Warning, before))
    }

    /// Money that came after the alarm was set moves it on.
    fn warn_or_wait(now: Moment, answered_at: Moment, grant: Grant) -> Vec<Order> {
        Self::warning(now, answered_at, grant).map_or_else(|| vec![Order::Play(Side::A, Prompt::Warning)], |later| vec![later])
    }

    fn try_next(&mut self, now: Moment, grant: Grant, cause: Cause) -> Vec<Order> {
        if !cause.another_trunk_may_help() {
            return self.end_after(vec![Order::Tell(CallEvent::Failed(Side::B, cause))], now, Some(grant), cause, Some(Side::B));
        }
        if self.tried >= MOST_TRIES {
            return self.refuse(now, Some(grant), Refusal::AllTrunksFailed);
        }
        let mut orders = vec![Order::Disarm(Timer::Ring), Order::Tell(CallEvent::Failed(Side::B, cause))];
        orders.extend(self.dial(grant));
        orders
    }

    fn skip_silent_trunk(&mut self, now: Moment, grant: Grant) -> Vec<Order> {
        let mut orders = vec![Order::HangUp(Side::B, Cause::Silent)];
        orders.extend(self.try_next(now, grant, Cause::Silent));
        orders
    }

    fn extend(&mut self, now: Moment, answered_at: Moment, grant: Grant, more: Grant) -> Vec<Order> {
        // Funded time only grows: an answer that was overtaken by a later one changes nothing.
        let grant = if more.funded > grant.funded { more } else { grant };
        self.state = State::Connected { answered_at, grant };
        let mut orders = vec![Order::Arm(Timer::CreditLimit, remaining(now, answered_at, grant))];
        orders.extend(Self::ask_again(now, answered_at, grant));
        orders.extend(Self::warning(now, answered_at, grant).filter(|_| !grant.more));
        orders
    }

    /// At half of what remains, as long as that is worth the while; the limit itself never moves without money.
    fn ask_again(now: Moment, answered_at: Moment, grant: Grant) -> Vec<Order> {
        let half = remaining(now, answered_at, grant) / 2;
        if half < LEAST_EXTEND { vec![] } else { vec![Order::Arm(Timer::ExtendAt, half)] }
    }

    pub(super) fn refuse(&mut self, now: Moment, grant: Option<Grant>, refusal: Refusal) -> Vec<Order> {
        if self.spoken_to {
            return self.part(grant, refusal);
        }
        let mut orders = vec![Order::Refuse(Side::A, refusal)];
        orders.extend(self.close(now, grant, Cause::Refused(refusal), None));
        orders
    }

    fn end(&mut self, now: Moment, grant: Option<Grant>, cause: Cause, side: Option<Side>) -> Vec<Order> {
        self.end_after(Vec::with_capacity(4), now, grant, cause, side)
    }

    /// Ends the legs that are still there: not the one that has just ended itself, and B only once it was dialled.
    fn end_after(&mut self, mut orders: Vec<Order>, now: Moment, grant: Option<Grant>, cause: Cause, side: Option<Side>) -> Vec<Order> {
        if side != Some(Side::A) {
            orders.push(Order::HangUp(Side::A, cause));
        }
        if side != Some(Side::B) && self.tried > 0 {
            orders.push(Order::HangUp(Side::B, cause));
        }
        orders.extend(self.close(now, grant, cause, side));
        orders
    }

    fn end_when_books_answer(&mut self, now: Moment, cause: Cause, side: Option<Side>) -> Vec<Order> {
        self.state = State::Ending { cause, side, at: now };
        let mut orders = vec![Order::Disarm(Timer::Setup), Order::Arm(Timer::Grace, self.limits.grace)];
        if side != Some(Side::A) {
            orders.push(Order::HangUp(Side::A, cause));
        }
        orders
    }

    fn close(&mut self, ended: Moment, grant: Option<Grant>, cause: Cause, side: Option<Side>) -> Vec<Order> {
        let answered = if let State::Connected { answered_at, .. } = self.state { Some(answered_at) } else { None };
        self.state = State::Ended;
        let record = CallRecord {
            began: self.began,
            progressed: self.progressed,
            answered,
            ended,
            cause,
            side,
            destination: self.destination,
            grant,
            tried: self.tried,
        };
        vec![Order::Close(record), Order::Tell(CallEvent::Ended(cause))]
    }
}

fn remaining(now: Moment, answered_at: Moment, grant: Grant) -> Duration {
    grant.funded.saturating_sub(now.since(answered_at))
}

#[cfg(test)]
mod tests;
