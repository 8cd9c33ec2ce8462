use std::time::Duration;

use super::Periods;
use crate::types::{Micros, MoneyError, Nanos, Timestamp};

/// Every exact charge is a fraction over this: 60 seconds a minute times 1000 nanos a micro.
pub const DENOMINATOR: i128 = 60_000;

/// How the one division of a charge rounds; a property of the tariff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Away from zero: every started micro-unit counts.
    #[default]
    Up,
    /// To the nearest, ties to the even one.
    HalfEven,
    /// Towards zero.
    Down,
}

impl Rounding {
    /// The word the books keep.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::HalfEven => "half_even",
            Self::Down => "down",
        }
    }

    /// From the word the books keep.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Up, Self::HalfEven, Self::Down].into_iter().find(|mode| mode.as_str() == word)
    }

    /// `numerator` / 60 000 as micro-units. Numerators are never negative.
    pub fn divide(self, numerator: i128) -> Result<Micros, MoneyError> {
        let (whole, rest) = (numerator.div_euclid(DENOMINATOR), numerator.rem_euclid(DENOMINATOR));
        let one_more = match self {
            Self::Up => rest > 0,
            Self::HalfEven => rest * 2 > DENOMINATOR || (rest * 2 == DENOMINATOR && whole % 2 == 1),
            Self::Down => false,
        };
        i64::try_from(whole + i128::from(one_more)).map(Micros::new).map_err(|_| MoneyError::OutOfRange)
    }

    /// The largest numerator that [`Rounding::divide`] does not take above `amount`.
    fn largest_within(self, amount: i128) -> i128 {
        amount * DENOMINATOR
            + match self {
                Self::Up => 0,
                Self::HalfEven => DENOMINATOR / 2 - amount.rem_euclid(2),
                Self::Down => DENOMINATOR - 1,
            }
    }
}

/// How a measured duration becomes whole seconds; a property of the tariff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurationRounding {
    /// A started second counts.
    #[default]
    Up,
    /// Only whole seconds count.
    Down,
    /// Half a second counts as one.
    Nearest,
}

impl DurationRounding {
    /// The word the books keep.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Nearest => "nearest",
        }
    }

    /// From the word the books keep.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Up, Self::Down, Self::Nearest].into_iter().find(|mode| mode.as_str() == word)
    }

    /// Whole seconds of a measured duration.
    pub fn whole_seconds(self, talked: Duration) -> u32 {
        const HALF_A_SECOND: u32 = 500_000_000;
        let one_more = match self {
            Self::Up => talked.subsec_nanos() > 0,
            Self::Down => false,
            Self::Nearest => talked.subsec_nanos() >= HALF_A_SECOND,
        };
        u32::try_from(talked.as_secs().saturating_add(u64::from(one_more))).unwrap_or(u32::MAX)
    }
}

/// What a minute costs and how it is counted (spec: money, section 3.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Price a minute.
    pub per_minute: Nanos,
    /// Charged once if the call is answered and beyond grace.
    pub connect_fee: Micros,
    /// Length of the first billing step, at least 1.
    pub first_secs: u32,
    /// Length of each next billing step, at least 1.
    pub next_secs: u32,
    /// A charged call counts as at least this long.
    pub min_secs: u32,
    /// A charged call costs at least this much.
    pub min_charge: Micros,
    /// Answered calls of at most this length are free, connect fee included.
    pub grace_secs: u32,
    /// The tariff's rounding.
    pub rounding: Rounding,
    /// How a measured duration becomes whole seconds.
    #[serde(default)]
    pub duration_rounding: DurationRounding,
    /// Hours of the week with a price of their own.
    #[serde(default, skip_serializing_if = "Periods::is_empty")]
    pub periods: Periods,
}

/// What a call costs, with everything needed to compute it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Seconds after increments.
    pub billed_secs: u64,
    /// The exact charge times [`DENOMINATOR`], before the one rounding and before the minimum charge.
    pub numerator: i128,
    /// What is posted.
    pub amount: Micros,
}

/// A stretch of billed seconds at one price: a peak boundary splits seconds, never money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Price a minute.
    pub per_minute: Nanos,
    /// Billed seconds of the stretch.
    pub secs: u64,
}

/// The exact charge of the segments, times [`DENOMINATOR`].
pub fn numerator(connect_fee: Micros, segments: &[Segment]) -> i128 {
    let seconds: i128 = segments.iter().map(|segment| i128::from(segment.per_minute.get()) * i128::from(segment.secs)).sum();
    i128::from(connect_fee.get()) * DENOMINATOR + seconds
}

impl Rate {
    /// What an answered call of `secs` seconds costs at most, whenever it is answered: exactly this much if there are no
    /// periods. Money is set aside by it while nobody knows when B answers.
    pub fn charge(&self, secs: u32) -> Result<Charge, MoneyError> {
        self.charge_of(secs, |secs| i128::from(self.dearest().get()) * i128::from(secs))
    }

    /// What a call of `secs` seconds that was answered at `answered_at` costs. Pure: the same rate, seconds and answer give
    /// the same charge for ever.
    pub fn charge_at(&self, secs: u32, answered_at: Timestamp) -> Result<Charge, MoneyError> {
        if self.periods.is_empty() {
            return self.charge(secs);
        }
        self.charge_of(secs, |secs| numerator(Micros::ZERO, &self.segments(secs, answered_at)))
    }

    /// Billed seconds from `answered_at` on, cut where the price changes.
    pub fn segments(&self, billed_secs: u64, answered_at: Timestamp) -> Vec<Segment> {
        self.periods.segments(self.per_minute, billed_secs, answered_at)
    }

    fn charge_of(&self, secs: u32, for_seconds: impl Fn(u64) -> i128) -> Result<Charge, MoneyError> {
        if secs == 0 || secs <= self.grace_secs {
            return Ok(Charge { billed_secs: 0, numerator: 0, amount: Micros::ZERO });
        }
        let billed_secs = self.billed(secs.max(self.min_secs));
        let numerator = i128::from(self.connect_fee.get()) * DENOMINATOR + for_seconds(billed_secs);
        let amount = self.rounding.divide(numerator)?.max(self.min_charge);
        Ok(Charge { billed_secs, numerator, amount })
    }

    /// The highest price a minute has at any time.
    pub fn dearest(&self) -> Nanos {
        self.periods.dearest().map_or(self.per_minute, |dearest| dearest.max(self.per_minute))
    }

    /// Whole seconds of a measured duration, by the tariff.
    pub fn whole_seconds(&self, talked: Duration) -> u32 {
        self.duration_rounding.whole_seconds(talked)
    }

    /// The longest whole number of seconds, up to `longest_secs`, whose charge does not exceed `available` whenever the call
    /// is answered; zero (or the grace) if the first increment does not fit.
    pub fn affordable(&self, available: Micros, longest_secs: u32) -> u32 {
        if available < Micros::ZERO {
            return 0;
        }
        let free = self.grace_secs.min(longest_secs);
        if available < self.min_charge {
            return free;
        }
        let for_seconds = self.rounding.largest_within(i128::from(available.get())) - i128::from(self.connect_fee.get()) * DENOMINATOR;
        if for_seconds < 0 {
            return free;
        }
        let Some(billable) = for_seconds.checked_div(i128::from(self.dearest().get())) else {
            return longest_secs;
        };
        let (first, next) = (i128::from(self.first_secs), i128::from(self.next_secs));
        if billable < first {
            return free;
        }
        let whole_steps = first + (billable - first) / next * next;
        if whole_steps < i128::from(self.min_secs) {
            return free;
        }
        u32::try_from(whole_steps).map_or(longest_secs, |secs| secs.clamp(free, longest_secs))
    }

    /// The same for a call that was answered at `answered_at`. With periods it is searched for: a charge never falls with
    /// time, so halving finds it in at most 32 steps.
    pub fn affordable_at(&self, available: Micros, longest_secs: u32, answered_at: Timestamp) -> u32 {
        if self.periods.is_empty() || available < Micros::ZERO {
            return self.affordable(available, longest_secs);
        }
        let fits = |secs| self.charge_at(secs, answered_at).is_ok_and(|charge| charge.amount <= available);
        let (mut fitting, mut too_long) = (0, u64::from(longest_secs) + 1);
        while too_long - fitting > 1 {
            let middle = fitting.midpoint(too_long);
            if u32::try_from(middle).is_ok_and(fits) { fitting = middle } else { too_long = middle }
        }
        u32::try_from(fitting).unwrap_or(longest_secs)
    }

    fn billed(&self, secs: u32) -> u64 {
        let (first, next) = (u64::from(self.first_secs), u64::from(self.next_secs));
        first + u64::from(secs).saturating_sub(first).div_ceil(next) * next
    }
}

#[cfg(test)]
mod tests;
