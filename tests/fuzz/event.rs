//! Keys of a telephone.

#![no_main]

use callthrough::types::Clock;
use callthrough_fuzz::exercise::{self, timed};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| timed(
    &Clock::system(),
    || "these bytes".to_owned(),
    || {
        exercise::event(bytes);
    }
));
