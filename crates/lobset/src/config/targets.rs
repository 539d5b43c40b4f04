//! The list of targets besides the classic one: as a setting, as tables of TOML and Python, and its checks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::keys::{BETWEEN_NUMBERS, parts};
use super::target::{Target, check_name};
use super::values::{RawValue, SettingValue, ValueKind};
use crate::error::ParseError;

/// The largest number of targets besides the classic one.
const MOST_TARGETS: usize = 64;

/// The targets besides the classic one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<serde_json::Value>")]
pub struct Targets(pub Vec<Target>);

/// Refuses unknown keys, which serde does not do for flattened structs.
impl TryFrom<Vec<serde_json::Value>> for Targets {
    type Error = ParseError;

    fn try_from(values: Vec<serde_json::Value>) -> Result<Self, ParseError> {
        let target = |value: serde_json::Value| -> Result<Target, String> {
            let target: Target = serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
            let known = serde_json::to_value(&target).map_err(|e| e.to_string())?;
            match value.as_object().into_iter().flatten().find(|(key, _)| known.get(key).is_none()) {
                Some((key, _)) => Err(format!("{key:?} is not a key of the target {:?}", target.name)),
                None => Ok(target),
            }
        };
        values.into_iter().map(target).collect::<Result<_, _>>().map(Self).map_err(ParseError)
    }
}

/// Separates targets in a text.
pub(super) const BETWEEN_TARGETS: &str = ";";

/// The text of targets, each given as text or by its keys and values.
///
/// # Errors
/// A message that says what is missing or invalid.
pub(crate) fn target_text(targets: &[RawValue]) -> Result<String, String> {
    let text = |target: &RawValue| match target {
        RawValue::Text(text) => Ok(text.clone()),
        RawValue::Table(pairs) => text_of_pairs(pairs),
        RawValue::List(_) => Err("a target is a text or a table, not a list".to_owned()),
    };
    Ok(targets.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(BETWEEN_TARGETS))
}

fn text_of_pairs(pairs: &BTreeMap<String, RawValue>) -> Result<String, String> {
    let value = |key: &str, value: &RawValue| {
        let item = |item: &RawValue| match item {
            RawValue::Text(text) => Ok(text.clone()),
            _ => Err(format!("{key}: must be a number, a text or a list of those")),
        };
        match value {
            RawValue::List(items) => Ok(items.iter().map(item).collect::<Result<Vec<_>, _>>()?.join(BETWEEN_NUMBERS)),
            one => item(one),
        }
    };
    // A separator in a value would add keys or targets.
    let separates = |text: &str| text.contains([';', '=']) || parts(text).len() > 1;
    let value = |key: &str, given: &RawValue| match value(key, given)? {
        text if separates(key) || separates(&text) => {
            Err(format!("{key:?} = {text:?}: neither may contain \",\", \";\" or \"=\""))
        }
        text => Ok(text),
    };
    let required = |key: &str| pairs.get(key).ok_or_else(|| format!("a target needs a {key}"));
    let (name, kind) = (value("name", required("name")?)?, value("kind", required("kind")?)?);
    let others = pairs.iter().filter(|(key, _)| !matches!(key.as_str(), "name" | "kind"));
    let others = others.map(|(key, given)| Ok(format!(",{key}={}", value(key, given)?)));
    Ok(format!("{name}={kind}{}", others.collect::<Result<String, String>>()?))
}

impl SettingValue for Targets {
    const KIND: ValueKind = ValueKind::Targets;

    fn parse(text: &str) -> Result<Self, String> {
        let texts = text.split(BETWEEN_TARGETS).map(str::trim).filter(|text| !text.is_empty());
        Ok(Self(texts.map(str::parse).collect::<Result<_, ParseError>>()?))
    }

    fn text(&self) -> String {
        self.0.iter().map(Target::to_string).collect::<Vec<_>>().join(BETWEEN_TARGETS)
    }

    fn toml(&self) -> String {
        let quoted: Vec<String> = self.0.iter().map(|target| format!("{:?}", target.to_string())).collect();
        format!("[{}]", quoted.join(", "))
    }
}

/// Checks the targets besides the classic one.
pub(super) fn check_targets(targets: &Targets) -> Result<(), String> {
    let mut problems = Vec::new();
    if targets.0.len() > MOST_TARGETS {
        problems.push(format!("{} are more than {MOST_TARGETS}", targets.0.len()));
    }
    for (place, target) in targets.0.iter().enumerate() {
        let name = &target.name;
        problems.extend(check_name(name).err());
        // Some readers, such as DuckDB and Spark, treat column names that differ only in case as the same.
        match targets.0[..place].iter().find(|other| other.name.eq_ignore_ascii_case(name)) {
            Some(other) if other.name == *name => problems.push(format!("the name {name:?} is given twice")),
            Some(other) => problems.push(format!("the names {:?} and {name:?} differ only in case", other.name)),
            None => {}
        }
        problems.extend(target.problems().into_iter().map(|problem| format!("{name}: {problem}")));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}
