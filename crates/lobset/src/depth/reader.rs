//! Samples out of a dataset file, row group by row group, in bounded memory.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::index::IndexBuilder;
use super::{Bin, DepthSpec, Levels, SampleFilter, SampleIndex};
use crate::config::Config;
use crate::error::{InputError, Result};
use crate::label::Split;
use crate::output::{CONFIG_KEY, Column, Role, SYMBOL_KEY, columns, names};

/// A dataset that was opened for reading. Holds its footer.
#[derive(Debug)]
pub struct DatasetReader {
    path: PathBuf,
    footer: ArrowReaderMetadata,
    /// The first row of each row group, and the number of all rows.
    starts: Vec<u64>,
    config: Config,
    symbol: String,
}

impl DatasetReader {
    /// Opens a dataset.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read, or was not written by lobset.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| InputError::unreadable(path, e))?;
        let footer =
            ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|e| InputError::unreadable(path, e))?;
        let pairs = footer.metadata().file_metadata().key_value_metadata();
        let value = |key: &str| {
            let pair = pairs.into_iter().flatten().find(|pair| pair.key == key);
            pair.and_then(|pair| pair.value.as_deref()).ok_or_else(|| {
                InputError::new(path, format!("is not a lobset dataset: its metadata lack {key}"))
                    .with_help("name a *_dataset.parquet that lobset process has written")
            })
        };
        let config = serde_json::from_str(value(CONFIG_KEY)?).map_err(|e| InputError::unreadable(path, e))?;
        let symbol = value(SYMBOL_KEY)?.to_owned();
        let mut starts = vec![0];
        for group in footer.metadata().row_groups() {
            starts.push(starts.last().copied().unwrap_or(0) + group.num_rows().cast_unsigned());
        }
        Ok(Self { path: path.to_owned(), config, symbol, starts, footer })
    }

    /// The settings it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its symbol.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its rows.
    pub fn rows(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The columns that fit a vector of floats, in the file's order: all numbers but those that say which row it is or what
    /// its label is. Columns that no dataset of these settings has are not among them.
    pub fn numeric_columns(&self) -> Vec<String> {
        self.features(|_| true)
    }

    /// The columns of the ten levels, and the mid price.
    pub fn book_columns(&self) -> Vec<String> {
        self.features(|column| column.role == Role::Book || column.name == names::MID_PRICE)
    }

    fn features(&self, wanted: impl Fn(&Column) -> bool) -> Vec<String> {
        let is_there = |column: &Column| self.footer.schema().column_with_name(&column.name).is_some();
        let features = columns(&self.config, true).into_iter().filter(|column| column.is_feature() && wanted(column));
        features.filter(is_there).map(|column| column.name).collect()
    }

    /// Finds the samples.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read or has no column `balanced` though it is asked for.
    pub fn index(&self, filter: SampleFilter) -> Result<SampleIndex> {
        if filter.balanced && !self.config.force_uniform {
            return Err(InputError::new(
                &self.path,
                "has no column balanced: it was written with force_uniform = false",
            )
            .with_help("ask for all rows with balanced=False, or write the dataset with force_uniform = true")
            .into());
        }
        let mut builder = IndexBuilder::new(filter);
        for group in 0..self.starts.len() - 1 {
            let batch = self.read(group, &[names::ROW, names::SPLIT, names::BALANCED])?;
            let rows = self.column(&batch, names::ROW)?.as_primitive_opt::<UInt64Type>();
            let splits = self.column(&batch, names::SPLIT)?.as_dictionary_opt::<Int32Type>();
            let (Some(rows), Some(splits)) = (rows, splits) else { return Err(self.foreign("row or split")) };
            let texts = splits.values().as_string_opt::<i32>().ok_or_else(|| self.foreign(names::SPLIT))?;
            let by_key: Vec<Option<Split>> = texts.iter().map(|n| n.and_then(Split::from_name)).collect();
            let marks = batch.column_by_name(names::BALANCED).and_then(|c| c.as_boolean_opt());
            for place in 0..batch.num_rows() {
                let split = by_key.get(splits.keys().value(place) as usize).copied().flatten();
                let split = split.ok_or_else(|| self.foreign(names::SPLIT))?;
                builder.push(rows.value(place), split, marks.is_some_and(|m| m.value(place)));
            }
        }
        Ok(builder.finish())
    }

    /// The classes of the samples, in order.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read.
    pub fn labels(&self, index: &SampleIndex) -> Result<Vec<u8>> {
        let mut labels = Vec::new();
        for (group, rows) in self.starts.windows(2).enumerate() {
            let mut samples = index.within(rows[0]..rows[1]).peekable();
            if samples.peek().is_none() {
                continue;
            }
            let batch = self.read(group, &[names::CLASSIFICATION_LABEL])?;
            let classes = self.classes(&batch)?;
            labels.extend(samples.map(|place| classes[(place - rows[0]) as usize]));
        }
        Ok(labels)
    }

    /// The row group that holds a row.
    fn group_of(&self, row: u64) -> usize {
        self.starts.partition_point(|start| *start <= row) - 1
    }

    /// Columns of one row group; names that the file lacks are left out.
    fn read(&self, group: usize, columns: &[&str]) -> Result<RecordBatch> {
        let file = File::open(&self.path).map_err(|e| InputError::unreadable(&self.path, e))?;
        let mask = ProjectionMask::columns(self.footer.parquet_schema(), columns.iter().copied());
        let rows = (self.starts[group + 1] - self.starts[group]) as usize;
        let mut batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.footer.clone())
            .with_projection(mask)
            .with_row_groups(vec![group])
            .with_batch_size(rows.max(1))
            .build()
            .map_err(|e| InputError::unreadable(&self.path, e))?;
        let batch = batches.next().ok_or_else(|| InputError::unreadable(&self.path, "a row group without rows"))?;
        let batch = batch.map_err(|e| InputError::unreadable(&self.path, e))?;
        if batch.num_rows() == rows {
            Ok(batch)
        } else {
            Err(InputError::unreadable(&self.path, "a row group shorter than the footer says").into())
        }
    }

    fn column<'a>(&self, batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array> {
        batch.column_by_name(name).map(|c| c.as_ref()).ok_or_else(|| {
            InputError::new(&self.path, format!("has no column {name:?}"))
                .with_help("the columns that a dataset has are listed in the README")
                .into()
        })
    }

    fn classes(&self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let labels = self.column(batch, names::CLASSIFICATION_LABEL)?.as_primitive_opt::<Int32Type>();
        let labels = labels.ok_or_else(|| self.foreign(names::CLASSIFICATION_LABEL))?;
        labels
            .values()
            .iter()
            .map(|l| u8::try_from(*l).map_err(|_| self.foreign(names::CLASSIFICATION_LABEL)))
            .collect()
    }

    fn foreign(&self, column: &str) -> crate::Error {
        InputError::unreadable(&self.path, format!("the column {column} holds what lobset never writes")).into()
    }
}

/// The latest row groups that were decoded.
struct Recent<T> {
    most: usize,
    /// The latest at the end.
    held: VecDeque<(usize, Arc<T>)>,
}

impl<T> Recent<T> {
    fn new(most: usize) -> Self {
        Self { most, held: VecDeque::new() }
    }

    fn get(&mut self, group: usize, decode: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let item = match self.held.iter().position(|(held, _)| *held == group) {
            Some(place) => self.held.remove(place),
            None => None,
        };
        let item = match item {
            Some(item) => item,
            None => {
                // Room is made first: decoding needs it.
                while self.held.len() >= self.most {
                    self.held.pop_front();
                }
                (group, Arc::new(decode()?))
            }
        };
        let found = Arc::clone(&item.1);
        self.held.push_back(item);
        Ok(found)
    }
}

/// A row group's levels in micro-pips, and its classes.
struct Group {
    levels: Levels<'static>,
    classes: Vec<u8>,
}

/// Consecutive time bins that lie on one grid.
#[derive(Default)]
struct BinRun {
    /// The first row of the grid.
    phase: u64,
    /// Number of the first bin held, on the grid.
    first: u64,
    bins: VecDeque<Arc<Bin>>,
}

/// Depth tensors of a dataset. Keeps the row groups used last and the time bins that neighbouring windows share; threads
/// may share it.
pub struct WindowCache {
    reader: DatasetReader,
    spec: DepthSpec,
    state: Mutex<State>,
}

struct State {
    groups: Recent<Group>,
    run: BinRun,
}

impl WindowCache {
    /// Tensors of `spec` out of a dataset. Memory holds `row_groups` of them (by default, and at least, one more than a
    /// window spans; about 42 MB each with all features), and the bins of a few windows.
    ///
    /// # Errors
    /// [`InputError`] when the dataset was written with `drop_unbalanced`: the rows between are lost.
    pub fn new(reader: DatasetReader, spec: DepthSpec, row_groups: Option<usize>) -> Result<Self> {
        if reader.config.drop_unbalanced {
            return Err(InputError::new(
                reader.path(),
                "was written with drop_unbalanced = true, so the rows between its samples are lost and no window is whole",
            )
            .with_help("write it again with drop_unbalanced = false and let the loader pick the marked rows: balanced=True")
            .into());
        }
        let smallest = reader.starts.windows(2).map(|s| s[1] - s[0]).min().unwrap_or(1).max(1);
        let spanned = (spec.samples() as u64).div_ceil(smallest) as usize + 1;
        let kept = row_groups.unwrap_or(0).max(spanned + 1);
        let state = State { groups: Recent::new(kept), run: BinRun::default() };
        Ok(Self { reader, spec, state: Mutex::new(state) })
    }

    /// What its tensors picture.
    pub fn spec(&self) -> &DepthSpec {
        &self.spec
    }

    /// The dataset.
    pub fn reader(&self) -> &DatasetReader {
        &self.reader
    }

    /// Writes the tensor of the window that ends at `place` into `out` ([`DepthSpec::cells`] long) and returns the class
    /// of that row.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read, or the window begins before it.
    pub fn tensor(&self, place: u64, out: &mut [f32]) -> Result<u8> {
        let refuse = |message: String| Err(InputError::new(self.reader.path(), message).into());
        let samples = self.spec.samples() as u64;
        if place >= self.reader.rows() || place + 1 < samples {
            return refuse(format!("row {place} of {} has no window of {samples} rows", self.reader.rows()));
        }
        let (bins, base, class) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let group = self.reader.group_of(place);
            let last = self.group(&mut state, group)?;
            let row = (place - self.reader.starts[group]) as usize;
            let best = |side| last.levels.micro_pips(&self.spec, side, 0, row);
            let Some(base) = self.spec.base(best(0), best(1)) else {
                return refuse(format!("row {place} lacks its best bid or its best ask"));
            };
            (self.bins(&mut state, place + 1 - samples)?, base, last.classes[row])
        };
        self.spec.paint(&bins, base, out);
        Ok(class)
    }

    fn group(&self, state: &mut State, group: usize) -> Result<Arc<Group>> {
        state.groups.get(group, || decode(&self.reader, &self.spec, group))
    }

    /// The bins of the window that starts at a row. Those that the window before had are not made again.
    fn bins(&self, state: &mut State, from: u64) -> Result<Vec<Arc<Bin>>> {
        let (rows, count) = (self.spec.ticks_per_bin() as u64, self.spec.time_bins() as u64);
        let (phase, first) = (from % rows, from / rows);
        let held = state.run.first..state.run.first + state.run.bins.len() as u64;
        if state.run.phase != phase || first > held.end || first + count < held.start {
            state.run = BinRun { phase, first, bins: VecDeque::new() };
        }
        if first < state.run.first {
            let missing = (state.run.first - first) as usize;
            let bins = self.make(state, from, missing)?;
            bins.into_iter().rev().for_each(|bin| state.run.bins.push_front(bin));
            state.run.first = first;
        }
        let end = state.run.first + state.run.bins.len() as u64;
        if end < first + count {
            let bins = self.make(state, phase + end * rows, (first + count - end) as usize)?;
            state.run.bins.extend(bins);
        }
        let offset = (first - state.run.first) as usize;
        let found = state.run.bins.range(offset..offset + count as usize).cloned().collect();
        // Enough for windows that go back and forth within a few lengths of their own.
        let most = 8 * count as usize;
        if state.run.bins.len() > most {
            if offset > most / 2 {
                let extra = state.run.bins.len() - most;
                state.run.bins.drain(..extra.min(offset));
                state.run.first += extra.min(offset) as u64;
            } else {
                state.run.bins.truncate(most);
            }
        }
        Ok(found)
    }

    /// The bins that start at a row.
    fn make(&self, state: &mut State, mut from: u64, count: usize) -> Result<Vec<Arc<Bin>>> {
        let rows = self.spec.ticks_per_bin();
        let mut bins = Vec::with_capacity(count);
        while bins.len() < count {
            let group = self.reader.group_of(from);
            let start = (from - self.reader.starts[group]) as usize;
            let held = self.group(state, group)?;
            let whole = ((held.levels.rows() - start) / rows).min(count - bins.len());
            let made = if whole > 0 {
                Bin::of_rows(&self.spec, &held.levels, start..start + whole * rows)
            } else {
                Bin::of_rows(&self.spec, &self.join(state, group, start)?, 0..rows)
            };
            from += (made.len() * rows) as u64;
            bins.extend(made.into_iter().map(Arc::new));
        }
        Ok(bins)
    }

    /// The rows of one bin that lies in several row groups.
    fn join(&self, state: &mut State, mut group: usize, mut start: usize) -> Result<Levels<'static>> {
        let rows = self.spec.ticks_per_bin();
        let mut joined = Levels::empty();
        while joined.rows() < rows {
            let held = self.group(state, group)?;
            let end = held.levels.rows().min(start + rows - joined.rows());
            joined.append(&held.levels, start..end);
            (group, start) = (group + 1, 0);
        }
        Ok(joined)
    }
}

/// Reads a row group's levels: prices, and what the features need.
fn decode(reader: &DatasetReader, spec: &DepthSpec, group: usize) -> Result<Group> {
    let columns = spec.columns();
    let columns: Vec<&str> = columns.iter().map(String::as_str).chain([names::CLASSIFICATION_LABEL]).collect();
    let batch = reader.read(group, &columns)?;
    let levels = Levels::from_batch(&batch, spec).map_err(|e| InputError::unreadable(reader.path(), e))?;
    Ok(Group { levels: levels.into_micro_pips(spec), classes: reader.classes(&batch)? })
}

/// Rows of a dataset as vectors of floats. Keeps the row groups used last; threads may share it.
pub struct RowCache {
    reader: DatasetReader,
    columns: Vec<String>,
    groups: Mutex<Recent<Matrix>>,
}

/// A row group's numbers, row by row, and its classes.
struct Matrix {
    cells: Vec<f32>,
    classes: Vec<u8>,
}

/// Row groups of vectors that are kept.
const ROW_GROUPS_KEPT: usize = 2;

impl RowCache {
    /// Vectors of these columns, in this order.
    ///
    /// # Errors
    /// [`InputError`] when a column is missing or holds no numbers.
    pub fn new(reader: DatasetReader, columns: Vec<String>) -> Result<Self> {
        let known = reader.numeric_columns();
        if let Some(odd) = columns.iter().find(|c| !known.contains(c)) {
            return Err(InputError::new(reader.path(), format!("has no column {odd:?} that fits a vector of floats"))
                .with_help(format!("it has {}", known.join(", ")))
                .into());
        }
        Ok(Self { reader, columns, groups: Mutex::new(Recent::new(ROW_GROUPS_KEPT)) })
    }

    /// The columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The dataset.
    pub fn reader(&self) -> &DatasetReader {
        &self.reader
    }

    /// Writes the numbers of the row at `place` into `out`, NaN for null, and returns its class.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read or has no such row.
    pub fn row(&self, place: u64, out: &mut [f32]) -> Result<u8> {
        if place >= self.reader.rows() {
            let message = format!("has {} rows, so none with the number {place}", self.reader.rows());
            return Err(InputError::new(self.reader.path(), message).into());
        }
        let group = self.reader.group_of(place);
        let matrix = {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            groups.get(group, || self.decode(group))?
        };
        let row = (place - self.reader.starts[group]) as usize;
        out.copy_from_slice(&matrix.cells[row * self.columns.len()..][..self.columns.len()]);
        Ok(matrix.classes[row])
    }

    fn decode(&self, group: usize) -> Result<Matrix> {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).chain([names::CLASSIFICATION_LABEL]).collect();
        let batch = self.reader.read(group, &columns)?;
        let width = self.columns.len();
        let mut cells = vec![0.0; width * batch.num_rows()];
        for (place, name) in self.columns.iter().enumerate() {
            let column = self.reader.column(&batch, name)?;
            let slots = cells.iter_mut().skip(place).step_by(width);
            floats(column, slots).ok_or_else(|| self.reader.foreign(name))?;
        }
        Ok(Matrix { cells, classes: self.reader.classes(&batch)? })
    }
}

/// A column's numbers as f32, NaN for null.
fn floats<'a>(column: &dyn Array, slots: impl Iterator<Item = &'a mut f32>) -> Option<()> {
    macro_rules! copy {
        ($($kind:ty),*) => {
            $(if let Some(column) = column.as_primitive_opt::<$kind>() {
                slots.zip(column.iter()).for_each(|(slot, v)| *slot = v.map_or(f32::NAN, |v| v as f32));
                return Some(());
            })*
        };
    }
    copy!(Float64Type, Int64Type, UInt32Type, Int32Type, UInt16Type, UInt8Type, UInt64Type);
    None
}
