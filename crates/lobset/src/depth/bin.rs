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
        let mut scratch =
            Scratch { floats: Vec::new(), medians: Medians::new(length), present: [const { Vec::new() }; GROUP] };
        for (side, level) in (0..2).flat_map(|side| (0..LEVELS).map(move |level| (side, level))) {
            let scale = levels.prices[side][level].scale(spec);
            let column = Column { spec, levels, side, level, scale };
            for (number, bins) in bins.chunks_mut(GROUP).enumerate() {
                column.sum_up(simd, first + number * GROUP * length, bins, &mut scratch);
            }
        }
    }
}

struct Scratch {
    floats: Vec<f64>,
    medians: Medians,
    /// Of each bin the cells whose row has a price, where some have none.
    present: [Vec<u32>; GROUP],
}

/// A level of a side.
struct Column<'a, 'b> {
    spec: &'a DepthSpec,
    levels: &'a Levels<'b>,
    side: usize,
    level: usize,
    scale: f64,
}

impl Column<'_, '_> {
    /// Sums up at most [`GROUP`] bins, whose rows begin at `first`.
    #[inline(always)]
    fn sum_up<S: Simd>(&self, simd: S, first: usize, bins: &mut [Bin], scratch: &mut Scratch) {
        let Self { spec, levels, side, level, scale } = *self;
        let Scratch { floats, medians, present } = scratch;
        let length = spec.ticks_per_bin();
        let mut rows = [const { 0..0 }; GROUP];
        let mut counts = [0; GROUP];
        for (number, bin) in bins.iter_mut().enumerate() {
            let start = first + number * length;
            rows[number] = start..start + length;
            let (sum, count) = levels.prices[side][level].sum(simd, spec, scale, rows[number].clone(), floats);
            counts[number] = count;
            if count > 0 {
                bin.steps[side][level] = floor_of_mean(sum, count);
            }
        }
        if spec.needs_sizes() {
            let all = &levels.sizes[side][level];
            let cells = self.present(all, &rows, &counts, present);
            let largest = sizes::largest(simd, &all[first..first + bins.len() * length]);
            if spec.has(Feature::Volume) {
                medians.take(&cells, largest);
            }
            if spec.has(Feature::Variance) {
                for (bin, cells) in bins.iter_mut().zip(cells) {
                    bin.values[Feature::Variance as usize][side][level] = sizes::variance(simd, cells, largest);
                }
            }
            if spec.has(Feature::Volume) {
                for (bin, median) in bins.iter_mut().zip(medians.of(simd, &cells)) {
                    bin.values[Feature::Volume as usize][side][level] = median;
                }
            }
        }
        if spec.needs_counts() {
            let cells = self.present(&levels.counts[side][level], &rows, &counts, present);
            for (bin, cells) in bins.iter_mut().zip(cells) {
                let sum: u64 = cells.iter().map(|count| u64::from(*count)).sum();
                bin.values[Feature::TradeCounts as usize][side][level] = sum as f64;
            }
        }
    }

    /// The cells of each bin that have a price, of which there are as many as `counts` says.
    #[inline(always)]
    fn present<'c>(
        &self,
        all: &'c [u32],
        rows: &[Range<usize>; GROUP],
        counts: &[usize; GROUP],
        scratch: &'c mut [Vec<u32>; GROUP],
    ) -> [&'c [u32]; GROUP] {
        let mut present: [&[u32]; GROUP] = [&[]; GROUP];
        for (bin, (present, scratch)) in present.iter_mut().zip(scratch).enumerate() {
            *present = if counts[bin] == rows[bin].len() {
                &all[rows[bin].clone()]
            } else {
                let rows = self.levels.prices[self.side][self.level].present(self.spec, rows[bin].clone());
                scratch.clear();
                scratch.extend(rows.map(|row| all[row]));
                scratch
            };
        }
        present
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
