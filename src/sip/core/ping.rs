//! OPTIONS of ours to the addresses of carriers (RFC 3261 §11): who answers is alive, whatever the answer; who keeps silent, or says
//! 503, again and again is lost until the next answer. No address has two of them under way.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use super::words::ALLOW;
use super::{Alarm, Core, Departure, Kind};
use crate::sip::dialog::tag_text;
use crate::sip::leg::{ByWhom, Hop};
use crate::sip::msg::{CSeq, Message, Method, Name, NameAddr, Request, Tag, Uri};
use crate::sip::target::Address;
use crate::sip::transaction::User;
use crate::sip::transport::Transport;
use crate::types::Moment;

/// Addresses that are asked.
const MOST_PINGED: usize = 4_096;
/// Misses in a row that make an address lost: one datagram storm, or one restart of the carrier, makes one.
const MISSES: u32 = 2;
/// After a silence of 32 seconds (timer F) it is asked again this soon: there was time enough to think.
const AFTER_SILENCE: Duration = Duration::from_secs(5);

/// An address that is asked now and then whether it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Which, and how it is reached.
    pub hop: Hop,
    /// Whom the request names, such as `sip:carrier.example.com`.
    pub uri: String,
    /// How often, in seconds.
    pub secs: u32,
}

/// What is known of an address that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingState {
    /// No answer and no loss yet.
    Unknown,
    /// It answers.
    Alive {
        /// Since when it has done so without a loss.
        since: Moment,
    },
    /// It keeps silent, or says that it cannot serve.
    Lost {
        /// Since when.
        since: Moment,
    },
}

#[derive(Debug)]
struct One {
    wanted: Ping,
    call_id: String,
    cseq: u32,
    misses: u32,
    state: PingState,
}

/// All of them, by numbers that are never used again.
#[derive(Debug, Default)]
pub(super) struct Pings {
    by_number: BTreeMap<u64, One>,
    last: u64,
}

impl Core {
    /// How every address does that is asked.
    pub fn pings(&self) -> Vec<(Hop, PingState)> {
        self.pings.by_number.values().map(|one| (one.wanted.hop, one.state)).collect()
    }

    /// From now on these are asked, and no others. What is known of those that stay is kept.
    pub(super) fn ping(&mut self, wanted: Vec<Ping>) {
        let mut new: HashMap<(Transport, SocketAddr), Ping> = HashMap::new();
        for ping in wanted.into_iter().take(MOST_PINGED) {
            new.entry((ping.hop.transport, ping.hop.address)).or_insert(ping);
        }
        self.pings.by_number.retain(|_, one| match new.remove(&(one.wanted.hop.transport, one.wanted.hop.address)) {
            Some(wanted) => {
                one.wanted = wanted;
                true
            }
            None => false,
        });
        for wanted in new.into_values() {
            self.pings.last += 1;
            let number = self.pings.last;
            let call_id = format!("{}{}", tag_text(self.chance.u64()), tag_text(self.chance.u64()));
            // A start is no reason for asking everybody at once.
            let after = self.about(wanted.secs);
            self.pings.by_number.insert(number, One { wanted, call_id, cseq: 0, misses: 0, state: PingState::Unknown });
            self.timers.arm(self.now + after, Alarm::Ping(number));
        }
    }

    /// Between 90 and 110 % of so many seconds.
    fn about(&mut self, secs: u32) -> Duration {
        Duration::from_millis(u64::from(secs.max(1)) * (900 + self.chance.below(201)))
    }

    pub(super) fn ping_alarm(&mut self, number: u64) {
        let Some(mut one) = self.pings.by_number.remove(&number) else { return };
        self.send_ping(number, &mut one);
        self.pings.by_number.insert(number, one);
    }

    fn send_ping(&mut self, number: u64, one: &mut One) {
        let Hop { transport, address, .. } = one.wanted.hop;
        let to = Address::Socket(address);
        // What cannot be reached by any socket of ours is not the carrier's fault, and it does not become better.
        let (Some(socket), Ok(uri)) = (self.socket_for(&to, transport), one.wanted.uri.parse::<Uri>()) else { return };
        let own = format!("sip:{}", self.settings.locals[socket].sent_by());
        let Ok(own) = own.parse::<Uri>() else { return };
        one.cseq = one.cseq.wrapping_add(1) & 0x7fff_ffff;
        let (branch, via) = self.via(socket);
        let tag = Tag::new(tag_text(self.fresh_tag()));
        let bytes = Request::new(&Method::Options, &uri)
            .header(Name::Via, via.as_str())
            .header(Name::MaxForwards, 70_u32)
            .header(Name::From, NameAddr::new(None, &own).with_tag(&tag))
            .header(Name::To, NameAddr::new(None, &uri))
            .header(Name::CallId, one.call_id.as_str())
            .header(Name::CSeq, CSeq { number: one.cseq, method: Method::Options })
            .header(Name::Contact, self.settings.locals[socket].contact.as_str())
            .header(Name::Allow, ALLOW)
            .header(Name::Accept, "application/sdp")
            .encode();
        self.start_client(None, User::Ping(number), Departure { socket, to, branch, bytes, kind: Kind::Other });
    }

    pub(super) fn ping_answered(&mut self, number: u64, response: &Message) {
        let Some(status) = response.status().filter(|status| status.is_final()) else { return };
        let Some(mut one) = self.pings.by_number.remove(&number) else { return };
        // 408 is a proxy's word that nobody is behind it.
        if matches!(status.code(), 408 | 503) {
            self.missed(&mut one, &format!("it answers {status}"));
        } else {
            if let PingState::Lost { since } = one.state {
                let lost_secs = self.now.since(since).as_secs();
                tracing::info!(sip.peer = %one.wanted.hop.address, lost_secs, "A carrier's address answers OPTIONS again; calls go there as before.");
            }
            one.misses = 0;
            if !matches!(one.state, PingState::Alive { .. }) {
                one.state = PingState::Alive { since: self.now };
            }
        }
        let after = self.about(one.wanted.secs);
        self.timers.arm(self.now + after, Alarm::Ping(number));
        self.pings.by_number.insert(number, one);
    }

    /// Nobody answered, or nothing could be sent.
    pub(super) fn ping_failed(&mut self, number: u64, by: ByWhom) {
        let Some(mut one) = self.pings.by_number.remove(&number) else { return };
        let regular = self.about(one.wanted.secs);
        let after = if by == ByWhom::Timeout {
            self.missed(&mut one, "it does not answer");
            regular.min(AFTER_SILENCE)
        } else {
            self.missed(&mut one, "it cannot be reached");
            regular
        };
        self.timers.arm(self.now + after, Alarm::Ping(number));
        self.pings.by_number.insert(number, one);
    }

    fn missed(&self, one: &mut One, reason: &str) {
        one.misses = one.misses.saturating_add(1);
        if one.misses >= MISSES && !matches!(one.state, PingState::Lost { .. }) {
            one.state = PingState::Lost { since: self.now };
            let peer = one.wanted.hop.address;
            tracing::warn!(sip.peer = %peer, reason, "A carrier's address is lost: calls try the others first until it answers OPTIONS.");
        }
    }
}
