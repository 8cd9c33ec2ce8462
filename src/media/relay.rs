//! The relay of our own: each call has a task with two sockets a leg, and every packet goes from one leg to the other as it is.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr, UdpSocket as Unregistered};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use super::describe::{self, Described, Place};
use super::dtmf::Keys;
use super::engine::{Homes, MediaError};
use super::player::{Player, Tune};
use super::ports::{Pair, Ports};
use super::rtp::{Packet, is_rtcp};
use super::source::Source;
use super::{Codec, Config, Heard, Statistics, g711};
use crate::sdp::offer_answer::Own;
use crate::types::{Clock, Digit, Moment, Random, Side};

/// The largest datagram that is relayed: no sound needs more than a frame of Ethernet.
const DATAGRAM: usize = 2_048;
/// Pairs of ports that somebody else may have before we give up.
const MOST_TAKEN: usize = 64;
/// Orders that may wait for a call's task, and news that may wait for the call.
const QUEUE: usize = 32;
/// How long nothing is due: longer than any call.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// The relay. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Relay(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    homes: Homes,
    ports: Arc<Ports>,
    silence: Option<Duration>,
    clock: Clock,
    random: Random,
}

impl Relay {
    /// Binds nothing yet.
    pub fn new(config: &Config, homes: Homes, clock: Clock, random: Random) -> Self {
        let ports = Ports::new(config.first_port, config.last_port, random.u64());
        Self(Arc::new(Shared { homes, ports, silence: config.silence(), clock, random }))
    }

    /// Two legs for a call, both at home where its caller is.
    pub fn open(&self, caller: IpAddr) -> Result<Session, MediaError> {
        let (a, a_at) = self.0.home(caller)?;
        let (b, b_at) = self.0.home(caller)?;
        let own = |at: Place| Own::new(self.0.random.u64(), at.ip);
        let (orders, queue) = mpsc::channel(QUEUE);
        let (news, events) = mpsc::channel(QUEUE);
        let session = Session { relay: self.clone(), places: [a_at, b_at], own: [own(a_at), own(b_at)], codec: None, orders, events };
        let now = self.0.clock.now();
        let half = |sockets| Half::new(sockets, self.0.random.u64(), now);
        let call = Call { halves: [half(a), half(b)], answered: false, silence: self.0.silence, news };
        tokio::spawn(call.run(self.0.clock.clone(), queue));
        Ok(session)
    }
}

impl Shared {
    /// A pair of sockets towards a far end there.
    fn home(&self, far: IpAddr) -> Result<(Sockets, Place), MediaError> {
        let (bound, shown) = self.homes.towards(far).ok_or(MediaError::NoAddress(far))?;
        // Pairs that are not ours stay lent while we look on, so that each is tried once.
        let mut taken = Vec::new();
        while taken.len() < MOST_TAKEN {
            let pair = self.ports.take().ok_or(MediaError::NoPort)?;
            let port = pair.rtp;
            match (bind(bound, port), bind(bound, port + 1)) {
                (Ok(rtp), Ok(rtcp)) => return Ok((Sockets { rtp, rtcp, _pair: pair }, Place { ip: shown, port })),
                (Err(error), _) | (_, Err(error)) if error.kind() != std::io::ErrorKind::AddrInUse => return Err(error.into()),
                _ => taken.push(pair),
            }
        }
        Err(MediaError::NoPort)
    }
}

fn bind(ip: IpAddr, port: u16) -> std::io::Result<UdpSocket> {
    let socket = Unregistered::bind((ip, port))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

#[derive(Debug)]
struct Sockets {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    _pair: Pair,
}

/// What the call's task is told.
#[derive(Debug)]
enum Order {
    Move(Side, Box<Sockets>),
    Describe(Side, Described),
    Answered,
    Listen(Side),
    Info(Side, Digit),
    Play(Side, Tune),
    Hush(Side),
    Close(oneshot::Sender<Statistics>),
}

/// The call's end of its relay.
#[derive(Debug)]
pub struct Session {
    relay: Relay,
    places: [Place; 2],
    own: [Own; 2],
    /// What both were last said to speak.
    codec: Option<Codec>,
    orders: mpsc::Sender<Order>,
    events: mpsc::Receiver<Heard>,
}

const fn index(side: Side) -> usize {
    match side {
        Side::A => 0,
        Side::B => 1,
    }
}

impl Session {
    pub fn towards(&mut self, side: Side, far: IpAddr) -> Result<(), MediaError> {
        let (_, shown) = self.relay.0.homes.towards(far).ok_or(MediaError::NoAddress(far))?;
        if shown == self.places[index(side)].ip {
            return Ok(());
        }
        let (sockets, place) = self.relay.0.home(far)?;
        self.places[index(side)] = place;
        self.own[index(side)] = Own::new(self.relay.0.random.u64(), place.ip);
        self.order(Order::Move(side, Box::new(sockets)));
        Ok(())
    }

    pub fn describe(&mut self, from: Side, text: &Bytes) -> Result<Bytes, MediaError> {
        let to = index(from.other());
        let (text, described) = describe::take_over(text, self.places[to], &mut self.own[to])?;
        // Both speak what the answer names first; an offer alone says as much as is known.
        self.codec = described.codec.map(|(codec, _)| codec);
        self.order(Order::Describe(from, described));
        Ok(text)
    }

    /// Answers an offer of A's by ourselves; what B may be offered in its place. Nothing if we speak none of what is offered.
    pub fn accept(&mut self, text: &Bytes) -> Result<Option<(Bytes, Bytes)>, MediaError> {
        let (place, own) = (self.places[0], &mut self.own[0]);
        let Some((answer, asked, described)) = describe::accept(text, place, own)? else { return Ok(None) };
        self.codec = described.codec.map(|(codec, _)| codec);
        self.order(Order::Describe(Side::A, described));
        self.order(Order::Listen(Side::A));
        Ok(Some((answer, asked)))
    }

    pub const fn codec(&self) -> Option<Codec> {
        self.codec
    }

    pub fn answered(&self) {
        self.order(Order::Answered);
    }

    pub fn info(&self, side: Side, digit: Digit) {
        self.order(Order::Info(side, digit));
    }

    pub fn play(&self, side: Side, tune: Tune) {
        self.order(Order::Play(side, tune));
    }

    pub fn hush(&self, side: Side) {
        self.order(Order::Hush(side));
    }

    pub async fn heard(&mut self) -> Heard {
        match self.events.recv().await {
            Some(heard) => heard,
            // The task ends only with the session.
            None => std::future::pending().await,
        }
    }

    pub async fn close(self) -> Statistics {
        let (answer, told) = oneshot::channel();
        let asked = self.orders.send(Order::Close(answer)).await;
        if asked.is_err() { Statistics::default() } else { told.await.unwrap_or_default() }
    }

    fn order(&self, order: Order) {
        // A task that lags this far behind has no time for sound either; the next description finds it again.
        if self.orders.try_send(order).is_err() {
            tracing::warn!("a relayed call does not keep up with its descriptions; the machine is too busy");
        }
    }
}

/// Sends at once; what the network does not take is lost, as on the network. Not by way of the runtime: to that, a socket just made is not
/// writable yet, and the first packet of what we say would be lost.
fn send(socket: &UdpSocket, bytes: &[u8], target: SocketAddr) {
    let _ = SockRef::from(socket).send_to(bytes, &target.into());
}

/// One leg.
#[derive(Debug)]
struct Half {
    sockets: Sockets,
    source: Source,
    described: Described,
    heard: Moment,
    /// Its keys, once somebody wants to know.
    keys: Option<Box<Keys>>,
    /// What we say to it.
    player: Player,
    /// What it hears over the other party, and how far that has come.
    over: Option<(Arc<[u8]>, usize)>,
}

impl Half {
    fn new(sockets: Sockets, chance: u64, now: Moment) -> Self {
        let player = Player::new(u32::try_from(chance >> 32).unwrap_or(1));
        Self { sockets, source: Source::default(), described: Described::default(), heard: now, keys: None, player, over: None }
    }

    /// Sends to the far end.
    fn send(&self, bytes: &[u8]) {
        if let Some(target) = self.source.target() {
            send(&self.sockets.rtp, bytes, target);
        }
    }

    /// What the other party says, unless we speak ourselves.
    fn pass(&mut self, packet: Option<&Packet>, bytes: &[u8]) {
        if self.player.gives_way() {
            self.player.stop();
        }
        if self.player.due().is_some() {
            return;
        }
        let sound = packet.filter(|packet| self.described.codec.is_some_and(|(_, payload_type)| payload_type == packet.payload_type));
        let (Some((tone, at)), Some(packet)) = (&mut self.over, sound) else { return self.send(bytes) };
        let mut changed = bytes.to_vec();
        let place = &mut changed[packet.payload.clone()];
        let length = place.len().min(tone.len() - *at);
        place[..length].copy_from_slice(&tone[*at..*at + length]);
        *at += length;
        if *at == tone.len() {
            self.over = None;
        }
        self.send(&changed);
    }

    fn play(&mut self, tune: Tune, now: Moment) {
        let Some((_, payload_type)) = self.described.codec else { return };
        match tune {
            Tune::Once(sounds) => self.player.play(payload_type, sounds, false, now),
            Tune::Ringing(sound) => self.player.loop_after(payload_type, sound, now),
            Tune::Over(sound) => self.over = Some((sound, 0)),
        }
    }

    /// The key that a packet begins.
    fn key(&mut self, packet: &Packet, bytes: &[u8]) -> Option<Digit> {
        let keys = self.keys.as_mut()?;
        let payload = &bytes[packet.payload.clone()];
        if self.described.events == Some(packet.payload_type) {
            return keys.event(packet.timestamp, payload);
        }
        let (codec, _) = self.described.codec.filter(|(_, payload_type)| *payload_type == packet.payload_type)?;
        let hear = g711::decoder(codec)?;
        keys.sound(payload.iter().map(|&byte| hear(byte)))
    }

    fn report(&self, bytes: &[u8]) {
        let (socket, target) =
            if self.described.mux { (&self.sockets.rtp, self.source.target()) } else { (&self.sockets.rtcp, self.source.target_rtcp()) };
        if let Some(target) = target {
            send(socket, bytes, target);
        }
    }
}

/// One call.
struct Call {
    halves: [Half; 2],
    answered: bool,
    silence: Option<Duration>,
    news: mpsc::Sender<Heard>,
}

impl Call {
    async fn run(mut self, clock: Clock, mut orders: mpsc::Receiver<Order>) {
        let mut due = clock.now() + NEVER;
        let mut alarm = Box::pin(clock.sleep_until(due));
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    None => return,
                    Some(Order::Close(answer)) => {
                        let [a, b] = &self.halves;
                        let _ = answer.send(Statistics { a: a.source.receiver.quality(), b: b.source.receiver.quality() });
                        return;
                    }
                    Some(order) => self.obey(order, clock.now()),
                },
                () = &mut alarm => {
                    self.play(clock.now());
                    self.silence(clock.now());
                }
                () = poll_fn(|context| self.relay(context, &clock)) => {}
            }
            let next = self.next_due(clock.now());
            if next != due {
                due = next;
                alarm.set(clock.sleep_until(due));
            }
        }
    }

    fn obey(&mut self, order: Order, now: Moment) {
        match order {
            Order::Move(side, sockets) => {
                let half = &mut self.halves[index(side)];
                (half.sockets, half.source, half.described) = (*sockets, Source::default(), Described::default());
            }
            Order::Listen(side) => self.halves[index(side)].keys = Some(Box::default()),
            Order::Info(side, digit) => {
                if let Some(digit) = self.halves[index(side)].keys.as_mut().and_then(|keys| keys.info(digit)) {
                    let _ = self.news.try_send(Heard::Pressed(side, digit));
                }
            }
            Order::Play(side, tune) => self.halves[index(side)].play(tune, now),
            Order::Hush(side) => self.halves[index(side)].player.stop(),
            Order::Describe(side, described) => {
                let half = &mut self.halves[index(side)];
                half.source.describe(described.rtp, described.rtcp, now);
                half.described = described;
                half.heard = now;
            }
            Order::Answered => {
                self.answered = true;
                for half in &mut self.halves {
                    half.source.answered(now);
                    half.heard = now;
                }
            }
            Order::Close(_) => {}
        }
    }

    /// Until there is nothing more to read. Ready never: it is the sockets that wake the task.
    fn relay(&mut self, context: &mut Context<'_>, clock: &Clock) -> Poll<()> {
        for from in [0, 1] {
            let mut bytes = [0_u8; DATAGRAM];
            loop {
                let mut buffer = ReadBuf::new(&mut bytes);
                match self.halves[from].sockets.rtp.poll_recv_from(context, &mut buffer) {
                    Poll::Ready(Ok(source)) => self.packet(from, source, buffer.filled(), clock.now()),
                    // An ICMP error of something sent before: the next packet is a new try.
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => break,
                }
            }
            loop {
                let mut buffer = ReadBuf::new(&mut bytes);
                match self.halves[from].sockets.rtcp.poll_recv_from(context, &mut buffer) {
                    Poll::Ready(Ok(source)) => self.report(from, source, buffer.filled(), clock.now()),
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => break,
                }
            }
        }
        Poll::Pending
    }

    fn packet(&mut self, from: usize, source: SocketAddr, bytes: &[u8], now: Moment) {
        if is_rtcp(bytes) {
            return self.report(from, source, bytes, now);
        }
        let packet = Packet::parse(bytes);
        let half = &mut self.halves[from];
        if !half.source.admits(source, packet.as_ref(), now) {
            return;
        }
        half.heard = now;
        if let Some(digit) = packet.as_ref().and_then(|packet| half.key(packet, bytes)) {
            let side = if from == 0 { Side::A } else { Side::B };
            let _ = self.news.try_send(Heard::Pressed(side, digit));
        }
        self.halves[1 - from].pass(packet.as_ref(), bytes);
    }

    fn play(&mut self, now: Moment) {
        for side in [Side::A, Side::B] {
            let Half { player, sockets, source, .. } = &mut self.halves[index(side)];
            let target = source.target();
            let over = player.tick(now, |packet| {
                if let Some(target) = target {
                    send(&sockets.rtp, packet, target);
                }
            });
            if over {
                let _ = self.news.try_send(Heard::Played(side));
            }
        }
    }

    fn report(&mut self, from: usize, source: SocketAddr, bytes: &[u8], now: Moment) {
        let half = &mut self.halves[from];
        if half.source.admits_rtcp(source) {
            half.heard = now;
            self.halves[1 - from].report(bytes);
        }
    }

    /// When the next of those who should be heard has been silent for too long.
    fn next_due(&self, now: Moment) -> Moment {
        let watched = self.silence.filter(|_| self.answered);
        let first =
            watched.and_then(|silence| self.halves.iter().filter(|half| half.described.sends).map(|half| half.heard + silence).min());
        let playing = self.halves.iter().filter_map(|half| half.player.due());
        first.into_iter().chain(playing).min().unwrap_or(now + NEVER)
    }

    fn silence(&mut self, now: Moment) {
        let Some(silence) = self.silence.filter(|_| self.answered) else { return };
        for side in [Side::A, Side::B] {
            let half = &self.halves[index(side)];
            if half.described.sends && now.since(half.heard) >= silence {
                let _ = self.news.try_send(Heard::Silence(side));
                // Told once: who listens ends the call.
                self.answered = false;
            }
        }
    }
}
