//! Which addresses of the trunks live: what they say when they are asked by OPTIONS, and what calls found since.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::PoisonError;

use super::{Trunks, way};
use crate::sip::{Hop, Ping, PingState, Transport};
use crate::types::TrunkId;

/// What the addresses say that are asked.
pub(super) type Pulses = HashMap<(Transport, SocketAddr), Pulse>;

/// What one of them says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    state: PingState,
    /// A call worked there since: some carriers drop every OPTIONS and serve calls all the same.
    worked: bool,
}

impl Pulse {
    const fn is_lost(self) -> bool {
        matches!(self.state, PingState::Lost { .. }) && !self.worked
    }
}

/// How one address of a trunk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressHealth {
    /// Which.
    pub hop: Hop,
    /// What it says when it is asked; none if it is not.
    pub state: Option<PingState>,
    /// Whether calls try the others first.
    pub last: bool,
}

impl Trunks {
    /// The addresses that are to be asked whether they live, always in the same order.
    pub fn wanted_pings(&self) -> Vec<Ping> {
        let ways = self.ways.read().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = Vec::new();
        for trunk in self.all().iter().filter(|trunk| trunk.enabled && trunk.settings.options_secs > 0) {
            let (Some(target), Some(ways)) = (&trunk.settings.target, ways.get(&trunk.id)) else { continue };
            let ping = |hop| Ping { hop, uri: format!("sip:{target}"), secs: trunk.settings.options_secs };
            wanted.extend(ways.iter().map(|way| ping(way.step.hop)));
        }
        wanted.sort_by(|one, other| {
            (one.hop.transport, one.hop.address, one.secs).cmp(&(other.hop.transport, other.hop.address, other.secs))
        });
        wanted.dedup_by_key(|ping| (ping.hop.transport, ping.hop.address));
        wanted
    }

    /// Remembers what the addresses say.
    pub fn note_pings(&self, states: Vec<(Hop, PingState)>) {
        let mut pulses = self.pulses.write().unwrap_or_else(PoisonError::into_inner);
        let new = |(hop, state): (Hop, PingState)| {
            let key = (hop.transport, hop.address);
            let worked = pulses.get(&key).is_some_and(|known| known.worked && known.state == state);
            (key, Pulse { state, worked })
        };
        let new = states.into_iter().map(new).collect();
        *pulses = new;
    }

    /// A call worked at an address: whatever it says when it is asked, it is not lost.
    pub(super) fn note_worked(&self, address: SocketAddr) {
        let is_lost = |pulses: &Pulses| pulses.iter().any(|((_, at), pulse)| *at == address && pulse.is_lost());
        if !is_lost(&self.pulses.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut pulses = self.pulses.write().unwrap_or_else(PoisonError::into_inner);
        pulses.iter_mut().filter(|((_, at), _)| *at == address).for_each(|(_, pulse)| pulse.worked = true);
    }

    /// The addresses that are lost.
    pub(super) fn lost(&self) -> HashSet<(Transport, SocketAddr)> {
        let pulses = self.pulses.read().unwrap_or_else(PoisonError::into_inner);
        pulses.iter().filter(|(_, pulse)| pulse.is_lost()).map(|(key, _)| *key).collect()
    }

    /// The trunks that have no address but lost ones.
    pub(super) fn lost_trunks(&self) -> HashSet<TrunkId> {
        let lost = self.lost();
        if lost.is_empty() {
            return HashSet::new();
        }
        let ways = self.ways.read().unwrap_or_else(PoisonError::into_inner);
        let is_lost =
            |ways: &[way::Way]| !ways.is_empty() && ways.iter().all(|way| lost.contains(&(way.step.hop.transport, way.step.hop.address)));
        ways.iter().filter(|(_, ways)| is_lost(ways)).map(|(id, _)| *id).collect()
    }

    /// How the addresses of a trunk do.
    pub fn addresses(&self, id: TrunkId) -> Vec<AddressHealth> {
        let Some(ways) = self.ways.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned() else { return Vec::new() };
        let pulses = self.pulses.read().unwrap_or_else(PoisonError::into_inner);
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let one = |way: &way::Way| {
            let hop = way.step.hop;
            let pulse = pulses.get(&(hop.transport, hop.address));
            let last = pulse.is_some_and(|pulse| pulse.is_lost()) || way::has_failed(&failed, hop.address, now);
            AddressHealth { hop, state: pulse.map(|pulse| pulse.state), last }
        };
        ways.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, Settings, Trunk};
    use super::*;
    use crate::sip::Step;
    use crate::trunk::way::Way;
    use crate::types::{Clock, Moment, Random, Timestamp};

    const NORTH: [&str; 2] = ["192.0.2.1:5060", "192.0.2.2:5060"];
    const SOUTH: [&str; 1] = ["198.51.100.1:5060"];

    fn hop(address: &str) -> Hop {
        Hop { transport: Transport::Udp, address: address.parse().unwrap(), by_size: true }
    }

    fn world(options_secs: u32) -> (Trunks, [TrunkId; 2]) {
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        let (trunks, random) = (Trunks::new(Vec::new(), clock.clone()), Random::seeded(1));
        let trunk = |name: &str, priority, addresses: &[&str]| {
            let id = TrunkId::new(&clock, &random);
            let way = |(place, address): (u32, &&str)| Way {
                step: Step { priority: place, weight: 0, hop: hop(address) },
                domain: "192.0.2.1".into(),
            };
            trunks.ways.write().unwrap().insert(id, (0_u32..).zip(addresses).map(way).collect());
            let settings = Settings { target: addresses[0].parse().ok(), options_secs, ..Settings::default() };
            Trunk { id, name: name.into(), enabled: true, priority, settings, target: addresses[0].parse().ok() }
        };
        let both = [trunk("north", 1, &NORTH), trunk("south", 2, &SOUTH)];
        let ids = [both[0].id, both[1].id];
        trunks.swap(both.to_vec());
        (trunks, ids)
    }

    fn order(trunks: &Trunks) -> (Vec<String>, Vec<String>) {
        let candidates = trunks.candidates("+420601123456".parse().unwrap());
        let north = candidates.iter().find(|trunk| trunk.name == "north").unwrap();
        let hops = trunks.hops(north).iter().map(|hop| hop.address.to_string()).collect();
        (candidates.iter().map(|trunk| trunk.name.clone()).collect(), hops)
    }

    #[test]
    fn lost_addresses_and_trunks_come_last_until_they_answer_or_a_call_works_there() {
        let (trunks, [north, _]) = world(30);
        let wanted = trunks.wanted_pings();
        assert_eq!((wanted.len(), wanted[0].uri.as_str(), wanted[0].secs), (3, "sip:192.0.2.1:5060", 30));
        assert!(world(0).0.wanted_pings().is_empty());
        let lost = PingState::Lost { since: Moment::default() };
        let say = |states: [PingState; 2]| trunks.note_pings(NORTH.iter().map(|address| hop(address)).zip(states).collect());

        say([lost, PingState::Unknown]);
        assert_eq!(order(&trunks), (vec!["north".into(), "south".into()], vec![NORTH[1].into(), NORTH[0].into()]));
        let told = trunks.addresses(north);
        assert_eq!((told[0].state, told[0].last, told[1].last), (Some(lost), true, false));
        say([lost, lost]);
        assert_eq!(order(&trunks).0, ["south", "north"]);
        assert!(trunks.penalised(north));
        // Lost, but calls work there: it says nothing when it is asked, that is all.
        trunks.report_hop(hop(NORTH[0]).address, Outcome::Worked);
        say([lost, lost]);
        assert_eq!(order(&trunks), (vec!["north".into(), "south".into()], NORTH.map(String::from).to_vec()));
        // It answered in between, and is lost anew.
        let anew = PingState::Lost { since: Moment::default() + std::time::Duration::from_secs(60) };
        say([anew, lost]);
        assert_eq!(order(&trunks).0, ["south", "north"]);
        say([PingState::Alive { since: Moment::default() }, lost]);
        assert_eq!(order(&trunks), (vec!["north".into(), "south".into()], NORTH.map(String::from).to_vec()));
    }
}
