//! The messages of calls in memory, within bounds: by their Call-IDs, because a call is known as one only after its first message.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::Message;
use crate::sip::tap::Seen;
use crate::types::{CallId, Moment, Side};

/// Messages of one call; the first ones stay.
const MOST_MESSAGES: usize = 300;
/// Bytes of one call.
const MOST_BYTES: usize = 256 * 1024;
/// Legs of one call: A's, and each trunk that was tried.
const MOST_LEGS: usize = 16;
/// Messages of a Call-ID that belongs to no call.
const MOST_OF_STRANGER: usize = 32;
/// Such Call-IDs; the oldest go first.
const MOST_STRANGERS: usize = 4_096;
/// Calls.
const MOST_CALLS: usize = 20_000;
/// Bytes in all; strangers go first, then the oldest calls.
const MOST_IN_ALL: usize = 64 * 1024 * 1024;
/// The last words of a call come after its end: a BYE's 200, repeats.
const LINGER: Duration = Duration::from_secs(5);

/// All that is kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// Whether texts are kept, or only which Call-IDs belong together.
    texts: bool,
    dialogs: HashMap<Arc<str>, Dialog>,
    /// Call-IDs in the order they came, those of calls too.
    strangers: VecDeque<Arc<str>>,
    calls: BTreeMap<CallId, Call>,
    bytes: usize,
    next: u64,
}

#[derive(Debug, Default)]
struct Dialog {
    call: Option<CallId>,
    messages: Vec<(u64, Arc<Seen>)>,
}

#[derive(Debug, Default)]
struct Call {
    legs: Vec<Arc<str>>,
    messages: usize,
    bytes: usize,
    left_out: u32,
    ended: Option<Moment>,
    /// Somebody writes it to the books.
    leaving: bool,
}

/// The messages of one call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ladder {
    /// In their order.
    pub messages: Vec<Message>,
    /// Messages beyond the bounds of one call.
    pub left_out: u32,
}

impl Kept {
    /// Nothing yet.
    pub fn new(texts: bool) -> Self {
        Self { texts, ..Self::default() }
    }

    /// Keeps a message: its call and the Call-ID of A's leg, if it belongs to one.
    pub fn add(&mut self, seen: &Arc<Seen>) -> Option<(CallId, Arc<str>)> {
        let known = self.dialogs.get_mut(seen.sip_call_id.as_str());
        if known.is_none() && !self.texts {
            return None;
        }
        let dialog = if let Some(dialog) = known {
            dialog
        } else {
            let id: Arc<str> = seen.sip_call_id.as_str().into();
            self.strangers.push_back(id.clone());
            self.dialogs.entry(id).or_default()
        };
        let bytes = seen.text.len();
        let call = dialog.call.and_then(|call| Some((call, self.calls.get_mut(&call)?)));
        let fits = match &call {
            Some((_, call)) => call.messages < MOST_MESSAGES && call.bytes + bytes <= MOST_BYTES,
            None => dialog.messages.len() < MOST_OF_STRANGER,
        };
        let belongs = call.map(|(id, call)| {
            if self.texts && fits {
                call.messages += 1;
                call.bytes += bytes;
            } else {
                call.left_out += 1;
            }
            (id, call.legs.first().cloned().unwrap_or_default())
        });
        if self.texts && fits {
            dialog.messages.push((self.next, seen.clone()));
            self.next += 1;
            self.bytes += bytes;
            self.make_room();
        }
        belongs
    }

    /// From now on, and for what came already, this Call-ID belongs to this call; its first is A's.
    pub fn belongs(&mut self, id: CallId, sip_call_id: &str) {
        let call = self.calls.entry(id).or_default();
        if call.legs.len() >= MOST_LEGS {
            return;
        }
        let leg: Arc<str> = sip_call_id.into();
        let dialog = self.dialogs.entry(leg.clone()).or_default();
        if dialog.call.is_some() {
            // Another call has it already: a carrier that uses a Call-ID twice tells one story.
            return;
        }
        dialog.call = Some(id);
        call.messages += dialog.messages.len();
        call.bytes += dialog.messages.iter().map(|(_, seen)| seen.text.len()).sum::<usize>();
        call.legs.push(leg);
        self.make_room();
    }

    /// The call is over.
    pub fn ended(&mut self, call: CallId, now: Moment) {
        if let Some(call) = self.calls.get_mut(&call) {
            call.ended = Some(now);
        }
    }

    /// Calls that ended long enough ago to have said their last words (all that have ended, if `hurry`), marked as leaving.
    pub fn leaving(&mut self, now: Moment, most: usize, hurry: bool) -> Vec<CallId> {
        let is_due = |call: &&mut Call| !call.leaving && call.ended.is_some_and(|at| hurry || now.since(at) >= LINGER);
        let mut due = Vec::new();
        for (id, call) in &mut self.calls {
            if due.len() >= most {
                break;
            }
            if let Some(call) = Some(call).filter(is_due) {
                call.leaving = true;
                due.push(*id);
            }
        }
        due
    }

    /// It could not leave: later.
    pub fn stays(&mut self, call: CallId) {
        if let Some(call) = self.calls.get_mut(&call) {
            call.leaving = false;
        }
    }

    /// The messages of a call, if there are any.
    pub fn ladder(&self, id: CallId) -> Option<Ladder> {
        let call = self.calls.get(&id)?;
        let mut all = Vec::with_capacity(call.messages);
        for (place, leg) in call.legs.iter().enumerate() {
            let side = if place == 0 { Side::A } else { Side::B };
            let messages = self.dialogs.get(leg).into_iter().flat_map(|dialog| &dialog.messages);
            all.extend(messages.map(|(number, seen)| (*number, Message { side, seen: seen.clone() })));
        }
        if all.is_empty() {
            return None;
        }
        all.sort_unstable_by_key(|(number, _)| *number);
        Some(Ladder { messages: all.into_iter().map(|(_, message)| message).collect(), left_out: call.left_out })
    }

    /// Forgets a call.
    pub fn forget(&mut self, call: CallId) {
        let Some(call) = self.calls.remove(&call) else { return };
        for leg in call.legs {
            self.forget_dialog(&leg);
        }
    }

    fn forget_dialog(&mut self, id: &Arc<str>) {
        if let Some(dialog) = self.dialogs.remove(id) {
            self.bytes -= dialog.messages.iter().map(|(_, seen)| seen.text.len()).sum::<usize>();
        }
    }

    fn make_room(&mut self) {
        while self.strangers.len() > MOST_STRANGERS || self.bytes > MOST_IN_ALL {
            let Some(oldest) = self.strangers.pop_front() else { break };
            if self.dialogs.get(&oldest).is_some_and(|dialog| dialog.call.is_none()) {
                self.forget_dialog(&oldest);
            }
        }
        while self.calls.len() > MOST_CALLS || self.bytes > MOST_IN_ALL {
            let Some((&oldest, _)) = self.calls.first_key_value() else { break };
            self.forget(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;
    use crate::sip::tap::Way;
    use crate::types::{Clock, Random, Timestamp};

    fn seen(sip_call_id: &str, text: &str) -> Arc<Seen> {
        Arc::new(Seen {
            at: Timestamp::from_micros(0),
            way: Way::Received,
            transport: Transport::Udp,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: "192.0.2.7:5060".parse().unwrap(),
            sip_call_id: sip_call_id.to_owned(),
            text: text.to_owned(),
        })
    }

    fn call() -> CallId {
        CallId::new(&Clock::manual(Timestamp::from_micros(0)), &Random::system())
    }

    fn texts(kept: &Kept, call: CallId) -> Vec<(Side, String)> {
        let ladder = kept.ladder(call).map(|ladder| ladder.messages).unwrap_or_default();
        ladder.into_iter().map(|message| (message.side, message.seen.text.clone())).collect()
    }

    #[test]
    fn both_legs_are_told_in_the_order_they_were_seen() {
        let (mut kept, id, other) = (Kept::new(true), call(), call());
        assert_eq!(kept.add(&seen("a", "1")), None, "nobody knows yet whose it is");
        kept.belongs(id, "a");
        kept.belongs(other, "x");
        kept.belongs(id, "b");
        let first: Arc<str> = "a".into();
        assert_eq!(kept.add(&seen("b", "2")), Some((id, first.clone())));
        assert_eq!(kept.add(&seen("a", "3")), Some((id, first)));
        kept.add(&seen("x", "4"));
        assert_eq!(texts(&kept, id), [(Side::A, "1".to_owned()), (Side::B, "2".to_owned()), (Side::A, "3".to_owned())]);
        kept.forget(id);
        assert_eq!((texts(&kept, id).len(), texts(&kept, other).len(), kept.bytes), (0, 1, 1));
    }

    #[test]
    fn a_call_that_has_ended_leaves_after_its_last_words() {
        let (mut kept, id) = (Kept::new(true), call());
        let at = |secs: u64| Moment::from_nanos(secs * 1_000_000_000);
        kept.belongs(id, "a");
        assert!(kept.leaving(at(100), 10, true).is_empty(), "it is up");
        kept.ended(id, at(100));
        assert!(kept.leaving(at(104), 10, false).is_empty());
        assert_eq!(kept.leaving(at(105), 10, false), [id]);
        assert!(kept.leaving(at(106), 10, false).is_empty(), "it is on its way");
        kept.stays(id);
        assert_eq!(kept.leaving(at(106), 10, true), [id]);
    }

    #[test]
    fn one_call_and_all_of_them_have_bounds() {
        let (mut kept, id) = (Kept::new(true), call());
        kept.belongs(id, "a");
        for _ in 0..MOST_MESSAGES + 2 {
            kept.add(&seen("a", "x"));
        }
        let ladder = kept.ladder(id).unwrap();
        assert_eq!((ladder.messages.len(), ladder.left_out), (MOST_MESSAGES, 2));
        for number in 0..MOST_STRANGERS + 10 {
            kept.add(&seen(&format!("s{number}"), "x"));
        }
        assert_eq!((kept.strangers.len(), kept.dialogs.len()), (MOST_STRANGERS, MOST_STRANGERS + 1));
        assert!(kept.ladder(id).is_some(), "strangers push out no call");
        for leg in 0..2 * MOST_LEGS {
            kept.belongs(id, &format!("leg{leg}"));
        }
        assert_eq!(kept.calls[&id].legs.len(), MOST_LEGS);
        let long = "x".repeat(MOST_BYTES);
        for _ in 0..MOST_IN_ALL / MOST_BYTES + 3 {
            let one = call();
            kept.belongs(one, &one.to_string());
            kept.add(&seen(&one.to_string(), &long));
        }
        assert!(kept.bytes <= MOST_IN_ALL && kept.calls.len() <= MOST_IN_ALL / MOST_BYTES + 1, "{} {}", kept.bytes, kept.calls.len());
    }

    #[test]
    fn without_texts_it_is_known_what_belongs_together_and_no_more() {
        let (mut kept, id) = (Kept::new(false), call());
        assert_eq!(kept.add(&seen("s", "1")), None);
        kept.belongs(id, "a");
        kept.belongs(id, "b");
        assert!(kept.add(&seen("b", "2")).is_some_and(|(call, first)| call == id && &*first == "a"));
        assert_eq!((kept.ladder(id), kept.bytes, kept.dialogs.len()), (None, 0, 2));
    }
}
