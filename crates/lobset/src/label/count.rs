//! One pass over movements: the count in each bucket of selections, and the sums.

use super::quantile::{Histogram, Selection};
use super::sums::{MovementSums, SLICE};
use crate::cast::to_usize;
use crate::error::Result;
use crate::run::Pool;

/// Counts movements for one pass of selections, on any number of threads.
pub(crate) struct Counter<'a> {
    selections: &'a [Selection],
    /// The mean that squared distances are computed from; `None` if no sums are wanted.
    mean: Option<f64>,
    /// Counts and reusable buffers, one set for each thread.
    parts: Pool<ThreadCounts>,
}

struct ThreadCounts {
    /// By selection.
    histograms: Vec<Histogram>,
    values: Vec<f64>,
    /// The movements of a slice, without NaN.
    numbers: Vec<f64>,
}

impl<'a> Counter<'a> {
    /// Creates a counter for the next pass of `selections`. With a `mean`, it also adds up the movements and their
    /// squared distances from that mean.
    pub fn new(selections: &'a [Selection], mean: Option<f64>) -> Self {
        Self { selections, mean, parts: Pool::new() }
    }

    /// Counts the movements that `read` writes to a vector, ignoring NaN; returns the sums of each [`SLICE`] of them, if
    /// they are wanted.
    ///
    /// # Errors
    /// Any error of `read`.
    pub fn count(&self, read: impl FnOnce(&mut Vec<f64>) -> Result<()>) -> Result<Vec<MovementSums>> {
        let new = || ThreadCounts {
            histograms: self.selections.iter().map(Selection::empty).collect(),
            values: Vec::new(),
            numbers: Vec::new(),
        };
        self.parts.lend(new, |ThreadCounts { histograms, values, numbers }| {
            values.clear();
            read(values)?;
            let mut sums = Vec::new();
            for slice in values.chunks(to_usize(SLICE)) {
                for (selection, histogram) in self.selections.iter().zip(&mut *histograms) {
                    selection.count(slice, histogram);
                }
                let Some(mean) = self.mean else { continue };
                let mut present = slice;
                if slice.iter().any(|v| v.is_nan()) {
                    numbers.clear();
                    numbers.extend(slice.iter().filter(|v| !v.is_nan()));
                    present = numbers;
                }
                sums.push(MovementSums::of(present, mean));
            }
            Ok(sums)
        })
    }

    /// The sums of the histograms of all threads, by selection.
    pub fn finish(self) -> Vec<Histogram> {
        let parts = self.parts.into_all();
        merged(self.selections, parts.iter().map(|part| part.histograms.as_slice()))
    }
}

/// The sums of the histograms of parts, by selection.
pub(crate) fn merged<'a>(
    selections: &[Selection],
    parts: impl Iterator<Item = &'a [Histogram]> + Clone,
) -> Vec<Histogram> {
    let of = |(place, selection): (usize, &Selection)| {
        selection.merge(parts.clone().filter_map(|histograms| histograms.get(place)))
    };
    selections.iter().enumerate().map(of).collect()
}
