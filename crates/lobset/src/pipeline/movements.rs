//! The movements of all candidates, computed once and kept in a work file.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::counts::{Slice, slices};
use super::streams::{Stream, items, of_item};
use crate::config::Target;
use crate::error::{Error, Result};
use crate::label::{Candidates, Rule};
use crate::output::MOVEMENT_TAPE;
use crate::run::{Monitor, Run, Stage, map_batched};
use crate::storage;
use crate::tape::{BlockWriter, MOVEMENT_BLOCK, SymbolTape, read_blocks};

/// Candidates whose movements one thread computes in one go: enough that the cost of the first label is negligible.
pub fn slide(rule: &dyn Rule) -> u64 {
    (16 * MOVEMENT_BLOCK).max((4 * rule.span()).next_multiple_of(MOVEMENT_BLOCK))
}

/// Summary of movements that have been computed and written.
#[derive(Serialize, Deserialize)]
pub struct Computed {
    /// Number of defined movements.
    pub labelled: u64,
    /// The checksum of each block, by track.
    pub checksums: Vec<Vec<u32>>,
}

impl Computed {
    /// The summary of no movements.
    pub fn empty(rule: &dyn Rule) -> Self {
        Self { labelled: 0, checksums: vec![Vec::new(); rule.tracks()] }
    }

    /// Computes the movements of a range of candidates, which starts where a block does, and passes the blocks of each
    /// track to `write`.
    ///
    /// # Errors
    /// [`Error::Output`] when the tape cannot be read; errors of `write`.
    pub fn of(
        (tape, breaks): (&SymbolTape, &[u64]),
        rule: &dyn Rule,
        candidates: &Candidates,
        range: Range<u64>,
        monitor: &Monitor<'_>,
        write: impl Fn(usize, u64, &[u8]) -> Result<()>,
    ) -> Result<Self> {
        let mut labelled = 0;
        let write = &write;
        let writer = |track| {
            let mut at = 0;
            BlockWriter::new(move |block: &[u8]| {
                at += block.len() as u64;
                write(track, at - block.len() as u64, block)
            })
        };
        let mut tracks: Vec<_> = (0..rule.tracks()).map(writer).collect();
        rule.compute(tape, breaks, candidates, range, &mut |values| {
            let movements = values.first().map_or(&[][..], Vec::as_slice);
            labelled += movements.iter().filter(|v| !v.is_nan()).count() as u64;
            tracks.iter_mut().zip(values).try_for_each(|(track, values)| track.push(values))?;
            monitor.advance(movements.len() as u64)
        })?;
        let checksums = tracks.iter_mut().map(BlockWriter::finish).collect::<Result<_>>()?;
        Ok(Self { labelled, checksums })
    }

    /// Appends the summary of the movements that follow.
    pub fn append(&mut self, next: Self) {
        self.labelled += next.labelled;
        self.checksums.iter_mut().zip(next.checksums).for_each(|(all, more)| all.extend(more));
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
        out.clear();
        let read = |bytes: &mut [u8], at: u64| self.file.read_exact_at(bytes, (first + at) * 8);
        read_blocks(range, 0..*count, checksums, read, out).map_err(|e| Error::read_back(&self.path, &e))
    }
}

/// Computes every movement once, into a work file; returns it and the number of labelled rows of each item.
///
/// # Errors
/// [`Error::Output`] when a work file cannot be written or read.
pub fn movement_tape(
    run: &Run<'_>,
    targets: &[Target],
    streams: &[Stream],
    folder: &Path,
) -> Result<(MovementTape, Vec<u64>)> {
    let path = folder.join(MOVEMENT_TAPE);
    let file = storage::create(&path).map_err(|e| Error::output(&path, e))?;
    let (mut values, mut total) = (0, 0);
    let mut tasks: Vec<Slice> = Vec::new();
    let mut tracks: Vec<Vec<Track>> = Vec::new();
    for (place, (target, _, rows)) in items(streams).enumerate() {
        let rule = targets[target].movement.rule();
        let count = rows.candidates.count();
        let track = |_| {
            values += count;
            Track { first: values - count, count, checksums: Vec::new() }
        };
        tracks.push((0..rule.tracks()).map(track).collect());
        tasks.extend(slices(place, 0..count, slide(rule)));
        total += count;
    }
    let firsts: Vec<Vec<u64>> = tracks.iter().map(|item| item.iter().map(|track| track.first).collect()).collect();
    let mut labelled = vec![0; tracks.len()];
    let work = |slice: &Slice| {
        let (target, Stream { tape, breaks, .. }, rows) = of_item(streams, slice.place);
        let write = |track: usize, at: u64, block: &[u8]| {
            let first = (firsts[slice.place][track] + slice.range.start) * 8;
            file.write_all_at(block, first + at).map_err(|e| Error::output(&path, e))
        };
        let (rule, range) = (targets[target].movement.rule(), slice.range.clone());
        Ok((slice.place, Computed::of((tape, breaks), rule, &rows.candidates, range, run.monitor, write)?))
    };
    run.monitor.stage(Stage::Plan, total, || {
        map_batched(run.threads, &tasks, Slice::count, work, |(item, computed)| {
            labelled[item] += computed.labelled;
            tracks[item].iter_mut().zip(computed.checksums).for_each(|(track, more)| track.checksums.extend(more));
            Ok(())
        })
    })?;
    Ok((MovementTape { path, file, items: tracks }, labelled))
}
