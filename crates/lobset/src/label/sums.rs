//! What movements add up to: their mean, deviation and extremes come of it.

use serde::{Deserialize, Serialize};

/// Movements that are counted in one go: few enough for a core's own cache. Sums are added up slice by slice, so it is
/// part of the definition of `mean` and `std`.
pub const SLICE: u64 = 1 << 15;

/// What a slice of movements adds up to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sums {
    /// Of the movements.
    pub sum: f64,
    /// Of the squares of their distances from a mean.
    pub squares: f64,
    /// The smallest; `f64::MAX` without any.
    pub min: f64,
    /// The largest; `f64::MIN` without any.
    pub max: f64,
    /// How many there are.
    pub count: u64,
}

impl Sums {
    /// Those of movements that are numbers.
    pub fn of(values: &[f64], mean: f64) -> Self {
        Self {
            sum: values.iter().sum(),
            squares: values.iter().map(|v| (v - mean) * (v - mean)).sum(),
            // Numbers, also for a slice without any: text has no infinity.
            min: values.iter().copied().fold(f64::MAX, f64::min),
            max: values.iter().copied().fold(f64::MIN, f64::max),
            count: values.len() as u64,
        }
    }
}
