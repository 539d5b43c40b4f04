//! Computes labels from rows: windows, exact movements, exact quantiles, splits and balanced marks. The only files read
//! here are the tapes and `thresholds.json`.

mod balance;
mod count;
mod movement;
mod quantile;
mod sessions;
mod split;
mod sums;
mod thresholds;
mod windows;

pub use balance::Quota;
pub(crate) use count::Counter;
pub use movement::{movement, movements};
pub use quantile::{Histogram, Selection, inner_quantiles, interpolate, ranks};
pub(crate) use sessions::{Segment, Sessions};
pub use split::{Split, Splits};
pub use sums::{SLICE, Sums};
pub use thresholds::{Boundaries, FileUsed, LARGEST_THRESHOLDS, Thresholds, check_classes};
pub use windows::{Candidates, Windows};
