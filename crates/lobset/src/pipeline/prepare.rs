//! The start of a run: all checks that need no records.

use std::path::{Path, PathBuf};

use super::apart::check_apart;
use super::market::resolved;
use super::produce::check_config;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::input::{Found, find};
use crate::label::Thresholds;
use crate::run::Options;
use crate::storage;

/// The input files of a run, and its settings with those that follow from the files.
pub struct Prepared {
    pub found: Found,
    pub config: Config,
}

/// Checks settings and the output, and finds the input files. Reads their metadata on `threads` threads.
///
/// # Errors
/// [`ConfigError`](crate::error::ConfigError) with all problems of the settings; [`Error::Output`] when `out` cannot be an
/// output; errors of the search for input files.
pub fn prepare(
    inputs: &[PathBuf],
    out: &Path,
    (config, given): (&Config, Option<&Thresholds>),
    options: &Options,
    threads: usize,
) -> Result<Prepared> {
    check_config(config, given)?;
    check_name(out)?;
    let found = find(inputs, options.symbology.as_deref())?;
    check_apart(out, &found)?;
    let config = resolved(config, given, &found, threads)?;
    Ok(Prepared { found, config })
}

/// Refuses a local name that work files cannot record.
fn check_name(out: &Path) -> Result<()> {
    if storage::is_url(out) || out.to_str().is_some() {
        return Ok(());
    }
    Err(Error::output(out, "is not valid UTF-8, which output names must be"))
}
