//! What a sheet would change: what somebody looks at before it goes live.

use std::collections::HashMap;
use std::sync::Arc;

use super::apply::fingerprint;
use super::format::Separator;
use super::read::Sheet;
use super::{BadLine, ImportError};
use crate::rating::{Decks, Exchange, Kind, Prefix, Row, Table, margin};
use crate::types::{Currency, DeckId, Nanos, Timestamp, is_emergency_prefix};

/// Lines of each list in a report; a page of a list may have more.
const REPORT_LINES: usize = 100;
/// A price this many times what it was, or what its neighbours are, wants a second look.
const SUSPICIOUS_TIMES: i64 = 10;
/// Neighbours that make a median.
const NEIGHBOURS: usize = 3;
/// Margins are looked at over a call of a minute, or over the first step if that is longer.
const FIRST_SLICE_SECS: u32 = 60;

/// Which changes a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// Prefixes that are new.
    Added,
    /// Prefixes that disappear.
    Removed,
    /// Rates that cost more, the largest rise first.
    Dearer,
    /// Rates that cost less, the largest fall first.
    Cheaper,
    /// Rates of the same price whose fee, steps, periods or name differ.
    Altered,
    /// Rates that stay as they are.
    Unchanged,
    /// Rates that no carrier leaves a margin of.
    BelowCost,
    /// Prices that look like a slip.
    Suspicious,
    /// New prefixes that take over numbers which a shorter one priced so far.
    Shadowed,
    /// New prefixes of numbers that had no price.
    NewlyCovered,
    /// Prefixes that disappear and leave their numbers without a price.
    Uncovered,
    /// Changed prefixes of emergency numbers: they are never routed.
    Emergency,
    /// Changed prefixes of kinds that fraud likes.
    HighRisk,
}

/// A price that changes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// The digits.
    pub prefix: String,
    /// What the deck calls them.
    pub name: String,
    /// Price a minute so far; none if the numbers had none.
    pub from: Option<Nanos>,
    /// Price a minute to be; none if the numbers lose theirs.
    pub to: Option<Nanos>,
    /// By how much, in hundredths of a per cent; none where the price was zero.
    pub basis_points: Option<i64>,
    /// Why it is on this list, where that is not plain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// How many of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// Prefixes that are new.
    pub added: u64,
    /// Prefixes that disappear.
    pub removed: u64,
    /// Rates that cost more.
    pub dearer: u64,
    /// Rates that cost less.
    pub cheaper: u64,
    /// Rates of the same price whose fee, steps, periods or name differ.
    pub altered: u64,
    /// Rates that stay as they are.
    pub unchanged: u64,
    /// Rates that no carrier leaves a margin of.
    pub below_cost: u64,
    /// Prices that look like a slip.
    pub suspicious: u64,
    /// New prefixes that take over numbers which a shorter one priced so far.
    pub shadowed: u64,
    /// New prefixes of numbers that had no price.
    pub newly_covered: u64,
    /// Prefixes that disappear and leave their numbers without a price.
    pub uncovered: u64,
    /// Changed prefixes of emergency numbers.
    pub emergency: u64,
    /// Changed prefixes of kinds that fraud likes.
    pub high_risk: u64,
}

/// What an import would change.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Apply the import with this.
    pub fingerprint: String,
    /// Rates in the file.
    pub rates: u64,
    /// How many of each.
    #[serde(flatten)]
    pub counts: Counts,
    /// The dearest changes, largest first.
    pub dearer_list: Vec<Change>,
    /// New prefixes; where a shorter prefix priced them so far, its price is in `from`.
    pub added_list: Vec<Change>,
    /// Prefixes that disappear; where a shorter prefix prices them from now on, its price is in `to`.
    pub removed_list: Vec<Change>,
    /// Rates below what carriers take.
    pub below_cost_list: Vec<Change>,
    /// Prices that look like a slip.
    pub suspicious_list: Vec<Change>,
    /// Lines that would be left out, the first of them.
    pub rejects: Vec<BadLine>,
    /// All lines that would be left out.
    pub rejected: u64,
    /// What stands between the cells.
    pub separator: Separator,
    /// Columns nobody reads.
    pub ignored_columns: Vec<String>,
    /// The latest date of the file's own column of dates: what `effective_from` could be.
    pub file_effective_from: Option<Timestamp>,
}

/// What makes a row suspicious beside its neighbours.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The highest price a minute that any subscriber may pay by default.
    pub max_price: Option<Nanos>,
    /// Whether numbers of these digits are of a kind that fraud likes.
    pub high_risk: fn(&str) -> bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { max_price: None, high_risk: |_| false }
    }
}

/// A sheet beside the version that is valid now.
#[derive(Debug, Clone)]
pub struct Comparison {
    sheet: Sheet,
    so_far: Arc<Table>,
    currency: Option<Currency>,
    carriers: Vec<(String, Currency, Arc<Table>)>,
    exchange: Exchange,
    rules: Rules,
    at: Timestamp,
    fingerprint: String,
    /// Of the new table: the median price below each shorter prefix.
    medians: HashMap<Prefix, Nanos>,
}

/// What applying `sheet` to `deck` would change against the version that is valid now.
pub fn dry_run(decks: &Decks, deck: DeckId, sheet: &Sheet, now: Timestamp) -> Result<Report, ImportError> {
    Ok(Comparison::new(decks, deck, sheet.clone(), Rules::default(), now).report())
}

/// What is known of one row.
struct Seen<'t> {
    row: Row<'t>,
    was: Option<Row<'t>>,
}

impl Comparison {
    /// Takes everything it needs, so that it does not change while somebody pages through it.
    pub fn new(decks: &Decks, deck: DeckId, sheet: Sheet, rules: Rules, at: Timestamp) -> Self {
        let shelf = decks.shelf();
        let own = shelf.decks.get(&deck);
        let so_far = own.and_then(|deck| deck.valid(at)).map(|version| Arc::clone(&version.table)).unwrap_or_default();
        let sells = own.is_none_or(|deck| deck.kind == Kind::Sell);
        let carriers = shelf.decks.values().filter(|other| sells && other.kind == Kind::Cost);
        let carriers = carriers.filter_map(|deck| Some((deck.name.clone(), deck.currency, Arc::clone(&deck.valid(at)?.table)))).collect();
        Self {
            fingerprint: fingerprint(&shelf, deck, &sheet),
            medians: medians(&sheet.table),
            currency: own.map(|deck| deck.currency),
            exchange: shelf.exchange.clone(),
            sheet,
            so_far,
            carriers,
            rules,
            at,
        }
    }

    /// What was read.
    pub const fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    /// Apply the import with this.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// All counts, and the beginning of each list that wants a look.
    pub fn report(&self) -> Report {
        let mut counts = Counts::default();
        for seen in self.seen() {
            let count = match Self::kind(&seen) {
                List::Added => &mut counts.added,
                List::Dearer => &mut counts.dearer,
                List::Cheaper => &mut counts.cheaper,
                List::Altered => &mut counts.altered,
                _ => &mut counts.unchanged,
            };
            *count += 1;
            for (list, count) in [
                (List::BelowCost, &mut counts.below_cost),
                (List::Suspicious, &mut counts.suspicious),
                (List::Shadowed, &mut counts.shadowed),
                (List::NewlyCovered, &mut counts.newly_covered),
                (List::Emergency, &mut counts.emergency),
                (List::HighRisk, &mut counts.high_risk),
            ] {
                *count += u64::from(self.belongs(list, &seen).is_some());
            }
        }
        for row in self.removed() {
            counts.removed += 1;
            counts.uncovered += u64::from(self.sheet.table.covering(row.prefix).is_none());
        }
        let first = |list| self.page(list, 0, REPORT_LINES);
        Report {
            fingerprint: self.fingerprint.clone(),
            rates: u64::try_from(self.sheet.table.len()).unwrap_or(u64::MAX),
            counts,
            dearer_list: first(List::Dearer),
            added_list: first(List::Added),
            removed_list: first(List::Removed),
            below_cost_list: first(List::BelowCost),
            suspicious_list: first(List::Suspicious),
            rejects: self.sheet.rejects.clone(),
            rejected: self.sheet.rejected,
            separator: self.sheet.separator,
            ignored_columns: self.sheet.ignored_columns.clone(),
            file_effective_from: self.sheet.effective_from,
        }
    }

    /// `limit` lines of a list after the first `after`.
    pub fn page(&self, list: List, after: usize, limit: usize) -> Vec<Change> {
        match list {
            List::Removed | List::Uncovered => {
                let gone = self.removed().filter(|row| list == List::Removed || self.sheet.table.covering(row.prefix).is_none());
                gone.skip(after).take(limit).map(|row| self.gone(row)).collect()
            }
            List::Dearer | List::Cheaper => {
                let mut all: Vec<(i64, Prefix)> = self
                    .seen()
                    .filter(|seen| Self::kind(seen) == list)
                    // A price that was zero has no per cent; it leads the list.
                    .map(|seen| (basis_points(seen.before(), seen.row.rate.per_minute).unwrap_or(i64::MAX), seen.row.prefix))
                    .collect();
                all.sort_by_key(|&(points, prefix)| (std::cmp::Reverse(points.unsigned_abs()), prefix));
                let prefixes = all.into_iter().skip(after).take(limit);
                prefixes.filter_map(|(_, prefix)| Some(self.change(&self.look(self.sheet.table.get(prefix)?), String::new()))).collect()
            }
            _ => {
                let fitting = self.seen().filter_map(|seen| self.belongs(list, &seen).map(|note| (seen, note)));
                fitting.skip(after).take(limit).map(|(seen, note)| self.change(&seen, note)).collect()
            }
        }
    }

    fn look<'t>(&'t self, row: Row<'t>) -> Seen<'t> {
        Seen { row, was: self.so_far.get(row.prefix) }
    }

    fn seen(&self) -> impl Iterator<Item = Seen<'_>> {
        self.sheet.table.rows().map(|row| self.look(row))
    }

    fn removed(&self) -> impl Iterator<Item = Row<'_>> {
        self.so_far.rows().filter(|row| self.sheet.table.get(row.prefix).is_none())
    }

    /// Each row of the file is of one of these kinds.
    fn kind(seen: &Seen<'_>) -> List {
        match &seen.was {
            None => List::Added,
            Some(was) if seen.row.rate.per_minute > was.rate.per_minute => List::Dearer,
            Some(was) if seen.row.rate.per_minute < was.rate.per_minute => List::Cheaper,
            Some(was) if was.rate != seen.row.rate || was.name != seen.row.name => List::Altered,
            Some(_) => List::Unchanged,
        }
    }

    /// Whether a row is on a list, and what there is to say about it.
    fn belongs(&self, list: List, seen: &Seen<'_>) -> Option<String> {
        let plain = |belongs: bool| belongs.then(String::new);
        match list {
            List::BelowCost => self.loss(seen.row),
            List::Suspicious => self.suspicion(seen),
            List::Shadowed => {
                let shorter = seen.was.is_none().then(|| self.so_far.covering(seen.row.prefix)).flatten()?;
                Some(format!("{} priced these numbers so far", shorter.prefix))
            }
            List::NewlyCovered => plain(seen.was.is_none() && self.so_far.covering(seen.row.prefix).is_none()),
            List::Emergency => plain(Self::kind(seen) != List::Unchanged && is_emergency_prefix(&seen.row.prefix.to_string())),
            List::HighRisk => plain(Self::kind(seen) != List::Unchanged && (self.rules.high_risk)(&seen.row.prefix.to_string())),
            kind => plain(Self::kind(seen) == kind),
        }
    }

    /// No carrier that has a price leaves a margin.
    fn loss(&self, row: Row<'_>) -> Option<String> {
        let currency = self.currency?;
        let secs = row.rate.first_secs.max(FIRST_SLICE_SECS);
        let mut losing = None;
        for (name, carriers, table) in &self.carriers {
            let Some(buy) = table.get(row.prefix).or_else(|| table.covering(row.prefix)) else { continue };
            let both = margin((row.rate, currency), (buy.rate, *carriers), &self.exchange, secs, self.at);
            match both.map(|both| both.is_loss()) {
                Ok(Some(false)) => return None,
                Ok(_) => losing = losing.or(Some(format!("{name} takes {} {carriers} a minute", buy.rate.per_minute))),
                Err(error) => losing = losing.or(Some(format!("{name}: {error}"))),
            }
        }
        losing
    }

    fn suspicion(&self, seen: &Seen<'_>) -> Option<String> {
        let price = seen.row.rate.per_minute;
        let times = |than: Nanos| than > Nanos::ZERO && price.get() / SUSPICIOUS_TIMES >= than.get();
        if price == Nanos::ZERO && seen.was.is_none_or(|was| was.rate.per_minute > Nanos::ZERO) {
            return Some("the price is zero".to_owned());
        }
        if let Some(was) = &seen.was
            && times(was.rate.per_minute)
        {
            return Some(format!("{SUSPICIOUS_TIMES} times and more what it was"));
        }
        let wider = self.sheet.table.covering(seen.row.prefix);
        if let Some(median) = wider.and_then(|wider| self.medians.get(&wider.prefix))
            && times(*median)
        {
            return Some(format!("{SUSPICIOUS_TIMES} times and more the median of its neighbours, {median}"));
        }
        let above = self.rules.max_price.filter(|&most| seen.row.rate.dearest() > most)?;
        Some(format!("above the highest price a minute, {above}: calls would be refused"))
    }

    fn change(&self, seen: &Seen<'_>, note: String) -> Change {
        let from = match &seen.was {
            Some(was) => Some(was.rate.per_minute),
            None => self.so_far.covering(seen.row.prefix).map(|wider| wider.rate.per_minute),
        };
        let to = seen.row.rate.per_minute;
        let basis_points = from.and_then(|from| basis_points(from, to));
        Change { prefix: seen.row.prefix.to_string(), name: seen.row.name.to_owned(), from, to: Some(to), basis_points, note }
    }

    fn gone(&self, row: Row<'_>) -> Change {
        let to = self.sheet.table.covering(row.prefix).map(|wider| wider.rate.per_minute);
        let from = row.rate.per_minute;
        let basis_points = to.and_then(|to| basis_points(from, to));
        let (prefix, name) = (row.prefix.to_string(), row.name.to_owned());
        Change { prefix, name, from: Some(from), to, basis_points, note: String::new() }
    }
}

impl Seen<'_> {
    fn before(&self) -> Nanos {
        self.was.as_ref().map_or(Nanos::ZERO, |was| was.rate.per_minute)
    }
}

/// The median price below each prefix that has enough longer ones directly below it.
fn medians(table: &Table) -> HashMap<Prefix, Nanos> {
    let mut below: HashMap<Prefix, Vec<Nanos>> = HashMap::new();
    for row in table.rows() {
        if let Some(wider) = table.covering(row.prefix) {
            below.entry(wider.prefix).or_default().push(row.rate.per_minute);
        }
    }
    let enough = below.into_iter().filter(|(_, prices)| prices.len() >= NEIGHBOURS);
    enough
        .map(|(prefix, mut prices)| {
            prices.sort_unstable();
            (prefix, prices[prices.len() / 2])
        })
        .collect()
}

fn basis_points(from: Nanos, to: Nanos) -> Option<i64> {
    let difference = i128::from(to.get()) - i128::from(from.get());
    (difference * 10_000).checked_div(from.get().into()).and_then(|points| i64::try_from(points).ok())
}
