//! The seam: which way the sound of a call goes, and what the switchboard may ask of it.

use std::net::IpAddr;

use bytes::Bytes;

use super::player::{Tune, tone};
use super::prompt::PromptError;
use super::relay::{self, Relay};
use super::rtpengine::{self, NgError, Rtpengine};
use super::{Carrier, Config, Heard, Language, Library, Statistics};
use crate::sdp::SdpError;
use crate::types::{Clock, Digit, Random, Side};

/// Why there is no sound for a call.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// Every pair of ports is lent.
    #[error("all ports of the relay are taken: widen media.first_port to media.last_port, or raise the limit of open files")]
    NoPort,
    /// No address in the family of the far end.
    #[error("the relay has no address in the family of {0}: add one to media.listen")]
    NoAddress(IpAddr),
    /// The description cannot be used.
    #[error(transparent)]
    Description(#[from] SdpError),
    /// The relay on another host.
    #[error(transparent)]
    Ng(#[from] NgError),
    /// The sockets.
    #[error("the relay: {0}")]
    Socket(#[from] std::io::Error),
}

/// The tone of a telephone that rings elsewhere, in hertz, and that of a warning.
const RINGING: f64 = 425.0;
const WARNING: f64 = 1_400.0;

/// Where the relay lives: what is bound, and what others see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Homes(Vec<(IpAddr, IpAddr)>);

impl Homes {
    /// From the settings, those of SIP standing in where nothing is said.
    pub fn new(config: &Config, sip_listen: &[IpAddr], sip_advertise: &[IpAddr]) -> Self {
        let listen = if config.listen.is_empty() { sip_listen } else { &config.listen };
        let advertise = if config.advertise.is_empty() { sip_advertise } else { &config.advertise };
        let shown = |bound: IpAddr| advertise.iter().copied().find(|ip| ip.is_ipv4() == bound.is_ipv4()).unwrap_or(bound);
        Self(listen.iter().map(|&bound| (bound, shown(bound))).collect())
    }

    /// What to bind towards a far end there, and what to show it: of our addresses in its family one that is as local as it is.
    pub fn towards(&self, far: IpAddr) -> Option<(IpAddr, IpAddr)> {
        let family = || self.0.iter().copied().filter(|(bound, _)| bound.is_ipv4() == far.is_ipv4());
        family().find(|(bound, _)| bound.is_loopback() == far.is_loopback()).or_else(|| family().next())
    }
}

/// Which way the sound goes, and what we can say ourselves.
#[derive(Debug, Clone)]
pub struct Engine {
    way: Way,
    library: Library,
}

#[derive(Debug, Clone)]
enum Way {
    /// Its own: descriptions pass untouched.
    Bypass,
    /// Through the relay of our own.
    Relay(Relay),
    /// Through rtpengine.
    Rtpengine(Rtpengine),
}

impl Engine {
    /// As the settings have it.
    pub fn new(config: &Config, homes: Homes, clock: Clock, random: Random) -> Result<Self, PromptError> {
        let library = Library::open(config.prompts.as_deref())?;
        let way = match config.relay {
            Carrier::Bypass => Way::Bypass,
            Carrier::Rtpengine => Way::Rtpengine(Rtpengine::new(&config.rtpengine, random)),
            Carrier::Embedded => Way::Relay(Relay::new(config, homes, clock, random)),
        };
        Ok(Self { way, library })
    }

    /// Whether we can speak with a caller.
    pub const fn speaks(&self) -> bool {
        matches!(self.way, Way::Relay(_))
    }

    /// Makes room for a call whose caller is there; nothing if its sound finds its own way.
    pub fn open(&self, caller: IpAddr) -> Result<Option<Session>, MediaError> {
        match &self.way {
            Way::Bypass => Ok(None),
            Way::Relay(relay) => Ok(Some(Session { relay: By::Ourselves(relay.open(caller)?), library: self.library.clone() })),
            Way::Rtpengine(rtpengine) => Ok(Some(Session { relay: By::Rtpengine(rtpengine.open()), library: self.library.clone() })),
        }
    }
}

/// Who relays a call.
#[derive(Debug)]
enum By {
    Ourselves(relay::Session),
    Rtpengine(rtpengine::Session),
}

/// The sound of one call. Dropping it gives everything back.
#[derive(Debug)]
pub struct Session {
    relay: By,
    library: Library,
}

impl Session {
    /// The relay of our own, if it has this call: the one that can speak and hear.
    const fn own(&self) -> Option<&relay::Session> {
        match &self.relay {
            By::Ourselves(own) => Some(own),
            By::Rtpengine(_) => None,
        }
    }

    /// The other party is there: the side gets a home in its family.
    pub fn towards(&mut self, side: Side, far: IpAddr) -> Result<(), MediaError> {
        match &mut self.relay {
            By::Ourselves(own) => own.towards(side, far),
            By::Rtpengine(_) => Ok(()),
        }
    }

    /// `from` describes itself, in an offer or an answer: what the other side gets to read.
    pub async fn describe(&mut self, from: Side, text: &Bytes) -> Result<Bytes, MediaError> {
        match &mut self.relay {
            By::Ourselves(own) => own.describe(from, text),
            By::Rtpengine(other) => other.describe(from, text).await,
        }
    }

    /// Answers an offer of A's by ourselves, to speak to A and hear its keys; the second is what B may be offered in its place. Nothing if
    /// we speak none of what is offered.
    pub fn accept(&mut self, text: &Bytes) -> Result<Option<(Bytes, Bytes)>, MediaError> {
        match &mut self.relay {
            By::Ourselves(own) => own.accept(text),
            By::Rtpengine(_) => Ok(None),
        }
    }

    /// A key that came by an INFO request.
    pub fn info(&self, side: Side, digit: Digit) {
        if let Some(own) = self.own() {
            own.info(side, digit);
        }
    }

    /// Says these words to a party; what was being said before is cut off. False if there is nothing to say, or no way to say it.
    pub fn say(&self, side: Side, language: Language, words: &[Box<str>]) -> bool {
        let Some((own, codec)) = self.own().and_then(|own| Some((own, own.codec()?))) else { return false };
        let sounds = self.library.speak(language, codec, words);
        let any = !sounds.is_empty();
        if any {
            own.play(side, Tune::Once(sounds));
        }
        any
    }

    /// Rings in a party's ear, after what is being said, until the other party is heard.
    pub fn ring(&self, side: Side) {
        self.sounds(side, RINGING, 1_000, 4_000, Tune::Ringing);
    }

    /// A short tone over what the other party says.
    pub fn warn(&self, side: Side) {
        self.sounds(side, WARNING, 400, 0, Tune::Over);
    }

    fn sounds(&self, side: Side, hertz: f64, on_ms: u32, off_ms: u32, tune: fn(std::sync::Arc<[u8]>) -> Tune) {
        if let Some(own) = self.own()
            && let Some(tone) = own.codec().and_then(|codec| tone(codec, hertz, on_ms, off_ms))
        {
            own.play(side, tune(tone));
        }
    }

    /// Says no more.
    pub fn hush(&self, side: Side) {
        if let Some(own) = self.own() {
            own.hush(side);
        }
    }

    /// Both have answered: from now on silence is watched, where the relay is our own.
    pub fn answered(&mut self) {
        match &mut self.relay {
            By::Ourselves(own) => own.answered(),
            By::Rtpengine(other) => other.answered(),
        }
    }

    /// The next thing that is heard. Safe to drop half-way.
    pub async fn heard(&mut self) -> Heard {
        match &mut self.relay {
            By::Ourselves(own) => own.heard().await,
            By::Rtpengine(_) => std::future::pending().await,
        }
    }

    /// Ends it: how both streams arrived, where the relay is our own.
    pub async fn close(self) -> Option<Statistics> {
        match self.relay {
            By::Ourselves(own) => Some(own.close().await),
            By::Rtpengine(_) => None,
        }
    }
}
