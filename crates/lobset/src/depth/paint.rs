//! Bins on the ladder.

use std::borrow::Borrow;

use pulp::{Arch, Simd, WithSimd};

use super::bin::BinLevel;
use super::{Bin, DepthSpec, LADDER, LEVELS, MISSING};
use crate::config::Feature;

/// Steps of a half of the ladder.
const HALF: usize = LADDER / 2;

/// The levels of one side and bin that lie on the ladder, nearest first: distance from the mid in steps, and level.
#[derive(Clone, Copy)]
struct Placed {
    levels: [(u8, u8); LEVELS],
    count: usize,
}

impl Placed {
    #[inline(always)]
    fn new(levels: &[BinLevel; LEVELS], distance: impl Fn(i64) -> i64) -> Self {
        let mut placed = Self { levels: [(0, 0); LEVELS], count: 0 };
        for (number, level) in (0..).zip(levels) {
            let distance = distance(level.step);
            if level.step != MISSING && (0..HALF as i64).contains(&distance) {
                placed.put(distance as u8, number);
            }
        }
        placed
    }

    /// Levels come from the best one on: of two on the same step the deeper one stays.
    #[inline(always)]
    fn put(&mut self, at: u8, level: u8) {
        let mut place = self.count;
        while place > 0 && self.levels[place - 1].0 > at {
            place -= 1;
        }
        if place > 0 && self.levels[place - 1].0 == at {
            self.levels[place - 1].1 = level;
            return;
        }
        if place < self.count {
            self.levels.copy_within(place..self.count, place + 1);
        }
        self.levels[place] = (at, level);
        self.count += 1;
    }
}

/// Where one side's half of the picture changes from step to step, the same for all channels. Changes are sorted by step.
struct Side {
    /// Painted from the farthest step to the mid, as the rows of asks come; those of bids come from the mid on.
    inwards: bool,
    /// Bin by bin from the mid outwards: the change and the level.
    levels: Vec<(u32, u8)>,
    /// How many levels each bin has on the ladder.
    counts: Vec<u8>,
    /// The bin of each change.
    columns: Vec<u32>,
    /// Where each step's changes begin, and where they end; one step beyond the ladder has none.
    bounds: [u32; HALF + 2],
}

/// The sums of a side's bins as painting comes by them.
#[derive(Default)]
struct Sums {
    /// Of each bin, before the first line.
    first: Vec<f64>,
    /// What each change leads to.
    changes: Vec<f64>,
}

impl Side {
    #[inline(always)]
    fn new<B: Borrow<Bin>>(bins: &[B], side: usize, distance: impl Fn(i64) -> i64) -> Self {
        let mut bounds = [0; HALF + 2];
        let mut counts = Vec::with_capacity(bins.len());
        let mut levels = Vec::with_capacity(bins.len() * LEVELS);
        for bin in bins {
            let placed = Placed::new(&bin.borrow().levels[side], &distance);
            counts.push(placed.count as u8);
            for (at, level) in &placed.levels[..placed.count] {
                bounds[usize::from(*at) + 1] += 1;
                levels.push((u32::from(*at), *level));
            }
        }
        // From counts to where each step begins; placing its changes moves that to where it ends.
        let mut before = 0;
        for bound in &mut bounds[1..] {
            before += std::mem::replace(bound, before);
        }
        let mut columns = vec![0; levels.len()];
        let mut rest = levels.as_mut_slice();
        for (column, count) in (0..).zip(&counts) {
            let (here, after) = rest.split_at_mut(usize::from(*count));
            rest = after;
            for (at, _) in here {
                let change = &mut bounds[*at as usize + 1];
                columns[*change as usize] = column;
                (*at, *change) = (*change, *change + 1);
            }
        }
        Self { inwards: side == 1, levels, counts, columns, bounds }
    }

    /// Replaces `sums` by those of a channel: of a bin's values from the mid to each step. Returns the largest.
    #[inline(always)]
    fn sum_up<B: Borrow<Bin>>(&self, bins: &[B], side: usize, feature: Feature, sums: &mut Sums) -> f64 {
        sums.first.clear();
        sums.changes.resize(self.levels.len(), 0.0);
        let mut largest = 0.0_f64;
        let mut rest = self.levels.as_slice();
        for (bin, count) in bins.iter().zip(&self.counts) {
            let levels = &bin.borrow().levels[side];
            let (here, after) = rest.split_at(usize::from(*count));
            rest = after;
            let mut sum = 0.0;
            for (change, level) in here {
                let before = sum;
                sum += levels[usize::from(*level)].values[feature as usize];
                sums.changes[*change as usize] = if self.inwards { before } else { sum };
            }
            sums.first.push(if self.inwards { sum } else { 0.0 });
            // No value is negative: sums grow away from the mid.
            largest = largest.max(sum);
        }
        largest
    }

    /// Paints this half, row by row: each is the one before but for its changes.
    #[inline(always)]
    fn paint(&self, sums: &Sums, colour: impl Fn(f64) -> f32, scratch: &mut Scratch, half: &mut [f32]) {
        let Scratch { colours, line } = scratch;
        colours.clear();
        colours.extend(sums.changes.iter().map(|sum| colour(*sum)));
        line.clear();
        line.extend(sums.first.iter().map(|sum| colour(*sum)));
        for (row, out) in half.chunks_exact_mut(line.len()).enumerate() {
            // On the way to the mid, a line has lost what the step beyond had added.
            let step = if self.inwards { HALF - row } else { row };
            let changes = self.bounds[step] as usize..self.bounds[step + 1] as usize;
            for (column, colour) in self.columns[changes.clone()].iter().zip(&colours[changes]) {
                line[*column as usize] = *colour;
            }
            out.copy_from_slice(line);
        }
    }
}

#[derive(Default)]
struct Scratch {
    colours: Vec<f32>,
    line: Vec<f32>,
}

impl DepthSpec {
    /// Paints [`time_bins`](Self::time_bins) bins around `base`, the lowest step of the ask half, into `out`
    /// ([`cells`](Self::cells) long, C order).
    pub fn paint<B: Borrow<Bin>>(&self, bins: &[B], base: i64, out: &mut [f32]) {
        Arch::new().dispatch(Paint { spec: self, bins, base, out });
    }
}

/// The work of [`DepthSpec::paint`], compiled for several instruction sets; the machine's own is taken.
struct Paint<'a, B> {
    spec: &'a DepthSpec,
    bins: &'a [B],
    base: i64,
    out: &'a mut [f32],
}

impl<B: Borrow<Bin>> WithSimd for Paint<'_, B> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { spec, bins, base, out } = self;
        let width = bins.len();
        let bids = Side::new(bins, 0, |step| base.saturating_sub(1).saturating_sub(step));
        let asks = Side::new(bins, 1, |step| step.saturating_sub(base));
        let (mut bid_sums, mut ask_sums) = (Sums::default(), Sums::default());
        let mut scratch = Scratch::default();
        for (feature, channel) in spec.features.iter().zip(out.chunks_exact_mut(LADDER * width)) {
            let largest_bid = bids.sum_up(bins, 0, *feature, &mut bid_sums);
            let largest = asks.sum_up(bins, 1, *feature, &mut ask_sums).max(largest_bid);
            let scale = if largest > 0.0 { largest } else { 1.0 };
            let (above, below) = channel.split_at_mut(HALF * width);
            asks.paint(&ask_sums, |sum| (sum / scale) as f32, &mut scratch, above);
            bids.paint(&bid_sums, |sum| (-sum / scale + 0.0) as f32, &mut scratch, below);
        }
    }
}
