//! Samples of datasets, one by one or in batches.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use half::f16;
use lobset::Error;
use lobset::cache::Cache;
use lobset::config::Feature;
use lobset::dataset::{DatasetReader, Normalise, RowSpec, RowWindows, SampleIndex};
use lobset::depth::{Colour, DepthSpec, WindowCache};
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArrayDyn, PyReadwriteArrayDyn};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::depth::{parse_features, shape};
use crate::engine;
use crate::errors::OrRaise;
use crate::json::json;
use crate::search::{self, Built, Found, Which, agree};

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

/// The two kinds of samples, with one reader per dataset.
enum Kind {
    Depth(Vec<WindowCache>),
    /// With the number of axes of a sample: 1 for rows, 2 for windows.
    Rows(Vec<RowWindows>, usize),
}

/// The samples of one or more datasets: depth tensors that end at their rows, or rows or windows of rows as vectors.
/// Samples are numbered dataset by dataset.
#[pyclass(frozen, module = "lobset._lobset")]
pub struct Samples {
    kind: Kind,
    /// By dataset.
    indexes: Vec<SampleIndex>,
    /// The number of the first sample of each dataset.
    starts: Vec<u64>,
    /// The places, among the paths given, of the datasets with samples.
    kept: Vec<usize>,
    /// Why the others have none.
    without: Vec<String>,
}

/// Datasets and rows of samples.
type Sources<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>);

/// A row of a dataset: the dataset's place among those with samples, and the row's place in it.
type Place = (usize, u64);

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

/// The least number of floats that a thread reads at a time.
const LEAST_CELLS: usize = 1 << 16;

/// Number of cores.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn no_room() -> PyErr {
    PyValueError::new_err("the arrays do not have room for the samples requested")
}

impl Samples {
    fn new(kind: Kind, Found { indexes, kept, without }: Found) -> Self {
        let first = |sum: &mut u64, index: &SampleIndex| Some(std::mem::replace(sum, *sum + index.len()));
        let starts = indexes.iter().scan(0, first).collect();
        Self { kind, indexes, starts, kept, without }
    }

    /// Opens datasets for windows of rows, with `axes` axes.
    fn of_rows(
        py: Python<'_>,
        paths: &[PathBuf],
        which: &Which,
        (spec, axes): (impl Fn(&DatasetReader) -> RowSpec, usize),
        cache: Option<PathBuf>,
        built: Built,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let readers = search::open(py, paths, which)?;
        let specs: Vec<RowSpec> = readers.iter().map(spec).collect();
        agree(py, "columns", &readers, specs.iter().map(|spec| spec.columns.join(", ")))?;
        agree(py, "price_type", &readers, readers.iter().map(|reader| reader.config().price_type.name()))?;
        let both = readers.into_iter().zip(specs);
        let windows =
            py.detach(|| both.map(|(reader, spec)| RowWindows::new(reader, spec)).collect::<Result<Vec<_>, _>>());
        let windows = windows.or_raise(py)?;
        let filter = |windows: &RowWindows| which.filter(windows.spec().length, windows.first());
        let filters = windows.iter().map(filter).collect::<PyResult<Vec<_>>>()?;
        let found = search::search(py, windows.iter().map(RowWindows::reader).zip(filters), which, built)?;
        let mut windows = found.only(windows);
        if let Some(folder) = cache {
            let cache = Cache::at(folder);
            windows = engine::run(py, progress, |monitor, _| {
                windows.into_iter().map(|windows| windows.with_file(&cache, (cores(), monitor))).collect()
            })?;
        }
        Ok(Self::new(Kind::Rows(windows, axes), found))
    }

    fn reader(&self, dataset: usize) -> &DatasetReader {
        match &self.kind {
            Kind::Depth(caches) => caches[dataset].reader(),
            Kind::Rows(windows, _) => windows[dataset].reader(),
        }
    }

    /// The number of targets for which samples have classes.
    fn targets(&self) -> usize {
        self.indexes[0].classes().len()
    }

    /// The dataset of a sample, and the number of the sample among that dataset's.
    fn find(&self, sample: i64) -> PyResult<(usize, u64)> {
        let number = u64::try_from(sample).ok().filter(|number| *number < self.len());
        let outside = || PyIndexError::new_err(format!("sample {sample} of {}", self.len()));
        let number = number.ok_or_else(outside)?;
        let dataset = self.starts.partition_point(|start| *start <= number) - 1;
        Ok((dataset, number - self.starts[dataset]))
    }

    fn len(&self) -> u64 {
        self.indexes.iter().map(SampleIndex::len).sum()
    }

    fn place(&self, sample: i64) -> PyResult<Place> {
        let (dataset, number) = self.find(sample)?;
        let place = self.indexes[dataset].position(number);
        Ok((dataset, place.ok_or_else(|| PyIndexError::new_err(format!("sample {sample}")))?))
    }

    /// Returns the places of samples, and writes their classes into `labels`: first all classes of the first target,
    /// then of the next.
    #[expect(clippy::cast_possible_truncation, reason = "lobset has 64-bit targets only")]
    fn places(&self, samples: &[i64], labels: &mut [i64]) -> PyResult<Vec<Place>> {
        if labels.len() != samples.len() * self.targets() {
            return Err(no_room());
        }
        let place = |(which, sample): (usize, &i64)| {
            let (dataset, number) = self.find(*sample)?;
            let index = &self.indexes[dataset];
            for (target, classes) in index.classes().iter().enumerate() {
                labels[target * samples.len() + which] = classes[number as usize].into();
            }
            let place = index.position(number).ok_or_else(|| PyIndexError::new_err(format!("sample {sample}")))?;
            Ok((dataset, place))
        };
        samples.iter().enumerate().map(place).collect()
    }

    /// Fills one array after the other.
    fn fill_cells<C: Colour>(&self, py: Python<'_>, places: &[Place], out: &mut [C], threads: usize) -> PyResult<()> {
        let Kind::Depth(caches) = &self.kind else {
            return Err(PyValueError::new_err("only depth tensors have a dtype"));
        };
        let cells = caches[0].spec().cells();
        if out.len() != places.len() * cells {
            return Err(no_room());
        }
        let items = places.iter().zip(out.chunks_mut(cells));
        py.detach(|| each(threads, items, |((dataset, place), out)| caches[*dataset].tensor(*place, out))).or_raise(py)
    }
}

#[pymethods]
impl Samples {
    /// Opens datasets for depth tensors. Settings that are left out are taken from the datasets.
    #[staticmethod]
    #[pyo3(signature = (paths, which, features, samples, ticks_per_bin, micro_pip_size, row_groups, cache, built, progress))]
    fn depth(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        which: Which,
        features: Option<Vec<String>>,
        samples: Option<u64>,
        ticks_per_bin: Option<u64>,
        micro_pip_size: Option<f64>,
        row_groups: Option<usize>,
        cache: Option<PathBuf>,
        built: Built,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let readers = search::open(py, &paths, &which)?;
        let features = features.map(|names| parse_features(py, names)).transpose()?;
        let spec = |reader: &DatasetReader| {
            let own = reader.config();
            let features = features.as_ref().unwrap_or(&own.features);
            let samples = samples.unwrap_or(own.samples);
            let ticks_per_bin = ticks_per_bin.unwrap_or(own.ticks_per_bin);
            let micro_pip_size = micro_pip_size.unwrap_or(reader.micro_pip_size());
            DepthSpec::new(features, samples, ticks_per_bin, micro_pip_size)
        };
        let specs: Vec<DepthSpec> = readers.iter().map(spec).collect::<Result<_, _>>().or_raise(py)?;
        let names = |spec: &DepthSpec| spec.features().iter().map(|of| of.name()).collect::<Vec<_>>().join(", ");
        agree(py, "features", &readers, specs.iter().map(names))?;
        agree(py, "samples", &readers, specs.iter().map(DepthSpec::samples))?;
        agree(py, "ticks_per_bin", &readers, specs.iter().map(DepthSpec::ticks_per_bin))?;
        let filter = |spec: &DepthSpec| which.filter(spec.samples() as u64, 0);
        let filters = specs.iter().map(filter).collect::<PyResult<Vec<_>>>()?;
        let found = search::search(py, readers.iter().zip(filters), &which, built)?;
        let both: Vec<(DatasetReader, DepthSpec)> = found.only(readers.into_iter().zip(specs).collect());
        let caches = match cache {
            None => {
                let new = |(reader, spec)| WindowCache::new(reader, spec, row_groups);
                both.into_iter().map(new).collect::<Result<_, _>>().or_raise(py)?
            }
            Some(folder) => {
                let (cache, indexes) = (Cache::at(folder), &found.indexes);
                engine::run(py, progress, |monitor, _| {
                    let open = |((reader, spec), index)| {
                        WindowCache::with_file(reader, spec, (index, which.stride), &cache, (cores(), monitor))
                    };
                    both.into_iter().zip(indexes).map(open).collect()
                })?
            }
        };
        Ok(Self::new(Kind::Depth(caches), found))
    }

    /// Opens datasets for their rows as vectors of columns; by default, the ten levels, the mid price and derived columns.
    #[staticmethod]
    #[pyo3(signature = (paths, which, columns, cache, built, progress))]
    fn rows(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        which: Which,
        columns: Option<Vec<String>>,
        cache: Option<PathBuf>,
        built: Built,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let spec = |reader: &DatasetReader| RowSpec {
            columns: columns.clone().unwrap_or_else(|| reader.book_columns()),
            length: 1,
            normalise: Normalise::None,
        };
        Self::of_rows(py, &paths, &which, (spec, 1), cache, built, progress)
    }

    /// Opens datasets for windows of `length` rows; by default, of the columns of the first levels.
    #[staticmethod]
    #[pyo3(signature = (paths, which, columns, levels, length, normalise, cache, built, progress))]
    fn windows(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        which: Which,
        columns: Option<Vec<String>>,
        levels: usize,
        length: u64,
        normalise: &str,
        cache: Option<PathBuf>,
        built: Built,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let normalise = Normalise::from_name(normalise).or_raise(py)?;
        let columns = columns.unwrap_or_else(|| RowSpec::levels(levels));
        let spec = |_: &DatasetReader| RowSpec { columns: columns.clone(), length, normalise };
        Self::of_rows(py, &paths, &which, (spec, 2), cache, built, progress)
    }

    #[expect(clippy::cast_possible_truncation, reason = "lobset has 64-bit targets only")]
    fn __len__(&self) -> usize {
        self.len() as usize
    }

    /// The shape of a sample.
    #[getter]
    fn shape(&self) -> Vec<usize> {
        match &self.kind {
            Kind::Depth(caches) => shape(caches[0].spec()),
            Kind::Rows(windows, axes) => {
                let columns = windows[0].spec().columns.len();
                let shape = [windows[0].cells() / columns, columns];
                shape[2 - axes..].to_vec()
            }
        }
    }

    /// The number of time bins and of features; `None` for rows.
    #[getter]
    fn bins(&self) -> Option<(usize, usize)> {
        match &self.kind {
            Kind::Depth(caches) => Some((caches[0].spec().time_bins(), caches[0].spec().features().len())),
            Kind::Rows(..) => None,
        }
    }

    /// The price step of each dataset's ladder; empty for rows.
    #[getter]
    fn micro_pip_sizes(&self) -> Vec<f64> {
        match &self.kind {
            Kind::Depth(caches) => caches.iter().map(|cache| cache.spec().micro_pip_size()).collect(),
            Kind::Rows(..) => Vec::new(),
        }
    }

    /// The share of cells that are on each dataset's ladder, in up to `most` samples, spread evenly. `None` for a
    /// dataset without cells; an empty list for rows.
    fn coverages(&self, py: Python<'_>, most: u64) -> PyResult<Vec<Option<f64>>> {
        let Kind::Depth(caches) = &self.kind else { return Ok(Vec::new()) };
        let coverage = |(cache, index): (&WindowCache, &SampleIndex)| {
            let count = index.len().min(most);
            let places: Vec<u64> =
                (0..count).filter_map(|number| index.position(number * index.len() / count)).collect();
            cache.coverage(&places)
        };
        py.detach(|| caches.iter().zip(&self.indexes).map(coverage).collect::<Result<_, _>>()).or_raise(py)
    }

    /// The columns of a vector or a window; empty for a tensor.
    #[getter]
    fn columns(&self) -> Vec<String> {
        match &self.kind {
            Kind::Depth(_) => Vec::new(),
            Kind::Rows(windows, _) => windows[0].spec().columns.clone(),
        }
    }

    /// The places, among the paths given, of the datasets with samples.
    #[getter]
    fn kept(&self) -> Vec<usize> {
        self.kept.clone()
    }

    /// Why the other datasets have no sample.
    #[getter]
    fn without(&self) -> Vec<String> {
        self.without.clone()
    }

    /// The symbol of each dataset with samples.
    #[getter]
    fn symbols(&self) -> Vec<String> {
        (0..self.indexes.len()).map(|dataset| self.reader(dataset).symbol().to_owned()).collect()
    }

    /// The settings of each dataset with samples, as JSON.
    #[getter]
    fn configs(&self) -> PyResult<Vec<String>> {
        (0..self.indexes.len()).map(|dataset| json(self.reader(dataset).config())).collect()
    }

    /// Number of classes of a target, given its place.
    fn classes(&self, target: usize) -> usize {
        self.reader(0).targets()[target].class_count()
    }

    /// Returns each dataset's index of samples, for use in another process.
    fn index_bytes<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.indexes.iter().map(|index| PyBytes::new(py, &index.to_bytes())).collect()
    }

    /// Returns the position of a sample's row in its file.
    fn position(&self, sample: i64) -> PyResult<u64> {
        self.place(sample).map(|(_, place)| place)
    }

    /// Returns, for each sample, the place of its dataset and the number of its row in the symbol's stream.
    fn source<'py>(&self, py: Python<'py>, samples: PyReadonlyArray1<'_, i64>) -> PyResult<Sources<'py>> {
        let samples = samples.as_slice()?;
        let (mut datasets, mut rows) = (Vec::with_capacity(samples.len()), Vec::with_capacity(samples.len()));
        for sample in samples {
            let (dataset, place) = self.place(*sample)?;
            datasets.push(dataset as u64);
            rows.push(self.indexes[dataset].row(place).unwrap_or(place));
        }
        Ok((PyArray1::from_vec(py, datasets), PyArray1::from_vec(py, rows)))
    }

    /// Returns the classes of all samples for target number `target`.
    fn labels<'py>(&self, py: Python<'py>, target: usize) -> Bound<'py, PyArray1<u8>> {
        let all: Vec<&[u8]> = self.indexes.iter().map(|index| index.classes()[target].as_slice()).collect();
        PyArray1::from_vec(py, all.concat())
    }

    /// Writes samples and their classes into existing arrays, on several threads without the interpreter's lock.
    fn fill(
        &self,
        py: Python<'_>,
        samples: PyReadonlyArray1<'_, i64>,
        out: Cells<'_>,
        mut labels: PyReadwriteArrayDyn<'_, i64>,
        threads: usize,
    ) -> PyResult<()> {
        let places = self.places(samples.as_slice()?, labels.as_slice_mut()?)?;
        match (&self.kind, out) {
            (Kind::Rows(windows, _), Cells::Single(mut out)) => {
                let (out, cells) = (out.as_slice_mut()?, windows[0].cells());
                if out.len() != places.len() * cells {
                    return Err(no_room());
                }
                // Reading a window takes microseconds, so each thread takes several at a time, and no thread is started
                // for just a few.
                let share = (LEAST_CELLS / cells).max(1);
                let items = places.chunks(share).zip(out.chunks_mut(share * cells));
                let fill = |(places, out): (&[Place], &mut [f32])| {
                    let read = |((dataset, place), out): (&Place, _)| windows[*dataset].read(*place, out);
                    places.iter().zip(out.chunks_mut(cells)).try_for_each(read)
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
        mut labels: PyReadwriteArrayDyn<'_, i64>,
        threads: usize,
    ) -> PyResult<()> {
        let Kind::Depth(caches) = &self.kind else {
            return Err(PyValueError::new_err("only depth tensors have bins"));
        };
        let places = self.places(samples.as_slice()?, labels.as_slice_mut()?)?;
        let (ladder_rows, values) = (ladder_rows.as_slice_mut()?, values.as_slice_mut()?);
        let (cells, features) = (caches[0].spec().bin_cells(), caches[0].spec().features().len());
        if ladder_rows.len() != places.len() * cells || values.len() != ladder_rows.len() * features {
            return Err(no_room());
        }
        let items = places.iter().zip(ladder_rows.chunks_mut(cells).zip(values.chunks_mut(cells * features)));
        let fill = |((dataset, place), (ladder_rows, values)): (&Place, (&mut [i16], &mut [f32]))| {
            caches[*dataset].bins(*place, ladder_rows, values)
        };
        py.detach(|| each(threads, items, fill)).or_raise(py)
    }
}

/// Paints the bins of several samples, each with these numbers of time bins and features, into an existing array of
/// tensors.
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
    // Painting does not depend on which features these are.
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
