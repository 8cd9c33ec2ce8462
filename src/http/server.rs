//! Listens, bounds what strangers may send, and stops in peace.

use std::net::SocketAddr;

/// Who is at the other end of the connection; handlers find it among the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The address the connection came from; a proxy's, when there is one.
    pub address: SocketAddr,
    /// Whether the connection is encrypted up to us.
    pub tls: bool,
}

/// A bound socket, with its certificates if it speaks TLS.
pub struct Listener;
