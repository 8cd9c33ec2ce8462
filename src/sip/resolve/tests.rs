//! RFC 3263 on tables of records, and what is remembered when the DNS is away or lies.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::types::Timestamp;

#[derive(Default)]
struct Table {
    naptr: Vec<Naptr>,
    srv: Vec<(&'static str, Srv)>,
    hosts: Vec<(&'static str, &'static str)>,
    life_secs: u64,
    away: AtomicBool,
    asked: AtomicUsize,
}

impl Table {
    fn answer<T: Send + 'static>(&self, records: Vec<T>) -> Asking<'static, T> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let away = self.away.load(Ordering::SeqCst);
        let life = Duration::from_secs(self.life_secs);
        Box::pin(async move { if away { Err(NoDns("away".into())) } else { Ok(Answer { records, life }) } })
    }
}

impl Dns for Table {
    fn naptr<'a>(&'a self, name: &'a str) -> Asking<'a, Naptr> {
        self.answer(if name == "example.com" { self.naptr.clone() } else { Vec::new() })
    }

    fn srv<'a>(&'a self, name: &'a str) -> Asking<'a, Srv> {
        self.answer(self.srv.iter().filter(|(known, _)| *known == name).map(|(_, srv)| srv.clone()).collect())
    }

    fn addresses<'a>(&'a self, name: &'a str) -> Asking<'a, IpAddr> {
        self.answer(self.hosts.iter().filter(|(known, _)| *known == name).map(|(_, ip)| ip.parse().unwrap()).collect())
    }
}

fn srv(priority: u16, weight: u16, port: u16, host: &str) -> Srv {
    Srv { priority, weight, port, host: host.into() }
}

fn naptr(order: u16, service: &str, replacement: &str) -> Naptr {
    Naptr { order, preference: 0, service: service.into(), replacement: replacement.into() }
}

fn question(host: &str, port: Option<u16>, transport: Option<Transport>) -> Question {
    Question { host: host.into(), port, transport }
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_micros(1_900_000_000_000_000))
}

async fn shown(resolver: &Resolver, question: &Question) -> Vec<String> {
    let mut steps = resolver.find(question).await.unwrap().to_vec();
    steps.sort_by_key(|step| (step.priority, std::cmp::Reverse(step.weight)));
    steps.iter().map(|step| format!("{} {} {}", step.hop.transport, step.hop.address, step.weight)).collect()
}

fn carrier() -> Table {
    Table {
        naptr: vec![
            naptr(20, "SIP+D2U", "_sip._udp.example.com"),
            naptr(10, "SIPS+D2T", "_sips._tcp.example.com"),
            naptr(5, "E2U+sip", "x"),
        ],
        srv: vec![
            ("_sips._tcp.example.com", srv(1, 0, 5061, "a.example.com")),
            ("_sip._udp.example.com", srv(20, 0, 5060, "b.example.com")),
            ("_sip._udp.example.com", srv(10, 60, 5070, "a.example.com")),
            ("_sip._udp.example.com", srv(10, 40, 5080, "b.example.com")),
            ("_sip._tcp.example.org", srv(1, 0, 5060, ".")),
        ],
        hosts: vec![
            ("a.example.com", "192.0.2.1"),
            ("a.example.com", "2001:db8::1"),
            ("b.example.com", "192.0.2.2"),
            ("example.org", "192.0.2.9"),
            ("example.com", "192.0.2.8"),
        ],
        life_secs: 60,
        ..Table::default()
    }
}

#[tokio::test]
async fn naptr_says_which_transports_srv_where_and_addresses_the_rest() {
    let resolver = Resolver::new(Arc::new(carrier()), clock());
    let all =
        ["tls 192.0.2.1:5061 0", "tls [2001:db8::1]:5061 0", "udp 192.0.2.1:5070 60", "udp 192.0.2.2:5080 40", "udp [2001:db8::1]:5070 0"];
    let found = shown(&resolver, &question("example.com", None, None)).await;
    assert_eq!((&found[..5], &*found[5]), (&all.map(String::from)[..], "udp 192.0.2.2:5060 0"));
    // Demanded: no NAPTR. A port: no SRV. A service that is not there: the name itself.
    assert_eq!(shown(&resolver, &question("example.com", None, Some(Transport::Tls))).await.len(), 2);
    assert_eq!(shown(&resolver, &question("example.com", Some(5099), None)).await, ["udp 192.0.2.8:5099 0"]);
    assert_eq!(shown(&resolver, &question("example.org", None, Some(Transport::Tcp))).await, ["tcp 192.0.2.9:5060 0"]);
    assert_eq!(shown(&resolver, &question("192.0.2.77", None, Some(Transport::Tls))).await, ["tls 192.0.2.77:5061 0"]);
    let steps = resolver.find(&question("example.org", None, None)).await.unwrap();
    assert!(steps[0].hop.by_size, "what nobody demanded may change by its length");
}

#[tokio::test]
async fn the_last_good_answer_serves_while_the_dns_is_away_and_lives_are_bounded() {
    for (claimed, believed) in [(0, SHORTEST), (60, Duration::from_secs(60)), (u64::from(u32::MAX), LONGEST)] {
        let (table, clock) = (Arc::new(Table { life_secs: claimed, ..carrier() }), clock());
        let resolver = Resolver::new(table.clone(), clock.clone());
        let name = question("example.com", Some(5060), None);
        assert_eq!(shown(&resolver, &name).await, ["udp 192.0.2.8:5060 0"]);
        clock.advance(believed.saturating_sub(Duration::from_millis(1)));
        shown(&resolver, &name).await;
        assert_eq!(table.asked.load(Ordering::SeqCst), 1, "an answer that claims {claimed} s is believed {believed:?}");
        clock.advance(Duration::from_millis(1));
        table.away.store(true, Ordering::SeqCst);
        assert_eq!(shown(&resolver, &name).await, ["udp 192.0.2.8:5060 0"]);
        assert_eq!(table.asked.load(Ordering::SeqCst), 2);
        shown(&resolver, &name).await;
        assert_eq!(table.asked.load(Ordering::SeqCst), 2, "a DNS that is away is not asked for every call");
        clock.advance(LAST_GOOD + LONGEST);
        assert!(resolver.find(&name).await.is_err(), "after a day nothing is good any more");
        table.away.store(false, Ordering::SeqCst);
        clock.advance(AFTER_FAILURE);
        assert_eq!(shown(&resolver, &name).await.len(), 1);
    }
}

#[tokio::test]
async fn a_name_without_addresses_is_said_so_and_the_memory_is_bounded() {
    let resolver = Resolver::new(Arc::new(carrier()), clock());
    let error = resolver.find(&question("nowhere.example.com", None, None)).await.unwrap_err();
    assert!(error.to_string().contains("nowhere.example.com has no address"), "{error}");
    for number in 0..MOST_NAMES + 50 {
        let _ = resolver.find(&question(&format!("n{number}.example.com"), Some(5060), None)).await;
    }
    assert!(resolver.known().len() <= MOST_NAMES);
}
