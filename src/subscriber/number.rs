//! Names and numbers that stand for a subscriber.

use crate::types::{E164, Timestamp};

/// A telephone number that a subscriber has shown to be theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedNumber {
    /// The number.
    pub number: E164,
    /// When it was shown.
    pub verified_at: Timestamp,
    /// From when on it may call: a number that is not the subscriber's first has to cool down (spec: security, T3).
    pub usable_from: Timestamp,
}

impl VerifiedNumber {
    /// A number shown at `at`, that may call from then on.
    pub const fn new(number: E164, at: Timestamp) -> Self {
        Self { number, verified_at: at, usable_from: at }
    }
}

/// A name at the door as it is looked up: trimmed, folded to lower case. None if nothing is left or it is longer than 255 characters.
pub fn fold_identity(name: &str) -> Option<String> {
    const LONGEST: usize = 255;
    let folded = name.trim().to_lowercase();
    (!folded.is_empty() && name.chars().count() <= LONGEST && !folded.chars().any(char::is_control)).then_some(folded)
}
