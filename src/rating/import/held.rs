//! Imports that somebody is looking at: what was read, what would change, how far the writing is.
//!
//! They live on the node that read the file, for an hour, and no longer than the process: what is lost is read again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{BadLine, Comparison, Progress, Report};
use crate::types::{Clock, DeckId, DeckVersionId, ImportId, Moment, Random, TenantId, Timestamp};

/// Imports that are held at once; each may be a whole deck.
const MOST: usize = 8;
/// How long an import is held after it was last of use.
const HELD_FOR: Duration = Duration::from_secs(3600);

/// Every place is taken by an import that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MOST} imports go on already: wait for one of them, or discard one")]
pub struct TooMany;

/// How far an import has come.
#[derive(Debug, Clone)]
pub enum State {
    /// The file is being read and compared.
    Reading,
    /// The file is not taken.
    Rejected {
        /// Why.
        reason: String,
        /// The first bad lines.
        rejects: Vec<BadLine>,
        /// All of them.
        rejected: u64,
    },
    /// It may be applied.
    Checked(Arc<Checked>),
    /// It is being written.
    Applying(Arc<Checked>),
    /// It is a version now.
    Applied {
        /// Which one.
        version: DeckVersionId,
        /// Valid from here on.
        effective_from: Timestamp,
        /// What it was.
        checked: Arc<Checked>,
    },
}

/// A file that was read and compared.
#[derive(Debug)]
pub struct Checked {
    /// Beside what is valid now.
    pub comparison: Comparison,
    /// What it would change.
    pub report: Report,
}

/// One import.
#[derive(Debug)]
pub struct Held {
    /// Its id.
    pub id: ImportId,
    /// Into which deck.
    pub deck: DeckId,
    /// Whose deck; none for the operator's own.
    pub tenant: Option<TenantId>,
    /// When it began.
    pub created_at: Timestamp,
    /// How far it is.
    pub progress: Progress,
    state: Mutex<(State, Moment)>,
    changed: Notify,
}

impl Held {
    /// How far it has come.
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// It has come further.
    pub fn becomes(&self, state: State, now: Moment) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (state, now);
        self.changed.notify_waiters();
    }

    /// Begins the writing, if it is ready for that: one of two who ask at once.
    pub fn begin(&self, now: Moment) -> Option<Arc<Checked>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Checked(checked) = &state.0 else { return None };
        let checked = Arc::clone(checked);
        *state = (State::Applying(Arc::clone(&checked)), now);
        Some(checked)
    }

    fn is_busy(&self) -> bool {
        matches!(self.state(), State::Reading | State::Applying(_))
    }

    fn last_of_use(&self) -> Moment {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Waits until it is neither read nor written.
    pub async fn settled(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.is_busy() {
                return;
            }
            changed.await;
        }
    }
}

/// The imports of this node. Cheap to clone; every clone sees the same.
#[derive(Debug, Clone, Default)]
pub struct Imports(Arc<Mutex<Vec<Arc<Held>>>>);

impl Imports {
    /// A new import; the one that was longest of no use gives its place.
    pub fn begin(&self, clock: &Clock, random: &Random, deck: DeckId, tenant: Option<TenantId>) -> Result<Arc<Held>, TooMany> {
        self.begin_as(ImportId::new(clock, random), clock, deck, tenant)
    }

    /// The same under a given id.
    pub fn begin_as(&self, id: ImportId, clock: &Clock, deck: DeckId, tenant: Option<TenantId>) -> Result<Arc<Held>, TooMany> {
        let now = clock.now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|held| held.is_busy() || now.since(held.last_of_use()) < HELD_FOR);
        if all.len() >= MOST {
            let idle = all.iter().enumerate().filter(|(_, held)| !held.is_busy()).min_by_key(|(_, held)| held.last_of_use());
            let place = idle.map(|(place, _)| place).ok_or(TooMany)?;
            all.remove(place);
        }
        let held = Arc::new(Held {
            id,
            deck,
            tenant,
            created_at: clock.timestamp(),
            progress: Progress::default(),
            state: Mutex::new((State::Reading, now)),
            changed: Notify::new(),
        });
        all.push(Arc::clone(&held));
        Ok(held)
    }

    /// The import of this id, if it is still held here.
    pub fn get(&self, id: ImportId) -> Option<Arc<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|held| held.id == id).cloned()
    }

    /// Forgets an import that is neither read nor written.
    pub fn discard(&self, id: ImportId) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.len();
        all.retain(|held| held.id != id || held.is_busy());
        all.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_idle_import_gives_its_place_and_a_busy_one_never_does() {
        let (clock, random) = (Clock::manual(Timestamp::from_micros(1_900_000_000_000_000)), Random::seeded(1));
        let imports = Imports::default();
        let deck = DeckId::new(&clock, &random);
        let begin = || imports.begin(&clock, &random, deck, None);
        let first = begin().unwrap();
        let others: Vec<_> = (1..MOST).map(|_| begin().unwrap()).collect();
        assert_eq!(begin().map(drop), Err(TooMany));
        let idle = State::Rejected { reason: String::new(), rejects: vec![], rejected: 0 };
        others[0].becomes(idle.clone(), clock.now());
        assert!(!imports.discard(first.id), "a busy one stays");
        begin().unwrap();
        assert!(imports.get(first.id).is_some() && imports.get(others[0].id).is_none());
        first.becomes(idle, clock.now());
        clock.advance(HELD_FOR);
        assert!(imports.discard(first.id) && !imports.discard(first.id));
    }
}
