//! The kind `time`: the relative change of the mean mid price from the past window to the future window, both in time.
//!
//! The mid price is a step function of time, so means are weighted by time.

use std::ops::Range;

use super::wide::{Wide, nearest};
use super::{Ahead, Rule, Take, stretch_end, stretches};
use crate::config::Time;
use crate::error::Result;
use crate::label::candidates::Candidates;
use crate::tape::{Moment, MomentCursor, SymbolTape};

/// Number of values passed on at a time.
const PIECE: usize = 4096;

impl Time {
    /// The distance from a row to the end of its label, in nanoseconds.
    fn reach(&self) -> u64 {
        self.offset.0 + self.ahead.0
    }
}

/// The mid price as a function of time, read forwards. Integrals start at the first row read.
struct Steps<'a> {
    cursor: MomentCursor<'a>,
    /// The last row reached, and its number.
    last: Moment,
    row: u64,
    /// The end of the unbroken stretch.
    stretch_end: u64,
    /// The integral of mid2 up to that row.
    integral: i128,
}

impl<'a> Steps<'a> {
    /// Starts at `row`, which must be before the end of the tape.
    fn new(tape: &'a SymbolTape, row: u64, stretch_end: u64) -> Result<Self> {
        let mut cursor = MomentCursor::new(tape, row)?;
        let last = cursor.peek()?.unwrap_or(Moment { ts: 0, mid2: 0, spread: 0 });
        cursor.skip(1);
        Ok(Self { cursor, last, row, stretch_end, integral: 0 })
    }

    /// Advances to the last row at or before `ts`, which must not decrease between calls.
    #[inline]
    fn reach(&mut self, ts: u64) -> Result<()> {
        loop {
            let values = self.cursor.values()?;
            let most = values.len().min(usize::try_from(self.stretch_end - self.row - 1).unwrap_or(usize::MAX));
            let mut reached = 0;
            for next in values[..most].iter().take_while(|next| next.ts <= ts) {
                self.integral += i128::from(self.last.mid2) * i128::from(next.ts - self.last.ts);
                self.last = *next;
                reached += 1;
            }
            self.row += reached as u64;
            self.cursor.skip(reached);
            // The next row can be within reach only if all remaining rows of the chunk were.
            if reached == 0 || reached < most {
                return Ok(());
            }
        }
    }

    /// The integral of mid2 up to `ts`, which [`reach`](Self::reach) has reached.
    #[inline]
    fn integral_to(&self, ts: u64) -> i128 {
        self.integral + i128::from(self.last.mid2) * i128::from(ts - self.last.ts)
    }
}

/// The relative change from the mean `behind / lookback` to the mean `ahead / length`. Numerator and denominator are
/// exact; each is rounded once. `None` unless `behind` is above zero.
#[inline]
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

    /// Each row advances four cursors by one step, however long the windows are. Four chunks of tape are in memory.
    fn compute(
        &self,
        tape: &SymbolTape,
        breaks: &[u64],
        candidates: &Candidates,
        range: Range<u64>,
        take: &mut Take<'_>,
    ) -> Result<()> {
        let mut out = vec![Vec::with_capacity(PIECE); self.tracks()];
        for rows in candidates.rows(range) {
            let mut own = MomentCursor::new(tape, rows.start)?;
            let first = own.peek()?.map_or(0, |moment| moment.ts);
            let from = self.first_seen(tape, rows.start, first)?;
            let stretch_end = stretch_end(rows.start, breaks, tape.rows());
            let steps = || Steps::new(tape, from, stretch_end);
            let [mut behind, mut now, mut start, mut end] = [steps()?, steps()?, steps()?, steps()?];
            for _ in rows {
                let Some(Moment { ts, mid2, .. }) = own.peek()? else { break };
                own.skip(1);
                let (from, to) = (ts + self.offset.0, ts + self.reach());
                now.reach(ts)?;
                end.reach(to)?;
                let (past, lookback) = match self.lookback.0 {
                    0 => (i128::from(now.last.mid2), 1),
                    length => {
                        behind.reach(ts - length)?;
                        (now.integral_to(ts) - behind.integral_to(ts - length), length)
                    }
                };
                let (future, ahead) = match self.ahead.0 {
                    0 => (i128::from(end.last.mid2), 1),
                    length => {
                        let before = match self.offset.0 {
                            0 => now.integral_to(ts),
                            _ => {
                                start.reach(from)?;
                                start.integral_to(from)
                            }
                        };
                        (end.integral_to(to) - before, length)
                    }
                };
                if let [movements, known @ .., ends] = out.as_mut_slice() {
                    movements.push(movement(past, lookback, future, ahead).unwrap_or(f64::NAN));
                    if let [known] = known {
                        known.push(movement(past, lookback, mid2.into(), 1).unwrap_or(f64::NAN));
                    }
                    ends.push(end.row as f64);
                    if movements.len() == PIECE {
                        take(&out)?;
                        out.iter_mut().for_each(Vec::clear);
                    }
                }
            }
        }
        if out.iter().any(|track| !track.is_empty()) {
            take(&out)?;
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
    /// The row in force when the past window of `row`, at the time `ts`, begins; at most `row`.
    fn first_seen(&self, tape: &SymbolTape, row: u64, ts: u64) -> Result<u64> {
        let begin = ts.saturating_sub(self.lookback.0);
        Ok(tape.first_row_at(begin.saturating_add(1))?.saturating_sub(1).min(row))
    }
}
