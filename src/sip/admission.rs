//! Which new calls are let in when there is more to do than can be done: as many may be set up at once as are through in the time
//! that is aimed at, and the others hear 503 before they cost anything. Calls that are up, and whatever belongs to them, never come
//! by here.
//!
//! By Little's law a call that found `n` others before it and was through after `d` saw a house that does `n / d` of them a second.
//! The shortest `d` of a while tells a queue that stands from a burst that passes, as CoDel (RFC 8289) has it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::types::{Clock, Moment};

/// A standing queue is told from a burst, and from a moment in which everything stood still, over at least this long ...
const ROUND: Duration = Duration::from_millis(100);
/// ... and so many calls that came in it.
const SAMPLES: u32 = 8;
/// So many calls may always be set up at once: fewer are no queue.
const LEAST: usize = 32;
/// The window grows by at most a quarter a round.
const GROWTH: usize = 4;

/// The rule: values in, a decision out.
#[derive(Debug)]
pub struct Rule {
    target: Duration,
    /// The window is never wider.
    most: usize,
    /// Calls that may be set up at once.
    window: usize,
    /// Calls that are being set up.
    inside: usize,
    /// When the window was looked at last: calls that came before tell of an older one.
    round: Moment,
    /// Of this round's calls the one that was through soonest: how long it took, and how many were before it.
    soonest: Option<(Duration, usize)>,
    samples: u32,
    /// When the first of them was through.
    first: Moment,
    /// Whether anybody found the window full in this round.
    full: bool,
    /// Calls that were not let in.
    shed: u64,
    /// Since when more messages have been waiting to be read than could be read: what is read now may be as old.
    behind_since: Option<Moment>,
}

/// What a call is let in with: when it was read, when it may have come, and how many were before it, itself included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    at: Moment,
    came: Moment,
    nth: usize,
}

impl Rule {
    /// One that aims at `target` from arrival to being set up; at most `most` calls are set up at once.
    pub fn new(target: Duration, most: usize) -> Self {
        let most = most.max(LEAST);
        let round = Moment::default();
        Self {
            target,
            most,
            window: most,
            inside: 0,
            round,
            soonest: None,
            samples: 0,
            first: round,
            full: false,
            shed: 0,
            behind_since: None,
        }
    }

    /// A new call has come: what it is let in with, or nothing if it is not.
    pub fn enter(&mut self, now: Moment) -> Option<Entry> {
        if self.inside >= self.window {
            self.full = true;
            self.shed += 1;
            return None;
        }
        self.inside += 1;
        Some(Entry { at: now, came: self.behind_since.unwrap_or(now), nth: self.inside })
    }

    /// Whether messages were left unread because there were too many.
    pub fn read(&mut self, began: Moment, is_behind: bool) {
        self.behind_since = is_behind.then(|| self.behind_since.unwrap_or(began));
    }

    /// A call is set up, or will not be any more.
    pub fn leave(&mut self, now: Moment, entry: Entry) {
        self.inside = self.inside.saturating_sub(1);
        if entry.at < self.round {
            return;
        }
        let took = now.since(entry.came);
        if self.samples == 0 {
            self.first = now;
        }
        self.samples += 1;
        if self.soonest.is_none_or(|(least, _)| took < least) {
            self.soonest = Some((took, entry.nth));
        }
        if self.samples >= SAMPLES && now.since(self.first) >= ROUND {
            self.look(now);
        }
    }

    fn look(&mut self, now: Moment) {
        let (took, nth) = self.soonest.take().unwrap_or_default();
        if took > self.target {
            let fits = nth as u128 * self.target.as_nanos() / took.as_nanos().max(1);
            let fits = usize::try_from(fits).unwrap_or(usize::MAX).clamp(LEAST, self.most);
            self.window = fits.min(self.window);
        } else if self.full || took * 2 < self.target {
            self.window = (self.window + self.window / GROWTH).min(self.most);
        }
        (self.round, self.samples, self.full) = (now, 0, false);
    }
}

/// The rule as the endpoint and the calls share it.
#[derive(Debug)]
pub struct Admission {
    rule: Mutex<Rule>,
    clock: Clock,
}

impl Admission {
    /// One of this rule.
    pub fn new(rule: Rule, clock: Clock) -> Arc<Self> {
        Arc::new(Self { rule: Mutex::new(rule), clock })
    }

    /// A new call's place, or nothing if it is not let in.
    pub fn enter(self: &Arc<Self>) -> Option<Box<Place>> {
        let now = self.clock.now();
        self.rule().enter(now).map(|entry| Box::new(Place { admission: self.clone(), entry }))
    }

    /// Messages were read from `began` on, and some were left if `is_behind`.
    pub fn read(&self, began: Moment, is_behind: bool) {
        self.rule().read(began, is_behind);
    }

    /// How many calls were not let in since the start, and how many may be set up at once now.
    pub fn shed(&self) -> (u64, usize) {
        let rule = self.rule();
        (rule.shed, rule.window)
    }

    fn rule(&self) -> std::sync::MutexGuard<'_, Rule> {
        self.rule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's place among those that are being set up; given back when dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    entry: Entry,
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = self.admission.clock.now();
        self.admission.rule().leave(now, self.entry);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::types::Timestamp;

    const TARGET: Duration = Duration::from_millis(100);

    /// A house that sets up one call after the other, `rate` a second, and is called `load` times a second.
    struct House {
        rule: Rule,
        now: Moment,
        queue: VecDeque<Entry>,
        /// Calls and services that are due in part.
        due: [f64; 2],
    }

    /// What happened in a while.
    #[derive(Debug, Default)]
    struct Seen {
        shed: u32,
        delays: Vec<Duration>,
    }

    impl Seen {
        fn worst(&self) -> Duration {
            self.delays.iter().copied().max().unwrap_or_default()
        }
    }

    impl House {
        fn new() -> Self {
            Self { rule: Rule::new(TARGET, 1_000), now: Moment::default(), queue: VecDeque::new(), due: [0.0; 2] }
        }

        fn runs(&mut self, millis: u32, load: f64, rate: f64) -> Seen {
            let mut seen = Seen::default();
            for _ in 0..millis {
                self.now = self.now + Duration::from_millis(1);
                self.due[0] += load / 1000.0;
                while self.due[0] >= 1.0 {
                    self.due[0] -= 1.0;
                    match self.rule.enter(self.now) {
                        Some(entry) => self.queue.push_back(entry),
                        None => seen.shed += 1,
                    }
                }
                self.due[1] = (self.due[1] + rate / 1000.0).min(rate.max(1.0));
                while self.due[1] >= 1.0 && !self.queue.is_empty() {
                    self.due[1] -= 1.0;
                    let entry = self.queue.pop_front().unwrap();
                    seen.delays.push(self.now.since(entry.at));
                    self.rule.leave(self.now, entry);
                }
                if self.queue.is_empty() {
                    self.due[1] = 0.0;
                }
            }
            seen
        }
    }

    #[test]
    fn nobody_is_turned_away_while_the_house_keeps_up() {
        let mut house = House::new();
        let seen = house.runs(20_000, 900.0, 1_000.0);
        assert_eq!((seen.shed, house.rule.window), (0, 1_000));
    }

    #[test]
    fn a_burst_that_passes_is_let_in() {
        let mut house = House::new();
        house.runs(2_000, 100.0, 1_000.0);
        let burst = house.runs(100, 5_000.0, 1_000.0);
        let after = house.runs(2_000, 100.0, 1_000.0);
        assert_eq!(burst.shed + after.shed, 0);
    }

    #[test]
    fn at_twice_and_ten_times_what_can_be_done_the_house_does_what_it_can_and_nobody_waits_long() {
        for load in [2_000.0, 10_000.0] {
            let mut house = House::new();
            house.runs(2_000, 500.0, 1_000.0);
            // A burst is believed to be one, but no longer than its queue may be.
            let onset = house.runs(3_000, load, 1_000.0);
            assert!(onset.worst() < Duration::from_millis(1_100), "{load}: {:?}", onset.worst());
            let seen = house.runs(20_000, load, 1_000.0);
            assert!(seen.delays.len() >= 19_500, "{load}: {} of 20000 are done", seen.delays.len());
            assert!(seen.worst() < TARGET * 2, "{load}: {:?}", seen.worst());
            // And when it is over, and those who wait are through, nobody is turned away any more.
            house.runs(2_000, 900.0, 1_000.0);
            let after = house.runs(5_000, 900.0, 1_000.0);
            assert_eq!(after.shed, 0, "{load}");
            assert!(after.worst() < TARGET * 2, "{load}: {:?}", after.worst());
        }
    }

    #[test]
    fn a_moment_in_which_everything_stands_still_turns_nobody_away() {
        let mut house = House::new();
        for _ in 0..50 {
            house.runs(137, 800.0, 2_000.0);
            let still = house.runs(250, 800.0, 0.0);
            let after = house.runs(700, 800.0, 2_000.0);
            assert_eq!((still.shed + after.shed, house.rule.window), (0, 1_000));
        }
    }

    #[test]
    fn a_house_that_stands_still_lets_few_wait_and_wakes_within_seconds() {
        let mut house = House::new();
        house.runs(2_000, 2_000.0, 1_000.0);
        let still = house.runs(10_000, 500.0, 0.0);
        assert!(still.shed > 4_500 && house.queue.len() < 300, "{still:?} {}", house.queue.len());
        house.runs(3_000, 900.0, 1_000.0);
        let awake = house.runs(5_000, 900.0, 1_000.0);
        assert_eq!((awake.shed, awake.worst() < TARGET), (0, true), "{:?}", awake.worst());
    }

    #[test]
    fn a_slow_house_with_few_calls_turns_nobody_away() {
        let mut house = House::new();
        // Each call waits for half a second, but there are only a few of them.
        for _ in 0..200 {
            let entry = house.rule.enter(house.now).expect("there is room");
            house.now = house.now + Duration::from_millis(500);
            house.rule.leave(house.now, entry);
        }
        assert_eq!((house.rule.shed, house.rule.window), (0, LEAST));
    }

    #[test]
    fn a_queue_that_stands_before_the_door_counts_and_one_that_was_emptied_does_not() {
        for is_behind in [false, true] {
            let mut rule = Rule::new(TARGET, 1_000);
            let mut now = Moment::default();
            for _ in 0..100 {
                let began = now;
                let entries: Vec<_> = std::iter::from_fn(|| rule.enter(now)).take(50).collect();
                now = now + Duration::from_millis(20);
                for entry in entries {
                    rule.leave(now, entry);
                }
                rule.read(began, is_behind);
            }
            assert_eq!(rule.window, if is_behind { LEAST } else { 1_000 });
        }
    }

    #[test]
    fn a_place_is_given_back_once_when_it_is_dropped() {
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        let admission = Admission::new(Rule::new(TARGET, LEAST), clock);
        let mut places: Vec<_> = std::iter::from_fn(|| admission.enter()).collect();
        assert_eq!((places.len(), admission.shed()), (LEAST, (1, LEAST)));
        places.pop();
        assert!(admission.enter().is_some());
        assert_eq!(admission.rule().inside, LEAST - 1);
        places.clear();
        assert_eq!(admission.rule().inside, 0);
    }
}
