//! Reads the tapes of fixed width, whose chunks are decoded once for all cursors on them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;

use super::cursor::{OpenFile, SymbolTape, Tape};
use crate::cast::to_usize;
use crate::error::{Error, Result};

/// The values of a chunk of rows, read from tapes of fixed width.
pub trait Decode: Default {
    /// Replaces the values by those of a chunk of `tape`, given by its index. `bytes` is scratch space.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read, or has no such values.
    fn decode(&mut self, tape: &SymbolTape, chunk: usize, file: &mut OpenFile, bytes: &mut Vec<u8>) -> Result<()>;
}

/// Number of chunks that stay in memory for the cursors behind the foremost one.
const CHUNKS_KEPT: usize = 4;

/// The chunks of a tape, decoded once for all cursors that follow each other closely.
pub struct Chunks<'a, C> {
    pub(super) tape: &'a SymbolTape,
    recent: RefCell<Recent<C>>,
}

/// The chunks decoded last.
struct Recent<C> {
    file: OpenFile,
    bytes: Vec<u8>,
    /// With their indexes; the oldest comes first.
    chunks: VecDeque<(usize, Rc<C>)>,
}

impl<'a, C: Decode> Chunks<'a, C> {
    /// No chunks of `tape` yet.
    pub fn new(tape: &'a SymbolTape) -> Rc<Self> {
        let recent = Recent { file: OpenFile::default(), bytes: Vec::new(), chunks: VecDeque::new() };
        Rc::new(Self { tape, recent: RefCell::new(recent) })
    }

    /// The index of the chunk that contains `row`, and the first row of the chunk.
    pub fn locate(&self, row: u64) -> (usize, u64) {
        let chunk = self.tape.chunk_of(row);
        (chunk, self.tape.chunks.get(chunk).map_or(0, |located| located.first_row))
    }

    /// The values of a chunk, given by its index.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read, or has no such values.
    pub fn get(&self, chunk: usize) -> Result<Rc<C>> {
        let Recent { file, bytes, chunks } = &mut *self.recent.borrow_mut();
        if let Some((_, values)) = chunks.iter().find(|(index, _)| *index == chunk) {
            return Ok(Rc::clone(values));
        }
        let oldest = if chunks.len() < CHUNKS_KEPT { None } else { chunks.pop_front() };
        // Its memory can be reused unless a cursor still reads it.
        let mut values = oldest.and_then(|(_, values)| Rc::try_unwrap(values).ok()).unwrap_or_default();
        values.decode(self.tape, chunk, file, bytes)?;
        let values = Rc::new(values);
        chunks.push_back((chunk, Rc::clone(&values)));
        Ok(values)
    }
}

impl<'a, T> Chunks<'a, Vec<T>>
where
    Vec<T>: Decode,
{
    /// Creates a cursor positioned at `row`.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read, or has no such values.
    pub fn cursor(self: &Rc<Self>, row: u64) -> Result<Cursor<'a, T>> {
        let tape = self.tape;
        let mut cursor =
            Cursor { chunks: Rc::clone(self), next_chunk: tape.chunk_of(row), values: Rc::default(), at: 0 };
        if row < tape.rows {
            let first_row = tape.chunks[cursor.next_chunk].first_row;
            cursor.load()?;
            cursor.at = to_usize(row - first_row);
        } else {
            cursor.next_chunk = tape.chunks.len();
        }
        Ok(cursor)
    }
}

/// Iterates over values of a symbol's rows.
pub struct Cursor<'a, T> {
    chunks: Rc<Chunks<'a, Vec<T>>>,
    next_chunk: usize,
    /// The values of the current chunk.
    values: Rc<Vec<T>>,
    at: usize,
}

impl<T> Cursor<'_, T>
where
    Vec<T>: Decode,
{
    fn load(&mut self) -> Result<()> {
        // Gives the chunk back first, so that its memory can be reused.
        self.values = Rc::default();
        self.values = self.chunks.get(self.next_chunk)?;
        self.next_chunk += 1;
        self.at = 0;
        Ok(())
    }

    /// The values from the current position to the end of the chunk; empty at the end of the tape.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read.
    #[inline]
    pub fn values(&mut self) -> Result<&[T]> {
        while self.at == self.values.len() && self.next_chunk < self.chunks.tape.chunks.len() {
            self.load()?;
        }
        Ok(&self.values[self.at..])
    }

    /// Advances by `n` values, which [`values`](Self::values) must have returned.
    #[inline]
    pub fn skip(&mut self, n: usize) {
        self.at += n;
    }
}

/// The mid2 values of a chunk.
impl Decode for Vec<i64> {
    fn decode(&mut self, tape: &SymbolTape, chunk: usize, file: &mut OpenFile, _: &mut Vec<u8>) -> Result<()> {
        let located = &tape.chunks[chunk];
        self.resize(to_usize(located.chunk.rows.into()), 0);
        file.read(located, Tape::Mid2, bytemuck::cast_slice_mut(self))?;
        self.iter_mut().for_each(|value| *value = i64::from_le(*value));
        Ok(())
    }
}

impl Cursor<'_, i64> {
    /// Sums the next `n` values and advances past them.
    ///
    /// # Errors
    /// [`Error::Output`] when the work file cannot be read, or ends too early.
    pub fn sum(&mut self, mut n: u64) -> Result<i128> {
        let mut sum = 0;
        while n > 0 {
            let values = self.values()?;
            if values.is_empty() {
                let path = self.chunks.tape.chunks.last().map_or_else(PathBuf::new, |c| c.file.to_path_buf());
                return Err(Error::output(&path, "the work file is shorter than its index"));
            }
            let take = values.len().min(usize::try_from(n).unwrap_or(usize::MAX));
            sum += values[..take].iter().map(|v| i128::from(*v)).sum::<i128>();
            self.skip(take);
            n -= take as u64;
        }
        Ok(sum)
    }
}
