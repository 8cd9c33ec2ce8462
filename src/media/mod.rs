//! RTP in, RTP out: what the parties of a call hear, and how well.
//!
//! [`Engine`] is the seam: descriptions pass untouched (`bypass`), or the relay of our own is in both of them (`relay`), or one that is
//! asked over the network (`rtpengine`). A relayed call has
//! a [`Session`], which rewrites what one leg says for the other, tells what it hears ([`Heard`]) and counts both streams. `rtp`, `source`
//! and `describe` decide and touch nothing; sockets are in `relay` alone.

mod describe;
pub mod dtmf;
mod engine;
pub mod g711;
mod player;
mod ports;
pub mod prompt;
mod relay;
pub mod rtp;
mod rtpengine;
mod source;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::types::{Digit, Side};

pub use describe::Codec;
pub use engine::{Engine, Homes, MediaError, Session};
pub use prompt::{Language, Library, PromptError};
pub use rtp::Quality;

/// The settings of the media side.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who carries the sound.
    pub relay: Carrier,
    /// Addresses the relay binds; empty means those of `sip.listen`.
    pub listen: Vec<IpAddr>,
    /// The addresses others reach them by, at most one of each family; empty means those of `sip.advertise`.
    pub advertise: Vec<IpAddr>,
    /// Where rtpengine is asked, one or several.
    pub rtpengine: Vec<SocketAddr>,
    /// The first port of the relay.
    pub first_port: u16,
    /// The last one.
    pub last_port: u16,
    /// A party that should be heard and is not for this long has lost the call; 0 waits for ever.
    pub silence_secs: u32,
    /// A folder of the operator's own prompts.
    pub prompts: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            relay: Carrier::Embedded,
            listen: Vec::new(),
            advertise: Vec::new(),
            rtpengine: Vec::new(),
            first_port: 16_384,
            last_port: 49_151,
            silence_secs: 60,
            prompts: None,
        }
    }
}

impl Config {
    fn silence(&self) -> Option<Duration> {
        (self.silence_secs > 0).then(|| Duration::from_secs(u64::from(self.silence_secs)))
    }
}

/// Who carries the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// The parties themselves: descriptions pass untouched.
    Bypass,
    /// The relay of our own.
    Embedded,
    /// rtpengine, on this host or others.
    Rtpengine,
}

/// What a session tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing of this side for as long as the settings allow.
    Silence(Side),
    /// The side pressed a key.
    Pressed(Side, Digit),
    /// All that was to be said to this side is said.
    Played(Side),
}

/// Both streams of a call as they arrived, by the side that sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Statistics {
    /// From A.
    pub a: Quality,
    /// From B.
    pub b: Quality,
}
