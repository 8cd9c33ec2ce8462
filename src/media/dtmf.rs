//! Keys of a telephone as they arrive: telephone events (RFC 4733), INFO bodies, and as a fallback the tones themselves.

use super::g711;
use crate::types::Digit;

/// Reads one stream's keys. The first way that brings one is the way of the call: who sends a key twice over presses it once.
#[derive(Debug, Default)]
pub struct Keys {
    way: Option<Way>,
    event: Option<(u32, u8)>,
    tones: Tones,
}

/// How keys come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As telephone events.
    Event,
    /// As tones in the sound.
    Tone,
    /// In INFO requests.
    Info,
}

impl Keys {
    /// A telephone event: its key when it is a new one. Its repeats and its end share one timestamp.
    pub fn event(&mut self, timestamp: u32, payload: &[u8]) -> Option<Digit> {
        let [number, _, high, low, ..] = *payload else { return None };
        let duration = u32::from(u16::from_be_bytes([high, low]));
        // A key held for longer than the field can tell goes on under a later timestamp (§2.5.1.3).
        let goes_on = |(began, same): (u32, u8)| same == number && timestamp.wrapping_sub(began) == u32::from(u16::MAX) && duration > 0;
        let known = self.event.is_some_and(|event| event == (timestamp, number) || goes_on(event));
        self.event = Some((timestamp, number));
        if known { None } else { self.by(Way::Event, Digit::event(number)?) }
    }

    /// Sound as samples: the key that has just begun to sound in it.
    pub fn sound(&mut self, samples: impl Iterator<Item = i16>) -> Option<Digit> {
        if self.way.is_some_and(|way| way != Way::Tone) {
            return None;
        }
        let digit = self.tones.hear(samples)?;
        self.by(Way::Tone, digit)
    }

    /// A key of an INFO request.
    pub fn info(&mut self, digit: Digit) -> Option<Digit> {
        self.by(Way::Info, digit)
    }

    fn by(&mut self, way: Way, digit: Digit) -> Option<Digit> {
        (*self.way.get_or_insert(way) == way).then_some(digit)
    }
}

/// The key of an INFO request: `application/dtmf-relay` has a line `Signal=5`, `application/dtmf` the key alone.
pub fn info(content_type: &str, body: &[u8]) -> Option<Digit> {
    let text = std::str::from_utf8(body).ok()?;
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let key = match kind.as_str() {
        "application/dtmf-relay" => text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("signal").then(|| value.trim())
        })?,
        "application/dtmf" => text.trim(),
        _ => return None,
    };
    match key.parse::<u8>() {
        Ok(number) if key.len() > 1 => Digit::event(number),
        _ => key.chars().next().and_then(Digit::new),
    }
}

/// Whether an INFO request brings a key.
pub fn is_info(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/dtmf-relay") || kind.eq_ignore_ascii_case("application/dtmf")
}

const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH: [f64; 3] = [1_209.0, 1_336.0, 1_477.0];
const KEYS: [[char; 3]; 4] = [['1', '2', '3'], ['4', '5', '6'], ['7', '8', '9'], ['*', '0', '#']];
/// Samples that are judged together: 12.75 ms, of which three fit into the shortest key.
const BLOCK: usize = 102;
/// Blocks that must agree before a key is heard, and that must lack it before it may be heard again.
const AGREE: u8 = 2;
/// The quietest tone, as the mean square of its samples.
const QUIETEST: f64 = 60_000.0;
/// What the two tones must have of all the energy.
const PURE: f64 = 0.75;
/// How much louder one of the two may be than the other: 8 dB as power.
const TWIST: f64 = 6.3;

/// Finds keys in sound by Goertzel's algorithm.
#[derive(Debug, Default)]
struct Tones {
    block: Vec<i16>,
    candidate: Option<Digit>,
    agreed: u8,
    sounding: Option<Digit>,
    missed: u8,
}

impl Tones {
    fn hear(&mut self, samples: impl Iterator<Item = i16>) -> Option<Digit> {
        let mut pressed = None;
        for sample in samples {
            self.block.push(sample);
            if self.block.len() == BLOCK {
                let found = judge(&self.block);
                self.block.clear();
                pressed = self.step(found).or(pressed);
            }
        }
        pressed
    }

    fn step(&mut self, found: Option<Digit>) -> Option<Digit> {
        if found.is_some() && found == self.sounding {
            self.missed = 0;
            return None;
        }
        if self.sounding.is_some() {
            self.missed += 1;
            if self.missed >= AGREE {
                (self.sounding, self.missed) = (None, 0);
            }
        }
        self.agreed = if found.is_some() && found == self.candidate { self.agreed + 1 } else { u8::from(found.is_some()) };
        self.candidate = found;
        if self.agreed < AGREE {
            return None;
        }
        (self.sounding, self.missed, self.agreed) = (found, 0, 0);
        found
    }
}

/// The key that sounds in this block, if it is one and nothing else.
fn judge(block: &[i16]) -> Option<Digit> {
    let count = f64::from(u32::try_from(block.len()).unwrap_or(u32::MAX));
    let energy: f64 = block.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    if energy / count < QUIETEST {
        return None;
    }
    let loudest = |tones: &[f64]| -> (usize, f64) {
        let powers = tones.iter().map(|&tone| g711::power(block, tone));
        powers.enumerate().fold((0, 0.0), |best, (index, power)| if power > best.1 { (index, power) } else { best })
    };
    let ((row, low), (column, high)) = (loudest(&LOW), loudest(&HIGH));
    let pure = (low + high) * 2.0 / (energy * count) >= PURE;
    let even = low < high * TWIST && high < low * TWIST;
    (pure && even).then(|| Digit::new(KEYS[row][column])).flatten()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    fn key(text: char) -> Option<Digit> {
        Digit::new(text)
    }

    #[expect(clippy::cast_possible_truncation, reason = "within 16 bits")]
    fn tones(low: f64, high: f64, samples: u32) -> Vec<i16> {
        let wave = |hertz: f64, at: u32| (2.0 * PI * hertz * f64::from(at) / 8_000.0).sin();
        (0..samples).map(|at| (4_000.0 * (wave(low, at) + wave(high, at))) as i16).collect()
    }

    #[test]
    fn an_event_is_one_key_however_often_it_is_said() {
        let mut keys = Keys::default();
        let said: Vec<_> = [[5, 0x0a, 0, 160], [5, 0x0a, 1, 64], [5, 0x8a, 3, 32], [5, 0x8a, 3, 32]]
            .iter()
            .filter_map(|one| keys.event(100, one))
            .collect();
        assert_eq!(said, [key('5').unwrap()]);
        assert_eq!(keys.event(2_000, &[5, 0x8a, 3, 32]), key('5'), "the same key again, of which only the end arrived");
        assert_eq!((keys.event(4_000, &[11, 10, 0, 1]), keys.event(6_000, &[16, 10, 0, 1])), (key('#'), None), "flash is no key");
        assert_eq!(keys.event(8_000, &[5, 10]), None, "too short");
        assert_eq!((keys.event(10_000, &[1, 10, 255, 255]), keys.event(75_535, &[1, 10, 0, 160])), (key('1'), None), "a long one goes on");
    }

    #[test]
    fn every_key_is_heard_once_in_the_sound() {
        for (row, low) in LOW.into_iter().enumerate() {
            for (column, high) in HIGH.into_iter().enumerate() {
                let mut keys = Keys::default();
                let mut sound = tones(low, high, 400);
                sound.extend([0; 400]);
                sound.extend(tones(low, high, 400));
                let coded = sound.iter().map(|&sample| g711::from_alaw(g711::to_alaw(sample)));
                let heard: Vec<_> = coded.collect::<Vec<_>>().chunks(160).filter_map(|frame| keys.sound(frame.iter().copied())).collect();
                assert_eq!(heard, [key(KEYS[row][column]).unwrap(); 2], "{}", KEYS[row][column]);
            }
        }
    }

    #[test]
    fn one_tone_noise_and_quiet_are_no_keys() {
        let mut keys = Keys::default();
        let noise: Vec<i16> = (0..4_000_u32).map(|at| i16::try_from(at.wrapping_mul(2_654_435_761) >> 18).unwrap_or(0)).collect();
        assert_eq!(keys.sound(tones(697.0, 697.0, 1_600).into_iter()), None);
        assert_eq!(keys.sound(tones(425.0, 1_000.0, 1_600).into_iter()), None);
        assert_eq!(keys.sound(noise.into_iter()), None);
        assert_eq!(keys.sound(tones(770.0, 1_336.0, 1_600).into_iter().map(|sample| sample / 64)), None);
    }

    #[test]
    fn the_first_way_is_the_only_one() {
        let mut keys = Keys::default();
        assert_eq!(keys.event(1, &[5, 10, 0, 160]), key('5'));
        assert_eq!((keys.sound(tones(770.0, 1_336.0, 800).into_iter()), keys.info(Digit::STAR)), (None, None));
    }

    #[test]
    fn info_bodies_are_read_as_they_are_in_the_wild() {
        assert_eq!(info("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n"), key('5'));
        assert_eq!(info("application/dtmf-relay", b"Signal= 11\r\n"), key('#'));
        assert_eq!(info("Application/DTMF; x=y", b"*\r\n"), key('*'));
        assert_eq!(info("application/dtmf", b"10"), key('*'));
        assert_eq!((info("text/plain", b"5"), info("application/dtmf", b""), info("application/dtmf", b"D")), (None, None, None));
        assert!(is_info("application/dtmf-relay") && !is_info("application/sdp"));
    }
}
