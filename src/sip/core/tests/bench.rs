//! A core on the bench: the test plays everybody else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Core, Input, Local, Output, Settings, Tables};
use super::audit::{Captured, audit};
use crate::sip::endpoint::{Login, Source, SourcePolicy, Strangers};
use crate::sip::leg::{
    Body, Command, EarlyDialogId, Header, InDialog, Invite, LegEvent, LegId, OutgoingInvite, RequestId, StoredDialog, Target,
};
use crate::sip::target::Address;
use crate::sip::transaction::{Intervals, TransactionId};
use crate::types::{Clock, Moment, Random, Secret, Timestamp, TrunkId};

/// The core's own address.
pub const US: &str = "192.0.2.10:5060";
/// A trunk's address.
pub const PEER: &str = "198.51.100.1:5060";
/// Another address of the same trunk.
pub const PEER_TWO: &str = "198.51.100.2:5060";
/// Nobody's address.
pub const STRANGER: &str = "203.0.113.66:5060";

/// 198.51.100.0/24 is one trunk, everybody else a stranger.
struct Trunks(TrunkId);

impl SourcePolicy for Trunks {
    fn classify(&self, source: SocketAddr) -> Source {
        match source.ip() {
            std::net::IpAddr::V4(ip) if ip.octets()[..3] == [198, 51, 100] => Source::Trunk(self.0),
            _ => Source::Stranger,
        }
    }

    fn login(&self, _: SocketAddr) -> Option<Login> {
        Some(Login { user: "ada".into(), password: Secret::new("lovelace"), md5: false })
    }
}

/// Something the core sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// When, in milliseconds.
    pub at: u64,
    /// Where to.
    pub to: String,
    /// The message.
    pub text: String,
}

/// A core, and all that came out of it.
pub struct Bench {
    pub core: Core,
    pub now: Moment,
    pub sent: Vec<Sent>,
    pub told: Vec<(LegId, LegEvent)>,
    pub ended: Vec<LegId>,
    pub offers: Vec<(LegId, Invite, StoredDialog)>,
    pub stored: Vec<StoredDialog>,
    wire: Vec<Captured>,
    audited: bool,
    requests: u64,
    transaction: Option<TransactionId>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            locals: vec![Local::new(US.parse().unwrap())],
            intervals: Intervals::default(),
            strangers: Strangers::Refuse,
            scanners: vec!["friendly-scanner".into()],
            digest_md5: false,
            max_legs: 100,
            session_secs: 1800,
            stranger_requests: 100,
        };
        change(&mut settings);
        let core = Core::new(settings, Random::seeded(1));
        let mut bench = Self {
            core,
            now: Moment::default(),
            sent: vec![],
            told: vec![],
            ended: vec![],
            offers: vec![],
            stored: vec![],
            wire: vec![],
            audited: true,
            requests: 0,
            transaction: None,
        };
        let clock = Clock::manual(Timestamp::from_micros(1_900_000_000_000_000));
        bench.put(Input::Sources(Arc::new(Trunks(TrunkId::new(&clock, &Random::seeded(2))))));
        bench
    }

    /// For scripts in which the far end leaves things undone that the auditor would ask of us.
    pub fn unaudited(mut self) -> Self {
        self.audited = false;
        self
    }

    pub fn put(&mut self, input: Input) {
        self.core.input(self.now, input);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send { to, bytes, transaction, .. } => {
                    self.transaction = transaction.or(self.transaction);
                    let to = match to {
                        Address::Socket(to) | Address::Back { flow: to, .. } => to.to_string(),
                        Address::Name(name) => format!("{}:{}", name.host, name.port),
                    };
                    if let Ok(to) = to.parse() {
                        self.wire.push(Captured { from: US.parse().unwrap(), to, bytes: bytes.to_vec(), arrived: true });
                    }
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.sent.push(Sent { at: self.millis(), to, text });
                }
                Output::Offer { leg, invite, stored, .. } => self.offers.push((leg, *invite, *stored)),
                Output::Tell { leg, event, stored } => {
                    self.told.push((leg, *event));
                    self.stored.extend(stored.map(|stored| *stored));
                }
                Output::End { leg } => self.ended.push(leg),
                Output::Alias { .. } => {}
            }
        }
    }

    pub fn millis(&self) -> u64 {
        self.now.as_nanos() / 1_000_000
    }

    /// Lets `millis` pass, stopping wherever the core wants to be woken.
    pub fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(at) = self.core.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.put(Input::Tick);
        }
        self.now = end;
        self.put(Input::Tick);
    }

    /// A datagram comes in. Line ends are made right, and `Content-Length` is added unless there is one.
    pub fn hear(&mut self, from: &str, text: &str) {
        let bytes = wired(text);
        self.wire.push(Captured { from: from.parse().unwrap(), to: US.parse().unwrap(), bytes: bytes.clone(), arrived: true });
        self.put(Input::Datagram { socket: 0, source: from.parse().unwrap(), bytes: bytes.into() });
    }

    /// The same for bytes as they are.
    pub fn hear_bytes(&mut self, from: &str, bytes: &[u8]) {
        self.wire.push(Captured { from: from.parse().unwrap(), to: US.parse().unwrap(), bytes: bytes.to_vec(), arrived: true });
        self.put(Input::Datagram { socket: 0, source: from.parse().unwrap(), bytes: bytes.to_vec().into() });
    }

    pub fn command(&mut self, leg: LegId, command: Command) {
        self.put(Input::Command(leg, command));
    }

    /// What the last transaction sent could not leave.
    pub fn not_sent(&mut self) {
        let transaction = self.transaction.expect("something was sent");
        self.put(Input::NotSent(transaction));
    }

    pub fn bye_stored(&mut self, stored: StoredDialog) {
        self.put(Input::Bye(Box::new(stored)));
    }

    pub fn progress(&mut self, leg: LegId, status: u16, body: Option<Body>) {
        self.command(leg, Command::Progress { early: EarlyDialogId::FIRST, status, body, headers: vec![] });
    }

    pub fn answer(&mut self, leg: LegId, body: Option<Body>) {
        self.command(leg, Command::Answer { early: EarlyDialogId::FIRST, body, headers: vec![] });
    }

    pub fn progress_in(&mut self, leg: LegId, early: u8, status: u16, body: Option<Body>) -> String {
        self.command(leg, Command::Progress { early: EarlyDialogId::numbered(early), status, body, headers: vec![] });
        self.last()
    }

    pub fn answer_in(&mut self, leg: LegId, early: u8, body: Option<Body>) -> String {
        self.command(leg, Command::Answer { early: EarlyDialogId::numbered(early), body, headers: vec![] });
        self.last()
    }

    pub fn refuse(&mut self, leg: LegId, status: u16) {
        self.command(leg, Command::Refuse { status, phrase: "".into(), headers: vec![] });
    }

    pub fn hang_up(&mut self, leg: LegId) {
        self.command(leg, Command::HangUp { reason: None });
    }

    pub fn respond(&mut self, leg: LegId, id: RequestId, status: u16, body: Option<Body>) {
        self.command(leg, Command::Respond { id, status, body, headers: vec![] });
    }

    pub fn ask(&mut self, leg: LegId, method: InDialog, body: Option<Body>) -> RequestId {
        self.ask_in(leg, None, method, body)
    }

    pub fn ask_in(&mut self, leg: LegId, early: Option<u8>, method: InDialog, body: Option<Body>) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests * 2 + 1);
        self.command(leg, Command::Request { id, early: early.map(EarlyDialogId::numbered), method, body, headers: vec![] });
        id
    }

    /// Starts a call to the trunk and gives its leg and INVITE.
    pub fn invite(&mut self, body: Option<Body>) -> (LegId, String) {
        self.invite_to(Target::Address(PEER.parse().unwrap()), body)
    }

    pub fn invite_to(&mut self, target: Target, body: Option<Body>) -> (LegId, String) {
        let leg = self.start(target, body);
        (leg, self.last())
    }

    pub fn start(&mut self, target: Target, body: Option<Body>) -> LegId {
        self.requests += 1;
        let leg = LegId(self.requests * 2 + 1_000_001);
        let invite = OutgoingInvite {
            target,
            request_uri: "sip:+15551231234@carrier.example.com".into(),
            from: "\"Ada\" <sip:+15551230000@example.com>".into(),
            to: "<sip:+15551231234@carrier.example.com>".into(),
            headers: vec![Header::new("Privacy", "none")],
            body,
            max_forwards: 69,
            sip_call_id: None,
        };
        self.put(Input::Invite(leg, Box::new(invite)));
        leg
    }

    /// A call of the trunk comes in; gives its leg and the INVITE as it was heard.
    pub fn offered(&mut self) -> (LegId, String) {
        self.offered_with("", "v=0\n")
    }

    pub fn offered_with(&mut self, headers: &str, body: &str) -> (LegId, String) {
        self.requests += 1;
        let invite = invite_text(&format!("z9hG4bKpeer{:05}", self.requests), &format!("call{}", self.requests), headers, body);
        self.hear(PEER, &invite);
        (self.offers.last().expect("the call is offered").0, invite)
    }

    /// An incoming call, answered and acknowledged; gives its leg, the INVITE and our 200.
    pub fn answered(&mut self) -> (LegId, String, String) {
        let (leg, invite) = self.offered();
        self.answer(leg, Some(sdp("answer")));
        let ok = self.last();
        self.hear(PEER, &in_dialog("ACK", 1, &ok, "z9hG4bKackack1", ""));
        (leg, invite, ok)
    }

    /// An outgoing call, answered; gives its leg, our INVITE and their 200.
    pub fn connected(&mut self) -> (LegId, String, String) {
        let (leg, invite) = self.invite(Some(sdp("offer")));
        let ok = reply(&invite, "200 OK", "far", "Contact: <sip:far@198.51.100.1:5060>\n", "v=0\n");
        self.hear(PEER, &ok);
        (leg, invite, ok)
    }

    /// The last message sent.
    pub fn last(&self) -> String {
        self.sent.last().expect("something was sent").text.clone()
    }

    /// Takes everything sent so far.
    pub fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// The start lines of everything sent so far, which is taken.
    pub fn lines(&mut self) -> Vec<String> {
        self.take().iter().map(|sent| sent.text.lines().next().unwrap().to_owned()).collect()
    }

    /// Takes the events told so far.
    pub fn events(&mut self) -> Vec<LegEvent> {
        std::mem::take(&mut self.told).into_iter().map(|(_, event)| event).collect()
    }

    /// Lets everything die down: 64·T1 after the end all tables are empty, and the auditor has nothing to say.
    pub fn ends_clean(mut self) {
        self.pass(64 * 500 + 5_001);
        assert_eq!(self.core.tables(), Tables::default(), "tables empty 64·T1 after the end");
        assert!(self.core.is_idle());
        if self.audited {
            assert_eq!(audit(&self.wire, &[US.parse().unwrap()]), Vec::<String>::new());
        }
    }
}

/// Lines as on the wire, with Content-Length.
pub fn wired(text: &str) -> Vec<u8> {
    let text = text.replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let body = body.replace('\n', "\r\n");
    let mut head = head.trim_end().replace('\n', "\r\n");
    if !head.to_ascii_lowercase().contains("\r\ncontent-length:") {
        head.push_str(&format!("\r\nContent-Length: {}", body.len()));
    }
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// An INVITE of the trunk's.
pub fn invite_text(branch: &str, call_id: &str, headers: &str, body: &str) -> String {
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    format!(
        "INVITE sip:+15551231234@192.0.2.10 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch={branch}\nMax-Forwards: 70\n\
         From: \"Bob\" <sip:+15551230000@198.51.100.1>;tag=theirs\nTo: <sip:+15551231234@192.0.2.10>\nCall-ID: {call_id}\n\
         CSeq: 1 INVITE\nContact: <sip:bob@198.51.100.1:5060>\n{headers}{content}\n{body}"
    )
}

/// Any request outside dialogs.
pub fn outside(method: &str, branch: &str, headers: &str) -> String {
    format!(
        "{method} sip:192.0.2.10 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch={branch}\nMax-Forwards: 70\n\
         From: <sip:a@198.51.100.1>;tag=t{branch}\nTo: <sip:192.0.2.10>\nCall-ID: c{branch}\nCSeq: 7 {method}\n{headers}\n"
    )
}

/// A request of the caller inside the dialog that our `response` made.
pub fn in_dialog(method: &str, number: u32, response: &str, branch: &str, rest: &str) -> String {
    let (headers, body) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let headers = if headers.is_empty() { String::new() } else { format!("{}\n", headers.trim_end()) };
    format!(
        "{method} sip:192.0.2.10:5060 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch={branch}\nMax-Forwards: 70\nFrom: {}\nTo: {}\n\
         Call-ID: {}\nCSeq: {number} {method}\n{headers}\n{body}",
        header(response, "From"),
        header(response, "To"),
        header(response, "Call-ID"),
    )
}

/// A request of the callee inside the dialog of our `request` and its tag.
pub fn from_callee(method: &str, number: u32, request: &str, tag: &str, branch: &str, rest: &str) -> String {
    let (headers, body) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let headers = if headers.is_empty() { String::new() } else { format!("{}\n", headers.trim_end()) };
    format!(
        "{method} sip:192.0.2.10:5060 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch={branch}\nMax-Forwards: 70\n\
         From: <sip:+15551231234@carrier.example.com>;tag={tag}\nTo: {}\nCall-ID: {}\nCSeq: {number} {method}\n{headers}\n{body}",
        header(request, "From"),
        header(request, "Call-ID"),
    )
}

/// A response to a request of ours.
pub fn reply(request: &str, status: &str, tag: &str, headers: &str, body: &str) -> String {
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    let to = header(request, "To");
    let to = if to.contains(";tag=") || tag.is_empty() { to } else { format!("{to};tag={tag}") };
    format!(
        "SIP/2.0 {status}\nVia: {}\nFrom: {}\nTo: {to}\nCall-ID: {}\nCSeq: {}\n{headers}{content}\n{body}",
        header(request, "Via"),
        header(request, "From"),
        header(request, "Call-ID"),
        header(request, "CSeq"),
    )
}

/// The first value of a header of a message.
pub fn header(text: &str, name: &str) -> String {
    all(text, name).into_iter().next().unwrap_or_else(|| panic!("no {name} in:\n{text}"))
}

/// All values of a header of a message.
pub fn all(text: &str, name: &str) -> Vec<String> {
    let head = text.replace("\r\n", "\n");
    let head = head.split("\n\n").next().unwrap_or("").to_owned();
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(have, _)| have.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .collect()
}

/// A parameter of a header of a message.
pub fn param(text: &str, name: &str, param: &str) -> String {
    let value = header(text, name);
    value.split(';').skip(1).find_map(|part| part.strip_prefix(param)?.strip_prefix('=')).unwrap_or("").to_owned()
}

/// The status of a response.
pub fn status(text: &str) -> u16 {
    text.strip_prefix("SIP/2.0 ").unwrap_or_else(|| panic!("no response:\n{text}"))[..3].parse().unwrap()
}

/// A body called a description.
pub fn sdp(text: &'static str) -> Body {
    Body::sdp(text)
}
