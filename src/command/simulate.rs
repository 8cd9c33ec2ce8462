//! `callthrough simulate`: play the phone.

use super::Failure;

/// Options of the simulated phone.
#[derive(Debug, clap::Args)]
pub(super) struct Simulate {
    /// The number the user wants to reach
    #[arg(long, value_name = "NUMBER")]
    target: String,
}

impl Simulate {
    pub(super) fn run(self) -> Result<(), Failure> {
        Err(Failure::other(format!("cannot ask for {} yet", self.target)))
    }
}
