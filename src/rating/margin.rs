//! Whether a call is sold for at least what its carrier takes for it: fractions are compared, nothing is rounded.

use super::rate::DENOMINATOR;
use super::{Charge, Exchange, FxRate, Quote, Rate};
use crate::types::{Currency, Micros, MoneyError, Timestamp};

/// What the carrier of a call takes for a talk of this length: its own increments, its own rounding, in its own currency.
pub fn cost(quote: &Quote, talked: std::time::Duration, answered_at: Timestamp) -> Result<Charge, MoneyError> {
    quote.rate.charge_at(quote.rate.whole_seconds(talked), answered_at)
}

/// Why a carrier does not get a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMargin {
    /// It takes more than we do.
    #[error("the carrier takes more than the tariff does")]
    Loss,
    /// Nobody wrote down what its currency is in ours.
    #[error("there is no exchange rate from {from} to {to}: add one")]
    NoExchangeRate {
        /// The carrier's currency.
        from: Currency,
        /// The tariff's.
        to: Currency,
    },
    /// The numbers are beyond any price.
    #[error("the prices are out of range")]
    OutOfRange,
}

/// Both sides of a call of some length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Margin {
    /// What the call is sold for, exactly, over 60 000.
    pub sell: i128,
    /// What it is bought for in the carrier's currency, exactly, over 60 000.
    pub buy: i128,
    /// What the carrier's currency is in ours.
    pub fx: FxRate,
}

impl Margin {
    /// Is it a loss? `sell < buy × fx`, multiplied out; none if the numbers are beyond any price.
    pub fn is_loss(&self) -> Option<bool> {
        let (numerator, denominator) = (i128::from(self.fx.rate.numerator()), i128::from(self.fx.rate.denominator()));
        Some(self.sell.checked_mul(denominator)? < self.buy.checked_mul(numerator)?)
    }

    /// What is left, in the tariff's currency; rounded down for showing only.
    pub fn left(&self) -> Option<Micros> {
        let (numerator, denominator) = (i128::from(self.fx.rate.numerator()), i128::from(self.fx.rate.denominator()));
        let difference = self.sell.checked_mul(denominator)?.checked_sub(self.buy.checked_mul(numerator)?)?;
        i64::try_from(difference.div_euclid(denominator * DENOMINATOR)).ok().map(Micros::new)
    }
}

/// Both sides of the first `secs` seconds, connect fees and increments included.
pub fn margin(sell: (&Rate, Currency), buy: (&Rate, Currency), exchange: &Exchange, secs: u32, at: Timestamp) -> Result<Margin, NoMargin> {
    let exact = |rate: &Rate| {
        let charge = rate.charge_at(secs, at).map_err(|_| NoMargin::OutOfRange)?;
        let least = if charge.billed_secs == 0 { 0 } else { i128::from(rate.min_charge.get()) * DENOMINATOR };
        Ok(charge.numerator.max(least))
    };
    let fx = exchange.find(buy.1, sell.1, at).ok_or(NoMargin::NoExchangeRate { from: buy.1, to: sell.1 })?;
    Ok(Margin { sell: exact(sell.0)?, buy: exact(buy.0)?, fx })
}

/// Refuses what would be sold at a loss in its first `secs` seconds.
pub fn check(sell: &Quote, buy: &Quote, exchange: &Exchange, secs: u32, at: Timestamp) -> Result<Margin, NoMargin> {
    let margin = margin((&sell.rate, sell.currency), (&buy.rate, buy.currency), exchange, secs, at)?;
    match margin.is_loss() {
        Some(false) => Ok(margin),
        Some(true) => Err(NoMargin::Loss),
        None => Err(NoMargin::OutOfRange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rating::{DurationRounding, Periods, Rounding};
    use crate::types::Nanos;

    fn rate(nanos: i64, fee: i64, first_secs: u32, next_secs: u32) -> Rate {
        Rate {
            per_minute: Nanos::new(nanos),
            connect_fee: Micros::new(fee),
            first_secs,
            next_secs,
            min_secs: 0,
            min_charge: Micros::ZERO,
            grace_secs: 0,
            rounding: Rounding::Up,
            duration_rounding: DurationRounding::Up,
            periods: Periods::default(),
        }
    }

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    fn is_loss(sell: &Rate, buy: &Rate, fx: &str) -> bool {
        let rate =
            FxRate { from: currency("USD"), to: currency("EUR"), rate: fx.parse().unwrap(), effective_from: Timestamp::from_micros(0) };
        let exchange = Exchange::new(vec![rate]);
        margin((sell, currency("EUR")), (buy, currency("USD")), &exchange, 60, Timestamp::from_micros(1)).unwrap().is_loss().unwrap()
    }

    #[test]
    fn a_billionth_decides() {
        let sell = rate(9_000_000, 0, 1, 1);
        assert!(!is_loss(&sell, &rate(10_000_000, 0, 1, 1), "0.9"), "the same is no loss");
        assert!(is_loss(&sell, &rate(10_000_000, 0, 1, 1), "0.900000000001"));
        assert!(is_loss(&sell, &rate(10_000_001, 0, 1, 1), "0.9"));
    }

    #[test]
    fn connect_fees_and_increments_count() {
        let by_the_second = rate(600_000_000, 0, 1, 1);
        assert!(is_loss(&by_the_second, &rate(500_000_000, 150_000, 1, 1), "1"));
        assert!(!is_loss(&by_the_second, &rate(500_000_000, 50_000, 1, 1), "1"));
        assert!(is_loss(&by_the_second, &rate(500_000_000, 0, 90, 30), "1"), "60 s cost 90 s there");
        let least = Rate { min_charge: Micros::new(700_000), ..rate(0, 0, 1, 1) };
        assert!(is_loss(&by_the_second, &least, "1"));
        assert!(!is_loss(&least, &by_the_second, "1"));
    }

    #[test]
    fn no_exchange_rate_is_no_margin() {
        let (one, other) = (rate(1, 0, 1, 1), rate(0, 0, 1, 1));
        let found = margin((&one, currency("EUR")), (&other, currency("USD")), &Exchange::default(), 60, Timestamp::from_micros(1));
        assert_eq!(found, Err(NoMargin::NoExchangeRate { from: currency("USD"), to: currency("EUR") }));
        assert!(margin((&one, currency("EUR")), (&other, currency("EUR")), &Exchange::default(), 60, Timestamp::from_micros(1)).is_ok());
    }
}
