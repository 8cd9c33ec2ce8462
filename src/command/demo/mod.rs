//! `callthrough demo`: the whole story on one machine.

mod carrier;
mod ladder;

use super::Failure;

/// Options of the demo.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Exit when the story is told, instead of serving on
    #[arg(long)]
    once: bool,
}

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        Err(Failure::other(format!("the demo (once: {}) is not told yet", self.once)))
    }
}
