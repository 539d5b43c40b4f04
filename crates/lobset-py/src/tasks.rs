//! The steps as tasks: a worker runs one, an executor written in Python distributes many.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use lobset::{Cluster, Error, Executor, Manifest, Monitor, Options, Receive, Result, Task, Thresholds};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList};

use crate::engine::run;
use crate::errors::OrRaise;
use crate::json::json;
use crate::settings;

/// Runs a task for an executor and returns its receipt. Ctrl-C, or the cancellation of the task, stops it.
#[pyfunction]
pub fn run_task(py: Python<'_>, kind: &str, spec: &str) -> PyResult<String> {
    run(py, None, |monitor, _| lobset::run_task(kind, spec, monitor))
}

/// Like `run_task`, but returns errors too: whether the task succeeded, the receipt or the error as JSON, and whether
/// a retry may help.
#[pyfunction]
pub fn try_task(py: Python<'_>, kind: &str, spec: &str) -> PyResult<(bool, String, bool)> {
    run(py, None, |monitor, _| {
        Ok(match lobset::run_task(kind, spec, monitor) {
            Ok(receipt) => (true, receipt, false),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => (false, serde_json::to_string(&error).unwrap_or_default(), error.is_transient()),
        })
    })
}

/// An executor written in Python: an object with a method `map(tasks)`, which takes (kind, spec, threads, memory)
/// tuples and yields (number of the task, whether it succeeded, receipt or error) in any order, and `None` from time to
/// time.
pub struct PyExecutor {
    executor: Py<PyAny>,
    /// The first exception that the executor raised.
    raised: Mutex<Option<PyErr>>,
}

impl PyExecutor {
    pub fn new(executor: Py<PyAny>) -> Self {
        Self { executor, raised: Mutex::new(None) }
    }

    /// Takes the exception that the executor raised, if any.
    fn take_raised(&self) -> Option<PyErr> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn raise(&self, error: PyErr) -> Error {
        let text = error.to_string();
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        Error::Executor(text)
    }
}

impl Executor for PyExecutor {
    fn map(&self, tasks: &[Task], monitor: &Monitor<'_>, receive: &mut Receive<'_>) -> Result<()> {
        Python::attach(|py| {
            let tuples = tasks.iter().map(|t| (t.kind, &t.spec, t.threads, t.memory));
            let list = PyList::new(py, tuples).map_err(|e| self.raise(e))?;
            let news = self.executor.bind(py).call_method1("map", (list,)).and_then(|all| all.try_iter());
            let mut news = news.map_err(|e| self.raise(e))?;
            let outcome = self.listen(&mut news, monitor, receive);
            // Closing the generator cancels its running tasks.
            let closed = news.call_method0("close").map(drop).map_err(|e| self.raise(e));
            outcome.and(closed)
        })
    }
}

impl PyExecutor {
    fn listen(&self, news: &mut Bound<'_, PyIterator>, monitor: &Monitor<'_>, receive: &mut Receive<'_>) -> Result<()> {
        for item in news {
            if monitor.stopped() {
                return Err(Error::Interrupted);
            }
            let told = item.and_then(|item| item.extract::<Option<(usize, bool, String)>>());
            match told.map_err(|e| self.raise(e))? {
                None => {}
                Some((place, true, receipt)) => receive(place, receipt)?,
                Some((_, false, error)) => return Err(failure(&error)),
            }
        }
        Ok(())
    }
}

/// Parses a task's error, or wraps the text if it is not an error in JSON.
fn failure(text: &str) -> Error {
    serde_json::from_str(text).unwrap_or_else(|_| Error::Executor(text.to_owned()))
}

/// Runs the main job as tasks; returns the manifest as JSON.
#[pyfunction]
#[pyo3(signature = (executor, inputs, out, work, config, thresholds, symbology, threads, overwrite, progress))]
pub fn process_as_tasks(
    py: Python<'_>,
    executor: Py<PyAny>,
    inputs: Vec<PathBuf>,
    out: PathBuf,
    work: Option<PathBuf>,
    config: &str,
    thresholds: Option<PathBuf>,
    symbology: Option<PathBuf>,
    threads: usize,
    overwrite: bool,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let config = settings::config(config)?;
    let given = crate::engine::thresholds(py, thresholds)?;
    let options = Options { threads, overwrite, symbology };
    let executor = PyExecutor::new(executor);
    let outcome = run(py, progress, |monitor, _| {
        let (work, given) = (work.as_deref(), given.as_ref());
        lobset::process_as_tasks(
            Cluster { executor: &executor, work },
            &inputs,
            &out,
            &config,
            given,
            &options,
            monitor,
        )
    });
    match (outcome, executor.take_raised()) {
        (Ok(manifest), _) => json(&manifest),
        (Err(_), Some(raised)) => Err(raised),
        (Err(error), None) => Err(error),
    }
}

/// Returns the contents of a `thresholds.json`, by path or URL.
#[pyfunction]
pub fn thresholds(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    Ok(py.detach(|| Thresholds::read(&path)).or_raise(py)?.to_json())
}

/// Returns the contents of the `manifest.json` of a local or remote folder.
#[pyfunction]
pub fn manifest(py: Python<'_>, folder: PathBuf) -> PyResult<String> {
    json(&py.detach(|| Manifest::read(&folder)).or_raise(py)?)
}
