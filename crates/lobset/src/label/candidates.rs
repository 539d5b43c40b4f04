//! The rows that can have a label: those whose windows are entirely within their unbroken stretch.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The rows of one symbol with complete windows, numbered from 0 across all unbroken stretches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidates {
    /// For each stretch with candidates: the number of its first candidate, and that candidate's row.
    pieces: Vec<(u64, u64)>,
    count: u64,
}

impl Candidates {
    /// The candidates in these ranges of rows, which must ascend and must not overlap. Empty ranges are allowed.
    pub fn new(ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut candidates = Self::default();
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            candidates.pieces.push((candidates.count, range.start));
            candidates.count += range.end - range.start;
        }
        candidates
    }

    /// The rows that are candidates in any of `all`.
    pub fn union<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut ranges: Vec<Range<u64>> = all.into_iter().flat_map(|one| one.rows(0..one.count)).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                // Ranges of different stretches never overlap, so they are not merged.
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        Self::new(merged)
    }

    /// The candidates within sorted, disjoint ranges of rows, renumbered from 0.
    #[must_use]
    pub fn within(&self, ranges: &[Range<u64>]) -> Self {
        let mut kept = Self::default();
        let mut ranges = ranges.iter().peekable();
        for piece in self.rows(0..self.count) {
            while let Some(range) = ranges.peek() {
                let (first, after) = (piece.start.max(range.start), piece.end.min(range.end));
                if first < after {
                    kept.pieces.push((kept.count, first));
                    kept.count += after - first;
                }
                // A range may continue in the next piece.
                if range.end > piece.end {
                    break;
                }
                ranges.next();
            }
        }
        kept
    }

    /// Number of candidates.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Number of candidates before `row`.
    pub fn before(&self, row: u64) -> u64 {
        let piece = self.pieces.partition_point(|(_, first)| *first <= row);
        let Some((number, first)) = piece.checked_sub(1).map(|p| self.pieces[p]) else {
            // The first number of a part may be above 0.
            return self.pieces.first().map_or(0, |(number, _)| *number);
        };
        let end = self.pieces.get(piece).map_or(self.count, |(number, _)| *number);
        (number + (row - first)).min(end)
    }

    /// The rows from the first to the last candidate of a non-empty range.
    pub fn span(&self, range: Range<u64>) -> Range<u64> {
        let mut rows = self.rows(range);
        let first = rows.next().unwrap_or(0..0);
        first.start..rows.last().map_or(first.end, |last| last.end)
    }

    /// The part that covers a range of candidates, which keep their numbers.
    #[must_use]
    pub fn part(&self, range: Range<u64>) -> Self {
        let first = self.pieces.partition_point(|(number, _)| *number <= range.start).saturating_sub(1);
        let after = self.pieces.partition_point(|(number, _)| *number < range.end).max(first);
        let count = self.pieces.get(after).map_or(self.count, |(number, _)| *number);
        Self { pieces: self.pieces[first..after].to_vec(), count }
    }

    /// The rows of a range of candidates, as contiguous ranges of rows.
    pub fn rows(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.pieces.partition_point(|(number, _)| *number <= range.start).saturating_sub(1);
        let ends = self.pieces.iter().skip(first + 1).map(|(number, _)| *number).chain([self.count]);
        self.pieces[first.min(self.pieces.len())..].iter().zip(ends).map_while(move |(&(number, row), end)| {
            let (from, to) = (range.start.max(number), range.end.min(end));
            (from < to).then(|| row + (from - number)..row + (to - number))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidates() -> impl Strategy<Value = (Candidates, Vec<u64>)> {
        prop::collection::vec((0..6u64, 0..9u64), 0..6).prop_map(|gaps| {
            let mut at = 0;
            let ranges: Vec<Range<u64>> = gaps
                .into_iter()
                .map(|(gap, length)| {
                    let start = at + gap;
                    at = start + length;
                    start..at
                })
                .collect();
            (Candidates::new(ranges.clone()), ranges.into_iter().flatten().collect())
        })
    }

    proptest! {
        #[test]
        fn candidates_are_numbered_through_their_ranges(
            (candidates, want) in candidates(), cut in any::<(u64, u64)>(),
            within in prop::collection::btree_set(0u64..90, 0..9),
        ) {
            let within: Vec<u64> = within.into_iter().collect();
            prop_assert_eq!(candidates.count(), want.len() as u64);
            for row in 0..=want.last().map_or(0, |last| last + 2) {
                prop_assert_eq!(candidates.before(row), want.iter().filter(|t| **t < row).count() as u64);
            }
            let some: Vec<Range<u64>> = within.windows(2).step_by(2).map(|pair| pair[0]..pair[1]).collect();
            let kept = candidates.within(&some);
            let inside: Vec<u64> = want.iter().copied().filter(|t| some.iter().any(|range| range.contains(t))).collect();
            prop_assert_eq!(kept.count(), inside.len() as u64);
            prop_assert_eq!(kept.rows(0..kept.count()).flatten().collect::<Vec<_>>(), inside);
            let (a, b) = (cut.0 % (candidates.count() + 1), cut.1 % (candidates.count() + 1));
            let (from, to) = (a.min(b), a.max(b));
            let got: Vec<u64> = candidates.rows(from..to).flatten().collect();
            prop_assert_eq!(&got, &want[from as usize..to as usize]);
            if let [first, .., last] = got[..] {
                prop_assert_eq!(candidates.span(from..to), first..last + 1);
            }
            let part: Vec<u64> = candidates.part(from..to).rows(from..to).flatten().collect();
            prop_assert_eq!(got, part);
        }

        #[test]
        fn a_union_has_every_row_once(all in prop::collection::vec(candidates(), 1..4)) {
            let union = Candidates::union(all.iter().map(|(candidates, _)| candidates));
            let want: std::collections::BTreeSet<u64> = all.iter().flat_map(|(_, rows)| rows).copied().collect();
            let got: Vec<u64> = union.rows(0..union.count()).flatten().collect();
            prop_assert_eq!(got, want.into_iter().collect::<Vec<_>>());
        }
    }
}
