//! Conversion of values to JSON for Python.

use pyo3::PyResult;
use pyo3::exceptions::PyRuntimeError;

/// Serialises a value as JSON.
pub fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|e| PyRuntimeError::new_err(e.to_string()))
}
