//! The two databases behind one door: SQLite embedded, PostgreSQL when several nodes share the books.
//!
//! Statements are one set for both (see `migrations/`). Reading borrows a connection of a pool. Writing hands over a piece of
//! work that gets one transaction's worth of promise: all of it or none of it, durable before the answer.
//! On SQLite one writer takes the pieces that are waiting, runs each in a savepoint of one `begin immediate` transaction and
//! commits once, so that a hundred calls share one fsync. PostgreSQL groups commits by itself; there each piece is a
//! transaction of its own, and rows are locked by updating them.

use std::borrow::Cow;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::any::{AnyPoolOptions, AnyRow, install_default_drivers};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Either, Executor as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Pieces of work that may wait for the writer; one more is refused with [`sqlx::Error::PoolTimedOut`].
const WRITE_QUEUE: usize = 8192;
/// Pieces of work that share one commit.
const WRITE_GROUP: usize = 256;
/// How long the first piece of a group waits for company.
const GATHER: Duration = Duration::from_millis(2);
/// Reading connections.
const READERS: u32 = 4;
/// Connections to PostgreSQL, reading and writing.
const POSTGRES_CONNECTIONS: u32 = 24;
/// How long a reader waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(2);
/// How long a statement of PostgreSQL waits for a row or a table that somebody else has locked; SQLite's busy_timeout is the same.
const LOCK_WAIT: &str = "set lock_timeout = '2s'";
/// How long a connection may take to say that it lives; then another is tried within the same wait.
const PING: Duration = Duration::from_millis(900);
/// How long a connection may take to be fit for the next one; then it is closed. A network that swallows what is sent would
/// keep it from the pool until the system gives it up, a quarter of an hour later.
const HAND_BACK: Duration = Duration::from_secs(5);

/// What rooms above the stores call the driver's words by.
pub use sqlx::{AnyConnection as Connection, Error};

/// Which of the two it is; the few statements that must differ ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One file beside us.
    Sqlite,
    /// A shared server.
    Postgres,
}

/// Work that borrows the connection of the transaction it runs in.
pub type Work<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// The books' database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    kind: Kind,
    pool: AnyPool,
    writer: Option<Writer>,
}

/// SQLite's one writer: the queue to it, and the pool its connection is from.
#[derive(Clone)]
struct Writer {
    pieces: mpsc::Sender<Box<dyn Piece>>,
    pool: AnyPool,
}

impl Database {
    /// Opens `url` (`sqlite:FILE` or `postgres://…`), creates the file if it is missing, and brings the tables up to date.
    pub async fn open(url: &str) -> Result<Self, sqlx::Error> {
        install_default_drivers();
        let kind = if url.starts_with("postgres") { Kind::Postgres } else { Kind::Sqlite };
        match kind {
            Kind::Postgres => {
                // Who brings the tables up to date waits for whoever does it already.
                let first = AnyPoolOptions::new().max_connections(1).connect(url).await?;
                migrate(&first, kind).await?;
                first.close().await;
                let pool = AnyPoolOptions::new()
                    .max_connections(POSTGRES_CONNECTIONS)
                    .acquire_timeout(ACQUIRE)
                    .after_connect(|connection, _| Box::pin(async { connection.execute(LOCK_WAIT).await.map(drop) }))
                    .test_before_acquire(false)
                    .before_acquire(|connection, _| {
                        Box::pin(async { timeout(PING, connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true) })
                    })
                    .connect(url)
                    .await?;
                Ok(Self { kind, pool, writer: None })
            }
            Kind::Sqlite => {
                let url = if url.contains('?') { url.to_owned() } else { format!("{url}?mode=rwc") };
                let writing = sqlite_pool(&url, 1).await?;
                migrate(&writing, kind).await?;
                let pool = sqlite_pool(&url, READERS).await?;
                let (sender, pieces) = mpsc::channel(WRITE_QUEUE);
                start_writer(writing.clone(), pieces).map_err(sqlx::Error::Io)?;
                Ok(Self { kind, pool, writer: Some(Writer { pieces: sender, pool: writing }) })
            }
        }
    }

    /// Closes the connections once their work is done; whoever asks after that gets an error. On SQLite the last to close
    /// leaves one tidy file behind.
    pub async fn close(&self) {
        self.pool.close().await;
        if let Some(writer) = &self.writer {
            writer.pool.close().await;
        }
    }

    /// Which database this is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// A connection for reading. Whoever writes uses [`Database::write`].
    pub async fn read(&self) -> Result<Borrowed, sqlx::Error> {
        Ok(Borrowed(self.pool.acquire().await?))
    }

    /// Runs `work` in a transaction: an `Err` undoes all of it, an `Ok` is durable when this returns.
    ///
    /// Once handed over the work may run even if the caller stops waiting; a caller with a deadline spawns the write and
    /// deals with a late success.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut AnyConnection) -> Work<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
    {
        let Some(writer) = &self.writer else {
            let mut connection = self.read().await?;
            let mut tx = connection.begin().await?;
            let done = work(&mut tx).await?;
            tx.commit().await?;
            return Ok(done);
        };
        let (answer, answered) = oneshot::channel();
        let piece = WorkAndAnswer { work: Some(work), outcome: None, answer };
        writer.pieces.try_send(Box::new(piece)).map_err(|_| sqlx::Error::PoolTimedOut)?;
        answered.await.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
    }
}

/// A connection that goes back to the pool when it is dropped, or is closed if that takes too long.
#[derive(Debug)]
pub struct Borrowed(PoolConnection<Any>);

impl Deref for Borrowed {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.0
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.0
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(HAND_BACK, self.0.return_to_pool()));
        }
    }
}

async fn sqlite_pool(url: &str, connections: u32) -> Result<AnyPool, sqlx::Error> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection
                    .execute(
                        "pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 2000; pragma foreign_keys = on;
                         pragma temp_store = memory; pragma cache_size = -32768; pragma wal_autocheckpoint = 4000;",
                    )
                    .await?;
                Ok(())
            })
        })
        .connect(url)
        .await
}

async fn migrate(pool: &AnyPool, kind: Kind) -> Result<(), sqlx::Error> {
    sqlx::migrate!("./migrations").run(pool).await?;
    let own_words = match kind {
        Kind::Sqlite => include_str!("../migrations/sqlite/append_only.sql"),
        Kind::Postgres => include_str!("../migrations/postgres/append_only.sql"),
    };
    sqlx::raw_sql(own_words).execute(pool).await.map(drop)
}

/// Statements that do not look at each other's answers. SQLite takes them in one go, which saves a
/// trip to its thread for each; PostgreSQL takes them one after the other. Each statement counts its own `$1`, `$2`, ….
#[derive(Debug, Default)]
pub struct Script(Vec<(Cow<'static, str>, Vec<Value>)>);

/// One argument of a statement.
#[derive(Debug, Clone)]
pub enum Value {
    /// A number, a time, a yes or no.
    Number(Option<i64>),
    /// A text or an id.
    Text(Option<String>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl Script {
    /// Appends a statement.
    pub fn add(&mut self, sql: impl Into<Cow<'static, str>>, values: impl Into<Vec<Value>>) {
        self.0.push((sql.into(), values.into()));
    }

    /// All of them as one statement, for SQLite.
    fn in_one(self) -> Query<'static> {
        let mut sql = String::with_capacity(self.0.iter().map(|step| step.0.len() + 64).sum());
        let mut values = Vec::new();
        for (step, own) in self.0 {
            renumber(&step, values.len(), &mut sql);
            sql.push(';');
            values.extend(own);
        }
        bind(sqlx::query(sqlx::AssertSqlSafe(sql)), values)
    }

    /// Runs all of them, or stops at the first that fails, and gives the rows of each.
    pub async fn ask(self, connection: &mut AnyConnection) -> Result<Vec<Vec<AnyRow>>, sqlx::Error> {
        let mut answers = Vec::with_capacity(self.0.len());
        if connection.backend_name() == "SQLite" {
            let mut rows = Vec::new();
            let mut steps = connection.fetch_many(self.in_one());
            while let Some(step) = steps.try_next().await? {
                match step {
                    Either::Right(row) => rows.push(row),
                    Either::Left(_) => answers.push(std::mem::take(&mut rows)),
                }
            }
            return Ok(answers);
        }
        for (sql, values) in self.0 {
            answers.push(bind(sqlx::query(sqlx::AssertSqlSafe(sql)), values).fetch_all(&mut *connection).await?);
        }
        Ok(answers)
    }

    /// Runs all of them, or stops at the first that fails.
    pub async fn run(self, tx: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if tx.backend_name() == "SQLite" {
            return self.in_one().execute(tx).await.map(drop);
        }
        for (sql, values) in self.0 {
            bind(sqlx::query(sqlx::AssertSqlSafe(sql)), values).execute(&mut *tx).await?;
        }
        Ok(())
    }
}

/// A statement of either database.
pub type Query<'q> = sqlx::query::Query<'q, Any, sqlx::any::AnyArguments>;

/// Binds values in their order: for statements that are put together.
pub fn bind(query: Query<'_>, values: Vec<Value>) -> Query<'_> {
    values.into_iter().fold(query, |query, value| match value {
        Value::Number(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
    })
}

/// Copies `sql` with every `$n` raised by `by`.
fn renumber(sql: &str, by: usize, into: &mut String) {
    use std::fmt::Write as _;
    let mut parts = sql.split('$');
    into.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = part[..digits].parse().unwrap_or(0);
        write!(into, "${}{}", number + by, &part[digits..]).expect("a string takes all");
    }
}

/// A piece of work whose types the writer need not know.
trait Piece: Send {
    /// Runs the work and keeps its outcome; true if it is to be kept.
    fn run<'c>(&'c mut self, connection: &'c mut AnyConnection) -> Work<'c, bool>;
    /// Tells the outcome, or the fault that undid the whole group.
    fn tell(self: Box<Self>, fault: Option<&sqlx::Error>);
}

struct WorkAndAnswer<F, T, E> {
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Piece for WorkAndAnswer<F, T, E>
where
    F: for<'c> FnOnce(&'c mut AnyConnection) -> Work<'c, Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<sqlx::Error> + Send + 'static,
{
    fn run<'c>(&'c mut self, connection: &'c mut AnyConnection) -> Work<'c, bool> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return false };
            let outcome = work(connection).await;
            let keep = outcome.is_ok();
            self.outcome = Some(outcome);
            keep
        })
    }

    fn tell(self: Box<Self>, fault: Option<&sqlx::Error>) {
        let outcome = match (fault, self.outcome) {
            (None, Some(outcome)) => outcome,
            // The work itself failed: its own error says more than the group's.
            (Some(_), Some(Err(error))) => Err(error),
            (Some(fault), _) => Err(sqlx::Error::Protocol(format!("the group was undone: {fault}")).into()),
            (None, None) => Err(sqlx::Error::WorkerCrashed.into()),
        };
        // Nobody waits any more: the caller's deadline passed and it deals with that.
        let _ = self.answer.send(outcome);
    }
}

/// The writer has a thread of its own: each statement is a trip to SQLite's thread and back, and from thread to thread that is
/// cheaper than by way of the runtime.
fn start_writer(pool: AnyPool, mut pieces: mpsc::Receiver<Box<dyn Piece>>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let mut group = Vec::with_capacity(WRITE_GROUP);
        while let Some(first) = pieces.blocking_recv() {
            group.push(first);
            if pieces.is_empty() {
                std::thread::sleep(GATHER);
            }
            while group.len() < WRITE_GROUP
                && let Ok(next) = pieces.try_recv()
            {
                group.push(next);
            }
            runtime.block_on(write_group(&pool, &mut group));
        }
    };
    std::thread::Builder::new().name("books-writer".to_owned()).spawn(work).map(drop)
}

async fn write_group(pool: &AnyPool, group: &mut Vec<Box<dyn Piece>>) {
    let fault = commit_group(pool, group).await.err();
    if let Some(fault) = &fault {
        tracing::error!(%fault, pieces = group.len(), "a group of writes was undone");
    }
    for piece in group.drain(..) {
        piece.tell(fault.as_ref());
    }
}

async fn commit_group(pool: &AnyPool, group: &mut [Box<dyn Piece>]) -> Result<(), sqlx::Error> {
    let mut connection = match pool.try_acquire() {
        Some(connection) => connection,
        None => pool.acquire().await?,
    };
    let done = in_one_transaction(&mut connection, group).await;
    if done.is_err() {
        // On a full disk SQLite has undone the transaction by itself, and the driver does not know: every later one would fail.
        let _ = connection.close().await;
    }
    done
}

async fn in_one_transaction(connection: &mut AnyConnection, group: &mut [Box<dyn Piece>]) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin_with("begin immediate").await?;
    if let [piece] = group {
        return if piece.run(&mut tx).await { tx.commit().await } else { tx.rollback().await };
    }
    let mut between = "savepoint piece";
    for piece in group {
        tx.execute(between).await?;
        between =
            if piece.run(&mut tx).await { "release piece; savepoint piece" } else { "rollback to piece; release piece; savepoint piece" };
    }
    if between.starts_with("rollback") {
        tx.execute("rollback to piece").await?;
    }
    // The last savepoint goes with the commit.
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn count(database: &Database) -> i64 {
        let mut connection = database.read().await.unwrap();
        sqlx::query_scalar("select count(*) from api_key").fetch_one(&mut *connection).await.unwrap()
    }

    fn insert(connection: &mut AnyConnection, id: i64) -> Work<'_, Result<(), sqlx::Error>> {
        Box::pin(async move {
            sqlx::query("insert into api_key (id, name, digest, created_at_us) values ($1, 'test', $1, 0)")
                .bind(id.to_string())
                .execute(connection)
                .await
                .map(drop)
        })
    }

    #[test]
    fn each_statement_of_a_script_keeps_its_own_arguments() {
        let mut sql = String::new();
        renumber("select $1, $12 from x where y = $2", 3, &mut sql);
        assert_eq!(sql, "select $4, $15 from x where y = $5");
    }

    #[tokio::test]
    async fn a_failed_piece_undoes_itself_and_nobody_else() {
        let folder = std::env::temp_dir().join(format!("callthrough-database-{}", crate::types::Random::system().alphanumeric(12)));
        std::fs::create_dir(&folder).unwrap();
        let database = Database::open(&format!("sqlite:{}/books.sqlite", folder.display())).await.unwrap();
        let mut writes = tokio::task::JoinSet::new();
        for id in 0..100_i64 {
            let database = database.clone();
            writes.spawn(async move {
                database
                    .write(move |tx| {
                        Box::pin(async move {
                            insert(tx, id).await?;
                            if id % 2 == 0 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
                        })
                    })
                    .await
                    .is_ok()
            });
        }
        let kept = writes.join_all().await.into_iter().filter(|&kept| kept).count();
        assert_eq!((kept, count(&database).await), (50, 50));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
