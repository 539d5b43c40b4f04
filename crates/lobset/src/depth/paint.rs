//! Bins on the ladder.

use std::borrow::Borrow;

use super::{Bin, DepthSpec, LADDER, LEVELS, MISSING};
use crate::config::Feature;

/// Steps of a half of the ladder.
const HALF: usize = LADDER / 2;

/// Time bins painted together: a cache line of each row of the picture.
const STRIP: usize = 16;

/// The levels of one side and bin that lie on the ladder: distance from the mid in steps, value; nearest first.
struct Placed {
    levels: [(usize, f64); LEVELS],
    count: usize,
}

impl Placed {
    fn new(steps: &[i64; LEVELS], values: &[f64; LEVELS], distance: impl Fn(i64) -> i64) -> Self {
        let mut placed = Self { levels: [(0, 0.0); LEVELS], count: 0 };
        for (step, value) in steps.iter().zip(values) {
            if *step == MISSING {
                continue;
            }
            if let Ok(at) = usize::try_from(distance(*step))
                && at < HALF
            {
                placed.put(at, *value);
            }
        }
        placed
    }

    /// Levels come from the best one on: of two on the same step the deeper one stays.
    fn put(&mut self, at: usize, value: f64) {
        let mut place = self.count;
        while place > 0 && self.levels[place - 1].0 > at {
            place -= 1;
        }
        if place > 0 && self.levels[place - 1].0 == at {
            self.levels[place - 1].1 = value;
            return;
        }
        self.levels.copy_within(place..self.count, place + 1);
        self.levels[place] = (at, value);
        self.count += 1;
    }

    fn levels(&self) -> &[(usize, f64)] {
        &self.levels[..self.count]
    }

    fn total(&self) -> f64 {
        self.levels().iter().map(|l| l.1).sum()
    }
}

impl DepthSpec {
    /// Paints [`time_bins`](Self::time_bins) bins around `base`, the lowest step of the ask half, into `out`
    /// ([`cells`](Self::cells) long, C order).
    pub fn paint<B: Borrow<Bin>>(&self, bins: &[B], base: i64, out: &mut [f32]) {
        let width = self.time_bins();
        for (feature, channel) in self.features.iter().zip(out.chunks_exact_mut(LADDER * width)) {
            paint_channel(*feature, bins, base, channel, width);
        }
    }
}

fn paint_channel<B: Borrow<Bin>>(feature: Feature, bins: &[B], base: i64, channel: &mut [f32], width: usize) {
    let place = |bin: &B| {
        let bin = bin.borrow();
        let values = &bin.values[feature as usize];
        let bids = Placed::new(&bin.steps[0], &values[0], |step| base.saturating_sub(1).saturating_sub(step));
        let asks = Placed::new(&bin.steps[1], &values[1], |step| step.saturating_sub(base));
        (bids, asks)
    };
    let placed: Vec<(Placed, Placed)> = bins.iter().map(place).collect();
    // No value is negative, so sums grow away from the mid: the largest are those of whole sides.
    let largest = placed.iter().map(|(bids, asks)| bids.total().max(asks.total())).fold(0.0, f64::max);
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let mut strip = [[0.0_f32; STRIP]; LADDER];
    for (number, placed) in placed.chunks(STRIP).enumerate() {
        for (column, (bids, asks)) in placed.iter().enumerate() {
            let (ask_half, bid_half) = strip.split_at_mut(HALF);
            fill(asks, |sum| (sum / scale) as f32, ask_half.iter_mut().rev().map(|row| &mut row[column]));
            fill(bids, |sum| (0.0 - sum / scale) as f32, bid_half.iter_mut().map(|row| &mut row[column]));
        }
        let from = number * STRIP;
        for (row, line) in strip.iter().zip(channel.chunks_exact_mut(width)) {
            match line[from..].first_chunk_mut::<STRIP>() {
                Some(whole) => *whole = *row,
                None => line[from..].copy_from_slice(&row[..placed.len()]),
            }
        }
    }
}

/// Fills one half of one column, from the mid outwards, with the running sum of the levels passed.
#[inline]
fn fill<'a>(placed: &Placed, shade: impl Fn(f64) -> f32, cells: impl Iterator<Item = &'a mut f32>) {
    let mut cells = cells;
    let (mut sum, mut colour, mut at) = (0.0, 0.0, 0);
    for &(distance, value) in placed.levels() {
        cells.by_ref().take(distance - at).for_each(|cell| *cell = colour);
        at = distance;
        sum += value;
        colour = shade(sum);
    }
    cells.for_each(|cell| *cell = colour);
}
