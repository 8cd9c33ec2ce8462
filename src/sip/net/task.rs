//! The one task of an endpoint: waits for datagrams, connections, orders, names and time, feeds them to the core, carries out what it says.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;

use super::Doors;
use super::flow::{Bounds, Call, Flows};
use super::tcp::News;
use super::tls::Tls;
use super::udp::Sockets;
use crate::sip::admission::{Admission, Place};
use crate::sip::core::{Core, Input, Output};
use crate::sip::endpoint::{Order, SourcePolicy};
use crate::sip::leg::{Command, EVENT_QUEUE, Header, Incoming, Invite, Leg, LegId, StoredDialog, Told};
use crate::sip::resolve::Resolver;
use crate::sip::tap::{Tap, Way};
use crate::sip::target::{self, Address, HostPort, Lookup, Names, Waiting};
use crate::sip::transaction::TransactionId;
use crate::sip::transport::Transport;
use crate::types::Clock;

/// Datagrams taken from one socket before everything else has its turn.
const BATCH: usize = 256;
/// Orders taken before everything else has its turn.
const ORDERS: usize = 256;
/// The longest sleep: a clock that is moved by hand wakes nobody, and legs whose owner is gone are looked for.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// How often legs whose owner is gone are looked for: nearly all say so themselves.
const SWEEP: Duration = Duration::from_secs(1);
/// What a caller is asked to wait when the switchboard has a full queue.
const BUSY_SECS: u32 = 5;

/// The task's belongings.
pub(crate) struct Task {
    core: Core,
    sockets: Sockets,
    flows: Flows,
    /// Where each socket is bound, and what is spoken there.
    local: Vec<(Transport, SocketAddr)>,
    tapping: Option<Tapping>,
    policy: Option<Arc<dyn SourcePolicy>>,
    resolver: Resolver,
    clock: Clock,
    orders: mpsc::Receiver<Order>,
    order_sender: mpsc::WeakSender<Order>,
    incoming: mpsc::Sender<Incoming>,
    legs: HashMap<LegId, mpsc::Sender<Box<Told>>>,
    names: Names<Option<TransactionId>>,
    lookups: JoinSet<(HostPort, Option<SocketAddr>)>,
    admission: Option<Arc<Admission>>,
    /// Calls that were not let in, as far as it was said.
    shed: u64,
}

/// Where others see what is received and sent.
pub(crate) struct Tapping {
    pub tap: Tap,
    /// What each socket is reached by.
    pub ours: Vec<SocketAddr>,
}

/// What the task is told, and whom it tells.
pub(crate) struct Queues {
    pub orders: mpsc::Receiver<Order>,
    pub order_sender: mpsc::WeakSender<Order>,
    pub incoming: mpsc::Sender<Incoming>,
    pub admission: Option<Arc<Admission>>,
}

impl Task {
    pub(crate) fn new(
        core: Core,
        Doors { sockets, listeners }: Doors,
        (local, tapping): (Vec<(Transport, SocketAddr)>, Option<Tapping>),
        (bounds, tls): (Bounds, Tls),
        resolver: Resolver,
        clock: Clock,
        Queues { orders, order_sender, incoming, admission }: Queues,
    ) -> Self {
        let mut flows = Flows::new(bounds, tls, clock.clone());
        for (place, (_, listener)) in listeners.into_iter().enumerate() {
            flows.listen(sockets.count() + place, listener);
        }
        Self {
            core: core.guarded_by(admission.clone()),
            sockets,
            flows,
            local,
            tapping,
            policy: None,
            resolver,
            clock,
            orders,
            order_sender,
            incoming,
            legs: HashMap::new(),
            names: Names::default(),
            lookups: JoinSet::new(),
            admission,
            shed: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(ORDERS);
        let mut is_wanted = true;
        let mut swept = self.clock.now();
        while is_wanted || !self.core.is_idle() {
            let sleep = self.core.poll_timeout().map_or(LONGEST_SLEEP, |at| at.since(self.clock.now()).min(LONGEST_SLEEP));
            tokio::select! {
                () = poll_fn(|context| self.sockets.poll_readable(context)) => self.receive(),
                news = self.flows.news() => self.heard(news),
                taken = self.orders.recv_many(&mut batch, ORDERS), if is_wanted => {
                    is_wanted = taken > 0;
                    for order in batch.drain(..) {
                        self.order(order);
                    }
                    if !is_wanted {
                        // Nobody is left to hear who lives: the last transaction ends the task.
                        self.core.input(self.clock.now(), Input::Pings(Vec::new()));
                    }
                }
                Some(answer) = self.lookups.join_next() => {
                    if let Ok((name, address)) = answer {
                        self.resolved(&name, address);
                    }
                }
                () = tokio::time::sleep(sleep) => {}
            }
            let now = self.clock.now();
            self.core.input(now, Input::Tick);
            if now.since(swept) >= SWEEP {
                swept = now;
                self.sweep();
            }
            self.carry_out();
        }
    }

    fn receive(&mut self) {
        let (began, mut is_behind) = (self.clock.now(), false);
        for socket in 0..self.sockets.count() {
            let mut taken = 0;
            while taken < BATCH
                && let Some((source, bytes)) = self.sockets.try_receive(socket)
            {
                self.saw(Way::Received, socket, source, &bytes);
                self.core.input(self.clock.now(), Input::Datagram { socket, source, bytes });
                self.carry_out();
                taken += 1;
            }
            is_behind |= taken == BATCH;
        }
        if let Some(admission) = &self.admission {
            admission.read(began, is_behind);
        }
    }

    /// What connections say, some of it at once.
    fn heard(&mut self, first: News) {
        let mut news = Some(first);
        for _ in 0..BATCH {
            match news {
                Some(news) => self.hear(news),
                None => return,
            }
            news = self.flows.more_news();
        }
        if let Some(last) = news {
            self.hear(last);
        }
    }

    fn hear(&mut self, news: News) {
        let now = self.clock.now();
        match news {
            News::Accepted { socket, stream, peer } => {
                let room = self.flows.has_room_for(peer.ip());
                if self.flows.has_room() && self.core.is_welcome(socket, peer, room) {
                    self.flows.accepted(socket, self.local[socket].0 == Transport::Tls, stream, peer);
                } else {
                    tracing::debug!(sip.from = %peer, "A SIP connection is not taken: there are too many, or too many of its address.");
                }
            }
            News::Proved { flow, names } => {
                if let Some((socket, source)) = self.flows.ends(flow) {
                    self.core.input(now, Input::Proved { socket, source, names });
                }
            }
            News::Message { flow, bytes } => {
                if let Some((socket, source)) = self.flows.ends(flow) {
                    self.saw(Way::Received, socket, source, &bytes);
                    self.core.input(now, Input::Datagram { socket, source, bytes });
                }
            }
            News::Broken { flow } => self.flows.forget_outbox(flow),
            News::Closed { flow, unsent, why } => {
                if let Some((socket, names)) = self.flows.closed(flow) {
                    tracing::debug!(sip.peer = ?names, "A SIP connection has ended: {why}");
                    for source in names {
                        self.core.input(now, Input::Closed { socket, source });
                    }
                }
                for transaction in unsent {
                    self.core.input(now, Input::NotSent(transaction));
                }
            }
        }
        self.carry_out();
    }

    fn order(&mut self, order: Order) {
        let input = match order {
            Order::Leg(leg, command, _place) => {
                if matches!(command, Command::HangUp { .. }) {
                    self.legs.remove(&leg);
                }
                Input::Command(leg, command)
            }
            Order::Invite { leg, invite, events } => {
                self.legs.insert(leg, events);
                Input::Invite(leg, invite)
            }
            Order::Bye(stored) => Input::Bye(stored),
            Order::Sources(policy) => {
                self.policy = Some(policy.clone());
                Input::Sources(policy)
            }
            Order::Registrations(wanted) => Input::Registrations(wanted),
            Order::Registered(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.core.registrations());
                return;
            }
            Order::Pings(wanted) => Input::Pings(wanted),
            Order::Pinged(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.core.pings());
                return;
            }
            Order::Tables(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.core.tables());
                return;
            }
        };
        self.core.input(self.clock.now(), input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send { socket, to: Address::Socket(to), bytes, transaction } => self.send(socket, to, to, bytes, transaction),
                Output::Send { socket, to: Address::Back { flow, open }, bytes, transaction } => {
                    self.send(socket, flow, open, bytes, transaction);
                }
                Output::Alias { socket, source, listens } => self.flows.alias(socket, source, listens),
                Output::Send { socket, to: Address::Name(name), bytes, transaction } => {
                    match self.names.look_up(&name, self.clock.now(), Waiting { socket, bytes: bytes.clone(), token: transaction }) {
                        Lookup::Known(to) => self.send(socket, to, to, bytes, transaction),
                        Lookup::Ask => {
                            self.lookups.spawn(target::resolve(self.resolver.clone(), name, self.local[socket]));
                        }
                        Lookup::Pending => {}
                        Lookup::Failed => self.not_sent(transaction),
                    }
                }
                Output::Offer { leg, invite, stored, place } => self.offer(leg, *invite, stored, place),
                Output::Tell { leg, event, stored } => {
                    let Some(events) = self.legs.get(&leg) else { continue };
                    if events.try_send(Box::new(Told { event: *event, stored })).is_err() {
                        // Gone, or it does not listen: either way it has no leg any more.
                        self.legs.remove(&leg);
                        self.core.input(self.clock.now(), Input::Command(leg, Command::HangUp { reason: None }));
                    }
                }
                Output::End { leg } => {
                    self.legs.remove(&leg);
                }
            }
        }
    }

    fn offer(&mut self, leg: LegId, invite: Invite, stored: Box<StoredDialog>, place: Option<Box<Place>>) {
        let (events, queue) = mpsc::channel(EVENT_QUEUE);
        let sent = match self.order_sender.upgrade() {
            Some(orders) => {
                self.legs.insert(leg, events);
                self.incoming.try_send(Incoming { leg: Leg::new(leg, orders, queue, Some(stored), place), invite })
            }
            None => return self.busy(leg),
        };
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = sent {
            // The leg that comes back is dropped and asks to be hung up, but by then it is refused.
            self.legs.remove(&leg);
            self.busy(leg);
        }
    }

    fn busy(&mut self, leg: LegId) {
        let headers = vec![Header::new("Retry-After", BUSY_SECS.to_string())];
        let command = Command::Refuse { status: 503, phrase: "".into(), headers };
        self.core.input(self.clock.now(), Input::Command(leg, command));
    }

    /// Lets whoever looks see a message.
    fn saw(&self, way: Way, socket: usize, remote: SocketAddr, bytes: &Bytes) {
        if let Some(Tapping { tap, ours }) = self.tapping.as_ref().filter(|tapping| tapping.tap.is_open()) {
            tap.saw(self.clock.timestamp(), way, (self.local[socket].0, ours[socket], remote), bytes);
        }
    }

    /// Sends to `to`; over streams by the connection to it, or one to `open`.
    fn send(&mut self, socket: usize, to: SocketAddr, open: SocketAddr, bytes: Bytes, transaction: Option<TransactionId>) {
        self.saw(Way::Sent, socket, to, &bytes);
        if socket >= self.sockets.count() {
            let (transport, from) = self.local[socket];
            let tls = transport == Transport::Tls;
            let domain = self.policy.as_ref().filter(|_| tls).and_then(|policy| policy.server_name(open));
            let taken = self.flows.send(Call { socket, from, tls, domain }, to, open, (bytes, transaction));
            if taken.is_err() {
                tracing::warn!(sip.to = %to, "A SIP message cannot be sent: its connection is full, or there are too many connections.");
                self.not_sent(transaction);
            }
        } else if let Err(error) = self.sockets.send(socket, to, &bytes) {
            tracing::warn!(sip.to = %to, "A SIP message cannot be sent: {error}");
            self.not_sent(transaction);
        }
    }

    fn not_sent(&mut self, transaction: Option<TransactionId>) {
        if let Some(transaction) = transaction {
            self.core.input(self.clock.now(), Input::NotSent(transaction));
        }
    }

    fn resolved(&mut self, name: &HostPort, answer: Option<SocketAddr>) {
        let (address, waiting) = self.names.answered(name, answer, self.clock.now());
        if address.is_none() {
            tracing::warn!(sip.host = %name.host, "The name of a SIP host has no address: correct it, or the resolver's settings.");
        }
        for Waiting { socket, bytes, token } in waiting {
            match address {
                Some(to) => self.send(socket, to, to, bytes, token),
                None => self.not_sent(token),
            }
        }
    }

    fn sweep(&mut self) {
        if let Some((shed, window)) = self.admission.as_ref().map(|admission| admission.shed()).filter(|(shed, _)| *shed != self.shed) {
            let calls = shed - std::mem::replace(&mut self.shed, shed);
            tracing::warn!(
                calls,
                window,
                "New calls were refused with 503, because setting them up takes too long; look at the load of the machine and the database."
            );
        }
        let gone = self.legs.iter().filter(|(_, events)| events.is_closed()).map(|(leg, _)| *leg).collect::<Vec<_>>();
        for leg in gone {
            self.legs.remove(&leg);
            self.core.input(self.clock.now(), Input::Command(leg, Command::HangUp { reason: None }));
        }
    }
}
