//! A time bin, level by level.

use std::ops::Range;

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

/// Sums over the sizes of one level.
#[derive(Default)]
struct Sizes {
    /// Values with the number of rows that have them.
    runs: Vec<(u32, u32)>,
}

impl Sizes {
    fn push(&mut self, size: u32) {
        match self.runs.last_mut() {
            Some((last, rows)) if *last == size => *rows += 1,
            _ => self.runs.push((size, 1)),
        }
    }

    /// The sizes of consecutive rows. They change in few of them: strips of equal ones are passed over at once.
    fn fill(&mut self, sizes: &[u32]) {
        self.runs.clear();
        let Some(&first) = sizes.first() else { return };
        let (mut current, mut rows) = (first, 0);
        for strip in sizes.chunks(16) {
            if strip.iter().fold(0, |differ, size| differ | (size ^ current)) == 0 {
                rows += strip.len() as u32;
                continue;
            }
            for &size in strip {
                if size != current {
                    self.runs.push((current, rows));
                    (current, rows) = (size, 0);
                }
                rows += 1;
            }
        }
        self.runs.push((current, rows));
    }

    /// Sample variance, exact until the last division; 0 for one row.
    fn variance(&self) -> f64 {
        let (mut n, mut sum, mut squares) = (0_u64, 0_u64, 0_u128);
        for &(size, rows) in &self.runs {
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

    /// The middle size, or the mean of the two in the middle. Leaves the runs sorted.
    fn median(&mut self) -> f64 {
        if let [(size, _)] = self.runs[..] {
            return f64::from(size);
        }
        let n: u32 = self.runs.iter().map(|r| r.1).sum();
        self.runs.sort_unstable_by_key(|r| r.0);
        let mut before = 0;
        let mut lower = None;
        for &(size, rows) in &self.runs {
            before += rows;
            if lower.is_none() && before > (n - 1) / 2 {
                lower = Some(f64::from(size));
            }
            if before > n / 2 {
                return (lower.unwrap_or_default() + f64::from(size)) / 2.0;
            }
        }
        0.0
    }
}

impl Bin {
    /// Sums up the rows of `levels` in `range`.
    pub fn new(spec: &DepthSpec, levels: &Levels<'_>, range: Range<usize>) -> Self {
        let mut bin = Self { steps: [[MISSING; LEVELS]; 2], values: [[[0.0; LEVELS]; 2]; 3] };
        let (volume, variance) = (spec.has(Feature::Volume), spec.has(Feature::Variance));
        let mut sizes = Sizes::default();
        for side in 0..2 {
            for level in 0..LEVELS {
                let prices = &levels.prices[side][level];
                let (sum, count) = prices.sum(spec, range.clone());
                if count == 0 {
                    continue;
                }
                bin.steps[side][level] = sum.div_euclid(count as i128) as i64;
                let whole = count == range.len();
                let present = |row: &usize| prices.micro_pips(spec, *row).is_some();
                if volume || variance {
                    let column = &levels.sizes[side][level];
                    if whole {
                        sizes.fill(&column[range.clone()]);
                    } else {
                        sizes.runs.clear();
                        range.clone().filter(present).for_each(|row| sizes.push(column[row]));
                    }
                    if variance {
                        bin.values[Feature::Variance as usize][side][level] = sizes.variance();
                    }
                    if volume {
                        bin.values[Feature::Volume as usize][side][level] = sizes.median();
                    }
                }
                if spec.has(Feature::TradeCounts) {
                    let column = &levels.counts[side][level];
                    let sum: u64 = if whole {
                        column[range.clone()].iter().map(|c| u64::from(*c)).sum()
                    } else {
                        range.clone().filter(present).map(|row| u64::from(column[row])).sum()
                    };
                    bin.values[Feature::TradeCounts as usize][side][level] = sum as f64;
                }
            }
        }
        bin
    }
}
