//! Records and rows as Arrow streams, through the PyCapsule interface.

use std::path::PathBuf;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchIterator};
use lobset::dataset::DatasetReader;
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
        // Open the file now, so that an error is raised here rather than when a consumer begins to read.
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

/// A row group of a dataset, for any consumer of Arrow streams.
#[pyclass(frozen, module = "lobset._lobset")]
pub struct RowGroup(RecordBatch);

#[pymethods]
impl RowGroup {
    /// Reads columns of a row group, or all of them.
    #[new]
    fn new(py: Python<'_>, path: PathBuf, group: usize, columns: Option<Vec<String>>) -> PyResult<Self> {
        let read = || DatasetReader::open(&path)?.row_group(group, columns.as_deref());
        py.detach(read).or_raise(py).map(Self)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface leaves it to the producer whether to cast.
        let _ = requested_schema;
        let batches = RecordBatchIterator::new([Ok(self.0.clone())], self.0.schema());
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(batches)), STREAM)
    }
}

/// The number of rows in each row group of a dataset. Fails unless the dataset has all of these columns.
#[pyfunction]
pub fn row_groups(py: Python<'_>, path: PathBuf, columns: Vec<String>) -> PyResult<Vec<u64>> {
    let reader = py.detach(|| DatasetReader::open(&path)).or_raise(py)?;
    columns.iter().try_for_each(|name| reader.check_column(name)).or_raise(py)?;
    Ok(reader.groups().map(|rows| rows.end - rows.start).collect())
}
