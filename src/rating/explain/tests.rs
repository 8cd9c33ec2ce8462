use super::*;
use crate::rating::{FxRate, Periods};
use crate::types::{Clock, Random};

fn quote(rate: Rate, currency: &str) -> Quote {
    let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
    let random = Random::seeded(1);
    Quote {
        deck: DeckId::new(&clock, &random),
        version: DeckVersionId::new(&clock, &random),
        prefix: "42060".into(),
        name: "Czechia mobile".into(),
        currency: currency.parse().unwrap(),
        rate,
    }
}

fn rate() -> Rate {
    Rate {
        per_minute: Nanos::new(600_000_000),
        connect_fee: Micros::new(50_000),
        first_secs: 60,
        next_secs: 60,
        min_secs: 0,
        min_charge: Micros::ZERO,
        grace_secs: 3,
        rounding: Rounding::Up,
        duration_rounding: DurationRounding::Up,
        periods: Periods::default(),
    }
}

fn source(quote: &Quote) -> Source {
    Source {
        deck: Some("retail".into()),
        number: Some(3),
        effective_from: Some(Timestamp::from_micros(0)),
        ..Source::of(quote, None, None)
    }
}

fn talk(millis: u64) -> Talk {
    let answered_at = Timestamp::parse("2030-01-02T16:59:15Z").unwrap();
    Talk { answered_at, duration: Duration::from_millis(millis), funded_secs: Some(120), answered: true }
}

fn of(quote: &Quote, talk: Talk, offers: Vec<Offer>, exchange: &Exchange) -> Explanation {
    let relative = |prefix: &str| Relative { prefix: prefix.into(), name: "Czechia".into(), per_minute: Nanos::new(400_000_000) };
    let relatives = vec![relative("420"), relative("42060"), relative("4206015")];
    explain("+420601123456".parse().ok(), quote, source(quote), talk, relatives, offers, exchange).unwrap()
}

#[test]
fn a_billing_admin_reads_why() {
    let quote = quote(rate(), "EUR");
    let told = of(&quote, talk(61_250), vec![], &Exchange::default());
    assert_eq!(
        told.sentences,
        [
            "The number +420601123456 begins with 42060 (Czechia mobile), the longest prefix of the deck retail that fits. The shorter \
             prefix 420 fits too; the longest decides, never the price.",
            "The price is that of version 3, valid from 1970-01-01T00:00:00Z.",
            "The call lasted 61.250 s from the answer on: 62 s, because a started second counts.",
            "Billing goes in steps of 60 s: 120 s.",
            "All of them cost 0.60 EUR a minute.",
            "The sum with the connect fee of 0.05 EUR is 75000000000/60000 millionths of 1 EUR exactly, rounded up once: 1.25 EUR.",
            "The call costs 1.25 EUR.",
        ]
    );
    assert_eq!(
        told.passed_over.iter().map(|other| (&*other.prefix, other.reason)).collect::<Vec<_>>(),
        [("420", "shorter"), ("4206015", "other")]
    );
}

#[test]
fn grace_funding_and_periods_are_told() {
    let quote = quote(Rate { periods: "mo-fr 08:00-18:00 0.90 @+01:00".parse().unwrap(), first_secs: 1, next_secs: 1, ..rate() }, "EUR");
    let told = of(&quote, talk(130_001), vec![], &Exchange::default());
    assert!(told.sentences.contains(&"Credit paid for 120 s; what came after is our own delay and not charged.".to_owned()));
    assert!(
        told.sentences.contains(&"The price changes on the way: 45 s at 0.90 EUR a minute, then 75 s at 0.60 EUR a minute.".to_owned())
    );
    assert_eq!(told.price.unwrap().charge.segments.iter().map(|part| (part.from_sec, part.secs)).collect::<Vec<_>>(), [(0, 45), (45, 75)]);
    let free = of(&quote, talk(2_500), vec![], &Exchange::default());
    let free = free.price.unwrap().charge;
    assert_eq!((free.free, free.amount.amount), (Some("grace"), Micros::ZERO));
    let never = of(&quote, Talk { answered: false, ..talk(0) }, vec![], &Exchange::default());
    assert_eq!(never.price.unwrap().charge.free, Some("not_answered"));
}

#[test]
fn what_the_carrier_leaves_is_told() {
    let sell = quote(rate(), "EUR");
    let buy = quote(Rate { per_minute: Nanos::new(500_000_000), connect_fee: Micros::ZERO, ..rate() }, "USD");
    let offer = || Offer { trunk: "north".into(), quote: Some((buy.clone(), source(&buy))) };
    let at = Timestamp::from_micros(0);
    let rate = |text: &str| FxRate { from: buy.currency, to: sell.currency, rate: text.parse().unwrap(), effective_from: at };
    let fits = of(&sell, talk(61_000), vec![offer()], &Exchange::new(vec![rate("0.9")]));
    assert_eq!((fits.carriers[0].verdict, fits.carriers[0].margin.unwrap().amount.get()), ("fits", 350_000));
    assert!(fits.sentences.contains(&"1 USD is 9/10 EUR, so 0.35 EUR is left.".to_owned()), "{:?}", fits.sentences);
    let loss = of(&sell, talk(61_000), vec![offer()], &Exchange::new(vec![rate("2")]));
    assert_eq!((loss.carriers[0].verdict, loss.carriers[0].margin.unwrap().amount.get()), ("loss", -750_000));
    let unknown = of(&sell, talk(61_000), vec![offer(), Offer { trunk: "south".into(), quote: None }], &Exchange::default());
    assert_eq!(unknown.carriers.iter().map(|carrier| carrier.verdict).collect::<Vec<_>>(), ["no_exchange_rate", "no_rate"]);
}
