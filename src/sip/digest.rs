//! Digest authentication, both sides (RFC 7616, RFC 8760): challenges strongest first, nonces that prove themselves, counts that only rise.
//!
//! A nonce carries its time and a MAC over time, source and realm, so it needs no table to be recognised; only the counts of used nonces
//! are remembered, for as long as a nonce lives.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use md5::Digest as _;

use super::msg::{Message, Method, Name, Uri};
use crate::types::{Moment, Random, Secret};

/// Whose passwords we ask for. It tells strangers nothing.
pub const REALM: &str = "sip";
/// How long a nonce may be used.
pub const NONCE_LIFE: Duration = Duration::from_secs(60);
/// The most used nonces whose counts are remembered; beyond it the oldest are forgotten and their users are asked again.
pub const NONCES: usize = 65_536;

/// A hash, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Algorithm {
    /// SHA-512/256
    #[serde(rename = "SHA-512-256")]
    Sha512256,
    /// SHA-256
    #[serde(rename = "SHA-256")]
    Sha256,
    /// MD5: for old carriers, off unless configured.
    #[serde(rename = "MD5")]
    Md5,
}

impl Algorithm {
    /// Every one, strongest first.
    pub const ALL: [Self; 3] = [Self::Sha512256, Self::Sha256, Self::Md5];

    /// As written in a header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha512256 => "SHA-512-256",
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(text))
    }

    /// The hash of the parts joined by colons, in lower-case hexadecimal.
    fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Self::Sha512256 => hex(digest::digest(&digest::SHA512_256, text.as_bytes()).as_ref()),
            Self::Sha256 => hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref()),
            Self::Md5 => hex(&md5::Md5::digest(text.as_bytes())),
        }
    }

    /// H(user:realm:password): what a server keeps instead of the password.
    pub fn ha1(self, user: &str, realm: &str, password: &str) -> Secret {
        Secret::new(self.hash(&[user, realm, password]))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One challenge: the value of a WWW-Authenticate or Proxy-Authenticate line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Whose password is asked for.
    pub realm: String,
    /// To be sent back.
    pub nonce: String,
    /// To be sent back unchanged.
    pub opaque: Option<String>,
    /// The hash to use.
    pub algorithm: Algorithm,
    /// The credentials were right but the nonce was old: try again without asking anybody.
    pub stale: bool,
    /// Whether `qop=auth` is offered; only very old servers do not.
    pub qop: bool,
}

impl Challenge {
    /// Reads a challenge. `None` for other schemes, unknown algorithms (RFC 8760 §2.4 says ignore) and what is malformed.
    pub fn read(value: &[u8]) -> Option<Self> {
        let fields = Fields::read(value)?;
        let algorithm = fields.get("algorithm").map_or(Some(Algorithm::Md5), Algorithm::read)?;
        let qop = fields.get("qop");
        let offers_auth = qop.is_some_and(|qop| qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")));
        if qop.is_some() && !offers_auth {
            return None;
        }
        Some(Self {
            realm: fields.get("realm")?.to_owned(),
            nonce: fields.get("nonce")?.to_owned(),
            opaque: fields.get("opaque").map(str::to_owned),
            algorithm,
            stale: fields.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            qop: offers_auth,
        })
    }

    /// The challenge to answer among those of a 401 or 407: the topmost we understand (RFC 8760 §2.4). MD5 only when `md5` allows it.
    pub fn pick(response: &Message, md5: bool) -> Option<(Self, Name)> {
        [(Name::WwwAuthenticate, Name::Authorization), (Name::ProxyAuthenticate, Name::ProxyAuthorization)].into_iter().find_map(
            |(asks, answers)| {
                let mut challenges = response.headers(asks).filter_map(|line| Self::read(line.value()));
                challenges.find(|challenge| md5 || challenge.algorithm != Algorithm::Md5).map(|challenge| (challenge, answers))
            },
        )
    }

    /// The credentials that answer it. `count` is how often this nonce has been used, this time included.
    pub fn answer(&self, method: &Method, uri: &Uri, user: &str, password: &Secret, count: u32, random: &Random) -> Credentials {
        let ha1 = self.algorithm.ha1(user, &self.realm, password.expose());
        let mut credentials = Credentials {
            username: user.to_owned(),
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            uri: uri.as_str().to_owned(),
            response: String::new(),
            algorithm: self.algorithm,
            opaque: self.opaque.clone(),
            session: self.qop.then(|| (count, random.alphanumeric(16))),
        };
        credentials.response = credentials.expected(method, &ha1);
        credentials
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest realm={}, nonce={}", Quoted(&self.realm), Quoted(&self.nonce))?;
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", Quoted(opaque))?;
        }
        if self.stale {
            f.write_str(", stale=true")?;
        }
        write!(f, ", algorithm={}", self.algorithm)?;
        if self.qop { f.write_str(", qop=\"auth\"") } else { Ok(()) }
    }
}

/// Credentials: the value of an Authorization or Proxy-Authorization line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who says so.
    pub username: String,
    /// Whose password it is.
    pub realm: String,
    /// The nonce of the challenge.
    pub nonce: String,
    /// The Request-URI as the client saw it.
    pub uri: String,
    response: String,
    algorithm: Algorithm,
    opaque: Option<String>,
    /// Count and client nonce; `None` without qop.
    session: Option<(u32, String)>,
}

impl Credentials {
    /// Reads credentials. `None` for other schemes and what is malformed.
    pub fn read(value: &[u8]) -> Option<Self> {
        let fields = Fields::read(value)?;
        let session = match fields.get("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let count = fields.get("nc").filter(|count| count.len() == 8)?;
                Some((u32::from_str_radix(count, 16).ok()?, fields.get("cnonce")?.to_owned()))
            }
            Some(_) => return None,
        };
        Some(Self {
            username: fields.get("username")?.to_owned(),
            realm: fields.get("realm")?.to_owned(),
            nonce: fields.get("nonce")?.to_owned(),
            uri: fields.get("uri")?.to_owned(),
            response: fields.get("response")?.to_ascii_lowercase(),
            algorithm: fields.get("algorithm").map_or(Some(Algorithm::Md5), Algorithm::read)?,
            opaque: fields.get("opaque").map(str::to_owned),
            session,
        })
    }

    /// The response these credentials should carry (RFC 7616 §3.4.1).
    fn expected(&self, method: &Method, ha1: &Secret) -> String {
        let ha2 = self.algorithm.hash(&[method.as_str(), &self.uri]);
        match &self.session {
            Some((count, client)) => self.algorithm.hash(&[ha1.expose(), &self.nonce, &format!("{count:08x}"), client, "auth", &ha2]),
            None => self.algorithm.hash(&[ha1.expose(), &self.nonce, &ha2]),
        }
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { username, realm, nonce, uri, response, algorithm, .. } = self;
        write!(f, "Digest username={}, realm={}, nonce={}", Quoted(username), Quoted(realm), Quoted(nonce))?;
        write!(f, ", uri={}, response=\"{response}\", algorithm={algorithm}", Quoted(uri))?;
        if let Some((count, client)) = &self.session {
            write!(f, ", cnonce={}, qop=auth, nc={count:08x}", Quoted(client))?;
        }
        self.opaque.iter().try_for_each(|opaque| write!(f, ", opaque={}", Quoted(opaque)))
    }
}

/// Why credentials are turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// None for our realm: challenge.
    Missing,
    /// Right, but the nonce is old, from elsewhere, or its count did not rise: challenge with `stale`.
    Stale,
    /// Wrong, or of nobody we know; which of the two does not show. Challenge, and count against the source.
    Wrong,
}

/// The server's side.
#[derive(Debug)]
pub struct Verifier {
    realm: String,
    algorithms: Vec<Algorithm>,
    key: hmac::Key,
    made: u64,
    /// The last count of each used nonce.
    counts: HashMap<String, u32>,
    /// The same nonces in order of first use, with the end of their lives.
    order: VecDeque<(Moment, String)>,
    /// Nonces that end no later than this may have been forgotten, so none of them counts any more.
    forgotten: Moment,
}

impl Verifier {
    /// A verifier for `realm`. `algorithms` are offered strongest first whatever their order here.
    pub fn new(realm: &str, algorithms: &[Algorithm], random: &Random) -> Self {
        let mut key = [0; 32];
        random.fill(&mut key);
        let mut algorithms = algorithms.to_vec();
        algorithms.sort_unstable();
        algorithms.dedup();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Self {
            realm: realm.to_owned(),
            algorithms,
            key,
            made: 0,
            counts: HashMap::new(),
            order: VecDeque::new(),
            forgotten: Moment::default(),
        }
    }

    /// The challenges for a request from `source`: one header line each (RFC 8760 §2.3).
    pub fn challenges(&mut self, source: IpAddr, now: Moment, stale: bool) -> Vec<Challenge> {
        self.made += 1;
        let nonce = self.nonce(now, self.made, source);
        let one = |algorithm: &Algorithm| Challenge {
            realm: self.realm.clone(),
            nonce: nonce.clone(),
            opaque: None,
            algorithm: *algorithm,
            stale,
            qop: true,
        };
        self.algorithms.iter().map(one).collect()
    }

    /// Who sent this request. `header` is Authorization or Proxy-Authorization; `find` gives the stored HA1 of a user for an algorithm.
    /// An unknown user costs as much time as a known one.
    pub fn check(
        &mut self,
        request: &Message,
        header: Name,
        source: IpAddr,
        now: Moment,
        find: impl FnOnce(&str, Algorithm) -> Option<Secret>,
    ) -> Result<String, Denied> {
        let ours = |credentials: &Credentials| credentials.realm == self.realm && self.algorithms.contains(&credentials.algorithm);
        let credentials = request.headers(header).filter_map(|line| Credentials::read(line.value())).find(ours).ok_or(Denied::Missing)?;
        let (count, _) = credentials.session.as_ref().ok_or(Denied::Wrong)?;
        let found = find(&credentials.username, credentials.algorithm);
        let known = found.is_some();
        let ha1 = found.unwrap_or_else(|| credentials.algorithm.ha1(&credentials.username, &self.realm, "nobody's password"));
        let right = Secret::new(credentials.expected(request.method(), &ha1)).matches(&credentials.response);
        let same_uri = request.request_uri().is_some_and(|uri| credentials.uri.parse().is_ok_and(|theirs: Uri| uri.is_equivalent(&theirs)));
        if !(right && known && same_uri) {
            return Err(Denied::Wrong);
        }
        let expires = self.nonce_expiry(&credentials.nonce, source).filter(|expires| now < *expires).ok_or(Denied::Stale)?;
        self.forget(now);
        match self.counts.get_mut(&credentials.nonce) {
            Some(last) if count <= last => return Err(Denied::Stale),
            Some(last) => *last = *count,
            None => {
                self.counts.insert(credentials.nonce.clone(), *count);
                self.order.push_back((expires, credentials.nonce));
            }
        }
        Ok(credentials.username)
    }

    /// Time, serial number and MAC in hexadecimal.
    fn nonce(&self, made_at: Moment, serial: u64, source: IpAddr) -> String {
        let stamp = format!("{:016x}{serial:016x}", made_at.as_nanos());
        let mac = hmac::sign(&self.key, format!("{stamp} {source} {}", self.realm).as_bytes());
        format!("{stamp}{}", hex(&mac.as_ref()[..16]))
    }

    /// When a nonce ends; `None` when it is not ours, not for this source, or has been forgotten as used.
    fn nonce_expiry(&self, nonce: &str, source: IpAddr) -> Option<Moment> {
        let made_at = Moment::from_nanos(u64::from_str_radix(nonce.get(..16)?, 16).ok()?);
        let serial = u64::from_str_radix(nonce.get(16..32)?, 16).ok()?;
        let expires = made_at + NONCE_LIFE;
        if expires <= self.forgotten {
            return None;
        }
        Secret::new(self.nonce(made_at, serial, source)).matches(nonce).then_some(expires)
    }

    fn forget(&mut self, now: Moment) {
        while self.order.front().is_some_and(|(expires, _)| *expires <= now) || self.order.len() >= NONCES {
            let Some((expires, nonce)) = self.order.pop_front() else { break };
            self.forgotten = self.forgotten.max(expires);
            self.counts.remove(&nonce);
        }
    }
}

/// The most parameters of a challenge or of credentials.
const FIELDS: usize = 32;

/// The parameters after `Digest`.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn read(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (scheme, mut rest) = text.trim_start().split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut fields = Self(Vec::with_capacity(10));
        loop {
            let (name, after) = rest.split_once('=')?;
            let (name, after) = (name.trim().to_ascii_lowercase(), after.trim_start());
            let (value, after) = if let Some(quoted) = after.strip_prefix('"') { unquote(quoted)? } else { bare(after) };
            if name.is_empty() || fields.0.len() == FIELDS || fields.get(&name).is_some() {
                return None;
            }
            fields.0.push((name, value));
            let after = after.trim_start();
            if after.is_empty() {
                return Some(fields);
            }
            rest = after.strip_prefix(',')?;
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A value up to the next comma, and what follows.
fn bare(text: &str) -> (String, &str) {
    let end = text.find(',').unwrap_or(text.len());
    (text[..end].trim().to_owned(), &text[end..])
}

/// A quoted string after its opening quote, and what follows the closing one.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = self.0.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "\"{escaped}\"")
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

#[cfg(test)]
mod tests;
