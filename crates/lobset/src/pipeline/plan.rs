//! Plan: movements to classes and row groups; no row is read for it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::engine::Engine;
use super::streams::Stream;
use crate::config::Config;
use crate::error::Result;
use crate::label::{Candidates, Fit, Quota, Split, Splits, Thresholds};
use crate::output::ROW_GROUP_ROWS;

/// Candidates of a block: the unit of counts, of which row groups are made up.
pub const BLOCK: u64 = 16_384;

/// A range of one symbol's candidates.
#[derive(Debug, Clone)]
pub struct Slice {
    pub symbol: usize,
    pub range: Range<u64>,
}

impl Slice {
    /// Its candidates.
    pub fn count(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Cuts ranges of candidates into slices of at most `most`, at multiples of it from each range's start.
pub fn slices(symbol: usize, range: Range<u64>, most: u64) -> impl Iterator<Item = Slice> {
    let end = range.end;
    range
        .step_by(usize::try_from(most).unwrap_or(usize::MAX))
        .map(move |from| Slice { symbol, range: from..(from + most).min(end) })
}

/// Labelled rows of each class, split by split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCounts {
    nbins: usize,
    counts: Vec<u64>,
}

impl ClassCounts {
    fn new(nbins: usize) -> Self {
        Self { nbins, counts: vec![0; 3 * nbins] }
    }

    /// The counts of a split, by class.
    pub fn of(&self, split: Split) -> &[u64] {
        &self.counts[split as usize * self.nbins..][..self.nbins]
    }

    /// Counts a row and returns the number that it has among those of its class and split, from 1.
    #[inline]
    pub fn count(&mut self, split: Split, class: usize) -> u64 {
        let count = &mut self.counts[split as usize * self.nbins + class];
        *count += 1;
        *count
    }

    fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
    }
}

/// The marks of a symbol.
#[derive(Debug, Clone)]
pub struct Quotas {
    /// In `fit`.
    pub fit: Quota,
    /// In `holdout`.
    pub holdout: Quota,
}

impl Quotas {
    /// Those that follow from a symbol's labelled rows.
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

/// A row group to write: consecutive candidates, and what has been counted before them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RowGroup {
    /// The candidates.
    pub candidates: Range<u64>,
    /// Rows of each class that come before.
    pub before: ClassCounts,
    /// Rows that will be written.
    pub rows: u64,
}

impl RowGroup {
    /// Its candidates, of which some may not be written.
    pub fn count(&self) -> u64 {
        self.candidates.end - self.candidates.start
    }
}

/// What will be written of one symbol.
#[derive(Debug, Clone)]
pub struct SymbolPlan {
    /// Its place among the streams.
    pub symbol: usize,
    /// All labelled rows by split and class.
    pub counts: ClassCounts,
    /// How many of them are marked.
    pub quotas: Quotas,
    /// Its row groups, in order.
    pub groups: Vec<RowGroup>,
}

impl SymbolPlan {
    /// Rows that will be written.
    pub fn rows(&self) -> u64 {
        self.groups.iter().map(|g| g.rows).sum()
    }
}

/// The counts of the blocks of a range of candidates, whose movements are `values`.
pub fn class_blocks(
    values: &[f64],
    candidates: &Candidates,
    range: Range<u64>,
    splits: Splits,
    fit: &Fit,
    nbins: usize,
) -> Vec<ClassCounts> {
    let mut rows = candidates.rows(range).flatten();
    let blocks = values.chunks(BLOCK as usize).map(|block| {
        let mut counts = ClassCounts::new(nbins);
        for (value, row) in block.iter().zip(&mut rows) {
            if !value.is_nan() {
                counts.count(splits.of(row), fit.class(*value));
            }
        }
        counts
    });
    blocks.collect()
}

/// Counts the classes of the qualified symbols that have boundaries, and lays out their row groups.
///
/// # Errors
/// [`Error::Output`](crate::Error::Output) when a work file cannot be read.
pub fn symbol_plans(
    engine: &impl Engine,
    config: &Config,
    streams: &[Stream],
    thresholds: &Thresholds,
    qualified: &[usize],
) -> Result<Vec<SymbolPlan>> {
    let with_fit: Vec<(Slice, &Fit)> = qualified
        .iter()
        .filter_map(|&symbol| {
            let stream = &streams[symbol];
            let whole = Slice { symbol, range: 0..stream.candidates.count() };
            Some((whole, thresholds.for_symbol(&stream.symbol)?))
        })
        .collect();
    let blocks = engine.classes(streams, thresholds, &with_fit)?;
    let plan = |((slice, _), blocks): (&(Slice, &Fit), Vec<ClassCounts>)| {
        plan_symbol(slice.symbol, &blocks, slice.count(), usize::from(config.nbins), config.drop_unbalanced)
    };
    Ok(with_fit.iter().zip(blocks).map(plan).collect())
}

fn plan_symbol(
    symbol: usize,
    blocks: &[ClassCounts],
    candidates: u64,
    nbins: usize,
    drop_unbalanced: bool,
) -> SymbolPlan {
    let mut counts = ClassCounts::new(nbins);
    blocks.iter().for_each(|b| counts.add(b));
    let mut plan = SymbolPlan { symbol, quotas: Quotas::new(&counts), counts, groups: Vec::new() };
    // Rows that a block adds to what is written, given what came before it.
    let written = |plan: &SymbolPlan, before: &ClassCounts, block: &ClassCounts| -> u64 {
        if !drop_unbalanced {
            return block.counts.iter().sum();
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
        let from = number as u64 * BLOCK;
        let rows = written(&plan, &seen, block);
        if group.rows > 0 && group.rows + rows > ROW_GROUP_ROWS {
            let full = RowGroup { candidates: from..from, before: seen.clone(), rows: 0 };
            plan.groups.push(std::mem::replace(&mut group, full));
        }
        seen.add(block);
        group.rows += rows;
        group.candidates.end = (from + BLOCK).min(candidates);
    }
    if group.rows > 0 {
        plan.groups.push(group);
    }
    plan
}
