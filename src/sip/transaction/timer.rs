//! The one timer heap, and RFC 3261's intervals.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::types::Moment;

/// RFC 3261 table 4: the values everything else is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// The round trip to reckon with.
    pub t1: Duration,
    /// The longest interval between repeats.
    pub t2: Duration,
    /// The longest life of a message in the network.
    pub t4: Duration,
}

impl Intervals {
    /// 64·T1: how long anything is tried, and how long its traces are kept.
    pub const fn patience(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// The interval after `now`: doubled, but no longer than T2.
    pub fn doubled(&self, now: Duration) -> Duration {
        (now * 2).min(self.t2)
    }
}

impl Default for Intervals {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

/// A heap of things to do later. Nothing is ever taken out early: whoever is called asks itself whether it still matters, which costs
/// less than finding the entry, and an entry lives no longer than the longest timer.
#[derive(Debug)]
pub struct Timers<K> {
    heap: BinaryHeap<Reverse<Entry<K>>>,
    count: u64,
}

#[derive(Debug)]
struct Entry<K> {
    at: Moment,
    // Entries of one moment fire in the order they were armed, so that runs repeat exactly.
    order: u64,
    key: K,
}

impl<K> Timers<K> {
    /// None armed.
    pub const fn new() -> Self {
        Self { heap: BinaryHeap::new(), count: 0 }
    }

    /// Calls `key` at `at`.
    pub fn arm(&mut self, at: Moment, key: K) {
        self.count += 1;
        self.heap.push(Reverse(Entry { at, order: self.count, key }));
    }

    /// When the next one is due.
    pub fn next_at(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes one that is due.
    pub fn pop_due(&mut self, now: Moment) -> Option<K> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.key)
    }
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> PartialEq for Entry<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K> Eq for Entry<K> {}

impl<K> PartialOrd for Entry<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Entry<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_equals_keep_their_order() {
        let mut timers = Timers::new();
        for (at, key) in [(30, "c"), (10, "a"), (20, "b1"), (20, "b2")] {
            timers.arm(Moment::from_nanos(at), key);
        }
        assert_eq!(timers.next_at(), Some(Moment::from_nanos(10)));
        let due = std::iter::from_fn(|| timers.pop_due(Moment::from_nanos(20))).collect::<Vec<_>>();
        assert_eq!((due, timers.next_at()), (vec!["a", "b1", "b2"], Some(Moment::from_nanos(30))));
    }

    #[test]
    fn intervals_double_up_to_t2() {
        let intervals = Intervals::default();
        let seen = std::iter::successors(Some(intervals.t1), |&now| Some(intervals.doubled(now))).take(6).map(|it| it.as_millis());
        assert_eq!(seen.collect::<Vec<_>>(), [500, 1000, 2000, 4000, 4000, 4000]);
        assert_eq!(intervals.patience(), Duration::from_secs(32));
    }
}
