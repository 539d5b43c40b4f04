//! Locations of movements: files of tasks, each with ranges of candidates of symbols.

use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cast::to_usize;
use crate::error::{Error, Result};
use crate::storage::Ranges;
use crate::tape::{MOVEMENT_BLOCK, read_blocks};

/// A range of one symbol's movements in a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Piece {
    /// The candidates.
    pub range: Range<u64>,
    /// The file that contains their movements.
    pub file: PathBuf,
    /// Index of the first movement in the file.
    pub first: u64,
    /// The checksum of each block of movements.
    pub checksums: Vec<u32>,
}

impl Piece {
    /// Reads a range of its movements.
    fn read(&self, range: Range<u64>, values: &mut [f64]) -> std::io::Result<()> {
        // Whole blocks, in one request.
        let start = self.range.start;
        let blocks = (range.start - start) / MOVEMENT_BLOCK * MOVEMENT_BLOCK
            ..(range.end - start).next_multiple_of(MOVEMENT_BLOCK);
        let places = blocks.start..blocks.end.min(self.range.end - start);
        let bytes = Ranges::open(&self.file)?.range((self.first + places.start) * 8..(self.first + places.end) * 8)?;
        let copy = |into: &mut [u8], at: u64| {
            let at = to_usize(at - places.start) * 8;
            into.copy_from_slice(&bytes[at..at + into.len()]);
            Ok(())
        };
        read_blocks(range, self.range.clone(), &self.checksums, copy, values)
    }
}

/// Movements of one symbol, in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Pieces(pub Vec<Piece>);

impl Pieces {
    /// The pieces needed for a range.
    #[must_use]
    pub fn part(&self, range: &Range<u64>) -> Self {
        Self(self.within(range).to_vec())
    }

    fn within(&self, range: &Range<u64>) -> &[Piece] {
        let first = self.0.partition_point(|p| p.range.end <= range.start);
        let after = self.0.partition_point(|p| p.range.start < range.end).max(first);
        &self.0[first..after]
    }

    /// Reads a range of movements into `values`.
    ///
    /// # Errors
    /// [`Error::Output`] when a work file cannot be read.
    pub fn read(&self, range: Range<u64>, values: &mut Vec<f64>) -> Result<()> {
        values.resize(to_usize(range.end - range.start), 0.0);
        let mut left = values.as_mut_slice();
        for piece in self.within(&range) {
            let from = range.start.max(piece.range.start);
            let to = range.end.min(piece.range.end);
            let now = left.split_off_mut(..to_usize(to - from)).unwrap_or_default();
            piece.read(from..to, now).map_err(|e| Error::read_back(&piece.file, &e))?;
        }
        if !left.is_empty() {
            return Err(Error::Executor(format!("movements {range:?} of a symbol are in no file")));
        }
        Ok(())
    }
}
