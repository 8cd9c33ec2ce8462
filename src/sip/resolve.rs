//! From a carrier's name to its addresses: RFC 3263 over whatever asks the DNS, with the last good answer kept.
//!
//! A literal address is itself; a port means A and AAAA alone; else NAPTR says which transports there are, SRV where they are, and
//! without either the name's own addresses serve. Nothing that answers calls waits here: trunks are looked up beside them.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::leg::Hop;
use super::target::Step;
use super::transport::Transport;
use crate::types::{Clock, Moment};

/// An answer is believed at least this long, whatever life it claims: a short one must not make us ask for every call.
pub const SHORTEST: Duration = Duration::from_secs(10);
/// An answer is believed at most this long: a poisoned one must not stay.
pub const LONGEST: Duration = Duration::from_secs(600);
/// After a failure the name is not asked again for this long.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// The last good answer serves this long after it has run out, while the DNS is away.
const LAST_GOOD: Duration = Duration::from_secs(24 * 3600);
/// A whole look-up takes no longer.
const PATIENCE: Duration = Duration::from_secs(4);
/// Records of one answer that are looked at.
const MOST_RECORDS: usize = 16;
/// Addresses of one name.
const MOST_STEPS: usize = 32;
/// Names kept in mind; the one asked least lately goes.
const MOST_NAMES: usize = 1_024;
/// Room between the priorities of one SRV record and the next NAPTR's.
const STRIDE: u32 = 1 << 8;

/// Records with the life they claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was found; nothing if the DNS says that there is nothing.
    pub records: Vec<T>,
    /// How long it claims to be good for.
    pub life: Duration,
}

/// A NAPTR record, as far as it concerns SIP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// Lower first.
    pub order: u16,
    /// Lower first among equals.
    pub preference: u16,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`, ..
    pub service: String,
    /// The name to ask for SRV.
    pub replacement: String,
}

/// An SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// How often, among equals.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its host; a dot says that the service is not there.
    pub host: String,
}

/// The DNS did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the DNS does not answer: {0}")]
pub struct NoDns(pub String);

/// What a question to the DNS will bring.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<Answer<T>, NoDns>> + Send + 'a>>;

/// Whoever asks the DNS.
pub trait Dns: Send + Sync {
    /// NAPTR of a name.
    fn naptr<'a>(&'a self, name: &'a str) -> Asking<'a, Naptr>;
    /// SRV of a name.
    fn srv<'a>(&'a self, name: &'a str) -> Asking<'a, Srv>;
    /// A and AAAA of a name.
    fn addresses<'a>(&'a self, name: &'a str) -> Asking<'a, IpAddr>;
}

/// What is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The host, small letters.
    pub host: String,
    /// Its port, if one is named.
    pub port: Option<u16>,
    /// The transport, if one is demanded.
    pub transport: Option<Transport>,
}

struct Entry {
    steps: Arc<[Step]>,
    fresh_until: Moment,
    good_until: Moment,
    used: Moment,
}

/// Looks names up and remembers. Cheap to clone; every clone has the same memory.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    dns: Arc<dyn Dns>,
    clock: Clock,
    known: Mutex<HashMap<Question, Entry>>,
}

impl Resolver {
    /// One that asks by `dns`.
    pub fn new(dns: Arc<dyn Dns>, clock: Clock) -> Self {
        Self(Arc::new(Inner { dns, clock, known: Mutex::default() }))
    }

    /// One that asks these servers; the machine's own if none is named.
    pub fn by_servers(servers: &[SocketAddr], clock: Clock) -> Self {
        Self::new(Arc::new(super::net::dns::System::new(servers)), clock)
    }

    /// The addresses of a name in their order, as far as known now. A failure brings the last good answer; if there is none, the reason.
    pub async fn find(&self, question: &Question) -> Result<Arc<[Step]>, NoDns> {
        if let Ok(ip) = question.host.parse::<IpAddr>() {
            return Ok([literal(question, ip)].into());
        }
        let now = self.0.clock.now();
        if let Some(entry) = self.known().get_mut(question) {
            entry.used = now;
            if now < entry.fresh_until {
                return if entry.steps.is_empty() {
                    Err(NoDns(format!("{} has no address", question.host)))
                } else {
                    Ok(entry.steps.clone())
                };
            }
        }
        let asked = tokio::time::timeout(PATIENCE, ask(&*self.0.dns, question)).await;
        let found = asked.unwrap_or_else(|_| Err(NoDns("it takes too long".to_owned())));
        let now = self.0.clock.now();
        let mut known = self.known();
        make_room(&mut known, question);
        let (steps, life) = match found {
            Ok(Answer { records, life }) if !records.is_empty() => (records.into(), life.clamp(SHORTEST, LONGEST)),
            failed => {
                let reason = failed.err().unwrap_or_else(|| NoDns(format!("{} has no address", question.host)));
                let last = known.get_mut(question).filter(|entry| !entry.steps.is_empty() && now < entry.good_until);
                let Some(last) = last else {
                    let fresh_until = now + AFTER_FAILURE;
                    known.insert(question.clone(), Entry { steps: [].into(), fresh_until, good_until: now, used: now });
                    return Err(reason);
                };
                tracing::warn!(sip.host = question.host, error = %reason, "A carrier's name cannot be looked up; its last good addresses serve.");
                last.fresh_until = now + AFTER_FAILURE;
                return Ok(last.steps.clone());
            }
        };
        let steps: Arc<[Step]> = steps;
        let fresh_until = now + life;
        known.insert(question.clone(), Entry { steps: steps.clone(), fresh_until, good_until: fresh_until + LAST_GOOD, used: now });
        Ok(steps)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Question, Entry>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resolver({} names)", self.known().len())
    }
}

fn make_room(known: &mut HashMap<Question, Entry>, question: &Question) {
    if known.len() >= MOST_NAMES && !known.contains_key(question) {
        let oldest = known.iter().min_by_key(|(_, entry)| entry.used).map(|(name, _)| name.clone());
        oldest.and_then(|oldest| known.remove(&oldest));
    }
}

fn literal(question: &Question, ip: IpAddr) -> Step {
    let transport = question.transport.unwrap_or(Transport::Udp);
    step(question, 0, 0, transport, SocketAddr::new(ip, question.port.unwrap_or(transport.usual_port())))
}

fn step(question: &Question, priority: u32, weight: u16, transport: Transport, address: SocketAddr) -> Step {
    let by_size = question.transport.is_none() && transport == Transport::Udp;
    Step { priority, weight, hop: Hop { transport, address, by_size } }
}

/// RFC 3263 §4.1 and §4.2.
async fn ask(dns: &dyn Dns, question: &Question) -> Result<Answer<Step>, NoDns> {
    if let Some(port) = question.port {
        let transport = question.transport.unwrap_or(Transport::Udp);
        return addresses(dns, question, transport, port).await;
    }
    let mut found = Answer { records: Vec::new(), life: LONGEST };
    for (place, (transport, name)) in (0_u32..).zip(services(dns, question, &mut found.life).await?) {
        let answer = dns.srv(&name).await?;
        found.life = found.life.min(answer.life);
        for (nth, srv) in (0_u32..).zip(answer.records.into_iter().take(MOST_RECORDS).filter(|srv| srv.host != ".")) {
            // A host of the list that cannot be looked up is only a host fewer.
            let Ok(hosts) = dns.addresses(&srv.host).await else { continue };
            found.life = found.life.min(hosts.life);
            let priority = (place << 20) + (u32::from(srv.priority) & 0xfff) * STRIDE;
            let each = hosts.records.into_iter().take(MOST_RECORDS);
            // Each further address of one host comes after all hosts of its priority (RFC 3263 §4.3).
            found.records.extend((0_u32..).zip(each).map(|(rank, ip)| {
                let weight = if rank == 0 { srv.weight } else { 0 };
                step(question, priority + rank.min(STRIDE - 1), weight, transport, SocketAddr::new(ip, srv.port))
            }));
            if nth as usize >= MOST_RECORDS || found.records.len() >= MOST_STEPS {
                break;
            }
        }
    }
    found.records.truncate(MOST_STEPS);
    if found.records.is_empty() {
        let transport = question.transport.unwrap_or(Transport::Udp);
        return addresses(dns, question, transport, transport.usual_port()).await;
    }
    Ok(found)
}

/// The SRV names to ask, best first: what NAPTR says, or the usual ones.
async fn services(dns: &dyn Dns, question: &Question, life: &mut Duration) -> Result<Vec<(Transport, String)>, NoDns> {
    let usual = |transport: Transport| (transport, format!("{}.{}", service(transport), question.host));
    if let Some(transport) = question.transport {
        return Ok(vec![usual(transport)]);
    }
    // Without an answer to NAPTR the usual names may still have one.
    let mut naptr = dns.naptr(&question.host).await.unwrap_or(Answer { records: Vec::new(), life: LONGEST });
    *life = (*life).min(naptr.life);
    naptr.records.sort_by_key(|record| (record.order, record.preference));
    let spoken = |record: Naptr| {
        let transport = match record.service.to_ascii_uppercase().as_str() {
            "SIP+D2U" => Transport::Udp,
            "SIP+D2T" => Transport::Tcp,
            "SIPS+D2T" => Transport::Tls,
            _ => return None,
        };
        Some((transport, record.replacement))
    };
    let told = naptr.records.into_iter().take(MOST_RECORDS).filter_map(spoken).collect::<Vec<_>>();
    Ok(if told.is_empty() { vec![usual(Transport::Udp), usual(Transport::Tcp)] } else { told })
}

const fn service(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    }
}

async fn addresses(dns: &dyn Dns, question: &Question, transport: Transport, port: u16) -> Result<Answer<Step>, NoDns> {
    let Answer { records, life } = dns.addresses(&question.host).await?;
    let steps = (0_u32..).zip(records).take(MOST_RECORDS);
    let records = steps.map(|(rank, ip)| step(question, rank, 0, transport, SocketAddr::new(ip, port))).collect();
    Ok(Answer { records, life })
}

#[cfg(test)]
mod tests;
