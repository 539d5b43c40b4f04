//! Reads the raw files up to the end of a row's labels.

use std::collections::BTreeMap;

use super::super::definition::Break;
use super::super::kinds::{Evaluator, Lengths, RowAt, RowTime, Span, Verdict, mid_windows, spans};
use super::super::raw::RawColumns;
use super::super::raw_file::{RawFiles, RawRecord};
use super::super::raw_row::RawRows;
use super::inputs::identify;
use crate::config::Target;
use crate::error::Result;
use crate::input::{CatalogFile, Event, Unusable, file_sha256};
use crate::output::{Manifest, SymbolEntry};
use crate::run::Monitor;

/// Maximum number of dropped records before the row that are kept.
const MOST_DROPPED: usize = 20;

/// A record by its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The number of its file among those read.
    pub file: usize,
    /// Its number in the file.
    pub record: u64,
}

/// The row to explain.
pub(super) struct Here {
    pub at: RowAt,
    pub place: Place,
    pub event: Event,
    pub bid_px: i64,
    pub ask_px: i64,
    pub in_session: bool,
    /// The first records dropped since the row before, and how many were dropped in total.
    pub dropped: Vec<(Place, Unusable)>,
    pub dropped_count: u64,
    /// Whether the stored row, if there is one, matches the record: the error names what differs.
    pub compared: Option<Result<(), String>>,
}

/// What the raw files say about a row and its labels.
pub(super) struct Trail<'a> {
    symbol: &'a SymbolEntry,
    row: u64,
    stored: Option<&'a RawColumns>,
    targets: Vec<Watched>,
    /// The rows at the ends of windows in rows.
    ends: BTreeMap<u64, Option<RowAt>>,
    /// The first row of the stretch and why it begins there, the last row so far, and why the next stretch begins after
    /// it.
    pub first: Option<(RowAt, Option<Break>)>,
    pub last: Option<RowAt>,
    pub next: Option<Break>,
    /// Whether the stretch, or the stream, has ended.
    pub ended: bool,
    /// Whether no later record matters.
    done: bool,
    pub here: Option<Here>,
    dropped: Vec<(Place, Unusable)>,
    dropped_count: u64,
    /// The first break of the stream that the manifest does not list.
    pub unlisted_break: Option<u64>,
    breaks: usize,
    /// Number of rows read.
    pub rows: u64,
    /// The names of the files read, as in the manifest.
    pub files: Vec<String>,
}

/// A target, and what is known so far about the row's label.
struct Watched {
    evaluator: Evaluator,
    behind: Span,
    verdict: Option<Verdict>,
    /// Whether the outcome is settled: the label is known, or the window behind is not complete.
    done: bool,
}

impl Watched {
    fn new(target: &Target, row: u64) -> Self {
        let [behind, _] = spans(&target.movement);
        Self { evaluator: Evaluator::of_row(&target.movement, row), behind, verdict: None, done: false }
    }
}

/// Whether a stretch that begins with `first` lacks rows that the label of a row looks back on.
pub(super) fn lacks(first: RowAt, row: RowAt, behind: Span) -> bool {
    match behind {
        Span::Rows(rows) => row.row - first.row < rows,
        Span::Time(time) => row.ts - first.ts < time,
    }
}

impl<'a> Trail<'a> {
    /// The start of a trail to a row of a symbol; `stored` is the row as the dataset contains it.
    pub(super) fn new(symbol: &'a SymbolEntry, row: u64, targets: &[Target], stored: Option<&'a RawColumns>) -> Self {
        let windows = targets.iter().filter_map(|target| mid_windows(&target.movement));
        let fits = windows.filter(|lengths| row >= lengths.before());
        let ends = fits.flat_map(|lengths: Lengths| lengths.windows(row)).flat_map(|rows| [rows.start, rows.end - 1]);
        Self {
            symbol,
            row,
            stored,
            targets: targets.iter().map(|target| Watched::new(target, row)).collect(),
            ends: ends.map(|end| (end, None)).collect(),
            first: None,
            last: None,
            next: None,
            ended: false,
            done: false,
            here: None,
            dropped: Vec::new(),
            dropped_count: 0,
            unlisted_break: None,
            breaks: 0,
            rows: 0,
            files: Vec::new(),
        }
    }

    /// The label of each target, and its evaluator; `None` where its windows are not complete.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = Option<(&Verdict, &Evaluator)>> {
        self.targets.iter().map(|target| target.verdict.as_ref().map(|verdict| (verdict, &target.evaluator)))
    }

    /// A row at an end of a window in rows.
    pub(super) fn row_time(&self, row: u64) -> Option<RowTime> {
        self.ends.get(&row).copied().flatten().map(RowTime::new)
    }

    /// Reads raw files in order until no later record matters, and checks that they are inputs of the manifest.
    ///
    /// # Errors
    /// [`InputError`](crate::error::InputError) when a file cannot be read, or is not an input;
    /// [`Error::Interrupted`](crate::Error::Interrupted) when the run has been asked to stop.
    pub(super) fn read(&mut self, files: &[CatalogFile], manifest: &Manifest, monitor: &Monitor<'_>) -> Result<()> {
        let raw_files = RawFiles::new(manifest);
        let mut rows = RawRows::new(&manifest.config);
        for (number, file) in files.iter().enumerate() {
            let mut raw = raw_files.open(file)?;
            // The place of the symbol's stream among those of the file.
            let mut ours = None;
            while let Some(found) = raw.next(monitor)? {
                if ours.is_none() && found.stream == self.symbol.symbol {
                    ours = Some(found.place);
                }
                if ours != Some(found.place) {
                    continue;
                }
                self.take(&mut rows, number, &found);
                if self.done {
                    break;
                }
            }
            // A file that was not read to its end is read again for its hash, without decoding it.
            let sha256 = if self.done { file_sha256(&file.path)? } else { raw.finish()?.sha256 };
            file.check_unchanged()?;
            self.files.push(identify(&manifest.inputs, &file.path, &sha256)?.name.clone());
            if self.done {
                return Ok(());
            }
        }
        self.end_stretch();
        self.ended = true;
        Ok(())
    }

    /// Takes a record of the stream.
    fn take(&mut self, rows: &mut RawRows<'_>, file: usize, found: &RawRecord<'_>) {
        let place = Place { file, record: found.number };
        let mid2 = match found.mid2 {
            Ok(mid2) => mid2,
            Err(reason) => {
                rows.dropped(reason);
                if rows.rows == self.row {
                    self.dropped_count += 1;
                    self.dropped.extend((self.dropped.len() < MOST_DROPPED).then_some((place, reason)));
                }
                return;
            }
        };
        let raw = rows.next(&found.record, mid2);
        let at = raw.at();
        if raw.breaks.is_some() {
            if self.symbol.breaks.get(self.breaks) != Some(&raw.row) {
                self.unlisted_break.get_or_insert(raw.row);
            }
            self.breaks += 1;
            self.end_stretch();
            if raw.row > self.row {
                (self.next, self.ended, self.done) = (raw.breaks, true, true);
                return;
            }
        }
        self.rows += 1;
        if raw.row == 0 || raw.breaks.is_some() {
            self.first = Some((at, raw.breaks));
            self.targets.iter_mut().for_each(|target| target.evaluator.kind_mut().restart(raw.row, &mut |_| ()));
        }
        self.last = Some(at);
        if raw.row == self.row {
            let best = &found.record.levels[0];
            self.here = Some(Here {
                at,
                place,
                event: found.record.event,
                bid_px: best.bid_px,
                ask_px: best.ask_px,
                in_session: raw.in_session,
                dropped: std::mem::take(&mut self.dropped),
                dropped_count: self.dropped_count,
                compared: self.stored.map(|stored| stored.compare(0, raw.record, raw.before)),
            });
        }
        if let Some(end) = self.ends.get_mut(&raw.row) {
            *end = Some(at);
        }
        for target in &mut self.targets {
            target.push(at, self.row);
            if let (true, Some((first, _))) = (raw.row == self.row, self.first) {
                target.done |= lacks(first, at, target.behind);
            }
        }
        self.done = raw.row >= self.row && self.targets.iter().all(|target| target.done);
    }

    /// Ends the stretch of the row: passes on the labels that its end completes.
    fn end_stretch(&mut self) {
        for Watched { evaluator, verdict, .. } in &mut self.targets {
            evaluator
                .kind_mut()
                .restart(0, &mut |told| *verdict = verdict.or(Some(told).filter(|told| told.row == self.row)));
        }
    }
}

impl Watched {
    fn push(&mut self, at: RowAt, row: u64) {
        let Self { evaluator, verdict, done, .. } = self;
        if !*done {
            evaluator.kind_mut().push(at, &mut |told| *verdict = verdict.or(Some(told).filter(|told| told.row == row)));
            *done = verdict.is_some();
        }
    }
}
