//! The books of a month: what an account had, what moved and what it has after; and the same over all accounts of a tenant.
//! What it had at the beginning and what moved sum to what it has at the end, by construction: all three are sums of entries.

mod store;

use std::fmt;
use std::str::FromStr;

use time::{Date, Month as MonthOfYear};

use super::{Book, Kind};
use crate::types::{Currency, Micros, Timestamp};

pub use store::{Line, account_lines, begun, books, summary, tenant_lines, tenant_sums};

/// Months of one list: fifty years.
const MOST_MONTHS: usize = 600;

/// A month of the calendar, UTC: `2030-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i32,
    month: MonthOfYear,
}

/// Text that is no month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write the month as year and month, such as 2030-01")]
pub struct NoMonth;

impl Month {
    /// The month a time is in.
    pub fn of(at: Timestamp) -> Self {
        let day =
            time::OffsetDateTime::from_unix_timestamp(at.as_micros().div_euclid(1_000_000)).map_or(Date::MIN, time::OffsetDateTime::date);
        Self { year: day.year(), month: day.month() }
    }

    /// Its first instant.
    pub fn start(self) -> Timestamp {
        let first = Date::from_calendar_date(self.year, self.month, 1).unwrap_or(Date::MIN);
        Timestamp::from_micros(first.midnight().assume_utc().unix_timestamp() * 1_000_000)
    }

    /// The first instant of the next.
    pub fn end(self) -> Timestamp {
        self.next().start()
    }

    /// The month after.
    pub fn next(self) -> Self {
        let year = if self.month == MonthOfYear::December { self.year + 1 } else { self.year };
        Self { year, month: self.month.next() }
    }

    /// The months from this one to `last`, newest first.
    pub fn until(self, last: Self) -> Vec<Self> {
        let mut months: Vec<_> =
            std::iter::successors(Some(self), |month| Some(month.next())).take_while(|month| *month <= last).take(MOST_MONTHS).collect();
        months.reverse();
        months
    }
}

impl FromStr for Month {
    type Err = NoMonth;

    fn from_str(text: &str) -> Result<Self, NoMonth> {
        let (year, month) = text.split_once('-').filter(|(year, month)| year.len() == 4 && month.len() == 2).ok_or(NoMonth)?;
        if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            return Err(NoMonth);
        }
        let month = month.parse::<u8>().ok().and_then(|month| MonthOfYear::try_from(month).ok()).ok_or(NoMonth)?;
        let year = year.parse().ok().filter(|year| (1970..=9998).contains(year)).ok_or(NoMonth)?;
        Ok(Self { year, month })
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, u8::from(self.month))
    }
}

impl serde::Serialize for Month {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Month {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What one kind of movement came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// What moved.
    pub kind: Kind,
    /// In what.
    pub currency: Currency,
    /// How often.
    pub count: u64,
    /// What the accounts gained by it.
    pub amount: Micros,
}

/// A month of an account in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Before the month's first entry.
    pub opening: Micros,
    /// After its last.
    pub closing: Micros,
    /// What moved, by kind.
    pub sums: Vec<Sum>,
    /// Calls that were charged.
    pub calls: u64,
    /// Their billed seconds.
    pub billed_secs: u64,
}

/// What one book gained in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookSum {
    /// Which book.
    pub book: Book,
    /// In what.
    pub currency: Currency,
    /// Credits less debits.
    pub amount: Micros,
    /// Entries.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_and_end() {
        let december: Month = "2030-12".parse().unwrap();
        assert_eq!(december.start(), Timestamp::parse("2030-12-01T00:00:00Z").unwrap());
        assert_eq!(december.end(), Timestamp::parse("2031-01-01T00:00:00Z").unwrap());
        assert_eq!(Month::of(december.start()), december);
        assert_eq!(Month::of(Timestamp::from_micros(december.start().as_micros() - 1)).to_string(), "2030-11");
        let months: Vec<_> = "2030-11".parse::<Month>().unwrap().until("2031-02".parse().unwrap()).iter().map(Month::to_string).collect();
        assert_eq!(months, ["2031-02", "2031-01", "2030-12", "2030-11"]);
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for text in ["2030-13", "2030-00", "2030-1", "30-01", "2030-01-01", "+030-01", "2030/01", "", "1969-12", "9999-01"] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }
}
