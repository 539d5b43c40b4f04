//! Recomputes movements of the kind `means` from the mid prices of consecutive rows of a dataset.

use std::collections::VecDeque;
use std::ops::Range;

use super::definition::within_sessions;
use super::kinds::{Lengths, Slide, mid_windows, with_whole_windows};
use super::known::KnownParts;
use super::violations::MOST_VIOLATIONS;
use crate::config::Target;
use crate::output::{SymbolEntry, TargetEntry, names};

/// Maximum span of both windows, in rows, for which movements are recomputed: each row takes 16 bytes of memory.
pub(super) const MOST_ROWS: u64 = 1 << 24;

/// The windows of a target whose movements can be recomputed from only the rows of a dataset, in memory.
pub(super) fn recomputed(target: &Target) -> Option<Lengths> {
    mid_windows(&target.movement).filter(|lengths| lengths.span() <= MOST_ROWS)
}

/// Recomputes the movements of a target from the dataset's own mid prices, for all rows whose windows are within an
/// unbroken run of its rows.
pub(super) struct Recompute {
    /// The column of the movements.
    column: String,
    slide: Slide,
    /// The rows that can have a label, starting with the range that contains the next row.
    labelled: VecDeque<Range<u64>>,
    /// Movements of rows whose future window is incomplete, oldest first; NaN for rows without a label.
    stored: VecDeque<f64>,
    known: KnownParts,
    /// Number of rows whose movement was recomputed.
    checked: u64,
    violations: Vec<String>,
}

impl Recompute {
    /// Creates the state for a symbol's dataset; `None` if the movements of the target cannot be recomputed, or it has
    /// none.
    pub(super) fn new(target: &Target, symbol: &SymbolEntry, entry: &TargetEntry, boundaries: &[f64]) -> Option<Self> {
        let lengths = recomputed(target)?;
        Some(Self {
            column: target.column(names::PRICE_MOVEMENT),
            slide: Slide::new(lengths),
            labelled: with_whole_windows([lengths.before(), lengths.reach()], symbol.rows, &symbol.breaks)
                .flat_map(|rows| within_sessions(rows, symbol.in_session.as_deref()))
                .collect(),
            stored: VecDeque::new(),
            known: KnownParts::new(target, symbol, entry, boundaries)?,
            checked: 0,
            violations: Vec::new(),
        })
    }

    fn violation(&mut self, text: impl FnOnce() -> String) {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations.push(text());
        }
    }

    /// Takes the next rows of the dataset: their numbers, which increase, their mid2 and their movements, NaN where a
    /// row has none.
    pub(super) fn take(&mut self, rows: &[u64], mids: &[i64], movements: &[f64]) {
        let reach = self.slide.lengths.reach();
        for ((row, mid2), stored) in rows.iter().zip(mids).zip(movements) {
            if *row != self.slide.next || self.slide.next == self.slide.start {
                self.slide.start(*row);
                self.stored.clear();
            }
            while self.labelled.front().is_some_and(|rows| rows.end <= *row) {
                self.labelled.pop_front();
            }
            if !stored.is_nan() && self.labelled.front().is_none_or(|rows| *row < rows.start) {
                let column = self.column.clone();
                self.violation(|| {
                    format!("row {row}: cannot have a {column}, by the breaks and sessions in the manifest")
                });
            }
            self.stored.push_back(*stored);
            let computed = self.slide.take(*mid2);
            if row - self.slide.start < reach {
                continue;
            }
            let stored = self.stored.pop_front().filter(|stored| !stored.is_nan());
            let Some((row, want, known)) = computed else { continue };
            if let Some(movement) = stored {
                self.checked += 1;
                self.known.add(row, movement, known, false);
            }
            if want.map(f64::to_bits) != stored.map(f64::to_bits) {
                let text =
                    |value: Option<f64>| value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:e}"));
                let (column, stored, want) = (self.column.clone(), text(stored), text(want));
                self.violation(|| format!("row {row}: {column} is {stored}, but its windows give {want}"));
            }
        }
    }

    /// Ends the dataset; returns the number of rows whose movement was recomputed, and the violations.
    pub(super) fn finish(mut self) -> (u64, Vec<String>) {
        if self.violations.is_empty() {
            self.violations = self.known.violations();
        }
        (self.checked, self.violations)
    }
}
