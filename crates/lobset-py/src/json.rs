//! Values on their way to Python.

use pyo3::PyResult;
use pyo3::exceptions::PyRuntimeError;

/// A value as JSON.
pub fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|e| PyRuntimeError::new_err(e.to_string()))
}
