//! HTTP Digest (RFC 7616): qop=auth, SHA-256 before MD5, nonces that only we can have made.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::subscriber::Credential;
use crate::subscriber::credential::hex;
use crate::types::{Clock, Random, Secret};

/// How long a nonce of ours may be answered.
const NONCE_LIFE: Duration = Duration::from_secs(60);
/// Nonces whose counts are remembered.
const NONCES: u64 = 50_000;
/// Parameters of one header that are read.
const MOST_PARAMETERS: usize = 32;

/// One `WWW-Authenticate` value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge(pub String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Md5,
}

impl Algorithm {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Sha256 => hex(&Sha256::digest(text.as_bytes())),
            Self::Md5 => hex(&md5::Md5::digest(text.as_bytes())),
        }
    }
}

/// What an `Authorization: Digest` header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The user.
    pub user: String,
    realm: String,
    nonce: String,
    uri: String,
    proof: String,
    algorithm: String,
    cnonce: String,
    nc: String,
    qop: String,
}

impl Response {
    /// Reads the header; none if it is of another scheme or lacks a parameter.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let parameters = parameters(rest)?;
        let get = |name: &str| {
            let mut values = parameters.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
            let first = values.next();
            // A parameter given twice could mean either.
            if values.next().is_some() { None } else { first }
        };
        Some(Self {
            user: get("username")?,
            realm: get("realm")?,
            nonce: get("nonce")?,
            uri: get("uri")?,
            proof: get("response")?,
            algorithm: get("algorithm").unwrap_or_else(|| "MD5".to_owned()),
            cnonce: get("cnonce")?,
            nc: get("nc")?,
            qop: get("qop")?,
        })
    }

    fn algorithm(&self) -> Option<Algorithm> {
        [Algorithm::Sha256, Algorithm::Md5].into_iter().find(|algorithm| self.algorithm.eq_ignore_ascii_case(algorithm.as_str()))
    }

    /// What the response must be (RFC 7616 §3.4.1).
    fn expected(&self, algorithm: Algorithm, ha1: &str, method: &str) -> String {
        let ha2 = algorithm.hash(&format!("{method}:{}", self.uri));
        algorithm.hash(&format!("{ha1}:{}:{}:{}:{}:{ha2}", self.nonce, self.nc, self.cnonce, self.qop))
    }
}

/// `name=value, name="quoted \" value"`.
fn parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        if found.len() == MOST_PARAMETERS {
            return None;
        }
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
            Some(quoted) => {
                let mut value = String::new();
                let mut characters = quoted.char_indices();
                let end = loop {
                    match characters.next()? {
                        (at, '"') => break at,
                        (_, '\\') => value.push(characters.next()?.1),
                        (_, character) => value.push(character),
                    }
                };
                (value, &quoted[end + 1..])
            }
        };
        found.push((name.trim().to_owned(), value));
        rest = after.trim_start_matches([' ', ',', '\t']);
    }
    Some(found)
}

/// Makes nonces and knows its own: time and chance under a MAC with the realm.
pub struct Guard {
    key: hmac::Key,
    realm: String,
    clock: Clock,
    random: Random,
    counts: Cache<String, u32>,
    /// What is computed with when the user has no such credential, so that it takes as long.
    nobody: Secret,
}

impl Guard {
    /// With a key that lives as long as the process.
    pub fn new(key: &[u8], realm: String, clock: Clock, random: Random) -> Self {
        let nobody = Secret::new(hex(&Sha256::digest(key)));
        let counts = Cache::builder().max_capacity(NONCES).time_to_live(NONCE_LIFE * 2).build();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), realm, clock, random, counts, nobody }
    }

    /// One challenge an algorithm, the better one first.
    pub fn challenges(&self, stale: bool) -> Vec<Challenge> {
        let nonce = self.nonce();
        let realm = self.realm.replace(['"', '\\'], "");
        let stale = if stale { ", stale=true" } else { "" };
        [Algorithm::Sha256, Algorithm::Md5]
            .map(|algorithm| {
                Challenge(format!("Digest realm=\"{realm}\", qop=\"auth\", algorithm={}, nonce=\"{nonce}\"{stale}", algorithm.as_str()))
            })
            .to_vec()
    }

    fn nonce(&self) -> String {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.clock.timestamp().as_micros().to_be_bytes());
        self.random.fill(&mut bytes[8..]);
        URL_SAFE_NO_PAD.encode([&bytes, self.tag(&bytes).as_ref()].concat())
    }

    fn tag(&self, bytes: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, &[bytes, self.realm.as_bytes()].concat())
    }

    /// Whether a nonce is ours, and still young.
    fn age(&self, nonce: &str) -> Option<Duration> {
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (head, tag) = bytes.split_at_checked(16)?;
        if !bool::from(self.tag(head).as_ref().ct_eq(tag)) {
            return None;
        }
        let born = i64::from_be_bytes(head[..8].try_into().ok()?);
        Some(self.clock.timestamp().since(crate::types::Timestamp::from_micros(born)))
    }

    /// Which of `credentials` the response proves. `Err(true)` is a right kind of nonce that is too old or was counted already.
    pub fn check<'c>(
        &self,
        response: &Response,
        credentials: impl Iterator<Item = &'c Credential>,
        method: &str,
        uri: &str,
    ) -> Result<Option<&'c Credential>, bool> {
        let Some(algorithm) = response.algorithm() else { return Err(false) };
        if response.realm != self.realm || response.qop != "auth" || response.uri != uri {
            return Err(false);
        }
        let age = self.age(&response.nonce).ok_or(true)?;
        let nc = u32::from_str_radix(&response.nc, 16).ok().filter(|_| response.nc.len() == 8).ok_or(false)?;
        let mut found = None;
        let mut work = false;
        for credential in credentials {
            let ha1 = match algorithm {
                Algorithm::Sha256 => credential.ha1_sha256.as_ref(),
                Algorithm::Md5 => credential.ha1_md5.as_ref(),
            };
            let Some(ha1) = ha1 else { continue };
            work = true;
            if Secret::new(response.expected(algorithm, ha1.expose(), method)).matches(&response.proof.to_lowercase()) {
                found = Some(credential);
            }
        }
        if !work {
            let _ = response.expected(algorithm, self.nobody.expose(), method);
        }
        if found.is_none() {
            return Ok(None);
        }
        // RFC 7616 §3.4.5: the count must rise, so a recorded request cannot be sent again.
        let risen = self
            .counts
            .entry(response.nonce.clone())
            .and_compute_with(|seen| if seen.is_some_and(|seen| nc <= seen.into_value()) { Op::Nop } else { Op::Put(nc) });
        let fresh = matches!(risen, CompResult::Inserted(_) | CompResult::ReplacedWith(_)) && age <= NONCE_LIFE;
        if fresh { Ok(found) } else { Err(true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = r#"Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5,
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        qop=auth, response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;

    #[test]
    fn the_example_of_the_rfc() {
        let response = Response::parse(MD5).unwrap();
        let ha1 = |algorithm: Algorithm| algorithm.hash("Mufasa:http-auth@example.org:Circle of Life");
        let expected = |algorithm| response.expected(algorithm, &ha1(algorithm), "GET");
        assert_eq!(expected(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(expected(Algorithm::Sha256), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    }

    #[test]
    fn headers_that_could_mean_two_things_mean_nothing() {
        assert_eq!(Response::parse("Basic bXVmYXNh"), None);
        assert_eq!(
            Response::parse(
                r#"Digest username="a", username="b", realm="r", nonce="n", uri="/", response="x", cnonce="c", nc=1, qop=auth"#
            ),
            None
        );
        assert_eq!(parameters(r#"a="x\"y", b=z"#).unwrap(), [("a".into(), "x\"y".into()), ("b".into(), "z".into())]);
        assert_eq!(parameters(r#"a="open"#), None);
    }
}
