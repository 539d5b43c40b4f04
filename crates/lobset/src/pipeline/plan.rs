//! Plan: tapes to movements, boundaries, classes and row groups; no row is read for it.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Run;
use super::monitor::Stage;
use super::parallel::map_batched;
use super::streams::Stream;
use crate::error::{Error, Result};
use crate::label::{Fit, Quota, Split, Thresholds, Windows, movements};
use crate::output::ROW_GROUP_ROWS;

/// Candidates of a block: the unit of counts, of which row groups are made up.
const BLOCK: u64 = 16_384;

/// Candidates whose movements one task computes, unless the windows are so long that sliding needs a longer way to pay.
const SLIDE: u64 = 16 * BLOCK;

/// Candidates whose classes one task counts: few enough for a core's own cache.
const TASK: u64 = 2 * BLOCK;

/// The movements of all candidates of all symbols, in a work file. NaN stands where there is none.
pub struct MovementTape {
    path: PathBuf,
    file: File,
    /// The first place of each symbol.
    starts: Vec<u64>,
}

impl MovementTape {
    /// Reads a range of a symbol's candidates into `out`.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read.
    pub fn read(&self, symbol: usize, range: Range<u64>, out: &mut Vec<f64>) -> Result<()> {
        let first = self.starts[symbol] + range.start;
        read_movements(&self.file, first..first + (range.end - range.start), out)
            .map_err(|e| Error::output(&self.path, e))
    }

    fn write(&self, symbol: usize, at: u64, values: &[f64]) -> Result<()> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.file.write_all_at(&bytes, (self.starts[symbol] + at) * 8).map_err(|e| Error::output(&self.path, e))
    }
}

/// Reads movements of a file of them, eight bytes each, into `out`.
pub(crate) fn read_movements(file: &File, range: Range<u64>, out: &mut Vec<f64>) -> std::io::Result<()> {
    let mut bytes = vec![0; (range.end - range.start) as usize * 8];
    file.read_exact_at(&mut bytes, range.start * 8)?;
    out.clear();
    let (words, _) = bytes.as_chunks::<8>();
    out.extend(words.iter().map(|w| f64::from_le_bytes(*w)));
    Ok(())
}

/// A range of one symbol's candidates.
#[derive(Debug, Clone)]
pub(super) struct Slice {
    pub symbol: usize,
    pub range: Range<u64>,
}

impl Slice {
    /// Its candidates.
    pub fn count(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Cuts ranges of candidates into slices of at most `most`, at multiples of it from each range's start.
pub(super) fn slices(symbol: usize, range: Range<u64>, most: u64) -> impl Iterator<Item = Slice> {
    let end = range.end;
    range
        .step_by(usize::try_from(most).unwrap_or(usize::MAX))
        .map(move |from| Slice { symbol, range: from..(from + most).min(end) })
}

/// Computes every movement once.
///
/// # Errors
/// [`Error::Output`] when a work file cannot be written or read.
pub fn movement_tape(run: &Run<'_>, streams: &[Stream], folder: &Path) -> Result<(MovementTape, Vec<u64>)> {
    let windows = Windows::new(run.config);
    let path = folder.join("movements.f64");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(|e| Error::output(&path, e))?;
    let mut total = 0;
    let starts = streams
        .iter()
        .map(|s| {
            total += s.candidates.count();
            total - s.candidates.count()
        })
        .collect();
    let tape = MovementTape { path, file, starts };
    let most = SLIDE.max((4 * (windows.lookback + windows.reach())).next_multiple_of(BLOCK));
    let tasks: Vec<Slice> =
        (0..streams.len()).flat_map(|s| slices(s, 0..streams[s].candidates.count(), most)).collect();
    let mut labelled = vec![0; streams.len()];
    let work = |slice: &Slice| {
        let stream = &streams[slice.symbol];
        let (mut at, mut found) = (slice.range.start, 0);
        movements(&stream.tape, windows, &stream.candidates, slice.range.clone(), |values| {
            tape.write(slice.symbol, at, values)?;
            at += values.len() as u64;
            found += values.iter().filter(|v| !v.is_nan()).count() as u64;
            run.monitor.advance(values.len() as u64)
        })?;
        Ok((slice.symbol, found))
    };
    run.monitor.stage(Stage::Plan, total, || {
        map_batched(run.threads, &tasks, Slice::count, work, |(symbol, found)| {
            labelled[symbol] += found;
            Ok(())
        })
    })?;
    Ok((tape, labelled))
}

/// Labelled rows of each class, split by split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCounts {
    nbins: usize,
    counts: Vec<u64>,
}

impl ClassCounts {
    fn new(nbins: usize) -> Self {
        Self { nbins, counts: vec![0; 3 * nbins] }
    }

    /// The counts of a split, by class.
    pub fn of(&self, split: Split) -> &[u64] {
        &self.counts[split as usize * self.nbins..][..self.nbins]
    }

    /// Counts a row and returns the number that it has among those of its class and split, from 1.
    #[inline]
    pub fn count(&mut self, split: Split, class: usize) -> u64 {
        let count = &mut self.counts[split as usize * self.nbins + class];
        *count += 1;
        *count
    }

    fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
    }
}

/// A row group to write: consecutive candidates, and what has been counted before them.
#[derive(Debug, Clone)]
pub struct RowGroup {
    /// The candidates.
    pub candidates: Range<u64>,
    /// Rows of each class that come before.
    pub before: ClassCounts,
    /// Rows that will be written.
    pub rows: u64,
}

/// What will be written of one symbol.
#[derive(Debug, Clone)]
pub struct SymbolPlan {
    /// Its place among the streams.
    pub symbol: usize,
    /// All labelled rows by split and class.
    pub counts: ClassCounts,
    /// Marks in `fit` and in `holdout`.
    pub fit: Quota,
    /// Marks in `holdout`.
    pub holdout: Quota,
    /// Its row groups, in order.
    pub groups: Vec<RowGroup>,
}

impl SymbolPlan {
    /// The quota of a split; rows under embargo have none.
    #[inline]
    pub fn quota(&self, split: Split) -> Option<&Quota> {
        match split {
            Split::Fit => Some(&self.fit),
            Split::Embargo => None,
            Split::Holdout => Some(&self.holdout),
        }
    }

    /// Rows that will be written.
    pub fn rows(&self) -> u64 {
        self.groups.iter().map(|g| g.rows).sum()
    }
}

/// Counts the classes of the qualified symbols and lays out their row groups.
///
/// # Errors
/// [`Error::Output`] when the work file cannot be read.
pub fn symbol_plans(
    run: &Run<'_>,
    streams: &[Stream],
    tape: &MovementTape,
    thresholds: &Thresholds,
    qualified: &[usize],
) -> Result<Vec<SymbolPlan>> {
    let nbins = usize::from(run.config.nbins);
    let with_fit: Vec<(usize, &Fit)> =
        qualified.iter().filter_map(|s| Some((*s, thresholds.for_symbol(&streams[*s].symbol)?))).collect();
    let tasks: Vec<(Slice, &Fit)> = with_fit
        .iter()
        .flat_map(|(s, fit)| slices(*s, 0..streams[*s].candidates.count(), TASK).map(move |slice| (slice, *fit)))
        .collect();
    let work = |(slice, fit): &(Slice, &Fit)| -> Result<(Slice, Vec<ClassCounts>)> {
        let stream = &streams[slice.symbol];
        let mut values = Vec::new();
        tape.read(slice.symbol, slice.range.clone(), &mut values)?;
        let mut rows = stream.candidates.rows(slice.range.clone()).flatten();
        let blocks = values.chunks(BLOCK as usize).map(|block| {
            let mut counts = ClassCounts::new(nbins);
            for (value, row) in block.iter().zip(&mut rows) {
                if !value.is_nan() {
                    counts.count(stream.splits.of(row), fit.class(*value));
                }
            }
            counts
        });
        Ok((slice.clone(), blocks.collect()))
    };
    let mut blocks: Vec<Vec<ClassCounts>> = vec![Vec::new(); streams.len()];
    let total = tasks.iter().map(|(slice, _)| slice.count()).sum();
    run.monitor.stage(Stage::Plan, total, || {
        map_batched(
            run.threads,
            &tasks,
            |(slice, _)| slice.count(),
            work,
            |(slice, counted)| {
                run.monitor.advance(slice.count())?;
                blocks[slice.symbol].extend(counted);
                Ok(())
            },
        )
    })?;
    let plan = |&(symbol, _): &(usize, &Fit)| {
        plan_symbol(symbol, &blocks[symbol], streams[symbol].candidates.count(), nbins, run.config.drop_unbalanced)
    };
    Ok(with_fit.iter().map(plan).collect())
}

fn plan_symbol(
    symbol: usize,
    blocks: &[ClassCounts],
    candidates: u64,
    nbins: usize,
    drop_unbalanced: bool,
) -> SymbolPlan {
    let mut counts = ClassCounts::new(nbins);
    blocks.iter().for_each(|b| counts.add(b));
    let mut plan = SymbolPlan {
        symbol,
        fit: Quota::new(counts.of(Split::Fit).to_vec()),
        holdout: Quota::new(counts.of(Split::Holdout).to_vec()),
        counts,
        groups: Vec::new(),
    };
    // Rows that a block adds to what is written, given what came before it.
    let written = |plan: &SymbolPlan, before: &ClassCounts, block: &ClassCounts| -> u64 {
        if !drop_unbalanced {
            return block.counts.iter().sum();
        }
        let marked = |split: Split, quota: &Quota| -> u64 {
            let classes = before.of(split).iter().zip(block.of(split)).enumerate();
            classes.map(|(class, (b, n))| quota.marked_among(class, b + n) - quota.marked_among(class, *b)).sum()
        };
        marked(Split::Fit, &plan.fit) + marked(Split::Holdout, &plan.holdout)
    };
    let mut seen = ClassCounts::new(nbins);
    let mut group = RowGroup { candidates: 0..0, before: seen.clone(), rows: 0 };
    for (number, block) in blocks.iter().enumerate() {
        let from = number as u64 * BLOCK;
        let rows = written(&plan, &seen, block);
        if group.rows > 0 && group.rows + rows > ROW_GROUP_ROWS {
            let full = RowGroup { candidates: from..from, before: seen.clone(), rows: 0 };
            plan.groups.push(std::mem::replace(&mut group, full));
        }
        seen.add(block);
        group.rows += rows;
        group.candidates.end = (from + BLOCK).min(candidates);
    }
    if group.rows > 0 {
        plan.groups.push(group);
    }
    plan
}
