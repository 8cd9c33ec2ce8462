//! RTP as far as a relay reads it (RFC 3550): the fixed header, what RTCP is on the same port (RFC 5761), and how well a stream arrives.

use std::ops::Range;
use std::time::Duration;

use crate::types::Moment;

/// The fixed header's bytes.
pub const HEADER: usize = 12;
/// Sampling rate of G.711, of telephone events beside it, and by RFC 3551 the clock of G.722.
pub const CLOCK: u32 = 8_000;

/// The header of a packet, and where its payload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The first packet after silence, or the first of an event.
    pub marker: bool,
    /// Which format of the description.
    pub payload_type: u8,
    /// Counts packets.
    pub sequence: u16,
    /// Counts samples.
    pub timestamp: u32,
    /// Whose stream.
    pub ssrc: u32,
    /// Where the payload is, padding left out.
    pub payload: Range<usize>,
}

impl Packet {
    /// Reads a datagram; nothing if it is no RTP.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (fixed, _) = bytes.split_at_checked(HEADER)?;
        if fixed[0] >> 6 != 2 || is_rtcp(bytes) {
            return None;
        }
        let mut start = HEADER + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let extension = bytes.get(start..start + 4)?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        let padding = if fixed[0] & 0x20 == 0 { 0 } else { usize::from(*bytes.last()?) };
        let end = bytes.len().checked_sub(padding).filter(|end| *end >= start)?;
        Some(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            payload: start..end,
        })
    }
}

/// The fixed header of a packet of ours.
pub fn header(payload_type: u8, marker: bool, sequence: u16, timestamp: u32, ssrc: u32) -> [u8; HEADER] {
    let [s1, s2] = sequence.to_be_bytes();
    let [t1, t2, t3, t4] = timestamp.to_be_bytes();
    let [i1, i2, i3, i4] = ssrc.to_be_bytes();
    [0x80, (payload_type & 0x7f) | if marker { 0x80 } else { 0 }, s1, s2, t1, t2, t3, t4, i1, i2, i3, i4]
}

/// Whether a datagram is RTCP (RFC 5761 §4): version 2 and a packet type of 192 to 223.
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, kind, ..] if first >> 6 == 2 && (192..=223).contains(kind))
}

/// How a stream arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Quality {
    /// Packets that arrived.
    pub packets: u64,
    /// Packets that were sent and did not arrive.
    pub lost: u64,
    /// Mean deviation of the distance between packets, in microseconds.
    pub jitter_us: u64,
}

/// Counts a stream as RFC 3550 appendix A has it. A new SSRC begins a new count beside the old one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Receiver {
    ssrc: Option<u32>,
    base: u16,
    highest: u16,
    cycles: u32,
    received: u64,
    /// Sixteen times the jitter, in samples.
    jitter_16: u32,
    transit: Option<u32>,
    /// Of the streams before this one.
    before: (u64, u64),
    /// The longest jitter any of them ended with.
    worst_16: u32,
}

/// A step of sequence numbers that is still the same stream (RFC 3550, `MAX_DROPOUT`).
const DROPOUT: u16 = 3_000;

impl Receiver {
    /// Whose stream it is.
    pub const fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Whether a packet continues the stream: the same SSRC, and a number not far ahead.
    pub const fn continues(&self, packet: &Packet) -> bool {
        matches!(self.ssrc, Some(ssrc) if ssrc == packet.ssrc) && packet.sequence.wrapping_sub(self.highest) < DROPOUT
    }

    /// A packet has arrived.
    pub fn hears(&mut self, packet: &Packet, now: Moment) {
        if self.ssrc != Some(packet.ssrc)
            || packet.sequence.wrapping_sub(self.highest).min(self.highest.wrapping_sub(packet.sequence)) > DROPOUT
        {
            let (packets, lost) = self.counted();
            *self = Self {
                ssrc: Some(packet.ssrc),
                base: packet.sequence,
                highest: packet.sequence,
                before: (packets, lost),
                worst_16: self.worst_16.max(self.jitter_16),
                ..Self::default()
            };
        }
        self.received += 1;
        let ahead = packet.sequence.wrapping_sub(self.highest);
        if ahead != 0 && ahead < DROPOUT {
            self.cycles += u32::from(packet.sequence < self.highest);
            self.highest = packet.sequence;
        }
        // RFC 3550 A.8, in samples; moments are nanoseconds.
        let arrival = now.as_nanos().wrapping_mul(u64::from(CLOCK) / 1000) / 1_000_000;
        let transit = u32::try_from(arrival & u64::from(u32::MAX)).unwrap_or(0).wrapping_sub(packet.timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let apart = transit.wrapping_sub(before).cast_signed().unsigned_abs();
            // A jump of the timestamps is no jitter: somebody else speaks, or was silent.
            if apart < CLOCK {
                self.jitter_16 = self.jitter_16 + apart - ((self.jitter_16 + 8) >> 4);
            }
        }
    }

    fn counted(&self) -> (u64, u64) {
        if self.ssrc.is_none() {
            return self.before;
        }
        let last = (u64::from(self.cycles) << 16) + u64::from(self.highest);
        let expected = last.saturating_sub(u64::from(self.base)) + 1;
        (self.before.0 + self.received, self.before.1 + expected.saturating_sub(self.received))
    }

    /// How it arrived so far.
    pub fn quality(&self) -> Quality {
        let (packets, lost) = self.counted();
        let jitter_us = u64::from(self.worst_16.max(self.jitter_16)) * 1_000_000 / 16 / u64::from(CLOCK);
        Quality { packets, lost, jitter_us }
    }
}

/// What one packet of G.711 or G.722 carries, as everybody sends it.
pub const PTIME: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, timestamp: u32, ssrc: u32) -> Packet {
        let bytes = [&header(8, false, sequence, timestamp, ssrc)[..], &[0xd5; 160]].concat();
        Packet::parse(&bytes).unwrap()
    }

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = [&header(101, true, 65_535, 7, 0xdead_beef)[..], &[1, 2, 3]].concat();
        let read = Packet::parse(&bytes).unwrap();
        assert_eq!((read.payload_type, read.marker, read.sequence, read.timestamp, read.ssrc), (101, true, 65_535, 7, 0xdead_beef));
        assert_eq!(&bytes[read.payload], &[1, 2, 3]);
    }

    #[test]
    fn extensions_and_padding_are_no_payload() {
        let mut bytes = header(0, false, 1, 1, 1).to_vec();
        bytes[0] |= 0x31;
        bytes.extend([9, 9, 9, 9]);
        bytes.extend([0xbe, 0xde, 0, 1, 5, 5, 5, 5]);
        bytes.extend([1, 2, 0, 0, 3]);
        let read = Packet::parse(&bytes).unwrap();
        assert_eq!(&bytes[read.payload], &[1, 2]);
    }

    #[test]
    fn nonsense_is_no_rtp() {
        assert_eq!(Packet::parse(&[0x80; 11]), None);
        assert_eq!(Packet::parse(&[0; 40]), None, "another version");
        let mut bytes = header(0, false, 1, 1, 1).to_vec();
        bytes[0] |= 0x0f;
        assert_eq!(Packet::parse(&bytes), None, "sources beyond the end");
        bytes[0] = 0xa0;
        bytes.push(200);
        assert_eq!(Packet::parse(&bytes), None, "padding beyond the beginning");
        let report = [0x80, 200, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(is_rtcp(&report) && Packet::parse(&report).is_none());
    }

    #[test]
    fn loss_is_counted_over_the_wrap_and_order_does_not_matter() {
        let mut stream = Receiver::default();
        for (index, sequence) in [65_533, 65_534, 0, 65_535, 3, 4].into_iter().enumerate() {
            let index = u64::try_from(index).unwrap();
            stream.hears(&packet(sequence, u32::try_from(index * 160).unwrap(), 5), at(index * 20));
        }
        assert_eq!(stream.quality(), Quality { packets: 6, lost: 2, jitter_us: 0 });
    }

    #[test]
    fn a_new_stream_is_counted_beside_the_old_one() {
        let mut stream = Receiver::default();
        stream.hears(&packet(10, 0, 1), at(0));
        stream.hears(&packet(12, 320, 1), at(40));
        stream.hears(&packet(50_000, 9, 2), at(60));
        stream.hears(&packet(50_001, 169, 2), at(80));
        assert_eq!(stream.quality(), Quality { packets: 4, lost: 1, jitter_us: 0 });
        assert!(stream.continues(&packet(50_002, 0, 2)) && !stream.continues(&packet(50_002, 0, 1)) && !stream.continues(&packet(1, 0, 2)));
    }

    #[test]
    fn jitter_follows_the_deviation() {
        let mut stream = Receiver::default();
        for index in 0_u32..1_000 {
            let late = u64::from(index % 2) * 5;
            stream.hears(&packet(u16::try_from(index).unwrap(), index * 160, 1), at(u64::from(index) * 20 + late));
        }
        let jitter = stream.quality().jitter_us;
        assert!((4_500..5_500).contains(&jitter), "{jitter}");
    }
}
