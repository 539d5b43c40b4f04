//! Records as an Arrow stream, through the PyCapsule interface.

use std::path::PathBuf;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use lobset::output::RecordBatches;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors::OrRaise;
use crate::table::STREAM;

/// The records of a DBN file, for any consumer of Arrow streams. Each stream reads the file from the start.
#[pyclass(frozen, module = "lobset._lobset")]
pub struct RowStream {
    path: PathBuf,
    symbol: Option<String>,
    symbology: Option<PathBuf>,
}

#[pymethods]
impl RowStream {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, symbol: Option<String>, symbology: Option<PathBuf>) -> PyResult<Self> {
        let rows = Self { path: lobset::storage::plain(&path), symbol, symbology };
        // Open the file now, so that an error is raised here and not when a consumer begins to read.
        py.detach(|| rows.open()).or_raise(py)?;
        Ok(rows)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface leaves it to the producer whether to cast.
        let _ = requested_schema;
        let batches = py.detach(|| self.open()).or_raise(py)?;
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(batches)), STREAM)
    }

    fn __repr__(&self) -> String {
        match &self.symbol {
            Some(symbol) => format!("lobset.RowStream({:?}, symbol={symbol:?})", self.path),
            None => format!("lobset.RowStream({:?})", self.path),
        }
    }
}

impl RowStream {
    fn open(&self) -> lobset::Result<RecordBatches> {
        RecordBatches::open(&self.path, self.symbol.as_deref(), self.symbology.as_deref())
    }
}
