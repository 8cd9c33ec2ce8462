//! From a host's name to addresses: the order in which they are tried (RFC 2782, RFC 3263 §4), and messages that wait for a name.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::leg::Hop;
use super::resolve::{Question, Resolver};
use super::transport::Transport;
use crate::types::{Moment, Random};

/// Names kept in mind. Beyond this the least lately asked goes.
const MAX_NAMES: usize = 1_024;
/// Datagrams that wait for one name; more are lost, as datagrams may be.
const MAX_WAITING: usize = 256;
/// How long an answer is fresh.
const FRESH: Duration = Duration::from_secs(30);
/// How long after a failure the name is not asked again.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// A host and port to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// The host's name.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
}

/// Where something is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// To this socket.
    Socket(SocketAddr),
    /// Back by the connection to `flow`; if that is gone, by a new one to `open` (RFC 3261 §18.2.2).
    Back {
        /// The far end of the connection a request came by.
        flow: SocketAddr,
        /// Where its sender listens.
        open: SocketAddr,
    },
    /// To wherever this name points now.
    Name(HostPort),
}

/// One of the addresses of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Lower is tried first.
    pub priority: u32,
    /// Among equals, how often this one goes first.
    pub weight: u16,
    /// The address.
    pub hop: Hop,
}

/// The order in which a request tries the addresses: by priority, among equals by chance in proportion to their weights (RFC 2782).
pub fn in_order(steps: &[Step], random: &Random) -> Vec<Hop> {
    let mut rest = steps.to_vec();
    // Of equal priority those without weight come first in the draw, so that they have their small chance.
    rest.sort_by_key(|step| (step.priority, step.weight));
    let mut order = Vec::with_capacity(rest.len());
    while let Some(first) = rest.first() {
        let equals = rest.iter().take_while(|step| step.priority == first.priority).count();
        let all = rest[..equals].iter().map(|step| u64::from(step.weight)).sum::<u64>();
        let mut draw = random.below(all + 1);
        let place = rest[..equals].iter().position(|step| {
            let is_it = draw <= u64::from(step.weight);
            draw = draw.saturating_sub(u64::from(step.weight));
            is_it
        });
        order.push(rest.remove(place.unwrap_or(0)).hop);
    }
    order
}

/// A datagram that waits for a name.
#[derive(Debug)]
pub struct Waiting<T> {
    /// The socket it leaves by.
    pub socket: usize,
    /// The datagram.
    pub bytes: Bytes,
    /// What is told when it cannot be sent.
    pub token: T,
}

/// What to do with a datagram to a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Send it there now.
    Known(SocketAddr),
    /// It is kept; ask the resolver and bring the answer.
    Ask,
    /// It is kept; the resolver is being asked.
    Pending,
    /// The name is known not to resolve, or too many wait: it is lost.
    Failed,
}

/// The names asked lately, with the last good answer of each: when the resolver fails, that one still serves.
#[derive(Debug)]
pub struct Names<T> {
    names: HashMap<HostPort, Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    address: Option<SocketAddr>,
    fresh_until: Moment,
    asking: bool,
    used: Moment,
    waiting: Vec<Waiting<T>>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { names: HashMap::new() }
    }
}

impl<T> Names<T> {
    /// Where to send now, keeping the datagram if that is not known yet.
    pub fn look_up(&mut self, name: &HostPort, now: Moment, datagram: Waiting<T>) -> Lookup {
        if self.names.len() >= MAX_NAMES && !self.names.contains_key(name) {
            let oldest = self.names.iter().filter(|(_, entry)| !entry.asking).min_by_key(|(name, entry)| (entry.used, *name));
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { return Lookup::Failed };
            self.names.remove(&oldest);
        }
        let entry = self.names.entry(name.clone()).or_insert_with(|| Entry {
            address: None,
            fresh_until: Moment::default(),
            asking: false,
            used: now,
            waiting: Vec::new(),
        });
        entry.used = now;
        match entry.address {
            Some(address) if entry.asking || now < entry.fresh_until => return Lookup::Known(address),
            None if !entry.asking && now < entry.fresh_until => return Lookup::Failed,
            _ => {}
        }
        if entry.waiting.len() >= MAX_WAITING {
            return Lookup::Failed;
        }
        entry.waiting.push(datagram);
        if std::mem::replace(&mut entry.asking, true) { Lookup::Pending } else { Lookup::Ask }
    }

    /// The resolver answered, or failed with `None`: what waited, and where it goes now.
    pub fn answered(&mut self, name: &HostPort, answer: Option<SocketAddr>, now: Moment) -> (Option<SocketAddr>, Vec<Waiting<T>>) {
        let Some(entry) = self.names.get_mut(name) else { return (answer, Vec::new()) };
        entry.asking = false;
        entry.fresh_until = now + if answer.is_some() { FRESH } else { AFTER_FAILURE };
        entry.address = answer.or(entry.address);
        (entry.address, std::mem::take(&mut entry.waiting))
    }
}

/// Asks for an address of the family of `like`.
pub async fn resolve(resolver: Resolver, name: HostPort, (transport, like): (Transport, SocketAddr)) -> (HostPort, Option<SocketAddr>) {
    let question = Question { host: name.host.to_string(), port: Some(name.port), transport: Some(transport) };
    let found = resolver.find(&question).await;
    let address =
        found.ok().and_then(|steps| steps.iter().map(|step| step.hop.address).find(|address| address.is_ipv4() == like.is_ipv4()));
    (name, address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: &str) -> HostPort {
        HostPort { host: host.into(), port: 5060 }
    }

    fn datagram(token: u8) -> Waiting<u8> {
        Waiting { socket: 0, bytes: Bytes::from_static(b"INVITE"), token }
    }

    fn at(secs: u64) -> Moment {
        Moment::default() + Duration::from_secs(secs + 1)
    }

    #[test]
    fn datagrams_wait_for_the_first_answer_and_later_ones_do_not() {
        let mut names = Names::default();
        let host = name("carrier.example.com");
        let address = SocketAddr::from(([192, 0, 2, 1], 5060));
        assert_eq!(names.look_up(&host, at(0), datagram(1)), Lookup::Ask);
        assert_eq!(names.look_up(&host, at(0), datagram(2)), Lookup::Pending);
        let (found, waiting) = names.answered(&host, Some(address), at(1));
        assert_eq!((found, waiting.iter().map(|it| it.token).collect::<Vec<_>>()), (Some(address), vec![1, 2]));
        assert_eq!(names.look_up(&host, at(2), datagram(3)), Lookup::Known(address));
    }

    #[test]
    fn the_last_good_answer_serves_while_the_resolver_fails() {
        let mut names = Names::default();
        let host = name("carrier.example.com");
        let address = SocketAddr::from(([192, 0, 2, 1], 5060));
        names.look_up(&host, at(0), datagram(1));
        names.answered(&host, Some(address), at(0));
        assert_eq!(names.look_up(&host, at(60), datagram(2)), Lookup::Ask);
        assert_eq!(names.look_up(&host, at(60), datagram(3)), Lookup::Known(address));
        assert_eq!(names.answered(&host, None, at(61)).0, Some(address));
    }

    #[test]
    fn a_name_that_failed_fails_for_a_moment_and_the_table_is_bounded() {
        let mut names = Names::default();
        let host = name("nowhere.example.com");
        names.look_up(&host, at(0), datagram(1));
        assert_eq!(names.answered(&host, None, at(0)).1.len(), 1);
        assert_eq!(names.look_up(&host, at(1), datagram(2)), Lookup::Failed);
        assert_eq!(names.look_up(&host, at(3), datagram(3)), Lookup::Ask);
        for number in 0..3000_u64 {
            let host = name(&format!("host{number}.example.com"));
            names.look_up(&host, at(number), datagram(0));
            names.answered(&host, None, at(number));
        }
        assert!(names.names.len() <= MAX_NAMES);
    }

    #[test]
    fn addresses_are_tried_by_priority_and_drawn_by_weight() {
        let step = |priority, weight, last: u8| Step {
            priority,
            weight,
            hop: Hop { transport: Transport::Udp, address: SocketAddr::from(([192, 0, 2, last], 5060)), by_size: false },
        };
        let steps = [step(20, 0, 9), step(10, 75, 1), step(10, 25, 2), step(10, 0, 3)];
        let random = Random::seeded(5);
        let mut first = [0_u32; 4];
        for _ in 0..10_000 {
            let order = in_order(&steps, &random);
            assert_eq!(order[3].address.ip().to_string(), "192.0.2.9", "the lowest priority is the last");
            let std::net::IpAddr::V4(address) = order[0].address.ip() else { unreachable!("all are IPv4") };
            first[usize::from(address.octets()[3])] += 1;
        }
        assert!((7_200..7_800).contains(&first[1]) && (2_200..2_700).contains(&first[2]) && first[3] > 0, "{first:?}");
        assert_eq!(in_order(&[], &random), []);
    }
}
