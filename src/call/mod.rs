//! The life of one call, as a state machine that touches nothing.
//!
//! It is told facts in the past tense and gives orders in the imperative; `now` is an argument. It knows the two sides,
//! the timers by name and how long the money lasts; it knows no SIP, no SQL, no sockets, no time of day. Whoever runs it
//! waits for one fact, calls [`Call::step`], and carries out the orders one after the other.
//!
//! Promises, each a property test: A always gets a final answer or has left; A is answered only after B, but to be
//! asked for digits; the credit limit is
//! armed before A is answered; there is exactly one [`Order::Close`] and exactly one final [`CallEvent`], and both come.
//!
//! One file a story: `callthrough.rs` is "A arrives, B is dialled"; `collect.rs` is what comes before when the number says nothing:
//! "A is asked for a code".

mod callthrough;
mod collect;
mod event;
mod fact;
mod order;
mod record;
mod state;

pub use callthrough::{Call, Limits};
pub use event::{CallEvent, Cause};
pub use fact::{Fact, Grant, Progress};
pub use order::{Order, Prompt, Timer};
pub use record::CallRecord;
pub use state::State;
