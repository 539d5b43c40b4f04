//! Rows to labels: windows, exact movements, exact quantiles, splits and balanced marks. No files but the tapes.

mod balance;
mod movement;
mod quantile;
mod split;
mod thresholds;
mod windows;

pub use balance::Quota;
pub use movement::{movement, movements};
pub use quantile::{Histogram, Selection, inner_quantiles, interpolate, ranks};
pub use split::{Split, Splits};
pub use thresholds::{FileUsed, Fit, LARGEST_THRESHOLDS, Thresholds, check_classes};
pub use windows::{Candidates, Windows};
