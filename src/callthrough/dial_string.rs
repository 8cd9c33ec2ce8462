//! What the phone is told to dial. Values in, values out.

use std::fmt;

use super::access_number::{AccessNumber, Terminator};
use crate::types::E164;

/// Longest string without the operator's placeholder: what platforms take is unknown, so it is kept short.
const LONGEST: usize = 40;

/// Text of `+ 0-9 , ; * #` and placeholders the operator configured. Nothing a client sent gets in as text: targets are
/// attacker-influenced, and a `%` echoed back would be expanded on the phone and dialled as digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialString(String);

impl DialString {
    /// Just the access number.
    pub fn pinless(access_number: &AccessNumber) -> Self {
        Self(access_number.number.to_string())
    }

    /// The access number, pauses, and a one-time code of fixed length that needs no terminator.
    pub fn code(access_number: &AccessNumber, code: &str) -> Option<Self> {
        let digits = code.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self(format!("{}{}{code}", access_number.number, pauses(access_number)))).filter(Self::short)
    }

    /// The access number, pauses, the operator's PIN text, and the destination. Between PIN and destination stands the
    /// terminator, or more pauses where there is none: iOS does not dial `#` and `*` (Apple, Phone Links).
    pub fn pin(access_number: &AccessNumber, pin: &PinText, destination: E164, ios: bool) -> Option<Self> {
        let pauses = pauses(access_number);
        let (between, end) = match access_number.settings.terminator.filter(|_| !ios) {
            Some(Terminator::Hash) => ("#", "#"),
            Some(Terminator::Star) => ("*", "*"),
            None => (pauses.as_str(), ""),
        };
        let text = |pin: &str| format!("{}{pauses}{pin}{between}{}{end}", access_number.number, destination.digits());
        let short = text(if pin.is_placeholder() { "" } else { &pin.0 }).len() <= LONGEST;
        short.then(|| Self(text(&pin.0)))
    }

    /// An emergency number for the phone's own dialler, from our own list.
    pub fn emergency(digits: &str) -> Option<Self> {
        let sound = (2..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        sound.then(|| Self(digits.to_owned()))
    }

    /// The text, to be escaped as its format demands.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    const fn short(&self) -> bool {
        self.0.len() <= LONGEST
    }
}

impl fmt::Display for DialString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn pauses(access_number: &AccessNumber) -> String {
    ",".repeat(usize::from(access_number.settings.pauses.clamp(1, 9)))
}

/// What the operator configured as PIN: digits, or one placeholder that the phone expands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinText(String);

/// The text is neither digits nor a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write the PIN as 4 to 12 digits or as one placeholder such as %account[x-cth-pin]%")]
pub struct PinTextError;

impl std::str::FromStr for PinText {
    type Err = PinTextError;

    fn from_str(text: &str) -> Result<Self, PinTextError> {
        let digits = (4..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let name = |name: &str| {
            (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let placeholder = text.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).is_some_and(|inner| {
            let node = inner.strip_prefix("account[").and_then(|rest| rest.strip_suffix(']'));
            name(node.unwrap_or(inner))
        });
        if digits || placeholder { Ok(Self(text.to_owned())) } else { Err(PinTextError) }
    }
}

impl PinText {
    fn is_placeholder(&self) -> bool {
        self.0.starts_with('%')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callthrough::access_number::Settings;
    use crate::types::Timestamp;

    fn access_number(settings: Settings) -> AccessNumber {
        AccessNumber {
            tenant: crate::types::TenantId::MAIN,
            number: "+15551230000".parse().unwrap(),
            country: "US".parse().unwrap(),
            enabled: true,
            settings,
            created_at: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn three_modes_three_shapes() {
        let plain = access_number(Settings::default());
        let hash = access_number(Settings { terminator: Some(Terminator::Hash), ..Settings::default() });
        let pin: PinText = "%account[x-cth-pin]%".parse().unwrap();
        let destination = "+15551231234".parse().unwrap();
        assert_eq!(DialString::pinless(&plain).as_str(), "+15551230000");
        assert_eq!(DialString::code(&plain, "12345678").unwrap().as_str(), "+15551230000,,12345678");
        let pin_string = |number, ios| DialString::pin(number, &pin, destination, ios).unwrap().to_string();
        assert_eq!(pin_string(&hash, false), "+15551230000,,%account[x-cth-pin]%#15551231234#");
        assert_eq!(pin_string(&hash, true), "+15551230000,,%account[x-cth-pin]%,,15551231234", "iOS does not dial a hash");
        assert_eq!(pin_string(&plain, false), "+15551230000,,%account[x-cth-pin]%,,15551231234");
    }

    #[test]
    fn nothing_else_gets_in() {
        let plain = access_number(Settings::default());
        for text in ["", "123", "%", "%%", "%a%b%", "%sha1(%x%)%", "12#4", "1234567890123", "%account[x]", "%account[]%"] {
            assert_eq!(text.parse::<PinText>(), Err(PinTextError), "{text:?}");
        }
        assert!("%installid%".parse::<PinText>().is_ok());
        assert_eq!(DialString::code(&plain, "1234%x%"), None);
        assert_eq!(DialString::code(&access_number(Settings { pauses: 9, ..Settings::default() }), &"1".repeat(20)), None, "too long");
        assert_eq!(DialString::emergency("112").unwrap().as_str(), "112");
        assert_eq!(DialString::emergency("+15551231234"), None);
    }
}
