//! Whatever is read from the network is put through its paces here, for the suite and for the fuzz targets: nothing may panic, and what
//! is written again must read the same.

use std::time::Duration;

use bytes::Bytes;
use callthrough::media::dtmf::{self, Keys};
use callthrough::media::g711;
use callthrough::media::rtp::{Packet, Receiver, is_rtcp};
use callthrough::sdp::Session;
use callthrough::sdp::offer_answer::answers;
use callthrough::sip::digest::{Challenge, Credentials};
use callthrough::sip::msg::{
    Capabilities, Framer, Message, Method, Name, NameAddr, Request, Response, Status, Uri, Via, screen_request, screen_response,
};
use callthrough::types::{Clock, Moment, Random, Secret};

/// A stall is worse than a crash, because nobody restarts it.
const LONGEST: Duration = Duration::from_millis(100);

const ALLOW: &[Method] =
    &[Method::Invite, Method::Ack, Method::Bye, Method::Cancel, Method::Options, Method::Prack, Method::Update, Method::Info];
/// What the reader of a message can do.
pub const CAN: Capabilities<'_> = Capabilities { allow: ALLOW, supported: &["100rel", "timer"], accept: &["application/sdp"] };

/// Fails when `work` stalls each time: one slow run may be the machine's doing.
pub fn timed(clock: &Clock, what: impl Fn() -> String, work: impl Fn()) {
    let once = || {
        let from = clock.now();
        work();
        clock.now().since(from)
    };
    let stalls = (0..5).all(|_| once() >= LONGEST);
    assert!(!stalls, "over {LONGEST:?} for {}", what());
}

/// Reads everything a message has to give, as the core and the switchboard would.
pub fn message(bytes: Bytes) {
    let _ = Framer::default().next(&bytes);
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(error) => {
            let _ = (error.via(), error.fault());
            if let Some(response) = error.response_to("192.0.2.77:5062".parse().unwrap()) {
                let response = response.encode();
                assert!(response.starts_with(b"SIP/2.0 "));
                // Whatever was copied from the broken request, its headers are as many lines as we wrote.
                assert_eq!(response.windows(4).filter(|window| window == b"\r\n\r\n").count(), 1);
            }
            return;
        }
    };
    let top = message.via();
    let _ = (top.host(), top.port(), top.branch().len(), top.is_unique(), top.rport(), top.received(), top.maddr().is_some());
    let _ = (message.vias().count(), message.contacts().count(), message.routes().count(), message.record_routes().count());
    for address in [message.from(), message.to()].into_iter().chain(message.contacts()) {
        let _ = (
            address.display_text(),
            address.tag().is_some(),
            address.uri().user_unescaped(),
            address.uri().host(),
            address.uri().params().count(),
        );
        assert_eq!(NameAddr::parse(Bytes::copy_from_slice(address.as_bytes())), Some(address.detach()));
        assert_eq!(address.uri().as_str().parse::<Uri>().as_ref(), Ok(address.uri()));
        assert!(address.uri().is_equivalent(address.uri()) || address.uri().param("").is_some());
    }
    let _ = (message.max_forwards(), message.number(Name::Expires), message.params_of(Name::SessionExpires).get("refresher").is_some());
    for line in message.all() {
        let _ = (line.values().count(), line.text().is_some(), Challenge::read(line.value()), Credentials::read(line.value()));
    }
    let _ = message.name_addrs(Name::PAssertedIdentity).count();
    sdp(&message.body_bytes());
    if message.is_request() {
        let _ = screen_request(&message, CAN);
        let source = "192.0.2.77:5062".parse().unwrap();
        let response = Response::to_from(&message, Status::RINGING, Some(&"ours".into()), Some(source)).record_route(&message).encode();
        let response = Message::parse(response).expect("what we answer can be read");
        assert_eq!((response.call_id(), response.cseq()), (message.call_id(), message.cseq()));
        assert_eq!((response.via().branch(), response.vias().count()), (top.branch(), message.vias().count()));
        assert!(response.to_tag().is_some());
    } else {
        let _ = screen_response(&message);
    }
    rebuilt_is_the_same(&message);
}

/// parse(build(m)) = m.
fn rebuilt_is_the_same(message: &Message) {
    let again = match (message.request_uri(), message.status()) {
        (Some(uri), _) => {
            let request = message.all().fold(Request::new(message.method(), uri), Request::copy);
            with_body(&request.encode(), message.body())
        }
        (None, Some(status)) => {
            let reason = String::from_utf8_lossy(message.reason()).into_owned();
            let response = message.all().fold(Response::new(status, Some(&reason)), Response::copy);
            with_body(&response.encode(), message.body())
        }
        (None, None) => unreachable!("a message is one of both"),
    };
    let again = Message::parse(again).expect("what we write can be read");
    let lines = |message: &Message| {
        message.all().filter(|line| line.name() != Name::ContentLength).map(|line| line.raw().to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&again), lines(message));
    assert_eq!((again.method(), again.status(), again.request_uri()), (message.method(), message.status(), message.request_uri()));
    assert_eq!(again.body(), message.body());
}

/// The builder writes a body with its Content-Type; here the type is copied already, so the length is patched instead.
fn with_body(head: &Bytes, body: &[u8]) -> Bytes {
    let head = head.strip_suffix(b"Content-Length: 0\r\n\r\n").expect("the builder ends so");
    [head, format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat().into()
}

/// A value with an address: whether it is a URI, a name with one, and a Via.
pub fn uri(text: &Bytes) -> [bool; 3] {
    let uri = Uri::parse(text.clone());
    if let Ok(uri) = &uri {
        assert_eq!(uri.as_bytes(), text);
        assert_eq!(uri.for_request().headers(), "");
        let more = uri.with_param("x", Some("y"));
        assert!(more.param("x").is_some() || uri.host().is_none(), "{more}");
    }
    let address = NameAddr::parse(text.clone());
    if let Some(address) = &address {
        assert_eq!(address.with_tag(&"t1".into()).tag(), Some("t1"), "{address}");
    }
    [uri.is_ok(), address.is_some(), Via::parse(text.clone()).is_some()]
}

/// A description.
pub fn sdp(text: &Bytes) {
    let Ok(session) = Session::parse(text) else { return };
    for media in session.media() {
        let _ = (media.direction(), media.connection().is_some(), media.formats().count());
    }
    assert_eq!(Session::parse(&session.encode()).as_ref(), Ok(&session));
    let _ = answers(&session, &session);
}

/// A challenge, answered, and credentials.
pub fn digest(value: &[u8]) {
    let uri: Uri = "sip:bob@example.com".parse().expect("a URI");
    if let Some(challenge) = Challenge::read(value) {
        let answer = challenge.answer(&Method::Invite, &uri, "alice", &Secret::new("secret"), 1, &Random::seeded(1));
        assert_eq!(Credentials::read(answer.to_string().as_bytes()).as_ref(), Some(&answer), "{challenge:?}");
    }
    if let Some(credentials) = Credentials::read(value) {
        assert_eq!(Credentials::read(credentials.to_string().as_bytes()).as_ref(), Some(&credentials));
    }
}

/// The pieces of a row of datagrams: two bytes of length before each.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_at_checked(2)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]])).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        bytes = rest;
        Some(piece)
    })
}

/// Datagrams of sound, as a receiver counts them: how many were packets.
pub fn rtp(bytes: &[u8]) -> usize {
    let (mut receiver, mut packets) = (Receiver::default(), 0);
    for (millis, piece) in (0..).step_by(20).zip(pieces(bytes)) {
        let _ = is_rtcp(piece);
        let Some(packet) = Packet::parse(piece) else { continue };
        packets += 1;
        let payload = &piece[packet.payload.clone()];
        let _ = (receiver.continues(&packet), g711::share(&payload.iter().map(|&byte| g711::from_alaw(byte)).collect::<Vec<_>>(), 440.0));
        receiver.hears(&packet, Moment::from_nanos(millis * 1_000_000));
    }
    let quality = receiver.quality();
    assert!(quality.packets <= packets as u64, "{quality:?}");
    packets
}

/// Keys: telephone events of eight bytes each, the same as sound, and as the body of an INFO request.
pub fn event(bytes: &[u8]) {
    let (mut events, mut tones) = (Keys::default(), Keys::default());
    for record in bytes.chunks_exact(8) {
        let (timestamp, payload) = record.split_at(4);
        let _ = events.event(u32::from_be_bytes([timestamp[0], timestamp[1], timestamp[2], timestamp[3]]), payload);
    }
    let _ = tones.sound(bytes.iter().map(|&byte| g711::from_ulaw(byte)));
    for kind in ["application/dtmf-relay", "application/dtmf"] {
        let _ = dtmf::info(kind, bytes);
    }
}
