//! Rows of a dataset, and windows of rows, as floats: from the row groups that were used last, or from a cache file.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use super::decode::Decoder;
use super::packing::RowPacking;
use super::reader::DatasetReader;
use super::recent::Recent;
use super::row_file;
use super::scale::{Normalise, Scales};
use crate::cache::{Cache, CacheFile};
use crate::cast::to_usize;
use crate::error::{ConfigError, InputError, Result};
use crate::output::names;
use crate::run::Monitor;

/// The floats that rows are read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSpec {
    /// The columns, in order. They may be any numeric ones except labels and those that identify the row.
    pub columns: Vec<String>,
    /// Rows of a window, 1 to 1,000,000; 1 for single rows.
    pub length: u64,
    /// How values are normalised.
    pub normalise: Normalise,
}

/// The longest window, in rows.
const LONGEST: u64 = 1_000_000;

impl RowSpec {
    /// The columns of `levels` levels in the order of FI-2010: ask price, ask size, bid price, bid size of the best level,
    /// then of the next.
    pub fn levels(levels: usize) -> Vec<String> {
        let level =
            |level| [("px", 1), ("sz", 1), ("px", 0), ("sz", 0)].map(|(f, side)| names::of_level(f, side, level));
        (0..levels).flat_map(level).collect()
    }
}

/// Reads windows of a dataset's rows as floats, one after the other; a window of one row is that row. Threads may share it.
pub struct RowWindows {
    reader: DatasetReader,
    spec: RowSpec,
    /// Rows of a window.
    length: usize,
    decoder: Decoder,
    packing: RowPacking,
    source: Records,
}

/// Where records come from.
enum Records {
    /// The most recently used row groups.
    RowGroups(Mutex<Recent<Vec<u8>>>),
    File(CacheFile),
}

/// Number of row groups kept, at least.
const ROW_GROUPS_KEPT: usize = 2;

thread_local! {
    /// The records of the last window. The buffer is reused: a new one for each window would cost more than the
    /// records.
    static RECORDS: RefCell<Vec<u8>> = RefCell::default();
}

impl RowWindows {
    /// Reads windows from the dataset alone. Keeps the row groups that were used last in memory: two, or as many as a window
    /// spans.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting is out of range; [`InputError`] when a column is missing or not numeric, when the
    /// moments that normalisation needs cannot be read, or when windows of several rows are wanted of a dataset that was
    /// written with `drop_unbalanced`.
    pub fn new(reader: DatasetReader, spec: RowSpec) -> Result<Self> {
        let stored = check(&reader, &spec)?;
        let packing = RowPacking::plain(&reader, &stored);
        let spanned = to_usize(spec.length.div_ceil(reader.smallest_group())) + 1;
        let kept = Recent::new(spanned.max(ROW_GROUPS_KEPT));
        let scales = Scales::new(&reader, &spec.columns, spec.normalise)?;
        Ok(Self::with(reader, spec, scales, packing, Records::RowGroups(Mutex::new(kept))))
    }

    /// Reads windows from a file in `cache` instead, one read each. Builds the file, on `threads` threads, if it does not
    /// exist. All windows of the same columns share it, whatever their order, length and normalisation.
    ///
    /// # Errors
    /// [`InputError`] when the dataset cannot be read; [`Error::Output`](crate::Error::Output) when there is no room for the
    /// file, or it cannot be written or read.
    pub fn with_file(self, cache: &Cache, on: (usize, &Monitor<'_>)) -> Result<Self> {
        let Self { reader, spec, decoder, packing, .. } = self;
        let stored: Vec<String> = packing.columns().iter().map(|column| column.name.clone()).collect();
        let (file, packing) = row_file::open(&reader, &stored, cache, on)?;
        Ok(Self::with(reader, spec, decoder.into_scales(), packing, Records::File(file)))
    }

    fn with(reader: DatasetReader, spec: RowSpec, scales: Scales, packing: RowPacking, source: Records) -> Self {
        let place = |name: &String| packing.columns().iter().position(|column| column.name == *name);
        let places: Vec<usize> = spec.columns.iter().filter_map(place).collect();
        let decoder = Decoder::new(&packing, &places, scales);
        Self { length: to_usize(spec.length), reader, spec, decoder, packing, source }
    }

    /// The columns, the length and the normalisation of windows.
    pub fn spec(&self) -> &RowSpec {
        &self.spec
    }

    /// The dataset.
    pub fn reader(&self) -> &DatasetReader {
        &self.reader
    }

    /// Number of floats of a window: its rows times the columns.
    pub fn cells(&self) -> usize {
        self.length * self.decoder.width()
    }

    /// The first row that may end a window, as a position in the file: not 0 where normalisation needs earlier files, and the
    /// number of rows if there is no such row.
    pub fn first(&self) -> u64 {
        self.decoder.first()
    }

    /// Writes the window that ends at the row at `place` into `out` ([`cells`](Self::cells) long): row by row, the
    /// oldest first, NaN for null. Does not check that the window crosses no break: the
    /// [`SampleIndex`](super::SampleIndex) of a filter with this length ensures that.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read, or has no such window.
    pub fn read(&self, place: u64, out: &mut [f32]) -> Result<()> {
        let rows = self.reader.rows();
        let end = place.checked_add(1).filter(|end| *end <= rows && place >= self.first());
        let Some(from) = end.and_then(|end| end.checked_sub(self.spec.length)) else {
            let message = match self.spec.length {
                1 => format!("has no row {place} that can be a sample, of {rows}"),
                length => format!("row {place} of {rows} ends no window of {length} rows that can be a sample"),
            };
            return Err(InputError::new(self.reader.path(), message).into());
        };
        let record = self.packing.bytes();
        RECORDS.with_borrow_mut(|records| {
            match &self.source {
                Records::File(file) => {
                    records.resize(self.length * record, 0);
                    file.read(from * record as u64, records)?;
                }
                Records::RowGroups(groups) => {
                    records.clear();
                    self.gather(&mut groups.lock().unwrap_or_else(PoisonError::into_inner), from, records)?;
                }
            }
            self.decoder.read(records, place, out);
            Ok(())
        })
    }

    /// Appends the records of the window that begins at a row.
    fn gather(&self, groups: &mut Recent<Vec<u8>>, from: u64, records: &mut Vec<u8>) -> Result<()> {
        let (record, mut next) = (self.packing.bytes(), from);
        while records.len() < self.length * record {
            let (group, row) = self.reader.locate(next);
            let held = groups.get(group, || row_file::records(&self.reader, &self.packing, group))?;
            let wanted = self.length * record - records.len();
            let found = &held[row * record..][..wanted.min(held.len() - row * record)];
            records.extend_from_slice(found);
            next += (found.len() / record) as u64;
        }
        Ok(())
    }
}

/// Checks a spec, and returns its columns in the order of the dataset, each once.
fn check(reader: &DatasetReader, spec: &RowSpec) -> Result<Vec<String>> {
    if spec.length > 1 {
        reader.check_complete()?;
    }
    if spec.length == 0 || spec.length > LONGEST {
        return Err(ConfigError::one(format!("length: {} is outside the range 1 to {LONGEST}", spec.length)).into());
    }
    if spec.columns.is_empty() {
        return Err(ConfigError::one("columns: name one at least").into());
    }
    for name in &spec.columns {
        if let Err(reason) = reader.check_feature(name) {
            let error = InputError::new(reader.path(), format!("the column {name:?} {reason}"));
            return Err(error
                .with_help("the README lists the columns of a dataset; those of levels are features")
                .into());
        }
    }
    let mut stored = spec.columns.clone();
    stored.sort_by_key(|name| reader.column_place(name));
    stored.dedup();
    Ok(stored)
}
