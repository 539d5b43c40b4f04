//! The kind `barrier`: the return at the first touch of a barrier, or at the horizon.

use std::collections::VecDeque;

use super::verdict::{Evaluate, Path, RowAt, Trace, Verdict};
use crate::config::{Barrier, Horizon, Width};

/// A row whose label is not known yet.
struct Open {
    row: RowAt,
    sigma: Option<f64>,
    /// The distances of both barriers; `None` where they are undefined.
    widths: Option<[f64; 2]>,
    /// The row of the first touch, and the return there.
    touch: Option<(RowAt, f64)>,
}

/// Touches of barriers in an unbroken stretch.
pub(super) struct Touches {
    barrier: Barrier,
    /// The last rows, as many as a volatility needs.
    behind: VecDeque<RowAt>,
    open: VecDeque<Open>,
    last: Option<RowAt>,
    /// The only row whose label is told; `None` for all rows.
    only: Option<u64>,
}

/// The numerator and the denominator of the return from one mid price to another.
pub(in crate::validate) fn fraction(from: i64, to: i64) -> (i128, i64) {
    (i128::from(to) - i128::from(from), from)
}

/// The return from one mid price to another; `None` where the first is not above zero.
fn change(from: i64, to: i64) -> Option<f64> {
    let (above, below) = fraction(from, to);
    (below > 0).then(|| above as f64 / below as f64)
}

impl Touches {
    /// With `only`, the label of this row alone is told, which takes less time.
    pub(super) fn new(barrier: &Barrier, only: Option<u64>) -> Self {
        Self { barrier: *barrier, behind: VecDeque::new(), open: VecDeque::new(), last: None, only }
    }

    /// The sample standard deviation of the changes from row to row; changes are multiples of 2^-40, at most 1.
    fn sigma(&self) -> Option<f64> {
        let scale = (1_u64 << 40) as f64;
        let pairs = self.behind.iter().zip(self.behind.iter().skip(1));
        let scaled = pairs.map(|(from, to)| {
            change(from.mid2, to.mid2).map(|change| (change.clamp(-1.0, 1.0) * scale).round_ties_even())
        });
        let changes: Vec<i128> =
            scaled.map(|change| change.map(|c| crate::cast::whole(c).into())).collect::<Option<_>>()?;
        let n = changes.len() as i128;
        let (sum, squares) = (changes.iter().sum::<i128>(), changes.iter().map(|c| c * c).sum::<i128>());
        Some(((n * squares - sum * sum) as f64 / (n * (n - 1)) as f64).sqrt() / scale)
    }

    fn width(width: Width, row: RowAt, sigma: Option<f64>) -> Option<f64> {
        let share = match width {
            Width::Fraction(share) => share,
            Width::Spread(multiple) => multiple * ((2 * i128::from(row.spread)) as f64 / row.mid2 as f64),
            Width::Sigma(multiple) => multiple * sigma?,
        };
        Some(share).filter(|share| *share > 0.0 && share.is_finite())
    }

    /// Whether the label of a row has ended before another row, which may be the first after the stretch.
    fn has_ended(&self, open: &Open, next: RowAt) -> bool {
        match self.barrier.horizon {
            Horizon::Rows(rows) => open.row.row + rows < next.row,
            Horizon::Time(time) => open.row.ts.saturating_add(time.0) < next.ts,
        }
    }

    fn tell(&mut self, next: RowAt, tell: &mut dyn FnMut(Verdict)) {
        let Some(last) = self.last else { return };
        while self.open.front().is_some_and(|open| self.has_ended(open, next)) {
            let Some(Open { row, sigma, widths, touch }) = self.open.pop_front() else { return };
            let (end_ts, end) = match self.barrier.horizon {
                Horizon::Rows(rows) => (None, row.row + rows),
                Horizon::Time(time) => (Some(row.ts.saturating_add(time.0)), last.row),
            };
            let movement =
                widths.and_then(|_| touch.map_or_else(|| change(row.mid2, last.mid2), |(_, found)| Some(found)));
            let end_ts = end_ts.unwrap_or(last.ts);
            let touch = touch.map(|(row, _)| row);
            let trace = Trace::Barrier(Path { from: row, sigma, widths, touch, last });
            tell(Verdict { row: row.row, movement, known: 0.0, end, end_ts, touch: touch.map(|row| row.row), trace });
        }
    }
}

impl Evaluate for Touches {
    fn restart(&mut self, _: u64, tell: &mut dyn FnMut(Verdict)) {
        // The labels that end with the last row of the stretch.
        if let Some(last) = self.last {
            self.tell(RowAt { row: last.row + 1, ts: last.ts.saturating_add(1), ..last }, tell);
        }
        self.behind.clear();
        self.open.clear();
        self.last = None;
    }

    fn push(&mut self, row: RowAt, tell: &mut dyn FnMut(Verdict)) {
        self.tell(row, tell);
        for open in &mut self.open {
            let (Some([up, down]), None) = (open.widths, open.touch) else { continue };
            if let Some(found) = change(open.row.mid2, row.mid2)
                && (found >= up || found <= -down)
            {
                open.touch = Some((row, found));
            }
        }
        self.last = Some(row);
        self.behind.push_back(row);
        let needed = self.barrier.sigma_rows().max(1);
        while self.behind.len() as u64 > needed {
            self.behind.pop_front();
        }
        if self.behind.len() as u64 == needed && self.only.is_none_or(|only| only == row.row) {
            let sigma = (self.barrier.sigma_rows() > 0).then(|| self.sigma()).flatten();
            let Barrier { up, down, .. } = self.barrier;
            let widths = || Some([Self::width(up, row, sigma)?, Self::width(down, row, sigma)?]);
            let widths = (row.mid2 > 0).then(widths).flatten();
            self.open.push_back(Open { row, sigma, widths, touch: None });
        }
    }
}
