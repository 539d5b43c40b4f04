//! The settings of depth tensors, and what follows from them.

use crate::cast::whole;
use crate::config::{Config, Feature, MicroPipSize};
use crate::error::ConfigError;
use crate::output::names;

/// Number of steps of the price ladder around the last row's mid price; both sides share the ladder.
pub const LADDER: usize = 402;

/// Number of features.
pub(super) const FEATURES: usize = Feature::ALL.len();

/// Levels per side.
pub const LEVELS: usize = 10;

/// Marks a missing price in micro-pips.
pub const MISSING: i64 = i64::MIN;

/// Settings of a depth tensor.
///
/// ```
/// use lobset::config::Feature;
/// use lobset::depth::DepthSpec;
///
/// let spec = DepthSpec::new(&[Feature::Volume, Feature::Variance], 50_000, 100, 0.00001)?;
/// assert_eq!(spec.shape(), [2, 402, 500]);
/// # Ok::<(), lobset::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DepthSpec {
    features: Vec<Feature>,
    samples: usize,
    ticks_per_bin: usize,
    micro_pip_size: f64,
}

impl DepthSpec {
    /// Creates a spec from the features, the rows of a window, the rows of a time bin, and the price step of the ladder
    /// in price units. Channels are always in the order volume, variance, trade_counts.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting is out of range.
    pub fn new(
        features: &[Feature],
        samples: u64,
        ticks_per_bin: u64,
        micro_pip_size: f64,
    ) -> Result<Self, ConfigError> {
        let size_of_step = MicroPipSize::Fixed(micro_pip_size);
        let mut features = features.to_vec();
        features.sort_unstable();
        let config = Config { features, samples, ticks_per_bin, micro_pip_size: size_of_step, ..Config::default() };
        config.check()?;
        // Rows of a window are counted in 32 bits.
        let size = |rows: u64| match u32::try_from(rows) {
            Ok(rows) if rows <= 1 << 31 => Ok(rows as usize),
            _ => Err(ConfigError::one("samples: a window of this size does not fit into memory")),
        };
        Ok(Self {
            features: config.features,
            samples: size(samples)?,
            ticks_per_bin: size(ticks_per_bin)?,
            micro_pip_size,
        })
    }

    /// Channels, in order.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Rows of a window.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Rows of a time bin.
    pub fn ticks_per_bin(&self) -> usize {
        self.ticks_per_bin
    }

    /// Price step of the ladder, in price units.
    pub fn micro_pip_size(&self) -> f64 {
        self.micro_pip_size
    }

    /// Number of time bins, T.
    pub fn time_bins(&self) -> usize {
        self.samples / self.ticks_per_bin
    }

    /// Shape of a tensor: channels, steps of the ladder, time bins.
    pub fn shape(&self) -> [usize; 3] {
        [self.features.len(), LADDER, self.time_bins()]
    }

    /// Number of cells of a tensor.
    pub fn cells(&self) -> usize {
        self.shape().iter().product()
    }

    /// Input columns of a tensor, named as in datasets, in the order in which [`Levels`](super::Levels) looks them up.
    pub fn columns(&self) -> Vec<String> {
        let kinds = [(true, "px"), (self.needs_sizes(), "sz"), (self.needs_counts(), "ct")];
        let kinds = kinds.into_iter().filter_map(|(needed, kind)| needed.then_some(kind));
        let levels =
            |kind| (0..2).flat_map(move |side| (0..LEVELS).map(move |level| names::of_level(kind, side, level)));
        kinds.flat_map(levels).collect()
    }

    /// Whether each feature is wanted, in [`Feature`]'s order.
    pub(super) fn wanted(&self) -> [bool; FEATURES] {
        std::array::from_fn(|place| self.has(Feature::ALL[place]))
    }

    pub(super) fn needs_sizes(&self) -> bool {
        self.has(Feature::Volume) || self.has(Feature::Variance)
    }

    pub(super) fn needs_counts(&self) -> bool {
        self.has(Feature::TradeCounts)
    }

    pub(super) fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Converts a price in price units to micro-pips: rounds to nearest, ties to even.
    pub(crate) fn micro_pips(&self, price: f64) -> i64 {
        whole((price / self.micro_pip_size).round_ties_even())
    }

    /// The centre of the ladder: the mid of best bid and ask, in micro-pips, rounded half up.
    pub(crate) fn base(bid: Option<i64>, ask: Option<i64>) -> Option<i64> {
        let doubled = i128::from(bid?) + i128::from(ask?);
        i64::try_from((doubled + 1).div_euclid(2)).ok()
    }
}
