//! The sound of a call: descriptions rewritten on their way between the legs where our relay carries it, and what the relay tells.

use super::Running;
use crate::call::{Cause, Fact};
use crate::media::{Heard, MediaError};
use crate::sip::Body;
use crate::types::{Refusal, Side};

impl Running {
    /// B is dialled at `far`: the relay is ready for it. The fact ends the call.
    pub(super) fn make_room(&mut self, far: std::net::IpAddr) -> Result<(), Fact> {
        let room = match &mut self.sound {
            Some(sound) => sound.towards(Side::B, far),
            None => self.board.media.open(self.arrived.source).and_then(|sound| {
                self.sound = sound.map(Box::new);
                self.sound.as_mut().map_or(Ok(()), |sound| sound.towards(Side::B, far))
            }),
        };
        room.map_err(|error| self.no_sound(&error))
    }

    /// What a leg says, as the other leg gets it: descriptions with the relay in, the rest as it came.
    pub(super) async fn pass(&mut self, from: Side, body: Option<Body>) -> Result<Option<Body>, MediaError> {
        match (&mut self.sound, body) {
            (Some(sound), Some(body)) if body.is_sdp() => {
                let bytes = sound.describe(from, &body.bytes).await?;
                Ok(Some(Body { content_type: body.content_type, bytes }))
            }
            (_, body) => Ok(body),
        }
    }

    /// The same for what cannot be sent back: a description that cannot be read is left out, never passed on around the relay.
    pub(super) async fn pass_on(&mut self, from: Side, body: Option<Body>) -> Option<Body> {
        match self.pass(from, body).await {
            Ok(body) => body,
            Err(error) => {
                tracing::warn!(call.id = %self.id, side = from.as_str(), %error, "a session description is left out");
                None
            }
        }
    }

    /// What becomes of a call without sound.
    pub(super) fn no_sound(&self, error: &MediaError) -> Fact {
        match error {
            MediaError::Description(_) => {
                tracing::info!(call.id = %self.id, %error, "a call is refused for its session description");
                Fact::Stopped(Cause::Incompatible)
            }
            error => {
                tracing::error!(call.id = %self.id, %error, "a call is refused because the relay has no room");
                Fact::Stopped(Cause::Refused(Refusal::Draining))
            }
        }
    }
}

/// What the relay hears, as a fact for the machine.
pub(super) const fn fact(heard: Heard) -> Fact {
    match heard {
        Heard::Silence(side) => Fact::Unheard(side),
        Heard::Pressed(side, digit) => Fact::Pressed(side, digit),
        Heard::Played(side) => Fact::Played(side),
    }
}
