//! The pipeline: scan, plan, write, validate.

mod apart;
mod close;
mod counts;
mod describe;
mod engine;
mod estimate;
mod events;
mod fit;
mod halves;
mod inspect;
mod instruments;
mod ladder;
mod local;
mod market;
mod movements;
mod order;
mod overlap;
mod plan;
mod planned;
mod prepare;
mod produce;
mod qualify;
mod remake;
mod request;
mod scan;
mod scanned;
mod sessions;
mod spread;
mod streams;
mod tasks;
mod wanted;
mod warnings;
mod write;

use std::path::Path;
use std::time::Instant;

use close::close;
use engine::Engine;
pub use estimate::{Estimate, FileEstimate, SymbolEstimate, estimate};
use halves::{Halves, Origin, empty_halves};
pub use inspect::{Inspection, SymbolInspection, inspect};
use local::Local;
use planned::fit_all;
use prepare::{Prepared, prepare};
use produce::produce;
use qualify::qualified;
pub use remake::report;
use request::{Proof, Request};
use scanned::scan_all;
use tasks::Workers;
pub use tasks::{Cluster, Executor, Receive, Task, Threads, process_as_tasks, run_task};

use crate::config::Config;
use crate::error::{ConfigError, Result};
use crate::label::Thresholds;
use crate::output::{Manifest, Workspace};
use crate::run::{Monitor, Options, Run};
use crate::storage;

/// Runs the whole pipeline: boundaries (fitted here, unless `thresholds` provides them), datasets, validation. `out`
/// appears complete and proved, or not at all.
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
/// Every class of [`Error`](crate::Error): settings, input, data, output, validation.
pub fn process<P: AsRef<Path>>(
    inputs: &[P],
    out: &Path,
    config: &Config,
    thresholds: Option<&Thresholds>,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Manifest> {
    let (inputs, out) = (storage::plain_all(inputs), storage::plain(out));
    run_here(Request { inputs: &inputs, out: &out, thresholds, options, proof: Proof::Required }, config, monitor)
}

/// Runs phase 2 only: datasets with existing boundaries, without validation.
///
/// # Errors
/// As [`process`], except for validation.
pub fn build<P: AsRef<Path>>(
    inputs: &[P],
    out: &Path,
    config: &Config,
    thresholds: &Thresholds,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Manifest> {
    let (inputs, out) = (storage::plain_all(inputs), storage::plain(out));
    let thresholds = Some(thresholds);
    run_here(Request { inputs: &inputs, out: &out, thresholds, options, proof: Proof::Skipped }, config, monitor)
}

fn run_here(request: Request<'_>, config: &Config, monitor: &Monitor<'_>) -> Result<Manifest> {
    let started = Instant::now();
    let Request { inputs, out, thresholds, options, .. } = request;
    let threads = options.threads();
    if storage::is_url(out) {
        let run = Run { config, threads, monitor };
        let workers = Workers { executor: &Threads::new(threads), work: None, threads: 1 };
        return tasks::run_tasks(workers, run, request);
    }
    let Prepared { found, config } = prepare(inputs, out, (config, thresholds), options, threads)?;
    let run = Run { config: &config, threads, monitor };
    let workspace = Workspace::open(out, options.overwrite)?;
    let mut engine = Local::new(run, &found, &workspace);
    let outcome = produce(&mut engine, run, request, None, started);
    drop(engine);
    close(workspace, run, outcome)
}

/// Runs phase 1 only: fits the boundaries and writes them to `out` as a `thresholds.json`.
///
/// # Errors
/// As [`process`], except for validation.
pub fn fit_thresholds<P: AsRef<Path>>(
    inputs: &[P],
    out: &Path,
    config: &Config,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Thresholds> {
    let (inputs, out) = (storage::plain_all(inputs), storage::plain(out));
    if storage::is_url(&out) {
        return Err(ConfigError::one("out: thresholds are written only to a local file, not to a URL").into());
    }
    let threads = options.threads();
    let Prepared { found, config } = prepare(&inputs, &out, (config, None), options, threads)?;
    let config = &config;
    let run = Run { config, threads, monitor };
    let workspace = Workspace::open_for_file(&out, options.overwrite)?;
    let mut engine = Local::new(run, &found, &workspace);
    let outcome = (|| {
        let scanned = scan_all(&mut engine, run, None)?;
        let labelled = engine.movements(&scanned.streams)?.labelled;
        let qualified = qualified(config, &scanned.streams, &labelled)?;
        let (thresholds, _) = fit_all(&engine, run, &scanned, &qualified)?;
        let targets = config.all_targets();
        let halves: Vec<Halves<'_>> = qualified
            .iter()
            .zip(&targets)
            .enumerate()
            .flat_map(|(number, (streams, target))| {
                let streams = streams.iter().map(|stream| &scanned.streams[*stream]);
                streams.map(move |stream| Halves::of_stream(stream, &target.name, &stream.targets[number]))
            })
            .collect();
        let empty = empty_halves(&halves, scanned.fit_until, Origin::new(config, true), &scanned.inputs);
        empty.into_iter().for_each(|warning| monitor.note(warning));
        scanned.check_unchanged()?;
        workspace.publish_file(&thresholds.to_json())?.into_iter().for_each(|note| monitor.note(note));
        Ok(thresholds)
    })();
    drop(engine);
    close(workspace, run, outcome)
}
