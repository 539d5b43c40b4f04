//! `thresholds.json`: the class boundaries, what they were fitted on, and how.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Config, ThresholdScope};
use crate::error::{ConfigError, Error, InputError, Result};
use crate::storage;
use crate::time_text::Timestamp;

/// No thresholds file is larger, in bytes: a boundary takes some twenty.
pub const LARGEST_THRESHOLDS: u64 = 1 << 30;

/// Contradictions that a message lists before it says how many more there are.
const MOST_CONTRADICTIONS: usize = 5;

/// The settings that define a label. Thresholds apply only where these are the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSettings {
    /// As in [`Config`].
    pub lookback_rows: u64,
    /// As in [`Config`].
    pub lookforward_input: u64,
    /// As in [`Config`].
    pub lookforward_offset: u64,
    /// As in [`Config`].
    pub nbins: u16,
    /// As in [`Config`].
    pub threshold_scope: ThresholdScope,
    /// As in [`Config`].
    pub keep_crossed: bool,
    /// As in [`Config`].
    pub price_range: Option<[f64; 2]>,
    /// As in [`Config`].
    pub max_gap: Option<u64>,
}

impl LabelSettings {
    /// Those of a run's settings.
    pub fn new(config: &Config) -> Self {
        Self {
            lookback_rows: config.lookback_rows,
            lookforward_input: config.lookforward_input,
            lookforward_offset: config.lookforward_offset,
            nbins: config.nbins,
            threshold_scope: config.threshold_scope,
            keep_crossed: config.keep_crossed,
            price_range: config.price_range,
            max_gap: config.max_gap,
        }
    }

    /// The default settings of a run, with these in place of those that define the label.
    fn to_config(&self) -> Config {
        // A new setting does not compile until it stands here.
        let Self {
            lookback_rows,
            lookforward_input,
            lookforward_offset,
            nbins,
            threshold_scope,
            keep_crossed,
            price_range,
            max_gap,
        } = *self;
        Config {
            lookback_rows,
            lookforward_input,
            lookforward_offset,
            nbins,
            threshold_scope,
            keep_crossed,
            price_range,
            max_gap,
            ..Config::default()
        }
    }
}

/// A file that the thresholds were fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileUsed {
    /// Its name, without folders.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// One set of boundaries and the movements behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// nbins - 1 increasing movements: the quantiles k / nbins.
    pub boundaries: Vec<f64>,
    /// Rows fitted on.
    pub fit_rows: u64,
    /// Rows left out because their future window reaches the boundary time.
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

impl Fit {
    /// The class of a movement: the number of boundaries that are not above it.
    #[inline]
    pub fn class(&self, movement: f64) -> usize {
        // Twenty comparisons without a jump beat a search whose jumps nobody foresees.
        if self.boundaries.len() <= 32 {
            return self.boundaries.iter().map(|b| usize::from(*b <= movement)).sum();
        }
        self.boundaries.partition_point(|b| *b <= movement)
    }

    /// Everything about these boundaries that cannot be, one text each.
    fn contradictions(&self, nbins: u16) -> Vec<String> {
        let Self { boundaries, fit_rows, mean, std, min, max, median, .. } = self;
        let mut found = Vec::new();
        let mut require = |holds: bool, reason: String| {
            if !holds {
                found.push(reason);
            }
        };
        let want = usize::from(nbins.max(1)) - 1;
        let increasing = increasing(boundaries);
        require(boundaries.len() == want && increasing, format!("boundaries are not {want} increasing numbers"));
        require(*fit_rows > 0, "fit_rows is 0".to_owned());
        let numbers = [mean, std, min, max, median].into_iter().all(|v| v.is_finite());
        require(numbers && min <= max, format!("min {min} and max {max} are not the ends of a range"));
        let within = |v: &f64| (*min..=*max).contains(v);
        if let (Some(first), Some(last), true) = (boundaries.first(), boundaries.last(), increasing) {
            require(
                within(first) && within(last),
                format!("boundaries from {first} to {last} lie outside of min {min} to max {max}"),
            );
        }
        require(within(median), format!("median {median} lies outside of min {min} to max {max}"));
        // A mean and a deviation of equal numbers may be off by a rounding.
        let slack = 1e-9 * min.abs().max(max.abs());
        require(
            *mean >= min - slack && *mean <= max + slack,
            format!("mean {mean} lies outside of min {min} to max {max}"),
        );
        require(
            *std >= 0.0 && *std <= max - min + slack,
            format!("std {std} is no deviation of numbers from {min} to {max}"),
        );
        found
    }
}

/// The contents of `thresholds.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "OnDisk")]
pub struct Thresholds {
    /// The version of lobset that fitted them.
    pub version: String,
    /// The boundary time T.
    pub fit_until: Timestamp,
    /// The settings that define the label.
    pub settings: LabelSettings,
    /// Share of the fit half's files that was asked for.
    pub sample_fraction: f64,
    /// Labelled rows that a symbol needed to take part.
    pub min_symbol_samples: u64,
    /// The files fitted on, in order of time.
    pub files: Vec<FileUsed>,
    /// The boundaries for all symbols, with `threshold_scope = "global"`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub global: Option<Fit>,
    /// The boundaries by symbol, with `threshold_scope = "symbol"`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub symbols: BTreeMap<String, Fit>,
}

/// The keys of `thresholds.json`. With all of them in one place a value of a wrong type is reported as just that; a flattened
/// `Option` would take it for a value that is not there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDisk {
    version: String,
    fit_until: Timestamp,
    settings: LabelSettings,
    sample_fraction: f64,
    min_symbol_samples: u64,
    files: Vec<FileUsed>,
    boundaries: Option<Vec<f64>>,
    fit_rows: Option<u64>,
    embargo_rows: Option<u64>,
    mean: Option<f64>,
    std: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    median: Option<f64>,
    #[serde(default)]
    symbols: BTreeMap<String, Fit>,
}

impl TryFrom<OnDisk> for Thresholds {
    type Error = String;

    fn try_from(file: OnDisk) -> Result<Self, String> {
        let lacking: Vec<&str> = [
            ("boundaries", file.boundaries.is_none()),
            ("fit_rows", file.fit_rows.is_none()),
            ("embargo_rows", file.embargo_rows.is_none()),
            ("mean", file.mean.is_none()),
            ("std", file.std.is_none()),
            ("min", file.min.is_none()),
            ("max", file.max.is_none()),
            ("median", file.median.is_none()),
        ]
        .into_iter()
        .filter_map(|(key, missing)| missing.then_some(key))
        .collect();
        let global = match file {
            OnDisk {
                boundaries: Some(boundaries),
                fit_rows: Some(fit_rows),
                embargo_rows: Some(embargo_rows),
                mean: Some(mean),
                std: Some(std),
                min: Some(min),
                max: Some(max),
                median: Some(median),
                ..
            } => Some(Fit { boundaries, fit_rows, embargo_rows, mean, std, min, max, median }),
            // None of the eight: each symbol has its own.
            _ if lacking.len() == 8 => None,
            _ => return Err(format!("the boundaries of all symbols lack {}", lacking.join(", "))),
        };
        let OnDisk { version, fit_until, settings, sample_fraction, min_symbol_samples, files, symbols, .. } = file;
        Ok(Self { version, fit_until, settings, sample_fraction, min_symbol_samples, files, global, symbols })
    }
}

impl Thresholds {
    /// The boundaries that apply to a symbol.
    pub fn for_symbol(&self, symbol: &str) -> Option<&Fit> {
        self.global.as_ref().or_else(|| self.symbols.get(symbol))
    }

    /// The same without the boundaries of other symbols.
    #[must_use]
    pub fn only<'a>(&self, symbols: impl IntoIterator<Item = &'a str>) -> Self {
        let mine = symbols.into_iter().filter_map(|name| Some((name.to_owned(), self.symbols.get(name)?.clone())));
        // One by one: thousands of symbols are not cloned for the sake of one.
        Self {
            version: self.version.clone(),
            fit_until: self.fit_until,
            settings: self.settings.clone(),
            sample_fraction: self.sample_fraction,
            min_symbol_samples: self.min_symbol_samples,
            files: self.files.clone(),
            global: self.global.clone(),
            symbols: mine.collect(),
        }
    }

    /// As written to `thresholds.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a `thresholds.json`.
    ///
    /// # Errors
    /// [`InputError`] when it cannot be read, has a key that none has, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self> {
        let read = storage::read_at_most(&storage::plain(path), LARGEST_THRESHOLDS);
        let text = read.map_err(|e| InputError::unread(path, e))?;
        Self::parse(&text)
            .map_err(|reason| InputError::new(path, format!("is not a valid thresholds.json: {reason}")).into())
    }

    /// Reads the bytes of a `thresholds.json`.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let thresholds: Self = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        let mut contradictions = thresholds.contradictions();
        let more = contradictions.len().saturating_sub(MOST_CONTRADICTIONS);
        contradictions.truncate(MOST_CONTRADICTIONS);
        if more > 0 {
            contradictions.push(format!("{more} more"));
        }
        if contradictions.is_empty() { Ok(thresholds) } else { Err(contradictions.join("; ")) }
    }

    /// Everything in it that cannot be, one text each.
    fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        let nbins = self.settings.nbins;
        if let Err(ConfigError { problems }) = self.settings.to_config().check() {
            found.extend(problems.iter().map(|problem| format!("settings: {problem}")));
        }
        if !(self.sample_fraction > 0.0 && self.sample_fraction <= 1.0) {
            found.push(format!("sample_fraction {} is not above 0 and at most 1", self.sample_fraction));
        }
        if self.min_symbol_samples == 0 {
            found.push("min_symbol_samples is 0".to_owned());
        }
        if self.files.is_empty() {
            found.push("files names no file that was fitted on".to_owned());
        }
        let scope = match self.settings.threshold_scope {
            ThresholdScope::Global => "global",
            ThresholdScope::Symbol => "symbol",
        };
        match (&self.global, self.symbols.is_empty(), self.settings.threshold_scope) {
            (None, true, _) => found.push("it holds no boundaries".to_owned()),
            (Some(_), false, _) => {
                found.push("it holds boundaries of all symbols, and of single symbols too".to_owned());
            }
            (Some(_), true, ThresholdScope::Symbol) | (None, false, ThresholdScope::Global) => {
                found.push(format!("threshold_scope is {scope:?}, but its boundaries are those of the other scope"));
            }
            (Some(_), true, ThresholdScope::Global) | (None, false, ThresholdScope::Symbol) => {}
        }
        found.extend(self.global.iter().flat_map(|fit| fit.contradictions(nbins)));
        for (symbol, fit) in &self.symbols {
            found.extend(fit.contradictions(nbins).into_iter().map(|reason| format!("symbol {symbol:?}: {reason}")));
        }
        found
    }

    /// Checks that a run's settings are those the thresholds were fitted with.
    ///
    /// # Errors
    /// [`ConfigError`] with every key that differs.
    pub fn check_settings(&self, config: &Config) -> Result<(), ConfigError> {
        let values = |settings: &LabelSettings| match serde_json::to_value(settings) {
            Ok(Value::Object(values)) => values,
            _ => serde_json::Map::new(),
        };
        let theirs = values(&self.settings);
        let mut pairs: Vec<(String, Value, Value)> = values(&LabelSettings::new(config))
            .into_iter()
            .map(|(key, mine)| {
                let theirs = theirs.get(&key).cloned().unwrap_or_default();
                (key, mine, theirs)
            })
            .collect();
        if let Some(until) = config.fit_until {
            pairs.push(("fit_until".to_owned(), until.to_string().into(), self.fit_until.to_string().into()));
        }
        let unit = |key: &str| if key == "max_gap" { " ns" } else { "" };
        let text = |key: &str, value: &Value| match value {
            Value::Null => "none".to_owned(),
            Value::String(text) => text.clone(),
            other => format!("{other}{}", unit(key)),
        };
        let differing = pairs.iter().filter(|(_, mine, theirs)| mine != theirs);
        let problem = |(key, mine, theirs): &(String, Value, Value)| {
            format!("{key}: {} differs from {} in the thresholds file", text(key, mine), text(key, theirs))
        };
        let problems: Vec<String> = differing.map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

fn increasing(boundaries: &[f64]) -> bool {
    boundaries.iter().all(|b| b.is_finite()) && boundaries.windows(2).all(|pair| pair[0] < pair[1])
}

/// Refuses boundaries that leave a class empty because too many of the movements that they were fitted on are equal: two
/// boundaries coincide, or none of the movements lies between them or below the first.
///
/// `neighbours` are the two movements, next to each other in order, that each boundary was interpolated from, `rows` is how
/// many movements there are, and `min` the smallest. Fewer movements than classes are no reason by themselves.
///
/// # Errors
/// [`Error::Data`] that says how many classes hold a movement and what to change.
pub fn check_classes(boundaries: &[f64], neighbours: &[[f64; 2]], rows: u64, min: f64, whose: &str) -> Result<()> {
    let nbins = boundaries.len() + 1;
    // Class k is [b_k, b_k+1). The smallest movement that is no smaller than b_k is one of the two that b_k lies between. The
    // last class holds the largest movement.
    let inner = boundaries.iter().zip(neighbours).zip(boundaries.iter().skip(1));
    let inner = inner.map(|((from, [below, above]), to)| (if below < from { above } else { below }) < to);
    let below_first = boundaries.first().is_none_or(|first| min < *first);
    let full = 1 + usize::from(below_first) + inner.filter(|holds| *holds).count();
    // Boundaries that share a gap between two movements leave classes empty too, but only where rows are few.
    let few_rows = rows <= nbins as u64;
    if full == nbins || (few_rows && below_first && increasing(boundaries)) {
        return Ok(());
    }
    Err(Error::data(
        format!(
            "{whose}: only {full} of the {nbins} classes would hold a row: the movements that were fitted on take too few values for nbins = {nbins}"
        ),
        "lower nbins, or widen lookback_rows and lookforward_input so that the means move in finer steps; a price that never moves has no classes",
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::label::{inner_quantiles, interpolate, ranks};

    #[test]
    fn the_class_is_the_number_of_boundaries_not_above() {
        for boundaries in [vec![-1.0, 0.0, 1.0], (0..40).map(f64::from).collect()] {
            let fit =
                Fit { boundaries, fit_rows: 1, embargo_rows: 0, mean: 0.0, std: 0.0, min: 0.0, max: 0.0, median: 0.0 };
            for movement in [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 5.0, 39.0, 100.0] {
                let want = fit.boundaries.iter().filter(|b| **b <= movement).count();
                assert_eq!(fit.class(movement), want);
            }
        }
    }

    #[test]
    fn settings_that_differ_are_named_as_the_user_writes_them() {
        let thresholds: Thresholds = serde_json::from_value(global()).unwrap();
        let same = Config { nbins: 3, ..Config::default() };
        assert_eq!(thresholds.check_settings(&same), Ok(()));
        let other = Config {
            threshold_scope: ThresholdScope::Symbol,
            max_gap: Some(900_000_000_000),
            price_range: Some([0.5, 2.0]),
            fit_until: Some("2024-04-04".parse().unwrap()),
            ..same
        };
        assert_eq!(
            thresholds.check_settings(&other).unwrap_err().problems,
            [
                "max_gap: 900000000000 ns differs from none in the thresholds file",
                "price_range: [0.5,2.0] differs from none in the thresholds file",
                "threshold_scope: symbol differs from global in the thresholds file",
                "fit_until: 2024-04-04T00:00:00.000000000Z differs from 2024-04-03T00:00:00.000000000Z in the thresholds file",
            ]
        );
    }

    fn global() -> serde_json::Value {
        serde_json::json!({
            "version": "0.1.0",
            "fit_until": "2024-04-03T00:00:00Z",
            "settings": LabelSettings::new(&Config { nbins: 3, ..Config::default() }),
            "sample_fraction": 1.0,
            "min_symbol_samples": 10,
            "files": [{ "name": "a.dbn", "sha256": "0" }],
            "boundaries": [-0.5, 0.5],
            "fit_rows": 30, "embargo_rows": 2, "mean": 0.1, "std": 0.3, "min": -1.0, "max": 1.0, "median": 0.0
        })
    }

    fn by_symbol() -> serde_json::Value {
        let mut file = global();
        let fields = file.as_object_mut().unwrap();
        let keys = ["boundaries", "fit_rows", "embargo_rows", "mean", "std", "min", "max", "median"];
        let fit: serde_json::Map<_, _> =
            keys.iter().map(|key| ((*key).to_owned(), fields.remove(*key).unwrap())).collect();
        file["symbols"] = serde_json::json!({ "M6AM4": fit });
        file["settings"]["threshold_scope"] = "symbol".into();
        file
    }

    #[test]
    fn what_is_written_is_read_and_what_cannot_be_is_refused_by_its_key() {
        for file in [global(), by_symbol()] {
            let read = Thresholds::parse(file.to_string().as_bytes()).unwrap();
            assert_eq!(Thresholds::parse(read.to_json().as_bytes()), Ok(read));
        }
        let refused = |mut file: serde_json::Value, pointer: &str, value: serde_json::Value| {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            file.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
            Thresholds::parse(file.to_string().as_bytes()).unwrap_err()
        };
        use serde_json::json;
        for (pointer, value, reason) in [
            ("/boundaries", json!("none"), "invalid type: string \"none\", expected a sequence"),
            ("/boundaries", json!(null), "the boundaries of all symbols lack boundaries"),
            ("/boundaries", json!([0.5, -0.5]), "boundaries are not 2 increasing numbers"),
            ("/boundaries", json!([0.1, 0.2, 0.3]), "boundaries are not 2 increasing numbers"),
            ("/boundaries", json!([-1.5, 0.5]), "boundaries from -1.5 to 0.5 lie outside of min -1 to max 1"),
            ("/fit_rows", json!(0), "fit_rows is 0"),
            ("/fit_rows", json!(-1), "invalid value: integer `-1`"),
            ("/mean", json!(null), "lack mean"),
            ("/mean", json!(1.5), "mean 1.5 lies outside"),
            ("/std", json!(-0.1), "std -0.1 is no deviation"),
            ("/std", json!(3.0), "std 3 is no deviation"),
            ("/median", json!(2.0), "median 2 lies outside"),
            ("/min", json!(2.0), "min 2 and max 1 are not the ends"),
            ("/mode", json!(0.0), "unknown field `mode`"),
            ("/settings/lookback", json!(7), "unknown field `lookback`"),
            ("/settings/nbins", json!(4), "boundaries are not 3 increasing numbers"),
            ("/settings/nbins", json!(0), "settings: nbins: 0 is outside 2 to 255"),
            ("/settings/lookback_rows", json!(0), "settings: lookback_rows: 0 is outside"),
            ("/settings/threshold_scope", json!("symbol"), "threshold_scope is \"symbol\""),
            ("/symbols", by_symbol()["symbols"].clone(), "of all symbols, and of single symbols too"),
            ("/sample_fraction", json!(0.0), "sample_fraction 0 is not above 0"),
            ("/min_symbol_samples", json!(0), "min_symbol_samples is 0"),
            ("/files", json!([]), "files names no file"),
        ] {
            let error = refused(global(), pointer, value);
            assert!(error.contains(reason), "{pointer}: {error}");
        }
        for (pointer, value, reason) in [
            ("/symbols", json!({}), "it holds no boundaries"),
            ("/symbols/M6AM4/boundaries", json!(7), "invalid type: integer `7`, expected a sequence"),
            ("/symbols/M6AM4/fit_rows", json!(0), "symbol \"M6AM4\": fit_rows is 0"),
            ("/symbols/M6AM4/mode", json!(0), "unknown field `mode`"),
            ("/settings/threshold_scope", json!("global"), "threshold_scope is \"global\""),
        ] {
            let error = refused(by_symbol(), pointer, value);
            assert!(error.contains(reason), "{pointer}: {error}");
        }
    }

    /// As a run would check the boundaries of these movements.
    fn check(movements: &[f64], nbins: u16) -> Result<()> {
        let mut sorted = movements.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len() as u64;
        let qs = inner_quantiles(nbins);
        let at_ranks: Vec<f64> = ranks(n, &qs).into_iter().map(|rank| sorted[rank as usize]).collect();
        let boundaries = interpolate(n, &qs, &at_ranks);
        let checked = check_classes(&boundaries, at_ranks.as_chunks().0, n, sorted[0], "all symbols");
        let fit =
            Fit { boundaries, fit_rows: n, embargo_rows: 0, mean: 0.0, std: 0.0, min: 0.0, max: 0.0, median: 0.0 };
        let mut counts = vec![0_u64; usize::from(nbins)];
        movements.iter().for_each(|m| counts[fit.class(*m)] += 1);
        if n > nbins.into() {
            assert_eq!(checked.is_ok(), counts.iter().all(|c| *c > 0), "{counts:?}");
        }
        if let Err(error) = &checked {
            let full = counts.iter().filter(|c| **c > 0).count();
            assert!(error.to_string().contains(&format!("only {full} of the {nbins} classes")), "{error}: {counts:?}");
            assert!(error.help().unwrap().contains("lower nbins"));
        }
        checked
    }

    #[test]
    fn movements_that_leave_a_class_empty_are_refused() {
        let repeated = |parts: &[(f64, usize)]| -> Vec<f64> {
            parts.iter().flat_map(|(value, count)| std::iter::repeat_n(*value, *count)).collect()
        };
        for nbins in [2, 3, 21] {
            // One value, and two of which one takes the place of several classes.
            check(&repeated(&[(0.0, 500)]), nbins).unwrap_err();
            check(&repeated(&[(0.0, 490), (1.0, 10)]), nbins).unwrap_err();
            // As many as classes, in equal shares: nothing to complain of.
            let even: Vec<(f64, usize)> = (0..nbins).map(|k| (k.into(), 100)).collect();
            check(&repeated(&even), nbins).unwrap();
            // The smallest value takes more than the share of the first class.
            let mut low = even.clone();
            low[0].1 += 50;
            check(&repeated(&low), nbins).unwrap_err();
        }
        // Some on both sides of the boundary that most of them equal.
        check(&repeated(&[(-1.0, 100), (0.0, 300), (1.0, 100)]), 2).unwrap();
        // A boundary in the gap between two values, and the next one on a value: distinct, but with nothing between.
        let gap = repeated(&[(0.0, 100), (1.0, 200)]);
        check(&gap, 3).unwrap_err();
        // Few rows are no reason, unless they are one value.
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
