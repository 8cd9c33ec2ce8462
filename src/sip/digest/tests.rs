//! Challenges, answers to them, and what is no answer.

use bytes::Bytes;

use super::*;
use crate::sip::msg::{CSeq, Request, Response, Status};

const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
const ALL: [Algorithm; 3] = [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512256];

fn at(seconds: u64) -> Moment {
    Moment::from_nanos(seconds * 1_000_000_000)
}

fn verifier() -> Verifier {
    Verifier::new("example.com", &ALL, &Random::seeded(1))
}

fn register(credentials: &str) -> Message {
    let uri: Uri = "sip:example.com".parse().unwrap();
    let request = Request::new(&Method::Register, &uri)
        .header(Name::Via, "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1")
        .header(Name::From, "<sip:bob@example.com>;tag=1")
        .header(Name::To, "<sip:bob@example.com>")
        .header(Name::CallId, "1")
        .header(Name::CSeq, CSeq { number: 1, method: Method::Register })
        .header(Name::Authorization, credentials);
    Message::parse(request.encode()).unwrap()
}

fn answer(challenge: &Challenge, password: &str, count: u32) -> Message {
    let uri = "sip:example.com".parse().unwrap();
    let credentials = challenge.answer(&Method::Register, &uri, "bob", &Secret::new(password), count, &Random::seeded(2));
    register(&credentials.to_string())
}

fn check(verifier: &mut Verifier, request: &Message, source: IpAddr, now: Moment) -> Result<String, Denied> {
    verifier.check(request, Name::Authorization, source, now, |user, algorithm| {
        (user == "bob").then(|| algorithm.ha1("bob", "example.com", "zanzibar"))
    })
}

/// RFC 7616 §3.9.1.
#[test]
fn the_vectors_of_the_rfc_come_out() {
    for (algorithm, expected) in [
        (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let credentials = Credentials {
            username: "Mufasa".into(),
            realm: "http-auth@example.org".into(),
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v".into(),
            uri: "/dir/index.html".into(),
            response: String::new(),
            algorithm,
            opaque: None,
            session: Some((1, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ".into())),
        };
        let ha1 = algorithm.ha1("Mufasa", "http-auth@example.org", "Circle of Life");
        assert_eq!(credentials.expected(&Method::Other("GET".into()), &ha1), expected);
    }
    // FIPS 180-4 example of SHA-512/256.
    assert_eq!(Algorithm::Sha512256.hash(&["abc"]), "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23");
}

#[test]
fn challenges_come_strongest_first_and_read_back() {
    let challenges = verifier().challenges(SOURCE, at(0), false);
    assert_eq!(challenges.iter().map(|one| one.algorithm).collect::<Vec<_>>(), [Algorithm::Sha512256, Algorithm::Sha256, Algorithm::Md5]);
    for challenge in challenges {
        assert_eq!(Challenge::read(challenge.to_string().as_bytes()), Some(challenge));
    }
}

#[test]
fn the_right_password_opens_with_each_algorithm_and_a_wrong_one_does_not() {
    let (mut verifier, mut count) = (verifier(), 1);
    for challenge in verifier.challenges(SOURCE, at(0), false) {
        assert_eq!(check(&mut verifier, &answer(&challenge, "guess", count), SOURCE, at(1)), Err(Denied::Wrong));
        assert_eq!(check(&mut verifier, &answer(&challenge, "zanzibar", count), SOURCE, at(1)), Ok("bob".to_owned()));
        // One nonce serves all three challenges, so its count goes on.
        count += 1;
    }
}

#[test]
fn counts_must_rise_and_nonces_end() {
    let mut verifier = verifier();
    let challenge = verifier.challenges(SOURCE, at(0), false).remove(0);
    let mut use_it = |count, now| check(&mut verifier, &answer(&challenge, "zanzibar", count), SOURCE, at(now));
    assert_eq!(use_it(1, 1), Ok("bob".to_owned()));
    assert_eq!(use_it(1, 1), Err(Denied::Stale));
    assert_eq!(use_it(3, 2), Ok("bob".to_owned()));
    assert_eq!(use_it(2, 2), Err(Denied::Stale));
    assert_eq!(use_it(4, 60), Err(Denied::Stale));
}

#[test]
fn a_nonce_serves_its_source_and_its_maker_only() {
    let mut verifier = verifier();
    let challenge = verifier.challenges(SOURCE, at(0), false).remove(0);
    let request = answer(&challenge, "zanzibar", 1);
    assert_eq!(check(&mut verifier, &request, "192.0.2.8".parse().unwrap(), at(1)), Err(Denied::Stale));
    assert_eq!(check(&mut Verifier::new("example.com", &ALL, &Random::seeded(9)), &request, SOURCE, at(1)), Err(Denied::Stale));
    assert_eq!(check(&mut verifier, &request, SOURCE, at(1)), Ok("bob".to_owned()));
}

#[test]
fn strangers_and_other_schemes_are_told_apart_from_nothing() {
    let mut verifier = verifier();
    let challenge = verifier.challenges(SOURCE, at(0), false).remove(0);
    let nobody = verifier.check(&answer(&challenge, "zanzibar", 1), Name::Authorization, SOURCE, at(1), |_, _| None);
    assert_eq!(nobody, Err(Denied::Wrong));
    assert_eq!(check(&mut verifier, &register("NoOneKnowsThisScheme opaque-data=here"), SOURCE, at(1)), Err(Denied::Missing));
    assert_eq!(check(&mut verifier, &register("Digest realm=\"example.com\""), SOURCE, at(1)), Err(Denied::Missing));
}

#[test]
fn forgotten_nonces_are_dead() {
    let mut verifier = verifier();
    let challenge = verifier.challenges(SOURCE, at(0), false).remove(0);
    assert!(check(&mut verifier, &answer(&challenge, "zanzibar", 1), SOURCE, at(1)).is_ok());
    verifier.order.extend((0..NONCES).map(|serial| (at(61), serial.to_string())));
    let fresh = verifier.challenges(SOURCE, at(2), false).remove(0);
    assert!(check(&mut verifier, &answer(&fresh, "zanzibar", 1), SOURCE, at(2)).is_ok());
    assert!(verifier.order.len() <= NONCES);
    assert_eq!(check(&mut verifier, &answer(&challenge, "zanzibar", 2), SOURCE, at(2)), Err(Denied::Stale));
}

#[test]
fn a_client_answers_the_topmost_it_may() {
    let response = verifier().challenges(SOURCE, at(0), false).iter().rev().fold(
        Response::to(&register("none"), Status::UNAUTHORIZED, Some(&"t".into())).header(Name::WwwAuthenticate, "Basic realm=\"x\""),
        |response, challenge| response.header(Name::WwwAuthenticate, challenge.to_string()),
    );
    let response = Message::parse(response.encode()).unwrap();
    assert_eq!(Challenge::pick(&response, true).unwrap().0.algorithm, Algorithm::Md5);
    let (challenge, header) = Challenge::pick(&response, false).unwrap();
    assert_eq!((challenge.algorithm, header), (Algorithm::Sha256, Name::Authorization));
}

#[test]
fn old_challenges_without_qop_are_answered_the_old_way() {
    let challenge = Challenge::read(br#"Digest realm="biloxi.example.com", nonce="dcd98b", opaque="a\"b""#).unwrap();
    assert_eq!((challenge.algorithm, challenge.qop, challenge.opaque.as_deref()), (Algorithm::Md5, false, Some("a\"b")));
    let credentials =
        challenge.answer(&Method::Invite, &"sip:bob@example.com".parse().unwrap(), "bob", &Secret::new("x"), 1, &Random::seeded(1));
    assert!(!credentials.to_string().contains("qop"));
    assert_eq!(Credentials::read(credentials.to_string().as_bytes()), Some(credentials));
}

#[test]
fn malformed_values_are_nobody() {
    for text in [
        "Digest",
        "Digest ",
        "Digest a",
        "Digest a=\"",
        "Digest a=1,a=2",
        "Digest a=1 b=2",
        "Digest =1",
        "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
    ] {
        assert_eq!(Challenge::read(text.as_bytes()), None, "{text}");
        assert_eq!(Credentials::read(text.as_bytes()), None, "{text}");
    }
    assert_eq!(Challenge::read(&Bytes::from_static(b"Digest realm=\xe9")), None);
}
