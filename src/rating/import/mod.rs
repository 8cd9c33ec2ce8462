//! Rate decks from CSV: read, check, compare, apply.
//!
//! A dry run reads the whole file, lists every bad line with its reason, and tells what would change; applying it needs the
//! fingerprint that the dry run printed, so that what goes live is what somebody looked at. A version is written piece by
//! piece, seen by nobody, and switched on whole; what a crash leaves behind is swept away.

mod apply;
mod cell;
mod compare;
mod format;
mod heading;
mod held;
mod read;
mod write;

use std::sync::atomic::{AtomicU64, Ordering};

pub use apply::{Also, Apply, apply, apply_with, fingerprint, roll_back, sweep};
pub use compare::{Change, Comparison, Counts, List, Report, Rules, dry_run};
pub use format::{Columns, DecimalMark, Format, Separator, Thousands};
pub use held::{Checked, Held, Imports, State, TooMany};
pub use read::{BAD_LINES_LISTED, Sheet, read, read_with};
pub use write::{Writer, write};

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

/// How far an import is; read by others while it goes on.
#[derive(Debug, Default)]
pub struct Progress {
    read: AtomicU64,
    written: AtomicU64,
}

impl Progress {
    fn read(&self, rows: u64) {
        self.read.fetch_add(rows, Ordering::Relaxed);
    }

    fn written(&self, rows: u64) {
        self.written.fetch_add(rows, Ordering::Relaxed);
    }

    /// Lines that were read.
    pub fn rows_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Rates that were written.
    pub fn rows_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
