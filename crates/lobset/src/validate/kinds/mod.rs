//! The kinds of movements by the plain definition, one in each file. Nothing here calls the code that writes labels.

mod barrier;
mod means;
pub(super) mod shown;
mod time;
mod verdict;

use std::ops::Range;

pub use barrier::{BarrierAt, BarrierSteps};
pub use means::MeansSteps;
pub(super) use means::{Lengths, Slide};
use serde::Serialize;
use shown::Shown;
pub use shown::{RowTime, Window};
pub use time::TimeSteps;
pub(super) use verdict::{Evaluate, RowAt, Span, Verdict};

use crate::config::{Horizon, Movement};

/// The evaluator of a target.
pub(super) enum Evaluator {
    Means(Slide),
    Time(time::Windows),
    Barrier(barrier::Touches),
}

impl Evaluator {
    /// An evaluator for all rows.
    pub(super) fn new(movement: &Movement) -> Self {
        match movement {
            Movement::Means(means) => Self::Means(Slide::new(Lengths::new(means))),
            Movement::Time(time) => Self::Time(time::Windows::new(time, None)),
            Movement::Barrier(barrier) => Self::Barrier(barrier::Touches::new(barrier, None)),
        }
    }

    /// An evaluator that explains one row. It may skip the labels of other rows where they take long.
    pub(super) fn of_row(movement: &Movement, row: u64) -> Self {
        match movement {
            Movement::Means(means) => Self::Means(Slide::of_row(Lengths::new(means), row)),
            Movement::Time(time) => Self::Time(time::Windows::new(time, Some(row))),
            Movement::Barrier(barrier) => Self::Barrier(barrier::Touches::new(barrier, Some(row))),
        }
    }

    /// The evaluator of its kind.
    pub(super) fn kind(&self) -> &dyn Evaluate {
        match self {
            Self::Means(means) => means,
            Self::Time(time) => time,
            Self::Barrier(barrier) => barrier,
        }
    }

    /// The evaluator of its kind.
    pub(super) fn kind_mut(&mut self) -> &mut dyn Evaluate {
        match self {
            Self::Means(means) => means,
            Self::Time(time) => time,
            Self::Barrier(barrier) => barrier,
        }
    }

    /// What the movement of the explained row is computed from, given the rows at the ends of windows in rows; `None`
    /// if its label was not passed on.
    pub(super) fn steps(&self, row_time: &dyn Fn(u64) -> Option<RowTime>) -> Option<Steps> {
        match self {
            Self::Means(means) => means.steps(row_time).map(Steps::Means),
            Self::Time(time) => time.steps().map(Steps::Time),
            Self::Barrier(barrier) => barrier.steps().map(Steps::Barrier),
        }
    }
}

/// What a movement is computed from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Steps {
    /// Windows in rows.
    Means(MeansSteps),
    /// Windows in time.
    Time(TimeSteps),
    /// The path to a barrier.
    Barrier(BarrierSteps),
}

impl Steps {
    pub(super) fn shown(&self) -> &dyn Shown {
        match self {
            Self::Means(means) => means,
            Self::Time(time) => time,
            Self::Barrier(barrier) => barrier,
        }
    }
}

/// About how many rows an evaluator keeps in memory.
pub(super) fn rows_kept(movement: &Movement) -> u64 {
    match movement {
        Movement::Means(means) => Lengths::new(means).span(),
        // Unknown: it depends on how many rows come within the time.
        Movement::Time(_) => 1 << 20,
        Movement::Barrier(barrier) => match barrier.horizon {
            Horizon::Rows(rows) => barrier.lookback_rows + rows,
            Horizon::Time(_) => 1 << 20,
        },
    }
}

/// How far before and after a row its label looks.
pub(super) fn spans(movement: &Movement) -> [Span; 2] {
    match movement {
        Movement::Means(means) => {
            let lengths = Lengths::new(means);
            [lengths.before(), lengths.reach()].map(Span::Rows)
        }
        Movement::Time(time) => [time.lookback.0, time.offset.0 + time.ahead.0].map(Span::Time),
        Movement::Barrier(barrier) => {
            let after = match barrier.horizon {
                Horizon::Rows(rows) => Span::Rows(rows),
                Horizon::Time(time) => Span::Time(time.0),
            };
            [Span::Rows(barrier.sigma_rows().saturating_sub(1)), after]
        }
    }
}

/// How many rows before and after a row its label needs, if that is a number of rows.
pub(super) fn rows_needed(movement: &Movement) -> Option<[u64; 2]> {
    match spans(movement) {
        [Span::Rows(before), Span::Rows(after)] => Some([before, after]),
        _ => None,
    }
}

/// Whether movements start from the mid price at the row, so that their known part is 0.
pub(super) fn is_anchored(movement: &Movement) -> bool {
    match movement {
        Movement::Means(means) => Lengths::new(means).is_anchored(),
        Movement::Time(time) => time.lookback.0 == 0,
        Movement::Barrier(_) => true,
    }
}

/// The windows of movements that follow from consecutive mid prices alone.
pub(super) fn mid_windows(movement: &Movement) -> Option<Lengths> {
    match movement {
        Movement::Means(means) => Some(Lengths::new(means)),
        Movement::Time(_) | Movement::Barrier(_) => None,
    }
}

/// The rows that have at least `before` rows before and `after` rows after them in their unbroken stretch, as one range
/// for each stretch with such rows. The stream has `rows` rows, and each row in `breaks` (ascending) starts a stretch.
pub(super) fn with_whole_windows(
    [before, after]: [u64; 2],
    rows: u64,
    breaks: &[u64],
) -> impl Iterator<Item = Range<u64>> {
    let starts = [0].into_iter().chain(breaks.iter().copied());
    let ends = breaks.iter().copied().chain([rows]);
    let whole = move |(start, end): (u64, u64)| start + before..end.saturating_sub(after);
    starts.zip(ends).map(whole).filter(|range| !range.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dbn::BidAskPair;
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Barrier, Means, Time, Width};
    use crate::input::{Event, Record};
    use crate::tape::{SymbolTape, TapeWriter};
    use crate::time_text::Duration;

    /// A row: its own stamp, bid, and spread.
    type Row = (u64, i64, i64);

    /// Rows with ties in time, steps back, and now and then prices around zero.
    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let price = prop_oneof![20 => 95..105i64, 1 => -2..3i64];
        let row = (prop_oneof![3 => 0..4i64, 1 => -3..0i64, 1 => 5..20i64], price, 0..3i64);
        prop::collection::vec(row, 1..90).prop_map(|rows| {
            let mut ts = 1_000_i64;
            rows.into_iter()
                .map(|(step, bid, spread)| {
                    ts += step;
                    (ts as u64, bid, spread)
                })
                .collect()
        })
    }

    fn width() -> impl Strategy<Value = Width> {
        prop_oneof![
            prop_oneof![Just(0.01), Just(0.05), 0.0..0.1].prop_map(Width::Fraction),
            prop_oneof![Just(1.0), 0.0..4.0].prop_map(Width::Spread),
            (0.0..3.0).prop_map(Width::Sigma)
        ]
    }

    fn movement() -> impl Strategy<Value = Movement> {
        let span = || prop_oneof![1 => Just(0u64), 3 => 0..25u64].prop_map(Duration);
        let time = (span(), span(), span()).prop_map(|(lookback, offset, ahead)| {
            let ahead = if offset.0 + ahead.0 == 0 { Duration(1) } else { ahead };
            Movement::Time(Time { lookback, offset, ahead })
        });
        let horizon =
            prop_oneof![(1..20u64).prop_map(Horizon::Rows), (1..30u64).prop_map(|time| Horizon::Time(Duration(time)))];
        let barrier = (width(), width(), horizon, 3..8u64).prop_map(|(up, down, horizon, lookback_rows)| {
            Movement::Barrier(Barrier { up, down, horizon, lookback_rows })
        });
        let means = (1..6u64, any::<bool>(), 0..4u64, 1..6u64).prop_map(
            |(lookback_rows, include_row, lookforward_offset, lookforward_input)| {
                Movement::Means(Means { lookback_rows, include_row, lookforward_offset, lookforward_input })
            },
        );
        prop_oneof![1 => means, 3 => time, 3 => barrier]
    }

    /// The tape of these rows, with chunks as the writer makes them.
    fn tape(folder: &std::path::Path, rows: &[Row]) -> SymbolTape {
        let path = folder.join("rows.tape");
        let mut writer = TapeWriter::create(&path).unwrap().with_moments(true);
        let mut reached = 0;
        for (ts, bid, spread) in rows {
            reached = reached.max(*ts);
            let mut levels: [BidAskPair; 10] = std::array::from_fn(|_| BidAskPair::default());
            (levels[0].bid_px, levels[0].ask_px) = (*bid, bid + spread);
            let event = Event { ts_recv: *ts, ..Event::default() };
            writer.push(0, &Record { event, levels: &levels }, 2 * bid + spread, reached).unwrap();
        }
        let (_, tapes) = writer.finish().unwrap();
        let mut tape = SymbolTape::default();
        tape.extend(&Arc::new(path), &tapes[0].chunks);
        tape
    }

    /// The labels by the evaluator: row, movement bits, touch, end and end time.
    fn told(movement: &Movement, rows: &[Row], breaks: &[u64]) -> Vec<Verdict> {
        let mut evaluator = Evaluator::new(movement);
        let evaluator = evaluator.kind_mut();
        let mut verdicts = Vec::new();
        let mut reached = 0;
        for (row, (ts, bid, spread)) in (0..).zip(rows) {
            if breaks.contains(&row) {
                evaluator.restart(row, &mut |verdict| verdicts.push(verdict));
            }
            reached = reached.max(*ts);
            let at = RowAt { row, mid2: 2 * bid + spread, spread: *spread, ts: reached };
            evaluator.push(at, &mut |verdict| verdicts.push(verdict));
        }
        evaluator.restart(0, &mut |verdict| verdicts.push(verdict));
        verdicts
    }

    /// The movement in time of a row, computed by adding up every nanosecond; `None` if a window is not complete or the
    /// movement is undefined.
    fn by_nanoseconds(time: &Time, rows: &[Row], stretch: Range<usize>, row: usize) -> Option<f64> {
        let mut reached = rows[..stretch.start].iter().map(|row| row.0).max().unwrap_or(0);
        let steps: Vec<(u64, i64)> = rows[stretch.clone()]
            .iter()
            .map(|(ts, bid, spread)| {
                reached = reached.max(*ts);
                (reached, 2 * bid + spread)
            })
            .collect();
        let mid2 = |ts: u64| i128::from(steps.iter().rfind(|(at, _)| *at <= ts).unwrap().1);
        let ts = steps[row - stretch.start].0;
        let (from, to) = (ts.checked_sub(time.lookback.0)?, ts + time.offset.0 + time.ahead.0);
        if from < steps[0].0 || to > steps.last()?.0 {
            return None;
        }
        let mean = |from: u64, to: u64| match to - from {
            0 => (mid2(to), 1),
            length => ((from..to).map(mid2).sum::<i128>(), i128::from(length)),
        };
        let ((behind, l), (ahead, f)) = (mean(from, ts), mean(ts + time.offset.0, to));
        (behind > 0).then(|| (ahead * l - behind * f) as f64 / (behind * f) as f64)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_500))]

        #[test]
        fn labels_are_those_of_the_writer(
            rows in rows(), movement in movement(), mut breaks in prop::collection::vec(1..90u64, 0..4),
            until in 990..1200u64, cut in any::<(u16, u16)>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let tape = tape(folder.path(), &rows);
            breaks.retain(|row| *row < rows.len() as u64);
            breaks.sort_unstable();
            breaks.dedup();
            let rule = movement.rule();
            let candidates = rule.candidates(&tape, &breaks).unwrap();
            let (mut values, all) = (vec![Vec::new(); rule.tracks()], 0..candidates.count());
            rule.compute(&tape, &breaks, &candidates, all.clone(), &mut |tracks| {
                values.iter_mut().zip(tracks).for_each(|(all, more)| all.extend_from_slice(more));
                Ok(())
            }).unwrap();
            let verdicts = told(&movement, &rows, &breaks);
            prop_assert_eq!(
                candidates.rows(all).flatten().collect::<Vec<_>>(),
                verdicts.iter().map(|verdict| verdict.row).collect::<Vec<_>>()
            );
            let boundary_row = tape.first_row_at(until).unwrap();
            let fit_end = rule.fit_end(&tape, until, boundary_row).unwrap();
            for (place, verdict) in verdicts.iter().enumerate() {
                let last = values.last().unwrap()[place];
                let found = values[0][place];
                prop_assert_eq!((!found.is_nan()).then_some(found.to_bits()), verdict.movement.map(f64::to_bits));
                prop_assert_eq!(rule.end(verdict.row, [found, last]), verdict.end);
                if rule.touches() && verdict.movement.is_some() {
                    let touch = values[1][place];
                    prop_assert_eq!((!touch.is_nan()).then_some(touch as u64), verdict.touch);
                }
                let fit = verdict.row < fit_end;
                prop_assert_eq!(fit, verdict.end_ts < until && verdict.row < boundary_row);
            }
            // A part of the candidates gives the same values, from the part of the tape that its labels depend on.
            let count = candidates.count();
            if count > 0 {
                let (a, b) = (u64::from(cut.0) % count, u64::from(cut.1) % count);
                let part = a.min(b)..a.max(b) + 1;
                let seen = rule.seen(&tape, candidates.span(part.clone())).unwrap();
                let of_part = candidates.part(part.clone());
                let (mut again, seen) = (vec![Vec::new(); rule.tracks()], tape.part(seen));
                rule.compute(&seen, &breaks, &of_part, part.clone(), &mut |tracks| {
                    again.iter_mut().zip(tracks).for_each(|(all, more)| all.extend_from_slice(more));
                    Ok(())
                }).unwrap();
                let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                for (again, values) in again.iter().zip(&values) {
                    prop_assert_eq!(bits(again), bits(&values[part.start as usize..part.end as usize]));
                }
            }
        }

        #[test]
        fn means_in_time_are_sums_over_every_nanosecond(
            rows in rows(), lookback in 0..25u64, offset in 0..9u64, ahead in 0..25u64, at in 1..90usize,
        ) {
            let time = Time {
                lookback: Duration(lookback),
                offset: Duration(offset),
                ahead: Duration(if offset + ahead == 0 { 1 } else { ahead }),
            };
            let breaks: Vec<u64> = (at < rows.len()).then_some(at as u64).into_iter().collect();
            let verdicts = told(&Movement::Time(time), &rows, &breaks);
            let mut verdicts = verdicts.iter().peekable();
            for row in 0..rows.len() {
                let stretch = match breaks.first() {
                    Some(_) if row < at => 0..at,
                    Some(_) => at..rows.len(),
                    None => 0..rows.len(),
                };
                let want = by_nanoseconds(&time, &rows, stretch, row);
                let found = verdicts.next_if(|verdict| verdict.row == row as u64).and_then(|verdict| verdict.movement);
                prop_assert_eq!(found.map(f64::to_bits), want.map(f64::to_bits), "row {}", row);
            }
        }

        #[test]
        fn touches_are_found_by_looking_at_every_row(
            rows in rows(), up in 0.0..0.1f64, down in 0.0..0.1f64, horizon in 1..20u64,
        ) {
            let barrier = Barrier {
                up: Width::Fraction(up),
                down: Width::Fraction(down),
                horizon: Horizon::Rows(horizon),
                lookback_rows: 3,
            };
            prop_assume!(up > 0.0 && down > 0.0);
            let mids: Vec<i64> = rows.iter().map(|(_, bid, spread)| 2 * bid + spread).collect();
            for verdict in told(&Movement::Barrier(barrier), &rows, &[]) {
                let row = verdict.row as usize;
                let change = |to: usize| (mids[to] - mids[row]) as f64 / mids[row] as f64;
                let mut ahead = row + 1..=row + horizon as usize;
                let touch = ahead.find(|to| change(*to) >= up || change(*to) <= -down);
                let want = (mids[row] > 0).then(|| change(touch.unwrap_or(row + horizon as usize)));
                prop_assert_eq!(verdict.movement, want);
                prop_assert_eq!(verdict.touch, touch.map(|row| row as u64).filter(|_| mids[row] > 0));
            }
        }
    }
}
