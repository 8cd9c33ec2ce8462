//! Requests inside a dialog, both ways: BYE, re-INVITE, UPDATE, INFO, and who must wait when two ask at once (RFC 3261 §12.2, §14, §15,
//! RFC 3311, RFC 6086).

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::words::{ALLOW, Builder as _, CAN, accepting, body_of, reason_of, renewing, retry_after};
use super::{Alarm, Core, Departure, Kind, their_id};
use crate::sip::dialog::invite::{AckDue, LegState, MAX_MINE, MAX_THEIRS, Mine, Stage, Theirs, Unacked};
use crate::sip::dialog::{early_tag, tag_number, tag_text};
use crate::sip::leg::{Body, ByWhom, EarlyDialogId, Header, InDialog, LegEvent, LegId, RequestId};
use crate::sip::msg::{Message, Method, Name, Response, Status, Tag, screen_request};
use crate::sip::transaction::{Letter, TransactionId, User};

/// RFC 3261 §14.2: an early second INVITE is told to come back within ten seconds.
const COME_BACK_SECS: u64 = 10;
/// How long a re-INVITE may stay at a provisional response: as long as RFC 3261 §16.6 gives a proxy's.
pub(super) const REINVITE: Duration = Duration::from_secs(180);

/// Where a request of ours goes, and what it is.
pub(super) struct Asking {
    pub early: Option<EarlyDialogId>,
    pub method: InDialog,
}

/// Where a request of theirs has come.
#[derive(Clone, Copy)]
struct Place {
    early: Option<EarlyDialogId>,
    described: bool,
}

impl Core {
    pub(super) fn inside(&mut self, id: LegId, leg: &mut LegState, socket: usize, source: SocketAddr, request: &Message) {
        let Some((early, dialog)) = leg.dialog_of(our_tag(request.to_tag()), request.from_tag().unwrap_or("")) else { return };
        let place = Place { early, described: dialog.described };
        // §12.2.2: out of order is 500.
        if !dialog.accept_cseq(request.cseq().number) {
            return self.reject(socket, source, request, Status::INTERNAL_ERROR, &[]);
        }
        if *request.method() == Method::Refer {
            return self.reject(socket, source, request, Status::DECLINE, &[]);
        }
        if let Err(rejection) = screen_request(request, CAN) {
            return self.reject(socket, source, request, rejection.status, &rejection.headers);
        }
        let renews = matches!(request.method(), Method::Invite | Method::Update);
        if renews && self.refuse_short_session(socket, source, request) {
            return;
        }
        match request.method() {
            Method::Bye => self.bye_request(id, leg, socket, source, request, early),
            Method::Update if request.body().is_empty() && matches!(leg.stage, Stage::Up) => {
                self.sign_of_theirs(leg, socket, source, request);
            }
            Method::Invite => self.their_request(id, leg, (socket, source), request, InDialog::Reinvite, place),
            Method::Update => self.their_request(id, leg, (socket, source), request, InDialog::Update, place),
            Method::Info => self.their_request(id, leg, (socket, source), request, InDialog::Info, place),
            Method::Prack => self.prack_request(id, leg, (socket, source), request, early),
            Method::Options => {
                let transaction = self.start_server(request, User::Nobody, socket, source, false);
                let response = Response::to_from(request, Status::OK, None, Some(source)).header(Name::Allow, ALLOW).encode();
                self.respond(transaction, Status::OK, response);
            }
            _ => self.reject(socket, source, request, Status::NO_SUCH_CALL, &[]),
        }
    }

    fn bye_request(
        &mut self,
        id: LegId,
        leg: &mut LegState,
        socket: usize,
        source: SocketAddr,
        request: &Message,
        early: Option<EarlyDialogId>,
    ) {
        if matches!(leg.stage, Stage::Inviting(_)) {
            // §15: the callee of an early dialog cannot hang up, only refuse.
            return self.reject(socket, source, request, Status::NO_SUCH_CALL, &[]);
        }
        let transaction = self.start_server(request, User::Nobody, socket, source, false);
        self.respond(transaction, Status::OK, Response::to_from(request, Status::OK, None, Some(source)).encode());
        let reason = reason_of(request);
        if let Stage::Offered(offered) = &mut leg.stage {
            // §15: a caller may hang up one early dialog; the others go on.
            if !early.is_none_or(|early| offered.leave(early)) {
                let refused = leg.theirs.extract_if(.., |theirs| theirs.early == early).collect();
                return self.drop_these(refused);
            }
            self.finish(id, leg, LegEvent::Cancelled { reason });
            return self.refuse_offer(leg, Status::REQUEST_TERMINATED, "", None, &[]);
        }
        // An ACK still due goes, so that the far end's INVITE transaction ends too.
        self.ack_command(leg, None);
        leg.unacked.clear();
        self.forget_mine(leg);
        leg.stage = Stage::Leaving { bye: None };
        self.finish(id, leg, LegEvent::HungUp { reason, by: ByWhom::Remote });
    }

    fn their_request(
        &mut self,
        id: LegId,
        leg: &mut LegState,
        (socket, source): (usize, SocketAddr),
        request: &Message,
        method: InDialog,
        place: Place,
    ) {
        if matches!(leg.stage, Stage::Leaving { .. }) {
            return self.reject(socket, source, request, Status::NO_SUCH_CALL, &[]);
        }
        if let Some((status, wait)) = Self::must_wait(leg, request, method, place) {
            let headers = if wait { vec![(Name::RetryAfter, self.chance.below(COME_BACK_SECS + 1).to_string())] } else { Vec::new() };
            return self.reject(socket, source, request, status, &headers);
        }
        let request_id = their_id(leg);
        let transaction = self.start_server(request, User::Request(id, request_id), socket, source, method == InDialog::Reinvite);
        let early = place.early;
        leg.theirs.push(Theirs { id: request_id, method, transaction, request: request.clone(), source, early });
        self.tell(id, leg, LegEvent::Request { id: request_id, method, body: body_of(request), early });
    }

    /// Whether their request comes at the wrong time, and whether it should say when to come back.
    fn must_wait(leg: &LegState, request: &Message, method: InDialog, place: Place) -> Option<(Status, bool)> {
        let Place { early, described: is_described } = place;
        let offers = !request.body().is_empty();
        let offer_of_ours = leg.has_offer(early) || leg.ack_due.is_some();
        match method {
            _ if leg.theirs.len() >= MAX_THEIRS => Some((Status::INTERNAL_ERROR, true)),
            // §14.2: theirs is pending: 500; ours is: 491.
            InDialog::Reinvite if leg.has_theirs(InDialog::Reinvite, early) || matches!(leg.stage, Stage::Offered(_)) => {
                Some((Status::INTERNAL_ERROR, true))
            }
            InDialog::Reinvite if leg.has_mine(InDialog::Reinvite, early) || offer_of_ours || matches!(leg.stage, Stage::Inviting(_)) => {
                Some((Status::REQUEST_PENDING, false))
            }
            // RFC 3311 §5.2.
            InDialog::Update if leg.has_theirs(InDialog::Update, early) => Some((Status::INTERNAL_ERROR, true)),
            InDialog::Update if offers && (offer_of_ours || (leg.is_caller && !is_described)) => Some((Status::REQUEST_PENDING, false)),
            InDialog::Update if offers && (leg.has_theirs(InDialog::Reinvite, early) || !is_described) => {
                Some((Status::INTERNAL_ERROR, true))
            }
            InDialog::Reinvite | InDialog::Update | InDialog::Info => None,
        }
    }

    /// Ends what waits for the switchboard's word: 487 for a re-INVITE, 481 for the rest.
    pub(super) fn drop_theirs(&mut self, leg: &mut LegState) {
        self.drop_these(std::mem::take(&mut leg.theirs));
    }

    /// The same of these alone.
    pub(super) fn drop_these(&mut self, theirs: Vec<Theirs>) {
        for theirs in theirs {
            let status = if theirs.method == InDialog::Reinvite { Status::REQUEST_TERMINATED } else { Status::NO_SUCH_CALL };
            let response = Response::to_from(&theirs.request, status, None, Some(theirs.source)).encode();
            self.respond(theirs.transaction, status, response);
        }
    }

    pub(super) fn request_cancelled(&mut self, id: LegId, leg: &mut LegState, request: RequestId) {
        let Some(place) = leg.theirs.iter().position(|theirs| theirs.id == request) else { return };
        let theirs = leg.theirs.remove(place);
        let response = Response::to_from(&theirs.request, Status::REQUEST_TERMINATED, None, Some(theirs.source)).encode();
        self.respond(theirs.transaction, Status::REQUEST_TERMINATED, response);
        self.tell(id, leg, LegEvent::RequestCancelled { id: request });
    }

    pub(super) fn respond_command(
        &mut self,
        id: LegId,
        leg: &mut LegState,
        request: RequestId,
        status: u16,
        body: Option<&Body>,
        headers: &[Header],
    ) {
        let Some(place) = leg.theirs.iter().position(|theirs| theirs.id == request) else { return };
        let status = Status::new(status).unwrap_or(Status::INTERNAL_ERROR);
        let theirs = &leg.theirs[place];
        let is_invite = theirs.method == InDialog::Reinvite;
        if status.is_provisional() && (!is_invite || status == Status::TRYING) {
            return;
        }
        let mut response = Response::to_from(&theirs.request, status, None, Some(theirs.source));
        let moves = theirs.method != InDialog::Info && *theirs.request.method() != Method::Prack;
        if moves && (!status.is_final() || status.is_success()) {
            response = response.header(Name::Contact, self.settings.locals[leg.socket].contact.as_str());
        }
        let renewed = moves && status.is_success();
        if let Some(request) = renewed.then(|| theirs.request.clone()) {
            let accepted = self.session_asked_anew(leg, &request);
            response = accepting(response, accepted.as_ref());
            leg.describe(body);
        }
        let theirs = &leg.theirs[place];
        let response = response.add(headers).carry(body).encode();
        let transaction = theirs.transaction;
        if !status.is_final() {
            self.respond(transaction, status, response);
            return;
        }
        let theirs = leg.theirs.remove(place);
        if !self.respond(transaction, status, response.clone()) || !status.is_success() || theirs.method == InDialog::Info {
            return;
        }
        // §12.2.2: a request that was accepted may move the far end's target.
        if let Some((_, dialog)) = leg.dialog_of(our_tag(theirs.request.to_tag()), theirs.request.from_tag().unwrap_or("")) {
            dialog.refresh(&theirs.request);
        }
        if is_invite {
            let socket = self.transactions.get(transaction).map_or(leg.socket, |transaction| transaction.socket);
            let to = self.answer_to(socket, &theirs.request.via(), theirs.source);
            let cseq = theirs.request.cseq().number;
            self.await_ack(id, leg, Unacked { cseq, request: Some(request), response, socket, to, interval: self.settings.intervals.t1 });
        }
    }

    pub(super) fn request_command(
        &mut self,
        id: LegId,
        leg: &mut LegState,
        request: RequestId,
        Asking { early, method }: Asking,
        body: Option<&Body>,
        headers: &[Header],
    ) {
        let Some((early, _)) = leg.dialog_in(early) else {
            return self.told_locally(id, leg, request, Status::NO_SUCH_CALL, None);
        };
        let offers = body.is_some() && method != InDialog::Info;
        let is_up = matches!(leg.stage, Stage::Up);
        let invite_pending = leg.has_mine(InDialog::Reinvite, early) || leg.has_theirs(InDialog::Reinvite, early) || leg.ack_due.is_some();
        let offer_pending = leg.has_offer(early) || leg.has_their_offer(early);
        let is_free = match method {
            InDialog::Reinvite => is_up && !invite_pending && !offer_pending && leg.unacked.is_empty(),
            InDialog::Update => !leg.has_mine(InDialog::Update, early) && (!offers || (!invite_pending && !offer_pending)),
            InDialog::Info => true,
        };
        if !is_free || leg.mine.len() >= MAX_MINE {
            let retry_after = Some(self.glare_delay(leg));
            return self.told_locally(id, leg, request, Status::REQUEST_PENDING, retry_after);
        }
        let socket = leg.dialog_in(early).map(|(_, dialog)| dialog.clone()).map_or(leg.socket, |dialog| self.socket_in(leg, &dialog));
        let (branch, via) = self.via(socket);
        let (local, call_id) = (Self::local_in(leg, early), leg.call_id.clone());
        let verb = match method {
            InDialog::Reinvite => Method::Invite,
            InDialog::Update => Method::Update,
            InDialog::Info => Method::Info,
        };
        let built = leg.dialog_in(early).and_then(|(_, dialog)| {
            let cseq = dialog.next_cseq();
            dialog.request(verb.clone(), cseq, &via, &local, call_id.as_str())
        });
        let Some((mut message, to)) = built else {
            return self.told_locally(id, leg, request, Status::NO_SUCH_CALL, None);
        };
        if method != InDialog::Info {
            let contact = self.settings.locals[socket].contact.as_str();
            message = renewing(message.header(Name::Contact, contact), leg.refresh);
        }
        if let Some(uri) = leg.dialog_in(early).map(|(_, dialog)| dialog.target.for_request())
            && let Some((name, said)) = self.leg_credentials(leg, &verb, &uri)
        {
            message = message.header(name, said.as_str());
        }
        let is_invite = method == InDialog::Reinvite;
        if is_invite {
            message = message.header(Name::Allow, ALLOW);
        }
        let bytes = message.add(headers).carry(body).encode();
        let transaction = self.start_client(
            Some(leg),
            User::Request(id, request),
            Departure { socket, to, branch, bytes, kind: if is_invite { Kind::Invite } else { Kind::Other } },
        );
        let body = body.filter(|_| offers).cloned();
        leg.mine.push(Mine { id: request, method, body, offers, transaction, early });
        if is_invite {
            self.timers.arm(self.now + REINVITE, Alarm::Transaction(transaction, Letter::C));
        }
    }

    /// Nobody waits for answers any more. A re-INVITE that has only heard a provisional would wait for ever: it gets 64·T1.
    pub(super) fn forget_mine(&mut self, leg: &mut LegState) {
        for mine in leg.mine.drain(..) {
            self.timers.arm(self.now + self.settings.intervals.patience(), Alarm::Transaction(mine.transaction, Letter::C));
        }
    }

    fn told_locally(&mut self, id: LegId, leg: &LegState, request: RequestId, status: Status, retry_after: Option<Duration>) {
        let event = LegEvent::Response { id: request, status: status.code(), body: None, ack_due: false, retry_after, by: ByWhom::Local };
        self.tell(id, leg, event);
    }

    /// RFC 3261 §14.1: whoever made the Call-ID waits 2.1 to 4 s in steps of 10 ms, the other 0 to 2 s.
    fn glare_delay(&mut self, leg: &LegState) -> Duration {
        let steps = if leg.is_caller { 210 + self.chance.below(191) } else { self.chance.below(201) };
        Duration::from_millis(steps * 10)
    }

    pub(super) fn request_response(
        &mut self,
        id: LegId,
        leg: &mut LegState,
        transaction: TransactionId,
        request: RequestId,
        response: &Message,
    ) {
        let Some(status) = response.status() else { return };
        if !status.is_final() {
            return;
        }
        let Some(place) = leg.mine.iter().position(|mine| mine.id == request) else {
            if status.is_success() && *response.method() == Method::Invite {
                self.late_reinvite_answer(leg, transaction, response);
            }
            return;
        };
        let mine = leg.mine.remove(place);
        let is_invite = mine.method == InDialog::Reinvite;
        let mut ack_due = false;
        if status.is_success() {
            if mine.method != InDialog::Info
                && let Some((_, dialog)) = leg.dialog_of(our_tag(response.from_tag()), response.to_tag().unwrap_or(""))
            {
                dialog.refresh(response);
                dialog.described |= mine.offers;
            }
            if mine.method != InDialog::Info {
                self.session_renewed(leg, response);
                leg.describe(mine.body.as_ref());
            }
            if is_invite && mine.offers {
                self.acknowledge(leg, response.cseq().number, transaction, None);
            } else if is_invite {
                leg.ack_due = Some(AckDue { cseq: response.cseq().number, transaction });
                ack_due = true;
            }
        }
        if request == RequestId::SIGN {
            if status == Status::SESSION_INTERVAL_TOO_SMALL {
                self.session_too_short(leg, response);
            }
            if matches!(status, Status::NO_SUCH_CALL | Status::REQUEST_TIMEOUT) && matches!(leg.stage, Stage::Up) {
                self.lost(id, leg, ByWhom::Remote);
            }
            return;
        }
        let retry_after = if status == Status::REQUEST_PENDING { Some(self.glare_delay(leg)) } else { retry_after(response) };
        let body = body_of(response);
        self.tell(id, leg, LegEvent::Response { id: request, status: status.code(), body, ack_due, retry_after, by: ByWhom::Remote });
        // §12.2.1.2: the far end does not know the dialog any more. Of a fork that lost, that is no news.
        if matches!(status, Status::NO_SUCH_CALL | Status::REQUEST_TIMEOUT) && matches!(leg.stage, Stage::Up) && mine.early.is_none() {
            self.lost(id, leg, ByWhom::Remote);
        }
    }

    /// A 2xx to a re-INVITE that was told before or that nobody waits for: the ACK once more, or at all.
    fn late_reinvite_answer(&mut self, leg: &mut LegState, transaction: TransactionId, response: &Message) {
        if let Some(ack) = leg.acks.iter().find(|ack| ack.transaction == transaction) {
            let (socket, to, bytes) = (ack.socket, ack.to.clone(), ack.bytes.clone());
            return self.send(socket, to, bytes, None);
        }
        if leg.ack_due.is_none_or(|due| due.transaction != transaction) {
            self.acknowledge(leg, response.cseq().number, transaction, None);
        }
    }

    pub(super) fn request_failed(&mut self, id: LegId, leg: &mut LegState, request: RequestId, by: ByWhom) {
        let Some(place) = leg.mine.iter().position(|mine| mine.id == request) else { return };
        let mine = leg.mine.remove(place);
        let status = if by == ByWhom::Timeout { Status::REQUEST_TIMEOUT } else { Status::SERVICE_UNAVAILABLE };
        if request != RequestId::SIGN {
            self.tell(
                id,
                leg,
                LegEvent::Response { id: request, status: status.code(), body: None, ack_due: false, retry_after: None, by },
            );
        }
        if matches!(leg.stage, Stage::Up) && mine.early.is_none() {
            self.lost(id, leg, by);
        }
    }

    /// Our From in a request: before we answer, of the early dialog it goes in.
    fn local_in(leg: &LegState, early: Option<EarlyDialogId>) -> Bytes {
        match (&leg.stage, early) {
            (Stage::Offered(offered), Some(early)) if early != EarlyDialogId::FIRST => {
                let tag = Tag::new(tag_text(early_tag(leg.tag, early)));
                Bytes::copy_from_slice(offered.request.to().with_tag(&tag).as_bytes())
            }
            _ => leg.local.clone(),
        }
    }

    /// The far end is gone: the switchboard hears so, and BYE goes in case only one way is.
    fn lost(&mut self, id: LegId, leg: &mut LegState, by: ByWhom) {
        self.finish(id, leg, LegEvent::HungUp { reason: None, by });
        self.bye(id, leg, None);
    }
}

/// The number in a tag of ours; of a stranger's none that a leg has, because tags are drawn from all numbers.
fn our_tag(tag: Option<&str>) -> u64 {
    tag.and_then(tag_number).unwrap_or_default()
}
