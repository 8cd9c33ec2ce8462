//! Peak and weekend prices: which price a second of a call has. The boundary splits billed seconds, never money.
//!
//! Written as text, in files and in the books alike: `mo-fr 08:00-18:00 0.02; sa-su 0.01 @+02:00`. The first entry that
//! fits a second prices it; seconds that none fits have the rate's own price. Times are those of a fixed distance from UTC,
//! so that a copied rate gives the same charge for ever.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use super::rate::Segment;
use crate::types::{Nanos, Timestamp};

/// Entries of one rate.
const MOST: usize = 16;
const DAYS: [&str; 7] = ["mo", "tu", "we", "th", "fr", "sa", "su"];
const DAY_SECS: i64 = 86_400;
const DAY_MINUTES: u16 = 1440;
/// 1970-01-01 was a Thursday.
const FIRST_DAY: i64 = 3;
/// The farthest that a place is from UTC, in minutes.
const FARTHEST: i32 = 14 * 60;

/// The prices of some hours of the week; mostly there are none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Periods(Option<Arc<Week>>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Week {
    utc_offset_minutes: i32,
    list: Vec<Period>,
}

/// Some hours of some days at a price of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    /// Bit 0 is Monday.
    days: u8,
    from_minute: u16,
    /// Not included; 1440 is the end of the day.
    until_minute: u16,
    /// Price a minute.
    pub per_minute: Nanos,
}

/// The text describes no periods.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}: write days, hours and price, such as mo-fr 08:00-18:00 0.02; sa-su 0.01 @+02:00")]
pub struct PeriodsError(String);

impl Periods {
    /// Reads the text; `price` reads one price, in the decimals of the file it stands in.
    pub fn parse(text: &str, price: impl Fn(&str) -> Result<Nanos, String>) -> Result<Self, PeriodsError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (entries, offset) = text.split_once('@').unwrap_or((text, "+00:00"));
        let utc_offset_minutes = parse_offset(offset.trim()).ok_or_else(|| wrong(offset, "is no distance from UTC"))?;
        let list = entries.split(';').map(|entry| Period::parse(entry.trim(), &price)).collect::<Result<Vec<_>, _>>()?;
        if list.len() > MOST {
            return Err(PeriodsError(format!("there are more than {MOST} periods")));
        }
        Ok(Self(Some(Arc::new(Week { utc_offset_minutes, list }))))
    }

    /// Whether the price is the same all week.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The highest price of any period.
    pub fn dearest(&self) -> Option<Nanos> {
        self.0.as_ref()?.list.iter().map(|period| period.per_minute).max()
    }

    /// The prices of the periods, as many as there are.
    pub fn prices(&self) -> impl Iterator<Item = Nanos> {
        self.0.iter().flat_map(|week| week.list.iter().map(|period| period.per_minute))
    }

    /// `secs` seconds from `start` on, cut where the price changes; `otherwise` is the price outside all periods.
    pub fn segments(&self, otherwise: Nanos, secs: u64, start: Timestamp) -> Vec<Segment> {
        let Some(week) = &self.0 else { return vec![Segment { per_minute: otherwise, secs }] };
        let mut at = start.as_micros().div_euclid(1_000_000) + i64::from(week.utc_offset_minutes) * 60;
        let end = at.saturating_add(i64::try_from(secs).unwrap_or(i64::MAX));
        let mut segments: Vec<Segment> = Vec::new();
        while at < end {
            let (per_minute, until) = week.price(at, otherwise);
            let secs = u64::try_from(until.min(end) - at).unwrap_or(0);
            match segments.last_mut() {
                Some(last) if last.per_minute == per_minute => last.secs += secs,
                _ => segments.push(Segment { per_minute, secs }),
            }
            at = until;
        }
        segments
    }
}

impl Week {
    /// The price of the local second `at`, and the next second at which it may change.
    fn price(&self, at: i64, otherwise: Nanos) -> (Nanos, i64) {
        let (day, second) = (at.div_euclid(DAY_SECS), at.rem_euclid(DAY_SECS));
        let weekday = 1_u8 << (day + FIRST_DAY).rem_euclid(7);
        let (mut price, mut until) = (None, DAY_SECS);
        for period in self.list.iter().filter(|period| period.days & weekday != 0) {
            let (from, to) = (i64::from(period.from_minute) * 60, i64::from(period.until_minute) * 60);
            if (from..to).contains(&second) {
                price = price.or(Some(period.per_minute));
            }
            for edge in [from, to] {
                if edge > second {
                    until = until.min(edge);
                }
            }
        }
        (price.unwrap_or(otherwise), day * DAY_SECS + until)
    }
}

impl Period {
    fn parse(entry: &str, price: &impl Fn(&str) -> Result<Nanos, String>) -> Result<Self, PeriodsError> {
        let parts: Vec<&str> = entry.split_whitespace().collect();
        let (days, hours, cost) = match parts.as_slice() {
            [days, cost] => (*days, "00:00-24:00", *cost),
            [days, hours, cost] => (*days, *hours, *cost),
            _ => return Err(wrong(entry, "is no period")),
        };
        let days = parse_days(days).ok_or_else(|| wrong(days, "is no weekday (mo tu we th fr sa su)"))?;
        let (from_minute, until_minute) = hours
            .split_once('-')
            .and_then(|(from, until)| Some((parse_time(from)?, parse_time(until)?)))
            .filter(|(from, until)| from < until)
            .ok_or_else(|| wrong(hours, "is no time of one day (write a night as two periods)"))?;
        let per_minute = price(cost).map_err(|reason| wrong(cost, &reason))?;
        if per_minute < Nanos::ZERO {
            return Err(wrong(cost, "is negative"));
        }
        Ok(Self { days, from_minute, until_minute, per_minute })
    }
}

fn wrong(text: &str, reason: &str) -> PeriodsError {
    let text: String = text.chars().take(40).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    PeriodsError(format!("\"{text}\" {reason}"))
}

fn parse_days(text: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name.trim()));
    text.split(',').try_fold(0_u8, |days, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // `fr-mo` runs over the weekend's end.
        let length = (last + 7 - first) % 7;
        Some((0..=length).fold(days, |days, step| days | 1 << ((first + step) % 7)))
    })
}

fn parse_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let part = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    let (hours, minutes) = (part(hours)?, part(minutes)?);
    let minute = hours.checked_mul(60)?.checked_add(minutes)?;
    (minutes < 60 && minute <= DAY_MINUTES).then_some(minute)
}

fn parse_offset(text: &str) -> Option<i32> {
    if text.eq_ignore_ascii_case("z") || text.eq_ignore_ascii_case("utc") {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let minutes = sign * i32::from(parse_time(rest)?);
    (minutes.abs() <= FARTHEST).then_some(minutes)
}

impl fmt::Display for Periods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(week) = &self.0 else { return Ok(()) };
        for (at, period) in week.list.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            let days = (0..7).filter(|day| period.days >> day & 1 == 1).map(|day| DAYS[day]).collect::<Vec<_>>();
            let (from, until) = (period.from_minute, period.until_minute);
            write!(f, "{} {:02}:{:02}-{:02}:{:02} {}", days.join(","), from / 60, from % 60, until / 60, until % 60, period.per_minute)?;
        }
        let offset = week.utc_offset_minutes;
        f.write_str(" @")?;
        f.write_char(if offset < 0 { '-' } else { '+' })?;
        write!(f, "{:02}:{:02}", offset.abs() / 60, offset.abs() % 60)
    }
}

impl FromStr for Periods {
    type Err = PeriodsError;

    fn from_str(text: &str) -> Result<Self, PeriodsError> {
        Self::parse(text, |price| price.parse().map_err(|reason: crate::types::MoneyError| reason.to_string()))
    }
}

impl serde::Serialize for Periods {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Periods {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(periods: &str, start: &str, secs: u64) -> Vec<(i64, u64)> {
        let periods: Periods = periods.parse().unwrap();
        let segments = periods.segments(Nanos::new(1), secs, Timestamp::parse(start).unwrap());
        segments.iter().map(|segment| (segment.per_minute.get(), segment.secs)).collect()
    }

    #[test]
    fn the_boundary_splits_seconds() {
        const WEEK: &str = "mo-fr 08:00-18:00 0.000000002; sa-su 0.000000003 @+02:00";
        // 2030-01-04 is a Friday.
        assert_eq!(cut(WEEK, "2030-01-04T15:59:15.9Z", 76), [(2, 45), (1, 31)], "18:00 at +02:00 is 16:00 UTC");
        assert_eq!(cut(WEEK, "2030-01-04T05:59:59Z", 2), [(1, 1), (2, 1)]);
        assert_eq!(cut(WEEK, "2030-01-04T21:59:59Z", 3), [(1, 1), (3, 2)], "midnight begins the weekend");
        assert_eq!(cut(WEEK, "2030-01-05T21:59:00Z", 120), [(3, 120)], "one stretch at one price");
        assert_eq!(cut("mo 0.000000002 @-01:00", "2030-01-07T00:30:00Z", 3600), [(1, 1800), (2, 1800)]);
        assert_eq!(cut("fr-mo 09:00-10:00 0.000000002; su 0.000000005", "2030-01-06T09:59:59Z", 2), [(2, 1), (5, 1)], "the first fits");
        assert_eq!(cut("", "2030-01-06T09:59:59Z", 7), [(1, 7)]);
        assert_eq!(cut(WEEK, "2030-01-04T15:00:00Z", 0), []);
        assert_eq!(cut(WEEK, "1969-12-31T23:59:59Z", 2), [(1, 2)]);
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for text in ["", "mo,tu,we,th,fr 08:00-18:00 0.02; sa,su 00:00-24:00 0.000000001 @+02:00", "su 00:00-00:01 3.00 @-09:30"] {
            let periods: Periods = text.parse().unwrap();
            assert_eq!(periods.to_string(), text);
            assert_eq!(serde_json::from_str::<Periods>(&serde_json::to_string(&periods).unwrap()).unwrap(), periods);
        }
        assert_eq!("Mo-Fr 8:00-18:00 0.02".parse::<Periods>(), "mo,tu,we,th,fr 08:00-18:00 0.02 @Z".parse());
    }

    #[test]
    fn slips_are_named() {
        for (text, part) in [
            ("xx 0.02", "no weekday"),
            ("mo 22:00-06:00 0.02", "two periods"),
            ("mo 08:00-25:00 0.02", "no time"),
            ("mo -0.02", "negative"),
            ("mo 0,02", "plain digits"),
            ("mo", "no period"),
            ("mo 0.02 @15:00", "distance from UTC"),
            ("mo 0.02 @+15:00", "distance from UTC"),
        ] {
            let said = text.parse::<Periods>().unwrap_err().to_string();
            assert!(said.contains(part), "{text}: {said}");
        }
        assert!(["mo 0.1"; 17].join(";").parse::<Periods>().is_err());
    }
}
