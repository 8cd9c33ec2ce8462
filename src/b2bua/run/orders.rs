//! What the machine orders, carried out: the books asked, the trunks dialled, the parties told.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

use super::super::books::{Authorise, Closing, Leaving, NotAuthorised, NotExtended};
use super::super::response;
use super::super::{Watched, incoming, outgoing};
use super::{Answered, Attempt, Funded, Running, Then, Unwritten};
use crate::call::{CallRecord, Cause, Fact, Order, Timer};
use crate::rating::Quote;
use crate::sip::{Hop, Leg};
use crate::trunk::{Outcome, Trunk};
use crate::types::{E164, Moment, Side};

/// From dialling one of several addresses of a trunk to its first word; then the next is tried.
const HOP_SILENCE: Duration = Duration::from_millis(1_500);

impl Running {
    pub(super) async fn carry_out(&mut self, order: Order) -> Then {
        match order {
            Order::Screen => self.screen(),
            Order::Authorise(destination) => self.authorise(destination),
            Order::Dial(_) => {
                if let Err(fact) = self.dial().await {
                    return Then::Hear(fact);
                }
            }
            Order::Progress(..) => {
                if let Some(setting_up) = &self.setting_up {
                    let (early, status, body) = setting_up.progress.clone();
                    self.a.progress_in(early, status, body, vec![]).await;
                }
            }
            Order::Answer(_) if self.spoken.is_some() => return self.speak().await,
            Order::Play(side, prompt) => return self.play(side, prompt),
            Order::Hush(side) => self.hush(side),
            Order::Check(digits) => self.check(digits),
            Order::Answer(_) => {
                self.write_answer().await;
                let answer = self.setting_up.take().and_then(|setting_up| setting_up.answer);
                self.a.answer_in(self.confirmed, answer, vec![]).await;
                self.sip_status = Some(200);
            }
            Order::Refuse(_, refusal) => self.refuse_a(response::to_refusal(refusal)).await,
            Order::HangUp(Side::A, cause) => self.hang_up_a(cause).await,
            Order::HangUp(Side::B, cause) => self.hang_up_b(cause).await,
            Order::Bridge => {
                // Whoever was answered before has the answer written now.
                if !self.is_answered() {
                    self.write_answer().await;
                    self.setting_up = None;
                }
                if let Some(sound) = &mut self.sound {
                    sound.answered();
                }
            }
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
    pub(super) const fn is_answered(&self) -> bool {
        self.setting_up.is_none()
    }

    pub(super) fn arm(&mut self, timer: Timer, after: Duration) {
        self.timers[timer.index()] = Some(self.board.clock.now() + after);
    }

    pub(super) fn first_timer(&self) -> Option<(Timer, Moment)> {
        Timer::ALL.into_iter().zip(*self.timers).filter_map(|(timer, at)| Some((timer, at?))).min_by_key(|&(_, at)| at)
    }

    pub(super) fn screen(&mut self) {
        let early = match self.refused {
            Some(refusal) => Err(refusal),
            None => incoming::admit(&self.arrived),
        };
        // Who offers nothing to hear with cannot be asked for a code.
        let speaks = self.board.media.speaks() && self.setting_up.as_ref().is_some_and(|setting_up| setting_up.offer.is_some());
        let board = self.board.clone();
        self.start(async move {
            Answered::Screened(match early {
                Ok((caller, dialled)) => incoming::look(&board, caller, dialled, speaks).await,
                Err(refusal) => Err(refusal),
            })
        });
    }

    fn authorise(&mut self, destination: E164) {
        let Some(reservation) = &self.reservation else { return };
        let candidates = self.board.trunks.candidates(destination);
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
            cost_decks: candidates.iter().map(|trunk| trunk.settings.cost_deck).collect(),
        };
        if let Some(setting_up) = &mut self.setting_up {
            setting_up.candidates = candidates.into_iter().map(|trunk| (trunk, None)).collect();
        }
        let (books, id) = (self.board.books.clone(), self.id);
        self.start(async move {
            Answered::Authorised(books.authorise(ask).await.map_err(|no| {
                if let NotAuthorised::Fault(error) = &no {
                    tracing::error!(call.id = %id, error, "a call is refused because the books are away; check the database");
                }
                no.refusal()
            }))
        });
    }

    fn extend(&mut self) {
        let unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(answer) = unwritten {
            self.write_down(answer);
        }
        let (books, id) = (self.board.books.clone(), self.id);
        self.start(async move {
            Answered::Extended(match books.extend(id).await {
                Ok(grant) => Some(grant),
                Err(NotExtended::Exhausted) => None,
                Err(NotExtended::Fault(error)) => {
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
        let leaving = self.trunk_out.as_ref().map(|trunk| Leaving { trunk: trunk.name.clone(), cost: self.cost.clone() });
        self.write_down(Box::new(Unwritten { at, dialogs, leaving }));
        let until = self.board.clock.now() + LONGEST_WAIT;
        let Some(mut job) = self.job.take() else { return };
        tokio::select! {
            _ = &mut job => {}
            () = self.board.clock.sleep_until(until) => self.job = Some(job),
        }
    }

    /// Writes an answer down; one that the books do not take is tried again with the next slice of money.
    fn write_down(&mut self, answer: Box<Unwritten>) {
        let (books, id, reservation) = (self.board.books.clone(), self.id, self.reservation.as_ref().map(|one| one.id));
        let unwritten = self.unwritten.clone();
        self.start(async move {
            let Unwritten { at, dialogs, leaving } = &*answer;
            if let Err(error) = books.answered(id, reservation, *at, dialogs.clone(), leaving.clone()).await {
                tracing::error!(call.id = %id, %error, "an answer could not be written down; it is tried again with the next slice");
                *unwritten.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            }
            Answered::Written
        });
    }

    /// Starts a piece of work beside the call. Work that is still under way is finished first.
    pub(super) fn start(&mut self, work: impl Future<Output = Answered> + Send + 'static) {
        self.job = Some(match self.job.take() {
            None => Box::pin(work),
            Some(before) => Box::pin(async move {
                before.await;
                work.await
            }),
        });
    }

    /// Calls B over the next trunk that has room; the fact is why it cannot.
    async fn dial(&mut self) -> Result<(), Fact> {
        let Some(destination) = self.reservation.as_ref().map(|reservation| reservation.destination) else { return Err(Fact::NoTrunkLeft) };
        self.dialled_at = self.board.clock.now();
        // The place on the trunk that failed is free again, for another address of the same one too.
        self.slots.1 = None;
        while let Some((trunk, cost)) = self.setting_up.as_mut().and_then(|setting_up| setting_up.candidates.pop()) {
            let Ok(slot) = self.board.trunks.begin(&trunk) else {
                let at = self.board.clock.timestamp_at(self.dialled_at);
                self.attempts.push(Attempt { trunk: trunk.name.as_str().into(), at, sip_status: None, outcome: "full", millis: 0 });
                continue;
            };
            let Some(hop) = self.next_hop(&trunk, cost.as_deref()) else { continue };
            self.make_room(hop.address.ip())?;
            let offer = self.setting_up.as_ref().and_then(|setting_up| setting_up.offer.clone());
            let offer = self.pass(Side::A, offer).await.map_err(|error| self.no_sound(&error))?;
            let Some(setting_up) = &mut self.setting_up else { break };
            let (shown, hosts) = (self.board.config.shown_caller, &self.board.hosts);
            let mut invite = outgoing::invite((&trunk, hop), &self.arrived, destination, shown, hosts, offer, setting_up.max_forwards);
            if !self.attempts.is_empty() {
                self.relay.left(&self.a).await;
            }
            setting_up.early.next_trunk();
            setting_up.said = None;
            let has_more = !setting_up.hops.is_empty();
            if self.board.trace.is_on() {
                let sip_call_id = format!("{:016x}{:016x}", self.board.random.u64(), self.board.random.u64());
                self.board.trace.belongs(self.id, &sip_call_id);
                invite.sip_call_id = Some(sip_call_id.into());
            }
            self.b = Some(self.board.endpoint.invite(invite).await);
            if has_more && self.timers[Timer::Silence.index()].is_some() {
                self.arm(Timer::Silence, HOP_SILENCE);
            }
            self.entry.facts().trunk_out = Some(trunk.name.as_str().into());
            self.trunk_out = Some(trunk);
            self.cost = cost;
            self.slots.1 = Some(slot);
            return Ok(());
        }
        Err(Fact::NoTrunkLeft)
    }

    /// The next address of a trunk. If it has more, the trunk stays a candidate for them (RFC 3263 §4.3).
    fn next_hop(&mut self, trunk: &Arc<Trunk>, cost: Option<&Quote>) -> Option<Hop> {
        let setting_up = self.setting_up.as_mut()?;
        let is_same = !setting_up.hops.is_empty() && self.trunk_out.as_ref().is_some_and(|last| last.id == trunk.id);
        if !is_same {
            setting_up.hops = self.board.trunks.hops(trunk);
            setting_up.hops.reverse();
        }
        setting_up.hop = setting_up.hops.pop();
        if !setting_up.hops.is_empty() {
            setting_up.candidates.push((trunk.clone(), cost.cloned().map(Box::new)));
        }
        setting_up.hop
    }

    /// What an address did says whether the trunk's others are worth a try: they are when it was silent, out of reach or 503.
    fn hop_did(&mut self, sip_status: Option<u16>, health: Outcome) {
        let Some(setting_up) = &mut self.setting_up else { return };
        let Some(hop) = setting_up.hop.take() else { return };
        let is_away = health == Outcome::Failed && sip_status.is_none_or(|status| matches!(status, 408 | 503));
        self.board.trunks.report_hop(hop.address, if is_away { Outcome::Failed } else { Outcome::Worked });
        if !is_away && !setting_up.hops.is_empty() {
            setting_up.hops.clear();
            setting_up.candidates.pop();
        }
    }

    /// Notes how the trunk did that was dialled last.
    pub(super) fn tried(&mut self, outcome: &'static str, sip_status: Option<u16>, health: Outcome) {
        self.hop_did(sip_status, health);
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
        if self.a_is_up() {
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
        let sound = match self.sound.take() {
            Some(sound) => sound.close().await,
            None => None,
        };
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
            cost: self.cost.take(),
            sound,
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
