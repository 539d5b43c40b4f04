//! The movements of all candidates, computed once and kept in a work file.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::counts::{Slice, slices};
use super::streams::{Stream, TargetRows, items, of_item};
use crate::cast::to_usize;
use crate::config::Target;
use crate::error::{Error, Result};
use crate::label::{Comoments, KnownSums, Rule};
use crate::output::MOVEMENT_TAPE;
use crate::run::{Monitor, Run, Stage, map_batched};
use crate::storage;
use crate::tape::{BlockWriter, MOVEMENT_BLOCK, SymbolTape, read_blocks};

/// Candidates whose movements a thread computes at a time: enough that the cost of the first label is negligible.
pub fn slide(rule: &dyn Rule) -> u64 {
    (16 * MOVEMENT_BLOCK).max((4 * rule.span()).next_multiple_of(MOVEMENT_BLOCK))
}

/// Whether a later step reads a track: only the columns of `label_end` need the ends of labels.
pub fn is_kept(rule: &dyn Rule, track: usize, label_end: bool) -> bool {
    label_end || rule.end_track() != Some(track)
}

/// Summary of movements that have been computed and written.
#[derive(Serialize, Deserialize)]
pub struct Computed {
    /// Number of defined movements.
    pub labelled: u64,
    /// The checksum of each block, by track; none for a track that is not kept.
    pub checksums: Vec<Vec<u32>>,
    /// The moments of movements and known parts in each block with fit rows; none if the known part is always 0.
    pub known: Vec<Comoments>,
}

impl Computed {
    /// The summary of no movements.
    pub fn empty(rule: &dyn Rule) -> Self {
        Self { labelled: 0, checksums: vec![Vec::new(); rule.tracks()], known: Vec::new() }
    }

    /// Computes the movements of a range of candidates, which starts where a block does, and passes the blocks of each
    /// track that is kept to `write`.
    ///
    /// # Errors
    /// [`Error::Output`] when the tape cannot be read; errors of `write`.
    pub fn of(
        (tape, breaks): (&SymbolTape, &[u64]),
        (rule, label_end): (&dyn Rule, bool),
        rows: &TargetRows,
        range: Range<u64>,
        monitor: &Monitor<'_>,
        write: impl Fn(usize, u64, &[u8]) -> Result<()>,
    ) -> Result<Self> {
        let TargetRows { candidates, splits } = rows;
        let fit = candidates.before(splits.fit_end).clamp(range.start, range.end) - range.start;
        let (mut labelled, mut known) = (0, KnownSums::new(fit));
        let write = &write;
        let writer = |track| {
            let mut at = 0;
            BlockWriter::new(move |block: &[u8]| {
                at += block.len() as u64;
                write(track, at - block.len() as u64, block)
            })
        };
        let kept = |track| is_kept(rule, track, label_end).then(|| writer(track));
        let mut tracks: Vec<_> = (0..rule.tracks()).map(kept).collect();
        rule.compute(tape, breaks, candidates, range, &mut |values| {
            let movements = values.first().map_or(&[][..], Vec::as_slice);
            labelled += movements.iter().filter(|v| !v.is_nan()).count() as u64;
            if let Some(track) = rule.known_track().and_then(|track| values.get(track)) {
                known.push(movements, track);
            }
            let mut kept = tracks.iter_mut().zip(values).filter_map(|(track, values)| Some((track.as_mut()?, values)));
            kept.try_for_each(|(track, values)| track.push(values))?;
            monitor.advance(movements.len() as u64)
        })?;
        let finish = |track: &mut Option<_>| track.as_mut().map_or_else(|| Ok(Vec::new()), BlockWriter::finish);
        let checksums = tracks.iter_mut().map(finish).collect::<Result<_>>()?;
        Ok(Self { labelled, checksums, known: known.finish() })
    }

    /// Appends the summary of the movements that follow.
    pub fn append(&mut self, next: Self) {
        self.labelled += next.labelled;
        self.checksums.iter_mut().zip(next.checksums).for_each(|(all, more)| all.extend(more));
        self.known.extend(next.known);
    }
}

/// What is known once all movements are computed, by [`item`](super::streams::item).
pub struct MovementSummary {
    /// Number of labelled rows.
    pub labelled: Vec<u64>,
    /// Moments of movements and known parts over the fit rows.
    pub known: Vec<Comoments>,
}

impl MovementSummary {
    /// The summary of items without movements.
    pub fn new(items: usize) -> Self {
        Self { labelled: vec![0; items], known: vec![Comoments::default(); items] }
    }

    /// Adds the next movements of an item.
    pub fn add(&mut self, item: usize, next: &Computed) {
        self.labelled[item] += next.labelled;
        next.known.iter().for_each(|block| self.known[item].add(block));
    }
}

/// The movements of all candidates of all targets and symbols, in a work file; NaN where undefined.
pub struct MovementTape {
    path: PathBuf,
    file: File,
    /// The tracks of each [`item`](super::streams::item).
    items: Vec<Vec<Track>>,
}

/// One track of one target of one symbol.
struct Track {
    /// Index of the first value in the file.
    first: u64,
    count: u64,
    /// The checksum of each block.
    checksums: Vec<u32>,
}

impl MovementTape {
    /// Reads a track of a range of an item's candidates into `out`, and checks the blocks that contain it.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read, or is damaged.
    pub fn read(&self, (item, track): (usize, usize), range: Range<u64>, out: &mut Vec<f64>) -> Result<()> {
        let Track { first, count, checksums } = &self.items[item][track];
        out.resize(to_usize(range.end - range.start), 0.0);
        let read = |bytes: &mut [u8], at: u64| self.file.read_exact_at(bytes, (first + at) * 8);
        read_blocks(range, 0..*count, checksums, read, out).map_err(|e| Error::read_back(&self.path, &e))
    }
}

/// Computes every movement once, into a work file; returns it and a summary.
///
/// # Errors
/// [`Error::Output`] when a work file cannot be written or read.
pub fn movement_tape(
    run: &Run<'_>,
    targets: &[Target],
    streams: &[Stream],
    folder: &Path,
) -> Result<(MovementTape, MovementSummary)> {
    let path = folder.join(MOVEMENT_TAPE);
    let file = storage::create(&path).map_err(|e| Error::output(&path, e))?;
    let (mut values, mut total) = (0, 0);
    let mut tasks: Vec<Slice> = Vec::new();
    let mut tracks: Vec<Vec<Track>> = Vec::new();
    for (place, (target, _, rows)) in items(streams).enumerate() {
        let rule = targets[target].movement.rule();
        let count = rows.candidates.count();
        let track = |track| {
            let count = if is_kept(rule, track, run.config.label_end) { count } else { 0 };
            values += count;
            Track { first: values - count, count, checksums: Vec::new() }
        };
        tracks.push((0..rule.tracks()).map(track).collect());
        tasks.extend(slices(place, 0..count, slide(rule)));
        total += count;
    }
    let firsts: Vec<Vec<u64>> = tracks.iter().map(|item| item.iter().map(|track| track.first).collect()).collect();
    let mut summary = MovementSummary::new(tracks.len());
    let work = |slice: &Slice| {
        let (target, Stream { tape, breaks, .. }, rows) = of_item(streams, slice.place);
        let write = |track: usize, at: u64, block: &[u8]| {
            let first = (firsts[slice.place][track] + slice.range.start) * 8;
            file.write_all_at(block, first + at).map_err(|e| Error::output(&path, e))
        };
        let (rule, range) = ((targets[target].movement.rule(), run.config.label_end), slice.range.clone());
        Ok((slice.place, Computed::of((tape, breaks), rule, rows, range, run.monitor, write)?))
    };
    run.monitor.stage(Stage::Plan, total, || {
        map_batched(run.threads, &tasks, Slice::count, work, |(item, computed)| {
            summary.add(item, &computed);
            tracks[item].iter_mut().zip(computed.checksums).for_each(|(track, more)| track.checksums.extend(more));
            Ok(())
        })
    })?;
    Ok((MovementTape { path, file, items: tracks }, summary))
}
