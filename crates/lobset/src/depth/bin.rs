//! A time bin, level by level.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::sizes::{self, GROUP, Medians};
use super::{DepthSpec, LEVELS, Levels, MISSING, Prices};
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

/// The usual rows of a time bin, whose loops the compiler lays out ahead.
const USUAL: usize = 100;

/// The work of [`Bin::of_rows`], compiled for several instruction sets.
struct SumUp<'a, 'b> {
    spec: &'a DepthSpec,
    levels: &'a Levels<'b>,
    first: usize,
    bins: &'a mut [Bin],
}

impl WithSimd for SumUp<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.spec.ticks_per_bin() {
            USUAL => self.sum_up(simd, USUAL),
            length => self.sum_up(simd, length),
        }
    }
}

impl SumUp<'_, '_> {
    /// Level by level, so that each column is read from its start to its end.
    #[inline(always)]
    fn sum_up<S: Simd>(self, simd: S, length: usize) {
        let Self { spec, levels, first, bins } = self;
        let wanted = [Feature::Volume, Feature::Variance, Feature::TradeCounts].map(|feature| spec.has(feature));
        let mut scratch = Scratch {
            floats: Vec::new(),
            sizes: Vec::new(),
            counts: Vec::new(),
            present: [0; GROUP],
            medians: Medians::new(length),
        };
        for (side, level) in (0..2).flat_map(|side| (0..LEVELS).map(move |level| (side, level))) {
            let prices = &levels.prices[side][level];
            let (sizes, counts) = (&levels.sizes[side][level], &levels.counts[side][level]);
            let scale = prices.scale(spec);
            let column = Column { spec, side, level, length, prices, scale, sizes, counts, wanted };
            for (number, bins) in bins.chunks_mut(GROUP).enumerate() {
                column.sum_up(simd, first + number * GROUP * length, bins, &mut scratch);
            }
        }
    }
}

struct Scratch {
    floats: Vec<f64>,
    /// The sizes and counts of a bin that have a price, where some have none.
    sizes: Vec<u32>,
    counts: Vec<u32>,
    /// Rows of each bin that have a price.
    present: [usize; GROUP],
    medians: Medians,
}

/// A level of a side.
struct Column<'a, 'b> {
    spec: &'a DepthSpec,
    side: usize,
    level: usize,
    /// Rows of a bin.
    length: usize,
    prices: &'a Prices<'b>,
    /// What prices are multiplied by.
    scale: f64,
    sizes: &'a [u32],
    counts: &'a [u32],
    /// Which features are, in [`Feature`]'s order.
    wanted: [bool; 3],
}

impl Column<'_, '_> {
    /// Sums up at most [`GROUP`] bins, whose rows begin at `first`.
    #[inline(always)]
    fn sum_up<S: Simd>(&self, simd: S, first: usize, bins: &mut [Bin], scratch: &mut Scratch) {
        let [volume, variance, trade_counts] = self.wanted;
        let Scratch { floats, sizes, counts, present, medians } = scratch;
        medians.clear();
        let rows = |number: usize| first + number * self.length..first + (number + 1) * self.length;
        for (number, (bin, present)) in bins.iter_mut().zip(&mut *present).enumerate() {
            let rows = rows(number);
            let (sum, count) = self.prices.sum(simd, self.spec, self.scale, rows.clone(), floats);
            *present = count;
            if count > 0 {
                bin.steps[self.side][self.level] = floor_of_mean(sum, count);
            }
            // The same either way, but the compiler knows the length of whole bins' slices.
            if count == self.length {
                let sizes = if volume || variance { &self.sizes[rows.clone()] } else { &[] };
                let counts = if trade_counts { &self.counts[rows] } else { &[] };
                self.values(simd, number, bin, medians, sizes, counts);
            } else {
                let sizes = self.present(self.sizes, rows.clone(), sizes);
                let counts = self.present(self.counts, rows, counts);
                self.values(simd, number, bin, medians, sizes, counts);
            }
        }
        if !volume {
            return;
        }
        while !medians.search() {
            for (number, present) in present.iter().enumerate().take(bins.len()) {
                medians.take_next(number, self.sizes(rows(number), *present, sizes));
            }
        }
        for (number, (bin, present)) in bins.iter_mut().zip(&*present).enumerate() {
            let median = medians.median(simd, number, self.sizes(rows(number), *present, sizes));
            bin.values[Feature::Volume as usize][self.side][self.level] = median;
        }
    }

    /// All but medians, of which only the first step is taken.
    #[inline(always)]
    fn values<S: Simd>(
        &self,
        simd: S,
        number: usize,
        bin: &mut Bin,
        medians: &mut Medians,
        sizes: &[u32],
        counts: &[u32],
    ) {
        let [volume, variance, trade_counts] = self.wanted;
        let mut set = |feature: Feature, value| bin.values[feature as usize][self.side][self.level] = value;
        if volume || variance {
            let largest = sizes::largest(simd, sizes);
            if volume {
                medians.take(number, sizes, largest);
            }
            if variance {
                set(Feature::Variance, sizes::variance(simd, sizes, largest));
            }
        }
        if trade_counts {
            let sum: u64 = counts.iter().map(|count| u64::from(*count)).sum();
            set(Feature::TradeCounts, sum as f64);
        }
    }

    /// The sizes of a bin that have a price, of which there are `count`.
    #[inline(always)]
    fn sizes<'c>(&'c self, rows: Range<usize>, count: usize, scratch: &'c mut Vec<u32>) -> &'c [u32] {
        match count == rows.len() {
            true => &self.sizes[rows],
            false => self.present(self.sizes, rows, scratch),
        }
    }

    /// Those of a bin's cells that have a price; none of a column that no feature asks for.
    #[inline(always)]
    fn present<'c>(&self, all: &[u32], rows: Range<usize>, scratch: &'c mut Vec<u32>) -> &'c [u32] {
        scratch.clear();
        scratch.extend(self.prices.present(self.spec, rows).filter_map(|row| all.get(row)));
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
