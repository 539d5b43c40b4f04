//! Proves an output folder: its thresholds and its card, its datasets, and that nothing leaked.

use std::ops::Range;
use std::path::Path;

use super::contents::check_origin;
use super::datasets::{Dataset, Proved, Terms, prove_datasets};
use super::facts::Extent;
use super::folder::{check_card, check_thresholds};
use super::leak;
use super::spool::{Spool, Spools};
use crate::error::{Error, Result, ValidationError};
use crate::label::{Histogram, MovementSums, Selection, Thresholds};
use crate::output::Manifest;
use crate::run::{Monitor, Stage};

/// Carries out the two steps of a proof that read the datasets.
pub(crate) trait Prover {
    /// Proves the datasets of a folder with [`prove_datasets`] and stores their fit movements. Returns the result, and
    /// the number of fit movements of each dataset, by target.
    ///
    /// # Errors
    /// When a dataset is temporarily unreadable, or fit movements cannot be stored.
    fn datasets(&mut self, manifest: &Manifest, thresholds: &Thresholds) -> Result<(Proved, Vec<Vec<u64>>)>;

    /// Runs one pass of selections over the fit movements of a target in a range of datasets; returns the histograms, and
    /// with a `mean` their sums around it.
    ///
    /// # Errors
    /// When the fit movements cannot be read.
    fn count(
        &self,
        target: usize,
        datasets: Range<usize>,
        selections: &[Selection],
        mean: Option<f64>,
    ) -> Result<(Vec<Histogram>, Vec<MovementSums>)>;
}

/// The result of a proof without violations.
pub(crate) struct Proof {
    /// The thresholds of the folder.
    pub thresholds: Thresholds,
    /// Number of rows whose movement was recomputed.
    pub recomputed: u64,
    /// SHA-256 of the dataset card.
    pub card_sha256: String,
}

/// Proves the contents of `folder` against `manifest`.
///
/// # Errors
/// [`ValidationError`] with every violation found; any error of `prover`.
pub(crate) fn prove(folder: &Path, manifest: &Manifest, prover: &mut impl Prover) -> Result<Proof> {
    let failed = |violations| Error::from(ValidationError { path: folder.to_owned(), violations });
    let thresholds = check_thresholds(folder, manifest).map_err(|v| failed(vec![v]))?;
    let card_sha256 = check_card(folder, manifest).map_err(|v| failed(vec![v]))?;
    let violations = check_origin(manifest, &thresholds);
    if !violations.is_empty() {
        return Err(failed(violations));
    }
    let (Proved { mut violations, complete, recomputed, spreads }, fitted) = prover.datasets(manifest, &thresholds)?;
    if complete {
        let count = |target, datasets, selections: &[Selection], mean| prover.count(target, datasets, selections, mean);
        violations.extend(leak::check(manifest, &thresholds, (&fitted, &spreads), count)?);
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
    let spools = Spools::new(&vec![leak::applies(manifest); manifest.config.all_targets().len()])?;
    prove(folder, manifest, &mut Here { folder, extent, threads, monitor, spools })
}

/// Proves datasets on threads of this machine.
struct Here<'a> {
    folder: &'a Path,
    extent: Extent,
    threads: usize,
    monitor: &'a Monitor<'a>,
    spools: Spools,
}

impl Prover for Here<'_> {
    fn datasets(&mut self, manifest: &Manifest, thresholds: &Thresholds) -> Result<(Proved, Vec<Vec<u64>>)> {
        let Self { folder, extent, threads, monitor, ref mut spools } = *self;
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
        let prove = || prove_datasets(&terms, &datasets, threads, monitor, spools);
        let proved = monitor.stage(Stage::Validate, rows, prove)?;
        Ok((proved, self.spools.targets().iter().map(Spool::fitted).collect()))
    }

    fn count(
        &self,
        target: usize,
        datasets: Range<usize>,
        selections: &[Selection],
        mean: Option<f64>,
    ) -> Result<(Vec<Histogram>, Vec<MovementSums>)> {
        self.spools.targets()[target].count(datasets, selections, mean, self.threads)
    }
}
