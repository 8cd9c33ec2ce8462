//! Who gets an answer when too many ask: strangers are counted by address, noisy ones fall silent, trunks are exempt.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::types::Moment;

/// Requests of strangers are counted over this long.
const WINDOW: Duration = Duration::from_secs(2);
/// An address over its limit hears nothing for this long.
const SILENCE: Duration = Duration::from_secs(300);
/// Addresses kept in mind, in each of the two tables.
const MAX_SOURCES: usize = 16_384;
/// Requests of all strangers together that are answered in one window: forged addresses have no other limit.
const ALL_STRANGERS: u32 = 4_000;

/// Counts strangers.
#[derive(Debug)]
pub struct Gate {
    limit: u32,
    window_ends: Moment,
    all: u32,
    counts: HashMap<IpAddr, u32>,
    silenced: HashMap<IpAddr, Moment>,
}

impl Gate {
    /// A gate that lets an address ask `limit` times a window.
    pub fn new(limit: u32) -> Self {
        Self { limit, window_ends: Moment::default(), all: 0, counts: HashMap::new(), silenced: HashMap::new() }
    }

    /// Whether the address has made itself deaf ears: asked before anything of the datagram is read.
    pub fn is_silenced(&self, source: IpAddr, now: Moment) -> bool {
        !self.silenced.is_empty() && self.silenced.get(&network(source)).is_some_and(|&until| now < until)
    }

    /// Counts one request of a stranger; false if it goes without an answer.
    pub fn admit(&mut self, source: IpAddr, now: Moment) -> bool {
        let source = network(source);
        if now >= self.window_ends {
            self.window_ends = now + WINDOW;
            self.all = 0;
            self.counts.clear();
        }
        self.all = self.all.saturating_add(1);
        if self.all > ALL_STRANGERS || (self.counts.len() >= MAX_SOURCES && !self.counts.contains_key(&source)) {
            return false;
        }
        let count = self.counts.entry(source).or_default();
        *count += 1;
        if *count <= self.limit {
            return true;
        }
        if self.silenced.len() >= MAX_SOURCES {
            self.silenced.retain(|_, until| now < *until);
        }
        if self.silenced.len() < MAX_SOURCES {
            self.silenced.insert(source, now + SILENCE);
        }
        false
    }
}

/// One customer of IPv6 has a whole /64, so that is what is counted.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::default() + Duration::from_secs(secs)
    }

    #[test]
    fn the_hundred_and_first_request_in_two_seconds_brings_five_minutes_of_silence() {
        let mut gate = Gate::new(100);
        let source = IpAddr::from([203, 0, 113, 5]);
        assert!((0..100).all(|_| gate.admit(source, at(10))));
        assert!(!gate.is_silenced(source, at(11)));
        assert!(!gate.admit(source, at(11)));
        assert!(gate.is_silenced(source, at(310)));
        assert!(!gate.is_silenced(source, at(311)));
        assert!(!gate.is_silenced(IpAddr::from([203, 0, 113, 6]), at(12)));
    }

    #[test]
    fn a_slow_asker_is_always_answered() {
        let mut gate = Gate::new(100);
        assert!((0..1000).all(|second| gate.admit(IpAddr::from([203, 0, 113, 5]), at(second))));
    }

    #[test]
    fn one_slash_64_is_one_asker_and_forged_addresses_share_one_limit() {
        let mut gate = Gate::new(1);
        assert!(gate.admit("2001:db8::1".parse().unwrap(), at(0)));
        assert!(!gate.admit("2001:db8::2".parse().unwrap(), at(0)));
        let mut gate = Gate::new(100);
        let answered = (0..20_000_u32).filter(|&n| gate.admit(IpAddr::V4((0x0a00_0000 + n).into()), at(0))).count();
        assert_eq!(answered, 4_000);
    }
}
