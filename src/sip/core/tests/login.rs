//! Carriers that want a password: for a call, for what follows in it, and for a registration.

use super::bench::{Bench, PEER, header, reply, sdp, status};
use crate::sip::core::Input;
use crate::sip::digest::{Algorithm, Challenge, REALM};
use crate::sip::endpoint::{Login, Registration, RegistrationState, Source, SourcePolicy};
use crate::sip::leg::{Hop, LegEvent};
use crate::sip::msg::{Message, Method, Name};
use crate::sip::transport::Transport;
use crate::types::{Clock, Random, Secret, Timestamp, TrunkId};

const ASKS: &str = "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\n\
    WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\n";

/// The value of one field of the credentials.
fn field(request: &str, name: &str) -> String {
    let value = header(request, "Authorization");
    let at = value.find(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {value}")) + name.len() + 1;
    value[at..].trim_start_matches('"').split(['"', ',']).next().unwrap().to_owned()
}

/// Whether the credentials prove the bench's password.
fn is_right(request: &str) -> bool {
    let message = Message::parse(request.as_bytes().to_vec().into()).unwrap();
    let ha1 = Algorithm::Sha256.ha1("ada", "example.com", "lovelace").expose().to_owned();
    let hash = |text: String| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let ha2 = hash(format!("{}:{}", message.method().as_str(), field(request, "uri")));
    let expected = hash(format!("{ha1}:{}:{}:{}:auth:{ha2}", field(request, "nonce"), field(request, "nc"), field(request, "cnonce")));
    expected == field(request, "response") && message.request_uri().unwrap().as_str() == field(request, "uri")
}

#[test]
fn an_invite_is_sent_again_with_credentials_and_what_follows_has_them_too() {
    let mut bench = Bench::new();
    let (leg, invite) = bench.invite(Some(sdp("offer")));
    assert!(!invite.contains("Authorization:"));
    bench.hear(PEER, &reply(&invite, "401 Unauthorized", "t1", ASKS, ""));
    let again = bench.last();
    assert_eq!((header(&again, "CSeq").as_str(), field(&again, "nc").as_str()), ("2 INVITE", "00000001"));
    assert_eq!((field(&again, "algorithm").as_str(), is_right(&again)), ("SHA-256", true), "MD5 only where it is allowed: {again}");
    assert_ne!(header(&invite, "Via"), header(&again, "Via"));
    bench.hear(PEER, &reply(&again, "200 OK", "far", "Contact: <sip:far@198.51.100.1:5060>\n", "v=0\n"));
    let ack = bench.last();
    assert_eq!((header(&ack, "CSeq").as_str(), header(&ack, "Authorization")), ("2 ACK", header(&again, "Authorization")));
    assert!(matches!(&bench.events()[..], [LegEvent::Answered { .. }]));
    bench.hang_up(leg);
    let bye = bench.last();
    assert_eq!((field(&bye, "nc").as_str(), is_right(&bye)), ("00000002", true));
    // The nonce is old by now: once more with the new one, and no further.
    let stale = "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n2\", algorithm=SHA-256, qop=\"auth\", stale=true\n";
    bench.hear(PEER, &reply(&bye, "401 Unauthorized", "far", stale, ""));
    let again = bench.last();
    assert_eq!((field(&again, "nonce").as_str(), field(&again, "nc").as_str(), is_right(&again)), ("n2", "00000001", true));
    bench.hear(PEER, &reply(&again, "200 OK", "far", "", ""));
    bench.ends_clean();
}

#[test]
fn a_refused_password_and_an_unknown_hash_end_the_call() {
    let mut bench = Bench::new();
    let (_, invite) = bench.invite(Some(sdp("offer")));
    bench.hear(PEER, &reply(&invite, "401 Unauthorized", "t1", ASKS, ""));
    let again = bench.last();
    bench.hear(PEER, &reply(&again, "401 Unauthorized", "t1", ASKS, ""));
    assert!(matches!(&bench.events()[..], [LegEvent::Refused { status: 401, .. }]));
    let (_, invite) = bench.invite(Some(sdp("offer")));
    let md5 = "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"n1\", qop=\"auth\"\n";
    bench.hear(PEER, &reply(&invite, "407 Proxy Authentication Required", "t1", md5, ""));
    assert!(matches!(&bench.events()[..], [LegEvent::Refused { status: 407, .. }]));
    bench.ends_clean();
}

fn wanted(secs: u32) -> Registration {
    let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
    Registration {
        trunk: TrunkId::new(&clock, &Random::seeded(9)),
        hops: vec![
            Hop { transport: Transport::Udp, address: PEER.parse().unwrap(), by_size: false },
            Hop { transport: Transport::Udp, address: super::bench::PEER_TWO.parse().unwrap(), by_size: false },
        ],
        registrar: "sip:carrier.example.com".into(),
        aor: "sip:ada@carrier.example.com".into(),
        user: "ada".into(),
        login: Some(Login { user: "ada".into(), password: Secret::new("lovelace"), md5: false }),
        secs,
    }
}

fn state(bench: &Bench) -> RegistrationState {
    bench.core.registrations()[0].1.clone()
}

#[test]
fn a_registration_is_made_kept_and_taken_back() {
    let mut bench = Bench::new().unaudited();
    bench.put(Input::Registrations(vec![wanted(600)]));
    let first = bench.last();
    assert!(first.starts_with("REGISTER sip:carrier.example.com SIP/2.0\r\n"), "{first}");
    assert_eq!((header(&first, "Contact").as_str(), header(&first, "Expires").as_str()), ("<sip:ada@192.0.2.10:5060>", "600"));
    bench.hear(PEER, &reply(&first, "401 Unauthorized", "t", ASKS, ""));
    let again = bench.last();
    assert!(is_right(&again) && header(&again, "CSeq") == "2 REGISTER" && header(&again, "Call-ID") == header(&first, "Call-ID"));
    bench.hear(PEER, &reply(&again, "423 Interval Too Brief", "t", "Min-Expires: 900\n", ""));
    let longer = bench.last();
    assert_eq!(header(&longer, "Expires"), "900");
    bench.hear(PEER, &reply(&longer, "200 OK", "t", "Contact: <sip:ada@192.0.2.10:5060>;expires=100\n", ""));
    let RegistrationState::Registered { until } = state(&bench) else { panic!("not registered") };
    assert_eq!(until.since(bench.now).as_secs(), 100);
    bench.take();
    bench.pass(79_000);
    assert_eq!(bench.take(), []);
    bench.pass(11_500);
    let refresh = bench.take().remove(0).text;
    assert_eq!((field(&refresh, "nc").as_str(), is_right(&refresh)), ("00000002", true));
    bench.hear(PEER, &reply(&refresh, "200 OK", "t", "Expires: 100\n", ""));
    bench.put(Input::Registrations(vec![]));
    assert_eq!(header(&bench.last(), "Expires"), "0");
    assert_eq!(bench.core.registrations().len(), 0);
}

#[test]
fn a_registrar_that_fails_is_asked_ever_more_slowly_and_its_other_address_at_once() {
    let mut bench = Bench::new().unaudited();
    bench.put(Input::Registrations(vec![wanted(600)]));
    bench.not_sent();
    assert_eq!(bench.sent.last().unwrap().to, super::bench::PEER_TWO);
    bench.not_sent();
    assert!(matches!(state(&bench), RegistrationState::Failed { status: None, .. }));
    let mut waits = Vec::new();
    for _ in 0..8 {
        bench.take();
        let before = bench.millis();
        while bench.sent.is_empty() {
            bench.pass(100);
        }
        waits.push((bench.millis() - before) / 1_000);
        let request = bench.last();
        assert_eq!(status(&reply(&request, "403 Forbidden", "t", "", "")), 403);
        bench.hear(PEER, &reply(&request, "403 Forbidden", "t", "", ""));
        assert!(matches!(state(&bench), RegistrationState::Failed { status: Some(403), ref reason } if reason.contains("Forbidden")));
    }
    let bounds = [(15, 30), (30, 60), (60, 120), (120, 240), (240, 480), (480, 960), (900, 1800), (900, 1800)];
    assert!(waits.iter().zip(bounds).all(|(wait, (least, most))| (least..=most + 1).contains(wait)), "{waits:?}");
    let message = Message::parse(bench.last().into_bytes().into()).unwrap();
    assert_eq!(message.number(Name::Expires), Some(600));
}

#[test]
fn a_stranger_proves_by_a_password_to_be_a_trunk() {
    let mut bench = Bench::new().unaudited();
    bench.put(Input::Sources(std::sync::Arc::new(ByPassword(wanted(600).trunk))));
    let invite = |branch: &str, credentials: &str| super::bench::invite_text(branch, "c1", credentials, "v=0\n");
    bench.hear(super::bench::STRANGER, &invite("z9hG4bKa1", ""));
    let asked = bench.last();
    assert_eq!(status(&asked), 401);
    assert!(asked.find("SHA-512-256").unwrap() < asked.find("algorithm=SHA-256").unwrap() && !asked.contains("MD5"), "{asked}");
    let challenge = Challenge::pick(&Message::parse(asked.into_bytes().into()).unwrap(), false).unwrap().0;
    let uri = Message::parse(super::bench::wired(&invite("z9hG4bKa1", "")).into()).unwrap().request_uri().unwrap().clone();
    let answer = |user: &str, password: &str, count: u32| {
        let credentials = challenge.answer(&Method::Invite, &uri, user, &Secret::new(password), count, &Random::seeded(3));
        format!("Authorization: {credentials}\n")
    };
    bench.take();
    // A wrong password and an unknown name hear the same, and nothing is kept of either.
    for (branch, user, password) in [("z9hG4bKa2", "north", "wrong"), ("z9hG4bKa3", "nobody", "secret")] {
        bench.hear(super::bench::STRANGER, &invite(branch, &answer(user, password, 1)));
        assert_eq!(status(&bench.last()), 401);
    }
    assert_eq!((bench.offers.len(), bench.core.tables().transactions), (0, 0));
    bench.hear(super::bench::STRANGER, &invite("z9hG4bKa4", &answer("north", "secret", 1)));
    assert_eq!((bench.offers.len(), status(&bench.last())), (1, 100));
    assert_eq!(bench.offers[0].1.trunk, wanted(600).trunk);
    // The same count again is a replay.
    let replayed = invite("z9hG4bKa5", &answer("north", "secret", 1)).replace("c1", "c2");
    bench.hear(super::bench::STRANGER, &replayed);
    assert!(status(&bench.last()) == 401 && bench.last().contains("stale=true"), "{}", bench.last());
}

/// Nobody is a trunk by address; `north` is one by its password.
struct ByPassword(TrunkId);

impl SourcePolicy for ByPassword {
    fn classify(&self, _: std::net::SocketAddr) -> Source {
        Source::Stranger
    }

    fn asks_for_digest(&self) -> bool {
        true
    }

    fn digest(&self, user: &str, algorithm: Algorithm) -> Option<(TrunkId, Secret)> {
        (user == "north").then(|| (self.0, algorithm.ha1(user, REALM, "secret")))
    }
}
