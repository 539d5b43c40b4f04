//! The steps as tasks: small texts in, small texts out, everything else in shared storage, so that any machine can do any
//! of them, twice if need be.
//!
//! A task is known by the SHA-256 of what it is to do. Whoever does it writes files under names that nobody else uses,
//! then puts its receipt where none is yet. The first receipt stands; whoever comes later (a task sent again, a machine
//! that was thought lost) removes its own files and returns that one. So nothing is renamed, nothing is overwritten, and
//! a run that died goes on from the receipts that it left.

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

use super::apart::check_apart;
use super::close::close;
use super::produce::{check_config, produce};
use crate::config::Config;
use crate::error::{ConfigError, Error, Result};
use crate::input::{Found, find, hex};
use crate::label::{Boundaries, Thresholds};
use crate::output::Manifest;
use crate::run::{Monitor, Options, Run, map_ordered};
use crate::storage;
use attempt::Attempt;

/// What a process needs beside what its task does: the interpreter, libraries, buffers of the allocator.
const BASE_MEMORY: u64 = 192 << 20;

/// Memory is asked for in steps of this: tasks that ask for the same are placed without asking the cluster anew.
const MEMORY_STEP: u64 = 256 << 20;

/// A task to be run by [`run_task`], anywhere.
#[derive(Debug, Clone)]
pub struct Task {
    /// What kind of task it is.
    pub kind: &'static str,
    /// What it is to do, as JSON.
    pub spec: String,
    /// Threads that it will use.
    pub threads: usize,
    /// Bytes of memory that a process needs for it, at most.
    pub memory: u64,
}

/// Takes the place of a task that is done, and its receipt.
pub type Receive<'a> = dyn FnMut(usize, String) -> Result<()> + Send + 'a;

/// Runs tasks.
pub trait Executor {
    /// Runs all tasks, in any order, and calls `receive` with each one's place and receipt.
    ///
    /// # Errors
    /// The first failure that another try cannot mend, or that of `receive`; [`Error::Interrupted`] soon after `monitor`
    /// is to stop. No task runs on after that.
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

/// What every task is told.
#[derive(Serialize, Deserialize)]
struct Spec<J> {
    /// The version of whoever made it.
    version: String,
    /// Names the task: two specs with the same key ask for the same.
    key: String,
    /// The folder of work files.
    work: PathBuf,
    /// The folder of finished datasets.
    data: PathBuf,
    /// Threads to use.
    threads: usize,
    job: J,
}

/// One kind of task: a function from files and small values to files and small values.
trait Job: Serialize + DeserializeOwned {
    /// What it leaves behind.
    type Receipt: Serialize + DeserializeOwned + Send;

    /// Its name.
    const KIND: &'static str;

    /// Does it.
    fn run(self, attempt: &Attempt<'_>) -> Result<Self::Receipt>;

    /// False for a receipt that holds for this try alone, and is not kept for the next.
    fn is_final(_: &Self::Receipt) -> bool {
        true
    }

    /// How much of its stage it is.
    fn amount(&self) -> u64;

    /// Bytes of memory that it needs, at most.
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

/// The boundaries of a symbol, among those that a task was given.
fn boundaries_of<'a>(thresholds: &'a Thresholds, symbol: &str) -> Result<&'a Boundaries> {
    let lacking = || Error::Executor(format!("a task lacks the boundaries of {symbol:?}"));
    thresholds.for_symbol(symbol).ok_or_else(lacking)
}

/// Does a task that [`Executor::map`] was given, in this process, and returns its receipt.
///
/// # Errors
/// [`ConfigError`] when the task comes from another version of lobset; what the step itself fails of. Another try may help
/// where [`Error::is_transient`] says so.
pub fn run_task(kind: &str, spec: &str, monitor: &Monitor<'_>) -> Result<String> {
    match kind {
        scan::Scan::KIND => perform::<scan::Scan>(spec, monitor),
        scan::RowTime::KIND => perform::<scan::RowTime>(spec, monitor),
        movements::Movements::KIND => perform::<movements::Movements>(spec, monitor),
        count::Count::KIND => perform::<count::Count>(spec, monitor),
        count::Classes::KIND => perform::<count::Classes>(spec, monitor),
        datasets::Datasets::KIND => perform::<datasets::Datasets>(spec, monitor),
        merge::Merge::KIND => perform::<merge::Merge>(spec, monitor),
        prove::Prove::KIND => perform::<prove::Prove>(spec, monitor),
        _ => Err(ConfigError::one(format!("task: there is no kind {kind:?}")).into()),
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

/// The main job over tasks: as [`process`](super::process), with the steps run by `executor` and all files in storage that
/// everyone can reach. `work` is the folder of work files; without it that is beside `out`. `options.threads` counts the
/// threads of a task.
///
/// A run that has been published already, with these settings and these inputs, is not done again.
///
/// # Errors
/// As [`process`](super::process); [`Error::Executor`] when tasks cannot be run.
#[expect(clippy::too_many_arguments, reason = "those of process, and whom to ask")]
pub fn process_as_tasks<P: AsRef<Path>>(
    executor: &dyn Executor,
    inputs: &[P],
    out: &Path,
    work: Option<&Path>,
    config: &Config,
    thresholds: Option<&Thresholds>,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Manifest> {
    check_config(config, thresholds)?;
    let task_threads = options.threads.max(1);
    let run = Run { config, threads: task_threads, monitor };
    let (out, work) = (storage::plain(out), work.map(storage::plain));
    self::run(
        executor,
        task_threads,
        run,
        &storage::plain_all(inputs),
        &out,
        work.as_deref(),
        thresholds,
        options,
        true,
    )
}

/// The steps as tasks, from the files to what is published.
#[expect(clippy::too_many_arguments, reason = "those of process, and whom to ask")]
pub(super) fn run(
    executor: &dyn Executor,
    task_threads: usize,
    run: Run<'_>,
    inputs: &[PathBuf],
    out: &Path,
    work: Option<&Path>,
    given: Option<&Thresholds>,
    options: &Options,
    prove: bool,
) -> Result<Manifest> {
    let started = Instant::now();
    let found = find(inputs, options.symbology.as_deref())?;
    check_apart(out, &found)?;
    let plan = plan_name(run.config, given, &found, prove)?;
    let seen = work::published(out)?;
    if let Some((Some(manifest), _)) = &seen
        && manifest.plan.as_ref() == Some(&plan)
        && work::is_whole(out, manifest)
    {
        return Ok(manifest.clone());
    }
    let work = Work::open(out, work, options.overwrite, seen.map(|(_, stat)| stat))?;
    let mut engine = Tasks::new(run, executor, task_threads, found, &work)?;
    let outcome = produce(&mut engine, run, given, prove, Some(plan), started);
    close(work, run, outcome)
}

/// Names a run: its settings and its inputs as they were found.
fn plan_name(config: &Config, given: Option<&Thresholds>, found: &Found, prove: bool) -> Result<String> {
    let text = serde_json::to_string(&(crate::VERSION, config, given, prove, found.facts()));
    let text = text.map_err(|e| Error::Executor(format!("the run cannot be named: {e}")))?;
    Ok(hex(&Sha256::digest(text)))
}
