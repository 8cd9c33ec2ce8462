//! `callthrough ledger`: look after the books.

use super::{Failure, Settings};

/// What to do with the books.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Ledger {
    /// Recompute every balance, hold and chain; print what disagrees
    Verify(Settings),
}

impl Ledger {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Verify(settings) = self;
        let _config = settings.load()?;
        Err(Failure::other("the books are not read yet"))
    }
}
