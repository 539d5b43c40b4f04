//! A row of a raw stream, as read from the raw files.

use super::fields::Levels;
use crate::input::Record;

/// A row of a raw stream.
pub(super) struct RawRow<'a> {
    pub row: u64,
    /// The name of the input file that it comes from.
    pub input: &'a str,
    pub record: &'a Record<'a>,
    /// The levels of the row before, if it is in the same unbroken stretch.
    pub before: Option<&'a Levels>,
    pub mid2: i64,
    /// Whether the row starts a new unbroken stretch.
    pub breaks: bool,
    /// Whether it lies within the sessions; true without sessions.
    pub in_session: bool,
    /// The running maximum of `ts_recv`.
    pub max_ts: u64,
}
