//! Samples of datasets, one by one or in batches.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lobset::Error;
use lobset::dataset::{DatasetReader, RowCache, SampleFilter, SampleIndex};
use lobset::depth::{DepthSpec, WindowCache};
use lobset::label::Split;
use numpy::{
    IntoPyArray, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadwriteArray1, PyReadwriteArrayDyn,
};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::depth::{parse_features, shape};
use crate::errors::OrRaise;
use crate::json::json;

/// Which rows are samples, as Python passes it: split, balanced, stride, target.
type Which = (String, bool, u64, String);

fn open(py: Python<'_>, path: &Path, (_, _, _, target): &Which) -> PyResult<DatasetReader> {
    py.detach(|| DatasetReader::open(path)).or_raise(py)?.of_target(target).or_raise(py)
}

fn filter((split, balanced, stride, _): Which, window: u64) -> PyResult<SampleFilter> {
    let split = match Split::from_name(&split) {
        Some(Split::Embargo) | None => {
            return Err(PyValueError::new_err(format!(
                "split must be \"fit\" or \"holdout\", not {split:?}: rows in the embargo are never returned"
            )));
        }
        Some(split) => split,
    };
    if stride == 0 {
        return Err(PyValueError::new_err("stride must be at least 1"));
    }
    Ok(SampleFilter { split, balanced, window, stride })
}

/// Restores the index that another process has built, or builds a new one.
fn index(py: Python<'_>, reader: &DatasetReader, filter: SampleFilter, built: Option<&[u8]>) -> PyResult<SampleIndex> {
    match built {
        Some(bytes) => {
            let (words, rest) = bytes.as_chunks::<8>();
            if !rest.is_empty() || words.len() as u64 != reader.rows().div_ceil(64) {
                return Err(PyValueError::new_err("the dataset is not the one that the samples were indexed in"));
            }
            Ok(SampleIndex::from_words(words.iter().map(|word| u64::from_le_bytes(*word)).collect()))
        }
        None => py.detach(|| reader.index(filter)).or_raise(py),
    }
}

fn position(index: &SampleIndex, sample: i64) -> PyResult<u64> {
    let found = u64::try_from(sample).ok().and_then(|sample| index.position(sample));
    found.ok_or_else(|| PyIndexError::new_err(format!("sample {sample} of {}", index.len())))
}

/// Returns a text that changes when the file is replaced; `None` if the file cannot be examined.
#[pyfunction]
pub fn identity(py: Python<'_>, path: PathBuf) -> Option<String> {
    let found = py.detach(|| lobset::storage::stat(&lobset::storage::plain(&path)));
    found.ok().map(|found| format!("{} {}", found.bytes, found.version))
}

/// The two kinds of samples.
enum Kind {
    Depth(WindowCache),
    Rows(RowCache),
}

/// The samples of a dataset: depth tensors that end at its rows, or the rows as vectors.
#[pyclass(frozen, module = "lobset._lobset")]
pub struct Samples {
    kind: Kind,
    index: SampleIndex,
}

impl Samples {
    fn reader(&self) -> &DatasetReader {
        match &self.kind {
            Kind::Depth(cache) => cache.reader(),
            Kind::Rows(cache) => cache.reader(),
        }
    }

    fn one(&self, place: u64, out: &mut [f32]) -> Result<u8, Error> {
        match &self.kind {
            Kind::Depth(cache) => cache.tensor(place, out),
            Kind::Rows(cache) => cache.row(place, out),
        }
    }
}

#[pymethods]
impl Samples {
    /// Opens a dataset for depth tensors. Settings that are left out are the dataset's own.
    #[staticmethod]
    #[pyo3(signature = (path, which, features, samples, ticks_per_bin, micro_pip_size, row_groups, built))]
    fn depth(
        py: Python<'_>,
        path: PathBuf,
        which: Which,
        features: Option<Vec<String>>,
        samples: Option<u64>,
        ticks_per_bin: Option<u64>,
        micro_pip_size: Option<f64>,
        row_groups: Option<usize>,
        built: Option<&[u8]>,
    ) -> PyResult<Self> {
        let reader = open(py, &path, &which)?;
        let own = reader.config();
        let features = match features {
            Some(names) => parse_features(py, names)?,
            None => own.features.clone(),
        };
        let samples = samples.unwrap_or(own.samples);
        let ticks_per_bin = ticks_per_bin.unwrap_or(own.ticks_per_bin);
        let micro_pip_size = micro_pip_size.unwrap_or(own.micro_pip_size);
        let spec = DepthSpec::new(&features, samples, ticks_per_bin, micro_pip_size).or_raise(py)?;
        let filter = filter(which, samples)?;
        let cache = WindowCache::new(reader, spec, row_groups).or_raise(py)?;
        let index = index(py, cache.reader(), filter, built)?;
        Ok(Self { kind: Kind::Depth(cache), index })
    }

    /// Opens a dataset for vectors of columns; by default, the ten levels and the mid price.
    #[staticmethod]
    #[pyo3(signature = (path, which, columns, built))]
    fn rows(
        py: Python<'_>,
        path: PathBuf,
        which: Which,
        columns: Option<Vec<String>>,
        built: Option<&[u8]>,
    ) -> PyResult<Self> {
        let reader = open(py, &path, &which)?;
        let columns = columns.unwrap_or_else(|| reader.book_columns());
        let filter = filter(which, 1)?;
        let cache = RowCache::new(reader, columns).or_raise(py)?;
        let index = index(py, cache.reader(), filter, built)?;
        Ok(Self { kind: Kind::Rows(cache), index })
    }

    #[expect(clippy::cast_possible_truncation, reason = "lobset has 64-bit targets only")]
    fn __len__(&self) -> usize {
        self.index.len() as usize
    }

    /// The shape of a sample.
    #[getter]
    fn shape(&self) -> Vec<usize> {
        match &self.kind {
            Kind::Depth(cache) => shape(cache.spec()),
            Kind::Rows(cache) => vec![cache.columns().len()],
        }
    }

    /// The columns of a vector; empty for a tensor.
    #[getter]
    fn columns(&self) -> Vec<String> {
        match &self.kind {
            Kind::Depth(_) => Vec::new(),
            Kind::Rows(cache) => cache.columns().to_vec(),
        }
    }

    /// The symbol.
    #[getter]
    fn symbol(&self) -> String {
        self.reader().symbol().to_owned()
    }

    /// The dataset's settings as JSON.
    #[getter]
    fn config(&self) -> PyResult<String> {
        json(self.reader().config())
    }

    /// Returns the bitmap of samples, for another process.
    fn index_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let bytes: Vec<u8> = self.index.words().iter().flat_map(|word| word.to_le_bytes()).collect();
        PyBytes::new(py, &bytes)
    }

    /// Returns the row of a sample in the file.
    fn position(&self, sample: i64) -> PyResult<u64> {
        position(&self.index, sample)
    }

    /// Returns the classes of all samples.
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let labels = py.detach(|| self.reader().labels(&self.index)).or_raise(py)?;
        Ok(labels.into_pyarray(py))
    }

    /// Returns a sample and its class.
    fn get<'py>(&self, py: Python<'py>, sample: i64) -> PyResult<(Bound<'py, PyArrayDyn<f32>>, u8)> {
        let place = position(&self.index, sample)?;
        let array = PyArrayDyn::zeros(py, self.shape(), false);
        let class = {
            let mut guard = array.readwrite();
            let out = guard.as_slice_mut()?;
            py.detach(|| self.one(place, out)).or_raise(py)?
        };
        Ok((array, class))
    }

    /// Writes several samples and their classes into existing arrays, on several threads without the interpreter's
    /// lock.
    fn fill(
        &self,
        py: Python<'_>,
        samples: PyReadonlyArray1<'_, i64>,
        mut out: PyReadwriteArrayDyn<'_, f32>,
        mut labels: PyReadwriteArray1<'_, i64>,
        threads: usize,
    ) -> PyResult<()> {
        let cells: usize = self.shape().iter().product();
        let places = samples.as_slice()?.iter().map(|s| position(&self.index, *s)).collect::<PyResult<Vec<u64>>>()?;
        let (out, labels) = (out.as_slice_mut()?, labels.as_slice_mut()?);
        if out.len() != places.len() * cells || labels.len() != places.len() {
            return Err(PyValueError::new_err("the arrays do not have room for the samples requested"));
        }
        let next = Mutex::new(places.iter().zip(out.chunks_mut(cells.max(1))).zip(labels));
        let work = || -> Result<(), Error> {
            loop {
                let sample = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(((place, out), label)) = sample else { return Ok(()) };
                *label = i64::from(self.one(*place, out)?);
            }
        };
        let all = || {
            std::thread::scope(|scope| {
                // If the system starts fewer threads, those do all the work.
                let start = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
                let workers: Vec<_> = (1..threads).map_while(start).collect();
                let mine = work();
                let ends = workers.into_iter().map(|w| w.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
                ends.fold(mine, Result::and)
            })
        };
        py.detach(all).or_raise(py)
    }
}
