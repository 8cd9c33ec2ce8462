//! What the core keeps of one leg: an INVITE and all that follows from it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::early::MAX_FORKS;
use super::refresh::{Refresh, Sign};
use super::reliable::{RAck, Reliable};
use super::{Dialog, Forks, early_of};
use crate::sip::core::login::LoggedIn;
use crate::sip::leg::{Body, EarlyDialogId, InDialog, OutgoingInvite, Reason, RequestId};
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
    /// The number in our tag: until we answer a call of theirs, of the first early dialog (see [`super::early_tag`]).
    pub tag: u64,
    /// Which of the early dialogs was answered.
    pub confirmed: EarlyDialogId,
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
    /// The dialog, once there is one for sure; of a call of theirs the first early one until we answer.
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
    /// What is agreed on signs of life, once the call is answered.
    pub refresh: Option<Refresh>,
    /// A provisional response that our 2xx overtook: its PRACK may still come.
    pub late_rack: Option<RAck>,
    /// Our description as they know it, kept only if signs of life need it.
    pub described: Option<Body>,
    /// Credentials that the far end has asked for.
    pub login: Option<Box<LoggedIn>>,
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
    /// Provisional responses that wait for PRACK.
    pub reliable: Reliable,
    /// The early dialogs besides the first: a fork of the far side each (RFC 3261 §12.1.1).
    pub others: Vec<(EarlyDialogId, Dialog)>,
    /// Early dialogs the caller has hung up.
    pub left: Vec<EarlyDialogId>,
}

impl Offered {
    /// Sees to it that there is such an early dialog; false if it is not to be spoken in.
    pub fn open(&mut self, early: EarlyDialogId) -> bool {
        if self.left.contains(&early) {
            return false;
        }
        if early == EarlyDialogId::FIRST || self.others.iter().any(|(known, _)| *known == early) {
            return true;
        }
        let dialog = Dialog::from_invite(&self.request).filter(|_| self.others.len() < MAX_FORKS);
        let is_new = dialog.is_some();
        self.others.extend(dialog.map(|dialog| (early, dialog)));
        is_new
    }

    /// The caller hangs up one early dialog; true if it was the last.
    pub fn leave(&mut self, early: EarlyDialogId) -> bool {
        self.left.push(early);
        self.left.len() > self.others.len()
    }

    fn find<'d>(&'d mut self, first: &'d mut Dialog, early: EarlyDialogId) -> Option<&'d mut Dialog> {
        if self.left.contains(&early) {
            return None;
        }
        if early == EarlyDialogId::FIRST {
            return Some(first);
        }
        self.others.iter_mut().find(|(known, _)| *known == early).map(|(_, dialog)| dialog)
    }
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
    /// Where it goes.
    pub to: Address,
    /// It as it was sent, to be sent again with what the far end misses.
    pub sent: Bytes,
    /// How often it was.
    pub times: u8,
    /// The early dialogs.
    pub forks: Forks,
    /// Whether we have given up.
    pub cancel: Cancel,
    /// What went over a stream only because of its length: it goes by UDP if nobody listens there (RFC 3261 §18.1.1).
    pub by_udp: Option<Box<OutgoingInvite>>,
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
    /// The socket it leaves by.
    pub socket: usize,
    /// Where it goes.
    pub to: Address,
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
    /// The socket it leaves by.
    pub socket: usize,
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
    /// The offer it carries.
    pub body: Option<Body>,
    /// Whether it carries an offer.
    pub offers: bool,
    /// Its transaction.
    pub transaction: TransactionId,
    /// The early dialog it went in. Once the call is answered, that is one that lost: what becomes of the request says nothing of the call.
    pub early: Option<EarlyDialogId>,
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
    /// The early dialog it came in, until the call is answered.
    pub early: Option<EarlyDialogId>,
}

impl LegState {
    /// The dialog a request of ours goes in: the confirmed one, the early one that is named, or else the one heard last.
    pub fn dialog_in(&mut self, early: Option<EarlyDialogId>) -> Option<(Option<EarlyDialogId>, &mut Dialog)> {
        match (&mut self.stage, &mut self.dialog) {
            (Stage::Offered(offered), Some(first)) => {
                let early = early.unwrap_or(EarlyDialogId::FIRST);
                offered.find(first, early).map(|dialog| (Some(early), dialog))
            }
            (_, Some(dialog)) => early.is_none_or(|early| early == self.confirmed).then_some((None, dialog)),
            (Stage::Inviting(inviting), None) => inviting.forks.get(early).map(|(early, dialog)| (Some(early), dialog)),
            _ => None,
        }
    }

    /// The dialog of these tags, and which early one it is until the call is answered.
    pub fn dialog_of(&mut self, our_tag: u64, remote_tag: &str) -> Option<(Option<EarlyDialogId>, &mut Dialog)> {
        match (&mut self.stage, &mut self.dialog) {
            (Stage::Offered(offered), Some(first)) => {
                let early = early_of(self.tag, our_tag)?;
                let dialog = offered.find(first, early).filter(|dialog| dialog.remote_tag.as_ref() == remote_tag)?;
                Some((Some(early), dialog))
            }
            _ if our_tag != self.tag => None,
            (_, Some(dialog)) => Some((None, dialog)).filter(|(_, dialog)| dialog.remote_tag.as_ref() == remote_tag),
            (Stage::Inviting(inviting), None) => inviting.forks.find(remote_tag).map(|(early, dialog)| (Some(early), dialog)),
            _ => None,
        }
    }

    /// A request of ours of this kind under way in this dialog, offering or not.
    pub fn has_mine(&self, method: InDialog, early: Option<EarlyDialogId>) -> bool {
        self.mine.iter().any(|mine| mine.method == method && mine.early == early)
    }

    /// An offer of ours under way in this dialog.
    pub fn has_offer(&self, early: Option<EarlyDialogId>) -> bool {
        self.mine.iter().any(|mine| mine.offers && mine.early == early)
    }

    /// A request of theirs of this kind in this dialog that nobody has answered.
    pub fn has_theirs(&self, method: InDialog, early: Option<EarlyDialogId>) -> bool {
        self.theirs.iter().any(|theirs| theirs.method == method && theirs.early == early)
    }

    /// An offer of theirs in this dialog that nobody has answered.
    pub fn has_their_offer(&self, early: Option<EarlyDialogId>) -> bool {
        let is_offer = |theirs: &Theirs| theirs.method != InDialog::Info && !theirs.request.body().is_empty();
        self.theirs.iter().any(|theirs| theirs.early == early && is_offer(theirs))
    }

    /// One of the early dialogs was answered: what is under way in it goes on, in the others it is nobody's any more. The requests of
    /// theirs that are to be refused.
    pub fn confirm(&mut self, early: EarlyDialogId) -> Vec<Theirs> {
        self.confirmed = early;
        for mine in self.mine.iter_mut().filter(|mine| mine.early == Some(early)) {
            mine.early = None;
        }
        for theirs in self.theirs.iter_mut().filter(|theirs| theirs.early == Some(early)) {
            theirs.early = None;
        }
        self.theirs.extract_if(.., |theirs| theirs.early.is_some()).collect()
    }

    /// Our description is this now. Kept only where a sign of life has to repeat it.
    pub fn describe(&mut self, body: Option<&Body>) {
        let is_needed = self.refresh.is_some_and(|refresh| refresh.is_ours && refresh.sign() == Sign::Reinvite);
        match body {
            // A copy: the bytes may be a piece of a whole datagram.
            Some(body) if is_needed => {
                self.described = Some(Body { content_type: body.content_type.clone(), bytes: Bytes::copy_from_slice(&body.bytes) });
            }
            _ => {}
        }
    }

    /// Whether nothing is left to do or to wait for.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Leaving { bye: None }) && self.clients == 0 && self.unacked.is_empty() && self.theirs.is_empty()
    }
}
