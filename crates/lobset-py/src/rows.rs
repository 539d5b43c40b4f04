//! Arrow in and out, by the PyCapsule interface.

use std::path::PathBuf;

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{RecordBatch, RecordBatchReader};
use lobset::input::RecordBatches;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods};

use crate::errors::OrRaise;

/// The name that the interface gives to its capsules.
const STREAM: &std::ffi::CStr = c"arrow_array_stream";

/// The records of a DBN file, for whatever takes an Arrow stream. Each stream reads the file anew.
#[pyclass(frozen, module = "lobset._lobset")]
pub struct RowStream {
    path: PathBuf,
    symbol: Option<String>,
}

#[pymethods]
impl RowStream {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, symbol: Option<String>) -> PyResult<Self> {
        let path = lobset::storage::plain(&path);
        // A file that is refused is refused now, not when somebody begins to read.
        py.detach(|| RecordBatches::open(&path, symbol.as_deref())).or_raise(py)?;
        Ok(Self { path, symbol })
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface leaves it to the producer whether it casts.
        let _ = requested_schema;
        let batches = py.detach(|| RecordBatches::open(&self.path, self.symbol.as_deref())).or_raise(py)?;
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(batches)), STREAM)
    }

    fn __repr__(&self) -> String {
        match &self.symbol {
            Some(symbol) => format!("lobset.RowStream({:?}, symbol={symbol:?})", self.path),
            None => format!("lobset.RowStream({:?})", self.path),
        }
    }
}

/// A table from anything with `__arrow_c_stream__`: Polars, PyArrow, DuckDB, pandas. Columns are shared where the table
/// comes in one piece, and joined where it comes in several.
pub fn table(rows: &Bound<'_, PyAny>) -> PyResult<RecordBatch> {
    let capsule = rows.call_method0("__arrow_c_stream__").map_err(|_| {
        PyTypeError::new_err("rows must be a table with __arrow_c_stream__, such as one of Polars or PyArrow")
    })?;
    let capsule = capsule.cast::<PyCapsule>()?;
    let fail = |e: &dyn std::fmt::Display| PyValueError::new_err(format!("rows cannot be read as Arrow: {e}"));
    let pointer = capsule.pointer_checked(Some(STREAM))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: the capsule bears the interface's name, so it points to a valid stream, which `from_raw` moves out, leaving a
    // released one for the capsule's destructor.
    #[expect(unsafe_code, reason = "the Arrow C stream interface hands over a pointer")]
    let reader = unsafe { RecordBatchStreamReader::from_raw(pointer.as_ptr()) }.map_err(|e| fail(&e))?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|e| fail(&e))?;
    match batches.as_slice() {
        [one] => Ok(one.clone()),
        many => arrow_select::concat::concat_batches(&schema, many).map_err(|e| fail(&e)),
    }
}
