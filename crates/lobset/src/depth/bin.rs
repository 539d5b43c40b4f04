//! A time bin, level by level.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::runs::each_run;
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

/// Runs whose median is found by comparing all with all, which takes no branch.
const FEW: usize = 16;

/// The sizes of one level and bin: values, and the rows of each run.
#[derive(Default)]
struct Sizes {
    values: Vec<u32>,
    rows: Vec<u32>,
}

impl Sizes {
    #[inline(always)]
    fn fill(&mut self, sizes: &[u32]) {
        self.values.clear();
        self.rows.clear();
        let push = |size, rows| {
            self.values.push(size);
            self.rows.push(rows as u32);
        };
        each_run(sizes, |a, b| a != b, push);
    }

    #[inline(always)]
    fn runs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.values.iter().copied().zip(self.rows.iter().copied())
    }

    /// Sample variance, exact until the last division; 0 for one row.
    #[inline(always)]
    fn variance(&self) -> f64 {
        let (mut n, mut sum, mut squares) = (0_u64, 0_u64, 0_u128);
        for (size, rows) in self.runs() {
            let (size, rows) = (u64::from(size), u64::from(rows));
            n += rows;
            sum += size * rows;
            squares += u128::from(size * size) * u128::from(rows);
        }
        if n < 2 {
            return 0.0;
        }
        let numerator = u128::from(n) * squares - u128::from(sum) * u128::from(sum);
        let numerator = u64::try_from(numerator).map_or(numerator as f64, |small| small as f64);
        numerator / (n * (n - 1)) as f64
    }

    /// The middle size, or the mean of the two in the middle.
    #[inline(always)]
    fn median(&self) -> f64 {
        let n: u32 = self.rows.iter().sum();
        // The values at these ranks, counted from 0: the least ones that more rows than that do not exceed.
        let (low, high) = ((n - 1) / 2, n / 2);
        let (low, high) = if self.values.len() <= FEW { self.few_at(low, high) } else { self.many_at(low, high) };
        (f64::from(low) + f64::from(high)) / 2.0
    }

    #[inline(always)]
    fn few_at(&self, low: u32, high: u32) -> (u32, u32) {
        let mut values = [u32::MAX; FEW];
        values[..self.values.len()].copy_from_slice(&self.values);
        let mut not_above = [0; FEW];
        for (size, rows) in self.runs() {
            for (count, value) in not_above.iter_mut().zip(&values) {
                *count += if size <= *value { rows } else { 0 };
            }
        }
        let (mut at_low, mut at_high) = (u32::MAX, u32::MAX);
        for (count, value) in not_above.iter().zip(&values) {
            at_low = at_low.min(if *count > low { *value } else { u32::MAX });
            at_high = at_high.min(if *count > high { *value } else { u32::MAX });
        }
        (at_low, at_high)
    }

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

impl Bin {
    /// Sums up consecutive rows of `levels`, a whole number of bins from the first row of `rows` on.
    pub fn of_rows(spec: &DepthSpec, levels: &Levels<'_>, rows: Range<usize>) -> Vec<Self> {
        let empty = Self { steps: [[MISSING; LEVELS]; 2], values: [[[0.0; LEVELS]; 2]; 3] };
        let mut bins = vec![empty; rows.len() / spec.ticks_per_bin()];
        Arch::new().dispatch(SumUp { spec, levels, from: rows.start, bins: &mut bins });
        bins
    }
}

/// The work of [`Bin::of_rows`], compiled for several instruction sets; the machine's own is taken.
struct SumUp<'a, 'b> {
    spec: &'a DepthSpec,
    levels: &'a Levels<'b>,
    from: usize,
    bins: &'a mut [Bin],
}

impl WithSimd for SumUp<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        sum_up(self.spec, self.levels, self.from, self.bins);
    }
}

/// Level by level, so that each column is read from its start to its end.
#[inline(always)]
fn sum_up(spec: &DepthSpec, levels: &Levels<'_>, from: usize, bins: &mut [Bin]) {
    let (volume, variance) = (spec.has(Feature::Volume), spec.has(Feature::Variance));
    let length = spec.ticks_per_bin();
    let mut runs = Sizes::default();
    for (side, level) in (0..2).flat_map(|side| (0..LEVELS).map(move |level| (side, level))) {
        let prices = &levels.prices[side][level];
        let present = |row: &usize| prices.micro_pips(spec, *row).is_some();
        for (number, bin) in bins.iter_mut().enumerate() {
            let rows = from + number * length..from + (number + 1) * length;
            let (sum, count) = prices.sum(spec, rows.clone());
            if count == 0 {
                continue;
            }
            bin.steps[side][level] = floor_of_mean(sum, count);
            let whole = count == length;
            if spec.needs_sizes() {
                let sizes = &levels.sizes[side][level];
                if whole {
                    runs.fill(&sizes[rows.clone()]);
                } else {
                    let sizes: Vec<u32> = rows.clone().filter(present).map(|row| sizes[row]).collect();
                    runs.fill(&sizes);
                }
                if variance {
                    bin.values[Feature::Variance as usize][side][level] = runs.variance();
                }
                if volume {
                    bin.values[Feature::Volume as usize][side][level] = runs.median();
                }
            }
            if spec.needs_counts() {
                let counts = &levels.counts[side][level];
                let sum: u64 = if whole {
                    counts[rows].iter().map(|c| u64::from(*c)).sum()
                } else {
                    rows.filter(present).map(|row| u64::from(counts[row])).sum()
                };
                bin.values[Feature::TradeCounts as usize][side][level] = sum as f64;
            }
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
