//! Ranges of candidates, and counts of their rows by class.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::cast::to_usize;
use crate::label::{Boundaries, Candidates, Split, Splits};
use crate::tape::MOVEMENT_BLOCK;

/// A range of candidates of one item in a list: a stream among all streams, or a part among those of a task.
#[derive(Debug, Clone)]
pub struct Slice {
    /// Place of the item in the list.
    pub place: usize,
    /// The candidates.
    pub range: Range<u64>,
}

impl Slice {
    /// Number of candidates.
    pub fn count(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Cuts a range of candidates into slices of at most `most`, at multiples of `most` from its start.
pub fn slices(place: usize, range: Range<u64>, most: u64) -> impl Iterator<Item = Slice> {
    let end = range.end;
    range
        .step_by(usize::try_from(most).unwrap_or(usize::MAX))
        .map(move |from| Slice { place, range: from..(from + most).min(end) })
}

/// Cuts the candidates of each item of a list into slices of at most `most`.
pub fn slices_of(ranges: impl IntoIterator<Item = Range<u64>>, most: u64) -> Vec<Slice> {
    ranges.into_iter().enumerate().flat_map(|(place, range)| slices(place, range, most)).collect()
}

/// Number of labelled rows by split and class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCounts {
    nbins: usize,
    counts: Vec<u64>,
}

impl ClassCounts {
    /// Counts of zero.
    pub fn new(nbins: usize) -> Self {
        Self { nbins, counts: vec![0; 3 * nbins] }
    }

    /// The counts of a split, by class.
    pub fn of(&self, split: Split) -> &[u64] {
        &self.counts[split as usize * self.nbins..][..self.nbins]
    }

    /// Counts a row and returns its number within its class and split, from 1.
    #[inline]
    pub fn count(&mut self, split: Split, class: usize) -> u64 {
        let count = &mut self.counts[split as usize * self.nbins + class];
        *count += 1;
        *count
    }

    /// Number of all rows.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds the counts of another range.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
    }
}

/// Class counts of each block of a range of candidates, whose movements are `values`.
pub fn class_blocks(
    values: &[f64],
    candidates: &Candidates,
    range: Range<u64>,
    splits: Splits,
    boundaries: &Boundaries,
    nbins: usize,
) -> Vec<ClassCounts> {
    let mut rows = candidates.rows(range).flatten();
    let blocks = values.chunks(to_usize(MOVEMENT_BLOCK)).map(|block| {
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
