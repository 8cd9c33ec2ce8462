//! Many more calls than can be set up: those beyond are turned away at once, those let in complete, and then it is over.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use callthrough::types::{Clock, Moment};

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::peer::{self, Message};
use crate::support::proxy::Proxy;
use crate::support::sipp::{FIRST, Script, free_address};
use crate::support::traffic::GENEROUS;
use crate::support::world::{ACCESS_NUMBER, World};

/// New calls a second: far more than can be set up while the books are this slow, whatever the machine.
const RATE: u128 = 1_000;
/// How long each of their answers is on its way.
const SLOW: Duration = Duration::from_millis(5);
/// For how long.
const LOAD: Duration = Duration::from_secs(5);
/// Phones that have asked, and call until they get through.
const PHONES: u32 = 20;
/// One repeats its INVITE that nobody has answered (timer A), and tries again when it was turned away, after this.
const AGAIN: Duration = Duration::from_millis(500);

/// A call of a phone, or of somebody who has no reservation.
struct Call {
    invite: String,
    phone: Option<u32>,
    began: Moment,
    sent: Moment,
    trying: bool,
    status: Option<u16>,
    /// When it may be tried again.
    retry_after: bool,
    took: Duration,
    /// Said once it was answered, until it is ended.
    bye: String,
    ended: bool,
}

/// The carrier that brings them all.
struct Carrier {
    socket: UdpSocket,
    here: SocketAddr,
    server: SocketAddr,
    clock: Clock,
    calls: BTreeMap<String, Call>,
    numbers: Vec<String>,
}

impl Carrier {
    fn calls(&mut self, phone: Option<u32>) {
        let id = format!("call{}", self.calls.len());
        let caller =
            phone.map_or_else(|| format!("+1555016{:04}", self.calls.len() % 10_000), |phone| self.numbers[phone as usize].clone());
        let invite = peer::invite(self.here, self.server, &caller, ACCESS_NUMBER, &id);
        let now = self.clock.now();
        self.say(&invite);
        let call = Call {
            invite,
            phone,
            began: now,
            sent: now,
            trying: false,
            status: None,
            retry_after: false,
            took: Duration::ZERO,
            bye: String::new(),
            ended: false,
        };
        self.calls.insert(id, call);
    }

    fn say(&self, text: &str) {
        // What the machine has no room for is repeated, or lost.
        let _ = self.socket.send_to(text.as_bytes(), self.server);
    }

    /// Takes what has come; a call that is answered is hung up at once.
    fn hears(&mut self) {
        let mut bytes = [0; 4096];
        while let Ok((length, from)) = self.socket.recv_from(&mut bytes) {
            let message = Message { text: String::from_utf8_lossy(&bytes[..length]).into_owned(), from };
            let now = self.clock.now();
            let id = message.header("Call-ID").to_owned();
            let Some(call) = self.calls.get_mut(&id) else { continue };
            let kind = message.kind();
            let (status, of) = kind.split_once(' ').unwrap_or_default();
            match (status.parse::<u16>().unwrap_or_default(), of) {
                (100..=199, "INVITE") => call.trying = true,
                (status, "INVITE") => {
                    let invite = call.invite.clone();
                    if call.status.is_none() {
                        call.status = Some(status);
                        call.took = now.since(call.began);
                        call.retry_after = message.text.contains("\r\nRetry-After: ");
                    }
                    let ack = peer::ack(&invite, &message);
                    if status == 200 {
                        let ours = Message { text: invite, from };
                        call.bye = peer::bye(self.here, &message.contact(), ours.header("From"), message.header("To"), &id);
                        call.sent = now;
                    }
                    let bye = call.bye.clone();
                    self.say(&ack);
                    if !bye.is_empty() {
                        self.say(&bye);
                    }
                }
                (200, "BYE") => call.ended = true,
                _ => {}
            }
        }
    }

    /// What phones do by themselves: repeat, and try again.
    fn persists(&mut self) {
        let now = self.clock.now();
        let mut again = Vec::new();
        for call in self.calls.values_mut().filter(|call| now.since(call.sent) >= AGAIN) {
            if call.phone.is_some() && call.status.is_none() && !call.trying {
                call.sent = now;
                // The same branch: a repeat.
                let _ = self.socket.send_to(call.invite.as_bytes(), self.server);
            }
            if call.status == Some(200) && !call.ended {
                call.sent = now;
                let _ = self.socket.send_to(call.bye.as_bytes(), self.server);
            }
            if let (Some(phone), Some(503), false) = (call.phone, call.status, call.ended) {
                call.ended = true;
                again.push(phone);
            }
        }
        for phone in again {
            self.calls(Some(phone));
        }
    }

    fn is_through(&self, phone: u32) -> bool {
        self.calls.values().any(|call| call.phone == Some(phone) && call.status == Some(200) && call.ended)
    }

    /// Goes on until all these phones are through; false if that takes too long.
    fn gets_through(&mut self, phones: std::ops::Range<u32>, patience: Duration) -> bool {
        let began = self.clock.now();
        while !phones.clone().all(|phone| self.is_through(phone)) {
            if self.clock.now().since(began) > patience {
                return false;
            }
            self.hears();
            self.persists();
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

#[test]
fn calls_beyond_what_can_be_done_are_turned_away_at_once_and_the_others_complete() {
    let cluster = Cluster::start();
    let proxy = Proxy::before(cluster.address);
    let world = World::with(&format!("{GENEROUS}[database]\nurl = \"{}\"\n", Cluster::url(proxy.address)));
    let destination = free_address(FIRST);
    world.trunk_out("first", destination, 10);
    let numbers = (0..=PHONES).map(|n| {
        let phone = world.phone(&format!("+1555017{n:04}"), "5.00");
        world.asks(&phone, &format!("+1555027{n:04}"));
        phone.number
    });
    let numbers = numbers.collect();
    let mut b = Script::destination("load_destination", destination)
        .calls(PHONES + 1)
        .untraced()
        .patience(Duration::from_secs(60))
        .start(world.folder.path());
    let socket = UdpSocket::bind(world.carrier).expect("the carrier's address is free");
    socket.set_nonblocking(true).expect("a socket");
    let clock = Clock::system();
    let (here, server) = (world.carrier, world.server.sip);
    let mut carrier = Carrier { socket, here, server, clock: clock.clone(), calls: BTreeMap::new(), numbers };

    proxy.slows_to(SLOW);
    let began = clock.now();
    for phone in 0..PHONES {
        carrier.calls(Some(phone));
    }
    let mut sent = 0;
    while clock.now().since(began) < LOAD {
        while sent < clock.now().since(began).as_millis() * RATE / 1_000 {
            carrier.calls(None);
            sent += 1;
            if sent % 64 == 0 {
                carrier.hears();
            }
        }
        carrier.hears();
        carrier.persists();
        std::thread::sleep(Duration::from_millis(1));
    }
    // The load is over: somebody who calls now gets through.
    let over = clock.now();
    carrier.calls(Some(PHONES));
    assert!(carrier.gets_through(PHONES..PHONES + 1, Duration::from_secs(5)), "nobody gets through 5 s after the load");
    let recovered = clock.now().since(over);
    assert!(carrier.gets_through(0..PHONES, Duration::from_secs(20)), "a phone never got through");
    b.succeeds();

    proxy.slows_to(Duration::ZERO);
    let shed = carrier.calls.values().filter(|call| call.status == Some(503)).count();
    assert!(shed > 0, "nobody was turned away of {}", carrier.calls.len());
    assert!(carrier.calls.values().all(|call| call.status != Some(503) || call.retry_after), "503 without Retry-After");
    // Whoever was let in got a final answer.
    let waits = |carrier: &Carrier| carrier.calls.values().filter(|call| call.trying && call.status.is_none()).count();
    let patience = clock.now();
    while waits(&carrier) > 0 && clock.now().since(patience) < Duration::from_secs(10) {
        carrier.hears();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(waits(&carrier), 0, "calls were let in and never answered");
    let mut took: Vec<_> = carrier.calls.values().filter(|call| call.trying && call.phone.is_none()).map(|call| call.took).collect();
    took.sort_unstable();
    let within = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
    println!(
        "{} calls in {LOAD:?}: {shed} turned away, {} let in and answered: p50 {:.0?}, p99 {:.0?}; a call after the load took {recovered:.0?}",
        carrier.calls.len(),
        took.len(),
        within(50),
        within(99),
    );
    assert!(!took.is_empty(), "nobody was let in");
    let answered = || world.api.list("/cdrs?answered=true").len();
    eventually(Duration::from_secs(20), || (answered() > PHONES as usize).then_some(()));
    assert_eq!(answered(), PHONES as usize + 1);
    world.is_at_rest();
}
