//! A row of the settings table.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::Config;
use super::targets::BETWEEN_TARGETS;
use super::values::{Choice, NONE, ValueKind};

/// What a setting affects, and therefore where it is recorded. The macro `by_scope` assigns each scope to the structs
/// that contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Which records are rows, and where a stream breaks; affects both scans and labels.
    Rows,
    /// Which records are read, and what is refused; affects scans.
    Input,
    /// The label of a row; thresholds are valid only for the same values.
    Label,
    /// Which files and symbols take part.
    Selection,
    /// The depth tensors made from a dataset by default.
    Tensor,
    /// The format of the datasets.
    Output,
    /// How to run. Changes no byte of the output and is recorded in none of its files.
    Run,
}

/// A setting, as all interfaces see it: the command line, the environment, TOML files, Python.
pub struct Setting {
    /// The key in `lobset.toml`; `LOBSET_` and upper case in the environment; `--` and hyphens as a flag.
    pub key: &'static str,
    /// What it affects.
    pub scope: Scope,
    /// The kind of value that it takes.
    pub kind: ValueKind,
    /// True if the setting may have no value, `none`.
    pub optional: bool,
    /// Placeholder for the value in help texts.
    pub placeholder: &'static str,
    /// One-sentence description, without range and choices.
    pub doc: &'static str,
    /// Valid values, if they form a range.
    pub range: Option<RangeInclusive<u64>>,
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    pub(super) text: fn(&Config) -> String,
    pub(super) toml: fn(&Config) -> String,
    pub(super) copy: fn(&mut Config, &Config),
    pub(super) json: fn(&Config) -> Value,
}

impl Setting {
    /// The flag without its leading hyphens. A flag that is repeated for each value is in the singular.
    pub fn flag(&self) -> String {
        let flag = self.key.replace('_', "-");
        if self.repeats() { flag.trim_end_matches('s').to_owned() } else { flag }
    }

    /// True for a list whose flag is given once for each value.
    pub fn repeats(&self) -> bool {
        matches!(self.kind, ValueKind::Targets | ValueKind::List(ValueKind::Text))
    }

    /// Joins the parts of a value whose flag is given several times.
    pub fn joined(&self, parts: &[&str]) -> String {
        parts.join(if self.kind == ValueKind::Targets { BETWEEN_TARGETS } else { "," })
    }

    /// True for a switch, whose flag needs no value.
    pub fn is_switch(&self) -> bool {
        self.kind == ValueKind::Switch
    }

    /// One-line description with range and choices, without a full stop.
    pub fn meaning(&self) -> String {
        let mut text = self.doc.trim_end_matches('.').to_owned();
        if let Some(range) = &self.range {
            text += &format!("; {} to {}", range.start(), range.end());
        }
        let choices = self.kind.choices();
        if !choices.is_empty() {
            let choice = |Choice { name, meaning }: &Choice| format!("{name} ({meaning})");
            text += &format!(": {}", choices.iter().map(choice).collect::<Vec<_>>().join(", "));
        }
        text
    }

    /// Parses a value and sets it in a configuration. [`Config::check`] checks ranges.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        (self.set)(config, text)
    }

    /// The value as text, as flags and environment variables take it; `none` if there is no value.
    pub fn text(&self, config: &Config) -> String {
        (self.text)(config)
    }

    /// The value in TOML; `"none"` if there is no value.
    pub fn toml(&self, config: &Config) -> String {
        (self.toml)(config)
    }

    /// Copies the value from one configuration to another.
    pub(super) fn copy(&self, to: &mut Config, from: &Config) {
        (self.copy)(to, from);
    }

    /// The value in JSON; `null` if there is no value.
    pub fn json(&self, config: &Config) -> Value {
        (self.json)(config)
    }

    /// True if the setting has a value.
    pub fn is_set(&self, config: &Config) -> bool {
        !(self.optional && self.text(config) == NONE)
    }
}
