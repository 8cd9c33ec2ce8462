//! How often somebody may ask, and from where: client addresses, request rates, growing delays after failed sign-ins.
//!
//! Nothing here locks a subscriber out: a delay belongs to a user *and* the source that failed, or to the source.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use moka::sync::Cache;

use crate::types::{Clock, Moment, SubscriberId};

/// Users, sources and subscribers that are remembered; the ones seen least are forgotten first.
const REMEMBERED: u64 = 100_000;
/// They are also forgotten after this time without a request.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(900);
/// Failures of one user from one source before they must wait.
const FREE_FAILURES: u32 = 5;
/// Wrong guesses of a voucher that cost no wait, of one who asks or for one account.
const FREE_GUESSES: u32 = 10;
/// Failures of a source, whatever the users, before it must wait: households and offices share addresses.
const FREE_FAILURES_OF_SOURCE: u32 = 30;
/// No wait is longer.
const LONGEST_WAIT_SECS: u64 = 300;
/// Addresses in forwarding headers that are looked at, from the right.
const MOST_HOPS: usize = 32;

/// How many requests are answered.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Requests a minute of one subscriber; 0 means no bound.
    pub per_subscriber_a_minute: u32,
    /// Requests a minute from one IPv4 address or IPv6 /64; 0 means no bound.
    pub per_source_a_minute: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { per_subscriber_a_minute: 30, per_source_a_minute: 600 }
    }
}

/// An address or a block of them, `203.0.113.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    address: IpAddr,
    bits: u8,
}

/// The text is no address block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an address or a block of them, such as 192.0.2.7 or 2001:db8::/32")]
pub struct BlockError;

impl FromStr for Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| BlockError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| BlockError)?;
        if bits <= most { Ok(Self { address, bits }) } else { Err(BlockError) }
    }
}

impl Block {
    /// Whether `address` lies in it; an IPv4 address in IPv6 clothes is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                let unread = 32 - u32::from(self.bits);
                u64::from(block.to_bits()) >> unread == u64::from(address.to_bits()) >> unread
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => match 128 - u32::from(self.bits) {
                128 => true,
                unread => block.to_bits() >> unread == address.to_bits() >> unread,
            },
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl<'de> serde::Deserialize<'de> for Block {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Who really asks, and whether the way to us was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Their address.
    pub address: IpAddr,
    /// TLS up to us or up to the trusted proxy.
    pub https: bool,
}

/// Reads `Forwarded` (RFC 7239), or `X-Forwarded-For` and `X-Forwarded-Proto`, but only as far as trusted proxies wrote them:
/// from the right, the first address that is no trusted proxy is the client.
pub fn client(peer: IpAddr, tls: bool, headers: &HeaderMap, proxies: &[Block]) -> Client {
    let trusted = |address: IpAddr| proxies.iter().any(|block| block.contains(address));
    let peer = peer.to_canonical();
    if !trusted(peer) {
        return Client { address: peer, https: tls };
    }
    let hops = if headers.contains_key(header::FORWARDED) { forwarded(headers) } else { x_forwarded(headers) };
    let mut seen = Client { address: peer, https: tls };
    for (address, https) in hops.into_iter().rev().take(MOST_HOPS) {
        seen.https = https.unwrap_or(seen.https);
        // An address that cannot be read ends what can be trusted.
        let Some(address) = address else { break };
        seen.address = address;
        if !trusted(address) {
            break;
        }
    }
    seen
}

type Hop = (Option<IpAddr>, Option<bool>);

fn lines<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
}

fn forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let parameter = |element: &str, name: &str| {
        element.split(';').find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim_matches('"').to_owned())
        })
    };
    lines(headers, "forwarded")
        .map(|element| {
            let address = parameter(element, "for").and_then(|node| node_address(&node));
            (address, parameter(element, "proto").map(|proto| proto.eq_ignore_ascii_case("https")))
        })
        .collect()
}

fn x_forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let mut hops: Vec<Hop> = lines(headers, "x-forwarded-for").map(|node| (node_address(node), None)).collect();
    // The nearest proxy's word on the protocol is the last; with one proxy there is one.
    let https = lines(headers, "x-forwarded-proto").last().map(|proto| proto.eq_ignore_ascii_case("https"));
    match hops.last_mut() {
        Some(hop) => hop.1 = https,
        None => hops.extend(https.map(|https| (None, Some(https)))),
    }
    hops
}

/// `192.0.2.7`, `192.0.2.7:1234`, `2001:db8::1`, `[2001:db8::1]:1234`.
fn node_address(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    let address: IpAddr = match bare {
        Some(address) => Ipv6Addr::from_str(address).ok()?.into(),
        None => node.parse().ok().or_else(|| Ipv4Addr::from_str(node.rsplit_once(':')?.0).ok().map(IpAddr::from))?,
    };
    Some(address.to_canonical())
}

/// What is counted as one source: an IPv4 address, or an IPv6 /64 as one household has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// The source of a client address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => Self(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
        }
    }
}

/// Requests that may be made now, refilled evenly over a minute.
struct Bucket {
    tokens_micros: u64,
    filled_at: Moment,
}

#[derive(Default)]
struct Failures {
    count: u32,
    wait_until: Moment,
}

type Shared<T> = Arc<Mutex<T>>;

/// The door's memory of who asked how often. Cheap to clone.
#[derive(Clone)]
pub struct Limits {
    clock: Clock,
    config: Config,
    subscribers: Cache<SubscriberId, Shared<Bucket>>,
    sources: Cache<Source, Shared<Bucket>>,
    failures: Cache<(Option<Box<str>>, Source), Shared<Failures>>,
}

fn memory<K: std::hash::Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static>() -> Cache<K, V> {
    Cache::builder().max_capacity(REMEMBERED).time_to_idle(FORGOTTEN_AFTER).build()
}

impl Limits {
    /// An empty memory.
    pub fn new(config: Config, clock: Clock) -> Self {
        Self { clock, config, subscribers: memory(), sources: memory(), failures: memory() }
    }

    /// Counts a request of `source`; an error says how many seconds to wait.
    pub fn source(&self, source: Source) -> Result<(), u64> {
        self.count(&self.sources, source, self.config.per_source_a_minute)
    }

    /// Counts a request of a subscriber who has proved who they are.
    pub fn subscriber(&self, subscriber: SubscriberId) -> Result<(), u64> {
        self.count(&self.subscribers, subscriber, self.config.per_subscriber_a_minute)
    }

    fn count<K: std::hash::Hash + Eq + Send + Sync + 'static>(
        &self,
        cache: &Cache<K, Shared<Bucket>>,
        key: K,
        a_minute: u32,
    ) -> Result<(), u64> {
        count(&self.clock, cache, key, a_minute).map(drop)
    }

    /// Whether `user` may try to sign in from `source` now; an error says how many seconds to wait.
    pub fn may_try(&self, user: &str, source: Source) -> Result<(), u64> {
        let now = self.clock.now();
        let keys = [(Some(user.into()), source), (None, source)];
        let wait = keys.iter().filter_map(|key| self.failures.get(key)).map(|failures| {
            let until = failures.lock().unwrap_or_else(PoisonError::into_inner).wait_until;
            until.since(now)
        });
        match wait.max() {
            Some(wait) if wait > Duration::ZERO => Err(wait.as_secs() + 1),
            _ => Ok(()),
        }
    }

    /// Notes a failed sign-in: each one beyond the free ones doubles the wait.
    pub fn failed(&self, user: &str, source: Source) {
        self.wait_longer((Some(user.into()), source), FREE_FAILURES);
        self.wait_longer((None, source), FREE_FAILURES_OF_SOURCE);
    }

    fn wait_longer(&self, key: (Option<Box<str>>, Source), free: u32) {
        let failures = self.failures.get_with(key, Arc::default);
        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.count = failures.count.saturating_add(1);
        let doublings = failures.count.saturating_sub(free);
        if doublings > 0 {
            let secs = 1_u64.checked_shl(doublings - 1).unwrap_or(LONGEST_WAIT_SECS).min(LONGEST_WAIT_SECS);
            failures.wait_until = self.clock.now() + Duration::from_secs(secs);
        }
    }

    /// Whether `who` may try another secret of some one else's; an error says how many seconds to wait.
    pub fn may_guess(&self, who: &str) -> Result<(), u64> {
        let failures = self.failures.get(&Self::guesser(who));
        let until = failures.map(|failures| failures.lock().unwrap_or_else(PoisonError::into_inner).wait_until);
        match until.map(|until| until.since(self.clock.now())) {
            Some(wait) if wait > Duration::ZERO => Err(wait.as_secs() + 1),
            _ => Ok(()),
        }
    }

    /// Notes a wrong guess: each one beyond the free ones doubles the wait.
    pub fn guessed_wrong(&self, who: &str) {
        self.wait_longer(Self::guesser(who), FREE_GUESSES);
    }

    fn guesser(who: &str) -> (Option<Box<str>>, Source) {
        (Some(who.into()), Source(Ipv6Addr::UNSPECIFIED.into()))
    }

    /// Notes a sign-in that went well: the user's own failures from there are forgiven, the source's are not.
    pub fn succeeded(&self, user: &str, source: Source) {
        self.failures.invalidate(&(Some(user.into()), source));
    }
}

/// Takes one request of `key`; how many are left, or how many seconds to wait.
fn count<K: std::hash::Hash + Eq + Send + Sync + 'static>(
    clock: &Clock,
    cache: &Cache<K, Shared<Bucket>>,
    key: K,
    a_minute: u32,
) -> Result<u64, u64> {
    const REQUEST: u64 = 1_000_000;
    if a_minute == 0 {
        return Ok(u64::MAX);
    }
    let full = u64::from(a_minute) * REQUEST;
    let now = clock.now();
    let bucket = cache.get_with(key, || Arc::new(Mutex::new(Bucket { tokens_micros: full, filled_at: now })));
    let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = now.since(bucket.filled_at).min(Duration::from_secs(60));
    let refill = u64::try_from(waited.as_micros()).unwrap_or(0) * u64::from(a_minute) / 60;
    bucket.tokens_micros = (bucket.tokens_micros + refill).min(full);
    bucket.filled_at = now;
    match bucket.tokens_micros.checked_sub(REQUEST) {
        Some(left) => {
            bucket.tokens_micros = left;
            Ok(left / REQUEST)
        }
        None => Err(((REQUEST - bucket.tokens_micros) * 60 / u64::from(a_minute)).div_ceil(REQUEST).max(1)),
    }
}

/// What is left to somebody of the requests of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// Requests a minute; 0 means no bound.
    pub a_minute: u32,
    /// Requests that may follow at once.
    pub left: u64,
    /// Seconds to wait where this one is too many.
    pub wait: Option<u64>,
}

/// The memory of how often each key and sign-in asked. Cheap to clone.
#[derive(Clone)]
pub struct Requests {
    clock: Clock,
    a_minute: u32,
    seen: Cache<Box<str>, Shared<Bucket>>,
}

impl Requests {
    /// An empty memory.
    pub fn new(clock: Clock, a_minute: u32) -> Self {
        Self { clock, a_minute, seen: memory() }
    }

    /// Counts a request of `who`.
    pub fn count(&self, who: &str) -> Allowed {
        match count(&self.clock, &self.seen, who.into(), self.a_minute) {
            Ok(left) => Allowed { a_minute: self.a_minute, left, wait: None },
            Err(seconds) => Allowed { a_minute: self.a_minute, left: 0, wait: Some(seconds) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Random, Timestamp};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_trusted_proxies_name_the_client() {
        let proxies: Vec<Block> = ["127.0.0.0/8", "10.0.0.0/8", "2001:db8:f::/48"].iter().map(|text| text.parse().unwrap()).collect();
        let ask = |peer: &str, pairs: &[(&'static str, &'static str)]| {
            let seen = client(peer.parse().unwrap(), false, &headers(pairs), &proxies);
            (seen.address.to_string(), seen.https)
        };
        let is = |address: &str, https| (address.to_owned(), https);
        assert_eq!(ask("203.0.113.9", &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")]), is("203.0.113.9", false));
        assert_eq!(ask("127.0.0.1", &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")]), is("192.0.2.1", true));
        assert_eq!(ask("127.0.0.1", &[("x-forwarded-for", "198.51.100.6, 192.0.2.1, 10.0.0.5")]), is("192.0.2.1", false), "right to left");
        assert_eq!(ask("127.0.0.1", &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "192.0.2.2")]), is("192.0.2.2", false));
        assert_eq!(ask("127.0.0.1", &[("x-forwarded-for", "192.0.2.1, nonsense")]), is("127.0.0.1", false));
        assert_eq!(ask("::ffff:127.0.0.1", &[("forwarded", r#"for="[2001:db8::7]:4711";proto=https"#)]), is("2001:db8::7", true));
        assert_eq!(ask("2001:db8:f::1", &[("forwarded", "For=192.0.2.43:80;Proto=http, for=10.1.2.3")]), is("192.0.2.43", false));
        assert_eq!(ask("10.0.0.1", &[]), is("10.0.0.1", false));
    }

    #[test]
    fn blocks_of_both_families() {
        let block: Block = "0.0.0.0/0".parse().unwrap();
        assert!(block.contains("203.0.113.9".parse().unwrap()) && !block.contains("2001:db8::1".parse().unwrap()));
        let block: Block = "::/0".parse().unwrap();
        assert!(block.contains("2001:db8::1".parse().unwrap()));
        for text in ["", "300.0.0.1", "192.0.2.0/33", "2001:db8::/129", "192.0.2.0/", "example.com"] {
            assert_eq!(text.parse::<Block>(), Err(BlockError), "{text}");
        }
    }

    #[test]
    fn a_bucket_refills_over_its_minute() {
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        let limits = Limits::new(Config { per_subscriber_a_minute: 30, per_source_a_minute: 0 }, clock.clone());
        let subscriber = SubscriberId::new(&clock, &Random::seeded(1));
        let allowed = (0..100).filter(|_| limits.subscriber(subscriber).is_ok()).count();
        assert_eq!(allowed, 30);
        assert_eq!(limits.subscriber(subscriber), Err(2));
        clock.advance(Duration::from_secs(2));
        assert_eq!((limits.subscriber(subscriber), limits.subscriber(subscriber)), (Ok(()), Err(2)));
        assert_eq!(limits.source(Source::of("192.0.2.1".parse().unwrap())), Ok(()));
    }

    #[test]
    fn waits_grow_for_the_one_who_fails_and_for_nobody_else() {
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        let limits = Limits::new(Config::default(), clock.clone());
        let (stranger, owner) = (Source::of("192.0.2.1".parse().unwrap()), Source::of("2001:db8::1".parse().unwrap()));
        for _ in 0..6 {
            assert_eq!(limits.may_try("ann", stranger), Ok(()));
            limits.failed("ann", stranger);
        }
        assert_eq!(limits.may_try("ann", stranger), Err(2));
        assert_eq!(limits.may_try("ann", owner), Ok(()), "a stranger cannot lock the owner out");
        assert_eq!(limits.may_try("bob", stranger), Ok(()));
        clock.advance(Duration::from_millis(1001));
        assert_eq!(limits.may_try("ann", stranger), Ok(()));
        for _ in 0..40 {
            limits.failed("ann", stranger);
        }
        assert_eq!(limits.may_try("ann", stranger), Err(LONGEST_WAIT_SECS + 1));
        assert!(limits.may_try("bob", stranger).is_err(), "the source itself must wait now");
        assert_eq!(Source::of("2001:db8::1".parse().unwrap()), Source::of("2001:db8::ffff:1".parse().unwrap()));
    }
}
