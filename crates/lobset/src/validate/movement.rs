//! Recomputes movements from the mid prices of consecutive rows.

use std::collections::VecDeque;
use std::ops::Range;

use super::definition::{Lengths, movement, with_whole_windows, within_sessions};
use super::violations::MOST_VIOLATIONS;
use crate::output::SymbolEntry;

/// Maximum span of both windows, in rows, for which movements are recomputed: 16 bytes a row are kept in memory.
pub(super) const MOST_ROWS: u64 = 1 << 24;

/// Whether windows of these lengths are short enough to recompute their movements.
pub(super) fn fits_memory(lengths: Lengths) -> bool {
    lengths.lookback + lengths.reach() <= MOST_ROWS
}

/// Two windows that slide over an unbroken run of rows. Keeps one sum for each row that they span.
pub(super) struct Slide {
    lengths: Lengths,
    /// The first row of the run, and the next row.
    start: u64,
    next: u64,
    /// Prefix sums of mid2 over the run: entry i is the sum over the rows before row `first` + i, up to row `next`.
    sums: VecDeque<i128>,
    first: u64,
}

impl Slide {
    pub(super) fn new(lengths: Lengths) -> Self {
        Self { lengths, start: 0, next: 0, sums: VecDeque::from([0]), first: 0 }
    }

    /// Begins a new run with this row.
    pub(super) fn restart(&mut self, row: u64) {
        self.sums.clear();
        self.sums.push_back(0);
        (self.start, self.next, self.first) = (row, row, row);
    }

    /// Takes the next row. Returns the row whose future window ends with it, and that row's movement, if the run
    /// contains the whole past window too.
    pub(super) fn push(&mut self, mid2: i64) -> Option<(u64, Option<f64>)> {
        let last = self.sums.back().copied().unwrap_or(0);
        self.sums.push_back(last + i128::from(mid2));
        self.next += 1;
        let Lengths { lookback, offset, ahead } = self.lengths;
        let row = self.next.checked_sub(1 + offset + ahead).filter(|row| *row >= self.start + lookback)?;
        let before = |row: u64| self.sums.get((row - self.first) as usize).copied().unwrap_or(0);
        let behind = before(row) - before(row - lookback);
        let ahead = before(self.next) - before(row + 1 + offset);
        while self.first <= row - lookback {
            self.sums.pop_front();
            self.first += 1;
        }
        Some((row, movement(self.lengths, behind, ahead)))
    }
}

/// Recomputes the movements of a dataset from its own mid prices, for all rows whose windows are within an unbroken run
/// of its rows.
pub(super) struct Recompute {
    slide: Slide,
    /// The rows that can have a label.
    labelled: Vec<Range<u64>>,
    /// Movements of rows whose future window is incomplete, oldest first.
    stored: VecDeque<f64>,
    /// Number of rows whose movement was recomputed.
    pub checked: u64,
    pub violations: Vec<String>,
}

impl Recompute {
    /// Creates the state for a symbol's dataset.
    pub(super) fn new(lengths: Lengths, symbol: &SymbolEntry) -> Self {
        Self {
            slide: Slide::new(lengths),
            labelled: with_whole_windows(lengths, symbol.rows, &symbol.breaks)
                .flat_map(|rows| within_sessions(rows, symbol.in_session.as_deref()))
                .collect(),
            stored: VecDeque::new(),
            checked: 0,
            violations: Vec::new(),
        }
    }

    fn violation(&mut self, text: impl FnOnce() -> String) {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations.push(text());
        }
    }

    /// Takes the next rows of the dataset: their numbers, which increase, their mid2 and their movements.
    pub(super) fn take(&mut self, rows: &[u64], mids: &[i64], movements: &[f64]) {
        let reach = self.slide.lengths.reach();
        for ((row, mid2), stored) in rows.iter().zip(mids).zip(movements) {
            if *row != self.slide.next || self.slide.next == self.slide.start {
                self.end_run();
                self.slide.restart(*row);
                self.stored.clear();
            }
            self.stored.push_back(*stored);
            let computed = self.slide.push(*mid2);
            if row - self.slide.start < reach {
                continue;
            }
            let stored = self.stored.pop_front().unwrap_or(f64::NAN);
            let Some((row, want)) = computed else { continue };
            self.checked += 1;
            if want.map(f64::to_bits) != Some(stored.to_bits()) {
                let want = want.map_or_else(|| "undefined".to_owned(), |want| format!("{want:e}"));
                self.violation(|| format!("row {row}: price_movement is {stored:e}, but by its windows it is {want}"));
            }
        }
    }

    /// Ends the run; checks that each of its rows can have a label.
    fn end_run(&mut self) {
        let (start, end) = (self.slide.start, self.slide.next);
        let first = self.labelled.partition_point(|rows| rows.end <= start);
        let shared = self.labelled[first..].iter().take_while(|rows| rows.start < end);
        let labelled: u64 = shared.map(|rows| rows.end.min(end) - rows.start.max(start)).sum();
        if labelled != end - start {
            self.violation(|| {
                format!(
                    "rows {start} to {}: {} of them cannot have a label, by the breaks and sessions in the manifest",
                    end - 1,
                    end - start - labelled
                )
            });
        }
    }

    /// Ends the last run.
    pub(super) fn finish(&mut self) {
        self.end_run();
        self.slide.restart(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_run_is_computed_as_by_the_definition(
            mids in prop::collection::vec(-3i64..40, 0..60), first in 0u64..5,
            lookback in 1u64..6, offset in 0u64..4, ahead in 1u64..6,
        ) {
            let lengths = Lengths { lookback, offset, ahead };
            let mut slide = Slide::new(lengths);
            slide.restart(first);
            let got: Vec<_> = mids.iter().filter_map(|mid2| slide.push(*mid2)).collect();
            let (l, o, f) = (lookback as usize, offset as usize, ahead as usize);
            let want: Vec<_> = (l..mids.len().saturating_sub(o + f)).map(|t| {
                let behind: i64 = mids[t - l..t].iter().sum();
                let ahead: i64 = mids[t + 1 + o..t + 1 + o + f].iter().sum();
                let below = behind * f as i64;
                let movement = (behind > 0).then(|| (ahead * l as i64 - below) as f64 / below as f64);
                (first + t as u64, movement)
            }).collect();
            prop_assert_eq!(got, want);
            prop_assert!(slide.sums.len() as u64 <= lookback + lengths.reach() + 1);
        }
    }
}
