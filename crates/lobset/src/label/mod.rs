//! Computes labels from rows: windows, exact movements, exact quantiles, splits and balanced marks. The only files read
//! here are the tapes and `thresholds.json`.

mod balance;
pub(crate) mod candidates;
mod count;
mod drift;
pub(crate) mod kinds;
mod known;
pub(crate) mod quantile;
mod sessions;
mod split;
mod sums;
mod thresholds;

pub(crate) use balance::{Marking, Quota};
pub(crate) use candidates::Candidates;
pub(crate) use count::{Counter, merged};
pub use drift::Drift;
pub(crate) use kinds::{Ahead, Rule};
pub(crate) use known::{Comoments, KnownSums};
pub(crate) use quantile::{Histogram, Selection, inner_quantiles, interpolate, ranks};
pub(crate) use sessions::{Segment, Sessions};
pub use split::Split;
pub(crate) use split::Splits;
pub(crate) use sums::{MovementSums, SLICE};
pub use thresholds::{Boundaries, FileUsed, Fitted, Thresholds};
pub(crate) use thresholds::{LARGEST_THRESHOLDS, check_classes};
