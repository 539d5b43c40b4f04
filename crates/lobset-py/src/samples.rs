//! Samples of datasets, one by one or in batches.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use half::f16;
use lobset::Error;
use lobset::cache::Cache;
use lobset::config::Feature;
use lobset::dataset::{DatasetReader, Normalise, RowSpec, RowWindows, SampleFilter, SampleIndex};
use lobset::depth::{Colour, DepthSpec, WindowCache};
use lobset::label::Split;
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn, PyReadwriteArray1, PyReadwriteArrayDyn};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::depth::{parse_features, shape};
use crate::engine;
use crate::errors::OrRaise;
use crate::json::json;

/// Which rows are samples, as Python passes it: split, balanced, stride, target.
type Which = (String, bool, u64, String);

/// Reader, and the filter of samples whose windows have so many rows.
fn open(path: &Path, (split, balanced, stride, target): Which) -> PyResult<(DatasetReader, SampleFilter)> {
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
    Python::attach(|py| {
        let reader = py.detach(|| DatasetReader::open(path)).or_raise(py)?.of_target(&target).or_raise(py)?;
        Ok((reader, SampleFilter { split, balanced, window: 1, stride, first: 0 }))
    })
}

/// Restores the index that another process has built, or builds a new one.
fn index(py: Python<'_>, reader: &DatasetReader, filter: SampleFilter, built: Option<&[u8]>) -> PyResult<SampleIndex> {
    match built {
        Some(bytes) => SampleIndex::from_bytes(bytes, reader.rows())
            .ok_or_else(|| PyValueError::new_err("the dataset is not the one that the samples were indexed in")),
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

/// The folder for cache files that is used by default.
#[pyfunction]
pub fn cache_folder(py: Python<'_>) -> PyResult<PathBuf> {
    Ok(Cache::of_user().or_raise(py)?.folder().to_owned())
}

/// The two kinds of samples.
enum Kind {
    Depth(WindowCache),
    /// With the number of axes of a sample: 1 for rows, 2 for windows.
    Rows(RowWindows, usize),
}

/// The samples of a dataset: depth tensors that end at its rows, or the rows, or windows of rows, as vectors.
#[pyclass(frozen, module = "lobset._lobset")]
pub struct Samples {
    kind: Kind,
    index: SampleIndex,
}

/// A batch of arrays to fill, by the type of their numbers.
#[derive(FromPyObject)]
pub enum Cells<'py> {
    Single(PyReadwriteArrayDyn<'py, f32>),
    Half(PyReadwriteArrayDyn<'py, f16>),
    Byte(PyReadwriteArrayDyn<'py, i8>),
}

/// Calls `work` with each item, on `threads` threads.
fn each<T: Send>(
    threads: usize,
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = Mutex::new(items);
    let run = || {
        loop {
            let item = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = item else { return Ok(()) };
            work(item)?;
        }
    };
    std::thread::scope(|scope| {
        // If the system starts fewer threads, those do all the work.
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, run).ok();
        let workers: Vec<_> = (1..threads).map_while(start).collect();
        let mine = run();
        let ends = workers.into_iter().map(|w| w.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        ends.fold(mine, Result::and)
    })
}

/// Number of floats that a thread reads at a time, at least.
const LEAST_CELLS: usize = 1 << 16;

/// Number of cores.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn no_room() -> PyErr {
    PyValueError::new_err("the arrays do not have room for the samples requested")
}

impl Samples {
    /// Opens a dataset for windows of rows, with `axes` axes.
    fn of_rows(
        py: Python<'_>,
        (reader, filter): (DatasetReader, SampleFilter),
        (spec, axes): (RowSpec, usize),
        cache: Option<PathBuf>,
        built: Option<&[u8]>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let window = spec.length;
        let windows = match cache {
            None => py.detach(|| RowWindows::new(reader, spec)).or_raise(py)?,
            Some(folder) => engine::run(py, progress, |monitor, _| {
                RowWindows::with_file(reader, spec, &Cache::at(folder), (cores(), monitor))
            })?,
        };
        let filter = SampleFilter { window, first: windows.first(), ..filter };
        let index = index(py, windows.reader(), filter, built)?;
        Ok(Self { kind: Kind::Rows(windows, axes), index })
    }

    fn reader(&self) -> &DatasetReader {
        match &self.kind {
            Kind::Depth(cache) => cache.reader(),
            Kind::Rows(windows, _) => windows.reader(),
        }
    }

    /// The places of samples, and their classes in `labels`.
    fn places(&self, samples: &[i64], labels: &mut [i64]) -> PyResult<Vec<u64>> {
        if labels.len() != samples.len() {
            return Err(no_room());
        }
        let place = |(sample, label): (&i64, &mut i64)| {
            let place = position(&self.index, *sample)?;
            *label = usize::try_from(*sample).map_or(0, |sample| self.index.classes()[sample].into());
            Ok(place)
        };
        samples.iter().zip(labels).map(place).collect()
    }

    /// Fills one array after the other.
    fn fill_cells<C: Colour>(&self, py: Python<'_>, places: &[u64], out: &mut [C], threads: usize) -> PyResult<()> {
        let Kind::Depth(cache) = &self.kind else {
            return Err(PyValueError::new_err("only depth tensors have a dtype"));
        };
        let cells = cache.spec().cells();
        if out.len() != places.len() * cells {
            return Err(no_room());
        }
        let items = places.iter().zip(out.chunks_mut(cells));
        py.detach(|| each(threads, items, |(place, out)| cache.tensor(*place, out))).or_raise(py)
    }
}

#[pymethods]
impl Samples {
    /// Opens a dataset for depth tensors. Settings that are left out are the dataset's own.
    #[staticmethod]
    #[pyo3(signature = (path, which, features, samples, ticks_per_bin, micro_pip_size, row_groups, cache, built, progress))]
    fn depth(
        py: Python<'_>,
        path: PathBuf,
        which: Which,
        features: Option<Vec<String>>,
        samples: Option<u64>,
        ticks_per_bin: Option<u64>,
        micro_pip_size: Option<f64>,
        row_groups: Option<usize>,
        cache: Option<PathBuf>,
        built: Option<&[u8]>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (reader, filter) = open(&path, which)?;
        let own = reader.config();
        let features = match features {
            Some(names) => parse_features(py, names)?,
            None => own.features.clone(),
        };
        let samples = samples.unwrap_or(own.samples);
        let ticks_per_bin = ticks_per_bin.unwrap_or(own.ticks_per_bin);
        let micro_pip_size = micro_pip_size.unwrap_or(reader.micro_pip_size());
        let spec = DepthSpec::new(&features, samples, ticks_per_bin, micro_pip_size).or_raise(py)?;
        let index = index(py, &reader, SampleFilter { window: samples, ..filter }, built)?;
        let windows = match cache {
            None => WindowCache::new(reader, spec, row_groups).or_raise(py)?,
            Some(folder) => engine::run(py, progress, |monitor, _| {
                WindowCache::with_file(reader, spec, (&index, filter.stride), &Cache::at(folder), (cores(), monitor))
            })?,
        };
        Ok(Self { kind: Kind::Depth(windows), index })
    }

    /// Opens a dataset for its rows as vectors of columns; by default, the ten levels, the mid price and derived columns.
    #[staticmethod]
    #[pyo3(signature = (path, which, columns, cache, built, progress))]
    fn rows(
        py: Python<'_>,
        path: PathBuf,
        which: Which,
        columns: Option<Vec<String>>,
        cache: Option<PathBuf>,
        built: Option<&[u8]>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let opened = open(&path, which)?;
        let columns = columns.unwrap_or_else(|| opened.0.book_columns());
        let spec = RowSpec { columns, length: 1, normalise: Normalise::None };
        Self::of_rows(py, opened, (spec, 1), cache, built, progress)
    }

    /// Opens a dataset for windows of `length` rows; by default, of the columns of the first levels.
    #[staticmethod]
    #[pyo3(signature = (path, which, columns, levels, length, normalise, cache, built, progress))]
    fn windows(
        py: Python<'_>,
        path: PathBuf,
        which: Which,
        columns: Option<Vec<String>>,
        levels: usize,
        length: u64,
        normalise: &str,
        cache: Option<PathBuf>,
        built: Option<&[u8]>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let normalise = Normalise::from_name(normalise).or_raise(py)?;
        let columns = columns.unwrap_or_else(|| RowSpec::levels(levels));
        let spec = RowSpec { columns, length, normalise };
        Self::of_rows(py, open(&path, which)?, (spec, 2), cache, built, progress)
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
            Kind::Rows(windows, axes) => {
                let columns = windows.spec().columns.len();
                let shape = [windows.cells() / columns, columns];
                shape[2 - axes..].to_vec()
            }
        }
    }

    /// Number of time bins and of features; none for rows.
    #[getter]
    fn bins(&self) -> Option<(usize, usize)> {
        match &self.kind {
            Kind::Depth(cache) => Some((cache.spec().time_bins(), cache.spec().features().len())),
            Kind::Rows(..) => None,
        }
    }

    /// The price step of the ladder; none for rows.
    #[getter]
    fn micro_pip_size(&self) -> Option<f64> {
        match &self.kind {
            Kind::Depth(cache) => Some(cache.spec().micro_pip_size()),
            Kind::Rows(..) => None,
        }
    }

    /// The share of cells that are on the ladder in up to `most` samples, spread evenly; none for rows, or without a cell.
    fn coverage(&self, py: Python<'_>, most: u64) -> PyResult<Option<f64>> {
        let Kind::Depth(cache) = &self.kind else { return Ok(None) };
        let count = self.index.len().min(most);
        let places: Option<Vec<u64>> =
            (0..count).map(|number| self.index.position(number * self.index.len() / count)).collect();
        py.detach(|| cache.coverage(&places.unwrap_or_default())).or_raise(py)
    }

    /// The columns of a vector or a window; empty for a tensor.
    #[getter]
    fn columns(&self) -> Vec<String> {
        match &self.kind {
            Kind::Depth(_) => Vec::new(),
            Kind::Rows(windows, _) => windows.spec().columns.clone(),
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

    /// Returns the index of samples, for another process.
    fn index_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.index.to_bytes())
    }

    /// Returns the row of a sample in the file.
    fn position(&self, sample: i64) -> PyResult<u64> {
        position(&self.index, sample)
    }

    /// Returns the classes of all samples.
    fn labels<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        PyArray1::from_slice(py, self.index.classes())
    }

    /// Writes samples and their classes into existing arrays, on several threads without the interpreter's lock.
    fn fill(
        &self,
        py: Python<'_>,
        samples: PyReadonlyArray1<'_, i64>,
        out: Cells<'_>,
        mut labels: PyReadwriteArray1<'_, i64>,
        threads: usize,
    ) -> PyResult<()> {
        let places = self.places(samples.as_slice()?, labels.as_slice_mut()?)?;
        match (&self.kind, out) {
            (Kind::Rows(windows, _), Cells::Single(mut out)) => {
                let (out, cells) = (out.as_slice_mut()?, windows.cells());
                if out.len() != places.len() * cells {
                    return Err(no_room());
                }
                // A window takes microseconds: a thread takes several at a time, and none begins for a few.
                let share = (LEAST_CELLS / cells).max(1);
                let items = places.chunks(share).zip(out.chunks_mut(share * cells));
                let fill = |(places, out): (&[u64], &mut [f32])| {
                    places.iter().zip(out.chunks_mut(cells)).try_for_each(|(place, out)| windows.read(*place, out))
                };
                py.detach(|| each(threads.min(items.len()), items, fill)).or_raise(py)
            }
            (_, Cells::Single(mut out)) => self.fill_cells(py, &places, out.as_slice_mut()?, threads),
            (_, Cells::Half(mut out)) => self.fill_cells(py, &places, out.as_slice_mut()?, threads),
            (_, Cells::Byte(mut out)) => self.fill_cells(py, &places, out.as_slice_mut()?, threads),
        }
    }

    /// Writes the bins of samples and their classes into existing arrays, like `fill`.
    fn fill_bins(
        &self,
        py: Python<'_>,
        samples: PyReadonlyArray1<'_, i64>,
        mut ladder_rows: PyReadwriteArrayDyn<'_, i16>,
        mut values: PyReadwriteArrayDyn<'_, f32>,
        mut labels: PyReadwriteArray1<'_, i64>,
        threads: usize,
    ) -> PyResult<()> {
        let Kind::Depth(cache) = &self.kind else { return Err(PyValueError::new_err("only depth tensors have bins")) };
        let places = self.places(samples.as_slice()?, labels.as_slice_mut()?)?;
        let (ladder_rows, values) = (ladder_rows.as_slice_mut()?, values.as_slice_mut()?);
        let (cells, features) = (cache.spec().bin_cells(), cache.spec().features().len());
        if ladder_rows.len() != places.len() * cells || values.len() != ladder_rows.len() * features {
            return Err(no_room());
        }
        let items = places.iter().zip(ladder_rows.chunks_mut(cells).zip(values.chunks_mut(cells * features)));
        let fill =
            |(place, (ladder_rows, values)): (&u64, (&mut [i16], &mut [f32]))| cache.bins(*place, ladder_rows, values);
        py.detach(|| each(threads, items, fill)).or_raise(py)
    }
}

/// Paints the bins of several samples, of so many time bins and features each, into an existing array of tensors.
#[pyfunction]
pub fn paint(
    py: Python<'_>,
    ladder_rows: PyReadonlyArrayDyn<'_, i16>,
    values: PyReadonlyArrayDyn<'_, f32>,
    mut out: PyReadwriteArrayDyn<'_, f32>,
    time_bins: u64,
    features: usize,
    threads: usize,
) -> PyResult<()> {
    // Which features they are does not matter for painting.
    let all = Feature::ALL.get(..features).filter(|all| !all.is_empty());
    let all = all.ok_or_else(|| PyValueError::new_err(format!("{features} features: bins have 1 to 3")))?;
    let spec = DepthSpec::new(all, time_bins, 1, 1.0).or_raise(py)?;
    let (ladder_rows, values, out) = (ladder_rows.as_slice()?, values.as_slice()?, out.as_slice_mut()?);
    let cells = spec.bin_cells();
    if ladder_rows.len() % cells != 0
        || values.len() != ladder_rows.len() * features
        || out.len() != ladder_rows.len() / cells * spec.cells()
    {
        return Err(no_room());
    }
    let samples = ladder_rows.chunks(cells).zip(values.chunks(cells * features)).zip(out.chunks_mut(spec.cells()));
    let paint = |((ladder_rows, values), out): ((&[i16], &[f32]), &mut [f32])| {
        spec.paint_bins(ladder_rows, values, out).map_err(|e| Error::Executor(e.to_string()))
    };
    py.detach(|| each(threads, samples, paint)).or_raise(py)
}
