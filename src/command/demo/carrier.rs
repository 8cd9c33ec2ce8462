//! The carriers of the demo: SIP user agents over UDP on this machine, one that brings the call in and two that take it onward.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::ladder::{Ladder, Lane};
use crate::sip::{Body, Config, Endpoint, Incoming, LegEvent, OutgoingInvite, Source, SourcePolicy, Target};
use crate::types::{Clock, E164, Random, TrunkId};

/// How long the far phone rings.
const RINGING: Duration = Duration::from_millis(400);

/// A description of somebody who would talk, if there were media: audio in G.711 at a port nobody listens on.
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0 101\r\n\
                   a=rtpmap:101 telephone-event/8000\r\n";

/// A user agent of a carrier.
pub(super) struct Carrier {
    endpoint: Endpoint,
    incoming: mpsc::Receiver<Incoming>,
    ladder: Ladder,
}

/// Whoever calls a carrier of the demo is the server of the demo.
struct Everybody(TrunkId);

impl SourcePolicy for Everybody {
    fn classify(&self, _: SocketAddr) -> Source {
        Source::Trunk(self.0)
    }
}

impl Carrier {
    pub(super) async fn start(ladder: &Ladder, clock: &Clock, random: &Random) -> std::io::Result<Self> {
        let config = Config { listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..Config::default() };
        let (endpoint, incoming) = Endpoint::start(config, clock.clone(), random.clone()).await?;
        endpoint.set_sources(Arc::new(Everybody(TrunkId::new(clock, random)))).await;
        Ok(Self { endpoint, incoming, ladder: ladder.clone() })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.endpoint.local_addresses()[0]
    }

    /// Refuses its next call with 503.
    pub(super) async fn fail(mut self) {
        let Some(Incoming { mut leg, .. }) = self.incoming.recv().await else { return };
        self.ladder.say(Lane::Us, Lane::FirstOut, "INVITE");
        self.ladder.say(Lane::FirstOut, Lane::Us, "503 no circuits");
        leg.refuse(503, "No Circuits", Vec::new()).await;
        while leg.event().await.is_some() {}
    }

    /// Rings, answers and talks until the other side hangs up; tells which number was wanted.
    pub(super) async fn take(mut self) -> Option<String> {
        let Incoming { mut leg, invite } = self.incoming.recv().await?;
        let wanted = user_of(&invite.request_uri);
        self.ladder.say(Lane::Us, Lane::SecondOut, format!("INVITE {wanted}"));
        self.ladder.say(Lane::SecondOut, Lane::Us, "180 ringing");
        leg.progress(180, None, Vec::new()).await;
        tokio::time::sleep(RINGING).await;
        self.ladder.say(Lane::SecondOut, Lane::Us, "200 answered");
        leg.answer(Some(Body::sdp(SDP)), Vec::new()).await;
        while let Some(event) = leg.event().await {
            match event {
                LegEvent::Acked { .. } => self.ladder.say(Lane::Us, Lane::SecondOut, "ACK"),
                LegEvent::HungUp { .. } => self.ladder.say(Lane::Us, Lane::SecondOut, "BYE"),
                _ => {}
            }
        }
        Some(wanted)
    }

    /// Brings a call of `caller` to `access_number` and stays in it until it ends; tells how it fared.
    pub(super) async fn bring(&self, server: SocketAddr, caller: E164, access_number: E164) -> Brought {
        let here = self.address();
        self.ladder.say(Lane::Phone, Lane::CarrierIn, format!("dials {access_number}"));
        self.ladder.say(Lane::CarrierIn, Lane::Us, "INVITE");
        let mut leg = self
            .endpoint
            .invite(OutgoingInvite {
                target: Target::Address(server),
                request_uri: format!("sip:{access_number}@{server};user=phone"),
                from: format!("<sip:{caller}@{here};user=phone>"),
                to: format!("<sip:{access_number}@{server};user=phone>"),
                headers: Vec::new(),
                body: Some(Body::sdp(SDP)),
                max_forwards: 70,
                sip_call_id: None,
            })
            .await;
        let mut answered = false;
        while let Some(event) = leg.event().await {
            match event {
                LegEvent::Progress { status, .. } => self.ladder.say(Lane::Us, Lane::CarrierIn, format!("{status}")),
                LegEvent::Answered { .. } => {
                    answered = true;
                    self.ladder.say(Lane::Us, Lane::CarrierIn, "200 answered");
                }
                LegEvent::Refused { status, phrase, .. } => {
                    self.ladder.say(Lane::Us, Lane::CarrierIn, format!("{status} {phrase}"));
                    return Brought::Refused(status);
                }
                LegEvent::HungUp { .. } => self.ladder.say(Lane::Us, Lane::CarrierIn, "BYE"),
                _ => {}
            }
        }
        if answered { Brought::Connected } else { Brought::Lost }
    }
}

/// How a call that was brought in fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// It was answered, and has ended.
    Connected,
    /// It was refused with this status.
    Refused(u16),
    /// Neither.
    Lost,
}

/// The number in `sip:+15551231234@host;user=phone`.
fn user_of(uri: &str) -> String {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split(['@', ';']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stands_before_the_host() {
        assert_eq!(user_of("sip:+15551231234@192.0.2.1;user=phone"), "+15551231234");
        assert_eq!(user_of("tel:+15551231234;phone-context=x"), "+15551231234");
    }
}
