//! Computes labels from rows: windows, exact movements, exact quantiles, splits and balanced marks. The only files read
//! here are the tapes and `thresholds.json`.

mod balance;
mod count;
pub(crate) mod movement;
pub(crate) mod quantile;
mod split;
mod sums;
mod thresholds;
pub(crate) mod windows;

pub(crate) use balance::Quota;
pub(crate) use count::Counter;
pub(crate) use movement::movements;
pub(crate) use quantile::{Histogram, Selection, inner_quantiles, interpolate, ranks};
pub use split::Split;
pub(crate) use split::Splits;
pub(crate) use sums::{SLICE, Sums};
pub use thresholds::{Boundaries, FileUsed, Thresholds};
pub(crate) use thresholds::{LARGEST_THRESHOLDS, check_classes};
pub(crate) use windows::{Candidates, Windows};
