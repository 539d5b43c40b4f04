//! A time bin, level by level.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::runs::run_ends;
use super::sizes::Sizes;
use super::{DepthSpec, LEVELS, Levels, MISSING};
use crate::config::Feature;

/// What a time bin holds of each level of each side (0 bids, 1 asks).
#[derive(Debug, Clone, PartialEq)]
pub struct Bin {
    /// Floor of the mean price in micro-pips; [`MISSING`] where the level has no price in any row.
    pub(super) steps: [[i64; LEVELS]; 2],
    /// By place of the feature in [`Feature`]'s order: median of sizes, their sample variance, sum of counts.
    pub(super) values: [[[f64; LEVELS]; 2]; 3],
}

impl Bin {
    /// Sums up consecutive rows of `levels`, a whole number of bins from the first row of `rows` on.
    pub fn of_rows(spec: &DepthSpec, levels: &Levels<'_>, rows: Range<usize>) -> Vec<Self> {
        Self::of_rows_with(Arch::new(), spec, levels, rows)
    }

    /// The same, by the instructions of `arch`.
    pub(super) fn of_rows_with(arch: Arch, spec: &DepthSpec, levels: &Levels<'_>, rows: Range<usize>) -> Vec<Self> {
        let empty = Self { steps: [[MISSING; LEVELS]; 2], values: [[[0.0; LEVELS]; 2]; 3] };
        let mut bins = vec![empty; rows.len() / spec.ticks_per_bin()];
        // The rows of a block fit a core's own cache, column by column, and the numbers of its runs 32 bits.
        let block = (BLOCK / spec.ticks_per_bin()).max(1);
        for (number, bins) in bins.chunks_mut(block).enumerate() {
            let from = rows.start + number * block * spec.ticks_per_bin();
            arch.dispatch(SumUp { spec, levels, from, bins });
        }
        bins
    }
}

/// Rows whose bins are summed up together.
const BLOCK: usize = 1 << 16;

/// The work of [`Bin::of_rows`], compiled for several instruction sets.
struct SumUp<'a, 'b> {
    spec: &'a DepthSpec,
    levels: &'a Levels<'b>,
    from: usize,
    bins: &'a mut [Bin],
}

impl WithSimd for SumUp<'_, '_> {
    type Output = ();

    /// Level by level, so that each column is read from its start to its end.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut scratch = Scratch {
            ends: Vec::new(),
            present: vec![0; self.bins.len()],
            sizes: Sizes::new(self.spec.ticks_per_bin()),
        };
        for (side, level) in (0..2).flat_map(|side| (0..LEVELS).map(move |level| (side, level))) {
            self.prices(side, level, &mut scratch);
            if self.spec.needs_sizes() {
                self.sizes(simd, side, level, &mut scratch);
            }
            if self.spec.needs_counts() {
                self.counts(side, level, &scratch.present);
            }
        }
    }
}

struct Scratch {
    ends: Vec<u32>,
    /// Rows of each bin that have a price.
    present: Vec<usize>,
    sizes: Sizes,
}

impl SumUp<'_, '_> {
    /// Rows of all bins.
    #[inline(always)]
    fn rows(&self) -> Range<usize> {
        self.from..self.from + self.bins.len() * self.spec.ticks_per_bin()
    }

    #[inline(always)]
    fn prices(&mut self, side: usize, level: usize, scratch: &mut Scratch) {
        let rows = self.rows();
        let mut summed = self.bins.iter_mut().zip(&mut scratch.present);
        self.levels.prices[side][level].sums(self.spec, rows, &mut scratch.ends, |sum, count| {
            if let Some((bin, present)) = summed.next() {
                *present = count;
                if count > 0 {
                    bin.steps[side][level] = floor_of_mean(sum, count);
                }
            }
        });
    }

    #[inline(always)]
    fn sizes<S: Simd>(&mut self, simd: S, side: usize, level: usize, scratch: &mut Scratch) {
        let Scratch { ends, present, sizes } = scratch;
        let (volume, variance) = (self.spec.has(Feature::Volume), self.spec.has(Feature::Variance));
        let length = self.spec.ticks_per_bin();
        let all = &self.levels.sizes[side][level];
        let cells = &all[self.rows()];
        run_ends(cells, length, ends);
        // Only the variance asks for it.
        let each = ends.iter().map(|end| cells[*end as usize - 1]);
        let largest = if variance { each.max().unwrap_or(0) } else { 0 };
        let mut left = ends.as_slice();
        let (mut start, mut bin_end) = (0, 0);
        for (number, (bin, present)) in self.bins.iter_mut().zip(&*present).enumerate() {
            bin_end += length as u32;
            sizes.clear();
            while let [end, after @ ..] = left
                && *end <= bin_end
            {
                sizes.push(cells[*end as usize - 1], end - start);
                (start, left) = (*end, after);
            }
            if *present == 0 {
                continue;
            }
            if *present < length {
                let first = self.from + number * length;
                let rows = self.levels.prices[side][level].present(self.spec, first..first + length);
                sizes.clear();
                rows.for_each(|row| sizes.push(all[row], 1));
            }
            sizes.fill();
            if variance {
                bin.values[Feature::Variance as usize][side][level] = sizes.variance(*present, largest);
            }
            if volume {
                bin.values[Feature::Volume as usize][side][level] = sizes.median(simd, *present);
            }
        }
    }

    #[inline(always)]
    fn counts(&mut self, side: usize, level: usize, present: &[usize]) {
        let length = self.spec.ticks_per_bin();
        let counts = &self.levels.counts[side][level];
        for (number, (bin, present)) in self.bins.iter_mut().zip(present).enumerate() {
            let first = self.from + number * length;
            let rows = first..first + length;
            let sum: u64 = if *present == length {
                counts[rows].iter().map(|count| u64::from(*count)).sum()
            } else {
                let rows = self.levels.prices[side][level].present(self.spec, rows);
                rows.map(|row| u64::from(counts[row])).sum()
            };
            bin.values[Feature::TradeCounts as usize][side][level] = sum as f64;
        }
    }
}

/// Sums of ordinary prices fit 64 bits, whose division is an instruction.
#[inline(always)]
fn floor_of_mean(sum: i128, count: usize) -> i64 {
    match i64::try_from(sum) {
        Ok(sum) => sum.div_euclid(count as i64),
        Err(_) => sum.div_euclid(count as i128) as i64,
    }
}
