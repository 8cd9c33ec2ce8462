use std::fmt;
use std::sync::{Arc, Mutex};

/// The one source of chance. Production draws from the operating system; tests and the simulator seed it.
#[derive(Clone, Default)]
pub struct Random(Option<Arc<Mutex<u64>>>);

impl Random {
    /// The operating system's generator.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A repeatable sequence (SplitMix64), for tests only: anyone who knows the seed knows every draw.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(seed))))
    }

    /// Fills `bytes` with chance.
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.0 {
            None => system_fill(bytes),
            Some(state) => {
                let mut state = state.lock().expect("no draw panics");
                for chunk in bytes.chunks_mut(8) {
                    chunk.copy_from_slice(&splitmix(&mut state).to_le_bytes()[..chunk.len()]);
                }
            }
        }
    }

    /// Sixty-four bits of chance.
    pub fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number in `0..bound`, without bias that matters (the high half of a 128-bit product). `bound` is at least 1.
    pub fn below(&self, bound: u64) -> u64 {
        let product = u128::from(self.u64()) * u128::from(bound.max(1));
        u64::try_from(product >> 64).expect("the high half of a 128-bit product fits")
    }

    /// `length` characters of `A-Z a-z 0-9`: safe in URLs, JSON, XML and SIP without escaping.
    pub fn alphanumeric(&self, length: usize) -> String {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(ALPHABET[usize::try_from(self.below(62)).expect("below 62")])).collect()
    }

    /// `length` decimal digits.
    pub fn digits(&self, length: usize) -> String {
        (0..length).map(|_| char::from(b'0' + u8::try_from(self.below(10)).expect("below 10"))).collect()
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Random(seeded)" } else { "Random(system)" })
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that draws chance")]
fn system_fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system has randomness");
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_sequence() {
        let (one, two) = (Random::seeded(7), Random::seeded(7));
        assert_eq!(one.alphanumeric(40), two.alphanumeric(40));
        assert_ne!(one.u64(), Random::seeded(8).u64());
    }

    #[test]
    fn below_stays_below() {
        let random = Random::seeded(1);
        assert!((0..10_000).all(|_| random.below(7) < 7));
        assert_eq!(random.digits(8).len(), 8);
    }
}
