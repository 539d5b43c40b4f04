//! Time bins: summaries of consecutive rows, level by level.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::columns::Levels;
use super::prices::{Check, Prices};
use super::sizes::{GROUP, Medians, Summary};
use super::spec::{DepthSpec, FEATURES, LEVELS, MISSING};
use crate::cast::{single, to_i64};
use crate::config::Feature;

/// A time bin: the summary of each level of each side (0 bids, 1 asks).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bin {
    pub(super) levels: [[BinLevel; LEVELS]; 2],
}

/// The summary of one level in a time bin. Aligned to its 32 bytes, so that it never spans two cache lines: bins are
/// filled one level at a time, so each write goes to another bin, and a second cache line would mean another wait for
/// memory.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(32))]
pub(super) struct BinLevel {
    /// Floor of the mean price in micro-pips; [`MISSING`] if the level has no price in any row.
    pub(super) step: i64,
    /// Values in [`Feature`]'s order: median of sizes, their sample variance, sum of counts; each the nearest f32.
    pub(super) values: [f32; FEATURES],
}

impl BinLevel {
    /// A level without a price in any row.
    pub(super) const MISSING: Self = Self { step: MISSING, values: [0.0; FEATURES] };
}

impl Bin {
    /// A bin without levels.
    pub(super) const EMPTY: Self = Self { levels: [[BinLevel::MISSING; LEVELS]; 2] };

    /// Summarises consecutive rows of `levels` into a whole number of bins, starting at the first of `rows`.
    pub(super) fn of_rows(spec: &DepthSpec, levels: &Levels<'_>, rows: Range<usize>) -> Vec<Self> {
        Self::of_rows_with(Arch::new(), spec, levels, rows)
    }

    /// [`of_rows`](Self::of_rows) with the instruction set of `arch`.
    pub(super) fn of_rows_with(arch: Arch, spec: &DepthSpec, levels: &Levels<'_>, rows: Range<usize>) -> Vec<Self> {
        let mut bins = vec![Self::EMPTY; rows.len() / spec.ticks_per_bin()];
        arch.dispatch(SumUp { spec, levels, first: rows.start, bins: &mut bins });
        bins
    }
}

/// The usual number of rows of a time bin, for which the loops are compiled with a constant length.
const USUAL: usize = 100;

/// Body of [`Bin::of_rows`], compiled for several instruction sets.
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
    /// Fills the bins level by level, so that each column is read sequentially.
    #[inline(always)]
    fn sum_up<S: Simd>(self, simd: S, length: usize) {
        let Self { spec, levels, first, bins } = self;
        let wanted = spec.wanted();
        let mut scratch = Scratch {
            floats: Vec::new(),
            present: Vec::new(),
            sizes: Picked::default(),
            counts: Picked::default(),
            medians: Medians::new(length),
        };
        for (side, level) in (0..2).flat_map(|side| (0..LEVELS).map(move |level| (side, level))) {
            let prices = &levels.prices[side][level];
            let (sizes, counts) = (&levels.sizes[side][level], &levels.counts[side][level]);
            let scale = prices.scale(spec);
            let column = Column { spec, side, level, prices, scale, sizes, counts, wanted };
            for (number, group) in bins.chunks_mut(GROUP).enumerate() {
                column.sum_up(simd, length, first + number * GROUP * length, group, &mut scratch);
            }
        }
    }
}

struct Scratch {
    floats: Vec<f64>,
    /// Rows of a bin that have a price, if some lack one.
    present: Vec<usize>,
    sizes: Picked,
    counts: Picked,
    medians: Medians,
}

/// Cells of a group's bins whose rows have a price.
#[derive(Default)]
struct Picked {
    cells: Vec<u32>,
    bounds: [usize; GROUP + 1],
}

impl Picked {
    /// Picks the cells of a bin, after those of the previous bin. An unused column is empty and yields no cells.
    fn pick(&mut self, bin: usize, cells: &[u32], rows: &[usize]) {
        self.cells.truncate(self.bounds[bin]);
        self.cells.extend(rows.iter().filter_map(|row| cells.get(*row)));
        self.bounds[bin + 1] = self.cells.len();
    }

    fn of(&self, bin: usize) -> &[u32] {
        &self.cells[self.bounds[bin]..self.bounds[bin + 1]]
    }
}

/// Columns of one level of one side.
struct Column<'a, 'b> {
    spec: &'a DepthSpec,
    side: usize,
    level: usize,
    prices: &'a Prices<'b>,
    /// Factor that converts prices to micro-pips.
    scale: f64,
    sizes: &'a [u32],
    counts: &'a [u32],
    /// Whether each feature is wanted, in [`Feature`]'s order.
    wanted: [bool; FEATURES],
}

impl Column<'_, '_> {
    /// Fills at most [`GROUP`] bins of `length` rows each, starting at row `first`.
    #[inline(always)]
    fn sum_up<S: Simd>(&self, simd: S, length: usize, first: usize, bins: &mut [Bin], scratch: &mut Scratch) {
        let Scratch { floats, present, sizes, counts, medians } = scratch;
        let rows = |bin: usize| first + bin * length..first + (bin + 1) * length;
        let mut check = Check::new(simd);
        self.values(
            simd,
            bins,
            medians,
            #[inline(always)]
            |bin| self.prices.whole_sum(simd, self.scale, rows(bin), floats, &mut check).div_euclid(to_i64(length)),
            #[inline(always)]
            |bin| &self.sizes[rows(bin)],
            #[inline(always)]
            |bin| &self.counts[rows(bin)],
        );
        if check.passed() {
            return;
        }
        let (mut steps, mut missing) = ([MISSING; GROUP], false);
        for (number, bin) in bins.iter_mut().enumerate() {
            let (sum, count) = self.prices.sum(simd, self.spec, self.scale, rows(number), floats);
            if count > 0 {
                steps[number] = floor_of_mean(sum, count);
            }
            bin.levels[self.side][self.level].step = steps[number];
            missing |= count < length;
        }
        if !missing {
            return;
        }
        for bin in 0..bins.len() {
            present.clear();
            present.extend(rows(bin).filter(|row| self.prices.is_present(*row)));
            sizes.pick(bin, self.sizes, present);
            counts.pick(bin, self.counts, present);
        }
        self.values(
            simd,
            bins,
            medians,
            #[inline(always)]
            |bin| steps[bin],
            #[inline(always)]
            |bin| sizes.of(bin),
            #[inline(always)]
            |bin| counts.of(bin),
        );
    }

    /// Fills one level of each bin: its step, and the features of the sizes and counts given for the bin.
    #[inline(always)]
    fn values<'c, S: Simd>(
        &self,
        simd: S,
        bins: &mut [Bin],
        medians: &mut Medians,
        mut step: impl FnMut(usize) -> i64,
        sizes: impl Fn(usize) -> &'c [u32] + Copy,
        counts: impl Fn(usize) -> &'c [u32],
    ) {
        let [volume, variance, trade_counts] = self.wanted;
        let mut summary = Summary::new(simd);
        // Read the columns side by side: memory requested in bursts arrives late.
        for (number, bin) in bins.iter_mut().enumerate() {
            let bin = &mut bin.levels[self.side][self.level];
            bin.step = step(number);
            if volume || variance {
                summary.add(simd, number, sizes(number));
            }
            if volume {
                medians.take(number, sizes(number), 0, 0);
            }
            if trade_counts {
                let sum: u64 = counts(number).iter().map(|count| u64::from(*count)).sum();
                bin.values[Feature::TradeCounts as usize] = sum as f32;
            }
        }
        let many = bins.len();
        let mut set = |feature: Feature, values: [f64; GROUP]| {
            for (bin, value) in bins.iter_mut().zip(values) {
                bin.levels[self.side][self.level].values[feature as usize] = single(value);
            }
        };
        if volume {
            set(Feature::Volume, medians.find(simd, many, sizes, summary.bits()));
        }
        if variance {
            set(Feature::Variance, summary.variances(many, sizes));
        }
    }
}

/// Floor of `sum / count`, the mean of `count` numbers. Sums of ordinary prices fit 64 bits, where division is a single
/// instruction.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the mean of 64-bit numbers has 64 bits")]
pub(crate) fn floor_of_mean(sum: i128, count: usize) -> i64 {
    match i64::try_from(sum) {
        Ok(sum) => sum.div_euclid(to_i64(count)),
        Err(_) => sum.div_euclid(count as i128) as i64,
    }
}
