//! Registrations of ours at carriers that want them (RFC 3261 §10.2): refreshed in time, tried again ever more slowly when they fail.

use std::collections::HashMap;
use std::time::Duration;

use super::login::{LoggedIn, asks};
use super::{Alarm, Core, Departure, Kind};
use crate::sip::dialog::tag_text;
use crate::sip::endpoint::{Registration, RegistrationState};
use crate::sip::leg::ByWhom;
use crate::sip::msg::{CSeq, Message, Method, Name, NameAddr, Request, Status, Tag, Uri};
use crate::sip::target::Address;
use crate::sip::transaction::{TransactionId, User};
use crate::sip::transport::Transport;
use crate::types::TrunkId;

/// RFC 5626 §4.5: the first wait after a failure, doubled by each further one, and the longest.
const BACKOFF: Duration = Duration::from_secs(30);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1_800);
/// A registrar that grants less would keep us registering.
const SHORTEST_REFRESH: Duration = Duration::from_secs(5);
/// How often one REGISTER is sent anew for what it lacks: credentials, a longer time.
const MOST_TIMES: u8 = 3;
/// The longest time a registrar can make us ask for.
const LONGEST_SECS: u32 = 86_400;

/// One registration.
#[derive(Debug)]
pub(super) struct Registrant {
    wanted: Registration,
    call_id: String,
    tag: u64,
    cseq: u32,
    secs: u32,
    /// The address of those that is asked.
    hop: usize,
    times: u8,
    failures: u32,
    /// Alarms of earlier ones are not ours.
    serial: u64,
    login: Option<LoggedIn>,
    transaction: Option<TransactionId>,
    state: RegistrationState,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Registrants {
    by_trunk: HashMap<TrunkId, Registrant>,
    serial: u64,
}

impl Core {
    /// How every registration stands.
    pub fn registrations(&self) -> Vec<(TrunkId, RegistrationState)> {
        self.registrants.by_trunk.iter().map(|(trunk, one)| (*trunk, one.state.clone())).collect()
    }

    /// From now on these are wanted: new and changed ones are made, others are taken back.
    pub(super) fn register(&mut self, wanted: Vec<Registration>) {
        let gone = self.registrants.by_trunk.extract_if(|trunk, one| !wanted.iter().any(|new| new.trunk == *trunk && *new == one.wanted));
        for (_, mut one) in gone.collect::<Vec<_>>() {
            if matches!(one.state, RegistrationState::Registered { .. }) {
                one.secs = 0;
                self.send_register(&mut one, User::Nobody);
            }
        }
        for new in wanted.into_iter().filter(|new| !new.hops.is_empty()) {
            let trunk = new.trunk;
            if self.registrants.by_trunk.contains_key(&trunk) {
                continue;
            }
            self.registrants.serial += 1;
            let mut one = Registrant {
                call_id: format!("{}{}", tag_text(self.chance.u64()), tag_text(self.chance.u64())),
                tag: self.chance.u64(),
                cseq: 0,
                secs: new.secs,
                hop: 0,
                times: 0,
                failures: 0,
                serial: self.registrants.serial,
                login: None,
                transaction: None,
                state: RegistrationState::Trying,
                wanted: new,
            };
            self.send_register(&mut one, User::Register(trunk));
            self.registrants.by_trunk.insert(trunk, one);
        }
    }

    fn send_register(&mut self, one: &mut Registrant, user: User) {
        let hop = one.wanted.hops[one.hop % one.wanted.hops.len()];
        let to = Address::Socket(hop.address);
        let (Some(socket), Ok(registrar), Ok(aor)) =
            (self.socket_for(&to, hop.transport), one.wanted.registrar.parse::<Uri>(), one.wanted.aor.parse::<Uri>())
        else {
            one.state = RegistrationState::Failed { reason: "no address of its family and transport is listened on".into(), status: None };
            return;
        };
        one.cseq += 1;
        one.times += 1;
        let (branch, via) = self.via(socket);
        let party = NameAddr::new(None, &aor);
        let local = &self.settings.locals[socket];
        let transport = if hop.transport == Transport::Udp { String::new() } else { format!(";transport={}", hop.transport) };
        let contact = format!("<sip:{}@{}{transport}>", one.wanted.user, local.sent_by());
        let mut request = Request::new(&Method::Register, &registrar)
            .header(Name::Via, via.as_str())
            .header(Name::MaxForwards, 70_u32)
            .header(Name::From, party.with_tag(&Tag::new(tag_text(one.tag))))
            .header(Name::To, &party)
            .header(Name::CallId, one.call_id.as_str())
            .header(Name::CSeq, CSeq { number: one.cseq, method: Method::Register })
            .header(Name::Contact, contact.as_str())
            .header(Name::Expires, one.secs);
        if let Some(logged_in) = &mut one.login {
            // A challenge just answered is said as it is; later ones count on.
            let (name, said) =
                if one.times > 1 { logged_in.said.clone() } else { self.credentials(logged_in, &Method::Register, &registrar) };
            request = request.header(name, said.as_str());
        }
        let bytes = request.encode();
        let transaction = self.start_client(None, user, Departure { socket, to, branch, bytes, kind: Kind::Other });
        one.transaction = Some(transaction);
    }

    pub(super) fn registered(&mut self, trunk: TrunkId, transaction: TransactionId, response: &Message) {
        let Some(status) = response.status().filter(|status| status.is_final()) else { return };
        let Some(mut one) = self.registrants.by_trunk.remove(&trunk) else { return };
        if one.transaction == Some(transaction) {
            self.register_answered(&mut one, status, response);
        }
        self.registrants.by_trunk.insert(trunk, one);
    }

    fn register_answered(&mut self, one: &mut Registrant, status: Status, response: &Message) {
        let trunk = one.wanted.trunk;
        let may_again = one.times < MOST_TIMES;
        if status.is_success() {
            let secs = granted(response, one).unwrap_or(one.secs).min(LONGEST_SECS);
            (one.times, one.failures) = (0, 0);
            one.state = RegistrationState::Registered { until: self.now + Duration::from_secs(u64::from(secs)) };
            // At 80 to 90 % of the time granted, so that many trunks do not come at once.
            let share = 800 + self.chance.below(100);
            let after = Duration::from_millis(u64::from(secs) * share).max(SHORTEST_REFRESH);
            return self.timers.arm(self.now + after, Alarm::Register(trunk, one.serial));
        }
        if asks(status) && may_again {
            let before = one.login.take();
            // A nonce of the last refresh is only old.
            let before = before.filter(|_| one.times > 1);
            let uri = one.wanted.registrar.parse::<Uri>();
            let login = one.wanted.login.clone();
            if let Ok(uri) = uri
                && let Some(logged_in) = login.and_then(|login| self.log_in(before.as_ref(), login, response, &Method::Register, &uri))
            {
                one.login = Some(logged_in);
                return self.send_register(one, User::Register(trunk));
            }
        }
        if status.code() == 423
            && may_again
            && let Some(least) = response.number(Name::MinExpires).filter(|least| *least > one.secs && *least <= LONGEST_SECS)
        {
            one.secs = least;
            return self.send_register(one, User::Register(trunk));
        }
        let reason = format!("{status} {}", String::from_utf8_lossy(response.reason()));
        let wait = response.number(Name::RetryAfter).map(|secs| Duration::from_secs(u64::from(secs)));
        self.register_failed_with(one, reason, Some(status.code()), wait.unwrap_or_default());
    }

    /// Nobody answered, or nothing could be sent.
    pub(super) fn register_failed(&mut self, trunk: TrunkId, by: ByWhom) {
        let Some(mut one) = self.registrants.by_trunk.remove(&trunk) else { return };
        // The next address, if there is one; the wait is for when all have failed.
        one.hop += 1;
        let reason = if by == ByWhom::Timeout { "the registrar does not answer" } else { "the registrar cannot be reached" };
        if one.hop % one.wanted.hops.len() == 0 {
            self.register_failed_with(&mut one, reason.to_owned(), None, Duration::ZERO);
        } else {
            one.times = 0;
            self.send_register(&mut one, User::Register(trunk));
        }
        self.registrants.by_trunk.insert(trunk, one);
    }

    fn register_failed_with(&mut self, one: &mut Registrant, reason: String, status: Option<u16>, at_least: Duration) {
        let doubled = BACKOFF.saturating_mul(1 << one.failures.min(8)).min(LONGEST_BACKOFF);
        one.failures = one.failures.saturating_add(1);
        // RFC 5626 §4.5: between half of it and all.
        let share = 500 + self.chance.below(501);
        let wait = Duration::from_millis(u64::try_from(doubled.as_millis()).unwrap_or(u64::MAX) * share / 1_000)
            .max(at_least.min(LONGEST_BACKOFF));
        tracing::warn!(trunk.id = %one.wanted.trunk, reason, again_secs = wait.as_secs(), "A trunk could not be registered; it is tried again.");
        one.times = 0;
        one.login = None;
        one.state = RegistrationState::Failed { reason, status };
        self.timers.arm(self.now + wait, Alarm::Register(one.wanted.trunk, one.serial));
    }

    pub(super) fn register_alarm(&mut self, trunk: TrunkId, serial: u64) {
        let Some(mut one) = self.registrants.by_trunk.remove(&trunk) else { return };
        if one.serial == serial {
            one.times = 0;
            self.send_register(&mut one, User::Register(trunk));
        }
        self.registrants.by_trunk.insert(trunk, one);
    }
}

/// How long the registrar keeps us: our Contact's `expires`, or the header.
fn granted(response: &Message, one: &Registrant) -> Option<u32> {
    let ours = response.contacts().find(|contact| contact.uri().user() == Some(one.wanted.user.as_str()));
    let of_contact = ours.and_then(|contact| contact.params().get("expires").and_then(|secs| secs.parse().ok()));
    of_contact.or_else(|| response.number(Name::Expires))
}
