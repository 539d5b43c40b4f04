//! What a run is asked to do.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::label::Thresholds;
use crate::run::Options;

/// Whether the datasets are read back and proved before they appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Proof {
    /// They are read back and proved: phase 3 is part of the run.
    Required,
    /// They appear as soon as they are written.
    Skipped,
}

/// The inputs and the output of a run.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Files, folders and URLs.
    pub inputs: &'a [PathBuf],
    /// The output folder.
    pub out: &'a Path,
    /// Boundaries to apply; without them they are fitted.
    pub thresholds: Option<&'a Thresholds>,
    /// How to run.
    pub options: &'a Options,
    /// Whether phase 3 is part of the run.
    pub proof: Proof,
}
