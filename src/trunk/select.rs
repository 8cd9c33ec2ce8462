//! Which trunk is tried first: plain values in, an order out.

use std::sync::Arc;
use std::time::Duration;

use super::Trunk;
use crate::types::{E164, Moment, TrunkId};

/// How long a trunk is tried after the others when it failed once; doubled by each further failure in a row.
pub const PENALTY: Duration = Duration::from_secs(30);
/// The longest penalty.
pub const PENALTY_MOST: Duration = Duration::from_secs(480);
/// Most trunks one call tries.
pub const MOST_CANDIDATES: usize = 8;

/// What is remembered of a trunk's failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    failures: u32,
    until: Moment,
    lost: bool,
}

impl Health {
    /// One more failure in a row. Failures of calls that began before the penalty count once.
    pub fn failed(&mut self, now: Moment) {
        if self.penalised(now) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let doubled = PENALTY.saturating_mul(1 << (self.failures - 1).min(8));
        self.until = now + doubled.min(PENALTY_MOST);
    }

    /// The same with what its addresses say when they are asked: `lost` if none of them answers.
    #[must_use]
    pub fn with_lost(self, lost: bool) -> Self {
        Self { lost, ..self }
    }

    /// Whether others go first.
    pub fn penalised(self, now: Moment) -> bool {
        self.lost || now < self.until
    }
}

/// The trunks that may take a call to `destination`, in the order to try them. A penalised trunk goes last, never away:
/// it may be the only one, and a call is how we learn that it works again.
pub fn order(trunks: &[Arc<Trunk>], destination: E164, health: impl Fn(TrunkId) -> Health, now: Moment) -> Vec<Arc<Trunk>> {
    let fits = |trunk: &&Arc<Trunk>| trunk.enabled && trunk.target.is_some() && trunk.settings.takes(destination);
    let mut candidates: Vec<Arc<Trunk>> = trunks.iter().filter(fits).cloned().collect();
    candidates.sort_by(|one, other| {
        let key = |trunk: &Trunk| (health(trunk.id).penalised(now), trunk.priority);
        key(one).cmp(&key(other)).then_with(|| one.name.cmp(&other.name))
    });
    candidates.truncate(MOST_CANDIDATES);
    candidates
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::types::{Clock, Random, Timestamp};

    fn trunk(name: &str, priority: i64) -> Trunk {
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        Trunk {
            id: TrunkId::new(&clock, &Random::system()),
            name: name.to_owned(),
            enabled: true,
            priority,
            settings: Settings::default(),
            target: Some("192.0.2.1:5060".parse().unwrap()),
        }
    }

    #[test]
    fn only_enabled_trunks_with_a_target_that_take_the_number_are_tried() {
        let narrow =
            Trunk { settings: Settings { destinations: vec!["420".into(), "421".into()], ..Settings::default() }, ..trunk("narrow", 1) };
        let off = Trunk { enabled: false, ..trunk("off", 0) };
        let inbound = Trunk { target: None, ..trunk("inbound", 0) };
        let trunks: Vec<_> = [trunk("b", 5), trunk("a", 5), narrow, off, inbound].into_iter().map(Arc::new).collect();
        let names = |number: &str| {
            let order = order(&trunks, number.parse().unwrap(), |_| Health::default(), Moment::default());
            order.iter().map(|trunk| trunk.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names("+420601123456"), ["narrow", "a", "b"]);
        assert_eq!(names("+15551231234"), ["a", "b"]);
    }

    #[test]
    fn penalties_double_and_are_bounded() {
        let mut health = Health::default();
        let mut now = Moment::default();
        let mut lengths = Vec::new();
        for _ in 0..7 {
            health.failed(now);
            health.failed(now); // a second call of the same bad moment
            lengths.push(health.until.since(now).as_secs());
            now = health.until;
            assert!(!health.penalised(now));
        }
        assert_eq!(lengths, [30, 60, 120, 240, 480, 480, 480]);
    }
}
