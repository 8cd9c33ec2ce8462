//! The switchboard: feeds calls their facts, carries out their orders.
//!
//! A call arrives at `incoming.rs`, lives in one task in `run.rs`, reaches the far side through `outgoing.rs`, is paid for
//! by `books.rs`, and says no by `response.rs`; `recovery.rs` cleans up behind a process that was killed. The decisions are
//! made in [`crate::call`]; nothing here decides what a call may do.
//!
//! Two promises: after 100 Trying the caller always gets a final response within a deadline; every hold is settled or
//! released exactly once and every call leaves exactly one CDR.

pub mod books;
mod handle;

pub use handle::{Handle, LiveCall, Watched};

/// The settings of the switchboard.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Calls at once; one more is refused.
    pub max_calls: usize,
    /// From arrival to a final response.
    pub setup_deadline_secs: u32,
    /// From dialling a trunk to its first word; then the next trunk is tried.
    pub silence_secs: u32,
    /// From B's first word to its answer.
    pub ring_secs: u32,
    /// The longest call carried, whatever the credit.
    pub longest_call_secs: u32,
    /// What B sees as the caller.
    pub shown_caller: ShownCaller,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_calls: 20_000,
            setup_deadline_secs: 180,
            silence_secs: 4,
            ring_secs: 120,
            longest_call_secs: 7200,
            shown_caller: ShownCaller::Subscriber,
        }
    }
}

/// Which number B sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShownCaller {
    /// The subscriber's verified number the call came from.
    Subscriber,
    /// The access number that was dialled.
    AccessNumber,
    /// None.
    Withheld,
}
