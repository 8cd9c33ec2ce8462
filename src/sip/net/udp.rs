//! SIP over UDP, IPv4 and IPv6: receives in batches, sends at once.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// The largest datagram IP can carry; a longer one cannot come.
const DATAGRAM_BYTES: usize = 65_535;
/// Asked of the kernel for each direction: some seconds of a busy trunk. The kernel may give less.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// All UDP sockets of an endpoint.
#[derive(Debug)]
pub struct Sockets {
    sockets: Vec<UdpSocket>,
    scratch: Box<[u8]>,
}

impl Sockets {
    /// Binds one socket an address.
    pub fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let sockets = addresses
            .iter()
            .map(|&address| {
                bind(address).map_err(|error| {
                    io::Error::new(error.kind(), format!("cannot listen on {address} (udp): {error}; choose another address in sip.listen"))
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self { sockets, scratch: vec![0; DATAGRAM_BYTES].into_boxed_slice() })
    }

    /// Where they are bound.
    pub fn local_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(UdpSocket::local_addr).collect()
    }

    /// Ready once any of them may have a datagram.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // Every socket is asked, so that each wakes us.
        let ready = self.sockets.iter().filter(|socket| socket.poll_recv_ready(context).is_ready()).count();
        if ready > 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes one datagram that waits at this socket. The copy is as long as the datagram, so whoever keeps it keeps no more.
    pub fn try_receive(&mut self, socket: usize) -> Option<(SocketAddr, Bytes)> {
        loop {
            return match self.sockets[socket].try_recv_from(&mut self.scratch) {
                Ok((length, source)) => Some((source, Bytes::copy_from_slice(&self.scratch[..length]))),
                // An ICMP answer to something we sent: says nothing of what waits behind it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(_) => None,
            };
        }
    }

    /// How many sockets there are.
    pub fn count(&self) -> usize {
        self.sockets.len()
    }

    /// Sends one datagram. A full buffer is a lost datagram, which SIP repeats; any other error is the caller's to know.
    pub fn send(&self, socket: usize, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        // Past tokio's readiness, which a new socket does not have yet: its first datagrams would be taken for lost.
        match SockRef::from(&self.sockets[socket]).send_to(bytes, &to.into()) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => Err(error),
            _ => Ok(()),
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_of_both_families_arrive_whole() {
        let mut sockets = Sockets::bind(&["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]).unwrap();
        let local = sockets.local_addresses().unwrap();
        for (index, &address) in local.iter().enumerate() {
            sockets.send(index, address, b"hello").unwrap();
            let mut got = None;
            while got.is_none() {
                std::future::poll_fn(|context| sockets.poll_readable(context)).await;
                // Each is asked until it has nothing more: only that makes the runtime look again.
                for socket in 0..sockets.count() {
                    while let Some((source, bytes)) = sockets.try_receive(socket) {
                        assert_eq!(socket, index);
                        got = Some((source, bytes));
                    }
                }
            }
            let (source, bytes) = got.expect("the loop ends with one");
            assert_eq!((source, &bytes[..]), (address, &b"hello"[..]));
        }
    }

    #[tokio::test]
    async fn a_taken_address_is_named_in_the_error() {
        let sockets = Sockets::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let taken = sockets.local_addresses().unwrap()[0];
        let error = Sockets::bind(&[taken]).unwrap_err().to_string();
        assert!(error.contains(&taken.to_string()) && error.contains("sip.listen"), "{error}");
    }
}
