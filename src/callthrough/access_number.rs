//! The access number: what it is, and which one a phone gets. Values in, values out.

use serde::{Deserialize, Serialize};

use crate::types::{Country, E164, Nanos, Timestamp};

/// A number of ours that people dial to reach us.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessNumber {
    /// The number itself; made only by the store.
    pub number: E164,
    /// The country it is a call within.
    pub country: Country,
    /// Off: given to nobody, but arrivals still match reservations made before.
    pub enabled: bool,
    /// Everything else the operator may say of it.
    pub settings: Settings,
    /// When it was added.
    pub created_at: Timestamp,
}

/// What the operator says of an access number. Every field has a default, so `{}` is a pinless number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How a call may be recognised here, in order of preference.
    pub modes: Vec<Mode>,
    /// Where it stands, for the tie between numbers of one country.
    pub coordinates: Option<Coordinates>,
    /// What dialling it costs the user.
    pub user_cost: UserCost,
    /// What a minute in costs us.
    pub inbound_cost: Nanos,
    /// Commas before digits: each is a pause of about two seconds.
    pub pauses: u8,
    /// Sent after digits of `pin` mode, where the platform can dial it.
    pub terminator: Option<Terminator>,
    /// Calls it can carry at once; none means no bound.
    pub capacity: Option<u32>,
    /// The trunk its calls come in by, by name; the number is passed over while that trunk is down.
    pub trunk: Option<String>,
    /// `pin` mode: the operator's PIN text, digits or one placeholder such as `%account[x-cth-pin]%`.
    pub pin: Option<String>,
    /// Given when no better rule decides.
    pub default: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            modes: vec![Mode::Pinless],
            coordinates: None,
            user_cost: UserCost::Local,
            inbound_cost: Nanos::ZERO,
            pauses: 2,
            terminator: None,
            capacity: None,
            trunk: None,
            pin: None,
            default: false,
        }
    }
}

/// How an arriving call is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By the caller's number, the access number and a fresh reservation.
    Pinless,
    /// By a one-time code of the reservation, sent as digits.
    Code,
    /// By a PIN and the destination's digits.
    Pin,
}

/// What dialling an access number costs the user; cheaper sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserCost {
    /// Free to call.
    TollFree,
    /// The price of a local call.
    Local,
    /// The price of a call to a mobile.
    Mobile,
}

/// What ends a row of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terminator {
    /// `#`
    #[serde(rename = "#")]
    Hash,
    /// `*`
    #[serde(rename = "*")]
    Star,
}

/// A place on the map, in degrees. It ranks numbers and charges nobody.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coordinates {
    /// North is positive.
    pub latitude: f64,
    /// East is positive.
    pub longitude: f64,
}

/// Which rule chose the access number; kept with the reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The request or the subscriber named it.
    Wish,
    /// The phone said where it is.
    Hint,
    /// The country of the client's address.
    GeoIp,
    /// The subscriber's home country.
    Home,
    /// The configured default.
    Default,
}

impl Rule {
    /// The word the books and the logs write.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wish => "wish",
            Self::Hint => "hint",
            Self::GeoIp => "geoip",
            Self::Home => "home",
            Self::Default => "default",
        }
    }
}
