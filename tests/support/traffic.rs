//! Many phones that ask over the web at a steady rate, and what the machine says of a process.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callthrough::types::{Clock, Moment};
use serde_json::json;
use tokio::task::JoinSet;

use super::world::{ACCESS_NUMBER, Phone, World, text};

/// Limits that stand in nobody's way here; settings of `[ledger]` may follow.
pub const GENEROUS: &str = "[media]\nrelay = \"bypass\"\n[softphone.limits]\nper_subscriber_a_minute = 0\nper_source_a_minute = 0\n\
     [ledger]\nmax_calls = 1000\nspend_cap = \"100000.00\"\nmax_calls_hour = 100000\n";

/// Connections the phones share; each is kept alive.
const CONNECTIONS: u32 = 16;

/// Phones `+1555010kkkk`, whose calls of round `r` go to `+155502rkkkk`: the last four digits tell who belongs to whom.
#[derive(Clone)]
pub struct Phones {
    phones: Arc<Vec<Phone>>,
}

/// What came of asking.
#[derive(Debug, Default, Clone)]
pub struct Asked {
    /// Answers with the right dial string.
    pub granted: u32,
    /// The first few answers that were not.
    pub refused: Vec<String>,
    /// Time to answer, sorted.
    pub took: Vec<Duration>,
}

impl Asked {
    /// The time within which so many of a thousand were answered.
    pub fn within(&self, thousandths: usize) -> Duration {
        let at = (self.took.len() * thousandths / 1000).min(self.took.len().saturating_sub(1));
        self.took.get(at).copied().unwrap_or_default()
    }
}

impl Phones {
    /// So many phones, each with an account of its own and this credit.
    pub fn new(world: &World, count: u32, credit: &str) -> Self {
        /// Requests under way at once.
        const AT_ONCE: u32 = 16;
        let api = &world.api;
        let phones = api.block_on(async {
            let mut workers = JoinSet::new();
            for worker in 0..AT_ONCE {
                let (api, credit) = (api.speaker(), credit.to_owned());
                workers.spawn(async move {
                    let mut made = Vec::new();
                    for n in (worker..count).step_by(AT_ONCE as usize) {
                        let number = format!("+1555010{n:04}");
                        let user = format!("user{n}");
                        let subscriber = api
                            .post("/subscribers", &json!({ "name": user, "home_country": "US", "currency": "EUR", "identities": [user], "numbers": [number] }))
                            .await;
                        let (id, account) = (text(&subscriber, "id"), text(&subscriber, "account_id"));
                        let credential = api.post(&format!("/subscribers/{id}/credentials"), &json!({ "kind": "token" })).await;
                        let amount = json!({ "amount": credit, "currency": "EUR" });
                        api.post(&format!("/accounts/{account}/top_up"), &json!({ "amount": amount, "payment": "test" })).await;
                        made.push((n, Phone { subscriber: id, account, user, token: text(&credential, "secret"), number }));
                    }
                    made
                });
            }
            let mut phones: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
            phones.sort_unstable_by_key(|(n, _)| *n);
            phones.into_iter().map(|(_, phone)| phone).collect::<Vec<_>>()
        });
        Self { phones: Arc::new(phones) }
    }

    /// Whose turn it is in call `n`, and where that call goes.
    pub fn call(&self, n: u32) -> (&Phone, String) {
        let count = u32::try_from(self.phones.len()).expect("few");
        let (round, phone) = (n / count, n % count);
        (&self.phones[phone as usize], destination(round, phone))
    }

    /// The carrier's part: one line a call, in the order of asking.
    pub fn injection(&self, calls: u32) -> String {
        let mut lines = "SEQUENTIAL\n".to_owned();
        for n in 0..calls {
            let _ = writeln!(lines, "{};{ACCESS_NUMBER};", self.call(n).0.number);
        }
        lines
    }

    /// Asks for calls `first..first + calls` at `rate` a second, beginning now, in the background.
    pub fn ask(&self, world: &World, first: u32, calls: u32, rate: u32) -> std::thread::JoinHandle<Asked> {
        self.ask_and_tell(world, first, calls, rate, |_| {})
    }

    /// The same, telling of each call that was granted.
    pub fn ask_and_tell(
        &self,
        world: &World,
        first: u32,
        calls: u32,
        rate: u32,
        granted: impl Fn(u32) + Send + Sync + 'static,
    ) -> std::thread::JoinHandle<Asked> {
        let phones = self.clone();
        let url = format!("http://{}/callthrough", world.server.http);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(phones.ask_all(url, first, calls, rate, Arc::new(granted)))
        })
    }

    async fn ask_all(self, url: String, first: u32, calls: u32, rate: u32, tell: Arc<impl Fn(u32) + Send + Sync + 'static>) -> Asked {
        let clock = Clock::system();
        let (began, phones, next) = (clock.now(), Arc::new(self), Arc::new(AtomicU32::new(first)));
        let mut workers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (url, phones, next, clock, tell) = (url.clone(), phones.clone(), next.clone(), clock.clone(), tell.clone());
            workers.spawn(async move {
                let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
                let mut asked = Asked::default();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= first + calls {
                        return asked;
                    }
                    wait_for(&clock, began + Duration::from_secs((n - first).into()) / rate).await;
                    let (phone, destination) = phones.call(n);
                    let form = [("username", phone.user.as_str()), ("password", &phone.token), ("targetNumber", &destination)];
                    let sent = clock.now();
                    let answer = match client.post(&url).form(&form).send().await {
                        Ok(answer) => answer.text().await.unwrap_or_else(|error| error.to_string()),
                        Err(error) => format!("{error:?}"),
                    };
                    asked.took.push(clock.now().since(sent));
                    if answer.contains(&format!("<dialString>{ACCESS_NUMBER}</dialString>")) {
                        asked.granted += 1;
                        tell(n);
                    } else if asked.refused.len() < 5 {
                        asked.refused.push(format!("call {n}: {answer}"));
                    }
                }
            });
        }
        let mut all = Asked::default();
        for asked in workers.join_all().await {
            all.granted += asked.granted;
            all.refused.extend(asked.refused);
            all.took.extend(asked.took);
        }
        all.took.sort_unstable();
        all
    }
}

/// Where call round `round` of phone `phone` goes.
pub fn destination(round: u32, phone: u32) -> String {
    assert!(round < 10 && phone < 10_000, "the numbering ends here");
    format!("+155502{round}{phone:04}")
}

async fn wait_for(clock: &Clock, moment: Moment) {
    let left = moment.since(clock.now());
    if !left.is_zero() {
        tokio::time::sleep(left).await;
    }
}

/// What the machine says of a process.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time of it and of its children that are still there.
    pub cpu: Duration,
    /// Resident memory in KiB, what is shared counted in parts.
    pub memory_kib: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

/// What process `pid` and its children use now.
pub fn usage(pid: u32) -> Usage {
    let mut all = of_one(pid);
    for child in children(pid) {
        let child = of_one(child);
        all.cpu += child.cpu;
        all.memory_kib += child.memory_kib;
    }
    all
}

/// The processes that process `pid` started and that are still there.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&child: &u32| field(child, 1) == Some(pid.into()))
        .collect()
}

/// Field `index` of /proc/PID/stat, counted from the state, which is 0.
fn field(pid: u32, index: usize) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(index)?.parse().ok()
}

fn of_one(pid: u32) -> Usage {
    /// USER_HZ, which Linux tells every program alike.
    const TICKS_A_SECOND: u64 = 100;
    let ticks = field(pid, 11).unwrap_or_default() + field(pid, 12).unwrap_or_default();
    // What processes share is counted once in all.
    let status = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let memory = status.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
    let descriptors = std::fs::read_dir(PathBuf::from(format!("/proc/{pid}/fd"))).map_or(0, Iterator::count);
    Usage { cpu: Duration::from_millis(ticks * 1000 / TICKS_A_SECOND), memory_kib: memory.unwrap_or_default(), descriptors }
}
