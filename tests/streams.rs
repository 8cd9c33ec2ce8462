//! SIP over streams, seen from raw connections: framing, keep-alives, and how long and how many we put up with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callthrough::sip::{Config, Endpoint, Incoming, LegEvent, Source, SourcePolicy, Transport};
use callthrough::types::{Clock, Random, Timestamp, TrunkId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::torture;

/// Longer than anything here takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The trunk is 127.0.0.2; everybody else is a stranger.
struct Second(TrunkId);

impl SourcePolicy for Second {
    fn classify(&self, source: SocketAddr) -> Source {
        if source.ip().to_string() == "127.0.0.2" { Source::Trunk(self.0) } else { Source::Stranger }
    }
}

struct Door {
    endpoint: Endpoint,
    calls: mpsc::Receiver<Incoming>,
    clock: Clock,
    address: SocketAddr,
}

async fn door(change: impl FnOnce(&mut Config)) -> Door {
    let mut config = Config { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Config::default() };
    change(&mut config);
    let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
    let (endpoint, calls) = Endpoint::start(config, clock.clone(), Random::seeded(7)).await.unwrap();
    endpoint.set_sources(Arc::new(Second(TrunkId::new(&clock, &Random::seeded(1))))).await;
    let address = endpoint.local_addresses()[0];
    Door { endpoint, calls, clock, address }
}

struct Line(TcpStream);

impl Line {
    /// A connection from that address.
    async fn from(ip: &str, to: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
        Self(socket.connect(to).await.unwrap())
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// What comes next, as far as it goes; nothing if the connection is closed.
    async fn hear(&mut self) -> String {
        let mut bytes = vec![0; 65_536];
        let length = tokio::time::timeout(PATIENCE, self.0.read(&mut bytes)).await.expect("something comes").unwrap_or(0);
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Waits until what was heard so far holds `end`.
    async fn until(&mut self, end: &str) -> String {
        let mut heard = String::new();
        while !heard.contains(end) {
            let more = self.hear().await;
            assert!(!more.is_empty(), "closed before {end:?}: {heard}");
            heard.push_str(&more);
        }
        heard
    }

    async fn is_closed(&mut self) -> bool {
        self.hear().await.is_empty()
    }

    fn here(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

fn options(here: SocketAddr, number: u32) -> String {
    format!(
        "OPTIONS sip:callthrough@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP {here};branch=z9hG4bKo{number}x{}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@{here}>;tag=a\r\nTo: <sip:callthrough@127.0.0.1>\r\nCall-ID: o{number}{here}\r\nCSeq: {number} OPTIONS\r\n\
         Content-Length: 0\r\n\r\n",
        here.port()
    )
}

fn invite(here: SocketAddr, alias: &str) -> String {
    format!(
        "INVITE sip:+15551230000@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP {here};branch=z9hG4bKi{}{alias}\r\nMax-Forwards: 70\r\n\
         From: <sip:+15551231234@{here}>;tag=a\r\nTo: <sip:+15551230000@127.0.0.1>\r\nCall-ID: i{here}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:{here};transport=tcp>\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
        here.port()
    )
}

async fn lives(door: &Door) {
    let mut line = Line::from("127.0.0.2", door.address).await;
    let text = options(line.here(), 99);
    line.send(text.as_bytes()).await;
    assert!(line.until("\r\n\r\n").await.starts_with("SIP/2.0 200 "));
}

#[tokio::test]
async fn requests_are_taken_apart_and_answered_by_their_connection() {
    let door = door(|_| {}).await;
    let mut line = Line::from("127.0.0.2", door.address).await;
    let both = [options(line.here(), 1), "\r\n\r\n".to_owned(), options(line.here(), 2)].concat();
    let (first, second) = both.as_bytes().split_at(both.len() / 2 + 7);
    line.send(first).await;
    tokio::task::yield_now().await;
    line.send(second).await;
    let mut heard = line.until("CSeq: 2 OPTIONS").await;
    if !heard.ends_with("\r\n\r\n") {
        heard.push_str(&line.until("\r\n\r\n").await);
    }
    assert_eq!(heard.matches("SIP/2.0 200 ").count(), 2, "{heard}");
    // The ping between them has its pong: one more CR LF than the two answers have.
    assert!(heard.starts_with("\r\nSIP/2.0 ") || heard.contains("\r\n\r\n\r\nSIP/2.0 "), "{heard:?}");
}

#[tokio::test]
async fn the_torture_messages_get_their_treatment_over_tcp_and_a_call_goes_on_after_each() {
    let door = door(|config| config.max_connections_of_one = 200).await;
    for (name, treatment) in torture::EXPECTED {
        let mut line = Line::from("127.0.0.2", door.address).await;
        line.send(&torture::bytes(name)).await;
        match (*name, treatment) {
            // The body, or the empty line before it, never comes: it is waited for, and nothing behind it is read.
            ("clerr" | "baddn", _) => {
                lives(&door).await;
                // A connection's first message has a little longer than the others.
                door.clock.advance(Duration::from_secs(31));
                assert!(line.is_closed().await, "{name}");
            }
            // A length below nothing: 400, and the stream is of no use any more.
            ("ncl" | "mcl01", _) => {
                assert!(line.until("\r\n\r\n").await.starts_with("SIP/2.0 400 "), "{name}");
                assert!(line.is_closed().await, "{name}");
            }
            ("dblreq", _) => {
                let heard = line.until("INVITE").await;
                let statuses = heard.lines().filter(|line| line.starts_with("SIP/2.0 ")).map(|line| &line[8..11]).collect::<Vec<_>>();
                assert_eq!(statuses[0], "405", "{heard}");
                assert!(statuses.len() >= 2, "two requests: {heard}");
            }
            (_, torture::Treatment::Answered(code) | torture::Treatment::Screened(code)) => {
                let heard = line.until("\r\n\r\n").await;
                // Our own capabilities are fewer or more than the table's: what the endpoint takes, the switchboard's policy refuses.
                let own = ["405", "501", "481", "200", "100", "406"].iter().any(|status| heard.starts_with(&format!("SIP/2.0 {status} ")));
                assert!(own || heard.starts_with(&format!("SIP/2.0 {code} ")), "{name}: {heard}");
            }
            _ => {}
        }
        lives(&door).await;
    }
    assert!(door.endpoint.tables().await.transactions < 500);
}

#[tokio::test]
async fn a_call_comes_by_tcp_and_is_hung_up_by_the_same_connection() {
    for alias in ["", ";alias"] {
        let mut door = door(|_| {}).await;
        let mut line = Line::from("127.0.0.2", door.address).await;
        // Without the alias parameter the Contact is where the connection comes from; with it, another port that nobody listens at.
        let shown = if alias.is_empty() { line.here() } else { SocketAddr::from(([127, 0, 0, 2], 9)) };
        line.send(invite(shown, alias).as_bytes()).await;
        let Incoming { leg, invite } = door.calls.recv().await.unwrap();
        assert_eq!((invite.transport, invite.source), (Transport::Tcp, line.here()));
        leg.answer(None, vec![]).await;
        let heard = line.until("SIP/2.0 200 ").await;
        assert!(
            heard.starts_with("SIP/2.0 100 ") && heard.contains(";transport=tcp>") || line.until("transport=tcp>").await.contains("tag=")
        );
        leg.hang_up(None).await;
        // No ACK yet: the BYE waits for it, and the 200 is repeated end to end whatever the transport.
        door.clock.advance(Duration::from_millis(600));
        let again = line.until("SIP/2.0 200 ").await;
        let tag = again.split("To: ").nth(1).and_then(|to| to.split(";tag=").nth(1)).and_then(|tag| tag.get(..16)).unwrap().to_owned();
        let here = shown;
        line.send(
            format!(
                "ACK sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP {here};branch=z9hG4bKk\r\nMax-Forwards: 70\r\n\
                 From: <sip:+15551231234@{here}>;tag=a\r\nTo: <sip:+15551230000@127.0.0.1>;tag={tag}\r\nCall-ID: i{here}\r\n\
                 CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
            )
            .as_bytes(),
        )
        .await;
        let bye = line.until("BYE sip:").await;
        assert!(bye.contains("SIP/2.0/TCP 127.0.0.1") || line.until("SIP/2.0/TCP 127.0.0.1").await.contains(";alias"), "{bye}");
    }
}

#[tokio::test]
async fn a_pong_is_missed_only_of_those_who_ponged_and_quiet_connections_end() {
    let door = door(|_| {}).await;
    let mut polite = Line::from("127.0.0.2", door.address).await;
    let mut mute = Line::from("127.0.0.2", door.address).await;
    for line in [&mut polite, &mut mute] {
        let text = options(line.here(), 1);
        line.send(text.as_bytes()).await;
        line.until("\r\n\r\n").await;
    }
    door.clock.advance(Duration::from_secs(101));
    assert_eq!((polite.hear().await, mute.hear().await), ("\r\n\r\n".to_owned(), "\r\n\r\n".to_owned()));
    polite.send(b"\r\n").await;
    // The pong is read before the clock moves on.
    let text = options(polite.here(), 2);
    polite.send(text.as_bytes()).await;
    polite.until("\r\n\r\n").await;
    door.clock.advance(Duration::from_secs(101));
    assert_eq!((polite.hear().await, mute.hear().await), ("\r\n\r\n".to_owned(), "\r\n\r\n".to_owned()));
    door.clock.advance(Duration::from_secs(11));
    assert!(polite.is_closed().await, "it answered once and does not any more");
    let text = options(mute.here(), 3);
    mute.send(text.as_bytes()).await;
    assert!(mute.until("\r\n\r\n").await.contains("200 OK"), "one that never answered is left alone");
}

#[tokio::test]
async fn strangers_have_few_connections_and_little_time() {
    let door = door(|config| (config.max_connections_of_one, config.keep_alive_secs) = (2, 0)).await;
    let mut lines = Vec::new();
    for _ in 0..2 {
        lines.push(Line::from("127.0.0.3", door.address).await);
    }
    // Both are there once they are answered.
    for line in &mut lines {
        let text = options(line.here(), 1);
        line.send(text.as_bytes()).await;
        line.until("\r\n\r\n").await;
    }
    assert!(Line::from("127.0.0.3", door.address).await.is_closed().await, "the third is too many");
    // A trunk has no such bound.
    for _ in 0..4 {
        lives(&door).await;
    }
    let mut other = Line::from("127.0.0.4", door.address).await;
    other.send(b"OPTIONS sip:a@b SIP/2.0\r\nVia").await;
    lives(&door).await;
    door.clock.advance(Duration::from_secs(31));
    assert!(other.is_closed().await, "half a message is waited for, but not for long");
    door.clock.advance(Duration::from_secs(900));
    for line in &mut lines {
        assert!(line.is_closed().await, "nothing has come for long");
    }
}

#[tokio::test]
async fn a_trunk_that_does_not_listen_is_known_at_once_and_one_that_hangs_up_too() {
    let door = door(|_| {}).await;
    let invite = |address| callthrough::sip::OutgoingInvite {
        target: callthrough::sip::Target::Hop(callthrough::sip::Hop { transport: Transport::Tcp, address, by_size: false }),
        request_uri: "sip:+15551231234@carrier.example.com".into(),
        from: "<sip:+15551230000@example.com>".into(),
        to: "<sip:+15551231234@carrier.example.com>".into(),
        headers: vec![],
        body: None,
        max_forwards: 70,
        sip_call_id: None,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut leg = door.endpoint.invite(invite(address)).await;
    let (mut stream, from) = listener.accept().await.unwrap();
    assert_eq!(from.ip(), door.address.ip());
    let mut bytes = vec![0; 4096];
    let length = stream.read(&mut bytes).await.unwrap();
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    assert!(text.contains(&format!("Via: SIP/2.0/TCP {};rport;alias;branch=", door.address)), "{text}");
    assert!(text.contains(&format!("Contact: <sip:{};transport=tcp>", door.address)), "{text}");
    drop(stream);
    assert!(matches!(leg.event().await, Some(LegEvent::Refused { status: 503, .. })));
    drop(listener);
    let mut leg = door.endpoint.invite(invite(address)).await;
    assert!(matches!(leg.event().await, Some(LegEvent::Refused { status: 503, .. })));
}
