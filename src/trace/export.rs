//! Messages on their way to Homer: datagrams that nobody waits for.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::Config;
use super::hep::{self, Agent};
use crate::sip::tap::Seen;
use crate::types::{Clock, Moment, Secret};

/// How often the collector's name is looked up again.
const LOOK_UP: Duration = Duration::from_secs(60);
/// How long that may take; messages of that time are missed.
const PATIENCE: Duration = Duration::from_secs(2);

/// A collector.
pub(super) struct Export {
    collector: String,
    id: u32,
    password: Secret,
    clock: Clock,
    way: Option<(UdpSocket, SocketAddr)>,
    look_up_at: Option<Moment>,
    /// It was said that it cannot be reached.
    complained: bool,
}

impl Export {
    /// To where the settings say, if they do.
    pub(super) fn new(config: &Config, clock: Clock) -> Option<Self> {
        let collector = config.hep.clone()?;
        let (id, password) = (config.hep_id, config.hep_password.clone());
        Some(Self { collector, id, password, clock, way: None, look_up_at: None, complained: false })
    }

    /// Sends a message, or does not: a collector that is away costs its messages and nothing else.
    pub(super) async fn send(&mut self, seen: &Seen, correlation: &str) {
        let now = self.clock.now();
        if self.look_up_at.is_none_or(|at| at <= now) {
            self.look_up_at = Some(now + LOOK_UP);
            match tokio::time::timeout(PATIENCE, way(&self.collector)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(way) => self.way = Some(way),
                Err(error) => self.complain(&error),
            }
        }
        let Some((socket, to)) = &self.way else { return };
        let packet = hep::packet(seen, Agent { id: self.id, password: self.password.expose() }, correlation);
        match socket.try_send_to(&packet, *to) {
            Ok(_) => self.complained = false,
            // A full buffer is a lost datagram.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => {}
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(collector = self.collector, %error, "SIP messages do not reach the collector; check trace.hep");
        }
    }
}

/// A socket of the collector's family, and its address.
async fn way(collector: &str) -> io::Result<(UdpSocket, SocketAddr)> {
    let to = tokio::net::lookup_host(collector).await?.next().ok_or(io::ErrorKind::NotFound)?;
    let from = if to.is_ipv4() { SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)) } else { SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)) };
    let socket = UdpSocket::bind(from).await?;
    socket.writable().await?;
    Ok((socket, to))
}
