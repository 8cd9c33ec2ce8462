use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;

use super::*;

const INCREMENTS: [(u32, u32); 5] = [(1, 1), (6, 6), (30, 6), (60, 1), (60, 60)];

fn rate(nanos: i64, (first_secs, next_secs): (u32, u32)) -> Rate {
    Rate {
        per_minute: Nanos::new(nanos),
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

fn with_fee(rate: Rate) -> Rate {
    Rate { connect_fee: Micros::new(50_000), ..rate }
}

fn micros(rate: &Rate, secs: u32) -> i64 {
    rate.charge(secs).unwrap().amount.get()
}

#[test]
fn billed_seconds_as_in_section_3_3() {
    for (secs, billed) in [
        (0, [0, 0, 0, 0, 0]),
        (1, [1, 6, 30, 60, 60]),
        (29, [29, 30, 30, 60, 60]),
        (30, [30, 30, 30, 60, 60]),
        (31, [31, 36, 36, 60, 60]),
        (57, [57, 60, 60, 60, 60]),
        (59, [59, 60, 60, 60, 60]),
        (60, [60, 60, 60, 60, 60]),
        (61, [61, 66, 66, 61, 120]),
        (75, [75, 78, 78, 75, 120]),
        (119, [119, 120, 120, 119, 120]),
        (121, [121, 126, 126, 121, 180]),
        (3599, [3599, 3600, 3600, 3599, 3600]),
        (3600, [3600, 3600, 3600, 3600, 3600]),
    ] {
        assert_eq!(INCREMENTS.map(|steps| rate(1, steps).charge(secs).unwrap().billed_secs), billed, "{secs} s");
    }
}

#[test]
fn charges_at_sixty_cents_as_in_section_3_4() {
    for (secs, charges) in [
        (1, [10_000, 60_000, 300_000, 600_000, 600_000]),
        (29, [290_000, 300_000, 300_000, 600_000, 600_000]),
        (31, [310_000, 360_000, 360_000, 600_000, 600_000]),
        (57, [570_000, 600_000, 600_000, 600_000, 600_000]),
        (61, [610_000, 660_000, 660_000, 610_000, 1_200_000]),
        (75, [750_000, 780_000, 780_000, 750_000, 1_200_000]),
        (3599, [35_990_000, 36_000_000, 36_000_000, 35_990_000, 36_000_000]),
    ] {
        for rounding in [Rounding::Up, Rounding::HalfEven, Rounding::Down] {
            assert_eq!(INCREMENTS.map(|steps| micros(&Rate { rounding, ..rate(600_000_000, steps) }, secs)), charges, "{secs} s");
        }
    }
}

#[test]
fn charges_at_a_fine_price_as_in_section_3_4() {
    for (secs, plain, fee) in [
        (0, [0, 0, 0, 0, 0], [0, 0, 0]),
        (1, [229, 1_370, 6_850, 13_700, 13_700], [50_229, 56_850, 63_700]),
        (29, [6_622, 6_850, 6_850, 13_700, 13_700], [56_622, 56_850, 63_700]),
        (30, [6_850, 6_850, 6_850, 13_700, 13_700], [56_850, 56_850, 63_700]),
        (31, [7_079, 8_220, 8_220, 13_700, 13_700], [57_079, 58_220, 63_700]),
        (57, [13_015, 13_700, 13_700, 13_700, 13_700], [63_015, 63_700, 63_700]),
        (61, [13_929, 15_070, 15_070, 13_929, 27_400], [63_929, 65_070, 77_400]),
        (75, [17_125, 17_810, 17_810, 17_125, 27_400], [67_125, 67_810, 77_400]),
        (3599, [821_772, 822_000, 822_000, 821_772, 822_000], [871_772, 872_000, 872_000]),
        (3600, [822_000, 822_000, 822_000, 822_000, 822_000], [872_000, 872_000, 872_000]),
    ] {
        assert_eq!(INCREMENTS.map(|steps| micros(&rate(13_700_000, steps), secs)), plain, "{secs} s");
        assert_eq!([(1, 1), (30, 6), (60, 60)].map(|steps| micros(&with_fee(rate(13_700_000, steps)), secs)), fee, "{secs} s, fee");
    }
    for (secs, steps, charge) in [(1, (1, 1), 2), (60, (1, 1), 88), (61, (60, 60), 175), (3600, (1, 1), 5_250)] {
        assert_eq!(micros(&rate(87_500, steps), secs), charge, "{secs} s at {steps:?}");
    }
}

#[test]
fn rounding_modes_as_in_section_3_5() {
    let per_second = |nanos: i64, secs: u64| [Segment { per_minute: Nanos::new(nanos), secs }].to_vec();
    let split = [per_second(13_700_001, 45), per_second(20_000_003, 31)].concat();
    for (segments, results) in [
        (per_second(30_000, 1), [1, 0, 0]),
        (per_second(30_000, 3), [2, 2, 1]),
        (per_second(30_000, 5), [3, 2, 2]),
        (per_second(87_500, 1), [2, 1, 1]),
        (per_second(87_500, 60), [88, 88, 87]),
        (per_second(13_700_000, 7), [1599, 1598, 1598]),
        (per_second(333_333_333, 61), [338_889, 338_889, 338_888]),
        (per_second(500_000_000, 60), [500_000, 500_000, 500_000]),
        (per_second(1, 60), [1, 0, 0]),
        (split, [20_609, 20_608, 20_608]),
    ] {
        let exact = numerator(Micros::ZERO, &segments);
        assert_eq!([Rounding::Up, Rounding::HalfEven, Rounding::Down].map(|mode| mode.divide(exact).unwrap().get()), results);
    }
    assert_eq!(micros(&rate(500_000_000, (1, 1)), 60), 500_000, "not 498 000: seconds are never rounded one by one");
}

#[test]
fn grace_and_minimums_as_in_section_3_6() {
    let grace = Rate { grace_secs: 3, ..rate(600_000_000, (1, 1)) };
    let min_secs = Rate { min_secs: 10, ..rate(600_000_000, (6, 6)) };
    let min_charge = Rate { min_charge: Micros::new(50_000), ..rate(600_000_000, (1, 1)) };
    for (secs, charges) in [
        (0, [0, 0, 0]),
        (1, [0, 120_000, 50_000]),
        (3, [0, 120_000, 50_000]),
        (4, [40_000, 120_000, 50_000]),
        (10, [100_000, 120_000, 100_000]),
        (11, [110_000, 120_000, 110_000]),
        (61, [610_000, 660_000, 610_000]),
    ] {
        assert_eq!([&grace, &min_secs, &min_charge].map(|rate| micros(rate, secs)), charges, "{secs} s");
    }
    assert_eq!(min_secs.charge(1).unwrap().billed_secs, 12);
    assert_eq!(min_secs.charge(61).unwrap().billed_secs, 66);
}

#[test]
fn credit_lasts_as_in_section_3_7() {
    for (available, plain, fee) in [
        (0, [0, 0, 0, 0, 0], [0, 0, 0]),
        (300_000, [30, 30, 30, 0, 0], [25, 0, 0]),
        (590_000, [59, 54, 54, 0, 0], [54, 54, 0]),
        (600_000, [60, 60, 60, 60, 60], [55, 54, 0]),
        (1_000_000, [100, 96, 96, 100, 60], [95, 90, 60]),
        (1_199_999, [119, 114, 114, 119, 60], [114, 114, 60]),
        (1_200_000, [120, 120, 120, 120, 120], [115, 114, 60]),
    ] {
        let lasts = |rate: Rate| rate.affordable(Micros::new(available), 7200);
        assert_eq!(INCREMENTS.map(|steps| lasts(rate(600_000_000, steps))), plain, "{available}");
        assert_eq!([(1, 1), (30, 6), (60, 60)].map(|steps| lasts(with_fee(rate(600_000_000, steps)))), fee, "{available}, fee");
    }
    assert_eq!(rate(0, (60, 60)).affordable(Micros::ZERO, 7200), 7200, "a zero price lasts as long as calls may");
    assert_eq!(rate(1, (1, 1)).affordable(Micros::new(i64::MAX), 7200), 7200);
    assert_eq!(rate(600_000_000, (1, 1)).affordable(Micros::new(-1), 7200), 0);
}

#[test]
fn amounts_beyond_a_float_stay_exact_and_beyond_64_bits_are_an_error() {
    assert_eq!(micros(&rate(16_777_217_000, (60, 60)), 60), 16_777_217);
    assert_eq!(micros(&rate(1_234_500_000_000, (60, 60)), 60), 1_234_500_000);
    assert_eq!(rate(i64::MAX, (60, 60)).charge(u32::MAX), Err(MoneyError::OutOfRange));
    assert!(rate(i64::MAX, (60, 60)).charge(3600).is_ok());
}

#[test]
fn durations_become_whole_seconds_by_the_tariff() {
    for (nanos, up, down, nearest) in [
        (0, 0, 0, 0),
        (1, 1, 0, 0),
        (499_999_999, 1, 0, 0),
        (500_000_000, 1, 0, 1),
        (1_000_000_000, 1, 1, 1),
        (1_000_000_001, 2, 1, 1),
        (60_999_999_999, 61, 60, 61),
    ] {
        let all = [DurationRounding::Up, DurationRounding::Down, DurationRounding::Nearest];
        assert_eq!(all.map(|mode| mode.whole_seconds(Duration::from_nanos(nanos))), [up, down, nearest], "{nanos} ns");
    }
    assert_eq!(DurationRounding::Up.whole_seconds(Duration::MAX), u32::MAX);
}

/// 2030-01-02 is a Wednesday: peak ends 45 seconds after this answer.
fn at_the_boundary() -> (Rate, Timestamp) {
    let periods = "mo-fr 08:00-18:00 0.013700001 @+01:00".parse().unwrap();
    (Rate { periods, ..rate(20_000_003, (1, 1)) }, Timestamp::parse("2030-01-02T16:59:15Z").unwrap())
}

#[test]
fn two_segments_are_rounded_once_as_in_section_3_5() {
    let (split, answered_at) = at_the_boundary();
    for (rounding, amount) in [(Rounding::Up, 20_609), (Rounding::HalfEven, 20_608), (Rounding::Down, 20_608)] {
        let charge = Rate { rounding, ..split.clone() }.charge_at(76, answered_at).unwrap();
        assert_eq!((charge.billed_secs, charge.amount.get()), (76, amount), "not 20 610: each segment is not rounded by itself");
        assert_eq!(charge.numerator, 45 * 13_700_001 + 31 * 20_000_003);
    }
    assert_eq!(split.segments(76, answered_at).iter().map(|segment| segment.secs).collect::<Vec<_>>(), [45, 31]);
    assert!(split.charge(76).unwrap().amount >= split.charge_at(76, answered_at).unwrap().amount, "what is set aside suffices");
    let lasts = |available| split.affordable_at(Micros::new(available), 7200, answered_at);
    assert_eq!((lasts(20_608), lasts(20_609), lasts(i64::MAX), lasts(-1)), (75, 76, 7200, 0));
}

#[test]
fn a_rate_without_the_younger_fields_is_still_read() {
    let old = r#"{"per_minute":"0.6","connect_fee":"0","first_secs":1,"next_secs":1,"min_secs":0,"min_charge":"0","grace_secs":0,"rounding":"up"}"#;
    assert_eq!(serde_json::from_str::<Rate>(old).unwrap(), rate(600_000_000, (1, 1)));
    let (split, _) = at_the_boundary();
    assert_eq!(serde_json::from_str::<Rate>(&serde_json::to_string(&split).unwrap()).unwrap(), split);
}

/// The same rules written slowly: rationals without bounds, billing steps counted one by one.
fn reference(rate: &Rate, secs: u32, answered_at: Timestamp) -> (u64, BigInt) {
    if secs == 0 || secs <= rate.grace_secs {
        return (0, BigInt::from(0));
    }
    let mut billed = u64::from(rate.first_secs);
    while billed < u64::from(secs.max(rate.min_secs)) {
        billed += u64::from(rate.next_secs);
    }
    let price = |at: Timestamp| rate.periods.segments(rate.per_minute, 1, at)[0].per_minute.get();
    let prices = if rate.periods.is_empty() {
        BigInt::from(rate.per_minute.get()) * BigInt::from(billed)
    } else {
        (0..billed).map(|second| BigInt::from(price(answered_at + Duration::from_secs(second)))).sum()
    };
    let exact = BigRational::from(BigInt::from(rate.connect_fee.get())) + BigRational::new(prices, BigInt::from(60_000));
    let half = BigRational::new(BigInt::from(1), BigInt::from(2));
    let floor = exact.floor();
    let rounded = match rate.rounding {
        Rounding::Up => exact.ceil(),
        Rounding::Down => floor,
        Rounding::HalfEven if &exact - &floor == half => (exact / BigInt::from(2)).round() * BigInt::from(2),
        Rounding::HalfEven => (exact + half).floor(),
    };
    (billed, rounded.to_integer().max(BigInt::from(rate.min_charge.get())))
}

fn any_rate() -> impl Strategy<Value = Rate> {
    let price = prop_oneof![Just(0), 1..100_000_i64, 0..2_000_000_000_i64, 0..1_000_000_000_000_i64];
    let fee = prop_oneof![Just(0), 0..1_000_000_i64];
    let step = prop_oneof![Just(1), Just(6), Just(30), Just(60), 1..200_u32];
    let secs = prop_oneof![3 => Just(0), 1 => 0..90_u32];
    let least = prop_oneof![3 => Just(0), 1 => 0..500_000_i64];
    let rounding = prop_oneof![Just(Rounding::Up), Just(Rounding::HalfEven), Just(Rounding::Down)];
    let peak = (0..1440_u16, 0..1440_u16, 0..3_000_000_000_i64, -840..=840_i32).prop_filter_map(
        "a time of one day",
        |(from, until, price, offset)| {
            let sign = if offset < 0 { '-' } else { '+' };
            let times = format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60);
            let text = format!("mo-we {times} {}; fr,su 0.1 @{sign}{:02}:{:02}", Nanos::new(price), offset.abs() / 60, offset.abs() % 60);
            text.parse::<Periods>().ok()
        },
    );
    let periods = prop_oneof![Just(Periods::default()), peak];
    (price, fee, step.clone(), step, secs.clone(), least, secs, rounding, periods).prop_map(
        |(price, fee, first_secs, next_secs, min_secs, min_charge, grace_secs, rounding, periods)| Rate {
            per_minute: Nanos::new(price),
            connect_fee: Micros::new(fee),
            first_secs,
            next_secs,
            min_secs,
            min_charge: Micros::new(min_charge),
            grace_secs,
            rounding,
            duration_rounding: DurationRounding::Up,
            periods,
        },
    )
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    // Eight days, so that every hour of the week is met.
    (0..8 * 86_400_000_000_i64).prop_map(|micros| Timestamp::from_micros(1_893_456_000_000_000 + micros))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_charge_is_what_slow_rationals_say(rate in any_rate(), secs in 0..5_000_u32, at in any_time()) {
        let charge = rate.charge_at(secs, at).unwrap();
        let (billed, amount) = reference(&rate, secs, at);
        prop_assert_eq!(charge.billed_secs, billed);
        prop_assert_eq!(BigInt::from(charge.amount.get()), amount);
        prop_assert!(charge.amount <= rate.charge(secs).unwrap().amount, "what is set aside suffices whenever B answers");
    }

    #[test]
    fn a_charge_never_falls_with_time(rate in any_rate(), secs in 0..90_000_u32, at in any_time()) {
        prop_assert!(rate.charge_at(secs, at).unwrap().amount <= rate.charge_at(secs + 1, at).unwrap().amount);
        prop_assert!(rate.charge(secs).unwrap().amount <= rate.charge(secs + 1).unwrap().amount);
    }

    #[test]
    fn credit_pays_for_what_is_affordable_and_not_a_second_more(
        rate in any_rate(),
        available in prop_oneof![0..3_000_000_i64, 0..1_000_000_000_i64],
        at in any_time(),
    ) {
        let (available, longest) = (Micros::new(available), 40_000);
        let lasts = rate.affordable_at(available, longest, at);
        prop_assert!(rate.charge_at(lasts, at).unwrap().amount <= available);
        prop_assert!(lasts == longest || rate.charge_at(lasts + 1, at).unwrap().amount > available);
        let whenever = rate.affordable(available, longest);
        prop_assert!(whenever <= lasts);
        prop_assert!(rate.charge(whenever).unwrap().amount <= available);
        prop_assert!(whenever == longest || rate.charge(whenever + 1).unwrap().amount > available);
    }

    #[test]
    fn more_credit_never_lasts_less(rate in any_rate(), available in 0..50_000_000_i64, more in 0..1_000_000_i64, at in any_time()) {
        let lasts = |amount| rate.affordable_at(Micros::new(amount), 40_000, at);
        prop_assert!(lasts(available) <= lasts(available + more));
    }
}
