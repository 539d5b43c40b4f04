//! The checks that need only one row group.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, SerializedPageReader};
use parquet::file::statistics::Statistics;

use super::definition::{Usable, class, split_by_row};
use super::facts::{Extent, GroupFacts, LabelFacts, TargetFacts};
use super::fit_counts::FitCounts;
use super::kinds::rows_needed;
use super::quotes::{Quotes, quote_columns};
use super::reading::{unread, unreadable};
use crate::config::{Classes, Config, Target};
use crate::dataset::DatasetFile;
use crate::error::Result;
use crate::label::{Split, Thresholds};
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

/// The expected labels of one target.
struct ExpectTarget<'a> {
    movement: String,
    class: String,
    split: String,
    balanced: String,
    /// `None` if no row has a label of the target.
    boundaries: Option<&'a [f64]>,
    /// Counts of no movements.
    no_counts: Option<FitCounts>,
    /// The first row that is not `fit`.
    fit_end: u64,
    /// Whether the class follows from the touch of a barrier.
    touch: bool,
    end: String,
    touched: String,
    /// Number of rows after a row at which its label ends, if labels end after a number of rows.
    reach: Option<u64>,
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
            let boundaries = boundaries.filter(|_| entry.splits.is_some());
            Ok(ExpectTarget {
                movement: target.column(names::PRICE_MOVEMENT),
                class: target.column(names::CLASSIFICATION_LABEL),
                split: target.column(names::SPLIT),
                balanced: target.column(names::BALANCED),
                boundaries: boundaries.map(|boundaries| boundaries.values.as_slice()),
                no_counts: boundaries.map(|boundaries| FitCounts::new(target, boundaries)),
                fit_end: entry.fit_end,
                touch: target.classes == Classes::Touch,
                end: target.column(names::LABEL_END),
                touched: target.column(names::LABEL_TOUCH),
                reach: rows_needed(&target.movement).map(|[_, after]| after),
            })
        };
        Ok(Self {
            columns,
            targets: config.all_targets().iter().zip(&symbol.targets).map(expect).collect::<Result<_, _>>()?,
            boundary_row: symbol.boundary_row,
            until: thresholds.fit_until.0,
            fitted_rows: &symbol.fitted_rows,
            rows: symbol.rows,
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
    let facts = |target: &ExpectTarget<'_>| TargetFacts { fit_counts: target.no_counts.clone(), ..Default::default() };
    let targets = expect.targets.iter().map(facts).collect();
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
        if row >= expect.rows {
            facts.violation(row, || format!("the symbol has {} rows", expect.rows));
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
            let (late, holdout) = (ts.cast_unsigned() < expect.until, row >= expect.boundary_row);
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
        check_target(batch, rows.values(), target, place, expect, &mut labelled, facts);
    }
    if let Some(place) = labelled.iter().position(|labelled| !labelled) {
        facts.violation(rows.value(place), || "has no label".to_owned());
    }
    if let Some(quotes) = &expect.quotes {
        quotes.check(batch, rows, facts);
    }
    facts.rows += batch.num_rows() as u64;
}

/// Checks the labels of one target, and marks the rows that have one.
fn check_target(
    batch: &RecordBatch,
    rows: &[u64],
    target: &ExpectTarget<'_>,
    place: usize,
    expect: &Expect<'_>,
    labelled: &mut [bool],
    facts: &mut GroupFacts,
) {
    let column = |name: &str| batch.column_by_name(name);
    let movements = column(&target.movement).and_then(|c| c.as_primitive_opt::<Float64Type>());
    let labels = column(&target.class).and_then(|c| c.as_primitive_opt::<Int32Type>());
    let splits = column(&target.split).and_then(|c| c.as_dictionary_opt::<Int32Type>());
    let (Some(movements), Some(labels), Some(splits)) = (movements, labels, splits) else {
        facts.violation(0, || "a column has the wrong type".to_owned());
        return;
    };
    let texts = splits.values().as_string::<i32>();
    let by_key: Vec<Option<Split>> = texts.iter().map(|n| n.and_then(Split::from_name)).collect();
    let balanced = column(&target.balanced).and_then(|c| c.as_boolean_opt());
    let numbers = |name: &str| column(name).and_then(|c| c.as_primitive_opt::<UInt64Type>());
    let (ends, touches) = (numbers(&target.end), numbers(&target.touched));
    let mut mine = std::mem::take(&mut facts.targets[place]);
    let mut fit_movements = Vec::new();
    // Most batches have no nulls, and need no check for them in every row.
    let nulls = [Some(movements.null_count()), Some(labels.null_count()), Some(splits.null_count())];
    let nulls = nulls.into_iter().chain([balanced.map(Array::null_count), ends.map(Array::null_count)]);
    let has_nulls = nulls.flatten().any(|count| count > 0);
    let values = movements.values().iter().zip(labels.values()).zip(splits.keys().values());
    for ((i, row), ((movement, label), key)) in rows.iter().copied().enumerate().zip(values) {
        let (movement, label) = (*movement, *label);
        let null = has_nulls && movements.is_null(i);
        let others = || {
            let others = [balanced.map(|b| b.is_null(i)), ends.map(|ends| ends.is_null(i))];
            [Some(labels.is_null(i)), Some(splits.is_null(i))].into_iter().chain(others).flatten()
        };
        if has_nulls && others().any(|found| found != null) {
            facts.violation(row, || format!("only some of the columns of {} are null", target.movement));
        }
        let (false, Some(boundaries)) = (null, target.boundaries) else {
            if !null {
                facts.violation(row, || format!("has a {}, of which the manifest counts none", target.movement));
            }
            mine.labels.push(None);
            if expect.quotes.is_some() {
                mine.movements.push(f64::NAN);
            }
            continue;
        };
        labelled[i] = true;
        let class = match (target.touch, label) {
            // The sign shows which barrier was touched; only the raw files show whether one was.
            (true, 1) => 1,
            (true, _) => 2 * usize::from(movement > 0.0),
            (false, _) => class(boundaries, movement),
        };
        if !movement.is_finite() || usize::try_from(label) != Ok(class) {
            facts.violation(row, || {
                format!("{} is {label}, but a movement of {movement:e} is class {class}", target.class)
            });
        }
        let want = split_by_row(row, target.fit_end, expect.boundary_row);
        let key = usize::try_from(*key).ok();
        let split = key.and_then(|key| by_key.get(key).copied().flatten());
        if split != Some(want) {
            let found = split.map_or("unknown", Split::name);
            facts.violation(row, || format!("{} is {found}, but it is {want} by its place", target.split));
        }
        if let Some(ends) = ends {
            let end = ends.value(i);
            if target.reach.map_or(end < row, |reach| end != row + reach) || end >= expect.rows {
                facts.violation(row, || format!("{} is {end}, which is not where its label ends", target.end));
            }
            let touch = touches.filter(|touches| touches.is_valid(i)).map(|touches| touches.value(i));
            if touch.is_some_and(|touch| touch <= row || touch > end) {
                facts.violation(row, || format!("{} is outside of its label", target.touched));
            }
            if touches.is_some() && (label == 1) != touch.is_none() {
                facts.violation(row, || format!("{} and {} contradict each other", target.class, target.touched));
            }
        }
        // The ranges ascend.
        let range = expect.fitted_rows.partition_point(|[_, to]| *to <= row);
        if want == Split::Fit && expect.fitted_rows.get(range).is_some_and(|[from, _]| *from <= row) {
            fit_movements.push(movement);
        }
        mine.labels.push(Some(LabelFacts {
            class: u8::try_from(label).unwrap_or(u8::MAX),
            split: split.unwrap_or(want),
            balanced: balanced.is_some_and(|b| b.value(i)),
        }));
        if expect.quotes.is_some() {
            mine.movements.push(movement);
        }
    }
    if let Some(counts) = &mut mine.fit_counts {
        counts.extend(&fit_movements);
    }
    facts.targets[place] = mine;
}
