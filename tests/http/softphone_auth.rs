//! Ways to prove who asks: every variant over real sockets, and what fails sounds the same.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callthrough::database::Kind;
use callthrough::subscriber::{self, credential::hex};
use serde_json::json;
use sha1::Digest as _;

use crate::support::office::{ACCESS_NUMBER, Office, Served};

const ALL: &str = r#"
    trusted_proxies = ["127.0.0.0/8"]
    [[endpoint]]
    service = "callthrough"
    path = "/callthrough"
    auth = ["token", "plain", "sha1", "salted_sha1"]
    [[endpoint]]
    service = "callthrough"
    path = "/digest"
    auth = ["digest"]
"#;

async fn served(kind: subscriber::Kind, secret: &str) -> Served {
    let office = Office::open(Kind::Sqlite).await;
    office.number(ACCESS_NUMBER, "US", json!({})).await;
    let johndow = office.person(&["johndow", "john@example.com"], &["+15551230001"], 10_000_000).await;
    office.credential(&johndow, kind, secret).await;
    office.serve(ALL).await
}

async fn status(door: &Served, query: &str) -> u16 {
    door.get(&format!("/callthrough?to=15551231234&{query}")).await.status
}

fn sha1(text: &str) -> String {
    hex(&sha1::Sha1::digest(text.as_bytes()))
}

/// What the log says while this lives, on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        // While there is one listener only, `tracing` asks the thread that logs first whether anybody listens and remembers a no
        // from the thread of another test. A second listener makes it ask all.
        static SECOND: std::sync::OnceLock<tracing::Dispatch> = std::sync::OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(tracing_subscriber::registry()));
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE).with_writer(move || log.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn g7_all_failures_sound_the_same_and_the_log_knows_better() {
    let log = Log::default();
    let _listening = log.listen();
    let door = served(subscriber::Kind::AppSecret, "secretPhrase").await;
    let salted = sha1("n0nce123secretPhrase");
    assert_eq!(status(&door, &format!("u=johndow&p={salted}&n=n0nce123")).await, 200);
    let mut messages = Vec::new();
    for (query, reason) in [
        ("u=nobody&p=secretPhrase".to_owned(), "unknown_user"),
        ("u=johndow&p=secretphrase".to_owned(), "wrong_secret"),
        (format!("u=johndow&p={}&n=n0nce124", sha1("n0nce123secretPhrase")), "wrong_secret"),
        (format!("u=johndow&p={salted}&n=n0nce123&dev=other"), "nonce_replayed"),
        ("u=johndow&p=********".to_owned(), "masked_secret"),
        (format!("u=johndow&p={}&n=short", sha1("shortsecretPhrase")), "nonce_short"),
    ] {
        let before = log.text().len();
        let refused = door.get(&format!("/callthrough?to=15551231234&{query}")).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("sign_in_failed")), "{query}");
        assert_eq!(refused.header("www-authenticate"), None);
        messages.push(refused.message());
        let said = log.text()[before..].to_owned();
        assert!(said.contains(&format!("reason=\"{reason}\"")), "{query}: {said}");
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let said = log.text();
    assert!(said.contains("softphone.secret_masked") && said.contains("service URL is http"), "{said}");
    assert!(!said.contains("secretPhrase") && !said.contains(&salted) && !said.contains("15551231234"), "no secrets, no numbers: {said}");
}

#[tokio::test]
async fn the_vectors_sign_in_by_hash_of_any_case_and_by_base64() {
    let door = served(subscriber::Kind::AppSecret, "secretPhrase").await;
    for (hash, sound) in [
        ("de086d65c0be8595a0b796f5da1db80397cc84aa", true),
        ("DE086D65C0BE8595A0B796F5DA1DB80397CC84AA", true),
        ("3ghtZcC%2BhZWgt5b12h24A5fMhKo=", true),
        ("3ghtZcC+hZWgt5b12h24A5fMhKo=", true),
        ("de086d65c0be8595a0b796f5da1db80397cc84ab", false),
        ("de086d65c0be8595a0b796f5da1db80397cc84a", false),
    ] {
        assert_eq!(status(&door, &format!("u=johndow&hash={hash}")).await, if sound { 200 } else { 403 }, "{hash}");
    }
    for hash in ["faf017fd6abaefec8939dc2e5dcd780f184526ac", "%2BvAX/Wq67%2ByJOdwuXc14DxhFJqw="] {
        let nonce = if hash.starts_with('%') { "n0nce123&dev=2" } else { "n0nce123" };
        let expected = if hash.starts_with('%') { 403 } else { 200 };
        assert_eq!(status(&door, &format!("u=johndow&p={hash}&nonce={nonce}")).await, expected, "a nonce counts once");
    }
    let umlauts = served(subscriber::Kind::AppSecret, "pässwörd").await;
    assert_eq!(status(&umlauts, "u=johndow&p=f517ddf1d32a112ff1ad55c66d1b12cb38e7e8f7").await, 200);
    assert_eq!(status(&umlauts, "u=johndow&p=p%C3%A4ssw%C3%B6rd").await, 200, "an app secret may come as it is");
}

#[tokio::test]
async fn g17_a_retry_gets_the_same_answer_and_a_replay_gets_none() {
    let door = served(subscriber::Kind::AppSecret, "secretPhrase").await;
    let request = format!("/callthrough?to=15551231234&u=johndow&p={}&n=n0nce123", sha1("n0nce123secretPhrase"));
    let first = door.get(&request).await;
    assert_eq!(first.status, 200);
    door.office.clock.advance(Duration::from_secs(10));
    let retry = door.get(&request).await;
    assert_eq!((retry.status, &retry.body, retry.header("content-type")), (200, &first.body, first.header("content-type")));
    assert_eq!(door.office.count("pending").await, 1, "nothing new");
    let callthrough::callthrough::Found::Pending(found) = door.office.find("+15551230001", ACCESS_NUMBER).await else { panic!("gone") };
    assert_eq!(found.expires_at.since(found.created_at), Duration::from_secs(60), "nothing renewed");
    let elsewhere = door.get_with(&request, "X-Forwarded-For: 203.0.113.9\r\n").await;
    assert_eq!(elsewhere.status, 403, "the same from another address is a replay");
    door.office.clock.advance(Duration::from_secs(20));
    assert_eq!(door.get(&request).await.status, 403);
}

#[tokio::test]
async fn tokens_and_passwords_need_https() {
    for (kind, secret) in [(subscriber::Kind::Token, "9JqTokenTokenTokenToken"), (subscriber::Kind::Password, "pass word+")] {
        let door = served(kind, secret).await;
        let secret = secret.replace('+', "%2B").replace(' ', "%20");
        let request = format!("/callthrough?to=15551231234&u=johndow&p={secret}");
        assert_eq!(door.get(&request).await.status, 200, "loopback is allowed");
        let plain = door.get_with(&request, "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\n").await;
        assert_eq!(plain.status, 403, "over http");
        let https = door.get_with(&request, "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n").await;
        assert_eq!(https.status, 200, "over https");
        assert_eq!(door.get(&request.replace("9Jq", "8Jq").replace("pass", "Pass")).await.status, 403);
    }
}

#[tokio::test]
async fn a_secret_may_have_lost_its_pluses_and_a_user_their_case() {
    let door = served(subscriber::Kind::Password, "a+b c").await;
    assert_eq!(status(&door, "u=johndow&p=a%2Bb%20c").await, 200);
    let door = served(subscriber::Kind::Password, "a+b+c").await;
    assert_eq!(status(&door, "u=johndow&p=a+b+c").await, 200);
    for user in ["JohnDow", "%20johndow%20", "John@Example.COM", "%2B15551230001", "+15551230001", "15551230001"] {
        assert_eq!(status(&door, &format!("u={user}&p=a+b+c")).await, 200, "{user}");
    }
    for user in ["john%25", "johndo_", "%25", "j%2A"] {
        assert_eq!(status(&door, &format!("u={user}&p=a+b+c")).await, 403, "wildcards are ordinary characters: {user}");
    }
}

#[tokio::test]
async fn waits_grow_for_a_guesser_and_not_for_the_owner() {
    let door = served(subscriber::Kind::Password, "secret").await;
    let guess = async || {
        door.get_with("/callthrough?to=1555&u=johndow&p=guess", "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n").await.status
    };
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(guess().await);
    }
    assert_eq!(statuses, [403, 403, 403, 403, 403, 403, 429, 429]);
    assert_eq!(status(&door, "u=johndow&p=secret").await, 200, "the owner, from elsewhere");
    for _ in 0..20 {
        assert_eq!(status(&door, "u=johndow&p=********").await, 403, "a masked secret is no guess");
    }
}

#[tokio::test]
async fn digest_challenges_and_takes_each_count_once() {
    let door = served(subscriber::Kind::Digest, "Circle of Life").await;
    let uri = "/digest?to=15551231234";
    let challenge = door.get(uri).await;
    assert_eq!(challenge.status, 401);
    challenge.message();
    let offers: Vec<&str> = challenge.headers.lines().filter(|line| line.to_lowercase().starts_with("www-authenticate")).collect();
    assert!(offers[0].contains("algorithm=SHA-256") && offers[1].contains("algorithm=MD5"), "{offers:?}");
    let nonce = offers[0].split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let answer = |algorithm: &str, secret: &str, nc: &str, uri: &str| {
        let hash = |text: String| match algorithm {
            "MD5" => hex(&md5::Md5::digest(text.as_bytes())),
            _ => hex(&sha2::Sha256::digest(text.as_bytes())),
        };
        let (ha1, ha2) = (hash(format!("johndow:callthrough:{secret}")), hash(format!("GET:{uri}")));
        let response = hash(format!("{ha1}:{nonce}:{nc}:cnonce:auth:{ha2}"));
        format!(
            "Authorization: Digest username=\"johndow\", realm=\"callthrough\", nonce=\"{nonce}\", uri=\"{uri}\", qop=auth, nc={nc}, \
             cnonce=\"cnonce\", algorithm={algorithm}, response=\"{response}\"\r\n"
        )
    };
    let ask = async |header: String| door.get_with(uri, &header).await;
    assert_eq!(ask(answer("SHA-256", "Circle of Life", "00000001", uri)).await.status, 200);
    assert_eq!(ask(answer("SHA-256", "Circle of Life", "00000001", uri)).await.status, 401, "a count that does not rise");
    assert_eq!(ask(answer("MD5", "Circle of Life", "00000002", uri)).await.status, 200);
    assert_eq!(ask(answer("MD5", "Circle of Death", "00000003", uri)).await.status, 401);
    assert_eq!(ask(answer("MD5", "Circle of Life", "00000004", "/digest?to=15559999999")).await.status, 401, "another address");
    door.office.clock.advance(Duration::from_secs(61));
    let stale = ask(answer("SHA-256", "Circle of Life", "00000005", uri)).await;
    assert!(stale.status == 401 && stale.headers.contains("stale=true"), "{stale:?}");
}
