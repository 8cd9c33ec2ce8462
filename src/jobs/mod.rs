//! The night watch: expire, reconcile, refresh.
//!
//! Each job is a plain function in a file of its own that does its round once; the watch calls it again and again until told to
//! stop. A round that fails is named in the log and tried again the next time.

mod books;
mod clock;
pub mod fraud;
mod refresh;
mod reservations;
mod stats;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::b2bua::books::Books;
use crate::geoip::GeoIp;
use crate::http;

/// Reservations past their grace are marked this often.
const EXPIRE_EVERY: Duration = Duration::from_secs(5);
/// Old rows are forgotten this often.
const FORGET_EVERY: Duration = Duration::from_secs(600);
/// Records that wait for the database are offered to it this often.
const REPLAY_EVERY: Duration = Duration::from_secs(5);
/// Files are looked at, and names in the DNS asked for, this often.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// Decks of other nodes are looked for this often; a version also becomes valid at its time without it.
const DECKS_EVERY: Duration = Duration::from_secs(10);

/// What looks like fraud is told of this often.
const FRAUD_EVERY: Duration = Duration::from_secs(2);
/// What has happened is added up this often.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// What phones asked for is added up this often.
const COUNT_REQUESTS_EVERY: Duration = Duration::from_secs(60);

/// How long things are kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Reservations after their end.
    pub reservations_kept_hours: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { reservations_kept_hours: 24 }
    }
}

/// What the watch looks after.
#[derive(Clone)]
pub struct Watch {
    /// How long things are kept.
    pub config: Config,
    /// What the doors work with: the database, the carriers, the prices, the time.
    pub web: http::State,
    /// How long the messages of calls are kept (`trace.kept_days`).
    pub traces_kept_days: u32,
    /// The books of calls.
    pub books: Books,
    /// Where addresses are.
    pub geoip: GeoIp,
    /// How long nonces are remembered (`softphone.auth.nonce_memory_hours`).
    pub nonce_memory_hours: u32,
}

/// Starts the rounds; they end when `stop` is cancelled.
pub fn start(watch: &Watch, stop: &CancellationToken) -> JoinSet<()> {
    let mut rounds = JoinSet::new();
    let mut every = |period, name, round: fn(Watch) -> Round| {
        rounds.spawn(repeat(period, name, watch.clone(), round, stop.clone()));
    };
    every(EXPIRE_EVERY, "watch the clock", |watch| {
        clock::look(&watch);
        Box::pin(std::future::ready(Ok(())))
    });
    every(EXPIRE_EVERY, "expire reservations", |watch| Box::pin(reservations::expire(watch)));
    every(FORGET_EVERY, "forget old rows", |watch| Box::pin(reservations::forget(watch)));
    every(FORGET_EVERY, "forget nonces", |watch| Box::pin(reservations::forget_nonces(watch)));
    every(FORGET_EVERY, "forget answers of the API", |watch| Box::pin(refresh::answers(watch)));
    every(FORGET_EVERY, "forget messages of calls", |watch| Box::pin(refresh::traces(watch)));
    every(REPLAY_EVERY, "replay call records", |watch| Box::pin(books::replay(watch)));
    every(COUNT_EVERY, "count calls", |watch| Box::pin(stats::count(watch)));
    every(COUNT_REQUESTS_EVERY, "count requests", |watch| Box::pin(stats::count_requests(watch)));
    every(FORGET_EVERY, "sweep imports", |watch| Box::pin(refresh::imports(watch)));
    every(DECKS_EVERY, "refresh decks", |watch| Box::pin(refresh::decks(watch)));
    every(FRAUD_EVERY, "tell of fraud", |watch| Box::pin(fraud_round(watch)));
    every(DECKS_EVERY, "refresh rules", |watch| Box::pin(refresh::rules(watch)));
    every(REFRESH_EVERY, "refresh trunks", |watch| Box::pin(refresh::trunks(watch)));
    every(REFRESH_EVERY, "refresh GeoIP data", |watch| Box::pin(refresh::geoip(watch)));
    rounds
}

async fn fraud_round(watch: Watch) -> Result<(), JobError> {
    Ok(fraud::tell(&watch.web).await?)
}

/// One round of a job.
type Round = std::pin::Pin<Box<dyn Future<Output = Result<(), JobError>> + Send>>;

/// Why a round failed; the log says it.
#[derive(Debug)]
struct JobError(String);

impl<E: std::error::Error> From<E> for JobError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

async fn repeat(period: Duration, name: &'static str, watch: Watch, round: fn(Watch) -> Round, stop: CancellationToken) {
    let clock = watch.web.clock.clone();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep_until(clock.now() + period) => {}
        }
        if let Err(error) = round(watch.clone()).await {
            tracing::warn!(job = name, %error, "a round of the night watch failed; it is tried again");
        }
    }
}
