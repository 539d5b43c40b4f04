//! Painting time bins on the price ladder.

use std::borrow::Borrow;

use half::f16;
use pulp::{Arch, Simd, WithSimd};

use super::bin::BinLevel;
use super::{Bin, DepthError, DepthSpec, LADDER, LEVELS, Levels, MISSING};
use crate::cast::{low16, single, to_i64, to_u8, to_u16};
use crate::config::Feature;

/// The highest step of the ladder, relative to the last row's mid.
const TOP: i64 = to_i64(LADDER) / 2 - 1;

/// The lowest step of the ladder, relative to the last row's mid.
const BOTTOM: i64 = TOP + 1 - to_i64(LADDER);

/// The levels of one side of a bin that are on the ladder, in the order in which they accumulate: asks from the lowest
/// step up, bids from the highest step down.
#[derive(Clone, Copy)]
struct Placed {
    /// Distance in steps from the end of the ladder where accumulation begins, and number of the level.
    levels: [(u16, u8); LEVELS],
    count: usize,
}

impl Placed {
    #[inline(always)]
    fn new(levels: &[BinLevel; LEVELS], distance: impl Fn(i64) -> i64) -> Self {
        let mut placed = Self { levels: [(0, 0); LEVELS], count: 0 };
        let mut farthest = -1;
        for (number, level) in (0..).zip(levels) {
            let distance = distance(level.step);
            if level.step == MISSING || !(0..to_i64(LADDER)).contains(&distance) {
                continue;
            }
            if distance > farthest {
                placed.levels[placed.count] = (low16(distance.cast_unsigned()), number);
                placed.count += 1;
                farthest = distance;
            } else {
                placed.insert(low16(distance.cast_unsigned()), number);
            }
        }
        placed
    }

    /// Inserts a level out of order. Levels arrive best first: of two on the same step, the deeper one stays.
    #[cold]
    fn insert(&mut self, at: u16, level: u8) {
        match self.levels[..self.count].binary_search_by_key(&at, |(at, _)| *at) {
            Ok(place) => self.levels[place].1 = level,
            Err(place) => {
                self.levels.copy_within(place..self.count, place + 1);
                self.levels[place] = (at, level);
                self.count += 1;
            }
        }
    }
}

/// A row where a bin's channels change, going from the highest step to the lowest.
#[derive(Clone, Copy, Default)]
struct Change {
    /// At first the row; later the position among the changes of all bins, sorted by row.
    at: u32,
    /// Number of asks and bids that count in the row: the first ones in the order of accumulation.
    asks: u8,
    bids: u8,
}

/// The levels of one side of a bin that are on the ladder, in the order in which they accumulate.
struct Side {
    levels: [u8; LEVELS],
    count: u8,
    /// Number of levels on the step where accumulation begins: 0 or 1.
    at_the_end: u8,
}

impl Side {
    #[inline(always)]
    fn new(placed: &Placed) -> Self {
        let levels = &placed.levels;
        Self {
            levels: levels.map(|(_, level)| level),
            count: to_u8(placed.count),
            at_the_end: u8::from(placed.count > 0 && levels[0].0 == 0),
        }
    }

    /// Cumulative sums of a bin's values: over no level, the first one, the first two, and so on.
    #[inline(always)]
    fn sums(&self, bin: &[BinLevel; LEVELS], feature: Feature) -> [f64; LEVELS + 1] {
        let mut sums = [0.0; LEVELS + 1];
        let mut sum = 0.0;
        for (level, place) in self.levels[..usize::from(self.count)].iter().zip(&mut sums[1..]) {
            sum += f64::from(bin[usize::from(*level)].values[feature as usize]);
            *place = sum;
        }
        sums
    }
}

/// A bin on the ladder.
struct Column {
    asks: Side,
    bids: Side,
    /// Changes from the highest step down, one per level. A row that loses an ask and gains a bid has two changes, and
    /// the second one counts.
    changes: [Change; 2 * LEVELS],
}

impl Column {
    /// Finds the changes and counts them by row in `counts`.
    #[inline(always)]
    fn new(bin: &Bin, base: i64, counts: &mut [u32]) -> Self {
        let [bids, asks] = &bin.levels;
        let bids = Placed::new(bids, |step| TOP.saturating_sub(step.saturating_sub(base)));
        let asks = Placed::new(asks, |step| step.saturating_sub(base).saturating_sub(BOTTOM));
        let mut changes = [Change::default(); 2 * LEVELS];
        let mut places = changes.iter_mut();
        let mut put = |row: u16, asks: usize, bids: usize| {
            counts[usize::from(row)] += 1;
            if let Some(place) = places.next() {
                *place = Change { at: row.into(), asks: to_u8(asks), bids: to_u8(bids) };
            }
        };
        let mut gains = (1..).zip(&bids.levels[..bids.count]).peekable();
        for (more, (at, _)) in asks.levels[..asks.count].iter().enumerate().rev() {
            // A row includes the levels on its own step, so an ask is lost in the row below its step.
            let loss = to_u16(LADDER) - at;
            while let Some((held, (gain, _))) = gains.next_if(|(_, (gain, _))| *gain < loss) {
                put(*gain, more + 1, held);
            }
            put(loss, more, gains.peek().map_or(bids.count, |(held, _)| held - 1));
        }
        for (held, (gain, _)) in gains {
            put(*gain, 0, held);
        }
        Self { asks: Side::new(&asks), bids: Side::new(&bids), changes }
    }

    #[inline(always)]
    fn count(&self) -> usize {
        usize::from(self.asks.count + self.bids.count)
    }
}

/// Where the tensor changes from row to row; the same for all channels.
struct Changes {
    columns: Vec<Column>,
    /// The bin of each change, sorted by row.
    bins: Vec<u32>,
    /// Where the changes of each row begin and end. Asks on the lowest step are lost in one more row, below the ladder.
    bounds: [u32; LADDER + 2],
}

/// Values of a channel, asks minus bids.
#[derive(Default)]
struct ChannelSums {
    /// Value of each bin above the ladder: all asks and no bids.
    first: Vec<f64>,
    /// Value after each change, sorted by row.
    changes: Vec<f64>,
}

impl Changes {
    #[inline(always)]
    fn new<B: Borrow<Bin>>(bins: &[B], base: i64) -> Self {
        let mut bounds = [0; LADDER + 2];
        let mut columns: Vec<Column> =
            bins.iter().map(|bin| Column::new(bin.borrow(), base, &mut bounds[1..])).collect();
        // Turn counts into the start of each row; placing a row's changes then moves its start to its end.
        let mut before = 0;
        for bound in &mut bounds[1..] {
            before += std::mem::replace(bound, before);
        }
        let mut places = vec![0; before as usize];
        for (number, column) in (0..).zip(&mut columns) {
            let count = column.count();
            for change in &mut column.changes[..count] {
                let end = &mut bounds[change.at as usize + 1];
                places[*end as usize] = number;
                (change.at, *end) = (*end, *end + 1);
            }
        }
        Self { columns, bins: places, bounds }
    }

    /// Fills `sums` for a channel and returns the largest absolute value on the ladder.
    #[inline(always)]
    fn sum_up<B: Borrow<Bin>>(&self, bins: &[B], feature: Feature, sums: &mut ChannelSums) -> f64 {
        sums.first.clear();
        sums.changes.resize(self.bins.len(), 0.0);
        let mut largest = 0.0_f64;
        for (bin, Column { asks, bids, changes }) in bins.iter().zip(&self.columns) {
            let levels = &bin.borrow().levels;
            let (bid_sums, ask_sums) = (bids.sums(&levels[0], feature), asks.sums(&levels[1], feature));
            let sum = |asks: u8, bids: u8| ask_sums[usize::from(asks)] - bid_sums[usize::from(bids)];
            sums.first.push(sum(asks.count, 0));
            for change in &changes[..usize::from(asks.count + bids.count)] {
                sums.changes[change.at as usize] = sum(change.asks, change.bids);
            }
            // No feature is negative, so a channel never rises from the top row down: its extremes are at the two ends.
            largest = largest.max(sum(asks.count, bids.at_the_end)).max(-sum(asks.at_the_end, bids.count));
        }
        largest
    }

    /// Paints a channel row by row; each row is the previous one with its changes applied.
    #[inline(always)]
    fn paint<C: Colour>(&self, sums: &ChannelSums, scale: f64, scratch: &mut Scratch<C>, channel: &mut [C]) {
        let Scratch { colours, line } = scratch;
        // Adding 0 turns -0, which a quotient may round to, into 0.
        let colour = |sum: &f64| C::of(single(sum / scale) + 0.0);
        colours.clear();
        colours.extend(sums.changes.iter().map(colour));
        line.clear();
        line.extend(sums.first.iter().map(colour));
        for (row, out) in channel.chunks_exact_mut(line.len()).enumerate() {
            let changes = self.bounds[row] as usize..self.bounds[row + 1] as usize;
            for (bin, colour) in self.bins[changes.clone()].iter().zip(&colours[changes]) {
                line[*bin as usize] = *colour;
            }
            out.copy_from_slice(line);
        }
    }
}

struct Scratch<C> {
    colours: Vec<C>,
    line: Vec<C>,
}

/// The number of a cell of a tensor.
pub trait Colour: Copy + Send + Sync {
    /// From a number between -1 and 1.
    fn of(value: f32) -> Self;
}

impl Colour for f32 {
    fn of(value: f32) -> Self {
        value
    }
}

impl Colour for f16 {
    fn of(value: f32) -> Self {
        Self::from_f32(value)
    }
}

/// The nearest of 255 numbers from -127 to 127, ties to even.
impl Colour for i8 {
    #[expect(clippy::cast_possible_truncation, reason = "the number is between -127 and 127")]
    fn of(value: f32) -> Self {
        (value * 127.0).round_ties_even() as Self
    }
}

impl DepthSpec {
    /// Writes the tensor of exactly [`samples`](Self::samples) rows into `out` (C order, [`cells`](Self::cells) long).
    ///
    /// # Errors
    /// [`DepthError`] when `levels` has a different number of rows, or the last row lacks its best bid or ask.
    pub fn process(&self, levels: &Levels<'_>, out: &mut [f32]) -> Result<(), DepthError> {
        if levels.rows() != self.samples() {
            return Err(DepthError::Rows { samples: self.samples(), rows: levels.rows() });
        }
        let base = levels.base(self, self.samples() - 1).ok_or(DepthError::NoMid)?;
        let bins = Bin::of_rows(self, levels, 0..self.samples());
        self.paint(&bins, base, out);
        Ok(())
    }

    /// Paints [`time_bins`](Self::time_bins) bins into `out` ([`cells`](Self::cells) long, C order). The ladder runs
    /// from `base - 201` to `base + 200`.
    pub(super) fn paint<B: Borrow<Bin>, C: Colour>(&self, bins: &[B], base: i64, out: &mut [C]) {
        Arch::new().dispatch(Paint { spec: self, bins, base, out });
    }
}

impl DepthSpec {
    /// Number of ladder rows of the bins of a window: both sides, ten levels, [`time_bins`](Self::time_bins). There are as
    /// many values of each feature.
    pub fn bin_cells(&self) -> usize {
        2 * LEVELS * self.time_bins()
    }

    /// The row of a step on the ladder around `base`, the highest price first; `None` if it is off the ladder.
    pub(crate) fn ladder_row(step: i64, base: i64) -> Option<i16> {
        let row = TOP.saturating_sub(step.saturating_sub(base));
        i16::try_from(row).ok().filter(|row| (0..to_i64(LADDER)).contains(&i64::from(*row)))
    }

    /// Writes bins as arrays, in which each level of each side is a row over time.
    pub(super) fn spread_out(&self, bins: &[&Bin], base: i64, ladder_rows: &mut [i16], values: &mut [f32]) {
        for (time, bin) in bins.iter().enumerate() {
            let places = (time..).step_by(bins.len());
            for (level, place) in bin.levels.iter().flatten().zip(places) {
                let row = if level.step == MISSING { None } else { Self::ladder_row(level.step, base) };
                ladder_rows[place] = row.unwrap_or(-1);
                for (feature, values) in self.features().iter().zip(values.chunks_exact_mut(self.bin_cells())) {
                    values[place] = level.values[*feature as usize];
                }
            }
        }
    }

    /// Paints the bins of a window, as [`WindowCache::bins`](super::WindowCache::bins) writes them, into `out`
    /// ([`cells`](Self::cells) long).
    ///
    /// # Errors
    /// [`DepthError::Lengths`] when an array has another length than it should have.
    pub fn paint_bins<C: Colour>(&self, ladder_rows: &[i16], values: &[f32], out: &mut [C]) -> Result<(), DepthError> {
        let cells = self.bin_cells();
        if ladder_rows.len() != cells || values.len() != cells * self.features().len() || out.len() != self.cells() {
            return Err(DepthError::Lengths);
        }
        let bin = |time: usize| {
            let mut bin = Bin::EMPTY;
            let places = (time..).step_by(self.time_bins());
            for (level, place) in bin.levels.iter_mut().flatten().zip(places) {
                if let row @ 0.. = i64::from(ladder_rows[place]) {
                    level.step = TOP - row;
                }
                for (feature, values) in self.features().iter().zip(values.chunks_exact(cells)) {
                    level.values[*feature as usize] = values[place];
                }
            }
            bin
        };
        let bins: Vec<Bin> = (0..self.time_bins()).map(bin).collect();
        self.paint(&bins, 0, out);
        Ok(())
    }
}

/// Body of [`DepthSpec::paint`], compiled for several instruction sets; the best one of the machine runs.
struct Paint<'a, B, C> {
    spec: &'a DepthSpec,
    bins: &'a [B],
    base: i64,
    out: &'a mut [C],
}

impl<B: Borrow<Bin>, C: Colour> WithSimd for Paint<'_, B, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { spec, bins, base, out } = self;
        let changes = Changes::new(bins, base);
        let (mut sums, mut scratch) = (ChannelSums::default(), Scratch { colours: Vec::new(), line: Vec::new() });
        for (feature, channel) in spec.features().iter().zip(out.chunks_exact_mut(LADDER * bins.len())) {
            let largest = changes.sum_up(bins, *feature, &mut sums);
            let scale = if largest > 0.0 { largest } else { 1.0 };
            changes.paint(&sums, scale, &mut scratch, channel);
        }
    }
}
