//! The kind `barrier`: the return where the mid price first touches one of two barriers, or at a horizon.

use std::ops::Range;
use std::rc::Rc;

use super::wide::nearest;
use super::{Ahead, Rule, Take, stretch_end, stretches};
use crate::cast::{to_usize, whole, whole_unsigned};
use crate::config::{Barrier, Horizon, Width};
use crate::error::Result;
use crate::label::candidates::Candidates;
use crate::tape::{Chunks, Moment, Points, SymbolTape};

/// Block sizes in rows, at two levels. The highest and lowest mid price of each block are known, so few rows have to be
/// checked one by one.
const BLOCKS: [usize; 2] = [64, 4096];

/// Number of values passed on at a time.
const PIECE: usize = 4096;

/// In the sums of a volatility, relative changes are integers in units of 2^-40, so that the sums are exact in any
/// order.
const CHANGE_SCALE: f64 = (1_u64 << 40) as f64;

/// The relative change from one mid price to another; `None` unless the first is above zero.
#[inline]
fn relative(from: i64, to: i64) -> Option<f64> {
    (from > 0).then(|| nearest(i128::from(to) - i128::from(from)) / from as f64)
}

/// Sums over the changes of the last rows, for the sample standard deviation.
struct Volatility {
    /// Number of changes.
    count: i128,
    sum: i128,
    squares: i128,
    /// Number of changes that are undefined.
    undefined: u64,
}

impl Volatility {
    fn add(&mut self, change: Option<i64>, sign: i128) {
        match change {
            Some(change) => {
                self.sum += sign * i128::from(change);
                self.squares += sign * i128::from(change) * i128::from(change);
            }
            None => self.undefined = self.undefined.wrapping_add_signed(if sign > 0 { 1 } else { -1 }),
        }
    }

    /// The sample standard deviation (ddof 1); `None` if a change is undefined.
    fn deviation(&self) -> Option<f64> {
        let n = self.count;
        let numerator = n * self.squares - self.sum * self.sum;
        (self.undefined == 0).then(|| (numerator as f64 / (n * (n - 1)) as f64).sqrt() / CHANGE_SCALE)
    }
}

/// The scaled change from one mid price to the next. In a volatility, a change of more than 1 counts as 1.
fn change(from: i64, to: i64) -> Option<i64> {
    relative(from, to).map(|change| whole((change.clamp(-1.0, 1.0) * CHANGE_SCALE).round_ties_even()))
}

impl Width {
    /// The distance of a barrier from the mid price of a row, as a share of it.
    #[inline]
    fn share(self, row: &Moment, sigma: Option<f64>) -> Option<f64> {
        match self {
            Self::Fraction(share) => Some(share),
            Self::Spread(multiple) => Some(multiple * ((2 * i128::from(row.spread)) as f64 / row.mid2 as f64)),
            Self::Sigma(multiple) => sigma.map(|sigma| multiple * sigma),
        }
    }
}

/// The barriers of a row, and how far ahead prices have been searched for a touch. Nearly all rows have the same
/// barriers as the row before, so their search continues where the previous one ended.
struct Search {
    /// What determines the barriers: mid price, spread and volatility of the row.
    of: (i64, i64, Option<f64>),
    /// The barriers; `None` if they are undefined.
    barriers: Option<[i64; 2]>,
    /// The first row that has not been searched. If there is a touch, it is the row before this one.
    next: usize,
    touched: bool,
}

/// Rows in memory, with the highest and lowest mid price of each block.
struct Rows {
    moments: Vec<Moment>,
    /// By level: the highest and lowest mid price of each block.
    extremes: [Vec<[i64; 2]>; 2],
}

impl Rows {
    fn read(chunks: &Rc<Chunks<'_, Vec<Moment>>>, rows: Range<u64>) -> Result<Self> {
        let mut cursor = chunks.cursor(rows.start)?;
        let count = to_usize(rows.end - rows.start);
        let mut moments = Vec::with_capacity(count);
        while moments.len() < count {
            let values = cursor.values()?;
            let now = values.len().min(count - moments.len());
            if now == 0 {
                break;
            }
            moments.extend_from_slice(&values[..now]);
            cursor.skip(now);
        }
        let extremes = BLOCKS.map(|block| {
            let of = |rows: &[Moment]| {
                let mids = || rows.iter().map(|moment| moment.mid2);
                [mids().max().unwrap_or(i64::MIN), mids().min().unwrap_or(i64::MAX)]
            };
            moments.chunks(block).map(of).collect()
        });
        Ok(Self { moments, extremes })
    }

    /// The first row of a range whose mid price is at least `high` or at most `low`.
    #[inline]
    fn first_beyond(&self, range: Range<usize>, high: i64, low: i64) -> Option<usize> {
        let mut at = range.start;
        while at < range.end {
            // Whole blocks within the range, the largest first.
            let skipped = BLOCKS.iter().zip(&self.extremes).rev().find_map(|(block, extremes)| {
                let [highest, lowest] = *extremes.get(at / block)?;
                let whole = at.is_multiple_of(*block) && at + block <= range.end;
                (whole && highest < high && lowest > low).then_some(at + block)
            });
            if let Some(next) = skipped {
                at = next;
                continue;
            }
            let end = (at / BLOCKS[0] + 1) * BLOCKS[0];
            for row in at..end.min(range.end) {
                let mid2 = self.moments[row].mid2;
                if mid2 >= high || mid2 <= low {
                    return Some(row);
                }
            }
            at = end;
        }
        None
    }
}

/// The lowest mid price above `from` whose return is at least `share`; `i64::MAX` if there is none.
#[inline]
fn lowest_up(from: i64, share: f64) -> i64 {
    let reached = |mid2: i64| relative(from, mid2).is_some_and(|found| found >= share);
    let mut mid2 = from.saturating_add(whole((share * from as f64).ceil()));
    while mid2 > i64::MIN && reached(mid2 - 1) {
        mid2 -= 1;
    }
    while mid2 < i64::MAX && !reached(mid2) {
        mid2 += 1;
    }
    // No price reaches this barrier.
    if reached(mid2) { mid2 } else { i64::MAX }
}

/// The highest mid price below `from` whose return is at most `-share`; `i64::MIN` if there is none.
#[inline]
fn highest_down(from: i64, share: f64) -> i64 {
    let reached = |mid2: i64| relative(from, mid2).is_some_and(|found| found <= -share);
    let mut mid2 = from.saturating_sub(whole((share * from as f64).ceil()));
    while mid2 < i64::MAX && reached(mid2 + 1) {
        mid2 += 1;
    }
    while mid2 > i64::MIN && !reached(mid2) {
        mid2 -= 1;
    }
    mid2
}

impl Barrier {
    /// Number of rows before a row that its label depends on.
    fn behind(&self) -> u64 {
        self.sigma_rows().saturating_sub(1)
    }

    /// The first row that is too far ahead to affect the label of `row`.
    fn after(&self, tape: &SymbolTape, points: &Chunks<'_, Points>, row: u64) -> Result<u64> {
        match self.horizon {
            Horizon::Rows(rows) => Ok((row + rows + 1).min(tape.rows())),
            Horizon::Time(time) => {
                let ts = points.reached_at(row)?;
                points.first_row_at(ts.saturating_add(time.0).saturating_add(1))
            }
        }
    }
}

impl Rule for Barrier {
    fn candidates(&self, tape: &SymbolTape, breaks: &[u64]) -> Result<Candidates> {
        let points = Chunks::<Points>::new(tape);
        let mut ranges = Vec::new();
        for stretch in stretches(tape.rows(), breaks).filter(|stretch| !stretch.is_empty()) {
            let from = stretch.start + self.behind();
            let after = match self.horizon {
                Horizon::Rows(rows) => stretch.end.saturating_sub(rows),
                Horizon::Time(time) => {
                    let last = points.reached_at(stretch.end - 1)?;
                    let Some(end) = last.checked_sub(time.0) else { continue };
                    points.first_row_at(end.saturating_add(1))?.min(stretch.end)
                }
            };
            ranges.push(from..after.max(from));
        }
        Ok(Candidates::new(ranges))
    }

    fn fit_end(&self, tape: &SymbolTape, until: u64, boundary_row: u64) -> Result<u64> {
        match self.horizon {
            Horizon::Rows(rows) => Ok(boundary_row.saturating_sub(rows)),
            Horizon::Time(time) => Ok(tape.first_row_at(until.saturating_sub(time.0))?.min(boundary_row)),
        }
    }

    fn ahead(&self) -> Ahead {
        match self.horizon {
            Horizon::Rows(rows) => Ahead::Rows(rows),
            Horizon::Time(time) => Ahead::Time(time.0),
        }
    }

    fn seen(&self, tape: &SymbolTape, rows: Range<u64>) -> Result<Range<u64>> {
        let after = self.after(tape, &Chunks::new(tape), rows.end - 1)?;
        Ok(rows.start - self.behind()..after.max(rows.end))
    }

    fn span(&self) -> u64 {
        match self.horizon {
            Horizon::Rows(rows) => self.behind() + rows,
            Horizon::Time(_) => 1 << 16,
        }
    }

    /// Keeps the rows of a range in memory, with the rows that its last label looks at.
    fn compute(
        &self,
        tape: &SymbolTape,
        breaks: &[u64],
        candidates: &Candidates,
        range: Range<u64>,
        take: &mut Take<'_>,
    ) -> Result<()> {
        let (moments, points) = (Chunks::new(tape), Chunks::new(tape));
        for rows in candidates.rows(range) {
            let first = rows.start - self.behind();
            let stretch_end = stretch_end(rows.start, breaks, tape.rows());
            let after = self.after(tape, &points, rows.end - 1)?.min(stretch_end);
            let all = Rows::read(&moments, first..after)?;
            let count = to_usize(rows.end - rows.start);
            let mut out = vec![Vec::with_capacity(PIECE.min(count)); self.tracks()];
            let mut search: Option<Search> = None;
            let behind = to_usize(self.behind());
            let mids = |row: usize| all.moments[row].mid2;
            let mut volatility = Volatility { count: i128::from(self.behind()), sum: 0, squares: 0, undefined: 0 };
            (1..behind).for_each(|row| volatility.add(change(mids(row - 1), mids(row)), 1));
            let mut end = 0;
            for row in behind..behind + count {
                if behind > 0 {
                    volatility.add(change(mids(row - 1), mids(row)), 1);
                }
                let here = all.moments[row];
                end = match self.horizon {
                    Horizon::Rows(rows) => row + to_usize(rows),
                    Horizon::Time(time) => {
                        let until = here.ts.saturating_add(time.0);
                        let mut end = row.max(end);
                        while all.moments.get(end + 1).is_some_and(|next| next.ts <= until) {
                            end += 1;
                        }
                        end
                    }
                };
                let sigma = if behind > 0 { volatility.deviation() } else { None };
                let of = (here.mid2, here.spread, sigma);
                let search = match &mut search {
                    Some(search) if search.of == of => search,
                    search => search.insert(Search {
                        of,
                        barriers: self.barriers(&here, sigma),
                        next: row + 1,
                        touched: false,
                    }),
                };
                let [movement, touch] = search.label(&all, row, end).map_or([f64::NAN; 2], |(movement, touch)| {
                    [movement, touch.map_or(f64::NAN, |touch| (first + touch as u64) as f64)]
                });
                if let [movements, touches, ends @ ..] = out.as_mut_slice() {
                    movements.push(movement);
                    touches.push(touch);
                    if let [ends] = ends {
                        ends.push((first + end as u64) as f64);
                    }
                    if movements.len() == PIECE {
                        take(&out)?;
                        out.iter_mut().for_each(Vec::clear);
                    }
                }
                if behind > 0 {
                    let left = row + 1 - behind;
                    volatility.add(change(mids(left - 1), mids(left)), -1);
                }
            }
            if out.iter().any(|track| !track.is_empty()) {
                take(&out)?;
            }
        }
        Ok(())
    }

    /// The second track is the row of the first touch, NaN if there is none. With a horizon in time, the third is the
    /// last row that a label may look at.
    fn tracks(&self) -> usize {
        match self.horizon {
            Horizon::Rows(_) => 2,
            Horizon::Time(_) => 3,
        }
    }

    fn end_track(&self) -> Option<usize> {
        matches!(self.horizon, Horizon::Time(_)).then_some(2)
    }

    fn touches(&self) -> bool {
        true
    }

    fn end(&self, row: u64, tracks: [f64; 2]) -> u64 {
        match self.horizon {
            Horizon::Rows(rows) => row + rows,
            Horizon::Time(_) => whole_unsigned(tracks[1]),
        }
    }
}

impl Barrier {
    /// The lowest mid price that touches the upper barrier and the highest that touches the lower one; `None` if they
    /// are undefined.
    fn barriers(&self, here: &Moment, sigma: Option<f64>) -> Option<[i64; 2]> {
        if here.mid2 <= 0 {
            return None;
        }
        let [up, down] = [self.up.share(here, sigma)?, self.down.share(here, sigma)?];
        let sound = |share: f64| share > 0.0 && share.is_finite();
        (sound(up) && sound(down)).then(|| [lowest_up(here.mid2, up), highest_down(here.mid2, down)])
    }
}

impl Search {
    /// The movement of a row, and the row of the first touch up to `end`. `None` if the movement is undefined. Calls
    /// must be for consecutive rows, none of which is itself beyond the barriers.
    fn label(&mut self, all: &Rows, row: usize, end: usize) -> Option<(f64, Option<usize>)> {
        let [high, low] = self.barriers?;
        if !self.touched && self.next <= end {
            let touch = all.first_beyond(self.next..end + 1, high, low);
            self.touched = touch.is_some();
            self.next = touch.unwrap_or(end) + 1;
        }
        let touch = (self.touched && self.next <= end + 1).then(|| self.next - 1);
        Some((relative(all.moments[row].mid2, all.moments[touch.unwrap_or(end)].mid2)?, touch))
    }
}
