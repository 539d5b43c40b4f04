//! The row of a dataset that is explained, and the labels before it.

use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, UInt64Type};
use parquet::arrow::ProjectionMask;

use super::super::drawn::read_rows;
use super::super::raw::RawColumns;
use super::super::reading::{caught, open_rows, unreadable};
use crate::config::{Config, Target};
use crate::error::Result;
use crate::label::Split;
use crate::output::names;
use crate::run::Monitor;

/// What a dataset contains for a row.
pub(super) struct Found {
    /// The row, if the dataset contains it; a batch of one row.
    pub columns: Option<RawColumns>,
    /// Labels of the rows before it, by target, split and class.
    before: Vec<[Vec<u64>; 3]>,
}

impl Found {
    /// Nothing, for a symbol without a dataset.
    pub(super) fn nothing() -> Self {
        Self { columns: None, before: Vec::new() }
    }

    /// Reads a dataset up to a row.
    ///
    /// # Errors
    /// [`InputError`](crate::error::InputError) when it cannot be read;
    /// [`Error::Interrupted`](crate::Error::Interrupted) when the run has been asked to stop.
    pub(super) fn read(path: &Path, config: &Config, symbol: &str, row: u64, monitor: &Monitor<'_>) -> Result<Self> {
        caught(path, || {
            let targets = config.all_targets();
            let columns = targets.iter().flat_map(|t| [names::CLASSIFICATION_LABEL, names::SPLIT].map(|c| t.column(c)));
            let columns: Vec<String> = columns.chain([names::ROW.to_owned()]).collect();
            let builder = open_rows(path)?;
            let schema = builder.metadata().file_metadata().schema_descr();
            let mask = ProjectionMask::columns(schema, columns.iter().map(String::as_str));
            let reader = builder.with_projection(mask).build().map_err(|e| unreadable(path, e))?;
            let mut before: Vec<[Vec<u64>; 3]> =
                targets.iter().map(|target| std::array::from_fn(|_| vec![0; target.class_count()])).collect();
            // Number of rows before the batch.
            let mut passed = 0;
            for batch in reader {
                monitor.advance(0)?;
                let batch = batch.map_err(|e| unreadable(path, e))?;
                let wrong = || unreadable(path, "a column is missing, or has the wrong type");
                let rows = batch.column_by_name(names::ROW).and_then(|rows| rows.as_primitive_opt::<UInt64Type>());
                let rows = rows.ok_or_else(wrong)?.values();
                // Rows ascend.
                let reached = rows.partition_point(|number| *number < row);
                for (target, before) in targets.iter().zip(&mut before) {
                    count(&batch.slice(0, reached), target, before).ok_or_else(wrong)?;
                }
                if reached < rows.len() {
                    let place = passed + reached as u64;
                    let present = rows[reached] == row;
                    let columns = if present { read_rows(path, &[place], symbol, &targets)?.pop() } else { None };
                    return Ok(Self { columns, before });
                }
                passed += rows.len() as u64;
            }
            Ok(Self { columns: None, before })
        })
    }

    /// Number of rows before this row that have a label of this class and split; `target` counts from the classic one.
    pub(super) fn labels_before(&self, target: usize, split: Split, class: usize) -> Option<u64> {
        self.before.get(target)?[split as usize].get(class).copied()
    }
}

/// Counts the labels of a target by split and class; `None` if a column is missing, or has the wrong type.
fn count(batch: &RecordBatch, target: &Target, counts: &mut [Vec<u64>; 3]) -> Option<()> {
    let column = |name: &str| batch.column_by_name(&target.column(name));
    let classes = column(names::CLASSIFICATION_LABEL)?.as_primitive_opt::<Int32Type>()?;
    let splits = column(names::SPLIT)?.as_dictionary_opt::<Int32Type>()?;
    let texts = splits.values().as_string_opt::<i32>()?;
    let by_key: Vec<Option<Split>> = texts.iter().map(|name| name.and_then(Split::from_name)).collect();
    for (class, key) in classes.iter().zip(splits.keys()) {
        let (Some(class), Some(key)) = (class, key) else { continue };
        let split = usize::try_from(key).ok().and_then(|key| by_key.get(key).copied().flatten());
        let count = split.zip(usize::try_from(class).ok());
        // Labels that no run writes belong to no class.
        if let Some(count) = count.and_then(|(split, class)| counts[split as usize].get_mut(class)) {
            *count += 1;
        }
    }
    Some(())
}
