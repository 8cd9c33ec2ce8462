//! What the legs tell, as facts for the machine; what only concerns the other leg is passed on.

use super::super::relay::{Answer, Asked, NO_SUCH_DIALOG, NOT_ACCEPTABLE};
use super::super::response::{self, Said};
use super::Running;
use crate::call::{Cause, Fact, Progress};
use crate::sip::{Body, ByWhom, EarlyDialogId, InDialog, LegEvent, Reason};
use crate::trunk::Outcome;
use crate::types::Side;

impl Running {
    pub(super) async fn heard_a(&mut self, event: Option<LegEvent>) -> Option<Fact> {
        let Some(event) = event else {
            self.a_alive = false;
            return Some(Fact::HungUp(Side::A, Cause::Lost));
        };
        match event {
            LegEvent::Cancelled { reason } => {
                self.a_gone(reason);
                self.sip_status = Some(487);
                Some(Fact::HungUp(Side::A, Cause::Cancelled))
            }
            LegEvent::HungUp { reason, by } => {
                self.a_gone(reason);
                Some(Fact::HungUp(Side::A, hung_up_by(by)))
            }
            LegEvent::Acked { body } => {
                if std::mem::take(&mut self.late_offer) {
                    let body = self.pass_on(Side::A, body).await;
                    if let Some(b) = &self.b {
                        b.ack(body).await;
                    }
                }
                None
            }
            LegEvent::Request { id, method: InDialog::Info, body, .. } if self.took_key(id, body.as_ref()).await => None,
            LegEvent::Request { id, method, body, early } => {
                match (self.way_to_b(early), self.pass(Side::A, body).await) {
                    (Some(_), Err(_)) => self.a.respond(id, NOT_ACCEPTABLE, None, vec![]).await,
                    (Some(early), Ok(body)) => self.relay.asked(Side::A, &self.a, self.b.as_mut(), Asked { id, method, body, early }).await,
                    (None, _) => self.a.respond(id, NO_SUCH_DIALOG, None, vec![]).await,
                }
                None
            }
            LegEvent::RequestCancelled { id } => {
                self.relay.cancelled(Side::A, id);
                None
            }
            LegEvent::RequestAcked { id, body } => {
                let body = self.pass_on(Side::A, body).await;
                self.relay.acked(Side::A, self.b.as_ref(), id, body).await;
                None
            }
            LegEvent::Response { id, status, body, ack_due, .. } => {
                let body = self.pass_on(Side::A, body).await;
                self.relay.answered(Side::A, &self.a, self.b.as_ref(), id, Answer { status, body, ack_due }).await;
                None
            }
            LegEvent::Progress { .. } | LegEvent::Answered { .. } | LegEvent::Refused { .. } => None,
        }
    }

    pub(super) async fn heard_b(&mut self, event: Option<LegEvent>) -> Option<Fact> {
        let Some(event) = event else {
            self.b = None;
            return Some(Fact::HungUp(Side::B, Cause::Lost));
        };
        match event {
            LegEvent::Progress { status, early, body } => {
                let body = self.pass_on(Side::B, body).await;
                self.progressed(status, early, body)
            }
            LegEvent::Answered { early, body, ack_due } => {
                let body = self.pass_on(Side::B, body).await;
                let setting_up = self.setting_up.as_mut()?;
                let (confirmed, said_early) = setting_up.early.answered(early);
                setting_up.answer = body.or(said_early);
                if self.spoken.is_none() {
                    self.confirmed = confirmed;
                }
                self.late_offer = ack_due;
                self.tried("answered", Some(200), Outcome::Worked);
                Some(Fact::Answered(Side::B))
            }
            LegEvent::Refused { status, phrase, reason, contacts, by, .. } => {
                self.b = None;
                let cause = response::cause_of(status, by);
                let outcome = if cause.another_trunk_may_help() { Outcome::Failed } else { Outcome::Worked };
                self.tried(cause.code(), Some(status), outcome);
                self.redirected(&contacts);
                if by == ByWhom::Remote
                    && let Some(setting_up) = &mut self.setting_up
                {
                    setting_up.said = Some(Said { status, phrase, reason });
                }
                Some(Fact::Refused(Side::B, cause))
            }
            LegEvent::HungUp { reason, by } => {
                self.b = None;
                self.parting = reason;
                Some(Fact::HungUp(Side::B, hung_up_by(by)))
            }
            LegEvent::Request { id, method, body, early } => {
                let way = self.way_to_a(early);
                let body = self.pass(Side::B, body).await;
                let a = if self.a_alive { Some(&mut self.a) } else { None };
                match (way, body) {
                    (Some(_), Err(_)) => self.b.as_ref()?.respond(id, NOT_ACCEPTABLE, None, vec![]).await,
                    (Some(early), Ok(body)) => self.relay.asked(Side::B, self.b.as_ref()?, a, Asked { id, method, body, early }).await,
                    (None, _) => self.b.as_ref()?.respond(id, NO_SUCH_DIALOG, None, vec![]).await,
                }
                None
            }
            LegEvent::RequestCancelled { id } => {
                self.relay.cancelled(Side::B, id);
                None
            }
            LegEvent::RequestAcked { id, body } => {
                let body = self.pass_on(Side::B, body).await;
                self.relay.acked(Side::B, Some(&self.a), id, body).await;
                None
            }
            LegEvent::Response { id, status, body, ack_due, .. } => {
                let body = self.pass_on(Side::B, body).await;
                self.relay.answered(Side::B, self.b.as_ref()?, Some(&self.a), id, Answer { status, body, ack_due }).await;
                None
            }
            LegEvent::Cancelled { .. } | LegEvent::Acked { .. } => None,
        }
    }

    fn progressed(&mut self, status: u16, early: EarlyDialogId, body: Option<Body>) -> Option<Fact> {
        let setting_up = self.setting_up.as_mut()?;
        // A 199 tells that one branch of a fork is gone (RFC 6228): nothing A needs to hear.
        if status == 100 || status == 199 {
            return Some(Fact::Progressed(Side::B, Progress::Trying));
        }
        let Some(early) = setting_up.early.progressed(early, body.as_ref().filter(|body| body.is_sdp())) else {
            return Some(Fact::Progressed(Side::B, Progress::Trying));
        };
        setting_up.progress = (early, status, body);
        Some(Fact::Progressed(Side::B, if status == 180 { Progress::Ringing } else { Progress::EarlyMedia }))
    }

    /// The dialog of B for what A asks in one of its own: none if that is gone, nothing in particular once the call is answered.
    #[expect(clippy::option_option, reason = "whether there is a way, and whether it is that of one early dialog")]
    fn way_to_b(&self, early: Option<EarlyDialogId>) -> Option<Option<EarlyDialogId>> {
        match (early, &self.setting_up) {
            (None, _) => Some(None),
            (Some(early), Some(setting_up)) => setting_up.early.of_b(early).map(Some),
            // It was asked before A heard of the answer.
            (Some(early), None) => (early == self.confirmed).then_some(None),
        }
    }

    /// The same the other way.
    #[expect(clippy::option_option, reason = "whether there is a way, and whether it is that of one early dialog")]
    fn way_to_a(&self, early: Option<EarlyDialogId>) -> Option<Option<EarlyDialogId>> {
        match (early, &self.setting_up) {
            (None, _) => Some(None),
            (Some(early), Some(setting_up)) => setting_up.early.of_a(early).map(Some),
            (Some(_), None) => None,
        }
    }

    fn a_gone(&mut self, reason: Option<Reason>) {
        self.a_alive = false;
        self.parting = reason;
    }
}

/// A hang-up that nobody sent means that the leg broke.
const fn hung_up_by(by: ByWhom) -> Cause {
    match by {
        ByWhom::Remote => Cause::HungUp,
        ByWhom::Timeout | ByWhom::Transport | ByWhom::Local => Cause::Lost,
    }
}
