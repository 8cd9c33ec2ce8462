//! Writes rates as a file that [`super::read`] takes back unchanged, and that no spreadsheet computes.

use std::io::Write;

use super::read::FORMULA;
use crate::rating::{Prefix, Rate, Table};

/// The headings of an exported file: the ones that are read by themselves.
const HEADING: [&str; 12] = [
    "prefix",
    "name",
    "per_minute",
    "connect_fee",
    "first_secs",
    "next_secs",
    "min_secs",
    "min_charge",
    "grace_secs",
    "periods",
    "rounding",
    "duration_rounding",
];

/// Writes all rates of a table.
pub fn write(table: &Table, into: impl Write) -> Result<(), csv::Error> {
    let mut writer = Writer::begin(into)?;
    for row in table.rows() {
        writer.row(row.prefix, row.name, row.rate)?;
    }
    writer.end()
}

/// A file that is written piece by piece.
pub struct Writer<W: Write>(csv::Writer<W>);

impl<W: Write> Writer<W> {
    /// With its heading.
    pub fn begin(into: W) -> Result<Self, csv::Error> {
        let mut writer = csv::Writer::from_writer(into);
        writer.write_record(HEADING)?;
        Ok(Self(writer))
    }

    /// Without: it goes on.
    pub fn more(into: W) -> Self {
        Self(csv::Writer::from_writer(into))
    }

    /// One rate.
    pub fn row(&mut self, prefix: Prefix, name: &str, rate: &Rate) -> Result<(), csv::Error> {
        let Rate { per_minute, connect_fee, first_secs, next_secs, min_secs, min_charge, grace_secs, rounding, duration_rounding, periods } =
            rate;
        self.0.write_record([
            prefix.to_string(),
            quoted(name),
            per_minute.to_string(),
            connect_fee.to_string(),
            first_secs.to_string(),
            next_secs.to_string(),
            min_secs.to_string(),
            min_charge.to_string(),
            grace_secs.to_string(),
            periods.to_string(),
            rounding.as_str().to_owned(),
            duration_rounding.as_str().to_owned(),
        ])
    }

    /// All of it is written.
    pub fn end(mut self) -> Result<(), csv::Error> {
        self.0.flush().map_err(csv::Error::from)
    }
}

fn quoted(name: &str) -> String {
    if name.starts_with(FORMULA) || name.starts_with('\'') { format!("'{name}") } else { name.to_owned() }
}
