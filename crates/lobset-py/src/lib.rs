//! `lobset._lobset`: calls the Rust library with arguments from Python and returns results as JSON, Arrow or NumPy. The
//! package `python/lobset` is its public interface.

#![expect(clippy::too_many_arguments, reason = "a function takes the keywords of its Python function")]
#![deny(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

#[forbid(unsafe_code)]
mod depth;
#[forbid(unsafe_code)]
mod engine;
#[forbid(unsafe_code)]
mod errors;
#[forbid(unsafe_code)]
mod json;
#[forbid(unsafe_code)]
mod moments;
#[forbid(unsafe_code)]
mod rows;
#[forbid(unsafe_code)]
mod samples;
#[forbid(unsafe_code)]
mod search;
#[forbid(unsafe_code)]
mod settings;
mod table;
#[forbid(unsafe_code)]
mod tasks;

use pyo3::prelude::*;

/// Runs the command line and returns its exit code.
#[pyfunction]
fn command(py: Python<'_>, words: Vec<std::ffi::OsString>) -> u8 {
    py.detach(|| lobset_cli::run(words, Some(&ray)))
}

/// Creates an executor on the Ray cluster at an address.
fn ray(address: Option<&str>) -> lobset::Result<Box<dyn lobset::Executor>> {
    let connect = |py: Python<'_>| {
        let executor = py.import("lobset.ray")?.getattr("RayExecutor")?.call1((address,))?;
        Ok(Box::new(tasks::PyExecutor::new(executor.unbind())) as Box<dyn lobset::Executor>)
    };
    Python::attach(connect).map_err(|error: PyErr| lobset::Error::Executor(error.to_string()))
}

#[pymodule]
mod _lobset {
    #[pymodule_export]
    use super::command;
    #[pymodule_export]
    use super::depth::DepthProcessor;
    #[pymodule_export]
    use super::engine::{build, estimate, explain, fit_thresholds, inspect, process, report, simulate, validate};
    #[pymodule_export]
    use super::moments::Moments;
    #[pymodule_export]
    use super::rows::{RowGroup, RowStream, row_groups};
    #[pymodule_export]
    use super::samples::{Samples, cache_folder, identity, paint};
    #[pymodule_export]
    use super::settings::{resolve, settings, to_toml, values};
    #[pymodule_export]
    use super::tasks::{manifest, process_as_tasks, run_task, thresholds, try_task};

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("CLASSIC", lobset::config::CLASSIC)?;
        let in_bytes = lobset::Stage::ALL.into_iter().filter(|stage| stage.is_in_bytes());
        module.add("STAGES_IN_BYTES", in_bytes.map(lobset::Stage::name).collect::<Vec<_>>())?;
        module.add("__version__", lobset::VERSION)
    }
}
