//! Why a call costs what it costs: the numbers, and sentences that somebody who keeps the books understands.

use std::time::Duration;

use super::rate::DENOMINATOR;
use super::store::{Deck, Relative, Version};
use super::{DurationRounding, Exchange, Quote, Rate, Rounding, margin, numerator};
use crate::types::{Currency, DeckId, DeckVersionId, E164, Micros, Money, MoneyError, Nanos, Timestamp};

/// A price a minute with its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Price {
    /// Price a minute.
    pub amount: Nanos,
    /// What it is in.
    pub currency: Currency,
}

/// The deck and the version that gave a price.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Source {
    /// The deck.
    pub deck_id: DeckId,
    /// Its name; none if it is gone.
    pub deck: Option<String>,
    /// The version.
    pub version_id: DeckVersionId,
    /// Its number; none if it is gone.
    pub number: Option<i64>,
    /// Since when it is valid.
    pub effective_from: Option<Timestamp>,
}

impl Source {
    /// Of a quote, with what the books know of its deck.
    pub fn of(quote: &Quote, deck: Option<&Deck>, version: Option<&Version>) -> Self {
        Self {
            deck_id: quote.deck,
            deck: deck.map(|deck| deck.name.clone()),
            version_id: quote.version,
            number: version.map(|version| version.number),
            effective_from: version.map(|version| version.effective_from),
        }
    }
}

/// A prefix of the same version that did not price the call.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PassedOver {
    /// The digits.
    pub prefix: String,
    /// What the deck calls them.
    pub name: String,
    /// Price a minute.
    pub per_minute: Price,
    /// `shorter`: it fits, and a longer one fits too. `other`: it is longer and does not fit the number.
    pub reason: &'static str,
}

/// Billed seconds at one price.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Stretch {
    /// Seconds after the answer at which it begins.
    pub from_sec: u64,
    /// Billed seconds of it.
    pub secs: u64,
    /// Their price.
    pub per_minute: Price,
    /// What they cost exactly, in millionths, as a fraction over 60000.
    pub exact_micros: String,
}

/// One computation, step by step.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Breakdown {
    /// Answer to end, as it was measured.
    pub duration_secs: String,
    /// In whole seconds, by the tariff.
    pub whole_secs: u32,
    /// What the money set aside paid for; none if nothing bounds it.
    pub funded_secs: Option<u32>,
    /// Why it is free: `not_answered`, `grace`; none if it is not.
    pub free: Option<&'static str>,
    /// Seconds after steps and minimum.
    pub billed_secs: u64,
    /// Billed seconds, cut where the price changes.
    pub segments: Vec<Stretch>,
    /// The connect fee in it.
    pub connect_fee: Money,
    /// The exact sum in millionths, as a fraction over 60000.
    pub exact_micros: String,
    /// The sum after its one rounding.
    pub rounded: Money,
    /// Whether the smallest charge is above the sum.
    pub minimum_applied: bool,
    /// What is charged.
    pub amount: Money,
}

/// What a carrier takes for the same call.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Carrier {
    /// The trunk.
    pub trunk: String,
    /// Where its price is from; none if its deck has none for the number.
    #[serde(flatten)]
    pub side: Option<Priced>,
    /// What is left of the charge, in the tariff's currency, rounded down; none without an exchange rate.
    pub margin: Option<Money>,
    /// The exchange rate from its currency to the tariff's, as a fraction.
    pub exchange_rate: Option<String>,
    /// Since when that exchange rate is valid.
    pub exchange_rate_from: Option<Timestamp>,
    /// Whether the call may go that way: `fits`, `loss`, `no_exchange_rate`, `no_rate`.
    pub verdict: &'static str,
}

/// A price and what it makes of the call.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Priced {
    /// Deck and version.
    pub source: Source,
    /// The longest prefix that fits.
    pub prefix: String,
    /// What the deck calls it.
    pub name: String,
    /// Price a minute outside all periods.
    pub per_minute: Price,
    /// Charged once.
    pub connect_fee: Money,
    /// First billing step.
    pub first_secs: u32,
    /// Each next billing step.
    pub next_secs: u32,
    /// Shortest charged length.
    pub min_secs: u32,
    /// Smallest charge.
    pub min_charge: Money,
    /// Free length.
    pub grace_secs: u32,
    /// Rounding of the sum.
    pub rounding: Rounding,
    /// Rounding of the duration.
    pub duration_rounding: DurationRounding,
    /// Hours with prices of their own.
    pub periods: String,
    /// The computation.
    pub charge: Breakdown,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Explanation {
    /// The destination.
    pub number: Option<E164>,
    /// The answer, or the moment that was asked for.
    pub at: Timestamp,
    /// The price and the computation; none if the call ended before it had a price.
    #[serde(flatten)]
    pub price: Option<Priced>,
    /// Prefixes that did not price it.
    pub passed_over: Vec<PassedOver>,
    /// What carriers take; empty where the reader may not know or nobody knows.
    pub carriers: Vec<Carrier>,
    /// All of it in words.
    pub sentences: Vec<String>,
}

/// A talk that is to be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Talk {
    /// When it was answered.
    pub answered_at: Timestamp,
    /// How long it lasted.
    pub duration: Duration,
    /// What was paid for in advance.
    pub funded_secs: Option<u32>,
    /// Whether it was answered at all.
    pub answered: bool,
}

/// One carrier that may take it, and its price if it has one.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The trunk.
    pub trunk: String,
    /// Its price.
    pub quote: Option<(Quote, Source)>,
}

/// Explains what `quote` makes of a talk.
pub fn explain(
    number: Option<E164>,
    quote: &Quote,
    source: Source,
    talk: Talk,
    relatives: Vec<Relative>,
    offers: Vec<Offer>,
    exchange: &Exchange,
) -> Result<Explanation, MoneyError> {
    let price = priced(quote, source, talk)?;
    let passed_over: Vec<PassedOver> = relatives
        .into_iter()
        .filter(|relative| relative.prefix != quote.prefix)
        .map(|relative| PassedOver {
            reason: if quote.prefix.starts_with(&relative.prefix) { "shorter" } else { "other" },
            prefix: relative.prefix,
            name: relative.name,
            per_minute: Price { amount: relative.per_minute, currency: quote.currency },
        })
        .collect();
    let carriers = offers.into_iter().map(|offer| carrier(offer, quote, talk, exchange)).collect::<Result<Vec<_>, _>>()?;
    let mut sentences = vec![found(number, &price, &passed_over)];
    sentences.extend(version(&price.source));
    computed(&price, talk, "The call", &mut sentences);
    for carrier in &carriers {
        told(carrier, &mut sentences);
    }
    Ok(Explanation { number, at: talk.answered_at, price: Some(price), passed_over, carriers, sentences })
}

/// The answer for a call that ended before it had a price.
pub fn unpriced(number: Option<E164>, at: Timestamp, cause: &str) -> Explanation {
    let sentence = format!("The call ended before it had a price ({cause}), so it costs nothing.");
    Explanation { number, at, price: None, passed_over: Vec::new(), carriers: Vec::new(), sentences: vec![sentence] }
}

fn priced(quote: &Quote, source: Source, talk: Talk) -> Result<Priced, MoneyError> {
    let Rate { per_minute, connect_fee, first_secs, next_secs, min_secs, min_charge, grace_secs, rounding, duration_rounding, .. } =
        quote.rate;
    let currency = quote.currency;
    Ok(Priced {
        source,
        prefix: quote.prefix.clone(),
        name: quote.name.clone(),
        per_minute: Price { amount: per_minute, currency },
        connect_fee: Money { amount: connect_fee, currency },
        first_secs,
        next_secs,
        min_secs,
        min_charge: Money { amount: min_charge, currency },
        grace_secs,
        rounding,
        duration_rounding,
        periods: quote.rate.periods.to_string(),
        charge: breakdown(&quote.rate, currency, talk)?,
    })
}

fn breakdown(rate: &Rate, currency: Currency, talk: Talk) -> Result<Breakdown, MoneyError> {
    let money = |amount| Money { amount, currency };
    let whole_secs = if talk.answered { rate.whole_seconds(talk.duration) } else { 0 };
    let charge = rate.charge_at(talk.funded_secs.map_or(whole_secs, |funded| whole_secs.min(funded)), talk.answered_at)?;
    let free = match charge.billed_secs {
        0 if !talk.answered => Some("not_answered"),
        0 => Some("grace"),
        _ => None,
    };
    let mut from_sec = 0;
    let cut = if charge.billed_secs == 0 { Vec::new() } else { rate.segments(charge.billed_secs, talk.answered_at) };
    let segments = cut.into_iter().map(|segment| {
        let stretch = Stretch {
            from_sec,
            secs: segment.secs,
            per_minute: Price { amount: segment.per_minute, currency },
            exact_micros: fraction(numerator(Micros::ZERO, &[segment])),
        };
        from_sec += segment.secs;
        stretch
    });
    let rounded = rate.rounding.divide(charge.numerator)?;
    Ok(Breakdown {
        duration_secs: format!("{}.{:03}", talk.duration.as_secs(), talk.duration.subsec_millis()),
        whole_secs,
        funded_secs: talk.funded_secs,
        free,
        billed_secs: charge.billed_secs,
        segments: segments.collect(),
        connect_fee: money(if free.is_some() { Micros::ZERO } else { rate.connect_fee }),
        exact_micros: fraction(charge.numerator),
        rounded: money(rounded),
        minimum_applied: charge.amount > rounded,
        amount: money(charge.amount),
    })
}

fn fraction(numerator: i128) -> String {
    format!("{numerator}/{DENOMINATOR}")
}

fn carrier(offer: Offer, sell: &Quote, talk: Talk, exchange: &Exchange) -> Result<Carrier, MoneyError> {
    let none =
        |verdict| Carrier { trunk: offer.trunk.clone(), side: None, margin: None, exchange_rate: None, exchange_rate_from: None, verdict };
    let Some((quote, source)) = offer.quote else { return Ok(none("no_rate")) };
    // The carrier bills what was talked, whatever credit paid for.
    let talk = Talk { funded_secs: None, ..talk };
    let secs = if talk.answered { sell.rate.whole_seconds(talk.duration) } else { 0 };
    let both = margin((&sell.rate, sell.currency), (&quote.rate, quote.currency), exchange, secs, talk.answered_at);
    let side = Some(priced(&quote, source, talk)?);
    Ok(match both {
        Ok(both) => Carrier {
            side,
            margin: both.left().map(|amount| Money { amount, currency: sell.currency }),
            exchange_rate: (quote.currency != sell.currency).then(|| both.fx.rate.to_string()),
            exchange_rate_from: (quote.currency != sell.currency).then_some(both.fx.effective_from),
            ..none(if both.is_loss().unwrap_or(true) { "loss" } else { "fits" })
        },
        Err(_) => Carrier { side, ..none("no_exchange_rate") },
    })
}

fn found(number: Option<E164>, price: &Priced, passed_over: &[PassedOver]) -> String {
    let number = number.map_or_else(|| "The number".to_owned(), |number| format!("The number {number}"));
    let named = |prefix: &str, name: &str| if name.is_empty() { prefix.to_owned() } else { format!("{prefix} ({name})") };
    let deck = price.source.deck.as_deref().map_or_else(String::new, |deck| format!(" of the deck {deck}"));
    let shorter: Vec<&str> = passed_over.iter().filter(|other| other.reason == "shorter").map(|other| other.prefix.as_str()).collect();
    let rest = match shorter.as_slice() {
        [] => "No shorter prefix fits.".to_owned(),
        [one] => format!("The shorter prefix {one} fits too; the longest decides, never the price."),
        [some @ .., last] => format!("The shorter prefixes {} and {last} fit too; the longest decides, never the price.", some.join(", ")),
    };
    format!("{number} begins with {}, the longest prefix{deck} that fits. {rest}", named(&price.prefix, &price.name))
}

fn version(source: &Source) -> Option<String> {
    let (number, from) = source.number.zip(source.effective_from)?;
    Some(format!("The price is that of version {number}, valid from {from}."))
}

fn computed(price: &Priced, talk: Talk, what: &str, sentences: &mut Vec<String>) {
    let charge = &price.charge;
    if !talk.answered {
        sentences.push(format!("{what} was not answered, so it costs nothing."));
        return;
    }
    let how = match price.duration_rounding {
        DurationRounding::Up => "a started second counts",
        DurationRounding::Down => "only whole seconds count",
        DurationRounding::Nearest => "half a second counts as one",
    };
    sentences.push(match charge.duration_secs.strip_suffix(".000") {
        Some(whole) => format!("{what} lasted {whole} s from the answer on."),
        None => format!("{what} lasted {} s from the answer on: {} s, because {how}.", charge.duration_secs, charge.whole_secs),
    });
    if let Some(funded) = charge.funded_secs.filter(|&funded| funded < charge.whole_secs) {
        sentences.push(format!("Credit paid for {funded} s; what came after is our own delay and not charged."));
    }
    if charge.free.is_some() {
        sentences.push(match price.grace_secs {
            0 => "It has no whole second, so it costs nothing.".to_owned(),
            grace => format!("Calls of at most {grace} s are free, connect fee included, so it costs nothing."),
        });
        return;
    }
    let steps = match (price.first_secs, price.next_secs) {
        (1, 1) => "Each second is billed".to_owned(),
        (first, next) if first == next => format!("Billing goes in steps of {first} s"),
        (first, next) => format!("Billing begins with {first} s and goes on in steps of {next} s"),
    };
    let least = if price.min_secs > charge.whole_secs { format!(", at least {} s", price.min_secs) } else { String::new() };
    sentences.push(format!("{steps}{least}: {} s.", charge.billed_secs));
    if let [one] = charge.segments.as_slice() {
        sentences.push(format!("All of them cost {} a minute.", shown(one.per_minute)));
    } else {
        let parts = charge.segments.iter().map(|part| format!("{} s at {} a minute", part.secs, shown(part.per_minute)));
        sentences.push(format!("The price changes on the way: {}.", parts.collect::<Vec<_>>().join(", then ")));
    }
    let fee =
        if price.connect_fee.amount > Micros::ZERO { format!(" with the connect fee of {}", price.connect_fee) } else { String::new() };
    let mode = match price.rounding {
        Rounding::Up => "up",
        Rounding::HalfEven => "to the nearest, ties to the even one,",
        Rounding::Down => "down",
    };
    sentences.push(format!(
        "The sum{fee} is {} millionths of 1 {} exactly, rounded {mode} once: {}.",
        charge.exact_micros, price.connect_fee.currency, charge.rounded
    ));
    if charge.minimum_applied {
        sentences.push(format!("A charged call costs at least {}.", price.min_charge));
    }
    sentences.push(format!("{what} costs {}.", charge.amount));
}

fn shown(price: Price) -> String {
    format!("{} {}", price.amount, price.currency)
}

fn told(carrier: &Carrier, sentences: &mut Vec<String>) {
    let trunk = &carrier.trunk;
    let Some(side) = &carrier.side else {
        sentences.push(format!("The carrier of {trunk} has no price for the number in its deck, so {trunk} gets no such call."));
        return;
    };
    sentences.push(format!(
        "The carrier of {trunk} takes {} for {} s by its prefix {}.",
        side.charge.amount, side.charge.billed_secs, side.prefix
    ));
    match (&carrier.exchange_rate, carrier.margin) {
        (Some(rate), Some(left)) => sentences.push(format!(
            "1 {} is {rate} {}, so {left} is left{}.",
            side.per_minute.currency,
            left.currency,
            loss(carrier.verdict)
        )),
        (None, Some(left)) => sentences.push(format!("{left} is left{}.", loss(carrier.verdict))),
        (_, None) => sentences.push(format!(
            "There is no exchange rate from {}, so nobody knows what is left and {trunk} gets no such call: add one.",
            side.per_minute.currency
        )),
    }
}

fn loss(verdict: &str) -> &'static str {
    if verdict == "loss" { ", which is a loss" } else { "" }
}

#[cfg(test)]
mod tests;
