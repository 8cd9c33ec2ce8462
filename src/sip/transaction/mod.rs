//! Transactions (RFC 3261 §17, RFC 6026): each repeats what may be lost and absorbs what comes twice.
//!
//! The four machines are plain values that touch nothing: they are told what came or which timer fired and say through [`Acts`] what to
//! send and arm. What concerns the layer above is their return value.

pub mod ict;
pub mod ist;
pub mod nict;
pub mod nist;
pub mod table;
pub mod timer;

use std::time::Duration;

use bytes::Bytes;

pub use ict::ClientInvite;
pub use ist::ServerInvite;
pub use nict::Client;
pub use nist::Server;
pub use table::{Key, Keys, Machine, TransactionId, Transactions, User};
pub use timer::{Intervals, Timers};

/// The timers of RFC 3261 table 4, RFC 6026 and one of ours, by their letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Letter {
    /// The INVITE again.
    A,
    /// The INVITE has had time enough.
    B,
    /// The far end is at it, but has had time enough all the same (§16.6); armed by whoever wants it.
    C,
    /// The ACK has answered repeats long enough.
    D,
    /// The request again.
    E,
    /// The request has had time enough.
    F,
    /// The refusal again.
    G,
    /// The ACK has had time enough to come.
    H,
    /// Late ACKs are absorbed.
    I,
    /// Late repeats of a request are absorbed.
    J,
    /// Late repeats of a response are absorbed.
    K,
    /// Late repeats of an INVITE that was answered with 2xx are absorbed.
    L,
    /// Other answers to an INVITE that was answered with 2xx are waited for.
    M,
}

/// What a machine wants done, in order.
#[derive(Debug, Default)]
pub struct Acts {
    /// Datagrams to send; never more than two.
    pub send: [Option<Bytes>; 2],
    /// Timers to arm; never more than two.
    pub arm: [Option<(Letter, Duration)>; 2],
    /// Whether the transaction is over and goes.
    pub over: bool,
}

impl Acts {
    fn send(&mut self, bytes: &Bytes) {
        let place = usize::from(self.send[0].is_some());
        self.send[place] = Some(bytes.clone());
    }

    fn arm(&mut self, letter: Letter, after: Duration) {
        let place = usize::from(self.arm[0].is_some());
        self.arm[place] = Some((letter, after));
    }
}

/// What a client transaction has for its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientNews {
    /// Nothing: it was a repeat, or only the network's business.
    Nothing,
    /// The response is news.
    Response,
    /// The final response never came.
    TimedOut,
}

/// What a server INVITE transaction has for its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerNews {
    /// Nothing.
    Nothing,
    /// The caller's INVITE came again after our 2xx, so the 2xx is lost or late.
    RepeatAnswer,
}
