//! Whose packets a leg takes, and where its own go: symmetric RTP (RFC 4961) within bounds that keep strangers out.
//!
//! The description names an address; behind a NAT the packets come from another one. So the first source that speaks is latched, once, and
//! from then on only the described address or the continued stream of the same SSRC may move it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::rtp::{Packet, Receiver};
use crate::types::Moment;

/// After a description, or the answer, an unknown source may be latched for this long.
const WINDOW: Duration = Duration::from_secs(30);
/// A stream that was heard within this time has not moved: the packet from elsewhere is a forgery.
const QUIET: Duration = Duration::from_millis(400);

/// One leg's far end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Source {
    described: Option<SocketAddr>,
    described_rtcp: Option<SocketAddr>,
    latched: Option<SocketAddr>,
    latched_rtcp: Option<SocketAddr>,
    until: Moment,
    heard: Moment,
    /// The stream as it arrives.
    pub receiver: Receiver,
    /// Packets of strangers that were dropped.
    pub strange: u64,
}

impl Source {
    /// The far end has described itself. The same address again changes nothing.
    pub fn describe(&mut self, rtp: Option<SocketAddr>, rtcp: Option<SocketAddr>, now: Moment) {
        if (rtp, rtcp) != (self.described, self.described_rtcp) {
            (self.described, self.described_rtcp, self.latched, self.latched_rtcp) = (rtp, rtcp, None, None);
        }
        self.until = now + WINDOW;
    }

    /// The call is answered: from here the window counts.
    pub fn answered(&mut self, now: Moment) {
        self.until = now + WINDOW;
    }

    /// Where its packets are sent.
    pub fn target(&self) -> Option<SocketAddr> {
        match (self.latched, self.described) {
            // A far end in the public network that sends from one address and receives at another gets what it asked for.
            (Some(latched), Some(described)) if latched.ip() != described.ip() && is_public(described.ip()) => Some(described),
            (latched, described) => latched.or(described),
        }
    }

    /// Where its reports are sent.
    pub const fn target_rtcp(&self) -> Option<SocketAddr> {
        match self.latched_rtcp {
            None => self.described_rtcp,
            latched => latched,
        }
    }

    /// A packet came from there: whether it is taken. What is no RTP, such as fax over UDP, passes with `None`.
    pub fn admits(&mut self, from: SocketAddr, packet: Option<&Packet>, now: Moment) -> bool {
        let known = self.latched == Some(from);
        if !known && self.described != Some(from) && !self.may_latch(packet, now) {
            self.strange += 1;
            return false;
        }
        if !known {
            self.latched = Some(from);
        }
        self.heard = now;
        if let Some(packet) = packet {
            self.receiver.hears(packet, now);
        }
        true
    }

    /// A report came from there: only the far end itself sends any.
    pub fn admits_rtcp(&mut self, from: SocketAddr) -> bool {
        let ours = [self.latched, self.described, self.described_rtcp].into_iter().flatten().any(|known| known.ip() == from.ip());
        let admitted = ours && self.latched_rtcp.is_none_or(|known| known == from) || self.described_rtcp == Some(from);
        if admitted {
            self.latched_rtcp = Some(from);
        } else {
            self.strange += 1;
        }
        admitted
    }

    fn may_latch(&self, packet: Option<&Packet>, now: Moment) -> bool {
        match self.latched {
            None => now <= self.until,
            Some(_) => now.since(self.heard) >= QUIET && packet.is_some_and(|packet| self.receiver.continues(packet)),
        }
    }
}

/// Whether the internet routes this address: then a NAT has not invented it.
const fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && b >= 64 && b < 128;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared)
        }
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rtp::header;
    use super::*;

    fn packet(sequence: u16, ssrc: u32) -> Packet {
        Packet::parse(&header(8, false, sequence, 0, ssrc)).unwrap()
    }

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn described(address: &str) -> Source {
        let mut source = Source::default();
        source.describe(Some(addr(address)), Some(addr("192.0.2.1:4001")), at(0));
        source
    }

    #[test]
    fn behind_a_nat_the_first_to_speak_is_latched_and_nobody_else() {
        let mut source = described("192.168.1.7:4000");
        assert_eq!(source.target(), Some(addr("192.168.1.7:4000")));
        assert!(source.admits(addr("192.0.2.1:4444"), Some(&packet(1, 7)), at(10)));
        assert_eq!(source.target(), Some(addr("192.0.2.1:4444")));
        assert!(!source.admits(addr("203.0.113.9:4444"), Some(&packet(2, 8)), at(5_000)), "another stream");
        assert!(!source.admits(addr("203.0.113.9:4444"), Some(&packet(2, 7)), at(100)), "the right one, but the far end still speaks");
        assert_eq!((source.strange, source.receiver.quality().packets), (2, 1));
    }

    #[test]
    fn a_far_end_whose_nat_forgot_it_is_found_again_by_its_stream() {
        let mut source = described("192.168.1.7:4000");
        assert!(source.admits(addr("192.0.2.1:4444"), Some(&packet(1, 7)), at(0)));
        assert!(source.admits(addr("192.0.2.1:5555"), Some(&packet(30, 7)), at(600)));
        assert_eq!(source.target(), Some(addr("192.0.2.1:5555")));
    }

    #[test]
    fn the_described_address_always_has_its_say() {
        let mut source = described("192.0.2.1:4000");
        assert!(source.admits(addr("203.0.113.9:6"), Some(&packet(1, 666)), at(0)), "a racer");
        assert_eq!(source.target(), Some(addr("192.0.2.1:4000")), "but the sound still goes where it was asked for");
        assert!(source.admits(addr("192.0.2.1:4000"), Some(&packet(1, 7)), at(20)));
        assert!(!source.admits(addr("203.0.113.9:6"), Some(&packet(2, 666)), at(40)));
    }

    #[test]
    fn the_window_closes() {
        let mut source = described("192.168.1.7:4000");
        assert!(!source.admits(addr("192.0.2.1:4444"), Some(&packet(1, 7)), at(30_001)));
        source.answered(at(40_000));
        assert!(source.admits(addr("192.0.2.1:4444"), Some(&packet(1, 7)), at(69_000)));
    }

    #[test]
    fn reports_come_from_the_far_end_only() {
        let mut source = described("192.0.2.1:4000");
        assert!(!source.admits_rtcp(addr("203.0.113.9:4001")));
        assert!(source.admits_rtcp(addr("192.0.2.1:4009")), "its own port");
        assert_eq!(source.target_rtcp(), Some(addr("192.0.2.1:4009")));
        assert!(!source.admits_rtcp(addr("192.0.2.1:5009")));
    }

    #[test]
    fn the_same_description_again_moves_nothing_another_one_does() {
        let mut source = described("192.168.1.7:4000");
        assert!(source.admits(addr("192.0.2.1:4444"), Some(&packet(1, 7)), at(0)));
        source.describe(Some(addr("192.168.1.7:4000")), Some(addr("192.0.2.1:4001")), at(10));
        assert_eq!(source.target(), Some(addr("192.0.2.1:4444")));
        source.describe(Some(addr("192.168.1.7:4002")), None, at(20));
        assert_eq!(source.target(), Some(addr("192.168.1.7:4002")));
    }
}
