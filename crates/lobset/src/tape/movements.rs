//! Movements in work files: eight bytes each, in blocks with checksums.

use std::ops::Range;

use crate::cast::{put_le_bytes, to_usize};
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
            put_le_bytes(&mut self.bytes, now);
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

/// Reads the movements in `range` into `out`, which is as long as the range. `whole` is the range of all movements, and `checksums` contains one entry per
/// block of it. `read` fills a buffer, starting at a movement given by its number within `whole`.
///
/// # Errors
/// Any error of `read`; one of kind `InvalidData` when a block is damaged.
pub(crate) fn read_blocks(
    range: Range<u64>,
    whole: Range<u64>,
    checksums: &[u32],
    read: impl Fn(&mut [u8], u64) -> std::io::Result<()>,
    mut out: &mut [f64],
) -> std::io::Result<()> {
    let mut block_values: Vec<f64> = Vec::new();
    let blocks = (range.start - whole.start) / MOVEMENT_BLOCK..(range.end - whole.start).div_ceil(MOVEMENT_BLOCK);
    for block in blocks {
        let from = whole.start + block * MOVEMENT_BLOCK;
        let to = whole.end.min(from + MOVEMENT_BLOCK);
        let want = checksums.get(to_usize(block)).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let fill = |values: &mut [f64]| {
            let bytes = bytemuck::cast_slice_mut(values);
            read(bytes, from - whole.start)?;
            check(bytes, *want)?;
            values.iter_mut().for_each(|value| *value = f64::from_bits(u64::from_le(value.to_bits())));
            std::io::Result::Ok(())
        };
        let inside = range.start.max(from) - from..range.end.min(to) - from;
        let inside = to_usize(inside.start)..to_usize(inside.end);
        let Some(now) = out.split_off_mut(..inside.len()) else { return Err(std::io::ErrorKind::UnexpectedEof.into()) };
        if now.len() as u64 == to - from {
            fill(now)?;
        } else {
            block_values.resize(to_usize(to - from), 0.0);
            fill(&mut block_values)?;
            now.copy_from_slice(&block_values[inside]);
        }
    }
    // Otherwise what was in the buffer before would pass for movements.
    if out.is_empty() { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_from_their_blocks_and_what_is_missing_is_an_error() {
        let values: Vec<f64> = (0..2 * MOVEMENT_BLOCK + 5).map(|i| i as f64).collect();
        let mut file = Vec::new();
        let mut writer = BlockWriter::new(|bytes: &[u8]| {
            file.extend_from_slice(bytes);
            Ok(())
        });
        values.chunks(1_000).for_each(|some| writer.push(some).unwrap());
        let checksums = writer.finish().unwrap();
        drop(writer);
        // They are numbered from 7.
        let (first, end) = (7, 7 + values.len() as u64);
        let read = |range: Range<u64>, length: usize| {
            let mut out = vec![-1.0; length];
            let copy = |into: &mut [u8], at: u64| {
                into.copy_from_slice(&file[8 * to_usize(at)..][..into.len()]);
                Ok(())
            };
            read_blocks(range, first..end, &checksums, copy, &mut out).map(|()| out)
        };
        for range in [first..end, 8..9, first..MOVEMENT_BLOCK + 7, MOVEMENT_BLOCK + 6..end, 20_000..end - 1] {
            let want = &values[to_usize(range.start - first)..to_usize(range.end - first)];
            assert_eq!(read(range.clone(), want.len()).unwrap(), want, "{range:?}");
        }
        assert!(read(first..end + 3, values.len() + 3).is_err());
        assert!(read(first..end, values.len() - 1).is_err());
        assert!(read(8..9, 2).is_err());
    }
}
