//! The access number: what it is, and which one a phone gets. Values in, values out.

use serde::{Deserialize, Serialize};

use crate::types::{Country, E164, Nanos, TenantId, Timestamp};

/// A number of ours that people dial to reach us.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessNumber {
    /// Whose.
    pub tenant: TenantId,
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

/// What is known of the one who asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    /// Whose numbers may be given.
    pub tenant: TenantId,
    /// The number they named.
    pub wish: Option<E164>,
    /// Where the phone says it is, if that is trusted.
    pub hint: Option<Country>,
    /// The country of the client's address.
    pub geoip: Option<Country>,
    /// Where the client's address stands on the map.
    pub coordinates: Option<(f64, f64)>,
    /// The subscriber's home.
    pub home: Country,
    /// The number they were given last time: users know it from their call log.
    pub last_used: Option<E164>,
}

/// One access number that may be given, with the mode it would be used in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate<'n> {
    /// The number.
    pub number: &'n AccessNumber,
    /// How the call would be recognised.
    pub mode: Mode,
    /// The rule that brings it up.
    pub rule: Rule,
}

/// The numbers that may be given, in groups, one for each rule that brings up any: the first group is the choice, the others are
/// what is left when somebody else has all of it. Within a group the best comes first.
///
/// `usable` is the filter of the moment (trunk up, channels free), `live_calls` breaks ties, `possible` says which modes the
/// caller can be recognised by, in no order: the number's own order counts.
pub fn rank<'n>(
    inventory: &'n [AccessNumber],
    signals: &Signals,
    possible: &[Mode],
    live_calls: impl Fn(&AccessNumber) -> u32,
    usable: impl Fn(&AccessNumber) -> bool,
) -> Vec<Vec<Candidate<'n>>> {
    let open: Vec<(&AccessNumber, Mode)> = inventory
        .iter()
        .filter(|number| number.tenant == signals.tenant && number.enabled && usable(number))
        .filter(|number| number.settings.capacity.is_none_or(|capacity| live_calls(number) < capacity))
        .filter_map(|number| Some((number, mode_of(number, possible)?)))
        .collect();
    let fits = |rule: Rule, number: &AccessNumber| match rule {
        Rule::Wish => Some(number.number) == signals.wish,
        Rule::Hint => Some(number.country) == signals.hint,
        Rule::GeoIp => Some(number.country) == signals.geoip,
        Rule::Home => number.country == signals.home,
        Rule::Default => number.settings.default,
    };
    let mut groups = Vec::new();
    for rule in [Rule::Wish, Rule::Hint, Rule::GeoIp, Rule::Home, Rule::Default] {
        let mut group: Vec<_> =
            open.iter().filter(|(number, _)| fits(rule, number)).map(|&(number, mode)| Candidate { number, mode, rule }).collect();
        group.sort_by(|one, other| tie(one.number, other.number, signals, &live_calls));
        if !group.is_empty() {
            groups.push(group);
        }
    }
    groups
}

fn mode_of(number: &AccessNumber, possible: &[Mode]) -> Option<Mode> {
    let able = |mode: &Mode| possible.contains(mode) && (*mode != Mode::Pin || number.settings.pin.is_some());
    number.settings.modes.iter().copied().find(able)
}

/// Among equals: what the user knows, what is cheap for them, what is cheap for us, what is near, what is idle, and at last the
/// digits, so that the same question has the same answer.
fn tie(one: &AccessNumber, other: &AccessNumber, signals: &Signals, live_calls: impl Fn(&AccessNumber) -> u32) -> std::cmp::Ordering {
    let known = |number: &AccessNumber| Some(number.number) != signals.last_used;
    let far = |number: &AccessNumber| distance(number.settings.coordinates, signals.coordinates);
    known(one)
        .cmp(&known(other))
        .then_with(|| one.settings.user_cost.cmp(&other.settings.user_cost))
        .then_with(|| one.settings.inbound_cost.cmp(&other.settings.inbound_cost))
        .then_with(|| far(one).total_cmp(&far(other)))
        .then_with(|| live_calls(one).cmp(&live_calls(other)))
        .then_with(|| one.number.cmp(&other.number))
}

/// Good enough to sort by: degrees, east and west squeezed as the meridians are. All equal when either place is unknown.
fn distance(number: Option<Coordinates>, client: Option<(f64, f64)>) -> f64 {
    let Some((place, (latitude, longitude))) = number.zip(client) else { return 0.0 };
    let east = (place.longitude - longitude + 540.0).rem_euclid(360.0) - 180.0;
    let middle = f64::midpoint(place.latitude, latitude).to_radians().cos();
    (place.latitude - latitude).hypot(east * middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(letters: &str) -> Country {
        letters.parse().unwrap()
    }

    fn number(digits: &str, letters: &str, change: impl FnOnce(&mut AccessNumber)) -> AccessNumber {
        let mut number = AccessNumber {
            tenant: TenantId::MAIN,
            number: digits.parse().unwrap(),
            country: country(letters),
            enabled: true,
            settings: Settings::default(),
            created_at: Timestamp::from_micros(0),
        };
        change(&mut number);
        number
    }

    fn inventory() -> Vec<AccessNumber> {
        vec![
            number("+15551230000", "US", |n| n.settings.default = true),
            number("+15551230001", "US", |n| n.settings.user_cost = UserCost::TollFree),
            number("+420601000000", "CZ", |_| {}),
            number("+442079460000", "GB", |_| {}),
            number("+442079460001", "GB", |n| n.enabled = false),
        ]
    }

    fn nobody() -> Signals {
        Signals { tenant: TenantId::MAIN, wish: None, hint: None, geoip: None, coordinates: None, home: country("FR"), last_used: None }
    }

    fn first(signals: &Signals) -> Option<(String, Rule)> {
        let inventory = inventory();
        let groups = rank(&inventory, signals, &[Mode::Pinless], |_| 0, |_| true);
        groups.first().map(|group| (group[0].number.number.to_string(), group[0].rule))
    }

    #[test]
    fn the_first_rule_that_knows_a_number_decides() {
        let found = |number: &str, rule| Some((number.to_owned(), rule));
        assert_eq!(first(&nobody()), found("+15551230000", Rule::Default));
        let home = Signals { home: country("GB"), ..nobody() };
        assert_eq!(first(&home), found("+442079460000", Rule::Home), "the one that is off is passed over");
        let abroad = Signals { geoip: Some(country("CZ")), ..home };
        assert_eq!(first(&abroad), found("+420601000000", Rule::GeoIp));
        let hinted = Signals { hint: Some(country("US")), ..abroad };
        assert_eq!(first(&hinted), found("+15551230001", Rule::Hint), "free to call comes first");
        let wished = Signals { tenant: TenantId::MAIN, wish: "+442079460000".parse().ok(), ..hinted };
        assert_eq!(first(&wished), found("+442079460000", Rule::Wish));
        let nowhere = Signals { geoip: Some(country("AQ")), wish: "+442079460001".parse().ok(), ..home };
        assert_eq!(first(&nowhere), found("+442079460000", Rule::Home), "a wish must pass the filters");
    }

    /// A flood of one tenant's requests takes no number from another: each number is one tenant's (spec: security, T5).
    #[test]
    fn another_tenants_numbers_are_never_given() {
        let other: TenantId = "ten_01jb3k5m7n9p0q1r2s3t4v5w6y".parse().unwrap();
        let mut inventory = inventory();
        inventory[3].tenant = other;
        let ranked = |signals: &Signals| {
            let groups = rank(&inventory, signals, &[Mode::Pinless, Mode::Code], |_| 0, |_| true);
            groups.into_iter().flatten().map(|candidate| candidate.number.number.to_string()).collect::<Vec<_>>()
        };
        let theirs = Signals { wish: "+442079460000".parse().ok(), home: country("GB"), ..nobody() };
        assert!(!ranked(&theirs).contains(&"+442079460000".to_owned()), "wished for, of the home country, and not theirs");
        assert_eq!(ranked(&Signals { tenant: other, ..theirs }), ["+442079460000", "+442079460000"], "by wish and by home, and no other");
    }

    #[test]
    fn ties_are_broken_in_order() {
        let known = Signals { home: country("US"), last_used: "+15551230000".parse().ok(), ..nobody() };
        assert_eq!(first(&known), Some(("+15551230000".to_owned(), Rule::Home)), "what the user knows beats what is cheap");
        let at = |latitude, longitude| Some(Coordinates { latitude, longitude });
        let coasts = [
            number("+15551230000", "US", |n| n.settings.coordinates = at(40.7, -74.0)),
            number("+15551230001", "US", |n| n.settings.coordinates = at(37.8, -122.4)),
        ];
        let west = Signals { home: country("US"), coordinates: Some((34.0, -118.2)), ..nobody() };
        let ranked = |live: fn(&AccessNumber) -> u32, signals: &Signals| {
            rank(&coasts, signals, &[Mode::Pinless], live, |_| true)[0][0].number.number.to_string()
        };
        assert_eq!(ranked(|_| 0, &west), "+15551230001", "the nearer one");
        let busy = |number: &AccessNumber| u32::from(number.number.to_string() == "+15551230000");
        assert_eq!(ranked(busy, &Signals { coordinates: None, ..west }), "+15551230001", "the idle one");
        assert_eq!(ranked(|_| 0, &Signals { coordinates: None, ..west }), "+15551230000", "the lower digits");
        assert!(distance(at(0.0, 179.0), Some((0.0, -179.0))) < 3.0, "the date line is no wall");
    }

    #[test]
    fn modes_and_capacity_filter() {
        let mut inventory = inventory();
        inventory[0].settings.modes = vec![Mode::Pin, Mode::Code];
        inventory[0].settings.capacity = Some(3);
        let us = Signals { home: country("US"), ..nobody() };
        let modes = |possible: &[Mode], live: u32| {
            rank(&inventory, &us, possible, move |_| live, |_| true)
                .iter()
                .take(1)
                .flatten()
                .map(|candidate| (candidate.number.number.digits(), candidate.mode))
                .collect::<Vec<_>>()
        };
        assert_eq!(modes(&[Mode::Code, Mode::Pin], 2), [("15551230000".to_owned(), Mode::Code)], "no PIN is configured");
        assert_eq!(modes(&[Mode::Code], 3), [], "all its channels are taken");
        assert_eq!(modes(&[Mode::Pinless], 0), [("15551230001".to_owned(), Mode::Pinless)]);
    }
}
