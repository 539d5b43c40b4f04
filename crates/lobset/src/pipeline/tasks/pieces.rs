//! Where movements lie: files of tasks, each with ranges of symbols' candidates.

use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::pipeline::movements::from_bytes;
use crate::storage::Ranges;

/// A range of one symbol's movements in a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Piece {
    /// The candidates.
    pub range: Range<u64>,
    /// Where they lie.
    pub file: PathBuf,
    /// The place of the first in the file.
    pub first: u64,
}

/// Movements of one symbol, in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Pieces(pub Vec<Piece>);

impl Pieces {
    /// What is needed of them for a range.
    #[must_use]
    pub fn part(&self, range: &Range<u64>) -> Self {
        Self(self.within(range).to_vec())
    }

    fn within(&self, range: &Range<u64>) -> &[Piece] {
        let first = self.0.partition_point(|p| p.range.end <= range.start);
        let after = self.0.partition_point(|p| p.range.start < range.end).max(first);
        &self.0[first..after]
    }

    /// Reads a range of movements.
    ///
    /// # Errors
    /// [`Error::Output`] when a work file cannot be read.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<f64>> {
        let mut values = Vec::with_capacity((range.end - range.start) as usize);
        for piece in self.within(&range) {
            let from = range.start.max(piece.range.start);
            let to = range.end.min(piece.range.end);
            let at = (piece.first + (from - piece.range.start)) * 8;
            let bytes = Ranges::open(&piece.file).and_then(|file| file.range(at..at + (to - from) * 8));
            from_bytes(&bytes.map_err(|e| Error::output(&piece.file, e))?, &mut values);
        }
        if values.len() as u64 != range.end - range.start {
            return Err(Error::Executor(format!("movements {range:?} of a symbol are in no file")));
        }
        Ok(values)
    }
}
