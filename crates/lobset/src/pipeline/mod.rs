//! Scan, plan, write, validate: the one place where they meet.

mod fit;
mod inspect;
mod monitor;
mod parallel;
mod plan;
mod scan;
mod streams;
mod write;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::error::{ConfigError, Error, Result};
use crate::input::{CatalogFile, catalog, hex, total_bytes};
use crate::label::{FileUsed, LabelSettings, Thresholds, Windows};
use crate::output::{
    DatasetEntry, MANIFEST, Manifest, SymbolEntry, ThresholdsEntry, Timings, Workspace, report, write_durably,
    write_whole,
};
use crate::time_text::Timestamp;
use crate::validate;
pub use inspect::{Inspection, SymbolInspection, inspect};
pub use monitor::{Event, Monitor, Stage};
pub(crate) use parallel::{Pool, map_batched, map_ordered};
pub(crate) use plan::read_movements;
use plan::{MovementTape, SymbolPlan};
use scan::FileScan;
pub(crate) use scan::{RowReader, ScanRules, file_sha256};
use streams::Stream;

/// The file with the boundaries, in an output folder.
pub const THRESHOLDS: &str = "thresholds.json";
/// The report for people, in an output folder.
pub const REPORT: &str = "report.html";

/// How to run, as opposed to what to make: nothing here changes a byte of the datasets.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Threads to use; 0 for one per core.
    pub threads: usize,
    /// Replace an output that exists.
    pub overwrite: bool,
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
    produce(inputs, out, config, thresholds, options, monitor, true)
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
    produce(inputs, out, config, Some(thresholds), options, monitor, false)
}

fn produce<P: AsRef<Path>>(
    inputs: &[P],
    out: &Path,
    config: &Config,
    given: Option<&Thresholds>,
    options: &Options,
    monitor: &Monitor<'_>,
    prove: bool,
) -> Result<Manifest> {
    let started = Instant::now();
    check_config(config, given)?;
    let run = Run { config, threads: options.threads(), monitor };
    let workspace = Workspace::open(out, options.overwrite)?;
    let outcome = (|| {
        // 1. Every file to tapes, once; symbols to streams across files.
        let scanned = scan_all(&run, inputs, given, &workspace)?;
        let after_scan = Instant::now();

        // 2. Tapes to movements, boundaries and a plan of every row group.
        let planned = plan_all(&run, &scanned, given, &workspace)?;
        let after_plan = Instant::now();

        // 3. Rows and labels to datasets.
        let staged = workspace.staged();
        std::fs::create_dir_all(&staged).map_err(|e| Error::output(&staged, e))?;
        let input = write::WriteInput {
            streams: &scanned.streams,
            tape: &planned.movements,
            thresholds: &planned.thresholds,
            plans: &planned.plans,
        };
        let datasets = write::write(&run, &input, &staged)?;
        let thresholds_json = planned.thresholds.to_json();
        write_whole(&staged.join(THRESHOLDS), &thresholds_json)?;
        let after_write = Instant::now();

        // 4. Read back what was written, and prove it.
        let mut manifest = describe(&run, &scanned, &planned, datasets, given.is_none(), &thresholds_json);
        if prove {
            manifest.validation = Some(validate::prove(&staged, &manifest, run.threads, monitor)?);
        }
        let after_validation = Instant::now();

        // 5. The manifest last, then all of it at once.
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
            peak_memory_bytes: peak_memory(),
        };
        write_whole(&staged.join(REPORT), &report(&manifest))?;
        write_whole(&staged.join(MANIFEST), &manifest.to_json())?;
        if !config.keep_intermediate {
            drop(planned);
            workspace.clear_scans()?;
        }
        workspace.publish()?;
        Ok(manifest)
    })();
    close(workspace, config.keep_intermediate, outcome)
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
    let run = Run { config, threads: options.threads(), monitor };
    let workspace = Workspace::open_for_file(out, options.overwrite)?;
    let outcome = (|| {
        let scanned = scan_all(&run, inputs, None, &workspace)?;
        let (thresholds, ..) = fit_all(&run, &scanned, &workspace)?;
        let staged = workspace.staged();
        write_durably(&staged, &thresholds.to_json())?;
        std::fs::rename(&staged, out).map_err(|e| Error::output(out, e))?;
        Ok(thresholds)
    })();
    close(workspace, config.keep_intermediate, outcome)
}

fn check_config(config: &Config, given: Option<&Thresholds>) -> Result<()> {
    config.check()?;
    given.map_or(Ok(()), |thresholds| thresholds.check_settings(config).map_err(ConfigError::into))
}

/// Removes the work folder, unless it is wanted or the next run can go on from it.
fn close<T>(workspace: Workspace, keep: bool, outcome: Result<T>) -> Result<T> {
    match &outcome {
        Ok(_) if keep => workspace.clear_staged()?,
        Ok(_) | Err(Error::Interrupted) => workspace.remove()?,
        // The error at hand says more than one about clearing up after it.
        Err(_) => drop(workspace.clear_staged()),
    }
    outcome
}

/// What scanning all files gives.
struct Scanned {
    scans: Vec<FileScan>,
    streams: Vec<Stream>,
    /// The boundary time T.
    fit_until: Timestamp,
    /// Places of the files of the fit half.
    fit_files: Vec<usize>,
    /// Files whose scan an earlier run had finished.
    reused: u64,
}

fn scan_all<P: AsRef<Path>>(
    run: &Run<'_>,
    inputs: &[P],
    given: Option<&Thresholds>,
    workspace: &Workspace,
) -> Result<Scanned> {
    let files = catalog(inputs)?;
    let rules = ScanRules::new(run.config);
    let total = total_bytes(&files);
    let mut scans = Vec::with_capacity(files.len());
    let mut reused = 0;
    run.monitor.stage(Stage::Scan, total, || {
        let work = |file: &CatalogFile| scan::scan(file, &rules, &workspace.scans(), run.monitor);
        map_ordered(run.threads, &files, work, |(scan, old)| {
            reused += u64::from(old);
            scans.push(scan);
            Ok(())
        })
    })?;
    let (fit_until, fit_files) = boundary_time(run.config, given, &files, &scans, &rules)?;
    let with_paths: Vec<(&Path, &FileScan)> = files.iter().map(|f| f.path.as_path()).zip(&scans).collect();
    let mut streams = streams::join(&with_paths, Windows::new(run.config), run.config.max_gap)?;
    for stream in &mut streams {
        stream.splits.boundary_row = stream.tape.first_row_at(fit_until.0)?;
    }
    Ok(Scanned { scans, streams, fit_until, fit_files, reused })
}

/// T and the places of the fit half's files.
fn boundary_time(
    config: &Config,
    given: Option<&Thresholds>,
    files: &[CatalogFile],
    scans: &[FileScan],
    rules: &ScanRules,
) -> Result<(Timestamp, Vec<usize>)> {
    let firsts: Vec<u64> = files.iter().filter_map(|f| f.first_ts).collect();
    let no_rows = || Error::data("none of the files holds a usable row", "look at the drops with lobset inspect");
    let rows: u64 = scans.iter().map(|s| s.input.rows).sum();
    if rows == 0 {
        return Err(no_rows());
    }
    let before = |until: Timestamp| (0..firsts.len()).filter(|i| firsts[*i] < until.0).collect();
    if let Some(until) = given.map(|t| t.fit_until).or(config.fit_until) {
        return Ok((until, before(until)));
    }
    if let [_] = firsts[..] {
        // Files without records come last, so the only one with records is the first.
        let middle = scan::ts_of_row(&files[0].path, rules, rows / 2)?.ok_or_else(no_rows)?;
        return Ok((Timestamp(middle), vec![0]));
    }
    let half = firsts.len() / 2;
    Ok((Timestamp(firsts[half]), (0..half).collect()))
}

/// What planning gives.
struct Planned {
    thresholds: Thresholds,
    movements: MovementTape,
    /// Labelled rows by symbol.
    labelled: Vec<u64>,
    fitted_rows: Vec<Vec<[u64; 2]>>,
    plans: Vec<SymbolPlan>,
}

fn plan_all(run: &Run<'_>, scanned: &Scanned, given: Option<&Thresholds>, workspace: &Workspace) -> Result<Planned> {
    let streams = &scanned.streams;
    let (thresholds, movements, labelled, fitted_rows) = match given {
        Some(thresholds) => {
            let (movements, labelled) = plan::movement_tape(run, streams, workspace.folder())?;
            (thresholds.clone(), movements, labelled, vec![Vec::new(); streams.len()])
        }
        None => fit_all(run, scanned, workspace)?,
    };
    let qualified = qualified(run.config, streams, &labelled)?;
    let plans = plan::symbol_plans(run, streams, &movements, &thresholds, &qualified)?;
    if plans.is_empty() {
        return Err(Error::data(
            "the thresholds file has boundaries for none of the symbols that qualify",
            "fit thresholds with threshold_scope = \"global\", or on these symbols",
        ));
    }
    Ok(Planned { thresholds, movements, labelled, fitted_rows, plans })
}

type Fitted = (Thresholds, MovementTape, Vec<u64>, Vec<Vec<[u64; 2]>>);

fn fit_all(run: &Run<'_>, scanned: &Scanned, workspace: &Workspace) -> Result<Fitted> {
    let streams = &scanned.streams;
    let (movements, labelled) = plan::movement_tape(run, streams, workspace.folder())?;
    let qualified = qualified(run.config, streams, &labelled)?;
    let sampled = fit::sampled_files(run.config.sample_fraction, scanned.fit_files.len());
    let used: Vec<usize> = sampled.into_iter().map(|i| scanned.fit_files[i]).collect();
    let fitted_rows: Vec<_> = streams.iter().map(|s| s.rows_in_files(|file| used.contains(&file))).collect();
    let input = fit::FitInput { streams, tape: &movements, qualified: &qualified, fitted_rows: &fitted_rows };
    let (global, symbols) = fit::fit(run, &input)?;
    let file_used = |i: &usize| {
        let input = &scanned.scans[*i].input;
        FileUsed { name: input.name.clone(), sha256: input.sha256.clone() }
    };
    let thresholds = Thresholds {
        version: crate::VERSION.to_owned(),
        fit_until: scanned.fit_until,
        settings: LabelSettings::new(run.config),
        sample_fraction: run.config.sample_fraction,
        min_symbol_samples: run.config.min_symbol_samples,
        files: used.iter().map(file_used).collect(),
        global,
        symbols,
    };
    Ok((thresholds, movements, labelled, fitted_rows))
}

/// The places of the symbols with enough labelled rows.
fn qualified(config: &Config, streams: &[Stream], labelled: &[u64]) -> Result<Vec<usize>> {
    let least = config.min_symbol_samples;
    let qualified: Vec<usize> = (0..streams.len()).filter(|s| labelled[*s] >= least).collect();
    if !qualified.is_empty() {
        return Ok(qualified);
    }
    let need = config.lookback_rows + 1 + Windows::new(config).reach();
    let largest = (0..streams.len()).max_by_key(|s| (labelled[*s], streams[*s].tape.rows()));
    let (name, samples, rows) =
        largest.map_or(("", 0, 0), |s| (streams[s].symbol.as_str(), labelled[s], streams[s].tape.rows()));
    if samples == 0 {
        return Err(Error::data(
            format!(
                "the windows are longer than the data: a label needs {need} rows without a break, and the largest symbol, {name:?}, has {rows} rows in all"
            ),
            "shorten lookback_rows, lookforward_input and lookforward_offset, or give more files",
        ));
    }
    Err(Error::data(
        format!(
            "no symbol qualifies: the largest, {name:?}, has {samples} labelled rows, and min_symbol_samples is {least}"
        ),
        format!("give more files, or lower min_symbol_samples to {samples} or less"),
    ))
}

/// Everything the manifest says, but for validation and timings.
fn describe(
    run: &Run<'_>,
    scanned: &Scanned,
    planned: &Planned,
    mut datasets: BTreeMap<usize, DatasetEntry>,
    fitted: bool,
    thresholds_json: &str,
) -> Manifest {
    let least = run.config.min_symbol_samples;
    let describe_symbol = |(place, stream): (usize, &Stream)| {
        let labelled_rows = planned.labelled[place];
        let dataset = datasets.remove(&place);
        let reason = dataset.is_none().then(|| {
            if labelled_rows < least {
                let few = format!("{labelled_rows} labelled rows, fewer than min_symbol_samples = {least}");
                match stream.candidates.count() - labelled_rows {
                    0 => few,
                    undefined => {
                        format!("{few}; {undefined} more have no movement, their past mean price being no more than 0")
                    }
                }
            } else if planned.thresholds.for_symbol(&stream.symbol).is_none() {
                "no boundaries: it has no row in the fit half with its whole future window".to_owned()
            } else {
                "no row is marked as balanced, and drop_unbalanced drops the others".to_owned()
            }
        });
        SymbolEntry {
            symbol: stream.symbol.clone(),
            rows: stream.tape.rows(),
            labelled_rows,
            undefined_rows: stream.candidates.count() - labelled_rows,
            steps_back: stream.steps_back,
            breaks: stream.breaks.clone(),
            boundary_row: stream.splits.boundary_row,
            fitted_rows: planned.fitted_rows[place].clone(),
            dataset,
            reason,
        }
    };
    let symbols: Vec<SymbolEntry> = scanned.streams.iter().enumerate().map(describe_symbol).collect();
    Manifest {
        version: crate::VERSION.to_owned(),
        config: run.config.clone(),
        thresholds: ThresholdsEntry {
            fitted,
            fit_until: scanned.fit_until,
            sha256: hex(&Sha256::digest(thresholds_json.as_bytes())),
        },
        inputs: scanned.scans.iter().map(|s| s.input.clone()).collect(),
        warnings: warnings(&symbols, run.config),
        symbols,
        validation: None,
        timings: Timings::default(),
    }
}

fn warnings(symbols: &[SymbolEntry], config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for symbol in symbols {
        let Some(dataset) = &symbol.dataset else { continue };
        for (split, entry) in dataset.splits.named() {
            if entry.rows == 0 && split != "embargo" {
                warnings.push(format!("{}: no row is {split}", symbol.symbol));
            }
            for class in &entry.short {
                let count = entry.classes[*class as usize];
                warnings.push(format!("{}: class {class} is short in {split}: {count} rows", symbol.symbol));
            }
        }
    }
    let left_out: Vec<&SymbolEntry> = symbols.iter().filter(|s| s.dataset.is_none()).collect();
    if let [first, ..] = left_out.as_slice() {
        let rows: u64 = left_out.iter().map(|s| s.rows).sum();
        warnings.push(format!(
            "{} of {} symbols get no dataset ({rows} rows), such as {}: {}; manifest.json lists all (min_symbol_samples = {})",
            left_out.len(),
            symbols.len(),
            first.symbol,
            first.reason.as_deref().unwrap_or_default(),
            config.min_symbol_samples
        ));
    }
    warnings
}

/// The process's peak resident memory, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
