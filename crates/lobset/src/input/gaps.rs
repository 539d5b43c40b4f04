//! The longest pauses of a stream.

use serde::{Deserialize, Serialize};

use crate::time_text::Timestamp;

/// Number of gaps kept per stream.
const MOST_GAPS: usize = 3;

/// A pause between two rows of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The running maximum of `ts_recv` before it.
    pub from: Timestamp,
    /// `ts_recv` of the row that ends it.
    pub to: Timestamp,
}

impl Gap {
    /// The length of the gap in nanoseconds.
    pub fn length(&self) -> u64 {
        self.to.0.saturating_sub(self.from.0)
    }
}

/// The three longest gaps of a stream, longest first; of equal gaps, the earlier comes first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gaps {
    longest: Vec<Gap>,
    /// Only gaps longer than this, in nanoseconds, can still enter the list.
    #[serde(skip)]
    floor: u64,
}

impl Gaps {
    /// Takes the pause between two times into account.
    #[inline]
    pub fn note(&mut self, from: u64, to: u64) {
        if to.saturating_sub(from) > self.floor {
            self.insert(Gap { from: Timestamp(from), to: Timestamp(to) });
        }
    }

    #[cold]
    fn insert(&mut self, gap: Gap) {
        let place = self.longest.partition_point(|known| known.length() >= gap.length());
        self.longest.insert(place, gap);
        self.longest.truncate(MOST_GAPS);
        if let [.., last] = &self.longest[..]
            && self.longest.len() == MOST_GAPS
        {
            self.floor = last.length();
        }
    }

    /// Adds the gaps of a later part of the stream. `reached` is the running maximum of `ts_recv` before that part.
    pub fn extend(&mut self, later: &Self, reached: u64) {
        later.longest.iter().for_each(|gap| self.note(gap.from.0.max(reached), gap.to.0));
    }

    /// Keeps the gaps for which `wanted` is true.
    pub fn retain(&mut self, wanted: impl Fn(&Gap) -> bool) {
        self.longest.retain(wanted);
    }

    /// The gaps, longest first.
    pub fn longest(&self) -> &[Gap] {
        &self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(pairs: &[(u64, u64)]) -> Gaps {
        let mut gaps = Gaps::default();
        pairs.iter().for_each(|(from, to)| gaps.note(*from, *to));
        gaps
    }

    fn lengths(gaps: &Gaps) -> Vec<u64> {
        gaps.longest().iter().map(Gap::length).collect()
    }

    #[test]
    fn the_longest_are_kept_in_order() {
        let gaps = noted(&[(0, 5), (5, 6), (6, 6), (6, 20), (20, 27), (27, 29), (29, 34), (40, 30)]);
        assert_eq!(lengths(&gaps), [14, 7, 5]);
        assert_eq!(gaps.longest()[2].from, Timestamp(0));
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let mut first = noted(&[(0, 5), (5, 6)]);
        let second = noted(&[(3, 9), (9, 10)]);
        // The running maximum was 6 when the second part began.
        first.extend(&second, 6);
        assert_eq!(first, noted(&[(0, 5), (5, 6), (6, 9), (9, 10)]));
        assert_eq!(lengths(&first), [5, 3, 1]);
    }
}
