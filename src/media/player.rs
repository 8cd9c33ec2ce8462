//! Something we say to a party: frame after frame, 20 ms apart.

use std::sync::Arc;

use super::prompt::FRAME;
use super::rtp::{self, HEADER, PTIME};
use super::{Codec, g711};
use crate::types::Moment;

/// What a party is to hear.
#[derive(Debug, Clone)]
pub enum Tune {
    /// These sounds, once.
    Once(Vec<Arc<[u8]>>),
    /// This one again and again, until the other party is heard.
    Ringing(Arc<[u8]>),
    /// This one over what the other party says.
    Over(Arc<[u8]>),
}

/// Frames that are sent at once when the machine was busy; what is older is skipped.
const MOST_LATE: u32 = 50;

/// Our own stream towards one party: it goes on from one tune to the next.
#[derive(Debug)]
pub struct Player {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    payload_type: u8,
    playing: Option<Playing>,
}

#[derive(Debug)]
struct Playing {
    sounds: Vec<Arc<[u8]>>,
    /// The first of those that are played for ever.
    again: Option<usize>,
    sound: usize,
    at: usize,
    first: bool,
    due: Moment,
}

impl Player {
    /// Silent so far.
    pub const fn new(ssrc: u32) -> Self {
        Self { ssrc, sequence: 1, timestamp: 0, payload_type: 0, playing: None }
    }

    /// Begins anew with these sounds; a frame of each is 20 ms.
    pub fn play(&mut self, payload_type: u8, sounds: Vec<Arc<[u8]>>, again: bool, now: Moment) {
        self.payload_type = payload_type;
        self.playing = Some(Playing { sounds, again: again.then_some(0), sound: 0, at: 0, first: true, due: now });
    }

    /// Goes on with this one, again and again, after what is being played.
    pub fn loop_after(&mut self, payload_type: u8, sound: Arc<[u8]>, now: Moment) {
        match &mut self.playing {
            Some(playing) if playing.again.is_none() => {
                playing.again = Some(playing.sounds.len());
                playing.sounds.push(sound);
            }
            Some(_) => {}
            None => self.play(payload_type, vec![sound], true, now),
        }
    }

    /// Silence.
    pub fn stop(&mut self) {
        self.playing = None;
    }

    /// When the next frame is to be sent; nothing while silent.
    pub fn due(&self) -> Option<Moment> {
        self.playing.as_ref().map(|playing| playing.due)
    }

    /// Whether it plays what gives way to the other party.
    pub fn gives_way(&self) -> bool {
        self.playing.as_ref().is_some_and(|playing| playing.again.is_some_and(|again| playing.sound >= again))
    }

    /// Sends the frames that are due. True when the last one has been.
    pub fn tick(&mut self, now: Moment, mut send: impl FnMut(&[u8])) -> bool {
        for _ in 0..MOST_LATE {
            let Some(playing) = self.playing.as_mut().filter(|playing| playing.due <= now) else { return false };
            let Some(frame) = playing.next() else {
                self.playing = None;
                return true;
            };
            let mut packet = [0; HEADER + FRAME];
            packet[..HEADER].copy_from_slice(&rtp::header(self.payload_type, playing.first, self.sequence, self.timestamp, self.ssrc));
            packet[HEADER..].copy_from_slice(&frame);
            (playing.first, playing.due) = (false, playing.due + PTIME);
            self.sequence = self.sequence.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(160);
            send(&packet);
        }
        if let Some(playing) = &mut self.playing {
            playing.due = now + PTIME;
        }
        false
    }
}

impl Playing {
    fn next(&mut self) -> Option<[u8; FRAME]> {
        // One round over the sounds finds a frame if there is one at all.
        for _ in 0..=self.sounds.len() {
            let sound = self.sounds.get(self.sound)?;
            if let Some(frame) = sound.get(self.at..self.at + FRAME) {
                self.at += FRAME;
                return frame.try_into().ok();
            }
            (self.sound, self.at) = (self.sound + 1, 0);
            if let Some(again) = self.again.filter(|_| self.sound == self.sounds.len()) {
                self.sound = again;
            }
        }
        None
    }
}

/// A tone and the silence after it; nothing in a codec we cannot write ourselves.
pub fn tone(codec: Codec, hertz: f64, on_ms: u32, off_ms: u32) -> Option<Arc<[u8]>> {
    const LOUDNESS: f64 = 4_000.0;
    let write: fn(i16) -> u8 = match codec {
        Codec::Pcma => g711::to_alaw,
        Codec::Pcmu => g711::to_ulaw,
        Codec::G722 => return None,
    };
    let (on, all) = (on_ms * 8, (on_ms + off_ms) * 8);
    #[expect(clippy::cast_possible_truncation, reason = "no louder than 4000")]
    let sample = |at: u32| (LOUDNESS * (2.0 * std::f64::consts::PI * hertz * f64::from(at) / 8_000.0).sin()) as i16;
    Some((0..all).map(|at| write(if at < on { sample(at) } else { 0 })).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    fn sound(frames: usize, byte: u8) -> Arc<[u8]> {
        vec![byte; frames * FRAME].into()
    }

    #[test]
    fn frames_come_at_their_pace_and_then_the_end() {
        let mut player = Player::new(9);
        player.play(8, vec![sound(2, 1), sound(0, 2), sound(1, 3)], false, at(0));
        let mut sent = Vec::new();
        for millis in (0..=60).step_by(20) {
            let over = player.tick(at(millis), |packet| sent.push((packet[1] >> 7, packet[3], packet[12])));
            assert_eq!(over, millis == 60, "{millis}");
        }
        assert_eq!(sent, [(1, 1, 1), (0, 2, 1), (0, 3, 3)]);
        assert_eq!(player.due(), None);
        player.play(8, vec![sound(1, 4)], false, at(100));
        player.tick(at(100), |packet| assert_eq!(packet[3], 4, "the stream goes on"));
    }

    #[test]
    fn a_busy_machine_skips_what_is_too_late() {
        let mut player = Player::new(9);
        player.play(8, vec![sound(1, 1)], true, at(0));
        let mut count = 0;
        assert!(!player.tick(at(100_000), |_| count += 1));
        assert_eq!((count, player.due()), (MOST_LATE, Some(at(100_020))));
        assert!(player.gives_way());
        player.stop();
        assert!(player.due().is_none() && !player.gives_way());
    }

    #[test]
    fn it_rings_after_the_sentence() {
        let mut player = Player::new(9);
        player.play(8, vec![sound(1, 1)], false, at(0));
        player.loop_after(8, sound(1, 7), at(0));
        assert!(!player.gives_way(), "the sentence is said to its end");
        let mut sent = Vec::new();
        assert!(!player.tick(at(60), |packet| sent.push(packet[12])));
        assert_eq!(sent, [1, 7, 7, 7]);
        assert!(player.gives_way());
    }

    #[test]
    fn nothing_to_say_is_over_at_once() {
        let mut player = Player::new(9);
        player.play(8, vec![], true, at(0));
        assert!(player.tick(at(0), |_| panic!("nothing is sent")));
    }

    #[test]
    fn a_tone_is_a_tone() {
        let tone = tone(Codec::Pcma, 425.0, 100, 40).unwrap();
        assert_eq!((tone.len(), tone.len() % FRAME), (1_120, 0));
        let samples: Vec<i16> = tone.iter().take(800).map(|&byte| g711::from_alaw(byte)).collect();
        assert!(g711::share(&samples, 425.0) > 0.9);
    }
}
