//! A carrier's user agent: brings calls to the switchboard, or takes them onward.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callthrough::sip::{
    Body, Config, Endpoint, Header, InDialog, Incoming, Invite, Leg, LegEvent, OutgoingInvite, RequestId, Source, SourcePolicy, Target,
};
use callthrough::types::{Clock, Random, TrunkId};
use tokio::sync::mpsc;

/// What a caller offers, with lines of its own that must arrive byte for byte.
pub const OFFER: &str = "v=0\r\no=alice 7 7 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0 101\r\n\
                         a=rtpmap:101 telephone-event/8000\r\na=x-own:kept as it is\r\n";
/// What the far side answers.
pub const ANSWER: &str = "v=0\r\no=bob 9 9 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40002 RTP/AVP 8 101\r\n\
                          a=rtpmap:101 telephone-event/8000\r\n";

const PATIENCE: Duration = Duration::from_secs(10);

/// A session description.
#[expect(clippy::unnecessary_wraps, reason = "every body of a message is optional")]
pub fn sdp(text: &'static str) -> Option<Body> {
    Some(Body::sdp(text))
}

/// The text of a body.
pub fn text(body: Option<&Body>) -> &str {
    body.map_or("", |body| std::str::from_utf8(&body.bytes).expect("SDP is text"))
}

/// Whoever calls a carrier of the tests is the switchboard.
struct Everybody(TrunkId);

impl SourcePolicy for Everybody {
    fn classify(&self, _: SocketAddr) -> Source {
        Source::Trunk(self.0)
    }
}

pub struct Carrier {
    endpoint: Endpoint,
    incoming: mpsc::Receiver<Incoming>,
}

impl Carrier {
    pub async fn start(clock: &Clock) -> Self {
        let (clock, random) = (clock.clone(), Random::system());
        let config = Config { listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..Config::default() };
        let (endpoint, incoming) = Endpoint::start(config, clock.clone(), random.clone()).await.expect("a free port");
        endpoint.set_sources(Arc::new(Everybody(TrunkId::new(&clock, &random)))).await;
        Self { endpoint, incoming }
    }

    pub fn address(&self) -> SocketAddr {
        self.endpoint.local_addresses()[0]
    }

    /// Brings a call of `caller` to `dialled`.
    pub async fn brings(&self, to: SocketAddr, caller: &str, dialled: &str, offer: Option<Body>, headers: Vec<Header>) -> Party {
        let here = self.address();
        let from = if caller.contains('<') { caller.to_owned() } else { format!("<sip:{caller}@{here};user=phone>") };
        let invite = OutgoingInvite {
            target: Target::Address(to),
            request_uri: format!("sip:{dialled}@{to};user=phone"),
            from,
            to: format!("<sip:{dialled}@{to};user=phone>"),
            headers,
            body: offer,
            max_forwards: 70,
            sip_call_id: None,
        };
        Party { leg: self.endpoint.invite(invite).await, invite: None }
    }

    /// The next call the switchboard sends here.
    pub async fn gets_a_call(&mut self) -> Party {
        let Incoming { leg, invite } =
            tokio::time::timeout(PATIENCE, self.incoming.recv()).await.expect("a call comes in time").expect("the endpoint runs");
        Party { leg, invite: Some(invite) }
    }

    /// Whether nobody has called here.
    pub fn is_left_alone(&mut self) -> bool {
        self.incoming.try_recv().is_err()
    }
}

/// One end of a call, held by a test.
pub struct Party {
    leg: Leg,
    invite: Option<Invite>,
}

impl Party {
    /// What the switchboard's INVITE said.
    pub fn invite(&self) -> &Invite {
        self.invite.as_ref().expect("a call that came in")
    }

    pub async fn rings(&self) {
        self.leg.progress(180, None, vec![]).await;
    }

    pub async fn sounds(&self, status: u16, body: Option<Body>) {
        self.leg.progress(status, body, vec![]).await;
    }

    pub async fn answers(&self) {
        self.leg.answer(sdp(ANSWER), vec![]).await;
    }

    pub async fn answers_with(&self, body: Option<Body>) {
        self.leg.answer(body, vec![]).await;
    }

    pub async fn refuses(&self, status: u16) {
        self.leg.refuse(status, "", vec![]).await;
    }

    pub async fn hangs_up(&self) {
        self.leg.hang_up(None).await;
    }

    pub async fn acks(&self, body: Option<Body>) {
        self.leg.ack(body).await;
    }

    pub async fn asks(&mut self, method: InDialog, body: Option<Body>) -> RequestId {
        self.leg.request(method, body, vec![]).await
    }

    pub async fn responds(&self, id: RequestId, status: u16, body: Option<Body>) {
        self.leg.respond(id, status, body, vec![]).await;
    }

    /// The next event.
    pub async fn hears(&mut self) -> LegEvent {
        tokio::time::timeout(PATIENCE, self.leg.event()).await.expect("an event comes in time").expect("the leg still lives")
    }

    /// The next event but for 100 and 18x.
    pub async fn hears_at_last(&mut self) -> LegEvent {
        loop {
            match self.hears().await {
                LegEvent::Progress { .. } => {}
                event => return event,
            }
        }
    }

    /// Waits for the answer; what it carried.
    pub async fn is_answered(&mut self) -> String {
        match self.hears_at_last().await {
            LegEvent::Answered { body, .. } => text(body.as_ref()).to_owned(),
            event => panic!("no answer but {event:?}"),
        }
    }

    /// Waits for the refusal; its status.
    pub async fn is_refused(&mut self) -> u16 {
        match self.hears_at_last().await {
            LegEvent::Refused { status, .. } => status,
            event => panic!("no refusal but {event:?}"),
        }
    }

    /// Waits for the hang-up; the text of its Reason.
    pub async fn is_hung_up(&mut self) -> String {
        loop {
            match self.hears().await {
                LegEvent::HungUp { reason, .. } | LegEvent::Cancelled { reason } => {
                    return reason.map(|reason| format!("{};{} {}", reason.protocol, reason.cause, reason.text)).unwrap_or_default();
                }
                LegEvent::Acked { .. } | LegEvent::RequestAcked { .. } | LegEvent::Progress { .. } => {}
                event => panic!("no hang-up but {event:?}"),
            }
        }
    }
}
