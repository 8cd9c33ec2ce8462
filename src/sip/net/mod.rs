//! Transports: bytes in and out, nothing of what they mean; and the task that joins them to the core.

pub mod dns;
pub mod flow;
pub mod framer;
pub mod identity;
pub mod task;
pub mod tcp;
pub mod tls;
pub mod udp;

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::transport::Transport;
use udp::Sockets;

/// Tries for a port that is free for datagrams and streams alike, when any will do.
const ANY_PORT_TRIES: usize = 32;

/// Everything an endpoint listens on. The datagram sockets come first, then the listeners, in the order of their addresses.
#[derive(Debug)]
pub struct Doors {
    /// For datagrams.
    pub sockets: Sockets,
    /// For streams.
    pub listeners: Vec<(Transport, TcpListener)>,
}

impl Doors {
    /// Binds every address for datagrams, and if `tcp` for streams too; `tls` are for TLS.
    pub fn open(addresses: &[SocketAddr], tcp: bool, tls: &[SocketAddr]) -> io::Result<Self> {
        let any = addresses.iter().any(|address| address.port() == 0);
        let mut tries = if any && tcp { ANY_PORT_TRIES } else { 1 };
        loop {
            let opened = Self::try_open(addresses, tcp, tls);
            tries -= 1;
            match opened {
                Err(error) if tries > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                done => return done,
            }
        }
    }

    fn try_open(addresses: &[SocketAddr], tcp: bool, tls: &[SocketAddr]) -> io::Result<Self> {
        let sockets = Sockets::bind(addresses)?;
        let bound = if tcp { sockets.local_addresses()? } else { Vec::new() };
        let plain = bound.iter().map(|&address| Ok((Transport::Tcp, listen(address, "tcp", "sip.listen")?)));
        let secret = tls.iter().map(|&address| Ok((Transport::Tls, listen(address, "tls", "sip.tls.listen")?)));
        let listeners = plain.chain(secret).collect::<io::Result<_>>()?;
        Ok(Self { sockets, listeners })
    }

    /// What is listened on, in order.
    pub fn addresses(&self) -> io::Result<Vec<(Transport, SocketAddr)>> {
        let datagrams = self.sockets.local_addresses()?.into_iter().map(|address| Ok((Transport::Udp, address)));
        datagrams.chain(self.listeners.iter().map(|(transport, listener)| Ok((*transport, listener.local_addr()?)))).collect()
    }
}

fn listen(address: SocketAddr, kind: &str, key: &str) -> io::Result<TcpListener> {
    tcp::listen(address).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address} ({kind}): {error}; choose another address in {key}"))
    })
}

#[cfg(test)]
mod tests;
