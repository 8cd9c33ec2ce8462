//! `callthrough key`: keys for the API.

use super::{Failure, Settings, on_runtime};
use crate::app;
use crate::people::key;
use crate::types::{Clock, Random};

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Key {
    /// Make a key and print it, once; the server may run meanwhile
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
        let config = settings.load()?;
        on_runtime(async {
            app::make_data_dir(&config.data_dir).map_err(|error| Failure::other(error.to_string()))?;
            let database = app::open_books(&config).await.map_err(|error| Failure::other(error.to_string()))?;
            let (_, secret) = key::create(&database, &Clock::system(), &Random::system(), &name)
                .await
                .map_err(|error| Failure::other(format!("the key could not be kept: {error}. Try again")))?;
            eprintln!("The key of {name}. It is shown this once; keep it like a password.");
            println!("{}", secret.expose());
            Ok(())
        })
    }
}
