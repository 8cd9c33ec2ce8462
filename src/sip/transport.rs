//! How messages travel: UDP, TCP, TLS, and what each is called where.

use std::fmt;

/// A transport of RFC 3261 §18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A stream.
    Tcp,
    /// A stream that nobody else reads.
    Tls,
}

/// RFC 3261 §18.1.1: a request longer than this goes over a stream when the way's own limit is not known.
pub const DATAGRAM_REQUEST_BYTES: usize = 1_300;

impl Transport {
    /// Whether nothing is lost on the way, so that nothing is repeated.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// As a Via writes it.
    pub const fn in_via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// As a URI parameter writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// Reads the `transport` parameter of a URI.
    pub fn read(text: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls].into_iter().find(|transport| transport.as_str().eq_ignore_ascii_case(text))
    }

    /// The port when none is written (RFC 3261 §19.1.2).
    pub const fn usual_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_read_as_they_are_written() {
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            assert_eq!(Transport::read(&transport.to_string().to_uppercase()), Some(transport));
        }
        assert_eq!(Transport::read("sctp"), None);
        assert_eq!(Transport::Tls.usual_port(), 5061);
    }
}
