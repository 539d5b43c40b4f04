//! The movements of all candidates, computed once and kept in a work file.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::counts::{Slice, slices_of};
use super::streams::Stream;
use crate::cast::to_usize;
use crate::error::{Error, Result};
use crate::label::{Candidates, Windows, movements};
use crate::output::MOVEMENT_TAPE;
use crate::run::{Monitor, Run, Stage, map_batched};
use crate::storage;
use crate::tape::{BlockWriter, MOVEMENT_BLOCK, SymbolTape, read_blocks};

/// Candidates whose movements one thread computes in one go: enough that the cost of the windows' initial sums is
/// negligible.
pub fn slide(windows: Windows) -> u64 {
    (16 * MOVEMENT_BLOCK).max((4 * (windows.lookback + windows.reach())).next_multiple_of(MOVEMENT_BLOCK))
}

/// Summary of movements that have been computed and written.
#[derive(Default, Serialize, Deserialize)]
pub struct Computed {
    /// Number of defined movements.
    pub labelled: u64,
    /// The checksum of each block.
    pub checksums: Vec<u32>,
}

impl Computed {
    /// Computes the movements of a range of candidates, which starts where a block does, and passes their blocks to
    /// `write`.
    ///
    /// # Errors
    /// [`Error::Output`] when the tape cannot be read; errors of `write`.
    pub fn of(
        tape: &SymbolTape,
        windows: Windows,
        candidates: &Candidates,
        range: Range<u64>,
        monitor: &Monitor<'_>,
        write: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<Self> {
        let mut labelled = 0;
        let mut blocks = BlockWriter::new(write);
        movements(tape, windows, candidates, range, |values| {
            labelled += values.iter().filter(|v| !v.is_nan()).count() as u64;
            blocks.push(values)?;
            monitor.advance(values.len() as u64)
        })?;
        Ok(Self { labelled, checksums: blocks.finish()? })
    }

    /// Appends the summary of the movements that follow.
    pub fn append(&mut self, next: Self) {
        self.labelled += next.labelled;
        self.checksums.extend(next.checksums);
    }
}

/// The movements of all candidates of all symbols, in a work file; NaN where undefined.
pub struct MovementTape {
    path: PathBuf,
    file: File,
    symbols: Vec<SymbolMovements>,
}

/// One symbol's movements.
struct SymbolMovements {
    /// Index of the first movement in the file.
    first: u64,
    count: u64,
    /// The checksum of each block.
    checksums: Vec<u32>,
}

impl MovementTape {
    /// Reads the movements of a range of a symbol's candidates into `out`, and checks the blocks that contain it.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read, or is damaged.
    pub fn read(&self, symbol: usize, range: Range<u64>, out: &mut Vec<f64>) -> Result<()> {
        let SymbolMovements { first, count, checksums } = &self.symbols[symbol];
        out.clear();
        let read = |bytes: &mut [u8], at: u64| self.file.read_exact_at(bytes, (first + at) * 8);
        read_blocks(range, 0..*count, checksums, read, out).map_err(|e| Error::read_back(&self.path, &e))
    }
}

/// Computes every movement once, into a work file; returns it and the number of labelled rows of each symbol.
///
/// # Errors
/// [`Error::Output`] when a work file cannot be written or read.
pub fn movement_tape(run: &Run<'_>, streams: &[Stream], folder: &Path) -> Result<(MovementTape, Vec<u64>)> {
    let windows = Windows::new(run.config);
    let path = folder.join(MOVEMENT_TAPE);
    let file = storage::create(&path).map_err(|e| Error::output(&path, e))?;
    let mut total = 0;
    let place = |stream: &Stream| {
        let count = stream.candidates.count();
        total += count;
        SymbolMovements {
            first: total - count,
            count,
            checksums: Vec::with_capacity(to_usize(count.div_ceil(MOVEMENT_BLOCK))),
        }
    };
    let mut symbols: Vec<SymbolMovements> = streams.iter().map(place).collect();
    let most = slide(windows);
    let tasks = slices_of(streams.iter().map(|stream| 0..stream.candidates.count()), most);
    let firsts: Vec<u64> = symbols.iter().map(|symbol| symbol.first).collect();
    let mut labelled = vec![0; streams.len()];
    let work = |slice: &Slice| {
        let Stream { tape, candidates, .. } = &streams[slice.place];
        let mut at = (firsts[slice.place] + slice.range.start) * 8;
        let write = |block: &[u8]| {
            at += block.len() as u64;
            file.write_all_at(block, at - block.len() as u64).map_err(|e| Error::output(&path, e))
        };
        let range = slice.range.clone();
        Ok((slice.place, Computed::of(tape, windows, candidates, range, run.monitor, write)?))
    };
    run.monitor.stage(Stage::Plan, total, || {
        map_batched(run.threads, &tasks, Slice::count, work, |(symbol, computed)| {
            labelled[symbol] += computed.labelled;
            symbols[symbol].checksums.extend(computed.checksums);
            Ok(())
        })
    })?;
    Ok((MovementTape { path, file, symbols }, labelled))
}
