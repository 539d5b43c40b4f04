//! Write: encodes rows and their labels as row groups, and creates the manifest entries of datasets.

use std::ops::Range;
use std::path::Path;

use super::plan::{Quotas, RowGroup, SymbolPlan};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::label::{Boundaries, Candidates, Split, Splits, Thresholds};
use crate::output::{
    CONFIG_KEY, DatasetEntry, RowGroupEncoder, RowLabel, SYMBOL_KEY, SplitEntry, Splits3, THRESHOLDS_KEY, VERSION_KEY,
    WrittenFile,
};
use crate::run::Monitor;
use crate::tape::{RowCursor, SymbolTape};

/// Rows between two checks of the monitor.
const BREATH: usize = 16_384;

/// The key-value metadata of a symbol's dataset.
pub fn metadata(config: &Config, symbol: &str, thresholds: &Thresholds) -> [(&'static str, String); 4] {
    [
        (VERSION_KEY, crate::VERSION.to_owned()),
        (SYMBOL_KEY, symbol.to_owned()),
        (CONFIG_KEY, serde_json::to_string(config).unwrap_or_default()),
        (THRESHOLDS_KEY, thresholds.only([symbol]).to_json()),
    ]
}

/// The manifest entry of a dataset.
pub fn dataset_entry(config: &Config, plan: &SymbolPlan, file: String, written: &WrittenFile) -> DatasetEntry {
    DatasetEntry {
        file,
        bytes: written.bytes,
        sha256: written.sha256.clone(),
        rows: plan.rows(),
        row_groups: written.row_groups,
        splits: Splits3 {
            fit: split_entry(config, plan, Split::Fit),
            embargo: split_entry(config, plan, Split::Embargo),
            holdout: split_entry(config, plan, Split::Holdout),
        },
    }
}

fn split_entry(config: &Config, plan: &SymbolPlan, split: Split) -> SplitEntry {
    let classes = plan.counts.of(split).to_vec();
    let quota = plan.quotas.of(split).filter(|_| config.force_uniform);
    SplitEntry {
        rows: classes.iter().sum(),
        balanced: quota.map_or_else(|| vec![0; classes.len()], |q| (0..classes.len()).map(|c| q.marked(c)).collect()),
        short: quota.map_or_else(Vec::new, |q| q.short().map(|c| c as u64).collect()),
        classes,
    }
}

/// A symbol's rows, and the inputs of their labels.
pub struct Labelling<'a> {
    /// Its name.
    pub symbol: &'a str,
    /// Its rows.
    pub tape: &'a SymbolTape,
    /// The rows that start a new unbroken stretch.
    pub breaks: &'a [u64],
    /// The rows that can have a label.
    pub candidates: &'a Candidates,
    /// The side of the boundary time that the rows are on.
    pub splits: Splits,
    /// The boundaries.
    pub boundaries: &'a Boundaries,
    /// The quotas of marked rows.
    pub quotas: &'a Quotas,
}

/// The rows that encoding a range of candidates reads: those from the first to the last of them, and the row before, with
/// which derived columns compare the first.
pub fn rows_read(candidates: &Candidates, range: Range<u64>) -> Range<u64> {
    let rows = candidates.span(range);
    rows.start.saturating_sub(1)..rows.end
}

impl Labelling<'_> {
    /// Reads a row group's rows from the tape, labels them and encodes their columns. `movements` are those of its
    /// candidates.
    ///
    /// # Errors
    /// [`Error::Output`] when a work file cannot be read.
    pub fn encode(
        &self,
        config: &Config,
        encoder: &mut RowGroupEncoder,
        group: &RowGroup,
        movements: &[f64],
        monitor: &Monitor<'_>,
    ) -> Result<()> {
        let fail = |message: &str| Error::output(Path::new(self.symbol), message);
        let mut movements = movements.iter().copied();
        let (mark, drop_unmarked) = (config.force_uniform, config.drop_unbalanced);
        // Rows are numbered within their class and split, continuing from the groups before.
        let mut counts = group.before.clone();
        let mut breath = 0;
        let cut = || fail("a work file is shorter than its index");
        for rows in self.candidates.rows(group.candidates.clone()) {
            // The row before, if it is in the same stretch.
            let before = encoder.compares_rows() && rows.start > 0 && self.breaks.binary_search(&rows.start).is_err();
            let mut cursor = RowCursor::new(self.tape, rows.start - u64::from(before))?;
            encoder.leap();
            if before {
                let changed = cursor.advance()?.ok_or_else(cut)?;
                encoder.skip(cursor.row(), changed);
            }
            for (row, movement) in rows.zip(&mut movements) {
                breath += 1;
                if breath == BREATH {
                    monitor.advance(BREATH as u64)?;
                    breath = 0;
                }
                let changed = cursor.advance()?.ok_or_else(cut)?;
                if movement.is_nan() {
                    encoder.skip(cursor.row(), changed);
                    continue;
                }
                let split = self.splits.of(row);
                let class = self.boundaries.class(movement);
                let number = counts.count(split, class);
                let balanced = mark && self.quotas.of(split).is_some_and(|q| q.is_marked(class, number));
                if drop_unmarked && !balanced {
                    encoder.skip(cursor.row(), changed);
                    continue;
                }
                let label = RowLabel { row, movement, class: class as u8, split, balanced };
                encoder.push(cursor.row(), changed, label);
            }
        }
        monitor.advance(breath as u64)?;
        encoder.finish(self.symbol).map_err(|e| fail(&format!("cannot be encoded: {e}")))
    }
}
