//! Proves an output folder: its thresholds and its card, its datasets, and that nothing leaked.

use std::path::Path;

use super::contents::check_origin;
use super::datasets::{Dataset, Proved, Terms, prove_datasets};
use super::facts::Extent;
use super::folder::{check_card, check_thresholds};
use super::leak;
use crate::error::{Error, Result, ValidationError};
use crate::label::Thresholds;
use crate::output::Manifest;
use crate::run::{Monitor, Stage};

/// The result of a proof without violations.
pub(crate) struct Proof {
    /// The thresholds of the folder.
    pub thresholds: Thresholds,
    /// Number of rows whose movement was recomputed.
    pub recomputed: u64,
    /// SHA-256 of the dataset card.
    pub card_sha256: String,
}

/// Proves the contents of `folder` against `manifest`; `datasets` proves its datasets with [`prove_datasets`].
///
/// # Errors
/// [`ValidationError`] with every violation found; any error of `datasets`.
pub(crate) fn prove(
    folder: &Path,
    manifest: &Manifest,
    datasets: impl FnOnce(&Thresholds) -> Result<Proved>,
) -> Result<Proof> {
    let failed = |violations| Error::from(ValidationError { path: folder.to_owned(), violations });
    let thresholds = check_thresholds(folder, manifest).map_err(|v| failed(vec![v]))?;
    let card_sha256 = check_card(folder, manifest).map_err(|v| failed(vec![v]))?;
    let violations = check_origin(manifest, &thresholds);
    if !violations.is_empty() {
        return Err(failed(violations));
    }
    let Proved { mut violations, complete, recomputed, fit_counts } = datasets(&thresholds)?;
    if complete {
        violations.extend(leak::check(manifest, &thresholds, &fit_counts));
    }
    if violations.is_empty() { Ok(Proof { thresholds, recomputed, card_sha256 }) } else { Err(failed(violations)) }
}

/// Proves the contents of `folder` against `manifest`, on threads of this machine.
///
/// # Errors
/// As [`prove`].
pub(crate) fn prove_here(
    folder: &Path,
    manifest: &Manifest,
    extent: Extent,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Proof> {
    prove(folder, manifest, |thresholds| {
        let mut datasets: Vec<Dataset<'_>> = Vec::new();
        for (symbol, entry) in manifest.datasets() {
            let (path, moments) = (folder.join(&entry.file), folder.join(&entry.moments.file));
            datasets.push(Dataset { path, moments, symbol, entry });
        }
        let inputs: Vec<String> = manifest.inputs.iter().map(|input| input.name.clone()).collect();
        let terms = Terms {
            version: &manifest.version,
            config: &manifest.config,
            ts_out: manifest.has_ts_out(),
            inputs: &inputs,
            thresholds,
            extent,
            retry: false,
        };
        let rows = datasets.iter().map(|dataset| dataset.entry.rows).sum();
        monitor.stage(Stage::Validate, rows, || prove_datasets(&terms, &datasets, threads, monitor))
    })
}
