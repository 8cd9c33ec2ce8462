//! Who guesses codes waits: longer with each wrong one, by caller, by access number and by trunk (spec: security, T10).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::types::{E164, Moment, TrunkId};

/// What a wrong code counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Guesser {
    /// The number that called; a withheld one is nobody's.
    Caller(E164),
    /// The number that was called.
    Number(E164),
    /// The trunk it came by.
    Trunk(TrunkId),
}

impl Guesser {
    /// Wrong codes that cost no wait: people mistype, and many of them share a number and a trunk.
    const fn free(self) -> u32 {
        match self {
            Self::Caller(_) => 0,
            Self::Number(_) => 10,
            Self::Trunk(_) => 30,
        }
    }
}

/// After so long without a wrong code, those before are forgotten.
const FORGET: Duration = Duration::from_secs(600);
/// The first wait; each wrong code more doubles it.
const FIRST: Duration = Duration::from_secs(1);
/// The longest step.
const LONGEST_STEP: Duration = Duration::from_secs(60);
/// Who would have to wait for longer is not looked at: the code counts as wrong.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Guessers that are remembered; when all of them are fresh, everybody waits like the worst of them.
const MOST: usize = 20_000;

#[derive(Debug, Clone, Copy)]
struct Record {
    wrong: u32,
    last: Moment,
    /// The looks at codes are lined up: many calls at once guess no faster than one.
    next: Moment,
}

/// The wrong codes of late.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<HashMap<Guesser, Record>>);

impl Guesses {
    /// How long a look at a code has to wait; the line moves on with every question.
    pub fn wait(&self, guessers: &[Guesser], now: Moment) -> Duration {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut longest = Duration::ZERO;
        for guesser in guessers {
            let Some(record) = records.get_mut(guesser).filter(|record| now.since(record.last) < FORGET) else { continue };
            let Some(over) = record.wrong.checked_sub(guesser.free()).filter(|over| *over > 0) else { continue };
            let step = FIRST.saturating_mul(1 << (over - 1).min(10)).min(LONGEST_STEP);
            let begins = record.next.max(now);
            let wait = begins.since(now) + step;
            if wait <= LONGEST_WAIT {
                record.next = begins + step;
            }
            longest = longest.max(wait);
        }
        longest
    }

    /// A code was wrong. The count is what a caller's own number has now.
    pub fn wrong(&self, guessers: &[Guesser], now: Moment) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() + guessers.len() > MOST {
            records.retain(|_, record| now.since(record.last) < FORGET);
        }
        for guesser in guessers {
            if records.len() >= MOST && !records.contains_key(guesser) {
                continue;
            }
            let record = records.entry(*guesser).or_insert(Record { wrong: 0, last: now, next: now });
            if now.since(record.last) >= FORGET {
                *record = Record { wrong: 0, last: now, next: now };
            }
            record.wrong = record.wrong.saturating_add(1);
            record.last = now;
        }
    }

    /// A code was right: its caller is no guesser.
    pub fn right(&self, guessers: &[Guesser]) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for guesser in guessers.iter().filter(|guesser| matches!(guesser, Guesser::Caller(_))) {
            records.remove(guesser);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_nanos(secs * 1_000_000_000)
    }

    fn caller() -> Guesser {
        Guesser::Caller("+15551231234".parse().unwrap())
    }

    fn number() -> Guesser {
        Guesser::Number("+15551230000".parse().unwrap())
    }

    #[test]
    fn each_wrong_code_doubles_the_wait_until_nobody_looks() {
        let guesses = Guesses::default();
        assert_eq!(guesses.wait(&[caller(), number()], at(0)), Duration::ZERO);
        let waits: Vec<_> = (1..=5)
            .map(|round| {
                guesses.wrong(&[caller(), number()], at(round * 100));
                guesses.wait(&[caller(), number()], at(round * 100)).as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16]);
        assert!(Duration::from_secs(16) > LONGEST_WAIT);
        assert_eq!(guesses.wait(&[number()], at(500)), Duration::ZERO, "others on the number are not held up yet");
        guesses.right(&[caller(), number()]);
        assert_eq!(guesses.wait(&[caller()], at(500)), Duration::ZERO);
    }

    #[test]
    fn many_at_once_are_no_faster_than_one() {
        let guesses = Guesses::default();
        for _ in 0..11 {
            guesses.wrong(&[number()], at(0));
        }
        let waits: Vec<_> = (0..4).map(|_| guesses.wait(&[number()], at(0)).as_secs()).collect();
        assert_eq!(waits, [1, 2, 3, 4]);
    }

    #[test]
    fn it_is_forgotten_in_time_and_memory_is_bounded() {
        let guesses = Guesses::default();
        guesses.wrong(&[caller()], at(0));
        assert_eq!(guesses.wait(&[caller()], at(600)), Duration::ZERO);
        for index in 0..MOST + 10 {
            guesses.wrong(&[Guesser::Caller(format!("+1555{index:07}").parse().unwrap())], at(700));
        }
        assert_eq!(guesses.0.lock().unwrap().len(), MOST);
    }
}
