//! The moments of a symbol's rows, which targets in time and barriers need.

use super::cursor::{OpenFile, SymbolTape, Tape};
use crate::cast::to_usize;
use crate::error::{Error, Result};

/// A row, as far as labels depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The running maximum of `ts_recv`.
    pub ts: u64,
    /// Best bid plus best ask, in 1e-9.
    pub mid2: i64,
    /// Best ask minus best bid, in 1e-9.
    pub spread: i64,
}

/// Iterates over the moments of a symbol's rows. Keeps one chunk in memory.
pub struct MomentCursor<'a> {
    tape: &'a SymbolTape,
    file: OpenFile,
    next_chunk: usize,
    bytes: Vec<u8>,
    moments: Vec<Moment>,
    at: usize,
}

impl<'a> MomentCursor<'a> {
    /// Creates a cursor positioned at `row`.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read, or has no moments.
    pub fn new(tape: &'a SymbolTape, row: u64) -> Result<Self> {
        let next_chunk = tape.chunk_of(row);
        let mut cursor =
            Self { tape, file: OpenFile::default(), next_chunk, bytes: Vec::new(), moments: Vec::new(), at: 0 };
        if row < tape.rows {
            cursor.load()?;
            cursor.at = to_usize(row - tape.chunks[next_chunk].first_row);
        } else {
            cursor.next_chunk = tape.chunks.len();
        }
        Ok(cursor)
    }

    fn load(&mut self) -> Result<()> {
        let Self { tape, file, next_chunk, bytes, moments, at } = self;
        let located = &tape.chunks[*next_chunk];
        let rows = to_usize(located.chunk.rows.into());
        let place = located.chunk.place(Tape::Moments);
        if place.is_empty() {
            return Err(Error::output(&located.file, "the work file has no moments"));
        }
        bytes.resize(24 * rows, 0);
        let (mids, rest) = bytes.split_at_mut(8 * rows);
        file.read(located, Tape::Mid2, mids)?;
        file.read(located, Tape::Moments, rest)?;
        let mut ts = next_chunk.checked_sub(1).map_or(tape.reached, |before| tape.chunks[before].chunk.max_ts);
        let words = |bytes: &'_ [u8]| bytes.as_chunks::<8>().0.to_vec();
        let (mids, rest) = (words(mids), words(rest));
        moments.clear();
        moments.extend(mids.iter().zip(rest.as_chunks::<2>().0).map(|(mid2, [ts_recv, spread])| {
            ts = ts.max(u64::from_le_bytes(*ts_recv));
            Moment { ts, mid2: i64::from_le_bytes(*mid2), spread: i64::from_le_bytes(*spread) }
        }));
        (*next_chunk, *at) = (*next_chunk + 1, 0);
        Ok(())
    }

    /// The moment of the current row; `None` at the end of the tape.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read.
    #[inline]
    pub fn peek(&mut self) -> Result<Option<Moment>> {
        if let Some(moment) = self.moments.get(self.at) {
            return Ok(Some(*moment));
        }
        if self.next_chunk == self.tape.chunks.len() {
            return Ok(None);
        }
        self.load()?;
        Ok(self.moments.first().copied())
    }

    /// Moves on to the next row.
    #[inline]
    pub fn skip(&mut self) {
        self.at += 1;
    }
}
