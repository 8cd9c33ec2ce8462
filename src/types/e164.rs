use std::fmt;
use std::str::FromStr;

use super::Country;
use super::number_kind::{self, NumberKind};
use super::numbering_plan::{self, Plan};

/// A telephone number of the international plan: `+` and 7 to 15 digits, the first not zero (ITU-T E.164).
///
/// Only the *possible* length is checked: whether a number is assigned is policy, not grammar.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(u64);

/// The text is no number that could be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write the number in international form, such as +15551231234")]
pub struct NumberError;

impl E164 {
    /// The number that `raw` means to somebody in `home`: with a plus, with an international prefix, national with or without
    /// its trunk prefix, or bare international digits, in this order of trust.
    ///
    /// Idempotent: parsing what [`E164`] prints gives the same number back, whatever `home` is.
    pub fn parse(raw: &str, home: Country) -> Result<Self, NumberError> {
        let typed = Typed::read(raw).ok_or(NumberError)?;
        if typed.plus {
            return typed.digits.parse();
        }
        let Some(plan) = numbering_plan::of(home) else { return typed.digits.parse() };
        let abroad = plan.international_prefixes.iter().filter_map(|prefix| typed.digits.strip_prefix(prefix));
        if let Some(number) = abroad.filter_map(|rest| rest.parse::<Self>().ok()).find(|number| number.country().is_some()) {
            return Ok(number);
        }
        national(plan, &typed.digits).ok_or(NumberError)?.parse()
    }

    /// The digits without the plus sign: what prefixes are matched against.
    pub fn digits(self) -> String {
        self.0.to_string()
    }

    /// The country whose plan the number belongs to; none for satellite and other global services.
    pub fn country(self) -> Option<Country> {
        numbering_plan::of_number(&self.digits()).map(|plan| plan.country)
    }

    /// What kind of number it is by its country's plan.
    pub fn kind(self) -> NumberKind {
        number_kind::of(&self.digits()).0
    }

    /// Whether the number looks like one its country hands out; a number of no country's plan does not.
    pub fn likely(self) -> bool {
        let digits = self.digits();
        numbering_plan::of_number(&digits).is_some_and(|plan| digits.strip_prefix(plan.calling_code).is_some_and(|part| plan.likely(part)))
    }

    /// The national part in its country's own writing, with the trunk prefix: what some trunks want to hear or say.
    pub fn national(self) -> Option<String> {
        let digits = self.digits();
        let plan = numbering_plan::of_number(&digits)?;
        let part = digits.strip_prefix(plan.calling_code)?;
        Some(format!("{}{part}", plan.trunk_prefix.unwrap_or_default()))
    }
}

/// International digits of a number typed without plus or international prefix.
fn national(plan: &Plan, digits: &str) -> Option<String> {
    let without_trunk = plan.trunk_prefix.and_then(|prefix| digits.strip_prefix(prefix)).filter(|rest| plan.possible(rest));
    let without_code = digits.strip_prefix(plan.calling_code).filter(|rest| plan.possible(rest));
    let as_typed = Some(digits).filter(|digits| plan.possible(digits));
    let readings = [without_trunk, as_typed, without_code];
    let likely = readings.into_iter().flatten().find(|reading| plan.likely(reading));
    let possible = readings.into_iter().flatten().next();
    likely.or(possible).map(|part| format!("{}{part}", plan.calling_code))
}

/// What somebody typed, without what people put between digits.
struct Typed {
    plus: bool,
    digits: String,
}

impl Typed {
    /// More characters than this are no number.
    const LONGEST: usize = 64;

    fn read(raw: &str) -> Option<Self> {
        let raw = raw.trim();
        let raw = match raw.get(..4) {
            Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => raw[4..].trim_start(),
            _ => raw,
        };
        let (plus, rest) = raw.strip_prefix(['+', '\u{ff0b}']).map_or((false, raw), |rest| (true, rest));
        if rest.len() > Self::LONGEST {
            return None;
        }
        // "+44 (0)20 …" is how people write the trunk prefix that must not be dialled after a plus.
        let rest = if plus { rest.replacen("(0)", "", 1) } else { rest.to_owned() };
        let mut digits = String::with_capacity(16);
        for character in rest.chars() {
            match character {
                ' ' | '\u{a0}' | '\u{202f}' | '-' | '\u{2010}'..='\u{2013}' | '.' | '/' | '(' | ')' => {}
                _ => digits.push(decimal_digit(character)?),
            }
        }
        (!digits.is_empty()).then_some(Self { plus, digits })
    }
}

/// The ASCII digit of any Unicode decimal digit (general category Nd comes in runs of ten, zero first).
pub(super) fn decimal_digit(character: char) -> Option<char> {
    const ZEROS: [u32; 40] = [
        0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20, 0x1040,
        0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0,
        0xaa50, 0xabf0, 0xff10, 0x104a0, 0x1d7ce, 0x1e950,
    ];
    let code = u32::from(character);
    ZEROS.iter().find(|&&zero| (zero..zero + 10).contains(&code)).and_then(|zero| char::from_digit(code - zero, 10))
}

/// From `+` and digits, or bare international digits.
impl FromStr for E164 {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let sound = (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
        if sound { digits.parse().map(Self).map_err(|_| NumberError) } else { Err(NumberError) }
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

/// Masked to the last four digits, as logs show it.
impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+…{:04}", self.0 % 10_000)
    }
}

impl serde::Serialize for E164 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for E164 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(raw: &str, home: &str) -> Option<String> {
        E164::parse(raw, home.parse().unwrap()).ok().map(|number| number.to_string())
    }

    #[test]
    fn typed_digits_mean_what_the_home_country_means() {
        for (raw, home, number) in [
            ("+15551231234", "CZ", "+15551231234"),
            ("15551231234", "US", "+15551231234"),
            ("5551231234", "US", "+15551231234"),
            ("01115551231234", "US", "+15551231234"),
            ("0015551231234", "GB", "+15551231234"),
            ("+1 (555) 123-1234", "US", "+15551231234"),
            ("601123456", "CZ", "+420601123456"),
            ("00420601123456", "CZ", "+420601123456"),
            ("420601123456", "CZ", "+420601123456"),
            ("tel:+15551231234", "US", "+15551231234"),
            ("TEL: 5551231234", "US", "+15551231234"),
            ("٥٥٥١٢٣١٢٣٤", "US", "+15551231234"),
            (" 15551231234", "US", "+15551231234"),
            ("+44 (0)20 7946 0958", "US", "+442079460958"),
            ("020 7946 0958", "GB", "+442079460958"),
            ("07700 900123", "GB", "+447700900123"),
            ("447700900123", "GB", "+447700900123"),
            ("3471234567", "IT", "+393471234567"),
            ("3931234567", "IT", "+393931234567"),
            ("393471234567", "IT", "+393471234567"),
            ("06 69812345", "IT", "+390669812345"),
            ("8 495 555 01 23", "RU", "+74955550123"),
            ("810 1 555 123 1234", "RU", "+15551231234"),
            ("0011 1 555 123 1234", "AU", "+15551231234"),
            ("030 123456", "DE", "+4930123456"),
        ] {
            assert_eq!(parse(raw, home).as_deref(), Some(number), "{raw} in {home}");
        }
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        for raw in [
            "",
            " ",
            "+",
            "++15551231234",
            "+0123456789",
            "12345",
            "letters",
            "sip:5551231234",
            "+1555123123a",
            "%2B15551231234",
            "5551231234\r\n1",
            "+1234567890123456",
            "*21#",
            "#31#5551231234",
            "555\u{0}1231234",
            "+1;phone-context=x",
        ] {
            assert_eq!(parse(raw, "US"), None, "{raw:?}");
        }
        assert_eq!(parse(&"1".repeat(10_000), "US"), None);
    }

    #[test]
    fn the_national_form_carries_the_trunk_prefix() {
        let number: E164 = "+442079460958".parse().unwrap();
        assert_eq!(number.national().as_deref(), Some("02079460958"));
    }

    proptest! {
        #[test]
        fn parsing_is_idempotent(digits in "[1-9][0-9]{6,14}", home in "(US|GB|CZ|DE|IT|RU|AU|KR|FI)") {
            let number: E164 = digits.parse().unwrap();
            prop_assert_eq!(E164::parse(&number.to_string(), home.parse().unwrap()), Ok(number));
        }

        #[test]
        fn anything_typed_is_a_number_or_an_error(raw in ".{0,40}", home in "(US|GB|CZ|DE|IT|RU|AU|ZZ)") {
            if let Ok(number) = E164::parse(&raw, home.parse().unwrap()) {
                prop_assert!((7..=15).contains(&number.digits().len()));
            }
        }
    }
}
