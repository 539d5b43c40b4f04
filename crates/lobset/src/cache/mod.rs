//! Cache files: values computed from a dataset once, at places that follow from the row, so that samples at random cost
//! one read each. Processes share them through the page cache of the system.
//!
//! A cache file can be deleted at any time: whoever needs it builds it again.

mod file;
mod folder;

pub(crate) use file::{Blank, CacheFile, Slots, Subject};
pub use folder::{Cache, CachedFile, VARIABLE};
