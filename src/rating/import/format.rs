//! How a file is to be read: what is declared, and what may be found out.

use crate::types::Currency;

/// What separates the cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// A tab.
    Tab,
}

impl Separator {
    pub(super) const ALL: [Self; 3] = [Self::Comma, Self::Semicolon, Self::Tab];

    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
        }
    }
}

/// What stands before the decimals. Declared, never guessed: 1,234 is two different prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecimalMark {
    /// `0.0137`
    #[default]
    Dot,
    /// `0,0137`
    Comma,
}

/// What stands between thousands. Declared, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thousands {
    /// Nothing: whatever stands there is a mistake.
    #[default]
    None,
    /// `1,234.50`
    Comma,
    /// `1.234,50`
    Dot,
    /// `1 234,50`
    Space,
    /// `1'234.50`
    Apostrophe,
}

impl Thousands {
    pub(super) const fn is(self, letter: char) -> bool {
        match self {
            Self::None => false,
            Self::Comma => letter == ',',
            Self::Dot => letter == '.',
            Self::Space => matches!(letter, ' ' | '\u{a0}' | '\u{202f}'),
            Self::Apostrophe => matches!(letter, '\'' | '\u{2019}'),
        }
    }
}

/// How the file is to be read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Format {
    /// Between cells; none means the one under which the heading makes sense.
    pub separator: Option<Separator>,
    /// In prices.
    pub decimal_mark: DecimalMark,
    /// In prices.
    pub thousands: Thousands,
    /// Whether a cell may hold several prefixes (`420601, 420602`) and ranges of them (`420601-420609`).
    pub prefix_lists: bool,
    /// The tariff's rounding, unless a column says.
    pub rounding: super::super::Rounding,
    /// How durations become whole seconds, unless a column says.
    pub duration_rounding: super::super::DurationRounding,
    /// First billing step of lines that do not say.
    pub first_secs: u32,
    /// Next billing step of lines that do not say.
    pub next_secs: u32,
    /// Bad lines that may be left out; more reject the file.
    pub max_rejects: u32,
    /// What the deck's prices are in; a column of currencies must say the same.
    pub currency: Option<Currency>,
    /// Which column holds what.
    pub columns: Columns,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            separator: None,
            decimal_mark: DecimalMark::default(),
            thousands: Thousands::default(),
            prefix_lists: false,
            rounding: super::super::Rounding::default(),
            duration_rounding: super::super::DurationRounding::default(),
            first_secs: 60,
            next_secs: 60,
            max_rejects: 0,
            currency: None,
            columns: Columns::default(),
        }
    }
}

/// Headings of the columns, where they are none of those that are known by themselves. Only the prefix and the price must be
/// there.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// Digits, with or without plus.
    pub prefix: Option<String>,
    /// What the deck calls them.
    pub name: Option<String>,
    /// Price a minute.
    pub per_minute: Option<String>,
    /// Connect fee.
    pub connect_fee: Option<String>,
    /// Both billing steps: `60/60`.
    pub increment: Option<String>,
    /// First billing step.
    pub first_secs: Option<String>,
    /// Next billing step.
    pub next_secs: Option<String>,
    /// Shortest charged length.
    pub min_secs: Option<String>,
    /// Smallest charge.
    pub min_charge: Option<String>,
    /// Free length.
    pub grace_secs: Option<String>,
    /// Hours with prices of their own.
    pub periods: Option<String>,
    /// From when the price is valid.
    pub effective_from: Option<String>,
    /// What the price is in.
    pub currency: Option<String>,
    /// Rounding of charges.
    pub rounding: Option<String>,
    /// Rounding of durations.
    pub duration_rounding: Option<String>,
}
