//! The ways to a trunk: its addresses with their order, and which of them did not answer lately.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Settings;
use crate::sip::resolve::Question;
use crate::sip::{Hop, Resolver, Step, in_order};
use crate::types::{Moment, Random};

/// How long an address that did not answer is tried after the others.
const AVOID: Duration = Duration::from_secs(30);
/// Most addresses one call tries at one trunk.
pub const MOST_HOPS: usize = 4;
/// Addresses whose failures are remembered.
const MOST_FAILED: usize = 1_024;
/// Each further target comes after all addresses of those before.
const TARGET_STRIDE: u32 = 1 << 28;

/// One address of a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Where, and before or after which others.
    pub step: Step,
    /// The name that a certificate there must have (RFC 5922 §7.1): the target's, whatever the DNS made of it.
    pub domain: Arc<str>,
}

/// Finds the addresses of a trunk: of its proxy if it has one, else of each target in turn. Names that cannot be resolved are told.
pub async fn find(settings: &Settings, resolver: &Resolver) -> (Vec<Way>, Vec<String>) {
    let targets: Vec<_> = match &settings.outbound_proxy {
        Some(proxy) => vec![proxy],
        None => settings.target.iter().chain(&settings.more_targets).collect(),
    };
    let (mut ways, mut lost) = (Vec::new(), Vec::new());
    for (place, target) in (0_u32..).zip(targets) {
        let question = Question { host: target.host.clone(), port: target.port, transport: settings.transport.demanded() };
        match resolver.find(&question).await {
            Ok(steps) => ways.extend(steps.iter().map(|step| Way {
                step: Step { priority: place * TARGET_STRIDE + step.priority, ..*step },
                domain: target.host.as_str().into(),
            })),
            Err(error) => lost.push(format!("{}: {error}", target.host)),
        }
    }
    (ways, lost)
}

/// The order in which one call tries the addresses: those that failed lately come after the others, those that are lost last.
pub(super) fn order(
    ways: &[Way],
    failed: &HashMap<SocketAddr, Moment>,
    is_lost: impl Fn(&Hop) -> bool,
    now: Moment,
    random: &Random,
) -> Vec<Hop> {
    let steps = ways.iter().map(|way| way.step).collect::<Vec<_>>();
    let mut hops = in_order(&steps, random);
    hops.sort_by_key(|hop| (is_lost(hop), has_failed(failed, hop.address, now)));
    hops.truncate(MOST_HOPS);
    hops
}

/// Whether a call found lately that an address does not answer.
pub(super) fn has_failed(failed: &HashMap<SocketAddr, Moment>, address: SocketAddr, now: Moment) -> bool {
    failed.get(&address).is_some_and(|at| now.since(*at) < AVOID)
}

/// Remembers that an address did not answer, or that it does.
pub(super) fn note(failed: &mut HashMap<SocketAddr, Moment>, address: SocketAddr, worked: bool, now: Moment) {
    if worked {
        failed.remove(&address);
        return;
    }
    if failed.len() >= MOST_FAILED {
        failed.retain(|_, at| now.since(*at) < AVOID);
    }
    if failed.len() < MOST_FAILED {
        failed.insert(address, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;
    use crate::types::Clock;

    #[tokio::test]
    async fn addresses_keep_their_order_and_one_that_failed_comes_last_for_a_while() {
        let settings = Settings {
            target: "192.0.2.1:5070".parse().ok(),
            more_targets: vec!["192.0.2.2".parse().unwrap(), "[2001:db8::1]".parse().unwrap()],
            ..Settings::default()
        };
        let resolver = Resolver::by_servers(&["127.0.0.1:9".parse().unwrap()], Clock::system());
        let (ways, lost) = find(&settings, &resolver).await;
        assert_eq!(lost, Vec::<String>::new());
        let (mut failed, random) = (HashMap::new(), Random::seeded(1));
        let at = |secs| Moment::default() + Duration::from_secs(secs);
        let shown = |failed: &HashMap<_, _>, secs| {
            order(&ways, failed, |_| false, at(secs), &random).iter().map(|hop| hop.address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(shown(&failed, 0), ["192.0.2.1:5070", "192.0.2.2:5060", "[2001:db8::1]:5060"]);
        note(&mut failed, "192.0.2.1:5070".parse().unwrap(), false, at(0));
        assert_eq!(shown(&failed, 29), ["192.0.2.2:5060", "[2001:db8::1]:5060", "192.0.2.1:5070"]);
        assert_eq!(shown(&failed, 30)[0], "192.0.2.1:5070");
        note(&mut failed, "192.0.2.1:5070".parse().unwrap(), true, at(1));
        assert_eq!(shown(&failed, 1)[0], "192.0.2.1:5070");
        let tls = Settings { outbound_proxy: "192.0.2.9".parse().ok(), transport: crate::trunk::TrunkTransport::Tls, ..settings };
        let (ways, _) = find(&tls, &resolver).await;
        let hop = Hop { transport: Transport::Tls, address: "192.0.2.9:5061".parse().unwrap(), by_size: false };
        assert_eq!((ways.len(), ways[0].step.hop, &*ways[0].domain), (1, hop, "192.0.2.9"));
    }
}
