//! Opens datasets, and finds their samples.

use std::fmt::Display;
use std::path::PathBuf;

use lobset::Timestamp;
use lobset::dataset::{DatasetReader, Period, SampleFilter, SampleIndex};
use lobset::error::{ConfigError, InputError};
use lobset::label::Split;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::errors::OrRaise;

/// Which rows are samples, as passed by Python.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Which {
    split: String,
    balanced: bool,
    pub stride: u64,
    targets: Vec<String>,
    since: Option<u64>,
    until: Option<u64>,
}

impl Which {
    /// The filter for samples whose windows have `window` rows and end at row `first` or later.
    pub fn filter(&self, window: u64, first: u64) -> PyResult<SampleFilter> {
        let split = match Split::from_name(&self.split) {
            Some(Split::Embargo) | None => {
                return Err(PyValueError::new_err(format!(
                    "split must be \"fit\" or \"holdout\", not {:?}: rows in the embargo are never returned",
                    self.split
                )));
            }
            Some(split) => split,
        };
        if self.stride == 0 {
            return Err(PyValueError::new_err("stride must be at least 1"));
        }
        let period = Period { since: self.since.map(Timestamp), until: self.until.map(Timestamp) };
        Ok(SampleFilter { split, period, window, stride: self.stride, first })
    }
}

/// Opens datasets whose targets have the same numbers of classes.
pub fn open(py: Python<'_>, paths: &[PathBuf], which: &Which) -> PyResult<Vec<DatasetReader>> {
    // A wrong filter is refused before any file is opened.
    which.filter(1, 0)?;
    let open = |path: &PathBuf| {
        let reader = DatasetReader::open(path)?;
        Ok(reader.of_targets(&which.targets).map_err(|error| match paths.len() {
            1 => error,
            _ => ConfigError { problems: error.problems.iter().map(|p| format!("{}: {p}", path.display())).collect() },
        })?)
    };
    let readers = py.detach(|| paths.iter().map(open).collect::<lobset::Result<Vec<_>>>()).or_raise(py)?;
    for (place, name) in which.targets.iter().enumerate() {
        let classes = readers.iter().map(|reader| reader.targets()[place].class_count());
        agree(py, &format!("number of classes of {name}"), &readers, classes)?;
    }
    Ok(readers)
}

/// Refuses datasets that differ in a property, given its value for each dataset. The error names the first two that
/// differ.
pub fn agree<T: PartialEq + Display>(
    py: Python<'_>,
    what: &str,
    readers: &[DatasetReader],
    values: impl Iterator<Item = T>,
) -> PyResult<()> {
    let mut others = readers.iter().zip(values);
    let Some((first, want)) = others.next() else { return Ok(()) };
    match others.find(|(_, found)| *found != want) {
        None => Ok(()),
        Some((other, found)) => Err(ConfigError::one(format!(
            "samples of {} and {} cannot be mixed: {what}: {want} in the first, {found} in the second",
            first.path().display(),
            other.path().display()
        )))
        .or_raise(py),
    }
}

/// The indexes built by another process.
pub type Built = Option<Vec<PyBackedBytes>>;

/// The samples of datasets.
pub struct Found {
    /// By dataset with samples.
    pub indexes: Vec<SampleIndex>,
    /// The places of these datasets among all.
    pub kept: Vec<usize>,
    /// Why the others have none.
    pub without: Vec<String>,
}

impl Found {
    /// Keeps the items that belong to datasets with samples.
    pub fn only<T>(&self, all: Vec<T>) -> Vec<T> {
        all.into_iter().enumerate().filter(|(place, _)| self.kept.contains(place)).map(|(_, item)| item).collect()
    }
}

/// Restores the indexes that another process has built, or finds the samples of each dataset.
pub fn search<'a>(
    py: Python<'_>,
    datasets: impl Iterator<Item = (&'a DatasetReader, SampleFilter)>,
    which: &Which,
    built: Built,
) -> PyResult<Found> {
    let datasets: Vec<_> = datasets.collect();
    if let Some(built) = built {
        let restore = |((reader, _), bytes): (&(&DatasetReader, _), &PyBackedBytes)| {
            SampleIndex::from_bytes(bytes, reader.rows())
        };
        let indexes: Option<Vec<_>> = datasets.iter().zip(&built).map(restore).collect();
        let foreign = || PyValueError::new_err("a dataset is not the one that the samples were indexed in");
        let indexes = indexes.filter(|indexes| indexes.len() == datasets.len()).ok_or_else(foreign)?;
        return Ok(Found { kept: (0..indexes.len()).collect(), indexes, without: Vec::new() });
    }
    py.detach(|| find(&datasets, which.balanced)).or_raise(py)
}

fn find(datasets: &[(&DatasetReader, SampleFilter)], balanced: bool) -> lobset::Result<Found> {
    let (mut indexes, mut kept, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for (place, (reader, filter)) in datasets.iter().enumerate() {
        match reader.index(*filter)? {
            Ok(index) => {
                indexes.push(index);
                kept.push(place);
            }
            Err(why) => without.push(why),
        }
    }
    if let (true, Some((reader, _))) = (balanced, datasets.first()) {
        SampleIndex::keep_uniform(&mut indexes, reader.target().class_count());
        let mut lost = indexes.iter().map(SampleIndex::is_empty);
        let lost: Vec<usize> = kept.iter().copied().filter(|_| lost.next() == Some(true)).collect();
        let why = "has no sample: as many samples of every class are kept, and none of them is of this dataset";
        without.extend(lost.iter().map(|place| InputError::new(datasets[*place].0.path(), why)));
        kept.retain(|place| !lost.contains(place));
        indexes.retain(|index| !index.is_empty());
    }
    if indexes.is_empty()
        && let Some(error) = InputError::all(without.iter().cloned())
    {
        return Err(error.into());
    }
    Ok(Found { indexes, kept, without: without.iter().map(ToString::to_string).collect() })
}
