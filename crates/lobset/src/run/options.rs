//! Options of a run that are not settings.

use std::path::PathBuf;

use super::Monitor;
use crate::config::Config;

/// How to run, as opposed to what to produce. Except for `symbology`, which is input, no option affects the bytes of
/// the datasets.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Number of threads; 0 for one per core.
    pub threads: usize,
    /// Replace an output that exists: a dataset with nothing else in its folder, or a thresholds file.
    pub overwrite: bool,
    /// A `symbology.json` for files whose metadata has no mappings, in place of the one beside them.
    pub symbology: Option<PathBuf>,
}

impl Options {
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }
}

/// Context that every step needs.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub config: &'a Config,
    pub threads: usize,
    pub monitor: &'a Monitor<'a>,
}
