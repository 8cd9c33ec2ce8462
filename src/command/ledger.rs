//! `callthrough ledger`: look after the books.

use super::{Failure, Settings, on_runtime, open_existing};
use crate::ledger;
use crate::types::Clock;

/// What to do with the books.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Ledger {
    /// Recompute every balance, hold and chain; print what disagrees
    Verify(Settings),
}

impl Ledger {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Verify(settings) = self;
        let config = settings.load()?;
        on_runtime(async {
            let database = open_existing(&config).await?;
            match ledger::verify(&database, Clock::system().timestamp()).await.map_err(|error| Failure::other(error.to_string()))? {
                Ok(counts) => {
                    println!(
                        "The books add up: {} accounts, {} postings, {} holds ({} open), {} call records.",
                        counts.accounts, counts.postings, counts.holds, counts.open_holds, counts.records
                    );
                    Ok(())
                }
                Err(finding) => Err(Failure::other(format!("the books do not add up. {finding}"))),
            }
        })
    }
}
