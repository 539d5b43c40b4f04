//! Depth tensors of tables.

use lobset::config::Feature;
use lobset::depth::DepthSpec;
use lobset::error::ConfigError;
use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::OrRaise;
use crate::table::Table;

/// Parses the names of features.
pub fn parse_features(py: Python<'_>, names: Vec<String>) -> PyResult<Vec<Feature>> {
    names.iter().map(|name| name.parse()).collect::<Result<_, ConfigError>>().or_raise(py)
}

/// The shape of a tensor; with a single channel there is no channel axis.
pub fn shape(spec: &DepthSpec) -> Vec<usize> {
    match spec.shape() {
        [1, ladder, bins] => vec![ladder, bins],
        many => many.to_vec(),
    }
}

/// Computes depth tensors from tables.
#[pyclass(frozen, module = "lobset._lobset")]
pub struct DepthProcessor {
    spec: DepthSpec,
}

#[pymethods]
impl DepthProcessor {
    #[new]
    fn new(
        py: Python<'_>,
        features: Vec<String>,
        samples: u64,
        ticks_per_bin: u64,
        micro_pip_size: f64,
    ) -> PyResult<Self> {
        let features = parse_features(py, features)?;
        Ok(Self { spec: DepthSpec::new(&features, samples, ticks_per_bin, micro_pip_size).or_raise(py)? })
    }

    #[getter]
    fn output_shape(&self) -> Vec<usize> {
        shape(&self.spec)
    }

    /// Input columns of a tensor.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.spec.columns()
    }

    /// Writes the tensor of a table into `out` and returns it.
    fn process<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
        out: Bound<'py, PyArrayDyn<f32>>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let shape = shape(&self.spec);
        let table = Table::read(rows)?;
        if out.shape() != shape || !out.is_c_contiguous() {
            return Err(PyValueError::new_err(format!("out is not contiguous, in C order, of shape {shape:?}")));
        }
        {
            let refused = |e| PyValueError::new_err(format!("out cannot be written to: {e}"));
            let mut guard = out.try_readwrite().map_err(refused)?;
            let cells = guard.as_slice_mut()?;
            table.with_levels(py, &self.spec, |levels| self.spec.process(levels, cells))?;
        }
        Ok(out)
    }
}
