//! Task: computes the movements of ranges of candidates.

use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Job;
use super::attempt::Attempt;
use crate::cast::to_usize;
use crate::error::{Error, Result};
use crate::label::{Candidates, Windows};
use crate::output::MOVEMENTS;
use crate::pipeline::counts::{Slice, slices_of};
use crate::pipeline::movements::{Computed, slide};
use crate::run::map_batched;
use crate::storage::Writer;
use crate::tape::{SymbolTape, Tape};

/// Computes the movements of ranges of candidates, and writes them to one file, one range after the other.
#[derive(Serialize, Deserialize)]
pub struct Movements {
    pub windows: Windows,
    pub parts: Vec<MovementPart>,
}

/// A range of one symbol's candidates.
#[derive(Serialize, Deserialize)]
pub struct MovementPart {
    pub tape: SymbolTape,
    pub candidates: Candidates,
    pub range: Range<u64>,
}

/// The file that contains the movements.
#[derive(Serialize, Deserialize)]
pub struct MovementFile {
    pub file: PathBuf,
    pub parts: Vec<Computed>,
}

impl Job for Movements {
    type Receipt = MovementFile;
    const KIND: &'static str = "movements";

    fn run(mut self, attempt: &Attempt<'_>) -> Result<MovementFile> {
        for part in &mut self.parts {
            part.tape.fetch(Tape::Mid2)?;
        }
        let file = attempt.file(MOVEMENTS, "f64");
        let fail = |e| Error::output(&file, e);
        let mut writer = Writer::create(&file).map_err(fail)?;
        let most = slide(self.windows);
        let tasks = slices_of(self.parts.iter().map(|part| part.range.clone()), most);
        let work = |slice: &Slice| {
            let MovementPart { tape, candidates, .. } = &self.parts[slice.place];
            let mut blocks = Vec::with_capacity(8 * to_usize(slice.count()));
            let computed =
                Computed::of(tape, self.windows, candidates, slice.range.clone(), attempt.monitor, |block| {
                    blocks.extend_from_slice(block);
                    Ok(())
                })?;
            Ok((slice.place, computed, blocks))
        };
        let mut parts: Vec<Computed> = self.parts.iter().map(|_| Computed::default()).collect();
        map_batched(attempt.threads, &tasks, Slice::count, work, |(part, computed, blocks)| {
            parts[part].append(computed);
            writer.write_all(&blocks).map_err(fail)
        })?;
        writer.finish().map_err(fail)?;
        Ok(MovementFile { file, parts })
    }

    fn amount(&self) -> u64 {
        self.parts.iter().map(|part| part.range.end - part.range.start).sum()
    }

    fn memory(&self) -> u64 {
        // Fetched tapes, eight bytes per row, and the values of the slices under way.
        (32 << 20) + 10 * self.amount()
    }
}
