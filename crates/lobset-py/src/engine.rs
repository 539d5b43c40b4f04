//! The long jobs. Each runs on its own thread, while the calling thread forwards progress and checks for Ctrl-C.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use lobset::validate::{Compare, certify};
use lobset::{Error, Event, Monitor, Options, Stage, Thresholds};
use pyo3::exceptions::{PyRuntimeError, PyUserWarning, PyValueError};
use pyo3::prelude::*;

use crate::errors::OrRaise;
use crate::json::json;
use crate::settings;

/// Time between two checks for signals.
const PATIENCE: Duration = Duration::from_millis(50);

/// Runs `work` on a thread without the interpreter's lock. Reports to `progress(stage, done, total)`. Ctrl-C, or an
/// exception raised by `progress`, stops the work and is raised once the work has ended.
pub fn run<T: Send>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Monitor<'_>, &AtomicBool) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let stop = AtomicBool::new(false);
    let (sender, news) = channel();
    let listening = progress.is_some();
    std::thread::scope(|scope| {
        let stop = &stop;
        let job = move || {
            let report = |event: Event| tell(&sender, listening, event);
            let monitor = Monitor::new(&report, stop);
            let outcome = work(&monitor, stop);
            (outcome, monitor.take_notes())
        };
        let worker = std::thread::Builder::new().spawn_scoped(scope, job)?;
        let mut raised = None;
        let mut shown = Shown { stage: Stage::Scan, done: 0, total: 0 };
        // The receiver moves into the closure that runs without the lock, and the closure returns it until the work
        // ends.
        let mut news = Some(news);
        while let Some(open) = news.take() {
            let heard = py.detach(|| {
                let first = open.recv_timeout(PATIENCE);
                let ended = matches!(first, Err(RecvTimeoutError::Disconnected));
                let batch: Vec<Event> = first.into_iter().chain(open.try_iter()).collect();
                (!ended).then_some((open, batch))
            });
            let Some((open, batch)) = heard else { break };
            let look = shown.show(progress, &batch).and_then(|()| py.check_signals());
            if let Err(error) = look {
                stop.store(true, Ordering::Relaxed);
                raised.get_or_insert(error);
            }
            news = Some(open);
        }
        let outcome = py.detach(|| worker.join());
        if let Some(error) = raised {
            return Err(error);
        }
        match outcome {
            Ok((outcome, notes)) => with_notes(py, outcome.or_raise(py), &notes),
            Err(_) => Err(PyRuntimeError::new_err("lobset panicked; this is a bug")),
        }
    })
}

/// Adds notes for the user to an outcome: as warnings to a result, as notes of the exception to an error.
fn with_notes<T>(py: Python<'_>, outcome: PyResult<T>, notes: &[String]) -> PyResult<T> {
    for note in notes.iter().map(|note| lobset::printable(note)) {
        match &outcome {
            Ok(_) => {
                let warn = py.import("warnings")?.getattr("warn")?;
                warn.call1((note, py.get_type::<PyUserWarning>(), 3)).map(drop)?;
            }
            Err(error) => error.value(py).call_method1("add_note", (note,)).map(drop)?,
        }
    }
    outcome
}

/// Sends an event to a listener. Most runs have none; their channel only signals the end of the work.
fn tell(sender: &Sender<Event>, listening: bool, event: Event) {
    if listening {
        // If the listener is gone, it has raised an exception and the work is about to stop.
        let _ = sender.send(event);
    }
}

/// The progress last reported to a listener.
struct Shown {
    stage: Stage,
    done: u64,
    total: u64,
}

impl Shown {
    fn show(&mut self, progress: Option<&Bound<'_, PyAny>>, batch: &[Event]) -> PyResult<()> {
        let Some(progress) = progress else { return Ok(()) };
        for event in batch {
            match *event {
                Event::Begin(stage, total) => *self = Self { stage, done: 0, total },
                Event::Advance(amount) => {
                    self.done += amount;
                    continue;
                }
                Event::End(_) => {}
            }
            self.call(progress)?;
        }
        if matches!(batch.last(), Some(Event::Advance(_))) { self.call(progress) } else { Ok(()) }
    }

    fn call(&self, progress: &Bound<'_, PyAny>) -> PyResult<()> {
        progress.call1((self.stage.name(), self.done, self.total)).map(|_| ())
    }
}

/// Reads the boundaries to apply, if a path is given.
pub fn thresholds(py: Python<'_>, path: Option<PathBuf>) -> PyResult<Option<Thresholds>> {
    py.detach(|| path.map(|path| Thresholds::read(&path)).transpose()).or_raise(py)
}

/// Says what the main job would read and write, as JSON.
#[pyfunction]
#[pyo3(signature = (inputs, out, config, thresholds, symbology, threads, overwrite, progress))]
pub fn estimate(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    out: PathBuf,
    config: &str,
    thresholds: Option<PathBuf>,
    symbology: Option<PathBuf>,
    threads: usize,
    overwrite: bool,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let config = settings::config(config)?;
    let given = self::thresholds(py, thresholds)?;
    let options = Options { threads, overwrite, symbology };
    json(&run(py, progress, |monitor, _| lobset::estimate(&inputs, &out, &config, given.as_ref(), &options, monitor))?)
}

/// Runs the main job; returns the manifest as JSON.
#[pyfunction]
#[pyo3(signature = (inputs, out, config, thresholds, symbology, threads, overwrite, progress))]
pub fn process(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    out: PathBuf,
    config: &str,
    thresholds: Option<PathBuf>,
    symbology: Option<PathBuf>,
    threads: usize,
    overwrite: bool,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let config = settings::config(config)?;
    let given = self::thresholds(py, thresholds)?;
    let options = Options { threads, overwrite, symbology };
    json(&run(py, progress, |monitor, _| lobset::process(&inputs, &out, &config, given.as_ref(), &options, monitor))?)
}

/// Runs phase 2 only; returns the manifest as JSON.
#[pyfunction]
#[pyo3(signature = (inputs, out, config, thresholds, symbology, threads, overwrite, progress))]
pub fn build(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    out: PathBuf,
    config: &str,
    thresholds: PathBuf,
    symbology: Option<PathBuf>,
    threads: usize,
    overwrite: bool,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let config = settings::config(config)?;
    let given = py.detach(|| Thresholds::read(&thresholds)).or_raise(py)?;
    let options = Options { threads, overwrite, symbology };
    json(&run(py, progress, |monitor, _| lobset::build(&inputs, &out, &config, &given, &options, monitor))?)
}

/// Runs phase 1 only; writes the file and returns it as JSON.
#[pyfunction]
#[pyo3(signature = (inputs, out, config, symbology, threads, overwrite, progress))]
pub fn fit_thresholds(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    out: PathBuf,
    config: &str,
    symbology: Option<PathBuf>,
    threads: usize,
    overwrite: bool,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let config = settings::config(config)?;
    let options = Options { threads, overwrite, symbology };
    json(&run(py, progress, |monitor, _| lobset::fit_thresholds(&inputs, &out, &config, &options, monitor))?)
}

/// Validates an output folder, compares it with raw files if given (every row if there is no seed), and writes a
/// certificate on request; returns the result as JSON.
#[pyfunction]
#[pyo3(signature = (folder, against, seed, certificate, symbology, threads, progress))]
pub fn validate(
    py: Python<'_>,
    folder: PathBuf,
    against: Vec<PathBuf>,
    seed: Option<u64>,
    certificate: Option<PathBuf>,
    symbology: Option<PathBuf>,
    threads: usize,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let options = Options { threads, symbology, ..Options::default() };
    json(&run(py, progress, |monitor, _| {
        let rows = seed.map_or(Compare::All, Compare::Random);
        let against = (!against.is_empty()).then_some((against.as_slice(), rows));
        certify(&folder, against, certificate.as_deref(), &options, monitor)
    })?)
}

/// Regenerates the report of an output folder; returns whether it has changed.
#[pyfunction]
pub fn report(py: Python<'_>, folder: PathBuf, threads: usize, progress: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    let options = Options { threads, ..Options::default() };
    run(py, progress, |monitor, _| lobset::report(&folder, &options, monitor))
}

/// Explains one row of a dataset; returns the result as JSON and as text.
#[pyfunction]
#[pyo3(signature = (folder, symbol, row, against, symbology, threads, progress))]
pub fn explain(
    py: Python<'_>,
    folder: PathBuf,
    symbol: &str,
    row: u64,
    against: Vec<PathBuf>,
    symbology: Option<PathBuf>,
    threads: usize,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<(String, String)> {
    let options = Options { threads, symbology, ..Options::default() };
    let found = run(py, progress, |monitor, _| lobset::explain(&folder, symbol, row, &against, &options, monitor))?;
    Ok((json(&found)?, found.to_string()))
}

/// Counts the contents of files; returns the counts as JSON.
#[pyfunction]
#[pyo3(signature = (inputs, config, symbology, threads, progress))]
pub fn inspect(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    config: &str,
    symbology: Option<PathBuf>,
    threads: usize,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let config = settings::config(config)?;
    let options = Options { threads, symbology, ..Options::default() };
    json(&run(py, progress, |monitor, _| lobset::inspect(&inputs, &config, &options, monitor))?)
}

/// Writes a simulated market and returns the paths of its files.
#[pyfunction]
#[pyo3(signature = (folder, days, rows, seed, currency, options, start, signal))]
pub fn simulate(
    py: Python<'_>,
    folder: PathBuf,
    days: u32,
    rows: u32,
    seed: u64,
    currency: String,
    options: u32,
    start: (i32, u16),
    signal: f64,
) -> PyResult<Vec<PathBuf>> {
    let start = time::Date::from_ordinal_date(start.0, start.1).map_err(|e| PyValueError::new_err(e.to_string()))?;
    let market = lobset_sim::Market { days, rows, seed, currency, options, start, signal, ..Default::default() };
    run(py, None, |_, stop| market.write_until(&folder, stop, |_| ()).map_err(lobset_cli::simulator_error))
}
