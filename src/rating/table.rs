use std::collections::HashMap;

use super::Rate;
use crate::types::E164;

/// A prefix as one integer that sorts as its digits do: four bits a digit from the top, the length in the lowest four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(u64);

/// Digits of the longest prefix: a whole number.
const LONGEST: usize = 15;
/// "No shorter prefix of this deck covers it."
const NO_PARENT: u32 = u32::MAX;

impl Prefix {
    /// From 1 to 15 digits, without plus.
    pub fn parse(digits: &str) -> Option<Self> {
        let sound = (1..=LONGEST).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !sound {
            return None;
        }
        let packed = digits.bytes().fold(0_u64, |packed, byte| packed << 4 | u64::from(byte - b'0'));
        let length = u32::try_from(digits.len()).ok()?;
        Some(Self(packed << (64 - 4 * length) | u64::from(length)))
    }

    const fn length(self) -> u64 {
        self.0 & 15
    }

    const fn covers(self, other: Self) -> bool {
        let unread = 64 - 4 * self.length();
        self.length() <= other.length() && self.0 >> unread == other.0 >> unread
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (0..self.length()).try_for_each(|place| write!(f, "{}", self.0 >> (60 - 4 * place) & 15))
    }
}

/// The rates of one deck version: compact, immutable, sorted by prefix.
///
/// A look-up finds the last prefix that sorts before the number and climbs from there to its shorter relatives, so it reads
/// a few dozen words whatever the size of the deck.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Table {
    prefixes: Vec<Prefix>,
    parents: Vec<u32>,
    rate_of: Vec<u32>,
    name_of: Vec<u32>,
    rates: Vec<Rate>,
    names: Vec<Box<str>>,
}

/// One row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'t> {
    /// The digits it is for.
    pub prefix: Prefix,
    /// What the deck calls them.
    pub name: &'t str,
    /// What they cost.
    pub rate: &'t Rate,
}

impl Table {
    /// How many rates.
    pub const fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether it prices nothing.
    pub const fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// The rate of the longest prefix of `number`. Price never decides.
    pub fn find(&self, number: E164) -> Option<Row<'_>> {
        let number = Prefix::parse(&number.digits())?;
        let mut at = self.prefixes.partition_point(|&prefix| prefix <= number).checked_sub(1)?;
        while !self.prefixes[at].covers(number) {
            at = usize::try_from(self.parents[at]).ok().filter(|_| self.parents[at] != NO_PARENT)?;
        }
        Some(self.row(at))
    }

    /// The rate of exactly this prefix.
    pub fn get(&self, prefix: Prefix) -> Option<Row<'_>> {
        self.prefixes.binary_search(&prefix).ok().map(|at| self.row(at))
    }

    /// The rate that covered numbers of this prefix before it had one of its own.
    pub fn covering(&self, prefix: Prefix) -> Option<Row<'_>> {
        let end = self.prefixes.partition_point(|&other| other < prefix);
        let mut at = end.checked_sub(1)?;
        while !self.prefixes[at].covers(prefix) {
            at = usize::try_from(self.parents[at]).ok().filter(|_| self.parents[at] != NO_PARENT)?;
        }
        Some(self.row(at))
    }

    /// All rows, by prefix.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.len()).map(|at| self.row(at))
    }

    fn row(&self, at: usize) -> Row<'_> {
        let index = |places: &[u32]| usize::try_from(places[at]).expect("an index fits");
        Row { prefix: self.prefixes[at], name: &self.names[index(&self.name_of)], rate: &self.rates[index(&self.rate_of)] }
    }
}

/// Gathers rows in any order and shares what repeats.
#[derive(Debug, Default)]
pub struct TableBuilder {
    rows: Vec<(Prefix, u32, u32)>,
    rates: HashMap<Rate, u32>,
    names: HashMap<Box<str>, u32>,
}

impl TableBuilder {
    /// Adds a row. Rows of a prefix seen before are kept too; [`TableBuilder::build`] keeps the first.
    pub fn add(&mut self, prefix: Prefix, name: &str, rate: Rate) {
        let fresh = u32::try_from(self.rates.len()).expect("fewer rates than rows");
        let rate = *self.rates.entry(rate).or_insert(fresh);
        let name = if let Some(&known) = self.names.get(name) {
            known
        } else {
            let fresh = u32::try_from(self.names.len()).expect("fewer names than rows");
            self.names.insert(name.into(), fresh);
            fresh
        };
        self.rows.push((prefix, rate, name));
    }

    /// How many rows were added.
    pub const fn count(&self) -> usize {
        self.rows.len()
    }

    /// The finished table.
    pub fn build(mut self) -> Table {
        self.rows.sort_by_key(|row| row.0);
        self.rows.dedup_by_key(|row| row.0);
        let mut table = Table { rates: in_order(self.rates), names: in_order(self.names), ..Table::default() };
        let mut open: Vec<u32> = Vec::with_capacity(LONGEST);
        for (at, (prefix, rate, name)) in (0_u32..).zip(self.rows) {
            while open.last().is_some_and(|&shorter| !table.prefixes[usize::try_from(shorter).expect("an index fits")].covers(prefix)) {
                open.pop();
            }
            table.parents.push(open.last().copied().unwrap_or(NO_PARENT));
            open.push(at);
            table.prefixes.push(prefix);
            table.rate_of.push(rate);
            table.name_of.push(name);
        }
        table
    }
}

fn in_order<T>(places: HashMap<T, u32>) -> Vec<T> {
    let mut pairs: Vec<(T, u32)> = places.into_iter().collect();
    pairs.sort_by_key(|pair| pair.1);
    pairs.into_iter().map(|pair| pair.0).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rating::{DurationRounding, Periods, Rounding};
    use crate::types::{Clock, Micros, Nanos, Random};

    fn rate(nanos: i64) -> Rate {
        Rate {
            per_minute: Nanos::new(nanos),
            connect_fee: Micros::ZERO,
            first_secs: 1,
            next_secs: 1,
            min_secs: 0,
            min_charge: Micros::ZERO,
            grace_secs: 0,
            rounding: Rounding::Up,
            duration_rounding: DurationRounding::Up,
            periods: Periods::default(),
        }
    }

    fn table(prefixes: &[&str]) -> Table {
        let mut builder = TableBuilder::default();
        for (price, prefix) in (1..).zip(prefixes) {
            builder.add(Prefix::parse(prefix).unwrap(), prefix, rate(price));
        }
        builder.build()
    }

    fn number(digits: &str) -> E164 {
        digits.parse().unwrap()
    }

    #[test]
    fn the_longest_prefix_wins_whatever_it_costs() {
        let table = table(&["420", "4", "42060", "1", "1555", "155512", "4207", "420601123456"]);
        for (digits, prefix) in [
            ("420601123456", Some("420601123456")),
            ("420601123457", Some("42060")),
            ("420701123456", Some("4207")),
            ("420800000000", Some("420")),
            ("447700900123", Some("4")),
            ("15551231234", Some("155512")),
            ("15559999999", Some("1555")),
            ("12025550123", Some("1")),
            ("33155501234", None),
        ] {
            assert_eq!(table.find(number(digits)).map(|row| row.prefix.to_string()).as_deref(), prefix, "{digits}");
        }
        assert_eq!(table.covering(Prefix::parse("42060").unwrap()).unwrap().prefix.to_string(), "420");
        assert!(table.covering(Prefix::parse("4").unwrap()).is_none());
    }

    #[test]
    fn a_prefix_is_1_to_15_digits() {
        for text in ["", "+1", "1234567890123456", "12a", "٣"] {
            assert_eq!(Prefix::parse(text), None, "{text}");
        }
        for text in ["0", "1", "007", "999999999999999"] {
            assert_eq!(Prefix::parse(text).unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn a_look_up_finds_what_a_slow_search_finds(prefixes in proptest::collection::hash_set("[12]{1,6}", 1..40), digits in "[12]{7,9}") {
            let mut all: Vec<&str> = prefixes.iter().map(String::as_str).collect();
            let found = table(&all).find(number(&digits)).map(|row| row.prefix.to_string());
            all.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
            let slow = all.into_iter().find(|prefix| digits.starts_with(prefix)).map(str::to_owned);
            prop_assert_eq!(found, slow);
        }
    }

    #[test]
    fn half_a_million_rates_answer_within_50_microseconds() {
        let mut builder = TableBuilder::default();
        for value in 0..500_000_u64 {
            let digits = (1_000_000 + value * 17 % 8_999_993).to_string();
            builder.add(Prefix::parse(&digits).unwrap(), "somewhere", rate(i64::try_from(value % 997).unwrap()));
        }
        let table = builder.build();
        assert!(table.len() > 490_000, "{}", table.len());
        let (clock, random) = (Clock::system(), Random::seeded(5));
        let mut times: Vec<u128> = (0..20_000)
            .map(|_| {
                let number = number(&(10_000_000_000 + random.below(80_000_000_000)).to_string());
                let before = clock.now();
                std::hint::black_box(table.find(number));
                clock.now().since(before).as_nanos()
            })
            .collect();
        times.sort_unstable();
        assert!(times[19_800] < 50_000, "p99 is {} ns", times[19_800]);
    }
}
