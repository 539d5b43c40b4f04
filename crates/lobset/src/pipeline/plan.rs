//! Plan: turns movements into classes and row groups, without reading any row.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::counts::ClassCounts;
use crate::label::{Quota, Split};
use crate::output::ROW_GROUP_ROWS;
use crate::tape::MOVEMENT_BLOCK;

/// The quotas of marked rows of a symbol.
#[derive(Debug, Clone)]
pub struct Quotas {
    /// In `fit`.
    pub fit: Quota,
    /// In `holdout`.
    pub holdout: Quota,
}

impl Quotas {
    /// Computes the quotas from the counts of a symbol's labelled rows.
    pub fn new(counts: &ClassCounts) -> Self {
        let of = |split| Quota::new(counts.of(split).to_vec());
        Self { fit: of(Split::Fit), holdout: of(Split::Holdout) }
    }

    /// The quota of a split; rows under embargo have none.
    #[inline]
    pub fn of(&self, split: Split) -> Option<&Quota> {
        match split {
            Split::Fit => Some(&self.fit),
            Split::Embargo => None,
            Split::Holdout => Some(&self.holdout),
        }
    }
}

/// A row group to write: consecutive candidates, and the class counts before them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RowGroup {
    /// The candidates.
    pub candidates: Range<u64>,
    /// Class counts of the candidates before.
    pub before: ClassCounts,
    /// Number of rows that will be written.
    pub rows: u64,
}

impl RowGroup {
    /// Number of candidates, of which some may not be written.
    pub fn count(&self) -> u64 {
        self.candidates.end - self.candidates.start
    }
}

/// The plan of one symbol's dataset.
#[derive(Debug, Clone)]
pub struct SymbolPlan {
    /// Its place among the streams.
    pub symbol: usize,
    /// Counts of all labelled rows, by split and class.
    pub counts: ClassCounts,
    /// The quotas of marked rows.
    pub quotas: Quotas,
    /// Its row groups, in order.
    pub groups: Vec<RowGroup>,
}

impl SymbolPlan {
    /// Number of rows that will be written.
    pub fn rows(&self) -> u64 {
        self.groups.iter().map(|g| g.rows).sum()
    }
}

/// Lays out the row groups of a symbol, given the class counts of its blocks.
pub fn plan_symbol(
    symbol: usize,
    blocks: &[ClassCounts],
    candidates: u64,
    nbins: usize,
    drop_unbalanced: bool,
) -> SymbolPlan {
    let mut counts = ClassCounts::new(nbins);
    blocks.iter().for_each(|b| counts.add(b));
    let mut plan = SymbolPlan { symbol, quotas: Quotas::new(&counts), counts, groups: Vec::new() };
    // Number of written rows that a block adds, given the counts before it.
    let written = |plan: &SymbolPlan, before: &ClassCounts, block: &ClassCounts| -> u64 {
        if !drop_unbalanced {
            return block.total();
        }
        let marked = |split: Split, quota: &Quota| -> u64 {
            let classes = before.of(split).iter().zip(block.of(split)).enumerate();
            classes.map(|(class, (b, n))| quota.marked_among(class, b + n) - quota.marked_among(class, *b)).sum()
        };
        marked(Split::Fit, &plan.quotas.fit) + marked(Split::Holdout, &plan.quotas.holdout)
    };
    let mut seen = ClassCounts::new(nbins);
    let mut group = RowGroup { candidates: 0..0, before: seen.clone(), rows: 0 };
    for (number, block) in blocks.iter().enumerate() {
        let from = number as u64 * MOVEMENT_BLOCK;
        let rows = written(&plan, &seen, block);
        if group.rows > 0 && group.rows + rows > ROW_GROUP_ROWS {
            let full = RowGroup { candidates: from..from, before: seen.clone(), rows: 0 };
            plan.groups.push(std::mem::replace(&mut group, full));
        }
        seen.add(block);
        group.rows += rows;
        group.candidates.end = (from + MOVEMENT_BLOCK).min(candidates);
    }
    if group.rows > 0 {
        plan.groups.push(group);
    }
    plan
}
