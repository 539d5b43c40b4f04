//! Plan: turns movements into classes and row groups, without reading any row.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::counts::{BlockCounts, ClassCounts, Labelled};
use crate::label::{Candidates, Quota, Split};
use crate::output::{Ladder, ROW_GROUP_ROWS};
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

    /// The quota of a split; there is none for rows under embargo.
    #[inline]
    pub fn of(&self, split: Split) -> Option<&Quota> {
        match split {
            Split::Fit => Some(&self.fit),
            Split::Embargo => None,
            Split::Holdout => Some(&self.holdout),
        }
    }
}

/// A symbol whose rows are to be classified.
#[derive(Debug, Clone)]
pub struct Classify<'a> {
    /// Its place among the streams.
    pub stream: usize,
    /// The rows that can have a label of any of its targets.
    pub candidates: Candidates,
    /// The targets that it qualifies for: the place of each among all targets, and what classifies it.
    pub targets: Vec<(usize, Labelled<'a>)>,
}

/// A row group to write: consecutive candidates, and the class counts before them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RowGroup {
    /// The candidates.
    pub candidates: Range<u64>,
    /// Class counts of the candidates before, by target.
    pub before: Vec<ClassCounts>,
    /// Number of rows that will be written.
    pub rows: u64,
}

impl RowGroup {
    /// Number of candidates. Some of them may not be written.
    pub fn count(&self) -> u64 {
        self.candidates.end - self.candidates.start
    }
}

/// The plan of a target of a symbol.
#[derive(Debug, Clone)]
pub struct TargetPlan {
    /// Its place among the targets.
    pub target: usize,
    /// Counts of all labelled rows, by split and class.
    pub counts: ClassCounts,
    /// The quotas of marked rows.
    pub quotas: Quotas,
    /// Number of rows, by split, whose class is that of their known part.
    pub known: [u64; 3],
}

/// The plan of one symbol's dataset.
#[derive(Debug, Clone)]
pub struct SymbolPlan {
    /// Its place among the streams.
    pub symbol: usize,
    /// The rows that can have a label of any of its targets.
    pub candidates: Candidates,
    /// The targets that the symbol qualifies for; the others have no label in any row.
    pub targets: Vec<TargetPlan>,
    /// The targets that the symbol qualifies for. No row has a label of the others.
    pub groups: Vec<RowGroup>,
    /// The price ladder of its depth tensors.
    pub ladder: Ladder,
}

impl SymbolPlan {
    /// Number of rows that will be written.
    pub fn rows(&self) -> u64 {
        self.groups.iter().map(|g| g.rows).sum()
    }

    /// The plan of a target, if the symbol qualifies for it.
    pub fn target(&self, target: usize) -> Option<&TargetPlan> {
        self.targets.iter().find(|plan| plan.target == target)
    }
}

/// Lays out the row groups of a symbol, given the counts of its blocks.
pub fn plan_symbol(symbol: &Classify<'_>, blocks: &[BlockCounts], ladder: Ladder, drop_unbalanced: bool) -> SymbolPlan {
    let zero = || symbol.targets.iter().map(|(_, target)| ClassCounts::new(target.classes)).collect::<Vec<_>>();
    let add = |sums: &mut Vec<ClassCounts>, block: &BlockCounts| {
        sums.iter_mut().zip(&block.targets).for_each(|(sum, counts)| sum.add(counts));
    };
    let mut counts = zero();
    blocks.iter().for_each(|block| add(&mut counts, block));
    let target = |(number, ((target, _), counts)): (usize, (&(usize, Labelled<'_>), ClassCounts))| TargetPlan {
        target: *target,
        quotas: Quotas::new(&counts),
        counts,
        known: [0, 1, 2].map(|split| blocks.iter().map(|block| block.known[number][split]).sum()),
    };
    let targets: Vec<TargetPlan> = symbol.targets.iter().zip(counts).enumerate().map(target).collect();
    // Number of rows written for a block, given the counts before it. Rows are dropped only if there is a single
    // target.
    let written = |before: &[ClassCounts], block: &BlockCounts| -> u64 {
        let ([target], [before], [counts], true) = (&targets[..], before, &block.targets[..], drop_unbalanced) else {
            return block.rows;
        };
        let marked = |split: Split, quota: &Quota| -> u64 {
            let classes = before.of(split).iter().zip(counts.of(split)).enumerate();
            classes.map(|(class, (b, n))| quota.marked_among(class, b + n) - quota.marked_among(class, *b)).sum()
        };
        marked(Split::Fit, &target.quotas.fit) + marked(Split::Holdout, &target.quotas.holdout)
    };
    let count = symbol.candidates.count();
    let mut groups = Vec::new();
    let mut seen = zero();
    let mut group = RowGroup { candidates: 0..0, before: seen.clone(), rows: 0 };
    for (number, block) in blocks.iter().enumerate() {
        let from = number as u64 * MOVEMENT_BLOCK;
        let rows = written(&seen, block);
        if group.rows > 0 && group.rows + rows > ROW_GROUP_ROWS {
            let full = RowGroup { candidates: from..from, before: seen.clone(), rows: 0 };
            groups.push(std::mem::replace(&mut group, full));
        }
        add(&mut seen, block);
        group.rows += rows;
        group.candidates.end = (from + MOVEMENT_BLOCK).min(count);
    }
    if group.rows > 0 {
        groups.push(group);
    }
    SymbolPlan { symbol: symbol.stream, candidates: symbol.candidates.clone(), targets, groups, ladder }
}
