//! Non-INVITE server transaction: RFC 3261 §17.2.2.

use bytes::Bytes;

use super::{Acts, Intervals, Letter};

/// A request we got that is no INVITE and no ACK.
#[derive(Debug, Default)]
pub struct Server {
    /// None while nobody has answered; a repeat is then absorbed in silence.
    response: Option<Bytes>,
}

impl Server {
    /// The request came again.
    pub fn repeated(&self, acts: &mut Acts) {
        if let Some(response) = &self.response {
            acts.send(response);
        }
    }

    /// We answer. False if a final response was sent before.
    pub fn respond(&mut self, response: Bytes, reliable: bool, intervals: &Intervals, acts: &mut Acts) -> bool {
        if self.response.is_some() {
            return false;
        }
        acts.send(&response);
        self.response = Some(response);
        if reliable {
            acts.over = true;
        } else {
            acts.arm(Letter::J, intervals.patience());
        }
        true
    }

    /// A timer fired.
    pub fn fired(&mut self, letter: Letter, acts: &mut Acts) {
        if letter == Letter::J && self.response.is_some() {
            acts.over = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_silent_before_and_answered_after_the_response() {
        let mut machine = Server::default();
        let mut acts = Acts::default();
        machine.repeated(&mut acts);
        assert_eq!(acts.send[0], None);
        let response = Bytes::from_static(b"200");
        assert!(machine.respond(response.clone(), false, &Intervals::default(), &mut acts));
        assert_eq!(acts.arm[0], Some((Letter::J, Intervals::default().patience())));
        let mut acts = Acts::default();
        machine.repeated(&mut acts);
        assert_eq!(acts.send[0], Some(response.clone()));
        assert!(!machine.respond(response, false, &Intervals::default(), &mut Acts::default()));
        machine.fired(Letter::J, &mut acts);
        assert!(acts.over);
    }
}
