//! Compares all rows of a dataset with the raw stream it was computed from.

use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::fields::{Field, Want, field};
use super::kinds::rows_kept;
use super::labels::Labels;
use super::raw::RawColumns;
use super::raw_row::RawRow;
use super::reading::{caught, cause, open_rows, unreadable};
use super::sums::SumsCheck;
use super::violations::Violations;
use crate::config::{Config, Target};
use crate::dataset::Moments;
use crate::error::Result;
use crate::label::{Split, Thresholds};
use crate::output::{DatasetEntry, Manifest, PAGE_ROWS, SymbolEntry};
use crate::run::batches;

/// Memory for the datasets that are open at the same time, in bytes. If they need more, the raw files are read in
/// several passes.
const MEMORY: u64 = 512 << 20;

/// Memory for a row of an open dataset, in bytes: its decoded columns, and their pages.
const ROW_BYTES: u64 = 1_024;

/// Memory for a row within reach of a window, in bytes: a sum, a label and a time.
const WINDOW_BYTES: u64 = 96;

/// Memory for the sums of an input file and one set of rows, in bytes: a hundred columns.
const SUMS_BYTES: u64 = 8_192;

/// Number of rows decoded together.
const BATCH: usize = 1_024;

/// Divides the symbols into passes over the raw files, so that the datasets of each pass fit in memory. Symbols without
/// a dataset cost nothing.
pub(super) fn passes(manifest: &Manifest) -> Vec<Vec<&SymbolEntry>> {
    let targets = manifest.config.all_targets();
    let cost = |symbol: &SymbolEntry| {
        let window = |target: &Target| symbol.rows.min(rows_kept(&target.movement)) * WINDOW_BYTES;
        let open = |dataset: &DatasetEntry| {
            let sums = (manifest.inputs.len() * (1 + targets.len())) as u64 * SUMS_BYTES;
            dataset.rows.min(PAGE_ROWS as u64) * ROW_BYTES + targets.iter().map(window).sum::<u64>() + sums
        };
        symbol.dataset.as_ref().map_or(0, open)
    };
    batches(&manifest.symbols, MEMORY, |symbol| cost(symbol))
}

/// A dataset that is read in step with its raw stream.
pub(super) struct EveryRow<'a> {
    path: PathBuf,
    symbol: &'a str,
    entry: &'a DatasetEntry,
    targets: Vec<Target>,
    reader: ParquetRecordBatchReader,
    /// The current batch, its number of rows, and the position of the next row.
    columns: RawColumns,
    rows: usize,
    at: usize,
    /// The number of the next row in its stream; `None` at the end.
    next: Option<u64>,
    labels: Labels<'a>,
    compared: u64,
    sums: SumsCheck<'a>,
    /// The values of the columns of `sums`.
    fields: Vec<Field>,
}

impl<'a> EveryRow<'a> {
    /// Opens a dataset.
    ///
    /// # Errors
    /// [`InputError`](crate::error::InputError) when it cannot be read.
    pub(super) fn open(
        folder: &Path,
        config: &Config,
        (symbol, entry): (&'a SymbolEntry, &'a DatasetEntry),
        thresholds: &'a Thresholds,
    ) -> Result<Self> {
        let path = folder.join(&entry.file);
        let targets = config.all_targets();
        let mut reader =
            caught(&path, || open_rows(&path)?.with_batch_size(BATCH).build().map_err(|e| unreadable(&path, e)))?;
        let of_sums = folder.join(&entry.moments.file);
        let sums = SumsCheck::all(&entry.moments, caught(&of_sums, || Moments::read(&of_sums))?);
        let fields: Option<Vec<Field>> = sums.names().map(field).collect();
        let fields = fields.ok_or_else(|| unreadable(&of_sums, "there is no way to check one of its columns"))?;
        let Some((rows, columns)) = read(&path, &mut reader, &symbol.symbol, &targets)? else {
            return Err(unreadable(&path, "it has no rows"));
        };
        Ok(Self {
            path,
            symbol: &symbol.symbol,
            entry,
            labels: Labels::new(&entry.file, &targets, symbol, thresholds, (!config.drop_unbalanced, true)),
            targets,
            reader,
            rows,
            at: 0,
            next: Some(columns.row(0)),
            columns,
            compared: 0,
            sums,
            fields,
        })
    }

    /// Moves to the next row of the dataset, if any.
    fn advance(&mut self) -> Result<()> {
        self.at += 1;
        if self.at == self.rows {
            let Some((rows, columns)) = read(&self.path, &mut self.reader, self.symbol, &self.targets)? else {
                self.next = None;
                return Ok(());
            };
            (self.at, self.rows, self.columns) = (0, rows, columns);
        }
        self.next = Some(self.columns.row(self.at));
        Ok(())
    }

    /// Takes the next row of the raw stream, which comes from the input file of this name.
    pub(super) fn take(&mut self, input: &str, raw: &RawRow<'_>, violations: &mut Violations) {
        let (row, file) = (raw.row, self.entry.file.as_str());
        if self.next != Some(row) {
            self.labels.take(raw, std::iter::empty(), violations);
            return;
        }
        if !raw.in_session {
            violations.add(|| format!("{file}: row {row}: is outside the sessions"));
        }
        if let Err(reason) = self.columns.compare(self.at, raw.record, raw.before) {
            violations.add(|| format!("{file}: row {row}: {reason}"));
        }
        self.labels.take(raw, self.columns.labels(self.at), violations);
        if self.sums.input() != Some(input) {
            self.sums.misplaced(row, input);
        }
        let values: Vec<Want> = self.fields.iter().map(|field| field(raw.record, raw.before)).collect();
        let fit = self.columns.labels(self.at).map(|l| l.is_some_and(|label| label.split == Some(Split::Fit)));
        self.sums.take(fit, values.iter().copied());
        self.compared += 1;
        if let Err(e) = self.advance() {
            violations.add(|| format!("{file}: {}", cause(&e)));
            self.next = None;
        }
    }

    /// Ends the comparison; returns the number of rows compared.
    pub(super) fn finish(self, violations: &mut Violations) -> u64 {
        self.labels.finish(violations);
        if let Some(row) = self.next {
            violations.add(|| {
                format!("{}: row {row}: the raw files have no such row, or not in this order", self.entry.file)
            });
        }
        if self.compared != self.entry.rows {
            violations.add(|| {
                format!("{}: {} of its {} rows are in the raw files", self.entry.file, self.compared, self.entry.rows)
            });
        }
        self.sums.finish().into_iter().for_each(|violation| violations.add(|| violation));
        self.compared
    }
}

/// Reads the next batch of a dataset; returns its number of rows and its columns.
fn read(
    path: &Path,
    reader: &mut ParquetRecordBatchReader,
    symbol: &str,
    targets: &[Target],
) -> Result<Option<(usize, RawColumns)>> {
    let Some(batch) = caught(path, || reader.next().transpose().map_err(|e| unreadable(path, e)))? else {
        return Ok(None);
    };
    let columns = RawColumns::new(&batch, symbol, targets).map_err(|e| unreadable(path, e))?;
    Ok(Some((batch.num_rows(), columns)))
}
