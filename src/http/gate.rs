//! The gate of the API and the pages: how often somebody may ask, how passwords are checked without telling who is there, and
//! which cookie a browser is known by.

use std::sync::{Arc, OnceLock};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::Semaphore;

use super::Peer;
use super::error::Problem;
use super::limits::{self, Allowed, Block, Client, Limits, Requests, Source};
use crate::subscriber::credential::{self, hash_password, verify_password};
use crate::types::{Clock, Random, Secret};

/// Passwords that are hashed at once: each takes a core and some memory for a while.
const HASHING: usize = 2;
/// Passwords that may wait for it.
const HASHING_QUEUE: usize = 30;
/// The cookie over https; browsers take it from this host only, for all paths, and never over http.
const SECURE_COOKIE: &str = "__Host-callthrough";
/// The cookie on this machine itself, where there is no https.
const LOCAL_COOKIE: &str = "callthrough";

/// The gate. Cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    limits: Limits,
    requests: Requests,
    proxies: Vec<Block>,
    credentials: credential::Config,
    random: Random,
    /// Verified against when nobody is called that, so that it takes as long.
    nobody: OnceLock<Secret>,
    hashing: Arc<Semaphore>,
    queue: Semaphore,
}

impl Gate {
    /// A gate with an empty memory; `a_minute` requests of one key or sign-in are let through.
    pub fn new(clock: &Clock, random: &Random, credentials: &credential::Config, a_minute: u32, proxies: Vec<Block>) -> Self {
        Self(Arc::new(Inner {
            limits: Limits::new(limits::Config::default(), clock.clone()),
            requests: Requests::new(clock.clone(), a_minute),
            proxies,
            credentials: credentials.clone(),
            random: random.clone(),
            nobody: OnceLock::new(),
            hashing: Arc::new(Semaphore::new(HASHING)),
            queue: Semaphore::new(HASHING + HASHING_QUEUE),
        }))
    }

    /// Who really asks, and whether the way was encrypted.
    pub fn client(&self, peer: Option<Peer>, headers: &HeaderMap) -> Client {
        let (address, tls) = peer.map_or(([0, 0, 0, 0].into(), false), |peer| (peer.address.ip(), peer.tls));
        limits::client(address, tls, headers, &self.0.proxies)
    }

    /// Counts a request of `who`.
    pub fn count(&self, who: &str) -> Allowed {
        self.0.requests.count(who)
    }

    /// Whether somebody may try to sign in as `name` now.
    pub fn may_try(&self, name: &str, client: Client) -> Result<(), Problem> {
        self.0.limits.may_try(name, Source::of(client.address)).map_err(too_fast)
    }

    /// Notes how a try went.
    pub fn tried(&self, name: &str, client: Client, well: bool) {
        let source = Source::of(client.address);
        if well { self.0.limits.succeeded(name, source) } else { self.0.limits.failed(name, source) }
    }

    /// Whether somebody may try another voucher: `who` asks for `whose` account. Both have a memory of their own.
    pub fn may_guess(&self, who: &str, whose: &str) -> Result<(), Problem> {
        [who, whose].into_iter().try_for_each(|name| self.0.limits.may_guess(name)).map_err(too_fast)
    }

    /// Notes a voucher that there is not.
    pub fn guessed_wrong(&self, who: &str, whose: &str) {
        for name in [who, whose] {
            self.0.limits.guessed_wrong(name);
        }
    }

    /// Whether `password` is what `verifier` was made from; takes as long when there is nothing to compare with.
    pub async fn verify(&self, verifier: Option<Secret>, password: Secret) -> Result<bool, Problem> {
        let inner = self.0.clone();
        let verified = self.hashing(move || {
            let known = verifier.is_some();
            let nobody = inner.nobody.get_or_init(|| hash_password("nobody", &inner.credentials, &inner.random)).clone();
            verify_password(&verifier.unwrap_or(nobody), password.expose()) && known
        });
        verified.await
    }

    /// What is kept of a new password.
    pub async fn hash(&self, password: Secret) -> Result<Secret, Problem> {
        let inner = self.0.clone();
        self.hashing(move || hash_password(password.expose(), &inner.credentials, &inner.random)).await
    }

    async fn hashing<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let Ok(_place) = self.0.queue.try_acquire() else { return Err(too_fast(1)) };
        let permit = self.0.hashing.clone().acquire_owned().await.map_err(|error| Problem::fault(&error))?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|error| Problem::fault(&error))
    }
}

/// Wait, and try again.
pub fn too_fast(seconds: u64) -> Problem {
    let message = format!("Too many tries or requests. Wait {seconds} s and try again.");
    let retry_after_secs = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
    Problem { retry_after_secs, ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_fast", message) }
}

/// The name of the cookie on this way to us; none where it would travel in the open.
pub fn cookie_name(client: Client) -> Result<&'static str, Problem> {
    match client {
        Client { https: true, .. } => Ok(SECURE_COOKIE),
        Client { address, .. } if address.is_loopback() => Ok(LOCAL_COOKIE),
        Client { .. } => {
            let message = "People sign in over https, or from the server's own machine. Use the https address.";
            Err(Problem::new(StatusCode::FORBIDDEN, "https_needed", message))
        }
    }
}

/// What the browser holds.
pub fn cookie(client: Client, headers: &HeaderMap) -> Option<Secret> {
    let name = cookie_name(client).ok()?;
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let found = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    found.into_iter().find(|(key, _)| *key == name).map(|(_, value)| Secret::new(value))
}

/// The headers that take the browser's cookies away, whichever way they came.
pub fn no_cookies() -> [HeaderValue; 2] {
    [
        HeaderValue::from_static("__Host-callthrough=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0; Secure"),
        HeaderValue::from_static("callthrough=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"),
    ]
}

/// The header that gives the browser its cookie.
pub fn set_cookie(client: Client, token: &Secret) -> Result<HeaderValue, Problem> {
    let name = cookie_name(client)?;
    let secure = if client.https { "; Secure" } else { "" };
    let life = crate::people::sign_in::LIFE.as_secs();
    let text = format!("{name}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}{secure}", token.expose());
    let mut value = HeaderValue::from_str(&text).map_err(|error| Problem::fault(&error))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: [u8; 4], https: bool) -> Client {
        Client { address: address.into(), https }
    }

    #[test]
    fn a_cookie_never_travels_in_the_open() {
        let token = Secret::new("t0ken");
        let text = |client| set_cookie(client, &token).map(|value| value.to_str().unwrap().to_owned());
        let secure = text(from([203, 0, 113, 9], true)).unwrap();
        assert_eq!(secure, "__Host-callthrough=t0ken; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure");
        assert!(text(from([127, 0, 0, 1], false)).unwrap().starts_with("callthrough=t0ken; Path=/; HttpOnly; SameSite=Strict"));
        assert_eq!(text(from([203, 0, 113, 9], false)).unwrap_err().code, "https_needed");
    }

    #[test]
    fn only_the_cookie_of_this_way_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b; callthrough=local; __Host-callthrough=secure"));
        assert_eq!(cookie(from([203, 0, 113, 9], true), &headers).unwrap().expose(), "secure");
        assert_eq!(cookie(from([127, 0, 0, 1], false), &headers).unwrap().expose(), "local");
        assert!(cookie(from([203, 0, 113, 9], false), &headers).is_none());
    }

    #[tokio::test]
    async fn nobody_is_let_in_by_any_password() {
        let cheap = credential::Config { argon2_memory_kib: 8, argon2_passes: 1 };
        let clock = Clock::manual(crate::types::Timestamp::from_micros(0));
        let gate = Gate::new(&clock, &Random::seeded(1), &cheap, 1, Vec::new());
        assert!(!gate.verify(None, Secret::new("nobody")).await.unwrap());
        let kept = gate.hash(Secret::new("correct horse")).await.unwrap();
        assert!(gate.verify(Some(kept.clone()), Secret::new("correct horse")).await.unwrap());
        assert!(!gate.verify(Some(kept), Secret::new("wrong horse")).await.unwrap());
    }
}
