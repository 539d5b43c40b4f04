//! The label of a row by the definition, and what computes it.

/// The part of a row of a stream that labels depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::validate) struct RowAt {
    pub row: u64,
    pub mid2: i64,
    /// Best ask minus best bid, in 1e-9.
    pub spread: i64,
    /// The running maximum of `ts_recv`.
    pub ts: u64,
}

/// The label of a row by the definition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::validate) struct Verdict {
    pub row: u64,
    /// `None` if the movement is undefined.
    pub movement: Option<f64>,
    /// The known part: the movement if the price stayed what it is at the row. 0 if movements start from that price or
    /// are undefined.
    pub known: f64,
    /// The last row that the label may look at.
    pub end: u64,
    /// When the label ends: the running maximum of `ts_recv` at that row or, if lengths are in time, the last moment
    /// that it looks at.
    pub end_ts: u64,
    /// The row of the first touch of a barrier.
    pub touch: Option<u64>,
}

/// How far the label of a row looks in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::validate) enum Span {
    Rows(u64),
    /// Nanoseconds.
    Time(u64),
}

/// Computes the labels of a stream whose rows come one by one.
pub(in crate::validate) trait Evaluate: Send {
    /// Starts a new unbroken stretch with this row, and passes on the labels that are complete now that the last one
    /// has ended.
    fn restart(&mut self, row: u64, tell: &mut dyn FnMut(Verdict));

    /// Takes the next row, and passes to `tell` the label of each row whose windows are now complete, in the order of
    /// rows.
    fn push(&mut self, row: RowAt, tell: &mut dyn FnMut(Verdict));

    /// Numerator and denominator of the explained row's movement, as exact integers; `None` if its label was not passed
    /// on.
    fn fraction(&self) -> Option<[String; 2]>;

    /// Why the explained row's movement is undefined, if it is; `None` if its label was not passed on.
    fn undefined(&self) -> Option<String>;
}
