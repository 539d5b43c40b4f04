//! The extent of a proof, and the facts read from a row group.

use super::fit_counts::FitCounts;
use super::violations::MOST_VIOLATIONS;
use crate::label::Split;

/// The extent of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What a run proves about the files it has just written: that they contain the computed values.
    Written,
    /// Everything that can be proved from the files, including quotes and movements.
    Whole,
}

/// Facts read from a row group, for the checks that need all row groups.
#[derive(Default)]
pub(super) struct GroupFacts {
    pub rows: u64,
    pub first_row: Option<u64>,
    pub last_row: Option<u64>,
    /// Number of rows at or after the boundary row whose own `ts_recv` is before T.
    pub late: u64,
    pub row_numbers: Vec<u64>,
    pub ts_recv: Vec<u64>,
    /// Sums of best bid and best ask in 1e-9, if the quotes are read.
    pub mids: Vec<i64>,
    /// Best ask minus best bid in 1e-9, if the quotes are read.
    pub spreads: Vec<i128>,
    /// By target.
    pub targets: Vec<TargetFacts>,
    pub violations: Vec<String>,
}

/// Facts about the labels of one target.
#[derive(Default)]
pub(super) struct TargetFacts {
    /// The labels of the rows, in order; `None` for a row without a label.
    pub labels: Vec<Option<LabelFacts>>,
    /// Counts of the movements that the boundaries were fitted on; `None` if there are no boundaries.
    pub fit_counts: Option<FitCounts>,
    /// Movements, NaN where a row has none, if the quotes are read.
    pub movements: Vec<f64>,
}

/// The part of a label that the checks across row groups need.
#[derive(Clone, Copy)]
pub(super) struct LabelFacts {
    pub class: u8,
    pub split: Split,
    pub balanced: bool,
}

impl GroupFacts {
    pub(super) fn violation(&mut self, row: u64, reason: impl FnOnce() -> String) {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations.push(format!("row {row}: {}", reason()));
        }
    }
}
