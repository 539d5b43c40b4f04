//! Task: the movements of ranges of candidates.

use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Job;
use super::attempt::Attempt;
use crate::error::{Error, Result};
use crate::label::{Candidates, Windows, movements};
use crate::output::MOVEMENTS;
use crate::pipeline::counts::{Slice, slices};
use crate::pipeline::movements::slide;
use crate::run::map_batched;
use crate::storage::Writer;
use crate::tape::BlockWriter;
use crate::tape::{SymbolTape, Tape};

/// Computes the movements of ranges of candidates, which stand in one file one after the other.
#[derive(Serialize, Deserialize)]
pub struct Movements {
    pub windows: Windows,
    pub parts: Vec<Part>,
}

/// A range of one symbol's candidates.
#[derive(Serialize, Deserialize)]
pub struct Part {
    pub tape: SymbolTape,
    pub candidates: Candidates,
    pub range: Range<u64>,
}

/// Where they are.
#[derive(Serialize, Deserialize)]
pub struct Receipt {
    pub file: PathBuf,
    pub parts: Vec<Computed>,
}

/// What is known of a part's movements.
#[derive(Default, Serialize, Deserialize)]
pub struct Computed {
    /// How many are defined.
    pub labelled: u64,
    /// The checksum of each block.
    pub checksums: Vec<u32>,
}

impl Job for Movements {
    type Receipt = Receipt;
    const KIND: &'static str = "movements";

    fn run(mut self, attempt: &Attempt<'_>) -> Result<Receipt> {
        for part in &mut self.parts {
            part.tape.fetch(Tape::Mid2)?;
        }
        let file = attempt.file(MOVEMENTS, "f64");
        let fail = |e| Error::output(&file, e);
        let mut writer = Writer::create(&file).map_err(fail)?;
        let most = slide(self.windows);
        let tasks: Vec<Slice> =
            self.parts.iter().enumerate().flat_map(|(i, part)| slices(i, part.range.clone(), most)).collect();
        let work = |slice: &Slice| {
            let Part { tape, candidates, .. } = &self.parts[slice.symbol];
            let mut values = Vec::with_capacity(slice.count() as usize);
            movements(tape, self.windows, candidates, slice.range.clone(), |found| {
                values.extend_from_slice(found);
                attempt.monitor.advance(0)
            })?;
            Ok((slice.symbol, values))
        };
        let mut parts: Vec<Computed> = self.parts.iter().map(|_| Computed::default()).collect();
        map_batched(attempt.threads, &tasks, Slice::count, work, |(part, values)| {
            parts[part].labelled += values.iter().filter(|v| !v.is_nan()).count() as u64;
            // A slice starts where a block does.
            let mut blocks = BlockWriter::new(|block: &[u8]| writer.write_all(block).map_err(fail));
            blocks.push(&values)?;
            parts[part].checksums.extend(blocks.finish()?);
            Ok(())
        })?;
        writer.finish().map_err(fail)?;
        Ok(Receipt { file, parts })
    }

    fn amount(&self) -> u64 {
        self.parts.iter().map(|part| part.range.end - part.range.start).sum()
    }

    fn memory(&self) -> u64 {
        // Fetched tapes, eight bytes a row, and the values of the slices under way.
        (32 << 20) + 10 * self.amount()
    }
}
