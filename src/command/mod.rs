//! The commands of the program, one file each.

mod check;
mod demo;
mod key;
mod ledger;
mod owner;
mod rate;
mod serve;
mod simulate;
mod sip;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::app;
use crate::config::Config;
use crate::database::Database;

/// A prepaid call-through server: a phone asks over the web, calls an access number, and is connected without a keypad tone.
#[derive(Debug, Parser)]
#[command(name = "callthrough", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(Settings),
    /// Tell the whole story on this machine: provision, request, call, failover, charge
    Demo(demo::Demo),
    /// Validate the settings; print what is relaxed and a sample request for each door
    Check(Settings),
    /// Make keys for the API
    #[command(subcommand)]
    Key(key::Key),
    /// Let the operator's people in
    #[command(subcommand)]
    Owner(owner::Owner),
    /// Play the phone: expand the templates, ask, and print the digits it would dial
    Simulate(simulate::Simulate),
    /// Look at what goes over the wire
    #[command(subcommand)]
    Sip(sip::Sip),
    /// Look after the books
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Ask what calls cost and why
    #[command(subcommand)]
    Rate(rate::Rate),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Where the settings come from.
#[derive(Debug, Clone, clap::Args)]
struct Settings {
    /// Settings file; without one the defaults of config.default.toml hold
    #[arg(long, short, value_name = "FILE", env = "CALLTHROUGH_CONFIG")]
    config: Option<PathBuf>,
}

impl Settings {
    fn load(&self) -> Result<Config, Failure> {
        Config::load(self.config.as_deref()).map_err(|error| Failure::settings(error.to_string()))
    }
}

/// Why a command failed, and with which exit status: 2 for settings, 1 for everything else.
#[derive(Debug)]
struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    fn settings(message: impl Into<String>) -> Self {
        Self { status: 2, message: message.into() }
    }

    fn other(message: impl Into<String>) -> Self {
        Self { status: 1, message: message.into() }
    }
}

/// Reads the command line and obeys.
pub fn main() -> ExitCode {
    match obey(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, message }) => {
            eprintln!("callthrough: {message}");
            ExitCode::from(status)
        }
    }
}

fn obey(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(settings) => serve::run(&settings),
        Command::Demo(demo) => demo.run(),
        Command::Check(settings) => check::run(&settings),
        Command::Key(key) => key.run(),
        Command::Owner(owner) => owner.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Sip(sip) => sip.run(),
        Command::Ledger(ledger) => ledger.run(),
        Command::Rate(rate) => rate.run(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "callthrough", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// Runs `work` on the tokio runtime.
fn on_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("cannot start the runtime: {error}. Check the limits on threads and files")))?;
    runtime.block_on(work)
}

/// Opens the books of a server that has run; a missing file is not made.
async fn open_existing(config: &Config) -> Result<Database, Failure> {
    let url = config.database_url();
    if let Some(file) = url.strip_prefix("sqlite:").map(|rest| rest.split('?').next().unwrap_or_default())
        && !std::path::Path::new(file).exists()
    {
        return Err(Failure::other(format!("there are no books at {file}: start the server once, or name its settings with --config")));
    }
    app::open_books(config).await.map_err(|error| Failure::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
