//! The price step of depth tensors.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{SettingValue, ValueKind};

/// The price step of a depth tensor's ladder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MicroPipSize {
    /// Each symbol has its own step: the smallest round number of ticks that puts nine tenths of its book on the
    /// ladder.
    Auto,
    /// This one, in price units.
    Fixed(f64),
}

/// The text of [`MicroPipSize::Auto`].
const AUTO: &str = "auto";

impl MicroPipSize {
    /// The step, unless each symbol has its own.
    pub const fn fixed(self) -> Option<f64> {
        match self {
            Self::Auto => None,
            Self::Fixed(size) => Some(size),
        }
    }
}

impl SettingValue for MicroPipSize {
    const KIND: ValueKind = ValueKind::NumberOrAuto;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            AUTO => Ok(Self::Auto),
            _ => f64::parse(text).map(Self::Fixed).map_err(|_| format!("must be a number or {AUTO:?}, not {text:?}")),
        }
    }

    fn text(&self) -> String {
        self.fixed().map_or_else(|| AUTO.to_owned(), |size| size.text())
    }

    fn toml(&self) -> String {
        self.fixed().map_or_else(|| AUTO.to_owned().toml(), |size| size.toml())
    }
}

impl Serialize for MicroPipSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            Self::Fixed(size) => serializer.serialize_f64(*size),
        }
    }
}

impl<'de> Deserialize<'de> for MicroPipSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number or \"auto\"")]
        enum Written {
            Number(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(size) => Ok(Self::Fixed(size)),
            Written::Text(text) => Self::parse(&text).map_err(serde::de::Error::custom),
        }
    }
}
