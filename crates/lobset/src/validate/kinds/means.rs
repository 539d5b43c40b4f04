//! The kind `means`: the mean mid price of rows ahead over that of rows behind, minus 1.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::shown::{ExplainedRow, RowTime, Shown, Window, mean, not_above_zero, rows_window};
use super::verdict::{Evaluate, RowAt, Verdict};
use crate::cast::to_usize;
use crate::config::Means;

/// L, O and F: the lengths of a label's windows, in rows.
#[derive(Debug, Clone, Copy)]
pub(in crate::validate) struct Lengths {
    /// L: rows of the past window.
    pub lookback: u64,
    /// Whether the past window ends with the row, not with the row before.
    pub include_row: bool,
    /// O: rows between the row and its future window.
    pub offset: u64,
    /// F: rows of the future window.
    pub ahead: u64,
}

impl Lengths {
    pub(in crate::validate) fn new(means: &Means) -> Self {
        Self {
            lookback: means.lookback_rows,
            include_row: means.include_row,
            offset: means.lookforward_offset,
            ahead: means.lookforward_input,
        }
    }

    /// O + F: the future window ends this many rows after its row.
    pub(in crate::validate) fn reach(self) -> u64 {
        self.offset + self.ahead
    }

    /// Number of rows from the first row of the past window through the row before.
    pub(in crate::validate) fn before(self) -> u64 {
        if self.include_row { self.lookback - 1 } else { self.lookback }
    }

    /// The rows behind a row and the rows ahead of it.
    pub(in crate::validate) fn windows(self, row: u64) -> [Range<u64>; 2] {
        let end = if self.include_row { row + 1 } else { row };
        let begin = row + 1 + self.offset;
        [end - self.lookback..end, begin..begin + self.ahead]
    }

    /// Whether movements start from the price at the row.
    pub(in crate::validate) fn is_anchored(self) -> bool {
        self.include_row && self.lookback == 1
    }

    /// Number of rows that both windows span, including the row and the rows in between.
    pub(in crate::validate) fn span(self) -> u64 {
        self.lookback + self.reach()
    }
}

/// A*L - B*F and B*F, from the sums B over the L rows behind and A over the F rows ahead.
fn fraction(lengths: Lengths, behind: i128, ahead: i128) -> [i128; 2] {
    let below = behind * i128::from(lengths.ahead);
    [ahead * i128::from(lengths.lookback) - below, below]
}

/// `(A*L - B*F) / (B*F)` from the sums B over the L rows behind and A over the F rows ahead; `None` where B <= 0.
/// Numerator and denominator are exact, and each is rounded to f64 once.
fn movement(lengths: Lengths, behind: i128, ahead: i128) -> Option<f64> {
    if behind <= 0 {
        return None;
    }
    let [above, below] = fraction(lengths, behind, ahead);
    // Nearly all values fit 64 bits, where conversion is one instruction.
    Some(match (i64::try_from(above), i64::try_from(below)) {
        (Ok(above), Ok(below)) => above as f64 / below as f64,
        _ => above as f64 / below as f64,
    })
}

/// `(p*L - B) / B` from the sum B over the L rows behind and the row's `mid2` p: the movement if the price stayed
/// there.
fn known(lengths: Lengths, behind: i128, mid2: i128) -> f64 {
    if behind <= 0 {
        return 0.0;
    }
    (mid2 * i128::from(lengths.lookback) - behind) as f64 / behind as f64
}

/// Windows in rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeansSteps {
    /// The window behind: B is its sum, L its weight.
    pub behind: Window,
    /// The window ahead: A is its sum, F its weight.
    pub ahead: Window,
}

impl Shown for MeansSteps {
    fn write(&self, f: &mut fmt::Formatter<'_>, _: &ExplainedRow) -> fmt::Result {
        rows_window(f, "behind", &self.behind, ["B", "L"])?;
        rows_window(f, "ahead", &self.ahead, ["A", "F"])
    }
}

/// A row whose windows are complete: the sums over them, and the row's own `mid2`.
#[derive(Clone, Copy)]
struct Complete {
    row: u64,
    behind: i128,
    ahead: i128,
    mid2: i128,
}

/// Two windows that slide over an unbroken run of rows. Keeps one sum for each row that they span.
pub(in crate::validate) struct Slide {
    pub lengths: Lengths,
    /// The first row of the run, and the next row.
    pub start: u64,
    pub next: u64,
    /// Prefix sums of mid2 over the run: entry i is the sum over the rows before row `first` + i, up to row `next`.
    sums: VecDeque<i128>,
    first: u64,
    /// The row to explain, and its sums.
    explained: Option<u64>,
    told: Option<Complete>,
}

impl Slide {
    pub(in crate::validate) fn new(lengths: Lengths) -> Self {
        Self { lengths, start: 0, next: 0, sums: VecDeque::from([0]), first: 0, explained: None, told: None }
    }

    /// Windows that remember what the label of a row is computed from.
    pub(super) fn of_row(lengths: Lengths, row: u64) -> Self {
        Self { explained: Some(row), ..Self::new(lengths) }
    }

    /// The windows of the row to explain, given the rows at their ends.
    pub(super) fn steps(&self, row_time: &dyn Fn(u64) -> Option<RowTime>) -> Option<MeansSteps> {
        let Complete { row, behind, ahead, .. } = self.told?;
        let window = |rows: &Range<u64>, sum: i128| {
            let (first, last, weight) = (row_time(rows.start)?, row_time(rows.end - 1)?, rows.end - rows.start);
            Some(Window { first, last, times: None, weight, sum: sum.to_string(), mean: mean(sum, weight) })
        };
        let [of_behind, of_ahead] = self.lengths.windows(row);
        Some(MeansSteps { behind: window(&of_behind, behind)?, ahead: window(&of_ahead, ahead)? })
    }

    /// Begins a new run with this row.
    pub(in crate::validate) fn start(&mut self, row: u64) {
        self.sums.clear();
        self.sums.push_back(0);
        (self.start, self.next, self.first) = (row, row, row);
    }

    /// Takes the next row. Returns the row whose future window ends with it, that row's movement and the known part of it,
    /// if the run contains the whole past window too.
    pub(in crate::validate) fn take(&mut self, mid2: i64) -> Option<(u64, Option<f64>, f64)> {
        self.sums_of_next(mid2).map(|Complete { row, behind, ahead, mid2 }| {
            (row, movement(self.lengths, behind, ahead), known(self.lengths, behind, mid2))
        })
    }

    /// Takes the next row. Returns the sums of the row whose future window ends with it.
    fn sums_of_next(&mut self, mid2: i64) -> Option<Complete> {
        let last = self.sums.back().copied().unwrap_or(0);
        self.sums.push_back(last + i128::from(mid2));
        self.next += 1;
        let reach = self.lengths.reach();
        let row = self.next.checked_sub(1 + reach).filter(|row| *row >= self.start + self.lengths.before())?;
        let before = |row: u64| self.sums.get(to_usize(row - self.first)).copied().unwrap_or(0);
        let sum = |rows: &Range<u64>| before(rows.end) - before(rows.start);
        let [behind, ahead] = self.lengths.windows(row);
        let complete = Complete { row, behind: sum(&behind), ahead: sum(&ahead), mid2: before(row + 1) - before(row) };
        while self.first < behind.start + 1 {
            self.sums.pop_front();
            self.first += 1;
        }
        Some(complete)
    }
}

impl Evaluate for Slide {
    fn restart(&mut self, row: u64, _: &mut dyn FnMut(Verdict)) {
        self.start(row);
    }

    fn push(&mut self, row: RowAt, tell: &mut dyn FnMut(Verdict)) {
        if let Some(complete) = self.sums_of_next(row.mid2) {
            let Complete { row: done, behind, ahead, mid2 } = complete;
            if self.explained == Some(done) {
                self.told = Some(complete);
            }
            let movement = movement(self.lengths, behind, ahead);
            let known = known(self.lengths, behind, mid2);
            tell(Verdict { row: done, movement, known, end: row.row, end_ts: row.ts, touch: None });
        }
    }

    fn fraction(&self) -> Option<[String; 2]> {
        let Complete { behind, ahead, .. } = self.told?;
        Some(fraction(self.lengths, behind, ahead).map(|integer| integer.to_string()))
    }

    fn undefined(&self) -> Option<String> {
        self.told.map(|sums| not_above_zero(sums.behind))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::MAX_WINDOW_ROWS;
    use crate::label::Rule;
    use crate::tape::SymbolTape;
    use crate::validate::kinds::with_whole_windows;

    fn means(longest: u64) -> impl Strategy<Value = Means> {
        (1..=longest, any::<bool>(), 0..=longest, 1..=longest).prop_map(
            |(lookback_rows, include_row, lookforward_offset, lookforward_input)| Means {
                lookback_rows,
                include_row,
                lookforward_offset,
                lookforward_input,
            },
        )
    }

    fn tape(rows: u64) -> SymbolTape {
        serde_json::from_str(&format!(r#"{{"first_row": 0, "rows": {rows}, "files": []}}"#)).unwrap()
    }

    proptest! {
        // The ends of ranges are rare.
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn rows_with_whole_windows_are_those_of_the_writer(
            rows in 0..200u64, mut breaks in prop::collection::vec(1..199u64, 0..12), short in means(20),
            long in means(MAX_WINDOW_ROWS),
        ) {
            breaks.retain(|row| *row < rows);
            breaks.sort_unstable();
            breaks.dedup();
            let scaled: Vec<u64> = breaks.iter().map(|row| row << 40).collect();
            for (means, rows, breaks) in [(short, rows, &breaks), (long, rows, &breaks), (long, rows << 40, &scaled)] {
                let candidates = means.candidates(&tape(rows), breaks).unwrap();
                let want: Vec<_> = candidates.rows(0..candidates.count()).collect();
                let lengths = Lengths::new(&means);
                let needed = [lengths.before(), lengths.reach()];
                prop_assert_eq!(with_whole_windows(needed, rows, breaks).collect::<Vec<_>>(), want);
            }
        }

        #[test]
        fn movements_are_those_of_the_writer(
            means in prop_oneof![means(9), means(MAX_WINDOW_ROWS)],
            behind in prop_oneof![any::<i64>(), -3..50i64], ahead in any::<i64>(), scale in any::<bool>(),
        ) {
            let scaled = |sum: i64, rows: u64| i128::from(sum) * i128::from(if scale { rows } else { 1 });
            let (behind, ahead) = (scaled(behind, means.lookback_rows), scaled(ahead, means.lookforward_input));
            let want = means.movement(behind, ahead);
            prop_assert_eq!(movement(Lengths::new(&means), behind, ahead).map(f64::to_bits), want.map(f64::to_bits));
            let mid2 = i64::try_from(ahead >> 32).unwrap_or(7);
            let want = means.known(behind, mid2).unwrap_or(0.0);
            prop_assert_eq!(known(Lengths::new(&means), behind, mid2.into()).to_bits(), want.to_bits());
        }

        #[test]
        fn a_run_is_computed_as_by_the_definition(
            mids in prop::collection::vec(-3i64..40, 0..60), first in 0u64..5, means in means(6),
        ) {
            let lengths = Lengths::new(&means);
            let mut slide = Slide::new(lengths);
            slide.start(first);
            let got: Vec<_> = mids.iter().filter_map(|mid2| slide.take(*mid2)).collect();
            let (l, o, f) = (lengths.lookback as usize, lengths.offset as usize, lengths.ahead as usize);
            let row = usize::from(lengths.include_row);
            let want: Vec<_> = (l - row..mids.len().saturating_sub(o + f)).map(|t| {
                let behind: i64 = mids[t + row - l..t + row].iter().sum();
                let ahead: i64 = mids[t + 1 + o..t + 1 + o + f].iter().sum();
                let below = behind * f as i64;
                let movement = (behind > 0).then(|| (ahead * l as i64 - below) as f64 / below as f64);
                let known = (behind > 0).then(|| (mids[t] * l as i64 - behind) as f64 / behind as f64);
                (first + t as u64, movement, known.unwrap_or(0.0))
            }).collect();
            prop_assert_eq!(got, want);
            prop_assert!(slide.sums.len() as u64 <= lengths.span() + 1);
        }
    }
}
