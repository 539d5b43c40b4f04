//! One pass over movements: how many lie in each bucket of a selection, and what they add up to.

use super::quantile::{Histogram, Selection};
use super::sums::{SLICE, Sums};
use crate::error::Result;
use crate::run::Pool;

/// Counts movements for one pass of a selection, on any number of threads.
pub(crate) struct Counter<'a> {
    selection: &'a Selection,
    /// Squares are those of the distances from it.
    mean: f64,
    /// For each thread what it has counted, and room for movements.
    parts: Pool<Part>,
}

struct Part {
    histogram: Histogram,
    values: Vec<f64>,
    /// The numbers of a slice that holds NaN too.
    numbers: Vec<f64>,
}

impl<'a> Counter<'a> {
    /// Nothing counted yet.
    pub fn new(selection: &'a Selection, mean: f64) -> Self {
        Self { selection, mean, parts: Pool::new() }
    }

    /// Counts the movements that `read` puts into a vector, NaN left out; returns the sums of each [`SLICE`] of them.
    ///
    /// # Errors
    /// What `read` fails of.
    pub fn count(&self, read: impl FnOnce(&mut Vec<f64>) -> Result<()>) -> Result<Vec<Sums>> {
        let new = || Part { histogram: self.selection.empty(), values: Vec::new(), numbers: Vec::new() };
        self.parts.lend(new, |Part { histogram, values, numbers }| {
            values.clear();
            read(values)?;
            let sums = values.chunks(SLICE as usize).map(|slice| {
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

    /// What all threads have counted.
    pub fn finish(self) -> Histogram {
        self.selection.merge(self.parts.into_all().iter().map(|part| &part.histogram))
    }
}
