//! A tenant's own rules on what may be called. What it does not say, the server's configuration says.

use crate::types::{Country, NumberKind};

/// Prefixes of one list.
const MOST_PREFIXES: usize = 1000;
/// Digits of a prefix.
const LONGEST_PREFIX: usize = 15;

/// Countries that new tenants may call besides their home: where calls cost little and carriers settle disputes.
const LOW_RISK: [&str; 22] =
    ["AT", "AU", "BE", "CA", "CH", "CZ", "DE", "DK", "ES", "FI", "FR", "GB", "IE", "IT", "NL", "NO", "NZ", "PL", "PT", "SE", "SK", "US"];

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
            let sound = |prefix: &String| {
                (1..=LONGEST_PREFIX).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_digit()) && !prefix.starts_with('0')
            };
            if prefixes.len() > MOST_PREFIXES || !prefixes.iter().all(sound) {
                return Err((
                    field,
                    format!("Write at most {MOST_PREFIXES} prefixes of 1 to {LONGEST_PREFIX} digits with country code, without plus."),
                ));
            }
        }
        if self.countries.as_ref().is_some_and(|countries| countries.len() > LONGEST_PREFIX * 100) {
            return Err(("countries", "Name each country once.".to_owned()));
        }
        if self.max_calls_minute == Some(0) {
            return Err(("max_calls_minute", "Write 1 or more, or null for no limit.".to_owned()));
        }
        Ok(())
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
    }
}
