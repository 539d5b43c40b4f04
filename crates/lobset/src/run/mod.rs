//! How a run is executed: options, threads, and progress reports. Independent of books and labels.

mod monitor;
mod options;
mod parallel;

pub use monitor::{Event, Monitor, Stage};
pub use options::Options;
pub(crate) use options::Run;
pub(crate) use parallel::{BATCH, Pool, batches, map_batched, map_ordered};
