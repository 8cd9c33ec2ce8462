//! Small typed values of headers: identifiers, sequence numbers, parameters.

use std::fmt;

use super::method::Method;
use super::scan::{Scan, is_lws};

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// Wraps an identifier we made or read.
            pub fn new(text: impl Into<Box<str>>) -> Self {
                Self(text.into())
            }

            /// As on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

identifiers! {
    /// A Call-ID, compared with case.
    SipCallId,
    /// A From or To tag. Tokens compare without case by the grammar, but every stack compares bytes, and so do we.
    Tag,
    /// The branch of a Via.
    Branch,
}

/// The magic cookie of RFC 3261 §8.1.1.7.
pub const BRANCH_COOKIE: &str = "z9hG4bK";

/// A sequence number with its method.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// Below 2³¹ (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method of the transaction.
    pub method: Method,
}

impl CSeq {
    /// Reads `number LWS method`.
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut scan = Scan::new(value);
        scan.lws();
        let number = super::scan::decimal(scan.run(|byte| byte.is_ascii_digit()))?;
        if number >= 1 << 31 || !scan.peek().is_some_and(is_lws) {
            return None;
        }
        scan.lws();
        let method = Method::read(scan.token()?)?;
        scan.at_end().then_some(Self { number: u32::try_from(number).ok()?, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// The parameters of a header value, read on demand. `;tag=x;lr` with its first semicolon; white space may surround the parts.
#[derive(Clone, Copy)]
pub struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// Reads `;name=value…`. What is malformed ends the list.
    pub const fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// Name and raw value in order. Values keep their quotes.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let mut scan = Scan::new(self.0);
        std::iter::from_fn(move || {
            scan.lws();
            if !scan.eat(b';') {
                return None;
            }
            let (name, value) = scan.param()?;
            Some((std::str::from_utf8(name).ok()?, value))
        })
    }

    /// The value of a parameter, without its quotes when it has them (escapes stay); `Some("")` when it has none. Not UTF-8: `None`.
    pub fn get(self, name: &str) -> Option<&'a str> {
        let (_, value) = self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        let value = value.unwrap_or(b"");
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        std::str::from_utf8(value).ok()
    }

    /// Whether the parameter is there, with or without a value.
    pub fn has(self, name: &str) -> bool {
        self.iter().any(|(found, _)| found.eq_ignore_ascii_case(name))
    }

    /// The text, from the first semicolon.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_stay_below_their_bound() {
        assert_eq!(CSeq::read(b"0009 \r\n INVITE"), Some(CSeq { number: 9, method: Method::Invite }));
        assert_eq!(CSeq::read(b"2147483647 X").unwrap().number, 2_147_483_647);
        for wrong in ["2147483648 INVITE", "-1 INVITE", "1INVITE", "1", "INVITE 1", "1 INVITE x", "1 IN(VITE"] {
            assert!(CSeq::read(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
