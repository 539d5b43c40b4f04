//! Write: row groups encoded in parallel, spliced into one dataset a symbol in their order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::Run;
use super::monitor::Stage;
use super::parallel::{Pool, map_batched};
use super::plan::{MovementTape, RowGroup, SymbolPlan};
use super::streams::Stream;
use crate::error::{Error, Result};
use crate::label::{Fit, Split, Thresholds};
use crate::output::{
    CONFIG_KEY, DatasetEntry, DatasetSchema, DatasetWriter, EncodedGroup, RowGroupEncoder, RowLabel, SYMBOL_KEY,
    SplitEntry, Splits3, THRESHOLDS_KEY, VERSION_KEY, dataset_file_name,
};
use crate::tape::RowCursor;

/// Rows between two looks at the monitor.
const BREATH: usize = 16_384;

/// What the datasets are made from.
pub struct WriteInput<'a> {
    /// All streams.
    pub streams: &'a [Stream],
    /// All movements.
    pub tape: &'a MovementTape,
    /// The boundaries.
    pub thresholds: &'a Thresholds,
    /// The symbols that get a dataset.
    pub plans: &'a [SymbolPlan],
}

struct Task<'a> {
    plan: &'a SymbolPlan,
    stream: &'a Stream,
    fit: &'a Fit,
    group: &'a RowGroup,
    /// The symbol's last row group.
    last: bool,
}

/// Writes the datasets into `folder` and returns what the manifest will say of each, by the symbol's place.
///
/// # Errors
/// [`Error::Output`] when a file cannot be written or a work file not be read.
pub fn write(run: &Run<'_>, input: &WriteInput<'_>, folder: &Path) -> Result<BTreeMap<usize, DatasetEntry>> {
    let schema = Arc::new(DatasetSchema::new(run.config).map_err(|e| Error::output(folder, e))?);
    let config = serde_json::to_string(run.config).map_err(|e| Error::output(folder, e))?;
    let tasks: Vec<Task<'_>> = input
        .plans
        .iter()
        .filter_map(|plan| {
            let stream = &input.streams[plan.symbol];
            Some((plan, stream, input.thresholds.for_symbol(&stream.symbol)?))
        })
        .flat_map(|(plan, stream, fit)| {
            let count = plan.groups.len();
            plan.groups.iter().enumerate().map(move |(i, group)| Task {
                plan,
                stream,
                fit,
                group,
                last: i + 1 == count,
            })
        })
        .collect();
    let candidates = |task: &Task<'_>| task.group.candidates.end - task.group.candidates.start;
    let total = tasks.iter().map(candidates).sum();
    let mut entries = BTreeMap::new();
    let mut open: Option<DatasetWriter> = None;
    // Encoders are used again: their buffers have grown to the size of a row group.
    let encoders = Pool::new();
    let work = |task: &Task<'_>| {
        let new = || RowGroupEncoder::new(Arc::clone(&schema), run.config);
        encoders.lend(new, |encoder| encode(run, encoder, input.tape, task, folder))
    };
    // Results come in the order of the tasks.
    let mut finished = tasks.iter();
    let splice = |encoded: EncodedGroup| {
        let Some(&Task { plan, stream, last, .. }) = finished.next() else { return Ok(()) };
        let file = dataset_file_name(&run.config.currency, &stream.symbol);
        let mut writer = match open.take() {
            Some(writer) => writer,
            None => {
                let metadata = [
                    (VERSION_KEY, crate::VERSION.to_owned()),
                    (SYMBOL_KEY, stream.symbol.clone()),
                    (CONFIG_KEY, config.clone()),
                    (THRESHOLDS_KEY, input.thresholds.only(&stream.symbol).to_json()),
                ];
                DatasetWriter::create(&folder.join(&file), &schema, &metadata)?
            }
        };
        writer.append(encoded)?;
        if !last {
            open = Some(writer);
            return Ok(());
        }
        let written = writer.finish()?;
        let entry = DatasetEntry {
            file,
            bytes: written.bytes,
            sha256: written.sha256,
            rows: plan.rows(),
            row_groups: written.row_groups,
            splits: Splits3 {
                fit: split_entry(run, plan, Split::Fit),
                embargo: split_entry(run, plan, Split::Embargo),
                holdout: split_entry(run, plan, Split::Holdout),
            },
        };
        entries.insert(plan.symbol, entry);
        Ok(())
    };
    run.monitor.stage(Stage::Write, total, || map_batched(run.threads, &tasks, candidates, work, splice))?;
    Ok(entries)
}

fn split_entry(run: &Run<'_>, plan: &SymbolPlan, split: Split) -> SplitEntry {
    let classes = plan.counts.of(split).to_vec();
    let quota = plan.quota(split).filter(|_| run.config.force_uniform);
    SplitEntry {
        rows: classes.iter().sum(),
        balanced: quota.map_or_else(|| vec![0; classes.len()], |q| (0..classes.len()).map(|c| q.marked(c)).collect()),
        short: quota.map_or_else(Vec::new, |q| q.short().map(|c| c as u64).collect()),
        classes,
    }
}

/// Reads a row group's rows from the tape, labels them and encodes their columns.
fn encode(
    run: &Run<'_>,
    encoder: &mut RowGroupEncoder,
    tape: &MovementTape,
    task: &Task<'_>,
    folder: &Path,
) -> Result<EncodedGroup> {
    let Task { plan, stream, fit, group, .. } = task;
    let mut movements = Vec::new();
    tape.read(plan.symbol, group.candidates.clone(), &mut movements)?;
    let mut movements = movements.into_iter();
    let mut counts = group.before.clone();
    let (mark, drop_unmarked) = (run.config.force_uniform, run.config.drop_unbalanced);
    let mut breath = 0;
    for rows in stream.candidates.rows(group.candidates.clone()) {
        let mut cursor = RowCursor::new(&stream.tape, rows.start)?;
        encoder.leap();
        for (row, movement) in rows.zip(&mut movements) {
            breath += 1;
            if breath == BREATH {
                run.monitor.advance(BREATH as u64)?;
                breath = 0;
            }
            let Some(changed) = cursor.advance()? else {
                return Err(Error::output(folder, "a work file is shorter than its index"));
            };
            if movement.is_nan() {
                encoder.skip(changed);
                continue;
            }
            let split = stream.splits.of(row);
            let class = fit.class(movement);
            let number = counts.count(split, class);
            let balanced = mark && plan.quota(split).is_some_and(|q| q.is_marked(class, number));
            if drop_unmarked && !balanced {
                encoder.skip(changed);
                continue;
            }
            let label = RowLabel { row, movement, class: class as u8, split, balanced };
            encoder.push(cursor.row(), changed, label);
        }
    }
    run.monitor.advance(breath as u64)?;
    encoder.finish(&stream.symbol).map_err(|e| Error::output(folder, format!("symbol {:?}: {e}", stream.symbol)))
}
