//! The kind `time`: the mean mid price of a time ahead over that of a time behind, minus 1.

use std::collections::VecDeque;
use std::fmt;

use num_bigint::BigInt;
use num_traits::ToPrimitive;
use serde::Serialize;

use super::shown::{ExplainedRow, RowTime, Shown, Window, mean, not_above_zero, time_window};
use super::verdict::{Evaluate, RowAt, Verdict};
use crate::config::Time;
use crate::printable::grouped;
use crate::time_text::Timestamp;

/// The mid price over a time, as a step function: the integral of `mid2` by nanoseconds, and the weight to divide it by.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Integral {
    /// The time: after the first moment, through the second.
    pub times: [u64; 2],
    /// The rows whose prices stood at its two moments.
    pub rows: [RowAt; 2],
    pub sum: i128,
    /// The length of the time in nanoseconds; 1 for a moment, whose sum is the `mid2` at it.
    pub weight: u64,
}

impl Integral {
    fn window(&self) -> Window {
        let Self { times, rows: [first, last], sum, weight } = *self;
        Window {
            first: RowTime::new(first),
            last: RowTime::new(last),
            times: Some(times.map(Timestamp)),
            weight,
            sum: sum.to_string(),
            mean: mean(sum, weight),
        }
    }
}

/// Windows in time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeSteps {
    /// The window behind: B is its sum, L its weight.
    pub behind: Window,
    /// The window ahead: A is its sum, F its weight.
    pub ahead: Window,
}

impl Shown for TimeSteps {
    fn write(&self, f: &mut fmt::Formatter<'_>, _: &ExplainedRow) -> fmt::Result {
        time_window(f, "behind", &self.behind, ["B", "L"])?;
        time_window(f, "ahead", &self.ahead, ["A", "F"])
    }

    fn end(&self, end: RowTime) -> String {
        format!("{}, the last row by then: row {}", end.time, grouped(end.row))
    }
}

/// Windows in time over the rows of an unbroken stretch.
pub(in crate::validate) struct Windows {
    /// The lengths of the past window, of the time between, and of the future window, in nanoseconds.
    lookback: u64,
    offset: u64,
    ahead: u64,
    /// The time of the first row of the stretch.
    first: u64,
    /// The rows that labels may still need, each with the integral of mid2 from the first row of the stretch up to it.
    rows: VecDeque<(RowAt, i128)>,
    /// Number of rows of the stretch whose labels are settled: passed on, or known to be missing.
    told: u64,
    /// The number of the first row of the stretch.
    start: u64,
    /// The row to explain, and the integrals behind and ahead of it.
    explained: Option<u64>,
    windows: Option<[Integral; 2]>,
}

impl Windows {
    /// With `explained`, remembers what the label of this row is computed from.
    pub(super) fn new(time: &Time, explained: Option<u64>) -> Self {
        let Time { lookback, offset, ahead } = *time;
        let (lookback, offset, ahead) = (lookback.0, offset.0, ahead.0);
        let rows = VecDeque::new();
        Self { lookback, offset, ahead, first: 0, rows, told: 0, start: 0, explained, windows: None }
    }

    /// The windows of the row to explain.
    pub(super) fn steps(&self) -> Option<TimeSteps> {
        self.windows.map(|[behind, ahead]| TimeSteps { behind: behind.window(), ahead: ahead.window() })
    }

    /// The last row at `ts` or before, and the integral of mid2 up to `ts`.
    fn at(&self, ts: u64) -> (RowAt, i128) {
        let place = self.rows.partition_point(|(row, _)| row.ts <= ts).saturating_sub(1);
        let (row, integral) = self.rows[place];
        (row, integral + i128::from(row.mid2) * i128::from(ts - row.ts))
    }

    /// The integral over a time that ends at `to`.
    fn integral(&self, to: u64, length: u64) -> Integral {
        let (last, through) = self.at(to);
        if length == 0 {
            return Integral { times: [to, to], rows: [last, last], sum: last.mid2.into(), weight: 1 };
        }
        let (first, before) = self.at(to - length);
        Integral { times: [to - length, to], rows: [first, last], sum: through - before, weight: length }
    }

    /// Passes on the labels of the rows whose moments are before `reached`, or at it if it is the end of the stretch.
    fn tell(&mut self, reached: u64, ended: bool, tell: &mut dyn FnMut(Verdict)) {
        loop {
            let Some((first, _)) = self.rows.front() else { return };
            let Some((row, _)) =
                usize::try_from(self.start + self.told - first.row).ok().and_then(|at| self.rows.get(at))
            else {
                return;
            };
            let (row, moment) = (*row, row.ts.saturating_add(self.offset).saturating_add(self.ahead));
            if moment > reached || (moment == reached && !ended) {
                return;
            }
            self.told += 1;
            let begin = row.ts.checked_sub(self.lookback).filter(|begin| *begin >= self.first);
            let Some(begin) = begin else { continue };
            let (behind, ahead) = (self.integral(row.ts, self.lookback), self.integral(moment, self.ahead));
            // With a past window of zero length, movements start from the price at the row.
            let known = match (self.lookback, behind.sum > 0) {
                (0, _) | (_, false) => 0.0,
                _ => ratio(fraction([behind.sum, row.mid2.into()], [behind.weight, 1])).unwrap_or(0.0),
            };
            let of_windows = || ratio(fraction([behind.sum, ahead.sum], [behind.weight, ahead.weight]));
            let movement = (behind.sum > 0).then(of_windows).flatten();
            if self.explained == Some(row.row) {
                self.windows = Some([behind, ahead]);
            }
            let end = ahead.rows[1].row;
            tell(Verdict { row: row.row, movement, known, end, end_ts: moment, touch: None });
            // Later windows never begin earlier.
            while self.rows.get(1).is_some_and(|(next, _)| next.ts <= begin && next.row <= row.row) {
                self.rows.pop_front();
            }
        }
    }
}

/// A*L - B*F and B*F, from the sums B and A behind and ahead, and their weights L and F.
fn fraction([behind, ahead]: [i128; 2], [lookback, length]: [u64; 2]) -> [BigInt; 2] {
    let below = BigInt::from(behind) * length;
    [BigInt::from(ahead) * lookback - &below, below]
}

/// The quotient of two exact integers, each rounded once.
fn ratio([above, below]: [BigInt; 2]) -> Option<f64> {
    Some(above.to_f64()? / below.to_f64()?)
}

impl Evaluate for Windows {
    fn restart(&mut self, row: u64, tell: &mut dyn FnMut(Verdict)) {
        if let Some((last, _)) = self.rows.back() {
            self.tell(last.ts, true, tell);
        }
        self.rows.clear();
        (self.told, self.start) = (0, row);
    }

    fn push(&mut self, row: RowAt, tell: &mut dyn FnMut(Verdict)) {
        match self.rows.back() {
            None => {
                self.first = row.ts;
                self.rows.push_back((row, 0));
            }
            Some((last, integral)) => {
                let integral = integral + i128::from(last.mid2) * i128::from(row.ts - last.ts);
                self.tell(row.ts, false, tell);
                self.rows.push_back((row, integral));
            }
        }
    }

    fn fraction(&self) -> Option<[String; 2]> {
        let [behind, ahead] = self.windows?;
        Some(fraction([behind.sum, ahead.sum], [behind.weight, ahead.weight]).map(|integer| integer.to_string()))
    }

    fn undefined(&self) -> Option<String> {
        self.windows.map(|[behind, _]| not_above_zero(behind.sum))
    }
}
