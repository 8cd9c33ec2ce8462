//! The early dialogs of a call that is being set up: which of A's stands for which of B's (RFC 3261 §12.1, §13.2.1).
//!
//! A carrier may fork, and a trunk may fail after its early media: each far end that described itself gets a dialog of its own towards
//! A, because the descriptions of one dialog must not contradict each other. Far ends that only ring share one.

use crate::sip::{Body, EarlyDialogId};

/// Early dialogs towards A of one call; what more forks say before they answer is not passed on.
const MOST: u8 = 16;

/// One early dialog towards A and what it stands for.
struct Place {
    attempt: u32,
    early: EarlyDialogId,
    /// What B's side described: its 200 may leave it out.
    answer: Option<Body>,
}

/// The early dialogs towards A, in the order A has heard of them.
#[derive(Default)]
pub(super) struct Early {
    places: Vec<Place>,
    attempt: u32,
}

impl Early {
    /// Another trunk is dialled: what comes from now on is of other far ends.
    pub fn next_trunk(&mut self) {
        self.attempt += 1;
    }

    /// One of B's early dialogs says something: the one of A's to say it in. Nothing if there are too many.
    pub fn progressed(&mut self, early: EarlyDialogId, description: Option<&Body>) -> Option<EarlyDialogId> {
        let attempt = self.attempt;
        let place = match self.of(early).or_else(|| self.undescribed()) {
            Some(place) => place,
            None if self.places.len() < usize::from(MOST) => {
                self.places.push(Place { attempt, early, answer: None });
                self.places.len() - 1
            }
            None => return None,
        };
        let known = &mut self.places[place];
        (known.attempt, known.early) = (attempt, early);
        if let Some(body) = description {
            known.answer = Some(body.clone());
        }
        Some(number(place))
    }

    /// One of B's early dialogs is answered: the one of A's to be answered, and what was described in it.
    pub fn answered(&mut self, early: EarlyDialogId) -> (EarlyDialogId, Option<Body>) {
        // A fork that has not been heard of has a dialog of its own, unless A knows one that is nobody's.
        let place = self.of(early).or_else(|| self.undescribed()).unwrap_or(self.places.len());
        (number(place), self.places.get_mut(place).and_then(|known| known.answer.take()))
    }

    /// A's early dialog for this one of B's.
    pub fn of_a(&self, early: EarlyDialogId) -> Option<EarlyDialogId> {
        self.of(early).map(number)
    }

    /// B's early dialog for this one of A's, as long as its trunk is being tried.
    pub fn of_b(&self, early: EarlyDialogId) -> Option<EarlyDialogId> {
        let known =
            (0..MOST).find(|&place| EarlyDialogId::numbered(place) == early).and_then(|place| self.places.get(usize::from(place)))?;
        (known.attempt == self.attempt).then_some(known.early)
    }

    fn of(&self, early: EarlyDialogId) -> Option<usize> {
        self.places.iter().position(|known| known.attempt == self.attempt && known.early == early)
    }

    fn undescribed(&self) -> Option<usize> {
        self.places.iter().position(|known| known.answer.is_none())
    }
}

fn number(place: usize) -> EarlyDialogId {
    EarlyDialogId::numbered(u8::try_from(place).unwrap_or(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: EarlyDialogId = EarlyDialogId::numbered(0);
    const B: EarlyDialogId = EarlyDialogId::numbered(1);
    const C: EarlyDialogId = EarlyDialogId::numbered(2);

    #[expect(clippy::unnecessary_wraps, reason = "as a response has it: with or without a description")]
    fn described(text: &'static str) -> Option<Body> {
        Some(Body::sdp(text))
    }

    #[test]
    fn one_far_end_is_one_dialog() {
        let mut early = Early::default();
        assert_eq!(early.progressed(A, None), Some(A));
        assert_eq!(early.progressed(A, described("one").as_ref()), Some(A));
        assert_eq!(early.progressed(A, None), Some(A));
        assert_eq!((early.of_a(A), early.of_b(A), early.of_a(B), early.of_b(B)), (Some(A), Some(A), None, None));
        assert_eq!(early.answered(A), (A, described("one")));
    }

    #[test]
    fn far_ends_that_only_ring_share_a_dialog_over_all_trunks() {
        let mut early = Early::default();
        assert_eq!((early.progressed(A, None), early.progressed(B, None)), (Some(A), Some(A)));
        assert_eq!(early.of_b(A), Some(B), "the one heard last");
        early.next_trunk();
        assert_eq!(early.of_b(A), None, "its trunk has failed");
        assert_eq!(early.progressed(C, None), Some(A));
        assert_eq!(early.answered(A), (A, None));
    }

    #[test]
    fn far_ends_that_describe_themselves_are_kept_apart() {
        let mut early = Early::default();
        assert_eq!(early.progressed(A, None), Some(A));
        assert_eq!(early.progressed(B, described("two").as_ref()), Some(A));
        assert_eq!(early.progressed(A, None), Some(B), "the first dialog is another's now");
        assert_eq!(early.progressed(C, described("three").as_ref()), Some(B));
        assert_eq!(early.progressed(A, described("one").as_ref()), Some(C));
        assert_eq!((early.of_b(A), early.of_b(B), early.of_b(C)), (Some(B), Some(C), Some(A)));
        early.next_trunk();
        assert_eq!(early.progressed(A, described("four").as_ref()), Some(EarlyDialogId::numbered(3)), "another far end of the same name");
        assert_eq!(early.answered(A), (EarlyDialogId::numbered(3), described("four")));
    }

    #[test]
    fn a_fork_that_answers_unheard_has_a_dialog_of_its_own() {
        let mut early = Early::default();
        early.progressed(A, described("one").as_ref());
        assert_eq!(early.answered(B), (B, None));
        assert_eq!(Early::default().answered(B), (A, None));
    }

    #[test]
    fn there_are_only_so_many() {
        let mut early = Early::default();
        for place in 0..MOST {
            assert!(early.progressed(EarlyDialogId::numbered(place), described("media").as_ref()).is_some());
        }
        let more = EarlyDialogId::numbered(MOST);
        assert_eq!(early.progressed(more, described("media").as_ref()), None);
        assert_eq!(early.answered(more), (more, None), "but it may answer");
    }
}
