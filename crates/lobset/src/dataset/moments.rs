//! Means and deviations of the columns of a dataset, from the sums in the file next to it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use num_bigint::BigInt;
use num_traits::ToPrimitive;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::file::DatasetFile;
use crate::config::CLASSIC;
use crate::error::{ConfigError, InputError, Result};
use crate::output::{MOMENTS_ENDING, SYMBOL_KEY, VERSION_KEY, moments_columns, names};
use crate::storage;

/// Maximum number of rows of the file: enough for 150 columns and 100,000 input files. All rows are kept in memory.
const MOST_ROWS: usize = 15_000_000;

/// Number of rows decoded at a time.
const BATCH: usize = 8_192;

/// Counts, sums and sums of squares of the numeric columns of a dataset, by input file.
#[derive(Debug)]
pub struct Moments {
    path: PathBuf,
    symbol: String,
    version: String,
    /// The targets with sums over their fit rows, each given by the suffix of its column names.
    suffixes: Vec<String>,
    columns: Vec<String>,
    divisors: Vec<i64>,
    files: Vec<String>,
    /// By file, then by set (all rows, then the fit rows of each target), then by column.
    sums: Vec<StoredSums>,
}

/// The sums of a column over some rows, as stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StoredSums {
    /// Number of values that are not null.
    pub count: u64,
    /// The sum and the sum of squares of whole numbers.
    pub integers: [Option<i128>; 2],
    /// The sum and the sum of squares of floats.
    pub floats: [Option<f64>; 2],
}

/// Mean and deviation of a column over some rows, in the unit of the dataset's column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColumnMoments {
    /// Number of values that are not null.
    pub count: u64,
    /// The mean; `None` without values, or if a sum has more than 38 digits.
    pub mean: Option<f64>,
    /// The sample standard deviation (divisor `count` - 1); `None` with fewer than two values, or if a sum has more than
    /// 38 digits. That of whole numbers and prices is exact until its last rounding; that of derived columns loses digits
    /// where it is far smaller than the mean.
    pub deviation: Option<f64>,
}

impl Moments {
    /// Reads the sums of a dataset, given its path or URL, from the file next to it: `*_moments.parquet` for
    /// `*_dataset.parquet`.
    ///
    /// # Errors
    /// [`InputError`] when `dataset` is not the name of a dataset, or the file cannot be read or was not written by lobset.
    pub fn open(dataset: &Path) -> Result<Self> {
        let path = storage::plain(dataset);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some((stem, rest)) = name.rsplit_once("_dataset.") else {
            return Err(InputError::new(&path, "is not the name of a dataset")
                .with_help("pass a *_dataset.parquet written by lobset process")
                .into());
        };
        Self::read(&path.with_file_name(format!("{stem}{MOMENTS_ENDING}.{rest}")))
    }

    /// Reads a file with sums.
    ///
    /// # Errors
    /// [`InputError`] when it cannot be read or was not written by lobset.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let absent = "it belongs next to the dataset: copy it too, or write the dataset again with lobset process";
        let fail = |cause: &dyn std::fmt::Display| InputError::unreadable(path, cause);
        let bytes = storage::stat(path).map_err(|e| InputError::unread(path, e).with_help(absent))?.bytes;
        let file = DatasetFile::of_size(path, bytes)?;
        let footer = file.footer().map(Arc::new).map_err(|e| fail(&e))?;
        let footer = ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new()).map_err(|e| fail(&e))?;
        let pairs = footer.metadata().file_metadata().key_value_metadata();
        let value = |key: &str| {
            let pair = pairs.into_iter().flatten().find(|pair| pair.key == key);
            pair.and_then(|pair| pair.value.clone()).ok_or_else(|| {
                InputError::new(path, format!("is not a file of lobset: its metadata lacks {key}"))
                    .with_help("pass a dataset written by lobset process, with the files beside it")
            })
        };
        let fit_count = format!("fit_{}", moments_columns::SUMS[0]);
        let suffixes = footer.schema().fields().iter().filter_map(|field| field.name().strip_prefix(&fit_count));
        let suffixes = suffixes.map(str::to_owned).collect();
        let mut moments = Self {
            path: path.to_owned(),
            symbol: value(SYMBOL_KEY)?,
            version: value(VERSION_KEY)?,
            suffixes,
            columns: Vec::new(),
            divisors: Vec::new(),
            files: Vec::new(),
            sums: Vec::new(),
        };
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.whole(), footer);
        let mut rows = 0;
        for batch in reader.with_batch_size(BATCH).build().map_err(|e| fail(&e))? {
            let batch = batch.map_err(|e| fail(&e))?;
            moments.take(&batch, &mut rows).map_err(|e| fail(&e))?;
        }
        if rows == 0 || !rows.is_multiple_of(moments.columns.len()) {
            return Err(fail(&"its last input file lacks columns").into());
        }
        moments.order();
        Ok(moments)
    }

    /// Takes the next rows. Sums are in the order of the file: by file, then by column, then by set.
    fn take(&mut self, batch: &RecordBatch, rows: &mut usize) -> Result<(), String> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("it has no column {name:?}"));
        let foreign = |name: &str| format!("the column {name:?} contains values that lobset never writes");
        let text = |name: &str| {
            column(name)?.as_string_opt::<i32>().filter(|c| c.null_count() == 0).ok_or_else(|| foreign(name))
        };
        let (files, names) = (text(moments_columns::FILE)?, text(moments_columns::COLUMN)?);
        let divisors = column(moments_columns::DIVISOR)?.as_primitive_opt::<Int64Type>();
        let divisors = divisors.ok_or_else(|| foreign(moments_columns::DIVISOR))?;
        let sets = ["".to_owned()].into_iter().map(|none| (none.clone(), none));
        let sets = sets.chain(self.suffixes.iter().map(|suffix| ("fit_".to_owned(), suffix.clone())));
        let mut of_sets = Vec::new();
        for (before, after) in sets {
            let [count, sum, squares, float, float_squares] =
                moments_columns::SUMS.map(|name| format!("{before}{name}{after}"));
            let counts = column(&count)?.as_primitive_opt::<UInt64Type>().ok_or_else(|| foreign(&count))?;
            let decimals = |name: &str| {
                let decimals = column(name)?.as_primitive_opt::<Decimal128Type>().filter(|c| c.scale() == 0);
                decimals.ok_or_else(|| foreign(name))
            };
            let floats = |name: &str| column(name)?.as_primitive_opt::<Float64Type>().ok_or_else(|| foreign(name));
            of_sets.push((counts, [decimals(&sum)?, decimals(&squares)?], [floats(&float)?, floats(&float_squares)?]));
        }
        for row in 0..batch.num_rows() {
            if *rows == MOST_ROWS {
                return Err(format!("it has more than {MOST_ROWS} rows"));
            }
            let (file, name, divisor) = (files.value(row), names.value(row), divisors.value(row));
            if divisors.is_null(row) || divisor <= 0 {
                return Err(foreign(moments_columns::DIVISOR));
            }
            // All input files have the columns of the first one.
            let first = self.columns.first().is_none_or(|first| first == name);
            if self.files.is_empty() || first {
                self.files.push(file.to_owned());
            }
            let place = match self.files.len() {
                1 => {
                    self.columns.push(name.to_owned());
                    self.divisors.push(divisor);
                    *rows
                }
                files => *rows - (files - 1) * self.columns.len(),
            };
            let known = self.columns.get(place).is_some_and(|known| known == name) && self.divisors[place] == divisor;
            if !known || self.files.last().is_none_or(|last| last != file) {
                return Err(format!("row {rows}: {name:?} of {file:?} is not the next column of this input file"));
            }
            for (counts, integers, floats) in &of_sets {
                self.sums.push(StoredSums {
                    count: if counts.is_null(row) { 0 } else { counts.value(row) },
                    integers: integers.map(|column| column.is_valid(row).then(|| column.value(row))),
                    floats: floats.map(|column| column.is_valid(row).then(|| column.value(row))),
                });
            }
            *rows += 1;
        }
        Ok(())
    }

    /// Puts the sums of each file in the order of [`sums`](Self::sums).
    fn order(&mut self) {
        let (columns, sets) = (self.columns.len(), self.sets());
        for file in self.sums.chunks_mut(columns * sets) {
            let by_column = file.to_vec();
            for (place, sums) in file.iter_mut().enumerate() {
                *sums = by_column[place % columns * sets + place / columns];
            }
        }
    }

    /// The path or URL of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The symbol of the dataset.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// The version of lobset that wrote it.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The names of the input files that the rows of the dataset come from, in their order.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Number of the dataset's rows that come from the input file at this place in [`files`](Self::files). The rows of
    /// a dataset are in the order of the files.
    pub fn rows_of(&self, file: usize) -> u64 {
        // Every row has a mid price.
        let mid = self.columns.iter().position(|name| name == names::MID_PRICE);
        mid.and_then(|mid| self.stored(file, 0).get(mid)).map_or(0, |sums| sums.count)
    }

    /// The numeric columns of the dataset, in its order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The suffix of each target's column names.
    pub(crate) fn suffixes(&self) -> &[String] {
        &self.suffixes
    }

    /// The divisor of each column's sums: it turns them into sums of the values in the dataset.
    pub(crate) fn divisors(&self) -> &[i64] {
        &self.divisors
    }

    /// Number of sets of rows: all, and the fit rows of each target.
    pub(crate) fn sets(&self) -> usize {
        1 + self.suffixes.len()
    }

    /// The sums of the columns over a set of the rows of a file, as stored; none outside the file.
    pub(crate) fn stored(&self, file: usize, set: usize) -> &[StoredSums] {
        let start = (file * self.sets() + set) * self.columns.len();
        self.sums.get(start..start + self.columns.len()).unwrap_or_default()
    }

    /// Means and deviations of the columns over the rows of some of the input files, given their places. Places without
    /// a file add nothing.
    pub fn of_files(&self, files: Range<usize>) -> Vec<ColumnMoments> {
        self.of_set(files, 0)
    }

    /// Means and deviations of the columns over the rows of the `days` input files before the one at place `file`;
    /// `None` if there are fewer.
    pub fn before(&self, file: usize, days: usize) -> Option<Vec<ColumnMoments>> {
        Some(self.of_files(file.checked_sub(days)?..file))
    }

    /// Means and deviations of the columns over the fit rows of a target: `classic`, or the name of another.
    ///
    /// # Errors
    /// [`ConfigError`] when the dataset has no such target. It lists those that exist.
    pub fn of_fit(&self, target: &str) -> Result<Vec<ColumnMoments>, ConfigError> {
        let name = |suffix: &String| suffix.strip_prefix('_').unwrap_or(CLASSIC).to_owned();
        let names: Vec<String> = self.suffixes.iter().map(name).collect();
        let unknown =
            || ConfigError::one(format!("target: {target:?} is not one of the dataset's: {}", names.join(", ")));
        let set = names.iter().position(|name| name == target).ok_or_else(unknown)?;
        Ok(self.of_set(0..self.files.len(), 1 + set))
    }

    fn of_set(&self, files: Range<usize>, set: usize) -> Vec<ColumnMoments> {
        let files = files.start.min(self.files.len())..files.end.min(self.files.len());
        let column = |(place, divisor): (usize, &i64)| {
            let sums: Vec<StoredSums> = files.clone().map(|file| self.stored(file, set)[place]).collect();
            moments(&sums, *divisor)
        };
        self.divisors.iter().enumerate().map(column).collect()
    }
}

/// Mean and deviation from sums in units of 1 / `divisor`.
fn moments(sums: &[StoredSums], divisor: i64) -> ColumnMoments {
    let count: u64 = sums.iter().map(|sums| sums.count).fold(0, u64::saturating_add);
    let add = |place: usize| {
        let all: Option<Vec<i128>> = sums.iter().map(|sums| sums.integers[place]).collect();
        all.map(|all| all.into_iter().map(BigInt::from).sum::<BigInt>())
    };
    let add_floats = |place: usize| sums.iter().map(|sums| sums.floats[place]).sum::<Option<f64>>();
    let (rows, divisor) = (count as f64, divisor as f64);
    let degrees = rows * (rows - 1.0);
    let (mean, variance) = match (add(0), add_floats(0)) {
        (Some(sum), _) => {
            // The mean of squares minus the square of the mean, times the square of the count: exact.
            let spread = add(1).map(|squares| squares * count - &sum * &sum);
            (sum.to_f64().map(|sum| sum / (rows * divisor)), spread.and_then(|spread| spread.to_f64()))
        }
        (None, Some(sum)) => (Some(sum / rows), add_floats(1).map(|squares| rows * squares - sum * sum)),
        (None, None) => (None, None),
    };
    let deviation = variance.map(|spread| (spread.max(0.0) / degrees).sqrt() / divisor);
    ColumnMoments { count, mean: mean.filter(|_| count > 0), deviation: deviation.filter(|_| count > 1) }
}
