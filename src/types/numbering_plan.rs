//! The world's numbering plans as a table: calling codes, prefixes, possible lengths, emergency numbers.

use std::sync::LazyLock;

use regex::Regex;

use super::Country;

/// What one country dials.
pub(super) struct Plan {
    pub country: Country,
    pub calling_code: &'static str,
    /// Of the countries that share a calling code, the one that has what the others have not claimed.
    main: bool,
    leading_digits: Vec<&'static str>,
    /// Dialled before an international number: 00, 011.
    pub international_prefixes: Vec<&'static str>,
    /// Dialled before a national number: 0, 1, 8.
    pub trunk_prefix: Option<&'static str>,
    lengths: Vec<usize>,
    pub emergency: Vec<&'static str>,
    national: LazyLock<Regex, Box<dyn FnOnce() -> Regex + Send>>,
}

impl Plan {
    /// Could these digits be a national number, by length alone?
    pub fn possible(&self, national: &str) -> bool {
        self.lengths.contains(&national.len())
    }

    /// Do these digits look like the country's national numbers?
    pub fn likely(&self, national: &str) -> bool {
        self.possible(national) && self.national.is_match(national)
    }
}

static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(|| include_str!("numbering_plan.tsv").lines().filter_map(read).collect());

fn read(line: &'static str) -> Option<Plan> {
    let mut fields = line.split('\t');
    let country = fields.next().filter(|field| !field.starts_with('#'))?.parse().ok()?;
    let calling_code = fields.next()?;
    let main = fields.next()? == "1";
    let mut list = || fields.next().filter(|field| *field != "-").map(|field| field.split(',').collect::<Vec<_>>()).unwrap_or_default();
    let leading_digits = list();
    let mut international_prefixes = list();
    international_prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
    let trunk_prefix = list().first().copied();
    let lengths = list().iter().filter_map(|length| length.parse().ok()).collect();
    let emergency = list();
    let pattern = fields.next()?;
    let national = LazyLock::new(Box::new(move || {
        Regex::new(&format!("^(?:{pattern})$")).expect("every pattern of the table compiles, a test says so")
    }) as Box<dyn FnOnce() -> Regex + Send>);
    Some(Plan { country, calling_code, main, leading_digits, international_prefixes, trunk_prefix, lengths, emergency, national })
}

/// Every plan.
pub(super) fn all() -> impl Iterator<Item = &'static Plan> {
    PLANS.iter()
}

/// The plan of `country`, if it has one.
pub(super) fn of(country: Country) -> Option<&'static Plan> {
    PLANS.binary_search_by_key(&country, |plan| plan.country).ok().map(|index| &PLANS[index])
}

/// The plan that an international number (digits without plus) belongs to.
pub(super) fn of_number(digits: &str) -> Option<&'static Plan> {
    let sharing = |plan: &&Plan| digits.starts_with(plan.calling_code);
    let claims = |plan: &Plan| {
        plan.leading_digits.iter().filter(|lead| digits[plan.calling_code.len()..].starts_with(*lead)).map(|lead| lead.len()).max()
    };
    PLANS
        .iter()
        .filter(sharing)
        .filter_map(|plan| claims(plan).or_else(|| (plan.main || plan.leading_digits.is_empty()).then_some(0)).map(|claim| (claim, plan)))
        .max_by_key(|(claim, plan)| (*claim, plan.main))
        .map(|(_, plan)| plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read_and_every_pattern_compiles() {
        let lines = include_str!("numbering_plan.tsv").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(PLANS.len(), lines);
        for plan in PLANS.iter() {
            assert!(!plan.lengths.is_empty(), "{}", plan.country);
            let _ = plan.national.is_match("1");
        }
    }

    #[test]
    fn numbers_find_their_country() {
        for (digits, country) in [
            ("15551231234", "US"),
            ("14165550123", "CA"),
            ("12685550123", "AG"),
            ("420601123456", "CZ"),
            ("447700900123", "GB"),
            ("447781900123", "GG"),
            ("77015550123", "KZ"),
            ("74955550123", "RU"),
            ("390669800000", "VA"),
            ("390612345678", "IT"),
            ("35818123456", "AX"),
            ("4930123456", "DE"),
        ] {
            assert_eq!(of_number(digits).map(|plan| plan.country.to_string()).as_deref(), Some(country), "{digits}");
        }
        assert!(of_number("999123456789").is_none());
    }
}
