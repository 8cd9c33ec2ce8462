//! Reliable provisional responses (RFC 3262) on either side of an INVITE. They are each leg's own: what one party wants for sure is no
//! concern of the other's.

use std::net::SocketAddr;

use super::words::{Builder as _, body_of};
use super::{Alarm, Core, Departure, Kind, LegAlarm, their_id};
use crate::sip::dialog::invite::{LegState, Stage, Theirs};
use crate::sip::dialog::reliable::{Next, Order, RAck, Unpracked};
use crate::sip::dialog::{Dialog, early_tag};
use crate::sip::leg::{Body, ByWhom, EarlyDialogId, Header, InDialog, LegEvent, LegId};
use crate::sip::msg::{Message, Method, Name, Response, Status};
use crate::sip::transaction::User;

impl Core {
    /// Sends a provisional response that is to be acknowledged, or lets it wait for the one before it.
    pub(super) fn progress_reliably(&mut self, id: LegId, leg: &mut LegState, next: Next) {
        let Stage::Offered(offered) = &mut leg.stage else { return };
        if offered.reliable.unpracked.is_some() {
            return offered.reliable.wait(next);
        }
        let Next { early, status, body, headers } = next;
        let Some(status) = Status::new(status) else { return };
        let fresh = u32::try_from(self.chance.below(1 << 31)).unwrap_or(1).max(1);
        let Some((_, dialog)) = leg.dialog_in(Some(early)) else { return };
        // RFC 3262 §3: drawn for the first response, one more for each after it.
        let rseq = dialog.local_rseq.map_or(fresh, |rseq| rseq.wrapping_add(1));
        dialog.local_rseq = Some(rseq);
        dialog.described |= body.is_some();
        let Stage::Offered(offered) = &leg.stage else { return };
        let response = self
            .invite_response_to(offered, leg.socket, early_tag(leg.tag, early), status)
            .header(Name::Require, "100rel")
            .header(Name::RSeq, rseq)
            .add(&headers)
            .carry(body.as_ref())
            .encode();
        let (transaction, to) = (offered.transaction, self.answer_to(leg.socket, &offered.request.via(), offered.source));
        let interval = self.settings.intervals.t1;
        let until = self.now + self.settings.intervals.patience();
        self.respond(transaction, status, response.clone());
        self.timers.arm(self.now + interval, Alarm::Leg(id, LegAlarm::Unpracked(rseq)));
        if let Stage::Offered(offered) = &mut leg.stage {
            offered.reliable.unpracked = Some(Unpracked { early, rseq, described: body.is_some(), response, to, interval, until });
        }
    }

    /// No PRACK yet: again, or never.
    pub(super) fn unpracked_alarm(&mut self, id: LegId, leg: &mut LegState, rseq: u32) {
        let Stage::Offered(offered) = &mut leg.stage else { return };
        let Some(unpracked) = offered.reliable.unpracked.as_mut().filter(|unpracked| unpracked.rseq == rseq) else { return };
        if self.now >= unpracked.until {
            // RFC 3262 §3: no PRACK within 64·T1 refuses the call.
            self.finish(id, leg, LegEvent::HungUp { reason: None, by: ByWhom::Timeout });
            return self.refuse_offer(leg, Status::SERVER_TIMEOUT, "", None, &[]);
        }
        // RFC 3262 §3: doubled without the bound of T2.
        unpracked.interval *= 2;
        let (bytes, to) = (unpracked.response.clone(), unpracked.to.clone());
        let again = (self.now + unpracked.interval).min(unpracked.until);
        self.timers.arm(again, Alarm::Leg(id, LegAlarm::Unpracked(rseq)));
        self.send(leg.socket, to, bytes, None);
    }

    /// Their PRACK. An offer in it is passed on like one in an UPDATE.
    pub(super) fn prack_request(
        &mut self,
        id: LegId,
        leg: &mut LegState,
        (socket, source): (usize, SocketAddr),
        request: &Message,
        early: Option<EarlyDialogId>,
    ) {
        let rack = RAck::of(request);
        let is_late = rack.is_some() && rack == leg.late_rack;
        let is_known = match &mut leg.stage {
            Stage::Offered(offered) => {
                let cseq = offered.request.cseq().number;
                let place = &mut offered.reliable.unpracked;
                let fits = |unpracked: &mut Unpracked| rack == Some(RAck { rseq: unpracked.rseq, cseq }) && early == Some(unpracked.early);
                place.take_if(fits).is_some()
            }
            Stage::Up => is_late,
            Stage::Inviting(_) | Stage::Leaving { .. } => false,
        };
        if !is_known {
            return self.reject(socket, source, request, Status::NO_SUCH_CALL, &[]);
        }
        if is_late {
            leg.late_rack = None;
        }
        let transaction = self.start_server(request, User::Nobody, socket, source, false);
        match body_of(request) {
            None => {
                self.respond(transaction, Status::OK, Response::to_from(request, Status::OK, None, Some(source)).encode());
            }
            body => {
                let asked = their_id(leg);
                leg.theirs.push(Theirs { id: asked, method: InDialog::Update, transaction, request: request.clone(), source, early });
                self.tell(id, leg, LegEvent::Request { id: asked, method: InDialog::Update, body, early });
            }
        }
        self.after_prack(id, leg);
    }

    /// The next provisional response may go, or the answer.
    fn after_prack(&mut self, id: LegId, leg: &mut LegState) {
        let Stage::Offered(offered) = &mut leg.stage else { return };
        if let Some(next) = offered.reliable.next.pop_front() {
            return self.progress_reliably(id, leg, next);
        }
        if let Some(held) = offered.reliable.held.take() {
            self.answer(id, leg, held.early, held.body.as_ref(), &held.headers);
        }
    }

    /// What a provisional response of the switchboard's becomes.
    pub(super) fn is_reliable(leg: &LegState, body: Option<&Body>) -> bool {
        matches!(&leg.stage, Stage::Offered(offered) if offered.reliable.is_for(body.is_some()))
    }

    /// A provisional response of theirs: true if it is to be told. One that wants to be acknowledged is.
    pub(super) fn prack(&mut self, leg: &mut LegState, response: &Message) -> bool {
        let Some(rseq) = response.number(Name::RSeq).filter(|_| response.lists(Name::Require, "100rel")) else { return true };
        let Stage::Inviting(inviting) = &mut leg.stage else { return false };
        let Some((_, dialog)) = inviting.forks.find(response.to_tag().unwrap_or("")) else { return true };
        match Order::of(dialog.remote_rseq, rseq) {
            Order::Next => dialog.remote_rseq = Some(rseq),
            Order::Repeat | Order::Early => return false,
        }
        let mut dialog = dialog.clone();
        let rack = format!("{rseq} {} INVITE", response.cseq().number);
        self.send_prack(leg, &mut dialog, &rack);
        if let Stage::Inviting(inviting) = &mut leg.stage
            && let Some((_, kept)) = inviting.forks.find(response.to_tag().unwrap_or(""))
        {
            kept.local_cseq = dialog.local_cseq;
        }
        true
    }

    fn send_prack(&mut self, leg: &LegState, dialog: &mut Dialog, rack: &str) {
        let socket = self.socket_in(leg, dialog);
        let (branch, via) = self.via(socket);
        let cseq = dialog.next_cseq();
        let Some((request, to)) = dialog.request(Method::Prack, cseq, &via, &leg.local, leg.call_id.as_str()) else { return };
        let bytes = request.header(Name::RAck, rack).encode();
        self.start_client(None, User::Nobody, Departure { socket, to, branch, bytes, kind: Kind::Other });
    }

    /// Whether our 2xx has to wait for a PRACK; if so it is kept.
    pub(super) fn holds_answer(leg: &mut LegState, early: EarlyDialogId, body: Option<&Body>, headers: &[Header]) -> bool {
        let Stage::Offered(offered) = &mut leg.stage else { return false };
        let holds = offered.reliable.holds_answer();
        if holds {
            offered.reliable.held = Some(crate::sip::dialog::reliable::Held { early, body: body.cloned(), headers: headers.to_vec() });
        } else {
            // RFC 3262 §3: what was not acknowledged is not repeated after the 2xx, but its PRACK may still come.
            let cseq = offered.request.cseq().number;
            leg.late_rack = offered.reliable.unpracked.as_ref().map(|unpracked| RAck { rseq: unpracked.rseq, cseq });
        }
        holds
    }
}
