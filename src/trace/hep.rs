//! HEP3, the encapsulation that Homer reads: a message with when, where from and where to, in chunks.

use std::net::{IpAddr, SocketAddr};

use crate::sip::Transport;
use crate::sip::tap::{Seen, Way};

/// What every packet begins with.
const MAGIC: &[u8; 4] = b"HEP3";
/// Bytes of the magic and the length.
const HEAD: usize = 6;
/// Bytes of a chunk before its value.
const CHUNK_HEAD: usize = 6;
/// A datagram carries no more than this; the end of a longer message is left out.
const MOST_TEXT: usize = 60_000;
/// Vendor of the chunks that every reader knows.
const GENERIC: u16 = 0;
/// Protocol type: SIP.
const SIP: u8 = 1;

/// Who captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent<'a> {
    /// Its number.
    pub id: u32,
    /// What proves to the collector that it may; empty for none.
    pub password: &'a str,
}

/// The packet of a message; `correlation` is what the legs of its call have in common.
pub fn packet(seen: &Seen, agent: Agent<'_>, correlation: &str) -> Vec<u8> {
    let (from, to) = match seen.way {
        Way::Received => (seen.remote, seen.local),
        Way::Sent => (seen.local, seen.remote),
    };
    let (from, to) = of_one_family(from, to);
    let mut out = Vec::with_capacity(seen.text.len() + 200);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0, 0]);
    let (family, addresses): (u8, [u16; 2]) = if from.is_ipv4() { (2, [3, 4]) } else { (10, [5, 6]) };
    chunk(&mut out, 1, &[family]);
    // TLS is told as the TCP that carries it.
    chunk(&mut out, 2, &[if seen.transport == Transport::Udp { 17 } else { 6 }]);
    for (kind, end) in addresses.into_iter().zip([from, to]) {
        match end.ip() {
            IpAddr::V4(ip) => chunk(&mut out, kind, &ip.octets()),
            IpAddr::V6(ip) => chunk(&mut out, kind, &ip.octets()),
        }
    }
    chunk(&mut out, 7, &from.port().to_be_bytes());
    chunk(&mut out, 8, &to.port().to_be_bytes());
    let micros = seen.at.as_micros();
    let part = |value: i64| u32::try_from(value).unwrap_or_default().to_be_bytes();
    chunk(&mut out, 9, &part(micros.div_euclid(1_000_000)));
    chunk(&mut out, 10, &part(micros.rem_euclid(1_000_000)));
    chunk(&mut out, 11, &[SIP]);
    chunk(&mut out, 12, &agent.id.to_be_bytes());
    if !agent.password.is_empty() {
        chunk(&mut out, 14, agent.password.as_bytes());
    }
    if !correlation.is_empty() {
        chunk(&mut out, 17, &correlation.as_bytes()[..correlation.len().min(1_024)]);
    }
    chunk(&mut out, 15, &seen.text.as_bytes()[..seen.text.len().min(MOST_TEXT)]);
    let length = u16::try_from(out.len()).unwrap_or(u16::MAX);
    out[4..HEAD].copy_from_slice(&length.to_be_bytes());
    out
}

fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(CHUNK_HEAD + value.len()).unwrap_or(u16::MAX);
    for part in [GENERIC, kind, length] {
        out.extend_from_slice(&part.to_be_bytes());
    }
    out.extend_from_slice(value);
}

/// Both ends as IPv4 if they are, else both as IPv6.
pub(super) fn of_one_family(from: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let (from, to) = (plain(from), plain(to));
    if from.is_ipv4() == to.is_ipv4() {
        return (from, to);
    }
    let wide = |end: SocketAddr| match end.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
        IpAddr::V6(_) => end,
    };
    (wide(from), wide(to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    fn seen(local: &str, remote: &str, way: Way, transport: Transport) -> Seen {
        Seen {
            at: Timestamp::from_micros(1_700_000_000_000_123),
            way,
            transport,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            sip_call_id: "one".into(),
            text: "OPTIONS".into(),
        }
    }

    #[test]
    fn a_packet_is_these_bytes() {
        let seen = seen("192.0.2.1:5060", "192.0.2.7:5080", Way::Received, Transport::Udp);
        let packet = packet(&seen, Agent { id: 2001, password: "pw" }, "a");
        let mut expected = b"HEP3\x00\x79".to_vec();
        for (kind, value) in [
            (1_u8, &[2_u8][..]),
            (2, &[17]),
            (3, &[192, 0, 2, 7]),
            (4, &[192, 0, 2, 1]),
            (7, &[0x13, 0xd8]),
            (8, &[0x13, 0xc4]),
            (9, &[0x65, 0x53, 0xf1, 0x00]),
            (10, &[0, 0, 0, 123]),
            (11, &[1]),
            (12, &[0, 0, 0x07, 0xd1]),
            (14, b"pw"),
            (17, b"a"),
            (15, b"OPTIONS"),
        ] {
            expected.extend_from_slice(&[0, 0, 0, kind, 0, u8::try_from(6 + value.len()).unwrap()]);
            expected.extend_from_slice(value);
        }
        assert_eq!(expected.len(), 0x79);
        assert_eq!(packet, expected);
    }

    #[test]
    fn what_we_send_goes_from_us_and_streams_are_tcp() {
        let seen = seen("[2001:db8::1]:5061", "[2001:db8::7]:5080", Way::Sent, Transport::Tls);
        let packet = packet(&seen, Agent { id: 1, password: "" }, "");
        assert_eq!(&packet[6..13], [0, 0, 0, 1, 0, 7, 10]);
        assert_eq!(&packet[13..20], [0, 0, 0, 2, 0, 7, 6]);
        let ours: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
        assert_eq!(&packet[20..42], [&[0, 0, 0, 5, 0, 22][..], &ours.octets()].concat());
        assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len());
        assert!(!packet.windows(4).any(|bytes| bytes == [0, 0, 0, 14] || bytes == [0, 0, 0, 17]), "no password, no correlation");
    }

    #[test]
    fn the_longest_message_fits_a_datagram() {
        let long = Seen { text: "x".repeat(100_000), ..seen("192.0.2.1:1", "[2001:db8::7]:2", Way::Sent, Transport::Tcp) };
        let packet = packet(&long, Agent { id: 1, password: "" }, &"c".repeat(5_000));
        assert!(packet.len() < 65_000);
        assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len());
    }
}
