//! Runs the steps as tasks. A task takes and returns small texts, and everything else is in shared storage, so that any
//! machine can run any task, even twice.
//!
//! A task is identified by the SHA-256 of its job. Each attempt writes files under unique names, then stores its
//! receipt unless there is one already. The first receipt counts; a later attempt (a task sent again, a machine that
//! was presumed lost) removes its own files and returns the first receipt. So nothing is renamed or overwritten, and a
//! run that died can be continued from the receipts that it left.

mod attempt;
mod count;
mod datasets;
mod engine;
mod merge;
mod movements;
mod pieces;
mod prove;
mod scan;
mod work;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(super) use engine::Tasks;
use work::Work;

use super::close::close;
use super::prepare::{Prepared, prepare};
use super::produce::produce;
use super::request::{Proof, Request};
use crate::config::Config;
use crate::error::{ConfigError, Error, Result};
use crate::input::{Found, hex};
use crate::label::{Boundaries, Thresholds};
use crate::output::Manifest;
use crate::run::{Monitor, Options, Run, map_ordered};
use crate::storage;
use attempt::Attempt;

/// Small files that are read concurrently: receipts of earlier runs, and the metadata of the input.
const READERS: usize = 16;

/// Memory that a process needs besides that of its task, in bytes: the interpreter, libraries, buffers of the
/// allocator.
const BASE_MEMORY: u64 = 192 << 20;

/// Memory requests are multiples of this, in bytes: tasks with equal requests are placed without a new request to the
/// cluster.
const MEMORY_STEP: u64 = 256 << 20;

/// A task to be run by [`run_task`], anywhere.
#[derive(Debug, Clone)]
pub struct Task {
    /// Kind of the task.
    pub kind: &'static str,
    /// Specification of the task, as JSON.
    pub spec: String,
    /// Number of threads that it uses.
    pub threads: usize,
    /// Maximum memory of a process that runs it, in bytes.
    pub memory: u64,
}

/// Callback that receives the place of a finished task and its receipt.
pub type Receive<'a> = dyn FnMut(usize, String) -> Result<()> + Send + 'a;

/// Runs tasks.
pub trait Executor {
    /// Runs all tasks, in any order, and calls `receive` with each one's place and receipt.
    ///
    /// # Errors
    /// The first failure that a retry cannot fix, or that of `receive`; [`Error::Interrupted`] soon after `monitor` is
    /// told to stop. No task is still running after that.
    fn map(&self, tasks: &[Task], monitor: &Monitor<'_>, receive: &mut Receive<'_>) -> Result<()>;
}

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

/// The specification of a task.
#[derive(Serialize, Deserialize)]
struct Spec<J> {
    /// Version of lobset that created it.
    version: String,
    /// Identifies the task: two specs with the same key describe the same work.
    key: String,
    /// The folder of work files.
    work: PathBuf,
    /// The folder of finished datasets.
    data: PathBuf,
    /// Number of threads to use.
    threads: usize,
    job: J,
}

/// One kind of task: a function from files and small values to files and small values.
trait Job: Serialize + DeserializeOwned {
    /// The result of the task.
    type Receipt: Serialize + DeserializeOwned + Send;

    /// Name of the kind.
    const KIND: &'static str;

    /// Runs the task.
    fn run(self, attempt: &Attempt<'_>) -> Result<Self::Receipt>;

    /// False for a receipt that is valid for this attempt only, and is not stored for the next.
    fn is_final(_: &Self::Receipt) -> bool {
        true
    }

    /// Amount of work, in the progress units of its stage.
    fn amount(&self) -> u64;

    /// Maximum memory that it needs, in bytes.
    fn memory(&self) -> u64;
}

impl<J: Job> Spec<J> {
    fn new(job: J, work: &Work, threads: usize) -> Result<(Self, Task)> {
        let fail = |e: serde_json::Error| Error::output(&work.folder, e);
        let text = serde_json::to_string(&job).map_err(fail)?;
        let mut hash = Sha256::new();
        for part in [crate::VERSION, J::KIND, &text] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let memory = (BASE_MEMORY + job.memory()).next_multiple_of(MEMORY_STEP);
        let spec = Self {
            version: crate::VERSION.to_owned(),
            key: hex(&hash.finalize()),
            work: work.folder.clone(),
            data: work.data.clone(),
            threads,
            job,
        };
        let text = serde_json::to_string(&spec).map_err(fail)?;
        Ok((spec, Task { kind: J::KIND, spec: text, threads, memory }))
    }
}

/// The boundaries of a target and a symbol in the thresholds of a task.
fn boundaries_of<'a>(thresholds: &'a Thresholds, target: &str, symbol: &str) -> Result<&'a Boundaries> {
    let lacking = || Error::Executor(format!("a task lacks the boundaries of {target:?} for {symbol:?}"));
    thresholds.boundaries(target, symbol).ok_or_else(lacking)
}

/// Runs a task passed to [`Executor::map`] in this process, and returns its receipt.
///
/// # Errors
/// [`ConfigError`] when the task comes from another version of lobset; errors of the step itself. A retry may help if
/// [`Error::is_transient`] is true.
pub fn run_task(kind: &str, spec: &str, monitor: &Monitor<'_>) -> Result<String> {
    match kind {
        scan::Scan::KIND => perform::<scan::Scan>(spec, monitor),
        scan::RowTime::KIND => perform::<scan::RowTime>(spec, monitor),
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

/// Who runs the tasks of a run, and where its work files are.
#[derive(Clone, Copy)]
pub struct Cluster<'a> {
    /// Runs the tasks.
    pub executor: &'a dyn Executor,
    /// The folder of work files, which every worker can reach; by default it is beside the output.
    pub work: Option<&'a Path>,
}

impl<'a> Cluster<'a> {
    /// Work files go beside the output.
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
    run(workers, Run { config, threads, monitor }, request)
}

/// Who runs the tasks, with how many threads each.
#[derive(Clone, Copy)]
pub(super) struct Workers<'a> {
    pub executor: &'a dyn Executor,
    /// The folder of work files; by default it is beside the output.
    pub work: Option<&'a Path>,
    /// Threads of a task.
    pub threads: usize,
}

/// Runs the steps as tasks, from the input files to publication.
pub(super) fn run(workers: Workers<'_>, run: Run<'_>, request: Request<'_>) -> Result<Manifest> {
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
