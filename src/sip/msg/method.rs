//! Request methods.

use std::fmt;

use super::scan::is_token;

/// A request method. Compared with case (RFC 3261 §7.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Method {
    /// `INVITE`
    Invite,
    /// `ACK`
    Ack,
    /// `BYE`
    Bye,
    /// `CANCEL`
    Cancel,
    /// `OPTIONS`
    Options,
    /// `REGISTER`
    Register,
    /// `PRACK` (RFC 3262)
    Prack,
    /// `UPDATE` (RFC 3311)
    Update,
    /// `INFO` (RFC 6086)
    Info,
    /// `MESSAGE` (RFC 3428)
    Message,
    /// `REFER` (RFC 3515)
    Refer,
    /// `NOTIFY` (RFC 6665)
    Notify,
    /// `SUBSCRIBE` (RFC 6665)
    Subscribe,
    /// `PUBLISH` (RFC 3903)
    Publish,
    /// Another token.
    Other(Box<str>),
}

impl Method {
    /// Reads a method; `None` when it is no token.
    pub fn read(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"MESSAGE" => Self::Message,
            b"REFER" => Self::Refer,
            b"NOTIFY" => Self::Notify,
            b"SUBSCRIBE" => Self::Subscribe,
            b"PUBLISH" => Self::Publish,
            other if !other.is_empty() && other.iter().all(|byte| is_token(*byte)) => Self::Other(std::str::from_utf8(other).ok()?.into()),
            _ => return None,
        })
    }

    /// The method as written on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Message => "MESSAGE",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Publish => "PUBLISH",
            Self::Other(name) => name,
        }
    }

    /// Whether the method is one of the RFCs we know: an unknown one is answered 501, a known one we do not do 405.
    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_compare_with_case() {
        assert_eq!(Method::read(b"INVITE"), Some(Method::Invite));
        assert_eq!(Method::read(b"invite"), Some(Method::Other("invite".into())));
        assert_eq!((Method::read(b""), Method::read(b"A B"), Method::read(b"A\xe9")), (None, None, None));
    }
}
