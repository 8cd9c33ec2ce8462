//! Session timers (RFC 4028): how long a session may go without a sign of life, and who gives it.

use std::time::Duration;

use crate::sip::msg::{Message, Method, Name};
use crate::types::Moment;

/// RFC 4028 §5: no smaller interval is asked for or taken.
pub const MIN_SE: u32 = 90;
/// The least time between two signs of life, whatever the far end asks for.
const LEAST: Duration = Duration::from_secs(20);
/// RFC 4028 §10: who waits for a refresh gives up this long before the session expires, or a third of its life if that is less.
const GIVE_UP_BEFORE: u32 = 32;

/// Which side of one request refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

impl Refresher {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        }
    }
}

/// A Session-Expires as it stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds.
    pub secs: u32,
    /// Who refreshes, if it says.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads the header of a message.
    pub fn of(message: &Message) -> Option<Self> {
        let secs = message.number(Name::SessionExpires)?;
        let refresher = message.params_of(Name::SessionExpires).get("refresher").and_then(|who| {
            let is = |name: Refresher| who.trim().eq_ignore_ascii_case(name.as_str()).then_some(name);
            is(Refresher::Uac).or_else(|| is(Refresher::Uas))
        });
        Some(Self { secs, refresher })
    }

    /// The header's value.
    pub fn text(self) -> String {
        match self.refresher {
            Some(refresher) => format!("{};refresher={}", self.secs, refresher.as_str()),
            None => self.secs.to_string(),
        }
    }
}

/// What one leg has agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// Seconds that the session may go without a refresh.
    pub secs: u32,
    /// Whether we refresh; otherwise they do.
    pub is_ours: bool,
    /// Whether they know session timers. If not, our refresh only asks whether they are still there.
    pub is_agreed: bool,
    /// Whether they take an UPDATE.
    pub takes_update: bool,
    /// When to refresh, or when to give up waiting for it.
    pub due: Moment,
}

/// How a sign of life is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// UPDATE without a description: it refreshes, and touches no media.
    Update,
    /// A re-INVITE with our description as it is.
    Reinvite,
    /// OPTIONS inside the dialog, to somebody who knows no session timers.
    Options,
}

impl Refresh {
    /// Agreed at `now`.
    fn new(secs: u32, is_ours: bool, is_agreed: bool, takes_update: bool, now: Moment) -> Self {
        let wait = if is_ours { secs / 2 } else { secs.saturating_sub(GIVE_UP_BEFORE.min(secs / 3)) };
        Self { secs, is_ours, is_agreed, takes_update, due: now + Duration::from_secs(u64::from(wait)).max(LEAST) }
    }

    /// How our sign of life is given.
    pub const fn sign(&self) -> Sign {
        match (self.takes_update, self.is_agreed) {
            (true, _) => Sign::Update,
            (false, true) => Sign::Reinvite,
            (false, false) => Sign::Options,
        }
    }

    /// What a request of ours inside the dialog says, so that it refreshes too.
    pub fn in_our_request(&self) -> Option<SessionExpires> {
        let refresher = Some(if self.is_ours { Refresher::Uac } else { Refresher::Uas });
        self.is_agreed.then_some(SessionExpires { secs: self.secs, refresher })
    }

    /// The same agreement counted from now.
    pub fn again(self, now: Moment) -> Self {
        Self::new(self.secs, self.is_ours, self.is_agreed, self.takes_update, now)
    }
}

/// What we answer to their request: the agreement, and the header of our 2xx if one is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// From now on.
    pub refresh: Refresh,
    /// Session-Expires of the 2xx.
    pub header: Option<SessionExpires>,
}

impl Accepted {
    /// Whether the 2xx carries `Require: timer`: only if the caller is to refresh (RFC 4028 §9).
    pub fn is_required(&self) -> bool {
        self.header.is_some_and(|header| header.refresher == Some(Refresher::Uac))
    }
}

/// Whether their interval is too small: the answer is then 422 with [`MIN_SE`]. Somebody who does not know session timers could not read
/// that; the interval is then a proxy's wish, and is raised instead.
pub fn is_too_small(request: &Message) -> bool {
    let is_small = SessionExpires::of(request).is_some_and(|asked| asked.secs < MIN_SE);
    is_small && request.supports("timer")
}

/// RFC 4028 §9: what we agree to when they ask; `ours` is the interval we would like, in seconds.
pub fn accept(request: &Message, ours: u32, takes_update: bool, now: Moment) -> Accepted {
    let they_know = request.supports("timer");
    let asked = SessionExpires::of(request);
    let floor = request.number(Name::MinSe).unwrap_or(0).max(MIN_SE);
    let secs = asked.map_or(ours, |asked| asked.secs.min(ours)).max(floor);
    let refresher = match asked.and_then(|asked| asked.refresher) {
        Some(refresher) if they_know => refresher,
        // They could refresh as well; we do, so that it is done.
        _ => Refresher::Uas,
    };
    let refresh = Refresh::new(secs, refresher == Refresher::Uas, they_know, takes_update, now);
    let header = they_know.then_some(SessionExpires { secs, refresher: Some(refresher) });
    Accepted { refresh, header }
}

/// RFC 4028 §7.2: what their 2xx to a request of ours agrees to. Without the header they know no session timers.
pub fn agreed(response: &Message, ours: u32, takes_update: bool, now: Moment) -> Refresh {
    match SessionExpires::of(response) {
        Some(SessionExpires { secs, refresher }) => Refresh::new(secs, refresher != Some(Refresher::Uas), true, takes_update, now),
        None => Refresh::new(ours, true, false, takes_update, now),
    }
}

/// Whether the sender of a message takes UPDATE.
pub fn takes_update(message: &Message) -> bool {
    message.lists(Name::Allow, Method::Update.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(more: &str) -> Message {
        let text = format!(
            "INVITE sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{more}\r\n"
        );
        Message::parse(text.into()).unwrap()
    }

    fn accepted(more: &str) -> (u32, bool, Option<String>, bool) {
        let accepted = accept(&message(more), 1800, true, Moment::default());
        (accepted.refresh.secs, accepted.refresh.is_ours, accepted.header.map(SessionExpires::text), accepted.is_required())
    }

    /// RFC 4028 §9, table 2.
    #[test]
    fn the_answering_side_agrees_as_the_table_has_it() {
        let uas = |secs: u32| Some(format!("{secs};refresher=uas"));
        let uac = |secs: u32| Some(format!("{secs};refresher=uac"));
        for (more, expected) in [
            ("", (1800, true, None, false)),
            ("Supported: timer\r\n", (1800, true, uas(1800), false)),
            ("Supported: timer\r\nSession-Expires: 600\r\n", (600, true, uas(600), false)),
            ("k: timer\r\nx: 600;refresher=uac\r\n", (600, false, uac(600), true)),
            ("Supported: timer\r\nSession-Expires: 600;Refresher=UAS\r\n", (600, true, uas(600), false)),
            ("Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 3600\r\n", (3600, true, uas(3600), false)),
            ("Session-Expires: 40;refresher=uac\r\n", (90, true, None, false)),
        ] {
            assert_eq!(accepted(more), expected, "{more}");
        }
    }

    #[test]
    fn too_small_is_said_to_those_who_can_read_it() {
        assert!(is_too_small(&message("Supported: timer\r\nSession-Expires: 89\r\n")));
        assert!(!is_too_small(&message("Supported: timer\r\nSession-Expires: 90\r\n")));
        assert!(!is_too_small(&message("Session-Expires: 89\r\n")));
    }

    #[test]
    fn the_asking_side_takes_what_the_answer_says() {
        let read = |more: &str| {
            let refresh = agreed(&message(more), 1800, false, Moment::default());
            (refresh.secs, refresh.is_ours, refresh.sign(), refresh.due.as_nanos() / 1_000_000_000)
        };
        assert_eq!(read("Session-Expires: 1800;refresher=uac\r\n"), (1800, true, Sign::Reinvite, 900));
        assert_eq!(read("Session-Expires: 1800;refresher=uas\r\n"), (1800, false, Sign::Reinvite, 1768));
        assert_eq!(read("Session-Expires: 90;refresher=uas\r\n"), (90, false, Sign::Reinvite, 60));
        assert_eq!(read("Session-Expires: 1\r\n"), (1, true, Sign::Reinvite, 20), "no storm");
        assert_eq!(read(""), (1800, true, Sign::Options, 900));
    }
}
