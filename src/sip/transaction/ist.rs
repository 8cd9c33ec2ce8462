//! INVITE server transaction: RFC 3261 §17.2.1, with the Accepted state of RFC 6026.

use std::time::Duration;

use bytes::Bytes;

use super::{Acts, Intervals, Letter, ServerNews};

/// An INVITE we got.
#[derive(Debug)]
pub struct ServerInvite {
    state: State,
    /// What a repeated INVITE is answered with.
    response: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Proceeding,
    Completed { interval: Duration },
    Confirmed,
    Accepted,
}

impl ServerInvite {
    /// The INVITE came; `trying` is the 100 that goes at once, so that the caller stops repeating while we think.
    pub fn start(trying: Bytes, acts: &mut Acts) -> Self {
        acts.send(&trying);
        Self { state: State::Proceeding, response: trying }
    }

    /// The INVITE came and is answered finally at once.
    pub const fn quiet() -> Self {
        Self { state: State::Proceeding, response: Bytes::new() }
    }

    /// Whether no final response was sent yet.
    pub fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    /// Whether a refusal waits for its ACK, or has it.
    pub const fn is_refused(&self) -> bool {
        matches!(self.state, State::Completed { .. } | State::Confirmed)
    }

    /// The INVITE came again.
    pub fn repeated(&mut self, acts: &mut Acts) -> ServerNews {
        match self.state {
            State::Proceeding | State::Completed { .. } => {
                acts.send(&self.response);
                ServerNews::Nothing
            }
            State::Accepted => ServerNews::RepeatAnswer,
            State::Confirmed => ServerNews::Nothing,
        }
    }

    /// We answer. After a 2xx its repeats are the user's business (RFC 6026 §7.1). False if a final response was sent before.
    pub fn respond(&mut self, status: u16, response: Bytes, reliable: bool, intervals: &Intervals, acts: &mut Acts) -> bool {
        if self.state != State::Proceeding {
            return false;
        }
        acts.send(&response);
        match status {
            ..=199 => self.response = response,
            200..=299 => {
                self.state = State::Accepted;
                self.response = Bytes::new();
                acts.arm(Letter::L, intervals.patience());
            }
            _ => {
                self.state = State::Completed { interval: intervals.t1 };
                self.response = response;
                if !reliable {
                    acts.arm(Letter::G, intervals.t1);
                }
                acts.arm(Letter::H, intervals.patience());
            }
        }
        true
    }

    /// The latest provisional once more: proxies drop calls that stay silent for three minutes (RFC 3261 §13.3.1.1).
    pub fn remind(&self, acts: &mut Acts) {
        if self.state == State::Proceeding {
            acts.send(&self.response);
        }
    }

    /// The ACK to our refusal came.
    pub fn acknowledged(&mut self, reliable: bool, intervals: &Intervals, acts: &mut Acts) {
        if matches!(self.state, State::Completed { .. }) {
            self.state = State::Confirmed;
            self.response = Bytes::new();
            if reliable {
                acts.over = true;
            } else {
                acts.arm(Letter::I, intervals.t4);
            }
        }
    }

    /// A timer fired.
    pub fn fired(&mut self, letter: Letter, intervals: &Intervals, acts: &mut Acts) {
        match (self.state, letter) {
            (State::Completed { interval }, Letter::G) => {
                let next = intervals.doubled(interval);
                self.state = State::Completed { interval: next };
                acts.send(&self.response);
                acts.arm(Letter::G, next);
            }
            (State::Completed { .. }, Letter::H) | (State::Confirmed, Letter::I) | (State::Accepted, Letter::L) => acts.over = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RINGING: Bytes = Bytes::from_static(b"180");
    const BUSY: Bytes = Bytes::from_static(b"486");

    fn acts(act: impl FnOnce(&mut Acts)) -> Acts {
        let mut acts = Acts::default();
        act(&mut acts);
        acts
    }

    #[test]
    fn a_repeat_hears_the_latest_provisional() {
        let mut machine = ServerInvite::start(Bytes::from_static(b"100"), &mut Acts::default());
        machine.respond(180, RINGING, false, &Intervals::default(), &mut Acts::default());
        assert_eq!(acts(|it| assert_eq!(machine.repeated(it), ServerNews::Nothing)).send[0], Some(RINGING));
    }

    #[test]
    fn a_refusal_repeats_until_the_ack() {
        let intervals = Intervals::default();
        let mut machine = ServerInvite::start(Bytes::new(), &mut Acts::default());
        let first = acts(|it| assert!(machine.respond(486, BUSY, false, &intervals, it)));
        assert_eq!(first.arm, [Some((Letter::G, intervals.t1)), Some((Letter::H, intervals.patience()))]);
        for next in [1, 2, 4, 4] {
            let again = acts(|it| machine.fired(Letter::G, &intervals, it));
            assert_eq!((again.send[0].clone(), again.arm[0]), (Some(BUSY), Some((Letter::G, Duration::from_secs(next)))));
        }
        assert_eq!(acts(|it| machine.acknowledged(false, &intervals, it)).arm[0], Some((Letter::I, intervals.t4)));
        assert!(acts(|it| machine.fired(Letter::G, &intervals, it)).send[0].is_none());
        assert!(!acts(|it| machine.fired(Letter::H, &intervals, it)).over);
        assert!(acts(|it| machine.fired(Letter::I, &intervals, it)).over);
    }

    #[test]
    fn a_refusal_nobody_acknowledges_ends_by_timer_h() {
        let intervals = Intervals::default();
        let mut machine = ServerInvite::start(Bytes::new(), &mut Acts::default());
        machine.respond(486, BUSY, false, &intervals, &mut Acts::default());
        assert!(acts(|it| machine.fired(Letter::H, &intervals, it)).over);
    }

    #[test]
    fn a_second_final_is_refused_and_an_accepted_invite_asks_for_its_answer_again() {
        let intervals = Intervals::default();
        let mut machine = ServerInvite::start(Bytes::new(), &mut Acts::default());
        assert!(machine.respond(200, Bytes::from_static(b"200"), false, &intervals, &mut Acts::default()));
        assert!(!machine.respond(486, BUSY, false, &intervals, &mut Acts::default()));
        assert_eq!(machine.repeated(&mut Acts::default()), ServerNews::RepeatAnswer);
        assert!(acts(|it| machine.fired(Letter::L, &intervals, it)).over);
    }
}
