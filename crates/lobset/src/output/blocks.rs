//! Memory in reusable blocks of one size: the blocks of a column's runs are reused for the pages encoded from them.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::cast::to_usize;

/// Rows of a full row group.
pub const ROW_GROUP_ROWS: u64 = 131_072;

/// A vector with capacity for `values` values per row of a full row group. Unused capacity takes no physical memory,
/// and a vector that never grows leaves no holes in the heap.
pub(super) fn room<T>(values: usize) -> Vec<T> {
    Vec::with_capacity(values * to_usize(ROW_GROUP_ROWS))
}

/// Words of a block, two bytes each.
pub(super) const BLOCK_WORDS: usize = 2048;
const BLOCK_BYTES: usize = 2 * BLOCK_WORDS;

pub(super) type Block = Box<[[u8; 2]; BLOCK_WORDS]>;

/// A pool of unused blocks.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocks(Arc<Mutex<Vec<Block>>>);

impl Blocks {
    /// Takes a block, with arbitrary contents.
    pub(super) fn take(&self) -> Block {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| Box::new([[0; 2]; BLOCK_WORDS]))
    }

    /// Returns blocks to the pool.
    pub(super) fn put(&self, used: impl IntoIterator<Item = Block>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(used);
    }
}

/// A buffer that is written sequentially and read from any position.
pub(super) struct BlockBuffer {
    blocks: Blocks,
    held: Vec<Block>,
    length: usize,
}

impl BlockBuffer {
    pub(super) fn new(blocks: Blocks) -> Self {
        Self { blocks, held: Vec::new(), length: 0 }
    }

    /// Number of bytes so far.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Removes all bytes and returns the blocks to the pool.
    pub(super) fn clear(&mut self) {
        self.blocks.put(self.held.drain(..));
        self.length = 0;
    }

    /// The bytes from `at` to the end of its block.
    fn piece(&self, at: usize) -> &[u8] {
        let (block, place) = (at / BLOCK_BYTES, at % BLOCK_BYTES);
        let end = self.length.saturating_sub(block * BLOCK_BYTES).min(BLOCK_BYTES);
        self.held.get(block).and_then(|words| words.as_flattened().get(place..end)).unwrap_or_default()
    }
}

impl Write for BlockBuffer {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let all = bytes.len();
        while !bytes.is_empty() {
            let place = self.length % BLOCK_BYTES;
            if place == 0 {
                self.held.push(self.blocks.take());
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - place));
            if let Some(block) = self.held.last_mut() {
                block.as_flattened_mut()[place..place + now.len()].copy_from_slice(now);
            }
            self.length += now.len();
            bytes = later;
        }
        Ok(all)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a buffer from a position to its end.
pub(super) struct BlockBufferReader<'a> {
    buffer: &'a BlockBuffer,
    at: usize,
}

impl Read for BlockBufferReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.buffer.piece(self.at).read(into)?;
        self.at += count;
        Ok(count)
    }
}

impl<'a> ChunkReader for &'a BlockBuffer {
    type T = BlockBufferReader<'a>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        match usize::try_from(start).ok().filter(|at| *at <= self.length) {
            Some(at) => Ok(BlockBufferReader { buffer: self, at }),
            None => Err(ParquetError::EOF(format!("byte {start} is outside the pages"))),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

impl Length for &BlockBuffer {
    fn len(&self) -> u64 {
        self.length as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_from_anywhere() {
        let blocks = Blocks::default();
        let mut buffer = BlockBuffer::new(blocks.clone());
        let bytes: Vec<u8> = (0..3 * BLOCK_BYTES + 5).map(|i| (i % 251) as u8).collect();
        for _ in 0..2 {
            assert_eq!(buffer.len(), 0);
            for piece in bytes.chunks(1_000) {
                buffer.write_all(piece).unwrap();
            }
            for start in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 7, bytes.len()] {
                let mut found = Vec::new();
                (&buffer).get_read(start as u64).unwrap().read_to_end(&mut found).unwrap();
                assert_eq!(found, bytes[start..]);
                let length = (bytes.len() - start).min(BLOCK_BYTES + 1);
                assert_eq!((&buffer).get_bytes(start as u64, length).unwrap(), bytes[start..start + length]);
            }
            assert!((&buffer).get_bytes(1, bytes.len()).is_err());
            assert!((&buffer).get_read(bytes.len() as u64 + 1).is_err());
            buffer.clear();
            assert_eq!(blocks.0.lock().unwrap().len(), 4);
        }
    }
}
