//! The checks that need only one row group.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, TimestampNanosecondType, UInt64Type};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, SerializedPageReader};
use parquet::file::statistics::Statistics;

use super::definition::{Lengths, Usable, class, split_by_row};
use super::facts::{Extent, GroupFacts};
use super::quotes::{Quotes, quote_columns};
use super::reading::{unread, unreadable};
use crate::config::Config;
use crate::dataset::DatasetFile;
use crate::error::Result;
use crate::label::{Split, Thresholds};
use crate::output::{DatasetSchema, SymbolEntry, names};

/// Reads a row group's labels and checks them.
pub(super) fn read_group(
    path: &Path,
    footer: &ParquetMetaData,
    group: usize,
    expect: &Expect<'_>,
) -> Result<GroupFacts> {
    let bytes = DatasetFile::open(path)?.group(footer, group, &expect.columns.mask);
    check_group(path, bytes.map_err(|e| unread(path, &e))?, footer, group, expect)
}

/// The columns to read for the checks; the same for all datasets of a run.
pub(super) struct LabelColumns {
    levels: FieldLevels,
    /// Selects these columns of a file.
    pub mask: ProjectionMask,
}

impl LabelColumns {
    pub(super) fn new(schema: &DatasetSchema, extent: Extent) -> ParquetResult<Self> {
        let quotes = (extent == Extent::Whole).then(quote_columns);
        let quotes = quotes.iter().flatten().map(String::as_str);
        let mask = ProjectionMask::columns(&schema.parquet, COLUMNS.into_iter().chain(quotes));
        let levels = parquet_to_arrow_field_levels(&schema.parquet, mask.clone(), Some(schema.arrow.fields()))?;
        Ok(Self { levels, mask })
    }
}

/// One row group of a file.
struct Group<'a, R> {
    file: Arc<R>,
    footer: &'a ParquetMetaData,
    group: &'a RowGroupMetaData,
}

impl<R: ChunkReader + 'static> RowGroups for Group<'_, R> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.group.num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, column: usize) -> ParquetResult<Box<dyn PageIterator>> {
        let file = Arc::clone(&self.file);
        let pages = SerializedPageReader::new(file, self.group.column(column), self.num_rows(), None)?;
        Ok(Box::new(OneChunk(Some(Box::new(pages)))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.group))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.footer
    }
}

/// The pages of one column chunk.
struct OneChunk(Option<Box<dyn PageReader>>);

impl Iterator for OneChunk {
    type Item = ParquetResult<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneChunk {}

/// The expected values of the rows of a dataset.
pub(super) struct Expect<'a> {
    columns: &'a LabelColumns,
    boundaries: &'a [f64],
    lengths: Lengths,
    /// The first row at T or later.
    boundary_row: u64,
    /// T.
    until: u64,
    /// Ranges of rows in the files that the thresholds were fitted on.
    fitted_rows: &'a [[u64; 2]],
    /// Number of rows of the symbol's stream.
    rows: u64,
    /// The expected values of the quotes, if they are read.
    quotes: Option<Quotes<'a>>,
}

impl<'a> Expect<'a> {
    pub(super) fn new(
        config: &Config,
        columns: &'a LabelColumns,
        symbol: &'a SymbolEntry,
        thresholds: &'a Thresholds,
        extent: Extent,
    ) -> Option<Self> {
        let quotes = Quotes { symbol: &symbol.symbol, usable: Usable::new(config) };
        Some(Self {
            columns,
            boundaries: &thresholds.for_symbol(&symbol.symbol)?.values,
            lengths: Lengths::new(config),
            boundary_row: symbol.boundary_row,
            until: thresholds.fit_until.0,
            fitted_rows: &symbol.fitted_rows,
            rows: symbol.rows,
            quotes: (extent == Extent::Whole).then_some(quotes),
        })
    }
}

/// The columns that are always read.
const COLUMNS: [&str; 6] =
    [names::TS_RECV, names::ROW, names::PRICE_MOVEMENT, names::CLASSIFICATION_LABEL, names::SPLIT, names::BALANCED];

/// Reads a row group's labels and checks them.
pub(super) fn check_group(
    path: &Path,
    bytes: impl ChunkReader + 'static,
    footer: &ParquetMetaData,
    group: usize,
    expect: &Expect<'_>,
) -> Result<GroupFacts> {
    let group = footer.row_group(group);
    let pages = Group { file: Arc::new(bytes), footer, group };
    let reader = ParquetRecordBatchReader::try_new_with_row_groups(&expect.columns.levels, &pages, 1 << 14, None);
    let reader = reader.map_err(|e| unread(path, &e))?;
    let mut facts = GroupFacts::default();
    for batch in reader {
        check_batch(&batch.map_err(|e| unreadable(path, e))?, expect, &mut facts);
        if facts.rows > group.num_rows() as u64 {
            break;
        }
    }
    if facts.rows != group.num_rows() as u64 {
        return Err(unreadable(path, format!("a row group of {} rows contains {}", group.num_rows(), facts.rows)));
    }
    // Readers skip row groups by these statistics.
    if let (Some((least, most)), Some(first), Some(last)) = (row_bounds(group), facts.first_row, facts.last_row)
        && (least, most) != (first, last)
    {
        facts.violation(first, || {
            format!("its row group has rows up to {last}, but its statistics say {least} to {most}")
        });
    }
    Ok(facts)
}

/// The least and the largest `row` of a row group, by its statistics.
fn row_bounds(group: &RowGroupMetaData) -> Option<(u64, u64)> {
    let column = group.columns().iter().find(|column| column.column_path().string() == names::ROW)?;
    match column.statistics()? {
        Statistics::Int64(bounds) => Some((bounds.min_opt()?.cast_unsigned(), bounds.max_opt()?.cast_unsigned())),
        _ => None,
    }
}

fn check_batch(batch: &RecordBatch, expect: &Expect<'_>, facts: &mut GroupFacts) {
    let column = |name: &str| batch.column_by_name(name);
    let rows = column(names::ROW).and_then(|c| c.as_primitive_opt::<UInt64Type>());
    let movements = column(names::PRICE_MOVEMENT).and_then(|c| c.as_primitive_opt::<Float64Type>());
    let labels = column(names::CLASSIFICATION_LABEL).and_then(|c| c.as_primitive_opt::<Int32Type>());
    let splits = column(names::SPLIT).and_then(|c| c.as_dictionary_opt::<Int32Type>());
    let (Some(rows), Some(movements), Some(labels), Some(splits)) = (rows, movements, labels, splits) else {
        facts.violation(0, || "a column has the wrong type".to_owned());
        return;
    };
    let texts = splits.values().as_string::<i32>();
    let by_key: Vec<Option<Split>> = texts.iter().map(|n| n.and_then(Split::from_name)).collect();
    let ts = column(names::TS_RECV).and_then(|c| c.as_primitive_opt::<TimestampNanosecondType>());
    let balanced = column(names::BALANCED).and_then(|c| c.as_boolean_opt());

    for i in 0..batch.num_rows() {
        let row = rows.value(i);
        if row >= expect.rows {
            facts.violation(row, || format!("the symbol has {} rows", expect.rows));
            continue;
        }
        if facts.last_row.is_some_and(|last| row <= last) {
            facts.violation(row, || format!("comes after row {}", rows.value(i.saturating_sub(1))));
        }
        facts.first_row.get_or_insert(row);
        facts.last_row = Some(row);

        let movement = movements.value(i);
        let class = class(expect.boundaries, movement);
        let label = labels.value(i);
        if !movement.is_finite() || i64::from(label) != class as i64 {
            facts.violation(row, || {
                format!("classification_label is {label}, but a movement of {movement:e} is class {class}")
            });
        }
        let want = split_by_row(row, expect.lengths, expect.boundary_row);
        let split = by_key.get(splits.keys().value(i) as usize).copied().flatten();
        if split != Some(want) {
            let found = split.map_or("unknown", Split::name);
            facts.violation(row, || format!("split is {found}, but its position makes it {want}"));
        }
        if let Some(ts) = ts {
            let ts = ts.value(i).cast_unsigned();
            if ts >= expect.until && want != Split::Holdout {
                facts.violation(row, || {
                    format!("its ts_recv is at or after the boundary time, but its split is {want}")
                });
            }
            facts.late += u64::from(ts < expect.until && want == Split::Holdout);
            facts.ts_recv.push(ts);
        }
        // The ranges ascend.
        let place = expect.fitted_rows.partition_point(|[_, to]| *to <= row);
        if want == Split::Fit && expect.fitted_rows.get(place).is_some_and(|[from, _]| *from <= row) {
            facts.fit_movements.push(movement);
        }
        facts.row_numbers.push(row);
        facts.classes.push(u8::try_from(label).unwrap_or(u8::MAX));
        facts.splits.push(split.unwrap_or(want));
        facts.balanced.push(balanced.is_some_and(|b| b.value(i)));
    }
    if let Some(quotes) = &expect.quotes {
        quotes.check(batch, rows, facts);
        facts.movements.extend_from_slice(movements.values());
    }
    facts.rows += batch.num_rows() as u64;
}
