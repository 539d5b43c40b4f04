//! The table of settings, and configurations as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lobset::Config;
use lobset::config::{RawValue, SETTINGS, Setting, ValueKind};
use lobset::settings::Layer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::errors::OrRaise;
use crate::json::json;

/// A line of the table, for Python.
#[derive(Serialize)]
struct Line {
    name: &'static str,
    /// Allowed names for the value, or for each item of a list.
    choices: Vec<&'static str>,
    optional: bool,
    default: Value,
    meaning: String,
    /// The unit or form of the value, if its type does not say it.
    unit: Option<&'static str>,
}

impl Line {
    fn new(setting: &Setting, defaults: &Config) -> Self {
        Self {
            name: setting.key,
            choices: setting.kind.choices().iter().map(|choice| choice.name).collect(),
            optional: setting.optional,
            default: value(setting, defaults),
            meaning: setting.meaning(),
            unit: setting.kind.unit(),
        }
    }
}

/// The table of settings as JSON.
#[pyfunction]
pub fn settings() -> PyResult<String> {
    let defaults = Config::default();
    json(&SETTINGS.iter().map(|setting| Line::new(setting, &defaults)).collect::<Vec<_>>())
}

/// A value for Python: the same as in JSON, except that a duration is text, as users write it.
fn value(setting: &Setting, config: &Config) -> Value {
    let as_text = setting.kind == ValueKind::Duration && setting.is_set(config);
    if as_text { setting.text(config).into() } else { setting.json(config) }
}

/// All values of a configuration, including settings that affect only how to run, and the keys that the data's preset
/// must not change.
fn all_values(config: &Config) -> Map<String, Value> {
    let held = ("held".to_owned(), Value::from_iter(config.held.iter().cloned()));
    SETTINGS.iter().map(|setting| (setting.key.to_owned(), value(setting, config))).chain([held]).collect()
}

fn invalid(cause: &dyn std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("invalid settings: {cause}"))
}

/// Parses settings from the JSON of their values, which come from Python or from a file of the library. Missing values
/// get their defaults.
pub fn config(text: &str) -> PyResult<Config> {
    let mut values: Map<String, Value> = serde_json::from_str(text).map_err(|e| invalid(&e))?;
    for setting in SETTINGS.iter().filter(|setting| setting.kind == ValueKind::Duration) {
        if let Some(Value::String(text)) = values.get(setting.key) {
            let layer = Layer { origin: String::new(), values: vec![(setting.key.to_owned(), text.clone())] };
            let parsed = lobset::settings::resolve(&[layer]).map_err(|e| invalid(&e))?;
            values.insert(setting.key.to_owned(), setting.json(&parsed));
        }
    }
    serde_json::from_value(values.into()).map_err(|e| invalid(&e))
}

/// All values of the settings in a file of the library, in the form that Python uses.
#[pyfunction]
pub fn values(config: &str) -> PyResult<String> {
    json(&all_values(&self::config(config)?))
}

/// Converts a configuration from JSON to a TOML document.
#[pyfunction]
pub fn to_toml(config: &str) -> PyResult<String> {
    Ok(lobset::settings::to_toml(&self::config(config)?))
}

/// Overrides the settings of a TOML document (its origin and its text) or of a TOML file with settings given as JSON (texts,
/// and lists and objects of texts, by key), checks them all and returns all their values as JSON.
#[pyfunction]
#[pyo3(signature = (toml, values, file=None))]
pub fn resolve(
    py: Python<'_>,
    toml: Option<(String, String)>,
    values: &str,
    file: Option<PathBuf>,
) -> PyResult<String> {
    let mut layers = Vec::new();
    if let Some((origin, text)) = toml {
        layers.push(Layer::from_toml(&origin, &text).or_raise(py)?);
    }
    if let Some(path) = file {
        layers.push(py.detach(|| Layer::from_file(&path)).or_raise(py)?);
    }
    let values: BTreeMap<String, RawValue> = serde_json::from_str(values).map_err(|e| invalid(&e))?;
    layers.push(Layer::from_values("Config", values).or_raise(py)?);
    json(&all_values(&lobset::settings::resolve(&layers).or_raise(py)?))
}
