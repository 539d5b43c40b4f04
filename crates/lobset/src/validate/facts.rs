//! What is read of a row group, and what it holds.

use super::violations::MOST_VIOLATIONS;
use crate::label::Split;

/// How much is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What a run proves of the files that it has just written: that they say what was computed.
    Written,
    /// Everything that the files allow: quotes and movements too.
    Whole,
}

/// What a row group holds, for the checks that need them all.
#[derive(Default)]
pub(super) struct GroupFacts {
    pub rows: u64,
    pub first_row: Option<u64>,
    pub last_row: Option<u64>,
    /// Rows at or after the boundary row whose own `ts_recv` lies before T.
    pub late: u64,
    pub row_numbers: Vec<u64>,
    pub ts_recv: Vec<u64>,
    pub classes: Vec<u8>,
    pub splits: Vec<Split>,
    pub balanced: Vec<bool>,
    /// Movements of the fit rows in the files fitted on.
    pub fit_movements: Vec<f64>,
    /// Sums of best bid and best ask in 1e-9, and movements, where the quotes are read.
    pub mids: Vec<i64>,
    pub movements: Vec<f64>,
    pub violations: Vec<String>,
}

impl GroupFacts {
    pub(super) fn violation(&mut self, row: u64, reason: impl FnOnce() -> String) {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations.push(format!("row {row}: {}", reason()));
        }
    }
}
