//! The kind `time`: the mean mid price of a time ahead over that of a time behind, minus 1.

use std::collections::VecDeque;

use num_bigint::BigInt;
use num_traits::ToPrimitive;

use super::{Evaluate, RowAt, Verdict};
use crate::config::Time;

/// Windows in time over the rows of an unbroken stretch.
pub(super) struct Windows {
    /// The lengths of the past window, of the time between, and of the future window, in nanoseconds.
    lookback: u64,
    offset: u64,
    ahead: u64,
    /// The time of the first row of the stretch.
    first: u64,
    /// The rows that labels may still need, each with the integral of mid2 from the first row of the stretch up to it.
    rows: VecDeque<(RowAt, i128)>,
    /// The number of rows of the stretch whose label was told, or that have none.
    told: u64,
    /// The number of the first row of the stretch.
    start: u64,
}

impl Windows {
    pub(super) fn new(time: &Time) -> Self {
        let Time { lookback, offset, ahead } = *time;
        let (lookback, offset, ahead) = (lookback.0, offset.0, ahead.0);
        Self { lookback, offset, ahead, first: 0, rows: VecDeque::new(), told: 0, start: 0 }
    }

    /// The last row at `ts` or before, and the integral of mid2 up to `ts`.
    fn at(&self, ts: u64) -> (RowAt, i128) {
        let place = self.rows.partition_point(|(row, _)| row.ts <= ts).saturating_sub(1);
        let (row, integral) = self.rows[place];
        (row, integral + i128::from(row.mid2) * i128::from(ts - row.ts))
    }

    /// The mean over a time that ends at `to`: the sum of mid2 weighted by nanoseconds, and the weight.
    fn mean(&self, to: u64, length: u64) -> (i128, u64) {
        let (last, integral) = self.at(to);
        if length == 0 { (last.mid2.into(), 1) } else { (integral - self.at(to - length).1, length) }
    }

    /// Tells the labels of the rows whose moments are before `reached`, or at it if it is the end of the stretch.
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
            let (behind, behind_weight) = self.mean(row.ts, self.lookback);
            let (ahead, ahead_weight) = self.mean(moment, self.ahead);
            // With a past window of zero length, movements start from the price at the row.
            let known = match (self.lookback, behind > 0) {
                (0, _) | (_, false) => 0.0,
                _ => ratio(behind, behind_weight, row.mid2.into(), 1).unwrap_or(0.0),
            };
            let movement = (behind > 0).then(|| ratio(behind, behind_weight, ahead, ahead_weight)).flatten();
            let (end, _) = self.at(moment);
            tell(Verdict { row: row.row, movement, known, end: end.row, end_ts: moment, touch: None });
            // Later windows begin no earlier.
            while self.rows.get(1).is_some_and(|(next, _)| next.ts <= begin && next.row <= row.row) {
                self.rows.pop_front();
            }
        }
    }
}

/// `(A*L - B*F) / (B*F)`; numerator and denominator are exact, and each is rounded once.
fn ratio(behind: i128, lookback: u64, ahead: i128, length: u64) -> Option<f64> {
    let below = BigInt::from(behind) * length;
    let above = BigInt::from(ahead) * lookback - &below;
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
}
