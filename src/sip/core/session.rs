//! Signs of life inside a call (RFC 4028): agreed when it is answered, given or awaited while it lasts. Each leg keeps its own, so neither
//! party hears of the other's.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::words::{ALLOW, Builder as _, accepting, body_of, renewing};
use super::{Alarm, Core, Departure, Kind, LegAlarm};
use crate::sip::dialog::invite::{Cancel, LegState, Mine, Stage};
use crate::sip::dialog::refresh::{self, MIN_SE, Refresh, SessionExpires, Sign};
use crate::sip::leg::{Body, ByWhom, InDialog, LegEvent, LegId, Reason, RequestId};
use crate::sip::msg::{CSeq, Message, Method, Name, Request, Response, Status};
use crate::sip::transaction::{Letter, User};

/// How often a call is looked at. A timer for each due time would outlive its call by up to half an hour.
const LOOK: Duration = Duration::from_secs(20);
/// How often one INVITE is sent: as it is, and again for what the far end misses.
const MOST_TIMES: u8 = 3;

impl Core {
    /// Their 2xx to our INVITE.
    pub(super) fn session_agreed(&mut self, id: LegId, leg: &mut LegState, response: &Message, sent: Bytes) {
        let agreed = refresh::agreed(response, self.settings.session_secs, refresh::takes_update(response), self.now);
        self.keep_session(id, leg, agreed);
        if let Ok(invite) = Message::parse(sent) {
            leg.describe(body_of(&invite).as_ref());
        }
    }

    /// Our 2xx to their INVITE.
    pub(super) fn session_accepted(&mut self, id: LegId, leg: &mut LegState, accepted: Refresh, body: Option<&Body>) {
        self.keep_session(id, leg, accepted);
        leg.describe(body);
    }

    fn keep_session(&mut self, id: LegId, leg: &mut LegState, refresh: Refresh) {
        leg.refresh = Some(refresh);
        self.timers.arm(self.now + LOOK, Alarm::Leg(id, LegAlarm::Session));
    }

    /// Is it time for a sign of life, or past it?
    pub(super) fn session_alarm(&mut self, id: LegId, leg: &mut LegState) {
        let (Stage::Up, Some(session)) = (&leg.stage, leg.refresh) else { return };
        if self.now >= session.due {
            if !session.is_ours {
                // RFC 4028 §10: no refresh came.
                self.finish(id, leg, LegEvent::HungUp { reason: None, by: ByWhom::Timeout });
                return self.bye(id, leg, Some(&Reason::q850(102, "No refresh of the session came")));
            }
            self.give_sign(id, leg, session);
        }
        self.timers.arm(self.now + LOOK, Alarm::Leg(id, LegAlarm::Session));
    }

    /// Refreshes, unless something else is under way that will do as well or must end first.
    fn give_sign(&mut self, id: LegId, leg: &mut LegState, session: Refresh) {
        let is_quiet = leg.mine.is_empty() && leg.theirs.is_empty() && leg.unacked.is_empty() && leg.ack_due.is_none();
        if !is_quiet {
            return;
        }
        let sign = session.sign();
        let socket = leg.dialog.as_ref().map_or(leg.socket, |dialog| self.socket_in(leg, dialog));
        let (branch, via) = self.via(socket);
        let verb = match sign {
            Sign::Update => Method::Update,
            Sign::Reinvite => Method::Invite,
            Sign::Options => Method::Options,
        };
        let (local, call_id) = (leg.local.clone(), leg.call_id.clone());
        let Some((request, to)) = leg.dialog.as_mut().and_then(|dialog| {
            let cseq = dialog.next_cseq();
            dialog.request(verb, cseq, &via, &local, call_id.as_str())
        }) else {
            return;
        };
        let request = match sign {
            Sign::Options => request,
            Sign::Update | Sign::Reinvite => {
                let contact = self.settings.locals[socket].contact.as_str();
                renewing(request.header(Name::Contact, contact).header(Name::Allow, ALLOW), leg.refresh)
            }
        };
        let is_invite = sign == Sign::Reinvite;
        let bytes = request.carry(leg.described.as_ref().filter(|_| is_invite)).encode();
        let kind = if is_invite { Kind::Invite } else { Kind::Other };
        let transaction = self.start_client(Some(leg), User::Request(id, RequestId::SIGN), Departure { socket, to, branch, bytes, kind });
        let method = match sign {
            Sign::Update => InDialog::Update,
            Sign::Reinvite => InDialog::Reinvite,
            Sign::Options => InDialog::Info,
        };
        leg.mine.push(Mine { id: RequestId::SIGN, method, body: None, offers: is_invite, transaction, early: None });
        if is_invite {
            self.timers.arm(self.now + super::inside::REINVITE, Alarm::Transaction(transaction, Letter::C));
        }
        // Whatever is answered counts from now; what is not ends the call.
        leg.refresh = Some(session.again(self.now));
    }

    /// Their 2xx to a request of ours that said how long the session may last.
    pub(super) fn session_renewed(&self, leg: &mut LegState, response: &Message) {
        let Some(session) = leg.refresh else { return };
        leg.refresh = Some(if SessionExpires::of(response).is_some() {
            refresh::agreed(response, self.settings.session_secs, session.takes_update, self.now)
        } else {
            session.again(self.now)
        });
    }

    /// 422 to a sign of life of ours: from now on as long as they want.
    pub(super) fn session_too_short(&self, leg: &mut LegState, response: &Message) {
        if let (Some(session), Some(least)) = (&mut leg.refresh, response.number(Name::MinSe)) {
            session.secs = session.secs.max(least);
            session.due = self.now;
        }
    }

    /// What our 2xx to their re-INVITE or UPDATE says; it counts from now.
    pub(super) fn session_asked_anew(&self, leg: &mut LegState, request: &Message) -> Option<refresh::Accepted> {
        let session = leg.refresh.as_mut()?;
        let takes_update = session.takes_update || refresh::takes_update(request);
        if !session.is_agreed && !request.supports("timer") {
            *session = Refresh { takes_update, ..session.again(self.now) };
            return None;
        }
        let accepted = refresh::accept(request, self.settings.session_secs, takes_update, self.now);
        *session = accepted.refresh;
        Some(accepted)
    }

    /// UPDATE without a description is a sign of life, or tells that they have moved: nothing the other party needs to hear.
    pub(super) fn sign_of_theirs(&mut self, leg: &mut LegState, socket: usize, source: SocketAddr, request: &Message) {
        let accepted = self.session_asked_anew(leg, request);
        if let Some(dialog) = &mut leg.dialog {
            dialog.refresh(request);
        }
        let transaction = self.start_server(request, User::Nobody, socket, source, false);
        let response = Response::to_from(request, Status::OK, None, Some(source))
            .header(Name::Contact, self.settings.locals[leg.socket].contact.as_str());
        self.respond(transaction, Status::OK, accepting(response, accepted.as_ref()).encode());
    }

    /// Refuses an interval that is too small; false if there is nothing to refuse.
    pub(super) fn refuse_short_session(&mut self, socket: usize, source: SocketAddr, request: &Message) -> bool {
        let is_small = refresh::is_too_small(request);
        if is_small {
            self.reject(socket, source, request, Status::SESSION_INTERVAL_TOO_SMALL, &[(Name::MinSe, MIN_SE.to_string())]);
        }
        is_small
    }

    /// RFC 4028 §7.4: 422 says what would do.
    pub(super) fn invite_for_longer(&mut self, id: LegId, leg: &mut LegState, response: &Message) -> bool {
        let Some(least) = response.number(Name::MinSe) else { return false };
        let secs = self.settings.session_secs.max(least).to_string();
        self.invite_again(id, leg, &[(Name::SessionExpires, secs), (Name::MinSe, least.to_string())])
    }

    /// Sends our INVITE once more with these headers instead of what it had (RFC 3261 §8.1.3.5); false if it has been sent often enough or
    /// is not wanted any more.
    pub(super) fn invite_again(&mut self, id: LegId, leg: &mut LegState, changes: &[(Name, String)]) -> bool {
        let socket = leg.socket;
        let Stage::Inviting(inviting) = &mut leg.stage else { return false };
        let Ok(before) = Message::parse(inviting.sent.clone()) else { return false };
        if inviting.cancel != Cancel::No || inviting.times >= MOST_TIMES {
            return false;
        }
        let (branch, via) = self.via(socket);
        let Some(uri) = before.request_uri() else { return false };
        let is_changed = |name: Name| {
            matches!(name, Name::Via | Name::CSeq | Name::ContentLength | Name::ContentType)
                || changes.iter().any(|(changed, _)| *changed == name)
        };
        let number = before.cseq().number + 1;
        let request = Request::new(&Method::Invite, uri).header(Name::Via, via.as_str());
        let request = before.all().filter(|line| !is_changed(line.name())).fold(request, Request::copy);
        let request = request.header(Name::CSeq, CSeq { number, method: Method::Invite });
        let request = changes.iter().fold(request, |request, (name, value)| request.header(*name, value.as_str()));
        let bytes = request.carry(body_of(&before).as_ref()).encode();
        inviting.sent = bytes.clone();
        inviting.times += 1;
        let to = inviting.to.clone();
        inviting.forks = crate::sip::dialog::Forks::default();
        let transaction = self.start_client(Some(leg), User::Invite(id), Departure { socket, to, branch, bytes, kind: Kind::Invite });
        if let Stage::Inviting(inviting) = &mut leg.stage {
            inviting.transaction = transaction;
        }
        true
    }
}
