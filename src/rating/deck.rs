use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{Exchange, Rate, Table};
use crate::types::{Currency, DeckId, DeckVersionId, E164, Micros, TenantId, Timestamp};

/// The price of a destination, copied from the deck version that is valid now: a call carries it to its end.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// The tariff.
    pub deck: DeckId,
    /// Its version.
    pub version: DeckVersionId,
    /// The prefix that matched.
    pub prefix: String,
    /// What the deck calls it.
    pub name: String,
    /// What the prices are in.
    pub currency: Currency,
    /// The price.
    pub rate: Rate,
}

impl Quote {
    /// How long `available` lasts, at most `longest_secs`.
    pub fn affordable(&self, available: Micros, longest_secs: u32) -> u32 {
        self.rate.affordable(available, longest_secs)
    }
}

/// One version of a deck in memory.
#[derive(Debug, Clone)]
pub struct Version {
    /// Which one.
    pub id: DeckVersionId,
    /// Later numbers win among versions valid from the same time.
    pub number: i64,
    /// Valid from here on.
    pub effective_from: Timestamp,
    /// Its rates.
    pub table: Arc<Table>,
}

/// What a deck's prices are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A tariff: what subscribers pay.
    #[default]
    Sell,
    /// What a carrier takes.
    Cost,
}

impl Kind {
    /// The word the books keep.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sell => "sell",
            Self::Cost => "cost",
        }
    }

    /// From the word the books keep.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Sell, Self::Cost].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A deck in memory.
#[derive(Debug, Clone)]
pub struct Deck {
    /// Which one.
    pub id: DeckId,
    /// Whose; a carrier's prices are nobody's but the operator's.
    pub tenant: Option<TenantId>,
    /// What it is called.
    pub name: String,
    /// What its prices are.
    pub kind: Kind,
    /// What its prices are in.
    pub currency: Currency,
    /// Its newest version, whether or not it is still of use.
    pub newest: Option<DeckVersionId>,
    /// Its versions that are or will be valid, oldest validity first.
    pub versions: Vec<Version>,
}

impl Deck {
    /// The version valid at `at`.
    pub fn valid(&self, at: Timestamp) -> Option<&Version> {
        self.versions.iter().rev().find(|version| version.effective_from <= at)
    }

    /// The price of `destination` at `at`, whatever kind of deck this is.
    pub fn quote(&self, destination: E164, at: Timestamp) -> Option<Quote> {
        let version = self.valid(at)?;
        let row = version.table.find(destination)?;
        Some(Quote {
            deck: self.id,
            version: version.id,
            prefix: row.prefix.to_string(),
            name: row.name.to_owned(),
            currency: self.currency,
            rate: row.rate.clone(),
        })
    }
}

/// All decks as of one moment.
#[derive(Debug, Default)]
pub struct Shelf {
    /// By id.
    pub decks: HashMap<DeckId, Deck>,
    /// Of each tenant, for subscribers without a deck of their own.
    pub defaults: HashMap<TenantId, DeckId>,
    /// What currencies are in each other.
    pub exchange: Exchange,
}

/// A version that was just written, with its table.
type Fresh = (DeckVersionId, Arc<Table>);

/// The decks in memory; every clone sees the same shelf, which is swapped whole.
#[derive(Debug, Clone, Default)]
pub struct Decks {
    shelf: Arc<RwLock<Arc<Shelf>>>,
    /// Tables of versions that were just written.
    fresh: Arc<Mutex<Vec<Fresh>>>,
}

/// Versions that may wait to be found by a refresh.
const MOST_FRESH: usize = 4;

impl Decks {
    /// The shelf as it stands; it does not change under its reader.
    pub fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new shelf in place.
    pub fn swap(&self, shelf: Shelf) {
        *self.shelf.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shelf);
    }

    /// The price of `destination` at `at` by `deck`, or by the tenant's default deck. None: no price, no call. What carriers
    /// take is no tariff.
    pub fn quote(&self, tenant: TenantId, deck: Option<DeckId>, destination: E164, at: Timestamp) -> Option<Quote> {
        let shelf = self.shelf();
        let deck = shelf.decks.get(&deck.or_else(|| shelf.defaults.get(&tenant).copied())?)?;
        if deck.kind == Kind::Sell { deck.quote(destination, at) } else { None }
    }

    /// What a carrier with this deck takes for `destination` at `at`.
    pub fn cost(&self, deck: DeckId, destination: E164, at: Timestamp) -> Option<Quote> {
        let shelf = self.shelf();
        shelf.decks.get(&deck).filter(|deck| deck.kind == Kind::Cost)?.quote(destination, at)
    }

    /// Puts the tables of a version that was just written where the next refresh finds them, so that they are not read again.
    pub fn expect(&self, version: DeckVersionId, table: Arc<Table>) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.len() >= MOST_FRESH {
            fresh.remove(0);
        }
        fresh.push((version, table));
    }

    /// Takes what [`Decks::expect`] put there.
    pub(super) fn expected(&self, version: DeckVersionId) -> Option<Arc<Table>> {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let at = fresh.iter().position(|known| known.0 == version)?;
        Some(fresh.swap_remove(at).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rating::{DurationRounding, Periods, Prefix, Rounding, TableBuilder};
    use crate::types::{Clock, Nanos, Random};

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

    fn number(digits: &str) -> E164 {
        digits.parse().unwrap()
    }

    #[test]
    fn the_version_valid_now_prices_the_call() {
        let (clock, random) = (Clock::manual(Timestamp::from_micros(1_900_000_000_000_000)), Random::seeded(1));
        let version = |number: i64, from: i64, price: i64| {
            let mut builder = TableBuilder::default();
            builder.add(Prefix::parse("1").unwrap(), "", rate(price));
            let (id, effective_from) = (DeckVersionId::new(&clock, &random), Timestamp::from_micros(from));
            Version { id, number, effective_from, table: Arc::new(builder.build()) }
        };
        let id = DeckId::new(&clock, &random);
        let versions = vec![version(1, 0, 10), version(2, 1000, 20), version(3, 1000, 30), version(4, 2000, 40)];
        let carriers = DeckId::new(&clock, &random);
        let deck = Deck {
            id,
            tenant: Some(TenantId::MAIN),
            name: "retail".into(),
            kind: Kind::Sell,
            currency: "EUR".parse().unwrap(),
            newest: None,
            versions,
        };
        let cost = Deck { id: carriers, tenant: None, kind: Kind::Cost, ..deck.clone() };
        let decks = Decks::default();
        assert_eq!(decks.quote(TenantId::MAIN, None, number("15551231234"), Timestamp::from_micros(0)), None, "no deck, no price");
        let defaults = HashMap::from([(TenantId::MAIN, id)]);
        decks.swap(Shelf { decks: HashMap::from([(id, deck), (carriers, cost)]), defaults, exchange: Exchange::default() });
        let at = Timestamp::from_micros(0);
        assert_eq!(decks.quote(TenantId::MAIN, Some(carriers), number("15551231234"), at), None, "a carrier's prices are no tariff");
        assert_eq!(decks.cost(id, number("15551231234"), at), None, "and a tariff is no carrier's");
        assert_eq!(decks.cost(carriers, number("15551231234"), at).unwrap().rate.per_minute.get(), 10);
        for (at, price) in [(-1, None), (0, Some(10)), (999, Some(10)), (1000, Some(30)), (1999, Some(30)), (2000, Some(40))] {
            let quote = decks.quote(TenantId::MAIN, None, number("15551231234"), Timestamp::from_micros(at));
            assert_eq!(quote.map(|quote| quote.rate.per_minute.get()), price, "{at}");
        }
        assert_eq!(decks.quote(TenantId::MAIN, Some(DeckId::new(&clock, &random)), number("15551231234"), Timestamp::from_micros(0)), None);
    }
}
