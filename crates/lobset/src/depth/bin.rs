//! A time bin, level by level.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::sizes::{self, GROUP, Medians};
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
        arch.dispatch(SumUp { spec, levels, first: rows.start, bins: &mut bins });
        bins
    }
}

/// The work of [`Bin::of_rows`], compiled for several instruction sets.
struct SumUp<'a, 'b> {
    spec: &'a DepthSpec,
    levels: &'a Levels<'b>,
    first: usize,
    bins: &'a mut [Bin],
}

impl WithSimd for SumUp<'_, '_> {
    type Output = ();

    /// Level by level, so that each column is read from its start to its end.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { spec, levels, first, bins } = self;
        let length = spec.ticks_per_bin();
        let wanted = [Feature::Volume, Feature::Variance, Feature::TradeCounts].map(|feature| spec.has(feature));
        let mut scratch =
            Scratch { floats: Vec::new(), present: [0; GROUP], cells: Vec::new(), medians: Medians::new(length) };
        for (side, level) in (0..2).flat_map(|side| (0..LEVELS).map(move |level| (side, level))) {
            let scale = levels.prices[side][level].scale(spec);
            let column = Column { spec, levels, side, level, scale, wanted };
            for (number, bins) in bins.chunks_mut(GROUP).enumerate() {
                column.sum_up(simd, first + number * GROUP * length, bins, &mut scratch);
            }
        }
    }
}

struct Scratch {
    floats: Vec<f64>,
    /// Rows of each bin that have a price.
    present: [usize; GROUP],
    /// The cells of a bin that have a price, where some have none.
    cells: Vec<u32>,
    medians: Medians,
}

/// A level of a side.
struct Column<'a, 'b> {
    spec: &'a DepthSpec,
    levels: &'a Levels<'b>,
    side: usize,
    level: usize,
    /// What its prices are multiplied by.
    scale: f64,
    /// Which features are, in [`Feature`]'s order.
    wanted: [bool; 3],
}

impl Column<'_, '_> {
    /// Sums up at most [`GROUP`] bins, whose rows begin at `first`.
    #[inline(always)]
    fn sum_up<S: Simd>(&self, simd: S, first: usize, bins: &mut [Bin], scratch: &mut Scratch) {
        let Self { spec, levels, side, level, scale, wanted: [volume, variance, trade_counts] } = *self;
        let Scratch { floats, present, cells, medians } = scratch;
        let (all_sizes, all_counts) = (&levels.sizes[side][level], &levels.counts[side][level]);
        let length = spec.ticks_per_bin();
        let starts = (first..).step_by(length);
        for (number, ((bin, first), present)) in bins.iter_mut().zip(starts.clone()).zip(&mut *present).enumerate() {
            let prices = &levels.prices[side][level];
            let (sum, count) = prices.sum(simd, spec, scale, first..first + length, floats);
            *present = count;
            if count > 0 {
                bin.steps[side][level] = floor_of_mean(sum, count);
            }
            if volume || variance {
                let sizes = self.present(all_sizes, first, count, cells);
                let largest = sizes::largest(simd, sizes);
                if volume {
                    medians.take(number, sizes, largest);
                }
                if variance {
                    bin.values[Feature::Variance as usize][side][level] = sizes::variance(simd, sizes, largest);
                }
            }
            if trade_counts {
                let counts = self.present(all_counts, first, count, cells);
                let sum: u64 = counts.iter().map(|count| u64::from(*count)).sum();
                bin.values[Feature::TradeCounts as usize][side][level] = sum as f64;
            }
        }
        if volume {
            while !medians.search() {
                for (number, (first, present)) in starts.clone().zip(&*present).enumerate().take(bins.len()) {
                    medians.take_next(number, self.present(all_sizes, first, *present, cells));
                }
            }
            for (number, ((bin, first), present)) in bins.iter_mut().zip(starts).zip(&*present).enumerate() {
                let sizes = self.present(all_sizes, first, *present, cells);
                bin.values[Feature::Volume as usize][side][level] = medians.median(simd, number, sizes);
            }
        }
    }

    /// Those of a bin's cells that have a price, of which there are `count`. The bin begins at `first`; `scratch` may hold them.
    #[inline(always)]
    fn present<'c>(&self, all: &'c [u32], first: usize, count: usize, scratch: &'c mut Vec<u32>) -> &'c [u32] {
        let rows = first..first + self.spec.ticks_per_bin();
        if count == rows.len() {
            return &all[rows];
        }
        let rows = self.levels.prices[self.side][self.level].present(self.spec, rows);
        scratch.clear();
        scratch.extend(rows.map(|row| all[row]));
        scratch
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
