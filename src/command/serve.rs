//! `callthrough serve`: run until told to stop.

use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Settings, on_runtime};
use crate::app;
use crate::config::{Config, Log, LogFormat};

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    let config = settings.load()?;
    write_log(&config.log)?;
    on_runtime(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let books = config.database_url();
    let running = app::start(config).await.map_err(|error| Failure::other(error.to_string()))?;
    println!("books   {books}");
    println!("http    http://{}", running.http_addr);
    println!("sip     sip:{};transport=udp", running.sip_addr);
    println!("To make the first API key: callthrough key create --name admin");
    told_to_stop().await?;
    running.drain().await;
    Ok(())
}

/// SIGTERM or SIGINT.
async fn told_to_stop() -> Result<(), Failure> {
    let deaf = |error| Failure::other(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(deaf)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(deaf)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Sends the log to standard error as the settings say.
pub(super) fn write_log(log: &Log) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_new(&log.level)
        .map_err(|error| Failure::settings(format!("log.level = \"{}\": {error}. Write error, warn, info or debug", log.level)))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
