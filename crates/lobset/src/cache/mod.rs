//! Cache files: values computed once from a dataset, at offsets that follow from the row, so that each random sample
//! costs one read. Processes share them through the page cache of the system.
//!
//! A cache file can be deleted at any time: it is rebuilt when it is next needed.

mod file;
mod folder;

pub(crate) use file::{Blank, CacheFile, Slots, Subject};
pub use folder::{Cache, CachedFile, VARIABLE};
