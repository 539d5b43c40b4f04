//! One pass over movements: the count in each bucket of a selection, and the sums.

use super::quantile::{Histogram, Selection};
use super::sums::{SLICE, Sums};
use crate::cast::to_usize;
use crate::error::Result;
use crate::run::Pool;

/// Counts movements for one pass of a selection, on any number of threads.
pub(crate) struct Counter<'a> {
    selection: &'a Selection,
    /// The mean that squared distances are computed from.
    mean: f64,
    /// Counts and reusable buffers, one set for each thread.
    parts: Pool<Part>,
}

struct Part {
    histogram: Histogram,
    values: Vec<f64>,
    /// The movements of a slice without its NaN.
    numbers: Vec<f64>,
}

impl<'a> Counter<'a> {
    /// A counter for the next pass of `selection`, with squared distances from `mean`.
    pub fn new(selection: &'a Selection, mean: f64) -> Self {
        Self { selection, mean, parts: Pool::new() }
    }

    /// Counts the movements that `read` writes to a vector, ignoring NaN; returns the sums of each [`SLICE`] of them.
    ///
    /// # Errors
    /// Any error of `read`.
    pub fn count(&self, read: impl FnOnce(&mut Vec<f64>) -> Result<()>) -> Result<Vec<Sums>> {
        let new = || Part { histogram: self.selection.empty(), values: Vec::new(), numbers: Vec::new() };
        self.parts.lend(new, |Part { histogram, values, numbers }| {
            values.clear();
            read(values)?;
            let sums = values.chunks(to_usize(SLICE)).map(|slice| {
                let mut present = slice;
                if slice.iter().any(|v| v.is_nan()) {
                    numbers.clear();
                    numbers.extend(slice.iter().filter(|v| !v.is_nan()));
                    present = numbers;
                }
                self.selection.count(present, histogram);
                Sums::of(present, self.mean)
            });
            Ok(sums.collect())
        })
    }

    /// The sum of the histograms of all threads.
    pub fn finish(self) -> Histogram {
        self.selection.merge(self.parts.into_all().iter().map(|part| &part.histogram))
    }
}
