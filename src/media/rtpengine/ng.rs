//! The control protocol of rtpengine: a cookie, a space and a dictionary in a datagram, and the same cookie in front of the answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::bencode::Value;
use crate::types::Random;

/// Datagrams of one question to one relay: the same cookie each time, so that it is carried out once.
const TRIES: u32 = 3;
/// How long each waits for its answer.
const PATIENCE: Duration = Duration::from_millis(400);
/// The largest answer.
const ANSWER: usize = 65_536;

/// Why a relay did not do it.
#[derive(Debug, thiserror::Error)]
pub enum NgError {
    /// No answer.
    #[error("rtpengine at {0} does not answer: check that it runs with --listen-ng at this address")]
    Silent(SocketAddr),
    /// It said no.
    #[error("rtpengine at {at} says: {reason}")]
    Refused {
        /// Which one.
        at: SocketAddr,
        /// In its words.
        reason: String,
    },
    /// The socket.
    #[error("rtpengine: {0}")]
    Socket(#[from] std::io::Error),
}

/// The relays that there are, each asked in its turn.
#[derive(Debug)]
pub struct Pool {
    relays: Box<[SocketAddr]>,
    next: AtomicUsize,
    /// What every cookie of this process begins with, and how many there were: a relay answers a cookie it knows with the old answer.
    beginning: String,
    cookies: AtomicU64,
}

impl Pool {
    /// Asks nobody yet.
    pub fn new(relays: &[SocketAddr], random: &Random) -> Self {
        Self { relays: relays.into(), next: AtomicUsize::new(0), beginning: random.alphanumeric(12), cookies: AtomicU64::new(0) }
    }

    /// The relays in the order in which a new call tries them.
    pub fn order(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        (0..self.relays.len()).map(move |step| self.relays[(first + step) % self.relays.len()])
    }

    /// A cookie that there has never been.
    fn cookie(&self) -> String {
        format!("{}{}", self.beginning, self.cookies.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks one relay; what it answers when it says ok.
    pub async fn ask(&self, relay: SocketAddr, question: &Value) -> Result<Value, NgError> {
        let here: SocketAddr = if relay.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(here).await?;
        socket.connect(relay).await?;
        let cookie = self.cookie();
        let mut asked = format!("{cookie} ").into_bytes();
        question.encode(&mut asked);
        let mut bytes = vec![0; ANSWER];
        for _ in 0..TRIES {
            // A refused port is silence too.
            if socket.send(&asked).await.is_err() {
                continue;
            }
            let answered = tokio::time::timeout(PATIENCE, async {
                while let Ok(length) = socket.recv(&mut bytes).await {
                    if let Some(answer) = answer_to(&cookie, &bytes[..length]) {
                        return Some(answer);
                    }
                }
                None
            });
            if let Ok(Some(answer)) = answered.await {
                return judge(relay, answer);
            }
        }
        Err(NgError::Silent(relay))
    }
}

/// The answer to the question of this cookie.
fn answer_to(cookie: &str, bytes: &[u8]) -> Option<Value> {
    Value::parse(bytes.strip_prefix(cookie.as_bytes())?.strip_prefix(b" ")?)
}

fn judge(at: SocketAddr, answer: Value) -> Result<Value, NgError> {
    if let Some("ok" | "pong") = answer.get("result").and_then(Value::text) {
        return Ok(answer);
    }
    let reason = answer.get("error-reason").and_then(Value::text).unwrap_or("nothing that can be understood");
    Err(NgError::Refused { at, reason: reason.chars().filter(|character| !character.is_control()).take(200).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_is_repeated_with_its_cookie_and_the_next_has_another() {
        let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = relay.local_addr().unwrap();
        let pool = Pool::new(&[at], &Random::seeded(1));
        let ping = Value::dictionary([("command", "ping".into())]);
        let hears = async || {
            let mut bytes = [0; 500];
            let (length, from) = relay.recv_from(&mut bytes).await.unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            (text.split_once(' ').unwrap().0.to_owned(), text, from)
        };
        let answers = async {
            let (first, text, _) = hears().await;
            assert!(text.ends_with(" d7:command4:pinge"), "{text}");
            let (again, _, from) = hears().await;
            assert_eq!(first, again);
            relay.send_to(b"other d6:result4:ponge", from).await.unwrap();
            relay.send_to(format!("{again} d6:result4:ponge").as_bytes(), from).await.unwrap();
            let (second, _, from) = hears().await;
            assert_ne!(first, second);
            relay.send_to(format!("{second} d12:error-reason12:Unknown call6:result5:errore").as_bytes(), from).await.unwrap();
        };
        let asks = async {
            assert!(pool.ask(at, &ping).await.is_ok());
            let error = pool.ask(at, &ping).await.unwrap_err();
            assert!(error.to_string().ends_with("says: Unknown call"), "{error}");
        };
        tokio::join!(answers, asks);
    }

    #[tokio::test]
    async fn silence_is_told_with_its_address_and_each_has_its_turn() {
        let nobody = {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.local_addr().unwrap()
        };
        let pool = Pool::new(&[nobody, ([127, 0, 0, 2], 1).into()], &Random::seeded(1));
        assert!(pool.ask(nobody, &Value::Number(1)).await.unwrap_err().to_string().contains(&nobody.to_string()));
        let firsts: Vec<_> = (0..3).filter_map(|_| pool.order().next()).collect();
        assert!(firsts[0] == nobody && firsts[1] != nobody && firsts[2] == nobody);
    }
}
