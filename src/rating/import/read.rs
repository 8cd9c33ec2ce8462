//! Reads a file row by row: no whole-file buffer, whatever its size.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Cursor, Read};
use std::rc::Rc;
use std::sync::Arc;

use super::cell::{self, echo};
use super::format::{Format, Separator};
use super::heading::{self, Places};
use super::{BadLine, ImportError, Progress};
use crate::rating::{DurationRounding, Periods, Prefix, Rate, Rounding, Table, TableBuilder};
use crate::types::{Micros, Nanos, Timestamp};

/// Bad lines that are listed; the rest are only counted.
pub const BAD_LINES_LISTED: usize = 1000;
/// Rates of one file.
const MAX_ROWS: usize = 2_000_000;
/// Bytes of the first line.
const LONGEST_HEADING: u64 = 64 * 1024;
/// Characters of a name.
const LONGEST_NAME: usize = 200;
/// Bytes that are read at a time.
const BUFFER: usize = 256 * 1024;
/// What a spreadsheet might take for a formula is written with an apostrophe before it, and read without.
pub(super) const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A file that was read and may become a deck version.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// Its rates.
    pub table: Arc<Table>,
    /// Lines that were left out, the first of them.
    pub rejects: Vec<BadLine>,
    /// All of them.
    pub rejected: u64,
    /// The tariff's rounding.
    pub rounding: Rounding,
    /// How durations become whole seconds.
    pub duration_rounding: DurationRounding,
    /// What stood between the cells.
    pub separator: Separator,
    /// Headings nobody reads.
    pub ignored_columns: Vec<String>,
    /// The latest date of the file's own column of dates.
    pub effective_from: Option<Timestamp>,
}

/// Reads a file.
pub fn read(file: impl Read, format: &Format) -> Result<Sheet, ImportError> {
    read_with(file, format, &Progress::default())
}

/// Reads a file and says how far it is.
pub fn read_with(file: impl Read, format: &Format, progress: &Progress) -> Result<Sheet, ImportError> {
    let unreadable = |fault: csv::Error| ImportError::Unreadable(fault.to_string());
    let mut file = BufReader::with_capacity(BUFFER, file);
    let heading = first_line(&mut file)?;
    let (separator, places) = heading::find(&heading, format.separator, &format.columns)?;
    let blank = Rc::new(RefCell::new(Watch::default()));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator.byte())
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .buffer_capacity(BUFFER)
        .from_reader(BlankLines { inner: Cursor::new(heading).chain(file), carriage_return: false, watch: Rc::clone(&blank) });
    let mut record = csv::ByteRecord::new();
    reader.read_byte_record(&mut record).map_err(unreadable)?;
    let mut lines = Lines { places, format, builder: TableBuilder::default(), line_of: HashMap::new(), whole: Whole::default() };
    let (mut rejects, mut rejected) = (Vec::new(), 0_u64);
    while reader.read_byte_record(&mut record).map_err(unreadable)? {
        let line = record.position().map_or(0, |at| at.line() + blank.borrow_mut().skipped(at.byte()));
        if lines.builder.count() >= MAX_ROWS {
            return Err(ImportError::Unreadable(format!("it has more than {MAX_ROWS} rates: split the deck")));
        }
        if let Err(reason) = lines.take(&record, line) {
            rejected += 1;
            if rejects.len() < BAD_LINES_LISTED {
                rejects.push(BadLine { line, reason });
            }
        }
        progress.read(1);
    }
    if rejected > u64::from(format.max_rejects) {
        return Err(ImportError::Rejected { listed: rejects, count: rejected });
    }
    if lines.builder.count() == 0 {
        return Err(ImportError::Unreadable("it has no rates below its heading".to_owned()));
    }
    let Lines { places, builder, whole, .. } = lines;
    Ok(Sheet {
        table: Arc::new(builder.build()),
        rejects,
        rejected,
        rounding: whole.rounding.unwrap_or(format.rounding),
        duration_rounding: whole.duration_rounding.unwrap_or(format.duration_rounding),
        separator,
        ignored_columns: places.ignored,
        effective_from: whole.effective_from,
    })
}

/// Blank lines are skipped without a word, and a record says that it begins where they do. This counts them, so that the lines
/// of a report are those of an editor; and it makes one character of the two that end a line on some systems.
struct BlankLines<R> {
    inner: R,
    carriage_return: bool,
    watch: Rc<RefCell<Watch>>,
}

#[derive(Default)]
struct Watch {
    at: u64,
    line_began: u64,
    quoted: bool,
    /// Where blank lines are, of what is read and not yet looked at.
    blank: VecDeque<u64>,
}

impl<R: Read> Read for BlankLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            // One place is kept for a carriage return of the time before.
            let length = self.inner.read(&mut buffer[1..])?;
            let kept = self.without_carriage_returns(buffer, length);
            if kept > 0 || length == 0 {
                self.watch.borrow_mut().see(&buffer[..kept]);
                return Ok(kept);
            }
        }
    }
}

impl<R> BlankLines<R> {
    /// Of the `length` bytes behind the first place; how many are left from the first place on.
    fn without_carriage_returns(&mut self, buffer: &mut [u8], length: usize) -> usize {
        let mut kept = 0;
        for at in 1..=length {
            let byte = buffer[at];
            if self.carriage_return && byte != b'\n' {
                buffer[kept] = b'\r';
                kept += 1;
            }
            self.carriage_return = byte == b'\r';
            if !self.carriage_return {
                buffer[kept] = byte;
                kept += 1;
            }
        }
        kept
    }
}

impl Watch {
    fn see(&mut self, bytes: &[u8]) {
        for place in memchr::memchr2_iter(b'"', b'\n', bytes) {
            if bytes[place] == b'"' {
                self.quoted = !self.quoted;
                continue;
            }
            let end = self.at + u64::try_from(place).unwrap_or(0) + 1;
            let length = end - self.line_began;
            if !self.quoted && length == 1 {
                self.blank.push_back(self.line_began);
            }
            self.line_began = end;
        }
        self.at += u64::try_from(bytes.len()).unwrap_or(0);
    }

    /// How many blank lines follow each other from this byte on.
    fn skipped(&mut self, mut byte: u64) -> u64 {
        let mut lines = 0;
        while let Some(&at) = self.blank.front() {
            if at > byte {
                break;
            }
            self.blank.pop_front();
            if at == byte {
                lines += 1;
                byte += 1;
            }
        }
        lines
    }
}

/// The heading with its line end, to be read twice.
fn first_line(file: &mut impl std::io::BufRead) -> Result<Vec<u8>, ImportError> {
    let unreadable = |fault: std::io::Error| ImportError::Unreadable(fault.to_string());
    let mut line = Vec::new();
    // A quoted heading may run over lines; an even number of quotes ends it.
    loop {
        let before = line.len();
        let room = LONGEST_HEADING.saturating_sub(u64::try_from(before).unwrap_or(u64::MAX));
        file.by_ref().take(room).read_until(b'\n', &mut line).map_err(unreadable)?;
        let quoted = line.iter().fold(false, |quoted, &byte| quoted ^ (byte == b'"'));
        if !quoted || line.len() == before {
            break;
        }
    }
    if line.iter().all(u8::is_ascii_whitespace) {
        return Err(ImportError::Unreadable("it is empty: the first line names the columns".to_owned()));
    }
    Ok(line)
}

/// What all lines of a file must agree on.
#[derive(Default)]
struct Whole {
    rounding: Option<Rounding>,
    duration_rounding: Option<DurationRounding>,
    effective_from: Option<Timestamp>,
}

struct Lines<'f> {
    places: Places,
    format: &'f Format,
    builder: TableBuilder,
    line_of: HashMap<Prefix, u64>,
    whole: Whole,
}

impl Lines<'_> {
    fn take(&mut self, record: &csv::ByteRecord, line: u64) -> Result<(), String> {
        if record.len() != self.places.cells {
            return Err(format!("{} cells where the heading has {}", record.len(), self.places.cells));
        }
        let cell = |place: usize| std::str::from_utf8(&record[place]).map_err(|_| "not UTF-8: save the file as UTF-8".to_owned());
        let optional = |place: Option<usize>| place.map(cell).transpose().map(|text| text.filter(|text| !text.is_empty()));
        let name = optional(self.places.name)?.map(unquoted).unwrap_or_default();
        if name.chars().count() > LONGEST_NAME {
            return Err(format!("the name is longer than {LONGEST_NAME} characters"));
        }
        if name.chars().any(char::is_control) && name.chars().any(|letter| letter.is_control() && letter != '\n' && letter != '\t') {
            return Err("the name has control characters: leave them out".to_owned());
        }
        if let (Some(text), Some(currency)) = (optional(self.places.currency)?, self.format.currency)
            && !text.eq_ignore_ascii_case(currency.as_str())
        {
            return Err(format!("the currency is \"{}\", the deck is in {currency}: import it into a deck of that currency", echo(text)));
        }
        let effective_from = optional(self.places.effective_from)?.map(cell::date).transpose()?;
        self.agree(optional(self.places.rounding)?, optional(self.places.duration_rounding)?)?;
        let rate = self.rate(cell(self.places.per_minute)?, optional)?;
        let prefixes = cell::prefixes(cell(self.places.prefix)?, self.format.prefix_lists)?;
        if let Some((prefix, first)) = prefixes.iter().find_map(|prefix| Some((prefix, self.line_of.get(prefix)?))) {
            return Err(format!("the prefix {prefix} is already on line {first}: keep one of them"));
        }
        for prefix in prefixes {
            self.line_of.insert(prefix, line);
            self.builder.add(prefix, name, rate.clone());
        }
        self.whole.effective_from = self.whole.effective_from.max(effective_from);
        Ok(())
    }

    /// The tariff has one way of rounding.
    fn agree(&mut self, rounding: Option<&str>, duration_rounding: Option<&str>) -> Result<(), String> {
        if let Some(text) = rounding {
            let said = Rounding::parse(text).ok_or_else(|| format!("the rounding \"{}\": write up, half_even or down", echo(text)))?;
            if *self.whole.rounding.get_or_insert(said) != said {
                return Err("the rounding is not that of the lines before: a deck has one".to_owned());
            }
        }
        if let Some(text) = duration_rounding {
            let said = DurationRounding::parse(text)
                .ok_or_else(|| format!("the duration rounding \"{}\": write up, down or nearest", echo(text)))?;
            if *self.whole.duration_rounding.get_or_insert(said) != said {
                return Err("the duration rounding is not that of the lines before: a deck has one".to_owned());
            }
        }
        Ok(())
    }

    fn rate<'r>(&self, price: &str, optional: impl Fn(Option<usize>) -> Result<Option<&'r str>, String>) -> Result<Rate, String> {
        let (format, places) = (self.format, &self.places);
        let fee = |place: Option<usize>, what: &str| match optional(place)? {
            None => Ok(Micros::ZERO),
            Some(text) => cell::amount(text, what, format, Micros::get),
        };
        let secs = |place: Option<usize>, what: &str| optional(place)?.map_or(Ok(0), |text| cell::secs(text, what));
        let both = optional(places.increment)?.map(cell::increment).transpose()?;
        let step = |place: Option<usize>, what: &str, default: u32| optional(place)?.map_or(Ok(default), |text| cell::step(text, what));
        let (first_default, next_default) = both.unwrap_or((format.first_secs, format.next_secs));
        let per_minute = |text: &str| cell::amount(text, "the price a minute", format, Nanos::get);
        let periods = match optional(places.periods)? {
            None => Periods::default(),
            Some(text) => Periods::parse(unquoted(text), per_minute).map_err(|error| format!("the periods: {error}"))?,
        };
        let rate = Rate {
            per_minute: per_minute(price)?,
            connect_fee: fee(places.connect_fee, "the connect fee")?,
            first_secs: step(places.first_secs, "the first billing step", first_default)?,
            next_secs: step(places.next_secs, "the next billing step", next_default)?,
            min_secs: secs(places.min_secs, "the shortest charged length")?,
            min_charge: fee(places.min_charge, "the smallest charge")?,
            grace_secs: secs(places.grace_secs, "the free length")?,
            rounding: self.whole.rounding.unwrap_or(format.rounding),
            duration_rounding: self.whole.duration_rounding.unwrap_or(format.duration_rounding),
            periods,
        };
        // A price whose longest call cannot be written down is a slip of the comma.
        rate.charge(cell::LONGEST_SECS).map_err(|_| "the price is out of range".to_owned())?;
        Ok(rate)
    }
}

pub(super) fn unquoted(name: &str) -> &str {
    name.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA) || rest.starts_with('\'')).unwrap_or(name)
}
