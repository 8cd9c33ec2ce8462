//! Asks the DNS, by the servers of this machine or by those that are named.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::sip::resolve::{Answer, Asking, Dns, LONGEST, Naptr, NoDns, SHORTEST, Srv};

/// Until a server is asked again, or another one.
const TIMEOUT: Duration = Duration::from_millis(900);
/// How often one is asked.
const ATTEMPTS: usize = 2;

/// The DNS by hickory. Its own memory is off: ours knows the last good answer.
pub struct System(Result<TokioResolver, String>);

impl System {
    /// By these servers; by the machine's own if none is named.
    pub fn new(servers: &[SocketAddr]) -> Self {
        let builder = if servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = servers.iter().map(|server| {
                let [udp, tcp] = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, vec![udp, tcp])
            });
            Ok(TokioResolver::builder_with_config(ResolverConfig::from_name_servers(servers.collect()), TokioRuntimeProvider::default()))
        };
        let resolver = builder.map(|builder| {
            let mut options = ResolverOpts::default();
            (options.timeout, options.attempts, options.cache_size) = (TIMEOUT, ATTEMPTS, 0);
            builder.with_options(options)
        });
        Self(resolver.and_then(hickory_resolver::ResolverBuilder::build).map_err(|error| error.to_string()))
    }

    /// Records of one kind; none if the DNS says so.
    async fn ask<T>(&self, name: &str, kind: RecordType, read: impl Fn(&RData) -> Option<T>) -> Result<Answer<T>, NoDns> {
        let resolver = self.0.as_ref().map_err(|error| NoDns(error.clone()))?;
        // A name that ends with a dot is not tried in the machine's own domains.
        let name = if name.ends_with('.') { name.to_owned() } else { format!("{name}.") };
        match resolver.lookup(name, kind).await {
            Ok(found) => {
                Ok(Answer { records: found.answers().iter().filter_map(|record| read(&record.data)).collect(), life: life(&found) })
            }
            Err(error) if is_nothing(&error) => Ok(Answer { records: Vec::new(), life: SHORTEST }),
            Err(error) => Err(NoDns(error.to_string())),
        }
    }
}

fn is_nothing(error: &NetError) -> bool {
    error.is_no_records_found() || error.is_nx_domain()
}

fn life(found: &Lookup) -> Duration {
    found.answers().iter().map(|record| Duration::from_secs(u64::from(record.ttl))).min().unwrap_or(SHORTEST).min(LONGEST)
}

/// A name as others write it, without its last dot.
fn name(text: String) -> String {
    if text == "." { text } else { text.trim_end_matches('.').to_ascii_lowercase() }
}

impl Dns for System {
    fn naptr<'a>(&'a self, host: &'a str) -> Asking<'a, Naptr> {
        let read = |data: &RData| match data {
            RData::NAPTR(naptr) if naptr.flags.eq_ignore_ascii_case(b"s") => Some(Naptr {
                order: naptr.order,
                preference: naptr.preference,
                service: String::from_utf8_lossy(&naptr.services).into_owned(),
                replacement: name(naptr.replacement.to_ascii()),
            }),
            _ => None,
        };
        Box::pin(self.ask(host, RecordType::NAPTR, read))
    }

    fn srv<'a>(&'a self, host: &'a str) -> Asking<'a, Srv> {
        let read = |data: &RData| match data {
            RData::SRV(srv) => Some(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, host: name(srv.target.to_ascii()) }),
            _ => None,
        };
        Box::pin(self.ask(host, RecordType::SRV, read))
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Asking<'a, IpAddr> {
        let v4 = |data: &RData| if let RData::A(address) = data { Some(IpAddr::V4(address.0)) } else { None };
        let v6 = |data: &RData| if let RData::AAAA(address) = data { Some(IpAddr::V6(address.0)) } else { None };
        Box::pin(async move {
            // RFC 6761 §6.3: nobody is asked for this one.
            if host.trim_end_matches('.') == "localhost" {
                let records = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST.octets())];
                return Ok(Answer { records, life: LONGEST });
            }
            let (v4, v6) = tokio::join!(self.ask(host, RecordType::A, v4), self.ask(host, RecordType::AAAA, v6));
            match (v4, v6) {
                (Ok(mut v4), Ok(v6)) => {
                    if !v6.records.is_empty() {
                        v4.life = if v4.records.is_empty() { v6.life } else { v4.life.min(v6.life) };
                    }
                    v4.records.extend(v6.records);
                    Ok(v4)
                }
                (Ok(one), Err(_)) | (Err(_), Ok(one)) if !one.records.is_empty() => Ok(one),
                (Err(error), _) | (_, Err(error)) => Err(error),
            }
        })
    }
}
