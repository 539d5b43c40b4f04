//! The moments of a symbol's rows, which time and barrier targets need.

use super::cursor::{Cursor, Decode, OpenFile, SymbolTape, Tape};
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
        values.extend(mids.iter().zip(rest.as_chunks::<2>().0).map(|(mid2, [ts_recv, spread])| {
            ts = ts.max(u64::from_le_bytes(*ts_recv));
            Moment { ts, mid2: i64::from_le_bytes(*mid2), spread: i64::from_le_bytes(*spread) }
        }));
        Ok(())
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
