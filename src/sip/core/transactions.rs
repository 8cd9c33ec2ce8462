//! Transactions and those they tell: what a machine wants is done, what it learns goes to its leg.

use std::net::SocketAddr;

use bytes::Bytes;

use super::{Alarm, Core, Departure, Kind, Output};
use crate::sip::dialog::invite::LegState;
use crate::sip::leg::ByWhom;
use crate::sip::msg::{Message, Method, Request, Response, Status, screen_response};
use crate::sip::target::Address;
use crate::sip::transaction::ict::ClientInvite;
use crate::sip::transaction::{
    Acts, Client, ClientNews, Key, Letter, Machine, Server, ServerInvite, ServerNews, TransactionId, User, table,
};

impl Core {
    pub(super) fn response(&mut self, socket: usize, source: SocketAddr, message: &Message) {
        if !screen_response(message) {
            return;
        }
        let Some(status) = message.status() else { return };
        let via = message.via();
        let Some(number) = table::branch_number(via.branch()) else { return };
        let is_cancel = *message.method() == Method::Cancel;
        let Some(id) = self.transactions.find(Key::Client(number, is_cancel)) else { return };
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let user = transaction.user;
        let mut acts = Acts::default();
        let reliable = self.settings.locals[transaction.socket].transport.is_reliable();
        let intervals = &self.settings.intervals;
        let is_invite = *message.method() == Method::Invite;
        let news = match &mut transaction.machine {
            Machine::ClientInvite(machine) if is_invite => {
                let ack = |invite: &Bytes| {
                    let invite = Message::parse(invite.clone()).ok()?;
                    Some(Request::ack_for(&invite, message).encode())
                };
                machine.response(status.code(), ack, reliable, intervals, &mut acts)
            }
            Machine::Client(machine) if !is_invite => machine.response(status.code(), reliable, intervals, &mut acts),
            _ => return,
        };
        self.perform(id, acts);
        if news != ClientNews::Response {
            return;
        }
        match user {
            User::Invite(leg) => self.with_leg(leg, |core, state| core.invite_response(leg, state, id, (socket, source), message)),
            User::Request(leg, request) => self.with_leg(leg, |core, state| core.request_response(leg, state, id, request, message)),
            User::Register(trunk) => self.registered(trunk, id, message),
            User::Ping(number) => self.ping_answered(number, message),
            User::Parting(leg) if super::login::asks(status) && *message.method() == Method::Bye => {
                self.with_leg(leg, |core, state| core.bye_with_login(leg, state, message));
            }
            User::Parting(_) | User::Nobody => {}
        }
    }

    pub(super) fn transaction_alarm(&mut self, id: TransactionId, letter: Letter) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let user = transaction.user;
        let mut acts = Acts::default();
        let intervals = &self.settings.intervals;
        let news = match &mut transaction.machine {
            Machine::ClientInvite(machine) => machine.fired(letter, intervals, &mut acts),
            Machine::Client(machine) => machine.fired(letter, intervals, &mut acts),
            Machine::ServerInvite(machine) => {
                machine.fired(letter, intervals, &mut acts);
                ClientNews::Nothing
            }
            Machine::Server(machine) => {
                machine.fired(letter, &mut acts);
                ClientNews::Nothing
            }
        };
        self.perform(id, acts);
        if news == ClientNews::TimedOut {
            self.failed(user, ByWhom::Timeout);
        }
    }

    pub(super) fn not_sent(&mut self, id: TransactionId) {
        let Some(transaction) = self.transactions.get(id) else { return };
        let user = transaction.user;
        // RFC 3261 §8.1.3.1: a transport error of a request is a 503; a response that cannot leave is simply lost.
        let is_waiting = match &transaction.machine {
            Machine::ClientInvite(machine) => machine.invite().is_some() && !machine.is_proceeding(),
            Machine::Client(_) => true,
            Machine::ServerInvite(_) | Machine::Server(_) => false,
        };
        if is_waiting {
            self.perform(id, Acts { over: true, ..Acts::default() });
            self.failed(user, ByWhom::Transport);
        }
    }

    /// RFC 3261 §18.4: requests of ours that wait for an answer by a connection that is gone have failed; what was said by it is unsaid.
    pub(super) fn closed(&mut self, socket: usize, source: SocketAddr) {
        self.proved.remove(&(socket, source));
        for id in self.transactions.waiting_at(socket, |to| match to {
            Address::Socket(to) => *to == source,
            Address::Back { .. } | Address::Name(_) => false,
        }) {
            self.not_sent(id);
        }
    }

    pub(super) fn failed(&mut self, user: User, by: ByWhom) {
        match user {
            User::Invite(id) => self.with_leg(id, |core, leg| core.invite_failed(id, leg, by)),
            User::Request(id, request) => self.with_leg(id, |core, leg| core.request_failed(id, leg, request, by)),
            User::Register(trunk) => self.register_failed(trunk, by),
            User::Ping(number) => self.ping_failed(number, by),
            User::Parting(_) | User::Nobody => {}
        }
    }

    /// Does what a machine wants.
    pub(super) fn perform(&mut self, id: TransactionId, acts: Acts) {
        let Some(transaction) = self.transactions.get(id) else { return };
        for bytes in acts.send.into_iter().flatten() {
            self.out.push_back(Output::Send { socket: transaction.socket, to: transaction.to.clone(), bytes, transaction: Some(id) });
        }
        for (letter, after) in acts.arm.into_iter().flatten() {
            self.timers.arm(self.now + after, Alarm::Transaction(id, letter));
        }
        if acts.over
            && let Some(transaction) = self.transactions.remove(id)
        {
            self.ended.push((transaction.user, id));
        }
    }

    /// Tells legs that transactions of theirs are over.
    pub(super) fn settle(&mut self) {
        while let Some((user, transaction)) = self.ended.pop() {
            let Some(leg) = user.leg() else { continue };
            self.with_leg(leg, |_, leg| {
                // Server transactions hold no leg.
                leg.clients = leg.clients.saturating_sub(1);
                leg.acks.retain(|ack| ack.transaction != transaction);
            });
        }
    }

    /// Starts a client transaction; `leg` is the one it tells, if any.
    pub(super) fn start_client(&mut self, leg: Option<&mut LegState>, user: User, departure: Departure) -> TransactionId {
        let Departure { socket, to, branch, bytes, kind } = departure;
        let mut acts = Acts::default();
        let reliable = self.transport(socket).is_reliable();
        let intervals = &self.settings.intervals;
        let machine = match kind {
            Kind::Invite => Machine::ClientInvite(ClientInvite::start(bytes, reliable, intervals, &mut acts)),
            Kind::Cancel | Kind::Other => Machine::Client(Client::start(bytes, reliable, intervals, &mut acts)),
        };
        let id = self.transactions.insert(machine, user, socket, to, Key::Client(branch, kind == Kind::Cancel), None);
        if let Some(leg) = leg {
            leg.clients += 1;
        }
        self.perform(id, acts);
        id
    }

    /// Starts a server transaction for a request; an INVITE that goes further hears 100 at once.
    pub(super) fn start_server(&mut self, request: &Message, user: User, socket: usize, source: SocketAddr, trying: bool) -> TransactionId {
        let key = self.keys.server(request, request.method());
        let merge = request.to_tag().is_none().then(|| self.keys.merge(request));
        let mut acts = Acts::default();
        let machine = match (request.method(), trying) {
            (Method::Invite, true) => {
                let trying = Response::to_from(request, Status::TRYING, None, Some(source)).encode();
                Machine::ServerInvite(ServerInvite::start(trying, &mut acts))
            }
            (Method::Invite, false) => Machine::ServerInvite(ServerInvite::quiet()),
            _ => Machine::Server(Server::default()),
        };
        let to = self.answer_to(socket, &request.via(), source);
        let id = self.transactions.insert(machine, user, socket, to, Key::Server(key), merge);
        self.perform(id, acts);
        id
    }

    /// Answers in a server transaction; false if it had its final answer.
    pub(super) fn respond(&mut self, id: TransactionId, status: Status, response: Bytes) -> bool {
        let Some(transaction) = self.transactions.get_mut(id) else { return false };
        let mut acts = Acts::default();
        let reliable = self.settings.locals[transaction.socket].transport.is_reliable();
        let intervals = &self.settings.intervals;
        let done = match &mut transaction.machine {
            Machine::ServerInvite(machine) => machine.respond(status.code(), response, reliable, intervals, &mut acts),
            Machine::Server(machine) => machine.respond(response, reliable, intervals, &mut acts),
            Machine::ClientInvite(_) | Machine::Client(_) => false,
        };
        self.perform(id, acts);
        done
    }

    /// A repeat of a request that has a transaction.
    pub(super) fn repeated(&mut self, id: TransactionId) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let user = transaction.user;
        let mut acts = Acts::default();
        let news = match &mut transaction.machine {
            Machine::ServerInvite(machine) => machine.repeated(&mut acts),
            Machine::Server(machine) => {
                machine.repeated(&mut acts);
                ServerNews::Nothing
            }
            Machine::ClientInvite(_) | Machine::Client(_) => ServerNews::Nothing,
        };
        self.perform(id, acts);
        if news == ServerNews::RepeatAnswer {
            match user {
                User::Invite(leg) => self.with_leg(leg, |core, state| core.repeat_unacked(state, None)),
                User::Request(leg, request) => self.with_leg(leg, |core, state| core.repeat_unacked(state, Some(request))),
                User::Register(_) | User::Ping(_) | User::Parting(_) | User::Nobody => {}
            }
        }
    }
}
