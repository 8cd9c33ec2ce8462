//! The words of the trade as values that cannot be wrong: numbers, money, ids, time, reasons to say no.
//!
//! Everything a door reads becomes one of these before it goes further in; inside, values are right by construction.
//! This room imports nothing of ours.

mod caller_id;
mod clock;
mod country;
mod digit;
mod e164;
mod emergency;
mod ids;
mod money;
mod number_kind;
mod numbering_plan;
mod random;
mod refusal;
mod secret;
mod side;

pub use caller_id::{Attestation, CallerId};
pub use clock::{Clock, Moment, Timestamp};
pub use country::Country;
pub use digit::{Digit, Digits};
pub use e164::{E164, NumberError};
pub use emergency::{emergency_number, is_emergency, is_emergency_prefix};
pub use ids::*;
pub use money::{Currency, Micros, Money, MoneyError, Nanos, object};
pub use number_kind::NumberKind;
pub use random::Random;
pub use refusal::Refusal;
pub use secret::Secret;
pub use side::Side;
