//! SIPp as a peer: one process that plays one scenario of `tests/fixtures/sipp`.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::eventually;

/// Where callers' carriers stand.
pub const CARRIER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Where the first trunk out leads.
pub const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Where the second trunk out leads.
pub const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

/// What a failed test shows of a trace at most.
const SHOWN_BYTES: usize = 24_000;

/// An address with a free port on a loopback address of ours.
pub fn free_address(ip: Ipv4Addr) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).unwrap_or_else(|error| panic!("cannot bind {ip}: {error}"));
    socket.local_addr().expect("a bound socket has an address")
}

/// A scenario about to be played.
#[derive(Debug)]
pub struct Script {
    name: String,
    address: SocketAddr,
    calls: u32,
    patience: Duration,
    traced: bool,
    arguments: Vec<String>,
    replaced: Vec<(String, String)>,
    to: Option<SocketAddr>,
}

impl Script {
    fn new(scenario: &str, address: SocketAddr) -> Self {
        Self {
            name: scenario.to_owned(),
            address,
            calls: 1,
            patience: Duration::from_secs(30),
            traced: true,
            arguments: Vec::new(),
            replaced: Vec::new(),
            to: None,
        }
    }

    /// A destination that waits at `address`.
    pub fn destination(scenario: &str, address: SocketAddr) -> Self {
        Self::new(scenario, address)
    }

    /// A carrier at `address` that brings a call of `caller` for `dialled` to `server`.
    pub fn caller(scenario: &str, address: SocketAddr, server: SocketAddr, caller: &str, dialled: &str) -> Self {
        let mut script = Self::new(scenario, address);
        script.to = Some(server);
        script.with(&["-key", "caller", caller, "-s", dialled])
    }

    /// Plays it for so many calls.
    pub fn calls(mut self, calls: u32) -> Self {
        self.calls = calls;
        self
    }

    /// Gives up after so long.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What the scenario's open pause lasts.
    pub fn pause(self, pause: Duration) -> Self {
        let millis = pause.as_millis().to_string();
        self.with(&["-d", &millis])
    }

    /// Hears every datagram as it comes: SIPp does not swallow repetitions, and sends none of its own.
    pub fn hears_repetitions(self) -> Self {
        self.with(&["-nr"])
    }

    /// Writes no trace of messages.
    pub fn untraced(mut self) -> Self {
        self.traced = false;
        self
    }

    /// Fills in `{name}` in the scenario.
    pub fn fill(mut self, name: &str, value: &str) -> Self {
        self.replaced.push((format!("{{{name}}}"), value.to_owned()));
        self
    }

    /// Any other argument.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Starts to play in `folder`; a destination is ready when this returns.
    pub fn start(self, folder: &Path) -> Sipp {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sipp").join(format!("{}.xml", self.name));
        let text = std::fs::read_to_string(&fixture).unwrap_or_else(|error| panic!("{}: {error}", fixture.display()));
        let text = self.replaced.iter().fold(text, |text, (name, value)| text.replace(name, value));
        let label = format!("{}-{}", self.name, self.address);
        let scenario = folder.join(format!("{label}.xml"));
        std::fs::write(&scenario, text).expect("the folder of the test can be written");
        let traces = Traces {
            messages: folder.join(format!("{label}.messages")),
            errors: folder.join(format!("{label}.errors")),
            screen: folder.join(format!("{label}.screen")),
            log: folder.join(format!("{label}.log")),
            stat: folder.join(format!("{label}.csv")),
        };
        let screen = File::create(&traces.screen).expect("the folder of the test can be written");
        let mut command = Command::new("sipp");
        if let Some(to) = self.to {
            command.arg(to.to_string());
        }
        command
            .current_dir(folder)
            .arg("-sf")
            .arg(&scenario)
            .args(["-i", &self.address.ip().to_string(), "-p", &self.address.port().to_string(), "-m", &self.calls.to_string()])
            .args(["-nostdin", "-timeout", &self.patience.as_secs().to_string(), "-timeout_error"])
            .args(["-trace_err", "-error_file"])
            .arg(&traces.errors)
            .args(["-trace_logs", "-log_file"])
            .arg(&traces.log)
            .args(["-trace_stat", "-fd", "1", "-stf"])
            .arg(&traces.stat)
            .args(&self.arguments);
        if self.traced {
            command.args(["-trace_msg", "-message_file"]).arg(&traces.messages);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(screen.try_clone().expect("a file can be shared"))
            .stderr(screen)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start sipp: {error}. On Debian: apt-get install sip-tester"));
        let mut sipp = Sipp { name: self.name, address: self.address, child, patience: self.patience, traces, status: None };
        if self.to.is_none() {
            let ready = eventually(Duration::from_secs(10), || (is_bound(sipp.address) || sipp.is_over()).then_some(()));
            assert!(ready.is_some() && !sipp.is_over(), "SIPp did not start\n{}", sipp.shown());
        }
        sipp
    }
}

/// Whether somebody on this machine listens there.
fn is_bound(address: SocketAddr) -> bool {
    let IpAddr::V4(ip) = address.ip() else { panic!("only IPv4 is looked up") };
    let wanted = format!(" {:08X}:{:04X} ", u32::from_le_bytes(ip.octets()), address.port());
    ["/proc/net/udp", "/proc/net/tcp"].iter().any(|table| std::fs::read_to_string(table).is_ok_and(|table| table.contains(&wanted)))
}

#[derive(Debug)]
struct Traces {
    messages: PathBuf,
    errors: PathBuf,
    screen: PathBuf,
    log: PathBuf,
    stat: PathBuf,
}

/// A playing SIPp.
#[derive(Debug)]
pub struct Sipp {
    name: String,
    address: SocketAddr,
    child: Child,
    patience: Duration,
    traces: Traces,
    status: Option<i32>,
}

impl Sipp {
    /// Waits for the end and panics with the trace if a call did not go as the scenario says.
    #[track_caller]
    pub fn succeeds(&mut self) {
        let status = self.wait();
        assert!(status == Some(0), "SIPp's part was not as written (exit {status:?})\n{}", self.shown());
    }

    /// Waits for the end; `None` if it had to be ended.
    pub fn wait(&mut self) -> Option<i32> {
        /// SIPp ends by itself; this is for the case that it hangs.
        const LONGER: Duration = Duration::from_secs(10);
        if eventually(self.patience + LONGER, || self.is_over().then_some(())).is_none() {
            self.stop();
            return None;
        }
        self.status
    }

    /// Ends it, whatever it does.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it has ended by itself.
    pub fn is_over(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten().map(|status| status.code().unwrap_or(-1));
        }
        self.status.is_some()
    }

    /// Lines written by `<log>` actions.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.traces.log).unwrap_or_default()
    }

    /// All messages sent and received.
    pub fn messages(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.traces.messages).unwrap_or_default()).into_owned()
    }

    /// A figure of the statistics by its column, such as `Retransmissions(C)`.
    pub fn figure(&self, column: &str) -> u64 {
        let table = std::fs::read_to_string(&self.traces.stat).unwrap_or_default();
        let mut lines = table.lines();
        let at = lines.next().and_then(|head| head.split(';').position(|name| name == column));
        let value = at.and_then(|at| lines.next_back()?.split(';').nth(at)).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("SIPp wrote no {column} to {}", self.traces.stat.display()))
    }

    /// What a person needs to see what went wrong.
    pub fn shown(&self) -> String {
        let mut text = String::new();
        for (what, path) in [("errors", &self.traces.errors), ("messages", &self.traces.messages)] {
            let trace = std::fs::read(path).unwrap_or_default();
            let shown = String::from_utf8_lossy(&trace[..trace.len().min(SHOWN_BYTES)]);
            let _ = writeln!(text, "---- {} at {}: {what}\n{shown}", self.name, self.address);
        }
        if text.lines().count() < 8 {
            let _ = writeln!(text, "{}", String::from_utf8_lossy(&std::fs::read(&self.traces.screen).unwrap_or_default()));
        }
        text
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("{}", self.shown());
        }
    }
}
