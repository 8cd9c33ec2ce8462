//! The UAC side of an INVITE: forks, 2xx and their ACKs, refusals, CANCEL and what crosses it (RFC 3261 §9.1, §13.2, RFC 6026).

use std::net::SocketAddr;

use super::outside::stored;
use super::words::{ALLOW, Builder as _, SUPPORTED, body_of, reason_of, retry_after};
use super::{Alarm, Core, Departure, Kind, Output};
use crate::sip::dialog::invite::{AckDue, Cancel, Inviting, LegState, SentAck, Stage};
use crate::sip::dialog::{Dialog, Forks, route, tag_family, tag_text};
use crate::sip::endpoint::Source;
use crate::sip::leg::{Body, ByWhom, EarlyDialogId, Hop, LegEvent, LegId, OutgoingInvite, Reason, Target};
use crate::sip::msg::{CSeq, Message, Method, Name, NameAddr, Request, SipCallId, Status, Tag, Uri};
use crate::sip::target::{Address, HostPort};
use crate::sip::transaction::{Letter, Machine, TransactionId, User};
use crate::sip::transport::{DATAGRAM_REQUEST_BYTES, Transport};

/// Early dialog numbers start here for answers that had not rung.
const NO_EARLY: EarlyDialogId = EarlyDialogId::FIRST;

impl Core {
    pub(super) fn invite(&mut self, id: LegId, invite: &OutgoingInvite) {
        let Some(leg) = self.inviting(id, invite) else {
            let event = LegEvent::Refused {
                status: Status::SERVICE_UNAVAILABLE.code(),
                phrase: "Cannot be sent: a URI cannot be read, or no address of its family and transport is listened on".to_owned(),
                retry_after: None,
                reason: None,
                contacts: Vec::new(),
                by: ByWhom::Local,
            };
            self.out.push_back(Output::Tell { leg: id, event: Box::new(event), stored: None });
            self.out.push_back(Output::End { leg: id });
            return;
        };
        self.add_leg(id, leg);
    }

    /// Sends an INVITE; the leg that waits for what it brings.
    fn inviting(&mut self, id: LegId, invite: &OutgoingInvite) -> Option<LegState> {
        let hop = match &invite.target {
            Target::Hop(hop) => *hop,
            Target::Address(address) => Hop { transport: Transport::Udp, address: *address, by_size: false },
            // The address is not known yet: only its family and transport are looked at.
            Target::Host(..) => Hop { transport: Transport::Udp, address: self.settings.locals.first()?.advertised, by_size: false },
        };
        let to = match &invite.target {
            Target::Hop(Hop { address, .. }) | Target::Address(address) => Address::Socket(*address),
            Target::Host(host, port) => {
                let port = port.unwrap_or(route::SIP_PORT);
                host.parse().map_or_else(
                    |_| Address::Name(HostPort { host: host.to_ascii_lowercase().into(), port }),
                    |ip| Address::Socket(SocketAddr::new(ip, port)),
                )
            }
        };
        let socket = self.socket_for(&to, hop.transport)?;
        let (request_uri, far) = (invite.request_uri.parse::<Uri>().ok()?, invite.to.parse::<NameAddr>().ok()?);
        let tag = self.fresh_tag();
        let local = invite.from.parse::<NameAddr>().ok()?.with_tag(&Tag::new(tag_text(tag)));
        let call_id = match &invite.sip_call_id {
            Some(chosen) => chosen.to_string(),
            None => format!("{}{}", tag_text(self.chance.u64()), tag_text(self.chance.u64())),
        };
        let (branch, via) = self.via(socket);
        let session_secs = self.settings.session_secs;
        let write = |contact: &str, via: &str| {
            Request::new(&Method::Invite, &request_uri)
                .header(Name::Via, via)
                .header(Name::MaxForwards, u32::from(invite.max_forwards))
                .header(Name::From, &local)
                .header(Name::To, &far)
                .header(Name::CallId, call_id.as_str())
                .header(Name::CSeq, CSeq { number: 1, method: Method::Invite })
                .header(Name::Contact, contact)
                .header(Name::Allow, ALLOW)
                // Without an offer a reliable provisional would bring theirs, and want an answer before anybody has answered.
                .header(Name::Supported, if invite.body.is_some() { SUPPORTED } else { "timer" })
                .header(Name::SessionExpires, session_secs)
                .add(&invite.headers)
                .carry(invite.body.as_ref())
                .encode()
        };
        let mut leaves = (socket, branch, write(&self.settings.locals[socket].contact, &via));
        let is_long = hop.by_size && hop.transport == Transport::Udp && leaves.2.len() > DATAGRAM_REQUEST_BYTES;
        let stream = self.socket_for(&to, Transport::Tcp).filter(|_| is_long);
        if let Some(stream) = stream {
            let (branch, via) = self.via(stream);
            leaves = (stream, branch, write(&self.settings.locals[stream].contact, &via));
        }
        let (socket, branch, bytes) = leaves;
        let trunk = match &to {
            Address::Socket(address) => match self.classify(socket, *address) {
                Source::Trunk(trunk) => Some(trunk),
                Source::Stranger => None,
            },
            Address::Back { .. } | Address::Name(_) => None,
        };
        let peer = super::ip_of(&to);
        let (sent, kept_to) = (bytes.clone(), to.clone());
        let transaction = self.start_client(None, User::Invite(id), Departure { socket, to, branch, bytes, kind: Kind::Invite });
        let by_udp = stream.map(|_| Box::new(OutgoingInvite { target: Target::Address(hop.address), ..invite.clone() }));
        let inviting = Inviting {
            transaction,
            request_uri: request_uri.detach(),
            offered: invite.body.is_some(),
            to: kept_to,
            sent,
            times: 1,
            forks: Forks::default(),
            cancel: Cancel::No,
            by_udp,
        };
        Some(LegState {
            is_caller: true,
            call_id: SipCallId::new(call_id),
            tag,
            confirmed: NO_EARLY,
            local: bytes::Bytes::copy_from_slice(local.as_bytes()),
            socket,
            peer,
            trunk,
            stage: Stage::Inviting(Box::new(inviting)),
            dialog: None,
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
            clients: 1,
        })
    }

    pub(super) fn invite_response(
        &mut self,
        id: LegId,
        leg: &mut LegState,
        transaction: TransactionId,
        (socket, source): (usize, SocketAddr),
        response: &Message,
    ) {
        let Some(status) = response.status() else { return };
        if leg.peer.is_none() {
            leg.peer = Some(source.ip());
            if let (None, Source::Trunk(trunk)) = (leg.trunk, self.classify(socket, source)) {
                leg.trunk = Some(trunk);
            }
        }
        if status.is_provisional() {
            self.invite_progress(id, leg, status, response);
        } else if status.is_success() {
            self.invite_answered(id, leg, transaction, (socket, source), response);
        } else if super::login::asks(status) && self.invite_with_login(id, leg, response) {
            // It is on its way again, with credentials.
        } else if status == Status::SESSION_INTERVAL_TOO_SMALL && self.invite_for_longer(id, leg, response) {
            // It is on its way again.
        } else if let Stage::Inviting(_) = leg.stage {
            let event = LegEvent::Refused {
                status: status.code(),
                phrase: String::from_utf8_lossy(response.reason()).into_owned(),
                retry_after: retry_after(response),
                reason: reason_of(response),
                contacts: redirections(status, response),
                by: ByWhom::Remote,
            };
            leg.stage = Stage::Leaving { bye: None };
            self.finish(id, leg, event);
        }
    }

    fn invite_progress(&mut self, id: LegId, leg: &mut LegState, status: Status, response: &Message) {
        let Stage::Inviting(inviting) = &mut leg.stage else { return };
        let mut early = NO_EARLY;
        let body = body_of(response);
        if status != Status::TRYING && response.to_tag().is_some() {
            if let Some(mut dialog) = Dialog::from_response(response, &inviting.request_uri) {
                dialog.described = body.is_some();
                early = inviting.forks.heard(dialog);
            }
            if body.is_some()
                && let Some((_, dialog)) = inviting.forks.find(response.to_tag().unwrap_or(""))
            {
                dialog.described = true;
            }
        }
        let is_told = self.prack(leg, response);
        let Stage::Inviting(inviting) = &leg.stage else { return };
        if let Cancel::Held(reason) = &inviting.cancel {
            let reason = reason.clone();
            return self.cancel(id, leg, reason);
        }
        if !is_told {
            return;
        }
        self.tell(id, leg, LegEvent::Progress { status: status.code(), early, body });
    }

    fn invite_answered(
        &mut self,
        id: LegId,
        leg: &mut LegState,
        transaction: TransactionId,
        (socket, source): (usize, SocketAddr),
        response: &Message,
    ) {
        let remote_tag = response.to_tag().unwrap_or("");
        if let Some(ack) = leg.acks.iter().find(|ack| ack.transaction == transaction && ack.remote_tag.as_ref() == remote_tag) {
            // RFC 3261 §13.2.2.4: a 2xx that comes again wants its ACK again.
            let (socket, to, bytes) = (ack.socket, ack.to.clone(), ack.bytes.clone());
            return self.send(socket, to, bytes, None);
        }
        let is_same = leg.dialog.as_ref().is_some_and(|dialog| dialog.remote_tag.as_ref() == remote_tag);
        if is_same && leg.ack_due.is_some_and(|due| due.transaction == transaction) {
            return;
        }
        let Stage::Inviting(inviting) = &mut leg.stage else { return self.second_answer(leg, transaction, response, None) };
        let early = inviting.forks.confirm(remote_tag);
        let known = early.as_ref().map_or_else(|| inviting.forks.unheard(), |(early, _)| *early);
        let Some(mut dialog) = Dialog::from_response(response, &inviting.request_uri) else { return };
        if let Some((_, early)) = early {
            // §13.2.2.4: the route set is made anew from the 2xx; the sequence numbers go on.
            dialog.local_cseq = early.local_cseq.max(dialog.local_cseq);
            dialog.remote_cseq = early.remote_cseq;
        }
        let (offered, sent) = (inviting.offered, std::mem::take(&mut inviting.sent));
        if inviting.cancel != Cancel::No {
            // The answer crossed our CANCEL: it is acknowledged and hung up, and nobody hears of it.
            leg.stage = Stage::Leaving { bye: None };
            return self.second_answer(leg, transaction, response, Some(dialog));
        }
        dialog.described = true;
        let refused = leg.confirm(known);
        self.drop_these(refused);
        let stored = stored(leg, &dialog, source, self.transport(socket));
        leg.dialog = Some(dialog);
        leg.stage = Stage::Up;
        self.session_agreed(id, leg, response, sent);
        if offered {
            self.acknowledge(leg, response.cseq().number, transaction, None);
        } else {
            leg.ack_due = Some(AckDue { cseq: response.cseq().number, transaction });
        }
        if !leg.silent {
            let event = LegEvent::Answered { early: known, body: body_of(response), ack_due: !offered };
            self.out.push_back(Output::Tell { leg: id, event: Box::new(event), stored: Some(Box::new(stored)) });
        }
    }

    /// A 2xx that nobody wants: of another fork, or after we gave up. ACK and BYE.
    fn second_answer(&mut self, leg: &mut LegState, transaction: TransactionId, response: &Message, dialog: Option<Dialog>) {
        let fallback = leg.dialog.as_ref().map(|dialog| dialog.target.clone());
        let Some(mut dialog) = dialog.or_else(|| {
            let contact = response.contact().map(|contact| contact.uri().detach()).or(fallback)?;
            Dialog::from_response(response, &contact)
        }) else {
            return;
        };
        let ours = leg.dialog.take();
        leg.dialog = Some(dialog.clone());
        self.acknowledge(leg, response.cseq().number, transaction, None);
        leg.dialog = ours;
        self.send_bye(leg, &mut dialog, Some(&Reason::q850(16, "Answered elsewhere or given up")));
    }

    /// Sends the ACK to a 2xx by the leg's dialog, and keeps it for repeats.
    pub(super) fn acknowledge(&mut self, leg: &mut LegState, cseq: u32, transaction: TransactionId, body: Option<&Body>) {
        let Some(socket) = leg.dialog.as_ref().map(|dialog| self.socket_in(leg, dialog)) else { return };
        let (_, via) = self.via(socket);
        let Some(dialog) = &leg.dialog else { return };
        let Some((request, to)) = dialog.request(Method::Ack, cseq, &via, &leg.local, leg.call_id.as_str()) else { return };
        let said = leg.login.as_ref().map(|logged_in| &logged_in.said);
        let request = match said {
            Some((name, said)) => request.header(*name, said.as_str()),
            None => request,
        };
        let bytes = request.carry(body).encode();
        leg.acks.push(SentAck { transaction, remote_tag: dialog.remote_tag.clone(), socket, to: to.clone(), bytes: bytes.clone() });
        self.send(socket, to, bytes, None);
    }

    pub(super) fn ack_command(&mut self, leg: &mut LegState, body: Option<&Body>) {
        if let Some(AckDue { cseq, transaction }) = leg.ack_due.take() {
            leg.describe(body);
            self.acknowledge(leg, cseq, transaction, body);
        }
    }

    /// Gives up an INVITE: at once if a provisional has come, else as soon as one does (RFC 3261 §9.1).
    pub(super) fn cancel(&mut self, id: LegId, leg: &mut LegState, reason: Option<Reason>) {
        let Stage::Inviting(inviting) = &mut leg.stage else { return };
        if inviting.cancel == Cancel::Sent {
            return;
        }
        let Some(transaction) = self.transactions.get(inviting.transaction) else { return };
        let Machine::ClientInvite(machine) = &transaction.machine else { return };
        let Some(invite) = machine.invite().filter(|_| machine.is_proceeding()) else {
            inviting.cancel = Cancel::Held(reason);
            return;
        };
        let Ok(invite) = Message::parse(invite.clone()) else { return };
        let Some(branch) = crate::sip::transaction::table::branch_number(invite.via().branch()) else { return };
        inviting.cancel = Cancel::Sent;
        let cancelled = inviting.transaction;
        let (socket, to) = (transaction.socket, transaction.to.clone());
        let bytes = Request::cancel_for(&invite).reason(reason.as_ref()).encode();
        // RFC 3261 §9.1: an INVITE whose CANCEL brings no final response within 64·T1 is over.
        self.timers.arm(self.now + self.settings.intervals.patience(), Alarm::Transaction(cancelled, Letter::C));
        self.start_client(Some(leg), User::Parting(id), Departure { socket, to, branch, bytes, kind: Kind::Cancel });
    }

    /// The INVITE brought no answer at all, or could not leave.
    pub(super) fn invite_failed(&mut self, id: LegId, leg: &mut LegState, by: ByWhom) {
        let Stage::Inviting(inviting) = &mut leg.stage else { return };
        if by == ByWhom::Transport
            && inviting.cancel == Cancel::No
            && let Some(invite) = inviting.by_udp.take()
            && let Some(again) = self.inviting(id, &invite)
        {
            // RFC 3261 §18.1.1: nobody takes it by stream, so it goes as a long datagram.
            self.tags.remove(&tag_family(leg.tag));
            self.tags.insert(tag_family(again.tag), id);
            // The end of the first transaction is still to be told.
            *leg = LegState { clients: 2, ..again };
            return;
        }
        leg.stage = Stage::Leaving { bye: None };
        let status = if by == ByWhom::Timeout { Status::REQUEST_TIMEOUT } else { Status::SERVICE_UNAVAILABLE };
        let event = LegEvent::Refused {
            status: status.code(),
            phrase: status.reason().to_owned(),
            retry_after: None,
            reason: None,
            contacts: Vec::new(),
            by,
        };
        self.finish(id, leg, event);
    }

    /// Hangs up the leg's dialog. An ACK that is due goes first: without it the far end would repeat its 2xx.
    pub(super) fn bye(&mut self, id: LegId, leg: &mut LegState, reason: Option<&Reason>) {
        let _ = id;
        self.ack_command(leg, None);
        leg.stage = Stage::Leaving { bye: None };
        self.forget_mine(leg);
        leg.unacked.clear();
        if let Some(mut dialog) = leg.dialog.take() {
            self.send_bye(leg, &mut dialog, reason);
            leg.dialog = Some(dialog);
        }
    }

    fn send_bye(&mut self, leg: &mut LegState, dialog: &mut Dialog, reason: Option<&Reason>) {
        let socket = self.socket_in(leg, dialog);
        let (branch, via) = self.via(socket);
        let cseq = dialog.next_cseq();
        let Some((request, to)) = dialog.request(Method::Bye, cseq, &via, &leg.local, leg.call_id.as_str()) else { return };
        let Some(id) = self.tags.get(&tag_family(leg.tag)).copied() else { return };
        let request = match self.leg_credentials(leg, &Method::Bye, &dialog.target.for_request()) {
            Some((name, said)) => request.header(name, said.as_str()),
            None => request,
        };
        let bytes = request.reason(reason).encode();
        self.start_client(Some(leg), User::Parting(id), Departure { socket, to, branch, bytes, kind: Kind::Other });
    }
}

/// Redirections that are looked at.
const MOST_REDIRECTIONS: usize = 8;

/// Where a 3xx sends us, the best first (RFC 3261 §8.1.3.4).
fn redirections(status: Status, response: &Message) -> Vec<String> {
    if !(300..400).contains(&status.code()) {
        return Vec::new();
    }
    // q goes from 0.000 to 1.000, and is 1 if it is not said.
    let q = |contact: &NameAddr| {
        contact.params().get("q").and_then(|q| q.get(..5.min(q.len())).map(str::to_owned)).unwrap_or_else(|| "1".to_owned())
    };
    let mut contacts: Vec<_> =
        response.contacts().take(MOST_REDIRECTIONS).map(|contact| (q(&contact), contact.uri().to_string())).collect();
    contacts.sort_by(|(one, _), (other, _)| other.cmp(one));
    contacts.into_iter().map(|(_, uri)| uri).collect()
}
