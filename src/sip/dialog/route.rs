//! Where a request inside a dialog goes: RFC 3261 §12.2.1.1, strict and loose.

use std::net::SocketAddr;

use crate::sip::msg::{Host, NameAddr, Scheme, Uri};
use crate::sip::target::{Address, HostPort};
use crate::sip::transport::Transport;

/// The usual SIP port.
pub const SIP_PORT: u16 = Transport::Udp.usual_port();

/// A request's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Its Request-URI.
    pub request_uri: Uri,
    /// Its Route headers.
    pub routes: Vec<NameAddr>,
    /// Where it is sent.
    pub hop: Address,
}

/// The way to `target` through `routes`; none if a host is missing.
pub fn way(target: &Uri, routes: &[NameAddr]) -> Option<Way> {
    let Some((first, rest)) = routes.split_first() else {
        return Some(Way { request_uri: target.for_request(), routes: Vec::new(), hop: address(target)? });
    };
    let hop = address(first.uri())?;
    if first.uri().is_loose() {
        return Some(Way { request_uri: target.for_request(), routes: routes.to_vec(), hop });
    }
    // A strict router: it wants to be the Request-URI, and the target goes last.
    let routes = rest.iter().cloned().chain([NameAddr::new(None, target)]).collect();
    Some(Way { request_uri: first.uri().for_request(), routes, hop })
}

/// The transport a URI asks for; none if it leaves that to the sender.
pub fn transport(uri: &Uri) -> Option<Transport> {
    if uri.scheme() == Scheme::Sips { Some(Transport::Tls) } else { uri.param("transport").and_then(Transport::read) }
}

/// Where a URI points.
pub fn address(uri: &Uri) -> Option<Address> {
    let port = uri.port().unwrap_or_else(|| transport(uri).unwrap_or_default().usual_port());
    // §19.1.1: maddr overrides the host.
    let host = uri.param("maddr").filter(|maddr| !maddr.is_empty()).map(Host::read).or_else(|| uri.host())?;
    Some(match host {
        Host::Address(ip) => Address::Socket(SocketAddr::new(ip, port)),
        Host::Name(name) => Address::Name(HostPort { host: name.to_ascii_lowercase().into(), port }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    fn routes(texts: &[&str]) -> Vec<NameAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn shown(way: &Way) -> (String, Vec<String>, Address) {
        (way.request_uri.to_string(), way.routes.iter().map(ToString::to_string).collect(), way.hop.clone())
    }

    fn at(text: &str) -> Address {
        Address::Socket(text.parse().unwrap())
    }

    #[test]
    fn without_routes_a_request_goes_to_the_target() {
        let way = way(&uri("sip:bob@192.0.2.4:5070"), &[]).unwrap();
        assert_eq!(shown(&way), ("sip:bob@192.0.2.4:5070".into(), vec![], at("192.0.2.4:5070")));
    }

    #[test]
    fn loose_routes_leave_the_target_in_the_request_line() {
        let way = way(&uri("sip:bob@192.0.2.4"), &routes(&["<sip:192.0.2.1;lr>", "<sip:192.0.2.2:5080;lr>"])).unwrap();
        let routes = vec!["<sip:192.0.2.1;lr>".into(), "<sip:192.0.2.2:5080;lr>".into()];
        assert_eq!(shown(&way), ("sip:bob@192.0.2.4".into(), routes, at("192.0.2.1:5060")));
    }

    #[test]
    fn a_strict_router_becomes_the_request_line_and_the_target_the_last_route() {
        let way = way(&uri("sip:bob@192.0.2.4"), &routes(&["<sip:192.0.2.1>", "<sip:192.0.2.2;lr>"])).unwrap();
        let routes = vec!["<sip:192.0.2.2;lr>".into(), "<sip:bob@192.0.2.4>".into()];
        assert_eq!(shown(&way), ("sip:192.0.2.1".into(), routes, at("192.0.2.1:5060")));
    }

    #[test]
    fn ipv6_and_names_are_understood() {
        assert_eq!(address(&uri("sip:bob@[2001:db8::9]:5062")), Some(at("[2001:db8::9]:5062")));
        let name = Address::Name(HostPort { host: "carrier.example.com".into(), port: 5060 });
        assert_eq!(address(&uri("sip:bob@Carrier.example.com")), Some(name));
    }
}
