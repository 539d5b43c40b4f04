//! Lists of violations, limited to a readable length.

use crate::printable::grouped;

/// Maximum number of violations listed for a dataset.
pub(super) const MOST_VIOLATIONS: usize = 20;

/// The first violations found, and the number of further ones.
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

    /// One line for each violation kept, and one that counts the rest.
    pub(super) fn lines(self) -> Vec<String> {
        let more = (self.more > 0).then(|| format!("and {} more", grouped(self.more)));
        self.kept.into_iter().chain(more).collect()
    }
}
