//! Settings with a fixed set of named choices. Names and their meanings are defined only here.

use serde::{Deserialize, Serialize};

use super::values::{Choice, Kind, SettingValue};

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
            const KIND: Kind = Kind::Choice(Self::CHOICES);

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is not one of {}", [$($name),+].join(", "))),
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
    /// What happens to an instrument that the file's mappings do not name.
    Unmapped {
        /// the file is refused
        Error = "error",
        /// its records are dropped and counted
        Drop = "drop",
    }
    /// What happens when one instrument has two symbols at the same time.
    Aliases {
        /// the input is refused
        Error = "error",
        /// each symbol gets its stream, with a warning that its rows count twice
        Keep = "keep",
    }
    /// How prices are written.
    PriceType {
        /// 64-bit floats in price units
        Float = "float",
        /// 64-bit integers in 1e-9 of a price unit, as in the DBN record
        Fixed = "fixed",
    }
    /// Which of a record's fields are written.
    Columns {
        /// every field
        All = "all",
        /// `ts_event`, the ten levels and the columns of labels
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
        /// pages as they are
        None = "none",
    }
}
