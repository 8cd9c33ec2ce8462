//! What a call costs, how long credit lasts: decks, rates, quotes.
//!
//! A [`Rate`] charges whole seconds in whole increments with one rounding at the end. A deck is a price table with versions;
//! the longest prefix of a number gives its rate, and the version valid when the call is authorised is copied into the
//! call's hold, so that a later import never changes a running call. [`Decks`] keeps the tables in memory.

mod deck;
pub mod explain;
mod fx;
pub mod import;
mod margin;
mod periods;
mod rate;
pub mod store;
mod table;

pub use deck::{Deck, Decks, Kind, Quote, Shelf, Version};
pub use fx::{Exchange, Fraction, FractionError, FxRate};
pub use margin::{Margin, NoMargin, check, cost, margin};
pub use periods::{Period, Periods, PeriodsError};
pub use rate::{Charge, DENOMINATOR, DurationRounding, Rate, Rounding, Segment, numerator};
pub use table::{Prefix, Row, Table, TableBuilder};

/// Settings of the room.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The name of the deck for subscribers without one of their own; empty means the oldest deck.
    pub default_deck: String,
}
