//! The kinds of movements, one in each file.

mod barrier;
mod means;
mod time;
mod wide;

use std::ops::Range;

use super::candidates::Candidates;
use crate::config::Movement;
use crate::error::Result;
use crate::tape::SymbolTape;

/// Takes the values of the next candidates: one list for each track of `Rule::tracks`, all of the same length.
pub type Take<'a> = dyn FnMut(&[Vec<f64>]) -> Result<()> + 'a;

/// How far ahead of its row a label may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// A number of rows.
    Rows(u64),
    /// A length of time in nanoseconds, on the running maximum of `ts_recv`.
    Time(u64),
}

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

    /// How far ahead of its row a label may look.
    fn ahead(&self) -> Ahead;

    /// The rows that the labels of a range of rows depend on. Every row of the range is a candidate, or lies between two.
    ///
    /// # Errors
    /// [`Error::Output`](crate::Error::Output) when the tape cannot be read.
    fn seen(&self, tape: &SymbolTape, rows: Range<u64>) -> Result<Range<u64>>;

    /// About how many rows a label looks at: tasks are several times as long, so that their first label costs little.
    fn span(&self) -> u64;

    /// Computes the tracks of a range of candidates, and passes them to `take` in order, a few thousand candidates at a
    /// time. The first track has the movements, NaN where undefined. `breaks` are those of the stream, or of the part that
    /// the labels depend on.
    ///
    /// # Errors
    /// [`Error::Output`](crate::Error::Output) when the tape cannot be read; any error of `take`.
    fn compute(
        &self,
        tape: &SymbolTape,
        breaks: &[u64],
        candidates: &Candidates,
        range: Range<u64>,
        take: &mut Take<'_>,
    ) -> Result<()>;

    /// Number of values of each candidate.
    fn tracks(&self) -> usize {
        1
    }

    /// Whether the second track has the row of the first touch, which determines the class.
    fn touches(&self) -> bool {
        false
    }

    /// The track of the last rows that labels may look at. `None` if these are at a fixed distance.
    fn end_track(&self) -> Option<usize> {
        None
    }

    /// The last row that the label of `row` may look at; `tracks` has the values of the first and the last track of `row`.
    fn end(&self, row: u64, tracks: [f64; 2]) -> u64;

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
            Self::Time(time) => time,
            Self::Barrier(barrier) => barrier,
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
        breaks: &[u64],
        candidates: &Candidates,
        range: Range<u64>,
        take: &mut Take<'_>,
    ) -> Result<()> {
        self.rule().compute(tape, breaks, candidates, range, take)
    }
}

/// The end of the unbroken stretch that a row belongs to, in a stream of `rows` rows.
fn stretch_end(row: u64, breaks: &[u64], rows: u64) -> u64 {
    breaks.get(breaks.partition_point(|start| *start <= row)).copied().unwrap_or(rows)
}

/// The unbroken stretches of a stream of `rows` rows.
fn stretches(rows: u64, breaks: &[u64]) -> impl Iterator<Item = Range<u64>> {
    let starts = [0].into_iter().chain(breaks.iter().copied());
    let ends = breaks.iter().copied().chain([rows]);
    starts.zip(ends).map(|(start, end)| start..end)
}
