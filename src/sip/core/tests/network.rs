//! Two cores joined by a network that loses, delays, repeats and reorders; users at both ends who do anything at any time.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Core, Input, Local, Output, Settings, Tables};
use super::audit::{Captured, audit};
use crate::sip::endpoint::{Source, SourcePolicy, Strangers};
use crate::sip::leg::{Body, Command, EarlyDialogId, InDialog, LegEvent, LegId, OutgoingInvite, RequestId, Target};
use crate::sip::target::Address;
use crate::sip::transaction::Intervals;
use crate::types::{Clock, Moment, Random, Timestamp, TrunkId};

/// Calls of one run.
const CALLS: u64 = 12;
/// When every user who is still in a call hangs up.
const CURFEW_MS: u64 = 40_000;

struct Everybody(TrunkId);

impl SourcePolicy for Everybody {
    fn classify(&self, _: SocketAddr) -> Source {
        Source::Trunk(self.0)
    }
}

/// How bad the network is.
#[derive(Clone, Copy)]
struct Weather {
    lost_percent: u64,
    repeated_percent: u64,
    delay_ms: u64,
    repeat_delay_ms: u64,
}

/// Something that will happen.
enum Later {
    Arrives { at: usize, from: SocketAddr, bytes: Vec<u8> },
    Does { at: usize, leg: LegId, what: Deed },
    Calls,
}

#[derive(Clone)]
enum Deed {
    Progress,
    Answer,
    Refuse,
    HangUp,
    Ask(InDialog, bool),
    Respond(RequestId, u16),
    Ack,
}

/// What the users of one leg know.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the model")]
#[derive(Default)]
struct Known {
    ended: bool,
    /// Requests of ours under way: whether they offer, and in which early dialog.
    mine: BTreeMap<RequestId, (bool, Option<EarlyDialogId>)>,
    their_offers: BTreeMap<RequestId, Option<EarlyDialogId>>,
    /// The early dialogs there are.
    early: Vec<EarlyDialogId>,
    is_answered: bool,
    is_up: bool,
    is_caller: bool,
}

impl Known {
    /// One early dialog was answered: it is the dialog of the call now, and what was asked in the others is refused.
    fn confirm(&mut self, early: EarlyDialogId) {
        self.is_answered = true;
        for (_, of) in self.mine.values_mut().filter(|(_, of)| *of == Some(early)) {
            *of = None;
        }
        self.their_offers.retain(|_, of| *of == Some(early));
        for of in self.their_offers.values_mut() {
            *of = None;
        }
    }

    /// Any of the early dialogs; none once the call is answered.
    fn any_early(&self, random: &Random) -> Option<EarlyDialogId> {
        let count = u64::try_from(self.early.len()).unwrap();
        (!self.is_answered && count > 0).then(|| self.early[usize::try_from(random.below(count)).unwrap()])
    }
}

struct World {
    seed: u64,
    random: Random,
    weather: Weather,
    cores: [Core; 2],
    addresses: [SocketAddr; 2],
    now: Moment,
    later: BTreeMap<(Moment, u64), Later>,
    order: u64,
    legs: BTreeMap<(usize, LegId), Known>,
    wire: Vec<Captured>,
    next_leg: u64,
    next_request: u64,
    answered: u64,
    acked: u64,
}

impl World {
    fn new(seed: u64, weather: Weather) -> Self {
        let addresses: [SocketAddr; 2] = ["192.0.2.10:5060", "198.51.100.1:5060"].map(|address| address.parse().unwrap());
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        let policy = Arc::new(Everybody(TrunkId::new(&clock, &Random::seeded(1))));
        let cores = addresses.map(|address| {
            let settings = Settings {
                locals: vec![Local::new(address)],
                intervals: Intervals::default(),
                strangers: Strangers::Refuse,
                scanners: vec![],
                digest_md5: false,
                max_legs: 1000,
                session_secs: 1800,
                stranger_requests: 100,
            };
            let mut core = Core::new(settings, Random::seeded(seed ^ u64::from(address.is_ipv4()) ^ address.ip().to_string().len() as u64));
            core.input(Moment::default(), Input::Sources(Arc::clone(&policy) as Arc<dyn SourcePolicy>));
            core
        });
        Self {
            seed,
            random: Random::seeded(seed),
            weather,
            cores,
            addresses,
            now: Moment::default(),
            later: BTreeMap::new(),
            order: 0,
            legs: BTreeMap::new(),
            wire: vec![],
            next_leg: 1,
            next_request: 1,
            answered: 0,
            acked: 0,
        }
    }

    fn after(&mut self, millis: u64, later: Later) {
        self.order += 1;
        self.later.insert((self.now + Duration::from_millis(millis), self.order), later);
    }

    fn within(&mut self, millis: u64) -> u64 {
        self.random.below(millis + 1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn run(&mut self) {
        for _ in 0..CALLS {
            let when = self.within(20_000);
            self.after(when, Later::Calls);
        }
        for _ in 0..2_000_000_u64 {
            let timeout = self.cores.iter().filter_map(Core::poll_timeout).min();
            let event = self.later.keys().next().copied();
            let Some(next) = [timeout, event.map(|(at, _)| at)].into_iter().flatten().min() else { return };
            self.now = self.now.max(next);
            for at in 0..2 {
                self.put(at, Input::Tick);
            }
            if let Some(key) = event.filter(|(at, _)| *at <= self.now)
                && let Some(later) = self.later.remove(&key)
            {
                self.happens(later);
            }
        }
        panic!("seed {}: it never ends", self.seed);
    }

    fn happens(&mut self, later: Later) {
        match later {
            Later::Arrives { at, from, bytes } => self.put(at, Input::Datagram { socket: 0, source: from, bytes: bytes.into() }),
            Later::Calls => self.calls(),
            Later::Does { at, leg, what } => self.does(at, leg, what),
        }
    }

    fn calls(&mut self) {
        let at = usize::from(self.chance(50));
        self.next_leg += 2;
        let leg = LegId(1_000_001 + self.next_leg);
        let body = self.chance(80).then(|| Body::sdp("offer"));
        let invite = OutgoingInvite {
            target: Target::Address(self.addresses[1 - at]),
            request_uri: "sip:+15551231234@example.com".into(),
            from: "<sip:+15551230000@example.com>".into(),
            to: "<sip:+15551231234@example.com>".into(),
            headers: vec![],
            body,
            max_forwards: 70,
            sip_call_id: None,
        };
        self.legs.insert((at, leg), Known { is_caller: true, ..Known::default() });
        self.put(at, Input::Invite(leg, Box::new(invite)));
        self.live(at, leg);
    }

    /// What a user of a leg will do some day.
    fn live(&mut self, at: usize, leg: LegId) {
        for _ in 0..3 {
            if self.chance(40) {
                let method = [InDialog::Reinvite, InDialog::Update, InDialog::Info][usize::try_from(self.random.below(3)).unwrap()];
                let offers = self.chance(60);
                let when = self.within(25_000);
                self.after(when, Later::Does { at, leg, what: Deed::Ask(method, offers) });
            }
        }
        // Only one of the two may hang up before the curfew: the other must learn of it.
        if self.chance(50) {
            let when = self.within(30_000);
            self.after(when, Later::Does { at, leg, what: Deed::HangUp });
        }
        let curfew = CURFEW_MS + self.within(2_000);
        if self.legs[&(at, leg)].is_caller {
            self.after(curfew, Later::Does { at, leg, what: Deed::HangUp });
        }
    }

    fn does(&mut self, at: usize, leg: LegId, what: Deed) {
        if self.legs[&(at, leg)].ended {
            return;
        }
        let command = match what {
            Deed::Progress => {
                let is_described = self.chance(50);
                let other = if self.chance(60) { EarlyDialogId::FIRST } else { EarlyDialogId::numbered(1) };
                let known = self.known(at, leg);
                let early = if known.early.is_empty() { EarlyDialogId::FIRST } else { other };
                if !known.early.contains(&early) {
                    known.early.push(early);
                }
                let (status, body) = if is_described { (183, Some(Body::sdp("early"))) } else { (180, None) };
                Command::Progress { early, status, body, headers: vec![] }
            }
            Deed::Answer => {
                let early = self.legs[&(at, leg)].any_early(&self.random).unwrap_or(EarlyDialogId::FIRST);
                self.known(at, leg).confirm(early);
                Command::Answer { early, body: Some(Body::sdp("answer")), headers: vec![] }
            }
            Deed::Refuse => Command::Refuse { status: 486, phrase: "".into(), headers: vec![] },
            Deed::HangUp => Command::HangUp { reason: None },
            Deed::Ack => Command::Ack { body: Some(Body::sdp("answer in ack")) },
            Deed::Respond(id, status) => {
                self.known(at, leg).their_offers.remove(&id);
                Command::Respond { id, status, body: Some(Body::sdp("new answer")), headers: vec![] }
            }
            Deed::Ask(method, offers) => {
                self.next_request += 1;
                let id = RequestId(self.next_request * 2 + 1);
                let offers = offers && method != InDialog::Info;
                let early = self.legs[&(at, leg)].any_early(&self.random);
                self.known(at, leg).mine.insert(id, (offers, early));
                Command::Request { id, early, method, body: offers.then(|| Body::sdp("new offer")), headers: vec![] }
            }
        };
        self.put(at, Input::Command(leg, command));
    }

    fn known(&mut self, at: usize, leg: LegId) -> &mut Known {
        self.legs.get_mut(&(at, leg)).expect("a leg that was made")
    }

    fn put(&mut self, at: usize, input: Input) {
        self.cores[at].input(self.now, input);
        let mut outputs = VecDeque::new();
        while let Some(output) = self.cores[at].poll_output() {
            outputs.push_back(output);
        }
        for output in outputs {
            match output {
                Output::Send { to: Address::Socket(to), bytes, .. } => self.travels(at, to, &bytes),
                Output::Alias { .. } => {}
                Output::Send { to, .. } => panic!("seed {}: sent to {to:?}", self.seed),
                Output::Offer { leg, .. } => {
                    self.legs.insert((at, leg), Known::default());
                    self.live(at, leg);
                    let (ringing, answering) = (self.within(3_000), self.within(12_000));
                    self.after(ringing, Later::Does { at, leg, what: Deed::Progress });
                    if self.chance(40) {
                        let again = self.within(6_000);
                        self.after(again, Later::Does { at, leg, what: Deed::Progress });
                    }
                    let what = if self.chance(80) { Deed::Answer } else { Deed::Refuse };
                    self.after(answering, Later::Does { at, leg, what });
                }
                Output::Tell { leg, event, .. } => self.told(at, leg, *event),
                Output::End { leg } => {
                    let seed = self.seed;
                    assert!(!std::mem::replace(&mut self.known(at, leg).ended, true), "seed {seed}: ended twice");
                }
            }
        }
    }

    fn told(&mut self, at: usize, leg: LegId, event: LegEvent) {
        let seed = self.seed;
        assert!(!self.known(at, leg).ended, "seed {seed}: told after the end: {event:?}");
        match event {
            LegEvent::Answered { ack_due, early, .. } => {
                self.known(at, leg).confirm(early);
                assert!(!std::mem::replace(&mut self.known(at, leg).is_up, true), "seed {seed}: answered twice");
                self.answered += 1;
                if ack_due {
                    let when = self.within(800);
                    self.after(when, Later::Does { at, leg, what: Deed::Ack });
                }
            }
            LegEvent::Acked { .. } => {
                assert!(!std::mem::replace(&mut self.known(at, leg).is_up, true), "seed {seed}: acknowledged twice");
                self.acked += 1;
            }
            LegEvent::Request { id, method, body, early } => {
                let known = self.known(at, leg);
                assert!(early.is_some() || known.is_answered, "seed {seed}: a request in no dialog");
                // Our answer may still wait for a PRACK: then it was asked in the early dialog that was answered.
                let early = early.filter(|_| !known.is_answered);
                if method != InDialog::Info && body.is_some() {
                    let overlaps =
                        known.mine.values().any(|&mine| mine == (true, early)) || known.their_offers.values().any(|&of| of == early);
                    assert!(!overlaps, "seed {seed}: two offers at once");
                    known.their_offers.insert(id, early);
                }
                let status = if self.chance(80) { 200 } else { 488 };
                let when = self.within(2_000);
                self.after(when, Later::Does { at, leg, what: Deed::Respond(id, status) });
            }
            LegEvent::Response { id, ack_due, .. } => {
                assert!(self.known(at, leg).mine.remove(&id).is_some(), "seed {seed}: a second final to one request");
                if ack_due {
                    let when = self.within(800);
                    self.after(when, Later::Does { at, leg, what: Deed::Ack });
                }
            }
            LegEvent::RequestCancelled { id } => {
                self.known(at, leg).their_offers.remove(&id);
            }
            LegEvent::Progress { status, early, .. } => {
                let known = self.known(at, leg);
                if status > 100 && !known.early.contains(&early) {
                    known.early.push(early);
                }
            }
            LegEvent::Refused { .. } | LegEvent::HungUp { .. } | LegEvent::Cancelled { .. } | LegEvent::RequestAcked { .. } => {}
        }
    }

    fn travels(&mut self, at: usize, to: SocketAddr, bytes: &[u8]) {
        let from = self.addresses[at];
        let Some(there) = self.addresses.iter().position(|&address| address == to) else {
            panic!("seed {}: sent to {to}, where nobody is", self.seed)
        };
        let weather = self.weather;
        let is_lost = self.chance(weather.lost_percent);
        // The auditor reads in the order of sending what was sent, and of arriving what arrived; a repeat of the wire tells it nothing new.
        self.wire.push(Captured { from, to, bytes: bytes.to_vec(), arrived: !is_lost });
        if !is_lost {
            let delay = self.within(weather.delay_ms);
            self.after(delay, Later::Arrives { at: there, from, bytes: bytes.to_vec() });
            if self.chance(weather.repeated_percent) {
                let delay = self.within(weather.repeat_delay_ms);
                self.after(delay, Later::Arrives { at: there, from, bytes: bytes.to_vec() });
            }
        }
    }

    fn check(&self) {
        let seed = self.seed;
        for ((at, leg), known) in &self.legs {
            assert!(known.ended, "seed {seed}: {leg:?} of core {at} never ended");
        }
        for core in &self.cores {
            assert_eq!(core.tables(), Tables::default(), "seed {seed}: tables are not empty");
            assert!(core.is_idle(), "seed {seed}");
        }
        let faults = audit(&self.wire, &self.addresses);
        assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
    }
}

fn seeds(first: u64, count: u64, weather: Weather) -> (u64, u64) {
    (first..first + count).fold((0, 0), |(answered, acked), seed| {
        let mut world = World::new(seed, weather);
        world.run();
        world.check();
        (answered + world.answered, acked + world.acked)
    })
}

#[test]
fn calls_hold_over_a_good_network() {
    let weather = Weather { lost_percent: 0, repeated_percent: 0, delay_ms: 40, repeat_delay_ms: 0 };
    let (answered, acked) = seeds(1, 40, weather);
    assert!(answered > 150 && acked > 150, "{answered} {acked}");
}

#[test]
fn calls_hold_while_the_network_repeats_and_reorders() {
    let weather = Weather { lost_percent: 0, repeated_percent: 40, delay_ms: 900, repeat_delay_ms: 3_000 };
    let (answered, acked) = seeds(1_000, 60, weather);
    assert!(answered > 200 && acked > 200, "{answered} {acked}");
}

#[test]
fn calls_hold_while_the_network_loses_one_in_ten() {
    let weather = Weather { lost_percent: 10, repeated_percent: 10, delay_ms: 300, repeat_delay_ms: 2_000 };
    seeds(2_000, 60, weather);
}

#[test]
fn calls_hold_while_the_network_loses_one_in_three() {
    let weather = Weather { lost_percent: 33, repeated_percent: 10, delay_ms: 300, repeat_delay_ms: 2_000 };
    seeds(3_000, 60, weather);
}
