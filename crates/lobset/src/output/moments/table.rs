//! The Parquet file with the sums of a dataset: one row for each input file and numeric column.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::sums::{ColumnSums, FileSums, SymbolSums, Totals};
use crate::config::{Config, Target};
use crate::error::{Error, Result};
use crate::output::chunk::codec;
use crate::output::column::Column;
use crate::output::dataset::{DatasetWriter, SYMBOL_KEY, VERSION_KEY, WrittenFile, symbol_in_name};
use crate::output::kind::Kind;
use crate::output::schema::{DatasetSchema, FileSchema};

/// The ending of the name of a file with sums, in place of `_dataset` in the name of a dataset.
pub const MOMENTS_ENDING: &str = "_moments";

/// The file name of a symbol's sums without its extension.
pub fn moments_stem(currency: &str, symbol: &str) -> String {
    format!("{currency}_{}{MOMENTS_ENDING}", symbol_in_name(symbol))
}

/// The file name of a symbol's sums.
pub fn moments_file_name(currency: &str, symbol: &str) -> String {
    moments_stem(currency, symbol) + ".parquet"
}

/// The columns of the file.
pub mod columns {
    use super::Target;

    /// The name of the input file.
    pub const FILE: &str = "file";
    /// The column of the dataset.
    pub const COLUMN: &str = "column";
    /// The number to divide sums by, and sums of squares twice, to get sums of the values in the dataset.
    pub const DIVISOR: &str = "divisor";
    /// The count, the sums of whole numbers, the sums of floats.
    pub const SUMS: [&str; 5] = ["count", "sum", "sum_of_squares", "sum_float", "sum_of_squares_float"];

    /// The five columns of sums over the fit rows of a target.
    pub fn of_fit(target: &Target) -> [String; 5] {
        SUMS.map(|name| target.column(&format!("fit_{name}")))
    }
}

/// Maximum number of digits of a decimal, and the smallest number with more digits.
const DIGITS: u8 = 38;
const TOO_LARGE: u128 = 10_u128.pow(38);

/// How many units of a column's sums make 1 in the dataset: prices are counted in 1e-9, mid prices in half of that.
fn divisor(kind: Kind) -> i64 {
    match kind {
        Kind::FloatPrice => 1_000_000_000,
        Kind::Mid => 2_000_000_000,
        _ => 1,
    }
}

/// Maximum number of rows of a row group, unless a single file has more columns.
const ROWS: usize = 1 << 16;

/// The Arrow schema of a file with the sums of these targets.
fn schema(targets: &[Target]) -> Schema {
    let field = |name: &str, kind: DataType| Field::new(name, kind, false);
    let key = [field(columns::FILE, DataType::Utf8), field(columns::COLUMN, DataType::Utf8)];
    let kinds = [DataType::UInt64, DataType::Decimal128(DIGITS, 0), DataType::Decimal128(DIGITS, 0)];
    let kinds = kinds.into_iter().chain([DataType::Float64, DataType::Float64]).enumerate();
    let names = [columns::SUMS.map(str::to_owned)].into_iter().chain(targets.iter().map(columns::of_fit));
    let sums = names.flat_map(|names| {
        let field = |(place, kind): (usize, DataType)| Field::new(names[place].clone(), kind, place > 0);
        kinds.clone().map(field).collect::<Vec<_>>()
    });
    let divisor = [field(columns::DIVISOR, DataType::Int64)];
    Schema::new(key.into_iter().chain(divisor).chain(sums).collect::<Vec<_>>())
}

/// The five columns of one set of sums.
fn arrays<'a>(sums: impl Iterator<Item = &'a ColumnSums> + Clone) -> Result<Vec<ArrayRef>, ArrowError> {
    let integers = |sums: &'a ColumnSums| match &sums.of {
        Totals::Integers { sum, squares } => [*sum, squares.and_then(|squares| i128::try_from(squares).ok())],
        Totals::Floats(_) => [None; 2],
    };
    let floats = |sums: &'a ColumnSums| match &sums.of {
        Totals::Integers { .. } => [None; 2],
        Totals::Floats(floats) => floats.nearest(),
    };
    let decimals = |place: usize| -> Result<ArrayRef, ArrowError> {
        let values = sums.clone().map(|sums| integers(sums)[place].filter(|value| value.unsigned_abs() < TOO_LARGE));
        Ok(Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(DIGITS, 0)?))
    };
    let floats: Vec<[Option<f64>; 2]> = sums.clone().map(floats).collect();
    let floats = [0, 1].map(|place| Arc::new(floats.iter().map(|pair| pair[place]).collect::<Float64Array>()));
    let [sum, squares] = floats;
    Ok(vec![
        Arc::new(sums.clone().map(|sums| sums.count).collect::<UInt64Array>()),
        decimals(0)?,
        decimals(1)?,
        sum,
        squares,
    ])
}

/// The rows of some files.
fn batch(
    schema: &Arc<Schema>,
    features: &[&Column],
    inputs: &[String],
    files: &[FileSums],
) -> Result<RecordBatch, ArrowError> {
    let name = |file: &FileSums| {
        let unknown = || ArrowError::InvalidArgumentError(format!("there is no input {}", file.file));
        inputs.get(file.file).map(String::as_str).ok_or_else(unknown)
    };
    let names = files.iter().map(name).collect::<Result<Vec<_>, _>>()?;
    let each_file = names.iter().flat_map(|name| std::iter::repeat_n(*name, features.len()));
    let each_column = || files.iter().flat_map(|_| features.iter());
    let mut all: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(each_file)),
        Arc::new(StringArray::from_iter_values(each_column().map(|column| &column.name))),
        Arc::new(each_column().map(|column| divisor(column.kind)).collect::<Int64Array>()),
    ];
    for set in 0..files.first().map_or(0, |file| file.sets.len()) {
        all.extend(arrays(files.iter().flat_map(|file| &file.sets[set]))?);
    }
    // Refuses columns of different lengths.
    RecordBatch::try_new(Arc::clone(schema), all)
}

/// Encodes rows as a whole Parquet file.
fn encode(config: &Config, batch: &RecordBatch) -> ParquetResult<Bytes> {
    let properties = WriterProperties::builder()
        .set_compression(codec(config.compression))
        // For floats the crate writes bounds in an order that older readers do not know.
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options)?;
    writer.write(batch)?;
    Ok(writer.into_inner()?.into())
}

/// Writes the sums of a dataset. `inputs` are the names of all input files, `schema` is that of the dataset.
///
/// # Errors
/// [`Error::Output`] when it cannot be written.
pub fn write_moments(
    path: &Path,
    config: &Config,
    schema: &DatasetSchema,
    symbol: &str,
    (inputs, sums): (&[String], &SymbolSums),
) -> Result<WrittenFile> {
    let fail = |e: ParquetError| Error::output(path, e);
    let features: Vec<&Column> = schema.columns().iter().filter(|column| column.is_feature()).collect();
    let arrow = Arc::new(self::schema(&config.all_targets()));
    let metadata = [(VERSION_KEY, crate::VERSION.to_owned()), (SYMBOL_KEY, symbol.to_owned())];
    let file = FileSchema::new(&arrow).map_err(fail)?;
    let mut writer = DatasetWriter::with_schema(path, &file, Vec::new(), &metadata)?;
    for files in sums.0.chunks((ROWS / features.len().max(1)).max(1)) {
        let batch = batch(&arrow, &features, inputs, files).map_err(|e| fail(e.into()))?;
        writer.append_file(&encode(config, &batch).map_err(fail)?)?;
    }
    writer.finish()
}
