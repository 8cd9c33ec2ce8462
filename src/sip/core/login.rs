//! Our credentials where a carrier asks for them (RFC 3261 §22, RFC 7616, RFC 8760): in an INVITE, and from then on in all of its call.

use std::net::SocketAddr;

use super::Core;
use super::words::Builder as _;
use super::{Departure, Kind};
use crate::sip::dialog::invite::{LegState, Stage};
use crate::sip::digest::{Challenge, Denied};
use crate::sip::endpoint::Login;
use crate::sip::leg::LegId;
use crate::sip::msg::{Message, Method, Name, Response, Status, Uri};
use crate::sip::target::Address;
use crate::sip::transaction::User;

/// A challenge that was answered, for what follows in the same call or registration.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    login: Login,
    challenge: Challenge,
    header: Name,
    /// How often its nonce has been used.
    count: u32,
    /// What was said last: the ACK says it again (RFC 3261 §13.2.2.4).
    pub said: (Name, String),
}

/// Whether a response asks for credentials.
pub(super) const fn asks(status: Status) -> bool {
    matches!(status.code(), 401 | 407)
}

impl Core {
    /// Answers a challenge; none if we have no credentials there, or they have been refused.
    pub(super) fn log_in(
        &self,
        before: Option<&LoggedIn>,
        login: Login,
        response: &Message,
        method: &Method,
        uri: &Uri,
    ) -> Option<LoggedIn> {
        let (challenge, header) = Challenge::pick(response, login.md5)?;
        // Asked again for the same, and not because the nonce was old: the password is wrong.
        let is_refused = before.is_some_and(|had| had.header == header && had.challenge.realm == challenge.realm) && !challenge.stale;
        if is_refused {
            tracing::warn!(sip.realm = challenge.realm, "A carrier refuses our credentials; correct the login of its trunk.");
            return None;
        }
        let said = challenge.answer(method, uri, &login.user, &login.password, 1, &self.chance.random).to_string();
        Some(LoggedIn { login, challenge, header, count: 1, said: (header, said) })
    }

    /// Our credentials for a further request, with the nonce we have.
    pub(super) fn credentials(&self, logged_in: &mut LoggedIn, method: &Method, uri: &Uri) -> (Name, String) {
        logged_in.count += 1;
        let LoggedIn { login, challenge, header, count, .. } = logged_in;
        (*header, challenge.answer(method, uri, &login.user, &login.password, *count, &self.chance.random).to_string())
    }

    fn login_at(&self, address: &Address) -> Option<Login> {
        match address {
            Address::Socket(address) => self.login_of(*address),
            Address::Back { .. } | Address::Name(_) => None,
        }
    }

    pub(super) fn login_of(&self, address: SocketAddr) -> Option<Login> {
        self.policy.as_ref().and_then(|policy| policy.login(address))
    }

    /// A stranger calls where some prove by a password who they are: it is asked for one (RFC 3261 §22.2), and so is who has a wrong one
    /// or a name that nobody has.
    pub(super) fn ask_who(&mut self, socket: usize, source: SocketAddr, request: &Message) {
        let Some(policy) = self.policy.clone() else { return };
        let mut trunk = None;
        let proved = self.verifier.check(request, Name::Authorization, source.ip(), self.now, |user, algorithm| {
            let (of, ha1) = policy.digest(user, algorithm)?;
            trunk = Some(of);
            Some(ha1)
        });
        if let (Ok(_), Some(trunk)) = (&proved, trunk) {
            return self.trunk_asks(socket, source, request.clone(), trunk);
        }
        let challenges = self.verifier.challenges(source.ip(), self.now, proved == Err(Denied::Stale));
        let tag = self.stateless_tag(request);
        let response = Response::to_from(request, Status::UNAUTHORIZED, Some(&tag), Some(source));
        let response =
            challenges.iter().fold(response, |response, challenge| response.header(Name::WwwAuthenticate, challenge.to_string().as_str()));
        let to = self.answer_to(socket, &request.via(), source);
        self.send(socket, to, response.encode(), None);
    }

    /// Our INVITE again, with credentials; false if that is of no use.
    pub(super) fn invite_with_login(&mut self, id: LegId, leg: &mut LegState, response: &Message) -> bool {
        let Stage::Inviting(inviting) = &leg.stage else { return false };
        let before = leg.login.as_deref();
        let login = before.map(|before| before.login.clone()).or_else(|| self.login_at(&inviting.to));
        let Some(login) = login else { return false };
        let Some(logged_in) = self.log_in(before, login, response, &Method::Invite, &inviting.request_uri) else { return false };
        let said = logged_in.said.clone();
        leg.login = Some(Box::new(logged_in));
        self.invite_again(id, leg, &[said])
    }

    /// The credentials of a further request of a leg's call, if its far end wanted some.
    pub(super) fn leg_credentials(&self, leg: &mut LegState, method: &Method, uri: &Uri) -> Option<(Name, String)> {
        leg.login.as_deref_mut().map(|logged_in| self.credentials(logged_in, method, uri))
    }

    /// Our BYE again, if all that was missing are credentials: otherwise the far end would take the call for running.
    pub(super) fn bye_with_login(&mut self, id: LegId, leg: &mut LegState, response: &Message) {
        // Of a fork that lost, the call itself is none of this BYE's business.
        let is_its = leg.dialog.as_ref().is_some_and(|dialog| response.to_tag() == Some(&*dialog.remote_tag));
        if !is_its || !matches!(leg.stage, Stage::Leaving { .. }) {
            return;
        }
        let Some(mut dialog) = leg.dialog.take() else { return };
        let uri = dialog.target.for_request();
        let before = leg.login.as_deref();
        let login = before.map(|before| before.login.clone()).or_else(|| dialog.hop().and_then(|hop| self.login_at(&hop)));
        let logged_in = login.and_then(|login| self.log_in(before, login, response, &Method::Bye, &uri));
        if let Some(logged_in) = logged_in {
            let (name, said) = logged_in.said.clone();
            leg.login = Some(Box::new(logged_in));
            let socket = self.socket_in(leg, &dialog);
            let (branch, via) = self.via(socket);
            let cseq = dialog.next_cseq();
            if let Some((request, to)) = dialog.request(Method::Bye, cseq, &via, &leg.local, leg.call_id.as_str()) {
                let bytes = request.header(name, said.as_str()).reason(None).encode();
                self.start_client(Some(leg), User::Parting(id), Departure { socket, to, branch, bytes, kind: Kind::Other });
            }
        }
        leg.dialog = Some(dialog);
    }
}
