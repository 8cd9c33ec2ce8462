//! Requests as they come: which transaction, which dialog, or none; new calls, strangers, and everything refused at the door.

use std::net::SocketAddr;

use super::words::{ALLOW, Builder as _, CAN, body_of};
use super::{Core, Departure, Kind, LegAlarm, Output};
use crate::sip::admission::Place;
use crate::sip::core::Alarm;
use crate::sip::dialog::invite::{LegState, Offered, Stage};
use crate::sip::dialog::reliable::Reliable;
use crate::sip::dialog::{Dialog, tag_family, tag_number, tag_text};
use crate::sip::endpoint::{Source, Strangers};
use crate::sip::leg::{EarlyDialogId, Invite, LegId, StoredDialog};
use crate::sip::msg::{Message, Method, Name, Response, SipCallId, Status, Tag, screen_request};
use crate::sip::target::Address;
use crate::sip::transaction::{Acts, Key, Machine, TransactionId, User};
use crate::sip::transport::Transport;
use crate::types::TrunkId;

/// RFC 3261 §13.3.1.1: a ringing INVITE is reminded of every minute.
pub(super) const REMIND: std::time::Duration = std::time::Duration::from_secs(60);
/// What a refused caller is asked to wait when we have too much to do.
const BUSY_SECS: u32 = 5;

impl Core {
    pub(super) fn request(&mut self, socket: usize, source: SocketAddr, request: Message) {
        match request.method() {
            Method::Ack => return self.ack_request(socket, source, &request),
            Method::Cancel => return self.cancel_request(socket, source, &request),
            _ => {}
        }
        let key = self.keys.server(&request, request.method());
        if let Some(known) = self.transactions.find(Key::Server(key)) {
            return self.repeated(known);
        }
        if let Some(leg) = self.leg_of(&request, socket, source) {
            return self.with_leg(leg, |core, state| core.inside(leg, state, socket, source, &request));
        }
        match self.classify(socket, source) {
            Source::Trunk(trunk) if request.via().params().has("alias") => {
                self.alias(socket, source, &request);
                self.trunk_asks(socket, source, request, trunk);
            }
            Source::Trunk(trunk) => self.trunk_asks(socket, source, request, trunk),
            Source::Stranger => self.stranger_asks(socket, source, &request),
        }
    }

    /// The leg whose dialog a request belongs to: our tag, their tag, the Call-ID and the address must all be right.
    fn leg_of(&mut self, request: &Message, socket: usize, source: SocketAddr) -> Option<LegId> {
        let tag = tag_number(request.to_tag()?)?;
        let id = *self.tags.get(&tag_family(tag))?;
        let mut leg = self.legs.get_mut(&id).and_then(Option::take)?;
        let is_right = leg.call_id.as_str() == request.call_id()
            && leg.dialog_of(tag, request.from_tag().unwrap_or("")).is_some()
            && self.may_speak(&leg, socket, source);
        if let Some(place) = self.legs.get_mut(&id) {
            *place = Some(leg);
        }
        is_right.then_some(id)
    }

    fn ack_request(&mut self, socket: usize, source: SocketAddr, request: &Message) {
        let key = self.keys.server(request, &Method::Ack);
        if let Some(known) = self.transactions.find(Key::Server(key))
            && let Some(transaction) = self.transactions.get_mut(known)
            && let Machine::ServerInvite(machine) = &mut transaction.machine
            && machine.is_refused()
        {
            let mut acts = Acts::default();
            let reliable = self.settings.locals[transaction.socket].transport.is_reliable();
            machine.acknowledged(reliable, &self.settings.intervals, &mut acts);
            return self.perform(known, acts);
        }
        if let Some(leg) = self.leg_of(request, socket, source) {
            self.with_leg(leg, |core, state| core.acknowledged(leg, state, request));
        }
    }

    /// RFC 3261 §9.2: CANCEL ends the INVITE of the same branch, if that has no final answer.
    fn cancel_request(&mut self, socket: usize, source: SocketAddr, request: &Message) {
        let own = self.keys.server(request, &Method::Cancel);
        if let Some(known) = self.transactions.find(Key::Server(own)) {
            return self.repeated(known);
        }
        let invite = self.transactions.find(Key::Server(self.keys.server(request, &Method::Invite)));
        let found =
            invite.and_then(|id| self.transactions.get(id)).filter(|transaction| super::ip_of(&transaction.to) == Some(source.ip()));
        let Some((user, is_open)) =
            found.map(|found| (found.user, matches!(&found.machine, Machine::ServerInvite(machine) if machine.is_proceeding())))
        else {
            if self.classify(socket, source) == Source::Stranger {
                return self.stranger_asks(socket, source, request);
            }
            return self.reject(socket, source, request, Status::NO_SUCH_CALL, &[]);
        };
        // §9.2: the To tag of both answers is the same.
        let tag = user.leg().and_then(|leg| self.legs.get(&leg)).and_then(Option::as_ref).map(|leg| leg.tag);
        let tag = tag.map_or_else(|| self.stateless_tag(request), |tag| Tag::new(tag_text(tag)));
        let transaction = self.start_server(request, User::Nobody, socket, source, false);
        self.respond(transaction, Status::OK, Response::to_from(request, Status::OK, Some(&tag), Some(source)).encode());
        if is_open {
            match user {
                User::Invite(leg) => self.with_leg(leg, |core, state| core.cancelled(leg, state, request)),
                User::Request(leg, id) => self.with_leg(leg, |core, state| core.request_cancelled(leg, state, id)),
                User::Register(_) | User::Ping(_) | User::Parting(_) | User::Nobody => {}
            }
        }
    }

    pub(super) fn trunk_asks(&mut self, socket: usize, source: SocketAddr, request: Message, trunk: TrunkId) {
        if request.to_tag().is_some() {
            return self.reject(socket, source, &request, Status::NO_SUCH_CALL, &[]);
        }
        if self.is_scanner(&request) {
            return;
        }
        if let Err(rejection) = screen_request(&request, CAN) {
            return self.reject(socket, source, &request, rejection.status, &rejection.headers);
        }
        match request.method() {
            Method::Invite => {
                // RFC 3261 §16.3: what has been here before goes round in a circle.
                let is_loop = request.vias().any(|via| {
                    let port = via.port().unwrap_or(crate::sip::dialog::route::SIP_PORT);
                    self.settings.locals.iter().any(|local| local.advertised.port() == port && local.host.same(&via.host()))
                });
                if is_loop || self.transactions.is_merged(self.keys.merge(&request)) {
                    return self.reject(socket, source, &request, Status::LOOP_DETECTED, &[]);
                }
                if self.legs.len() >= self.settings.max_legs {
                    return self.busy(socket, source, &request);
                }
                // RFC 3891 §3, RFC 3911 §4: no dialog is ours to give away, least of all one that somebody pays for.
                if [Name::Replaces, Name::Join].into_iter().any(|name| request.headers(name).next().is_some()) {
                    return self.reject(socket, source, &request, Status::NO_SUCH_CALL, &[]);
                }
                if self.refuse_short_session(socket, source, &request) {
                    return;
                }
                match self.admission.clone().map(|admission| admission.enter()) {
                    None => self.new_call(socket, source, request, trunk, None),
                    Some(Some(place)) => self.new_call(socket, source, request, trunk, Some(place)),
                    Some(None) => self.busy(socket, source, &request),
                }
            }
            Method::Options => {
                let tag = Tag::new(tag_text(self.fresh_tag()));
                let transaction = self.start_server(&request, User::Nobody, socket, source, false);
                let response = Response::to_from(&request, Status::OK, Some(&tag), Some(source))
                    .header(Name::Allow, ALLOW)
                    .header(Name::Accept, "application/sdp")
                    .encode();
                self.respond(transaction, Status::OK, response);
            }
            // BYE, UPDATE and INFO make sense only in a dialog.
            _ => self.reject(socket, source, &request, Status::NO_SUCH_CALL, &[]),
        }
    }

    /// RFC 5923 §5: the far end of a connection offers it for what is for its listening address; believed of its own address only.
    fn alias(&mut self, socket: usize, source: SocketAddr, request: &Message) {
        let (transport, via) = (self.transport(socket), request.via());
        // Over TLS only who has proved to be somebody is believed (§5.2).
        let is_believed = transport != Transport::Tls || self.proved.contains_key(&(socket, source));
        if transport.is_reliable() && is_believed && via.host().address() == Some(source.ip()) {
            let listens = SocketAddr::new(source.ip(), via.port().unwrap_or(transport.usual_port()));
            self.out.push_back(Output::Alias { socket, source, listens });
        }
    }

    fn is_scanner(&self, request: &Message) -> bool {
        request.text(Name::UserAgent).is_some_and(|agent| {
            let agent = agent.to_ascii_lowercase();
            self.settings.scanners.iter().any(|scanner| agent.starts_with(scanner.as_str()))
        })
    }

    /// Strangers are answered without keeping anything (RFC 3261 §8.2.7): a forged address gets one small datagram and no repeats.
    fn stranger_asks(&mut self, socket: usize, source: SocketAddr, request: &Message) {
        let is_served = self.gate.admit(source.ip(), self.now) && self.settings.strangers == Strangers::Refuse && !self.is_scanner(request);
        if !is_served {
            return;
        }
        let is_new = *request.method() == Method::Invite && request.to_tag().is_none();
        if is_new && self.policy.as_ref().is_some_and(|policy| policy.asks_for_digest()) {
            return self.ask_who(socket, source, request);
        }
        let (status, allow) = match request.method() {
            _ if request.to_tag().is_some() => (Status::NO_SUCH_CALL, false),
            Method::Options => (Status::OK, false),
            Method::Invite => (Status::FORBIDDEN, false),
            Method::Bye | Method::Cancel | Method::Update | Method::Info | Method::Prack => (Status::NO_SUCH_CALL, false),
            method if method.is_known() => (Status::METHOD_NOT_ALLOWED, true),
            _ => (Status::NOT_IMPLEMENTED, true),
        };
        let tag = self.stateless_tag(request);
        let mut response = Response::to_from(request, status, Some(&tag), Some(source));
        if allow {
            response = response.header(Name::Allow, ALLOW);
        }
        let to = self.answer_to(socket, &request.via(), source);
        self.send(socket, to, response.encode(), None);
    }

    /// Answers a request finally, in a transaction of its own.
    pub(super) fn reject(&mut self, socket: usize, source: SocketAddr, request: &Message, status: Status, headers: &[(Name, String)]) {
        let transaction = self.start_server(request, User::Nobody, socket, source, false);
        self.reject_in(transaction, source, request, status, headers);
    }

    fn reject_in(&mut self, transaction: TransactionId, source: SocketAddr, request: &Message, status: Status, headers: &[(Name, String)]) {
        let tag = self.stateless_tag(request);
        let response = Response::to_from(request, status, Some(&tag), Some(source));
        let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, value.as_str()));
        self.respond(transaction, status, response.encode());
    }

    /// Too much to do: the carrier tries elsewhere, or again a little later.
    fn busy(&mut self, socket: usize, source: SocketAddr, request: &Message) {
        self.reject(socket, source, request, Status::SERVICE_UNAVAILABLE, &[(Name::RetryAfter, BUSY_SECS.to_string())]);
    }

    fn new_call(&mut self, socket: usize, source: SocketAddr, request: Message, trunk: TrunkId, place: Option<Box<Place>>) {
        let Some(dialog) = Dialog::from_invite(&request) else {
            return self.reject(socket, source, &request, Status::BAD_REQUEST, &[]);
        };
        self.next_leg += 2;
        let id = LegId(self.next_leg);
        let tag = self.fresh_tag();
        let transaction = self.start_server(&request, User::Invite(id), socket, source, true);
        let invite = Invite::new(source, self.transport(socket), trunk, &request, body_of(&request));
        let reliable = Reliable::of(&request);
        let leg = LegState {
            is_caller: false,
            call_id: SipCallId::new(request.call_id()),
            tag,
            local: bytes::Bytes::copy_from_slice(request.to().with_tag(&Tag::new(tag_text(tag))).as_bytes()),
            socket,
            peer: Some(source.ip()),
            trunk: Some(trunk),
            confirmed: EarlyDialogId::FIRST,
            stage: Stage::Offered(Box::new(Offered { transaction, request, source, reliable, others: Vec::new(), left: Vec::new() })),
            dialog: Some(dialog),
            silent: false,
            unacked: Vec::new(),
            ack_due: None,
            acks: Vec::new(),
            mine: Vec::new(),
            theirs: Vec::new(),
            count: 0,
            refresh: None,
            described: None,
            late_rack: None,
            login: None,
            clients: 0,
        };
        if let Some(stored) = leg.dialog.as_ref().map(|dialog| stored(&leg, dialog, source, self.transport(socket))) {
            self.out.push_back(Output::Offer { leg: id, invite: Box::new(invite), stored: Box::new(stored), place });
        }
        self.timers.arm(self.now + REMIND, Alarm::Leg(id, LegAlarm::Remind));
        self.add_leg(id, leg);
    }

    /// Hangs up a leg of an earlier life: nobody is told, the transaction does what can be done.
    pub(super) fn bye_stored(&mut self, stored: &StoredDialog) {
        let Some((dialog, local, to)) = restored(stored) else {
            return tracing::warn!(sip.call_id = %stored.call_id, "A stored dialog cannot be read, so its far end is not hung up.");
        };
        let Some(socket) = self.socket_for(&to, stored.transport) else { return };
        let (branch, via) = self.via(socket);
        let Some((request, _)) = dialog.request(Method::Bye, dialog.local_cseq, &via, &local, &stored.call_id) else { return };
        let reason = crate::sip::leg::Reason::q850(41, "Temporary failure");
        let bytes = request.reason(Some(&reason)).encode();
        self.start_client(None, User::Nobody, Departure { socket, to, branch, bytes, kind: Kind::Other });
    }
}

/// Numbers skipped when a dialog is taken up again: more requests than this inside one call have not been sent.
const CSEQ_GAP: u32 = 10_000;

/// What the books keep of a dialog.
pub(super) fn stored(leg: &LegState, dialog: &Dialog, next_hop: SocketAddr, transport: Transport) -> StoredDialog {
    StoredDialog {
        call_id: leg.call_id.as_str().to_owned(),
        local: String::from_utf8_lossy(&leg.local).into_owned(),
        remote: String::from_utf8_lossy(&dialog.remote).into_owned(),
        remote_target: dialog.target.to_string(),
        routes: dialog.routes.iter().map(ToString::to_string).collect(),
        cseq: dialog.local_cseq,
        next_hop,
        transport: dialog.transport().unwrap_or(transport),
    }
}

fn restored(stored: &StoredDialog) -> Option<(Dialog, bytes::Bytes, Address)> {
    let dialog = Dialog {
        remote: stored.remote.clone().into(),
        remote_tag: "".into(),
        target: stored.remote_target.parse().ok()?,
        routes: stored.routes.iter().map(|route| route.parse().ok()).collect::<Option<Box<[_]>>>()?,
        local_cseq: (stored.cseq + CSEQ_GAP) & 0x7fff_ffff,
        remote_cseq: None,
        described: true,
        local_rseq: None,
        remote_rseq: None,
    };
    let to = match crate::sip::dialog::route::way(&dialog.target, &dialog.routes)?.hop {
        Address::Name(_) => Address::Socket(stored.next_hop),
        literal @ (Address::Socket(_) | Address::Back { .. }) => literal,
    };
    Some((dialog, stored.local.clone().into(), to))
}
