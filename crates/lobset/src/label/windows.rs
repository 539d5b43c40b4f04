//! The rows that can have a label: those whose windows are entirely within their unbroken stretch.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::config::{Config, LabelSettings};

/// The shape of a label's two windows, in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// L: rows of the past window, which ends before the row.
    pub lookback: u64,
    /// O: rows skipped after the row.
    pub offset: u64,
    /// F: rows of the future window.
    pub ahead: u64,
}

impl Windows {
    /// The windows of the settings.
    pub fn new(config: &Config) -> Self {
        let LabelSettings { lookback_rows: lookback, lookforward_offset: offset, lookforward_input: ahead, .. } =
            LabelSettings::new(config);
        Self { lookback, offset, ahead }
    }

    /// O + F: distance in rows from the row to the last row of its future window.
    pub fn reach(&self) -> u64 {
        self.offset + self.ahead
    }
}

/// The rows of one symbol with complete windows, numbered from 0 across all unbroken stretches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidates {
    /// For each stretch with candidates: the number of its first candidate, and the row.
    pieces: Vec<(u64, u64)>,
    count: u64,
}

impl Candidates {
    /// The candidates of a symbol with `rows` rows, of which each in `breaks` (ascending) starts a new stretch.
    pub fn new(windows: Windows, rows: u64, breaks: &[u64]) -> Self {
        let mut candidates = Self::default();
        let mut start = 0;
        for end in breaks.iter().copied().chain([rows]) {
            let first = start + windows.lookback;
            let after = end.saturating_sub(windows.reach());
            if first < after {
                candidates.pieces.push((candidates.count, first));
                candidates.count += after - first;
            }
            start = end;
        }
        candidates
    }

    /// Those of the candidates that lie within ranges of rows, which ascend and lie apart; their numbers start anew.
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
                // A range may go on in the next piece.
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
        let Some((number, first)) = piece.checked_sub(1).map(|p| self.pieces[p]) else { return 0 };
        let end = self.pieces.get(piece).map_or(self.count, |(number, _)| *number);
        (number + (row - first)).min(end)
    }

    /// The rows from the first to the last of a range of candidates that is not empty.
    pub fn span(&self, range: Range<u64>) -> Range<u64> {
        let mut rows = self.rows(range);
        let first = rows.next().unwrap_or(0..0);
        first.start..rows.last().map_or(first.end, |last| last.end)
    }

    /// The part of the candidates needed for a range of them; candidates keep their numbers.
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

    proptest! {
        #[test]
        fn candidates_are_the_rows_with_whole_windows(
            lookback in 1u64..6, offset in 0u64..4, ahead in 1u64..6, rows in 0u64..80,
            mut breaks in prop::collection::btree_set(1u64..80, 0..5), cut in any::<(u64, u64)>(),
            within in prop::collection::btree_set(0u64..90, 0..9),
        ) {
            let within: Vec<u64> = within.into_iter().collect();
            breaks.retain(|b| *b < rows);
            let breaks: Vec<u64> = breaks.into_iter().collect();
            let windows = Windows { lookback, offset, ahead };
            let whole = |t: &u64| {
                let (first, last) = (t.checked_sub(lookback), t + offset + ahead);
                first.is_some_and(|first| last < rows && !breaks.iter().any(|b| first < *b && *b <= last))
            };
            let want: Vec<u64> = (0..rows).filter(whole).collect();
            let candidates = Candidates::new(windows, rows, &breaks);
            prop_assert_eq!(candidates.count(), want.len() as u64);
            for row in 0..=rows {
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
    }
}
