//! The kinds of movements by the plain definition, one in each file. Nothing here calls the code that writes labels.

mod means;

pub(super) use means::{Lengths, Slide, with_whole_windows};

use crate::config::Movement;

/// A row of a stream, as far as labels depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowAt {
    pub row: u64,
    pub mid2: i64,
    /// The running maximum of `ts_recv`.
    pub ts: u64,
}

/// The label of a row by the definition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    pub row: u64,
    /// `None` if the movement is undefined.
    pub movement: Option<f64>,
    /// The known part: the movement if the price stayed where it is at the row; 0 if movements start from that price, or
    /// are undefined.
    pub known: f64,
    /// The time at the end of the label: the running maximum of `ts_recv` at the last row that it may look at.
    pub end_ts: u64,
}

/// Computes the labels of a stream whose rows come one by one.
pub(super) trait Evaluate: Send {
    /// Starts a new unbroken stretch with this row.
    fn restart(&mut self, row: u64);

    /// Takes the next row, and passes to `tell` the label of each row whose windows are whole now; rows ascend.
    fn push(&mut self, row: RowAt, tell: &mut dyn FnMut(Verdict));
}

/// The evaluator of a kind.
pub(super) fn evaluator(movement: &Movement) -> Box<dyn Evaluate> {
    match movement {
        Movement::Means(means) => Box::new(Slide::new(Lengths::new(means))),
    }
}

/// About how many rows an evaluator keeps in memory.
pub(super) fn rows_kept(movement: &Movement) -> u64 {
    match movement {
        Movement::Means(means) => Lengths::new(means).span(),
    }
}
