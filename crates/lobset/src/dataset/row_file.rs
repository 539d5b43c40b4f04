//! The rows of a dataset as records, in a cache file.

use std::io;
use std::ops::Range;

use super::packing::{RowPacking, Spanned};
use super::reader::DatasetReader;
use crate::cache::{Blank, Cache, CacheFile};
use crate::error::{Error, InputError, Result};
use crate::run::{Monitor, Stage, map_ordered};

/// Rows that are written column by column: their records stay in a core's cache.
const PACKED_ROWS_AT_ONCE: usize = 1024;

/// Opens the cache file of columns of a dataset, or builds it on several threads: a first pass over the prices finds the
/// narrowest numbers, a second writes the records.
///
/// # Errors
/// [`InputError`] when the dataset cannot be read; [`Error::Output`](crate::Error::Output) when the cache file cannot be
/// written or read.
pub(super) fn open(
    reader: &DatasetReader,
    names: &[String],
    cache: &Cache,
    (threads, monitor): (usize, &Monitor<'_>),
) -> Result<(CacheFile, RowPacking)> {
    let subject = reader.subject("rows", serde_json::json!({ "columns": names }))?;
    let groups: Vec<(usize, Range<u64>)> = reader.groups().enumerate().collect();
    let unknown = RowPacking::unknown(reader, names);
    let build = |blank: Blank<'_>| {
        let mut spans = vec![Spanned::Empty; unknown.len()];
        // Progress is counted in bytes: first those of the prices, then those of the file.
        let price = (unknown.len() * size_of::<f64>()) as u64;
        let look = |(group, rows): &(usize, Range<u64>)| {
            spans_of(reader, *group, &unknown).map(|spans| ((rows.end - rows.start) * price, spans))
        };
        if !unknown.is_empty() {
            monitor.stage(Stage::Cache, reader.rows().saturating_mul(price), || {
                map_ordered(threads, 0, &groups, look, |(bytes, of_group)| {
                    spans.iter_mut().zip(of_group).for_each(|(span, more)| *span = span.with(more));
                    monitor.advance(bytes)
                })
            })?;
        }
        let packing = RowPacking::narrow(reader, names, &spans);
        let record = packing.bytes() as u64;
        let bytes = reader.rows().saturating_mul(record);
        let found = serde_json::to_value(&packing).map_err(|e| Error::output(cache.folder(), io::Error::from(e)))?;
        let slots = blank.slots(bytes, found)?;
        let write = |(group, rows): &(usize, Range<u64>)| {
            let records = records(reader, &packing, *group)?;
            slots.write(rows.start * record, &records).map(|()| records.len() as u64)
        };
        monitor.stage(Stage::Cache, bytes, || map_ordered(threads, 0, &groups, write, |bytes| monitor.advance(bytes)))
    };
    let file = CacheFile::open_or_build(cache.folder(), &subject, monitor, build)?;
    let packing = file.found(|packing: &RowPacking| {
        let same = packing.columns().iter().map(|column| &column.name).eq(names);
        same.then(|| reader.rows().checked_mul(packing.bytes() as u64)).flatten()
    })?;
    Ok((file, packing))
}

/// What the rows of a row group say about columns, which are given with their units.
fn spans_of(reader: &DatasetReader, group: usize, columns: &[(&str, u32)]) -> Result<Vec<Spanned>> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let batch = reader.read(group, &names)?;
    columns.iter().map(|(name, unit)| Ok(Spanned::of(reader.column(&batch, name)?, *unit))).collect()
}

/// The records of a row group.
///
/// # Errors
/// [`InputError`] when it cannot be read, or has values that the packing was not made for.
pub(super) fn records(reader: &DatasetReader, packing: &RowPacking, group: usize) -> Result<Vec<u8>> {
    let names: Vec<&str> = packing.columns().iter().map(|column| column.name.as_str()).collect();
    let batch = reader.read(group, &names)?;
    let columns = names.iter().map(|name| reader.column(&batch, name)).collect::<Result<Vec<_>>>()?;
    let (rows, record) = (batch.num_rows(), packing.bytes());
    let mut records = vec![0; rows * record];
    for (block, bytes) in records.chunks_mut(PACKED_ROWS_AT_ONCE * record).enumerate() {
        let first = block * PACKED_ROWS_AT_ONCE;
        let block = first..rows.min(first + PACKED_ROWS_AT_ONCE);
        for (place, column) in columns.iter().enumerate() {
            packing.write(place, *column, block.clone(), bytes).ok_or_else(|| {
                let message = format!("the column {:?} contains values that its footer rules out", names[place]);
                InputError::new(reader.path(), message).with_help("write the dataset again: this file is damaged")
            })?;
        }
    }
    Ok(records)
}
