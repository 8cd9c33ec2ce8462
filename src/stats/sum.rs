//! What adds up, and how it is laid out over time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{HOUR, start_of};
use crate::types::{Currency, Micros, Timestamp};

/// What happened in some time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// Calls that began, refused ones included.
    pub calls: i64,
    /// Of them, answered.
    pub answered: i64,
    /// Time between answer and end, in milliseconds.
    pub talk_ms: i64,
    /// Seconds that were charged.
    pub billed_secs: i64,
    /// What was charged.
    pub spend: BTreeMap<Currency, Micros>,
    /// What phones asked for.
    pub requests: i64,
    /// Of it, what no call came for.
    pub never_arrived: i64,
}

impl Sum {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.answered += other.answered;
        self.talk_ms += other.talk_ms;
        self.billed_secs += other.billed_secs;
        for (&currency, &amount) in &other.spend {
            self.spends(currency, amount);
        }
        self.requests += other.requests;
        self.never_arrived += other.never_arrived;
    }

    /// Adds what was charged; a sum that leaves the range stays at its end.
    pub fn spends(&mut self, currency: Currency, amount: Micros) {
        let spent = self.spend.entry(currency).or_insert(Micros::ZERO);
        *spent = Micros::new(spent.get().saturating_add(amount.get()));
    }

    /// Answered calls of all, in thousandths; none without calls.
    pub const fn answered_permille(&self) -> Option<i64> {
        permille(self.answered, self.calls)
    }

    /// Average length of the answered calls in seconds; none without any.
    pub const fn average_secs(&self) -> Option<i64> {
        if self.answered == 0 { None } else { Some((self.talk_ms / 1000 + self.answered / 2) / self.answered) }
    }
}

/// `part` of `whole` in thousandths, to the nearest.
pub const fn permille(part: i64, whole: i64) -> Option<i64> {
    if whole == 0 { None } else { Some((part * 1000 + whole / 2) / whole) }
}

/// The width of a column in a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// An hour.
    Hour,
    /// A day of UTC.
    Day,
}

impl Step {
    /// How long it is.
    pub const fn duration(self) -> Duration {
        match self {
            Self::Hour => HOUR,
            Self::Day => Duration::from_secs(24 * 3600),
        }
    }
}

/// One column of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Where it begins.
    pub at: Timestamp,
    /// What happened in it.
    pub sum: Sum,
}

/// Lays sums by the hour out in `count` columns that end with the one of `now`; empty ones are there too.
pub fn buckets(hours: &[(Timestamp, Sum)], step: Step, count: u32, now: Timestamp) -> Vec<Bucket> {
    let width = step.duration();
    let first = start_of(now, width) - width * count.saturating_sub(1);
    let mut columns: Vec<Bucket> = (0..count).map(|index| Bucket { at: first + width * index, sum: Sum::default() }).collect();
    for (hour, sum) in hours.iter().filter(|(hour, _)| *hour >= first) {
        let index = usize::try_from(hour.since(first).as_secs() / width.as_secs()).unwrap_or(usize::MAX);
        if let Some(column) = columns.get_mut(index) {
            column.sum.add(sum);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn columns_stand_for_every_hour_and_end_with_this_one() {
        let one = Sum { calls: 3, answered: 2, talk_ms: 61_000, ..Sum::default() };
        let hours = [(hour("2026-03-01T11:00:00Z"), one.clone()), (hour("2026-02-01T11:00:00Z"), one.clone())];
        let columns = buckets(&hours, Step::Hour, 24, hour("2026-03-01T12:34:56Z"));
        assert_eq!((columns.len(), columns[0].at, columns[23].at), (24, hour("2026-02-28T13:00:00Z"), hour("2026-03-01T12:00:00Z")));
        assert_eq!((&columns[22].sum, columns.iter().map(|column| column.sum.calls).sum::<i64>()), (&one, 3));
        assert_eq!((one.answered_permille(), one.average_secs()), (Some(667), Some(31)));
        let days = buckets(&hours, Step::Day, 30, hour("2026-03-01T12:34:56Z"));
        assert_eq!((days[29].sum.calls, days[1].sum.calls), (3, 3));
    }

    #[test]
    fn nothing_has_no_ratio() {
        assert_eq!((Sum::default().answered_permille(), Sum::default().average_secs()), (None, None));
    }
}
