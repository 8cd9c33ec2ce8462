//! Each step of the story is compared with what was told before.

use std::fmt::Display;

/// Counts the steps that were not as told, and prints all of them.
#[derive(Debug, Default)]
pub(super) struct Checks {
    right: usize,
    wrong: usize,
}

impl Checks {
    /// `got` must be written as `wanted` is.
    pub(super) fn same(&mut self, what: &str, wanted: impl Display, got: impl Display) {
        let (wanted, got) = (wanted.to_string(), got.to_string());
        if wanted == got {
            self.right += 1;
            println!("  [ok] {what}: {got}");
        } else {
            self.wrong += 1;
            println!("  [NOT AS TOLD] {what}: {got}, where {wanted} was told");
        }
    }

    /// `holds` must be true.
    pub(super) fn that(&mut self, what: &str, holds: bool) {
        self.same(what, "yes", if holds { "yes" } else { "no" });
    }

    pub(super) const fn wrong(&self) -> usize {
        self.wrong
    }

    pub(super) const fn all(&self) -> usize {
        self.right + self.wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_counted() {
        let mut checks = Checks::default();
        checks.same("one", 1, "1");
        checks.same("two", 2, 3);
        checks.that("three", false);
        assert_eq!((checks.wrong(), checks.all()), (2, 3));
    }
}
