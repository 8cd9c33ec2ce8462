//! A row of datagrams of sound.

#![no_main]

use callthrough::types::Clock;
use callthrough_fuzz::exercise::{self, timed};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| timed(
    &Clock::system(),
    || "these bytes".to_owned(),
    || {
        exercise::rtp(bytes);
    }
));
