//! Where a process spends its time, by `perf` where the machine lets us.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Parts of the house by what their symbols are called; the first that fits.
const SECTIONS: [(&str, &[&str]); 9] = [
    ("SQLite", &["sqlite3", "vdbe", "btree", "pager", "walWrite", "sqlx_sqlite", "libsqlite"]),
    ("our SIP", &["callthrough::sip"]),
    ("our calls", &["callthrough::b2bua", "callthrough::call::", "callthrough::trunk"]),
    ("our books", &["callthrough::ledger", "callthrough::cdr", "callthrough::rating", "callthrough::callthrough", "callthrough::database"]),
    ("sqlx", &["sqlx"]),
    ("tokio and timers", &["tokio", "mio::", "futures"]),
    ("memory", &["malloc", "free", "realloc", "calloc", "memmove", "memcpy", "memset", "memcmp"]),
    ("hashes", &["aws_lc", "sha256", "sha2::", "SipHash", "siphash"]),
    ("formatting and JSON", &["serde", "core::fmt", "alloc::fmt"]),
];

/// A profile under way.
pub struct Profile {
    perf: Child,
    file: PathBuf,
}

/// Samples `pid` for so many seconds; nothing if `perf` is not there or may not.
pub fn start(folder: &Path, pid: u32, seconds: u32) -> Option<Profile> {
    let file = folder.join("perf.data");
    let perf = Command::new("perf")
        .args(["record", "-q", "-F", "499", "-p", &pid.to_string(), "-o"])
        .arg(&file)
        .args(["--", "sleep", &seconds.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    Some(Profile { perf, file })
}

impl Profile {
    /// The share of each section, largest first.
    pub fn sections(mut self) -> Option<String> {
        self.perf.wait().ok()?;
        let mut shares = BTreeMap::<String, f64>::new();
        for (percent, rest) in self.report("dso,symbol")? {
            let kernel = rest.contains("[k]") || rest.contains("[kernel");
            let section = SECTIONS.iter().find(|(_, words)| words.iter().any(|word| rest.contains(word))).map(|(name, _)| *name);
            *shares.entry(if kernel { "kernel" } else { section.unwrap_or("the rest") }.to_owned()).or_default() += percent;
        }
        for (percent, thread) in self.report("comm")? {
            *shares.entry(format!("(thread) {thread}")).or_default() += percent;
        }
        if shares.is_empty() {
            return None;
        }
        let mut shares: Vec<_> = shares.into_iter().collect();
        shares.sort_by(|a, b| a.0.starts_with('(').cmp(&b.0.starts_with('(')).then(b.1.total_cmp(&a.1)));
        let mut text = String::new();
        for (name, percent) in shares {
            let _ = writeln!(text, "  {name:<28}{percent:>5.1} %");
        }
        Some(text)
    }

    /// Percentages and what they are of.
    fn report(&self, by: &str) -> Option<Vec<(f64, String)>> {
        let report = Command::new("perf")
            .args(["report", "--stdio", "--no-children", "-q", "--percent-limit", "0.02", "--sort", by, "-i"])
            .arg(&self.file)
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&report.stdout).into_owned();
        let line = |line: &str| {
            let (percent, rest) = line.trim().split_once('%')?;
            Some((percent.trim().parse().ok()?, rest.trim().to_owned()))
        };
        Some(text.lines().filter_map(line).collect())
    }
}
