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
    /// The rows that can have a label: those whose windows lie entirely within an unbroken stretch of the stream. Each
    /// row in `breaks`, which ascend, starts a stretch.
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

    /// Roughly how many rows a label looks at. Tasks are several times as long, so that the setup for their first label
    /// costs little.
    fn span(&self) -> u64;

    /// Computes the tracks of a range of candidates, and passes them to `take` in order, some candidates at a
    /// time. The first track has the movements, NaN where undefined. `breaks` are the breaks of the stream, or of the
    /// part of it that the labels depend on.
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

    /// Whether the second track is the row of the first touch, which determines the class.
    fn touches(&self) -> bool {
        false
    }

    /// The index of the track with the last row that each label may look at. `None` if that row is at a fixed distance.
    fn end_track(&self) -> Option<usize> {
        None
    }

    /// The last row that the label of `row` may look at; `tracks` contains the values of `row` in the first and the
    /// last track.
    fn end(&self, row: u64, tracks: [f64; 2]) -> u64;

    /// The index of the track of known parts: the movement if the price stayed the same from the row on, which needs no
    /// forecast. `None` if that is 0 in every row, because movements start from the price at the row.
    fn known_track(&self) -> Option<usize> {
        None
    }
}

impl Movement {
    /// The rule that computes it.
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
