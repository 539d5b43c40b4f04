//! The moments of a symbol's rows, which time and barrier targets need.

use super::chunks::{Chunks, Decode};
use super::cursor::{OpenFile, SymbolTape, Tape};
use crate::cast::to_usize;
use crate::error::{Error, Result};

/// The values of a row that labels depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The running maximum of `ts_recv`.
    pub ts: u64,
    /// Best bid plus best ask, in 1e-9.
    pub mid2: i64,
    /// Best ask minus best bid, in 1e-9.
    pub spread: i64,
}

/// Reads the running maximum of `ts_recv` and the spread of each row of a chunk of `tape` into `bytes`; returns them in
/// order.
fn read_moments<'a>(
    tape: &SymbolTape,
    chunk: usize,
    file: &mut OpenFile,
    bytes: &'a mut [u8],
) -> Result<impl Iterator<Item = (u64, i64)> + use<'a>> {
    let located = &tape.chunks[chunk];
    if located.chunk.place(Tape::Moments).is_empty() {
        return Err(Error::output(&located.file, "the work file has no moments"));
    }
    file.read(located, Tape::Moments, bytes)?;
    let before = chunk.checked_sub(1).map_or(tape.reached, |before| tape.chunks[before].chunk.max_ts);
    let rows = bytes.as_chunks::<8>().0.as_chunks::<2>().0.iter();
    Ok(rows.scan(before, |reached, [ts_recv, spread]| {
        *reached = u64::from_le_bytes(*ts_recv).max(*reached);
        Some((*reached, i64::from_le_bytes(*spread)))
    }))
}

impl Decode for Vec<Moment> {
    fn decode(&mut self, tape: &SymbolTape, chunk: usize, file: &mut OpenFile, bytes: &mut Vec<u8>) -> Result<()> {
        let located = &tape.chunks[chunk];
        let rows = to_usize(located.chunk.rows.into());
        bytes.resize(24 * rows, 0);
        let (mids, rest) = bytes.split_at_mut(8 * rows);
        file.read(located, Tape::Mid2, mids)?;
        let mids = mids.as_chunks().0.iter().map(|mid2| i64::from_le_bytes(*mid2));
        let moments = mids.zip(read_moments(tape, chunk, file, rest)?);
        self.clear();
        self.extend(moments.map(|(mid2, (ts, spread))| Moment { ts, mid2, spread }));
        Ok(())
    }
}

/// The mid price as a function of time, in a chunk of rows.
#[derive(Debug, Default)]
pub struct Points {
    /// The running maximum of `ts_recv`.
    pub ts: Vec<u64>,
    /// Best bid plus best ask, in 1e-9.
    pub mid2: Vec<i64>,
    /// The integral of `mid2` over time, from the first row of the chunk to each row.
    pub area: Vec<i128>,
}

impl Points {
    /// The integral of `mid2` over a length of time in which it stays the same.
    #[inline(always)]
    pub fn area_of(mid2: i64, time: u64) -> i128 {
        // The product of two signed 64-bit numbers is one instruction.
        match i64::try_from(time) {
            Ok(time) => i128::from(mid2) * i128::from(time),
            Err(_) => i128::from(mid2) * i128::from(time),
        }
    }
}

impl Decode for Points {
    fn decode(&mut self, tape: &SymbolTape, chunk: usize, file: &mut OpenFile, bytes: &mut Vec<u8>) -> Result<()> {
        let Self { ts, mid2, area } = self;
        mid2.decode(tape, chunk, file, bytes)?;
        bytes.resize(16 * mid2.len(), 0);
        ts.clear();
        ts.extend(read_moments(tape, chunk, file, bytes)?.map(|(ts, _)| ts));
        area.clear();
        area.push(0);
        let mut last = 0;
        area.extend(ts.windows(2).zip(&*mid2).map(|(ts, mid2)| {
            last += Self::area_of(*mid2, ts[1] - ts[0]);
            last
        }));
        Ok(())
    }
}

impl Chunks<'_, Points> {
    /// The running maximum of `ts_recv` at a row of the tape.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read, or has no moments.
    pub fn reached_at(&self, row: u64) -> Result<u64> {
        let (chunk, first_row) = self.locate(row);
        Ok(self.get(chunk)?.ts[to_usize(row - first_row)])
    }

    /// The first row whose running maximum of `ts_recv` is at least `ts`, or the number of rows if no row reaches it.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read, or has no moments.
    pub fn first_row_at(&self, ts: u64) -> Result<u64> {
        let chunk = self.tape.chunk_reaching(ts);
        let Some(located) = self.tape.chunks.get(chunk) else { return Ok(self.tape.rows) };
        let before = self.get(chunk)?.ts.partition_point(|reached| *reached < ts);
        Ok(located.first_row + before as u64)
    }
}
