//! Non-INVITE client transaction: RFC 3261 §17.1.2.

use std::time::Duration;

use bytes::Bytes;

use super::{Acts, ClientNews, Intervals, Letter};

/// A request we sent that is no INVITE and no ACK.
#[derive(Debug)]
pub struct Client {
    state: State,
    request: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Trying { interval: Duration },
    Proceeding,
    Completed,
}

impl Client {
    /// Sends the request. A reliable transport repeats nothing.
    pub fn start(request: Bytes, reliable: bool, intervals: &Intervals, acts: &mut Acts) -> Self {
        acts.send(&request);
        if !reliable {
            acts.arm(Letter::E, intervals.t1);
        }
        acts.arm(Letter::F, intervals.patience());
        Self { state: State::Trying { interval: intervals.t1 }, request }
    }

    /// A response came.
    pub fn response(&mut self, status: u16, reliable: bool, intervals: &Intervals, acts: &mut Acts) -> ClientNews {
        match (self.state, status) {
            (State::Trying { .. } | State::Proceeding, ..=199) => {
                self.state = State::Proceeding;
                ClientNews::Nothing
            }
            (State::Trying { .. } | State::Proceeding, _) => {
                self.state = State::Completed;
                self.request = Bytes::new();
                if reliable {
                    acts.over = true;
                } else {
                    acts.arm(Letter::K, intervals.t4);
                }
                ClientNews::Response
            }
            (State::Completed, _) => ClientNews::Nothing,
        }
    }

    /// A timer fired.
    pub fn fired(&mut self, letter: Letter, intervals: &Intervals, acts: &mut Acts) -> ClientNews {
        match (self.state, letter) {
            (State::Trying { interval }, Letter::E) => {
                let next = intervals.doubled(interval);
                self.state = State::Trying { interval: next };
                acts.send(&self.request);
                acts.arm(Letter::E, next);
                ClientNews::Nothing
            }
            // §17.1.2.2: after a provisional the request is still repeated, every T2.
            (State::Proceeding, Letter::E) => {
                acts.send(&self.request);
                acts.arm(Letter::E, intervals.t2);
                ClientNews::Nothing
            }
            (State::Trying { .. } | State::Proceeding, Letter::F) => {
                acts.over = true;
                ClientNews::TimedOut
            }
            (State::Completed, Letter::K) => {
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

    fn fires(machine: &mut Client, letter: Letter) -> (ClientNews, Acts) {
        let mut acts = Acts::default();
        let news = machine.fired(letter, &Intervals::default(), &mut acts);
        (news, acts)
    }

    #[test]
    fn timer_e_doubles_up_to_t2_and_timer_f_ends() {
        let mut acts = Acts::default();
        let mut machine = Client::start(Bytes::from_static(b"BYE"), false, &Intervals::default(), &mut acts);
        assert_eq!(acts.arm[0], Some((Letter::E, Duration::from_millis(500))));
        for next in [1, 2, 4, 4, 4] {
            let (_, acts) = fires(&mut machine, Letter::E);
            assert!(acts.send[0].is_some());
            assert_eq!(acts.arm[0], Some((Letter::E, Duration::from_secs(next))));
        }
        let (news, acts) = fires(&mut machine, Letter::F);
        assert_eq!((news, acts.over), (ClientNews::TimedOut, true));
    }

    #[test]
    fn after_a_provisional_it_repeats_every_t2_and_a_final_is_told_once() {
        let intervals = Intervals::default();
        let mut machine = Client::start(Bytes::from_static(b"BYE"), false, &intervals, &mut Acts::default());
        assert_eq!(machine.response(100, false, &intervals, &mut Acts::default()), ClientNews::Nothing);
        assert_eq!(fires(&mut machine, Letter::E).1.arm[0], Some((Letter::E, intervals.t2)));
        let mut acts = Acts::default();
        assert_eq!(machine.response(200, false, &intervals, &mut acts), ClientNews::Response);
        assert_eq!(acts.arm[0], Some((Letter::K, intervals.t4)));
        assert_eq!(machine.response(200, false, &intervals, &mut Acts::default()), ClientNews::Nothing);
        assert!(fires(&mut machine, Letter::E).1.send[0].is_none());
        assert!(fires(&mut machine, Letter::K).1.over);
    }
}
