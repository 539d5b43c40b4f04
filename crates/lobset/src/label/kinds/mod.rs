//! The kinds of movements, one in each file.

mod means;

use std::ops::Range;

use super::candidates::Candidates;
use crate::config::Movement;
use crate::error::Result;
use crate::tape::SymbolTape;

/// Takes the values of the next candidates: one list for each track of [`Rule::tracks`], all of the same length.
pub type Take<'a> = dyn FnMut(&[Vec<f64>]) -> Result<()> + 'a;

/// A kind of movement.
pub(crate) trait Rule {
    /// The rows that can have a label: those whose windows are whole within the unbroken stretches of a stream. Each row
    /// in `breaks`, which ascend, starts a stretch.
    ///
    /// # Errors
    /// [`Error::Output`](crate::Error::Output) when the tape cannot be read.
    fn candidates(&self, tape: &SymbolTape, breaks: &[u64]) -> Result<Candidates>;

    /// The first row that is not `fit`: its label may look at the boundary time `until` or later. At most
    /// `boundary_row`, the first row at `until` or later.
    ///
    /// # Errors
    /// [`Error::Output`](crate::Error::Output) when the tape cannot be read.
    fn fit_end(&self, tape: &SymbolTape, until: u64, boundary_row: u64) -> Result<u64>;

    /// The rows that the labels of a range of rows depend on. Every row of the range is a candidate, or lies between two.
    ///
    /// # Errors
    /// [`Error::Output`](crate::Error::Output) when the tape cannot be read.
    fn seen(&self, tape: &SymbolTape, rows: Range<u64>) -> Result<Range<u64>>;

    /// About how many rows a label looks at: tasks are several times as long, so that their first label costs little.
    fn span(&self) -> u64;

    /// Computes the tracks of a range of candidates, and passes them to `take` in order, a few thousand candidates at a
    /// time. The first track has the movements, NaN where undefined.
    ///
    /// # Errors
    /// [`Error::Output`](crate::Error::Output) when the tape cannot be read; any error of `take`.
    fn compute(&self, tape: &SymbolTape, candidates: &Candidates, range: Range<u64>, take: &mut Take<'_>)
    -> Result<()>;

    /// Number of values of each candidate.
    fn tracks(&self) -> usize {
        1
    }

    /// The track of known parts: what the movement would be if the price stayed where it is at the row, which needs no
    /// forecast. `None` if that is 0 in every row, because movements start from the price at the row.
    fn known_track(&self) -> Option<usize> {
        None
    }
}

impl Movement {
    /// The kind that computes it.
    pub(crate) fn rule(&self) -> &dyn Rule {
        match self {
            Self::Means(means) => means,
        }
    }

    /// The rows of a stream that can have a label. Each row in `breaks`, which ascend, starts an unbroken stretch.
    ///
    /// # Errors
    /// [`Error::Output`](crate::Error::Output) when the tape cannot be read.
    pub fn candidates(&self, tape: &SymbolTape, breaks: &[u64]) -> Result<Candidates> {
        self.rule().candidates(tape, breaks)
    }

    /// Computes the tracks of a range of candidates, and passes them to `take` in order. The first track has the
    /// movements, NaN where undefined.
    ///
    /// # Errors
    /// [`Error::Output`](crate::Error::Output) when the tape cannot be read; any error of `take`.
    pub fn compute(
        &self,
        tape: &SymbolTape,
        candidates: &Candidates,
        range: Range<u64>,
        take: &mut Take<'_>,
    ) -> Result<()> {
        self.rule().compute(tape, candidates, range, take)
    }
}

/// The unbroken stretches of a stream of `rows` rows.
fn stretches(rows: u64, breaks: &[u64]) -> impl Iterator<Item = Range<u64>> {
    let starts = [0].into_iter().chain(breaks.iter().copied());
    let ends = breaks.iter().copied().chain([rows]);
    starts.zip(ends).map(|(start, end)| start..end)
}
