//! The kind `time`: the relative change of the mean mid price from the past window to the future window, both in time.
//!
//! The mid price is a step function of time, so means are weighted by time.

use std::ops::Range;
use std::rc::Rc;

use pulp::Arch;

use super::wide::{Wide, nearest};
use super::{Ahead, Rule, Take, stretch_end, stretches};
use crate::cast::to_usize;
use crate::config::Time;
use crate::error::Result;
use crate::label::candidates::Candidates;
use crate::tape::{Chunks, Point, SymbolTape};

/// Number of values passed on at a time.
const PIECE: usize = 1024;

impl Time {
    /// The distance from a row to the end of its label, in nanoseconds.
    fn reach(&self) -> u64 {
        self.offset.0 + self.ahead.0
    }
}

/// Number of points that are compared with a time together.
const AT_ONCE: usize = 4;

/// The mid price as a function of time, read forwards. Integrals start at the first row read.
struct Steps<'a> {
    chunks: Rc<Chunks<'a, Point>>,
    /// The index of the current chunk, its points and the row of the first of them.
    chunk: usize,
    points: Rc<Vec<Point>>,
    first_row: u64,
    /// The place of the last row reached among the points.
    at: usize,
    /// Number of points within the unbroken stretch, which ends at `stretch_end`.
    within: usize,
    stretch_end: u64,
    /// The integral of mid2 up to the first point of the chunk.
    base: i128,
}

impl<'a> Steps<'a> {
    /// Starts at `row`, which must be before the end of the stretch.
    fn new(chunks: &Rc<Chunks<'a, Point>>, row: u64, stretch_end: u64) -> Result<Self> {
        let (chunk, first_row) = chunks.locate(row);
        let points = chunks.get(chunk)?;
        let at = to_usize(row - first_row);
        let base = -points[at].area;
        let mut steps = Self { chunks: Rc::clone(chunks), chunk, points, first_row, at, within: 0, stretch_end, base };
        steps.bound();
        Ok(steps)
    }

    /// Sets the number of points of the current chunk that are within the stretch.
    fn bound(&mut self) {
        let left = usize::try_from(self.stretch_end - self.first_row).unwrap_or(usize::MAX);
        self.within = self.points.len().min(left);
    }

    /// The last row reached.
    #[inline]
    fn last(&self) -> &Point {
        &self.points[self.at]
    }

    /// The number of the last row reached.
    #[inline]
    fn row(&self) -> u64 {
        self.first_row + self.at as u64
    }

    /// The integral of mid2 up to the last row reached.
    #[inline]
    fn integral(&self) -> i128 {
        self.base + self.last().area
    }

    /// The integral of mid2 up to `ts`, which [`reach`](Self::reach) has reached.
    #[inline]
    fn integral_to(&self, ts: u64) -> i128 {
        self.integral() + self.last().area_to(ts)
    }

    /// Advances to the last row at or before `ts`, which must not decrease between calls.
    #[inline]
    fn reach(&mut self, ts: u64) -> Result<()> {
        loop {
            let mut ahead = &self.points[self.at + 1..self.within];
            let mut reached = AT_ONCE;
            // How many rows come until `ts` is unpredictable, so several are compared without a branch.
            while let Some((next, after)) = ahead.split_first_chunk::<AT_ONCE>()
                && reached == AT_ONCE
            {
                reached = next.iter().map(|point| usize::from(point.ts <= ts)).sum();
                (self.at, ahead) = (self.at + reached, after);
            }
            if reached == AT_ONCE {
                reached = ahead.iter().map(|point| usize::from(point.ts <= ts)).sum();
                self.at += reached;
            }
            if self.at + 1 < self.within || !self.next_chunk(|next| next.ts <= ts)? {
                return Ok(());
            }
        }
    }

    /// Advances to a later row of the stretch.
    #[inline]
    fn advance_to(&mut self, row: u64) -> Result<()> {
        while self.first_row + self.within as u64 <= row && self.next_chunk(|_| true)? {}
        self.at = to_usize(row - self.first_row).min(self.within - 1);
        Ok(())
    }

    /// Moves to the first row of the next chunk, if the stretch has one and it is `wanted`; returns whether it is.
    fn next_chunk(&mut self, wanted: impl Fn(&Point) -> bool) -> Result<bool> {
        let first_row = self.first_row + self.points.len() as u64;
        if first_row >= self.stretch_end {
            return Ok(false);
        }
        let points = self.chunks.get(self.chunk + 1)?;
        let (Some(first), Some(last)) = (points.first().filter(|first| wanted(first)), self.points.last()) else {
            return Ok(false);
        };
        self.base += last.area + last.area_to(first.ts);
        (self.chunk, self.points, self.first_row, self.at) = (self.chunk + 1, points, first_row, 0);
        self.bound();
        Ok(true)
    }
}

/// What the label of a row is computed from.
struct Windows {
    /// The integrals of mid2 over the windows, or mid2 where a window has length zero.
    past: i128,
    future: i128,
    /// The row's own.
    mid2: i64,
    /// The last row that the label looks at.
    end: u64,
}

/// The relative change from the mean `behind / lookback` to the mean `ahead / length`. Numerator and denominator are
/// exact; each is rounded once. `None` unless `behind` is above zero.
#[inline(always)]
fn movement(behind: i128, lookback: u64, ahead: i128, length: u64) -> Option<f64> {
    if behind <= 0 {
        return None;
    }
    // Windows of up to half a day: 2^80 times 2^46 fits, and so does the difference of two such products.
    if behind >> 80 == 0 && matches!(ahead >> 80, -1..=0) && (length | lookback) >> 46 == 0 {
        let below = behind * i128::from(length);
        return Some(nearest(ahead * i128::from(lookback) - below) / nearest(below));
    }
    let below = Wide::product(behind, length);
    Some(Wide::product(ahead, lookback).minus(below).nearest() / below.nearest())
}

impl Rule for Time {
    fn candidates(&self, tape: &SymbolTape, breaks: &[u64]) -> Result<Candidates> {
        let mut ranges = Vec::new();
        for stretch in stretches(tape.rows(), breaks).filter(|stretch| !stretch.is_empty()) {
            let (first, last) = (tape.reached_at(stretch.start)?, tape.reached_at(stretch.end - 1)?);
            // The mid price is known from the first row of the stretch to its last.
            let Some(end) = last.checked_sub(self.reach()) else { continue };
            let from = tape.first_row_at(first.saturating_add(self.lookback.0))?.max(stretch.start);
            let after = tape.first_row_at(end.saturating_add(1))?.min(stretch.end);
            ranges.push(from..after.max(from));
        }
        Ok(Candidates::new(ranges))
    }

    fn fit_end(&self, tape: &SymbolTape, until: u64, boundary_row: u64) -> Result<u64> {
        Ok(tape.first_row_at(until.saturating_sub(self.reach()))?.min(boundary_row))
    }

    fn ahead(&self) -> Ahead {
        Ahead::Time(self.reach())
    }

    fn seen(&self, tape: &SymbolTape, rows: Range<u64>) -> Result<Range<u64>> {
        let (first, last) = (tape.reached_at(rows.start)?, tape.reached_at(rows.end - 1)?);
        let from = self.first_seen(tape, rows.start, first)?;
        Ok(from..tape.first_row_at(last.saturating_add(self.reach()).saturating_add(1))?.max(rows.end))
    }

    fn span(&self) -> u64 {
        1 << 16
    }

    /// Each row advances up to four cursors by one step, however long the windows are. At most eight chunks of tape are in
    /// memory.
    fn compute(
        &self,
        tape: &SymbolTape,
        breaks: &[u64],
        candidates: &Candidates,
        range: Range<u64>,
        take: &mut Take<'_>,
    ) -> Result<()> {
        let chunks = Chunks::<Point>::new(tape);
        let mut windows = Vec::with_capacity(PIECE);
        let mut out = vec![Vec::new(); self.tracks()];
        for rows in candidates.rows(range) {
            let first = self.first_seen(tape, rows.start, tape.reached_at(rows.start)?)?;
            let stretch_end = stretch_end(rows.start, breaks, tape.rows());
            let steps = || Steps::new(&chunks, first, stretch_end);
            let [mut own, mut behind, mut start, mut end] = [steps()?, steps()?, steps()?, steps()?];
            for row in rows {
                own.advance_to(row)?;
                let Point { ts, mid2, .. } = *own.last();
                let (from, to) = (ts + self.offset.0, ts + self.reach());
                end.reach(to)?;
                let past = match self.lookback.0 {
                    0 => {
                        // The last of the rows at this time.
                        behind.reach(ts)?;
                        i128::from(behind.last().mid2)
                    }
                    length => {
                        behind.reach(ts - length)?;
                        own.integral() - behind.integral_to(ts - length)
                    }
                };
                let future = match (self.ahead.0, self.offset.0) {
                    (0, _) => i128::from(end.last().mid2),
                    (_, 0) => end.integral_to(to) - own.integral(),
                    _ => {
                        start.reach(from)?;
                        end.integral_to(to) - start.integral_to(from)
                    }
                };
                windows.push(Windows { past, future, mid2, end: end.row() });
                if windows.len() == PIECE {
                    take(self.tracks_of(&windows, &mut out))?;
                    windows.clear();
                }
            }
        }
        match windows.is_empty() {
            true => Ok(()),
            false => take(self.tracks_of(&windows, &mut out)),
        }
    }

    /// The last track is the last row that a label looks at.
    fn tracks(&self) -> usize {
        if self.lookback.0 == 0 { 2 } else { 3 }
    }

    fn known_track(&self) -> Option<usize> {
        (self.lookback.0 > 0).then_some(1)
    }

    fn end_track(&self) -> Option<usize> {
        Some(self.tracks() - 1)
    }

    fn end(&self, _: u64, tracks: [f64; 2]) -> u64 {
        crate::cast::whole_unsigned(tracks[1])
    }
}

impl Time {
    /// Computes the tracks of rows from their windows into `out`.
    fn tracks_of<'a>(&self, windows: &[Windows], out: &'a mut [Vec<f64>]) -> &'a [Vec<f64>] {
        // The integral over a window of length zero is the mid price itself.
        let [lookback, ahead] = [self.lookback.0.max(1), self.ahead.0.max(1)];
        out.iter_mut().for_each(|track| track.resize(windows.len(), f64::NAN));
        if let [movements, known @ .., ends] = out {
            // Compiled for the instructions of this machine.
            Arch::new().dispatch(|| {
                for (of_row, to) in windows.iter().zip(movements.iter_mut()) {
                    *to = movement(of_row.past, lookback, of_row.future, ahead).unwrap_or(f64::NAN);
                }
                for (of_row, to) in windows.iter().zip(known.iter_mut().flatten()) {
                    *to = movement(of_row.past, lookback, of_row.mid2.into(), 1).unwrap_or(f64::NAN);
                }
            });
            ends.iter_mut().zip(windows).for_each(|(to, of_row)| *to = of_row.end as f64);
        }
        out
    }

    /// The row in force when the past window of `row`, at the time `ts`, begins; at most `row`.
    fn first_seen(&self, tape: &SymbolTape, row: u64, ts: u64) -> Result<u64> {
        let begin = ts.saturating_sub(self.lookback.0);
        Ok(tape.first_row_at(begin.saturating_add(1))?.saturating_sub(1).min(row))
    }
}
