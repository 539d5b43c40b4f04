//! The expected contents of a dataset, by the plain definition: one short function for each documented rule. Which records
//! are rows is defined in `input/quote.rs`, and derived columns in `output/derived.rs`, beside the rules for speed.
//!
//! The code that writes datasets has its own versions of these rules, made for speed. Neither calls the other, so a
//! mistake in either shows up as a violation. The tests compare the two on random input.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::cast::whole_unsigned;
use crate::label::Split;

/// Why a row starts a new unbroken stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Break {
    /// It belongs to another instrument than the row before.
    Instrument,
    /// It comes more than `max_gap` after the largest `ts_recv` before it.
    Gap,
    /// A record between it and the row before was dropped for its bad book.
    BadBook,
    /// A session begins or ends between it and the row before, with `session_breaks`.
    SessionEdge,
}

/// Whether, and why, a row of `instrument` at `ts` starts a new unbroken stretch: it belongs to another instrument than
/// the row before, or comes more than `max_gap` nanoseconds after the largest `ts_recv` so far. `before` contains the
/// instrument of the previous row and that time. It is `None` for the first row of a stream, which never starts a new
/// stretch.
pub(super) fn starts_stretch(
    before: Option<(u32, u64)>,
    (instrument, ts): (u32, u64),
    max_gap: Option<u64>,
) -> Option<Break> {
    let (last_instrument, reached) = before?;
    let paused = max_gap.is_some_and(|gap| ts.saturating_sub(reached) > gap);
    match () {
        () if instrument != last_instrument => Some(Break::Instrument),
        () if paused => Some(Break::Gap),
        () => None,
    }
}

/// The rows of some ranges that are within the sessions, given as ascending ranges of rows (from, to); all rows if
/// there are no sessions.
pub(super) fn within_sessions(rows: Range<u64>, in_session: Option<&[[u64; 2]]>) -> Vec<Range<u64>> {
    let Some(in_session) = in_session else { return vec![rows] };
    let first = in_session.partition_point(|[_, to]| *to <= rows.start);
    let shared = in_session[first..].iter().take_while(|[from, _]| *from < rows.end);
    shared.map(|[from, to]| rows.start.max(*from)..rows.end.min(*to)).collect()
}

/// The class of a movement: the number of boundaries that are not above it.
pub(super) fn class(boundaries: &[f64], movement: f64) -> usize {
    boundaries.iter().filter(|boundary| **boundary <= movement).count()
}

/// The quantile `q` of `n` values, as numpy's default method `linear` computes it. `at` returns the value at a rank of
/// their order, from 0.
///
/// Source: Hyndman and Fan (1996), type 7, interpolated from the nearer of the two values.
pub(super) fn quantile(n: u64, q: f64, at: impl Fn(u64) -> Option<f64>) -> Option<f64> {
    let last = n.checked_sub(1)?;
    let place = last as f64 * q;
    let (rank, share) = (whole_unsigned(place.floor()).min(last), place - place.floor());
    let (below, above) = (at(rank)?, at((rank + 1).min(last))?);
    Some(match share < 0.5 {
        true => below + (above - below) * share,
        false => above - (above - below) * (1.0 - share),
    })
}

/// The split of a labelled row by its row number. `fit_end` is the first row that is not `fit`, and `boundary_row` the
/// first row at the boundary time or later.
pub(super) fn split_by_row(row: u64, fit_end: u64, boundary_row: u64) -> Split {
    match () {
        () if row >= boundary_row => Split::Holdout,
        () if row >= fit_end => Split::Embargo,
        () => Split::Fit,
    }
}

/// The split of a labelled row by time: `own_ts` is the time of the row and `last_ts` that of the end of its label.
/// Both are compared with the boundary time `until`.
pub(super) fn split_by_time(own_ts: u64, last_ts: u64, until: u64) -> Split {
    match () {
        () if own_ts >= until => Split::Holdout,
        () if last_ts >= until => Split::Embargo,
        () => Split::Fit,
    }
}

/// The rows of a symbol and split that are marked as `balanced`.
pub(super) struct Marks<'a> {
    /// Number of rows of each class.
    counts: &'a [u64],
    /// k: the number of marked rows of each class that has at least k rows.
    k: u64,
}

impl<'a> Marks<'a> {
    /// Marks for the given number of rows of each class.
    pub(super) fn new(counts: &'a [u64]) -> Self {
        let rows: u128 = counts.iter().map(|c| u128::from(*c)).sum();
        let enough = |c: &u64| u128::from(*c) * counts.len() as u128 * 10 >= rows;
        // The smallest count among the classes with at least a tenth of their fair share of the rows; if those are fewer
        // than half of the classes, the smallest count above zero of all.
        let large: Vec<u64> = counts.iter().copied().filter(enough).collect();
        let present: Vec<u64> = counts.iter().copied().filter(|c| *c > 0).collect();
        let setting = if 2 * large.len() < counts.len() { present } else { large };
        Self { counts, k: setting.into_iter().min().unwrap_or(0) }
    }

    /// k: the number of marked rows of each class that has at least k rows.
    pub(super) fn k(&self) -> u64 {
        self.k
    }

    /// The classes with fewer than k rows.
    pub(super) fn short(&self) -> Vec<u64> {
        (0..).zip(self.counts).filter(|(_, c)| **c < self.k).map(|(class, _)| class).collect()
    }

    /// Number of marked rows of each class.
    pub(super) fn counts(&self) -> Vec<u64> {
        self.counts.iter().map(|c| self.k.min(*c)).collect()
    }

    /// Whether the `j`-th row of a class, from 1, is marked: floor(j*k/c) > floor((j-1)*k/c) if the class has c > k
    /// rows; otherwise every row is marked.
    pub(super) fn is_marked(&self, class: usize, j: u64) -> bool {
        let c = self.counts[class];
        c <= self.k || self.floor(c, j) > self.floor(c, j - 1)
    }

    /// Goes through the rows, from the first one of each class.
    pub(super) fn in_order(self) -> MarksInOrder<'a> {
        let of_class = |c: &u64| MarksOfClass { rest: 0, k: self.k, c: *c };
        MarksInOrder { classes: self.counts.iter().map(of_class).collect(), marks: self }
    }

    /// floor(j*k/c), for a class of c > 0 rows.
    pub(super) fn floor(&self, c: u64, j: u64) -> u64 {
        match j.checked_mul(self.k) {
            Some(product) => product / c,
            // Saturates only for j beyond c, which never occurs.
            None => u64::try_from(u128::from(j) * u128::from(self.k) / u128::from(c)).unwrap_or(u64::MAX),
        }
    }
}

/// The marks of consecutive rows.
pub(super) struct MarksInOrder<'a> {
    pub marks: Marks<'a>,
    pub classes: Vec<MarksOfClass>,
}

/// The marks of consecutive rows of a class.
#[derive(Debug, Clone)]
pub(super) struct MarksOfClass {
    /// The remainder of j*k divided by c, after j rows.
    rest: u64,
    k: u64,
    c: u64,
}

impl MarksOfClass {
    /// Whether the next row is marked, as [`Marks::is_marked`] says, but without a division.
    #[inline]
    pub(super) fn next(&mut self) -> bool {
        let Self { rest, k, c } = self;
        if *c <= *k {
            return true;
        }
        // The quotient grows where the remainder starts again from 0.
        let grows = *rest >= *c - *k;
        *rest = if grows { *rest - (*c - *k) } else { *rest + *k };
        grows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::input::is_break;
    use crate::label::{Boundaries, Quota, Splits};

    /// Any number, often at or near an end of the range, so that numbers are often close to each other.
    fn any_u64() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), 0..20u64, (0..20u64).prop_map(|n| u64::MAX - n)]
    }

    fn any_movement() -> impl Strategy<Value = f64> {
        prop_oneof![any::<f64>(), (-9..9i32).prop_map(f64::from), Just(f64::NAN), Just(-0.0), Just(f64::INFINITY)]
    }

    proptest! {
        // The ends of ranges are rare.
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn classes_are_those_of_the_writer(
            mut values in prop::collection::vec((-9..9i32).prop_map(f64::from), 1..254), movement in any_movement(),
        ) {
            values.sort_by(f64::total_cmp);
            let want = class(&values, movement);
            let boundaries =
                Boundaries { values, fit_rows: 1, embargo_rows: 0, mean: 0.0, std: 0.0, min: 0.0, max: 0.0, median: 0.0 };
            prop_assert_eq!(boundaries.class(movement), want);
        }

        #[test]
        fn splits_are_those_of_the_writer(row: u64, fit_end in any_u64(), boundary_row in any_u64(), near in 0..3u64) {
            let fit_end = fit_end.min(boundary_row);
            let splits = Splits { fit_end, boundary_row };
            for row in [row, fit_end.saturating_add(near).saturating_sub(1), boundary_row.saturating_add(near).saturating_sub(1)] {
                let row = row.min(u64::MAX - 1);
                let cut = splits.cut(row..row + 1).into_iter().find(|(_, rows)| !rows.is_empty());
                prop_assert_eq!(Some(split_by_row(row, fit_end, boundary_row)), cut.map(|(split, _)| split));
            }
        }

        #[test]
        fn stretches_start_where_the_writer_breaks(
            before in (0..3u32, any_u64()), next in (0..3u32, any_u64()), gap in prop::option::of(any_u64()), near in 0..4u64,
        ) {
            let (instrument, reached) = before;
            // At the gap, and up to two nanoseconds off.
            let at_gap = reached.saturating_add(gap.unwrap_or(0)).saturating_add(near).saturating_sub(2);
            for ts in [next.1, at_gap] {
                let want = is_break(reached, ts, gap.unwrap_or(u64::MAX), next.0 == instrument);
                prop_assert_eq!(starts_stretch(Some(before), (next.0, ts), gap).is_some(), want);
            }
            prop_assert_eq!(starts_stretch(None, next, gap), None);
        }

        #[test]
        fn marks_are_those_of_the_writer(
            small in prop::collection::vec(0..300u64, 2..8), lopsided in prop::collection::vec(0..9u64, 2..8), any in prop::collection::vec(any_u64(), 2..8), near in 0..50u64,
            few in 1..30u64, off in -1..=1i64,
        ) {
            // The first class has a tenth of its fair share, within one row in total.
            let nbins = any.len() as u64;
            let mut tenth = vec![0; any.len()];
            tenth[0] = few;
            tenth[1] = (few * (10 * nbins - 1)).saturating_add_signed(off);
            let mut lopsided = lopsided;
            lopsided[0] *= 1_000;
            for counts in [small, lopsided, any, tenth] {
                let (marks, quota) = (Marks::new(&counts), Quota::new(counts.clone()));
                prop_assert_eq!(marks.k, quota.k());
                prop_assert_eq!(marks.short(), quota.short().map(|class| class as u64).collect::<Vec<_>>());
                let marked: Vec<u64> = (0..counts.len()).map(|class| quota.marked(class)).collect();
                prop_assert_eq!(marks.counts(), marked);
                let mut in_order = Marks::new(&counts).in_order();
                for (class, c) in counts.iter().enumerate() {
                    for j in 1..=(*c).min(300) {
                        prop_assert_eq!(in_order.classes[class].next(), marks.is_marked(class, j), "{} of {}", j, c);
                    }
                    let ends = (1..=300).chain(c.saturating_sub(300)..=*c).chain([c / 2 + near, c / 3 + near]);
                    for j in ends.filter(|j| (1..=*c).contains(j)) {
                        let mut before = vec![0; counts.len()];
                        before[class] = j - 1;
                        let marked = quota.marking(&before).next(class);
                        prop_assert_eq!(marks.is_marked(class, j), marked, "{} of {}", j, c);
                    }
                }
            }
        }
    }
}
