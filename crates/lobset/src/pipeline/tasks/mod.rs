//! Runs the steps as tasks. A task takes and returns only small texts, and everything else is in shared storage, so
//! that any machine can run any task, even twice.
//!
//! A task is identified by the SHA-256 of its job. Each attempt writes files under unique names, then stores its
//! receipt unless there is one already. The first receipt counts; a later attempt (a task sent again, a machine that
//! was presumed lost) removes its own files and returns the first receipt. So nothing is renamed or overwritten, and a
//! run that died can be continued from the receipts that it left.

mod attempt;
mod count;
mod datasets;
mod engine;
mod job;
mod merge;
mod movements;
mod pieces;
mod prove;
mod scan;
mod work;

use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use sha2::{Digest, Sha256};

pub(super) use engine::Tasks;
pub(super) use job::Workers;
pub use job::{Executor, Receive, Task};
use job::{Job, READERS, Spec};
use work::Work;

use super::close::close;
use super::prepare::{Prepared, prepare};
use super::produce::produce;
use super::request::{Proof, Request};
use crate::config::Config;
use crate::error::{ConfigError, Error, Result};
use crate::input::{Found, hex};
use crate::label::Thresholds;
use crate::output::Manifest;
use crate::run::{Monitor, Options, Run, map_ordered};
use crate::storage;
use attempt::Attempt;

/// Runs tasks on the threads of this process.
#[derive(Debug, Clone, Copy)]
pub struct Threads {
    threads: usize,
}

impl Threads {
    /// An executor with this many threads.
    pub fn new(threads: usize) -> Self {
        Self { threads }
    }
}

impl Executor for Threads {
    fn map(&self, tasks: &[Task], monitor: &Monitor<'_>, receive: &mut Receive<'_>) -> Result<()> {
        let mut place = 0..;
        let muted = monitor.muted();
        map_ordered(
            self.threads,
            tasks.len(),
            tasks,
            |task| run_task(task.kind, &task.spec, &muted),
            |receipt| receive(place.next().unwrap_or_default(), receipt),
        )
    }
}

/// Runs a task passed to [`Executor::map`] in this process, and returns its receipt.
///
/// # Errors
/// [`ConfigError`] when the task comes from another version of lobset; errors of the step itself. A retry may help if
/// [`Error::is_transient`] is true.
pub fn run_task(kind: &str, spec: &str, monitor: &Monitor<'_>) -> Result<String> {
    match kind {
        scan::Scan::KIND => perform::<scan::Scan>(spec, monitor),
        scan::FindRowTime::KIND => perform::<scan::FindRowTime>(spec, monitor),
        movements::Movements::KIND => perform::<movements::Movements>(spec, monitor),
        count::Count::KIND => perform::<count::Count>(spec, monitor),
        count::Classes::KIND => perform::<count::Classes>(spec, monitor),
        count::Ladders::KIND => perform::<count::Ladders>(spec, monitor),
        count::Spreads::KIND => perform::<count::Spreads>(spec, monitor),
        datasets::Datasets::KIND => perform::<datasets::Datasets>(spec, monitor),
        merge::Merge::KIND => perform::<merge::Merge>(spec, monitor),
        prove::Prove::KIND => perform::<prove::Prove>(spec, monitor),
        _ => Err(ConfigError::one(format!("task: unknown kind {kind:?}")).into()),
    }
}

fn perform<J: Job>(spec: &str, monitor: &Monitor<'_>) -> Result<String> {
    #[derive(Deserialize)]
    struct Head {
        version: String,
    }
    let bad = |e: serde_json::Error| ConfigError::one(format!("task: {e}"));
    let Head { version } = serde_json::from_str(spec).map_err(bad)?;
    if version != crate::VERSION {
        return Err(ConfigError::one(format!(
            "task: the driver runs lobset {version} and this worker lobset {}: install the same version everywhere",
            crate::VERSION
        ))
        .into());
    }
    let Spec { key, work, data, threads, job, .. } = serde_json::from_str::<Spec<J>>(spec).map_err(bad)?;
    let attempt = Attempt::new(work, data, key, threads, monitor);
    if let Some(receipt) = attempt.receipt()? {
        return Ok(receipt);
    }
    let receipt = job.run(&attempt)?;
    let text = serde_json::to_string(&receipt).map_err(|e| Error::output(&attempt.work, e))?;
    if J::is_final(&receipt) { attempt.commit(text) } else { Ok(text) }
}

/// What runs the tasks of a run, and where its work files are.
#[derive(Clone, Copy)]
pub struct Cluster<'a> {
    /// Runs the tasks.
    pub executor: &'a dyn Executor,
    /// The folder of work files, which every worker can reach; by default it is next to the output.
    pub work: Option<&'a Path>,
}

impl<'a> Cluster<'a> {
    /// Work files are next to the output.
    pub fn new(executor: &'a dyn Executor) -> Self {
        Self { executor, work: None }
    }
}

/// Runs the whole pipeline as tasks: as [`process`](super::process), but `cluster` runs the steps, and all files are
/// in storage that every worker can reach. `options.threads` is the number of threads per task.
///
/// A run that has already been published, with these settings and these inputs, is not repeated.
///
/// # Errors
/// As [`process`](super::process); [`Error::Executor`] when tasks cannot be run.
pub fn process_as_tasks<P: AsRef<Path>>(
    cluster: Cluster<'_>,
    inputs: &[P],
    out: &Path,
    config: &Config,
    thresholds: Option<&Thresholds>,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Manifest> {
    let (inputs, out) = (storage::plain_all(inputs), storage::plain(out));
    let work = cluster.work.map(storage::plain);
    let threads = options.threads.max(1);
    let workers = Workers { executor: cluster.executor, work: work.as_deref(), threads };
    let request = Request { inputs: &inputs, out: &out, thresholds, options, proof: Proof::Required };
    run_tasks(workers, Run { config, threads, monitor }, request)
}

/// Runs the steps as tasks, from the input files to publication.
pub(super) fn run_tasks(workers: Workers<'_>, run: Run<'_>, request: Request<'_>) -> Result<Manifest> {
    let started = Instant::now();
    let Request { inputs, out, options, .. } = request;
    let settings = (run.config, request.thresholds);
    let Prepared { found, config } = prepare(inputs, out, settings, options, workers.threads.max(READERS))?;
    let run = Run { config: &config, ..run };
    let plan = plan_name(run.config, request, &found)?;
    let seen = work::published(out)?;
    if let Some((Some(manifest), _)) = &seen
        && manifest.plan.as_ref() == Some(&plan)
        && work::is_whole(out, manifest)
    {
        return Ok(manifest.clone());
    }
    let work = Work::open(out, workers.work, options.overwrite, seen.map(|(_, stat)| stat))?;
    let mut engine = Tasks::new(run, workers, found, &work)?;
    let outcome = produce(&mut engine, run, request, Some(plan), started);
    close(work, run, outcome)
}

/// Identifies a run by the SHA-256 of its settings and of its inputs as they were found.
fn plan_name(config: &Config, request: Request<'_>, found: &Found) -> Result<String> {
    let Request { thresholds, proof, .. } = request;
    let text = serde_json::to_string(&(crate::VERSION, config, thresholds, proof, found.facts()));
    let text = text.map_err(|e| Error::Executor(format!("the run cannot be named: {e}")))?;
    Ok(hex(&Sha256::digest(text)))
}
