//! The server as operators run it: its own process, its own files, told by a settings file and signals.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::folder::Folder;

/// From start to open doors at most.
const START: Duration = Duration::from_secs(20);
/// What a failed test shows of the log at most.
const SHOWN_BYTES: usize = 16_000;

/// A server that runs, or that was killed and may be started again on the same files and ports.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    settings: PathBuf,
    more_settings: String,
    around: Around,
    log: PathBuf,
    data: PathBuf,
    /// What it printed.
    said: Arc<Mutex<Vec<String>>>,
    /// Where its web doors listen.
    pub http: SocketAddr,
    /// Where its SIP door listens.
    pub sip: SocketAddr,
}

/// What the program runs in.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// A program that runs ours: its name and first arguments.
    pub wrapper: Vec<String>,
    /// More of the environment.
    pub environment: Vec<(String, String)>,
    /// Where its root directory is seen from here.
    pub root: PathBuf,
    /// Its log goes to its data directory too.
    pub logs_to_data: bool,
}

impl Around {
    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_callthrough");
        let mut command = match self.wrapper.split_first() {
            None => Command::new(program),
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(program);
                command
            }
        };
        command.envs(self.environment.iter().cloned()).stdin(Stdio::null());
        command
    }

    /// A file of the program, as it is seen from here.
    fn seen(&self, file: &Path) -> PathBuf {
        if self.root.as_os_str().is_empty() { file.to_owned() } else { self.root.join(file.strip_prefix("/").unwrap_or(file)) }
    }
}

impl Server {
    /// Starts a server with its files in `folder`, on free ports. `more_settings` is TOML that follows the settings of `[sip]`.
    pub fn start(folder: &Folder, more_settings: &str) -> Self {
        Self::start_in(folder, more_settings, Around::default())
    }

    /// The same with something around it.
    pub fn start_in(folder: &Folder, more_settings: &str, around: Around) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self {
            child: None,
            settings: folder.file("callthrough.toml"),
            more_settings: more_settings.to_owned(),
            log: if around.logs_to_data { around.seen(&folder.file("data/server.log")) } else { folder.file("server.log") },
            data: folder.file("data"),
            around,
            said: Arc::default(),
            http: any,
            sip: any,
        };
        server.start_again();
        server
    }

    /// Starts it on the files and ports it had before.
    pub fn start_again(&mut self) {
        let text = settings(&self.data, self.http, self.sip, &self.more_settings);
        std::fs::write(&self.settings, text).expect("the folder of the test can be written");
        let ours = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&self.settings, ours).expect("the folder of the test can be written");
        let log = File::options().create(true).append(true).open(&self.log).expect("the folder of the test can be written");
        let mut child = self
            .around
            .command()
            .arg("serve")
            .arg("--config")
            .arg(&self.settings)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server can be started");
        let output = BufReader::new(child.stdout.take().expect("its output is ours"));
        self.child = Some(child);
        let (told, doors) = mpsc::channel();
        let said = self.said.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                said.lock().expect("nothing panics while lines are added").push(line.clone());
                let _ = told.send(line);
            }
        });
        let (mut http, mut sip) = (None, None);
        while http.is_none() || sip.is_none() {
            let Ok(line) = doors.recv_timeout(START) else { panic!("the server did not start\n{}", self.shown()) };
            let address = |scheme: &str| {
                let rest = &line[line.find(scheme)? + scheme.len()..];
                rest.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).next()?.parse::<SocketAddr>().ok()
            };
            http = http.or_else(|| address("http://"));
            sip = sip.or_else(|| address("sip:"));
        }
        (self.http, self.sip) = (http.expect("seen"), sip.expect("seen"));
    }

    /// Waits until it has printed a word that begins so: that word.
    #[track_caller]
    pub fn printed(&self, beginning: &str) -> String {
        let seen = || {
            let said = self.said.lock().expect("nothing panics while lines are added");
            said.iter().flat_map(|line| line.split_whitespace()).find(|word| word.starts_with(beginning)).map(str::to_owned)
        };
        super::eventually(START, seen).unwrap_or_else(|| panic!("nothing printed begins with {beginning}\n{}", self.shown()))
    }

    /// Runs another command of the program on the same settings: its status and output.
    pub fn command(&self, arguments: &[&str]) -> (i32, String) {
        let output =
            self.around.command().args(arguments).arg("--config").arg(&self.settings).output().expect("the program can be started");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// A new key for the API.
    pub fn key(&self) -> String {
        let (status, text) = self.command(&["key", "create", "--name", "test"]);
        assert_eq!(status, 0, "{text}");
        let longest = text.split_whitespace().max_by_key(|word| word.len());
        longest.unwrap_or_else(|| panic!("no key in {text:?}")).to_owned()
    }

    /// `ledger verify`: panics with what it says unless the books are clean.
    #[track_caller]
    pub fn books_are_clean(&self) {
        let (status, text) = self.command(&["ledger", "verify"]);
        assert_eq!(status, 0, "ledger verify: {text}\n{}", self.shown());
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let told = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status();
        assert!(told.is_ok_and(|status| status.success()), "the server cannot be told to stop");
    }

    /// Waits for its end: its exit status.
    pub fn ended(&mut self) -> i32 {
        let Some(mut child) = self.child.take() else { panic!("the server does not run") };
        let over = super::eventually(Duration::from_secs(60), || child.try_wait().ok().flatten());
        if over.is_none() {
            let _ = child.kill();
        }
        over.and_then(|status| status.code()).unwrap_or(-1)
    }

    /// Keeps everybody from writing to its embedded database until the guard is dropped.
    pub fn lock_books(&self) -> LockedBooks {
        use sqlx::Connection as _;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = format!("sqlite:{}", self.data_file("callthrough.sqlite").display());
        let connection = runtime.block_on(async {
            let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the database can be opened");
            sqlx::query("begin immediate").execute(&mut connection).await.expect("the database can be locked");
            connection
        });
        LockedBooks { runtime, connection: Some(connection) }
    }

    /// A file of its data directory, as it is seen from here.
    pub fn data_file(&self, name: &str) -> PathBuf {
        self.around.seen(&self.data.join(name))
    }

    /// Whether its log has these words.
    pub fn has_logged(&self, words: &str) -> bool {
        std::fs::read(&self.log).is_ok_and(|log| String::from_utf8_lossy(&log).contains(words))
    }

    /// Where its books are: its embedded database, unless its settings name another.
    pub fn books(&self) -> String {
        let named = self.more_settings.lines().find_map(|line| line.strip_prefix("url = \"")?.strip_suffix('"'));
        named.map_or_else(|| format!("sqlite:{}?mode=ro", self.data_file("callthrough.sqlite").display()), str::to_owned)
    }

    /// Asks its database for a number; `$1` in the question is `about`.
    pub fn count(&self, runtime: &tokio::runtime::Runtime, question: &'static str, about: i64) -> i64 {
        use sqlx::Connection as _;
        sqlx::any::install_default_drivers();
        runtime.block_on(async {
            let mut connection = sqlx::AnyConnection::connect(&self.books()).await.expect("the database can be read");
            let query = sqlx::query_scalar(question);
            let query = if question.contains("$1") { query.bind(about) } else { query };
            query.fetch_one(&mut connection).await.expect("the question can be answered")
        })
    }

    /// The end of its log.
    pub fn shown(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        format!("---- server log\n{}", String::from_utf8_lossy(&log[log.len().saturating_sub(SHOWN_BYTES)..]))
    }
}

/// While this lives nobody writes.
pub struct LockedBooks {
    runtime: tokio::runtime::Runtime,
    connection: Option<sqlx::SqliteConnection>,
}

impl Drop for LockedBooks {
    fn drop(&mut self) {
        use sqlx::Connection as _;
        if let Some(mut connection) = self.connection.take() {
            self.runtime.block_on(async {
                let _ = sqlx::query("rollback").execute(&mut connection).await;
                let _ = connection.close().await;
            });
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.shown());
        }
    }
}

fn settings(data: &Path, http: SocketAddr, sip: SocketAddr, more: &str) -> String {
    let data = data.display();
    format!(
        "data_dir = \"{data}\"\n[log]\nlevel = \"warn\"\n[http]\nlisten = \"{http}\"\nrequests_a_minute = 0\n[sip]\nlisten = [\"{sip}\"]\n{more}\n"
    )
}
