//! The ports of the relay: pairs of an even one for RTP and the odd one above it for RTCP (RFC 3550 §11), each lent to one leg at a time.

use std::sync::{Arc, Mutex, MutexGuard};

/// All pairs. They are lent in turn, so that one just given back rests for as long as possible: late packets of the call before find
/// nobody.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lent: Box<[bool]>,
    next: usize,
}

/// A pair that is lent; dropping it gives it back.
#[derive(Debug)]
pub struct Pair {
    ports: Arc<Ports>,
    index: usize,
    /// For RTP; RTCP has the next one.
    pub rtp: u16,
}

impl Ports {
    /// The pairs within `first..=last`, beginning anywhere.
    pub fn new(first: u16, last: u16, beginning: u64) -> Arc<Self> {
        let first = first.saturating_add(first % 2);
        let pairs = (usize::from(last) + 1).saturating_sub(usize::from(first)) / 2;
        let next = usize::try_from(beginning % u64::try_from(pairs.max(1)).unwrap_or(1)).unwrap_or(0);
        Arc::new(Self { first, state: Mutex::new(State { lent: vec![false; pairs].into(), next }) })
    }

    /// The next pair that is free; nothing once all are lent.
    pub fn take(self: &Arc<Self>) -> Option<Pair> {
        let mut state = self.state();
        let pairs = state.lent.len();
        let index = (0..pairs).map(|step| (state.next + step) % pairs).find(|index| !state.lent[*index])?;
        state.lent[index] = true;
        state.next = (index + 1) % pairs;
        let rtp = self.first + u16::try_from(2 * index).ok()?;
        drop(state);
        Some(Pair { ports: self.clone(), index, rtp })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while the ports are counted")
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.ports.state().lent[self.index] = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_begin_even_and_end_within_the_range() {
        let ports = Ports::new(10_001, 10_006, 0);
        let pairs: Vec<_> = std::iter::from_fn(|| ports.take()).collect();
        assert_eq!(pairs.iter().map(|pair| pair.rtp).collect::<Vec<_>>(), [10_002, 10_004]);
        assert!(Ports::new(10_001, 10_002, 7).take().is_none());
        assert!(Ports::new(65_535, 65_535, 7).take().is_none());
    }

    #[test]
    fn what_is_given_back_rests_until_its_turn() {
        let ports = Ports::new(10_000, 10_005, 1);
        let first = ports.take().unwrap();
        assert_eq!(first.rtp, 10_002);
        drop(first);
        let order: Vec<_> = (0..3).map(|_| ports.take().map(|pair| pair.rtp)).collect();
        assert_eq!(order, [Some(10_004), Some(10_000), Some(10_002)], "each was dropped at once");
    }
}
