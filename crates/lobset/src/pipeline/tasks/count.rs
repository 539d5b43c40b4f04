//! Tasks that count movements: into the buckets of a selection, and into classes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::pieces::Pieces;
use super::{Job, boundaries_of};
use crate::error::Result;
use crate::label::{Candidates, Counter, Histogram, Selection, Splits, Sums, Thresholds};
use crate::pipeline::counts::{ClassCounts, Slice, class_blocks, slices_of};
use crate::run::map_batched;
use crate::tape::MOVEMENT_BLOCK;

/// Movements per read request: a multiple of slices and of blocks.
const READ: u64 = 64 * MOVEMENT_BLOCK;

/// A range of one symbol's movements.
#[derive(Serialize, Deserialize)]
pub struct CountPart {
    pub pieces: Pieces,
    pub range: Range<u64>,
}

/// One pass of a selection.
#[derive(Serialize, Deserialize)]
pub struct Count {
    pub selection: Selection,
    /// Mean of the movements, for the sums of squares.
    pub mean: f64,
    pub parts: Vec<CountPart>,
}

impl Job for Count {
    type Receipt = (Histogram, Vec<Sums>);
    const KIND: &'static str = "count";

    fn run(self, attempt: &Attempt<'_>) -> Result<(Histogram, Vec<Sums>)> {
        let counter = Counter::new(&self.selection, self.mean);
        let work = |slice: &Slice| {
            attempt.monitor.advance(0)?;
            counter.count(|values| self.parts[slice.place].pieces.read(slice.range.clone(), values))
        };
        let mut sums = Vec::new();
        let tasks = slices_of(self.parts.iter().map(|part| part.range.clone()), READ);
        map_batched(attempt.threads, &tasks, Slice::count, work, |found| {
            sums.extend(found);
            Ok(())
        })?;
        Ok((counter.finish(), sums))
    }

    fn amount(&self) -> u64 {
        self.parts.iter().map(|part| part.range.end - part.range.start).sum()
    }

    fn memory(&self) -> u64 {
        64 << 20
    }
}

/// Counts classes, block by block.
#[derive(Serialize, Deserialize)]
pub struct Classes {
    pub nbins: usize,
    /// Contains the boundaries of these symbols.
    pub thresholds: Thresholds,
    pub parts: Vec<ClassPart>,
}

/// A range of one symbol's candidates, which starts at a block.
#[derive(Serialize, Deserialize)]
pub struct ClassPart {
    pub symbol: String,
    pub candidates: Candidates,
    pub splits: Splits,
    pub pieces: Pieces,
    pub range: Range<u64>,
}

impl Job for Classes {
    /// The counts of the blocks of each part.
    type Receipt = Vec<Vec<ClassCounts>>;
    const KIND: &'static str = "classes";

    fn run(self, attempt: &Attempt<'_>) -> Result<Vec<Vec<ClassCounts>>> {
        let work = |slice: &Slice| {
            attempt.monitor.advance(0)?;
            let part = &self.parts[slice.place];
            let boundaries = boundaries_of(&self.thresholds, &part.symbol)?;
            let mut values = Vec::new();
            part.pieces.read(slice.range.clone(), &mut values)?;
            let range = slice.range.clone();
            Ok((slice.place, class_blocks(&values, &part.candidates, range, part.splits, boundaries, self.nbins)))
        };
        let mut blocks = vec![Vec::new(); self.parts.len()];
        let tasks = slices_of(self.parts.iter().map(|part| part.range.clone()), READ);
        map_batched(attempt.threads, &tasks, Slice::count, work, |(part, found)| {
            blocks[part].extend(found);
            Ok(())
        })?;
        Ok(blocks)
    }

    fn amount(&self) -> u64 {
        self.parts.iter().map(|part| part.range.end - part.range.start).sum()
    }

    fn memory(&self) -> u64 {
        64 << 20
    }
}
