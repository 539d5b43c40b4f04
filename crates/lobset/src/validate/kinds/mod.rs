//! The kinds of movements by the plain definition, one in each file. Nothing here calls the code that writes labels.

mod barrier;
mod means;
mod time;

use std::ops::Range;

pub(super) use means::{Lengths, Slide};

use crate::config::{Horizon, Movement};

/// A row of a stream, as far as labels depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowAt {
    pub row: u64,
    pub mid2: i64,
    /// Best ask minus best bid, in 1e-9.
    pub spread: i64,
    /// The running maximum of `ts_recv`.
    pub ts: u64,
}

/// The label of a row by the definition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    pub row: u64,
    /// `None` if the movement is undefined.
    pub movement: Option<f64>,
    /// The last row that the label may look at.
    pub end: u64,
    /// When the label ends: the running maximum of `ts_recv` at that row or, if lengths are in time, the moment up to which
    /// it looks.
    pub end_ts: u64,
    /// The row of the first touch of a barrier.
    pub touch: Option<u64>,
}

/// Computes the labels of a stream whose rows come one by one.
pub(super) trait Evaluate: Send {
    /// Starts a new unbroken stretch with this row, and passes on the labels that the end of the last one completes.
    fn restart(&mut self, row: u64, tell: &mut dyn FnMut(Verdict));

    /// Takes the next row, and passes to `tell` the label of each row whose windows are whole now; rows ascend.
    fn push(&mut self, row: RowAt, tell: &mut dyn FnMut(Verdict));
}

/// The evaluator of a kind.
pub(super) fn evaluator(movement: &Movement) -> Box<dyn Evaluate> {
    match movement {
        Movement::Means(means) => Box::new(Slide::new(Lengths::new(means))),
        Movement::Time(time) => Box::new(time::Windows::new(time)),
        Movement::Barrier(barrier) => Box::new(barrier::Touches::new(barrier)),
    }
}

/// About how many rows an evaluator keeps in memory.
pub(super) fn rows_kept(movement: &Movement) -> u64 {
    match movement {
        Movement::Means(means) => Lengths::new(means).span(),
        // Unknown: as many rows as come within its time.
        Movement::Time(_) => 1 << 20,
        Movement::Barrier(barrier) => match barrier.horizon {
            Horizon::Rows(rows) => barrier.lookback_rows + rows,
            Horizon::Time(_) => 1 << 20,
        },
    }
}

/// How many rows before and after a row its label needs, if that is a number of rows.
pub(super) fn rows_needed(movement: &Movement) -> Option<[u64; 2]> {
    match movement {
        Movement::Means(means) => {
            let lengths = Lengths::new(means);
            Some([lengths.before(), lengths.reach()])
        }
        Movement::Time(_) => None,
        Movement::Barrier(barrier) => match barrier.horizon {
            Horizon::Rows(rows) => Some([barrier.sigma_rows().saturating_sub(1), rows]),
            Horizon::Time(_) => None,
        },
    }
}

/// The windows of movements that follow from consecutive mid prices alone.
pub(super) fn mid_windows(movement: &Movement) -> Option<Lengths> {
    match movement {
        Movement::Means(means) => Some(Lengths::new(means)),
        Movement::Time(_) | Movement::Barrier(_) => None,
    }
}

/// The rows that have as many rows before and after them in their unbroken stretch, as one range for each stretch with
/// such rows. The stream has `rows` rows, and each row in `breaks` (ascending) starts a stretch.
pub(super) fn with_whole_windows(
    [before, after]: [u64; 2],
    rows: u64,
    breaks: &[u64],
) -> impl Iterator<Item = Range<u64>> {
    let starts = [0].into_iter().chain(breaks.iter().copied());
    let ends = breaks.iter().copied().chain([rows]);
    let whole = move |(start, end): (u64, u64)| start + before..end.saturating_sub(after);
    starts.zip(ends).map(whole).filter(|range| !range.is_empty())
}
