//! Which column holds what: the headings carriers use, recognised without regard to case.

use super::ImportError;
use super::cell::echo;
use super::format::{Columns, Separator};

/// A kind of column: our name for it, and what carriers write above it, the likeliest first.
struct Known(&'static str, &'static [&'static str]);

const PREFIX: Known = Known(
    "prefix",
    &[
        "prefix",
        "prefixes",
        "dial code",
        "dial codes",
        "dialcode",
        "dialing code",
        "dialling code",
        "dial prefix",
        "destination code",
        "destination prefix",
        "dest code",
        "number prefix",
        "breakout code",
        "breakout",
        "code",
        "codes",
        "e164",
        "digits",
    ],
);
const PER_MINUTE: Known = Known(
    "per_minute",
    &[
        "per minute",
        "rate min",
        "price min",
        "rate per minute",
        "price per minute",
        "rate per min",
        "price per min",
        "minute rate",
        "minute price",
        "new rate",
        "new price",
        "current rate",
        "voice rate",
        "rate",
        "price",
        "cost",
        "tariff",
    ],
);
const NAME: Known = Known(
    "name",
    &[
        "name",
        "destination name",
        "destination",
        "description",
        "dest name",
        "zone name",
        "zone",
        "location",
        "route",
        "area",
        "country name",
        "country",
    ],
);
const CONNECT_FEE: Known = Known(
    "connect_fee",
    &[
        "connect fee",
        "connection fee",
        "connect charge",
        "connection charge",
        "connection cost",
        "setup fee",
        "set up fee",
        "setup charge",
        "setup cost",
        "setup price",
        "call setup",
        "setup",
        "flagfall",
        "flag fall",
    ],
);
const INCREMENT: Known = Known(
    "increment",
    &[
        "increment",
        "increments",
        "billing increment",
        "billing increments",
        "billing interval",
        "billing intervals",
        "billing terms",
        "billing",
        "charging interval",
        "interval",
        "intervals",
        "rating increment",
        "pulse",
    ],
);
const FIRST_SECS: Known = Known(
    "first_secs",
    &[
        "first secs",
        "first",
        "first increment",
        "first interval",
        "first period",
        "initial",
        "initial increment",
        "initial interval",
        "initial period",
        "initial block",
        "interval 1",
        "interval1",
        "minimum increment",
    ],
);
const NEXT_SECS: Known = Known(
    "next_secs",
    &[
        "next secs",
        "next",
        "next increment",
        "next interval",
        "next period",
        "subsequent",
        "subsequent increment",
        "subsequent interval",
        "recurring increment",
        "recurring interval",
        "additional increment",
        "interval n",
        "intervaln",
        "interval 2",
        "interval2",
        "second increment",
    ],
);
const MIN_SECS: Known =
    Known("min_secs", &["min secs", "min duration", "minimum duration", "min time", "minimum time", "minimum seconds", "min seconds"]);
const MIN_CHARGE: Known = Known("min_charge", &["min charge", "minimum charge", "min cost", "minimum cost", "minimum price"]);
const GRACE_SECS: Known =
    Known("grace_secs", &["grace secs", "grace", "grace period", "grace time", "grace seconds", "free seconds", "free secs"]);
const PERIODS: Known = Known("periods", &["periods", "peak periods"]);
const EFFECTIVE_FROM: Known = Known(
    "effective_from",
    &["effective from", "effective date", "effective", "effective at", "valid from", "valid from date", "start date", "from date"],
);
const CURRENCY: Known = Known("currency", &["currency", "ccy", "currency code"]);
const ROUNDING: Known = Known("rounding", &["rounding"]);
const DURATION_ROUNDING: Known = Known("duration_rounding", &["duration rounding"]);

/// Which cell of a line holds what.
#[derive(Debug)]
pub(super) struct Places {
    pub cells: usize,
    pub prefix: usize,
    pub per_minute: usize,
    pub name: Option<usize>,
    pub connect_fee: Option<usize>,
    pub increment: Option<usize>,
    pub first_secs: Option<usize>,
    pub next_secs: Option<usize>,
    pub min_secs: Option<usize>,
    pub min_charge: Option<usize>,
    pub grace_secs: Option<usize>,
    pub periods: Option<usize>,
    pub effective_from: Option<usize>,
    pub currency: Option<usize>,
    pub rounding: Option<usize>,
    pub duration_rounding: Option<usize>,
    /// Headings nobody reads.
    pub ignored: Vec<String>,
}

/// Finds the columns of a first line; where no separator is declared, the one under which the columns are there.
pub(super) fn find(line: &[u8], declared: Option<Separator>, columns: &Columns) -> Result<(Separator, Places), ImportError> {
    let tried = declared.map_or_else(|| Separator::ALL.to_vec(), |separator| vec![separator]);
    let mut first = None;
    for separator in tried {
        match places(&cells(line, separator)?, columns) {
            Ok(places) => return Ok((separator, places)),
            // The separator under which the line has the most cells has the most to say.
            Err((cells, said)) if first.as_ref().is_none_or(|(most, _)| cells > *most) => first = Some((cells, said)),
            Err(_) => {}
        }
    }
    Err(ImportError::Unreadable(first.map(|(_, said)| said).unwrap_or_default()))
}

fn cells(line: &[u8], separator: Separator) -> Result<Vec<String>, ImportError> {
    let mut reader = csv::ReaderBuilder::new().delimiter(separator.byte()).has_headers(false).trim(csv::Trim::All).from_reader(line);
    let mut record = csv::ByteRecord::new();
    reader.read_byte_record(&mut record).map_err(|fault| ImportError::Unreadable(fault.to_string()))?;
    Ok(record.iter().map(|cell| plain(&String::from_utf8_lossy(cell))).collect())
}

/// Lower case, single spaces, without byte order mark, underscores and a unit in brackets.
fn plain(heading: &str) -> String {
    let heading = heading.trim_start_matches('\u{feff}').trim().to_lowercase();
    let heading = heading.split(['(', '[']).next().unwrap_or_default();
    let words = heading.split(|letter: char| letter.is_whitespace() || matches!(letter, '_' | '-' | '.' | '/' | ':' | '#' | '*'));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn places(names: &[String], columns: &Columns) -> Result<Places, (usize, String)> {
    let fail = |said: String| (names.len(), said);
    let at = |wanted: &str, ours: &str| {
        let mut places = names.iter().enumerate().filter(|(_, name)| *name == wanted).map(|(place, _)| place);
        match (places.next(), places.next()) {
            (Some(_), Some(_)) => {
                Err(fail(format!("line 1 has two columns \"{}\": say which one is the {ours}, or rename one", echo(wanted))))
            }
            (place, _) => Ok(place),
        }
    };
    let place = |Known(ours, theirs): &Known, declared: &Option<String>| match declared {
        Some(declared) => match at(&plain(declared), ours)? {
            Some(place) => Ok(Some(place)),
            None => Err(fail(format!(
                "line 1 has no column \"{}\" (it has: {}): name the column as the file does",
                echo(declared),
                list(names)
            ))),
        },
        None => theirs.iter().find_map(|wanted| at(wanted, ours).transpose()).transpose(),
    };
    let needed = |known: &Known, declared: &Option<String>| {
        place(known, declared)?.ok_or_else(|| {
            let Known(ours, _) = known;
            fail(format!("line 1 has no column \"{ours}\" (it has: {}): name the column, or choose another separator", list(names)))
        })
    };
    let mut places = Places {
        cells: names.len(),
        prefix: needed(&PREFIX, &columns.prefix)?,
        per_minute: needed(&PER_MINUTE, &columns.per_minute)?,
        name: place(&NAME, &columns.name)?,
        connect_fee: place(&CONNECT_FEE, &columns.connect_fee)?,
        increment: place(&INCREMENT, &columns.increment)?,
        first_secs: place(&FIRST_SECS, &columns.first_secs)?,
        next_secs: place(&NEXT_SECS, &columns.next_secs)?,
        min_secs: place(&MIN_SECS, &columns.min_secs)?,
        min_charge: place(&MIN_CHARGE, &columns.min_charge)?,
        grace_secs: place(&GRACE_SECS, &columns.grace_secs)?,
        periods: place(&PERIODS, &columns.periods)?,
        effective_from: place(&EFFECTIVE_FROM, &columns.effective_from)?,
        currency: place(&CURRENCY, &columns.currency)?,
        rounding: place(&ROUNDING, &columns.rounding)?,
        duration_rounding: place(&DURATION_ROUNDING, &columns.duration_rounding)?,
        ignored: Vec::new(),
    };
    let read = places.read();
    places.ignored = names.iter().enumerate().filter(|(place, _)| !read.contains(place)).map(|(_, name)| echo(name)).collect();
    Ok(places)
}

impl Places {
    /// The cells somebody reads.
    fn read(&self) -> Vec<usize> {
        let optional = [
            self.name,
            self.connect_fee,
            self.increment,
            self.first_secs,
            self.next_secs,
            self.min_secs,
            self.min_charge,
            self.grace_secs,
            self.periods,
            self.effective_from,
            self.currency,
            self.rounding,
            self.duration_rounding,
        ];
        [self.prefix, self.per_minute].into_iter().chain(optional.into_iter().flatten()).collect()
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| echo(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> (Separator, usize, usize, Option<usize>) {
        let (separator, places) = find(line.as_bytes(), None, &Columns::default()).unwrap();
        (separator, places.prefix, places.per_minute, places.name)
    }

    #[test]
    fn carriers_headings_are_known() {
        for (line, expected) in [
            ("prefix,name,per_minute", (Separator::Comma, 0, 2, Some(1))),
            ("\u{feff}Destination;Dial Code;Rate (EUR/min)", (Separator::Semicolon, 1, 2, Some(0))),
            ("COUNTRY\tDestination\tCode\tPRICE PER MIN.\tEffective Date", (Separator::Tab, 2, 3, Some(1))),
            ("\"Destination, name\",\"Prefix\",Price", (Separator::Comma, 1, 2, None)),
            ("Dest. Code,Description,Rate/Min", (Separator::Comma, 0, 2, Some(1))),
        ] {
            assert_eq!(found(line), expected, "{line}");
        }
    }

    #[test]
    fn what_is_not_read_is_told() {
        let (_, places) = find(b"code,rate,first increment,Next Increment,Comment,Old rate", None, &Columns::default()).unwrap();
        assert_eq!((places.first_secs, places.next_secs), (Some(2), Some(3)));
        assert_eq!(places.ignored, ["comment", "old rate"]);
    }

    #[test]
    fn declared_headings_win_and_doubt_is_an_error() {
        let columns = Columns { per_minute: Some("Peak Rate".into()), ..Columns::default() };
        assert_eq!(find(b"code,rate,peak rate", None, &columns).unwrap().1.per_minute, 2);
        for (line, columns, part) in [
            ("code,rate,rate", &Columns::default(), "two columns \"rate\""),
            ("code,rate", &columns, "no column \"Peak Rate\""),
            ("number;amount", &Columns::default(), "no column \"prefix\" (it has: number, amount)"),
        ] {
            let said = find(line.as_bytes(), None, columns).unwrap_err().to_string();
            assert!(said.contains(part), "{said}");
        }
    }
}
