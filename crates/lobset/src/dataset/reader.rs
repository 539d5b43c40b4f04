//! Reads columns and samples of a dataset, row group by row group.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, RecordBatch, RecordBatchReader};
use arrow_schema::DataType;
use arrow_select::concat::concat_batches;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::statistics::Statistics;
use serde::Deserialize;

use super::file::{DatasetFile, GroupBytes};
use crate::cache::Subject;
use crate::cast::to_usize;
use crate::config::{CLASSIC, Config, Target};
use crate::error::{ConfigError, InputError, Result};
use crate::output::{
    CONFIG_KEY, Column, LADDER_KEY, Ladder, ROW_GROUP_ROWS, Role, SYMBOL_KEY, THRESHOLDS_KEY, columns, names,
};
use crate::storage;
use crate::time_text::Timestamp;

/// A dataset open for reading. Keeps its footer in memory.
#[derive(Debug)]
pub struct DatasetReader {
    path: PathBuf,
    /// Size of the file.
    bytes: u64,
    footer: ArrowReaderMetadata,
    /// The first row of each row group, then the total number of rows.
    starts: Vec<u64>,
    config: Config,
    symbol: String,
    micro_pip_size: f64,
    /// The targets whose labels are read; at least one.
    targets: Vec<Target>,
}

/// What reads a row group, before it is built.
type GroupReader = ParquetRecordBatchReaderBuilder<GroupBytes>;

impl DatasetReader {
    /// Opens a dataset. Labels are those of the classic target; [`of_targets`](Self::of_targets) chooses
    /// others.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read, or was not written by lobset.
    pub fn open(path: &Path) -> Result<Self> {
        let path = storage::plain(path);
        let path = path.as_path();
        let file = DatasetFile::open(path)?;
        let bytes = file.bytes();
        let footer = file.footer().map(Arc::new).map_err(|e| InputError::unreadable(path, e))?;
        let footer = ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new());
        let footer = footer.map_err(|e| InputError::unreadable(path, e))?;
        let pairs = footer.metadata().file_metadata().key_value_metadata();
        let value = |key: &str| {
            let pair = pairs.into_iter().flatten().find(|pair| pair.key == key);
            pair.and_then(|pair| pair.value.as_deref()).ok_or_else(|| {
                InputError::new(path, format!("is not a lobset dataset: its metadata lacks {key}"))
                    .with_help("pass a *_dataset.parquet written by lobset process")
            })
        };
        let config: Config = serde_json::from_str(value(CONFIG_KEY)?).map_err(|e| InputError::unreadable(path, e))?;
        let targets = find_targets(&config, &[CLASSIC])?;
        let symbol = value(SYMBOL_KEY)?.to_owned();
        // Datasets from before `micro_pip_size = "auto"` have no ladder of their own.
        let micro_pip_size = match config.micro_pip_size.fixed() {
            Some(size) => size,
            None => {
                let ladder: Ladder =
                    serde_json::from_str(value(LADDER_KEY)?).map_err(|e| InputError::unreadable(path, e))?;
                ladder.micro_pip_size
            }
        };
        let mut starts = vec![0];
        let mut end = 0_u64;
        for group in footer.metadata().row_groups() {
            let rows = u64::try_from(group.num_rows()).ok();
            end = rows.and_then(|rows| end.checked_add(rows)).ok_or_else(|| {
                let cause = format!("its footer claims a row group of {} rows", group.num_rows());
                InputError::unreadable(path, cause)
            })?;
            starts.push(end);
        }
        Ok(Self { path: path.to_owned(), bytes, config, symbol, micro_pip_size, targets, starts, footer })
    }

    /// Reads the labels of the targets with these names.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no name, a name is repeated, or it is not a target of the dataset. The error lists
    /// the dataset's targets.
    pub fn of_targets(self, names: &[impl AsRef<str>]) -> Result<Self, ConfigError> {
        let targets = find_targets(&self.config, names)?;
        Ok(Self { targets, ..self })
    }

    /// The targets whose labels are read; at least one.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The first of them.
    pub fn target(&self) -> &Target {
        &self.targets[0]
    }

    /// The settings the dataset was written with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The symbol of the dataset.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// The price step of the symbol's depth tensors, in price units.
    pub fn micro_pip_size(&self) -> f64 {
        self.micro_pip_size
    }

    /// The path or URL of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The columns that can be part of a vector of floats, in the file's order: all numeric columns except those that
    /// identify the row or belong to its label. Only columns that the settings produce are listed.
    pub fn numeric_columns(&self) -> Vec<String> {
        self.features(|_| true)
    }

    /// The columns of the ten levels, and those computed from them: the mid price, and what the setting `derived` adds.
    pub fn book_columns(&self) -> Vec<String> {
        self.features(|column| matches!(column.role, Role::Book | Role::Derived))
    }

    /// Checks that a column can be part of a vector of floats. Numeric columns that a user added to the file can.
    ///
    /// # Errors
    /// Why it cannot, as the rest of a sentence.
    pub(crate) fn check_feature(&self, name: &str) -> Result<(), &'static str> {
        let Some((_, field)) = self.footer.schema().column_with_name(name) else { return Err("is not in the file") };
        match columns(&self.config, true).iter().find(|column| column.name == name) {
            Some(column) if column.is_feature() => Ok(()),
            Some(Column { role: Role::Target, .. }) => Err("is a label, not a feature"),
            Some(Column { role: Role::Key, .. }) => Err("identifies the row and is not a feature"),
            None if field.data_type().is_integer() || field.data_type().is_floating() => Ok(()),
            _ => Err("is not numeric"),
        }
    }

    fn features(&self, wanted: impl Fn(&Column) -> bool) -> Vec<String> {
        let is_there = |column: &Column| self.footer.schema().column_with_name(&column.name).is_some();
        let features = columns(&self.config, true).into_iter().filter(|column| column.is_feature() && wanted(column));
        features.filter(is_there).map(|column| column.name).collect()
    }

    /// The row group that contains the row at `place`, and the position within it.
    pub(crate) fn locate(&self, place: u64) -> (usize, usize) {
        let group = self.starts.partition_point(|start| *start <= place) - 1;
        (group, to_usize(place - self.starts[group]))
    }

    /// Number of rows of the smallest row group, at least 1.
    pub(crate) fn smallest_group(&self) -> u64 {
        self.starts.windows(2).map(|starts| starts[1] - starts[0]).min().unwrap_or(1).max(1)
    }

    /// Describes a cache file of this dataset: what it holds, and its layout.
    pub(crate) fn subject(&self, holds: &str, layout: serde_json::Value) -> Result<Subject> {
        let footer = DatasetFile::of_size(&self.path, self.bytes)?.footer_hash();
        Ok(Subject {
            dataset: self.path.clone(),
            symbol: self.symbol.clone(),
            footer: footer.map_err(|e| InputError::unread(&self.path, e))?,
            size: self.bytes,
            holds: holds.to_owned(),
            layout,
        })
    }

    /// The boundary time: every label of the split `fit` ends before it.
    ///
    /// # Errors
    /// [`InputError`] when the metadata of the file lacks it.
    pub(crate) fn fit_until(&self) -> Result<Timestamp> {
        let pairs = self.footer.metadata().file_metadata().key_value_metadata();
        let pair = pairs.into_iter().flatten().find(|pair| pair.key == THRESHOLDS_KEY);
        let thresholds = pair.and_then(|pair| serde_json::from_str::<FitUntil>(pair.value.as_deref()?).ok());
        let missing = || {
            InputError::new(&self.path, format!("is not a lobset dataset: its metadata lacks {THRESHOLDS_KEY}"))
                .with_help("pass a *_dataset.parquet written by lobset process")
        };
        Ok(thresholds.ok_or_else(missing)?.fit_until)
    }

    /// The latest `ts_recv` of a row group, by the statistics of the file; `None` if it lacks them.
    pub(crate) fn latest(&self, group: usize) -> Option<u64> {
        let metadata = self.footer.metadata();
        let columns = metadata.file_metadata().schema_descr().columns();
        let place = columns.iter().position(|column| column.name() == names::TS_RECV)?;
        match metadata.row_group(group).column(place).statistics()? {
            Statistics::Int64(of) => of.max_opt().and_then(|latest| u64::try_from(*latest).ok()),
            _ => None,
        }
    }

    /// The least and the greatest value of a column, by the statistics of the file; `None` if it lacks them. The column
    /// may also have nulls.
    pub(crate) fn extremes(&self, column: &str) -> Option<[f64; 2]> {
        let metadata = self.footer.metadata();
        let place = metadata.file_metadata().schema_descr().columns().iter().position(|c| c.name() == column)?;
        let mut extremes: Option<[f64; 2]> = None;
        for group in metadata.row_groups() {
            let statistics = group.column(place).statistics()?;
            let of_group = match statistics {
                Statistics::Double(of) => of.min_opt().zip(of.max_opt()).map(|(low, high)| [*low, *high]),
                Statistics::Int64(of) => of.min_opt().zip(of.max_opt()).map(|(low, high)| [*low as f64, *high as f64]),
                // Unsigned columns are stored as the bits.
                Statistics::Int32(of) => {
                    let float = |bits: &i32| f64::from(bits.cast_unsigned());
                    of.min_opt().zip(of.max_opt()).map(|(low, high)| [float(low), float(high)])
                }
                _ => return None,
            };
            let Some(of_group) = of_group else {
                let nulls = statistics.null_count_opt()?;
                if Some(nulls) == u64::try_from(group.num_rows()).ok() {
                    continue;
                }
                return None;
            };
            let [low, high] = extremes.unwrap_or(of_group);
            extremes = Some([low.min(of_group[0]), high.max(of_group[1])]);
        }
        extremes
    }

    /// The least and the greatest number of a column of integers of at most 32 bits, by the statistics of the file; `None` if
    /// it lacks them.
    pub(crate) fn whole_extremes(&self, column: &str) -> Option<[i64; 2]> {
        let signed = !self.data_type(column)?.is_unsigned_integer();
        let metadata = self.footer.metadata();
        let place = metadata.file_metadata().schema_descr().columns().iter().position(|c| c.name() == column)?;
        let number = |bits: &i32| if signed { i64::from(*bits) } else { i64::from(bits.cast_unsigned()) };
        let mut extremes: Option<[i64; 2]> = None;
        for group in metadata.row_groups() {
            let Statistics::Int32(of) = group.column(place).statistics()? else { return None };
            let (low, high) = (number(of.min_opt()?), number(of.max_opt()?));
            let [lowest, highest] = extremes.unwrap_or([low, high]);
            extremes = Some([lowest.min(low), highest.max(high)]);
        }
        extremes
    }

    /// The Arrow type of a column; `None` if the file lacks it.
    pub(crate) fn data_type(&self, column: &str) -> Option<&DataType> {
        self.footer.schema().column_with_name(column).map(|(_, field)| field.data_type())
    }

    /// The place of a column in the file; `None` if the file lacks it.
    pub(crate) fn column_place(&self, column: &str) -> Option<usize> {
        self.footer.schema().column_with_name(column).map(|(place, _)| place)
    }

    /// Refuses a dataset without the rows between its samples.
    ///
    /// # Errors
    /// [`InputError`] when it was written with `drop_unbalanced`.
    pub(crate) fn check_complete(&self) -> Result<()> {
        if !self.config.drop_unbalanced {
            return Ok(());
        }
        let message =
            "was written with drop_unbalanced = true: without the rows between its samples, no window is complete";
        let help =
            "write it again with drop_unbalanced = false, and select the marked rows when loading: balanced=True";
        Err(InputError::new(&self.path, message).with_help(help).into())
    }

    /// The rows of each row group, as positions in the file.
    pub fn groups(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.starts.windows(2).map(|starts| starts[0]..starts[1])
    }

    /// Reads a row group: the columns with these names, in this order, or all of them.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read, or lacks such a row group or column.
    pub fn row_group(&self, group: usize, columns: Option<&[String]>) -> Result<RecordBatch> {
        if group >= self.starts.len() - 1 {
            let message = format!("has no row group {group} of {}", self.starts.len() - 1);
            return Err(InputError::new(&self.path, message).into());
        }
        let all = || self.footer.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
        let names: Vec<&str> = columns.map_or_else(all, |names| names.iter().map(String::as_str).collect());
        names.iter().try_for_each(|name| self.check_column(name))?;
        let batch = self.read(group, &names)?;
        let places: Vec<usize> = names.iter().filter_map(|name| batch.schema_ref().index_of(name).ok()).collect();
        Ok(batch.project(&places).map_err(|e| InputError::unreadable(&self.path, e))?)
    }

    /// Reads columns of one row group; names that the file lacks are ignored.
    pub(crate) fn read(&self, group: usize, columns: &[&str]) -> Result<RecordBatch> {
        let rows = to_usize(self.starts[group + 1] - self.starts[group]);
        self.read_rows(group, columns, rows, |reader| reader.with_limit(rows))
    }

    /// Reads columns of ranges of a row group's rows, which ascend.
    pub(crate) fn read_ranges(&self, group: usize, ranges: &[Range<usize>], columns: &[&str]) -> Result<RecordBatch> {
        let all = to_usize(self.starts[group + 1] - self.starts[group]);
        let selection = RowSelection::from_consecutive_ranges(ranges.iter().cloned(), all);
        let rows = ranges.iter().map(Range::len).sum();
        self.read_rows(group, columns, rows, |reader| reader.with_row_selection(selection))
    }

    /// Reads columns of `rows` rows of a row group, which `select` selects.
    fn read_rows(
        &self,
        group: usize,
        columns: &[&str],
        rows: usize,
        select: impl FnOnce(GroupReader) -> GroupReader,
    ) -> Result<RecordBatch> {
        let mask = ProjectionMask::columns(self.footer.parquet_schema(), columns.iter().copied());
        let bytes = DatasetFile::of_size(&self.path, self.bytes)?.group(self.footer.metadata(), group, &mask);
        let bytes = bytes.map_err(|e| InputError::unreadable(&self.path, e))?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, self.footer.clone());
        // The reader allocates a batch before it sees its rows, and the number of rows is only a claim of the footer.
        let batches = select(reader.with_projection(mask).with_row_groups(vec![group]))
            .with_batch_size(rows.clamp(1, to_usize(ROW_GROUP_ROWS)))
            .build()
            .map_err(|e| InputError::unreadable(&self.path, e))?;
        self.joined(batches, rows)
    }

    /// The numbers of consecutive rows of the file, from the column `row`.
    pub(crate) fn row_numbers(&self, rows: Range<u64>) -> Result<Vec<u64>> {
        let mut numbers = Vec::with_capacity(to_usize(rows.end - rows.start));
        for (number, group) in self.groups().enumerate() {
            let (start, end) = (rows.start.max(group.start), rows.end.min(group.end));
            if start < end {
                let range = to_usize(start - group.start)..to_usize(end - group.start);
                let batch = self.read_ranges(number, &[range], &[names::ROW])?;
                let found = self.column(&batch, names::ROW)?.as_primitive_opt::<UInt64Type>();
                numbers.extend_from_slice(found.ok_or_else(|| self.foreign(names::ROW))?.values());
            }
        }
        Ok(numbers)
    }

    /// Joins batches, which have `rows` rows in total.
    fn joined(&self, batches: ParquetRecordBatchReader, rows: usize) -> Result<RecordBatch> {
        let schema = batches.schema();
        let batches: Vec<RecordBatch> =
            batches.collect::<Result<_, _>>().map_err(|e| InputError::unreadable(&self.path, e))?;
        let batch = match batches.as_slice() {
            [whole] => whole.clone(),
            parts => concat_batches(&schema, parts).map_err(|e| InputError::unreadable(&self.path, e))?,
        };
        if batch.num_rows() == rows {
            Ok(batch)
        } else {
            Err(InputError::unreadable(&self.path, "a row group shorter than the footer says").into())
        }
    }

    pub(crate) fn column<'a>(&self, batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array> {
        batch.column_by_name(name).map(|c| c.as_ref()).ok_or_else(|| self.without(name))
    }

    /// Refuses a name that is not a column of the file.
    ///
    /// # Errors
    /// [`InputError`] with the name.
    pub fn check_column(&self, name: &str) -> Result<()> {
        self.column_place(name).map(drop).ok_or_else(|| self.without(name))
    }

    fn without(&self, column: &str) -> crate::Error {
        let help = "the README lists the columns of a dataset";
        InputError::new(&self.path, format!("has no column {column:?}")).with_help(help).into()
    }

    pub(crate) fn foreign(&self, column: &str) -> crate::Error {
        InputError::unreadable(&self.path, format!("the column {column} contains values that lobset never writes"))
            .into()
    }
}

/// The part of the thresholds in the metadata that [`DatasetReader::fit_until`] reads.
#[derive(Deserialize)]
struct FitUntil {
    fit_until: Timestamp,
}

/// The targets of a dataset with these names.
fn find_targets(config: &Config, wanted: &[impl AsRef<str>]) -> Result<Vec<Target>, ConfigError> {
    let targets = config.all_targets();
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    if wanted.is_empty() {
        return Err(ConfigError::one(format!("target: name one at least, of {}", names.join(", "))));
    }
    let find = |(place, name): (usize, &str)| {
        if wanted[..place].iter().any(|earlier| earlier.as_ref() == name) {
            return Err(ConfigError::one(format!("target: {name:?} is given twice")));
        }
        let unknown = || format!("target: {name:?} is not one of the dataset's: {}", names.join(", "));
        let target = targets.iter().find(|target| target.name == name).cloned();
        target.ok_or_else(|| ConfigError::one(unknown()))
    };
    wanted.iter().map(AsRef::as_ref).enumerate().map(find).collect()
}
