//! Converts library errors to the exceptions of `lobset._errors`.

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use lobset::Error;

/// Returns the exception for an error, with the error's fields as attributes.
pub fn exception(py: Python<'_>, error: &Error) -> PyErr {
    if matches!(error, Error::Interrupted) {
        return PyKeyboardInterrupt::new_err(());
    }
    made(py, error).unwrap_or_else(|failure| failure)
}

fn made(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let known = PyDict::new(py);
    known.set_item("help", error.help())?;
    let class = match error {
        Error::Config(e) => {
            known.set_item("problems", &e.problems)?;
            "ConfigError"
        }
        Error::Input(e) => {
            known.set_item("path", &e.path)?;
            known.set_item("record", e.record)?;
            known.set_item("byte", e.byte)?;
            let others = e.others.iter().map(|other| made(py, &Error::Input(other.clone())));
            known.set_item("others", others.collect::<PyResult<Vec<_>>>()?)?;
            "InputError"
        }
        Error::Output { path, .. } => {
            known.set_item("path", path)?;
            "OutputError"
        }
        Error::Validation(e) => {
            known.set_item("path", &e.path)?;
            known.set_item("violations", &e.violations)?;
            "ValidationError"
        }
        Error::Executor(_) => "ExecutorError",
        _ => "DataError",
    };
    let class = py.import("lobset._errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((error.to_string(),), Some(&known))?))
}

/// Converts library results to Python results.
pub trait OrRaise<T> {
    /// Raises an error as its exception.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T, E: Into<Error>> OrRaise<T> for Result<T, E> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| exception(py, &error.into()))
    }
}
