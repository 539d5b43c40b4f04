//! Lists of violations, none of them longer than anybody reads.

use crate::printable::grouped;

/// After this many violations a dataset is not searched for more.
pub(super) const MOST_VIOLATIONS: usize = 20;

/// The first violations that were found, and how many more there are.
#[derive(Default)]
pub(super) struct Violations {
    kept: Vec<String>,
    more: u64,
}

impl Violations {
    pub(super) fn add(&mut self, violation: impl FnOnce() -> String) {
        if self.kept.len() < MOST_VIOLATIONS {
            self.kept.push(violation());
        } else {
            self.more += 1;
        }
    }

    /// One line each, and one that counts those that were not kept.
    pub(super) fn lines(self) -> Vec<String> {
        let more = (self.more > 0).then(|| format!("and {} more", grouped(self.more)));
        self.kept.into_iter().chain(more).collect()
    }
}
