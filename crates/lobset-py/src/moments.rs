//! Means and deviations of a dataset's columns.

use std::path::PathBuf;

use lobset::dataset::ColumnMoments;
use pyo3::prelude::*;

use crate::errors::OrRaise;

/// The sums beside a dataset.
#[pyclass(frozen, module = "lobset._lobset")]
pub struct Moments(lobset::dataset::Moments);

/// Count, mean and deviation of each column.
type Rows = Vec<(u64, Option<f64>, Option<f64>)>;

fn rows(columns: Vec<ColumnMoments>) -> Rows {
    columns.into_iter().map(|ColumnMoments { count, mean, deviation }| (count, mean, deviation)).collect()
}

#[pymethods]
impl Moments {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        py.detach(|| lobset::dataset::Moments::open(&path)).or_raise(py).map(Self)
    }

    #[getter]
    fn symbol(&self) -> &str {
        self.0.symbol()
    }

    #[getter]
    fn files(&self) -> Vec<String> {
        self.0.files().to_vec()
    }

    #[getter]
    fn columns(&self) -> Vec<String> {
        self.0.columns().to_vec()
    }

    fn rows_of(&self, file: usize) -> u64 {
        self.0.rows_of(file)
    }

    fn of_fit(&self, py: Python<'_>, target: &str) -> PyResult<Rows> {
        self.0.of_fit(target).or_raise(py).map(rows)
    }

    fn of_files(&self, start: usize, stop: usize) -> Rows {
        rows(self.0.of_files(start..stop))
    }

    fn before(&self, file: usize, days: usize) -> Option<Rows> {
        self.0.before(file, days).map(rows)
    }
}
