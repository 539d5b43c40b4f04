//! The checks that need only one row group.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt64Type};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, SerializedPageReader};
use parquet::file::statistics::Statistics;

use super::facts::{Extent, GroupFacts};
use super::quotes::{Quotes, quote_columns};
use super::reading::{unread, unreadable};
use super::target::ExpectTarget;
use crate::config::{Config, Target};
use crate::dataset::DatasetFile;
use crate::error::Result;
use crate::input::Usable;
use crate::label::Thresholds;
use crate::output::{DatasetSchema, Role, SymbolEntry, TargetEntry, names};

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
pub(super) struct CheckedColumns {
    levels: FieldLevels,
    /// Selects these columns of a file.
    pub mask: ProjectionMask,
}

impl CheckedColumns {
    pub(super) fn new(schema: &DatasetSchema, extent: Extent) -> ParquetResult<Self> {
        let quotes = (extent == Extent::Whole).then(quote_columns);
        let quotes = quotes.iter().flatten().map(String::as_str);
        let labels = schema.columns().iter().filter(|column| column.role == Role::Target);
        let labels = labels.map(|column| column.name.as_str());
        let columns = [names::TS_RECV, names::ROW].into_iter().chain(labels).chain(quotes);
        let mask = ProjectionMask::columns(&schema.file.parquet, columns);
        let levels = parquet_to_arrow_field_levels(&schema.file.parquet, mask.clone(), Some(schema.arrow.fields()))?;
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
    columns: &'a CheckedColumns,
    targets: Vec<ExpectTarget<'a>>,
    symbol: &'a SymbolEntry,
    /// T.
    until: u64,
    /// The expected values of the quotes, if they are read.
    quotes: Option<Quotes<'a>>,
}

impl<'a> Expect<'a> {
    /// The expected values, or the name of a target whose boundaries are missing.
    pub(super) fn new(
        config: &Config,
        columns: &'a CheckedColumns,
        symbol: &'a SymbolEntry,
        thresholds: &'a Thresholds,
        extent: Extent,
    ) -> Result<Self, String> {
        let quotes = Quotes { symbol: &symbol.symbol, usable: Usable::new(config) };
        let expect = |(target, entry): (&Target, &TargetEntry)| {
            let boundaries = thresholds.boundaries(&target.name, &symbol.symbol);
            if entry.splits.is_some() && boundaries.is_none() {
                return Err(target.name.clone());
            }
            // If only marked rows were written, or the boundaries come from elsewhere, they cannot be checked.
            let counts = !config.drop_unbalanced && !symbol.fitted_rows.is_empty();
            let boundaries = boundaries.filter(|_| entry.splits.is_some());
            Ok(ExpectTarget::new(target, symbol, entry, boundaries, counts))
        };
        Ok(Self {
            columns,
            targets: config.all_targets().iter().zip(&symbol.targets).map(expect).collect::<Result<_, _>>()?,
            symbol,
            until: thresholds.fit_until.0,
            quotes: (extent == Extent::Whole).then_some(quotes),
        })
    }
}

/// Reads a row group's labels and checks them.
pub(super) fn check_group(
    path: &Path,
    bytes: impl ChunkReader + 'static,
    footer: &ParquetMetaData,
    group: usize,
    expect: &Expect<'_>,
) -> Result<GroupFacts> {
    let group = footer.row_group(group);
    let rows = u64::try_from(group.num_rows());
    let rows = rows.map_err(|_| unreadable(path, format!("a row group of {} rows", group.num_rows())))?;
    let pages = Group { file: Arc::new(bytes), footer, group };
    let reader = ParquetRecordBatchReader::try_new_with_row_groups(&expect.columns.levels, &pages, 1 << 14, None);
    let reader = reader.map_err(|e| unread(path, &e))?;
    let targets = expect.targets.iter().map(ExpectTarget::no_facts).collect();
    let mut facts = GroupFacts { targets, ..GroupFacts::default() };
    for batch in reader {
        check_batch(&batch.map_err(|e| unreadable(path, e))?, expect, &mut facts);
        if facts.rows > rows {
            break;
        }
    }
    if facts.rows != rows {
        return Err(unreadable(path, format!("a row group of {rows} rows holds {}", facts.rows)));
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
    let Some(rows) = column(names::ROW).and_then(|c| c.as_primitive_opt::<UInt64Type>()) else {
        facts.violation(0, || "a column has the wrong type".to_owned());
        return;
    };
    let mut before = facts.last_row;
    for row in rows.values().iter().copied() {
        if row >= expect.symbol.rows {
            facts.violation(row, || format!("the symbol has {} rows", expect.symbol.rows));
        }
        if let Some(before) = before.filter(|before| row <= *before) {
            facts.violation(row, || format!("comes after row {before}"));
        }
        before = Some(row);
    }
    facts.first_row = facts.first_row.or(rows.values().first().copied());
    facts.last_row = before;
    facts.row_numbers.extend_from_slice(rows.values());
    if let Some(ts) = column(names::TS_RECV).and_then(|c| c.as_primitive_opt::<TimestampNanosecondType>()) {
        for (row, ts) in rows.values().iter().copied().zip(ts.values()) {
            let (late, holdout) = (ts.cast_unsigned() < expect.until, row >= expect.symbol.boundary_row);
            if !late && !holdout {
                facts.violation(row, || {
                    "its ts_recv lies at or after the boundary time, but it comes before the boundary row".to_owned()
                });
            }
            facts.late += u64::from(late && holdout);
        }
        facts.ts_recv.extend(ts.values().iter().map(|ts| ts.cast_unsigned()));
    }
    let mut labelled = vec![false; batch.num_rows()];
    for (place, target) in expect.targets.iter().enumerate() {
        let mut mine = std::mem::take(&mut facts.targets[place]);
        target.check((batch, rows.values()), &mut mine, expect.quotes.is_some(), &mut labelled, facts);
        facts.targets[place] = mine;
    }
    if let Some(place) = labelled.iter().position(|labelled| !labelled) {
        facts.violation(rows.value(place), || "has no label".to_owned());
    }
    if let Some(quotes) = &expect.quotes {
        quotes.check(batch, rows, facts);
    }
    facts.rows += batch.num_rows() as u64;
}
