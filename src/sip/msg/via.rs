//! Via: the way a request came, which its response goes back.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;

use super::header::{BRANCH_COOKIE, Params};
use super::scan::{Scan, Span, is_lws, trim};
use super::uri::{Host, host_port};

/// One Via value.
#[derive(Clone)]
pub struct Via {
    text: Bytes,
    layout: ViaLayout,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ViaLayout {
    transport: Span,
    host: Span,
    port: Option<u16>,
    pub(super) params: Span,
}

/// Takes one `via-parm` off the scan. `None` when it is malformed.
pub(super) fn scan_via(scan: &mut Scan<'_>) -> Option<ViaLayout> {
    scan.lws();
    if !scan.token()?.eq_ignore_ascii_case(b"SIP") {
        return None;
    }
    scan.lws();
    if !scan.eat(b'/') {
        return None;
    }
    scan.lws();
    scan.token()?;
    scan.lws();
    if !scan.eat(b'/') {
        return None;
    }
    scan.lws();
    let start = scan.at;
    scan.token()?;
    let transport = Span::new(start, scan.at)?;
    if !scan.peek().is_some_and(is_lws) {
        return None;
    }
    scan.lws();
    let start = scan.at;
    let (host_end, mut port, end) = host_port(scan.bytes, start)?;
    scan.at = end;
    if port.is_none() {
        // RFC 3261 §25.1: COLON allows white space around it: "host : 5060".
        let before = scan.at;
        scan.lws();
        if scan.eat(b':') {
            scan.lws();
            port = Some(u16::try_from(super::scan::decimal(scan.run(|byte| byte.is_ascii_digit()))?).ok()?);
        } else {
            scan.at = before;
        }
    }
    let params = scan.params()?;
    Some(ViaLayout { transport, host: Span::new(start, host_end)?, port, params })
}

impl Via {
    /// Reads one value, without a comma after it.
    pub fn parse(text: Bytes) -> Option<Self> {
        let mut scan = Scan::new(&text);
        let layout = scan_via(&mut scan)?;
        scan.at_end().then_some(Self { text, layout })
    }

    pub(super) const fn assemble(text: Bytes, layout: ViaLayout) -> Self {
        Self { text, layout }
    }

    /// Our own: `SIP/2.0/UDP host:port;rport;branch=…`.
    pub fn new(transport: &str, host: &Host, port: Option<u16>, branch: &str) -> Self {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Self::parse(format!("SIP/2.0/{transport} {host}{port};rport;branch={branch}").into())
            .unwrap_or_else(|| Self::parse(Bytes::from_static(b"SIP/2.0/UDP invalid.invalid")).expect("a constant"))
    }

    /// The value as written.
    pub fn as_bytes(&self) -> &[u8] {
        trim(&self.text)
    }

    /// `UDP`, `TCP`, `TLS`, `WS`, … as written.
    pub fn transport(&self) -> &str {
        std::str::from_utf8(self.layout.transport.of(&self.text)).unwrap_or("")
    }

    /// The host of sent-by.
    pub fn host(&self) -> Host {
        Host::read(self.host_text())
    }

    /// The host of sent-by as written.
    pub fn host_text(&self) -> &str {
        std::str::from_utf8(self.layout.host.of(&self.text)).unwrap_or("")
    }

    /// The port of sent-by, when written.
    pub const fn port(&self) -> Option<u16> {
        self.layout.port
    }

    /// All parameters.
    pub fn params(&self) -> Params<'_> {
        Params::new(self.layout.params.of(&self.text))
    }

    /// The branch; empty when there is none (RFC 2543).
    pub fn branch(&self) -> &str {
        self.params().get("branch").unwrap_or("")
    }

    /// Whether the branch identifies the transaction (RFC 3261 §17.2.3). A bare cookie does not (RFC 4475 §3.2.1).
    pub fn is_unique(&self) -> bool {
        self.branch().strip_prefix(BRANCH_COOKIE).is_some_and(|rest| !rest.is_empty())
    }

    /// `rport` as the sender left it: `Some(None)` asks for symmetric responses (RFC 3581), `Some(Some(port))` has been filled in.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params().get("rport").map(|port| port.parse().ok())
    }

    /// `received`, IPv6 with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params().get("received")?;
        text.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// `maddr`.
    pub fn maddr(&self) -> Option<&str> {
        self.params().get("maddr")
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Via({})", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &'static str) -> Option<Via> {
        Via::parse(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn vias_come_apart() {
        let one = via("SIP / 2.0 / UDP  h.example.com : 5062 ; branch = z9hG4bK7 ; rport ; received=192.0.2.9").unwrap();
        assert_eq!((one.transport(), one.host_text(), one.port(), one.branch()), ("UDP", "h.example.com", Some(5062), "z9hG4bK7"));
        assert_eq!((one.rport(), one.received(), one.is_unique()), (Some(None), Some("192.0.2.9".parse().unwrap()), true));
        for wrong in [
            "",
            "x",
            "SIP/2.0",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "HTTP/1.1/TCP h",
            "SIP/2.0/UDP h:70000",
            "SIP/2.0/UDP h;;",
            "SIP/2.0/UDP h, SIP/2.0/UDP i",
            "SIP/2.0/UDP 2001:db8::1",
        ] {
            assert!(via(wrong).is_none(), "{wrong}");
        }
    }
}
