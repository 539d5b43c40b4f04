//! Reads a symbol's tapes across files, starting at any row.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::row::Row;
use super::varint::SLACK;
use super::writer::Chunk;
use crate::cast::to_usize;
use crate::error::{Error, Result};
use crate::storage::checksum::check;
use crate::storage::{self, Ranges};

/// The location of a symbol's tapes: its chunks, in the order of rows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Listing", into = "Listing")]
pub struct SymbolTape {
    pub(super) chunks: Vec<Located>,
    pub(super) rows: u64,
    /// The running maximum of `ts_recv` before the first chunk.
    pub(super) reached: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) first_row: u64,
    pub(super) chunk: Chunk,
    pub(super) file: Arc<PathBuf>,
    /// Parts of the tape file that have been fetched.
    held: Option<Held>,
}

/// Fetched bytes, each part with its offset in the file.
type Held = Box<Vec<(u64, Bytes)>>;

/// The serialized form of a symbol tape: consecutive chunks in the same file share its name.
#[derive(Serialize, Deserialize)]
struct Listing {
    first_row: u64,
    rows: u64,
    #[serde(default)]
    reached: u64,
    files: Vec<(PathBuf, Vec<Chunk>)>,
}

impl From<SymbolTape> for Listing {
    fn from(tape: SymbolTape) -> Self {
        let mut files: Vec<(PathBuf, Vec<Chunk>)> = Vec::new();
        for Located { chunk, file, .. } in &tape.chunks {
            match files.last_mut() {
                Some((last, chunks)) if last == file.as_path() => chunks.push(*chunk),
                _ => files.push((file.to_path_buf(), vec![*chunk])),
            }
        }
        let first_row = tape.chunks.first().map_or(0, |c| c.first_row);
        Self { first_row, rows: tape.rows, reached: tape.reached, files }
    }
}

impl From<Listing> for SymbolTape {
    fn from(listing: Listing) -> Self {
        let mut tape = Self { chunks: Vec::new(), rows: listing.first_row, reached: listing.reached };
        for (file, chunks) in listing.files {
            tape.extend(&Arc::new(file), &chunks);
        }
        // A part may end before its last chunk does.
        Self { rows: listing.rows, ..tape }
    }
}

/// Which of the tapes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tape {
    /// The mid2 values.
    Mid2,
    /// The rows.
    Rows,
    /// The moments: `ts_recv` and the spread of each row.
    Moments,
}

impl Chunk {
    /// The byte range of a tape within the file.
    pub(super) fn place(&self, tape: Tape) -> Range<u64> {
        let rows = self.offset + u64::from(self.rows) * 8;
        let moments = rows + u64::from(self.row_bytes);
        match tape {
            Tape::Mid2 => self.offset..rows,
            Tape::Rows => rows..moments,
            Tape::Moments if self.moment_checksum.is_some() => moments..moments + u64::from(self.rows) * 16,
            Tape::Moments => moments..moments,
        }
    }

    fn checksum(&self, tape: Tape) -> u32 {
        match tape {
            Tape::Mid2 => self.mid2_checksum,
            Tape::Rows => self.row_checksum,
            Tape::Moments => self.moment_checksum.unwrap_or_default(),
        }
    }

    /// The tapes that this chunk contains.
    fn tapes(&self) -> &'static [Tape] {
        match self.moment_checksum {
            Some(_) => &[Tape::Mid2, Tape::Rows, Tape::Moments],
            None => &[Tape::Mid2, Tape::Rows],
        }
    }
}

impl SymbolTape {
    /// Appends the chunks of `file`.
    pub fn extend(&mut self, file: &Arc<PathBuf>, chunks: &[Chunk]) {
        for chunk in chunks {
            self.chunks.push(Located { first_row: self.rows, chunk: *chunk, file: Arc::clone(file), held: None });
            self.rows += u64::from(chunk.rows);
        }
    }

    /// Appends a tape of later rows. `reached` is the running maximum of `ts_recv` before them.
    pub fn append(&mut self, later: Self, reached: u64) {
        let first_row = self.rows;
        self.chunks.extend(later.chunks.into_iter().map(|mut located| {
            located.first_row += first_row;
            located.chunk.max_ts = located.chunk.max_ts.max(reached);
            located
        }));
        self.rows += later.rows;
    }

    /// Releases the spare capacity for chunks.
    pub fn shrink_to_fit(&mut self) {
        self.chunks.shrink_to_fit();
    }

    /// Number of rows of the symbol.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The part of the tape that contains a range of rows. The rows keep their numbers.
    #[must_use]
    pub fn part(&self, rows: Range<u64>) -> Self {
        let first = self.chunk_of(rows.start);
        let after = self.chunks.partition_point(|c| c.first_row < rows.end).max(first);
        let reached = first.checked_sub(1).map_or(self.reached, |before| self.chunks[before].chunk.max_ts);
        Self { chunks: self.chunks[first..after].to_vec(), rows: rows.end.min(self.rows), reached }
    }

    /// Fetches the bytes that cursors will read from remote files; otherwise each read would be a separate request.
    ///
    /// # Errors
    /// [`Error::Output`] when a work file cannot be read.
    pub fn fetch(&mut self, tape: Tape) -> Result<()> {
        for chunks in self.chunks.chunk_by_mut(|a, b| a.file == b.file) {
            let file = Arc::clone(&chunks[0].file);
            if !storage::is_url(&file) {
                continue;
            }
            let places: Vec<Range<u64>> = chunks.iter().map(|c| c.chunk.place(tape)).collect();
            let fetched = Ranges::open(&file).and_then(|ranges| ranges.ranges(&places));
            let fetched = fetched.map_err(|e| Error::read_back(&file, &e))?;
            for ((located, place), bytes) in chunks.iter_mut().zip(places).zip(fetched) {
                located.held.get_or_insert_default().push((place.start, bytes));
            }
        }
        Ok(())
    }

    /// The index of the chunk that contains `row`.
    pub(super) fn chunk_of(&self, row: u64) -> usize {
        self.chunks.partition_point(|c| c.first_row <= row).saturating_sub(1)
    }

    /// The index of the first chunk in which the running maximum of `ts_recv` reaches `ts`; the number of chunks if none
    /// does.
    pub(super) fn chunk_reaching(&self, ts: u64) -> usize {
        self.chunks.partition_point(|located| located.chunk.max_ts < ts)
    }

    /// The first row whose running maximum of `ts_recv` is at least `ts`, or the number of rows if no row reaches it.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read.
    pub fn first_row_at(&self, ts: u64) -> Result<u64> {
        Ok(self.first_at(ts)?.map_or(self.rows, |(row, _)| row))
    }

    /// The first row whose running maximum of `ts_recv` is at least `ts`, and that maximum, which is the `ts_recv` of the
    /// row. `None` if there is no such row.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read.
    pub fn first_at(&self, ts: u64) -> Result<Option<(u64, u64)>> {
        let Some(found) = self.chunks.get(self.chunk_reaching(ts)) else { return Ok(None) };
        let mut cursor = RowCursor::new(self, found.first_row)?;
        let mut row = found.first_row;
        // The maximum reaches `ts` within this chunk, at a row whose own `ts_recv` is at least `ts`.
        while cursor.advance()?.is_some() {
            let reached = cursor.row().event.ts_recv;
            if reached >= ts {
                return Ok(Some((row, reached)));
            }
            row += 1;
        }
        Ok(None)
    }
}

/// Keeps the file of the previous chunk open: chunks of the same file are consecutive.
#[derive(Default)]
pub struct OpenFile {
    open: Option<(Arc<PathBuf>, Ranges)>,
}

impl OpenFile {
    /// Reads one tape of a chunk in full and verifies its checksum.
    pub(super) fn read(&mut self, located: &Located, tape: Tape, into: &mut [u8]) -> Result<()> {
        let read = self.read_unchecked(located, tape, into);
        read.and_then(|()| check(into, located.chunk.checksum(tape))).map_err(|e| Error::read_back(&located.file, &e))
    }

    fn read_unchecked(&mut self, located: &Located, tape: Tape, into: &mut [u8]) -> std::io::Result<()> {
        let Located { file: path, chunk, held, .. } = located;
        let offset = chunk.place(tape).start;
        let held = held.iter().flat_map(|held| held.iter()).find(|(start, _)| *start == offset);
        if let Some((_, bytes)) = held
            && bytes.len() >= into.len()
        {
            into.copy_from_slice(&bytes[..into.len()]);
            return Ok(());
        }
        let file = match &mut self.open {
            Some((open, file)) if Arc::ptr_eq(open, path) => file,
            open => &mut open.insert((Arc::clone(path), Ranges::open(path)?)).1,
        };
        file.read_exact_at(into, offset)
    }
}

/// Reads chunks of a tape file that an earlier run wrote and verifies their checksums.
///
/// # Errors
/// When the file cannot be read; of kind `InvalidData` when a chunk is damaged.
pub fn check_chunks<'a>(file: &Path, chunks: impl IntoIterator<Item = &'a Chunk>) -> std::io::Result<()> {
    let ranges = Ranges::open(file)?;
    let mut bytes = Vec::new();
    for chunk in chunks {
        for tape in chunk.tapes().iter().copied() {
            let place = chunk.place(tape);
            bytes.resize(to_usize(place.end - place.start), 0);
            ranges.read_exact_at(&mut bytes, place.start)?;
            check(&bytes, chunk.checksum(tape))?;
        }
    }
    Ok(())
}

/// Iterates over a symbol's rows. Keeps one chunk in memory.
pub struct RowCursor<'a> {
    tape: &'a SymbolTape,
    file: OpenFile,
    next_chunk: usize,
    bytes: Vec<u8>,
    at: usize,
    left: u32,
    row: Row,
}

impl<'a> RowCursor<'a> {
    /// Creates a cursor positioned before `row`.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read.
    pub fn new(tape: &'a SymbolTape, row: u64) -> Result<Self> {
        let chunk = tape.chunk_of(row);
        let mut cursor = Self {
            tape,
            file: OpenFile::default(),
            next_chunk: chunk,
            bytes: Vec::new(),
            at: 0,
            left: 0,
            row: Row::default(),
        };
        let skip = tape.chunks.get(chunk).map_or(0, |c| row - c.first_row);
        for _ in 0..skip {
            cursor.advance()?;
        }
        Ok(cursor)
    }

    /// Advances to the next row and returns a mask of the words of its book that differ from the row before; `None` at
    /// the end. The first row is compared with an empty one.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read.
    #[inline]
    pub fn advance(&mut self) -> Result<Option<u64>> {
        if self.left > 0 {
            self.left -= 1;
            return match self.row.get_next(&self.bytes, self.at) {
                Some((changed, after)) => {
                    self.at = after;
                    Ok(Some(changed))
                }
                None => Err(self.cut()),
            };
        }
        self.enter_chunk()
    }

    /// The row that [`advance`](Self::advance) moved to.
    #[inline]
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// Loads the next chunk and advances to its first row, which is stored in full.
    fn enter_chunk(&mut self) -> Result<Option<u64>> {
        let Some(located) = self.tape.chunks.get(self.next_chunk) else { return Ok(None) };
        self.next_chunk += 1;
        let bytes = located.chunk.row_bytes as usize;
        self.bytes.resize(bytes + SLACK, 0);
        self.file.read(located, Tape::Rows, &mut self.bytes[..bytes])?;
        self.bytes[bytes..].fill(0);
        let before = std::mem::take(&mut self.row);
        let Some((_, after)) = self.row.get_next(&self.bytes, 0) else { return Err(self.cut()) };
        self.at = after;
        self.left = located.chunk.rows - 1;
        let changed = before.book.iter().zip(&self.row.book).enumerate();
        Ok(Some(changed.fold(0, |mask, (i, (a, b))| mask | u64::from(a != b) << i)))
    }

    #[cold]
    fn cut(&self) -> Error {
        let chunk = self.tape.chunks.get(self.next_chunk.saturating_sub(1));
        let path = chunk.map_or_else(PathBuf::new, |c| c.file.to_path_buf());
        Error::output(&path, "the work file is damaged")
    }
}
