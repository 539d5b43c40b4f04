//! A task: its specification, the code that runs it, and the memory that it requests.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::attempt::Attempt;
use super::work::Work;
use crate::error::{Error, Result};
use crate::input::hex;
use crate::label::{Boundaries, Thresholds};
use crate::run::Monitor;

/// Small files that are read concurrently: receipts of earlier runs, and the metadata of the input.
pub(super) const READERS: usize = 16;

/// Memory that a process needs besides that of its task, in bytes: the interpreter, libraries, buffers of the
/// allocator.
const BASE_MEMORY: u64 = 192 << 20;

/// Memory requests are multiples of this, in bytes: tasks with equal requests are placed without a new request to the
/// cluster.
const MEMORY_STEP: u64 = 256 << 20;

/// A task to be run by [`run_task`](super::run_task), anywhere.
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

/// The specification of a task.
#[derive(Serialize, Deserialize)]
pub(super) struct Spec<J> {
    /// Version of lobset that created it.
    pub(super) version: String,
    /// Identifies the task: two specs with the same key describe the same work.
    pub(super) key: String,
    /// The folder of work files.
    pub(super) work: PathBuf,
    /// The folder of finished datasets.
    pub(super) data: PathBuf,
    /// Number of threads to use.
    pub(super) threads: usize,
    pub(super) job: J,
}

/// One kind of task: a function from files and small values to files and small values.
pub(super) trait Job: Serialize + DeserializeOwned {
    /// The result of the task.
    type Receipt: Serialize + DeserializeOwned + Send;

    /// Name of the kind.
    const KIND: &'static str;

    /// Runs the task.
    fn run(self, attempt: &Attempt<'_>) -> Result<Self::Receipt>;

    /// False for a receipt that is valid only for this attempt and must not be stored for the next.
    fn is_final(_: &Self::Receipt) -> bool {
        true
    }

    /// Amount of work, in the progress units of its stage.
    fn amount(&self) -> u64;

    /// Maximum memory that it needs, in bytes.
    fn memory(&self) -> u64;
}

impl<J: Job> Spec<J> {
    pub(super) fn new(job: J, work: &Work, threads: usize) -> Result<(Self, Task)> {
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
pub(super) fn boundaries_of<'a>(thresholds: &'a Thresholds, target: &str, symbol: &str) -> Result<&'a Boundaries> {
    let lacking = || Error::Executor(format!("a task lacks the boundaries of {target:?} for {symbol:?}"));
    thresholds.boundaries(target, symbol).ok_or_else(lacking)
}

/// What runs the tasks, with how many threads each.
#[derive(Clone, Copy)]
pub(in crate::pipeline) struct Workers<'a> {
    pub executor: &'a dyn Executor,
    /// The folder of work files; by default it is beside the output.
    pub work: Option<&'a Path>,
    /// Threads of a task.
    pub threads: usize,
}
