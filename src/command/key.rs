//! `callthrough key`: keys for the API.

use super::{Failure, Settings};

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Key {
    /// Make a key and print it, once
    Create {
        /// Whose key it is, for lists and logs
        #[arg(long)]
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
}

impl Key {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Create { name, settings } = self;
        let _config = settings.load()?;
        Err(Failure::other(format!("no key for {name} yet")))
    }
}
