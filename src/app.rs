//! Assembly: opens what the settings name, starts the doors, and stops them in order.

use std::io;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::b2bua::books::{Books, Setup};
use crate::b2bua::{self, Wiring};
use crate::callthrough::{Desk, Inventory};
use crate::config::Config;
use crate::database::Database;
use crate::geoip::{GeoIp, GeoIpError};
use crate::http::softphone::{Door, House};
use crate::http::{self, TlsError, softphone};
use crate::jobs::{self, Watch};
use crate::media::{Engine, Homes, Library, PromptError};
use crate::people::invitation;
use crate::rating;
use crate::sip::{Endpoint, Resolver};
use crate::subscriber::credential::Sealer;
use crate::trace::Trace;
use crate::trunk::Trunks;
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
    /// A file that holds a secret.
    #[error("{key}: {path}: {problem}")]
    SecretFile {
        /// The key of the settings.
        key: &'static str,
        /// As configured.
        path: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The database cannot be opened.
    #[error("database.url = \"{url}\": {source}. Check that the server runs and the address is right")]
    Database {
        /// As configured, without a password.
        url: String,
        /// What the driver says.
        source: sqlx::Error,
    },
    /// The books are open but cannot be read.
    #[error("the books cannot be read: {source}. Run `callthrough ledger verify`, or restore a backup")]
    Books {
        /// What the room says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No SIP address.
    #[error("sip.listen is empty: name at least one address, such as \"127.0.0.1:5060\"")]
    NoSip,
    /// The certificates.
    #[error("http.tls_certificate, http.tls_key: {0}")]
    Tls(#[from] TlsError),
    /// The certificates of the SIP door.
    #[error("sip.tls: {0}")]
    SipTls(#[from] crate::sip::TlsError),
    /// The GeoIP file.
    #[error("geoip.file: {0}")]
    GeoIp(#[from] GeoIpError),
    /// A prompt of the operator's.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// An address is taken or not ours.
    #[error("{key} = \"{address}\": {source}. Stop whoever has the port, or configure another one")]
    Listen {
        /// The key of the settings.
        key: &'static str,
        /// As configured.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// A running server.
pub struct Running {
    /// Where the web doors really listen.
    pub http_addr: SocketAddr,
    /// Where the SIP door really listens.
    pub sip_addr: SocketAddr,
    /// The calls that are up.
    pub calls: b2bua::Handle,
    /// The books, for those who look into them beside the server: tests and the demo.
    pub database: Database,
    /// The one-time link by which the first owner is made, below the server's address; none once there is one.
    pub welcome: Option<String>,
    trace: Trace,
    clock: Clock,
    stop: CancellationToken,
    http: JoinHandle<()>,
    jobs: JoinSet<()>,
}

/// Starts a server on the machine's clock.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_with(config, Clock::system(), Random::system()).await
}

/// Starts a server; tests bring their own clock and seed.
pub async fn start_with(config: Config, clock: Clock, random: Random) -> Result<Running, StartError> {
    check(&config)?;
    make_data_dir(&config.data_dir)?;
    let sealer = master_key(&config, &random)?;
    let database = open_books(&config).await?;
    let fault = |source| StartError::Books { source };
    let decks = rating::Decks::default();
    rating::store::refresh(&database, &decks, &config.rating, clock.timestamp()).await.map_err(|error| fault(Box::new(error)))?;
    crate::fraud::store::refresh(&database, &config.callthrough.rules).await.map_err(|error| fault(Box::new(error)))?;
    let resolver = Resolver::by_servers(&config.sip.dns, clock.clone());
    let trunks = Trunks::load_with(&database, clock.clone(), resolver.clone(), Some(sealer.clone())).await;
    let trunks = trunks.map_err(|error| fault(Box::new(error)))?;
    let start = clock.timestamp();
    let expired = database.write(move |tx| Box::pin(crate::callthrough::store::expire(tx, start))).await;
    expired.map_err(|error| fault(Box::new(error)))?;
    let geoip = GeoIp::open(&config.geoip);

    // Both doors are bound before either opens: a busy port stops the start before a call is taken.
    let busy = |source| StartError::Listen { key: "http.listen", address: config.http.listen.to_string(), source };
    let listener = TcpListener::bind(config.http.listen).await.map_err(busy)?;
    let http_addr = listener.local_addr().map_err(busy)?;
    let certificates = config.http.certificates()?;
    let (trace, tap) = Trace::start(&config.trace, database.clone(), clock.clone());
    let (endpoint, incoming) = Endpoint::start_tapped(config.sip.clone(), clock.clone(), random.clone(), resolver, Some(tap))
        .await
        .map_err(|source| StartError::Listen { key: "sip.listen", address: format!("{:?}", config.sip.listen), source })?;
    let sip_addr = *endpoint.local_addresses().first().ok_or(StartError::NoSip)?;

    let setup =
        Setup { node: config.node.clone(), spool: config.spool(), ledger: config.ledger.clone(), callthrough: config.callthrough.clone() };
    let books = Books::new(database.clone(), decks.clone(), clock.clone(), random.clone(), setup);
    let locals: Vec<_> = endpoint.local_addresses().iter().map(SocketAddr::ip).collect();
    let homes = Homes::new(&config.media, &locals, &config.sip.advertise);
    let calls = b2bua::start(Wiring {
        config: config.calls.clone(),
        callthrough: config.callthrough.clone(),
        database: database.clone(),
        books: books.clone(),
        trunks: trunks.clone(),
        media: Engine::new(&config.media, homes, clock.clone(), random.clone())?,
        endpoint,
        incoming,
        trace: trace.clone(),
        advertise: config.sip.advertise.clone(),
        clock: clock.clone(),
        random: random.clone(),
    })
    .await;
    let proxies = config.softphone.trusted_proxies.clone();
    let gate = http::Gate::new(&clock, &random, &config.credentials, config.http.requests_a_minute, proxies);
    let state = http::State {
        database: database.clone(),
        clock: clock.clone(),
        random,
        trunks,
        trace: trace.clone(),
        decks,
        imports: rating::import::Imports::default(),
        rating: config.rating,
        ledger: config.ledger,
        credentials: config.credentials,
        sealer: Some(sealer),
        rules: config.callthrough.rules.clone(),
        calls: calls.clone(),
        gate,
    };
    let desk = Desk {
        database: database.clone(),
        decks: state.decks.clone(),
        geoip: geoip.clone(),
        availability: Arc::new(House::new(state.trunks.clone(), calls.clone(), state.clock.clone())),
        clock: state.clock.clone(),
        random: state.random.clone(),
        config: config.callthrough,
        ledger: state.ledger.clone(),
        inventory: Inventory::default(),
    };
    let nonce_memory_hours = config.softphone.auth.nonce_memory_hours;
    let door = Door::new(desk, config.softphone, &state.credentials, state.sealer.clone());
    let (house, chance) = (state.clock.clone(), state.random.clone());
    let welcome = database.write(move |tx| Box::pin(async move { invitation::welcome(tx, &house, &chance).await }));
    let welcome = welcome.await.map_err(|error| fault(Box::new(error)))?.map(|token| invitation::path(&token));
    let stop = CancellationToken::new();
    let jobs = jobs::start(
        &Watch { config: config.jobs, traces_kept_days: config.trace.kept_days, web: state.clone(), books, geoip, nonce_memory_hours },
        &stop,
    );
    let router = http::router(state, softphone::router(door));
    let http = tokio::spawn(http::serve(listener, certificates, router, config.http.bounds(), stop.clone()));
    Ok(Running { http_addr, sip_addr, calls, database, welcome, trace, clock, stop, http, jobs })
}

impl Running {
    /// Takes no new calls, waits up to `patience` for the running ones, then ends what is left.
    pub async fn drain(&self, patience: Duration) {
        self.calls.drain(patience).await;
    }

    /// Ends every call and writes it down, closes the doors, sends the night watch home.
    pub async fn stop(mut self) {
        self.drain(Duration::ZERO).await;
        self.trace.flush(&self.clock).await;
        self.stop.cancel();
        // A door or a job that panicked has said so in the log.
        let _ = self.http.await;
        while self.jobs.join_next().await.is_some() {}
        self.database.close().await;
    }
}

/// Makes the data directory, for its owner only.
pub fn make_data_dir(path: &Path) -> Result<(), StartError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StartError::DataDir { path: path.display().to_string(), source })
}

/// What can be said about the settings without starting: files are there and sound, secrets are secret.
pub fn check(config: &Config) -> Result<(), StartError> {
    config.http.certificates()?;
    Endpoint::check(&config.sip)?;
    if let Some(file) = &config.geoip.file {
        GeoIp::check(file)?;
    }
    Library::open(config.media.prompts.as_deref())?;
    match read_secret(&config.master_key()) {
        Ok(bytes) => drop(Sealer::from_key_file(&bytes).map_err(|error| wrong_key(config, error.to_string()))?),
        Err(ReadSecret::Missing) => {}
        Err(ReadSecret::Problem(problem)) => return Err(wrong_key(config, problem)),
    }
    Ok(())
}

fn wrong_key(config: &Config, problem: String) -> StartError {
    StartError::SecretFile { key: "master_key_file", path: config.master_key().display().to_string(), problem }
}

/// Opens the database of the books and brings its tables up to date.
pub async fn open_books(config: &Config) -> Result<Database, StartError> {
    Database::open(&config.database_url()).await.map_err(|source| StartError::Database { url: config.shown_database_url(), source })
}

/// The key that seals secrets, made at the first start. It lives outside the database, so that a stolen copy of the books opens
/// nothing.
pub fn master_key(config: &Config, random: &Random) -> Result<Sealer, StartError> {
    let path = config.master_key();
    let told = |problem: String| wrong_key(config, problem);
    let bytes = match read_secret(&path) {
        Ok(bytes) => bytes,
        Err(ReadSecret::Missing) => {
            let mut key = [0; 32];
            random.fill(&mut key);
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .map_err(|error| told(format!("cannot be made: {error}. Make the directory writable, or name another file")))?;
            file.write_all(&key)
                .and_then(|()| file.sync_all())
                .map_err(|error| told(format!("cannot be written: {error}. Make room, then remove the file")))?;
            key.to_vec()
        }
        Err(ReadSecret::Problem(problem)) => return Err(told(problem)),
    };
    Sealer::from_key_file(&bytes).map_err(|error| told(error.to_string()))
}

/// Why a file with a secret was not read.
enum ReadSecret {
    Missing,
    Problem(String),
}

/// Reads a file that nobody else may read.
fn read_secret(path: &Path) -> Result<Vec<u8>, ReadSecret> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ReadSecret::Missing,
        _ => ReadSecret::Problem(format!("cannot be read: {error}. Check its owner and mode")),
    };
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(ReadSecret::Problem(format!("everybody on this machine may read it (mode {:03o}): chmod 600 it", mode & 0o777)));
    }
    std::fs::read(path).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_in(folder: &Path) -> Config {
        Config { data_dir: folder.to_owned(), ..Config::default() }
    }

    #[test]
    fn the_master_key_is_made_once_and_nobody_else_may_read_it() {
        let folder = std::env::temp_dir().join(format!("callthrough-key-{}", Random::system().alphanumeric(12)));
        make_data_dir(&folder).unwrap();
        let config = config_in(&folder);
        let sealed = master_key(&config, &Random::seeded(1)).unwrap().seal("secret", &Random::seeded(2));
        assert!(master_key(&config, &Random::seeded(3)).unwrap().open(&sealed).is_ok(), "the second start finds the same key");
        let file = config.master_key();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = master_key(&config, &Random::seeded(1)).unwrap_err().to_string();
        assert!(error.contains("master_key_file") && error.contains("644") && error.contains("chmod 600"), "{error}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&file, "short").unwrap();
        assert!(master_key(&config, &Random::seeded(1)).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
