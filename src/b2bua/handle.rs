use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};

use crate::call::{CallEvent, Cause};
use crate::types::{CallId, CallerId, E164, SubscriberId, TenantId, Timestamp};

/// Events that a slow watcher may be behind; then it misses the oldest.
const EVENTS_KEPT: usize = 4096;

/// A call that is up, as the API lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveCall {
    /// Which.
    pub id: CallId,
    /// In whose books, once that is known.
    pub tenant: Option<TenantId>,
    /// Who pays, once that is known.
    pub subscriber: Option<SubscriberId>,
    /// Who calls.
    pub caller: CallerId,
    /// The access number that was dialled; none if what was dialled is no number.
    pub dialled: Option<E164>,
    /// Where the call goes, once that is known.
    pub destination: Option<E164>,
    /// Name of the trunk it came over.
    pub trunk_in: Arc<str>,
    /// Name of the trunk it goes out over.
    pub trunk_out: Option<Arc<str>>,
    /// Where it stands: `screening`, `authorising`, `dialling`, `ringing`, `connected`, `ending`.
    pub state: &'static str,
    /// When it arrived.
    pub began: Timestamp,
    /// When B answered.
    pub answered: Option<Timestamp>,
    /// The end of its funded time, once B answered.
    pub funded_until: Option<Timestamp>,
}

/// An event of a call, for whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// Which call.
    pub call: CallId,
    /// What happened.
    pub event: CallEvent,
    /// When.
    pub at: Timestamp,
}

/// What the doors hold of the switchboard: list, hang up, watch, drain. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    live: Mutex<HashMap<CallId, Arc<Entry>>>,
    events: broadcast::Sender<Watched>,
    draining: AtomicBool,
    /// Rung when the last call leaves.
    emptied: Notify,
    max_calls: usize,
}

/// A call's place in the list: the facts others may read, and the bell that ends it.
pub(super) struct Entry {
    facts: Mutex<LiveCall>,
    ordered: Mutex<Option<Cause>>,
    bell: Notify,
}

impl Handle {
    /// A switchboard's list without calls.
    pub fn new(max_calls: usize) -> Self {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        Self(Arc::new(Shared { live: Mutex::default(), events, draining: AtomicBool::new(false), emptied: Notify::new(), max_calls }))
    }

    /// The calls that are up, oldest first.
    pub fn list(&self) -> Vec<LiveCall> {
        let mut calls: Vec<_> = self.live().values().map(|entry| entry.facts().clone()).collect();
        calls.sort_unstable_by_key(|call| call.id);
        calls
    }

    /// One call that is up.
    pub fn get(&self, call: CallId) -> Option<LiveCall> {
        self.live().get(&call).map(|entry| entry.facts().clone())
    }

    /// How many calls are up.
    pub fn count(&self) -> usize {
        self.live().len()
    }

    /// Ends a call; false if it is not up.
    pub fn hang_up(&self, call: CallId) -> bool {
        let entry = self.live().get(&call).cloned();
        entry.inspect(|entry| entry.end(Cause::Operator)).is_some()
    }

    /// Events of all calls from now on. A watcher that falls far behind misses the oldest.
    pub fn watch(&self) -> broadcast::Receiver<Watched> {
        self.0.events.subscribe()
    }

    /// Whether new calls are refused because the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// Refuses new calls from now on, waits up to `patience` for the running ones, then ends what is left and waits
    /// until that is written down.
    pub async fn drain(&self, patience: Duration) {
        /// What ending and writing the last records may take.
        const LAST_WORDS: Duration = Duration::from_secs(10);
        self.0.draining.store(true, Ordering::Relaxed);
        if tokio::time::timeout(patience, self.empty()).await.is_err() {
            let left: Vec<_> = self.live().values().cloned().collect();
            tracing::info!(calls = left.len(), "ending the calls that are still up");
            for entry in left {
                entry.end(Cause::ServerStopped);
            }
            if tokio::time::timeout(LAST_WORDS, self.empty()).await.is_err() {
                tracing::warn!(calls = self.count(), "some calls could not be written down; recovery will do it at the next start");
            }
        }
    }

    /// Returns once no call is up.
    async fn empty(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.live().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Lists a new call. True means that there are too many: the call is on the list to be refused and written down.
    pub(super) fn enter(&self, facts: LiveCall) -> (Arc<Entry>, bool) {
        let id = facts.id;
        let entry = Arc::new(Entry { facts: Mutex::new(facts), ordered: Mutex::default(), bell: Notify::new() });
        let mut live = self.live();
        let full = live.len() >= self.0.max_calls;
        live.insert(id, entry.clone());
        (entry, full)
    }

    pub(super) fn leave(&self, call: CallId) {
        let mut live = self.live();
        live.remove(&call);
        if live.is_empty() {
            self.0.emptied.notify_waiters();
        }
    }

    pub(super) fn tell(&self, told: Watched) {
        // Nobody watches: that is fine.
        let _ = self.0.events.send(told);
    }

    /// The calls whose B has answered: the ones whose heartbeat is written.
    pub(super) fn answered(&self) -> Vec<CallId> {
        self.live().iter().filter(|(_, entry)| entry.facts().answered.is_some()).map(|(&id, _)| id).collect()
    }

    fn live(&self) -> MutexGuard<'_, HashMap<CallId, Arc<Entry>>> {
        self.0.live.lock().expect("nothing panics while the list is held")
    }
}

impl Entry {
    /// The facts, to read or to change.
    pub(super) fn facts(&self) -> MutexGuard<'_, LiveCall> {
        self.facts.lock().expect("nothing panics while the facts are held")
    }

    fn end(&self, cause: Cause) {
        self.ordered.lock().expect("no panic").get_or_insert(cause);
        self.bell.notify_one();
    }

    /// Returns once somebody orders the call to end.
    pub(super) async fn ordered_to_end(&self) -> Cause {
        loop {
            self.bell.notified().await;
            if let Some(cause) = *self.ordered.lock().expect("no panic") {
                return cause;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Clock, Random};

    fn facts(id: CallId) -> LiveCall {
        LiveCall {
            id,
            tenant: None,
            subscriber: None,
            caller: CallerId::Withheld,
            dialled: "+15551230000".parse().ok(),
            destination: None,
            trunk_in: "north".into(),
            trunk_out: None,
            state: "screening",
            began: Timestamp::from_micros(0),
            answered: None,
            funded_until: None,
        }
    }

    #[tokio::test]
    async fn a_drain_ends_what_does_not_end_by_itself() {
        let handle = Handle::new(1);
        let (clock, random) = (Clock::system(), Random::seeded(1));
        let (id, too_many) = (CallId::new(&clock, &random), CallId::new(&clock, &random));
        let (entry, full) = handle.enter(facts(id));
        assert!(!full && handle.enter(facts(too_many)).1, "the list is bounded");
        handle.leave(too_many);
        let caller = handle.clone();
        let call = tokio::spawn(async move {
            let cause = entry.ordered_to_end().await;
            caller.leave(id);
            cause
        });
        handle.drain(Duration::ZERO).await;
        assert_eq!((call.await.unwrap(), handle.count(), handle.is_draining()), (Cause::ServerStopped, 0, true));
    }

    #[tokio::test]
    async fn hanging_up_rings_the_bell_of_that_call_only() {
        let handle = Handle::new(2);
        let (clock, random) = (Clock::system(), Random::seeded(2));
        let (one, two) = (CallId::new(&clock, &random), CallId::new(&clock, &random));
        let (entry, _) = handle.enter(facts(one));
        assert!(handle.hang_up(one) && !handle.hang_up(two));
        assert_eq!(entry.ordered_to_end().await, Cause::Operator);
    }
}
