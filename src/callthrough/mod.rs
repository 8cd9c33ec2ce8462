//! The product: "this phone calling that access number means this destination", for a minute.
//!
//! A request chooses an access number and writes a reservation. The call that arrives claims it (`claim`), gives it back when it
//! ends before B answered (`release`), and uses it up when B answers (`consume`).

pub mod access_number;
pub mod destination;
pub mod dial_string;
mod request;
pub mod reservation;
pub mod store;

pub use access_number::{AccessNumber, Mode, Rule};
pub use destination::{Destinations, is_high_risk_prefix};
pub use dial_string::DialString;
pub use request::{Answer, Desk, Inventory, Refused, Request, request};
pub use reservation::{Claimed, Found, Reservation, State};
pub use store::Error;

use crate::fraud::Rules;
use crate::types::E164;

/// How long promises last.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Life of a reservation in seconds, 15 to 120.
    pub life_secs: u32,
    /// Grace after it, in seconds.
    pub late_grace_secs: u32,
    /// After a call ended before B answered, its reservation may be claimed again for this long.
    pub failover_window_secs: u32,
    /// Open reservations of one subscriber; one more supersedes the oldest.
    pub max_open_reservations: u32,
    /// What emergency numbers get.
    pub emergency: Emergency,
    /// Whether the phone's own word on where it is may choose the access number.
    pub trust_country_hint: bool,
    /// Which destinations may be called at all.
    pub destinations: Destinations,
    /// Hotlists and the tenants' own rules, as the books have them.
    #[serde(skip)]
    pub rules: Rules,
}

/// What a request for an emergency number gets. It is never routed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emergency {
    /// A message to dial it with the phone itself.
    Refuse,
    /// The bare number as the dial string, so that the phone's own dialler takes it.
    Native,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            life_secs: 60,
            late_grace_secs: 10,
            failover_window_secs: 10,
            max_open_reservations: 3,
            emergency: Emergency::Refuse,
            trust_country_hint: true,
            destinations: Destinations::default(),
            rules: Rules::default(),
        }
    }
}

/// What the request asks of the rest of the house, all from memory.
pub trait Availability: Send + Sync {
    /// Whether calls can come in by the trunk of this name.
    fn trunk_up(&self, name: &str) -> bool;
    /// Whether any trunk can take a call onward to `destination`.
    fn reachable(&self, destination: E164) -> bool;
    /// Live calls that came in on this access number.
    fn live_calls(&self, access_number: E164) -> u32;
    /// About to stop: no new calls.
    fn draining(&self) -> bool;
}
