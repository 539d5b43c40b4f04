//! A line of the table of settings.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::Config;
use super::values::{Choice, Kind, NONE};

/// What a setting decides, and so where it is written. The macro `by_scope` puts each scope into the structs that hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Which records are rows, and where a stream breaks: what scans find, and what labels mean.
    Rows,
    /// Which records are read, and what is refused: what scans find.
    Input,
    /// The label of a row: what thresholds hold for.
    Label,
    /// Which files and symbols take part.
    Selection,
    /// The depth tensors made from a dataset by default.
    Tensor,
    /// The form of the datasets.
    Output,
    /// How to run. It changes no byte of the output, and stands in no file of it.
    Run,
}

impl Scope {
    /// Its name, as in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Input => "input",
            Self::Label => "label",
            Self::Selection => "selection",
            Self::Tensor => "tensor",
            Self::Output => "output",
            Self::Run => "run",
        }
    }
}

/// A setting, as all faces see it: the command line, the environment, TOML files, Python.
pub struct Setting {
    /// The key in `lobset.toml`; `LOBSET_` and upper case in the environment; `--` and hyphens as a flag.
    pub key: &'static str,
    /// What it decides.
    pub scope: Scope,
    /// What kind of value it takes.
    pub kind: Kind,
    /// It may be left without a value, `none`.
    pub optional: bool,
    /// What stands for the value in help texts.
    pub placeholder: &'static str,
    /// Its meaning in a sentence, without range and choices.
    pub doc: &'static str,
    /// The values that it can take, where they are a range.
    pub range: Option<RangeInclusive<u64>>,
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    pub(super) text: fn(&Config) -> String,
    pub(super) toml: fn(&Config) -> String,
    pub(super) json: fn(&Config) -> Value,
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
        self.kind == Kind::Switch
    }

    /// Its meaning with its range and its choices, on one line and without a full stop.
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

    /// Parses a value into a configuration. Ranges are left to [`Config::check`].
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        (self.set)(config, text)
    }

    /// Its value as text, which [`set`](Self::set) reads back; `none` without one.
    pub fn text(&self, config: &Config) -> String {
        (self.text)(config)
    }

    /// Its value in TOML; `"none"` without one.
    pub fn toml(&self, config: &Config) -> String {
        (self.toml)(config)
    }

    /// Its value in JSON; `null` without one.
    pub fn json(&self, config: &Config) -> Value {
        (self.json)(config)
    }

    /// True where it has a value.
    pub fn is_set(&self, config: &Config) -> bool {
        !(self.optional && self.text(config) == NONE)
    }
}
