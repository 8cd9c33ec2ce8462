//! One call's task: wait for one fact, let the machine decide, carry out its orders.

mod hear;
mod orders;
mod redirect;
mod sound;
mod speak;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::books::Cost;
use super::early::Early;
use super::handle::Entry;
use super::incoming::{Arrived, Looked};
use super::relay::Relay;
use super::response::Said;
use super::{Board, LiveCall, incoming};
use crate::call::{Call, Fact, Grant, Limits, Order, Timer};
use crate::callthrough::Reservation;
use crate::media::Language;
use crate::rating::Quote;
use crate::sip::{Body, EarlyDialogId, Hop, Incoming, Leg, Reason};
use crate::trunk::{Slot, Trunk};
use crate::types::{CallId, Moment, Refusal, Timestamp};

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
    Screened(Result<incoming::Looked, Refusal>),
    Found(Result<(Reservation, Option<Language>), Refusal>),
    Authorised(Result<super::books::Authorised, Refusal>),
    Extended(Option<Grant>),
    Written,
}

/// An answer the books did not take yet.
struct Unwritten {
    at: Timestamp,
    dialogs: String,
    leaving: Option<super::books::Leaving>,
}

type Job = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// What only a call that is not answered yet needs; given back when it is.
struct SettingUp {
    offer: Option<Body>,
    max_forwards: u8,
    /// The trunks still to try with what each takes, the next one last.
    candidates: Vec<(Arc<Trunk>, Option<Box<Quote>>)>,
    /// The addresses still to try of the trunk that was tried last, the next one last. While there are any, that trunk is the next
    /// candidate too.
    hops: Vec<Hop>,
    /// Redirections that may still be followed.
    redirections: usize,
    /// The address that is being tried.
    hop: Option<Hop>,
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
        self.0.trace.ended(self.1, &self.0.clock);
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
    /// What it takes, if anybody knows.
    cost: Option<Box<Quote>>,
    dialled_at: Moment,
    attempts: Vec<Attempt>,
    funded: Vec<Funded>,
    relay: Relay,
    /// Our part in the sound, if it does not find its own way.
    sound: Option<Box<crate::media::Session>>,
    /// We speak with A, because its digits must tell whose call it is.
    spoken: Option<Box<speak::Spoken>>,
    /// A's early dialog that was answered, or is about to be.
    confirmed: EarlyDialogId,
    /// B's 200 carried the offer: A's ACK brings the answer.
    late_offer: bool,
    /// Why the party that hung up did so, in its own words.
    parting: Option<Reason>,
    /// What A heard, or what B's leg ended with.
    sip_status: Option<u16>,
    timers: Box<[Option<Moment>; Timer::ALL.len()]>,
    job: Option<Job>,
    /// The answer, while the books do not take it.
    unwritten: Arc<Mutex<Option<Box<Unwritten>>>>,
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
        board.trace.belongs(id, &arrived.sip_call_id);
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
                candidates: Vec::new(),
                hops: Vec::new(),
                redirections: redirect::MOST_REDIRECTIONS,
                hop: None,
                progress: (EarlyDialogId::FIRST, 180, None),
                early: Early::default(),
                answer: None,
                said: None,
            })),
            a: leg,
            a_alive: true,
            b: None,
            trunk_out: None,
            cost: None,
            dialled_at: now,
            attempts: Vec::new(),
            funded: Vec::new(),
            relay: Relay::default(),
            sound: None,
            spoken: None,
            confirmed: EarlyDialogId::FIRST,
            late_offer: false,
            parting: None,
            sip_status: None,
            timers: Box::new([None; Timer::ALL.len()]),
            job: None,
            unwritten: Arc::default(),
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
            heard = async {
                match &mut self.sound {
                    Some(sound) => sound.heard().await,
                    None => std::future::pending().await,
                }
            } => Some(sound::fact(heard)),
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
        if matches!(answered, Answered::Authorised(_) | Answered::Screened(Ok(Looked::Ask(_)))) {
            // What takes longer from here on is up to the carriers, or to the caller.
            self.a.set_up();
        }
        match answered {
            Answered::Written => None,
            Answered::Screened(Err(refusal)) | Answered::Found(Err(refusal)) => Some(Fact::Screened(Err(refusal))),
            Answered::Screened(Ok(Looked::Ask(country))) => {
                self.spoken = Some(Box::new(speak::Spoken { language: Language::of_country(country), ..speak::Spoken::default() }));
                Some(Fact::ToCollect)
            }
            Answered::Screened(Ok(Looked::Found(reservation))) => Some(self.found(reservation)),
            Answered::Found(Ok((reservation, language))) => {
                if let (Some(spoken), Some(language)) = (&mut self.spoken, language) {
                    spoken.language = language;
                }
                Some(self.found(reservation))
            }
            Answered::Authorised(Err(refusal)) => Some(Fact::Declined(refusal)),
            Answered::Authorised(Ok(authorised)) => {
                self.late = authorised.late;
                if let Some(spoken) = &mut self.spoken {
                    spoken.low = authorised.low;
                }
                self.leave_out(authorised.costs);
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

    /// It is known whose call it is and where it goes.
    fn found(&mut self, reservation: Reservation) -> Fact {
        let destination = reservation.destination;
        let mut facts = self.entry.facts();
        facts.subscriber = Some(reservation.subscriber);
        facts.tenant = Some(reservation.tenant);
        facts.destination = Some(destination);
        drop(facts);
        self.reservation = Some(Box::new(reservation));
        Fact::Screened(Ok(destination))
    }

    /// Leaves out the trunks that would carry the call at a loss, and keeps what the others take.
    fn leave_out(&mut self, costs: Vec<Cost>) {
        let Some(setting_up) = &mut self.setting_up else { return };
        let at = self.board.clock.timestamp();
        let mut costs = costs.into_iter();
        for (trunk, _) in std::mem::take(&mut setting_up.candidates) {
            match costs.next().unwrap_or(Cost::Unknown) {
                Cost::Unknown => setting_up.candidates.push((trunk, None)),
                Cost::Known(quote) => setting_up.candidates.push((trunk, Some(quote))),
                Cost::TooMuch => {
                    self.attempts.push(Attempt {
                        trunk: trunk.name.as_str().into(),
                        at,
                        sip_status: None,
                        outcome: "no_margin",
                        millis: 0,
                    });
                }
            }
        }
        setting_up.candidates.reverse();
    }

    fn note_funded(&mut self, grant: &Grant) {
        if self.funded.len() < MOST_FUNDED {
            self.funded.push(Funded { at: self.board.clock.timestamp(), secs: grant.funded.as_secs() });
        }
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
