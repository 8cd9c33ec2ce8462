//! Both ends of many calls on raw sockets, which remember what really happened: when each call was answered and when it ended.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use callthrough::types::{Clock, Moment};

use super::peer::{Message, ack, bye, invite, response};

/// What is sent again until it is answered is sent this often.
const AGAIN: Duration = Duration::from_millis(500);
/// And this many times.
const TRIES: u32 = 12;

/// What one end knows of a call.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// The caller heard 200; the destination heard the ACK to its own.
    pub answered: Option<Moment>,
    /// The first BYE, sent or heard.
    pub ended: Option<Moment>,
    /// The final response that was none of 200.
    pub refused: Option<u16>,
}

/// Something that is said until somebody answers.
struct Said {
    text: String,
    at: Moment,
    tries: u32,
}

#[derive(Default)]
struct Half {
    truth: Truth,
    said: Option<Said>,
    invite: String,
    to: String,
    from: String,
    uri: String,
    hang_up_at: Option<Moment>,
}

struct Shared {
    halves: Mutex<HashMap<String, Half>>,
    over: AtomicBool,
}

impl Shared {
    fn halves(&self) -> MutexGuard<'_, HashMap<String, Half>> {
        self.halves.lock().expect("nothing panics while the calls are held")
    }
}

/// One end.
pub struct End {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl End {
    /// Callers at `here`: each call that comes out of `granted` (its Call-ID, the caller, the dialled number, how long to talk)
    /// is made.
    pub fn callers(here: SocketAddr, server: SocketAddr, granted: Receiver<(String, String, String, Duration)>) -> Self {
        Self::start(here, move |line| {
            while let Ok((call_id, caller, dialled, talk)) = granted.try_recv() {
                let text = invite(line.here, server, &caller, &dialled, &call_id);
                let half = Half { invite: text.clone(), hang_up_at: None, ..Half::default() };
                line.shared.halves().insert(call_id.clone(), half);
                line.talks.insert(call_id.clone(), talk);
                line.say(&call_id, text, server);
            }
        })
    }

    /// Destinations at `here`: everybody rings and answers.
    pub fn destinations(here: SocketAddr) -> Self {
        Self::start(here, |_| {})
    }

    fn start(here: SocketAddr, mut before: impl FnMut(&mut Line) + Send + 'static) -> Self {
        let socket = UdpSocket::bind(here).unwrap_or_else(|error| panic!("cannot bind {here}: {error}"));
        socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a timeout");
        let shared = Arc::new(Shared { halves: Mutex::default(), over: AtomicBool::new(false) });
        let mut line = Line { here, socket, shared: shared.clone(), clock: Clock::system(), talks: HashMap::new(), peers: HashMap::new() };
        let thread = std::thread::spawn(move || {
            let mut buffer = [0_u8; 65_536];
            while !line.shared.over.load(Ordering::Relaxed) {
                before(&mut line);
                if let Ok((length, from)) = line.socket.recv_from(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    line.hears(&Message { text, from });
                }
                line.looks_at_the_clock();
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// What is known of each call, by its Call-ID at this end; and the number dialled at this end.
    pub fn truths(&self) -> HashMap<String, (String, Truth)> {
        self.shared.halves().iter().map(|(id, half)| (id.clone(), (half.uri.clone(), half.truth.clone()))).collect()
    }

    /// Calls that are answered and not over.
    pub fn talking(&self) -> usize {
        self.shared.halves().values().filter(|half| half.truth.answered.is_some() && half.truth.ended.is_none()).count()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Line {
    here: SocketAddr,
    socket: UdpSocket,
    shared: Arc<Shared>,
    clock: Clock,
    /// How long callers talk.
    talks: HashMap<String, Duration>,
    /// Where each call's messages go.
    peers: HashMap<String, SocketAddr>,
}

impl Line {
    fn send(&self, text: &str, to: SocketAddr) {
        // A server that was killed is heard of as an error; what matters is said again.
        let _ = self.socket.send_to(text.as_bytes(), to);
    }

    /// Says it now and again until it is answered.
    fn say(&mut self, call_id: &str, text: String, to: SocketAddr) {
        self.send(&text, to);
        self.peers.insert(call_id.to_owned(), to);
        if let Some(half) = self.shared.halves().get_mut(call_id) {
            half.said = Some(Said { text, at: self.clock.now(), tries: 1 });
        }
    }

    fn hears(&mut self, message: &Message) {
        let now = self.clock.now();
        let call_id = message.header("Call-ID").to_owned();
        match message.kind().as_str() {
            "INVITE" => {
                let new = {
                    let mut halves = self.shared.halves();
                    let new = !halves.contains_key(&call_id);
                    let half = halves.entry(call_id.clone()).or_default();
                    half.uri = message.line().split(['@', ' ']).nth(1).unwrap_or_default().trim_start_matches("sip:").to_owned();
                    new
                };
                if new {
                    self.send(&response(message, "180 Ringing", self.here, false), message.from);
                    self.say(&call_id, response(message, "200 OK", self.here, true), message.from);
                }
            }
            "ACK" => {
                if let Some(half) = self.shared.halves().get_mut(&call_id) {
                    half.said = None;
                    half.truth.answered.get_or_insert(now);
                }
            }
            "BYE" => {
                self.send(&response(message, "200 OK", self.here, false), message.from);
                if let Some(half) = self.shared.halves().get_mut(&call_id) {
                    half.said = None;
                    half.truth.ended.get_or_insert(now);
                }
            }
            "CANCEL" | "OPTIONS" => self.send(&response(message, "200 OK", self.here, false), message.from),
            "200 INVITE" => {
                let talk = self.talks.get(&call_id).copied().unwrap_or_default();
                let mut halves = self.shared.halves();
                let Some(half) = halves.get_mut(&call_id) else { return };
                let text = ack(&half.invite, message);
                if half.truth.answered.is_none() {
                    let sent = Message { text: half.invite.clone(), from: self.here };
                    half.said = None;
                    half.truth.answered = Some(now);
                    half.hang_up_at = Some(now + talk);
                    (half.from, half.to, half.uri) = (sent.header("From").to_owned(), message.header("To").to_owned(), message.contact());
                }
                drop(halves);
                self.send(&text, message.from);
            }
            kind if kind.ends_with(" INVITE") => {
                let status = kind[..3].parse().unwrap_or(0_u16);
                let mut halves = self.shared.halves();
                let Some(half) = halves.get_mut(&call_id) else { return };
                half.said = None;
                if status >= 300 {
                    half.truth.refused = Some(status);
                    let text = ack(&half.invite, message);
                    drop(halves);
                    self.send(&text, message.from);
                }
            }
            kind if kind.ends_with(" BYE") => {
                if let Some(half) = self.shared.halves().get_mut(&call_id) {
                    half.said = None;
                }
            }
            _ => {}
        }
    }

    fn looks_at_the_clock(&mut self) {
        let now = self.clock.now();
        let (mut again, mut leaving) = (Vec::new(), Vec::new());
        for (call_id, half) in self.shared.halves().iter_mut() {
            if half.hang_up_at.is_some_and(|at| at <= now) {
                half.hang_up_at = None;
                if half.truth.ended.is_none() {
                    half.truth.ended = Some(now);
                    leaving.push((call_id.clone(), bye(self.here, &half.uri, &half.from, &half.to, call_id)));
                }
            }
            if let Some(said) = &mut half.said
                && now.since(said.at) >= AGAIN
            {
                said.at = now;
                said.tries += 1;
                again.push((call_id.clone(), said.text.clone()));
                if said.tries > TRIES {
                    half.said = None;
                }
            }
        }
        for (call_id, text) in leaving {
            if let Some(&to) = self.peers.get(&call_id) {
                self.say(&call_id, text, to);
            }
        }
        for (call_id, text) in again {
            if let Some(&to) = self.peers.get(&call_id) {
                self.send(&text, to);
            }
        }
    }
}
