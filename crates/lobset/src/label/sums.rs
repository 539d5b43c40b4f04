//! Sums of movements, from which their mean, standard deviation and extremes follow.

use serde::{Deserialize, Serialize};

/// Number of movements counted at a time: few enough for a core's own cache. Sums are added slice by slice, so this
/// number is part of the definition of `mean` and `std`.
pub const SLICE: u64 = 1 << 15;

/// Sums over a slice of movements.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MovementSums {
    /// Sum of the movements.
    pub sum: f64,
    /// Sum of the squared distances from a mean.
    pub squares: f64,
    /// The smallest movement; `f64::MAX` for an empty slice.
    pub min: f64,
    /// The largest movement; `f64::MIN` for an empty slice.
    pub max: f64,
    /// Number of movements.
    pub count: u64,
}

impl MovementSums {
    /// Sums over `values`, none of which is NaN, with squared distances from `mean`.
    pub fn of(values: &[f64], mean: f64) -> Self {
        // Finite even for an empty slice: JSON cannot represent infinity.
        let (mut sum, mut squares, mut min, mut max) = (-0.0, -0.0, f64::MAX, f64::MIN);
        // One loop for all four, because each only waits for its own previous addition or comparison.
        for v in values {
            sum += v;
            squares += (v - mean) * (v - mean);
            min = if *v < min { *v } else { min };
            max = if *v > max { *v } else { max };
        }
        Self { sum, squares, min, max, count: values.len() as u64 }
    }
}
