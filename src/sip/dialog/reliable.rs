//! Provisional responses that arrive for sure (RFC 3262): numbered, repeated until PRACK, one at a time.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::sip::leg::{Body, EarlyDialogId, Header};
use crate::sip::msg::{Message, Name};
use crate::sip::target::Address;
use crate::types::Moment;

/// Provisional responses that may wait for the one before them.
const MAX_WAITING: usize = 8;

/// Which of our provisional responses the caller wants for sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// None.
    No,
    /// It knows how to: those with a description go so, because losing one would lose early media.
    Described,
    /// It requires it: all.
    All,
}

impl Wanted {
    /// What an INVITE asks for.
    pub fn by(invite: &Message) -> Self {
        if invite.lists(Name::Require, "100rel") {
            Self::All
        } else if invite.lists(Name::Supported, "100rel") {
            Self::Described
        } else {
            Self::No
        }
    }
}

/// RAck: which response of which request is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RAck {
    /// The response's number.
    pub rseq: u32,
    /// The INVITE's number.
    pub cseq: u32,
}

impl RAck {
    /// Reads the header: two numbers and a method.
    pub fn of(prack: &Message) -> Option<Self> {
        let mut words = prack.text(Name::RAck)?.split_ascii_whitespace();
        let mut number = || words.next()?.parse().ok();
        let (rseq, cseq) = (number()?, number()?);
        words.next().filter(|method| *method == "INVITE").map(|_| Self { rseq, cseq })
    }
}

/// A response that waits for its PRACK.
#[derive(Debug)]
pub struct Unpracked {
    /// In which early dialog.
    pub early: EarlyDialogId,
    /// Its number.
    pub rseq: u32,
    /// Whether it carries a description: then the 2xx has to wait too (RFC 3262 §3).
    pub described: bool,
    /// It.
    pub response: Bytes,
    /// Where it goes.
    pub to: Address,
    /// How long until it is repeated.
    pub interval: Duration,
    /// When we give up.
    pub until: Moment,
}

/// A provisional response that waits for the one before it.
#[derive(Debug)]
pub struct Next {
    /// In which early dialog.
    pub early: EarlyDialogId,
    /// Its status.
    pub status: u16,
    /// Its description.
    pub body: Option<Body>,
    /// What else it says.
    pub headers: Vec<Header>,
}

/// A 2xx that waits for a PRACK.
#[derive(Debug)]
pub struct Held {
    /// In which early dialog.
    pub early: EarlyDialogId,
    /// The answer.
    pub body: Option<Body>,
    /// What else it says.
    pub headers: Vec<Header>,
}

/// How it stands with one INVITE of theirs.
#[derive(Debug)]
pub struct Reliable {
    /// Which responses go so.
    pub wanted: Wanted,
    /// The one on its way.
    pub unpracked: Option<Unpracked>,
    /// Those after it.
    pub next: VecDeque<Next>,
    /// The answer after all.
    pub held: Option<Held>,
}

impl Reliable {
    /// Nothing is on its way.
    pub fn of(invite: &Message) -> Self {
        Self { wanted: Wanted::by(invite), unpracked: None, next: VecDeque::new(), held: None }
    }

    /// Whether a provisional response goes so.
    pub fn is_for(&self, has_body: bool) -> bool {
        match self.wanted {
            Wanted::No => false,
            Wanted::Described => has_body,
            Wanted::All => true,
        }
    }

    /// Lets one wait; what would be too many is left out, which costs a ring-back tone at worst.
    pub fn wait(&mut self, next: Next) {
        if self.next.len() < MAX_WAITING {
            self.next.push_back(next);
        }
    }

    /// Whether the 2xx has to wait.
    pub fn holds_answer(&self) -> bool {
        self.unpracked.as_ref().is_some_and(|unpracked| unpracked.described) || self.next.iter().any(|next| next.body.is_some())
    }
}

/// How a reliable response of theirs stands to those before it in its dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The next one: it is acknowledged and told.
    Next,
    /// It was acknowledged; the PRACK is on its way or will be repeated.
    Repeat,
    /// One before it is missing; it will come again after that one.
    Early,
}

impl Order {
    /// RFC 3262 §4.
    pub const fn of(latest: Option<u32>, rseq: u32) -> Self {
        match latest {
            None => Self::Next,
            Some(latest) if rseq == latest.wrapping_add(1) => Self::Next,
            Some(latest) if rseq > latest => Self::Early,
            Some(_) => Self::Repeat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(more: &str) -> Message {
        let text = format!(
            "PRACK sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 2 PRACK\r\n{more}\r\n"
        );
        Message::parse(text.into()).unwrap()
    }

    #[test]
    fn rack_is_two_numbers_and_invite() {
        assert_eq!(RAck::of(&message("RAck: 776656 1 INVITE\r\n")), Some(RAck { rseq: 776_656, cseq: 1 }));
        for wrong in ["", "RAck: 1\r\n", "RAck: 1 2\r\n", "RAck: 1 2 BYE\r\n", "RAck: x 2 INVITE\r\n", "RAck: 4294967296 2 INVITE\r\n"] {
            assert_eq!(RAck::of(&message(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn responses_of_theirs_are_taken_in_order() {
        assert_eq!(Order::of(None, 99), Order::Next);
        assert_eq!(
            (Order::of(Some(99), 100), Order::of(Some(99), 99), Order::of(Some(99), 98)),
            (Order::Next, Order::Repeat, Order::Repeat)
        );
        assert_eq!(Order::of(Some(99), 101), Order::Early);
    }

    #[test]
    fn what_an_invite_wants() {
        assert_eq!(Wanted::by(&message("Require: timer, 100REL\r\n")), Wanted::All);
        assert_eq!(Wanted::by(&message("k: 100rel\r\n")), Wanted::Described);
        assert_eq!(Wanted::by(&message("")), Wanted::No);
    }
}
