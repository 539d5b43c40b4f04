//! The expected contents of a dataset, by the plain definition: one short function for each rule of the documentation.
//!
//! The code that writes datasets has its own versions of these rules, made for speed. Neither calls the other, so a
//! mistake in either shows up as a violation. The tests compare the two on random input.

use std::fmt;
use std::ops::Range;

use crate::config::Config;
use crate::label::Split;

/// L, O and F: the lengths of a label's windows, in rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    /// L: rows of the past window, which ends before the row.
    pub lookback: u64,
    /// O: rows between the row and its future window.
    pub offset: u64,
    /// F: rows of the future window.
    pub ahead: u64,
}

impl Lengths {
    pub(super) fn new(config: &Config) -> Self {
        Self { lookback: config.lookback_rows, offset: config.lookforward_offset, ahead: config.lookforward_input }
    }

    /// O + F: the future window ends this many rows after its row.
    pub(super) fn reach(self) -> u64 {
        self.offset + self.ahead
    }
}

/// Why a record is not a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// The best bid or the best ask is missing.
    OneSided,
    /// The best bid is above the best ask, and `keep_crossed` is not set.
    Crossed,
    /// A price is outside `price_range`.
    OutOfRange,
    /// The sum of the prices does not fit 64 bits.
    TooLarge { bid: i64, ask: i64 },
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneSided => f.write_str("its quote is not usable: one-sided"),
            Self::Crossed => f.write_str("its quote is not usable: crossed"),
            Self::OutOfRange => f.write_str("its quote is not usable: out of range"),
            Self::TooLarge { bid, ask } => {
                write!(f, "best bid {bid} and best ask {ask} (1e-9) are too large to add")
            }
        }
    }
}

/// The settings that decide which quotes are usable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usable {
    keep_crossed: bool,
    /// The lowest and the highest price, in 1e-9.
    range: Option<[i64; 2]>,
}

impl Usable {
    pub(super) fn new(config: &Config) -> Self {
        let range = config.price_range.map(|range| range.map(|price| (price * 1e9).round() as i64));
        Self { keep_crossed: config.keep_crossed, range }
    }

    /// `mid2` of a usable quote: best bid plus best ask, in 1e-9.
    pub(super) fn mid2(self, bid: Option<i64>, ask: Option<i64>) -> Result<i64, Unusable> {
        let (Some(bid), Some(ask)) = (bid, ask) else { return Err(Unusable::OneSided) };
        if bid > ask && !self.keep_crossed {
            return Err(Unusable::Crossed);
        }
        if self.range.is_some_and(|[low, high]| [bid, ask].iter().any(|price| *price < low || *price > high)) {
            return Err(Unusable::OutOfRange);
        }
        bid.checked_add(ask).ok_or(Unusable::TooLarge { bid, ask })
    }
}

/// Whether a row of `instrument` at `ts` starts a new unbroken stretch: it belongs to another instrument than the row
/// before, or comes more than `max_gap` nanoseconds after the largest `ts_recv` so far. `before` contains the
/// instrument of the previous row and that time; for the first row of a stream it is `None`, and the answer is no.
pub(super) fn starts_stretch(before: Option<(u32, u64)>, (instrument, ts): (u32, u64), max_gap: Option<u64>) -> bool {
    let Some((last_instrument, reached)) = before else { return false };
    let paused = max_gap.is_some_and(|gap| ts.saturating_sub(reached) > gap);
    instrument != last_instrument || paused
}

/// The rows whose windows are entirely within their unbroken stretch, as one range for each stretch with such rows. The
/// stream has `rows` rows, and each row in `breaks` (ascending) starts a stretch.
pub(super) fn with_whole_windows(lengths: Lengths, rows: u64, breaks: &[u64]) -> impl Iterator<Item = Range<u64>> {
    let starts = [0].into_iter().chain(breaks.iter().copied());
    let ends = breaks.iter().copied().chain([rows]);
    let whole = move |(start, end): (u64, u64)| start + lengths.lookback..end.saturating_sub(lengths.reach());
    starts.zip(ends).map(whole).filter(|range| !range.is_empty())
}

/// `(A*L - B*F) / (B*F)` from the sums B over the L rows before and A over the F rows ahead; `None` where B <= 0.
/// Numerator and denominator are exact, and each is rounded to f64 once.
pub(super) fn movement(lengths: Lengths, behind: i128, ahead: i128) -> Option<f64> {
    if behind <= 0 {
        return None;
    }
    let below = behind * i128::from(lengths.ahead);
    let above = ahead * i128::from(lengths.lookback) - below;
    // Nearly all values fit 64 bits, where conversion is one instruction.
    Some(match (i64::try_from(above), i64::try_from(below)) {
        (Ok(above), Ok(below)) => above as f64 / below as f64,
        _ => above as f64 / below as f64,
    })
}

/// The class of a movement: the number of boundaries that are not above it.
pub(super) fn class(boundaries: &[f64], movement: f64) -> usize {
    boundaries.iter().filter(|boundary| **boundary <= movement).count()
}

/// The split of a labelled row by its row number. `boundary_row` is the first row at the boundary time or later.
pub(super) fn split_by_row(row: u64, lengths: Lengths, boundary_row: u64) -> Split {
    match () {
        () if row >= boundary_row => Split::Holdout,
        () if row + lengths.reach() >= boundary_row => Split::Embargo,
        () => Split::Fit,
    }
}

/// The split of a labelled row by time: `own_ts` at the row and `last_ts` at the last row of its future window, both
/// running maxima of `ts_recv`, compared with the boundary time `until`.
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
    /// Number of marked rows of every class that has so many.
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
        let floor = |j: u64| match j.checked_mul(self.k) {
            Some(product) => u128::from(product / c),
            None => u128::from(j) * u128::from(self.k) / u128::from(c),
        };
        c <= self.k || floor(j) > floor(j - 1)
    }
}

#[cfg(test)]
mod tests {
    use dbn::{BidAskPair, UNDEF_PRICE};
    use proptest::prelude::*;

    use super::*;
    use crate::config::MAX_WINDOW_ROWS;
    use crate::input::{Drops, QuoteRules, is_break};
    use crate::label::{self, Boundaries, Candidates, Quota, Splits, Windows};

    /// The writer's lengths of the same windows.
    fn writers(Lengths { lookback, offset, ahead }: Lengths) -> Windows {
        let config = Config {
            lookback_rows: lookback,
            lookforward_offset: offset,
            lookforward_input: ahead,
            ..Config::default()
        };
        assert_eq!(Lengths::new(&config).reach(), Windows::new(&config).reach());
        Windows::new(&config)
    }

    fn lengths(longest: u64) -> impl Strategy<Value = Lengths> {
        (1..=longest, 0..=longest, 1..=longest).prop_map(|(lookback, offset, ahead)| Lengths {
            lookback,
            offset,
            ahead,
        })
    }

    /// Any number, often at or near an end of the range, and so near others.
    fn any_u64() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), 0..20u64, (0..20u64).prop_map(|n| u64::MAX - n)]
    }

    /// Any price, often near another, at an end of the range, or missing.
    fn price() -> impl Strategy<Value = i64> {
        let near = |at: i64| (-3..3i64).prop_map(move |n| at.saturating_add(n));
        prop_oneof![
            1 => any::<i64>(),
            6 => near(650_000_000),
            1 => near(i64::MAX),
            1 => near(i64::MIN),
            1 => near(i64::MAX / 2),
            1 => Just(UNDEF_PRICE)
        ]
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
        fn splits_are_those_of_the_writer_and_of_time(
            stamps in prop::collection::vec(0..40u64, 1..60), until in 0..45u64, lengths in lengths(8), far in 0..1u64 << 48,
        ) {
            let mut stamps = stamps;
            stamps.sort_unstable();
            let boundary_row = stamps.iter().filter(|ts| **ts < until).count() as u64;
            let splits = Splits { boundary_row, reach: writers(lengths).reach() };
            for row in (0..stamps.len() as u64).chain([far]) {
                let split = split_by_row(row, lengths, boundary_row);
                prop_assert_eq!(split, splits.of(row));
                if let Some(last) = stamps.get((row + lengths.reach()) as usize) {
                    prop_assert_eq!(split, split_by_time(stamps[row as usize], *last, until));
                }
            }
        }

        #[test]
        fn rows_with_whole_windows_are_those_of_the_writer(
            rows in 0..200u64, mut breaks in prop::collection::vec(1..199u64, 0..12), short in lengths(20),
            long in lengths(MAX_WINDOW_ROWS),
        ) {
            breaks.retain(|row| *row < rows);
            breaks.sort_unstable();
            breaks.dedup();
            for lengths in [short, long] {
                let candidates = Candidates::new(writers(lengths), rows, &breaks);
                let want: Vec<_> = candidates.rows(0..candidates.count()).collect();
                prop_assert_eq!(with_whole_windows(lengths, rows, &breaks).collect::<Vec<_>>(), want);
            }
            let scaled: Vec<u64> = breaks.iter().map(|row| row << 40).collect();
            let candidates = Candidates::new(writers(long), rows << 40, &scaled);
            let want: Vec<_> = candidates.rows(0..candidates.count()).collect();
            prop_assert_eq!(with_whole_windows(long, rows << 40, &scaled).collect::<Vec<_>>(), want);
        }

        #[test]
        fn movements_are_those_of_the_writer(
            lengths in prop_oneof![lengths(9), lengths(MAX_WINDOW_ROWS)],
            behind in prop_oneof![any::<i64>(), -3..50i64], ahead in any::<i64>(), scale in any::<bool>(),
        ) {
            let scaled = |sum: i64, rows: u64| i128::from(sum) * i128::from(if scale { rows } else { 1 });
            let (behind, ahead) = (scaled(behind, lengths.lookback), scaled(ahead, lengths.ahead));
            let want = label::movement(writers(lengths), behind, ahead);
            prop_assert_eq!(movement(lengths, behind, ahead).map(f64::to_bits), want.map(f64::to_bits));
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
                prop_assert_eq!(starts_stretch(Some(before), (next.0, ts), gap), want);
            }
            prop_assert!(!starts_stretch(None, next, gap));
        }

        #[test]
        fn usable_quotes_are_those_of_the_writer(
            bid in price(), ask in price(), keep_crossed: bool,
            range in prop::option::of(prop_oneof![[0.1..0.65, 0.65..9e9f64], Just([0.649_999_999, 0.650_000_001])]),
        ) {
            let config = Config { keep_crossed, price_range: range, ..Config::default() };
            let mut drops = Drops::default();
            let rules = QuoteRules::new(keep_crossed, range);
            let want = rules.mid2(&BidAskPair { bid_px: bid, ask_px: ask, ..BidAskPair::default() }, &mut drops);
            let some = |price: i64| (price != UNDEF_PRICE).then_some(price);
            match Usable::new(&config).mid2(some(bid), some(ask)) {
                Ok(mid2) => prop_assert_eq!(want, Ok(Some(mid2))),
                Err(reason @ Unusable::TooLarge { .. }) => prop_assert_eq!(want, Err(reason.to_string())),
                Err(reason) => {
                    prop_assert_eq!(want, Ok(None));
                    let counted: Vec<&str> =
                        drops.named().into_iter().filter(|(_, count)| *count == 1).map(|(name, _)| name).collect();
                    prop_assert_eq!(reason.to_string(), format!("its quote is not usable: {}", counted.join(", ")));
                }
            }
        }

        #[test]
        fn marks_are_those_of_the_writer(
            small in prop::collection::vec(0..300u64, 2..8), lopsided in prop::collection::vec(0..9u64, 2..8), any in prop::collection::vec(any_u64(), 2..8), near in 0..50u64,
            few in 1..30u64, off in -1..=1i64,
        ) {
            // The first class has a tenth of its fair share, give or take one row in total.
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
                for (class, c) in counts.iter().enumerate() {
                    let ends = (1..=300).chain(c.saturating_sub(300)..=*c).chain([c / 2 + near, c / 3 + near]);
                    for j in ends.filter(|j| (1..=*c).contains(j)) {
                        prop_assert_eq!(marks.is_marked(class, j), quota.is_marked(class, j), "{} of {}", j, c);
                    }
                }
            }
        }
    }
}
