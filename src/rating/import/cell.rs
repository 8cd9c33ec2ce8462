//! What one cell says: prices, seconds, steps, prefixes, dates. Every complaint tells what to write instead.

use std::str::FromStr;

use super::format::{DecimalMark, Format, Thousands};
use crate::rating::Prefix;
use crate::types::{MoneyError, Timestamp};

/// Characters of a cell that a complaint repeats.
const CELL_ECHO: usize = 40;
/// Seconds of a billing step, a minimum or a grace: a day.
pub(super) const LONGEST_SECS: u32 = 86_400;
/// Prefixes of one cell.
const MOST_OF_A_CELL: usize = 2000;

/// What a complaint repeats of a cell.
pub(super) fn echo(text: &str) -> String {
    text.chars().take(CELL_ECHO).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// A price or fee in the decimals that were declared.
pub(super) fn amount<T>(text: &str, what: &str, format: &Format, units: impl Fn(T) -> i64) -> Result<T, String>
where
    T: FromStr<Err = MoneyError> + Copy,
{
    let complaint = |reason: &str| format!("{what} \"{}\": {reason}", echo(text));
    let plain = plain_decimal(text, format.decimal_mark, format.thousands).map_err(|reason| complaint(&reason))?;
    let value: T = plain.parse().map_err(|reason: MoneyError| complaint(&reason.to_string()))?;
    if units(value) < 0 { Err(complaint("it is negative: a price is zero or more")) } else { Ok(value) }
}

/// The number with a dot and without thousands, if it is written as was declared.
fn plain_decimal(text: &str, mark: DecimalMark, thousands: Thousands) -> Result<String, String> {
    let (mark, other, declared) = match mark {
        DecimalMark::Dot => {
            ('.', ',', "the decimal mark was declared to be a dot; write 0.0137 without thousands separators, or declare a comma")
        }
        DecimalMark::Comma => {
            (',', '.', "the decimal mark was declared to be a comma; write 0,0137 without thousands separators, or declare a dot")
        }
    };
    if thousands.is(mark) {
        return Err("the thousands separator and the decimal mark were declared to be the same: declare two different ones".to_owned());
    }
    let (whole, decimals) = text.split_once(mark).map_or((text, None), |(whole, decimals)| (whole, Some(decimals)));
    if !thousands.is(other) && text.contains(other) {
        return Err(declared.to_owned());
    }
    if decimals.is_some_and(|decimals| decimals.contains(|letter| thousands.is(letter))) {
        return Err("a thousands separator stands behind the decimal mark".to_owned());
    }
    let mut groups = whole.split(|letter| thousands.is(letter));
    let first = groups.next().unwrap_or_default();
    let rest: Vec<&str> = groups.collect();
    let digits = first.trim_start_matches('-').len();
    if !rest.is_empty() && (!(1..=3).contains(&digits) || rest.iter().any(|group| group.len() != 3)) {
        return Err("the thousands separators do not stand between groups of three digits".to_owned());
    }
    let whole = format!("{first}{}", rest.concat());
    Ok(decimals.map_or(whole.clone(), |decimals| format!("{whole}.{decimals}")))
}

/// Whole seconds up to a day.
pub(super) fn secs(text: &str, what: &str) -> Result<u32, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let secs = plain.then(|| text.parse().ok()).flatten().filter(|&secs| secs <= LONGEST_SECS);
    secs.ok_or_else(|| format!("{what} \"{}\": write whole seconds up to {LONGEST_SECS}", echo(text)))
}

/// A billing step: at least a second.
pub(super) fn step(text: &str, what: &str) -> Result<u32, String> {
    match secs(text, what)? {
        0 => Err(format!("{what} is 0: a billing step is at least 1 second (a flat price a call is a connect fee with a zero price)")),
        secs => Ok(secs),
    }
}

/// `60/60`, `30/6`, `60`; a third part must repeat the second.
pub(super) fn increment(text: &str) -> Result<(u32, u32), String> {
    let parts: Vec<&str> = text.split(['/', '+', '-']).map(str::trim).collect();
    let what = "the billing step";
    match parts.as_slice() {
        [both] => step(both, what).map(|secs| (secs, secs)),
        [first, next] => Ok((step(first, "the first billing step")?, step(next, "the next billing step")?)),
        [first, next, rest @ ..] if rest.iter().all(|part| part == next) => {
            Ok((step(first, "the first billing step")?, step(next, "the next billing step")?))
        }
        _ => Err(format!("{what} \"{}\": write first and next, such as 60/60; what a third part means is not agreed", echo(text))),
    }
}

/// The prefixes of a cell: one, or several where that was declared.
pub(super) fn prefixes(text: &str, lists: bool) -> Result<Vec<Prefix>, String> {
    let one = |digits: &str| {
        let digits = digits.trim();
        Prefix::parse(digits.strip_prefix('+').unwrap_or(digits))
            .ok_or_else(|| format!("prefix \"{}\": write 1 to 15 digits", echo(digits)))
    };
    if !lists {
        let several = text.contains([',', ';', '-']) && text.bytes().any(|byte| byte.is_ascii_digit());
        return match one(text) {
            Ok(prefix) => Ok(vec![prefix]),
            Err(said) if several => Err(format!("{said}, or declare that a cell holds several prefixes")),
            Err(said) => Err(said),
        };
    }
    let mut found = Vec::new();
    for part in text.split([',', ';', '|']).filter(|part| !part.trim().is_empty()) {
        match part.split_once('-') {
            None => found.push(one(part)?),
            Some((from, until)) => range(from.trim(), until.trim(), &mut found).ok_or_else(|| {
                format!(
                    "the range \"{}\": write two prefixes of the same length, the lower first, at most {MOST_OF_A_CELL} apart",
                    echo(part)
                )
            })?,
        }
        if found.len() > MOST_OF_A_CELL {
            return Err(format!("more than {MOST_OF_A_CELL} prefixes in one cell: split the line"));
        }
    }
    if found.is_empty() { Err("the prefix is empty: write 1 to 15 digits".to_owned()) } else { Ok(found) }
}

fn range(from: &str, until: &str, found: &mut Vec<Prefix>) -> Option<()> {
    let (from, until) = (from.strip_prefix('+').unwrap_or(from), until.strip_prefix('+').unwrap_or(until));
    let width = from.len();
    (Prefix::parse(from).is_some() && Prefix::parse(until).is_some() && until.len() == width).then_some(())?;
    let (from, until): (u64, u64) = (from.parse().ok()?, until.parse().ok()?);
    let length = until.checked_sub(from)?;
    usize::try_from(length).ok().filter(|&length| length < MOST_OF_A_CELL)?;
    for value in from..=until {
        found.push(Prefix::parse(&format!("{value:0width$}"))?);
    }
    Some(())
}

/// `2030-01-02`, or a time in RFC 3339. Dates in other orders are two different days.
pub(super) fn date(text: &str) -> Result<Timestamp, String> {
    let midnight = format!("{text}T00:00:00Z");
    let written = Timestamp::parse(text).or_else(|| Timestamp::parse(&midnight)).or_else(|| Timestamp::parse(&text.replacen(' ', "T", 1)));
    let written = written.or_else(|| Timestamp::parse(&format!("{}Z", text.replacen(' ', "T", 1))));
    written.ok_or_else(|| format!("the date \"{}\": write it as 2030-01-31", echo(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Nanos;

    fn price(text: &str, decimal_mark: DecimalMark, thousands: Thousands) -> Result<String, String> {
        let format = Format { decimal_mark, thousands, ..Format::default() };
        amount::<Nanos>(text, "the price a minute", &format, Nanos::get).map(|price| price.to_string())
    }

    #[test]
    fn a_thousands_separator_is_taken_only_where_it_was_declared() {
        use DecimalMark::{Comma, Dot};
        for (text, mark, thousands, value) in [
            ("1234.50", Dot, Thousands::None, "1234.50"),
            ("1,234.50", Dot, Thousands::Comma, "1234.50"),
            ("1.234.567,50", Comma, Thousands::Dot, "1234567.50"),
            ("1 234,5", Comma, Thousands::Space, "1234.50"),
            ("1'234.5", Dot, Thousands::Apostrophe, "1234.50"),
            ("0,0137", Comma, Thousands::Dot, "0.0137"),
        ] {
            assert_eq!(price(text, mark, thousands).as_deref(), Ok(value), "{text}");
        }
        for (text, mark, thousands, part) in [
            ("1,234.50", Dot, Thousands::None, "declared to be a dot"),
            ("1,234", Dot, Thousands::None, "declared to be a dot"),
            ("1.234", Comma, Thousands::None, "declared to be a comma"),
            ("1,23.50", Dot, Thousands::Comma, "groups of three"),
            ("1234,500", Dot, Thousands::Comma, "groups of three"),
            ("1.5,000", Dot, Thousands::Comma, "behind the decimal mark"),
            ("1.5", Dot, Thousands::Dot, "two different ones"),
            ("-1", Dot, Thousands::None, "negative"),
            ("0.0000000001", Dot, Thousands::None, "at most 9 decimals"),
            ("", Dot, Thousands::None, "plain digits"),
        ] {
            let said = price(text, mark, thousands).unwrap_err();
            assert!(said.contains(part), "{text}: {said}");
        }
    }

    #[test]
    fn steps_are_first_and_next() {
        for (text, steps) in [("60/60", (60, 60)), ("30 / 6", (30, 6)), ("1/1/1", (1, 1)), ("60", (60, 60)), ("60+1", (60, 1))] {
            assert_eq!(increment(text), Ok(steps), "{text}");
        }
        for (text, part) in [("60/0", "is 0"), ("1/6/60", "third part"), ("a/b", "whole seconds"), ("", "whole seconds")] {
            let said = increment(text).unwrap_err();
            assert!(said.contains(part), "{text}: {said}");
        }
    }

    #[test]
    fn a_cell_of_many_prefixes_is_taken_only_where_that_was_declared() {
        let all = |text: &str, lists: bool| prefixes(text, lists).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(all("+420601", false).unwrap(), ["420601"]);
        assert!(all("420601, 420602", false).unwrap_err().contains("declare that a cell holds several"));
        assert_eq!(all("420601, 420602;420605-420607", true).unwrap(), ["420601", "420602", "420605", "420606", "420607"]);
        assert_eq!(all("0098-0101", true).unwrap(), ["0098", "0099", "0100", "0101"]);
        for text in ["420605-42060", "420607-420605", "1-999999", ",", "42a"] {
            assert!(all(text, true).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_begin_with_the_year() {
        assert_eq!(date("2030-01-31").unwrap().to_string(), "2030-01-31T00:00:00Z");
        assert_eq!(date("2030-01-31 12:00:00").unwrap().to_string(), "2030-01-31T12:00:00Z");
        assert!(date("31/01/2030").unwrap_err().contains("2030-01-31"));
    }
}
