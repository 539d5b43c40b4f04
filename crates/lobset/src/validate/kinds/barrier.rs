//! The kind `barrier`: the return at the first touch of a barrier, or at the horizon.

use std::collections::VecDeque;
use std::fmt;

use serde::Serialize;

use super::shown::{ExplainedRow, RowTime, Shown, at, mid, mid_price, paragraph, price, rounded};
use super::verdict::{Evaluate, RowAt, Verdict};
use crate::config::{Barrier, Horizon, Width};
use crate::printable::grouped;

/// The barriers around a mid price, and the way to them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BarrierSteps {
    /// Best ask minus best bid at the row, in 1e-9.
    pub spread: i64,
    /// The volatility, where a distance depends on it.
    pub sigma: Option<f64>,
    /// The upper and the lower barrier; `None` where a distance is undefined.
    pub barriers: Option<[BarrierAt; 2]>,
    /// The row of the first touch.
    pub touch: Option<RowTime>,
    /// The mid price there, or at the last row of the horizon, in price units.
    pub price: f64,
    /// The last row of the horizon.
    pub last: RowTime,
}

/// A barrier.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BarrierAt {
    /// Its distance, as a share of the mid price at the row.
    pub distance: f64,
    /// The mid price that touches it, in price units, to the precision of floats.
    pub price: f64,
}

impl Shown for BarrierSteps {
    fn write(&self, f: &mut fmt::Formatter<'_>, from: &ExplainedRow) -> fmt::Result {
        let row = format!("row {}, mid price {}", grouped(from.row), mid_price(from.mid2));
        paragraph(f, "from", &format!("{row}, spread {}", price(self.spread)))?;
        if let Some(sigma) = self.sigma {
            paragraph(
                f,
                "sigma",
                &format!("{sigma:e}, the deviation of one-row changes over lookback_rows through the row"),
            )?;
        }
        let [upper, lower] = match self.barriers {
            Some([upper, lower]) => {
                for (name, barrier, sign) in [("upper", upper, '+'), ("lower", lower, '-')] {
                    let text = format!("{} = mid price * (1 {sign} {:e})", rounded(barrier.price), barrier.distance);
                    paragraph(f, name, &text)?;
                }
                ["touches the upper barrier first", "touches the lower barrier first"]
            }
            None => return Ok(()),
        };
        match self.touch {
            Some(touch) => {
                let which = if self.price > mid(from.mid2) { upper } else { lower };
                paragraph(f, "touch", &format!("{}: mid price {} {which}", at(touch), rounded(self.price)))
            }
            None => {
                let last = format!("{}: mid price {}", at(self.last), rounded(self.price));
                paragraph(f, "no touch", &format!("neither barrier within the horizon, which ends with {last}"))
            }
        }
    }

    fn formula(&self) -> &'static str {
        "(mid2 there - mid2 of the row) / mid2 of the row"
    }

    fn class(&self, class: usize) -> Option<&'static str> {
        Some(["the lower barrier", "neither barrier", "the upper barrier"].get(class).copied().unwrap_or(""))
    }
}

/// The path of the price from a row to the first touch of a barrier, or to the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Path {
    /// The row.
    from: RowAt,
    /// The volatility, where a distance is a multiple of it.
    sigma: Option<f64>,
    /// The distances of both barriers, up and down; `None` where one is undefined.
    widths: Option<[f64; 2]>,
    /// The row of the first touch, and the last row of the horizon.
    touch: Option<RowAt>,
    last: RowAt,
}

impl Path {
    /// The mid price at the first touch, or at the last row of the horizon, times two.
    fn reached(&self) -> i64 {
        self.touch.unwrap_or(self.last).mid2
    }
}

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
pub(in crate::validate) struct Touches {
    barrier: Barrier,
    /// The last rows, as many as the volatility needs.
    behind: VecDeque<RowAt>,
    open: VecDeque<Open>,
    last: Option<RowAt>,
    /// The only row whose label is passed on; `None` for all rows.
    only: Option<u64>,
    /// What the label of that row is computed from.
    path: Option<Path>,
}

/// The numerator and the denominator of the return from one mid price to another.
fn fraction(from: i64, to: i64) -> (i128, i64) {
    (i128::from(to) - i128::from(from), from)
}

/// The return from one mid price to another; `None` if the first is not above zero.
fn change(from: i64, to: i64) -> Option<f64> {
    let (above, below) = fraction(from, to);
    (below > 0).then(|| above as f64 / below as f64)
}

impl Touches {
    /// With `only`, passes on only the label of this row, which takes less time.
    pub(super) fn new(barrier: &Barrier, only: Option<u64>) -> Self {
        Self { barrier: *barrier, behind: VecDeque::new(), open: VecDeque::new(), last: None, only, path: None }
    }

    /// The way from the row to the barriers around it.
    pub(super) fn steps(&self) -> Option<BarrierSteps> {
        let path = self.path.as_ref()?;
        let from = mid(path.from.mid2);
        let barrier = |distance: f64, sign: f64| BarrierAt { distance, price: from * (1.0 + sign * distance) };
        Some(BarrierSteps {
            spread: path.from.spread,
            sigma: path.sigma,
            barriers: path.widths.map(|[up, down]| [barrier(up, 1.0), barrier(down, -1.0)]),
            touch: path.touch.map(RowTime::new),
            price: mid(path.reached()),
            last: RowTime::new(path.last),
        })
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
            if self.only == Some(row.row) {
                self.path = Some(Path { from: row, sigma, widths, touch, last });
            }
            tell(Verdict { row: row.row, movement, known: 0.0, end, end_ts, touch: touch.map(|row| row.row) });
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

    fn fraction(&self) -> Option<[String; 2]> {
        let path = self.path.as_ref()?;
        let (above, below) = fraction(path.from.mid2, path.reached());
        Some([above.to_string(), below.to_string()])
    }

    fn undefined(&self) -> Option<String> {
        let from = self.path.as_ref()?.from.mid2;
        Some(match from {
            ..=0 => format!("its movement is undefined: the mid price of the row, {}, is not above 0", mid(from)),
            _ => "its movement is undefined: the distance of a barrier is not above 0".to_owned(),
        })
    }
}
