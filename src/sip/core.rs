//! The sans-IO core: datagrams, commands and time go in, datagrams and events come out. It owns every table of the room and never waits.

mod callee;
mod caller;
mod inside;
pub mod login;
mod outside;
mod ping;
mod register;
mod reliable;
mod session;
mod transactions;
mod words;

pub use ping::{Ping, PingState};

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;

use super::admission::{Admission, Place};
use super::dialog::invite::{LegState, Parting, Stage};
use super::dialog::{Dialog, tag_family, tag_text};
use super::digest::{Algorithm, REALM, Verifier};
use super::endpoint::{Registration, Source, SourcePolicy, Strangers};
use super::leg::{Command, Invite, LegEvent, LegId, OutgoingInvite, RequestId, StoredDialog};
use super::msg::{BRANCH_COOKIE, Host, Message, Status, Tag, Via};
use super::overload::Gate;
use super::target::Address;
use super::transaction::{Intervals, Keys, Letter, Timers, TransactionId, Transactions, User};
use super::transport::Transport;
use crate::types::{Moment, Random, TrunkId};
use inside::Asking;

/// Random bytes drawn at once: a system call for each tag and branch would cost more than the message.
const CHANCE_BYTES: usize = 4096;

/// What goes in.
pub enum Input {
    /// Something came from the network.
    Datagram {
        /// By which socket.
        socket: usize,
        /// From where.
        source: SocketAddr,
        /// What.
        bytes: Bytes,
    },
    /// Start a call.
    Invite(LegId, Box<OutgoingInvite>),
    /// The switchboard says something to a leg.
    Command(LegId, Command),
    /// Hang up a leg of an earlier life.
    Bye(Box<StoredDialog>),
    /// From now on these registrations are kept, and no others.
    Registrations(Vec<Registration>),
    /// From now on these addresses are asked whether they live, and no others.
    Pings(Vec<Ping>),
    /// From now on these are the trunks.
    Sources(Arc<dyn SourcePolicy>),
    /// What this transaction sent could not leave.
    NotSent(TransactionId),
    /// The far end of a connection has proved who it is.
    Proved {
        /// The socket it belongs to.
        socket: usize,
        /// Its far end.
        source: SocketAddr,
        /// The names of its certificate.
        names: Arc<[String]>,
    },
    /// A connection is gone: what waits for an answer by it waits in vain.
    Closed {
        /// The socket it belonged to.
        socket: usize,
        /// Its far end.
        source: SocketAddr,
    },
    /// Nothing but time has passed.
    Tick,
}

/// What comes out.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Send {
        /// By which socket.
        socket: usize,
        /// Where to.
        to: Address,
        /// What.
        bytes: Bytes,
        /// Who is told, by [`Input::NotSent`], if it cannot leave.
        transaction: Option<TransactionId>,
    },
    /// What is for `listens` may go by the connection to `source`: its far end asked for that (RFC 5923).
    Alias {
        /// The socket the connection belongs to.
        socket: usize,
        /// Its far end.
        source: SocketAddr,
        /// Where that listens.
        listens: SocketAddr,
    },
    /// A new call for the switchboard.
    Offer {
        /// Its leg.
        leg: LegId,
        /// What it asks.
        invite: Box<Invite>,
        /// How to hang it up after a restart.
        stored: Box<StoredDialog>,
        /// Its place among the calls that are being set up, if those are counted.
        place: Option<Box<Place>>,
    },
    /// Something happened on a leg.
    Tell {
        /// Which leg.
        leg: LegId,
        /// What.
        event: Box<LegEvent>,
        /// With `Answered`: how to hang it up after a restart.
        stored: Option<Box<StoredDialog>>,
    },
    /// Nothing more will happen on a leg.
    End {
        /// Which.
        leg: LegId,
    },
}

/// One address we speak by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// What others know it as.
    pub advertised: SocketAddr,
    /// What is spoken there.
    pub transport: Transport,
    host: Host,
    sent_by: String,
    contact: String,
}

impl Local {
    /// A UDP address that others know as `advertised`.
    #[cfg(test)]
    pub fn new(advertised: SocketAddr) -> Self {
        Self::over(Transport::Udp, advertised)
    }

    /// An address of this transport that others know as `advertised`.
    pub fn over(transport: Transport, advertised: SocketAddr) -> Self {
        let host = Host::from(advertised.ip());
        let sent_by = format!("{host}:{}", advertised.port());
        let contact = match transport {
            Transport::Udp => format!("<sip:{sent_by}>"),
            Transport::Tcp | Transport::Tls => format!("<sip:{sent_by};transport={transport}>"),
        };
        Self { advertised, transport, host, sent_by, contact }
    }

    /// Host and port as others reach it.
    fn sent_by(&self) -> &str {
        &self.sent_by
    }

    /// The beginning of our Via: `alias` offers the connection for requests the other way (RFC 5923).
    fn via(&self) -> String {
        let alias = if self.transport.is_reliable() { ";alias" } else { "" };
        format!("SIP/2.0/{} {};rport{alias}", self.transport.in_via(), self.sent_by)
    }
}

/// What the core is told at birth.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sockets, in order.
    pub locals: Vec<Local>,
    /// T1, T2, T4.
    pub intervals: Intervals,
    /// What strangers get.
    pub strangers: Strangers,
    /// Beginnings of User-Agent values that get silence, in small letters.
    pub scanners: Vec<String>,
    /// Whether MD5 is offered to those who prove by a password who they are.
    pub digest_md5: bool,
    /// Legs at once.
    pub max_legs: usize,
    /// Seconds that a session may go without a sign of life (RFC 4028), at least [`super::dialog::refresh::MIN_SE`].
    pub session_secs: u32,
    /// See [`Gate::new`].
    pub stranger_requests: u32,
}

/// How full the tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tables {
    /// Legs, ending ones included.
    pub legs: usize,
    /// Transactions.
    pub transactions: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    Transaction(TransactionId, Letter),
    Leg(LegId, LegAlarm),
    Register(TrunkId, u64),
    Ping(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LegAlarm {
    /// Our 2xx of this number again.
    Repeat(u32),
    /// The ACK to our 2xx of this number will not come.
    NoAck(u32),
    /// The latest provisional once more.
    Remind,
    /// Is a sign of life due?
    Session,
    /// The reliable provisional of this number again.
    Unpracked(u32),
}

/// A request of ours about to leave.
struct Departure {
    socket: usize,
    to: Address,
    branch: u64,
    bytes: Bytes,
    kind: Kind,
}

/// Which client transaction a request makes. CANCEL has the branch of its INVITE, so it is told apart by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Invite,
    Cancel,
    Other,
}

/// The core.
pub struct Core {
    settings: Settings,
    now: Moment,
    chance: Chance,
    keys: Keys,
    transactions: Transactions,
    legs: HashMap<LegId, Option<Box<LegState>>>,
    /// Legs by what their tags have in common.
    tags: HashMap<u64, LegId>,
    timers: Timers<Alarm>,
    out: VecDeque<Output>,
    policy: Option<Arc<dyn SourcePolicy>>,
    /// Who the far ends of connections have proved to be.
    proved: HashMap<(usize, SocketAddr), Arc<[String]>>,
    gate: Gate,
    next_leg: u64,
    registrants: register::Registrants,
    pings: ping::Pings,
    verifier: Verifier,
    /// Who may come in while there is too much to do; without it everybody may.
    admission: Option<Arc<Admission>>,
    ended: Vec<(User, TransactionId)>,
}

impl Core {
    /// An empty core.
    pub fn new(settings: Settings, random: Random) -> Self {
        let algorithms = if settings.digest_md5 { &Algorithm::ALL[..] } else { &Algorithm::ALL[..2] };
        let verifier = Verifier::new(REALM, algorithms, &random);
        Self {
            gate: Gate::new(settings.stranger_requests),
            settings,
            now: Moment::default(),
            chance: Chance { random, pool: Vec::new() },
            keys: Keys::default(),
            transactions: Transactions::default(),
            legs: HashMap::new(),
            tags: HashMap::new(),
            timers: Timers::new(),
            out: VecDeque::new(),
            policy: None,
            proved: HashMap::new(),
            next_leg: 0,
            registrants: register::Registrants::default(),
            pings: ping::Pings::default(),
            verifier,
            admission: None,
            ended: Vec::new(),
        }
    }

    /// The same with somebody at the door who lets no more calls in than can be set up.
    pub fn guarded_by(self, admission: Option<Arc<Admission>>) -> Self {
        Self { admission, ..self }
    }

    /// Takes something in. Timers that are due by `now` go first.
    pub fn input(&mut self, now: Moment, input: Input) {
        self.now = self.now.max(now);
        while let Some(alarm) = self.timers.pop_due(self.now) {
            self.alarm(alarm);
            self.settle();
        }
        match input {
            Input::Datagram { socket, source, bytes } => self.datagram(socket, source, bytes),
            Input::Invite(leg, invite) => self.invite(leg, &invite),
            Input::Command(leg, command) => self.command(leg, command),
            Input::Bye(stored) => self.bye_stored(&stored),
            Input::Sources(policy) => self.policy = Some(policy),
            Input::Registrations(wanted) => self.register(wanted),
            Input::Pings(wanted) => self.ping(wanted),
            Input::NotSent(transaction) => self.not_sent(transaction),
            Input::Proved { socket, source, names } => drop(self.proved.insert((socket, source), names)),
            Input::Closed { socket, source } => self.closed(socket, source),
            Input::Tick => {}
        }
        self.settle();
    }

    /// Takes something out.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When time alone makes the next difference.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.timers.next_at()
    }

    /// How full the tables are.
    pub fn tables(&self) -> Tables {
        Tables { legs: self.legs.len().max(self.tags.len()), transactions: self.transactions.len() }
    }

    /// Whether nothing is left of anything.
    pub fn is_idle(&self) -> bool {
        self.legs.is_empty() && self.tags.is_empty() && self.transactions.is_empty()
    }

    fn command(&mut self, id: LegId, command: Command) {
        self.with_leg(id, |core, leg| match command {
            Command::Progress { early, status, body, headers } => core.progress(id, leg, early, status, body, headers),
            Command::Answer { early, body, headers } => core.answer(id, leg, early, body.as_ref(), &headers),
            Command::Refuse { status, phrase, headers } => core.refuse(id, leg, status, &phrase, &headers),
            Command::HangUp { reason } => core.hang_up(id, leg, reason),
            Command::Ack { body } => core.ack_command(leg, body.as_ref()),
            Command::Request { id: request, early, method, body, headers } => {
                core.request_command(id, leg, request, Asking { early, method }, body.as_ref(), &headers);
            }
            Command::Respond { id: request, status, body, headers } => {
                core.respond_command(id, leg, request, status, body.as_ref(), &headers);
            }
        });
    }

    fn hang_up(&mut self, id: LegId, leg: &mut LegState, reason: Option<super::leg::Reason>) {
        self.end(id, leg);
        match &leg.stage {
            Stage::Offered(_) => {
                self.refuse_offer(leg, Status::TEMPORARILY_UNAVAILABLE, "", reason.as_ref(), &[]);
            }
            Stage::Inviting(_) => self.cancel(id, leg, reason),
            Stage::Up => {
                if leg.unacked.iter().any(|unacked| unacked.request.is_none()) {
                    leg.stage = Stage::Leaving { bye: Some(Parting(reason)) };
                } else {
                    self.bye(id, leg, reason.as_ref());
                }
            }
            Stage::Leaving { .. } => {}
        }
    }

    fn alarm(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Transaction(id, letter) => self.transaction_alarm(id, letter),
            Alarm::Register(trunk, serial) => self.register_alarm(trunk, serial),
            Alarm::Ping(number) => self.ping_alarm(number),
            Alarm::Leg(id, alarm) => {
                self.with_leg(id, |core, leg| match alarm {
                    LegAlarm::Repeat(cseq) => core.repeat_answer(id, leg, cseq, true),
                    LegAlarm::NoAck(cseq) => core.no_ack(id, leg, cseq),
                    LegAlarm::Remind => core.remind(id, leg),
                    LegAlarm::Session => core.session_alarm(id, leg),
                    LegAlarm::Unpracked(rseq) => core.unpracked_alarm(id, leg, rseq),
                });
            }
        }
    }

    fn datagram(&mut self, socket: usize, source: SocketAddr, bytes: Bytes) {
        if self.gate.is_silenced(source.ip(), self.now) && self.classify(socket, source) == Source::Stranger {
            return;
        }
        match Message::parse(bytes) {
            Ok(message) if message.is_request() => self.request(socket, source, message),
            Ok(message) => self.response(socket, source, &message),
            Err(fault) => {
                let Some(response) = fault.response_to(source) else { return };
                let known = self.classify(socket, source) != Source::Stranger;
                if known || (self.gate.admit(source.ip(), self.now) && self.settings.strangers == Strangers::Refuse) {
                    let to = fault.via().map_or(Address::Socket(source), |via| self.answer_to(socket, &via, source));
                    self.send(socket, to, response.encode(), None);
                }
            }
        }
    }

    /// Lends a leg to `act`, which may use all of the core but that leg's place; takes it away if it is over then.
    fn with_leg(&mut self, id: LegId, act: impl FnOnce(&mut Self, &mut LegState)) {
        let Some(mut leg) = self.legs.get_mut(&id).and_then(Option::take) else { return };
        act(self, &mut leg);
        if leg.silent {
            // Nobody is left to answer what waits.
            self.drop_theirs(&mut leg);
        }
        if leg.is_over() {
            self.end(id, &mut leg);
            self.legs.remove(&id);
            self.tags.remove(&tag_family(leg.tag));
        } else if let Some(place) = self.legs.get_mut(&id) {
            *place = Some(leg);
        }
    }

    fn add_leg(&mut self, id: LegId, leg: LegState) {
        self.tags.insert(tag_family(leg.tag), id);
        self.legs.insert(id, Some(Box::new(leg)));
    }

    fn tell(&mut self, id: LegId, leg: &LegState, event: LegEvent) {
        if !leg.silent {
            self.out.push_back(Output::Tell { leg: id, event: Box::new(event), stored: None });
        }
    }

    /// Tells the last event.
    fn finish(&mut self, id: LegId, leg: &mut LegState, event: LegEvent) {
        self.tell(id, leg, event);
        self.end(id, leg);
    }

    fn end(&mut self, id: LegId, leg: &mut LegState) {
        if !std::mem::replace(&mut leg.silent, true) {
            self.out.push_back(Output::End { leg: id });
        }
    }

    fn send(&mut self, socket: usize, to: Address, bytes: Bytes, transaction: Option<TransactionId>) {
        self.out.push_back(Output::Send { socket, to, bytes, transaction });
    }

    fn classify(&self, socket: usize, source: SocketAddr) -> Source {
        let Some(policy) = &self.policy else { return Source::Stranger };
        match self.proved.get(&(socket, source)) {
            Some(names) => policy.classify_proved(source, names),
            None if self.transport(socket).is_reliable() => policy.classify(SocketAddr::new(source.ip(), 0)),
            None => policy.classify(source),
        }
    }

    /// Whether an address may connect: neither too noisy nor, if `room` is short, a stranger.
    pub fn is_welcome(&self, socket: usize, source: SocketAddr, room: bool) -> bool {
        let is_trunk = self.classify(socket, source) != Source::Stranger;
        is_trunk || (room && !self.gate.is_silenced(source.ip(), self.now))
    }

    /// What is spoken at a socket.
    fn transport(&self, socket: usize) -> Transport {
        self.settings.locals.get(socket).map_or(Transport::Udp, |local| local.transport)
    }

    /// Whether an address may speak in a leg: its own, or any of its trunk's.
    fn may_speak(&self, leg: &LegState, socket: usize, source: SocketAddr) -> bool {
        leg.peer == Some(source.ip())
            || (leg.trunk.is_some() && self.classify(socket, source) == leg.trunk.map_or(Source::Stranger, Source::Trunk))
    }

    /// A fresh branch: its number and the Via that carries it.
    fn via(&mut self, socket: usize) -> (u64, String) {
        let number = self.chance.u64();
        (number, format!("{};branch={BRANCH_COOKIE}{}", self.settings.locals[socket].via(), tag_text(number)))
    }

    fn fresh_tag(&mut self) -> u64 {
        self.chance.u64()
    }

    /// The socket that speaks to an address over a transport: the first of its family.
    fn socket_for(&self, to: &Address, transport: Transport) -> Option<usize> {
        self.settings
            .locals
            .iter()
            .position(|local| local.transport == transport && ip_of(to).is_none_or(|ip| local.advertised.is_ipv4() == ip.is_ipv4()))
    }

    /// The socket for a request in a leg's dialog: another one than the leg's if its next stop asks for another transport. A next stop
    /// that asks for none gets what the leg speaks already.
    fn socket_in(&self, leg: &LegState, dialog: &Dialog) -> usize {
        let wanted = dialog.transport().filter(|wanted| *wanted != self.transport(leg.socket));
        let Some((wanted, hop)) = wanted.zip(dialog.hop()) else { return leg.socket };
        self.socket_for(&hop, wanted).unwrap_or(leg.socket)
    }

    /// Where a response goes: back by its connection, or as RFC 3261 §18.2.2 and RFC 3581 §4 have it over UDP.
    fn answer_to(&self, socket: usize, via: &Via, source: SocketAddr) -> Address {
        let transport = self.transport(socket);
        if transport.is_reliable() {
            Address::Back { flow: source, open: SocketAddr::new(source.ip(), via.port().unwrap_or(transport.usual_port())) }
        } else {
            Address::Socket(response_target(via, source))
        }
    }

    fn stateless_tag(&self, request: &Message) -> Tag {
        Tag::new(tag_text(self.keys.stateless_tag(request)))
    }
}

/// Where a response goes over UDP: RFC 3261 §18.2.2 and RFC 3581 §4, but never by `maddr`, which would let a stranger aim our answers.
fn response_target(via: &Via, source: SocketAddr) -> SocketAddr {
    if via.rport().is_some() { source } else { SocketAddr::new(source.ip(), via.port().unwrap_or(super::dialog::route::SIP_PORT)) }
}

/// The address family of literal peers.
fn ip_of(address: &Address) -> Option<IpAddr> {
    match address {
        Address::Socket(socket) | Address::Back { flow: socket, .. } => Some(socket.ip()),
        Address::Name(_) => None,
    }
}

/// Draws chance in bulk.
struct Chance {
    random: Random,
    pool: Vec<u8>,
}

impl Chance {
    fn u64(&mut self) -> u64 {
        if self.pool.len() < 8 {
            self.pool.resize(CHANCE_BYTES, 0);
            self.random.fill(&mut self.pool);
        }
        let rest = self.pool.len() - 8;
        let number = u64::from_le_bytes(self.pool[rest..].try_into().expect("eight bytes"));
        self.pool.truncate(rest);
        number
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.u64() % bound.max(1)
    }
}

/// The next name of a request of theirs: even numbers, so that they never meet ours.
fn their_id(leg: &mut LegState) -> RequestId {
    leg.count += 1;
    RequestId(leg.count * 2)
}

#[cfg(test)]
mod tests;
