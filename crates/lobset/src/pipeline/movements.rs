//! The movements of all candidates, computed once and kept in a work file.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Run;
use super::monitor::Stage;
use super::parallel::map_batched;
use super::plan::{BLOCK, Slice, slices};
use super::streams::Stream;
use crate::error::{Error, Result};
use crate::label::{Windows, movements};
use crate::output::MOVEMENT_TAPE;
use crate::storage;
use crate::storage::checksum::{check, checksum};

/// Candidates whose movements one thread computes in one go: so many that the windows' sums at the start do not count.
pub fn slide(windows: Windows) -> u64 {
    (16 * BLOCK).max((4 * (windows.lookback + windows.reach())).next_multiple_of(BLOCK))
}

/// The movements of all candidates of all symbols, in a work file. NaN stands where there is none.
pub struct MovementTape {
    path: PathBuf,
    file: File,
    symbols: Vec<SymbolMovements>,
}

/// One symbol's movements.
struct SymbolMovements {
    /// The place of the first in the file.
    first: u64,
    count: u64,
    /// The checksum of each block.
    checksums: Vec<u32>,
}

impl MovementTape {
    /// Reads a range of a symbol's candidates into `out`, and checks the blocks that it lies in.
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

const BLOCK_BYTES: usize = 8 * BLOCK as usize;

/// Writes movements in blocks and keeps the checksum of each.
pub(crate) struct BlockWriter<W> {
    write: W,
    /// The block that is not full yet.
    bytes: Vec<u8>,
    checksums: Vec<u32>,
}

impl<W: FnMut(&[u8]) -> Result<()>> BlockWriter<W> {
    /// `write` is handed the blocks, in order.
    pub fn new(write: W) -> Self {
        Self { write, bytes: Vec::new(), checksums: Vec::new() }
    }

    /// Appends movements.
    ///
    /// # Errors
    /// What writing fails of.
    pub fn push(&mut self, mut values: &[f64]) -> Result<()> {
        self.bytes.reserve_exact(BLOCK_BYTES - self.bytes.len());
        while !values.is_empty() {
            let (now, later) = values.split_at(values.len().min((BLOCK_BYTES - self.bytes.len()) / 8));
            self.bytes.extend(now.iter().flat_map(|v| v.to_le_bytes()));
            values = later;
            if self.bytes.len() == BLOCK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.checksums.push(checksum(&self.bytes));
        (self.write)(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }

    /// Writes the last block, and returns the checksum of every block.
    ///
    /// # Errors
    /// What writing fails of.
    pub fn finish(mut self) -> Result<Vec<u32>> {
        if !self.bytes.is_empty() {
            self.flush()?;
        }
        Ok(self.checksums)
    }
}

/// Reads `range` of the movements `whole`, whose blocks have these checksums, and appends them to `out`. `read` fills a buffer
/// from the movement on whose number within `whole` it is given.
///
/// # Errors
/// What `read` fails of; of kind `InvalidData` when a block is damaged.
pub(crate) fn read_blocks(
    range: Range<u64>,
    whole: Range<u64>,
    checksums: &[u32],
    read: impl Fn(&mut [u8], u64) -> std::io::Result<()>,
    out: &mut Vec<f64>,
) -> std::io::Result<()> {
    out.reserve_exact((range.end - range.start) as usize);
    let mut bytes = vec![0; BLOCK_BYTES];
    let blocks = (range.start - whole.start) / BLOCK..(range.end - whole.start).div_ceil(BLOCK);
    for block in blocks {
        let from = whole.start + block * BLOCK;
        let to = whole.end.min(from + BLOCK);
        let bytes = &mut bytes[..8 * (to - from) as usize];
        read(bytes, from - whole.start)?;
        let want = checksums.get(block as usize).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        check(bytes, *want)?;
        let inside = range.start.max(from) - from..range.end.min(to) - from;
        from_bytes(&bytes[8 * inside.start as usize..8 * inside.end as usize], out);
    }
    Ok(())
}

/// Movements read at once.
const PIECE: usize = 8192;

/// Reads movements of a file of them, eight bytes each, into `out`.
pub(crate) fn read_movements(file: &File, range: Range<u64>, out: &mut Vec<f64>) -> std::io::Result<()> {
    let mut piece = [0; 8 * PIECE];
    out.clear();
    out.reserve_exact((range.end - range.start) as usize);
    for start in range.clone().step_by(PIECE) {
        let bytes = &mut piece[..(range.end - start).min(PIECE as u64) as usize * 8];
        file.read_exact_at(bytes, start * 8)?;
        from_bytes(bytes, out);
    }
    Ok(())
}

/// Appends movements as they stand in files.
pub(crate) fn from_bytes(bytes: &[u8], out: &mut Vec<f64>) {
    let (words, _) = bytes.as_chunks::<8>();
    out.extend(words.iter().map(|w| f64::from_le_bytes(*w)));
}

/// Movements as they stand in files.
pub(crate) fn to_bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Computes every movement once.
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
        SymbolMovements { first: total - count, count, checksums: Vec::with_capacity(count.div_ceil(BLOCK) as usize) }
    };
    let mut symbols: Vec<SymbolMovements> = streams.iter().map(place).collect();
    let most = slide(windows);
    let tasks: Vec<Slice> =
        (0..streams.len()).flat_map(|s| slices(s, 0..streams[s].candidates.count(), most)).collect();
    let firsts: Vec<u64> = symbols.iter().map(|symbol| symbol.first).collect();
    let mut labelled = vec![0; streams.len()];
    let work = |slice: &Slice| {
        let stream = &streams[slice.symbol];
        let (mut at, mut found) = ((firsts[slice.symbol] + slice.range.start) * 8, 0);
        // A slice starts where a block does.
        let mut writer = BlockWriter::new(|block: &[u8]| {
            at += block.len() as u64;
            file.write_all_at(block, at - block.len() as u64).map_err(|e| Error::output(&path, e))
        });
        movements(&stream.tape, windows, &stream.candidates, slice.range.clone(), |values| {
            found += values.iter().filter(|v| !v.is_nan()).count() as u64;
            writer.push(values)?;
            run.monitor.advance(values.len() as u64)
        })?;
        Ok((slice.symbol, found, writer.finish()?))
    };
    run.monitor.stage(Stage::Plan, total, || {
        map_batched(run.threads, &tasks, Slice::count, work, |(symbol, found, checksums)| {
            labelled[symbol] += found;
            symbols[symbol].checksums.extend(checksums);
            Ok(())
        })
    })?;
    Ok((MovementTape { path, file, symbols }, labelled))
}
