//! The extent of a proof, and the facts read from a row group.

use arrow_buffer::BooleanBuffer;

use super::fit_counts::FitCounts;
use super::violations::MOST_VIOLATIONS;
use crate::cast::low8;
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
    /// The labels of the rows, in order.
    pub labels: Vec<LabelFacts>,
    /// Counts of the movements that the boundaries were fitted on; `None` if there are no boundaries.
    pub fit_counts: Option<FitCounts>,
    /// Movements, NaN where a row has none, if the quotes are read.
    pub movements: Vec<f64>,
}

/// The part of a label that the checks across row groups need, or that a row has none. There is one for every row of every
/// target, so it is packed: the class in the lowest eight bits, then the split in two, then the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LabelFacts(u16);

impl LabelFacts {
    const SPLIT: u32 = 8;
    const MARK: u32 = 10;

    /// The row has no label.
    pub(super) const NONE: Self = Self(0b11 << Self::SPLIT);

    #[inline]
    pub(super) fn new(class: u8, split: Split, balanced: bool) -> Self {
        Self(u16::from(class) | (split as u16) << Self::SPLIT | u16::from(balanced) << Self::MARK)
    }

    /// The class and the split; `None` without a label.
    #[inline]
    pub(super) fn class_and_split(self) -> Option<(u8, Split)> {
        let split = Split::ALL.get(usize::from(self.0 >> Self::SPLIT & 0b11))?;
        Some((low8(u64::from(self.0)), *split))
    }

    /// Whether it is a label in `fit`.
    #[inline]
    pub(super) fn is_fit(self) -> bool {
        self.class_and_split().is_some_and(|(_, split)| split == Split::Fit)
    }

    #[inline]
    pub(super) fn is_balanced(self) -> bool {
        self.0 >> Self::MARK & 1 == 1
    }

    /// Whether another label has the same class and split, or neither row has a label.
    #[inline]
    pub(super) fn counts_like(self, other: Self) -> bool {
        (self.0 ^ other.0) & !(1 << Self::MARK) == 0
    }

    /// Marks the labels of consecutive rows for which a bit is set.
    pub(super) fn mark(labels: &mut [Self], balanced: &BooleanBuffer) {
        for (labels, bits) in labels.chunks_mut(64).zip(balanced.bit_chunks().iter_padded()) {
            for (i, label) in labels.iter_mut().enumerate() {
                label.0 |= u16::from(low8(bits >> i & 1)) << Self::MARK;
            }
        }
    }
}

impl GroupFacts {
    pub(super) fn violation(&mut self, row: u64, reason: impl FnOnce() -> String) {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations.push(format!("row {row}: {}", reason()));
        }
    }
}
