//! The kind `time`: the relative change of the mean mid price from the past window to the future window, both in time.
//!
//! The mid price is a step function of time, so means are weighted by time.

use std::ops::Range;
use std::rc::Rc;

use pulp::{Arch, NullaryFnOnce};

use super::wide::{Wide, nearest};
use super::{Ahead, Rule, Take, stretch_end, stretches};
use crate::cast::to_usize;
use crate::config::Time;
use crate::error::Result;
use crate::label::candidates::Candidates;
use crate::tape::{Chunks, Points, SymbolTape};

/// Number of values passed on at a time.
const PIECE: usize = 1024;

impl Time {
    /// The distance from a row to the end of its label, in nanoseconds.
    fn reach(&self) -> u64 {
        self.offset.0 + self.ahead.0
    }
}

/// Number of times that are looked up together, and number of rows that each is compared with. How many rows come until
/// a time is unpredictable, so all comparisons are made, without a branch.
const TIMES_AT_ONCE: usize = 8;
const ROWS_AT_ONCE: usize = 16;

/// The mid price as a function of time, read forwards. Integrals start at the first row read.
struct Steps<'a> {
    chunks: Rc<Chunks<'a, Points>>,
    /// The index of the current chunk, its points and the row of the first of them.
    chunk: usize,
    points: Rc<Points>,
    first_row: u64,
    /// The place of the last row reached among the points.
    at: usize,
    /// Number of points within the unbroken stretch, which ends at `stretch_end`.
    within: usize,
    stretch_end: u64,
    /// The integral of mid2 up to the first point of the chunk.
    base: i128,
}

/// The mid price as of a time.
#[derive(Debug, Clone, Copy, Default)]
struct Reached {
    /// The last row at or before the time.
    row: u64,
    mid2: i64,
    /// The integral of mid2 up to the time.
    integral: i128,
}

/// Consecutive rows of a chunk.
struct Rows<'a> {
    ts: &'a [u64],
    mid2: &'a [i64],
    area: &'a [i128],
    /// The number of the first row, and the integral of mid2 up to it.
    first_row: u64,
    base: i128,
}

impl Rows<'_> {
    /// The mid price as of `ts`, if the last row at or before it is at `place`.
    #[inline(always)]
    fn reached(&self, place: usize, ts: u64) -> Reached {
        let mid2 = self.mid2[place];
        let integral = self.base + self.area[place] + Points::area_of(mid2, ts - self.ts[place]);
        Reached { row: self.first_row + place as u64, mid2, integral }
    }
}

impl<'a> Steps<'a> {
    /// Starts at `row`, which must be before the end of the stretch.
    fn new(chunks: &Rc<Chunks<'a, Points>>, row: u64, stretch_end: u64) -> Result<Self> {
        let (chunk, first_row) = chunks.locate(row);
        let points = chunks.get(chunk)?;
        let at = to_usize(row - first_row);
        let base = -points.area[at];
        let mut steps = Self { chunks: Rc::clone(chunks), chunk, points, first_row, at, within: 0, stretch_end, base };
        steps.bound();
        Ok(steps)
    }

    /// Sets the number of points of the current chunk that are within the stretch.
    fn bound(&mut self) {
        let left = usize::try_from(self.stretch_end - self.first_row).unwrap_or(usize::MAX);
        self.within = self.points.ts.len().min(left);
    }

    /// The rows of the current chunk that are within the stretch.
    #[inline(always)]
    fn rows(&self) -> Rows<'_> {
        let Points { ts, mid2, area } = &*self.points;
        let (ts, mid2, area) = (&ts[..self.within], &mid2[..self.within], &area[..self.within]);
        Rows { ts, mid2, area, first_row: self.first_row, base: self.base }
    }

    /// Sets `reached` to the mid price as of each of `times`, which must not decrease, neither here nor between calls.
    fn reach(&mut self, times: &[u64], reached: &mut [Reached]) -> Result<()> {
        let mut done = 0;
        while let Some(ts) = times.get(done) {
            self.reach_one(*ts)?;
            reached[done] = self.rows().reached(self.at, *ts);
            done += 1;
            let (times, reached) = (&times[done..], &mut reached[done..]);
            done += Arch::new().dispatch(ReachWithin { steps: self, times, reached });
        }
        Ok(())
    }

    /// Advances to the last row at or before `ts`.
    fn reach_one(&mut self, ts: u64) -> Result<()> {
        loop {
            let ahead = &self.points.ts[self.at + 1..self.within];
            self.at += ahead.iter().take_while(|next| **next <= ts).count();
            if self.at + 1 < self.within || !self.next_chunk(|next| next <= ts)? {
                return Ok(());
            }
        }
    }

    /// Advances to a later row of the stretch.
    fn advance_to(&mut self, row: u64) -> Result<()> {
        while self.first_row + self.within as u64 <= row && self.next_chunk(|_| true)? {}
        self.at = to_usize(row - self.first_row).min(self.within - 1);
        Ok(())
    }

    /// Moves to the first row of the next chunk, if the stretch has one and its time is `wanted`; returns whether it is.
    fn next_chunk(&mut self, wanted: impl Fn(u64) -> bool) -> Result<bool> {
        let first_row = self.first_row + self.points.ts.len() as u64;
        if first_row >= self.stretch_end {
            return Ok(false);
        }
        let points = self.chunks.get(self.chunk + 1)?;
        let Some(ts) = points.ts.first().filter(|ts| wanted(**ts)) else { return Ok(false) };
        // The stretch continues, so all rows of this chunk are within it.
        self.base = self.rows().reached(self.within - 1, *ts).integral;
        (self.chunk, self.points, self.first_row, self.at) = (self.chunk + 1, points, first_row, 0);
        self.bound();
        Ok(true)
    }
}

/// Does the same as [`Steps::reach`] for the first times that are well within a chunk; returns their number. Compiled for
/// the instructions of this machine.
struct ReachWithin<'s, 'a> {
    steps: &'s mut Steps<'a>,
    times: &'s [u64],
    reached: &'s mut [Reached],
}

impl NullaryFnOnce for ReachWithin<'_, '_> {
    type Output = usize;

    #[inline(always)]
    fn call(self) -> usize {
        let Self { steps, times, reached } = self;
        let (rows, mut at) = (steps.rows(), steps.at);
        let mut done = 0;
        let groups = reached.as_chunks_mut::<TIMES_AT_ONCE>().0;
        for (times, reached) in times.as_chunks::<TIMES_AT_ONCE>().0.iter().zip(groups) {
            let ahead = &rows.ts[at + 1..];
            let Some(next) = ahead.first_chunk::<ROWS_AT_ONCE>() else { break };
            let mut counts = [0; TIMES_AT_ONCE];
            for ts in next {
                for (count, time) in counts.iter_mut().zip(times) {
                    *count += u64::from(ts <= time);
                }
            }
            let mut last = to_usize(counts[TIMES_AT_ONCE - 1]);
            if last == ROWS_AT_ONCE {
                last = 0;
                for (count, time) in counts.iter_mut().zip(times) {
                    while ahead.get(last).is_some_and(|ts| ts <= time) {
                        last += 1;
                    }
                    *count = last as u64;
                }
                if last == ahead.len() {
                    break;
                }
            }
            for ((reached, count), ts) in reached.iter_mut().zip(counts).zip(times) {
                *reached = rows.reached(at + to_usize(count), *ts);
            }
            at += last;
            done += TIMES_AT_ONCE;
        }
        steps.at = at;
        done
    }
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

/// Sets the movements and, unless `known` is empty, the known parts; see [`Time::tracks_of`]. Compiled for the instructions
/// of this machine.
struct Movements<'a> {
    time: &'a Time,
    reached: [&'a [Reached]; 4],
    movements: &'a mut [f64],
    known: &'a mut [f64],
}

impl NullaryFnOnce for Movements<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { time, reached: [here, behind, start, end], movements, known } = self;
        // The integral over a window of length zero is the mid price itself.
        let [lookback, ahead] = [time.lookback.0.max(1), time.ahead.0.max(1)];
        let past = |here: &Reached, behind: &Reached| match time.lookback.0 {
            0 => i128::from(behind.mid2),
            _ => here.integral - behind.integral,
        };
        let future = |start: &Reached, end: &Reached| match time.ahead.0 {
            0 => i128::from(end.mid2),
            _ => end.integral - start.integral,
        };
        let pasts = || here.iter().zip(behind);
        for (((to, (here, behind)), start), end) in movements.iter_mut().zip(pasts()).zip(start).zip(end) {
            let movement = movement(past(here, behind), lookback, future(start, end), ahead);
            *to = movement.unwrap_or(f64::NAN);
        }
        for (to, (here, behind)) in known.iter_mut().zip(pasts()) {
            *to = movement(past(here, behind), lookback, here.mid2.into(), 1).unwrap_or(f64::NAN);
        }
    }
}

/// The times of rows, each moved by `shift`, in a buffer.
fn shifted<'t>(buffer: &'t mut Vec<u64>, times: &[u64], shift: impl Fn(u64) -> u64) -> &'t [u64] {
    buffer.clear();
    buffer.extend(times.iter().map(|ts| shift(*ts)));
    buffer
}

impl Rule for Time {
    fn candidates(&self, tape: &SymbolTape, breaks: &[u64]) -> Result<Candidates> {
        let points = Chunks::<Points>::new(tape);
        let mut ranges = Vec::new();
        for stretch in stretches(tape.rows(), breaks).filter(|stretch| !stretch.is_empty()) {
            let (first, last) = (points.reached_at(stretch.start)?, points.reached_at(stretch.end - 1)?);
            // The mid price is known from the first row of the stretch to its last.
            let Some(end) = last.checked_sub(self.reach()) else { continue };
            let from = points.first_row_at(first.saturating_add(self.lookback.0))?.max(stretch.start);
            let after = points.first_row_at(end.saturating_add(1))?.min(stretch.end);
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
        let points = Chunks::new(tape);
        let last = points.reached_at(rows.end - 1)?;
        let after = points.first_row_at(last.saturating_add(self.reach()).saturating_add(1))?;
        Ok(self.first_seen(&points, rows.start)?..after.max(rows.end))
    }

    fn span(&self) -> u64 {
        1 << 16
    }

    /// Up to four cursors advance with the rows, however long the windows are. At most eight chunks of tape are in memory.
    fn compute(
        &self,
        tape: &SymbolTape,
        breaks: &[u64],
        candidates: &Candidates,
        range: Range<u64>,
        take: &mut Take<'_>,
    ) -> Result<()> {
        let chunks = Chunks::new(tape);
        let mut out = vec![Vec::new(); self.tracks()];
        let mut times = Vec::with_capacity(PIECE);
        let [mut here, mut behind, mut start, mut end] = [(); 4].map(|()| vec![Reached::default(); PIECE]);
        for rows in candidates.rows(range) {
            let first = self.first_seen(&chunks, rows.start)?;
            let stretch_end = stretch_end(rows.start, breaks, tape.rows());
            let steps = || Steps::new(&chunks, first, stretch_end);
            let [mut own, mut behind_steps, mut start_steps, mut end_steps] = [steps()?, steps()?, steps()?, steps()?];
            let mut row = rows.start;
            while row < rows.end {
                own.advance_to(row)?;
                let left = usize::try_from(rows.end - row).unwrap_or(usize::MAX);
                let places = own.at..own.within.min(own.at + PIECE.min(left));
                let count = places.len();
                let own_rows = own.rows();
                let own_times = &own_rows.ts[places.clone()];
                for ((here, place), ts) in here.iter_mut().zip(places).zip(own_times) {
                    *here = own_rows.reached(place, *ts);
                }
                // With a length of zero, this is the last of the rows at the same time.
                behind_steps.reach(shifted(&mut times, own_times, |ts| ts - self.lookback.0), &mut behind)?;
                end_steps.reach(shifted(&mut times, own_times, |ts| ts + self.reach()), &mut end)?;
                if self.ahead.0 > 0 && self.offset.0 > 0 {
                    start_steps.reach(shifted(&mut times, own_times, |ts| ts + self.offset.0), &mut start)?;
                }
                let starts = if self.offset.0 > 0 { &start } else { &here };
                take(self.tracks_of([&here[..count], &behind, starts, &end], &mut out))?;
                row += count as u64;
            }
        }
        Ok(())
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
    /// Computes the tracks of rows into `out`, from the mid price as of each row and the ends of its windows: where the
    /// past window starts, and where the future window starts and ends.
    fn tracks_of<'a>(&self, [here, behind, start, end]: [&[Reached]; 4], out: &'a mut [Vec<f64>]) -> &'a [Vec<f64>] {
        out.iter_mut().for_each(|track| track.resize(here.len(), f64::NAN));
        if let [movements, known @ .., ends] = out {
            let reached = [here, behind, start, end];
            let known = known.first_mut().map_or(&mut [][..], Vec::as_mut_slice);
            Arch::new().dispatch(Movements { time: self, reached, movements, known });
            ends.iter_mut().zip(end).for_each(|(to, end)| *to = end.row as f64);
        }
        out
    }

    /// The row in force when the past window of `row` begins; at most `row`.
    fn first_seen(&self, points: &Chunks<'_, Points>, row: u64) -> Result<u64> {
        let begin = points.reached_at(row)?.saturating_sub(self.lookback.0);
        Ok(points.first_row_at(begin.saturating_add(1))?.saturating_sub(1).min(row))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_are_reached_as_if_one_by_one(
            gaps in prop::collection::vec((prop_oneof![Just(0), 0..4u64, 0..60u64], -9..9i64), 1..120),
            waits in prop::collection::vec(prop_oneof![Just(0), 0..4u64, 0..90u64], 1..120),
            at in 0..40usize, beyond in 0..20usize,
        ) {
            let mut points = Points { area: vec![0], ..Points::default() };
            for (gap, mid2) in &gaps {
                points.ts.push(points.ts.last().map_or(7, |ts| ts + gap));
                points.mid2.push(*mid2);
            }
            for (((gap, _), mid2), row) in gaps[1..].iter().zip(&points.mid2).zip(0..) {
                let next = points.area[row] + i128::from(*mid2) * i128::from(*gap);
                points.area.push(next);
            }
            let at = at.min(gaps.len() - 1);
            let within = gaps.len().saturating_sub(beyond).max(at + 1);
            let times: Vec<u64> = waits.iter().scan(points.ts[at], |ts, wait| { *ts += wait; Some(*ts) }).collect();
            let tape: SymbolTape = serde_json::from_str(r#"{"first_row": 0, "rows": 0, "files": []}"#).unwrap();
            let points = Rc::new(points);
            let mut steps = Steps {
                chunks: Chunks::new(&tape),
                chunk: 0,
                points: Rc::clone(&points),
                first_row: 1_000,
                at,
                within,
                stretch_end: 1_000 + within as u64,
                base: 5,
            };
            let mut found = vec![Reached::default(); times.len()];
            steps.reach(&times, &mut found).unwrap();
            for (found, time) in found.iter().zip(&times) {
                let place = points.ts[..within].partition_point(|ts| ts <= time) - 1;
                let since = i128::from(points.mid2[place]) * i128::from(time - points.ts[place]);
                prop_assert_eq!(found.row, 1_000 + place as u64);
                prop_assert_eq!(found.mid2, points.mid2[place]);
                prop_assert_eq!(found.integral, 5 + points.area[place] + since);
            }
            prop_assert_eq!(steps.first_row + steps.at as u64, found[found.len() - 1].row);
        }
    }
}
