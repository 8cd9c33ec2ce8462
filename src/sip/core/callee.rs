//! The UAS side of an INVITE: ringing, answering until acknowledged, refusing, being cancelled (RFC 3261 §13.3, RFC 6026).

use bytes::Bytes;

use super::words::{ALLOW, Builder as _, accepting, body_of, reason_of};
use super::{Alarm, Core, LegAlarm};
use crate::sip::dialog::invite::{LegState, Offered, Parting, Stage, Unacked};
use crate::sip::dialog::reliable::Next;
use crate::sip::dialog::{Dialog, early_tag, refresh, tag_text};
use crate::sip::leg::{Body, ByWhom, EarlyDialogId, Header, LegEvent, LegId, Reason, RequestId};
use crate::sip::msg::{Message, Name, Response, Status, Tag};
use crate::sip::transaction::{Acts, Machine};

impl Core {
    pub(super) fn progress(
        &mut self,
        id: LegId,
        leg: &mut LegState,
        early: EarlyDialogId,
        status: u16,
        body: Option<Body>,
        headers: Vec<Header>,
    ) {
        let is_reliable = Self::is_reliable(leg, body.as_ref());
        let Stage::Offered(offered) = &mut leg.stage else { return };
        // 100 was sent when the INVITE came.
        let Some(status) = Status::new(status).filter(|status| status.is_provisional() && *status != Status::TRYING) else { return };
        if !offered.open(early) {
            return;
        }
        if is_reliable {
            return self.progress_reliably(id, leg, Next { early, status: status.code(), body, headers });
        }
        let response =
            self.invite_response_to(offered, leg.socket, early_tag(leg.tag, early), status).add(&headers).carry(body.as_ref()).encode();
        let transaction = offered.transaction;
        if let Some((_, dialog)) = leg.dialog_in(Some(early)) {
            dialog.described |= body.is_some();
        }
        self.respond(transaction, status, response);
    }

    pub(super) fn answer(&mut self, id: LegId, leg: &mut LegState, early: EarlyDialogId, body: Option<&Body>, headers: &[Header]) {
        if Self::holds_answer(leg, early, body, headers) {
            return;
        }
        let Stage::Offered(offered) = &mut leg.stage else { return };
        let tag = early_tag(leg.tag, early);
        let accepted = refresh::accept(&offered.request, self.settings.session_secs, refresh::takes_update(&offered.request), self.now);
        let response = self.invite_response_to(offered, leg.socket, tag, Status::OK).header(Name::Allow, ALLOW);
        let response = accepting(response, Some(&accepted)).add(headers).carry(body).encode();
        if early != EarlyDialogId::FIRST {
            // A fork that answers without having rung makes its dialog now.
            let known = offered.others.iter().position(|(known, _)| *known == early).map(|place| offered.others.swap_remove(place).1);
            leg.dialog = known.or_else(|| Dialog::from_invite(&offered.request));
            leg.tag = tag;
            leg.local = Bytes::copy_from_slice(offered.request.to().with_tag(&Tag::new(tag_text(tag))).as_bytes());
        }
        let (transaction, cseq) = (offered.transaction, offered.request.cseq().number);
        let to = self.answer_to(leg.socket, &offered.request.via(), offered.source);
        self.respond(transaction, Status::OK, response.clone());
        if let Some(dialog) = &mut leg.dialog {
            dialog.described = true;
        }
        leg.stage = Stage::Up;
        self.session_accepted(id, leg, accepted.refresh, body);
        let refused = leg.confirm(early);
        self.drop_these(refused);
        self.await_ack(id, leg, Unacked { cseq, request: None, response, socket: leg.socket, to, interval: self.settings.intervals.t1 });
    }

    /// Repeats a 2xx until its ACK comes: whatever the transport, because the ACK is the caller's own and goes end to end.
    pub(super) fn await_ack(&mut self, id: LegId, leg: &mut LegState, unacked: Unacked) {
        let cseq = unacked.cseq;
        self.timers.arm(self.now + unacked.interval, Alarm::Leg(id, LegAlarm::Repeat(cseq)));
        self.timers.arm(self.now + self.settings.intervals.patience(), Alarm::Leg(id, LegAlarm::NoAck(cseq)));
        leg.unacked.push(unacked);
    }

    pub(super) fn repeat_answer(&mut self, id: LegId, leg: &mut LegState, cseq: u32, again: bool) {
        let intervals = self.settings.intervals;
        let Some(unacked) = leg.unacked.iter_mut().find(|unacked| unacked.cseq == cseq) else { return };
        let (bytes, socket, to) = (unacked.response.clone(), unacked.socket, unacked.to.clone());
        if again {
            unacked.interval = intervals.doubled(unacked.interval);
            self.timers.arm(self.now + unacked.interval, Alarm::Leg(id, LegAlarm::Repeat(cseq)));
        }
        self.send(socket, to, bytes, None);
    }

    /// The INVITE came again after its 2xx, which therefore goes again, outside its rhythm.
    pub(super) fn repeat_unacked(&mut self, leg: &mut LegState, request: Option<RequestId>) {
        if let Some(unacked) = leg.unacked.iter().find(|unacked| unacked.request == request) {
            let (bytes, socket, to) = (unacked.response.clone(), unacked.socket, unacked.to.clone());
            self.send(socket, to, bytes, None);
        }
    }

    pub(super) fn no_ack(&mut self, id: LegId, leg: &mut LegState, cseq: u32) {
        let Some(place) = leg.unacked.iter().position(|unacked| unacked.cseq == cseq) else { return };
        leg.unacked.remove(place);
        match &leg.stage {
            // RFC 3261 §13.3.1.4: no ACK after 64·T1: the session ends with BYE.
            Stage::Up => {
                self.finish(id, leg, LegEvent::HungUp { reason: None, by: ByWhom::Timeout });
                self.bye(id, leg, Some(&Reason::q850(102, "No ACK")));
            }
            Stage::Leaving { bye: Some(Parting(reason)) } => {
                let reason = reason.clone();
                self.bye(id, leg, reason.as_ref());
            }
            Stage::Leaving { bye: None } | Stage::Offered(_) | Stage::Inviting(_) => {}
        }
    }

    pub(super) fn acknowledged(&mut self, id: LegId, leg: &mut LegState, ack: &Message) {
        let Some(place) = leg.unacked.iter().position(|unacked| unacked.cseq == ack.cseq().number) else { return };
        let unacked = leg.unacked.remove(place);
        let body = body_of(ack);
        match (unacked.request, &leg.stage) {
            (None, Stage::Leaving { bye: Some(Parting(reason)) }) => {
                let reason = reason.clone();
                self.bye(id, leg, reason.as_ref());
            }
            (None, _) => self.tell(id, leg, LegEvent::Acked { body }),
            (Some(request), _) => self.tell(id, leg, LegEvent::RequestAcked { id: request, body }),
        }
    }

    pub(super) fn refuse(&mut self, id: LegId, leg: &mut LegState, status: u16, phrase: &str, headers: &[Header]) {
        if !matches!(leg.stage, Stage::Offered(_)) {
            return;
        }
        let status = Status::new(status).filter(|status| status.code() >= 300).unwrap_or(Status::INTERNAL_ERROR);
        self.end(id, leg);
        self.refuse_offer(leg, status, phrase, None, headers);
    }

    /// Gives the final answer to a waiting INVITE.
    pub(super) fn refuse_offer(&mut self, leg: &mut LegState, status: Status, phrase: &str, reason: Option<&Reason>, headers: &[Header]) {
        let Stage::Offered(offered) = std::mem::replace(&mut leg.stage, Stage::Leaving { bye: None }) else { return };
        let tag = Tag::new(tag_text(leg.tag));
        let Offered { transaction, request, source, .. } = *offered;
        let response = Response::to_from(&request, status, Some(&tag), Some(source)).reason(reason).add(headers).encode();
        let response = if phrase.is_empty() { response } else { rephrase(&response, status, phrase) };
        self.respond(transaction, status, response);
    }

    pub(super) fn cancelled(&mut self, id: LegId, leg: &mut LegState, cancel: &Message) {
        if matches!(leg.stage, Stage::Offered(_)) {
            self.finish(id, leg, LegEvent::Cancelled { reason: reason_of(cancel) });
            self.refuse_offer(leg, Status::REQUEST_TERMINATED, "", None, &[]);
        }
    }

    /// Proxies forget an INVITE that is silent for three minutes.
    pub(super) fn remind(&mut self, id: LegId, leg: &mut LegState) {
        let Stage::Offered(offered) = &leg.stage else { return };
        if let Some(transaction) = self.transactions.get(offered.transaction)
            && let Machine::ServerInvite(machine) = &transaction.machine
        {
            let mut acts = Acts::default();
            machine.remind(&mut acts);
            self.perform(offered.transaction, acts);
            self.timers.arm(self.now + super::outside::REMIND, Alarm::Leg(id, LegAlarm::Remind));
        }
    }

    /// A response to the INVITE that makes or may make the dialog: with our tag, Record-Route and Contact (RFC 3261 §12.1.1).
    pub(super) fn invite_response_to(&self, offered: &Offered, socket: usize, tag: u64, status: Status) -> Response {
        let tag = Tag::new(tag_text(tag));
        Response::to_from(&offered.request, status, Some(&tag), Some(offered.source))
            .record_route(&offered.request)
            .header(Name::Contact, self.settings.locals[socket].contact.as_str())
    }
}

/// The same response with another reason phrase.
fn rephrase(response: &Bytes, status: Status, phrase: &str) -> Bytes {
    let phrase = phrase.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect::<String>();
    let rest = memchr::memchr(b'\r', response).unwrap_or(response.len());
    [format!("SIP/2.0 {status} {phrase}").as_bytes(), &response[rest..]].concat().into()
}
