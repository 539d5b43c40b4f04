//! The public entry point for validating an output folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::against::{Against, Compare, compare};
use super::contents::contradictions;
use super::facts::Extent;
use super::folder::{check_names, check_report};
use super::prove::{Proof, prove_here};
use super::summary::{Whole, summary};
use crate::error::{Error, Result, ValidationError};
use crate::output::{MANIFEST, Manifest, ValidationEntry};
use crate::run::{Monitor, Options};
use crate::storage;

/// The result of [`validate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The manifest of the folder.
    pub manifest: Manifest,
    /// What was checked and holds, and what was not checked.
    pub proved: ValidationEntry,
    /// Number of rows whose `price_movement` was recomputed from the mid prices in the files.
    pub recomputed: u64,
    /// The comparison with the raw files, if requested.
    pub against: Option<Against>,
    /// SHA-256 of the dataset card as it was found.
    pub card_sha256: String,
    /// Duration in seconds.
    pub seconds: f64,
}

/// Reads the manifest of an output folder.
///
/// # Errors
/// [`ValidationError`] when it is not what lobset has written, or contradicts itself;
/// [`InputError`](crate::error::InputError) when there is none.
pub(super) fn read_manifest(folder: &Path) -> Result<Manifest> {
    let failed = |violations| Error::from(ValidationError { path: folder.to_owned(), violations });
    // Reading a named pipe would block.
    let found = std::fs::symlink_metadata(folder.join(MANIFEST));
    if !storage::is_url(folder) && found.is_ok_and(|found| !found.is_file()) {
        return Err(failed(vec![format!("{MANIFEST}: is not a regular file")]));
    }
    let manifest = Manifest::read(folder)?;
    let contradictions = contradictions(&manifest);
    if contradictions.is_empty() { Ok(manifest) } else { Err(failed(contradictions)) }
}

/// Proves an output folder: manifest, names, hashes, schema, counts, order, quotes, movements, labels, splits, marks
/// and that nothing leaked. With `against`, also compares rows with the raw files, and recomputes their labels from the
/// raw files by the plain definition.
///
/// # Errors
/// [`ValidationError`] with every violation found, including damaged files of the folder;
/// [`InputError`](crate::error::InputError) when the folder contains no manifest, or the raw files cannot be read.
pub fn validate<P: AsRef<Path>>(
    folder: &Path,
    against: Option<(&[P], Compare)>,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Validation> {
    let started = std::time::Instant::now();
    let folder = &storage::plain(folder);
    let failed = |violations| Error::from(ValidationError { path: folder.to_owned(), violations });
    let local = !storage::is_url(folder);
    let manifest = read_manifest(folder)?;
    let mut violations = if local { check_names(folder, &manifest) } else { Vec::new() };
    violations.extend(check_report(folder, &manifest).err());
    let proof = prove_here(folder, &manifest, Extent::Whole, options.threads(), monitor);
    let Proof { thresholds, recomputed, card_sha256 } = match proof {
        Ok(proof) if violations.is_empty() => proof,
        Ok(_) => return Err(failed(violations)),
        Err(Error::Validation(found)) => {
            // A missing file is reported only once.
            let told = |line: &String| violations.iter().any(|v| v.split(": ").next() == line.split(": ").next());
            let more: Vec<String> = found.violations.into_iter().filter(|line| !told(line)).collect();
            violations.extend(more);
            return Err(failed(violations));
        }
        Err(other) => return Err(other),
    };
    let against = against
        .map(|(inputs, rows)| compare(folder, (&manifest, &thresholds), inputs, rows, options, monitor))
        .transpose()?;
    let all = against.is_some_and(|against| against.all);
    let card_as_written = card_sha256 == manifest.card.sha256;
    let whole = Whole { recomputed, card_as_written, local, compared: against.is_some(), all };
    let proved = summary(&manifest, Some(whole));
    Ok(Validation { manifest, proved, recomputed, against, card_sha256, seconds: started.elapsed().as_secs_f64() })
}
