//! The carriers: where calls come from, who takes a call onward.
//!
//! A [`Trunk`] is one carrier link with its addresses, its way of writing numbers and its limits. [`Trunks`] is the picture of
//! all of them that running calls look at; it is swapped whole when the books change, so a call sees either the old trunk or
//! the new one. Who called and what was dialled is read by [`normalise`]; which trunk is tried first is decided by [`select`].
//! The host names of targets are resolved when the picture is taken.

pub mod normalise;
mod passport;
mod pulse;
pub mod select;
pub mod settings;
pub mod store;
pub mod way;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

pub use normalise::{Arrival, ReadCall, read};
pub use pulse::AddressHealth;
pub use settings::{AttestationPolicy, Bare, ExtraHeader, Format, IdentityHeader, Rule, Settings, Source, Target, TrunkTransport};
pub use store::{SecretKind, TrunkError};

pub use crate::sip::{PingState, RegistrationState};

use tokio::task::JoinSet;

use crate::database::Database;
use crate::sip::digest::{Algorithm, REALM};
use crate::sip::{Hop, Login, Registration, Resolver, Transport};
use crate::subscriber::credential::Sealer;
use crate::types::{Clock, E164, Moment, Random, Refusal, Secret, TrunkId};
use way::Way;

/// One carrier link.
#[derive(Debug, Clone, PartialEq)]
pub struct Trunk {
    /// Its id, for good.
    pub id: TrunkId,
    /// What the operator calls it; CDRs and logs show it.
    pub name: String,
    /// Off: no call is taken from it and none is sent to it.
    pub enabled: bool,
    /// Lower is tried first for calls out.
    pub priority: i64,
    /// How it is reached and how it writes numbers.
    pub settings: Settings,
    /// Where calls out are sent first: the target, resolved when the picture was taken; [`Trunks::hops`] tells all addresses. `None`
    /// for trunks that only bring calls.
    pub target: Option<SocketAddr>,
}

impl Trunk {
    /// The number as this trunk wants to see it in a Request-URI: the format, then the first fitting rule.
    pub fn write_number(&self, number: E164) -> String {
        normalise::write_number(&self.settings, number)
    }

    /// Who calls and what was dialled, read by this trunk's rules.
    pub fn read(&self, arrival: &Arrival<'_>) -> ReadCall {
        normalise::read(&self.settings, arrival)
    }
}

/// How a trunk did when it was asked to take a call onward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered or refused for a reason of the destination: the trunk itself works.
    Worked,
    /// Silence, 408, 5xx or a transport failure: others are tried before it for a while.
    Failed,
}

/// Which way a call goes through a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the carrier to us.
    In,
    /// From us to the carrier.
    Out,
}

/// All trunks as running calls see them. Cheap to clone; every clone sees a swap at once.
#[derive(Clone)]
pub struct Trunks {
    picture: Arc<RwLock<Arc<Vec<Arc<Trunk>>>>>,
    health: Arc<Mutex<HashMap<TrunkId, select::Health>>>,
    usage: Arc<Mutex<HashMap<TrunkId, Usage>>>,
    /// The addresses of each target, as found when the picture was taken.
    ways: Arc<RwLock<HashMap<TrunkId, Arc<[Way]>>>>,
    /// Addresses that did not answer, and when.
    failed: Arc<Mutex<HashMap<SocketAddr, Moment>>>,
    /// What the addresses say that are asked whether they live.
    pulses: Arc<RwLock<pulse::Pulses>>,
    resolver: Resolver,
    /// Opens the passwords; there are none until it is given.
    sealer: Arc<OnceLock<Sealer>>,
    /// Who we are to the carriers that ask.
    logins: Arc<RwLock<HashMap<TrunkId, Login>>>,
    /// The carriers that prove who they are, by their names with us.
    digests: Arc<RwLock<Digests>>,
    /// How the registrations stand.
    registrations: Arc<RwLock<HashMap<TrunkId, RegistrationState>>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Usage {
    channels: Arc<AtomicU32>,
    second_began: Moment,
    begun_this_second: u32,
}

/// By the name a carrier proves itself with: which trunk it is, and the hash of its password for each algorithm.
type Digests = HashMap<String, (TrunkId, HashMap<Algorithm, Secret>)>;

/// A call's place on a trunk; given back when dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicU32>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Trunks {
    /// A picture of exactly these trunks, for tests and for a start without books.
    pub fn new(trunks: Vec<Trunk>, clock: Clock) -> Self {
        let resolver = Resolver::by_servers(&[], clock.clone());
        Self::with(trunks, clock, resolver)
    }

    fn with(trunks: Vec<Trunk>, clock: Clock, resolver: Resolver) -> Self {
        let picture = Arc::new(trunks.into_iter().map(Arc::new).collect());
        Self {
            picture: Arc::new(RwLock::new(picture)),
            health: Arc::default(),
            usage: Arc::default(),
            ways: Arc::default(),
            failed: Arc::default(),
            pulses: Arc::default(),
            resolver,
            sealer: Arc::default(),
            logins: Arc::default(),
            digests: Arc::default(),
            registrations: Arc::default(),
            clock,
        }
    }

    /// The trunks of the books.
    pub async fn load(database: &Database, clock: Clock) -> Result<Self, TrunkError> {
        let resolver = Resolver::by_servers(&[], clock.clone());
        Self::load_with(database, clock, resolver, None).await
    }

    /// The same with a resolver that others use too, and with what opens the trunks' passwords.
    pub async fn load_with(database: &Database, clock: Clock, resolver: Resolver, sealer: Option<Sealer>) -> Result<Self, TrunkError> {
        let trunks = Self::with(Vec::new(), clock, resolver);
        if let Some(sealer) = sealer {
            // It is the first.
            let _ = trunks.sealer.set(sealer);
        }
        trunks.reload(database).await?;
        Ok(trunks)
    }

    /// Takes the picture anew, after a change or now and then for changes of other nodes and of names in the DNS.
    /// A target that cannot be resolved now keeps the address it had.
    pub async fn reload(&self, database: &Database) -> Result<(), TrunkError> {
        let (mut trunks, sealed) = {
            let mut connection = database.read().await?;
            (store::list(&mut connection).await?, store::secrets(&mut connection).await?)
        };
        self.open_secrets(&trunks, sealed);
        let known = self.ways.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut ways = HashMap::new();
        // All at once: the names of one carrier must not keep the others waiting.
        let mut asking = JoinSet::new();
        for trunk in trunks.iter().filter(|trunk| trunk.enabled) {
            let (id, settings, resolver) = (trunk.id, trunk.settings.clone(), self.resolver.clone());
            asking.spawn(async move { (id, way::find(&settings, &resolver).await) });
        }
        let mut answers = HashMap::new();
        while let Some(answer) = asking.join_next().await {
            answers.extend(answer);
        }
        for trunk in trunks.iter_mut().filter(|trunk| trunk.enabled) {
            let (mut found, lost) = answers.remove(&trunk.id).unwrap_or_default();
            for error in lost {
                tracing::warn!(trunk.name = trunk.name, error, "a target of a trunk cannot be resolved; check its host name");
            }
            if found.is_empty()
                && let Some(known) = known.get(&trunk.id)
            {
                // The last good answer, as far as it is still about the same names.
                let names = trunk.settings.targets().map(|target| target.host.as_str()).collect::<Vec<_>>();
                found = known.iter().filter(|way| names.contains(&&*way.domain)).cloned().collect();
            }
            trunk.target = found.first().map(|way| way.step.hop.address);
            ways.insert(trunk.id, found.into());
        }
        *self.ways.write().unwrap_or_else(PoisonError::into_inner) = ways;
        self.swap(trunks);
        Ok(())
    }

    /// Opens the secrets of the trunks.
    fn open_secrets(&self, trunks: &[Trunk], sealed: Vec<(TrunkId, SecretKind, String)>) {
        let Some(sealer) = self.sealer.get() else { return };
        let (mut logins, mut digests) = (HashMap::new(), HashMap::new());
        for (id, kind, sealed) in sealed {
            let Some(trunk) = trunks.iter().find(|trunk| trunk.id == id && trunk.enabled) else { continue };
            let secret = match sealer.open(&sealed) {
                Ok(secret) => secret,
                Err(error) => {
                    tracing::error!(trunk.name = trunk.name, %error, "a password of a trunk cannot be opened; set it anew");
                    continue;
                }
            };
            match (kind, trunk.settings.login.clone(), trunk.settings.digest_user.clone()) {
                (SecretKind::Password, Some(user), _) => {
                    logins.insert(id, Login { user, password: secret, md5: trunk.settings.login_md5 });
                }
                (SecretKind::Digest, _, Some(user)) => {
                    digests.insert(user, (id, serde_json::from_str(secret.expose()).unwrap_or_default()));
                }
                _ => {}
            }
        }
        *self.logins.write().unwrap_or_else(PoisonError::into_inner) = logins;
        *self.digests.write().unwrap_or_else(PoisonError::into_inner) = digests;
    }

    /// Whether any carrier proves by a password who it is.
    pub fn asks_for_digest(&self) -> bool {
        !self.digests.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The trunk of this name, and the hash its password must have.
    pub fn digest_of(&self, user: &str, algorithm: Algorithm) -> Option<(TrunkId, Secret)> {
        let digests = self.digests.read().unwrap_or_else(PoisonError::into_inner);
        let (trunk, hashes) = digests.get(user)?;
        Some((*trunk, hashes.get(&algorithm)?.clone()))
    }

    /// Who we are to the carrier at this address.
    pub fn login_at(&self, address: SocketAddr) -> Option<Login> {
        let ways = self.ways.read().unwrap_or_else(PoisonError::into_inner);
        let (id, _) = ways.iter().find(|(_, ways)| ways.iter().any(|way| way.step.hop.address == address))?;
        self.logins.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The hashes of a carrier's password, as they are kept: one for each algorithm (RFC 8760 §2.6).
    pub fn digest_hashes(user: &str, password: &str) -> String {
        let hash = |algorithm: Algorithm| (algorithm.as_str().to_owned(), algorithm.ha1(user, REALM, password).expose().into());
        serde_json::Value::Object(Algorithm::ALL.into_iter().map(hash).collect()).to_string()
    }

    /// Whether the password of a trunk is known.
    pub fn has_password(&self, id: TrunkId) -> bool {
        self.logins.read().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    /// The registrations that the carriers want of us.
    pub fn wanted_registrations(&self) -> Vec<Registration> {
        let (ways, logins) =
            (self.ways.read().unwrap_or_else(PoisonError::into_inner), self.logins.read().unwrap_or_else(PoisonError::into_inner));
        let one = |trunk: &Arc<Trunk>| {
            let settings = &trunk.settings;
            let (user, target) = (settings.login.as_ref()?, settings.target.as_ref()?);
            if !trunk.enabled || !settings.register {
                return None;
            }
            let mut steps = ways.get(&trunk.id)?.iter().map(|way| way.step).collect::<Vec<_>>();
            // Always in the same order, so that it is the same registration at the next look.
            steps.sort_by_key(|step| (step.priority, std::cmp::Reverse(step.weight), step.hop.address));
            Some(Registration {
                trunk: trunk.id,
                hops: steps.into_iter().map(|step| step.hop).take(way::MOST_HOPS).collect(),
                registrar: format!("sip:{target}"),
                aor: format!("sip:{user}@{target}"),
                user: user.clone(),
                login: logins.get(&trunk.id).cloned(),
                secs: settings.register_secs,
            })
        };
        self.all().iter().filter_map(one).collect()
    }

    /// Remembers how the registrations stand.
    pub fn note_registrations(&self, states: Vec<(TrunkId, RegistrationState)>) {
        *self.registrations.write().unwrap_or_else(PoisonError::into_inner) = states.into_iter().collect();
    }

    /// How the registration of a trunk stands; none if it has none.
    pub fn registration(&self, id: TrunkId) -> Option<RegistrationState> {
        self.registrations.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The addresses a call tries at this trunk, in order.
    pub fn hops(&self, trunk: &Trunk) -> Vec<Hop> {
        let ways = self.ways.read().unwrap_or_else(PoisonError::into_inner).get(&trunk.id).cloned();
        let Some(ways) = ways.filter(|ways| !ways.is_empty()) else {
            let hop = |address| Hop { transport: trunk.settings.transport.demanded().unwrap_or(Transport::Udp), address, by_size: false };
            return trunk.target.map(hop).into_iter().collect();
        };
        let lost = self.lost();
        let is_lost = |hop: &Hop| lost.contains(&(hop.transport, hop.address));
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        way::order(&ways, &failed, is_lost, self.clock.now(), &Random::system())
    }

    /// Remembers how one address of a trunk did.
    pub fn report_hop(&self, address: SocketAddr, outcome: Outcome) {
        if outcome == Outcome::Worked {
            self.note_worked(address);
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        way::note(&mut failed, address, outcome == Outcome::Worked, self.clock.now());
    }

    /// The name whose certificate the TLS server at this address must show.
    pub fn domain_of(&self, address: SocketAddr) -> Option<Arc<str>> {
        let ways = self.ways.read().unwrap_or_else(PoisonError::into_inner);
        let at = |way: &&Way| way.step.hop.address == address && way.step.hop.transport == Transport::Tls;
        ways.values().flat_map(|ways| ways.iter()).find(at).map(|way| way.domain.clone())
    }

    /// The enabled trunk that a certificate of these names identifies.
    pub fn identify_by_certificate(&self, names: &[String]) -> Option<Arc<Trunk>> {
        let is_its = |trunk: &&Arc<Trunk>| {
            let known = &trunk.settings.certificate_names;
            trunk.enabled && known.iter().any(|known| names.iter().any(|name| name.eq_ignore_ascii_case(known)))
        };
        self.all().iter().find(is_its).cloned()
    }

    /// Replaces the picture.
    pub fn swap(&self, trunks: Vec<Trunk>) {
        *self.picture.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trunks.into_iter().map(Arc::new).collect());
    }

    /// Every trunk, enabled or not.
    pub fn all(&self) -> Arc<Vec<Arc<Trunk>>> {
        self.picture.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The trunk by its id.
    pub fn get(&self, id: TrunkId) -> Option<Arc<Trunk>> {
        self.all().iter().find(|trunk| trunk.id == id).cloned()
    }

    /// The enabled trunk whose addresses hold `source`; the narrowest entry wins. `None` is a stranger.
    pub fn identify(&self, source: SocketAddr) -> Option<Arc<Trunk>> {
        let trunks = self.all();
        let entries = trunks.iter().filter(|trunk| trunk.enabled).filter_map(|trunk| {
            let fits = trunk.settings.addresses.iter().filter_map(move |entry| entry.fit(source));
            fits.max().map(|fit| (fit, trunk))
        });
        // The first of equals stays: trunks come in order of priority.
        let mut best: Option<(u16, &Arc<Trunk>)> = None;
        for (fit, trunk) in entries {
            if best.is_none_or(|(narrowest, _)| fit > narrowest) {
                best = Some((fit, trunk));
            }
        }
        best.map(|(_, trunk)| trunk.clone())
    }

    /// The trunks that may take a call to `destination`, in the order to try them: healthy before lately failed, then by priority.
    pub fn candidates(&self, destination: E164) -> Vec<Arc<Trunk>> {
        let (trunks, lost) = (self.all(), self.lost_trunks());
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        select::order(
            &trunks,
            destination,
            |id| health.get(&id).copied().unwrap_or_default().with_lost(lost.contains(&id)),
            self.clock.now(),
        )
    }

    /// Remembers how a trunk did.
    pub fn report(&self, trunk: TrunkId, outcome: Outcome) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Worked => drop(health.remove(&trunk)),
            Outcome::Failed => health.entry(trunk).or_default().failed(self.clock.now()),
        }
    }

    /// A place for one more call, within the trunk's channels and calls a second. Keep it for the life of the call.
    pub fn begin(&self, trunk: &Trunk) -> Result<Slot, Refusal> {
        let now = self.clock.now();
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = usage.entry(trunk.id).or_default();
        if now.since(usage.second_began) >= Duration::from_secs(1) {
            (usage.second_began, usage.begun_this_second) = (now, 0);
        }
        if trunk.settings.calls_per_second.is_some_and(|most| usage.begun_this_second >= most) {
            return Err(Refusal::TooFast);
        }
        if trunk.settings.channels.is_some_and(|most| usage.channels.load(Ordering::SeqCst) >= most) {
            return Err(Refusal::TooManyCalls);
        }
        usage.begun_this_second += 1;
        usage.channels.fetch_add(1, Ordering::SeqCst);
        Ok(Slot(usage.channels.clone()))
    }

    /// How many calls a trunk carries now.
    pub fn in_use(&self, trunk: TrunkId) -> u32 {
        let usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.get(&trunk).map_or(0, |usage| usage.channels.load(Ordering::SeqCst))
    }

    /// True while the trunk is tried after the others because it failed lately, or none of its addresses answers.
    pub fn penalised(&self, trunk: TrunkId) -> bool {
        let lost = self.lost_trunks().contains(&trunk);
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        lost || health.get(&trunk).is_some_and(|health| health.penalised(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Random, Timestamp};

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_micros(1_900_000_000_000_000))
    }

    fn trunk(name: &str, priority: i64, addresses: &[&str]) -> Trunk {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Trunk {
            id: TrunkId::new(&clock(), &Random::system()),
            name: name.to_owned(),
            enabled: true,
            priority,
            settings: Settings { addresses, ..Settings::default() },
            target: Some("192.0.2.1:5060".parse().unwrap()),
        }
    }

    #[test]
    fn the_narrowest_address_entry_names_the_trunk() {
        let wide = trunk("wide", 1, &["192.0.2.0/24", "2001:db8::/32"]);
        let narrow = trunk("narrow", 2, &["192.0.2.7"]);
        let port = trunk("port", 3, &["192.0.2.7:5070", "[2001:db8::1]:5061"]);
        let mut off = trunk("off", 0, &["198.51.100.1"]);
        off.enabled = false;
        let trunks = Trunks::new(vec![off, wide, narrow, port], clock());
        for (source, name) in [
            ("192.0.2.1:5060", Some("wide")),
            ("192.0.2.7:5060", Some("narrow")),
            ("192.0.2.7:5070", Some("port")),
            ("[2001:db8::1]:5060", Some("wide")),
            ("[2001:db8::1]:5061", Some("port")),
            ("[::ffff:192.0.2.1]:5060", Some("wide")),
            ("198.51.100.1:5060", None),
            ("203.0.113.1:5060", None),
        ] {
            let found = trunks.identify(source.parse().unwrap());
            assert_eq!(found.as_ref().map(|trunk| trunk.name.as_str()), name, "{source}");
        }
    }

    #[test]
    fn a_failed_trunk_is_tried_last_until_its_penalty_ends_or_it_works() {
        let clock = clock();
        let (first, second) = (trunk("first", 1, &[]), trunk("second", 2, &[]));
        let id = first.id;
        let trunks = Trunks::new(vec![first, second], clock.clone());
        let names = || trunks.candidates("+15551231234".parse().unwrap()).iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(), ["first", "second"]);
        trunks.report(id, Outcome::Failed);
        assert_eq!(names(), ["second", "first"]);
        clock.advance(select::PENALTY);
        assert_eq!(names(), ["first", "second"]);
        trunks.report(id, Outcome::Failed);
        trunks.report(id, Outcome::Worked);
        assert_eq!(names(), ["first", "second"]);
    }

    #[test]
    fn channels_and_calls_a_second_are_bounded_and_given_back() {
        let clock = clock();
        let mut narrow = trunk("narrow", 1, &[]);
        narrow.settings.channels = Some(2);
        narrow.settings.calls_per_second = Some(3);
        let trunks = Trunks::new(vec![narrow.clone()], clock.clone());
        let first = trunks.begin(&narrow).unwrap();
        let _second = trunks.begin(&narrow).unwrap();
        assert_eq!(trunks.begin(&narrow).unwrap_err(), Refusal::TooManyCalls);
        drop(first);
        let _third = trunks.begin(&narrow).unwrap();
        assert_eq!((trunks.begin(&narrow).unwrap_err(), trunks.in_use(narrow.id)), (Refusal::TooFast, 2));
        clock.advance(Duration::from_secs(1));
        assert_eq!(trunks.begin(&narrow).unwrap_err(), Refusal::TooManyCalls);
    }
}
