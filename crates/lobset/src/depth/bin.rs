//! A time bin, level by level.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd, bytemuck};

use super::runs::run_ends;
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

/// Runs whose median is found by comparing all with all, which takes few branches.
const FEW: usize = 128;

/// What the runs of a level and bin are filled up to a multiple of.
const LANES: usize = 16;

/// The sizes of one level and bin: values, and the rows of each run.
struct Sizes {
    values: Vec<u32>,
    rows: Vec<u32>,
    count: usize,
}

impl Sizes {
    /// Room for the runs of a bin.
    fn new(ticks_per_bin: usize) -> Self {
        let room = vec![0; ticks_per_bin + LANES];
        Self { values: room.clone(), rows: room, count: 0 }
    }

    #[inline(always)]
    fn push(&mut self, size: u32, rows: u32) {
        (self.values[self.count], self.rows[self.count]) = (size, rows);
        self.count += 1;
    }

    #[inline(always)]
    fn runs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.values[..self.count].iter().copied().zip(self.rows[..self.count].iter().copied())
    }

    /// Runs without rows after the last one.
    #[inline(always)]
    fn fill(&mut self) {
        self.values[self.count..self.count + LANES].fill(u32::MAX);
        self.rows[self.count..self.count + LANES].fill(0);
    }

    /// Sample variance, exact until the last division; 0 for one row. `largest` is at least as large as each size.
    #[inline(always)]
    fn variance(&self, n: usize, largest: u32) -> f64 {
        let n = n as u64;
        if n < 2 {
            return 0.0;
        }
        // Where n * size fits 32 bits everywhere, so does all else 64.
        let small = (n * u64::from(largest)) >> u32::BITS == 0;
        let numerator = if small { self.small_numerator(n) } else { self.large_numerator(n) };
        numerator / (n * (n - 1)) as f64
    }

    /// n * sum of squares - square of the sum.
    #[inline(always)]
    fn small_numerator(&self, n: u64) -> f64 {
        let (mut sum, mut squares) = (0, 0);
        let whole = self.count.next_multiple_of(LANES);
        let (values, rows) = (self.values[..whole].as_chunks::<LANES>().0, self.rows[..whole].as_chunks::<LANES>().0);
        for (values, rows) in values.iter().zip(rows) {
            for (size, rows) in values.iter().zip(rows) {
                let of_run = size.wrapping_mul(*rows);
                sum += u64::from(of_run);
                squares += u64::from(of_run) * u64::from(*size);
            }
        }
        (n * squares - sum * sum) as f64
    }

    #[cold]
    fn large_numerator(&self, n: u64) -> f64 {
        let (mut sum, mut squares) = (0, 0);
        for (size, rows) in self.runs() {
            let of_run = u128::from(size) * u128::from(rows);
            sum += of_run;
            squares += of_run * u128::from(size);
        }
        let numerator = u128::from(n) * squares - sum * sum;
        u64::try_from(numerator).map_or(numerator as f64, |small| small as f64)
    }

    /// The middle size of `n` rows, or the mean of the two in the middle.
    #[inline(always)]
    fn median<S: Simd>(&self, simd: S, n: usize) -> f64 {
        // The values at these ranks, counted from 0: the least ones that more rows than that do not exceed.
        let (low, high) = ((n as u32 - 1) / 2, n as u32 / 2);
        let (low, high) = if self.count <= FEW { self.few_at(simd, low, high) } else { self.many_at(low, high) };
        (f64::from(low) + f64::from(high)) / 2.0
    }

    #[inline(always)]
    fn few_at<S: Simd>(&self, simd: S, low: u32, high: u32) -> (u32, u32) {
        let (low, high) = (simd.splat_u32s(low), simd.splat_u32s(high));
        let (none, most) = (simd.splat_u32s(0), simd.splat_u32s(u32::MAX));
        let (mut at_low, mut at_high) = (most, most);
        let whole = self.count.next_multiple_of(LANES);
        for these in S::as_simd_u32s(&self.values[..whole]).0 {
            let mut not_above = none;
            let half = self.count.next_multiple_of(LANES / 2);
            let (values, rows) = (self.values[..half].as_chunks().0, self.rows[..half].as_chunks().0);
            for (values, rows) in values.iter().zip(rows) {
                let (values, rows): (&[u32; LANES / 2], &[u32; LANES / 2]) = (values, rows);
                for (value, rows) in values.iter().zip(rows) {
                    let counts = simd.less_than_or_equal_u32s(simd.splat_u32s(*value), *these);
                    not_above = simd.add_u32s(not_above, simd.select_u32s(counts, simd.splat_u32s(*rows), none));
                }
            }
            at_low = simd.min_u32s(at_low, simd.select_u32s(simd.greater_than_u32s(not_above, low), *these, most));
            at_high = simd.min_u32s(at_high, simd.select_u32s(simd.greater_than_u32s(not_above, high), *these, most));
        }
        (least(simd, at_low), least(simd, at_high))
    }

    #[cold]
    fn many_at(&self, low: u32, high: u32) -> (u32, u32) {
        let mut runs: Vec<(u32, u32)> = self.runs().collect();
        runs.sort_unstable();
        let mut not_above = 0;
        let mut at_low = None;
        for (value, rows) in runs {
            not_above += rows;
            if not_above > low {
                let at_low = *at_low.get_or_insert(value);
                if not_above > high {
                    return (at_low, value);
                }
            }
        }
        (0, 0)
    }
}

/// The least lane.
#[inline(always)]
fn least<S: Simd>(simd: S, mut lanes: S::u32s) -> u32 {
    let mut distance = S::U32_LANES / 2;
    while distance > 0 {
        lanes = simd.min_u32s(lanes, simd.rotate_left_u32s(lanes, distance));
        distance /= 2;
    }
    bytemuck::bytes_of(&lanes).first_chunk().map_or(0, |lane| u32::from_ne_bytes(*lane))
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
        let largest = ends.iter().map(|end| cells[*end as usize - 1]).max().unwrap_or(0);
        let mut left = ends.as_slice();
        let (mut start, mut bin_end) = (0, 0);
        for (number, (bin, present)) in self.bins.iter_mut().zip(&*present).enumerate() {
            bin_end += length as u32;
            sizes.count = 0;
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
                sizes.count = 0;
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
