//! One half of a call as the switchboard sees it: commands in, events out, no tags, branches or CSeq.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

/// Events a leg may have waiting. A switchboard task that lets them pile up higher loses its leg: it is hung up.
pub const EVENT_QUEUE: usize = 64;

/// Names a leg inside this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub(crate) u64);

/// Names a request inside its leg: one of theirs to [`Leg::respond`] to, or one of ours whose response will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) u64);

/// Names one of the early dialogs of an outgoing INVITE: a carrier that forks rings several phones at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EarlyDialogId(pub(crate) u32);

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
    /// Where the datagram came from: a known source.
    pub source: SocketAddr,
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
    headers: Vec<(String, String)>,
}

impl Invite {
    /// Every value of the header of this name, in order, as it came; names compare without regard to case, and a compact name finds
    /// nothing: ask by the name in full.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first value of the header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
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
        /// Which early dialog asks, on an outgoing leg that has not answered.
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
}

/// What a leg may be told. Carried to the core by its queue.
#[derive(Debug)]
pub(crate) enum Command {
    Progress { status: u16, body: Option<Body>, headers: Vec<Header> },
    Answer { body: Option<Body>, headers: Vec<Header> },
    Refuse { status: u16, phrase: Cow<'static, str>, headers: Vec<Header> },
    HangUp { reason: Option<Reason> },
    Ack { body: Option<Body> },
    Request { id: RequestId, method: InDialog, body: Option<Body>, headers: Vec<Header> },
    Respond { id: RequestId, status: u16, body: Option<Body>, headers: Vec<Header> },
}

/// One half of a call, owned by the call's task. Dropping it hangs up politely: CANCEL, BYE or a final response, whichever is due.
///
/// Commands never fail: what the leg's state does not allow any more is dropped, and the event that tells why is already on its way.
#[derive(Debug)]
pub struct Leg {
    id: LegId,
    commands: mpsc::Sender<super::endpoint::Order>,
    events: mpsc::Receiver<LegEvent>,
    stored: Option<StoredDialog>,
    requests: u64,
}

impl Leg {
    /// Its name in this process.
    pub const fn id(&self) -> LegId {
        self.id
    }

    /// The next thing that happens; `None` when nothing more will. Safe to drop half-way, so it may stand in a `select!`.
    pub async fn event(&mut self) -> Option<LegEvent> {
        self.events.recv().await
    }

    /// Answers an incoming leg for now: 101 to 199, with early media if there is a body.
    pub async fn progress(&self, status: u16, body: Option<Body>, headers: Vec<Header>) {
        self.send(Command::Progress { status, body, headers }).await;
    }

    /// Answers an incoming leg with 200; it is repeated until [`LegEvent::Acked`] comes.
    pub async fn answer(&self, body: Option<Body>, headers: Vec<Header>) {
        self.send(Command::Answer { body, headers }).await;
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
        // Odd numbers are ours, even ones theirs.
        self.requests += 1;
        let id = RequestId(self.requests * 2 + 1);
        self.send(Command::Request { id, method, body, headers }).await;
        id
    }

    /// Answers [`LegEvent::Request`]; 1xx is allowed for a re-INVITE.
    pub async fn respond(&self, id: RequestId, status: u16, body: Option<Body>, headers: Vec<Header>) {
        self.send(Command::Respond { id, status, body, headers }).await;
    }

    /// What to keep for hanging up after a restart: at once for an incoming leg, from [`LegEvent::Answered`] on for an outgoing one.
    pub const fn stored_dialog(&self) -> Option<&StoredDialog> {
        self.stored.as_ref()
    }

    async fn send(&self, command: Command) {
        // An error means the endpoint has stopped; the event stream ends too and says so.
        let _ = self.commands.send(super::endpoint::Order::Leg(self.id, command)).await;
    }
}
