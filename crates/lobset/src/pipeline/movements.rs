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

/// Candidates whose movements one thread computes in one go: so many that the windows' sums at the start do not count.
pub fn slide(windows: Windows) -> u64 {
    (16 * BLOCK).max((4 * (windows.lookback + windows.reach())).next_multiple_of(BLOCK))
}

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
        self.file
            .write_all_at(&to_bytes(values), (self.starts[symbol] + at) * 8)
            .map_err(|e| Error::output(&self.path, e))
    }
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
    let most = slide(windows);
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
