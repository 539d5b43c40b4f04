//! Builds a [`Config`] from text (a TOML file, the environment, flags) and reports all mistakes at once.

mod schema;
mod template;

use std::ffi::OsString;
use std::path::Path;

use crate::cache;
pub use crate::config::SETTINGS;
use crate::config::presets::spelled;
use crate::config::{Config, NONE, RawValue, ValueKind, target_text};
use crate::error::{ConfigError, unread};
use crate::near::did_you_mean;
use crate::printable::Shown;
use crate::storage;
pub use schema::schema;
pub use template::{SCHEMA_FILE, template};

/// Settings from one source, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// The source, for messages: a file's name, `environment`, `flags`.
    pub origin: String,
    /// Keys and their values.
    pub values: Vec<(String, String)>,
}

/// Prefix of the environment variables that are settings.
const PREFIX: &str = "LOBSET_";

/// Maximum size of a settings file, in bytes. A file with all settings and a page of comments takes a few kilobytes.
const LARGEST_FILE: u64 = 1 << 20;

impl Layer {
    /// Reads the settings of a TOML file of at most one mebibyte.
    ///
    /// # Errors
    /// [`ConfigError`] when the file cannot be read, is not valid TOML or a value is a table.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let origin = Shown(path).to_string();
        let bytes = storage::read_at_most(path, LARGEST_FILE).map_err(|e| {
            let (message, help) = unread(&e);
            let help = help.map(|help| format!("; {help}")).unwrap_or_default();
            ConfigError::one(format!("{origin}: {message}{help}"))
        })?;
        let text =
            std::str::from_utf8(&bytes).map_err(|e| ConfigError::one(format!("{origin}: cannot be read: {e}")))?;
        Self::from_toml(&origin, text)
    }

    /// Parses the settings of a TOML document.
    ///
    /// # Errors
    /// [`ConfigError`] when the text is not valid TOML or a value is a table.
    pub fn from_toml(origin: &str, text: &str) -> Result<Self, ConfigError> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
            let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
            ConfigError::one(format!("{origin}: line {line}: {}", e.message()))
        })?;
        Self::from_values(origin, table.into_iter().map(|(key, value)| (key, raw(value))))
    }

    /// Takes settings by key.
    ///
    /// # Errors
    /// [`ConfigError`] with every value of a type that no setting accepts.
    pub fn from_values(
        origin: &str,
        settings: impl IntoIterator<Item = (String, RawValue)>,
    ) -> Result<Self, ConfigError> {
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for (key, value) in settings {
            match text_of(&key, &value) {
                Ok(text) => values.push((key, text)),
                Err(reason) => problems.push(format!("{origin}: {key}: {reason}")),
            }
        }
        if problems.is_empty() { Ok(Self { origin: origin.to_owned(), values }) } else { Err(ConfigError { problems }) }
    }

    /// The settings among environment variables: those whose names start with `LOBSET_`, except for the folder of
    /// [cache files](cache::VARIABLE). Others are ignored.
    ///
    /// # Errors
    /// [`ConfigError`] with every setting that is not valid UTF-8.
    pub fn from_env(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for (name, value) in variables {
            if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) || name == cache::VARIABLE {
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

/// A configuration as a TOML document of all settings that have a value, which [`Layer::from_toml`] reads back. Settings
/// that take their values from a preset once the data has named the currency are left out.
pub fn to_toml(config: &Config) -> String {
    let set = SETTINGS.iter().filter(|setting| setting.is_set(config) && !config.is_open(setting));
    set.map(|setting| format!("{} = {}\n", setting.key, setting.toml(config))).collect()
}

fn raw(value: toml::Value) -> RawValue {
    match value {
        toml::Value::String(text) => RawValue::Text(text),
        toml::Value::Array(items) => RawValue::List(items.into_iter().map(raw).collect()),
        toml::Value::Table(table) => RawValue::Table(table.into_iter().map(|(key, value)| (key, raw(value))).collect()),
        other => RawValue::Text(other.to_string()),
    }
}

/// The text of the value of a setting.
fn text_of(key: &str, value: &RawValue) -> Result<String, String> {
    fn plain(value: &RawValue) -> Option<String> {
        match value {
            RawValue::Text(text) => Some(text.clone()),
            RawValue::List(items) => Some(items.iter().map(plain).collect::<Option<Vec<_>>>()?.join(",")),
            RawValue::Table(_) => None,
        }
    }
    let of_targets = SETTINGS.iter().any(|setting| setting.key == key && setting.kind == ValueKind::Targets);
    match value {
        RawValue::List(targets) if of_targets => target_text(targets),
        RawValue::Table(_) if of_targets => target_text(std::slice::from_ref(value)),
        _ => plain(value).ok_or_else(|| "the value of a setting cannot be a table".to_owned()),
    }
}

/// Applies `layers` to the preset of the currency they choose; later layers override earlier ones. Without a currency,
/// the preset follows from the data once a run has opened it, and does not change any key set by the layers.
///
/// # Errors
/// [`ConfigError`] with every unknown key, invalid value and violated range of all layers.
pub fn resolve(layers: &[Layer]) -> Result<Config, ConfigError> {
    let currency = layers.iter().flat_map(|l| &l.values).rfind(|(key, _)| key == "currency");
    let currency = currency.map(|(_, tag)| tag.as_str()).filter(|tag| *tag != NONE);
    let mut config = currency.map_or_else(Config::default, Config::preset);
    let mut problems = Vec::new();
    for layer in layers {
        for (key, value) in &layer.values {
            let outcome = match SETTINGS.iter().find(|s| s.key == key) {
                Some(setting) => setting.set(&mut config, value),
                None => Err(unknown(key)),
            };
            if let Err(message) = outcome {
                problems.push(format!("{}: {key}: {message}", layer.origin));
            }
        }
    }
    config.currency = config.currency.map(|tag| spelled(&tag).to_owned());
    config.hold(layers.iter().flat_map(|layer| &layer.values).map(|(key, _)| key.as_str()));
    if let Err(broken) = config.check() {
        // Prefix each problem with the origin of its setting, if it was set at all.
        let origin = |problem: &str| {
            let set = |layer: &&Layer| layer.values.iter().any(|(key, _)| problem.starts_with(&format!("{key}: ")));
            layers.iter().rev().find(set).map(|layer| format!("{}: ", layer.origin)).unwrap_or_default()
        };
        problems.extend(broken.problems.iter().map(|problem| origin(problem) + problem));
    }
    if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
}

fn unknown(key: &str) -> String {
    format!("unknown setting{}", did_you_mean(key, SETTINGS.iter().map(|s| s.key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Feature, MicroPipSize};
    use crate::time_text::{Duration, Timestamp};

    fn layer(origin: &str, values: &[(&str, &str)]) -> Layer {
        Layer {
            origin: origin.to_owned(),
            values: values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    #[test]
    fn a_configuration_comes_back_from_its_toml() {
        let config = Config {
            currency: Some("BTC-USD".to_owned()),
            features: vec![Feature::TradeCounts, Feature::Volume],
            keep_intermediate: true,
            fit_until: Some(Timestamp(1_712_102_400_123_456_789)),
            price_range: Some([-0.5, 2e9]),
            publishers: Some(vec![39, 40]),
            max_gap: Some(Duration(1_500_000_000)),
            sessions: Some(vec![
                "17:00-16:00 America/Chicago sun-thu".parse().unwrap(),
                "00:00-24:00 UTC sat".parse().unwrap(),
            ]),
            session_breaks: true,
            ..Config::default()
        };
        let held = Config { held: ["nbins".to_owned()].into(), ..Config::default() };
        for config in [config, Config::default(), held, Config::preset("USDJPY")] {
            let layer = Layer::from_toml("lobset.toml", &to_toml(&config)).unwrap();
            assert_eq!(resolve(&[layer]), Ok(config));
        }
    }

    #[test]
    fn later_layers_win_over_earlier_ones_and_over_the_preset() {
        let file =
            Layer::from_toml("lobset.toml", "currency = 'USDJPY'\nfeatures = ['trade_counts']\nprice_range = [1, 2.5]")
                .unwrap();
        let env = Layer::from_env([
            ("LOBSET_NBINS".into(), "7".into()),
            ("HOME".into(), "/".into()),
            ("LOBSET_CACHE".into(), "/tmp".into()),
        ])
        .unwrap();
        let found = resolve(&[file, env, layer("flags", &[("nbins", "5"), ("max_gap", "2h")])]).unwrap();
        assert_eq!((found.nbins, found.micro_pip_size), (5, MicroPipSize::Fixed(0.001)));
        assert_eq!(found.max_gap, Some(Duration(7_200_000_000_000)));
        assert_eq!(found.price_range, Some([1.0, 2.5]));
    }

    #[test]
    fn without_a_currency_what_the_user_has_set_is_held_against_the_preset_of_the_data() {
        let found = resolve(&[layer("flags", &[("nbins", "21"), ("lookback_rows", "5000"), ("currency", "none")])]);
        let found = found.unwrap();
        assert_eq!(found, Config { held: ["nbins".to_owned()].into(), ..Config::default() });
        let filled = found.with_currency("USDJPY");
        assert_eq!((filled.nbins, filled.micro_pip_size, filled.tag()), (21, MicroPipSize::Fixed(0.001), "USDJPY"));
        let lower = resolve(&[layer("flags", &[("currency", "usdjpy"), ("nbins", "21")])]).unwrap();
        assert_eq!(lower, Config { nbins: 21, ..Config::preset("USDJPY") });
    }

    #[test]
    fn an_empty_list_of_publishers_is_refused() {
        let found = |text| resolve(&[Layer::from_toml("lobset.toml", text).unwrap()]).map(|config| config.publishers);
        assert_eq!(found("publishers = [39, 40]"), Ok(Some(vec![39, 40])));
        assert_eq!(found("publishers = 'none'"), Ok(None));
        for empty in ["publishers = []", "publishers = ''"] {
            assert!(found(empty).unwrap_err().to_string().contains("publishers: list at least one"));
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
