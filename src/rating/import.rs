//! Rate decks from CSV: read, check, compare, apply.
//!
//! A dry run reads the whole file, lists every bad line with its reason, and tells what would change; applying it needs the
//! fingerprint that the dry run printed, so that what goes live is what somebody looked at.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::str::FromStr;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Decks, DurationRounding, Periods, Prefix, Rate, Rounding, Shelf, Table, TableBuilder, store};
use crate::database::Database;
use crate::types::{Clock, DeckId, DeckVersionId, Micros, MoneyError, Nanos, Random, Timestamp};

/// Bad lines that are listed; the rest are only counted.
const BAD_LINES_LISTED: usize = 1000;
/// Rows of one file.
const MAX_ROWS: usize = 2_000_000;
/// Lines of each list in a report.
const REPORT_LINES: usize = 100;
/// Characters of a cell that a complaint repeats.
const CELL_ECHO: usize = 40;
/// Characters of a name.
const LONGEST_NAME: usize = 200;
/// Seconds of a billing step, a minimum or a grace: a day.
const LONGEST_SECS: u32 = 86_400;
/// Rates written between two moments at which calls may write.
const ROWS_A_PIECE: usize = 1000;
/// An import that has not been published after this long is taken for crashed.
const CRASHED_AFTER: Duration = Duration::from_secs(3600);

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
    /// How durations become whole seconds.
    pub duration_rounding: DurationRounding,
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
            duration_rounding: DurationRounding::default(),
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
    /// How durations become whole seconds.
    pub duration_rounding: DurationRounding,
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
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
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

/// Reads a file, row by row: no whole-file buffer, whatever its size.
pub fn read(file: impl Read, format: &Format) -> Result<Sheet, ImportError> {
    let unreadable = |fault: csv::Error| ImportError::Unreadable(fault.to_string());
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(format.separator.byte())
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(file);
    let mut record = csv::ByteRecord::new();
    if !reader.read_byte_record(&mut record).map_err(unreadable)? {
        return Err(ImportError::Unreadable("it is empty: the first line names the columns".to_owned()));
    }
    let places = Places::find(&record, format)?;
    let mut sheet =
        Sheet { table: Table::default(), rejects: Vec::new(), rounding: format.rounding, duration_rounding: format.duration_rounding };
    let (mut builder, mut line_of, mut bad) = (TableBuilder::default(), HashMap::new(), 0_u64);
    while reader.read_byte_record(&mut record).map_err(unreadable)? {
        let line = record.position().map_or(0, csv::Position::line);
        if builder.len() >= MAX_ROWS {
            return Err(ImportError::Unreadable(format!("it has more than {MAX_ROWS} rates: split the deck")));
        }
        let row = places.read(&record, format).and_then(|(prefix, name, rate)| match line_of.insert(prefix, line) {
            None => Ok((prefix, name, rate)),
            Some(first) => {
                line_of.insert(prefix, first);
                Err(format!("the prefix {prefix} is already on line {first}: keep one of them"))
            }
        });
        match row {
            Ok((prefix, name, rate)) => builder.add(prefix, name, rate),
            Err(reason) => {
                bad += 1;
                if sheet.rejects.len() < BAD_LINES_LISTED {
                    sheet.rejects.push(BadLine { line, reason });
                }
            }
        }
    }
    if bad > u64::from(format.max_rejects) {
        return Err(ImportError::Rejected { listed: sheet.rejects, count: bad });
    }
    if builder.len() == 0 {
        return Err(ImportError::Unreadable("it has no rates below its heading".to_owned()));
    }
    sheet.table = builder.build();
    Ok(sheet)
}

impl Separator {
    const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
        }
    }
}

/// Which cell of a line holds what.
struct Places {
    cells: usize,
    prefix: usize,
    per_minute: usize,
    name: Option<usize>,
    connect_fee: Option<usize>,
    first_secs: Option<usize>,
    next_secs: Option<usize>,
    min_secs: Option<usize>,
    min_charge: Option<usize>,
    grace_secs: Option<usize>,
}

impl Places {
    fn find(heading: &csv::ByteRecord, format: &Format) -> Result<Self, ImportError> {
        let names: Vec<String> =
            heading.iter().map(|cell| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').trim().to_lowercase()).collect();
        let place = |wanted: &str| names.iter().position(|name| *name == wanted.trim().to_lowercase());
        let needed = |wanted: &str| {
            place(wanted).ok_or_else(|| {
                let found = names.iter().map(|name| echo(name)).collect::<Vec<_>>().join(", ");
                ImportError::Unreadable(format!(
                    "line 1 has no column \"{wanted}\" (it has: {found}): name the column, or choose another separator"
                ))
            })
        };
        let columns = &format.columns;
        Ok(Self {
            cells: names.len(),
            prefix: needed(&columns.prefix)?,
            per_minute: needed(&columns.per_minute)?,
            name: place(&columns.name),
            connect_fee: place(&columns.connect_fee),
            first_secs: place(&columns.first_secs),
            next_secs: place(&columns.next_secs),
            min_secs: place(&columns.min_secs),
            min_charge: place(&columns.min_charge),
            grace_secs: place(&columns.grace_secs),
        })
    }

    fn read<'r>(&self, record: &'r csv::ByteRecord, format: &Format) -> Result<(Prefix, &'r str, Rate), String> {
        if record.len() != self.cells {
            return Err(format!("{} cells where the heading has {}", record.len(), self.cells));
        }
        let cell = |place: usize| std::str::from_utf8(&record[place]).map_err(|_| "not UTF-8: save the file as UTF-8".to_owned());
        let optional = |place: Option<usize>| place.map(cell).transpose().map(|text| text.filter(|text| !text.is_empty()));
        let secs = |place: Option<usize>, what: &str, default: u32| match optional(place)? {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|&secs| secs <= LONGEST_SECS)
                .ok_or_else(|| format!("{what} \"{}\": write whole seconds up to {LONGEST_SECS}", echo(text))),
        };
        let step = |place, what, default| match secs(place, what, default)? {
            0 => Err(format!("{what} is 0: a billing step is at least 1 second (a flat price a call is a connect fee with a zero price)")),
            secs => Ok(secs),
        };
        let fee = |place: Option<usize>, what: &str| match optional(place)? {
            None => Ok(Micros::ZERO),
            Some(text) => amount(text, what, format.decimal_mark, Micros::get),
        };
        let digits = cell(self.prefix)?;
        let prefix = Prefix::parse(digits.strip_prefix('+').unwrap_or(digits))
            .ok_or_else(|| format!("prefix \"{}\": write 1 to 15 digits", echo(digits)))?;
        let price = cell(self.per_minute)?;
        let name = optional(self.name)?.unwrap_or_default();
        if name.chars().count() > LONGEST_NAME {
            return Err(format!("the name is longer than {LONGEST_NAME} characters"));
        }
        let rate = Rate {
            per_minute: amount(price, "the price a minute", format.decimal_mark, Nanos::get)?,
            connect_fee: fee(self.connect_fee, "the connect fee")?,
            first_secs: step(self.first_secs, "the first billing step", format.first_secs)?,
            next_secs: step(self.next_secs, "the next billing step", format.next_secs)?,
            min_secs: secs(self.min_secs, "the shortest charged length", 0)?,
            min_charge: fee(self.min_charge, "the smallest charge")?,
            grace_secs: secs(self.grace_secs, "the free length", 0)?,
            rounding: format.rounding,
            duration_rounding: format.duration_rounding,
            periods: Periods::default(),
        };
        // A price whose longest call cannot be written down is a slip of the comma.
        rate.charge(LONGEST_SECS).map_err(|_| "the price is out of range".to_owned())?;
        Ok((prefix, unquoted(name), rate))
    }
}

fn amount<T>(text: &str, what: &str, mark: DecimalMark, units: impl Fn(T) -> i64) -> Result<T, String>
where
    T: FromStr<Err = MoneyError> + Copy,
{
    let complaint = |reason: &str| format!("{what} \"{}\": {reason}", echo(text));
    let plain = match mark {
        DecimalMark::Dot => text.to_owned(),
        DecimalMark::Comma if text.contains('.') => {
            return Err(complaint("the decimal mark was declared to be a comma; write 0,0137, or declare a dot"));
        }
        DecimalMark::Comma => text.replace(',', "."),
    };
    let value: T = plain.parse().map_err(|reason: MoneyError| match reason {
        MoneyError::NotDecimal if mark == DecimalMark::Dot && text.contains(',') => {
            complaint("the decimal mark was declared to be a dot; write 0.0137 without thousands separators, or declare a comma")
        }
        reason => complaint(&reason.to_string()),
    })?;
    if units(value) < 0 { Err(complaint("it is negative: a price is zero or more")) } else { Ok(value) }
}

fn echo(text: &str) -> String {
    text.chars().take(CELL_ECHO).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// What a spreadsheet might take for a formula is written with an apostrophe before it, and read without.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

fn unquoted(name: &str) -> &str {
    name.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA)).unwrap_or(name)
}

/// Writes rates as a file that [`read`] takes back unchanged with the default format and the table's rounding.
pub fn write(table: &Table, into: impl Write) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_writer(into);
    let columns = Columns::default();
    writer.write_record([
        &columns.prefix,
        &columns.name,
        &columns.per_minute,
        &columns.connect_fee,
        &columns.first_secs,
        &columns.next_secs,
        &columns.min_secs,
        &columns.min_charge,
        &columns.grace_secs,
    ])?;
    for row in table.rows() {
        let name = if row.name.starts_with(FORMULA) { format!("'{}", row.name) } else { row.name.to_owned() };
        writer.write_record([
            row.prefix.to_string(),
            name,
            row.rate.per_minute.to_string(),
            row.rate.connect_fee.to_string(),
            row.rate.first_secs.to_string(),
            row.rate.next_secs.to_string(),
            row.rate.min_secs.to_string(),
            row.rate.min_charge.to_string(),
            row.rate.grace_secs.to_string(),
        ])?;
    }
    writer.flush().map_err(csv::Error::from)
}

/// What applying `sheet` to `deck` would change against the version that is valid now.
pub fn dry_run(decks: &Decks, deck: DeckId, sheet: &Sheet, now: Timestamp) -> Result<Report, ImportError> {
    let shelf = decks.shelf();
    let nothing = Table::default();
    let so_far = shelf.decks.get(&deck).and_then(|deck| deck.valid(now)).map_or(&nothing, |version| &*version.table);
    let mut report = Report { fingerprint: fingerprint(&shelf, deck, sheet), ..compare(so_far, &sheet.table) };
    report.rejects.clone_from(&sheet.rejects);
    Ok(report)
}

fn compare(old: &Table, new: &Table) -> Report {
    let mut report = Report { rates: count(new.len()), ..Report::default() };
    let mut dearer = Vec::new();
    for row in new.rows() {
        let change = |from: Nanos| Change {
            prefix: row.prefix.to_string(),
            name: row.name.to_owned(),
            from,
            to: row.rate.per_minute,
            basis_points: basis_points(from, row.rate.per_minute),
        };
        match old.get(row.prefix) {
            None => {
                report.added += 1;
                if report.added_list.len() < REPORT_LINES {
                    report.added_list.push(change(old.covering(row.prefix).map_or(Nanos::ZERO, |wider| wider.rate.per_minute)));
                }
            }
            Some(was) if row.rate.per_minute > was.rate.per_minute => {
                report.dearer += 1;
                dearer.push(change(was.rate.per_minute));
            }
            Some(was) if row.rate.per_minute < was.rate.per_minute => report.cheaper += 1,
            Some(was) if was.rate != row.rate || was.name != row.name => report.altered += 1,
            Some(_) => report.unchanged += 1,
        }
    }
    for row in old.rows().filter(|row| new.get(row.prefix).is_none()) {
        report.removed += 1;
        if report.removed_list.len() < REPORT_LINES {
            let to = new.covering(row.prefix).map_or(Nanos::ZERO, |wider| wider.rate.per_minute);
            let from = row.rate.per_minute;
            let (prefix, name) = (row.prefix.to_string(), row.name.to_owned());
            report.removed_list.push(Change { prefix, name, from, to, basis_points: basis_points(from, to) });
        }
    }
    // A price that was zero has no per cent; it leads the list.
    dearer.sort_by_key(|change| std::cmp::Reverse(change.basis_points.unwrap_or(i64::MAX)));
    dearer.truncate(REPORT_LINES);
    report.dearer_list = dearer;
    report
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn basis_points(from: Nanos, to: Nanos) -> Option<i64> {
    let difference = i128::from(to.get()) - i128::from(from.get());
    (difference * 10_000).checked_div(from.get().into()).and_then(|points| i64::try_from(points).ok())
}

/// Of everything that decides what goes live: the deck, the version it follows, the rounding, every rate.
fn fingerprint(shelf: &Shelf, deck: DeckId, sheet: &Sheet) -> String {
    let mut hasher = Sha256::new();
    let newest = shelf.decks.get(&deck).and_then(|deck| deck.newest);
    hasher.update(deck.to_string());
    hasher.update(newest.map_or_else(|| "first".to_owned(), |version| version.to_string()));
    hasher.update(sheet.rounding.as_str());
    for row in sheet.table.rows() {
        let Rate {
            per_minute,
            connect_fee,
            first_secs,
            next_secs,
            min_secs,
            min_charge,
            grace_secs,
            rounding: _,
            duration_rounding: _,
            periods: _,
        } = row.rate;
        let (per_minute, connect_fee, min_charge) = (per_minute.get(), connect_fee.get(), min_charge.get());
        let line = format!(
            "\n{}\t{per_minute}\t{connect_fee}\t{first_secs}\t{next_secs}\t{min_secs}\t{min_charge}\t{grace_secs}\t{}\t",
            row.prefix,
            row.name.len()
        );
        hasher.update(line);
        hasher.update(row.name);
    }
    hasher.finalize()[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the sheet as a new version of its deck if the fingerprint is that of the dry run. The version is visible whole or not
/// at all; afterwards [`store::refresh`] puts it on the shelf.
pub async fn apply(database: &Database, decks: &Decks, clock: &Clock, random: &Random, order: Apply) -> Result<DeckVersionId, ImportError> {
    let Apply { deck, sheet, fingerprint: expected, effective_from } = order;
    let now = clock.timestamp();
    let mut connection = database.read().await?;
    if store::get(&mut connection, deck).await?.is_none() {
        return Err(ImportError::NoDeck);
    }
    let newest = store::versions(&mut connection, deck).await?.first().map(|version| version.id);
    let number = store::highest(&mut connection, deck).await? + 1;
    drop(connection);
    let shelf = decks.shelf();
    let on_shelf = shelf.decks.get(&deck).and_then(|deck| deck.newest);
    if newest != on_shelf || fingerprint(&shelf, deck, &sheet) != expected {
        return Err(ImportError::Fingerprint);
    }
    drop(shelf);
    let id = DeckVersionId::new(clock, random);
    let version = store::Version {
        id,
        deck,
        number,
        fingerprint: expected,
        rounding: sheet.rounding,
        duration_rounding: sheet.duration_rounding,
        effective_from,
        created_at: now,
    };
    database
        .write(move |tx| {
            Box::pin(async move {
                store::sweep(tx, deck, now - CRASHED_AFTER).await?;
                store::begin(tx, &version).await
            })
        })
        .await?;
    let mut piece: Vec<store::NewRate> = Vec::with_capacity(ROWS_A_PIECE);
    let table = &sheet.table;
    for (at, row) in (1..).zip(table.rows()) {
        piece.push((row.prefix.to_string(), row.name.to_owned(), row.rate.clone()));
        if piece.len() == ROWS_A_PIECE || at == table.len() {
            let rates = std::mem::take(&mut piece);
            database.write(move |tx| Box::pin(async move { store::add(tx, id, &rates).await })).await?;
        }
    }
    database.write(move |tx| Box::pin(async move { store::publish(tx, id).await })).await?;
    Ok(id)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, format: &Format) -> Result<Sheet, ImportError> {
        read(text.as_bytes(), format)
    }

    fn rejected(text: &str) -> Vec<(u64, String)> {
        match read_text(text, &Format::default()) {
            Err(ImportError::Rejected { listed, .. }) => listed.into_iter().map(|bad| (bad.line, bad.reason)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn comma_semicolon_tab_and_the_byte_order_mark_are_read() {
        let comma =
            read_text("\u{feff}Prefix,Name,per_minute\n420,Czechia,0.0137\n+42060,\"Czechia, mobile\",0.05\n", &Format::default()).unwrap();
        let semicolon = Format { separator: Separator::Semicolon, decimal_mark: DecimalMark::Comma, ..Format::default() };
        let semicolon = read_text("prefix;name;per_minute\r\n420;Czechia;0,0137\r\n42060;Czechia, mobile;0,05\r\n", &semicolon).unwrap();
        let tab = Format { separator: Separator::Tab, ..Format::default() };
        let tab = read_text("per_minute\tprefix\tname\n0.0137\t420\tCzechia\n0.05\t42060\tCzechia, mobile\n", &tab).unwrap();
        assert_eq!(comma.table, semicolon.table);
        assert_eq!(comma.table, tab.table);
        let row = comma.table.find("+420601123456".parse().unwrap()).unwrap();
        assert_eq!((row.name, row.rate.per_minute.get(), row.rate.first_secs), ("Czechia, mobile", 50_000_000, 60));
    }

    #[test]
    fn every_bad_line_is_named_with_its_reason() {
        let bad = rejected(
            "prefix,per_minute,first_secs,next_secs,connect_fee\n\
             1,0.01,60,60,0\n\
             44,0.01,60,0,0\n\
             1,0.02,1,1,0\n\
             33,-0.01,1,1,0\n\
             34,0.0123456789,1,1,0\n\
             35,\"1,234\",1,1,0\n\
             3a,0.01,1,1,0\n\
             36,0.01,1,1\n\
             37,0.01,soon,1,0\n\
             38,99999999999,1,1,0\n\
             39,0.01,1,1,0.0000001\n\
             40,,1,1,0\n",
        );
        let expected = [
            (3, "next billing step is 0"),
            (4, "already on line 2"),
            (5, "negative"),
            (6, "at most 9 decimals"),
            (7, "declared to be a dot"),
            (8, "1 to 15 digits"),
            (9, "4 cells where the heading has 5"),
            (10, "whole seconds"),
            (11, "out of range"),
            (12, "at most 6 decimals"),
            (13, "plain digits"),
        ];
        assert_eq!(bad.iter().map(|bad| bad.0).collect::<Vec<_>>(), expected.map(|expected| expected.0));
        for ((_, reason), (line, part)) in bad.iter().zip(expected) {
            assert!(reason.contains(part), "line {line}: {reason}");
        }
    }

    #[test]
    fn bad_lines_are_left_out_only_where_that_was_said() {
        let text = "prefix,per_minute\n1,0.01\n44,x\n";
        assert!(matches!(read_text(text, &Format::default()), Err(ImportError::Rejected { count: 1, .. })));
        let sheet = read_text(text, &Format { max_rejects: 1, ..Format::default() }).unwrap();
        assert_eq!((sheet.table.len(), sheet.rejects.len()), (1, 1));
    }

    #[test]
    fn a_file_that_is_no_deck_says_so() {
        for (text, part) in [
            ("", "it is empty"),
            ("prefix,per_minute\n", "no rates below"),
            ("prefix;per_minute\n1;2\n", "another separator"),
            ("number,price\n1,2\n", "no column \"prefix\""),
        ] {
            let said = read_text(text, &Format::default()).unwrap_err().to_string();
            assert!(said.contains(part), "{said}");
        }
        let latin = [b"prefix,name,per_minute\n".as_slice(), b"34,Espa\xf1a,0.01\n"].concat();
        assert!(read(latin.as_slice(), &Format::default()).unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = "prefix,name,per_minute,connect_fee,first_secs,next_secs,min_secs,min_charge,grace_secs\n\
             1,=NANP,0.0000875,0.05,30,6,0,0.01,3\n420,\"Czechia, \"\"fixed\"\"\",12,0,1,1,10,0,0\n4420,-UK,0,0,60,60,0,0,0\n";
        let sheet = read_text(text, &Format::default()).unwrap();
        let mut written = Vec::new();
        write(&sheet.table, &mut written).unwrap();
        assert_eq!(read(written.as_slice(), &Format::default()).unwrap().table, sheet.table);
        assert!(String::from_utf8(written).unwrap().contains(",'=NANP,"), "no spreadsheet computes a name");
    }

    #[test]
    fn a_report_tells_what_changes_dearest_first() {
        let old = read_text("prefix,per_minute\n1,0.01\n44,0.02\n4477,0.04\n33,0.03\n34,0\n", &Format::default()).unwrap().table;
        let new =
            read_text("prefix,per_minute,connect_fee\n1,0.02,0\n44,0.01,0\n33,0.03,0.01\n34,0.01,0\n155,0.05,0\n", &Format::default());
        let report = compare(&old, &new.unwrap().table);
        let counts = (report.rates, report.added, report.removed, report.dearer, report.cheaper, report.altered, report.unchanged);
        assert_eq!(counts, (5, 1, 1, 2, 1, 1, 0));
        assert_eq!(
            report.dearer_list.iter().map(|change| (&*change.prefix, change.basis_points)).collect::<Vec<_>>(),
            [("34", None), ("1", Some(10_000))]
        );
        assert_eq!((report.added_list[0].prefix.as_str(), report.added_list[0].from.get()), ("155", 10_000_000));
        assert_eq!((report.removed_list[0].prefix.as_str(), report.removed_list[0].to.get()), ("4477", 10_000_000));
    }
}
