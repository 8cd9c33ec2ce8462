use std::fmt;
use std::str::FromStr;

/// Decimal text that is not an amount, or arithmetic that left the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not plain digits with at most one dot.
    #[error("write the amount as plain digits with a dot, such as 1.25")]
    NotDecimal,
    /// More decimals than the unit holds: an error, never a silent rounding.
    #[error("at most {0} decimals fit")]
    TooManyDecimals(u8),
    /// Outside the range of 64-bit integers.
    #[error("the amount is out of range")]
    OutOfRange,
    /// Not three capital letters.
    #[error("write the currency as its three ISO 4217 letters, such as EUR")]
    NotCurrency,
}

/// An ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three ASCII letters")
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let letters: [u8; 3] = text.as_bytes().try_into().map_err(|_| MoneyError::NotCurrency)?;
        if letters.iter().all(u8::is_ascii_uppercase) { Ok(Self(letters)) } else { Err(MoneyError::NotCurrency) }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $decimals:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(i64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);

            /// From the integer the books keep.
            pub const fn new(units: i64) -> Self {
                Self(units)
            }

            /// The integer the books keep.
            pub const fn get(self) -> i64 {
                self.0
            }

            /// The sum; an error beyond 64 bits.
            pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
                self.0.checked_add(other.0).map(Self).ok_or(MoneyError::OutOfRange)
            }

            /// The difference; an error beyond 64 bits.
            pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
                self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::OutOfRange)
            }
        }

        impl FromStr for $name {
            type Err = MoneyError;

            fn from_str(text: &str) -> Result<Self, MoneyError> {
                parse_decimal(text, $decimals).map(Self)
            }
        }

        /// Plain digits, a dot, at least two decimals, no thousands separator.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_decimal(self.0, $decimals, f)
            }
        }
    };
}

unit! {
    /// An amount in millionths of its currency's unit (spec: money, section 2).
    Micros, 6
}

unit! {
    /// A price a minute in billionths of its currency's unit: decks carry up to seven decimals and more.
    Nanos, 9
}

/// An amount with its currency, as the outside sees it: `{"amount":"1.25","currency":"EUR"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// How much.
    pub amount: Micros,
    /// Of what.
    pub currency: Currency,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Micros, Nanos);

/// A value written as an object: by itself, a derived one takes a list of its fields too.
pub fn object<'de, D: serde::Deserializer<'de>, T: serde::Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Fields<T>(std::marker::PhantomData<T>);
    impl<'de, T: serde::Deserialize<'de>> serde::de::Visitor<'de> for Fields<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
            T::deserialize(serde::de::value::MapAccessDeserializer::new(fields))
        }
    }
    deserializer.deserialize_map(Fields(std::marker::PhantomData))
}

impl serde::Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut shape = serializer.serialize_struct("Money", 2)?;
        shape.serialize_field("amount", &self.amount)?;
        shape.serialize_field("currency", &self.currency)?;
        shape.end()
    }
}

impl<'de> serde::Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Shape {
            amount: Micros,
            currency: Currency,
        }
        object::<D, Shape>(deserializer).map(|Shape { amount, currency }| Self { amount, currency })
    }
}

fn parse_decimal(text: &str, decimals: u8) -> Result<i64, MoneyError> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return Err(MoneyError::NotDecimal);
    }
    let kept = fraction.trim_end_matches('0');
    let missing = usize::from(decimals).checked_sub(kept.len()).ok_or(MoneyError::TooManyDecimals(decimals))?;
    let units = whole
        .bytes()
        .chain(kept.bytes())
        .chain(std::iter::repeat_n(b'0', missing))
        .try_fold(0_i64, |value, byte| value.checked_mul(10)?.checked_sub(i64::from(byte - b'0')))
        .ok_or(MoneyError::OutOfRange)?;
    if negative { Ok(units) } else { units.checked_neg().ok_or(MoneyError::OutOfRange) }
}

fn write_decimal(units: i64, decimals: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let scale = 10_u64.pow(u32::from(decimals));
    let magnitude = units.unsigned_abs();
    let fraction = format!("{:0width$}", magnitude % scale, width = usize::from(decimals));
    let kept = fraction.trim_end_matches('0').len().max(2);
    let sign = if units < 0 { "-" } else { "" };
    f.pad(&format!("{sign}{}.{}", magnitude / scale, &fraction[..kept]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_integers_and_back() {
        for (text, micros, shown) in [
            ("1.25", 1_250_000, "1.25"),
            ("0", 0, "0.00"),
            ("1234.50", 1_234_500_000, "1234.50"),
            ("-0.000001", -1, "-0.000001"),
            ("16.777217", 16_777_217, "16.777217"),
            ("1.2500000000", 1_250_000, "1.25"),
        ] {
            let amount: Micros = text.parse().unwrap();
            assert_eq!((amount.get(), amount.to_string().as_str()), (micros, shown));
        }
        assert_eq!("0.0000875".parse::<Nanos>().unwrap().get(), 87_500);
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "1,250.00", "1e3", "+1", "--1", "٣", " 1"] {
            assert_eq!(text.parse::<Micros>(), Err(MoneyError::NotDecimal), "{text:?}");
        }
        assert_eq!("0.0000001".parse::<Micros>(), Err(MoneyError::TooManyDecimals(6)));
        assert_eq!("9223372036854.775808".parse::<Micros>(), Err(MoneyError::OutOfRange));
        assert_eq!("-9223372036854.775808".parse::<Micros>().unwrap().get(), i64::MIN);
    }
}
