//! What one currency is in another: fractions of integers with a date, never floats.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::types::{Currency, Timestamp};

/// Largest numerator and denominator: twelve decimals fit, so that no product of a charge leaves 128 bits.
const LARGEST: i64 = 1_000_000_000_000;

/// A fraction above zero, in its lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fraction {
    numerator: i64,
    denominator: i64,
}

/// The text is no fraction above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write the rate as a decimal (0.9231) or a fraction (9231/10000) above zero, with at most 12 digits")]
pub struct FractionError;

impl Fraction {
    /// One: a currency in itself.
    pub const ONE: Self = Self { numerator: 1, denominator: 1 };

    /// From whole numbers.
    pub fn new(numerator: i64, denominator: i64) -> Result<Self, FractionError> {
        if numerator < 1 || denominator < 1 {
            return Err(FractionError);
        }
        let (mut greatest, mut rest) = (numerator, denominator);
        while rest != 0 {
            (greatest, rest) = (rest, greatest % rest);
        }
        let (numerator, denominator) = (numerator / greatest, denominator / greatest);
        if numerator > LARGEST || denominator > LARGEST { Err(FractionError) } else { Ok(Self { numerator, denominator }) }
    }

    /// Above the line.
    pub const fn numerator(self) -> i64 {
        self.numerator
    }

    /// Below the line.
    pub const fn denominator(self) -> i64 {
        self.denominator
    }

    /// The same seen from the other side.
    pub const fn inverse(self) -> Self {
        Self { numerator: self.denominator, denominator: self.numerator }
    }
}

impl FromStr for Fraction {
    type Err = FractionError;

    fn from_str(text: &str) -> Result<Self, FractionError> {
        let whole = |digits: &str| -> Result<i64, FractionError> {
            let plain = (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            if plain { digits.parse().map_err(|_| FractionError) } else { Err(FractionError) }
        };
        if let Some((above, below)) = text.split_once('/') {
            return Self::new(whole(above.trim())?, whole(below.trim())?);
        }
        let (units, decimals) = text.split_once('.').unwrap_or((text, ""));
        let places = u32::try_from(decimals.len()).ok().filter(|&places| places <= 12).ok_or(FractionError)?;
        Self::new(whole(&format!("{units}{decimals}"))?, 10_i64.pow(places))
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

impl serde::Serialize for Fraction {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One unit of `from` is this many of `to`, from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct FxRate {
    /// The currency that is sold.
    pub from: Currency,
    /// The currency that is bought.
    pub to: Currency,
    /// How many of it.
    pub rate: Fraction,
    /// Valid from here on.
    pub effective_from: Timestamp,
}

/// Every exchange rate that is known.
#[derive(Debug, Clone, Default)]
pub struct Exchange(HashMap<(Currency, Currency), Vec<FxRate>>);

impl Exchange {
    /// All of them, in any order.
    pub fn new(rates: Vec<FxRate>) -> Self {
        let mut all: HashMap<_, Vec<FxRate>> = HashMap::new();
        for rate in rates {
            all.entry((rate.from, rate.to)).or_default().push(rate);
        }
        for dated in all.values_mut() {
            dated.sort_by_key(|rate| rate.effective_from);
        }
        Self(all)
    }

    /// What one unit of `from` is in `to` at `at`; a rate that is written the other way round serves too. None: nobody wrote
    /// one down, so nobody may guess.
    pub fn find(&self, from: Currency, to: Currency, at: Timestamp) -> Option<FxRate> {
        if from == to {
            return Some(FxRate { from, to, rate: Fraction::ONE, effective_from: Timestamp::from_micros(0) });
        }
        let valid = |from, to| self.0.get(&(from, to))?.iter().rev().find(|rate| rate.effective_from <= at).copied();
        valid(from, to).or_else(|| valid(to, from).map(|rate| FxRate { from, to, rate: rate.rate.inverse(), ..rate }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_fractions_exactly() {
        for (text, printed) in [("0.9231", "9231/10000"), ("1.50", "3/2"), ("25", "25/1"), ("9231/10000", "9231/10000"), ("2 / 4", "1/2")] {
            assert_eq!(text.parse::<Fraction>().unwrap().to_string(), printed);
        }
        for wrong in ["", "0", "0.0", "-1", "1/0", "1,5", "1e3", "1234567890123", "0.1234567890123", "+1", "1/", "."] {
            assert_eq!(wrong.parse::<Fraction>(), Err(FractionError), "{wrong}");
        }
    }

    #[test]
    fn the_rate_of_the_date_counts_and_may_be_read_backwards() {
        let (eur, usd, czk): (Currency, Currency, Currency) = ("EUR".parse().unwrap(), "USD".parse().unwrap(), "CZK".parse().unwrap());
        let rate = |text: &str, from: i64| FxRate {
            from: usd,
            to: eur,
            rate: text.parse().unwrap(),
            effective_from: Timestamp::from_micros(from),
        };
        let exchange = Exchange::new(vec![rate("0.95", 200), rate("0.9", 100)]);
        let find = |from, to, at| exchange.find(from, to, Timestamp::from_micros(at)).map(|rate| rate.rate.to_string());
        assert_eq!(find(usd, eur, 99), None);
        assert_eq!(find(usd, eur, 100).as_deref(), Some("9/10"));
        assert_eq!(find(usd, eur, 200).as_deref(), Some("19/20"));
        assert_eq!(find(eur, usd, 150).as_deref(), Some("10/9"));
        assert_eq!(find(eur, eur, 0).as_deref(), Some("1/1"));
        assert_eq!(find(czk, eur, 300), None);
    }
}
