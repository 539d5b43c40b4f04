//! The steps of a run on any engine: scan, plan, write, validate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::describe::describe;
use super::engine::{Engine, WriteInput};
use super::planned::{Planned, plan_all};
use super::request::{Proof, Request};
use super::scanned::scan_all;
use crate::config::Config;
use crate::error::{ConfigError, Result};
use crate::input::{has_ts_out, hex};
use crate::label::Thresholds;
use crate::output::{CARD, DatasetEntry, FileEntry, Manifest, REPORT, THRESHOLDS, ThresholdsEntry, Timings, card};
use crate::report;
use crate::run::Run;
use crate::storage::platform::Platform;

/// Checks the settings of a run, and that given boundaries were fitted with the same settings. Runs before any file is
/// opened, unless some settings follow from the files.
///
/// # Errors
/// [`ConfigError`] with all problems.
pub fn check_config(config: &Config, given: Option<&Thresholds>) -> Result<()> {
    config.check()?;
    if config.currency.is_some() { check_thresholds(config, given) } else { Ok(()) }
}

/// Checks that given boundaries were fitted with the settings of a run.
///
/// # Errors
/// [`ConfigError`] with every setting that differs.
pub fn check_thresholds(config: &Config, given: Option<&Thresholds>) -> Result<()> {
    given.map_or(Ok(()), |thresholds| thresholds.check_settings(config).map_err(ConfigError::into))
}

/// Runs the steps on an engine.
pub fn produce(
    engine: &mut impl Engine,
    run: Run<'_>,
    request: Request<'_>,
    plan: Option<String>,
    started: Instant,
) -> Result<Manifest> {
    let given = request.thresholds;
    // 1. Scan every file to tapes, once; join symbols to streams across files.
    let scanned = scan_all(engine, run, given)?;
    scanned.check_prices(run.config)?;
    let after_scan = Instant::now();

    // 2. Compute movements, boundaries and a plan of every row group from the tapes.
    let planned = plan_all(engine, run, &scanned, given)?;
    let after_plan = Instant::now();

    // 3. Write rows and labels to datasets.
    let Planned { targets, thresholds, plans, .. } = &planned;
    let ts_out = has_ts_out(&scanned.inputs);
    let inputs: Vec<String> = scanned.inputs.iter().map(|input| input.name.clone()).collect();
    let streams = &scanned.streams;
    let datasets = engine.datasets(&WriteInput { targets, streams, thresholds, plans, inputs: &inputs, ts_out })?;
    let FileEntry { file, sha256 } = put(engine, THRESHOLDS, &thresholds.to_json())?;
    let (fitted, fit_until) = (given.is_none(), scanned.fit_until);
    let thresholds = ThresholdsEntry { file, fitted, fit_until, sha256 };
    let mut manifest = describe(run.config, &scanned, &planned, datasets, thresholds);
    manifest.plan = plan;
    manifest.card = put(engine, CARD, &card(&manifest, &planned.thresholds))?;
    let after_write = Instant::now();

    // 4. Read back what was written, and prove it.
    if request.proof == Proof::Required {
        manifest.validation = Some(engine.prove(&manifest)?);
    }
    let after_validation = Instant::now();

    // 5. Unless the input has changed meanwhile, write the manifest last and publish everything at once.
    scanned.check_unchanged()?;
    let seconds = |from: Instant, to: Instant| (to - from).as_secs_f64();
    manifest.timings = Timings {
        threads: run.threads,
        scans_reused: scanned.reused,
        scan_seconds: seconds(started, after_scan),
        plan_seconds: seconds(after_scan, after_plan),
        write_seconds: seconds(after_plan, after_write),
        validate_seconds: seconds(after_write, after_validation),
        total_seconds: seconds(started, after_validation),
        records_per_second: manifest.records() as f64 / seconds(started, after_validation),
        peak_memory_bytes: Platform::here().peak_memory(),
    };
    manifest.report = put(engine, REPORT, &page(engine, run, &manifest, &planned.thresholds)?)?;
    manifest.seal();
    engine.publish(&manifest)?;
    Ok(manifest)
}

/// The report on the datasets that were written.
fn page(engine: &impl Engine, run: Run<'_>, manifest: &Manifest, thresholds: &Thresholds) -> Result<String> {
    let place = |(_, dataset): (_, &DatasetEntry)| (dataset.file.clone(), engine.dataset(&dataset.file));
    let places: BTreeMap<String, PathBuf> = manifest.datasets().map(place).collect();
    let path = |file: &str| places.get(file).cloned().unwrap_or_default();
    report::page(manifest, thresholds, path, run.threads, run.monitor)
}

/// Writes a small file of the result; returns its manifest entry.
fn put(engine: &mut impl Engine, file: &str, text: &str) -> Result<FileEntry> {
    Ok(FileEntry { file: engine.put(file, text)?, sha256: hex(&Sha256::digest(text)) })
}
