//! The reservation: its life in words. Values in, values out.

use super::access_number::{Candidate, Mode};
use crate::types::{CallId, Country, E164, Refusal, ReservationId, SubscriberId, TenantId, Timestamp};

/// "This subscriber, calling that access number within a minute, means that destination."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// In whose books.
    pub tenant: TenantId,
    /// Its id.
    pub id: ReservationId,
    /// Whose request it was.
    pub subscriber: SubscriberId,
    /// The number to be dialled.
    pub access_number: E164,
    /// What is meant by it.
    pub destination: E164,
    /// How far it has come.
    pub state: State,
    /// Which rule chose the access number.
    pub rule: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// End of its life.
    pub expires_at: Timestamp,
    /// End of the grace after its life.
    pub late_until: Timestamp,
    /// How often a call has had it.
    pub claims: u32,
    /// The call that has it, or had it last.
    pub call: Option<CallId>,
    /// When that call ended.
    pub released_at: Option<Timestamp>,
    /// Claimed between the end of its life and the end of grace.
    pub late: bool,
    /// Where the phone that asked may be: no emergency number of these countries is routed.
    pub places: Vec<Country>,
}

impl Reservation {
    /// Whether a call that is not over has it.
    pub const fn is_in_a_call(&self) -> bool {
        matches!(self.state, State::Claimed | State::Used) && self.released_at.is_none()
    }
}

/// How far a reservation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for its call.
    Pending,
    /// A call has it, or had it and ended before B answered.
    Claimed,
    /// B answered: never again.
    Used,
    /// Nobody called in time.
    Expired,
    /// A newer request took its access number.
    Superseded,
    /// Taken back by the operator.
    Cancelled,
}

impl State {
    /// The word in the books.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Claimed => "claimed",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
        }
    }

    /// From the word in the books.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Claimed, Self::Used, Self::Expired, Self::Superseded, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// What an arriving call finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A reservation that may be claimed (again).
    Pending(Reservation),
    /// There was one; its life and grace are over: `Refusal::ReservationExpired`.
    Expired(Reservation),
    /// The number that calls was changed lately: `Refusal::CoolingDown`.
    Cooling(Reservation),
    /// There is one, and another call that is still alive has it: `Refusal::ReservationUsed`.
    Used(Reservation),
    /// None, or one that was used up by a call that has ended: `Refusal::NoReservation`.
    None,
}

/// A reservation that a call now has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// As it stands after the claim.
    pub reservation: Reservation,
    /// Claimed in the grace after its life.
    pub late: bool,
}

/// A reservation in the way of a new one: the subscriber's own, or one that shares a caller number with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Its id.
    pub id: ReservationId,
    /// Whose.
    pub subscriber: SubscriberId,
    /// Its number.
    pub access_number: E164,
    /// What it means.
    pub destination: E164,
    /// Waits for its call, and is within its life and grace.
    pub waiting: bool,
    /// Neither waits nor may be claimed again: only its row is still in the way.
    pub over: bool,
    /// It takes the pair of caller and access number.
    pub takes_pair: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// S2: the same again; its life starts anew.
    Renew {
        /// Which one.
        id: ReservationId,
        /// How its call will be recognised.
        mode: Mode,
    },
    /// S1, S4 to S7: a new one.
    Create {
        /// The number to give.
        access_number: E164,
        /// How its call will be recognised.
        mode: Mode,
        /// Which rule chose it.
        rule: super::Rule,
        /// Own reservations that make room: last wins.
        supersede: Vec<ReservationId>,
        /// Rows that are only in the way.
        bury: Vec<ReservationId>,
    },
    /// S6, S7: nothing can be given.
    Refuse(Refusal),
}

/// Rules S1 to S7 of the reservation. `groups` are the candidates in order (see [`super::access_number::rank`]), each with the
/// mode it would be used in; `fallback` are the same for a code when the caller's numbers are all taken by others.
pub fn plan(
    subscriber: SubscriberId,
    destination: E164,
    open: &[Open],
    groups: &[Vec<Candidate<'_>>],
    fallback: &[Vec<Candidate<'_>>],
    max_open: usize,
) -> Plan {
    let own = || open.iter().filter(|open| open.subscriber == subscriber && !open.over);
    // What is recognised by its pair stays so, and what is recognised by a code too.
    let candidate_for = |open: &Open| {
        let fits = |candidate: &&Candidate<'_>| {
            candidate.number.number == open.access_number && (candidate.mode == Mode::Pinless) == open.takes_pair
        };
        groups.iter().chain(fallback).flatten().find(fits)
    };
    let mut same = own().filter(|open| open.waiting && open.destination == destination);
    if let Some((same, candidate)) = same.find_map(|open| candidate_for(open).map(|candidate| (open, candidate))) {
        return Plan::Renew { id: same.id, mode: candidate.mode };
    }
    let blocked = |candidate: &Candidate<'_>, by_others: bool| {
        candidate.mode == Mode::Pinless
            && open.iter().any(|open| {
                open.takes_pair
                    && !open.over
                    && open.access_number == candidate.number.number
                    && (open.subscriber != subscriber) == by_others
            })
    };
    let mut waiting: Vec<&Open> = own().filter(|open| open.waiting).collect();
    waiting.sort_by_key(|open| (open.created_at, open.id));
    let surplus = (waiting.len() + 1).saturating_sub(max_open.max(1));
    let mut supersede: Vec<ReservationId> = waiting.iter().take(surplus).map(|open| open.id).collect();
    let mut create = |candidate: &Candidate<'_>, room: Option<ReservationId>| {
        supersede.extend(room.filter(|room| !supersede.contains(room)));
        let number = candidate.number.number;
        let bury = open.iter().filter(|open| open.over && open.takes_pair && open.access_number == number).map(|open| open.id).collect();
        Plan::Create { access_number: number, mode: candidate.mode, rule: candidate.rule, supersede: std::mem::take(&mut supersede), bury }
    };
    for group in groups {
        let mine = |candidate: &&Candidate<'_>| !blocked(candidate, true);
        if let Some(free) = group.iter().filter(mine).find(|candidate| !blocked(candidate, false)) {
            return create(free, None);
        }
        // S5: only own reservations are in the way, so the oldest gives up its number.
        let oldest = group.iter().filter(mine).filter_map(|candidate| {
            let holder = own().filter(|open| open.takes_pair && open.access_number == candidate.number.number);
            holder.min_by_key(|open| (open.created_at, open.id)).map(|open| (open, candidate))
        });
        if let Some((oldest, candidate)) = oldest.min_by_key(|(open, _)| (open.created_at, open.id)) {
            return create(candidate, Some(oldest.id));
        }
    }
    match fallback.first().and_then(|group| group.first()) {
        Some(candidate) => create(candidate, None),
        None => Plan::Refuse(Refusal::NoAccessNumber),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callthrough::access_number::{AccessNumber, Rule, Settings};
    use crate::types::{Clock, Random};

    struct World {
        clock: Clock,
        random: Random,
        numbers: Vec<AccessNumber>,
        me: SubscriberId,
    }

    impl World {
        fn new(count: u64) -> Self {
            let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
            let random = Random::seeded(1);
            let numbers = (0..count)
                .map(|index| AccessNumber {
                    tenant: TenantId::MAIN,
                    number: format!("+1555123000{index}").parse().unwrap(),
                    country: "US".parse().unwrap(),
                    enabled: true,
                    settings: Settings::default(),
                    created_at: clock.timestamp(),
                })
                .collect();
            let me = SubscriberId::new(&clock, &random);
            Self { clock, random, numbers, me }
        }

        fn open(&self, subscriber: SubscriberId, index: usize, destination: &str) -> Open {
            self.clock.advance(std::time::Duration::from_secs(1));
            Open {
                id: ReservationId::new(&self.clock, &self.random),
                subscriber,
                access_number: self.numbers[index].number,
                destination: destination.parse().unwrap(),
                waiting: true,
                over: false,
                takes_pair: true,
                created_at: self.clock.timestamp(),
            }
        }

        fn group(&self, mode: Mode) -> Vec<Vec<Candidate<'_>>> {
            vec![self.numbers.iter().map(|number| Candidate { number, mode, rule: Rule::Home }).collect()]
        }

        fn plan(&self, destination: &str, open: &[Open]) -> Plan {
            plan(self.me, destination.parse().unwrap(), open, &self.group(Mode::Pinless), &[], 3)
        }

        fn create(&self, index: usize, supersede: &[&Open]) -> Plan {
            Plan::Create {
                access_number: self.numbers[index].number,
                mode: Mode::Pinless,
                rule: Rule::Home,
                supersede: supersede.iter().map(|open| open.id).collect(),
                bury: Vec::new(),
            }
        }
    }

    #[test]
    fn s1_first_s2_same_again_s4_another_number() {
        let world = World::new(3);
        assert_eq!(world.plan("+15551231234", &[]), world.create(0, &[]));
        let first = world.open(world.me, 0, "+15551231234");
        assert_eq!(world.plan("+15551231234", &[first]), Plan::Renew { id: first.id, mode: Mode::Pinless });
        assert_eq!(world.plan("+15551239999", &[first]), world.create(1, &[]));
    }

    #[test]
    fn s5_last_wins_when_none_is_free_or_the_maximum_is_reached() {
        let world = World::new(2);
        let (first, second) = (world.open(world.me, 0, "+15551231111"), world.open(world.me, 1, "+15551232222"));
        assert_eq!(world.plan("+15551233333", &[second, first]), world.create(0, &[&first]));
        let world = World::new(5);
        let open: Vec<_> = (0..3).map(|index| world.open(world.me, index, &format!("+1555123111{index}"))).collect();
        assert_eq!(world.plan("+15551233333", &open), world.create(3, &[&open[0]]));
    }

    #[test]
    fn s6_a_shared_caller_number_never_shares_an_access_number() {
        let world = World::new(2);
        let colleague = SubscriberId::new(&world.clock, &world.random);
        let theirs = world.open(colleague, 0, "+15551231234");
        assert_eq!(world.plan("+15551231234", &[theirs]), world.create(1, &[]), "the same target is not the same reservation");
        let more = world.open(colleague, 1, "+15551239999");
        assert_eq!(world.plan("+15551231234", &[theirs, more]), Plan::Refuse(Refusal::NoAccessNumber));
        let fallback = world.group(Mode::Code);
        let planned = plan(world.me, theirs.destination, &[theirs, more], &world.group(Mode::Pinless), &fallback, 3);
        assert!(matches!(planned, Plan::Create { mode: Mode::Code, .. }), "{planned:?}");
    }

    #[test]
    fn what_is_over_is_buried_and_a_claimed_one_keeps_its_pair() {
        let world = World::new(2);
        let over = Open { waiting: false, over: true, ..world.open(world.me, 0, "+15551231234") };
        let Plan::Create { access_number, bury, supersede, .. } = world.plan("+15551231234", &[over]) else { panic!("not created") };
        assert_eq!((access_number, bury, supersede), (over.access_number, vec![over.id], vec![]));
        let claimed = Open { waiting: false, ..world.open(world.me, 0, "+15551231234") };
        assert_eq!(world.plan("+15551231234", &[claimed]), world.create(1, &[]), "its call rings, so the new request gets another");
    }
}
