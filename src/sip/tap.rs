//! A tap on the wire: what the endpoint receives and sends can be looked at, without its secrets and without making it wait.
//!
//! While nobody looks it costs one glance at a flag a message. Whoever looks too slowly misses messages; they are counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::redact;
use super::transport::Transport;
use crate::types::Timestamp;

/// Messages that may wait to be looked at; more are missed.
const WAITING: usize = 2_048;
/// Bytes of a message that are looked at.
const LONGEST: usize = 16 * 1024;

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// To us.
    Received,
    /// From us.
    Sent,
}

/// A message as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When it came or went.
    pub at: Timestamp,
    /// Which way.
    pub way: Way,
    /// By what.
    pub transport: Transport,
    /// Our end.
    pub local: SocketAddr,
    /// The far end.
    pub remote: SocketAddr,
    /// Its Call-ID; empty if it has none.
    pub sip_call_id: String,
    /// Its text without secrets.
    pub text: String,
}

/// The same with its secrets: never leaves this file but through [`redact::shown`].
struct Raw {
    at: Timestamp,
    way: Way,
    transport: Transport,
    local: SocketAddr,
    remote: SocketAddr,
    bytes: Bytes,
}

/// The endpoint's end: messages go in.
pub struct Tap {
    is_open: Arc<AtomicBool>,
    missed: Arc<AtomicU64>,
    raw: mpsc::Sender<Raw>,
}

/// The other end: messages come out, one after the other.
pub struct Tapped {
    lever: Lever,
    raw: mpsc::Receiver<Raw>,
}

/// Opens and closes a tap.
#[derive(Clone)]
pub struct Lever {
    is_open: Arc<AtomicBool>,
    missed: Arc<AtomicU64>,
}

/// A tap that is closed.
pub fn tap() -> (Tap, Tapped) {
    let (sender, raw) = mpsc::channel(WAITING);
    let lever = Lever { is_open: Arc::default(), missed: Arc::default() };
    (Tap { is_open: lever.is_open.clone(), missed: lever.missed.clone(), raw: sender }, Tapped { lever, raw })
}

impl Tap {
    /// Whether anybody looks.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Takes a look at a message, if there is room for it.
    pub(crate) fn saw(&self, at: Timestamp, way: Way, (transport, local, remote): (Transport, SocketAddr, SocketAddr), bytes: &Bytes) {
        // Empty lines keep connections alive: they are no message.
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        // What is cut off is not held either.
        let bytes = if bytes.len() > LONGEST { Bytes::copy_from_slice(&bytes[..LONGEST]) } else { bytes.clone() };
        if self.raw.try_send(Raw { at, way, transport, local, remote, bytes }).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Tapped {
    /// What opens and closes it.
    pub fn lever(&self) -> Lever {
        self.lever.clone()
    }

    /// The next message; none once the endpoint is gone. Safe to drop half-way.
    pub async fn next(&mut self) -> Option<Seen> {
        let Raw { at, way, transport, local, remote, bytes } = self.raw.recv().await?;
        let shown = redact::shown(&bytes);
        Some(Seen { at, way, transport, local, remote, sip_call_id: shown.call_id, text: shown.text })
    }
}

impl Lever {
    /// Opens it, or closes it.
    pub fn open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Messages that came faster than they were looked at, since this was asked last.
    pub fn missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (Transport, SocketAddr, SocketAddr) {
        (Transport::Udp, "192.0.2.1:5060".parse().unwrap(), "192.0.2.7:5060".parse().unwrap())
    }

    #[tokio::test]
    async fn messages_come_out_without_secrets() {
        let (tap, mut tapped) = tap();
        assert!(!tap.is_open());
        tapped.lever().open(true);
        assert!(tap.is_open());
        let at = Timestamp::from_micros(1);
        tap.saw(at, Way::Received, ends(), &Bytes::from_static(b"\r\n\r\n"));
        let message = b"REGISTER sip:example.com SIP/2.0\r\nCall-ID: one\r\nAuthorization: Basic c2VjcmV0\r\n\r\n";
        tap.saw(at, Way::Sent, ends(), &Bytes::from_static(message));
        let seen = tapped.next().await.unwrap();
        assert_eq!((seen.way, seen.sip_call_id.as_str(), seen.remote.port()), (Way::Sent, "one", 5060));
        assert!(!seen.text.contains("c2VjcmV0") && seen.text.contains("Authorization: Basic ***"), "{}", seen.text);
        drop(tap);
        assert_eq!(tapped.next().await, None);
    }

    #[tokio::test]
    async fn who_is_too_slow_misses_messages_and_long_ones_are_cut() {
        let (tap, mut tapped) = tap();
        let long = Bytes::from(vec![b'a'; LONGEST + 1]);
        for _ in 0..=WAITING {
            tap.saw(Timestamp::from_micros(1), Way::Received, ends(), &long);
        }
        assert_eq!((tapped.lever().missed(), tapped.lever().missed()), (1, 0));
        assert_eq!(tapped.next().await.unwrap().text.trim_end().len(), LONGEST);
    }
}
