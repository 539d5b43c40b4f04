//! Ranges of candidates, and the rows of each class that are counted in them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::label::{Boundaries, Candidates, Split, Splits};
use crate::tape::MOVEMENT_BLOCK;

/// A range of candidates of one of several: of a stream among all streams, of a part among those of a task.
#[derive(Debug, Clone)]
pub struct Slice {
    /// Which of them.
    pub place: usize,
    /// The candidates.
    pub range: Range<u64>,
}

impl Slice {
    /// Its candidates.
    pub fn count(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Cuts ranges of candidates into slices of at most `most`, at multiples of it from each range's start.
pub fn slices(place: usize, range: Range<u64>, most: u64) -> impl Iterator<Item = Slice> {
    let end = range.end;
    range
        .step_by(usize::try_from(most).unwrap_or(usize::MAX))
        .map(move |from| Slice { place, range: from..(from + most).min(end) })
}

/// Labelled rows of each class, split by split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCounts {
    nbins: usize,
    counts: Vec<u64>,
}

impl ClassCounts {
    /// No rows.
    pub fn new(nbins: usize) -> Self {
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

    /// All rows.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds those of another range.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
    }
}

/// The counts of the blocks of a range of candidates, whose movements are `values`.
pub fn class_blocks(
    values: &[f64],
    candidates: &Candidates,
    range: Range<u64>,
    splits: Splits,
    boundaries: &Boundaries,
    nbins: usize,
) -> Vec<ClassCounts> {
    let mut rows = candidates.rows(range).flatten();
    let blocks = values.chunks(MOVEMENT_BLOCK as usize).map(|block| {
        let mut counts = ClassCounts::new(nbins);
        for (value, row) in block.iter().zip(&mut rows) {
            if !value.is_nan() {
                counts.count(splits.of(row), boundaries.class(*value));
            }
        }
        counts
    });
    blocks.collect()
}
