//! Counts of fit movements around the values that `thresholds.json` says are their quantiles. It follows from the
//! counts whether they are, so no movement is kept or read twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::definition::class;
use crate::config::{Classes, Target};
use crate::label::{Boundaries, Fitted};

/// The values from one cut up to the next. Without values, the extremes are the ends of the range of finite numbers,
/// because JSON has no infinity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Interval {
    count: u64,
    /// The least value, and the number of values equal to it.
    least: f64,
    equal: u64,
    /// The least value above that.
    next: f64,
    greatest: f64,
}

impl Interval {
    const EMPTY: Self = Self { count: 0, least: f64::MAX, equal: 0, next: f64::MAX, greatest: f64::MIN };

    #[inline]
    fn push(&mut self, value: f64) {
        self.count += 1;
        if value <= self.next {
            if value < self.least {
                (self.next, self.least, self.equal) = (self.least, value, 1);
            } else if value == self.least {
                self.equal += 1;
            } else {
                self.next = value;
            }
        }
        if value > self.greatest {
            self.greatest = value;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.greatest = self.greatest.max(other.greatest);
        let next = self.next.min(other.next);
        if other.least < self.least {
            (self.next, self.least, self.equal) = (next.min(self.least), other.least, other.equal);
        } else if other.least == self.least {
            (self.next, self.equal) = (next, self.equal + other.equal);
        } else {
            self.next = next.min(other.least);
        }
    }
}

/// Values counted in the intervals between cuts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Intervals {
    /// In ascending order.
    cuts: Vec<f64>,
    /// One more than there are cuts.
    intervals: Vec<Interval>,
}

impl Intervals {
    fn new(mut cuts: Vec<f64>) -> Self {
        cuts.sort_by(f64::total_cmp);
        cuts.dedup();
        Self { intervals: vec![Interval::EMPTY; cuts.len() + 1], cuts }
    }

    #[inline]
    fn push(&mut self, value: f64) {
        self.intervals[class(&self.cuts, value)].push(value);
    }

    fn merge(&mut self, other: &Self) {
        self.intervals.iter_mut().zip(&other.intervals).for_each(|(mine, other)| mine.merge(other));
    }

    /// Number of values.
    pub(super) fn count(&self) -> u64 {
        self.intervals.iter().map(|interval| interval.count).sum()
    }

    /// The least and the greatest value.
    pub(super) fn ends(&self) -> [f64; 2] {
        let ends = self.intervals.iter().map(|interval| [interval.least, interval.greatest]);
        ends.fold([f64::MAX, f64::MIN], |[min, max], [least, greatest]| [min.min(least), max.max(greatest)])
    }

    /// Number of values below a cut.
    pub(super) fn below(&self, cut: f64) -> u64 {
        self.cuts.iter().zip(&self.intervals).filter(|(at, _)| **at <= cut).map(|(_, interval)| interval.count).sum()
    }

    /// The value at a rank, from 0; `None` if it is inside an interval, away from its ends. The two values that surround
    /// a cut are always known.
    pub(super) fn at(&self, rank: u64) -> Option<f64> {
        let mut first = 0;
        for interval in &self.intervals {
            let place = rank - first;
            if place < interval.count {
                return match place {
                    _ if place < interval.equal => Some(interval.least),
                    _ if place == interval.equal => Some(interval.next),
                    _ if place + 1 == interval.count => Some(interval.greatest),
                    _ => None,
                };
            }
            first += interval.count;
        }
        None
    }
}

/// Counts of the movements that boundaries were fitted on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FitCounts {
    /// Intervals by the boundaries that are quantiles, and the median.
    pub(super) movements: Intervals,
    /// Absolute values below and above the largest of the middle class, if that is a quantile of them.
    pub(super) absolute: Option<Intervals>,
    /// The mean in `thresholds.json`.
    mean: f64,
    pub(super) sum: f64,
    /// Sum of the squared distances from `mean`.
    pub(super) squares: f64,
    /// Sums of spreads and of mid2 over the rows, if the quotes are read and the boundaries depend on them.
    #[serde(skip)]
    pub(super) spreads: Option<[i128; 2]>,
}

impl FitCounts {
    /// No movements yet.
    pub(super) fn new(target: &Target, boundaries: &Boundaries) -> Self {
        let Boundaries { values, median, mean, .. } = boundaries;
        let quantiles = matches!(target.classes, Classes::Quantiles { .. });
        let cuts = values.iter().filter(|_| quantiles).chain([median]).copied().collect();
        let largest = values.first().filter(|_| matches!(target.classes, Classes::Share { .. })).map(|least| -least);
        Self {
            movements: Intervals::new(cuts),
            absolute: largest.map(|largest| Intervals::new(vec![largest])),
            mean: *mean,
            sum: 0.0,
            squares: 0.0,
            spreads: None,
        }
    }

    /// Counts movements. Those that are not finite are violations of their own.
    pub(super) fn extend(&mut self, movements: impl Iterator<Item = f64>) {
        // Sums of sums are more precise than one long sum.
        let (mut sum, mut squares) = (0.0, 0.0);
        for movement in movements.filter(|movement| movement.is_finite()) {
            self.movements.push(movement);
            if let Some(absolute) = &mut self.absolute {
                absolute.push(movement.abs());
            }
            sum += movement;
            squares += (movement - self.mean) * (movement - self.mean);
        }
        self.sum += sum;
        self.squares += squares;
    }

    /// Adds the counts of other movements.
    pub(super) fn merge(&mut self, other: &Self) {
        self.movements.merge(&other.movements);
        if let (Some(mine), Some(other)) = (&mut self.absolute, &other.absolute) {
            mine.merge(other);
        }
        self.sum += other.sum;
        self.squares += other.squares;
        if let Some([spreads, mids]) = other.spreads {
            let [mine, mine_mids] = self.spreads.unwrap_or_default();
            self.spreads = Some([mine + spreads, mine_mids + mids]);
        }
    }
}

/// The counts of a target, as its boundaries were fitted: on all symbols together, or on each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetFitCounts {
    pub(super) global: Option<FitCounts>,
    pub(super) symbols: BTreeMap<String, FitCounts>,
}

impl TargetFitCounts {
    /// Adds the counts of a symbol's dataset.
    pub(super) fn add(&mut self, fitted: &Fitted, symbol: &str, counts: FitCounts) {
        match (&fitted.global, &mut self.global) {
            (Some(_), Some(all)) => all.merge(&counts),
            (Some(_), mine) => *mine = Some(counts),
            (None, _) => drop(self.symbols.insert(symbol.to_owned(), counts)),
        }
    }

    /// Adds the counts of other datasets.
    pub(crate) fn merge(&mut self, other: Self) {
        match (&mut self.global, other.global) {
            (Some(all), Some(more)) => all.merge(&more),
            (mine, more) => *mine = mine.take().or(more),
        }
        self.symbols.extend(other.symbols);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::label::{Selection, inner_quantiles, interpolate, ranks};
    use crate::validate::definition::quantile;

    /// The quantiles as the writer selects them.
    fn selected(values: &[f64], qs: &[f64]) -> Vec<f64> {
        let mut selection = Selection::new();
        loop {
            let mut histogram = selection.empty();
            selection.count(values, &mut histogram);
            if let Some(found) = selection.refine(histogram, |n| ranks(n, qs)) {
                return interpolate(values.len() as u64, qs, &found);
            }
        }
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![-1e-3..1e-3f64, (-5i32..5).prop_map(f64::from), Just(1.0), Just(1.0_f64.next_up())]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn counts_around_quantiles_prove_them(
            parts in prop::collection::vec(prop::collection::vec(value(), 0..40), 1..4), nbins in 2u16..30,
            (off, up) in (0..29usize, any::<bool>()),
        ) {
            let values = parts.concat();
            prop_assume!(!values.is_empty());
            let qs = inner_quantiles(nbins);
            let quantiles = selected(&values, &qs);
            let counted = |cuts: &[f64]| {
                let mut all = Intervals::new(cuts.to_vec());
                for part in &parts {
                    let mut one = Intervals::new(cuts.to_vec());
                    part.iter().for_each(|value| one.push(*value));
                    all.merge(&one);
                }
                all
            };
            let found = |cuts: &[f64]| {
                let all = counted(cuts);
                qs.iter().map(|q| quantile(all.count(), *q, |rank| all.at(rank)).map(f64::to_bits)).collect::<Vec<_>>()
            };
            let want: Vec<_> = quantiles.iter().map(|value| Some(value.to_bits())).collect();
            prop_assert_eq!(found(&quantiles), want.clone());
            let mut in_order = values.clone();
            in_order.sort_by(f64::total_cmp);
            prop_assert_eq!(counted(&quantiles).ends(), [in_order[0], in_order[in_order.len() - 1]]);
            for cut in &quantiles {
                prop_assert_eq!(counted(&quantiles).below(*cut), values.iter().filter(|v| *v < cut).count() as u64);
            }
            // A wrong quantile is not proved, and no value that is known is wrong.
            let off = off % quantiles.len();
            let mut wrong = quantiles.clone();
            wrong[off] = if up { wrong[off].next_up() } else { wrong[off].next_down() };
            prop_assert_ne!(found(&wrong)[off], Some(wrong[off].to_bits()));
            let all = counted(&wrong);
            for (rank, value) in (0..).zip(&in_order) {
                prop_assert!(all.at(rank).is_none_or(|found| found == *value), "{} {:?}", rank, all);
            }
        }
    }
}
