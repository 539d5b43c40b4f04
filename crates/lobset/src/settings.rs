//! From text (a TOML file, the environment, flags) to a [`Config`], with every mistake found at once.

use std::ffi::OsString;
use std::path::Path;
use std::str::FromStr;

use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::error::ConfigError;
use crate::printable::Shown;
use crate::storage;
use crate::time_text::parse_duration;

/// A setting as text sees it.
pub struct Setting {
    /// The key in `lobset.toml`; `LOBSET_` and upper case in the environment; `--` and hyphens as a flag.
    pub key: &'static str,
    /// What stands for the value in help texts.
    pub value: &'static str,
    /// One line of meaning.
    pub help: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
}

impl Setting {
    /// The flag without its leading hyphens.
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("LOBSET_{}", self.key.to_ascii_uppercase())
    }

    /// True for a switch, whose flag needs no value.
    pub fn is_switch(&self) -> bool {
        self.value == "BOOL"
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.replace('_', "").parse().map_err(|_| format!("{text:?} is not a number this setting can hold"))
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Parses one of an enum's names, listing them all when there is no match.
fn name<T: DeserializeOwned>(text: &str, names: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|_| format!("{text:?} is not one of {names}"))
}

fn optional<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text.is_empty() || text == "none" { Ok(None) } else { parse(text).map(Some) }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.trim_matches(['[', ']']).split(',').map(str::trim).filter(|t| !t.is_empty())
}

/// An empty list is kept, for the check to refuse: it must not stand for all publishers.
fn publishers(text: &str) -> Result<Option<Vec<u16>>, String> {
    if text == "none" { Ok(None) } else { list(text).map(number).collect::<Result<_, _>>().map(Some) }
}

fn price_range(text: &str) -> Result<[f64; 2], String> {
    let prices = list(text).map(number).collect::<Result<Vec<f64>, _>>()?;
    prices.try_into().map_err(|_| format!("{text:?} is not two prices: low,high"))
}

macro_rules! settings {
    ($($key:ident, $value:literal, $help:literal, |$text:ident| $parse:expr;)*) => {
        /// Every setting, in the order of [`Config`]'s fields.
        pub const SETTINGS: &[Setting] = &[$(
            Setting {
                key: stringify!($key),
                value: $value,
                help: $help,
                set: |config, $text| { config.$key = $parse?; Ok(()) },
            },
        )*];
    };
}

settings! {
    currency, "TAG", "tag in the file names, and the preset that fills the other defaults", |t| Ok::<_, String>(t.to_owned());
    features, "LIST", "channels of depth tensors made from this dataset: volume, variance, trade_counts", |t| list(t).map(|f| name(f, "volume, variance, trade_counts")).collect::<Result<Vec<_>, _>>();
    lookback_rows, "ROWS", "L, rows of the past window", |t| number(t);
    lookforward_input, "ROWS", "F, rows of the future window", |t| number(t);
    lookforward_offset, "ROWS", "O, rows skipped between the row and the future window", |t| number(t);
    samples, "ROWS", "rows in one depth tensor's window", |t| number(t);
    ticks_per_bin, "ROWS", "rows per time bin of a depth tensor", |t| number(t);
    micro_pip_size, "PRICE", "price step of a depth tensor's ladder", |t| number(t);
    nbins, "N", "classes, 2 to 255", |t| number(t);
    sample_fraction, "SHARE", "share of the fit half's files that the thresholds are fitted on", |t| number(t);
    threshold_scope, "SCOPE", "one set of boundaries for all symbols (global), or one each (symbol)", |t| name(t, "global, symbol");
    force_uniform, "BOOL", "mark an exactly uniform subset in the column `balanced`", |t| switch(t);
    drop_unbalanced, "BOOL", "write the marked rows alone", |t| switch(t);
    min_symbol_samples, "ROWS", "labelled rows that a symbol needs to get a dataset", |t| number(t);
    keep_intermediate, "BOOL", "keep the work folder", |t| switch(t);
    fit_until, "TIME", "the boundary time T (2024-10-01, or RFC 3339); default: the start of the file in the middle", |t| optional(t, str::parse);
    keep_crossed, "BOOL", "keep quotes whose best bid is above the best ask", |t| switch(t);
    price_range, "LOW,HIGH", "drop quotes outside these prices", |t| optional(t, price_range);
    unmapped, "WHAT", "an instrument without a mapping is an error, or its records are counted and dropped (drop)", |t| name(t, "error, drop");
    publishers, "LIST", "keep the records of these publishers alone, by their ids: 39,40", |t| publishers(t);
    aliases, "WHAT", "one instrument under two symbols at the same time is an error, or both become datasets (keep)", |t| name(t, "error, keep");
    max_gap, "TIME", "a pause longer than this (15m, 2h) breaks a symbol's stream: no window reaches across", |t| optional(t, parse_duration);
    strict, "BOOL", "refuse files with impossible values (unknown actions and sides, levels out of order), which are counted otherwise", |t| switch(t);
    price_type, "TYPE", "prices as float (price units) or fixed (integers of 1e-9)", |t| name(t, "float, fixed");
    columns, "SET", "all fields of a record, or book: ts_event and the ten levels", |t| name(t, "all, book");
    compression, "CODEC", "zstd, snappy, lz4 or none", |t| name(t, "zstd, snappy, lz4, none");
}

/// Settings from one source, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// The source, for messages: a file's name, `environment`, `flags`.
    pub origin: String,
    /// Keys and their values.
    pub values: Vec<(String, String)>,
}

/// Environment variables whose names begin like this are settings.
const PREFIX: &str = "LOBSET_";

/// A file with all settings and a page of comments takes a few kilobytes.
const LARGEST_FILE: u64 = 1 << 20;

impl Layer {
    /// The settings of a TOML file, of at most a mebibyte.
    ///
    /// # Errors
    /// [`ConfigError`] when it cannot be read, is no TOML or a value is a table.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let origin = Shown(path).to_string();
        let unread = |e: &dyn std::fmt::Display| ConfigError::one(format!("{origin}: cannot be read: {e}"));
        let bytes = storage::read_at_most(path, LARGEST_FILE).map_err(|e| unread(&e))?;
        Self::from_toml(&origin, std::str::from_utf8(&bytes).map_err(|e| unread(&e))?)
    }

    /// The settings of a TOML document.
    ///
    /// # Errors
    /// [`ConfigError`] when it is no TOML or a value is a table.
    pub fn from_toml(origin: &str, text: &str) -> Result<Self, ConfigError> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
            let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
            ConfigError::one(format!("{origin}: line {line}: {}", e.message()))
        })?;
        let mut values = Vec::new();
        let mut problems = Vec::new();
        for (key, value) in table {
            match toml_text(&value) {
                Some(text) => values.push((key, text)),
                None => problems.push(format!("{origin}: {key}: a setting cannot be a table")),
            }
        }
        if problems.is_empty() { Ok(Self { origin: origin.to_owned(), values }) } else { Err(ConfigError { problems }) }
    }

    /// The settings among environment variables: those that start with `LOBSET_`. Others may hold what they like.
    ///
    /// # Errors
    /// [`ConfigError`] for each of them that is not valid UTF-8.
    pub fn from_env(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for (name, value) in variables {
            if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                continue;
            }
            match (name.to_str().and_then(|name| name.strip_prefix(PREFIX)), value.into_string()) {
                (Some(key), Ok(value)) => values.push((key.to_ascii_lowercase(), value)),
                _ => problems.push(format!("environment: {}: is not valid UTF-8", name.to_string_lossy())),
            }
        }
        if problems.is_empty() {
            Ok(Self { origin: "environment".to_owned(), values })
        } else {
            Err(ConfigError { problems })
        }
    }
}

fn toml_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(s) => Some(s.clone()),
        toml::Value::Array(items) => Some(items.iter().map(toml_text).collect::<Option<Vec<_>>>()?.join(",")),
        toml::Value::Table(_) => None,
        other => Some(other.to_string()),
    }
}

/// Lays `layers` over the preset of the currency they choose: a later layer beats an earlier one.
///
/// # Errors
/// [`ConfigError`] with every unknown key, unreadable value and broken range of all layers.
pub fn resolve(layers: &[Layer]) -> Result<Config, ConfigError> {
    let currency = layers.iter().flat_map(|l| &l.values).rfind(|(key, _)| key == "currency");
    let mut config = currency.map_or_else(Config::default, |(_, tag)| Config::preset(tag));
    let mut problems = Vec::new();
    for layer in layers {
        for (key, value) in &layer.values {
            let outcome = match SETTINGS.iter().find(|s| s.key == key) {
                Some(setting) => (setting.set)(&mut config, value),
                None => Err(unknown(key)),
            };
            if let Err(message) = outcome {
                problems.push(format!("{}: {key}: {message}", layer.origin));
            }
        }
    }
    if let Err(broken) = config.check() {
        // Named by where the setting comes from, if it was set at all.
        let origin = |problem: &str| {
            let set = |layer: &&Layer| layer.values.iter().any(|(key, _)| problem.starts_with(&format!("{key}: ")));
            layers.iter().rev().find(set).map(|layer| format!("{}: ", layer.origin)).unwrap_or_default()
        };
        problems.extend(broken.problems.iter().map(|problem| origin(problem) + problem));
    }
    if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
}

fn unknown(key: &str) -> String {
    let close = SETTINGS.iter().map(|s| s.key).min_by_key(|known| distance(key, known));
    match close {
        Some(known) if distance(key, known) <= 3 => format!("unknown setting; did you mean {known}?"),
        _ => "unknown setting".to_owned(),
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn layer(origin: &str, values: &[(&str, &str)]) -> Layer {
        Layer {
            origin: origin.to_owned(),
            values: values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    #[test]
    fn the_table_names_every_field_of_config() {
        let json = serde_json::to_value(Config::default()).unwrap();
        let fields: BTreeSet<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let keys: BTreeSet<_> = SETTINGS.iter().map(|s| s.key).collect();
        assert_eq!(fields, keys);
    }

    #[test]
    fn later_layers_win_over_earlier_ones_and_over_the_preset() {
        let file =
            Layer::from_toml("lobset.toml", "currency = 'USDJPY'\nfeatures = ['trade_counts']\nprice_range = [1, 2.5]")
                .unwrap();
        let env = Layer::from_env([("LOBSET_NBINS".into(), "7".into()), ("HOME".into(), "/".into())]).unwrap();
        let found = resolve(&[file, env, layer("flags", &[("nbins", "5"), ("max_gap", "2h")])]).unwrap();
        assert_eq!((found.nbins, found.micro_pip_size), (5, 0.001));
        assert_eq!(found.max_gap, Some(7_200_000_000_000));
        assert_eq!(found.price_range, Some([1.0, 2.5]));
    }

    #[test]
    fn an_empty_list_of_publishers_is_refused() {
        let found = |text| resolve(&[Layer::from_toml("lobset.toml", text).unwrap()]).map(|config| config.publishers);
        assert_eq!(found("publishers = [39, 40]"), Ok(Some(vec![39, 40])));
        assert_eq!(found("publishers = 'none'"), Ok(None));
        for empty in ["publishers = []", "publishers = ''"] {
            assert!(found(empty).unwrap_err().to_string().contains("publishers: name one publisher at least"));
        }
    }

    #[test]
    fn mistakes_of_all_layers_come_together() {
        let error = resolve(&[
            layer("lobset.toml", &[("nbin", "5"), ("compression", "gzip")]),
            layer("flags", &[("lookback_rows", "-3"), ("drop_unbalanced", "true"), ("force_uniform", "no")]),
        ])
        .unwrap_err();
        let text = error.to_string();
        for part in
            ["did you mean nbins?", "\"gzip\" is not one of zstd", "lookback_rows: \"-3\"", "needs force_uniform"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
