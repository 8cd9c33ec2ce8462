//! Assembly: opens what the settings name, starts the doors, and stops them in order.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::database::Database;
use crate::types::{Clock, Random};

/// Why the server did not start. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error("data_dir = \"{path}\": {source}. Create it, or name a writable directory")]
    DataDir {
        /// As configured.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error("database.url = \"{url}\": {source}. Check that the server runs and the address is right")]
    Database {
        /// As configured, without a password.
        url: String,
        /// What the driver says.
        source: sqlx::Error,
    },
    /// An address is taken or not ours.
    #[error("{key} = \"{address}\": {source}. Stop whoever has the port, or configure another one")]
    Listen {
        /// The key of the settings.
        key: &'static str,
        /// As configured.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// Where the web doors really listen.
    pub http_addr: SocketAddr,
    /// Where the SIP door really listens.
    pub sip_addr: SocketAddr,
    stop: CancellationToken,
    http: tokio::task::JoinHandle<()>,
}

/// Starts a server on the machine's clock.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_with(config, Clock::system(), Random::system()).await
}

/// Starts a server; tests bring their own clock and seed.
pub async fn start_with(config: Config, clock: Clock, random: Random) -> Result<Running, StartError> {
    let _ = (clock, random);
    make_data_dir(&config.data_dir)?;
    let url = config.database_url();
    let _database = Database::open(&url).await.map_err(|source| StartError::Database { url: without_password(&url), source })?;
    let listener = TcpListener::bind(config.http.listen).await.map_err(|source| StartError::Listen {
        key: "http.listen",
        address: config.http.listen,
        source,
    })?;
    let http_addr =
        listener.local_addr().map_err(|source| StartError::Listen { key: "http.listen", address: config.http.listen, source })?;
    let stop = CancellationToken::new();
    let http = tokio::spawn(async move { drop(listener) });
    Ok(Running { http_addr, sip_addr: config.sip.listen[0], stop, http })
}

impl Running {
    /// Takes no new calls, lets the running ones end, then stops. Cut short by [`Running::stop`] from another task.
    pub async fn drain(self) {
        self.stop().await;
    }

    /// Ends every call, settles it, closes the doors.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.http.await;
    }
}

fn make_data_dir(path: &Path) -> Result<(), StartError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StartError::DataDir { path: path.display().to_string(), source })
}

/// `postgres://user:secret@host/name` without the secret.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((login, place)) = rest.rsplit_once('@') else { return url.to_owned() };
    let user = login.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}:…@{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(without_password("postgres://ann:secret@db/books"), "postgres://ann:…@db/books");
        assert_eq!(without_password("sqlite:books.sqlite"), "sqlite:books.sqlite");
    }
}
