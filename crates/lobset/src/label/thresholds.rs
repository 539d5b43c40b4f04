//! `thresholds.json`: the class boundaries, the files and rows they were fitted on, and the settings used.

mod on_disk;

use std::collections::BTreeMap;

use pulp::{Arch, NullaryFnOnce};
use serde::{Deserialize, Serialize};

pub use on_disk::LARGEST_THRESHOLDS;

use crate::config::{CLASSIC, Config, LabelSettings};
use crate::error::{ConfigError, Error, Result};
use crate::printable::grouped;
use crate::time_text::Timestamp;

/// A file that the thresholds were fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileUsed {
    /// The name of the file, without folders.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// One set of boundaries, with statistics of the movements they were fitted on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boundaries {
    /// The increasing boundaries between classes: with classes by quantiles, the quantiles k / nbins. Empty if the
    /// first barrier touched determines the class.
    #[serde(rename = "boundaries")]
    pub values: Vec<f64>,
    /// Number of rows fitted on.
    pub fit_rows: u64,
    /// Number of rows left out because their future window reaches the boundary time.
    pub embargo_rows: u64,
    /// Mean of the movements fitted on.
    pub mean: f64,
    /// Their standard deviation (ddof 0).
    pub std: f64,
    /// Their minimum.
    pub min: f64,
    /// Their maximum.
    pub max: f64,
    /// Their median.
    pub median: f64,
}

/// Up to this many boundaries, all of them are compared with a movement: without branches, that is faster than a binary
/// search.
const FEW: usize = 32;

impl Boundaries {
    /// The class of a movement: the number of boundaries that are not above it.
    #[inline]
    pub fn class(&self, movement: f64) -> usize {
        if self.values.len() <= FEW {
            return self.values.iter().map(|b| usize::from(*b <= movement)).sum();
        }
        self.values.partition_point(|b| *b <= movement)
    }

    /// Sets the classes of movements; that of NaN is 0.
    pub fn classes(&self, movements: &[f64], classes: &mut [u64]) {
        let mut one_by_one = 0;
        if self.values.len() <= FEW {
            let (blocks, rest) = movements.as_chunks();
            let classes = classes.as_chunks_mut().0;
            Arch::new().dispatch(Classify { boundaries: &self.values, movements: blocks, classes });
            one_by_one = movements.len() - rest.len();
        }
        let left = classes.iter_mut().zip(movements).skip(one_by_one);
        left.for_each(|(class, movement)| *class = self.class(*movement) as u64);
    }
}

/// Number of movements that are classified together.
const AT_ONCE: usize = 8;

/// Sets the classes of movements, compiled for the instructions of this machine.
struct Classify<'a> {
    boundaries: &'a [f64],
    movements: &'a [[f64; AT_ONCE]],
    classes: &'a mut [[u64; AT_ONCE]],
}

impl NullaryFnOnce for Classify<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (movements, classes) in self.movements.iter().zip(self.classes) {
            let mut found = [0; AT_ONCE];
            for boundary in self.boundaries {
                for (class, movement) in found.iter_mut().zip(movements) {
                    *class += u64::from(boundary <= movement);
                }
            }
            *classes = found;
        }
    }
}

/// The boundaries of one target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "on_disk::FittedOnDisk")]
pub struct Fitted {
    /// The boundaries for all symbols, with `threshold_scope = "global"`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub global: Option<Boundaries>,
    /// The boundaries by symbol, with `threshold_scope = "symbol"`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub symbols: BTreeMap<String, Boundaries>,
}

impl Fitted {
    /// The boundaries that apply to a symbol.
    pub fn for_symbol(&self, symbol: &str) -> Option<&Boundaries> {
        self.global.as_ref().or_else(|| self.symbols.get(symbol))
    }

    fn only<'a>(&self, symbols: impl IntoIterator<Item = &'a str>) -> Self {
        let mine = symbols.into_iter().filter_map(|name| Some((name.to_owned(), self.symbols.get(name)?.clone())));
        Self { global: self.global.clone(), symbols: mine.collect() }
    }
}

/// The contents of `thresholds.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "on_disk::OnDisk")]
pub struct Thresholds {
    /// The version of lobset that fitted them.
    pub version: String,
    /// The boundary time T.
    pub fit_until: Timestamp,
    /// The settings that define the labels.
    pub settings: LabelSettings,
    /// Requested share of the fit half's files.
    pub sample_fraction: f64,
    /// Number of labelled rows that a symbol needed to take part.
    pub min_symbol_samples: u64,
    /// The files fitted on, in order of time.
    pub files: Vec<FileUsed>,
    /// The boundaries of the classic target.
    #[serde(flatten)]
    pub classic: Fitted,
    /// The boundaries of the other targets, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<String, Fitted>,
}

impl Thresholds {
    /// The boundaries of a target.
    pub fn of(&self, target: &str) -> Option<&Fitted> {
        if target == CLASSIC { Some(&self.classic) } else { self.targets.get(target) }
    }

    /// The boundaries of a target that apply to a symbol.
    pub fn boundaries(&self, target: &str, symbol: &str) -> Option<&Boundaries> {
        self.of(target)?.for_symbol(symbol)
    }

    /// A copy that contains only the boundaries of these symbols.
    #[must_use]
    pub fn only<'a>(&self, symbols: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        let target = |(name, fitted): (&String, &Fitted)| (name.clone(), fitted.only(symbols.clone()));
        // Copied field by field, so that the boundaries of all other symbols are not cloned.
        Self {
            version: self.version.clone(),
            fit_until: self.fit_until,
            settings: self.settings.clone(),
            sample_fraction: self.sample_fraction,
            min_symbol_samples: self.min_symbol_samples,
            files: self.files.clone(),
            classic: self.classic.only(symbols.clone()),
            targets: self.targets.iter().map(target).collect(),
        }
    }

    /// Whether any target has separate boundaries for each symbol.
    pub fn differ_by_symbol(&self) -> bool {
        [&self.classic].into_iter().chain(self.targets.values()).any(|fitted| !fitted.symbols.is_empty())
    }

    /// The text written to `thresholds.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Checks that a run's settings are those the thresholds were fitted with.
    ///
    /// # Errors
    /// [`ConfigError`] with every key that differs.
    pub fn check_settings(&self, config: &Config) -> Result<(), ConfigError> {
        let fitted = self.settings.to_config();
        let compared = LabelSettings::settings()
            .filter(|setting| setting.json(config) != setting.json(&fitted))
            .map(|setting| (setting.key, setting.text(config), setting.text(&fitted)));
        let until = config.fit_until.map(|until| ("fit_until", until.to_string(), self.fit_until.to_string()));
        let differing = compared.chain(until).filter(|(_, mine, theirs)| mine != theirs);
        let problem = |(key, mine, theirs)| format!("{key}: {mine} differs from {theirs} in the thresholds file");
        let problems: Vec<String> = differing.map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

fn increasing(boundaries: &[f64]) -> bool {
    boundaries.iter().all(|b| b.is_finite()) && boundaries.windows(2).all(|pair| pair[0] < pair[1])
}

/// Refuses boundaries that leave a class empty because too many of the movements that they were fitted on are equal:
/// two boundaries coincide, or there is no movement between two of them or below the first.
///
/// `neighbours` contains, for each boundary, the two movements that it was interpolated from, which are adjacent in
/// sorted order. `rows` is the number of movements, `min` the smallest, and `zeros` the number of movements that are
/// exactly zero, if zero is one of the neighbours. Having fewer movements than classes is not an error in itself.
///
/// # Errors
/// [`Error::Data`] that says how many classes contain a movement and what to change.
pub fn check_classes(
    boundaries: &[f64],
    neighbours: &[[f64; 2]],
    rows: u64,
    min: f64,
    zeros: u64,
    whose: &str,
) -> Result<()> {
    let nbins = boundaries.len() + 1;
    // Class k is [b_k, b_k+1). The smallest movement that is not less than b_k is one of the two neighbours of b_k. The
    // last class contains the largest movement.
    let inner = boundaries.iter().zip(neighbours).zip(boundaries.iter().skip(1));
    let inner = inner.map(|((from, [below, above]), to)| (if below < from { above } else { below }) < to);
    let below_first = boundaries.first().is_none_or(|first| min < *first);
    let full = 1 + usize::from(below_first) + inner.filter(|holds| *holds).count();
    // Boundaries within the same gap between two movements leave classes empty too, but only when there are few rows.
    let few_rows = rows <= nbins as u64;
    if full == nbins || (few_rows && below_first && increasing(boundaries)) {
        return Ok(());
    }
    let only = format!("{whose}: only {full} of {nbins} classes would get any rows");
    // Zeros fill more than one class if there are more of them than a class's share.
    if zeros < rows && u128::from(zeros) * nbins as u128 > rows.into() {
        return Err(Error::data(
            format!("{only}: {} of the {} fit movements are exactly zero", grouped(zeros), grouped(rows)),
            "set classes = \"share\" or classes = \"spread\", which put zeros into a class between down and up; or lower nbins, or average over longer windows so that the means change in finer steps",
        ));
    }
    Err(Error::data(
        format!("{only}: the fit movements have too few distinct values for nbins = {nbins}"),
        "lower nbins, or average over longer windows so that the means change in finer steps; a price that never changes cannot be divided into classes",
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::ThresholdScope;
    use crate::label::{inner_quantiles, interpolate, ranks};
    use crate::time_text::Duration;

    #[test]
    fn the_class_is_the_number_of_boundaries_not_above() {
        for values in [vec![-1.0, 0.0, 1.0], (0..40).map(f64::from).collect()] {
            let boundaries = Boundaries {
                values,
                fit_rows: 1,
                embargo_rows: 0,
                mean: 0.0,
                std: 0.0,
                min: 0.0,
                max: 0.0,
                median: 0.0,
            };
            for movement in [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 5.0, 39.0, 100.0] {
                let want = boundaries.values.iter().filter(|b| **b <= movement).count();
                assert_eq!(boundaries.class(movement), want);
                for count in [1, 8, 19] {
                    let mut classes = vec![7; count];
                    boundaries.classes(&vec![movement; count], &mut classes);
                    assert_eq!(classes, vec![want as u64; count]);
                }
            }
        }
    }

    #[test]
    fn settings_that_differ_are_named_as_the_user_writes_them() {
        let thresholds: Thresholds = serde_json::from_value(on_disk::tests::global()).unwrap();
        let same = Config { nbins: 3, ..Config::default() };
        assert_eq!(thresholds.check_settings(&same), Ok(()));
        let other = Config {
            threshold_scope: ThresholdScope::Symbol,
            max_gap: Some(Duration(900_000_000_000)),
            price_range: Some([0.5, 2.0]),
            fit_until: Some("2024-04-04".parse().unwrap()),
            ..same
        };
        assert_eq!(
            thresholds.check_settings(&other).unwrap_err().problems,
            [
                "threshold_scope: symbol differs from global in the thresholds file",
                "price_range: 0.5,2.0 differs from none in the thresholds file",
                "max_gap: 15m differs from none in the thresholds file",
                "fit_until: 2024-04-04T00:00:00.000000000Z differs from 2024-04-03T00:00:00.000000000Z in the thresholds file",
            ]
        );
    }

    /// Checks the boundaries of these movements as a run does.
    fn check(movements: &[f64], nbins: u16) -> Result<()> {
        let mut sorted = movements.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len() as u64;
        let qs = inner_quantiles(nbins);
        let at_ranks: Vec<f64> = ranks(n, &qs).into_iter().map(|rank| sorted[rank as usize]).collect();
        let values = interpolate(n, &qs, &at_ranks);
        let zeros = if at_ranks.contains(&0.0) { movements.iter().filter(|m| **m == 0.0).count() as u64 } else { 0 };
        let checked = check_classes(&values, at_ranks.as_chunks().0, n, sorted[0], zeros, "all symbols");
        let boundaries =
            Boundaries { values, fit_rows: n, embargo_rows: 0, mean: 0.0, std: 0.0, min: 0.0, max: 0.0, median: 0.0 };
        let mut counts = vec![0_u64; usize::from(nbins)];
        movements.iter().for_each(|m| counts[boundaries.class(*m)] += 1);
        if n > nbins.into() {
            assert_eq!(checked.is_ok(), counts.iter().all(|c| *c > 0), "{counts:?}");
        }
        if let Err(error) = &checked {
            let full = counts.iter().filter(|c| **c > 0).count();
            assert!(error.to_string().contains(&format!("only {full} of {nbins} classes")), "{error}: {counts:?}");
            let many = zeros < n && zeros * u64::from(nbins) > n;
            let counted = format!("{} of the {} fit movements are exactly zero", grouped(zeros), grouped(n));
            assert_eq!(error.to_string().contains(&counted), many, "{error}");
            let cure = if many { "classes = \"share\" or classes = \"spread\"" } else { "lower nbins" };
            assert!(error.help().unwrap().contains(cure));
        }
        checked
    }

    #[test]
    fn movements_that_leave_a_class_empty_are_refused() {
        let repeated = |parts: &[(f64, usize)]| -> Vec<f64> {
            parts.iter().flat_map(|(value, count)| std::iter::repeat_n(*value, *count)).collect()
        };
        for nbins in [2, 3, 21] {
            // One value; then two values, one of which spans several classes.
            check(&repeated(&[(0.0, 500)]), nbins).unwrap_err();
            check(&repeated(&[(0.0, 490), (1.0, 10)]), nbins).unwrap_err();
            // As many values as classes, in equal shares: accepted.
            let even: Vec<(f64, usize)> = (0..nbins).map(|k| (k.into(), 100)).collect();
            check(&repeated(&even), nbins).unwrap();
            // The smallest value exceeds the share of the first class.
            let mut low = even.clone();
            low[0].1 += 50;
            check(&repeated(&low), nbins).unwrap_err();
        }
        // Movements on both sides of the boundary, most of them equal to it.
        check(&repeated(&[(-1.0, 100), (0.0, 300), (1.0, 100)]), 2).unwrap();
        // A boundary in the gap between two values, and the next one on a value: distinct, but with no movement between
        // them.
        let gap = repeated(&[(0.0, 100), (1.0, 200)]);
        check(&gap, 3).unwrap_err();
        // Few rows are accepted, unless they all have one value.
        check(&[0.0, 1.0, 2.0], 21).unwrap();
        check(&[1.0], 2).unwrap_err();
    }

    proptest! {
        #[test]
        fn a_class_is_found_empty_where_counting_finds_it_empty(
            values in prop::collection::vec((-6i32..6).prop_map(f64::from), 1..80),
            nbins in 2u16..8,
        ) {
            let _ = check(&values, nbins);
        }
    }
}
