//! INVITE client transaction: RFC 3261 §17.1.1, with the Accepted state of RFC 6026.

use std::time::Duration;

use bytes::Bytes;

use super::{Acts, ClientNews, Intervals, Letter};

/// An INVITE we sent.
#[derive(Debug)]
pub struct ClientInvite {
    state: State,
    /// The INVITE while anything may still be built from it; then the ACK to a refusal.
    bytes: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Calling { interval: Duration },
    Proceeding,
    Completed,
    Accepted,
}

impl ClientInvite {
    /// Sends the INVITE. A reliable transport repeats nothing.
    pub fn start(invite: Bytes, reliable: bool, intervals: &Intervals, acts: &mut Acts) -> Self {
        acts.send(&invite);
        if !reliable {
            acts.arm(Letter::A, intervals.t1);
        }
        acts.arm(Letter::B, intervals.patience());
        Self { state: State::Calling { interval: intervals.t1 }, bytes: invite }
    }

    /// The INVITE as sent, from which CANCEL and the ACK to a refusal are made; gone once a final response has come.
    pub fn invite(&self) -> Option<&Bytes> {
        matches!(self.state, State::Calling { .. } | State::Proceeding).then_some(&self.bytes)
    }

    /// Whether a provisional response has come and no final one: CANCEL may go (RFC 3261 §9.1).
    pub fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    /// A response came. `ack` makes the ACK to a refusal out of the INVITE.
    pub fn response(
        &mut self,
        status: u16,
        ack: impl FnOnce(&Bytes) -> Option<Bytes>,
        reliable: bool,
        intervals: &Intervals,
        acts: &mut Acts,
    ) -> ClientNews {
        match (self.state, status) {
            (State::Calling { .. } | State::Proceeding, ..=199) => {
                self.state = State::Proceeding;
                ClientNews::Response
            }
            (State::Calling { .. } | State::Proceeding, 200..=299) => {
                self.state = State::Accepted;
                self.bytes = Bytes::new();
                acts.arm(Letter::M, intervals.patience());
                ClientNews::Response
            }
            (State::Calling { .. } | State::Proceeding, _) => {
                self.state = State::Completed;
                self.bytes = ack(&self.bytes).unwrap_or_default();
                acts.send(&self.bytes);
                if reliable {
                    acts.over = true;
                } else {
                    acts.arm(Letter::D, intervals.patience());
                }
                ClientNews::Response
            }
            // RFC 6026 §7.2: every 2xx goes up, from this fork or another; whether it is a repeat is known there.
            (State::Accepted, 200..=299) => ClientNews::Response,
            (State::Completed, 300..) => {
                acts.send(&self.bytes);
                ClientNews::Nothing
            }
            (State::Accepted | State::Completed, _) => ClientNews::Nothing,
        }
    }

    /// A timer fired.
    pub fn fired(&mut self, letter: Letter, intervals: &Intervals, acts: &mut Acts) -> ClientNews {
        let _ = intervals;
        match (self.state, letter) {
            (State::Calling { interval }, Letter::A) => {
                // §17.1.1.2: timer A doubles without the cap of T2.
                self.state = State::Calling { interval: interval * 2 };
                acts.send(&self.bytes);
                acts.arm(Letter::A, interval * 2);
                ClientNews::Nothing
            }
            (State::Calling { .. }, Letter::B) | (State::Calling { .. } | State::Proceeding, Letter::C) => {
                acts.over = true;
                ClientNews::TimedOut
            }
            (State::Completed, Letter::D) | (State::Accepted, Letter::M) => {
                acts.over = true;
                ClientNews::Nothing
            }
            _ => ClientNews::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: Bytes = Bytes::from_static(b"INVITE");
    const ACK: Bytes = Bytes::from_static(b"ACK");

    fn started(reliable: bool) -> (ClientInvite, Acts) {
        let mut acts = Acts::default();
        let machine = ClientInvite::start(INVITE, reliable, &Intervals::default(), &mut acts);
        (machine, acts)
    }

    fn hears(machine: &mut ClientInvite, status: u16) -> (ClientNews, Acts) {
        let mut acts = Acts::default();
        let news = machine.response(status, |_| Some(ACK), false, &Intervals::default(), &mut acts);
        (news, acts)
    }

    fn fires(machine: &mut ClientInvite, letter: Letter) -> (ClientNews, Acts) {
        let mut acts = Acts::default();
        let news = machine.fired(letter, &Intervals::default(), &mut acts);
        (news, acts)
    }

    #[test]
    fn timer_a_doubles_and_timer_b_ends() {
        let (mut machine, acts) = started(false);
        assert_eq!(acts.send[0], Some(INVITE));
        assert_eq!(acts.arm, [Some((Letter::A, Duration::from_millis(500))), Some((Letter::B, Duration::from_secs(32)))]);
        for doubled in [1, 2, 4, 8, 16] {
            let (_, acts) = fires(&mut machine, Letter::A);
            assert_eq!((acts.send[0].clone(), acts.arm[0]), (Some(INVITE), Some((Letter::A, Duration::from_secs(doubled)))));
        }
        let (news, acts) = fires(&mut machine, Letter::B);
        assert_eq!((news, acts.over), (ClientNews::TimedOut, true));
    }

    #[test]
    fn a_provisional_stops_the_repeats_and_the_clock() {
        let (mut machine, _) = started(false);
        assert_eq!(hears(&mut machine, 100).0, ClientNews::Response);
        assert!(machine.is_proceeding());
        let (news, acts) = fires(&mut machine, Letter::A);
        assert_eq!((news, acts.send[0].clone()), (ClientNews::Nothing, None));
        assert!(!fires(&mut machine, Letter::B).1.over);
    }

    #[test]
    fn a_refusal_is_acknowledged_each_time_and_told_once() {
        let (mut machine, _) = started(false);
        let (news, acts) = hears(&mut machine, 486);
        assert_eq!(
            (news, acts.send[0].clone(), acts.arm[0]),
            (ClientNews::Response, Some(ACK), Some((Letter::D, Duration::from_secs(32))))
        );
        let (news, acts) = hears(&mut machine, 486);
        assert_eq!((news, acts.send[0].clone()), (ClientNews::Nothing, Some(ACK)));
        assert_eq!(hears(&mut machine, 200).0, ClientNews::Nothing);
        assert!(fires(&mut machine, Letter::D).1.over);
    }

    #[test]
    fn every_2xx_goes_up_until_timer_m() {
        let (mut machine, _) = started(false);
        assert_eq!(hears(&mut machine, 200).0, ClientNews::Response);
        assert_eq!(hears(&mut machine, 200).0, ClientNews::Response);
        assert_eq!(hears(&mut machine, 180).0, ClientNews::Nothing);
        assert_eq!(hears(&mut machine, 486).0, ClientNews::Nothing);
        assert!(fires(&mut machine, Letter::M).1.over);
    }

    #[test]
    fn timer_c_ends_what_stays_at_a_provisional() {
        let (mut machine, _) = started(false);
        hears(&mut machine, 180);
        let (news, acts) = fires(&mut machine, Letter::C);
        assert_eq!((news, acts.over), (ClientNews::TimedOut, true));
        let (mut machine, _) = started(false);
        hears(&mut machine, 200);
        assert!(!fires(&mut machine, Letter::C).1.over);
    }

    #[test]
    fn a_reliable_transport_repeats_nothing() {
        let (_, acts) = started(true);
        assert_eq!(acts.arm, [Some((Letter::B, Duration::from_secs(32))), None]);
    }
}
