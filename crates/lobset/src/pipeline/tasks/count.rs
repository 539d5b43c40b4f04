//! Tasks that count: movements in the buckets of a selection, rows by class, and the spreads of rows.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::job::{Job, boundaries_of};
use super::pieces::Pieces;
use crate::config::Target;
use crate::error::Result;
use crate::label::{Candidates, Counter, Histogram, MovementSums, Selection, Thresholds};
use crate::pipeline::counts::{BlockCounts, Labelled, Slice, class_blocks, slices_of};
use crate::pipeline::ladder::{LadderCounts, LadderTask};
use crate::pipeline::spread::{SpreadSums, SumsText};
use crate::pipeline::streams::TargetRows;
use crate::run::map_batched;
use crate::tape::{MOVEMENT_BLOCK, SymbolTape, Tape};

/// Movements per read request: a multiple of slices and of blocks.
const READ: u64 = 64 * MOVEMENT_BLOCK;

/// A range of one symbol's movements.
#[derive(Serialize, Deserialize)]
pub struct CountPart {
    pub pieces: Pieces,
    pub range: Range<u64>,
}

/// One pass of selections.
#[derive(Serialize, Deserialize)]
pub struct Count {
    pub selections: Vec<Selection>,
    /// Mean of the movements, for the sums of squares; `None` if no sums are wanted.
    pub mean: Option<f64>,
    pub parts: Vec<CountPart>,
}

impl Job for Count {
    type Receipt = (Vec<Histogram>, Vec<MovementSums>);
    const KIND: &'static str = "count";

    fn run(self, attempt: &Attempt<'_>) -> Result<(Vec<Histogram>, Vec<MovementSums>)> {
        let counter = Counter::new(&self.selections, self.mean);
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
    /// Contains the boundaries of these symbols.
    pub thresholds: Thresholds,
    pub parts: Vec<ClassPart>,
}

/// A range of one symbol's candidates, which starts at a block.
#[derive(Serialize, Deserialize)]
pub struct ClassPart {
    pub symbol: String,
    pub candidates: Candidates,
    pub range: Range<u64>,
    pub targets: Vec<ClassTarget>,
}

/// The rows of a target in that range.
#[derive(Serialize, Deserialize)]
pub struct ClassTarget {
    pub target: Target,
    pub rows: TargetRows,
    /// Its tracks; those that are not needed have no pieces.
    pub tracks: Vec<Pieces>,
}

impl ClassTarget {
    fn labelled<'a>(&'a self, thresholds: &'a Thresholds, symbol: &str) -> Result<Labelled<'a>> {
        let boundaries = boundaries_of(thresholds, &self.target.name, symbol)?;
        Ok(Labelled::new(&self.target, &self.rows, boundaries))
    }
}

impl Job for Classes {
    /// The counts of the blocks of each part.
    type Receipt = Vec<Vec<BlockCounts>>;
    const KIND: &'static str = "classes";

    fn run(self, attempt: &Attempt<'_>) -> Result<Vec<Vec<BlockCounts>>> {
        let work = |slice: &Slice| {
            attempt.monitor.advance(0)?;
            let part = &self.parts[slice.place];
            let labelled = |target| ClassTarget::labelled(target, &self.thresholds, &part.symbol);
            let targets = part.targets.iter().map(labelled).collect::<Result<Vec<_>>>()?;
            let counted =
                class_blocks(&part.candidates, slice.range.clone(), &targets, |(target, track), range, values| {
                    part.targets[target].tracks[track].read(range, values)
                });
            Ok((slice.place, counted?))
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

/// Counts the cells of windows that are on ladders.
#[derive(Serialize, Deserialize)]
pub struct Ladders {
    pub windows: Vec<(SymbolTape, LadderTask)>,
}

impl Job for Ladders {
    /// The counts of each window.
    type Receipt = Vec<LadderCounts>;
    const KIND: &'static str = "ladders";

    fn run(mut self, attempt: &Attempt<'_>) -> Result<Vec<LadderCounts>> {
        for (tape, _) in &mut self.windows {
            tape.fetch(Tape::Rows)?;
        }
        let work = |(tape, window): &(SymbolTape, LadderTask)| {
            attempt.monitor.advance(0)?;
            LadderCounts::of(tape, window)
        };
        let mut counts = Vec::with_capacity(self.windows.len());
        map_batched(
            attempt.threads,
            &self.windows,
            |(_, window)| window.count(),
            work,
            |found| {
                counts.push(found);
                Ok(())
            },
        )?;
        Ok(counts)
    }

    fn amount(&self) -> u64 {
        self.windows.iter().map(|(_, window)| window.count()).sum()
    }

    fn memory(&self) -> u64 {
        // Fetched tapes: about 40 bytes a row.
        (64 << 20) + 48 * self.amount()
    }
}

/// Adds up spreads.
#[derive(Serialize, Deserialize)]
pub struct Spreads {
    pub parts: Vec<SpreadPart>,
}

/// A range of the candidates of one target of one symbol.
#[derive(Serialize, Deserialize)]
pub struct SpreadPart {
    pub tape: SymbolTape,
    pub candidates: Candidates,
    pub pieces: Pieces,
    pub range: Range<u64>,
}

impl Job for Spreads {
    type Receipt = SumsText;
    const KIND: &'static str = "spreads";

    fn run(mut self, attempt: &Attempt<'_>) -> Result<SumsText> {
        for part in &mut self.parts {
            part.tape.fetch(Tape::Rows)?;
        }
        let work = |slice: &Slice| {
            attempt.monitor.advance(0)?;
            let SpreadPart { tape, candidates, pieces, .. } = &self.parts[slice.place];
            let mut movements = Vec::new();
            pieces.read(slice.range.clone(), &mut movements)?;
            SpreadSums::of(tape, candidates, slice.range.clone(), &movements)
        };
        let mut sums = SpreadSums::default();
        let tasks = slices_of(self.parts.iter().map(|part| part.range.clone()), READ);
        map_batched(attempt.threads, &tasks, Slice::count, work, |found| {
            sums.add(found);
            Ok(())
        })?;
        Ok(sums.into())
    }

    fn amount(&self) -> u64 {
        self.parts.iter().map(|part| part.range.end - part.range.start).sum()
    }

    fn memory(&self) -> u64 {
        // Fetched tapes: about 40 bytes a row.
        (64 << 20) + 48 * self.amount()
    }
}
