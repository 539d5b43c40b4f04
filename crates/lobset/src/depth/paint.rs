//! Bins on the ladder.

use std::borrow::Borrow;

use pulp::{Arch, Simd, WithSimd};

use super::{Bin, DepthSpec, LADDER, LEVELS, MISSING};
use crate::config::Feature;

/// Steps of a half of the ladder.
const HALF: usize = LADDER / 2;

/// Time bins painted together: a cache line of each row of the picture.
const STRIP: usize = 16;

/// Steps on which no colour changes.
const UNCHANGED: [f32; STRIP] = [f32::NAN; STRIP];

/// The levels of one side and bin that lie on the ladder, nearest first: distance from the mid in steps, and level.
#[derive(Clone, Copy)]
struct Placed {
    levels: [(u8, u8); LEVELS],
    count: usize,
}

impl Placed {
    #[inline(always)]
    fn new(steps: &[i64; LEVELS], distance: impl Fn(i64) -> i64) -> Self {
        let mut placed = Self { levels: [(0, 0); LEVELS], count: 0 };
        for (level, step) in (0..).zip(steps) {
            let distance = distance(*step);
            if *step != MISSING && (0..HALF as i64).contains(&distance) {
                placed.put(distance as u8, level);
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
        self.levels.copy_within(place..self.count, place + 1);
        self.levels[place] = (at, level);
        self.count += 1;
    }

    #[inline(always)]
    fn levels(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.levels[..self.count].iter().map(|(at, level)| (usize::from(*at), usize::from(*level)))
    }

    #[inline(always)]
    fn total(&self, values: &[f64; LEVELS]) -> f64 {
        let mut total = 0.0;
        for (_, level) in self.levels() {
            total += values[level];
        }
        total
    }
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
        let place = |bin: &B| {
            let [bids, asks] = &bin.borrow().steps;
            let bids = Placed::new(bids, |step| base.saturating_sub(1).saturating_sub(step));
            [bids, Placed::new(asks, |step| step.saturating_sub(base))]
        };
        let placed: Vec<[Placed; 2]> = bins.iter().map(place).collect();
        for (feature, channel) in spec.features.iter().zip(out.chunks_exact_mut(LADDER * spec.time_bins())) {
            paint_channel(*feature, bins, &placed, channel);
        }
    }
}

#[inline(always)]
fn paint_channel<B: Borrow<Bin>>(feature: Feature, bins: &[B], placed: &[[Placed; 2]], channel: &mut [f32]) {
    let width = bins.len();
    // No value is negative, so sums grow away from the mid: the largest are those of whole sides.
    let mut largest = 0.0_f64;
    for (bin, [bids, asks]) in bins.iter().zip(placed) {
        let values = &bin.borrow().values[feature as usize];
        largest = largest.max(bids.total(&values[0])).max(asks.total(&values[1]));
    }
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let (asks, bids) = channel.split_at_mut(HALF * width);
    let mut strip = [UNCHANGED; HALF];
    for (number, (bins, placed)) in bins.chunks(STRIP).zip(placed.chunks(STRIP)).enumerate() {
        let columns = number * STRIP..number * STRIP + bins.len();
        for side in 0..2 {
            let sign = [-1.0, 1.0][side];
            for (column, (bin, placed)) in bins.iter().zip(placed).enumerate() {
                let values = &bin.borrow().values[feature as usize][side];
                let mut sum = 0.0;
                for (at, level) in placed[side].levels() {
                    sum += values[level];
                    strip[at][column] = (sign * sum / scale + 0.0) as f32;
                }
            }
            // From the mid outwards: each cell is the last change that was passed.
            let half = if side == 1 { &mut *asks } else { &mut *bids };
            let mut colours = [0.0; STRIP];
            for (step, changes) in strip.iter_mut().enumerate() {
                for (colour, change) in colours.iter_mut().zip(changes) {
                    *colour = if change.is_nan() { *colour } else { *change };
                    *change = f32::NAN;
                }
                let line = if side == 1 { HALF - 1 - step } else { step };
                let cells = &mut half[line * width + columns.start..line * width + columns.end];
                if let Some(whole) = cells.first_chunk_mut::<STRIP>() {
                    for (cell, colour) in whole.iter_mut().zip(&colours) {
                        *cell = *colour;
                    }
                } else {
                    cells.copy_from_slice(&colours[..columns.len()]);
                }
            }
        }
    }
}
