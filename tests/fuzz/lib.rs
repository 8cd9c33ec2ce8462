//! Guided fuzzing of everything that is read from the network: `cargo +nightly fuzz run --fuzz-dir tests/fuzz message`.

#[path = "../support/exercise.rs"]
pub mod exercise;
