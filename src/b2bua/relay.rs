//! Requests inside the call, passed from one leg to the other and their answers back: re-INVITE, UPDATE, INFO.

use crate::sip::{Body, EarlyDialogId, InDialog, Leg, RequestId};
use crate::types::Side;

/// Requests that may be under way between the legs; one more is answered 500.
const MOST_PENDING: usize = 8;
/// RFC 3261 §14.2: a request that crosses another one.
const REQUEST_PENDING: u16 = 491;
/// RFC 3261 §21.4.26: a description that cannot be used.
pub(super) const NOT_ACCEPTABLE: u16 = 488;
/// RFC 3261 §12.2.2: a request in a dialog that is no more.
pub(super) const NO_SUCH_DIALOG: u16 = 481;

/// A request that was passed on.
#[derive(Debug)]
struct Pending {
    /// Whose request it is, and its name on that leg.
    from: Side,
    asked: RequestId,
    /// Its name on the other leg.
    passed: RequestId,
    /// The other leg's 200 carried an offer: the ACK of the asker brings the answer.
    ack_due: bool,
}

/// What a leg asks the other.
#[derive(Debug)]
pub(super) struct Asked {
    pub id: RequestId,
    pub method: InDialog,
    pub body: Option<Body>,
    /// The other leg's early dialog it is for, until the call is answered.
    pub early: Option<EarlyDialogId>,
}

/// What the other leg said to a request that was passed to it.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Option<Body>,
    pub ack_due: bool,
}

/// What is under way between the legs. Empty, it owns no memory.
#[derive(Debug, Default)]
pub(super) struct Relay(Vec<Pending>);

impl Relay {
    /// `asker` wants something: pass it on, or say why not.
    pub async fn asked(&mut self, from: Side, asker: &Leg, other: Option<&mut Leg>, asked: Asked) {
        let Asked { id: asked, method, body, early } = asked;
        let Some(other) = other else { return asker.respond(asked, REQUEST_PENDING, None, vec![]).await };
        if self.0.len() >= MOST_PENDING {
            return asker.respond(asked, 500, None, vec![]).await;
        }
        let passed = other.request_in(early, method, body, vec![]).await;
        self.0.push(Pending { from, asked, passed, ack_due: false });
    }

    /// The other leg answered a request that was passed to it: the asker hears the same, 491 included.
    pub async fn answered(&mut self, by: Side, leg: &Leg, asker: Option<&Leg>, passed: RequestId, answer: Answer) {
        let Answer { status, body, ack_due } = answer;
        let at = self.0.iter().position(|one| one.from == by.other() && one.passed == passed);
        let (Some(at), Some(asker)) = (at, asker) else {
            // Nobody is left to answer the offer, but the 200 must not be repeated for ever.
            if ack_due {
                leg.ack(None).await;
            }
            return;
        };
        asker.respond(self.0[at].asked, status, body, vec![]).await;
        if ack_due {
            self.0[at].ack_due = true;
        } else {
            self.0.swap_remove(at);
        }
    }

    /// The asker acknowledged the 200 of its re-INVITE: if it carried an offer, here is the answer for the other leg.
    pub async fn acked(&mut self, by: Side, other: Option<&Leg>, asked: RequestId, body: Option<Body>) {
        let Some(at) = self.0.iter().position(|one| one.from == by && one.asked == asked && one.ack_due) else { return };
        self.0.swap_remove(at);
        if let Some(other) = other {
            other.ack(body).await;
        }
    }

    /// B's leg gives way to another one: what A asked it finds no answer any more.
    pub async fn left(&mut self, a: &Leg) {
        for one in self.0.drain(..).filter(|one| one.from == Side::A) {
            a.respond(one.asked, NO_SUCH_DIALOG, None, vec![]).await;
        }
    }

    /// The asker took its re-INVITE back: what the other leg says to it interests nobody any more.
    pub fn cancelled(&mut self, by: Side, asked: RequestId) {
        self.0.retain(|one| !(one.from == by && one.asked == asked));
    }
}
