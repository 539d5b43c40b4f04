//! Compares all rows of a dataset with the raw stream it was computed from.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::definition::Lengths;
use super::movement::Slide;
use super::raw::{Label, RawColumns};
use super::raw_row::RawRow;
use super::reading::{caught, cause, open_rows, unreadable};
use super::violations::Violations;
use crate::config::Config;
use crate::error::Result;
use crate::label::Boundaries;
use crate::output::{DatasetEntry, Manifest, PAGE_ROWS, SymbolEntry};
use crate::run::batches;

/// Memory for the datasets that are open at the same time, in bytes. If they need more, the raw files are read in
/// several passes.
const MEMORY: u64 = 512 << 20;

/// Memory for a row of an open dataset, in bytes: its decoded columns, and their pages.
const ROW_BYTES: u64 = 1_024;

/// Memory for a row within reach of a window, in bytes: a sum, a label and a time.
const WINDOW_BYTES: u64 = 96;

/// Number of rows decoded together.
const BATCH: usize = 1_024;

/// Divides the symbols into passes over the raw files, so that the datasets of each pass fit in memory. Symbols without
/// a dataset cost nothing.
pub(super) fn passes(manifest: &Manifest) -> Vec<Vec<&SymbolEntry>> {
    let lengths = Lengths::new(&manifest.config);
    let cost = |symbol: &SymbolEntry| {
        let open = |dataset: &DatasetEntry| {
            dataset.rows.min(PAGE_ROWS as u64) * ROW_BYTES
                + symbol.rows.min(lengths.lookback + lengths.reach()) * WINDOW_BYTES
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
    boundaries: &'a Boundaries,
    /// The boundary time T.
    until: u64,
    reach: u64,
    lookback: u64,
    drop_unbalanced: bool,
    reader: ParquetRecordBatchReader,
    /// The current batch, its number of rows, and the position and label of the next row.
    columns: RawColumns,
    rows: usize,
    at: usize,
    next: Option<Label>,
    slide: Slide,
    /// The first row of the current unbroken stretch.
    stretch: u64,
    /// Labels whose future window is incomplete, each with the running maximum of `ts_recv` at its row.
    open: VecDeque<(Label, u64)>,
    compared: u64,
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
        (boundaries, until): (&'a Boundaries, u64),
    ) -> Result<Self> {
        let path = folder.join(&entry.file);
        let lengths = Lengths::new(config);
        let mut reader =
            caught(&path, || open_rows(&path)?.with_batch_size(BATCH).build().map_err(|e| unreadable(&path, e)))?;
        let Some((rows, columns)) = read(&path, &mut reader, &symbol.symbol)? else {
            return Err(unreadable(&path, "it has no rows"));
        };
        Ok(Self {
            path,
            symbol: &symbol.symbol,
            entry,
            boundaries,
            until,
            reach: lengths.reach(),
            lookback: lengths.lookback,
            drop_unbalanced: config.drop_unbalanced,
            reader,
            rows,
            at: 0,
            next: Some(columns.label(0)),
            columns,
            slide: Slide::new(lengths),
            stretch: 0,
            open: VecDeque::new(),
            compared: 0,
        })
    }

    /// Moves to the next row of the dataset, if any.
    fn advance(&mut self) -> Result<()> {
        self.at += 1;
        if self.at == self.rows {
            let Some((rows, columns)) = read(&self.path, &mut self.reader, self.symbol)? else {
                self.next = None;
                return Ok(());
            };
            (self.at, self.rows, self.columns) = (0, rows, columns);
        }
        self.next = Some(self.columns.label(self.at));
        Ok(())
    }

    /// Takes the next row of the raw stream.
    pub(super) fn take(&mut self, raw: &RawRow<'_>, violations: &mut Violations) {
        let (row, file) = (raw.row, self.entry.file.as_str());
        if raw.breaks {
            self.slide.restart(row);
            self.stretch = row;
            self.refuse_open(violations);
        }
        if self.next.as_ref().is_some_and(|label| label.row == row) {
            if let Err(reason) = self.columns.compare(self.at, raw.record, raw.before) {
                violations.add(|| format!("{file}: row {row}: {reason}"));
            }
            self.open.extend(self.next.map(|label| (label, raw.max_ts)));
            self.compared += 1;
            if let Err(e) = self.advance() {
                violations.add(|| format!("{file}: {}", cause(&e)));
                self.next = None;
            }
        }
        let computed = self.slide.push(raw.mid2);
        // The row whose future window ends here, whether or not it has a past window.
        let Some(ended) = row.checked_sub(self.reach).filter(|ended| *ended >= self.stretch) else { return };
        let stored = match self.open.front() {
            Some((label, _)) if label.row == ended => self.open.pop_front(),
            _ => None,
        };
        match (stored, computed) {
            (Some((label, own_ts)), Some((_, want))) => {
                let compared = label.compare(want, &self.boundaries.values, [own_ts, raw.max_ts], self.until);
                if let Err(reason) = compared {
                    violations.add(|| format!("{file}: row {ended}: {reason}"));
                }
            }
            (Some(_), None) => {
                let lookback = self.lookback;
                violations
                    .add(|| format!("{file}: row {ended}: fewer than {lookback} rows lie before it in its stretch"));
            }
            (None, Some((_, Some(_)))) if !self.drop_unbalanced => {
                violations.add(|| format!("{file}: row {ended}: can have a label, but is not there"));
            }
            (None, _) => {}
        }
    }

    /// Ends the stretch: rows with an incomplete future window should not be in the dataset.
    fn refuse_open(&mut self, violations: &mut Violations) {
        for (label, _) in self.open.drain(..) {
            violations
                .add(|| format!("{}: row {}: its stretch ends within its future window", self.entry.file, label.row));
        }
    }

    /// Ends the comparison; returns the number of rows compared.
    pub(super) fn finish(mut self, violations: &mut Violations) -> u64 {
        self.refuse_open(violations);
        if let Some(label) = &self.next {
            violations.add(|| {
                format!("{}: row {}: the raw files have no such row, or not in this order", self.entry.file, label.row)
            });
        }
        if self.compared != self.entry.rows {
            violations.add(|| {
                format!("{}: {} of its {} rows are in the raw files", self.entry.file, self.compared, self.entry.rows)
            });
        }
        self.compared
    }
}

/// Reads the next batch of a dataset; returns its number of rows and its columns.
fn read(path: &Path, reader: &mut ParquetRecordBatchReader, symbol: &str) -> Result<Option<(usize, RawColumns)>> {
    let Some(batch) = caught(path, || reader.next().transpose().map_err(|e| unreadable(path, e)))? else {
        return Ok(None);
    };
    let columns = RawColumns::new(&batch, symbol).map_err(|e| unreadable(path, e))?;
    Ok(Some((batch.num_rows(), columns)))
}
