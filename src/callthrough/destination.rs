//! Which destinations may be called at all. Values in, values out; lists are matched on normalised digits only.

use super::Config;
use crate::fraud::Policy;
use crate::types::{Country, E164, NumberKind, Refusal, TenantId, is_emergency};

/// What the operator allows and bars. Deny wins over allow.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Destinations {
    /// Countries that may be called; empty means all that the deck prices.
    pub countries: Vec<Country>,
    /// Digits without plus; numbers that begin with them are refused.
    pub barred_prefixes: Vec<String>,
    /// Digits without plus; numbers that begin with them are no high risk, whatever their type.
    pub allowed_prefixes: Vec<String>,
    /// Premium, shared-cost, personal, satellite and unknown kinds may be called.
    pub allow_high_risk: bool,
}

/// Kinds that are off unless the operator turns them on: where fraud earns, and numbers that nobody was given
/// (spec: security, section 4).
pub const HIGH_RISK: [NumberKind; 5] =
    [NumberKind::Premium, NumberKind::SharedCost, NumberKind::Personal, NumberKind::Satellite, NumberKind::Unknown];

/// Numbers of examples, North America's area code 555 and the United Kingdom's 07700 900: nobody is given them, so nobody earns
/// by their being called.
const EXAMPLES: [&str; 2] = ["1555", "447700900"];

impl Default for Destinations {
    fn default() -> Self {
        Self {
            countries: Vec::new(),
            barred_prefixes: Vec::new(),
            allowed_prefixes: EXAMPLES.map(str::to_owned).to_vec(),
            allow_high_risk: false,
        }
    }
}

/// Beginnings of dear numbers, told of when a deck is imported. Calls are checked by the kind of the whole number.
const DEAR_PREFIXES: &[&str] = &[
    "870", "878", "881", "882", "883", "888", "979", // no country's
    "1900", "1976", // North America
    "4470", "4484", "4487", "449", // United Kingdom: personal, shared cost, premium
    "42090", "42181", "42197", "42198", "42190", // Czechia, Slovakia
    "49137", "49180", "49190", "49900", // Germany
    "43810", "43820", "43821", "43828", "43900", "43901", "43930", "43939", // Austria
    "4190", "41840", "41842", "41844", "41848", // Switzerland
    "3381", "3382", "3389", // France
    "34803", "34806", "34807", "34901", "34902", "34905", "34118", // Spain
    "351601", "351607", "351608", "351646", "351648", "351707", "351708", "351760", "351761", // Portugal
    "55300", "55500", "55900", // Brazil
    "39144", "39166", "39178", "39199", "39892", "39895", "39899", // Italy
    "31900", "31906", "31909", "32900", "3290", // Netherlands, Belgium
    "4870", "48701", // Poland
    "61190", "6119", "64900", // Australia, New Zealand
];

/// Are numbers that begin with these digits of a kind that costs more than it looks? Digits that are too few to tell are not.
pub fn is_high_risk_prefix(digits: &str) -> bool {
    DEAR_PREFIXES.iter().any(|prefix| digits.starts_with(prefix))
}

impl Config {
    /// May this tenant's subscribers call this number? Asked at both doors: when a phone requests the call and when it arrives.
    /// `places` are the countries where the phone may be, whose emergency numbers are not routed. Deny wins over allow; the log
    /// says which rule it was.
    pub fn may_call(&self, tenant: TenantId, destination: E164, places: &[Country]) -> Result<(), Refusal> {
        let book = self.rules.book();
        let places: Vec<Country> = places.iter().copied().chain(destination.country()).collect();
        let judged = if is_emergency(&destination.to_string(), &places) {
            Err((Refusal::Emergency, "emergency"))
        } else if let Some(list) = book.listed(tenant, destination) {
            tracing::info!(hotlist.name = list, "a number on a hotlist");
            Err((Refusal::Barred, "hotlist"))
        } else {
            self.destinations.judge(book.policies.get(&tenant), destination)
        };
        judged.map_err(|(refusal, rule)| {
            let kind = destination.kind().code();
            tracing::info!(tenant.id = %tenant, ?destination, destination.kind = kind, rule, "a destination is refused");
            refusal
        })
    }
}

impl Destinations {
    /// May this number be called by the configuration alone?
    pub fn check(&self, destination: E164) -> Result<(), Refusal> {
        self.judge(None, destination).map_err(|(refusal, _)| refusal)
    }

    /// The same with a tenant's own rules, which take the place of the configured countries and kinds and add to its prefixes.
    fn judge(&self, policy: Option<&Policy>, destination: E164) -> Result<(), (Refusal, &'static str)> {
        let digits = destination.digits();
        let begins = |prefixes: &[String]| prefixes.iter().any(|prefix| !prefix.is_empty() && digits.starts_with(prefix.as_str()));
        if begins(&self.barred_prefixes) || policy.is_some_and(|policy| begins(&policy.barred_prefixes)) {
            return Err((Refusal::Barred, "barred_prefixes"));
        }
        let country = destination.country();
        let countries = policy.and_then(|policy| policy.countries.as_ref()).unwrap_or(&self.countries);
        if !countries.is_empty() && !country.is_some_and(|country| countries.contains(&country)) {
            return Err((Refusal::Barred, "countries"));
        }
        let allowed = begins(&self.allowed_prefixes) || policy.is_some_and(|policy| begins(&policy.allowed_prefixes));
        let configured: &[NumberKind] = if self.allow_high_risk { &[] } else { &HIGH_RISK };
        let blocked = policy.and_then(|policy| policy.blocked_kinds.as_deref()).unwrap_or(configured);
        if !allowed && blocked.contains(&destination.kind()) {
            return Err((Refusal::HighRisk, "blocked_kinds"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hotlists_and_a_tenants_own_rules_count() {
        let config = Config::default();
        let mut book = crate::fraud::Book::default();
        book.everybody.add("known fraud", [420_601]);
        let own = Policy {
            countries: Some(vec!["GB".parse().unwrap()]),
            blocked_kinds: Some(vec![NumberKind::Mobile]),
            allowed_prefixes: vec!["447911".into()],
            ..Policy::default()
        };
        let strict: TenantId = "ten_01jb3k5m7n9p0q1r2s3t4v5w6y".parse().unwrap();
        book.policies.insert(strict, own);
        config.rules.swap(book);
        let may = |tenant, number: &str| config.may_call(tenant, number.parse().unwrap(), &[]);
        assert_eq!(may(TenantId::MAIN, "+420601123456"), Err(Refusal::Barred), "on the hotlist");
        assert_eq!(may(TenantId::MAIN, "+420602123456"), Ok(()));
        assert_eq!(may(strict, "+420602123456"), Err(Refusal::Barred), "another country");
        assert_eq!(may(strict, "+447400123456"), Err(Refusal::HighRisk), "a kind that is off");
        assert_eq!(may(strict, "+449061234567"), Ok(()), "a kind that this tenant has on");
        assert_eq!(may(TenantId::MAIN, "+291124422"), Err(Refusal::Emergency));
    }

    #[test]
    fn deny_wins_over_allow() {
        let open = Destinations::default();
        let check = |rules: &Destinations, number: &str| rules.check(number.parse().unwrap());
        assert_eq!(check(&open, "+15551231234"), Ok(()));
        assert_eq!(check(&open, "+420601123456"), Ok(()));
        for number in ["+19005551234", "+449061234567", "+881612345678", "+97912345678", "+420900123456", "+999123456789"] {
            assert_eq!(check(&open, number), Err(Refusal::HighRisk), "{number}");
        }
        let allowed = Destinations { allowed_prefixes: vec!["44906".into()], ..Destinations::default() };
        assert_eq!(check(&allowed, "+449061234567"), Ok(()));
        let barred = Destinations { barred_prefixes: vec!["44906123".into()], ..allowed };
        assert_eq!(check(&barred, "+449061234567"), Err(Refusal::Barred));
        let at_home = Destinations { countries: vec!["CZ".parse().unwrap()], ..Destinations::default() };
        assert_eq!(check(&at_home, "+15551231234"), Err(Refusal::Barred));
        assert_eq!(check(&at_home, "+420601123456"), Ok(()));
    }
}
