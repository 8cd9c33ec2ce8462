//! Emergency numbers: never routed by us, in any form (spec: security, section 8).

use std::collections::HashSet;
use std::sync::LazyLock;

use super::e164::decimal_digit;
use super::{Country, numbering_plan};

/// Numbers that phones treat as emergency calls wherever they are (3GPP TS 22.101, section 10.1.1).
const EVERYWHERE: [&str; 9] = ["112", "911", "000", "08", "110", "118", "119", "999", "122"];

/// Is `raw` an emergency number for somebody in one of `places`, bare or behind a plus, an international prefix, a trunk
/// prefix or a calling code? When in doubt it is: the answer is "dial it yourself".
pub fn is_emergency(raw: &str, places: &[Country]) -> bool {
    emergency_number(raw, places).is_some()
}

/// The bare emergency number that `raw` means, as [`is_emergency`] reads it: what a phone's own dialler takes.
pub fn emergency_number(raw: &str, places: &[Country]) -> Option<String> {
    let digits = digits_of(raw)?;
    let plans = || places.iter().filter_map(|&place| numbering_plan::of(place));
    let listed = |digits: &str| EVERYWHERE.contains(&digits) || plans().any(|plan| plan.emergency.contains(&digits));
    let prefixes =
        ["00", "011", "0", "1"].into_iter().chain(plans().flat_map(|plan| {
            plan.international_prefixes.iter().copied().chain(plan.trunk_prefix).chain(std::iter::once(plan.calling_code))
        }));
    let mut readings = vec![digits.as_str()];
    for prefix in prefixes.collect::<Vec<_>>() {
        readings.extend(readings.clone().into_iter().filter_map(|reading| reading.strip_prefix(prefix)));
        readings.sort_unstable();
        readings.dedup();
    }
    // "+1 911" and "0049112" are caught by their prefixes; a calling code of any other country is caught here.
    let foreign = digits_without_calling_code(&digits);
    readings.into_iter().chain(foreign).find(|digits| listed(digits)).map(ToOwned::to_owned)
}

/// Are these digits, calling code first, an emergency number of that country or of everywhere: a prefix no deck needs?
pub fn is_emergency_prefix(digits: &str) -> bool {
    static ALL: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let of_plan = |plan: &'static numbering_plan::Plan| {
            let numbers = EVERYWHERE.iter().chain(plan.emergency.iter());
            numbers.map(|number| format!("{}{number}", plan.calling_code)).collect::<Vec<_>>()
        };
        numbering_plan::all().flat_map(of_plan).collect()
    });
    ALL.contains(digits)
}

fn digits_without_calling_code(digits: &str) -> Option<&str> {
    let digits = digits.trim_start_matches('0');
    numbering_plan::of_number(digits).map(|plan| &digits[plan.calling_code.len()..])
}

/// The digits of something typed, or nothing if it holds letters or is too long to be an emergency number.
fn digits_of(raw: &str) -> Option<String> {
    const LONGEST: usize = 12;
    let raw = raw.trim().trim_start_matches("tel:").trim_start_matches("sip:");
    let mut digits = String::new();
    for character in raw.chars() {
        match character {
            // Pauses are no digits either: a phone that leaves them out dials what is left.
            '+' | '\u{ff0b}' | '-' | '\u{2010}'..='\u{2013}' | '.' | '/' | '(' | ')' | ',' | ';' | 'p' | 'P' | 'w' | 'W' => {}
            blank if blank.is_whitespace() => {}
            _ => digits.push(decimal_digit(character)?),
        }
        if digits.len() > LONGEST {
            return None;
        }
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(list: &str) -> Vec<Country> {
        list.split(' ').map(|place| place.parse().unwrap()).collect()
    }

    #[test]
    fn every_form_is_caught() {
        for raw in [
            "112",
            "911",
            "+112",
            "00112",
            "0112",
            "1911",
            "+1911",
            "+1-911",
            "1 1 2",
            "999",
            "000",
            "011911",
            "+420112",
            "00420112",
            "0049112",
            "١١٢",
            "tel:112",
            "+44999",
            "0000",
            "112,",
            ",,112",
            "1,1;2",
            "0p112",
            "w999",
            "1\u{a0}1\u{202f}2",
        ] {
            assert!(is_emergency(raw, &places("US CZ GB")), "{raw}");
        }
        assert!(is_emergency("155", &places("CZ")));
        assert!(!is_emergency("155", &places("US")));
        assert!(is_emergency("+155", &places("US CZ")), "with a plus before it");
    }

    #[test]
    fn prefixes_of_decks_are_told_apart() {
        for (digits, emergency) in [("420112", true), ("420155", true), ("1911", true), ("44999", true), ("420", false), ("42060", false)] {
            assert_eq!(is_emergency_prefix(digits), emergency, "{digits}");
        }
    }

    #[test]
    fn ordinary_numbers_are_not() {
        for raw in ["+15551231234", "5551231234", "601123456", "+442079460958", "", "letters", "*112#"] {
            assert!(!is_emergency(raw, &places("US CZ GB")), "{raw}");
        }
    }
}
