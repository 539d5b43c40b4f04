//! Every setting: its meaning, its range, its default and the presets.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::time_text::Timestamp;

/// Default of [`Config::currency`].
pub const DEFAULT_CURRENCY: &str = "AUDUSD";
/// Default of [`Config::lookback_rows`].
pub const DEFAULT_LOOKBACK_ROWS: u64 = 5_000;
/// Default of [`Config::lookforward_input`].
pub const DEFAULT_LOOKFORWARD_INPUT: u64 = 5_000;
/// Default of [`Config::lookforward_offset`].
pub const DEFAULT_LOOKFORWARD_OFFSET: u64 = 500;
/// Default of [`Config::samples`].
pub const DEFAULT_SAMPLES: u64 = 50_000;
/// Default of [`Config::ticks_per_bin`].
pub const DEFAULT_TICKS_PER_BIN: u64 = 100;
/// Default of [`Config::micro_pip_size`].
pub const DEFAULT_MICRO_PIP_SIZE: f64 = 0.00001;
/// Default of [`Config::nbins`].
pub const DEFAULT_NBINS: u16 = 21;
/// Default of [`Config::sample_fraction`].
pub const DEFAULT_SAMPLE_FRACTION: f64 = 1.0;
/// Default of [`Config::min_symbol_samples`].
pub const DEFAULT_MIN_SYMBOL_SAMPLES: u64 = 50_000;
/// The longest window, in rows. It keeps every exact sum and product of a label within 128 bits.
pub const MAX_WINDOW_ROWS: u64 = 1 << 30;

/// What one channel of a depth tensor shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// The median of sizes.
    Volume,
    /// The sample variance of sizes.
    Variance,
    /// The sum of order counts.
    TradeCounts,
}

/// Whose movements a set of boundaries is fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdScope {
    /// One set of boundaries for all symbols.
    Global,
    /// One set for each symbol.
    Symbol,
}

/// What happens to an instrument that the file's mappings do not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmapped {
    /// The file is refused.
    Error,
    /// Its records are dropped and counted.
    Drop,
}

/// What happens when one instrument stands under two symbols at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aliases {
    /// The input is refused.
    Error,
    /// Each symbol gets its stream, with a warning that its rows count twice.
    Keep,
}

/// How prices are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceType {
    /// 64-bit floats in price units.
    Float,
    /// 64-bit integers in 1e-9 of a price unit, as in the DBN record.
    Fixed,
}

/// Which of a record's fields are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Columns {
    /// All of them.
    All,
    /// `ts_event`, the ten levels and the columns of labels.
    Book,
}

/// The codec of the Parquet pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Zstandard, level 1.
    Zstd,
    /// Snappy.
    Snappy,
    /// LZ4 (raw blocks).
    Lz4,
    /// Pages as they are.
    None,
}

/// The settings of a run. Each field has the name of its key in `lobset.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Tag in the file names, and the preset that fills the other defaults.
    pub currency: String,
    /// Channels of the depth tensors made from this dataset.
    pub features: Vec<Feature>,
    /// L, rows of the past window; 1 to [`MAX_WINDOW_ROWS`].
    pub lookback_rows: u64,
    /// F, rows of the future window; 1 to [`MAX_WINDOW_ROWS`].
    pub lookforward_input: u64,
    /// O, rows skipped between the row and the future window; 0 to [`MAX_WINDOW_ROWS`].
    pub lookforward_offset: u64,
    /// Rows in one depth tensor's window, a multiple of `ticks_per_bin`.
    pub samples: u64,
    /// Rows per time bin of a depth tensor.
    pub ticks_per_bin: u64,
    /// Price step of a depth tensor's ladder, in price units.
    pub micro_pip_size: f64,
    /// Classes; 2 to 255.
    pub nbins: u16,
    /// Share of the fit half's files that the thresholds are fitted on; above 0, at most 1.
    pub sample_fraction: f64,
    /// One set of boundaries for all symbols, or one each.
    pub threshold_scope: ThresholdScope,
    /// Mark an exactly uniform subset in the column `balanced`.
    pub force_uniform: bool,
    /// Write the marked rows alone.
    pub drop_unbalanced: bool,
    /// Labelled rows that a symbol needs to get a dataset; at least 1.
    pub min_symbol_samples: u64,
    /// Keep the work folder.
    pub keep_intermediate: bool,
    /// The boundary time T; by default the first `ts_recv` of the file in the middle.
    pub fit_until: Option<Timestamp>,
    /// Keep quotes whose best bid is above the best ask.
    pub keep_crossed: bool,
    /// Drop quotes outside `[low, high]`, in price units.
    pub price_range: Option<[f64; 2]>,
    /// What happens to an instrument without a mapping.
    pub unmapped: Unmapped,
    /// Keep the records of these publishers alone; all by default.
    pub publishers: Option<Vec<u16>>,
    /// What happens when one instrument stands under two symbols at the same time.
    pub aliases: Aliases,
    /// A pause in `ts_recv` longer than this, in nanoseconds, breaks a symbol's stream.
    pub max_gap: Option<u64>,
    /// Refuse files with impossible values ([`Impossible`](crate::input::Impossible)), which are counted and warned about
    /// otherwise.
    pub strict: bool,
    /// How prices are written.
    pub price_type: PriceType,
    /// Which of a record's fields are written.
    pub columns: Columns,
    /// The codec of the Parquet pages.
    pub compression: Compression,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            currency: DEFAULT_CURRENCY.to_owned(),
            features: vec![Feature::Volume, Feature::Variance],
            lookback_rows: DEFAULT_LOOKBACK_ROWS,
            lookforward_input: DEFAULT_LOOKFORWARD_INPUT,
            lookforward_offset: DEFAULT_LOOKFORWARD_OFFSET,
            samples: DEFAULT_SAMPLES,
            ticks_per_bin: DEFAULT_TICKS_PER_BIN,
            micro_pip_size: DEFAULT_MICRO_PIP_SIZE,
            nbins: DEFAULT_NBINS,
            sample_fraction: DEFAULT_SAMPLE_FRACTION,
            threshold_scope: ThresholdScope::Global,
            force_uniform: true,
            drop_unbalanced: false,
            min_symbol_samples: DEFAULT_MIN_SYMBOL_SAMPLES,
            keep_intermediate: false,
            fit_until: None,
            keep_crossed: false,
            price_range: None,
            unmapped: Unmapped::Error,
            publishers: None,
            aliases: Aliases::Error,
            max_gap: None,
            strict: false,
            price_type: PriceType::Float,
            columns: Columns::All,
            compression: Compression::Zstd,
        }
    }
}

impl Config {
    /// The defaults of a currency: its preset, or the plain defaults for a tag without one.
    pub fn preset(currency: &str) -> Self {
        let mut config = Self { currency: currency.to_owned(), ..Self::default() };
        match currency {
            "GBPUSD" => config.lookforward_input = 3_000,
            "USDJPY" | "EURJPY" | "GBPJPY" => {
                config.micro_pip_size = 0.001;
                config.nbins = 9;
            }
            _ => {}
        }
        config
    }

    /// Checks every range and every pair of settings that must agree.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, key: &str, message: String| {
            if !holds {
                problems.push(format!("{key}: {message}"));
            }
        };
        let window = |rows: u64, least: u64| (least..=MAX_WINDOW_ROWS).contains(&rows);
        let tag = !self.currency.is_empty()
            && self.currency.len() <= 32
            && self.currency.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !self.currency.starts_with('.');
        require(
            tag,
            "currency",
            format!("{:?} is not a tag of 1 to 32 letters, digits, '.', '_' or '-'", self.currency),
        );
        let mut features = self.features.clone();
        features.sort_unstable();
        features.dedup();
        require(
            !features.is_empty() && features.len() == self.features.len(),
            "features",
            "name each of volume, variance, trade_counts at most once, and one at least".to_owned(),
        );
        for (key, rows, least) in [
            ("lookback_rows", self.lookback_rows, 1),
            ("lookforward_input", self.lookforward_input, 1),
            ("lookforward_offset", self.lookforward_offset, 0),
        ] {
            require(window(rows, least), key, format!("{rows} is outside {least} to {MAX_WINDOW_ROWS}"));
        }
        require(
            self.ticks_per_bin > 0 && self.samples > 0 && self.samples.is_multiple_of(self.ticks_per_bin.max(1)),
            "samples",
            format!("{} is not a positive multiple of ticks_per_bin = {}", self.samples, self.ticks_per_bin),
        );
        require(
            self.micro_pip_size.is_finite() && self.micro_pip_size > 0.0,
            "micro_pip_size",
            format!("{} is not a positive price step", self.micro_pip_size),
        );
        require((2..=255).contains(&self.nbins), "nbins", format!("{} is outside 2 to 255", self.nbins));
        require(
            self.sample_fraction > 0.0 && self.sample_fraction <= 1.0,
            "sample_fraction",
            format!("{} is not above 0 and at most 1", self.sample_fraction),
        );
        require(self.min_symbol_samples > 0, "min_symbol_samples", "must be at least 1".to_owned());
        require(
            self.force_uniform || !self.drop_unbalanced,
            "drop_unbalanced",
            "needs force_uniform = true, which marks the rows to keep".to_owned(),
        );
        if let Some([low, high]) = self.price_range {
            require(
                low < high && low.abs() <= 9.2e9 && high.abs() <= 9.2e9,
                "price_range",
                format!("[{low}, {high}] is not a low and a higher price within 9.2e9"),
            );
        }
        require(
            self.publishers.as_ref().is_none_or(|publishers| !publishers.is_empty()),
            "publishers",
            "name one publisher at least, or leave the setting out to keep all".to_owned(),
        );
        require(self.max_gap != Some(0), "max_gap", "must be longer than zero".to_owned());
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_fill_the_defaults() {
        assert_eq!(Config::preset("AUDUSD"), Config::default());
        assert_eq!(Config::preset("GBPUSD").lookforward_input, 3_000);
        assert_eq!(Config::preset("EURJPY").nbins, 9);
        assert_eq!(Config::preset("ES").nbins, DEFAULT_NBINS);
    }

    #[test]
    fn all_problems_come_at_once() {
        let config = Config {
            nbins: 1,
            lookback_rows: 0,
            force_uniform: false,
            drop_unbalanced: true,
            sample_fraction: f64::NAN,
            currency: "../x".to_owned(),
            price_range: Some([2.0, 1.0]),
            ..Config::default()
        };
        let problems = config.check().unwrap_err().problems;
        let keys: Vec<_> = problems.iter().map(|p| p.split(':').next().unwrap()).collect();
        assert_eq!(keys, ["currency", "lookback_rows", "nbins", "sample_fraction", "drop_unbalanced", "price_range"]);
    }
}
