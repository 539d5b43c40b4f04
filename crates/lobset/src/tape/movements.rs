//! Movements in work files: eight bytes each, in blocks with checksums.

use std::ops::Range;

use crate::cast::to_usize;
use crate::error::Result;
use crate::storage::checksum::{check, checksum};

/// Number of movements in a block, which has its own checksum. Classes are counted per block, and row groups consist of
/// blocks.
pub(crate) const MOVEMENT_BLOCK: u64 = 16_384;

const MOVEMENT_BLOCK_BYTES: usize = 8 * to_usize(MOVEMENT_BLOCK);

/// Writes movements in blocks and keeps the checksum of each.
pub(crate) struct BlockWriter<W> {
    write: W,
    /// The block that is not full yet.
    bytes: Vec<u8>,
    checksums: Vec<u32>,
}

impl<W: FnMut(&[u8]) -> Result<()>> BlockWriter<W> {
    /// Creates a writer that passes the blocks to `write`, in order.
    pub fn new(write: W) -> Self {
        Self { write, bytes: Vec::new(), checksums: Vec::new() }
    }

    /// Appends movements.
    ///
    /// # Errors
    /// Any error of `write`.
    pub fn push(&mut self, mut values: &[f64]) -> Result<()> {
        self.bytes.reserve_exact(MOVEMENT_BLOCK_BYTES - self.bytes.len());
        while !values.is_empty() {
            let (now, later) = values.split_at(values.len().min((MOVEMENT_BLOCK_BYTES - self.bytes.len()) / 8));
            self.bytes.extend(now.iter().flat_map(|v| v.to_le_bytes()));
            values = later;
            if self.bytes.len() == MOVEMENT_BLOCK_BYTES {
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

    /// Writes the last block and returns the checksums of all blocks. Later movements start a new block and a new list
    /// of checksums.
    ///
    /// # Errors
    /// Any error of `write`.
    pub fn finish(&mut self) -> Result<Vec<u32>> {
        if !self.bytes.is_empty() {
            self.flush()?;
        }
        Ok(std::mem::take(&mut self.checksums))
    }
}

/// Appends the movements in `range` to `out`. `whole` is the range of all movements, and `checksums` contains one entry
/// per block of it. `read` fills a buffer, starting at a movement given by its number within `whole`.
///
/// # Errors
/// Any error of `read`; one of kind `InvalidData` when a block is damaged.
pub(crate) fn read_blocks(
    range: Range<u64>,
    whole: Range<u64>,
    checksums: &[u32],
    read: impl Fn(&mut [u8], u64) -> std::io::Result<()>,
    out: &mut Vec<f64>,
) -> std::io::Result<()> {
    out.reserve_exact(to_usize(range.end - range.start));
    let mut bytes = vec![0; MOVEMENT_BLOCK_BYTES];
    let blocks = (range.start - whole.start) / MOVEMENT_BLOCK..(range.end - whole.start).div_ceil(MOVEMENT_BLOCK);
    for block in blocks {
        let from = whole.start + block * MOVEMENT_BLOCK;
        let to = whole.end.min(from + MOVEMENT_BLOCK);
        let bytes = &mut bytes[..8 * to_usize(to - from)];
        read(bytes, from - whole.start)?;
        let want = checksums.get(to_usize(block)).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        check(bytes, *want)?;
        let inside = range.start.max(from) - from..range.end.min(to) - from;
        from_bytes(&bytes[8 * to_usize(inside.start)..8 * to_usize(inside.end)], out);
    }
    Ok(())
}

/// Decodes movements from their file format, little-endian `f64`, and appends them to `out`.
pub(crate) fn from_bytes(bytes: &[u8], out: &mut Vec<f64>) {
    let (words, _) = bytes.as_chunks::<8>();
    out.extend(words.iter().map(|w| f64::from_le_bytes(*w)));
}
