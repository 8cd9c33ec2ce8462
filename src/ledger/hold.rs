//! When money may be set aside, how much, and for how long a talk. Values in, values out.

use super::{Account, Config};
use crate::rating::Rate;
use crate::types::{Micros, MoneyError, Nanos, Refusal, Timestamp};

/// The limits of one subscriber: their own where they have one, else the configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once.
    pub max_calls: u32,
    /// Settled and held since 00:00 UTC.
    pub spend_cap: Micros,
    /// Highest price a minute.
    pub max_price: Nanos,
    /// Calls in the last hour.
    pub max_calls_hour: u32,
    /// No call is longer.
    pub longest_call_secs: u32,
}

/// What a subscriber has going on: read in the same transaction, under the account's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Calls of the subscriber with open holds.
    pub calls: u32,
    /// Calls of the last hour.
    pub calls_hour: u32,
    /// Settled since 00:00 UTC.
    pub spent: Micros,
    /// Open holds of the subscriber.
    pub held: Micros,
    /// What the caps of the whole tenant leave.
    pub tenant: Room,
}

/// What the caps of a whole tenant leave for its next call; none means no cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Calls more at once.
    pub calls: Option<u32>,
    /// To be spent today, besides what is held.
    pub spend: Option<Micros>,
}

/// Money to set aside and the talk it pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The whole hold, not the difference.
    pub amount: Micros,
    /// The whole talk it funds, from the answer on.
    pub funded_secs: u32,
    /// Whether asking for more may help: neither the longest call nor the end of credit is reached.
    pub more: bool,
}

impl Limits {
    /// The first reason to turn the call away before its price is known.
    pub fn admit(&self, usage: &Usage) -> Result<(), Refusal> {
        if usage.calls >= self.max_calls || usage.tenant.calls == Some(0) {
            return Err(Refusal::TooManyCalls);
        }
        if usage.calls_hour >= self.max_calls_hour {
            return Err(Refusal::TooFast);
        }
        Ok(())
    }

    /// What is left of the day's cap, the subscriber's own or the tenant's.
    fn cap_left(&self, usage: &Usage) -> Result<Micros, MoneyError> {
        let own = self.spend_cap.minus(usage.spent)?.minus(usage.held)?;
        Ok(usage.tenant.spend.map_or(own, |room| room.min(own)))
    }
}

/// The first slice of a call, or why there is none. `account` and `usage` do not contain this call yet.
pub fn authorise(
    config: &Config,
    limits: &Limits,
    account: &Account,
    usage: &Usage,
    rate: &Rate,
) -> Result<Result<Slice, Refusal>, MoneyError> {
    if let Err(refusal) = limits.admit(usage) {
        return Ok(Err(refusal));
    }
    if rate.dearest() > limits.max_price {
        return Ok(Err(Refusal::NoRate));
    }
    let longest = limits.longest_call_secs;
    let (credit, cap) = (account.available()?, limits.cap_left(usage)?);
    let wanted = rate.first_secs.max(config.slice_secs).min(longest);
    let needed = rate.first_secs.max(config.min_talk_secs).min(longest);
    let slice = slice_within(rate, credit.min(cap), wanted, longest, None)?;
    if slice.funded_secs >= needed {
        return Ok(Ok(slice));
    }
    let by_credit = rate.affordable(credit, longest);
    Ok(Err(if by_credit >= needed { Refusal::SpendCap } else { Refusal::NotEnoughCredit }))
}

/// One slice more for a running call, or what credit and cap still allow; none if that is nothing. `account` and `usage`
/// contain the call's own hold. Until it is known when B answered, the dearest hours are paid for.
pub fn extend(
    config: &Config,
    limits: &Limits,
    account: &Account,
    usage: &Usage,
    rate: &Rate,
    hold: (Micros, u32),
    answered_at: Option<Timestamp>,
) -> Result<Option<Slice>, MoneyError> {
    let (amount, funded_secs) = hold;
    let longest = limits.longest_call_secs;
    if funded_secs >= longest {
        return Ok(None);
    }
    let spendable = account.available()?.min(limits.cap_left(usage)?).max(Micros::ZERO).plus(amount)?;
    let wanted = funded_secs.saturating_add(config.slice_secs.max(rate.next_secs)).min(longest);
    let slice = slice_within(rate, spendable, wanted, longest, answered_at)?;
    Ok((slice.funded_secs > funded_secs).then_some(Slice { amount: slice.amount.max(amount), ..slice }))
}

/// What a call of `duration` costs its hold: never more than the hold, never a second beyond what was funded.
pub fn settle(
    rate: &Rate,
    duration: std::time::Duration,
    funded_secs: u32,
    answered_at: Timestamp,
) -> Result<crate::rating::Charge, MoneyError> {
    rate.charge_at(rate.whole_seconds(duration).min(funded_secs), answered_at)
}

/// A slice that pays for `wanted_secs`, or for as much of it as `spendable` does. What is set aside pays for whole steps, so
/// the talk it funds may be longer than was asked for.
fn slice_within(
    rate: &Rate,
    spendable: Micros,
    wanted_secs: u32,
    longest: u32,
    answered_at: Option<Timestamp>,
) -> Result<Slice, MoneyError> {
    let lasts = |amount| answered_at.map_or_else(|| rate.affordable(amount, longest), |at| rate.affordable_at(amount, longest, at));
    let affordable = lasts(spendable);
    let secs = wanted_secs.min(affordable);
    let charge = answered_at.map_or_else(|| rate.charge(secs), |at| rate.charge_at(secs, at))?;
    let funded_secs = lasts(charge.amount).min(affordable);
    Ok(Slice { amount: charge.amount, funded_secs, more: funded_secs < longest && funded_secs < affordable })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::rating::{DurationRounding, Periods, Rounding};
    use crate::types::{AccountId, Clock, Random};

    const LIMITS: Limits = Limits {
        max_calls: 2,
        spend_cap: Micros::new(10_000_000),
        max_price: Nanos::new(1_000_000_000),
        max_calls_hour: 20,
        longest_call_secs: 7200,
    };

    fn rate(first_secs: u32, next_secs: u32) -> Rate {
        Rate {
            per_minute: Nanos::new(600_000_000),
            connect_fee: Micros::ZERO,
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

    fn account(balance: i64, held: i64) -> Account {
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        Account {
            tenant: crate::types::TenantId::MAIN,
            id: AccountId::new(&clock, &Random::seeded(1)),
            currency: "EUR".parse().unwrap(),
            credit_limit: Micros::ZERO,
            balance: Micros::new(balance),
            held: Micros::new(held),
            low_balance: Micros::ZERO,
        }
    }

    fn usage(calls: u32, spent: i64, held: i64) -> Usage {
        Usage { calls, calls_hour: calls, spent: Micros::new(spent), held: Micros::new(held), tenant: Room::default() }
    }

    fn first(balance: i64, usage: &Usage, rate: &Rate) -> Result<(i64, u32, bool), Refusal> {
        authorise(&Config::default(), &LIMITS, &account(balance, usage.held.get()), usage, rate)
            .unwrap()
            .map(|slice| (slice.amount.get(), slice.funded_secs, slice.more))
    }

    fn next(balance: i64, usage: &Usage, rate: &Rate, hold: (i64, u32)) -> Option<(i64, u32, bool)> {
        let account = account(balance, usage.held.get());
        extend(&Config::default(), &LIMITS, &account, usage, rate, (Micros::new(hold.0), hold.1), None)
            .unwrap()
            .map(|slice| (slice.amount.get(), slice.funded_secs, slice.more))
    }

    #[test]
    fn the_worked_example_of_section_5() {
        for steps in [rate(1, 1), rate(60, 60)] {
            let more = steps.first_secs == 1;
            assert_eq!(first(1_000_000, &usage(0, 0, 0), &steps), Ok((600_000, 60, more)));
        }
        assert_eq!(next(1_000_000, &usage(1, 0, 600_000), &rate(1, 1), (600_000, 60)), Some((1_000_000, 100, false)));
        assert_eq!(next(1_000_000, &usage(1, 0, 600_000), &rate(60, 60), (600_000, 60)), None);
        assert_eq!(
            settle(&rate(1, 1), Duration::from_millis(100_200), 100, Timestamp::from_micros(0)).unwrap().amount.get(),
            1_000_000,
            "our delay is ours"
        );
        assert_eq!(settle(&rate(60, 60), Duration::from_secs(60), 60, Timestamp::from_micros(0)).unwrap().amount.get(), 600_000);
        let during_the_first = usage(1, 0, 600_000);
        assert_eq!(first(1_000_000, &during_the_first, &rate(1, 1)), Ok((400_000, 40, false)));
        assert_eq!(next(1_000_000, &usage(2, 0, 1_000_000), &rate(1, 1), (600_000, 60)), None);
        assert_eq!(first(1_000_000, &during_the_first, &rate(60, 60)), Err(Refusal::NotEnoughCredit));
    }

    #[test]
    fn each_limit_says_its_own_reason() {
        assert_eq!(first(9_000_000, &usage(2, 0, 0), &rate(1, 1)), Err(Refusal::TooManyCalls));
        assert_eq!(first(9_000_000, &Usage { calls_hour: 20, ..usage(0, 0, 0) }, &rate(1, 1)), Err(Refusal::TooFast));
        let dear = Rate { per_minute: Nanos::new(1_000_000_001), ..rate(1, 1) };
        assert_eq!(first(9_000_000, &usage(0, 0, 0), &dear), Err(Refusal::NoRate));
        assert_eq!(first(9_000_000, &usage(0, 9_800_000, 0), &rate(1, 1)), Err(Refusal::SpendCap));
        assert_eq!(first(299_999, &usage(0, 0, 0), &rate(1, 1)), Err(Refusal::NotEnoughCredit));
        assert_eq!(first(300_000, &usage(0, 0, 0), &rate(1, 1)), Ok((300_000, 30, false)));
        assert_eq!(first(9_000_000, &usage(0, 9_500_000, 0), &rate(1, 1)), Ok((500_000, 50, false)), "a near cap makes a short slice");
    }

    #[test]
    fn the_tenants_caps_stand_above_the_subscribers() {
        let above = |calls, spend: Option<i64>| Usage { tenant: Room { calls, spend: spend.map(Micros::new) }, ..usage(0, 0, 0) };
        assert_eq!(first(9_000_000, &above(Some(0), None), &rate(1, 1)), Err(Refusal::TooManyCalls));
        assert_eq!(first(9_000_000, &above(Some(1), None), &rate(1, 1)), Ok((600_000, 60, true)));
        assert_eq!(first(9_000_000, &above(None, Some(299_999)), &rate(1, 1)), Err(Refusal::SpendCap));
        assert_eq!(first(9_000_000, &above(None, Some(-1)), &rate(1, 1)), Err(Refusal::SpendCap));
        assert_eq!(first(9_000_000, &above(None, Some(500_000)), &rate(1, 1)), Ok((500_000, 50, false)));
        assert_eq!(next(9_000_000, &above(Some(0), Some(0)), &rate(1, 1), (600_000, 60)), None, "a cap reached mid-call stops extension");
        assert_eq!(next(9_000_000, &above(Some(0), Some(100_000)), &rate(1, 1), (600_000, 60)), Some((700_000, 70, false)));
    }

    #[test]
    fn a_free_call_holds_nothing_and_still_counts() {
        let free = Rate { per_minute: Nanos::ZERO, ..rate(60, 60) };
        assert_eq!(first(0, &usage(1, 0, 0), &free), Ok((0, 7200, false)));
        assert_eq!(first(0, &usage(2, 0, 0), &free), Err(Refusal::TooManyCalls));
    }

    fn any_rate() -> impl Strategy<Value = Rate> {
        let price = prop_oneof![Just(0), 1..100_000_i64, 0..1_000_000_000_i64];
        let step = prop_oneof![Just(1), Just(6), Just(30), Just(60), 1..200_u32];
        let few = prop_oneof![2 => Just(0), 1 => 0..90_u32];
        let least = prop_oneof![2 => Just(0), 1 => 0..400_000_i64];
        let rounding = prop_oneof![Just(Rounding::Up), Just(Rounding::HalfEven), Just(Rounding::Down)];
        let lasting = prop_oneof![Just(DurationRounding::Up), Just(DurationRounding::Down), Just(DurationRounding::Nearest)];
        let periods = prop_oneof![Just(""), Just("mo-fr 08:00-18:00 0.9 @+01:00"), Just("mo-su 00:00-12:00 0.000001 @-05:00")];
        let fields = (price, least.clone(), step.clone(), step, few.clone(), least, few, rounding, lasting, periods);
        fields.prop_map(|(price, fee, first_secs, next_secs, min_secs, min_charge, grace_secs, rounding, duration_rounding, periods)| {
            Rate {
                per_minute: Nanos::new(price),
                connect_fee: Micros::new(fee),
                first_secs,
                next_secs,
                min_secs,
                min_charge: Micros::new(min_charge),
                grace_secs,
                rounding,
                duration_rounding,
                periods: periods.parse().unwrap(),
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// However a call is paid for, slice by slice, and however long it lasts.
        #[test]
        fn a_charge_never_exceeds_its_hold_and_is_computed_again_from_its_record(
            rate in any_rate(),
            balance in prop_oneof![0..3_000_000_i64, 0..100_000_000_i64],
            spent in 0..9_000_000_i64,
            slice_secs in 1..400_u32,
            extensions in 0..12_usize,
            talked_ms in 0..8_000_000_u64,
            answered_after in 0..8 * 86_400_000_000_i64,
        ) {
            let config = Config { slice_secs, ..Config::default() };
            let answered_at = Timestamp::from_micros(1_893_456_000_000_000 + answered_after);
            let admitted = authorise(&config, &LIMITS, &account(balance, 0), &usage(0, spent, 0), &rate).unwrap();
            let Ok(mut hold) = admitted else { return Ok(()) };
            for _ in 0..extensions {
                let held = hold.amount.get();
                let so_far = (hold.amount, hold.funded_secs);
                let more = extend(&config, &LIMITS, &account(balance, held), &usage(1, spent, held), &rate, so_far, Some(answered_at));
                match more.unwrap() {
                    Some(more) => {
                        prop_assert!(more.amount >= hold.amount && more.funded_secs > hold.funded_secs, "a hold only grows");
                        hold = more;
                    }
                    None => break,
                }
            }
            prop_assert!(hold.amount.get() <= balance.min(LIMITS.spend_cap.get() - spent), "what is set aside is there");
            let talked = Duration::from_millis(talked_ms);
            let charge = settle(&rate, talked, hold.funded_secs, answered_at).unwrap();
            prop_assert!(charge.amount <= hold.amount, "{charge:?} of {hold:?}");
            let longer = settle(&rate, talked + Duration::from_secs(1), hold.funded_secs, answered_at).unwrap();
            prop_assert!(charge.amount <= longer.amount, "a charge never falls with time");

            // The record carries the copy of the rate, the talk, the exact fraction and the mode.
            let copy: Rate = serde_json::from_str(&serde_json::to_string(&rate).unwrap()).unwrap();
            prop_assert_eq!(&settle(&copy, talked, hold.funded_secs, answered_at).unwrap(), &charge);
            let least = if charge.billed_secs > 0 { copy.min_charge } else { Micros::ZERO };
            prop_assert_eq!(copy.rounding.divide(charge.numerator).unwrap().max(least), charge.amount);
        }
    }

    #[test]
    fn a_call_never_grows_beyond_the_longest() {
        let (mut hold, mut steps) = ((600_000, 60), 0);
        while let Some((amount, funded, _)) = next(i64::MAX / 4, &usage(1, 0, 0), &Rate { per_minute: Nanos::new(1), ..rate(1, 1) }, hold) {
            assert!(funded > hold.1);
            (hold, steps) = ((amount, funded), steps + 1);
        }
        assert_eq!(hold.1, 7200);
        assert!(steps > 0);
    }
}
