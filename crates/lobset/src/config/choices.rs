//! Settings with a fixed set of named choices. Names and their meanings are defined only here.

use serde::{Deserialize, Serialize};

use std::str::FromStr;

use super::values::{Choice, SettingValue, ValueKind};
use crate::error::ConfigError;
use crate::near::did_you_mean;

/// Defines an enum for each setting. Variants have the same names everywhere: TOML, flags, JSON, Python.
macro_rules! choices {
    ($(
        $(#[doc = $doc:literal])+
        $type:ident { $(#[doc = $meaning:literal] $variant:ident = $name:literal,)+ }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $type {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)+
        }

        impl $type {
            /// Every variant, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Name and meaning of every variant.
            pub const CHOICES: &[Choice] = &[$(Choice { name: $name, meaning: $meaning.trim_ascii() },)+];

            /// Name of the choice.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl SettingValue for $type {
            const KIND: ValueKind = ValueKind::Choice(Self::CHOICES);

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is not one of {}{}", [$($name),+].join(", "), did_you_mean(text, [$($name),+]))),
                }
            }

            fn text(&self) -> String {
                self.name().to_owned()
            }

            fn toml(&self) -> String {
                format!("{:?}", self.name())
            }
        }
    )+};
}

impl FromStr for Feature {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        Self::parse(name).map_err(|reason| ConfigError::one(format!("features: {reason}")))
    }
}

choices! {
    /// The quantity in one channel of a depth tensor.
    Feature {
        /// the median of sizes
        Volume = "volume",
        /// the sample variance of sizes
        Variance = "variance",
        /// the sum of order counts
        TradeCounts = "trade_counts",
    }
    /// The symbols whose movements a set of boundaries is fitted on.
    ThresholdScope {
        /// one set of boundaries for all symbols
        Global = "global",
        /// one set for each symbol
        Symbol = "symbol",
    }
    /// How movements become classes.
    ClassRule {
        /// equally many fit rows in each of `nbins` classes
        Quantiles = "quantiles",
        /// down, stationary, up: the share `stationary` of the fit rows is stationary
        Share = "share",
        /// down, stationary, up: movements of at most `multiple` mean relative spreads are stationary
        Spread = "spread",
        /// classes between the given `boundaries`
        Fixed = "fixed",
    }
    /// Which of a stream's records are its rows.
    Rows {
        /// every record with a usable quote
        Records = "records",
        /// of these, the last of each event of the venue: those under `F_LAST`
        Events = "events",
    }
    /// What happens to a record under `F_MAYBE_BAD_BOOK`, whose book may lack earlier messages.
    BadBook {
        /// it is dropped and counted, and no window spans it
        Drop = "drop",
        /// it is a row like any other
        Keep = "keep",
    }
    /// What to do with an instrument that has no symbol in the file's mappings.
    Unmapped {
        /// refuse the file
        Error = "error",
        /// drop its records and count them
        Drop = "drop",
    }
    /// What to do when an instrument has two symbols at the same time.
    Aliases {
        /// refuse the input
        Error = "error",
        /// keep both symbols, and warn that the rows count twice
        Keep = "keep",
    }
    /// How prices are written.
    PriceType {
        /// 64-bit floats in price units
        Float = "float",
        /// 64-bit integers in 1e-9 of a price unit, as in the DBN record
        Fixed = "fixed",
    }
    /// Which columns to write.
    Columns {
        /// all columns
        All = "all",
        /// `ts_event`, the ten levels and the label columns
        Book = "book",
    }
    /// Columns computed from the book.
    Derived {
        /// best ask - best bid
        Spread = "spread",
        /// the best prices, each weighted by the size on the other side
        WeightedMid = "weighted_mid",
        /// bid size minus ask size, divided by their sum, of each level
        Imbalance = "imbalance",
        /// order flow imbalance of each level, since the row before
        Ofi = "ofi",
    }
    /// The codec of the Parquet pages.
    Compression {
        /// Zstandard, level 1
        Zstd = "zstd",
        /// Snappy
        Snappy = "snappy",
        /// LZ4, raw blocks
        Lz4 = "lz4",
        /// uncompressed
        None = "none",
    }
}

impl ClassRule {
    /// The behaviour of versions without the setting.
    pub(super) fn before() -> Self {
        Self::Quantiles
    }
}

impl Rows {
    /// The behaviour of versions without the setting.
    pub(super) fn before() -> Self {
        Self::Records
    }
}

impl BadBook {
    /// The behaviour of versions without the setting.
    pub(super) fn before() -> Self {
        Self::Keep
    }
}
