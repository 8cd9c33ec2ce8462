//! One call's task: wait for one fact, let the machine decide, carry out its orders.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::books::{Authorise, Closing};
use super::early::Early;
use super::handle::Entry;
use super::incoming::Arrived;
use super::relay::{Answer, Asked, NO_SUCH_DIALOG, Relay};
use super::response::{self, Said};
use super::{Board, LiveCall, Watched, incoming, outgoing};
use crate::call::{Call, CallRecord, Cause, Fact, Grant, Limits, Order, Progress, Timer};
use crate::callthrough::Reservation;
use crate::sip::{Body, ByWhom, EarlyDialogId, Incoming, Leg, LegEvent, Reason};
use crate::trunk::{Outcome, Slot, Trunk};
use crate::types::{CallId, E164, Moment, Refusal, Side, Timestamp};

/// Times that money was set aside which the record tells; the rest is in its hold.
const MOST_FUNDED: usize = 64;

/// Runs the call that has arrived until its record is written.
pub(super) async fn run(board: Arc<Board>, trunk: Arc<Trunk>, incoming: Incoming, refused: Option<Refusal>) {
    let mut running = Running::begin(board, trunk, incoming, refused);
    loop {
        let mut fact = running.fact().await;
        while let Some(heard) = fact.take() {
            let now = running.board.clock.now();
            let orders = running.call.step(now, heard);
            running.entry.facts().state = running.call.state().as_str();
            for order in orders {
                match Box::pin(running.carry_out(order)).await {
                    Then::Go => {}
                    Then::Hear(news) => fact = Some(news),
                    Then::Leave => return,
                }
            }
        }
    }
}

/// What follows an order.
enum Then {
    /// The next one.
    Go,
    /// A fact that was there at once.
    Hear(Fact),
    /// Nothing: it was the last.
    Leave,
}

/// What the books, or the look before them, answered.
enum Answered {
    Screened(Result<Reservation, Refusal>),
    Authorised(Result<super::books::Authorised, Refusal>),
    Extended(Option<Grant>),
    Written,
}

type Job = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// What only a call that is not answered yet needs; given back when it is.
struct SettingUp {
    offer: Option<Body>,
    max_forwards: u8,
    /// The trunks still to try, the next one last.
    candidates: Option<Vec<Arc<Trunk>>>,
    /// What B's side said last, to be passed to A in one of its early dialogs.
    progress: (EarlyDialogId, u16, Option<Body>),
    early: Early,
    answer: Option<Body>,
    /// B's word if it refused.
    said: Option<Said>,
}

/// One trunk that was tried, for the record.
#[derive(serde::Serialize)]
struct Attempt {
    trunk: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sip_status: Option<u16>,
    outcome: &'static str,
    at: Timestamp,
    millis: u64,
}

/// Money that was set aside, for the record: how long it pays for from the answer on.
#[derive(serde::Serialize)]
struct Funded {
    at: Timestamp,
    secs: u64,
}

/// Takes the call off the list whatever happens to its task. Its legs hang up by themselves; its hold does not.
struct Listed(Arc<Board>, CallId);

impl Drop for Listed {
    fn drop(&mut self) {
        self.0.handle.leave(self.1);
        if std::thread::panicking() {
            let (books, id) = (self.0.books.clone(), self.1);
            tracing::error!(call.id = %id, "the task of a call has died; the call is ended and settled");
            tokio::spawn(async move {
                if let Err(error) = books.close_abandoned(id).await {
                    tracing::error!(call.id = %id, %error, "a dead call could not be settled; the next start does it");
                }
            });
        }
    }
}

struct Running {
    board: Arc<Board>,
    id: CallId,
    entry: Arc<Entry>,
    call: Call,
    refused: Option<Refusal>,
    arrived: Box<Arrived>,
    reservation: Option<Box<Reservation>>,
    late: bool,
    setting_up: Option<Box<SettingUp>>,
    a: Leg,
    a_alive: bool,
    b: Option<Leg>,
    trunk_out: Option<Arc<Trunk>>,
    dialled_at: Moment,
    attempts: Vec<Attempt>,
    funded: Vec<Funded>,
    relay: Relay,
    /// A's early dialog that was answered, or is about to be.
    confirmed: EarlyDialogId,
    /// B's 200 carried the offer: A's ACK brings the answer.
    late_offer: bool,
    /// Why the party that hung up did so, in its own words.
    parting: Option<Reason>,
    /// What A heard, or what B's leg ended with.
    sip_status: Option<u16>,
    timers: [Option<Moment>; Timer::ALL.len()],
    job: Option<Job>,
    /// Places on both trunks, given back with the call.
    slots: (Option<Slot>, Option<Slot>),
    _listed: Listed,
}

impl Running {
    /// The call is born.
    fn begin(board: Arc<Board>, trunk: Arc<Trunk>, incoming: Incoming, refused: Option<Refusal>) -> Self {
        let Incoming { leg, invite } = incoming;
        let id = CallId::new(&board.clock, &board.random);
        let arrived = Box::new(incoming::read(trunk, &invite));
        let now = board.clock.now();
        let facts = LiveCall {
            tenant: None,
            id,
            subscriber: None,
            caller: arrived.caller,
            dialled: arrived.dialled,
            destination: None,
            trunk_in: arrived.trunk.name.as_str().into(),
            trunk_out: None,
            state: "screening",
            began: board.clock.timestamp_at(now),
            answered: None,
            funded_until: None,
        };
        let (entry, full) = board.handle.enter(facts);
        let (slot, slot_refused) = match board.trunks.begin(&arrived.trunk) {
            Ok(slot) => (Some(slot), None),
            Err(refusal) => (None, Some(refusal)),
        };
        let stopping = (full || board.handle.is_draining()).then_some(Refusal::Draining);
        let refused = refused.or(stopping).or(slot_refused);
        let (call, orders) = Call::arrived(now, board.limits());
        let mut running = Self {
            id,
            entry,
            call,
            refused,
            arrived,
            reservation: None,
            late: false,
            setting_up: Some(Box::new(SettingUp {
                offer: invite.body,
                max_forwards: invite.max_forwards,
                candidates: None,
                progress: (EarlyDialogId::FIRST, 180, None),
                early: Early::default(),
                answer: None,
                said: None,
            })),
            a: leg,
            a_alive: true,
            b: None,
            trunk_out: None,
            dialled_at: now,
            attempts: Vec::new(),
            funded: Vec::new(),
            relay: Relay::default(),
            confirmed: EarlyDialogId::FIRST,
            late_offer: false,
            parting: None,
            sip_status: None,
            timers: [None; Timer::ALL.len()],
            job: None,
            slots: (slot, None),
            _listed: Listed(board.clone(), id),
            board,
        };
        for order in orders {
            match order {
                Order::Arm(timer, after) => running.arm(timer, after),
                Order::Screen => running.screen(),
                _ => {}
            }
        }
        running
    }

    /// Waits for one thing to happen; nothing if it does not concern the machine.
    async fn fact(&mut self) -> Option<Fact> {
        let first = self.first_timer();
        let clock = &self.board.clock;
        let job = &mut self.job;
        tokio::select! {
            biased;
            timer = async {
                match first {
                    Some((timer, at)) => { clock.sleep_until(at).await; timer }
                    None => std::future::pending().await,
                }
            } => {
                self.timers[timer.index()] = None;
                Some(Fact::Fired(timer))
            }
            cause = self.entry.ordered_to_end() => Some(Fact::Stopped(cause)),
            answered = async {
                match job {
                    Some(job) => job.await,
                    None => std::future::pending().await,
                }
            } => {
                self.job = None;
                self.answered(answered)
            }
            event = self.a.event(), if self.a_alive => Box::pin(self.heard_a(event)).await,
            event = async {
                match &mut self.b {
                    Some(b) => b.event().await,
                    None => std::future::pending().await,
                }
            } => Box::pin(self.heard_b(event)).await,
        }
    }

    fn answered(&mut self, answered: Answered) -> Option<Fact> {
        match answered {
            Answered::Written => None,
            Answered::Screened(Err(refusal)) => Some(Fact::Screened(Err(refusal))),
            Answered::Screened(Ok(reservation)) => {
                let destination = reservation.destination;
                let mut facts = self.entry.facts();
                facts.subscriber = Some(reservation.subscriber);
                facts.tenant = Some(reservation.tenant);
                facts.destination = Some(destination);
                drop(facts);
                self.reservation = Some(Box::new(reservation));
                Some(Fact::Screened(Ok(destination)))
            }
            Answered::Authorised(Err(refusal)) => Some(Fact::Declined(refusal)),
            Answered::Authorised(Ok(authorised)) => {
                self.late = authorised.late;
                self.note_funded(&authorised.grant);
                Some(Fact::Authorised { grant: authorised.grant, longest: authorised.longest })
            }
            Answered::Extended(None) => Some(Fact::NotExtended),
            Answered::Extended(Some(grant)) => {
                let mut facts = self.entry.facts();
                facts.funded_until = facts.answered.map(|at| at + grant.funded);
                drop(facts);
                self.note_funded(&grant);
                Some(Fact::Extended(grant))
            }
        }
    }

    fn note_funded(&mut self, grant: &Grant) {
        if self.funded.len() < MOST_FUNDED {
            self.funded.push(Funded { at: self.board.clock.timestamp(), secs: grant.funded.as_secs() });
        }
    }

    async fn heard_a(&mut self, event: Option<LegEvent>) -> Option<Fact> {
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
                if std::mem::take(&mut self.late_offer)
                    && let Some(b) = &self.b
                {
                    b.ack(body).await;
                }
                None
            }
            LegEvent::Request { id, method, body, early } => {
                match self.way_to_b(early) {
                    Some(early) => self.relay.asked(Side::A, &self.a, self.b.as_mut(), Asked { id, method, body, early }).await,
                    None => self.a.respond(id, NO_SUCH_DIALOG, None, vec![]).await,
                }
                None
            }
            LegEvent::RequestCancelled { id } => {
                self.relay.cancelled(Side::A, id);
                None
            }
            LegEvent::RequestAcked { id, body } => {
                self.relay.acked(Side::A, self.b.as_ref(), id, body).await;
                None
            }
            LegEvent::Response { id, status, body, ack_due, .. } => {
                self.relay.answered(Side::A, &self.a, self.b.as_ref(), id, Answer { status, body, ack_due }).await;
                None
            }
            LegEvent::Progress { .. } | LegEvent::Answered { .. } | LegEvent::Refused { .. } => None,
        }
    }

    async fn heard_b(&mut self, event: Option<LegEvent>) -> Option<Fact> {
        let Some(event) = event else {
            self.b = None;
            return Some(Fact::HungUp(Side::B, Cause::Lost));
        };
        match event {
            LegEvent::Progress { status, early, body } => self.progressed(status, early, body),
            LegEvent::Answered { early, body, ack_due } => {
                let setting_up = self.setting_up.as_mut()?;
                let (confirmed, said_early) = setting_up.early.answered(early);
                setting_up.answer = body.or(said_early);
                self.confirmed = confirmed;
                self.late_offer = ack_due;
                self.tried("answered", Some(200), Outcome::Worked);
                Some(Fact::Answered(Side::B))
            }
            LegEvent::Refused { status, phrase, reason, by, .. } => {
                self.b = None;
                let cause = response::cause_of(status, by);
                let outcome = if cause.another_trunk_may_help() { Outcome::Failed } else { Outcome::Worked };
                self.tried(cause.code(), Some(status), outcome);
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
                let a = if self.a_alive { Some(&mut self.a) } else { None };
                match way {
                    Some(early) => self.relay.asked(Side::B, self.b.as_ref()?, a, Asked { id, method, body, early }).await,
                    None => self.b.as_ref()?.respond(id, NO_SUCH_DIALOG, None, vec![]).await,
                }
                None
            }
            LegEvent::RequestCancelled { id } => {
                self.relay.cancelled(Side::B, id);
                None
            }
            LegEvent::RequestAcked { id, body } => {
                self.relay.acked(Side::B, Some(&self.a), id, body).await;
                None
            }
            LegEvent::Response { id, status, body, ack_due, .. } => {
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
    fn way_to_b(&self, early: Option<EarlyDialogId>) -> Option<Option<EarlyDialogId>> {
        match (early, &self.setting_up) {
            (None, _) => Some(None),
            (Some(early), Some(setting_up)) => setting_up.early.of_b(early).map(Some),
            // It was asked before A heard of the answer.
            (Some(early), None) => (early == self.confirmed).then_some(None),
        }
    }

    /// The same the other way.
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

    async fn carry_out(&mut self, order: Order) -> Then {
        match order {
            Order::Screen => self.screen(),
            Order::Authorise(destination) => self.authorise(destination),
            Order::Dial(_) => {
                if !self.dial().await {
                    return Then::Hear(Fact::NoTrunkLeft);
                }
            }
            Order::Progress(..) => {
                if let Some(setting_up) = &self.setting_up {
                    let (early, status, body) = setting_up.progress.clone();
                    self.a.progress_in(early, status, body, vec![]).await;
                }
            }
            Order::Answer(_) => {
                self.write_answer().await;
                let answer = self.setting_up.take().and_then(|setting_up| setting_up.answer);
                self.a.answer_in(self.confirmed, answer, vec![]).await;
                self.sip_status = Some(200);
            }
            Order::Refuse(_, refusal) => self.refuse_a(response::to_refusal(refusal)).await,
            Order::HangUp(Side::A, cause) => self.hang_up_a(cause).await,
            Order::HangUp(Side::B, cause) => self.hang_up_b(cause).await,
            // The parties' media finds its own way.
            Order::Bridge => {}
            Order::Extend => self.extend(),
            Order::Arm(timer, after) => self.arm(timer, after),
            Order::Disarm(timer) => self.timers[timer.index()] = None,
            Order::Tell(event) => {
                self.board.handle.tell(Watched { call: self.id, event, at: self.board.clock.timestamp() });
                if event.is_final() {
                    return Then::Leave;
                }
            }
            Order::Close(record) => self.close(&record).await,
        }
        Then::Go
    }

    /// Whether A has had its 200: from then on nothing is being set up.
    const fn is_answered(&self) -> bool {
        self.setting_up.is_none()
    }

    fn arm(&mut self, timer: Timer, after: Duration) {
        self.timers[timer.index()] = Some(self.board.clock.now() + after);
    }

    fn first_timer(&self) -> Option<(Timer, Moment)> {
        Timer::ALL.into_iter().zip(self.timers).filter_map(|(timer, at)| Some((timer, at?))).min_by_key(|&(_, at)| at)
    }

    fn screen(&mut self) {
        let early = match self.refused {
            Some(refusal) => Err(refusal),
            None => incoming::admit(&self.arrived),
        };
        let (database, config, clock) = (self.board.database.clone(), self.board.callthrough.clone(), self.board.clock.clone());
        self.start(async move {
            Answered::Screened(match early {
                Ok((caller, dialled)) => incoming::screen(database, config, clock, caller, dialled).await,
                Err(refusal) => Err(refusal),
            })
        });
    }

    fn authorise(&mut self, destination: E164) {
        let Some(reservation) = &self.reservation else { return };
        let ask = Authorise {
            call: self.id,
            subscriber: reservation.subscriber,
            reservation: Some(reservation.id),
            caller: self.arrived.caller.number(),
            dialled: self.arrived.dialled_text.clone(),
            destination,
            trunk_in: Some(self.arrived.trunk.name.clone()),
            sip_call_id: Some(self.arrived.sip_call_id.clone()),
            began_at: self.entry.facts().began,
        };
        let (books, id) = (self.board.books.clone(), self.id);
        self.start(async move {
            Answered::Authorised(books.authorise(ask).await.map_err(|no| {
                if let super::books::NotAuthorised::Fault(error) = &no {
                    tracing::error!(call.id = %id, error, "a call is refused because the books are away; check the database");
                }
                no.refusal()
            }))
        });
    }

    fn extend(&mut self) {
        let (books, id) = (self.board.books.clone(), self.id);
        self.start(async move {
            Answered::Extended(match books.extend(id).await {
                Ok(grant) => Some(grant),
                Err(super::books::NotExtended::Exhausted) => None,
                Err(super::books::NotExtended::Fault(error)) => {
                    tracing::warn!(call.id = %id, error, "a call could not be extended; it is tried again until its funded time ends");
                    None
                }
            })
        });
    }

    /// Both legs' dialogs go to the books before A hears of the answer, so that a restart can hang up and charge whatever a
    /// killed process left behind. Books that are slow do not keep the parties from each other for long.
    async fn write_answer(&mut self) {
        const LONGEST_WAIT: Duration = Duration::from_secs(1);
        let crate::call::State::Connected { answered_at, grant } = *self.call.state() else { return };
        let at = self.board.clock.timestamp_at(answered_at);
        {
            let mut facts = self.entry.facts();
            facts.answered = Some(at);
            facts.funded_until = Some(at + grant.funded);
        }
        let dialogs = [self.a.stored_dialog_in(self.confirmed), self.b.as_ref().and_then(Leg::stored_dialog).map(Cow::Borrowed)];
        let dialogs = serde_json::to_string(&dialogs).expect("dialogs are text and numbers");
        let (books, id, reservation) = (self.board.books.clone(), self.id, self.reservation.as_ref().map(|one| one.id));
        self.start(async move {
            if let Err(error) = books.answered(id, reservation, at, dialogs).await {
                tracing::error!(call.id = %id, %error, "an answer could not be written down; the record will tell it");
            }
            Answered::Written
        });
        let until = self.board.clock.now() + LONGEST_WAIT;
        let Some(mut job) = self.job.take() else { return };
        tokio::select! {
            _ = &mut job => {}
            () = self.board.clock.sleep_until(until) => self.job = Some(job),
        }
    }

    /// Starts a piece of work beside the call. Work that is still under way is finished first.
    fn start(&mut self, work: impl Future<Output = Answered> + Send + 'static) {
        self.job = Some(match self.job.take() {
            None => Box::pin(work),
            Some(before) => Box::pin(async move {
                before.await;
                work.await
            }),
        });
    }

    /// Calls B over the next trunk that has room; false if none is left.
    async fn dial(&mut self) -> bool {
        let Some(destination) = self.reservation.as_ref().map(|reservation| reservation.destination) else { return false };
        let Some(setting_up) = &mut self.setting_up else { return false };
        let candidates = setting_up.candidates.get_or_insert_with(|| {
            let mut trunks = self.board.trunks.candidates(destination);
            trunks.reverse();
            trunks
        });
        self.dialled_at = self.board.clock.now();
        while let Some(trunk) = candidates.pop() {
            let Ok(slot) = self.board.trunks.begin(&trunk) else {
                let at = self.board.clock.timestamp_at(self.dialled_at);
                self.attempts.push(Attempt { trunk: trunk.name.as_str().into(), at, sip_status: None, outcome: "full", millis: 0 });
                continue;
            };
            let (shown, hosts) = (self.board.config.shown_caller, &self.board.hosts);
            let invite =
                outgoing::invite(&trunk, &self.arrived, destination, shown, hosts, setting_up.offer.clone(), setting_up.max_forwards);
            let Some(invite) = invite else { continue };
            if !self.attempts.is_empty() {
                self.relay.left(&self.a).await;
            }
            setting_up.early.next_trunk();
            setting_up.said = None;
            self.b = Some(self.board.endpoint.invite(invite).await);
            self.entry.facts().trunk_out = Some(trunk.name.as_str().into());
            self.trunk_out = Some(trunk);
            self.slots.1 = Some(slot);
            return true;
        }
        false
    }

    /// Notes how the trunk did that was dialled last.
    fn tried(&mut self, outcome: &'static str, sip_status: Option<u16>, health: Outcome) {
        let Some(trunk) = &self.trunk_out else { return };
        self.board.trunks.report(trunk.id, health);
        let took = self.board.clock.now().since(self.dialled_at);
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let at = self.board.clock.timestamp_at(self.dialled_at);
        self.attempts.push(Attempt { trunk: trunk.name.as_str().into(), at, sip_status, outcome, millis });
    }

    async fn refuse_a(&mut self, response: response::Response) {
        self.sip_status = Some(response.status);
        let headers = response.headers();
        self.a.refuse(response.status, response.phrase, headers).await;
    }

    async fn hang_up_a(&mut self, cause: Cause) {
        if self.is_answered() {
            let reason = self.parting.take().unwrap_or_else(|| response::reason(cause));
            self.a.hang_up(Some(reason)).await;
        } else {
            let said = self.setting_up.as_ref().and_then(|setting_up| setting_up.said.as_ref());
            let response = response::to_cause(cause, said);
            self.refuse_a(response).await;
        }
    }

    async fn hang_up_b(&mut self, cause: Cause) {
        let Some(b) = self.b.take() else { return };
        if !self.is_answered() {
            let health = if cause.another_trunk_may_help() { Outcome::Failed } else { Outcome::Worked };
            self.tried(cause.code(), None, health);
        }
        let reason = self.parting.take().unwrap_or_else(|| response::reason(cause));
        b.hang_up(Some(reason)).await;
    }

    /// Settles or releases, and writes the one record.
    async fn close(&mut self, record: &CallRecord) {
        // A read that nobody waits for any more is dropped; writes are let finish first, so that the books see them in order.
        if let Some(job) = self.job.take()
            && self.entry.facts().answered.is_some()
        {
            job.await;
        }
        let told = !self.attempts.is_empty() || !self.funded.is_empty();
        let detail = told.then(|| serde_json::to_string(&Detail { attempts: &self.attempts, funded: &self.funded }).ok()).flatten();
        let now = self.board.clock.timestamp();
        let closing = Closing {
            call: self.id,
            subscriber: self.reservation.as_ref().map(|reservation| reservation.subscriber),
            reservation: self.reservation.as_ref().map(|reservation| reservation.id),
            sip_call_id: Some(std::mem::take(&mut self.arrived.sip_call_id)),
            caller: self.arrived.caller.number().map(|number| number.to_string()),
            dialled: std::mem::take(&mut self.arrived.dialled_text),
            destination: None,
            trunk_in: Some(self.arrived.trunk.name.clone()),
            trunk_out: self.trunk_out.as_ref().map(|trunk| trunk.name.clone()),
            cause: record.cause,
            side: record.side,
            sip_status: self.sip_status,
            late: self.late,
            began_at: now,
            progressed_at: None,
            answered_at: None,
            ended_at: now,
            duration: Duration::ZERO,
            detail,
        }
        .with_record(record, &self.board.clock);
        tracing::info!(
            call.id = %self.id,
            cause = record.cause.code(),
            side = record.side.map(Side::as_str),
            sip.status = self.sip_status,
            duration_ms = u64::try_from(closing.duration.as_millis()).unwrap_or(u64::MAX),
            "call ended"
        );
        if let Err(error) = self.board.books.close(closing).await {
            tracing::error!(call.id = %self.id, %error, "a call's record could not be written; recovery will settle it");
        }
    }
}

#[derive(serde::Serialize)]
struct Detail<'a> {
    attempts: &'a [Attempt],
    funded: &'a [Funded],
}

/// A hang-up that nobody sent means that the leg broke.
const fn hung_up_by(by: ByWhom) -> Cause {
    match by {
        ByWhom::Remote => Cause::HungUp,
        ByWhom::Timeout | ByWhom::Transport | ByWhom::Local => Cause::Lost,
    }
}

impl Board {
    fn limits(&self) -> Limits {
        let secs = |secs: u32| Duration::from_secs(u64::from(secs));
        Limits {
            setup: secs(self.config.setup_deadline_secs),
            silence: secs(self.config.silence_secs),
            ring: secs(self.config.ring_secs),
            longest: secs(self.config.longest_call_secs),
            ..Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the 12 KiB that a held call may cost, its task is the smaller part: two dialogs and their buffers want the rest.
    #[test]
    fn a_held_call_is_small() {
        const fn task<A, B, C, D, F: Future>(_: fn(A, B, C, D) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = task(run);
        assert!(bytes <= 2 * 1024, "the task of a call holds {bytes} bytes: box what is rarely needed");
    }
}
