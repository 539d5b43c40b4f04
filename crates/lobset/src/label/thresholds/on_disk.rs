//! Reads and checks `thresholds.json`: unknown keys and contradictions are refused.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Boundaries, FileUsed, Fitted, Thresholds, increasing};
use crate::config::{CLASSIC, Classes, LabelSettings, Target, ThresholdScope};
use crate::error::{ConfigError, InputError, ParseError, Result};
use crate::storage;
use crate::time_text::Timestamp;

/// Maximum size of a thresholds file, in bytes; a boundary takes about twenty.
pub const LARGEST_THRESHOLDS: u64 = 1 << 30;

/// Number of contradictions that a message lists; the rest are only counted.
const MOST_CONTRADICTIONS: usize = 5;

/// Defines the keys of `thresholds.json`, and those of a target in it. All keys are in one struct so that a value of the
/// wrong type is reported as such; a flattened `Option` would treat it as missing.
macro_rules! on_disk {
    ($(#[$doc:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($own)*
            boundaries: Option<Vec<f64>>,
            fit_rows: Option<u64>,
            embargo_rows: Option<u64>,
            mean: Option<f64>,
            std: Option<f64>,
            min: Option<f64>,
            max: Option<f64>,
            median: Option<f64>,
            #[serde(default)]
            symbols: BTreeMap<String, Boundaries>,
        }

        impl $name {
            fn fitted(&mut self) -> Result<Fitted, String> {
                let lacking: Vec<&str> = [
                    ("boundaries", self.boundaries.is_none()),
                    ("fit_rows", self.fit_rows.is_none()),
                    ("embargo_rows", self.embargo_rows.is_none()),
                    ("mean", self.mean.is_none()),
                    ("std", self.std.is_none()),
                    ("min", self.min.is_none()),
                    ("max", self.max.is_none()),
                    ("median", self.median.is_none()),
                ]
                .into_iter()
                .filter_map(|(key, missing)| missing.then_some(key))
                .collect();
                let symbols = std::mem::take(&mut self.symbols);
                let global = match self {
                    Self {
                        boundaries: Some(boundaries),
                        fit_rows: Some(fit_rows),
                        embargo_rows: Some(embargo_rows),
                        mean: Some(mean),
                        std: Some(std),
                        min: Some(min),
                        max: Some(max),
                        median: Some(median),
                        ..
                    } => Some(Boundaries {
                        values: std::mem::take(boundaries),
                        fit_rows: *fit_rows,
                        embargo_rows: *embargo_rows,
                        mean: *mean,
                        std: *std,
                        min: *min,
                        max: *max,
                        median: *median,
                    }),
                    // All eight are missing: each symbol has its own boundaries.
                    _ if lacking.len() == 8 => None,
                    _ => return Err(format!("the boundaries of all symbols lack {}", lacking.join(", "))),
                };
                Ok(Fitted { global, symbols })
            }
        }
    };
}

on_disk! {
    /// The boundaries of a target.
    FittedOnDisk {}
}

on_disk! {
    /// The whole file. The boundaries of the classic target are keys of the file itself, not of a nested object.
    OnDisk {
        version: String,
        fit_until: Timestamp,
        settings: LabelSettings,
        sample_fraction: f64,
        min_symbol_samples: u64,
        files: Vec<FileUsed>,
        #[serde(default)]
        targets: BTreeMap<String, Fitted>,
    }
}

impl TryFrom<FittedOnDisk> for Fitted {
    type Error = ParseError;

    fn try_from(mut target: FittedOnDisk) -> Result<Self, ParseError> {
        target.fitted().map_err(ParseError)
    }
}

impl TryFrom<OnDisk> for Thresholds {
    type Error = ParseError;

    fn try_from(mut file: OnDisk) -> Result<Self, ParseError> {
        let classic = file.fitted().map_err(ParseError)?;
        let OnDisk { version, fit_until, settings, sample_fraction, min_symbol_samples, files, targets, .. } = file;
        Ok(Self { version, fit_until, settings, sample_fraction, min_symbol_samples, files, classic, targets })
    }
}

impl Thresholds {
    /// Reads a `thresholds.json`.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read, has an unknown key, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self> {
        let read = storage::read_at_most(&storage::plain(path), LARGEST_THRESHOLDS);
        let text = read.map_err(|e| InputError::unread(path, e))?;
        Self::parse(&text)
            .map_err(|reason| InputError::new(path, format!("is not a valid thresholds.json: {reason}")).into())
    }

    /// Reads the bytes of a `thresholds.json`.
    ///
    /// # Errors
    /// A description of what is wrong.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let thresholds: Self = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        let mut contradictions = thresholds.contradictions();
        let more = contradictions.len().saturating_sub(MOST_CONTRADICTIONS);
        contradictions.truncate(MOST_CONTRADICTIONS);
        if more > 0 {
            contradictions.push(format!("{more} more"));
        }
        if contradictions.is_empty() { Ok(thresholds) } else { Err(contradictions.join("; ")) }
    }

    /// All contradictions in the thresholds, one text each.
    fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Err(ConfigError { problems }) = self.settings.to_config().check() {
            found.extend(problems.iter().map(|problem| format!("settings: {problem}")));
        }
        if !(self.sample_fraction > 0.0 && self.sample_fraction <= 1.0) {
            found.push(format!("sample_fraction must be above 0 and at most 1, not {}", self.sample_fraction));
        }
        if self.min_symbol_samples == 0 {
            found.push("min_symbol_samples is 0".to_owned());
        }
        if self.files.is_empty() {
            found.push("files lists no file that the boundaries were fitted on".to_owned());
        }
        let targets = self.settings.to_config().all_targets();
        for target in &targets {
            let whose = if target.name == CLASSIC { String::new() } else { format!("target {:?}: ", target.name) };
            match self.of(&target.name) {
                Some(fitted) => {
                    found.extend(fitted.contradictions(target).into_iter().map(|reason| whose.clone() + &reason));
                }
                None => found.push(format!("{whose}it contains no boundaries")),
            }
        }
        for name in self.targets.keys().filter(|name| targets.iter().all(|target| target.name != **name)) {
            found.push(format!("its settings have no target {name:?}"));
        }
        found
    }
}

impl Fitted {
    /// All contradictions in the boundaries of a target, one text each.
    fn contradictions(&self, target: &Target) -> Vec<String> {
        let mut found = Vec::new();
        let scope = target.threshold_scope;
        match (&self.global, self.symbols.is_empty(), scope) {
            (None, true, _) => found.push("it contains no boundaries".to_owned()),
            (Some(_), false, _) => {
                found.push("it contains boundaries both for all symbols together and for single symbols".to_owned());
            }
            (Some(_), true, ThresholdScope::Symbol) | (None, false, ThresholdScope::Global) => {
                let scope = scope.name();
                found.push(format!("threshold_scope is {scope:?}, but its boundaries are for the other scope"));
            }
            (Some(_), true, ThresholdScope::Global) | (None, false, ThresholdScope::Symbol) => {}
        }
        found.extend(self.global.iter().flat_map(|boundaries| boundaries.contradictions(target)));
        for (symbol, boundaries) in &self.symbols {
            found.extend(
                boundaries.contradictions(target).into_iter().map(|reason| format!("symbol {symbol:?}: {reason}")),
            );
        }
        found
    }
}

impl Boundaries {
    /// All contradictions in these boundaries, one text each.
    fn contradictions(&self, target: &Target) -> Vec<String> {
        let Self { values: boundaries, fit_rows, mean, std, min, max, median, .. } = self;
        let mut found = Vec::new();
        let mut require = |holds: bool, reason: String| {
            if !holds {
                found.push(reason);
            }
        };
        let want = match target.classes {
            Classes::Touch => 0,
            _ => target.class_count().max(1) - 1,
        };
        let increasing = increasing(boundaries);
        require(boundaries.len() == want && increasing, format!("boundaries are not {want} increasing numbers"));
        require(*fit_rows > 0, "fit_rows is 0".to_owned());
        let numbers = [mean, std, min, max, median].into_iter().all(|v| v.is_finite());
        require(numbers && min <= max, format!("min {min} to max {max} is not a range of finite numbers"));
        let within = |v: &f64| (*min..=*max).contains(v);
        match (&target.classes, boundaries.as_slice()) {
            (Classes::Quantiles { .. }, values) => {
                if let (Some(first), Some(last), true) = (values.first(), values.last(), increasing) {
                    require(
                        within(first) && within(last),
                        format!("boundaries from {first} to {last} are outside min {min} to max {max}"),
                    );
                }
            }
            (Classes::Share { .. } | Classes::Spread { .. }, [low, high]) => require(
                (-low).next_up() == *high && *high > 0.0,
                format!("boundaries {low} and {high} do not enclose the movements from {low} to {}", -low),
            ),
            (Classes::Fixed { boundaries: wanted }, found) => {
                require(found == wanted, "boundaries are not those of the settings".to_owned());
            }
            _ => {}
        }
        require(within(median), format!("median {median} is outside min {min} to max {max}"));
        // Rounding can move the mean and the deviation of equal numbers slightly.
        let slack = 1e-9 * min.abs().max(max.abs());
        require(*mean >= min - slack && *mean <= max + slack, format!("mean {mean} is outside min {min} to max {max}"));
        require(
            *std >= 0.0 && *std <= max - min + slack,
            format!("std {std} is impossible for numbers from {min} to {max}"),
        );
        found
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Config;

    pub fn global() -> serde_json::Value {
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
            ("/boundaries", json!([-1.5, 0.5]), "boundaries from -1.5 to 0.5 are outside min -1 to max 1"),
            ("/fit_rows", json!(0), "fit_rows is 0"),
            ("/fit_rows", json!(-1), "invalid value: integer `-1`"),
            ("/mean", json!(null), "lack mean"),
            ("/mean", json!(1.5), "mean 1.5 is outside"),
            ("/std", json!(-0.1), "std -0.1 is impossible"),
            ("/std", json!(3.0), "std 3 is impossible"),
            ("/median", json!(2.0), "median 2 is outside"),
            ("/min", json!(2.0), "min 2 to max 1 is not a range"),
            ("/mode", json!(0.0), "unknown field `mode`"),
            ("/settings/lookback", json!(7), "unknown field `lookback`"),
            ("/settings/nbins", json!(4), "boundaries are not 3 increasing numbers"),
            ("/settings/nbins", json!(0), "settings: nbins: 0 is outside the range 2 to 255"),
            ("/settings/lookback_rows", json!(0), "settings: lookback_rows: 0 is outside"),
            ("/settings/threshold_scope", json!("symbol"), "threshold_scope is \"symbol\""),
            ("/symbols", by_symbol()["symbols"].clone(), "both for all symbols together and for single symbols"),
            ("/sample_fraction", json!(0.0), "sample_fraction must be above 0 and at most 1, not 0"),
            ("/min_symbol_samples", json!(0), "min_symbol_samples is 0"),
            ("/files", json!([]), "files lists no file"),
        ] {
            let error = refused(global(), pointer, value);
            assert!(error.contains(reason), "{pointer}: {error}");
        }
        for (pointer, value, reason) in [
            ("/symbols", json!({}), "it contains no boundaries"),
            ("/symbols/M6AM4/boundaries", json!(7), "invalid type: integer `7`, expected a sequence"),
            ("/symbols/M6AM4/fit_rows", json!(0), "symbol \"M6AM4\": fit_rows is 0"),
            ("/symbols/M6AM4/mode", json!(0), "unknown field `mode`"),
            ("/settings/threshold_scope", json!("global"), "threshold_scope is \"global\""),
        ] {
            let error = refused(by_symbol(), pointer, value);
            assert!(error.contains(reason), "{pointer}: {error}");
        }
    }
}
