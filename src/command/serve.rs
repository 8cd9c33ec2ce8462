//! `callthrough serve`: run until told to stop.

use std::io::Write;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, Settings, on_runtime};
use crate::app;
use crate::config::{Config, Log, LogFormat};

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    let config = settings.load()?;
    write_log(&config.log)?;
    allow_open_files();
    on_runtime(serve(config))
}

/// A relayed call has four sockets; the system's usual limit is meant for other programs. What it lets us have at most is taken.
fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::warn!(current, "the limit of open files could not be raised; a relayed call takes four");
    }
}

async fn serve(config: Config) -> Result<(), Failure> {
    let (books, patience) = (config.shown_database_url(), Duration::from_secs(u64::from(config.drain_secs)));
    let secure = config.http.certificates().is_ok_and(|certificates| certificates.is_some());
    for line in config.relaxed() {
        tracing::warn!("relaxed: {line}");
    }
    let mut signals = Signals::listen()?;
    let running = app::start(config).await.map_err(|error| Failure::other(error.to_string()))?;
    println!("books  {books}");
    println!("http   {}://{}", if secure { "https" } else { "http" }, running.http_addr);
    println!("sip    sip:{};transport=udp", running.sip_addr);
    let web = format!("{}://{}", if secure { "https" } else { "http" }, running.http_addr);
    match &running.welcome {
        Some(path) => println!("Nobody can sign in yet. To make the first owner, open this link within 24 hours, once: {web}{path}"),
        None => println!("admin  {web}/admin"),
    }
    println!("To make the first key of the API: callthrough key create --name admin");
    signals.next().await;
    if running.calls.count() > 0 {
        println!("Waiting up to {} s for {} calls to end; a second signal ends them now.", patience.as_secs(), running.calls.count());
    }
    tokio::select! {
        () = running.drain(patience) => {}
        () = signals.next() => {}
    }
    running.stop().await;
    println!("Stopped.");
    Ok(())
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let deaf = |error| Failure::other(format!("cannot listen for signals: {error}. Check the system's limits"));
        Ok(Self { terminate: signal(SignalKind::terminate()).map_err(deaf)?, interrupt: signal(SignalKind::interrupt()).map_err(deaf)? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Standard error for the log: what cannot be written, as on a full disk, is lost. Whoever writes a line does not hear of it.
struct Patient(std::io::Stderr);

impl Write for Patient {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// Sends the log to standard error as the settings say.
pub(super) fn write_log(log: &Log) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_new(&log.level)
        .map_err(|error| Failure::settings(format!("log.level = \"{}\": {error}. Write error, warn, info or debug", log.level)))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Patient(std::io::stderr()));
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
