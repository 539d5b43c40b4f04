//! Computes labels from rows: windows, exact movements, exact quantiles, splits and balanced marks. The only files read
//! here are the tapes and `thresholds.json`.

mod balance;
mod candidates;
mod count;
mod kinds;
mod quantile;
mod split;
mod sums;
mod thresholds;

pub use balance::Quota;
pub use candidates::Candidates;
pub(crate) use count::Counter;
pub(crate) use kinds::Rule;
pub use kinds::Take;
pub use quantile::{Histogram, Selection, inner_quantiles, interpolate, ranks};
pub use split::{Split, Splits};
pub use sums::{SLICE, Sums};
pub use thresholds::{Boundaries, FileUsed, Fitted, LARGEST_THRESHOLDS, Thresholds, check_classes};
