//! Task: computes the movements of ranges of candidates.

use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::job::Job;
use crate::cast::to_usize;
use crate::config::Movement;
use crate::error::{Error, Result};
use crate::output::MOVEMENTS;
use crate::pipeline::counts::{Slice, slices};
use crate::pipeline::movements::{Computed, is_kept, slide};
use crate::pipeline::streams::TargetRows;
use crate::run::map_batched;
use crate::storage::Writer;
use crate::tape::{SymbolTape, Tape};

/// Computes the movements of ranges of candidates, and writes each track to a file, one range after the other.
#[derive(Serialize, Deserialize)]
pub struct Movements {
    /// Whether the columns of `label_end` are written.
    pub label_end: bool,
    pub parts: Vec<MovementPart>,
}

/// A range of the candidates of one target of one symbol.
#[derive(Serialize, Deserialize)]
pub struct MovementPart {
    pub movement: Movement,
    pub tape: SymbolTape,
    /// The rows of the tape that start an unbroken stretch.
    pub breaks: Vec<u64>,
    pub rows: TargetRows,
    pub range: Range<u64>,
}

/// The files that contain the movements.
#[derive(Serialize, Deserialize)]
pub struct MovementFiles {
    /// By track; each part is in the files of the tracks that it keeps.
    pub files: Vec<PathBuf>,
    pub parts: Vec<Computed>,
}

impl Job for Movements {
    type Receipt = MovementFiles;
    const KIND: &'static str = "movements";

    fn run(mut self, attempt: &Attempt<'_>) -> Result<MovementFiles> {
        for part in &mut self.parts {
            part.tape.fetch(Tape::Mid2)?;
            if part.movement.needs_moments() {
                part.tape.fetch(Tape::Moments)?;
            }
        }
        let most = self.parts.iter().map(|part| part.movement.rule().tracks()).max().unwrap_or(0);
        let files: Vec<PathBuf> = (0..most).map(|_| attempt.file(MOVEMENTS, "f64")).collect();
        let fail = |file: &PathBuf, e| Error::output(file, e);
        let create = |file: &PathBuf| Writer::create(file).map_err(|e| fail(file, e));
        let mut writers = files.iter().map(create).collect::<Result<Vec<_>>>()?;
        let tasks: Vec<Slice> = self
            .parts
            .iter()
            .enumerate()
            .flat_map(|(place, part)| slices(place, part.range.clone(), slide(part.movement.rule())))
            .collect();
        let work = |slice: &Slice| {
            let MovementPart { movement, tape, breaks, rows, .. } = &self.parts[slice.place];
            let rule = movement.rule();
            let buffer = |track| {
                let kept = is_kept(rule, track, self.label_end);
                Mutex::new(Vec::with_capacity(if kept { 8 * to_usize(slice.count()) } else { 0 }))
            };
            let blocks: Vec<Mutex<Vec<u8>>> = (0..rule.tracks()).map(buffer).collect();
            let keep = |track: usize, _, block: &[u8]| {
                blocks[track].lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(block);
                Ok(())
            };
            let computed =
                Computed::of((tape, breaks), (rule, self.label_end), rows, slice.range.clone(), attempt.monitor, keep)?;
            let blocks = blocks.into_iter().map(|block| block.into_inner().unwrap_or_else(PoisonError::into_inner));
            Ok((slice.place, computed, blocks.collect::<Vec<Vec<u8>>>()))
        };
        let mut parts: Vec<Computed> = self.parts.iter().map(|part| Computed::empty(part.movement.rule())).collect();
        map_batched(attempt.threads, &tasks, Slice::count, work, |(part, computed, blocks)| {
            parts[part].append(computed);
            let mut tracks = writers.iter_mut().zip(&files).zip(&blocks);
            tracks.try_for_each(|((writer, file), blocks)| writer.write_all(blocks).map_err(|e| fail(file, e)))
        })?;
        for (writer, file) in writers.into_iter().zip(&files) {
            writer.finish().map_err(|e| fail(file, e))?;
        }
        Ok(MovementFiles { files, parts })
    }

    fn amount(&self) -> u64 {
        self.parts.iter().map(|part| part.range.end - part.range.start).sum()
    }

    fn memory(&self) -> u64 {
        // Fetched tapes, eight bytes per row, and the values of the slices in progress. With moments, another 24 bytes
        // per row, and twice that for the state of a barrier.
        let timed = self.parts.iter().any(|part| part.movement.needs_moments());
        (32 << 20) + if timed { 72 } else { 10 } * self.amount()
    }
}
