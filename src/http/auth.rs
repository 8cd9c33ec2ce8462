//! Who is asking: users, secrets, nonces, replay and retry.
//!
//! One answer for every failure, the same work whether the user exists or not, and a different reason in the log. Slow hashing
//! happens off the async threads, and what was verified lately is remembered by a keyed hash, so that load is bearable.

mod digest;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moka::sync::Cache;
use sha1::Sha1;
use sha2::Digest as _;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

pub use digest::Challenge;
use digest::{Guard, Response};

use super::limits::{Client, Limits, Source};
use crate::database::Database;
use crate::subscriber::credential::{self, Sealer, hash_password, hex, token_digest, unhex, verify_password};
use crate::subscriber::store::{self, NonceState, SeenNonce};
use crate::subscriber::{Credential, Kind, SignIn};
use crate::types::{Clock, Random, Secret, SubscriberId};

/// Password hashes computed at once.
const HASHING: usize = 2;
/// Sign-ins that wait for one; one more is told to come back.
const HASHING_QUEUE: usize = 64;
/// Verified passwords that are remembered, and for how long.
const VERIFIED: u64 = 50_000;
const VERIFIED_FOR: Duration = Duration::from_secs(300);
/// Nonces remembered for one subscriber.
const MOST_NONCES: i64 = 1000;
/// Nonces whose answers are kept in memory in front of the table.
const NONCES_IN_MEMORY: u64 = 20_000;
/// Longest nonce.
const LONGEST_NONCE: usize = 256;

/// How people prove who they are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is hashed for `salted_sha1`: a text with `{nonce}` and `{secret}`, perhaps `{user}` and `{target}`.
    pub hash_input: HashInput,
    /// Shortest nonce of `salted_sha1`.
    pub nonce_min_chars: usize,
    /// How long nonces are remembered.
    pub nonce_memory_hours: u32,
    /// The same request with the same nonce within this time is a network retry.
    pub retry_window_secs: u32,
    /// Take passwords and tokens over plain http from this machine itself: for trying out, and behind a proxy on loopback that
    /// ends TLS without saying so.
    pub allow_http_from_loopback: bool,
    /// Realm of Digest challenges.
    pub realm: String,
    /// Bind a credential to the first device that uses it; others are refused until the operator clears it.
    pub bind_device: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hash_input: HashInput("{nonce}{secret}".to_owned()),
            nonce_min_chars: 8,
            nonce_memory_hours: 24,
            retry_window_secs: 15,
            allow_http_from_loopback: true,
            realm: "callthrough".to_owned(),
            bind_device: false,
        }
    }
}

/// The order of what is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashInput(String);

impl<'de> serde::Deserialize<'de> for HashInput {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rest = ["{user}", "{nonce}", "{secret}", "{target}"].iter().fold(text.clone(), |text, name| text.replace(name, ""));
        if text.contains("{secret}") && text.contains("{nonce}") && !rest.contains(['{', '}']) {
            Ok(Self(text))
        } else {
            Err(serde::de::Error::custom("hash_input needs {secret} and {nonce}, and knows {user} and {target} besides"))
        }
    }
}

impl HashInput {
    fn fill(&self, user: &str, nonce: &str, secret: &str, target: &str) -> String {
        let mut filled = String::with_capacity(self.0.len() + secret.len());
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            filled.push_str(match name {
                "user" => user,
                "nonce" => nonce,
                "target" => target,
                _ => secret,
            });
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

/// A way to prove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Random token of a device, over https.
    Token,
    /// Password or app secret as it is, over https.
    Plain,
    /// SHA-1 of the app secret.
    Sha1,
    /// SHA-1 of nonce and app secret.
    SaltedSha1,
    /// HTTP Digest (RFC 7616).
    Digest,
}

/// What a request brought to prove who asks.
#[derive(Debug, Clone)]
pub struct Presented {
    /// Whose door it came to: the tenant's name in paths.
    pub tenant: String,
    /// The user, decoded, as sent.
    pub user: String,
    /// The secret or hash.
    pub secret: Secret,
    /// The client's nonce.
    pub nonce: Option<String>,
    /// The target as it was sent: it may be part of a hash.
    pub target: String,
    /// The installation.
    pub device: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// Method and request target, for Digest.
    pub method: String,
    /// As sent.
    pub uri: String,
    /// Of all fields: the same request has the same.
    pub fingerprint: String,
    /// Where it came from.
    pub client: Client,
}

/// Somebody who has proved who they are.
#[derive(Debug)]
pub struct SignedIn {
    /// Who.
    pub who: SignIn,
    /// The nonce, if it must be told the answer.
    pub nonce: Option<String>,
}

/// Why nobody signed in.
#[derive(Debug)]
pub enum Denied {
    /// Unknown, wrong, replayed: one answer. The reason is for the log.
    Failed(Reason),
    /// Digest is offered.
    Challenge(Vec<Challenge>, Reason),
    /// Wait this many seconds.
    TooFast(u64),
    /// A network retry: this is the answer the first one got.
    Stored(SeenNonce),
    /// The books failed.
    Fault(String),
}

/// The log's word for a failed sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nobody is called that.
    UnknownUser,
    /// The secret or hash fits none of the user's credentials.
    WrongSecret,
    /// Only asterisks: the service URL is http.
    MaskedSecret,
    /// The nonce was used.
    NonceReplayed,
    /// The nonce is too short, too long, or missing.
    NonceShort,
    /// The subscriber is switched off.
    Disabled,
    /// A secret that needs https came over http.
    PlainHttp,
    /// Another installation has the credential.
    OtherDevice,
    /// Digest without an answer to a challenge of ours.
    Unchallenged,
}

impl Reason {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::WrongSecret => "wrong_secret",
            Self::MaskedSecret => "masked_secret",
            Self::NonceReplayed => "nonce_replayed",
            Self::NonceShort => "nonce_short",
            Self::Disabled => "disabled",
            Self::PlainHttp => "plain_http",
            Self::OtherDevice => "other_device",
            Self::Unchallenged => "unchallenged",
        }
    }

    /// Whether it counts towards a growing delay: mistakes of configuration do not.
    const fn counts(self) -> bool {
        match self {
            Self::UnknownUser | Self::WrongSecret | Self::NonceReplayed | Self::NonceShort | Self::Disabled | Self::OtherDevice => true,
            Self::MaskedSecret | Self::PlainHttp | Self::Unchallenged => false,
        }
    }
}

/// The one that asks for secrets. Cheap to clone.
#[derive(Clone)]
pub struct Doorkeeper(Arc<Inner>);

struct Inner {
    config: Config,
    database: Database,
    limits: Limits,
    sealer: Option<Sealer>,
    clock: Clock,
    key: hmac::Key,
    guard: Guard,
    /// Verified against when the user has no password, so that it takes as long.
    nobody: Secret,
    verified: Cache<[u8; 32], ()>,
    nonces: Cache<(SubscriberId, String), SeenNonce>,
    hashing: Arc<Semaphore>,
    queue: Semaphore,
}

impl Doorkeeper {
    /// A doorkeeper with an empty memory; nonces it has seen are in the database.
    pub fn new(
        config: Config,
        credentials: &credential::Config,
        database: Database,
        limits: Limits,
        sealer: Option<Sealer>,
        clock: Clock,
        random: &Random,
    ) -> Self {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        random.fill(&mut bytes);
        let guard = Guard::new(&bytes, config.realm.clone(), clock.clone(), random.clone());
        Self(Arc::new(Inner {
            nobody: hash_password("nobody", credentials, random),
            config,
            database,
            limits,
            sealer,
            clock,
            key,
            guard,
            verified: Cache::builder().max_capacity(VERIFIED).time_to_live(VERIFIED_FOR).build(),
            nonces: Cache::builder().max_capacity(NONCES_IN_MEMORY).time_to_live(Duration::from_secs(120)).build(),
            hashing: Arc::new(Semaphore::new(HASHING)),
            queue: Semaphore::new(HASHING + HASHING_QUEUE),
        }))
    }

    /// Finds out who asks, by one of `variants`.
    pub async fn sign_in(&self, variants: &[Variant], presented: &Presented) -> Result<SignedIn, Denied> {
        let inner = &*self.0;
        let digest = variants.contains(&Variant::Digest).then(|| Response::parse(presented.authorization.as_deref()?)).flatten();
        let user = digest.as_ref().map_or(presented.user.as_str(), |response| response.user.as_str());
        let folded = format!("{}/{}", presented.tenant, user.trim().to_lowercase());
        let source = Source::of(presented.client.address);
        inner.limits.may_try(&folded, source).map_err(Denied::TooFast)?;
        match inner.prove(variants, presented, digest.as_ref(), user).await {
            Ok(signed_in) => {
                inner.limits.succeeded(&folded, source);
                inner.limits.subscriber(signed_in.who.subscriber.id).map_err(Denied::TooFast)?;
                Ok(signed_in)
            }
            Err(Denied::Failed(reason)) => {
                if reason.counts() {
                    inner.limits.failed(&folded, source);
                }
                let missing_digest = variants.contains(&Variant::Digest) && presented.secret.expose().is_empty();
                if missing_digest { Err(Denied::Challenge(inner.guard.challenges(false), reason)) } else { Err(Denied::Failed(reason)) }
            }
            Err(denied) => Err(denied),
        }
    }

    /// Keeps the answer for a network retry of the request that brought `nonce`.
    pub async fn keep_answer(
        &self,
        subscriber: SubscriberId,
        nonce: &str,
        status: u16,
        content_type: &str,
        body: &str,
    ) -> Result<(), String> {
        let (nonce, content_type, body) = (nonce.to_owned(), content_type.to_owned(), body.to_owned());
        let key = (subscriber, nonce.clone());
        self.0.nonces.invalidate(&key);
        let written = self
            .0
            .database
            .write(move |tx| Box::pin(async move { store::answer_nonce(tx, subscriber, &nonce, (status, &content_type, &body)).await }));
        written.await.map_err(|error| error.to_string())
    }
}

impl Inner {
    async fn prove(&self, variants: &[Variant], presented: &Presented, digest: Option<&Response>, user: &str) -> Result<SignedIn, Denied> {
        let secret = presented.secret.expose();
        if !secret.is_empty() && secret.bytes().all(|byte| byte == b'*') {
            tracing::warn!(hint = "service URL is http", "softphone.secret_masked");
            return Err(Denied::Failed(Reason::MaskedSecret));
        }
        let secure = presented.client.https || (self.config.allow_http_from_loopback && presented.client.address.is_loopback());
        let found = self.look_up(&presented.tenant, user).await?;
        let credentials = found.as_ref().map_or(&[][..], |found| &found.credentials);
        let proof = Proof { inner: self, variants, presented, user, secure };
        let proved = match proof.cheap(credentials, digest)? {
            Some(credential) => Some(credential),
            None => proof.password(credentials).await?,
        };
        let Some(credential) = proved else {
            let https_only = variants.iter().all(|variant| matches!(variant, Variant::Token | Variant::Plain));
            return Err(Denied::Failed(match found {
                _ if !secure && https_only => Reason::PlainHttp,
                None => Reason::UnknownUser,
                Some(_) if proof.nonce_is_short() => Reason::NonceShort,
                Some(_) if digest.is_none() && secret.is_empty() => Reason::Unchallenged,
                Some(_) => Reason::WrongSecret,
            }));
        };
        let (kind, id, bound) = (credential.kind, credential.id, credential.device.clone());
        let Some(who) = found.filter(|found| found.subscriber.enabled) else { return Err(Denied::Failed(Reason::Disabled)) };
        match (bound, presented.device.as_deref()) {
            (Some(bound), device) if self.config.bind_device && Some(bound.as_str()) != device => {
                return Err(Denied::Failed(Reason::OtherDevice));
            }
            (None, Some(device)) if self.config.bind_device => self.bind(id, device.to_owned()).await?,
            _ => {}
        }
        let salted = kind == Kind::AppSecret && proof.salted(&who.credentials);
        let nonce = if salted { self.claim_nonce(&who, presented).await? } else { None };
        Ok(SignedIn { who, nonce })
    }

    async fn look_up(&self, tenant: &str, user: &str) -> Result<Option<SignIn>, Denied> {
        let fault = |error: &dyn std::fmt::Display| Denied::Fault(error.to_string());
        let mut connection = self.database.read().await.map_err(|error| fault(&error))?;
        let now = self.clock.timestamp();
        for name in readings(user) {
            if let Some(found) = store::sign_in(&mut connection, tenant, &name, now).await.map_err(|error| fault(&error))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn bind(&self, id: crate::types::CredentialId, device: String) -> Result<(), Denied> {
        let written = self.database.write(move |tx| Box::pin(async move { store::bind_device(tx, id, &device).await }));
        written.await.map_err(|error| Denied::Fault(error.to_string()))
    }

    /// Replay and retry: a nonce counts once, but a request that is repeated by the network gets the answer it was owed.
    async fn claim_nonce(&self, who: &SignIn, presented: &Presented) -> Result<Option<String>, Denied> {
        let nonce = presented.nonce.clone().ok_or(Denied::Failed(Reason::NonceShort))?;
        let fingerprint =
            hex(hmac::sign(&fingerprint_key(), format!("{} {}", presented.client.address, presented.fingerprint).as_bytes()).as_ref());
        let subscriber = who.subscriber.id;
        let key = (subscriber, nonce.clone());
        let state = if let Some(seen) = self.nonces.get(&key) {
            NonceState::Seen(seen)
        } else {
            let now = self.clock.timestamp();
            let since = now - Duration::from_secs(u64::from(self.config.nonce_memory_hours) * 3600);
            let (nonce, fingerprint) = (nonce.clone(), fingerprint.clone());
            let claimed = self.database.write(move |tx| {
                Box::pin(async move { store::claim_nonce(tx, subscriber, &nonce, &fingerprint, (now, since), MOST_NONCES).await })
            });
            claimed.await.map_err(|error| Denied::Fault(error.to_string()))?
        };
        match state {
            NonceState::New => Ok(Some(nonce)),
            NonceState::TooMany => Err(Denied::TooFast(u64::from(self.config.nonce_memory_hours) * 3600 / 24)),
            NonceState::Seen(seen) => {
                let age = self.clock.timestamp().since(seen.seen_at);
                let same = bool::from(seen.fingerprint.as_bytes().ct_eq(fingerprint.as_bytes()));
                if !same || age > Duration::from_secs(u64::from(self.config.retry_window_secs)) {
                    return Err(Denied::Failed(Reason::NonceReplayed));
                }
                if seen.status == 0 {
                    // The first one is still being answered.
                    return Err(Denied::TooFast(1));
                }
                self.nonces.insert(key, seen.clone());
                Err(Denied::Stored(seen))
            }
        }
    }
}

/// Only a fingerprint of what is public or already proved: a fixed key keeps it the same over restarts and nodes.
fn fingerprint_key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, b"callthrough nonce fingerprint")
}

/// What a user name may mean: a leading space before digits was a plus; other spaces may have been pluses.
fn readings(user: &str) -> Vec<String> {
    if let Some(rest) = user.strip_prefix(' ').filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit())) {
        return vec![format!("+{rest}")];
    }
    let mut readings = vec![user.to_owned()];
    if user.trim().contains(' ') {
        readings.push(user.trim().replace(' ', "+"));
    }
    readings
}

/// One attempt: what was presented against what is kept.
struct Proof<'p> {
    inner: &'p Inner,
    variants: &'p [Variant],
    presented: &'p Presented,
    user: &'p str,
    secure: bool,
}

impl Proof<'_> {
    fn allows(&self, variant: Variant) -> bool {
        self.variants.contains(&variant)
    }

    /// The secret as decoded, and once more with spaces as the pluses they may have been.
    fn secrets(&self) -> impl Iterator<Item = String> {
        let secret = self.presented.secret.expose();
        std::iter::once(secret.to_owned()).chain(secret.contains(' ').then(|| secret.replace(' ', "+")))
    }

    /// Everything but passwords.
    fn cheap<'c>(&self, credentials: &'c [Credential], digest: Option<&Response>) -> Result<Option<&'c Credential>, Denied> {
        let secrets: Vec<String> = self.secrets().collect();
        let mut found = None;
        for credential in credentials {
            let fits = match credential.kind {
                Kind::Token => {
                    self.secure
                        && self.allows(Variant::Token)
                        && secrets.iter().any(|secret| credential.verifier.matches(token_digest(secret).expose()))
                }
                Kind::AppSecret => self.app_secret(credential, &secrets),
                Kind::Digest | Kind::Password => false,
            };
            if fits {
                found = found.or(Some(credential));
            }
        }
        if found.is_some() || !self.allows(Variant::Digest) {
            return Ok(found);
        }
        let Some(response) = digest else { return Ok(None) };
        let digests = credentials.iter().filter(|credential| credential.kind == Kind::Digest);
        self.inner.guard.check(response, digests, &self.presented.method, &self.presented.uri).map_err(|stale| {
            if stale {
                Denied::Challenge(self.inner.guard.challenges(true), Reason::Unchallenged)
            } else {
                Denied::Failed(Reason::Unchallenged)
            }
        })
    }

    fn app_secret(&self, credential: &Credential, secrets: &[String]) -> bool {
        let plain = self.secure && self.allows(Variant::Plain);
        let by_text = plain && secrets.iter().any(|secret| credential.verifier.matches(&hex(&Sha1::digest(secret.as_bytes()))));
        let by_hash = self.allows(Variant::Sha1) && self.hash().is_some_and(|hash| credential.verifier.matches(&hex(&hash)));
        by_text || by_hash || self.salted_fits(credential)
    }

    /// Whether it was the salted hash that fitted, so that the nonce counts.
    fn salted(&self, credentials: &[Credential]) -> bool {
        credentials.iter().any(|credential| credential.kind == Kind::AppSecret && self.salted_fits(credential))
    }

    fn salted_fits(&self, credential: &Credential) -> bool {
        if !self.allows(Variant::SaltedSha1) {
            return false;
        }
        let Some((hash, nonce)) = self.hash().zip(self.presented.nonce.as_deref()) else { return false };
        let sound = (self.inner.config.nonce_min_chars..=LONGEST_NONCE).contains(&nonce.chars().count());
        let secret = credential.sealed.as_deref().zip(self.inner.sealer.as_ref()).and_then(|(sealed, sealer)| {
            sealer
                .open(sealed)
                .inspect_err(|error| tracing::error!(credential.id = %credential.id, %error, "an app secret cannot be read"))
                .ok()
        });
        let Some(secret) = secret else { return false };
        let input = self.inner.config.hash_input.fill(self.user, nonce, secret.expose(), &self.presented.target);
        let fits: bool = Sha1::digest(input.as_bytes()).ct_eq(&hash).into();
        fits && sound
    }

    fn nonce_is_short(&self) -> bool {
        let short = |nonce: &str| !(self.inner.config.nonce_min_chars..=LONGEST_NONCE).contains(&nonce.chars().count());
        self.allows(Variant::SaltedSha1) && self.hash().is_some() && self.presented.nonce.as_deref().is_none_or(short)
    }

    /// The SHA-1 that was sent: 40 hex digits of any case, or 28 characters of base64 with spaces for pluses.
    fn hash(&self) -> Option<[u8; 20]> {
        let text = self.presented.secret.expose().trim_end_matches(['\r', '\n']);
        let bytes = match text.len() {
            40 => unhex(text)?,
            28 => STANDARD.decode(text.replace(' ', "+")).ok()?,
            _ => return None,
        };
        bytes.try_into().ok()
    }

    /// Passwords, or the same work against nobody's.
    async fn password<'c>(&self, credentials: &'c [Credential]) -> Result<Option<&'c Credential>, Denied> {
        if !self.secure || !self.allows(Variant::Plain) || self.presented.secret.expose().is_empty() {
            return Ok(None);
        }
        let passwords: Vec<&Credential> = credentials.iter().filter(|credential| credential.kind == Kind::Password).collect();
        let secrets: Vec<String> = self.secrets().collect();
        let remembered = |credential: &Credential, secret: &str| {
            let text = format!("{} {} {secret}", credential.id, credential.verifier.expose());
            <[u8; 32]>::try_from(hmac::sign(&self.inner.key, text.as_bytes()).as_ref()).expect("SHA-256 has 32 bytes")
        };
        for credential in &passwords {
            if secrets.iter().any(|secret| self.inner.verified.contains_key(&remembered(credential, secret))) {
                return Ok(Some(credential));
            }
        }
        let Ok(_place) = self.inner.queue.try_acquire() else { return Err(Denied::TooFast(1)) };
        if passwords.is_empty() {
            self.verify(self.inner.nobody.clone(), secrets[0].clone()).await?;
            return Ok(None);
        }
        for credential in passwords {
            for secret in &secrets {
                if self.verify(credential.verifier.clone(), secret.clone()).await? {
                    self.inner.verified.insert(remembered(credential, secret), ());
                    return Ok(Some(credential));
                }
            }
        }
        Ok(None)
    }

    async fn verify(&self, verifier: Secret, secret: String) -> Result<bool, Denied> {
        let fault = |error: String| Denied::Fault(error);
        let permit = self.inner.hashing.clone().acquire_owned().await.map_err(|error| fault(error.to_string()))?;
        let verified = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            verify_password(&verifier, &secret)
        });
        verified.await.map_err(|error| fault(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_inputs_of_the_vectors() {
        let presets = [
            ("{nonce}{secret}", "faf017fd6abaefec8939dc2e5dcd780f184526ac"),
            ("{secret}{nonce}", "94c2c9bf935669c76b61eaafeb78dea429096b78"),
            ("{nonce}:{secret}", "a745e237d433661ed8f96a11803d47e8b24c1ee3"),
            ("{user}:{nonce}:{secret}", "8c5a54bef0b43f3a58af334c12e20ad63876f724"),
        ];
        for (text, hash) in presets {
            let input: HashInput = serde_json::from_value(text.into()).unwrap();
            let filled = input.fill("johndoe", "n0nce123", "secretPhrase", "+15551231234");
            assert_eq!(hex(&Sha1::digest(filled.as_bytes())), hash, "{text}");
        }
        for text in ["{secret}", "{nonce}", "{nonce}{secret}{other}", "{nonce}{secret", ""] {
            assert!(serde_json::from_value::<HashInput>(text.into()).is_err(), "{text}");
        }
        let braces: HashInput = serde_json::from_value("{nonce}{secret}".into()).unwrap();
        assert_eq!(braces.fill("u", "{secret}", "s", "t"), "{secret}s", "what is filled in is not read again");
    }

    #[test]
    fn a_user_name_may_have_lost_its_plus() {
        assert_eq!(readings(" 15551231234"), ["+15551231234"]);
        assert_eq!(readings("ann"), ["ann"]);
        assert_eq!(readings("ann b@example.com "), ["ann b@example.com ", "ann+b@example.com"]);
        assert_eq!(readings(" ann "), [" ann "]);
    }
}
