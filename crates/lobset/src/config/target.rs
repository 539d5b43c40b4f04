//! Targets: what a label says about the future of a row. Each consists of a movement, which is a number for every row,
//! and of classes of movements.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::choices::ThresholdScope;
use super::classes::Classes;
use super::keys::{Keys, parts};
use super::movement::Movement;
use super::values::SettingValue;
use crate::error::ParseError;

/// The name of the target that the flat settings describe. The names of its columns do not include it.
pub const CLASSIC: &str = "classic";

/// A target: a movement and its classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name, part of the names of its columns: 1 to 32 letters, digits and underscores.
    pub name: String,
    /// How the movement is computed.
    #[serde(flatten)]
    pub movement: Movement,
    /// How movements become classes.
    #[serde(flatten)]
    pub classes: Classes,
    /// The symbols that share a set of boundaries.
    pub threshold_scope: ThresholdScope,
}

impl Target {
    /// Number of classes.
    pub fn class_count(&self) -> usize {
        self.classes.count()
    }

    /// The name of one of its columns: `column` itself for the classic target, otherwise `column`, an underscore and
    /// the target's name.
    pub fn column(&self, column: &str) -> String {
        if self.name == CLASSIC { column.to_owned() } else { format!("{column}_{}", self.name) }
    }

    /// What is wrong with its values, one text for each problem.
    pub(super) fn problems(&self) -> Vec<String> {
        [self.movement.problems(), self.classes.problems()].concat()
    }
}

/// Checks that a name can be part of a column's name.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match (fits, name) {
        (false, _) => Err(format!("{name:?} is not a name of 1 to 32 letters, digits and underscores")),
        (true, CLASSIC) => Err(format!("{CLASSIC:?} is the target of the flat settings; choose another name")),
        (true, _) => Ok(()),
    }
}

impl FromStr for Target {
    type Err = ParseError;

    /// Parses `NAME=KIND,key=value,…`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_text(text).map_err(ParseError)
    }
}

impl Target {
    fn from_text(text: &str) -> Result<Self, String> {
        let example = "such as h10=means,lookback_rows=1,include_row=true,lookforward_offset=0,lookforward_input=10";
        let (name, rest) = text.split_once('=').ok_or_else(|| format!("{text:?} is not a target {example}"))?;
        let name = name.trim();
        let of_target = |message: String| format!("{name}: {message}");
        check_name(name)?;
        let mut parts = parts(rest).into_iter().map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let pairs = parts.map(|part| {
            let pair = part.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
            pair.ok_or_else(|| of_target(format!("{part:?} is not key=value")))
        });
        let mut keys = Keys::new(pairs.collect::<Result<_, _>>()?);
        let movement = Movement::parse(kind, &mut keys).map_err(of_target)?;
        let classes = match movement {
            Movement::Barrier(_) => Classes::parse_touch(&mut keys),
            _ => Classes::parse(&mut keys),
        };
        let classes = classes.map_err(of_target)?;
        let scope = keys.take("threshold_scope").map_or(Ok(ThresholdScope::Global), ThresholdScope::parse);
        let target = Self { name: name.to_owned(), movement, classes, threshold_scope: scope.map_err(of_target)? };
        keys.finish(&format!("{kind} with these classes")).map_err(of_target)?;
        Ok(target)
    }
}

/// The text that [`Target::from_str`] reads back.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, movement, classes, threshold_scope } = self;
        let (movement, classes) = (movement.text(), classes.text());
        write!(f, "{name}={movement}{classes},threshold_scope={}", threshold_scope.name())
    }
}
