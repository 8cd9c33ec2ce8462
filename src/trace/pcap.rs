//! Messages as a capture file: each in a UDP datagram of its own, with headers made up from what is known of it.
//!
//! The file is classic pcap with microseconds and raw IP packets (LINKTYPE_RAW), which Wireshark and sngrep read. What came by TCP or
//! TLS is written as UDP too: only so every message stands alone and is shown as SIP.

use std::net::{IpAddr, SocketAddr};

use super::Message;
use super::hep::of_one_family;
use crate::sip::tap::Way;

/// The kind of file, its byte order and its unit of time.
const MAGIC: u32 = 0xa1b2_c3d4;
/// The longest packet.
const SNAP: u32 = 65_535;
/// Packets that begin with their IP header.
const LINKTYPE_RAW: u32 = 101;
/// Bytes of a message that fit a packet with either header.
const MOST_TEXT: usize = 65_000;
const UDP: u8 = 17;
const UDP_HEAD: usize = 8;
const HOPS: u8 = 64;

/// A capture of these messages.
pub fn file(messages: &[Message]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&2_u16.to_le_bytes());
    out.extend_from_slice(&4_u16.to_le_bytes());
    for word in [0, 0, SNAP, LINKTYPE_RAW] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for message in messages {
        let seen = &message.seen;
        let (from, to) = match seen.way {
            Way::Received => (seen.remote, seen.local),
            Way::Sent => (seen.local, seen.remote),
        };
        let packet = packet(of_one_family(from, to), &seen.text.as_bytes()[..seen.text.len().min(MOST_TEXT)]);
        let micros = seen.at.as_micros();
        let length = u32::try_from(packet.len()).unwrap_or(SNAP);
        let part = |value: i64| u32::try_from(value).unwrap_or_default();
        for word in [part(micros.div_euclid(1_000_000)), part(micros.rem_euclid(1_000_000)), length, length] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&packet);
    }
    out
}

/// An IP packet with a UDP datagram (RFC 791, RFC 8200, RFC 768).
fn packet((from, to): (SocketAddr, SocketAddr), text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(UDP_HEAD + text.len()).unwrap_or(u16::MAX);
    let mut udp = Vec::with_capacity(usize::from(length));
    for word in [from.port(), to.port(), length, 0] {
        udp.extend_from_slice(&word.to_be_bytes());
    }
    udp.extend_from_slice(text);
    let (mut pseudo, mut out) = (Vec::new(), Vec::with_capacity(40 + udp.len()));
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&(20 + length).to_be_bytes());
            out.extend_from_slice(&[0, 0, 0x40, 0, HOPS, UDP, 0, 0]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            let sum = checksum(&[&out]);
            out[10..12].copy_from_slice(&sum.to_be_bytes());
            pseudo.extend_from_slice(&out[12..20]);
        }
        (from, to) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&[UDP, HOPS]);
            for end in [from, to] {
                let octets = match end {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                out.extend_from_slice(&octets);
            }
            pseudo.extend_from_slice(&out[8..40]);
        }
    }
    pseudo.extend_from_slice(&[0, UDP]);
    pseudo.extend_from_slice(&length.to_be_bytes());
    // Zero would say that there is none.
    let sum = match checksum(&[&pseudo, &udp]) {
        0 => u16::MAX,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&udp);
    out
}

/// RFC 1071; every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts
        .iter()
        .flat_map(|part| part.chunks(2))
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sip::Transport;
    use crate::sip::tap::Seen;
    use crate::types::{Side, Timestamp};

    fn message(local: &str, remote: &str, way: Way, text: &str) -> Message {
        let seen = Seen {
            at: Timestamp::from_micros(1_700_000_000_000_123),
            way,
            transport: Transport::Tls,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            sip_call_id: "one".into(),
            text: text.into(),
        };
        Message { side: Side::A, seen: Arc::new(seen) }
    }

    fn word(bytes: &[u8], at: usize) -> usize {
        usize::try_from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap()
    }

    /// The sum over what it was made of and itself is all ones.
    fn holds(parts: &[&[u8]]) -> bool {
        checksum(parts) == 0
    }

    #[test]
    fn a_reader_finds_each_message_at_its_time_between_its_ends() {
        let messages = [
            message("192.0.2.1:5060", "192.0.2.7:5080", Way::Received, "INVITE one"),
            message("[2001:db8::1]:5061", "[2001:db8::7]:5080", Way::Sent, "SIP/2.0 200"),
        ];
        let file = file(&messages);
        assert_eq!(file[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
        assert_eq!((word(&file, 16), word(&file, 20)), (65_535, 101));
        assert_eq!((word(&file, 24), word(&file, 28)), (1_700_000_000, 123));
        let (first, rest) = file[40..].split_at(word(&file, 32));
        assert_eq!((first[0], first[9], usize::from(u16::from_be_bytes([first[2], first[3]]))), (0x45, 17, first.len()));
        assert_eq!((&first[12..16], &first[16..20]), (&[192, 0, 2, 7][..], &[192, 0, 2, 1][..]), "what comes goes from the far end to us");
        assert_eq!((&first[20..24], &first[28..]), (&[0x13, 0xd8, 0x13, 0xc4][..], &b"INVITE one"[..]));
        assert!(holds(&[&first[..20]]) && holds(&[&first[12..20], &[0, 17], &first[24..26], &first[20..]]), "both checksums are right");
        let second = &rest[16..];
        assert_eq!((second.len(), word(rest, 8), word(rest, 12)), (40 + 8 + 11, second.len(), second.len()));
        assert_eq!((second[0] >> 4, second[6], &second[48..]), (6, 17, &b"SIP/2.0 200"[..]));
        assert!(holds(&[&second[8..40], &[0, 17], &second[44..46], &second[40..]]));
    }

    #[test]
    fn no_message_and_a_very_long_one_are_files_too() {
        assert_eq!(file(&[]).len(), 24);
        let long = file(&[message("192.0.2.1:1", "[2001:db8::7]:2", Way::Sent, &"x".repeat(100_000))]);
        assert_eq!(word(&long, 32), 40 + 8 + MOST_TEXT);
    }
}
