//! The types of setting values, and how each is parsed and written.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;

use crate::time_text::{Duration, Timestamp};

/// One of the named choices of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The name.
    pub name: &'static str,
    /// Its meaning.
    pub meaning: &'static str,
}

/// The kind of value of a setting, for interfaces with their own types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// True or false.
    Switch,
    /// A whole number, 0 or larger.
    Integer,
    /// A floating-point number.
    Number,
    /// A floating-point number, or `auto`.
    NumberOrAuto,
    /// Any text.
    Text,
    /// One of these names.
    Choice(&'static [Choice]),
    /// A point in time.
    Time,
    /// A length of time.
    Duration,
    /// Hours of the day in a time zone, on some days of the week.
    Session,
    /// Any number of values of one kind.
    List(&'static ValueKind),
    /// Two values of one kind.
    Pair(&'static ValueKind),
    /// Any number of targets.
    Targets,
}

impl ValueKind {
    /// The choices for a value, or for each item of a list or pair; empty for other kinds.
    pub fn choices(&self) -> &'static [Choice] {
        match self {
            Self::Choice(choices) => choices,
            Self::List(item) | Self::Pair(item) => item.choices(),
            _ => &[],
        }
    }

    /// How JSON and Python represent a value, if its type alone does not show it.
    pub const fn unit(&self) -> Option<&'static str> {
        match self {
            Self::Duration => Some("Returned as text (15m)"),
            Self::Time => Some("Returned as RFC 3339 text"),
            _ => None,
        }
    }
}

/// The value of a setting as TOML and Python represent it, before it is parsed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum RawValue {
    /// A text, or the text of a number or a switch.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// Values by key.
    Table(BTreeMap<String, Self>),
}

/// A type of setting values. Their JSON form is that of serde.
pub(crate) trait SettingValue: Sized {
    /// The kind of value.
    const KIND: ValueKind;
    /// True if the setting may have no value.
    const OPTIONAL: bool = false;

    /// Parses what a user writes in a flag, an environment variable or a TOML file.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn parse(text: &str) -> Result<Self, String>;

    /// The value as text, which [`parse`](Self::parse) reads back.
    fn text(&self) -> String;

    /// The value in TOML.
    fn toml(&self) -> String {
        self.text()
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.replace('_', "").parse().map_err(|_| format!("{text:?} is not a number that this setting accepts"))
}

/// The items of a list, with or without brackets.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.trim_matches(['[', ']']).split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn joined<T>(values: &[T], separator: &str, write: impl Fn(&T) -> String) -> String {
    values.iter().map(write).collect::<Vec<_>>().join(separator)
}

/// A TOML string. Control characters are escaped as in JSON, which TOML reads.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

macro_rules! integers {
    ($($type:ty),+) => {$(
        impl SettingValue for $type {
            const KIND: ValueKind = ValueKind::Integer;

            fn parse(text: &str) -> Result<Self, String> {
                number(text)
            }

            fn text(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

integers!(u16, u64);

impl SettingValue for f64 {
    const KIND: ValueKind = ValueKind::Number;

    fn parse(text: &str) -> Result<Self, String> {
        number(text)
    }

    fn text(&self) -> String {
        format!("{self:?}")
    }
}

impl SettingValue for bool {
    const KIND: ValueKind = ValueKind::Switch;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" => Ok(false),
            _ => Err(format!("must be true or false, not {text:?}")),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for String {
    const KIND: ValueKind = ValueKind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }

    fn toml(&self) -> String {
        quoted(self)
    }
}

macro_rules! times {
    ($($type:ty, $kind:expr;)+) => {$(
        impl SettingValue for $type {
            const KIND: ValueKind = $kind;

            fn parse(text: &str) -> Result<Self, String> {
                Self::from_text(text)
            }

            fn text(&self) -> String {
                self.to_string()
            }

            fn toml(&self) -> String {
                quoted(&self.to_string())
            }
        }
    )+};
}

times! {
    Timestamp, ValueKind::Time;
    Duration, ValueKind::Duration;
}

impl<T: SettingValue> SettingValue for Vec<T> {
    const KIND: ValueKind = ValueKind::List(&T::KIND);

    fn parse(text: &str) -> Result<Self, String> {
        items(text).map(T::parse).collect()
    }

    fn text(&self) -> String {
        joined(self, ",", T::text)
    }

    fn toml(&self) -> String {
        format!("[{}]", joined(self, ", ", T::toml))
    }
}

impl SettingValue for [f64; 2] {
    const KIND: ValueKind = ValueKind::Pair(&f64::KIND);

    fn parse(text: &str) -> Result<Self, String> {
        let numbers = Vec::<f64>::parse(text)?;
        numbers.try_into().map_err(|_| format!("must be two numbers, LOW,HIGH, not {text:?}"))
    }

    fn text(&self) -> String {
        joined(self, ",", f64::text)
    }

    fn toml(&self) -> String {
        format!("[{}]", joined(self, ", ", f64::toml))
    }
}

/// The text of a setting without a value.
pub(crate) const NONE: &str = "none";

impl<T: SettingValue> SettingValue for Option<T> {
    const KIND: ValueKind = T::KIND;
    const OPTIONAL: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        // An empty list or text is a value. It must not be read as a missing one, which for publishers means all of
        // them.
        let empty = text.is_empty() && !matches!(T::KIND, ValueKind::List(_) | ValueKind::Text);
        if empty || text == NONE { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn text(&self) -> String {
        self.as_ref().map_or_else(|| NONE.to_owned(), T::text)
    }

    fn toml(&self) -> String {
        self.as_ref().map_or_else(|| quoted(NONE), T::toml)
    }
}
