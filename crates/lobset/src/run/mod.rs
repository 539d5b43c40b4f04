//! How a run is carried out: its options, its threads, and what its caller sees of it. Nothing here knows of books or labels.

mod monitor;
mod options;
mod parallel;

pub use monitor::{Event, Monitor, Stage};
pub use options::Options;
pub(crate) use options::Run;
pub(crate) use parallel::{BATCH, Pool, batches, map_batched, map_ordered};
