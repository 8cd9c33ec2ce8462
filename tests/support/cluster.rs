//! A PostgreSQL server of a test's own, which may be stopped, frozen and started again.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::eventually;
use super::folder::Folder;
use super::traffic::children;

/// Who PostgreSQL runs as when the tests run as root, whom it refuses.
const SERVER_USER: &str = "postgres";
/// What it may take to read its settings again.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server on a free port, with an empty database `books`.
pub struct Cluster {
    folder: Folder,
    programs: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Cluster {
    /// Makes and starts one.
    pub fn start() -> Self {
        let folder = Folder::new();
        let versions = std::fs::read_dir("/usr/lib/postgresql").expect("this test needs PostgreSQL: install the package postgresql");
        let programs = versions.flatten().map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
        let programs = programs.expect("this test needs PostgreSQL's initdb: install the package postgresql");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let cluster = Self { folder, programs, address };
        if is_root() {
            let given = Command::new("chown").arg(SERVER_USER).arg(cluster.folder.path()).status();
            assert!(given.is_ok_and(|status| status.success()), "the folder cannot be given to {SERVER_USER}");
        }
        cluster.run("initdb", &["-D", "data", "-U", "callthrough", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        cluster.starts();
        cluster.tells("postgres", "create database books");
        cluster
    }

    /// The books in it, reached by way of `address`.
    pub fn url(address: SocketAddr) -> String {
        format!("postgres://callthrough@{address}/books")
    }

    /// Starts the server on its files.
    pub fn starts(&self) {
        let options =
            format!("-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200", self.address.port());
        self.run("pg_ctl", &["-D", "data", "-w", "-l", "log", "-o", &options, "start"]);
    }

    /// Stops it as a crash does: nobody hears good-bye, the next start recovers.
    pub fn crashes(&self) {
        self.run("pg_ctl", &["-D", "data", "-m", "immediate", "stop"]);
    }

    /// Every process of it stands still: connections stay open, and nothing answers.
    pub fn freezes(&self) {
        self.signal("-STOP");
    }

    /// They go on.
    pub fn thaws(&self) {
        self.signal("-CONT");
    }

    /// From now on transactions may only read, or may write again.
    pub fn only_reads(&self, only: bool) {
        self.tells("postgres", &format!("alter system set default_transaction_read_only = {only}"));
        self.tells("postgres", "select pg_reload_conf()");
        // Every process is told before the next one is started: who is new then, sees what all the others see.
        let told = eventually(PATIENCE, || (self.is_read_only() == only).then_some(()));
        assert!(told.is_some(), "the server does not take its new settings");
    }

    fn is_read_only(&self) -> bool {
        let shown = self.connected("postgres", async |mut connection| {
            sqlx::query_scalar::<_, String>("show default_transaction_read_only").fetch_one(&mut connection).await
        });
        shown.expect("the server answers") == "on"
    }

    fn signal(&self, signal: &str) {
        let file = self.folder.file("data/postmaster.pid");
        let text = std::fs::read_to_string(file).expect("the server runs");
        let postmaster: u32 = text.lines().next().and_then(|line| line.trim().parse().ok()).expect("a process");
        // The first goes first, so that it makes no others meanwhile.
        for process in std::iter::once(postmaster).chain(children(postmaster)) {
            let _ = Command::new("kill").arg(signal).arg(process.to_string()).stderr(Stdio::null()).status();
        }
    }

    fn tells(&self, database: &str, statement: &str) {
        self.connected(database, async |mut connection| {
            // Whoever may only read may still say so.
            sqlx::raw_sql("set default_transaction_read_only = off").execute(&mut connection).await.expect("a setting");
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.expect("it is done");
        });
    }

    fn connected<T>(&self, database: &str, with: impl AsyncFnOnce(sqlx::PgConnection) -> T) -> T {
        use sqlx::Connection as _;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = format!("postgres://callthrough@{}/{database}", self.address);
        runtime.block_on(async { with(sqlx::PgConnection::connect(&url).await.expect("the server answers")).await })
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", SERVER_USER, "--"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        // Its own output goes nowhere: a server that keeps ours open would keep whoever reads it waiting.
        let log = std::fs::File::options().create(true).append(true).open(self.folder.file("said")).expect("a file");
        let copy = log.try_clone().expect("a file");
        let status = command.args(arguments).current_dir(self.folder.path()).stdout(log).stderr(copy).status();
        let said = std::fs::read_to_string(self.folder.file("said")).unwrap_or_default();
        assert!(status.is_ok_and(|status| status.success()), "{} fails:\n{said}", program.display());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::fs::exists(self.folder.file("data/postmaster.pid")).unwrap_or_default() {
            self.thaws();
            self.crashes();
        }
    }
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
