//! The price ladder of a symbol's depth tensors, as the manifest and the dataset's metadata record it.

use serde::{Deserialize, Serialize};

/// The price ladder of a symbol's depth tensors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ladder {
    /// The greatest common divisor of the symbol's prices, in price units.
    pub tick: f64,
    /// The price step, in price units: the one from the settings, or with `auto`, a round number of ticks.
    pub micro_pip_size: f64,
    /// The share of cells that are on the ladder, 0 to 1, in windows spread evenly over the fit half. A cell is a level
    /// on one side of a time bin; levels without a price do not count. `None` if the symbol has too few rows for a time
    /// bin.
    pub coverage: Option<f64>,
}

impl Ladder {
    /// The text in the metadata of a dataset.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
