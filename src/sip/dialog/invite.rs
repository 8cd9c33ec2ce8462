//! What the core keeps of one leg: an INVITE and all that follows from it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::{Dialog, Forks};
use crate::sip::leg::{InDialog, Reason, RequestId};
use crate::sip::msg::{Message, SipCallId, Uri};
use crate::sip::target::Address;
use crate::sip::transaction::TransactionId;
use crate::types::TrunkId;

/// Requests of the far end that may wait for the switchboard in one leg.
pub const MAX_THEIRS: usize = 8;
/// Requests of ours that may be under way in one leg.
pub const MAX_MINE: usize = 16;

/// A leg.
#[derive(Debug)]
pub struct LegState {
    /// Whether the INVITE was ours: then the Call-ID is too, and 491 lets us wait longer.
    pub is_caller: bool,
    /// Its Call-ID.
    pub call_id: SipCallId,
    /// The number in our tag.
    pub tag: u64,
    /// Our From or To with our tag.
    pub local: Bytes,
    /// The socket it speaks by.
    pub socket: usize,
    /// Where the far end's messages come from; not known while a name is being looked up.
    pub peer: Option<IpAddr>,
    /// The trunk it belongs to: any address of it may speak.
    pub trunk: Option<TrunkId>,
    /// How far it is.
    pub stage: Stage,
    /// The dialog, once there is one for sure.
    pub dialog: Option<Dialog>,
    /// The switchboard has left, or has heard the last event: nothing is told any more.
    pub silent: bool,
    /// Answers of ours that were not acknowledged yet.
    pub unacked: Vec<Unacked>,
    /// An answer of theirs that waits for the switchboard's words before it is acknowledged.
    pub ack_due: Option<AckDue>,
    /// ACKs sent, for answers that come again.
    pub acks: Vec<SentAck>,
    /// Requests of ours under way.
    pub mine: Vec<Mine>,
    /// Requests of theirs that wait for the switchboard.
    pub theirs: Vec<Theirs>,
    /// Counts their requests.
    pub count: u64,
    /// Client transactions that still tell this leg something.
    pub clients: u32,
}

/// How far a leg is.
#[derive(Debug)]
pub enum Stage {
    /// Their INVITE waits for our final answer.
    Offered(Box<Offered>),
    /// Our INVITE waits for theirs.
    Inviting(Box<Inviting>),
    /// Answered.
    Up,
    /// Over, or about to be: what is left are transactions.
    Leaving {
        /// BYE goes as soon as the ACK has come or will not come (RFC 3261 §15).
        bye: Option<Parting>,
    },
}

/// A BYE to be.
#[derive(Debug, Clone, Default)]
pub struct Parting(pub Option<Reason>);

/// Their INVITE.
#[derive(Debug)]
pub struct Offered {
    /// Its transaction.
    pub transaction: TransactionId,
    /// The INVITE.
    pub request: Message,
    /// Where it came from.
    pub source: SocketAddr,
}

/// Our INVITE.
#[derive(Debug)]
pub struct Inviting {
    /// Its transaction.
    pub transaction: TransactionId,
    /// Its Request-URI, for forks that name no Contact.
    pub request_uri: Uri,
    /// Whether it carried an offer.
    pub offered: bool,
    /// The early dialogs.
    pub forks: Forks,
    /// Whether we have given up.
    pub cancel: Cancel,
}

/// How a CANCEL stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancel {
    /// Not wanted.
    No,
    /// Wanted, but no provisional response has come (RFC 3261 §9.1).
    Held(Option<Reason>),
    /// Sent.
    Sent,
}

/// A 2xx of ours to an INVITE.
#[derive(Debug)]
pub struct Unacked {
    /// The INVITE's number, which its ACK has too.
    pub cseq: u32,
    /// Which re-INVITE it was; none for the first INVITE.
    pub request: Option<RequestId>,
    /// The 2xx.
    pub response: Bytes,
    /// Where it goes.
    pub to: SocketAddr,
    /// How long until it is repeated again.
    pub interval: Duration,
}

/// An answer that carried an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckDue {
    /// The INVITE's number.
    pub cseq: u32,
    /// The INVITE's transaction.
    pub transaction: TransactionId,
}

/// An ACK to a 2xx.
#[derive(Debug)]
pub struct SentAck {
    /// The INVITE's transaction: the ACK is kept as long as that one waits for repeats.
    pub transaction: TransactionId,
    /// Which fork it acknowledged.
    pub remote_tag: Box<str>,
    /// Where it goes.
    pub to: Address,
    /// The ACK.
    pub bytes: Bytes,
}

/// A request of ours.
#[derive(Debug)]
pub struct Mine {
    /// Its name.
    pub id: RequestId,
    /// What it is.
    pub method: InDialog,
    /// Whether it carries an offer.
    pub offers: bool,
    /// Its transaction.
    pub transaction: TransactionId,
}

/// A request of theirs.
#[derive(Debug)]
pub struct Theirs {
    /// Its name.
    pub id: RequestId,
    /// What it is.
    pub method: InDialog,
    /// Its transaction.
    pub transaction: TransactionId,
    /// The request.
    pub request: Message,
    /// Where it came from.
    pub source: SocketAddr,
}

impl LegState {
    /// The dialog that requests go by: the confirmed one, or the early one heard last.
    pub fn current_dialog(&mut self) -> Option<&mut Dialog> {
        match (&mut self.stage, &mut self.dialog) {
            (_, Some(dialog)) => Some(dialog),
            (Stage::Inviting(inviting), None) => inviting.forks.latest(),
            _ => None,
        }
    }

    /// The dialog of this remote tag.
    pub fn dialog_of(&mut self, remote_tag: &str) -> Option<&mut Dialog> {
        match (&mut self.stage, &mut self.dialog) {
            (_, Some(dialog)) => Some(dialog).filter(|dialog| dialog.remote_tag.as_ref() == remote_tag),
            (Stage::Inviting(inviting), None) => inviting.forks.find(remote_tag).map(|(_, dialog)| dialog),
            _ => None,
        }
    }

    /// A request of ours of this kind under way, offering or not.
    pub fn has_mine(&self, method: InDialog) -> bool {
        self.mine.iter().any(|mine| mine.method == method)
    }

    /// A request of theirs of this kind that nobody has answered.
    pub fn has_theirs(&self, method: InDialog) -> bool {
        self.theirs.iter().any(|theirs| theirs.method == method)
    }

    /// Whether nothing is left to do or to wait for.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Leaving { bye: None }) && self.clients == 0 && self.unacked.is_empty() && self.theirs.is_empty()
    }
}
