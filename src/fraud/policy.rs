//! A tenant's own rules on what may be called. What it does not say, the server's configuration says.

use std::time::Duration;

use crate::types::{Country, NumberKind};

/// Prefixes of one list.
const MOST_PREFIXES: usize = 1000;
/// Digits of a prefix.
const LONGEST_PREFIX: usize = 15;
/// Longest time that signs of fraud are counted in.
const LONGEST_WINDOW_SECS: u32 = 3600;
/// Longest cool-down: thirty days.
const LONGEST_COOL_DOWN_HOURS: u32 = 720;

/// Cool-down unless the tenant says otherwise.
const COOL_DOWN_HOURS: u32 = 24;
/// Classes of prefixes of one tenant.
const MOST_CLASSES: usize = 50;
/// Calls an hour that a class counts up to.
pub const MOST_CALLS_HOUR: u32 = 500;
/// Most that a sign is counted up to.
pub(super) const MOST_COUNTED: u32 = 50;

/// Countries that new tenants may call besides their home: where calls cost little and carriers settle disputes.
const LOW_RISK: [&str; 22] =
    ["AT", "AU", "BE", "CA", "CH", "CZ", "DE", "DK", "ES", "FI", "FR", "GB", "IE", "IT", "NL", "NO", "NZ", "PL", "PT", "SE", "SK", "US"];

#[expect(clippy::ptr_arg, reason = "it looks at the members of a list")]
fn is_prefix(prefix: &String) -> bool {
    (1..=LONGEST_PREFIX).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_digit()) && !prefix.starts_with('0')
}

/// The rules of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Countries that may be called; empty means all that the deck prices, none what the configuration says.
    pub countries: Option<Vec<Country>>,
    /// Kinds of numbers that may not be called; none means what the configuration says.
    pub blocked_kinds: Option<Vec<NumberKind>>,
    /// Digits without plus; numbers that begin with them are refused.
    pub barred_prefixes: Vec<String>,
    /// Digits without plus; numbers that begin with them may be called whatever their kind.
    pub allowed_prefixes: Vec<String>,
    /// Calls of one subscriber in a minute; none means no limit.
    pub max_calls_minute: Option<u32>,
    /// What happens to a subscriber whose calls look like fraud, besides the alert.
    pub on_fraud: OnFraud,
    /// What looks like fraud.
    pub signs: Signs,
    /// A verified number that takes the place of another, or stands beside it, may not call for so many hours; 24 unless said
    /// (spec: security, T3).
    pub cool_down_hours: Option<u32>,
    /// Beginnings of numbers whose calls have limits of their own.
    pub classes: Vec<PrefixClass>,
}

/// Numbers that begin alike, and how many calls to them one subscriber may make.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixClass {
    /// Digits without plus.
    pub prefixes: Vec<String>,
    /// From so many calls an hour on somebody is told; none for never.
    #[serde(default)]
    pub alert_calls_hour: Option<u32>,
    /// No more calls an hour than these; none for no limit.
    #[serde(default)]
    pub max_calls_hour: Option<u32>,
}

impl PrefixClass {
    /// How many digits of the number the class knows; none if the number is not of it.
    pub fn fits(&self, digits: &str) -> Option<usize> {
        self.prefixes.iter().filter(|prefix| digits.starts_with(prefix.as_str())).map(String::len).max()
    }
}

/// What happens besides the alert.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFraud {
    /// Nothing more.
    #[default]
    Alert,
    /// The subscriber is switched off until somebody switches them on again.
    Suspend,
}

/// How much of something in a while looks like fraud; nothing of what is 0.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Signs {
    /// In so many seconds.
    pub window_secs: u32,
    /// Different numbers in a row, such as 0100, 0101, 0102, called by one subscriber.
    pub sequential_numbers: u32,
    /// Calls of one subscriber to one number.
    pub same_number: u32,
    /// Answered calls of one subscriber that ended soon.
    pub short_calls: u32,
    /// How soon that is, in seconds.
    pub short_call_secs: u32,
    /// Calls and requests of one subscriber that were refused.
    pub refusals: u32,
    /// Whether the first call to a country is told of.
    pub new_country: NewCountry,
}

impl Default for Signs {
    fn default() -> Self {
        Self {
            window_secs: 600,
            sequential_numbers: 5,
            same_number: 10,
            short_calls: 10,
            short_call_secs: 10,
            refusals: 20,
            new_country: NewCountry::Tenant,
        }
    }
}

/// Whose first call to a country is told of; the home country is never new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewCountry {
    /// Nobody's.
    Off,
    /// The first of anybody of the tenant.
    Tenant,
    /// The first of each subscriber.
    Subscriber,
}

impl Policy {
    /// What a new tenant starts with: its home and a short list of low-risk countries (spec: security, section 4).
    pub fn of_new_tenant(home: Option<Country>) -> Self {
        let mut countries: Vec<Country> = LOW_RISK.iter().filter_map(|country| country.parse().ok()).chain(home).collect();
        countries.sort_unstable();
        countries.dedup();
        Self { countries: Some(countries), ..Self::default() }
    }

    /// The first field that makes no sense, and what to write instead.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (field, prefixes) in [("barred_prefixes", &self.barred_prefixes), ("allowed_prefixes", &self.allowed_prefixes)] {
            if prefixes.len() > MOST_PREFIXES || !prefixes.iter().all(is_prefix) {
                return Err((
                    field,
                    format!("Write at most {MOST_PREFIXES} prefixes of 1 to {LONGEST_PREFIX} digits with country code, without plus."),
                ));
            }
        }
        if self.classes.len() > MOST_CLASSES {
            return Err(("classes", format!("Write at most {MOST_CLASSES} classes.")));
        }
        for class in &self.classes {
            let limits = [class.alert_calls_hour, class.max_calls_hour];
            if class.prefixes.is_empty() || class.prefixes.len() > MOST_PREFIXES || !class.prefixes.iter().all(is_prefix) {
                let told = format!("Name 1 to {MOST_PREFIXES} prefixes of 1 to {LONGEST_PREFIX} digits with country code, without plus.");
                return Err(("classes", told));
            }
            if limits == [None, None] || limits.into_iter().flatten().any(|calls| !(1..=MOST_CALLS_HOUR).contains(&calls)) {
                return Err((
                    "classes",
                    format!("Give each class 1 to {MOST_CALLS_HOUR} calls an hour for an alert, as a limit, or both."),
                ));
            }
        }
        if self.countries.as_ref().is_some_and(|countries| countries.len() > LONGEST_PREFIX * 100) {
            return Err(("countries", "Name each country once.".to_owned()));
        }
        if self.max_calls_minute == Some(0) {
            return Err(("max_calls_minute", "Write 1 or more, or null for no limit.".to_owned()));
        }
        let signs = &self.signs;
        if !(60..=LONGEST_WINDOW_SECS).contains(&signs.window_secs) {
            return Err(("signs.window_secs", format!("Write 60 to {LONGEST_WINDOW_SECS} seconds.")));
        }
        let counts = [
            ("signs.sequential_numbers", signs.sequential_numbers),
            ("signs.same_number", signs.same_number),
            ("signs.short_calls", signs.short_calls),
            ("signs.refusals", signs.refusals),
        ];
        if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count == 1 || *count > MOST_COUNTED) {
            return Err((field, format!("Write 2 to {MOST_COUNTED}, or 0 not to look for it.")));
        }
        if !(1..=LONGEST_WINDOW_SECS).contains(&signs.short_call_secs) {
            return Err(("signs.short_call_secs", format!("Write 1 to {LONGEST_WINDOW_SECS} seconds.")));
        }
        if self.cool_down_hours.is_some_and(|hours| hours > LONGEST_COOL_DOWN_HOURS) {
            return Err(("cool_down_hours", format!("Write 0 to {LONGEST_COOL_DOWN_HOURS}, or null for {COOL_DOWN_HOURS}.")));
        }
        Ok(())
    }

    /// The class of a number: the one that knows most of its digits.
    pub fn class(&self, digits: &str) -> Option<&PrefixClass> {
        let fitting = self.classes.iter().filter_map(|class| Some((class.fits(digits)?, class)));
        fitting.max_by_key(|(length, _)| *length).map(|(_, class)| class)
    }

    /// How long a verified number that is not the subscriber's first has to wait.
    pub fn cool_down(&self) -> Duration {
        Duration::from_secs(3600 * u64::from(self.cool_down_hours.unwrap_or(COOL_DOWN_HOURS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_tenants_call_home_and_where_risk_is_low() {
        let countries = Policy::of_new_tenant("BR".parse().ok()).countries.unwrap();
        assert!(countries.contains(&"BR".parse().unwrap()) && countries.contains(&"US".parse().unwrap()));
        assert!(!countries.contains(&"CU".parse().unwrap()));
        assert_eq!(countries.len(), LOW_RISK.len() + 1);
    }

    #[test]
    fn prefixes_are_digits() {
        let wrong = Policy { barred_prefixes: vec!["+44".to_owned()], ..Policy::default() };
        assert_eq!(wrong.check().unwrap_err().0, "barred_prefixes");
        assert_eq!(Policy { allowed_prefixes: vec!["44".to_owned()], ..Policy::default() }.check(), Ok(()));
        let never = Policy { signs: Signs { refusals: 0, ..Signs::default() }, ..Policy::default() };
        assert_eq!(never.check(), Ok(()));
        let much = Policy { signs: Signs { refusals: 51, ..Signs::default() }, ..Policy::default() };
        assert_eq!(much.check().unwrap_err().0, "signs.refusals");
    }

    #[test]
    fn the_class_that_knows_most_of_a_number_counts() {
        let class =
            |prefix: &str, most| PrefixClass { prefixes: vec![prefix.to_owned()], max_calls_hour: Some(most), ..PrefixClass::default() };
        let policy = Policy { classes: vec![class("88", 2), class("8821", 1)], ..Policy::default() };
        let most = |digits: &str| policy.class(digits).and_then(|class| class.max_calls_hour);
        assert_eq!((most("88213123456"), most("88161234567"), most("420601123456")), (Some(1), Some(2), None));
        assert_eq!(policy.check(), Ok(()));
        let nothing = PrefixClass { prefixes: vec!["88".to_owned()], ..PrefixClass::default() };
        assert_eq!(Policy { classes: vec![nothing], ..Policy::default() }.check().unwrap_err().0, "classes");
    }
}
