//! rtpengine as the relay: every description goes by way of it, on one of several hosts.

mod bencode;
mod ng;

use std::sync::Arc;

use bytes::Bytes;

use self::bencode::Value;
pub use self::ng::NgError;
use self::ng::Pool;
use super::engine::MediaError;
use crate::sdp::Session as Description;
use crate::sdp::offer_answer::Own;
use crate::types::{Random, Side};

/// The relays. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rtpengine {
    pool: Arc<Pool>,
    random: Random,
}

impl Rtpengine {
    /// Asks nobody yet.
    pub fn new(relays: &[std::net::SocketAddr], random: Random) -> Self {
        Self { pool: Arc::new(Pool::new(relays, &random)), random }
    }

    /// A call: which relay has it shows with its first description.
    pub fn open(&self) -> Session {
        let call = self.random.alphanumeric(20);
        Session {
            pool: self.pool.clone(),
            random: self.random.clone(),
            call,
            relay: None,
            offered: None,
            answered: false,
            own: [None, None],
        }
    }
}

/// The sound of one call at one of the relays. Dropping it ends it there.
#[derive(Debug)]
pub struct Session {
    pool: Arc<Pool>,
    random: Random,
    call: String,
    relay: Option<std::net::SocketAddr>,
    /// Whose offer waits for an answer.
    offered: Option<Side>,
    answered: bool,
    own: [Option<Own>; 2],
}

const fn tag(side: Side) -> &'static str {
    match side {
        Side::A => "a",
        Side::B => "b",
    }
}

impl Session {
    /// What the other side of `from` gets to read.
    pub async fn describe(&mut self, from: Side, text: &Bytes) -> Result<Bytes, MediaError> {
        let read = Description::parse(text)?;
        drop(read);
        // Until the call is answered, forks and trunks answer one offer again and again.
        let is_answer = self.offered == Some(from.other());
        let offerer = if is_answer { from.other() } else { from };
        let mut question = vec![
            ("command", if is_answer { "answer".into() } else { "offer".into() }),
            ("call-id", self.call.as_str().into()),
            ("from-tag", tag(offerer).into()),
            ("sdp", Value::Text(text.to_vec())),
            ("replace", Value::words(&["origin", "session-connection"])),
            ("ICE", "remove".into()),
            ("flags", Value::words(&["trust-address"])),
        ];
        if is_answer || self.answered {
            question.push(("to-tag", tag(offerer.other()).into()));
        }
        let answer = self.ask(&Value::dictionary(question)).await?;
        self.offered = match is_answer {
            true if self.answered => None,
            true => self.offered,
            false => Some(from),
        };
        let sent = answer.get("sdp").and_then(Value::bytes).unwrap_or_default();
        let mut description = Description::parse(&Bytes::copy_from_slice(sent))?;
        let ip = description.media().next().and_then(|media| media.connection()?.parse().ok());
        if let Some(ip) = ip {
            let place = &mut self.own[usize::from(from == Side::A)];
            place.get_or_insert_with(|| Own::new(self.random.u64(), ip)).put_on(&mut description);
        }
        Ok(description.encode())
    }

    /// From now on each description is an offer or the answer to the one before.
    pub const fn answered(&mut self) {
        self.answered = true;
        self.offered = None;
    }

    /// The relay that has the call, or the first that takes it.
    async fn ask(&mut self, question: &Value) -> Result<Value, MediaError> {
        if let Some(relay) = self.relay {
            return Ok(self.pool.ask(relay, question).await?);
        }
        let mut last = MediaError::NoPort;
        for relay in self.pool.order().collect::<Vec<_>>() {
            match self.pool.ask(relay, question).await {
                Ok(answer) => {
                    self.relay = Some(relay);
                    return Ok(answer);
                }
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(relay) = self.relay else { return };
        let question = Value::dictionary([("command", "delete".into()), ("call-id", self.call.as_str().into()), ("from-tag", "a".into())]);
        let pool = self.pool.clone();
        // Without a runtime the process is at its end, and the relay forgets by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = pool.ask(relay, &question).await {
                    tracing::warn!(%error, "a call could not be ended at its relay; it forgets it by itself");
                }
            });
        }
    }
}
