//! The moments of a symbol's rows, which time and barrier targets need.

use super::chunks::{Cursor, Decode};
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

/// Iterates over the moments of a symbol's rows.
pub type MomentCursor<'a> = Cursor<'a, Moment>;

impl Decode for Moment {
    fn decode(
        tape: &SymbolTape,
        chunk: usize,
        file: &mut OpenFile,
        bytes: &mut Vec<u8>,
        values: &mut Vec<Self>,
    ) -> Result<()> {
        read_moments(tape, chunk, file, bytes, |moment| values.push(moment))
    }
}

/// Reads the moments of a chunk of `tape` and passes them to `take`, in order.
fn read_moments(
    tape: &SymbolTape,
    chunk: usize,
    file: &mut OpenFile,
    bytes: &mut Vec<u8>,
    mut take: impl FnMut(Moment),
) -> Result<()> {
    let located = &tape.chunks[chunk];
    let rows = to_usize(located.chunk.rows.into());
    let place = located.chunk.place(Tape::Moments);
    if place.is_empty() {
        return Err(Error::output(&located.file, "the work file has no moments"));
    }
    bytes.resize(24 * rows, 0);
    let (mids, rest) = bytes.split_at_mut(8 * rows);
    file.read(located, Tape::Mid2, mids)?;
    file.read(located, Tape::Moments, rest)?;
    let mut ts = chunk.checked_sub(1).map_or(tape.reached, |before| tape.chunks[before].chunk.max_ts);
    let (mids, _) = mids.as_chunks::<8>();
    let (rest, _) = rest.as_chunks::<8>();
    for (mid2, [ts_recv, spread]) in mids.iter().zip(rest.as_chunks::<2>().0) {
        ts = ts.max(u64::from_le_bytes(*ts_recv));
        take(Moment { ts, mid2: i64::from_le_bytes(*mid2), spread: i64::from_le_bytes(*spread) });
    }
    Ok(())
}

/// A row as a point of the mid price over time.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// The running maximum of `ts_recv`.
    pub ts: u64,
    /// Best bid plus best ask, in 1e-9.
    pub mid2: i64,
    /// The integral of `mid2` over time, from the first row of the chunk to this row.
    pub area: i128,
}

impl Point {
    /// The integral of `mid2` from this row to `ts`, if it stays the same until then.
    #[inline]
    pub fn area_to(&self, ts: u64) -> i128 {
        let time = ts - self.ts;
        // The product of two signed 64-bit numbers is one instruction.
        match i64::try_from(time) {
            Ok(time) => i128::from(self.mid2) * i128::from(time),
            Err(_) => i128::from(self.mid2) * i128::from(time),
        }
    }
}

impl Decode for Point {
    fn decode(
        tape: &SymbolTape,
        chunk: usize,
        file: &mut OpenFile,
        bytes: &mut Vec<u8>,
        values: &mut Vec<Self>,
    ) -> Result<()> {
        let mut last: Option<Self> = None;
        read_moments(tape, chunk, file, bytes, |Moment { ts, mid2, .. }| {
            let area = last.map_or(0, |last| last.area + last.area_to(ts));
            values.push(*last.insert(Self { ts, mid2, area }));
        })
    }
}

impl SymbolTape {
    /// The running maximum of `ts_recv` at `row`; 0 beyond the end.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read, or has no moments.
    pub fn reached_at(&self, row: u64) -> Result<u64> {
        Ok(MomentCursor::new(self, row)?.peek()?.map_or(0, |moment| moment.ts))
    }
}
