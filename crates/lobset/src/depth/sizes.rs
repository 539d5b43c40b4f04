//! Median and variance of the sizes of a level and bin, from runs.

use pulp::{Simd, bytemuck};

/// Runs whose median is found by comparing all with all, which takes few branches.
const FEW: usize = 128;

/// What the runs of a level and bin are filled up to a multiple of.
const LANES: usize = 16;

/// The sizes of one level and bin: values, and the rows of each run.
pub(super) struct Sizes {
    values: Vec<u32>,
    rows: Vec<u32>,
    count: usize,
}

impl Sizes {
    /// Room for the runs of a bin.
    pub(super) fn new(ticks_per_bin: usize) -> Self {
        let room = vec![0; ticks_per_bin + LANES];
        Self { values: room.clone(), rows: room, count: 0 }
    }

    /// Forgets all runs.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// Appends a run.
    #[inline(always)]
    pub(super) fn push(&mut self, size: u32, rows: u32) {
        (self.values[self.count], self.rows[self.count]) = (size, rows);
        self.count += 1;
    }

    #[inline(always)]
    fn runs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.values[..self.count].iter().copied().zip(self.rows[..self.count].iter().copied())
    }

    /// Puts runs without rows after the last one, up to which variance and median read.
    #[inline(always)]
    pub(super) fn fill(&mut self) {
        self.values[self.count..self.count + LANES].fill(u32::MAX);
        self.rows[self.count..self.count + LANES].fill(0);
    }

    /// Sample variance, exact until the last division; 0 for one row. `largest` is at least as large as each size.
    #[inline(always)]
    pub(super) fn variance(&self, n: usize, largest: u32) -> f64 {
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
    pub(super) fn median<S: Simd>(&self, simd: S, n: usize) -> f64 {
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
        // Eight runs at a time, in a loop of known length.
        let half = self.count.next_multiple_of(LANES / 2);
        let values = self.values[..half].as_chunks::<{ LANES / 2 }>().0;
        let rows = self.rows[..half].as_chunks::<{ LANES / 2 }>().0;
        for these in S::as_simd_u32s(&self.values[..whole]).0 {
            let mut not_above = none;
            for (values, rows) in values.iter().zip(rows) {
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
