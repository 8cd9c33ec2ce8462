//! `callthrough demo`: the whole story on one machine, and a check of every step against a calculation by hand.

mod api;
mod carrier;
mod checks;
mod ladder;
mod provision;
mod story;

use std::path::PathBuf;

use super::serve::{Signals, write_log};
use super::{Failure, on_runtime};
use crate::app::{self, Running};
use crate::config::{Config, Log, LogFormat};
use crate::people::key;
use crate::types::{Clock, Random};

use api::Api;
use story::Told;

/// Options of the demo.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Exit when the story is told, instead of serving on
    #[arg(long)]
    once: bool,
    /// Show the server's log at this level
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    log: String,
}

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        write_log(&Log { level: self.log, format: LogFormat::Text })?;
        let folder = Folder::new()?;
        on_runtime(tell(&folder, self.once))
    }
}

async fn tell(folder: &Folder, once: bool) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let (clock, random) = (Clock::system(), Random::system());
    let config = config(folder);
    let running = app::start(config).await.map_err(|error| Failure::other(error.to_string()))?;
    let told = tokio::select! {
        told = begin(&running, &clock, &random) => told,
        () = signals.next() => Err(Failure::other("stopped before the story was told")),
    };
    if let (false, Ok(told)) = (once, &told) {
        told.say_what_to_try();
        signals.next().await;
    }
    running.stop().await;
    let wrong = told?.wrong;
    if wrong == 0 { Ok(()) } else { Err(Failure::other(format!("{wrong} steps were not as told"))) }
}

async fn begin(running: &Running, clock: &Clock, random: &Random) -> Result<Told, Failure> {
    let (_, secret) = key::create(&running.database, clock, random, "demo").await.map_err(|error| Failure::other(error.to_string()))?;
    let client = crate::simulate::client().map_err(|error| Failure::other(error.to_string()))?;
    let api = Api::new(client.clone(), format!("http://{}", running.http_addr), secret.expose().to_owned());
    story::tell(running, &api, &client, secret.expose(), clock, random).await
}

/// The defaults, but for what makes the story short and possible on one machine: free ports, a temporary folder, this machine as
/// the trusted proxy, and slices of credit so small that five seconds hold several.
fn config(folder: &Folder) -> Config {
    let mut config = Config { data_dir: folder.0.clone(), ..Config::default() };
    config.http.listen.set_port(0);
    for address in &mut config.sip.listen {
        address.set_port(0);
    }
    config.softphone.trusted_proxies = vec!["127.0.0.1".parse().expect("an address is a block of one")];
    config.ledger.slice_secs = 2;
    config.ledger.min_talk_secs = 1;
    config
}

/// A temporary folder that goes when the demo does.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("callthrough-demo-{}", Random::system().alphanumeric(12)));
        app::make_data_dir(&folder).map_err(|error| Failure::other(error.to_string()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is a temporary folder, which the system clears away.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
