//! Scan, plan, write, validate: the one place where they meet.

mod apart;
mod describe;
mod engine;
mod fit;
mod inspect;
mod instruments;
mod local;
mod monitor;
mod movements;
mod order;
mod overlap;
mod parallel;
mod plan;
mod qualify;
mod scan;
mod streams;
mod tasks;
mod write;

use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::config::{Config, LabelSettings, PriceType};
use crate::error::{ConfigError, Error, InputError, Result};
use crate::input::{CatalogFile, Delivery, find, hex};
use crate::label::{FileUsed, Thresholds};
use crate::output::{FileEntry, InputEntry, Manifest, ThresholdsEntry, Timings, Workspace, card, has_ts_out, report};
use crate::printable::Shown;
use crate::storage::{self, platform::Platform};
use crate::time_text::Timestamp;
use apart::check_apart;
use describe::describe;
use engine::{Engine, Scans, WriteInput};
pub(crate) use fit::Sums;
pub use inspect::{Inspection, SymbolInspection, inspect};
use local::Local;
pub use monitor::{Event, Monitor, Stage};
pub(crate) use movements::{read_movements, to_bytes as movement_bytes};
pub(crate) use parallel::{Pool, map_batched, map_ordered};
use plan::SymbolPlan;
use qualify::qualified;
use scan::{FileScan, set_aside};
pub(crate) use scan::{RowReader, ScanRules};
use streams::{Joined, Stream};
pub use tasks::{Executor, Receive, Task, Threads, process_as_tasks, run_task};

/// The file with the boundaries, in an output folder.
pub const THRESHOLDS: &str = "thresholds.json";
/// The dataset card, in an output folder.
pub const CARD: &str = "README.md";
/// The report for people, in an output folder.
pub const REPORT: &str = "report.html";

/// How to run, as opposed to what to make: but for `symbology`, which is input, nothing here changes a byte of the datasets.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Threads to use; 0 for one per core.
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

/// What every step needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub config: &'a Config,
    pub threads: usize,
    pub monitor: &'a Monitor<'a>,
}

/// The main job: boundaries (fitted here, unless `thresholds` brings them), datasets, validation. `out` appears complete
/// and proved, or not at all.
///
/// ```no_run
/// use lobset::{Config, Monitor, Options, process};
///
/// let config = Config::preset("AUDUSD");
/// let manifest = process(&["data"], "out".as_ref(), &config, None, &Options::default(), &Monitor::silent())?;
/// println!("{} datasets", manifest.datasets().count());
/// # Ok::<(), lobset::Error>(())
/// ```
///
/// # Errors
/// Every class of [`Error`]: settings, input, data, output, validation.
pub fn process<P: AsRef<Path>>(
    inputs: &[P],
    out: &Path,
    config: &Config,
    thresholds: Option<&Thresholds>,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Manifest> {
    run(inputs, out, config, thresholds, options, monitor, true)
}

/// Phase 2 alone: datasets with existing boundaries, without validation.
///
/// # Errors
/// As [`process`], but for validation.
pub fn build<P: AsRef<Path>>(
    inputs: &[P],
    out: &Path,
    config: &Config,
    thresholds: &Thresholds,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Manifest> {
    run(inputs, out, config, Some(thresholds), options, monitor, false)
}

fn run<P: AsRef<Path>>(
    inputs: &[P],
    out: &Path,
    config: &Config,
    given: Option<&Thresholds>,
    options: &Options,
    monitor: &Monitor<'_>,
    prove: bool,
) -> Result<Manifest> {
    let started = Instant::now();
    let (inputs, out) = (paths(inputs), storage::plain(out));
    check_config(config, given)?;
    let run = Run { config, threads: options.threads(), monitor };
    if storage::is_url(&out) {
        return tasks::run(&Threads::new(run.threads), 1, run, &inputs, &out, None, given, options, prove);
    }
    check_name(&out)?;
    let found = find(&inputs, options.symbology.as_deref())?;
    check_apart(&out, &found)?;
    let workspace = Workspace::open(&out, options.overwrite)?;
    let mut engine = Local::new(run, &found, &workspace);
    let outcome = produce(&mut engine, run, given, prove, None, started);
    drop(engine);
    close(workspace, run, outcome)
}

fn paths<P: AsRef<Path>>(inputs: &[P]) -> Vec<PathBuf> {
    inputs.iter().map(|path| storage::plain(path.as_ref())).collect()
}

/// Refuses a name that work files could not hold.
fn check_name(out: &Path) -> Result<()> {
    match out.to_str() {
        Some(_) => Ok(()),
        None => Err(Error::output(out, "is not valid UTF-8, as names of outputs have to be")),
    }
}

/// The steps, whatever carries them out.
fn produce(
    engine: &mut impl Engine,
    run: Run<'_>,
    given: Option<&Thresholds>,
    prove: bool,
    plan: Option<String>,
    started: Instant,
) -> Result<Manifest> {
    // 1. Every file to tapes, once; symbols to streams across files.
    let scanned = scan_all(engine, run, given)?;
    scanned.check_prices(run.config)?;
    let after_scan = Instant::now();

    // 2. Tapes to movements, boundaries and a plan of every row group.
    let planned = plan_all(engine, run, &scanned, given)?;
    let after_plan = Instant::now();

    // 3. Rows and labels to datasets.
    let Planned { thresholds, plans, .. } = &planned;
    let ts_out = has_ts_out(&scanned.inputs);
    let datasets = engine.datasets(&WriteInput { streams: &scanned.streams, thresholds, plans, ts_out })?;
    let FileEntry { file, sha256 } = put(engine, THRESHOLDS, &thresholds.to_json())?;
    let (fitted, fit_until) = (given.is_none(), scanned.fit_until);
    let thresholds = ThresholdsEntry { file, fitted, fit_until, sha256 };
    let mut manifest = describe(run.config, &scanned, &planned, datasets, thresholds);
    manifest.plan = plan;
    manifest.card = put(engine, CARD, &card(&manifest, &planned.thresholds))?;
    let after_write = Instant::now();

    // 4. Read back what was written, and prove it.
    if prove {
        manifest.validation = Some(engine.prove(&manifest)?);
    }
    let after_validation = Instant::now();

    // 5. The manifest last, then all of it at once, unless the input has changed meanwhile.
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
    manifest.report = put(engine, REPORT, &report(&manifest))?;
    manifest.seal();
    engine.publish(&manifest)?;
    Ok(manifest)
}

/// Writes a small file of the result; returns what the manifest says of it.
fn put(engine: &mut impl Engine, file: &str, text: &str) -> Result<FileEntry> {
    Ok(FileEntry { file: engine.put(file, text)?, sha256: hex(&Sha256::digest(text)) })
}

/// Phase 1 alone: the boundaries, written to `out` as a `thresholds.json`.
///
/// # Errors
/// As [`process`], but for validation.
pub fn fit_thresholds<P: AsRef<Path>>(
    inputs: &[P],
    out: &Path,
    config: &Config,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Thresholds> {
    check_config(config, None)?;
    let (inputs, out) = (paths(inputs), storage::plain(out));
    if storage::is_url(&out) {
        return Err(ConfigError::one("out: thresholds alone are written to a local file").into());
    }
    check_name(&out)?;
    let run = Run { config, threads: options.threads(), monitor };
    let found = find(&inputs, options.symbology.as_deref())?;
    check_apart(&out, &found)?;
    let workspace = Workspace::open_for_file(&out, options.overwrite)?;
    let mut engine = Local::new(run, &found, &workspace);
    let outcome = (|| {
        let scanned = scan_all(&mut engine, run, None)?;
        let labelled = engine.movements(&scanned.streams)?;
        let qualified = qualified(config, &scanned.streams, &labelled)?;
        let (thresholds, _) = fit_all(&engine, run, &scanned, &qualified)?;
        scanned.check_unchanged()?;
        workspace.publish_file(&thresholds.to_json())?.into_iter().for_each(|note| monitor.note(note));
        Ok(thresholds)
    })();
    drop(engine);
    close(workspace, run, outcome)
}

fn check_config(config: &Config, given: Option<&Thresholds>) -> Result<()> {
    config.check()?;
    given.map_or(Ok(()), |thresholds| thresholds.check_settings(config).map_err(ConfigError::into))
}

/// Removes the work folder, unless it is wanted or the next run can go on from it. What can't be removed is no failure.
fn close<T>(workspace: Workspace, run: Run<'_>, outcome: Result<T>) -> Result<T> {
    let cleared = match &outcome {
        Ok(_) if run.config.keep_intermediate => workspace.clear_staged(),
        Ok(_) => workspace.remove(),
        // Whoever stops a run wants nothing of it, but may want what was there before.
        Err(Error::Interrupted) if !workspace.inherits_scans() => workspace.remove(),
        Err(_) if workspace.has_finished_scans() => {
            run.monitor.note(kept(workspace.folder()));
            workspace.clear_unfinished()
        }
        Err(_) => workspace.remove(),
    };
    if let Err(error) = cleared {
        run.monitor.note(error.to_string());
    }
    outcome
}

/// Says what a run that failed leaves behind.
fn kept(folder: &Path) -> String {
    format!(
        "finished scans are kept in {} for the next run; delete that folder if you do not intend one",
        Shown(folder)
    )
}

/// What scanning all files gives.
struct Scanned {
    /// The files, in order of time.
    files: Vec<CatalogFile>,
    /// What the manifest will say of the files.
    inputs: Vec<InputEntry>,
    /// In each file the record and the price of the first row with one that is no exact float.
    inexact: Vec<Option<(u64, i64)>>,
    /// What it will say of where they come from.
    delivery: Delivery,
    streams: Vec<Stream>,
    /// What the user should know of the input.
    warnings: Vec<String>,
    /// The boundary time T.
    fit_until: Timestamp,
    /// Places of the files of the fit half.
    fit_files: Vec<usize>,
    /// Files whose scan an earlier run had finished.
    reused: u64,
}

impl Scanned {
    /// Refuses prices that the datasets could not hold.
    fn check_prices(&self, config: &Config) -> Result<()> {
        let inexact = self.files.iter().zip(&self.inexact).filter_map(|(file, inexact)| Some((file, (*inexact)?)));
        let refuse = |(file, (record, price)): (&CatalogFile, (u64, i64))| {
            let message = format!("the price {price} (1e-9) is no exact float");
            let refused = InputError { record: Some(record), ..InputError::new(&file.path, message) };
            refused.with_help("keep prices as integers: price_type = \"fixed\"")
        };
        match config.price_type {
            PriceType::Float => InputError::check(inexact.map(refuse).collect()),
            PriceType::Fixed => Ok(()),
        }
    }

    /// Refuses input that is no longer what was read: the hashes in the manifest would be those of no file.
    fn check_unchanged(&self) -> Result<()> {
        let changed = self.files.iter().map(|file| set_aside(file.check_unchanged())).collect::<Result<Vec<_>>>()?;
        InputError::check(changed.into_iter().filter_map(Result::err).collect())
    }
}

fn scan_all(engine: &mut impl Engine, run: Run<'_>, given: Option<&Thresholds>) -> Result<Scanned> {
    let rules = ScanRules::new(run.config);
    let found = engine.scan(&rules)?;
    let (fit_until, fit_files) = boundary_time(engine, run.config, given, &found, &rules)?;
    let Scans { files, scans, reused, delivery } = found;
    let with_paths: Vec<(&Path, &FileScan)> = files.iter().map(|f| f.path.as_path()).zip(&scans).collect();
    let Joined { mut streams, warnings } = streams::join(&with_paths, run.config)?;
    let mut boundary_rows = Vec::with_capacity(streams.len());
    map_batched(
        run.threads,
        &streams,
        |_| 1,
        |stream| stream.tape.first_row_at(fit_until.0),
        |row| {
            boundary_rows.push(row);
            Ok(())
        },
    )?;
    for (stream, row) in streams.iter_mut().zip(boundary_rows) {
        stream.splits.boundary_row = row;
    }
    let inexact = scans.iter().map(|scan| scan.inexact).collect();
    let inputs = scans.into_iter().map(|scan| scan.input).collect();
    Ok(Scanned { files, inputs, inexact, delivery, streams, warnings, fit_until, fit_files, reused })
}

/// T and the places of the fit half's files.
fn boundary_time(
    engine: &impl Engine,
    config: &Config,
    given: Option<&Thresholds>,
    found: &Scans,
    rules: &ScanRules,
) -> Result<(Timestamp, Vec<usize>)> {
    let mut reached = 0;
    let first = |(file, scan): (&CatalogFile, &FileScan)| {
        let first = file.head.first(reached);
        reached = reached.max(scan.input.last_ts.map_or(0, |last| last.0));
        first
    };
    let firsts: Vec<u64> = found.files.iter().zip(&found.scans).filter_map(first).collect();
    let no_rows = || {
        let drops = found.scans.iter().map(|scan| scan.input.drops.other_publisher).sum::<u64>();
        match &config.publishers {
            Some(wanted) if drops > 0 => Error::data(
                format!("none of the usable records comes from publishers = {wanted:?}"),
                "lobset inspect lists the publisher of each symbol",
            ),
            _ => Error::data("none of the files holds a usable row", "look at the drops with lobset inspect"),
        }
    };
    let rows: u64 = found.scans.iter().map(|s| s.input.rows).sum();
    if rows == 0 {
        return Err(no_rows());
    }
    let before = |until: Timestamp| (0..firsts.len()).filter(|i| firsts[*i] < until.0).collect();
    if let Some(until) = given.map(|t| t.fit_until).or(config.fit_until) {
        return Ok((until, before(until)));
    }
    if let [_] = firsts[..] {
        // Files without records come last, so the only one with records is the first.
        let middle = engine.row_time(&found.files[0], rules, rows / 2)?.ok_or_else(no_rows)?;
        return Ok((Timestamp(middle), vec![0]));
    }
    let half = firsts.len() / 2;
    Ok((Timestamp(firsts[half]), (0..half).collect()))
}

/// What planning gives.
struct Planned {
    thresholds: Thresholds,
    /// Labelled rows by symbol.
    labelled: Vec<u64>,
    fitted_rows: Vec<Vec<[u64; 2]>>,
    plans: Vec<SymbolPlan>,
}

fn plan_all(engine: &mut impl Engine, run: Run<'_>, scanned: &Scanned, given: Option<&Thresholds>) -> Result<Planned> {
    let streams = &scanned.streams;
    let labelled = engine.movements(streams)?;
    let qualified = qualified(run.config, streams, &labelled)?;
    let (thresholds, fitted_rows) = match given {
        Some(thresholds) => (thresholds.clone(), vec![Vec::new(); streams.len()]),
        None => fit_all(engine, run, scanned, &qualified)?,
    };
    let plans = plan::symbol_plans(engine, run.config, streams, &thresholds, &qualified)?;
    if plans.is_empty() {
        return Err(Error::data(
            "the thresholds file has boundaries for none of the symbols that qualify",
            "fit thresholds with threshold_scope = \"global\", or on these symbols",
        ));
    }
    Ok(Planned { thresholds, labelled, fitted_rows, plans })
}

type Fitted = (Thresholds, Vec<Vec<[u64; 2]>>);

fn fit_all(engine: &impl Engine, run: Run<'_>, scanned: &Scanned, qualified: &[usize]) -> Result<Fitted> {
    let streams = &scanned.streams;
    let sampled = fit::sampled_files(run.config.sample_fraction, scanned.fit_files.len());
    let used: Vec<usize> = sampled.into_iter().map(|i| scanned.fit_files[i]).collect();
    let fitted_rows: Vec<_> = streams.iter().map(|s| s.rows_in_files(|file| used.contains(&file))).collect();
    let input = fit::FitInput { streams, qualified, fitted_rows: &fitted_rows };
    let settings = LabelSettings::new(run.config);
    let (global, symbols) = fit::fit(engine, &settings, &input)?;
    let file_used = |i: &usize| {
        let input = &scanned.inputs[*i];
        FileUsed { name: input.name.clone(), sha256: input.sha256.clone() }
    };
    let thresholds = Thresholds {
        version: crate::VERSION.to_owned(),
        fit_until: scanned.fit_until,
        settings,
        sample_fraction: run.config.sample_fraction,
        min_symbol_samples: run.config.min_symbol_samples,
        files: used.iter().map(file_used).collect(),
        global,
        symbols,
    };
    Ok((thresholds, fitted_rows))
}
