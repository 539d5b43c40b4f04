//! The tapes of one input file, written while it is scanned.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::row::{MAX_ROW_BYTES, Row};
use super::tick::Tick;
use super::varint::SLACK;
use crate::cast::to_u32;
use crate::error::{Error, Result};
use crate::input::Record;
use crate::storage::Writer;
use crate::storage::checksum::checksum;

/// Number of rows in a full chunk. A chunk has fewer when the buffers reach [`MAX_BUFFERED`] first.
const CHUNK_ROWS: usize = 8192;

/// When more bytes than this are buffered, all symbols are written out, so that even thousands of symbols need only a
/// bounded buffer.
const MAX_BUFFERED: usize = 48 << 20;

/// A piece of one symbol's tapes: `rows` mid2 values (eight bytes each), then the rows, then the moments (sixteen bytes
/// each), if a target needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Number of rows.
    pub rows: u32,
    /// Number of bytes of the rows, which follow the mid2 values.
    pub row_bytes: u32,
    /// Byte offset of the chunk in the tape file.
    pub offset: u64,
    /// The checksum of the mid2 values.
    pub mid2_checksum: u32,
    /// The checksum of the rows.
    pub row_checksum: u32,
    /// The checksum of the moments; `None` without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment_checksum: Option<u32>,
    /// The running maximum of the symbol's `ts_recv` at the last row of the chunk.
    pub max_ts: u64,
}

/// Initial size of a symbol's row buffer, in bytes.
const FIRST_ROWS: usize = 8 * MAX_ROW_BYTES;

#[derive(Default)]
struct SymbolBuffer {
    mids: Vec<u8>,
    moments: Vec<u8>,
    rows: Vec<u8>,
    /// Number of bytes used in `rows`.
    used: usize,
    count: usize,
    max_ts: u64,
    /// The previous row, against which the next one is encoded; the default row at the start of a chunk.
    last: Row,
    tick: Tick,
    chunks: Vec<Chunk>,
}

/// The tapes of a symbol in one work file.
pub struct SymbolTapes {
    /// Their pieces, in order.
    pub chunks: Vec<Chunk>,
    /// The greatest common divisor of the prices of its book, in 1e-9; 0 without prices.
    pub tick: u64,
}

impl SymbolBuffer {
    /// Makes room for the next row. Thousands of symbols do this at once, so each starts with room for many rows.
    #[cold]
    fn grow(&mut self) {
        self.rows.resize((self.rows.len() * 2).max(FIRST_ROWS), 0);
        self.mids.reserve(self.rows.len() / 8);
    }
}

/// Writes the tapes of every symbol of one input file into one work file. Takes at most about 64 MiB of memory, regardless
/// of the number of symbols and rows.
pub struct TapeWriter {
    /// Whether to write moments.
    moments: bool,
    path: PathBuf,
    file: Writer,
    offset: u64,
    symbols: Vec<SymbolBuffer>,
    buffered: usize,
}

impl TapeWriter {
    /// Creates the work file.
    ///
    /// # Errors
    /// [`Error::Output`] when the file cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        let file = Writer::create(path).map_err(|e| Error::output(path, e))?;
        Ok(Self { moments: false, path: path.to_owned(), file, offset: 0, symbols: Vec::new(), buffered: 0 })
    }

    /// Sets whether to write moments too: `ts_recv` and the spread of each row.
    #[must_use]
    pub fn with_moments(self, moments: bool) -> Self {
        Self { moments, ..self }
    }

    /// Appends a row to the symbol with this slot.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be written.
    #[inline]
    pub fn push(&mut self, slot: usize, record: &Record<'_>, mid2: i64, max_ts: u64) -> Result<()> {
        if slot >= self.symbols.len() {
            self.symbols.resize_with(slot + 1, SymbolBuffer::default);
        }
        let symbol = &mut self.symbols[slot];
        if symbol.rows.len() < symbol.used + MAX_ROW_BYTES + SLACK {
            symbol.grow();
        }
        symbol.mids.extend_from_slice(&mid2.to_le_bytes());
        if self.moments {
            let best = &record.levels[0];
            symbol.moments.extend_from_slice(&record.event.ts_recv.to_le_bytes());
            symbol.moments.extend_from_slice(&best.ask_px.wrapping_sub(best.bid_px).to_le_bytes());
            self.buffered += 16;
        }
        symbol.count += 1;
        symbol.max_ts = max_ts;
        let end = symbol.last.put_next(record, &mut symbol.tick, &mut symbol.rows, symbol.used);
        self.buffered += 8 + end - symbol.used;
        symbol.used = end;
        if symbol.count == CHUNK_ROWS {
            self.flush(slot)?;
        } else if self.buffered > MAX_BUFFERED {
            (0..self.symbols.len()).try_for_each(|slot| self.flush(slot))?;
        }
        Ok(())
    }

    fn flush(&mut self, slot: usize) -> Result<()> {
        let symbol = &mut self.symbols[slot];
        if symbol.count == 0 {
            return Ok(());
        }
        let rows = &symbol.rows[..symbol.used];
        let parts = [&symbol.mids, rows, &symbol.moments];
        let written = parts.into_iter().try_for_each(|part| self.file.write_all(part));
        written.map_err(|e| Error::output(&self.path, e))?;
        symbol.chunks.push(Chunk {
            rows: to_u32(symbol.count),
            row_bytes: to_u32(symbol.used),
            offset: self.offset,
            mid2_checksum: checksum(&symbol.mids),
            row_checksum: checksum(rows),
            moment_checksum: self.moments.then(|| checksum(&symbol.moments)),
            max_ts: symbol.max_ts,
        });
        let bytes = symbol.mids.len() + symbol.used + symbol.moments.len();
        self.offset += bytes as u64;
        self.buffered -= bytes;
        symbol.mids.clear();
        symbol.moments.clear();
        symbol.used = 0;
        symbol.count = 0;
        symbol.last = Row::default();
        Ok(())
    }

    /// Writes what is still buffered and returns the size of the work file and each symbol's tapes, by slot.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be written.
    pub fn finish(mut self) -> Result<(u64, Vec<SymbolTapes>)> {
        (0..self.symbols.len()).try_for_each(|slot| self.flush(slot))?;
        self.file.finish().map_err(|e| Error::output(&self.path, e))?;
        let tapes = |symbol: SymbolBuffer| SymbolTapes { chunks: symbol.chunks, tick: symbol.tick.get() };
        Ok((self.offset, self.symbols.into_iter().map(tapes).collect()))
    }
}
