//! Depth tensors: images of the book over time, price ladder by time bins, with one channel per feature.
//!
//! Shape `(channels, 402, T)` of f32 in [-1, 1], where T = `samples / ticks_per_bin`. Row 0 is the highest price, row
//! 401 the lowest. In each time bin, asks accumulate from the best ask upward and bids from the best bid downward, both
//! over the whole ladder, and a cell is asks minus bids over the channel's largest absolute value. Positive cells are
//! ask depth, negative ones bid depth, and the line where they meet is the path of the price.
//! `docs/reference/formulas.md` has the formulas.
//!
//! A tensor is computed in two steps. `Bin::of_rows` summarises rows into time bins, level by level; `DepthSpec::paint`
//! places the bins on the ladder around the last row's mid price. Windows that share time
//! bins share the first step.

mod bin;
mod bin_cache;
mod columns;
mod error;
mod lanes;
mod packed;
mod paint;
mod prices;
mod sizes;
mod sliding;
mod spec;
mod windows;

pub(crate) use bin::{Bin, floor_of_mean};
pub use columns::Levels;
pub use error::DepthError;
pub use paint::Colour;
pub use prices::Prices;
pub use spec::{DepthSpec, LADDER, LEVELS, MISSING};
pub use windows::WindowCache;

#[cfg(test)]
mod tests;
