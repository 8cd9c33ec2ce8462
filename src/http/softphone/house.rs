//! How the house is, from what the carriers and the switchboard know in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::b2bua::Handle;
use crate::callthrough::Availability;
use crate::trunk::Trunks;
use crate::types::{Clock, E164, Moment};

/// The count of live calls is at most this old.
const COUNTED_FOR: Duration = Duration::from_millis(250);

type Counts = Arc<HashMap<E164, u32>>;

/// What a request asks of carriers and switchboard.
pub struct House {
    trunks: Trunks,
    calls: Handle,
    clock: Clock,
    counted: Mutex<Option<(Moment, Counts)>>,
}

impl House {
    /// Looks at these.
    pub const fn new(trunks: Trunks, calls: Handle, clock: Clock) -> Self {
        Self { trunks, calls, clock, counted: Mutex::new(None) }
    }

    fn counts(&self) -> Counts {
        let now = self.clock.now();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, counts)) = &*counted
            && now.since(*at) < COUNTED_FOR
        {
            return counts.clone();
        }
        let mut counts = HashMap::new();
        for dialled in self.calls.list().into_iter().filter_map(|call| call.dialled) {
            *counts.entry(dialled).or_default() += 1;
        }
        let counts = Arc::new(counts);
        *counted = Some((now, counts.clone()));
        counts
    }
}

impl Availability for House {
    fn trunk_up(&self, name: &str) -> bool {
        self.trunks.all().iter().any(|trunk| trunk.enabled && trunk.name == name && !self.trunks.penalised(trunk.id))
    }

    fn reachable(&self, destination: E164) -> bool {
        !self.trunks.candidates(destination).is_empty()
    }

    fn live_calls(&self, access_number: E164) -> u32 {
        self.counts().get(&access_number).copied().unwrap_or(0)
    }

    fn draining(&self) -> bool {
        self.calls.is_draining()
    }
}
