//! The async door of the room: one task owns the core, the sockets and nothing else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::admission::{Admission, Place, Rule};
pub use super::core::Tables;
use super::core::{Core, Local, Ping, PingState, Settings};
use super::dialog::refresh::MIN_SE;
use super::digest::Algorithm;
use super::leg::{Command, EVENT_QUEUE, Hop, Incoming, Leg, LegId, OutgoingInvite, StoredDialog, Told};
use super::net;
use super::net::Doors;
use super::net::flow::Bounds;
use super::net::tls::{Files, Tls, TlsError};
use super::resolve::Resolver;
use super::tap::Tap;
use super::transaction::Intervals;
use super::transport::Transport;
use crate::types::{Clock, Moment, Random, Secret, TrunkId};

/// Settings of the SIP side.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses to listen on, IPv4 and IPv6; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Whether TCP is spoken there too, not UDP alone.
    pub tcp: bool,
    /// TLS: where, and by which certificates.
    pub tls: Files,
    /// DNS servers to ask; none means those of the machine.
    pub dns: Vec<SocketAddr>,
    /// TCP and TLS connections at once; strangers may have half of them.
    pub max_connections: usize,
    /// Connections at once from one stranger's address.
    pub max_connections_of_one: usize,
    /// A connection is closed when nothing has come or gone for this long.
    pub connection_idle_secs: u32,
    /// How often a quiet connection is kept alive, so that firewalls keep it open; 0 for never.
    pub keep_alive_secs: u32,
    /// The addresses that others reach us by, where they differ from `listen` (behind NAT, or listening on all addresses):
    /// at most one for each family.
    pub advertise: Vec<IpAddr>,
    /// What strangers get.
    pub strangers: Strangers,
    /// The beginnings of User-Agent values that get no answer at all.
    pub scanners: Vec<String>,
    /// Whether carriers that prove who they are by a password may use MD5.
    pub digest_md5: bool,
    /// Legs at once; more are answered 503 with Retry-After.
    pub max_legs: usize,
    /// New calls that may wait for the switchboard; more are answered 503 with Retry-After.
    pub max_waiting_calls: usize,
    /// New calls are answered 503 with Retry-After when setting up those before them takes longer than this; 0 for never.
    pub setup_target_ms: u32,
    /// Requests a stranger's address may send in two seconds before it is ignored for five minutes.
    pub stranger_requests: u32,
    /// Seconds that a call may go without a sign of life from each party before it is ended (RFC 4028), 90 or more.
    pub session_secs: u32,
    /// RFC 3261 T1: the round trip to reckon with.
    pub t1_ms: u32,
    /// RFC 3261 T2: the longest interval between repeats.
    pub t2_ms: u32,
    /// RFC 3261 T4: the longest life of a message in the network.
    pub t4_ms: u32,
}

/// What strangers get for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strangers {
    /// OPTIONS 200 without details, INVITE 403, the rest 405.
    #[default]
    Refuse,
    /// Nothing at all.
    Ignore,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 5060))],
            tcp: true,
            tls: Files::default(),
            dns: Vec::new(),
            max_connections: 2_000,
            max_connections_of_one: 20,
            connection_idle_secs: 900,
            keep_alive_secs: 100,
            advertise: Vec::new(),
            strangers: Strangers::Refuse,
            scanners: [
                "friendly-scanner",
                "sipvicious",
                "sip-scan",
                "sipcli",
                "sundayddr",
                "iWar",
                "VaxSIPUserAgent",
                "pplsip",
                "siparmyknife",
            ]
            .map(String::from)
            .to_vec(),
            digest_md5: false,
            max_legs: 20_000,
            max_waiting_calls: 1_000,
            setup_target_ms: 100,
            stranger_requests: 100,
            session_secs: 1800,
            t1_ms: 500,
            t2_ms: 4_000,
            t4_ms: 5_000,
        }
    }
}

/// Who an address is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// An address of this trunk: its calls are offered to the switchboard, and any of its addresses may speak inside its calls.
    Trunk(TrunkId),
    /// Nobody we know.
    Stranger,
}

/// Who we are to a carrier that wants a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Our name there.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// Whether MD5 will do, for old carriers.
    pub md5: bool,
}

/// A registration to be kept at a carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Whose it is.
    pub trunk: TrunkId,
    /// The addresses of the registrar, in order.
    pub hops: Vec<Hop>,
    /// Its URI, such as `sip:carrier.example.com`.
    pub registrar: String,
    /// What is registered, such as `sip:account@carrier.example.com`.
    pub aor: String,
    /// The user part of our Contact.
    pub user: String,
    /// Our credentials.
    pub login: Option<Login>,
    /// For how long we ask.
    pub secs: u32,
}

/// How a registration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationState {
    /// The first answer is awaited.
    Trying,
    /// Calls find us.
    Registered {
        /// Unless refreshed.
        until: Moment,
    },
    /// It is tried again after a while.
    Failed {
        /// What was said, or not.
        reason: String,
        /// The carrier's status, if it answered.
        status: Option<u16>,
    },
}

/// Tells trunks from strangers. Asked for every request that belongs to no call, so it must be quick.
pub trait SourcePolicy: Send + Sync {
    /// Who this address is. Of a connection the port is 0: it tells nothing.
    fn classify(&self, source: SocketAddr) -> Source;

    /// Who this address is that has shown a certificate, which we believe, of these names.
    fn classify_proved(&self, source: SocketAddr, names: &[String]) -> Source {
        let _ = names;
        self.classify(SocketAddr::new(source.ip(), 0))
    }

    /// Whether anybody may prove by a password to be a trunk.
    fn asks_for_digest(&self) -> bool {
        false
    }

    /// The trunk of this name, and the hash that its password must have.
    fn digest(&self, user: &str, algorithm: Algorithm) -> Option<(TrunkId, Secret)> {
        let _ = (user, algorithm);
        None
    }

    /// Who we are to the carrier at this address, if it wants a password.
    fn login(&self, address: SocketAddr) -> Option<Login> {
        let _ = address;
        None
    }

    /// Whose certificate the TLS server at this address must show; none means the address's own.
    fn server_name(&self, address: SocketAddr) -> Option<String> {
        let _ = address;
        None
    }
}

/// Everything the endpoint's task may be told.
pub(crate) enum Order {
    /// A leg is told something, and gives back its place among the calls that are being set up.
    Leg(LegId, Command, Option<Box<Place>>),
    /// A leg is made.
    Invite { leg: LegId, invite: Box<OutgoingInvite>, events: mpsc::Sender<Box<Told>> },
    /// A dialog of an earlier life is hung up.
    Bye(Box<StoredDialog>),
    /// The trunks are these now.
    Sources(Arc<dyn SourcePolicy>),
    /// These registrations are wanted.
    Registrations(Vec<Registration>),
    /// How do they stand?
    Registered(oneshot::Sender<Vec<(TrunkId, RegistrationState)>>),
    /// These addresses are asked whether they live.
    Pings(Vec<Ping>),
    /// How do they do?
    Pinged(oneshot::Sender<Vec<(Hop, PingState)>>),
    /// How full are the tables?
    Tables(oneshot::Sender<Tables>),
}

/// Orders that may wait for the task: then those who give them wait.
const ORDER_QUEUE: usize = 4096;

/// The door to SIP. A clone is another handle to the same task; when the last one and the last leg are gone, the task ends.
#[derive(Clone)]
pub struct Endpoint {
    orders: mpsc::Sender<Order>,
    local: Arc<[SocketAddr]>,
    secret: Arc<[SocketAddr]>,
    next_leg: Arc<AtomicU64>,
}

impl Endpoint {
    /// Binds the sockets and starts the task. Until [`Endpoint::set_sources`] everybody is a stranger.
    pub async fn start(config: Config, clock: Clock, random: Random) -> io::Result<(Self, mpsc::Receiver<Incoming>)> {
        let resolver = Resolver::by_servers(&config.dns, clock.clone());
        Self::start_with(config, clock, random, resolver).await
    }

    /// The same with a resolver that others use too.
    pub async fn start_with(
        config: Config,
        clock: Clock,
        random: Random,
        resolver: Resolver,
    ) -> io::Result<(Self, mpsc::Receiver<Incoming>)> {
        Self::start_tapped(config, clock, random, resolver, None).await
    }

    /// The same with a tap, by which others see what is received and sent.
    #[expect(clippy::unused_async, reason = "it starts a task, so it must be called inside a runtime")]
    pub async fn start_tapped(
        config: Config,
        clock: Clock,
        random: Random,
        resolver: Resolver,
        tap: Option<Tap>,
    ) -> io::Result<(Self, mpsc::Receiver<Incoming>)> {
        if config.session_secs < MIN_SE {
            let message = format!("sip.session_secs is {}, but RFC 4028 allows no less than {MIN_SE}", config.session_secs);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let tls = Tls::load(&config.tls, clock.clone()).map_err(io::Error::other)?;
        let doors = Doors::open(&config.listen, config.tcp, &config.tls.listen)?;
        let bound = doors.addresses()?;
        let locals = bound
            .iter()
            .map(|&(transport, address)| advertised(address, &config.advertise).map(|address| Local::over(transport, address)))
            .collect::<io::Result<Vec<_>>>()?;
        let tapping = tap.map(|tap| net::task::Tapping { tap, ours: locals.iter().map(|local| local.advertised).collect() });
        let secs = |secs: u32| Duration::from_secs(u64::from(secs));
        let bounds = Bounds {
            most: config.max_connections,
            most_of_one: config.max_connections_of_one,
            idle: secs(config.connection_idle_secs),
            ping: Some(secs(config.keep_alive_secs)).filter(|every| !every.is_zero()),
        };
        let settings = Settings {
            locals,
            intervals: Intervals {
                t1: Duration::from_millis(u64::from(config.t1_ms)),
                t2: Duration::from_millis(u64::from(config.t2_ms)),
                t4: Duration::from_millis(u64::from(config.t4_ms)),
            },
            strangers: config.strangers,
            scanners: config.scanners.iter().map(|scanner| scanner.to_ascii_lowercase()).collect(),
            digest_md5: config.digest_md5,
            max_legs: config.max_legs,
            session_secs: config.session_secs,
            stranger_requests: config.stranger_requests,
        };
        let local = bound.iter().filter(|(transport, _)| *transport == Transport::Udp).map(|(_, address)| *address).collect();
        let secret = bound.iter().filter(|(transport, _)| *transport == Transport::Tls).map(|(_, address)| *address).collect();
        let (orders, order_queue) = mpsc::channel(ORDER_QUEUE);
        let (incoming, calls) = mpsc::channel(config.max_waiting_calls.max(1));
        let target = Some(Duration::from_millis(u64::from(config.setup_target_ms))).filter(|target| !target.is_zero());
        let admission = target.map(|target| Admission::new(Rule::new(target, config.max_waiting_calls), clock.clone()));
        let core = Core::new(settings, random);
        let queues = net::task::Queues { orders: order_queue, order_sender: orders.downgrade(), incoming, admission };
        let task = net::task::Task::new(core, doors, (bound, tapping), (bounds, tls), resolver, clock, queues);
        tokio::spawn(task.run());
        Ok((Self { orders, local, secret, next_leg: Arc::new(AtomicU64::new(1)) }, calls))
    }

    /// Says from now on who is a trunk and who a stranger.
    pub async fn set_sources(&self, policy: Arc<dyn SourcePolicy>) {
        self.order(Order::Sources(policy)).await;
    }

    /// Calls somebody. The leg is there at once; how it fares comes as its events, failures of sending included.
    pub async fn invite(&self, invite: OutgoingInvite) -> Leg {
        // Outgoing legs are odd, incoming ones, counted by the core, even.
        let leg = LegId(self.next_leg.fetch_add(2, Ordering::Relaxed));
        let (events, queue) = mpsc::channel(EVENT_QUEUE);
        self.order(Order::Invite { leg, invite: Box::new(invite), events }).await;
        Leg::new(leg, self.orders.clone(), queue, None, None)
    }

    /// Hangs up a leg of an earlier life of this process. No event: BYE is repeated as long as RFC 3261 has it, then forgotten.
    pub async fn bye(&self, dialog: StoredDialog) {
        self.order(Order::Bye(Box::new(dialog))).await;
    }

    /// The addresses we listen on, in the order of [`Config::listen`]: each for UDP and, unless that is off, for TCP.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.local
    }

    /// The addresses we listen on for TLS.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.secret
    }

    /// What can be said of the settings without starting: the certificates are there and sound.
    pub fn check(config: &Config) -> Result<(), TlsError> {
        Tls::load(&config.tls, Clock::system()).map(drop)
    }

    /// Keeps these registrations from now on and takes others back.
    pub async fn register(&self, wanted: Vec<Registration>) {
        self.order(Order::Registrations(wanted)).await;
    }

    /// How each of them stands.
    pub async fn registrations(&self) -> Vec<(TrunkId, RegistrationState)> {
        let (answer, told) = oneshot::channel();
        self.order(Order::Registered(answer)).await;
        told.await.unwrap_or_default()
    }

    /// Asks these addresses from now on, and no others, whether they live.
    pub async fn ping(&self, wanted: Vec<Ping>) {
        self.order(Order::Pings(wanted)).await;
    }

    /// How each of them does.
    pub async fn pings(&self) -> Vec<(Hop, PingState)> {
        let (answer, told) = oneshot::channel();
        self.order(Order::Pinged(answer)).await;
        told.await.unwrap_or_default()
    }

    /// How full the tables are: all zero some 32 seconds after the last call.
    pub async fn tables(&self) -> Tables {
        let (answer, told) = oneshot::channel();
        self.order(Order::Tables(answer)).await;
        told.await.unwrap_or_default()
    }

    async fn order(&self, order: Order) {
        // An error means the task has ended; then there is nothing to do it for.
        let _ = self.orders.send(order).await;
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({:?})", self.local)
    }
}

/// What others reach a bound address by.
fn advertised(bound: SocketAddr, advertise: &[IpAddr]) -> io::Result<SocketAddr> {
    let ip = advertise.iter().find(|ip| ip.is_ipv4() == bound.is_ipv4()).copied().unwrap_or(bound.ip());
    if ip.is_unspecified() {
        let message = format!("listening on {bound} needs sip.advertise: the address that others reach this machine by");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(SocketAddr::new(ip, bound.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Body, InDialog, LegEvent, Reason, Target};

    struct Everybody(TrunkId);

    impl SourcePolicy for Everybody {
        fn classify(&self, _: SocketAddr) -> Source {
            Source::Trunk(self.0)
        }
    }

    async fn endpoint(listen: &str) -> (Endpoint, mpsc::Receiver<Incoming>) {
        let config = Config { listen: vec![listen.parse().unwrap()], ..Config::default() };
        let (endpoint, calls) = Endpoint::start(config, Clock::system(), Random::system()).await.unwrap();
        endpoint.set_sources(Arc::new(Everybody(TrunkId::new(&Clock::system(), &Random::seeded(1))))).await;
        (endpoint, calls)
    }

    fn call(target: Target) -> OutgoingInvite {
        OutgoingInvite {
            target,
            request_uri: "sip:+15551231234@carrier.example.com;user=phone".into(),
            from: "<sip:+15551230000@example.com>".into(),
            to: "<sip:+15551231234@carrier.example.com>".into(),
            headers: vec![crate::sip::Header::new("P-Asserted-Identity", "<sip:+15551230000@example.com>")],
            body: Some(Body::sdp("v=0\r\n")),
            max_forwards: 69,
            sip_call_id: None,
        }
    }

    async fn a_call_completes(listen: &str, transport: Transport) {
        let (alice, _calls) = endpoint(listen).await;
        let (bob, mut calls) = endpoint(listen).await;
        let target = Target::Hop(Hop { transport, address: bob.local_addresses()[0], by_size: true });
        let mut out = alice.invite(call(target)).await;

        let Incoming { leg: mut into, invite } = calls.recv().await.unwrap();
        assert_eq!(invite.request_uri, "sip:+15551231234@carrier.example.com;user=phone");
        assert_eq!((invite.from.as_str(), invite.max_forwards), ("<sip:+15551230000@example.com>", 68));
        assert_eq!(invite.header("p-asserted-identity"), Some("<sip:+15551230000@example.com>"));
        assert_eq!((invite.body, invite.transport), (Some(Body::sdp("v=0\r\n")), transport));
        assert!(into.stored_dialog().is_some());

        into.progress(183, Some(Body::sdp("early")), vec![]).await;
        assert!(matches!(out.event().await, Some(LegEvent::Progress { status: 100, .. })));
        assert!(matches!(out.event().await, Some(LegEvent::Progress { status: 183, body: Some(_), .. })));
        into.answer(Some(Body::sdp("answer")), vec![]).await;
        assert!(
            matches!(out.event().await, Some(LegEvent::Answered { body: Some(body), ack_due: false, .. }) if &body.bytes[..] == b"answer")
        );
        assert!(out.stored_dialog().is_some());
        assert_eq!(into.event().await, Some(LegEvent::Acked { body: None }));

        let asked = out.request(InDialog::Reinvite, Some(Body::sdp("again")), vec![]).await;
        let Some(LegEvent::Request { id, method: InDialog::Reinvite, body: Some(_), .. }) = into.event().await else {
            panic!("no re-INVITE")
        };
        into.respond(id, 200, Some(Body::sdp("agreed")), vec![]).await;
        assert!(matches!(out.event().await, Some(LegEvent::Response { id, status: 200, .. }) if id == asked));
        assert_eq!(into.event().await, Some(LegEvent::RequestAcked { id, body: None }));

        into.hang_up(Some(Reason::q850(16, "Normal call clearing"))).await;
        assert_eq!(into.event().await, None);
        let Some(LegEvent::HungUp { reason: Some(reason), .. }) = out.event().await else { panic!("not hung up") };
        assert_eq!((reason.cause, &*reason.text), (16, "Normal call clearing"));
        assert_eq!(out.event().await, None);
    }

    #[tokio::test]
    async fn a_call_completes_over_ipv4() {
        a_call_completes("127.0.0.1:0", Transport::Udp).await;
        a_call_completes("127.0.0.1:0", Transport::Tcp).await;
    }

    #[tokio::test]
    async fn a_call_completes_over_ipv6() {
        a_call_completes("[::1]:0", Transport::Udp).await;
        a_call_completes("[::1]:0", Transport::Tcp).await;
    }

    #[tokio::test]
    async fn a_long_invite_goes_by_tcp_and_back_to_udp_if_nobody_listens_there() {
        let (alice, _calls) = endpoint("127.0.0.1:0").await;
        for (tcp, came_by) in [(true, Transport::Tcp), (false, Transport::Udp)] {
            let config = Config { listen: vec!["127.0.0.1:0".parse().unwrap()], tcp, ..Config::default() };
            let (bob, mut calls) = Endpoint::start(config, Clock::system(), Random::system()).await.unwrap();
            bob.set_sources(Arc::new(Everybody(TrunkId::new(&Clock::system(), &Random::seeded(1))))).await;
            let target = Target::Hop(Hop { transport: Transport::Udp, address: bob.local_addresses()[0], by_size: true });
            let mut out = alice.invite(OutgoingInvite { body: Some(Body::sdp("v".repeat(1_400))), ..call(target) }).await;
            let Incoming { leg: mut into, invite } = calls.recv().await.unwrap();
            assert_eq!(invite.transport, came_by);
            into.answer(None, vec![]).await;
            while !matches!(out.event().await.expect("the call is answered"), LegEvent::Answered { .. }) {}
            out.hang_up(None).await;
            assert_eq!(into.event().await, Some(LegEvent::Acked { body: None }));
            assert!(matches!(into.event().await, Some(LegEvent::HungUp { .. })));
        }
    }

    #[tokio::test]
    async fn a_dropped_leg_cancels_and_a_name_is_looked_up() {
        let (alice, _calls) = endpoint("127.0.0.1:0").await;
        let (bob, mut calls) = endpoint("127.0.0.1:0").await;
        let out = alice.invite(call(Target::Host("localhost".into(), Some(bob.local_addresses()[0].port())))).await;
        let Incoming { leg: mut into, .. } = calls.recv().await.unwrap();
        into.progress(180, None, vec![]).await;
        drop(out);
        assert!(matches!(into.event().await, Some(LegEvent::Cancelled { .. })));
        assert_eq!(into.event().await, None);
    }

    #[tokio::test]
    async fn a_dropped_incoming_call_is_refused_and_a_full_switchboard_says_503() {
        let (alice, _calls) = endpoint("127.0.0.1:0").await;
        let (bob, mut calls) = endpoint("127.0.0.1:0").await;
        let target = Target::Address(bob.local_addresses()[0]);
        let mut out = alice.invite(call(target.clone())).await;
        drop(calls.recv().await.unwrap());
        while let Some(event) = out.event().await {
            if let LegEvent::Refused { status, .. } = event {
                assert_eq!(status, 480);
            }
        }
        drop(calls);
        let mut out = alice.invite(call(target)).await;
        let refused = loop {
            match out.event().await.unwrap() {
                LegEvent::Progress { .. } => {}
                other => break other,
            }
        };
        assert!(matches!(refused, LegEvent::Refused { status: 503, retry_after: Some(_), .. }), "{refused:?}");
    }

    #[tokio::test]
    async fn listening_on_all_addresses_asks_for_the_one_others_use() {
        let config = Config { listen: vec!["0.0.0.0:0".parse().unwrap()], ..Config::default() };
        let error = Endpoint::start(config, Clock::system(), Random::system()).await.unwrap_err();
        assert!(error.to_string().contains("sip.advertise"), "{error}");
    }
}
