//! TLS between two endpoints with certificates made for the occasion, and the DNS asked of a server of our own.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::sync::mpsc;

use super::dns::System;
use super::tls::Files;
use super::*;
use crate::sip::resolve::{Dns as _, LONGEST, NoDns, Question, Resolver};
use crate::sip::{Config, Endpoint, Hop, Incoming, LegEvent, OutgoingInvite, Source, SourcePolicy, Target};
use crate::types::{Clock, Random, Timestamp, TrunkId};

/// A folder of certificates that goes with the test.
struct Folder(PathBuf, CertifiedIssuer<'static, KeyPair>);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("callthrough-tls-{}", Random::system().alphanumeric(12)));
        std::fs::create_dir_all(&path).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(path.join("ca.pem"), ca.pem()).unwrap();
        Self(path, ca)
    }

    /// A certificate of these names in the files `name.pem` and `name.key`.
    fn make(&self, name: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.1).unwrap();
        let paths = (self.0.join(format!("{name}.pem")), self.0.join(format!("{name}.key")));
        std::fs::write(&paths.0, certificate.pem()).unwrap();
        std::fs::write(&paths.1, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&paths.1, std::fs::Permissions::from_mode(0o600)).unwrap();
        paths
    }

    fn files(&self, name: &str, names: &[&str]) -> Files {
        let (certificate, key) = self.make(name, names);
        let ca = Some(self.0.join("ca.pem"));
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        Files { listen, certificate: Some(certificate), key: Some(key), ca: ca.clone(), client_ca: ca, require_client: false }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Addresses are strangers'; a certificate of `trunk.example.com` is a trunk's. Servers must be `carrier.example.com`.
struct ByCertificate;

impl SourcePolicy for ByCertificate {
    fn classify(&self, _: SocketAddr) -> Source {
        Source::Stranger
    }

    fn classify_proved(&self, _: SocketAddr, names: &[String]) -> Source {
        let trunk = TrunkId::new(&Clock::system(), &Random::seeded(1));
        if names.iter().any(|name| name == "trunk.example.com") { Source::Trunk(trunk) } else { Source::Stranger }
    }

    fn server_name(&self, _: SocketAddr) -> Option<String> {
        Some("carrier.example.com".to_owned())
    }
}

async fn endpoint(tls: Files, clock: Clock) -> (Endpoint, mpsc::Receiver<Incoming>) {
    let config = Config { listen: vec!["127.0.0.1:0".parse().unwrap()], tls, ..Config::default() };
    let (endpoint, calls) = Endpoint::start(config, clock, Random::system()).await.unwrap();
    endpoint.set_sources(Arc::new(ByCertificate)).await;
    (endpoint, calls)
}

fn invite(to: &Endpoint) -> OutgoingInvite {
    OutgoingInvite {
        target: Target::Hop(Hop { transport: Transport::Tls, address: to.tls_addresses()[0], by_size: false }),
        request_uri: "sip:+15551231234@carrier.example.com".into(),
        from: "<sip:+15551230000@example.com>".into(),
        to: "<sip:+15551231234@carrier.example.com>".into(),
        headers: vec![],
        body: Some(crate::sip::Body::sdp("v=0\r\n")),
        max_forwards: 70,
        sip_call_id: None,
    }
}

async fn status(endpoint: &Endpoint, to: &Endpoint) -> u16 {
    let mut leg = endpoint.invite(invite(to)).await;
    loop {
        if let LegEvent::Refused { status, .. } = leg.event().await.expect("it is refused") {
            return status;
        }
    }
}

#[tokio::test]
async fn a_certificate_says_who_calls_and_who_is_called() {
    let folder = Folder::new();
    let (trunk, _trunk_calls) = endpoint(folder.files("trunk", &["trunk.example.com"]), Clock::system()).await;
    let (other, _other_calls) = endpoint(folder.files("other", &["other.example.com"]), Clock::system()).await;
    let (nobody, _nobody_calls) =
        endpoint(Files { certificate: None, key: None, listen: vec![], ..folder.files("n", &["n"]) }, Clock::system()).await;
    let (carrier, mut calls) = endpoint(folder.files("carrier", &["carrier.example.com"]), Clock::system()).await;
    let (wrong, _wrong_calls) = endpoint(folder.files("wrong", &["wrong.example.com"]), Clock::system()).await;

    let mut out = trunk.invite(invite(&carrier)).await;
    let Incoming { leg: mut into, invite } = calls.recv().await.unwrap();
    assert_eq!(invite.transport, Transport::Tls);
    into.answer(None, vec![]).await;
    while !matches!(out.event().await.unwrap(), LegEvent::Answered { .. }) {}
    assert!(matches!(into.event().await, Some(LegEvent::Acked { .. })));
    // The callee's BYE goes to a Contact of TLS: back by the connection whose Via has offered itself.
    into.hang_up(None).await;
    assert!(matches!(out.event().await, Some(LegEvent::HungUp { .. })));

    assert_eq!(status(&other, &carrier).await, 403, "a certificate of somebody else is a stranger's");
    assert_eq!(status(&trunk, &wrong).await, 503, "a server of another name is not spoken to");
    let mut leg = nobody.invite(self::invite(&carrier)).await;
    assert!(matches!(leg.event().await, Some(LegEvent::Refused { status: 503, .. })), "without an address for TLS nobody is called by it");
}

#[tokio::test]
async fn who_must_show_a_certificate_and_does_not_is_not_heard() {
    let folder = Folder::new();
    let strict = Files { require_client: true, ..folder.files("carrier", &["carrier.example.com"]) };
    let (carrier, mut calls) = endpoint(strict, Clock::system()).await;
    let (trunk, _calls) = endpoint(folder.files("trunk", &["trunk.example.com"]), Clock::system()).await;
    let stranger = Folder::new();
    let unknown = Files { ca: Some(folder.0.join("ca.pem")), ..stranger.files("trunk", &["trunk.example.com"]) };
    let (unknown, _unknown_calls) = endpoint(unknown, Clock::system()).await;
    assert_eq!(status(&unknown, &carrier).await, 503, "signed by nobody we know");
    let mut out = trunk.invite(invite(&carrier)).await;
    drop(calls.recv().await.unwrap());
    while let Some(event) = out.event().await {
        assert!(!matches!(event, LegEvent::Refused { status, .. } if status != 480), "{event:?}");
    }
}

#[tokio::test]
async fn new_files_are_used_and_broken_ones_are_not() {
    let folder = Folder::new();
    let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
    let (carrier, mut calls) = endpoint(folder.files("carrier", &["wrong.example.com"]), clock.clone()).await;
    let try_it = async || {
        // Each from an endpoint of its own: connections are kept.
        let (trunk, calls) = endpoint(folder.files("trunk", &["trunk.example.com"]), Clock::system()).await;
        (trunk.invite(invite(&carrier)).await, trunk, calls)
    };
    let (mut leg, _trunk, _calls) = try_it().await;
    assert!(matches!(leg.event().await, Some(LegEvent::Refused { status: 503, .. })));
    folder.make("carrier", &["carrier.example.com"]);
    clock.advance(Duration::from_secs(11));
    let (_leg, _trunk, _calls) = try_it().await;
    assert_eq!(calls.recv().await.unwrap().invite.transport, Transport::Tls);
    std::fs::write(folder.0.join("carrier.pem"), "nonsense").unwrap();
    clock.advance(Duration::from_secs(11));
    let (_leg, _trunk, _calls) = try_it().await;
    assert_eq!(calls.recv().await.unwrap().invite.transport, Transport::Tls);
    // At the start, they are told.
    let error = Endpoint::check(&Config { tls: folder.files("x", &["x.example.com"]), ..Config::default() });
    assert!(error.is_ok());
    let broken = Files { certificate: Some(folder.0.join("carrier.pem")), ..folder.files("x", &["x.example.com"]) };
    let error = Endpoint::check(&Config { tls: broken, ..Config::default() }).unwrap_err().to_string();
    assert!(error.contains("carrier.pem") && error.contains("PEM"), "{error}");
}

/// What our DNS server does.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Answers,
    Fails,
    KnowsNothing,
    Sleeps,
}

struct NameServer {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
}

/// Records by name and kind: the data as it goes on the wire.
type Zone = HashMap<(&'static str, u16), Vec<Vec<u8>>>;

const A: u16 = 1;
const NAPTR: u16 = 35;
const SRV: u16 = 33;

fn wire_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn srv(priority: u16, weight: u16, port: u16, host: &str) -> Vec<u8> {
    [&priority.to_be_bytes()[..], &weight.to_be_bytes(), &port.to_be_bytes(), &wire_name(host)].concat()
}

fn naptr(order: u16, service: &str, replacement: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [&order.to_be_bytes()[..], &[0, 0], &text("s"), &text(service), &text(""), &wire_name(replacement)].concat()
}

impl NameServer {
    async fn start(zone: Zone, life_secs: u32) -> Self {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, mood) = (socket.local_addr().unwrap(), Arc::new(Mutex::new(Mood::Answers)));
        let told = mood.clone();
        tokio::spawn(async move {
            let mut bytes = [0; 1024];
            while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
                let mood = *told.lock().unwrap();
                if mood != Mood::Sleeps {
                    let _ = socket.send_to(&answer(&bytes[..length], &zone, life_secs, mood), from).await;
                }
            }
        });
        Self { address, mood }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

fn answer(question: &[u8], zone: &Zone, life_secs: u32, mood: Mood) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap();
    let kind = u16::from_be_bytes([question[end + 1], question[end + 2]]);
    let (mut name, mut at) = (String::new(), 12);
    while question[at] != 0 {
        let length = usize::from(question[at]);
        name.push_str(std::str::from_utf8(&question[at + 1..=at + length]).unwrap());
        name.push('.');
        at += length + 1;
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let found = zone.iter().find(|((known, of), _)| *known == name && *of == kind).map(|(_, data)| data.clone()).unwrap_or_default();
    let code = match mood {
        Mood::Fails => 2,
        Mood::KnowsNothing => 3,
        Mood::Answers | Mood::Sleeps => 0,
    };
    let found = if code == 0 { found } else { Vec::new() };
    let count = u16::try_from(found.len()).unwrap();
    let mut out = [&question[..2], &[0x85, 0x80 | code, 0, 1], &count.to_be_bytes(), &[0, 0, 0, 0], &question[12..end + 5]].concat();
    for data in found {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(&life_secs.to_be_bytes());
        out.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&data);
    }
    out
}

fn zone() -> Zone {
    HashMap::from([
        (("example.com", NAPTR), vec![naptr(10, "SIP+D2T", "_sip._tcp.example.com"), naptr(20, "SIP+D2U", "_sip._udp.example.com")]),
        (("_sip._tcp.example.com", SRV), vec![srv(10, 1, 5070, "a.example.com"), srv(20, 1, 5080, "b.example.com")]),
        (("_sip._udp.example.com", SRV), vec![srv(10, 1, 5060, "b.example.com")]),
        (("a.example.com", A), vec![vec![192, 0, 2, 1]]),
        (("b.example.com", A), vec![vec![192, 0, 2, 2]]),
    ])
}

fn name(host: &str) -> Question {
    Question { host: host.into(), port: None, transport: None }
}

#[tokio::test]
async fn a_carrier_is_found_over_the_wire() {
    let server = NameServer::start(zone(), 60).await;
    let resolver = Resolver::by_servers(&[server.address], Clock::system());
    let steps = resolver.find(&name("example.com")).await.unwrap();
    let shown = steps.iter().map(|step| format!("{} {}", step.hop.transport, step.hop.address)).collect::<Vec<_>>();
    assert_eq!(shown, ["tcp 192.0.2.1:5070", "tcp 192.0.2.2:5080", "udp 192.0.2.2:5060"]);
    assert!(steps.windows(2).all(|pair| pair[0].priority < pair[1].priority));
    let local = System::new(&[server.address]).addresses("localhost").await.unwrap();
    assert!(local.records.iter().all(std::net::IpAddr::is_loopback) && !local.records.is_empty());
}

#[tokio::test]
async fn whatever_the_dns_does_the_last_good_answer_serves_and_comes_soon() {
    // A life of 0 s must not make us ask for every call, one of 68 years must not keep a poisoned answer.
    for life in [0, 30, u32::MAX >> 1] {
        let server = NameServer::start(zone(), life).await;
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        let resolver = Resolver::by_servers(&[server.address], clock.clone());
        let good = resolver.find(&name("example.com")).await.unwrap();
        for mood in [Mood::Fails, Mood::KnowsNothing] {
            server.is(mood);
            assert_eq!(resolver.find(&name("example.com")).await.unwrap(), good);
            clock.advance(LONGEST);
            assert_eq!(resolver.find(&name("example.com")).await.unwrap(), good);
        }
        server.is(Mood::Answers);
        clock.advance(LONGEST);
        assert_eq!(resolver.find(&name("example.com")).await.unwrap(), good);
    }
}

#[tokio::test]
async fn a_dns_that_sleeps_is_given_up_and_nobody_else_waits() {
    let (asleep, awake) = (NameServer::start(zone(), 60).await, NameServer::start(zone(), 60).await);
    asleep.is(Mood::Sleeps);
    let slow = Resolver::by_servers(&[asleep.address], Clock::system());
    let waiting = tokio::spawn(async move { slow.find(&name("example.com")).await });
    // On the same thread somebody else is served at once.
    let quick = Resolver::by_servers(&[awake.address], Clock::system());
    let served = tokio::time::timeout(Duration::from_secs(2), quick.find(&name("example.com"))).await;
    assert_eq!(served.expect("at once").unwrap().len(), 3);
    let error = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it is given up").unwrap().unwrap_err();
    assert!(matches!(error, NoDns(_)), "{error}");
    // One of two servers asleep costs less than two seconds.
    let both = Resolver::by_servers(&[asleep.address, awake.address], Clock::system());
    let served = tokio::time::timeout(Duration::from_secs(6), both.find(&name("example.com"))).await;
    assert_eq!(served.expect("the other answers").unwrap().len(), 3);
}
