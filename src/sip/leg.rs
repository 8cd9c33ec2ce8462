//! One half of a call as the switchboard sees it: commands in, events out, no tags, branches or CSeq.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::admission::Place;
use super::dialog::{TAG_LENGTH, early_tag, tag_number, tag_text};
use super::endpoint::Order;
use super::msg::{HeaderLine, Message, Name};
use super::transport::Transport;
use crate::types::TrunkId;

/// Events a leg may have waiting. A switchboard task that lets them pile up higher loses its leg: it is hung up.
pub const EVENT_QUEUE: usize = 64;

/// Names a leg inside this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub(crate) u64);

/// Names a request inside its leg: one of theirs to [`Leg::respond`] to, or one of ours whose response will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) u64);

impl RequestId {
    /// Our own sign of life, of which nobody is told.
    pub(crate) const SIGN: Self = Self(1);
}

/// Names one of the early dialogs of an INVITE: a carrier that forks rings several phones at once, and each has a dialog of its own with
/// whoever called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EarlyDialogId(pub(crate) u32);

impl EarlyDialogId {
    /// The first one: the only one of a call that forks nowhere.
    pub const FIRST: Self = Self(0);

    /// The early dialog of this number towards a caller, for [`Leg::progress_in`]. They are told apart up to 255.
    pub const fn numbered(number: u8) -> Self {
        Self(number as u32)
    }
}

/// What a message carries besides its headers: nearly always a session description. Cloning copies no bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The Content-Type as it came, such as `application/sdp`.
    pub content_type: Cow<'static, str>,
    /// The bytes as they came.
    pub bytes: Bytes,
}

impl Body {
    /// A session description.
    pub fn sdp(bytes: impl Into<Bytes>) -> Self {
        Self { content_type: Cow::Borrowed("application/sdp"), bytes: bytes.into() }
    }

    /// Whether the Content-Type says `application/sdp`.
    pub fn is_sdp(&self) -> bool {
        self.content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/sdp"))
    }
}

/// A header to add to what we send. Names and values with line breaks are left out, never sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name in full, such as `P-Asserted-Identity`.
    pub name: Cow<'static, str>,
    /// Its value on one line.
    pub value: String,
}

impl Header {
    /// A header of this name and value.
    pub fn new(name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// Why a leg ends, as the Reason header tells it (RFC 3326).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `Q.850` or `SIP`.
    pub protocol: Cow<'static, str>,
    /// The cause number.
    pub cause: u16,
    /// Words for people, possibly none.
    pub text: Cow<'static, str>,
}

impl Reason {
    /// A Q.850 cause: 16 is normal clearing, 17 user busy, 102 a timer ran out.
    pub fn q850(cause: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { protocol: Cow::Borrowed("Q.850"), cause, text: text.into() }
    }
}

/// Where an outgoing INVITE goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This address.
    Address(SocketAddr),
    /// This host, looked up when the INVITE leaves; 5060 unless a port is given.
    Host(String, Option<u16>),
    /// This address, by this transport.
    Hop(Hop),
}

/// The next stop of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// How it goes there.
    pub transport: Transport,
    /// Where it goes.
    pub address: SocketAddr,
    /// What is too long for a datagram goes by TCP, as RFC 3261 §18.1.1 has it; back to UDP if nobody listens there.
    pub by_size: bool,
}

/// A new call of a known source: what it asks, and the leg to answer it with.
#[derive(Debug)]
pub struct Incoming {
    /// The caller's leg. Dropping it refuses the call with 480.
    pub leg: Leg,
    /// What was asked.
    pub invite: Invite,
}

/// What the INVITE said.
#[derive(Debug, Clone)]
pub struct Invite {
    /// Where it came from: a known source.
    pub source: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// Whose source that is.
    pub trunk: TrunkId,
    /// The Request-URI as it came.
    pub request_uri: String,
    /// The From header as it came, without its tag.
    pub from: String,
    /// The To header as it came.
    pub to: String,
    /// The Call-ID header of this leg.
    pub sip_call_id: String,
    /// What Max-Forwards leaves for the other leg: already one less than it came with.
    pub max_forwards: u8,
    /// The offer; none for a late offer, which is then due in our answer.
    pub body: Option<Body>,
    /// Looked up in place while every line is plain UTF-8.
    message: Message,
    /// Else all headers as text: folds opened, odd bytes read as Latin-1, so that none is missed.
    opened: Option<Box<[(String, String)]>>,
}

/// Max-Forwards of a request that names none.
const MAX_FORWARDS: u8 = 70;

impl Invite {
    pub(crate) fn new(source: SocketAddr, transport: Transport, trunk: TrunkId, request: &Message, body: Option<Body>) -> Self {
        let is_plain = request.all().all(|line| line.text().is_some_and(|text| !text.contains(['\r', '\n'])));
        let opened = (!is_plain).then(|| request.all().map(|line| (name_of(line), open(line.value()))).collect());
        Self {
            source,
            transport,
            trunk,
            request_uri: request.request_uri().map(ToString::to_string).unwrap_or_default(),
            from: without_tag(request.get(Name::From).unwrap_or_default()),
            to: open(request.get(Name::To).unwrap_or_default()),
            sip_call_id: request.call_id().to_owned(),
            max_forwards: request.max_forwards().unwrap_or(MAX_FORWARDS).saturating_sub(1),
            body,
            message: request.clone(),
            opened,
        }
    }

    /// Every value of the header of this name, in order, as it came, one a line. Names compare without regard to case, and compact names are
    /// found by their full ones.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let opened = self.opened.iter().flatten().filter(move |(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        let plain = self.opened.is_none().then(|| self.message.named(name).filter_map(|line| line.text()));
        opened.chain(plain.into_iter().flatten())
    }

    /// The first value of the header of this name.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.headers(name).next()
    }
}

fn name_of(line: HeaderLine<'_>) -> String {
    match line.name() {
        Name::Other => String::from_utf8_lossy(line.name_bytes()).into_owned(),
        known => known.as_str().to_owned(),
    }
}

/// A value as text: folds become a space, bytes that are no UTF-8 are read as Latin-1.
fn open(value: &[u8]) -> String {
    let text = std::str::from_utf8(value).map_or_else(|_| value.iter().map(|&byte| char::from(byte)).collect(), str::to_owned);
    if text.contains(['\r', '\n']) {
        text.split(['\r', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    } else {
        text
    }
}

fn without_tag(value: &[u8]) -> String {
    let text = open(value);
    // A tag stands after the brackets, or anywhere after an addr-spec without them.
    let after = text.rfind('>').map_or(0, |at| at + 1);
    let (head, params) = text.split_at(after);
    let mut parts = params.split(';');
    let first = parts.next().unwrap_or("").trim_end().to_owned();
    parts
        .filter(|part| !part.trim_start().get(..4).is_some_and(|start| start.eq_ignore_ascii_case("tag=")))
        .fold(format!("{head}{first}"), |so_far, part| format!("{so_far};{part}"))
}

/// A call of ours to somebody.
#[derive(Debug, Clone)]
pub struct OutgoingInvite {
    /// Where it goes.
    pub target: Target,
    /// The Request-URI, such as `sip:+15551231234@192.0.2.7;user=phone`.
    pub request_uri: String,
    /// The From header without tag, such as `"Ada" <sip:+15551230000@198.51.100.1>`.
    pub from: String,
    /// The To header without tag.
    pub to: String,
    /// More headers, such as P-Asserted-Identity and Privacy.
    pub headers: Vec<Header>,
    /// The offer; none asks the far end for one, which comes with [`LegEvent::Answered`] and wants [`Leg::ack`].
    pub body: Option<Body>,
    /// [`Invite::max_forwards`] of the call this one continues, else 70.
    pub max_forwards: u8,
    /// The Call-ID, where whoever calls wants to know it; it must never have been used. None draws one.
    pub sip_call_id: Option<Box<str>>,
}

/// A request inside an answered call (or, for `Update` and `Info`, a ringing one).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InDialog {
    /// A re-INVITE.
    Reinvite,
    /// An UPDATE (RFC 3311).
    Update,
    /// An INFO (RFC 6086).
    Info,
}

/// Whose word a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByWhom {
    /// The far end answered so.
    Remote,
    /// Nobody answered in time (408).
    Timeout,
    /// Nothing could be sent there (503).
    Transport,
    /// We did not send it: the request cannot be made now, such as a second re-INVITE while one is under way (491).
    Local,
}

/// What happened on a leg. The stream ends (`None` from [`Leg::event`]) after `Refused`, `HungUp`, `Cancelled`, and once we hang up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegEvent {
    /// The far end of an outgoing leg is on its way: 100 to 199. The 100 is told too: it is what tells a slow carrier from a dead one.
    Progress {
        /// 100, 180, 183, ..
        status: u16,
        /// Which early dialog says so; of a 100 it means nothing.
        early: EarlyDialogId,
        /// Early media, if the answer came with it.
        body: Option<Body>,
    },
    /// The far end of an outgoing leg answered. Its ACK is sent by us, unless `ack_due`.
    Answered {
        /// Which early dialog it was, if it had rung.
        early: EarlyDialogId,
        /// The answer, or the offer if `ack_due`.
        body: Option<Body>,
        /// We invited without an offer: the answer is due in [`Leg::ack`].
        ack_due: bool,
    },
    /// The far end of an outgoing leg said no, or nothing.
    Refused {
        /// 300 to 699; 408 and 503 also when made up by us, as `by` tells.
        status: u16,
        /// The reason phrase as it came.
        phrase: String,
        /// Retry-After.
        retry_after: Option<Duration>,
        /// The Reason header.
        reason: Option<Reason>,
        /// Where a 3xx says to go instead: its Contact URIs, the best first.
        contacts: Vec<String>,
        /// Whose word it is.
        by: ByWhom,
    },
    /// The far end of an incoming leg acknowledged our 200.
    Acked {
        /// The answer to an offer that our 200 carried.
        body: Option<Body>,
    },
    /// The far end hung up, or is gone (no ACK, no answer to a request of ours).
    HungUp {
        /// The Reason header.
        reason: Option<Reason>,
        /// `Remote` for a BYE.
        by: ByWhom,
    },
    /// The caller gave up before we answered; 487 is sent.
    Cancelled {
        /// The Reason header.
        reason: Option<Reason>,
    },
    /// The far end asks something that [`Leg::respond`] must answer.
    Request {
        /// Which request.
        id: RequestId,
        /// What kind.
        method: InDialog,
        /// What it carries.
        body: Option<Body>,
        /// Which early dialog asks, on a leg that is not answered.
        early: Option<EarlyDialogId>,
    },
    /// The far end took back its re-INVITE; 487 is sent, no answer is due.
    RequestCancelled {
        /// Which request.
        id: RequestId,
    },
    /// The ACK of a re-INVITE that we answered with 200.
    RequestAcked {
        /// Which request.
        id: RequestId,
        /// The answer to an offer that our 200 carried.
        body: Option<Body>,
    },
    /// The final answer to a request of ours.
    Response {
        /// Which request.
        id: RequestId,
        /// 200 to 699.
        status: u16,
        /// What it carries.
        body: Option<Body>,
        /// A 200 to a re-INVITE without offer: the answer is due in [`Leg::ack`].
        ack_due: bool,
        /// How long to wait before asking again: Retry-After, or after a 491 what RFC 3261 §14.1 draws for our side.
        retry_after: Option<Duration>,
        /// Whose word it is.
        by: ByWhom,
    },
}

/// What is needed to hang up a leg after a restart: it goes to the books as text and comes back to [`super::Endpoint::bye`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredDialog {
    pub(crate) call_id: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) remote_target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) cseq: u32,
    pub(crate) next_hop: SocketAddr,
    #[serde(default)]
    pub(crate) transport: Transport,
}

impl StoredDialog {
    /// The same with the tag of another early dialog.
    pub(crate) fn in_early(&self, early: EarlyDialogId) -> Option<Self> {
        let (head, tag) = self.local.split_at_checked(self.local.len().checked_sub(TAG_LENGTH)?)?;
        let local = format!("{head}{}", tag_text(early_tag(tag_number(tag)?, early)));
        Some(Self { local, ..self.clone() })
    }
}

/// What a leg may be told. Carried to the core by its queue.
#[derive(Debug)]
pub(crate) enum Command {
    Progress { early: EarlyDialogId, status: u16, body: Option<Body>, headers: Vec<Header> },
    Answer { early: EarlyDialogId, body: Option<Body>, headers: Vec<Header> },
    Refuse { status: u16, phrase: Cow<'static, str>, headers: Vec<Header> },
    HangUp { reason: Option<Reason> },
    Ack { body: Option<Body> },
    Request { id: RequestId, early: Option<EarlyDialogId>, method: InDialog, body: Option<Body>, headers: Vec<Header> },
    Respond { id: RequestId, status: u16, body: Option<Body>, headers: Vec<Header> },
}

/// One half of a call, owned by the call's task. Dropping it hangs up politely: CANCEL, BYE or a final response, whichever is due.
///
/// Commands never fail: what the leg's state does not allow any more is dropped, and the event that tells why is already on its way.
#[derive(Debug)]
pub struct Leg {
    id: LegId,
    orders: mpsc::Sender<Order>,
    events: mpsc::Receiver<Box<Told>>,
    stored: Option<Box<StoredDialog>>,
    requests: u64,
    /// Of a new call: its place among those that are being set up.
    place: Mutex<Option<Box<Place>>>,
}

/// An event on its way to a leg. Boxed in its queue: queues are made in blocks of 32 places, and a leg rarely uses three.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) event: LegEvent,
    pub(crate) stored: Option<Box<StoredDialog>>,
}

impl Leg {
    pub(crate) const fn new(
        id: LegId,
        orders: mpsc::Sender<Order>,
        events: mpsc::Receiver<Box<Told>>,
        stored: Option<Box<StoredDialog>>,
        place: Option<Box<Place>>,
    ) -> Self {
        Self { id, orders, events, stored, requests: 0, place: Mutex::new(place) }
    }

    /// What could be done for this new call is done, the rest is up to others: the next one may be let in. Whoever answers the leg, if
    /// only for now, has said so too.
    pub fn set_up(&self) {
        drop(self.place.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Its name in this process.
    pub const fn id(&self) -> LegId {
        self.id
    }

    /// The next thing that happens; `None` when nothing more will. Safe to drop half-way, so it may stand in a `select!`.
    pub async fn event(&mut self) -> Option<LegEvent> {
        let told = *self.events.recv().await?;
        if told.stored.is_some() {
            self.stored = told.stored;
        }
        Some(told.event)
    }

    /// Answers an incoming leg for now: 101 to 199, with early media if there is a body.
    pub async fn progress(&self, status: u16, body: Option<Body>, headers: Vec<Header>) {
        self.progress_in(EarlyDialogId::FIRST, status, body, headers).await;
    }

    /// The same in one of several early dialogs: the caller sees a To tag of its own for each (RFC 3261 §12.1.1), so that what the far
    /// ends of a fork describe is kept apart.
    pub async fn progress_in(&self, early: EarlyDialogId, status: u16, body: Option<Body>, headers: Vec<Header>) {
        self.send(Command::Progress { early, status, body, headers }).await;
    }

    /// Answers an incoming leg with 200; it is repeated until [`LegEvent::Acked`] comes.
    pub async fn answer(&self, body: Option<Body>, headers: Vec<Header>) {
        self.answer_in(EarlyDialogId::FIRST, body, headers).await;
    }

    /// The same in one of several early dialogs. It becomes the dialog of the call; the others are gone, and requests in them are
    /// answered 481.
    pub async fn answer_in(&self, early: EarlyDialogId, body: Option<Body>, headers: Vec<Header>) {
        self.send(Command::Answer { early, body, headers }).await;
    }

    /// Refuses an incoming leg with 300 to 699; an empty phrase means the usual one.
    pub async fn refuse(&self, status: u16, phrase: impl Into<Cow<'static, str>>, headers: Vec<Header>) {
        self.send(Command::Refuse { status, phrase: phrase.into(), headers }).await;
    }

    /// Ends the leg in whatever state it is: CANCEL, BYE, 480, or ACK and BYE to a 200 that crosses. The event stream ends.
    pub async fn hang_up(&self, reason: Option<Reason>) {
        self.send(Command::HangUp { reason }).await;
    }

    /// Sends the ACK that an `ack_due` waits for, with the answer to the far end's offer.
    pub async fn ack(&self, body: Option<Body>) {
        self.send(Command::Ack { body }).await;
    }

    /// Asks the far end something; [`LegEvent::Response`] with the same id will come.
    pub async fn request(&mut self, method: InDialog, body: Option<Body>, headers: Vec<Header>) -> RequestId {
        self.request_in(None, method, body, headers).await
    }

    /// The same in one of several early dialogs. If another one is answered meanwhile, the response is whatever becomes of it (481 if it
    /// was not sent), and says nothing of the call.
    pub async fn request_in(
        &mut self,
        early: Option<EarlyDialogId>,
        method: InDialog,
        body: Option<Body>,
        headers: Vec<Header>,
    ) -> RequestId {
        // Odd numbers are ours, even ones theirs.
        self.requests += 1;
        let id = RequestId(self.requests * 2 + 1);
        self.send(Command::Request { id, early, method, body, headers }).await;
        id
    }

    /// Answers [`LegEvent::Request`]; 1xx is allowed for a re-INVITE.
    pub async fn respond(&self, id: RequestId, status: u16, body: Option<Body>, headers: Vec<Header>) {
        self.send(Command::Respond { id, status, body, headers }).await;
    }

    /// What to keep for hanging up after a restart: at once for an incoming leg, from [`LegEvent::Answered`] on for an outgoing one.
    pub fn stored_dialog(&self) -> Option<&StoredDialog> {
        self.stored.as_deref()
    }

    /// The same of an incoming leg that is about to be answered in this early dialog.
    pub fn stored_dialog_in(&self, early: EarlyDialogId) -> Option<Cow<'_, StoredDialog>> {
        let stored = self.stored.as_deref()?;
        if early == EarlyDialogId::FIRST { Some(Cow::Borrowed(stored)) } else { stored.in_early(early).map(Cow::Owned) }
    }

    async fn send(&self, command: Command) {
        // A call that has its answer is set up, once that is on its way.
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        // An error means the endpoint has stopped; the event stream ends too and says so.
        let _ = self.orders.send(Order::Leg(self.id, command, place)).await;
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        // With a full queue the endpoint finds out by itself, a little later.
        let _ = self.orders.try_send(Order::Leg(self.id, Command::HangUp { reason: None }, None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_taken_off_and_other_parameters_stay() {
        for (header, expected) in [
            (&b"<sip:+15551230000@192.0.2.1>;tag=abc"[..], "<sip:+15551230000@192.0.2.1>"),
            (b"\"A;tag=b\" <sip:a@192.0.2.1;user=phone>;x=1;TAG=abc;y", "\"A;tag=b\" <sip:a@192.0.2.1;user=phone>;x=1;y"),
            (b"sip:a@192.0.2.1;tag=abc", "sip:a@192.0.2.1"),
            (b"<sip:a@192.0.2.1>\r\n ;tag=abc", "<sip:a@192.0.2.1>"),
            (b"\"J\xf6rg\" <sip:a@192.0.2.1>", "\"J\u{f6}rg\" <sip:a@192.0.2.1>"),
        ] {
            assert_eq!(without_tag(header), expected);
        }
    }

    #[test]
    fn a_body_knows_whether_it_is_a_description() {
        let body = |content_type| Body { content_type: Cow::Borrowed(content_type), bytes: Bytes::new() };
        assert!(body("application/sdp").is_sdp() && body("Application/SDP; charset=utf-8").is_sdp());
        assert!(!body("application/isup").is_sdp());
    }
}
