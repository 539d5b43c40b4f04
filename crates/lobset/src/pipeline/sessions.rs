//! The rows of a stream that are within the sessions.

use std::ops::Range;

use crate::error::Result;
use crate::label::{Segment, Sessions};
use crate::tape::SymbolTape;

/// The sessions of a stream's rows, by the running maximum of `ts_recv`.
pub struct SessionRows {
    /// Ranges of rows within the sessions, ascending and separate.
    pub inside: Vec<Range<u64>>,
    /// The rows that are the first at or after an edge, except for the first row of the stream.
    pub edges: Vec<u64>,
}

impl SessionRows {
    /// # Errors
    /// [`Error::Output`](crate::Error::Output) when the work file cannot be read.
    pub fn new(tape: &SymbolTape, sessions: &Sessions) -> Result<Self> {
        let mut found = Self { inside: Vec::new(), edges: Vec::new() };
        let mut begin = tape.first_at(0)?;
        // Skips from one edge that has rows before and after it to the next one.
        while let Some((row, ts)) = begin {
            if row > 0 {
                found.edges.push(row);
            }
            let Segment { inside, until } = sessions.segment(ts);
            begin = if ts < until { tape.first_at(until)? } else { None };
            let end = begin.map_or(tape.rows(), |(row, _)| row);
            match found.inside.last_mut() {
                _ if !inside => {}
                Some(last) if last.end == row => last.end = end,
                _ => found.inside.push(row..end),
            }
        }
        Ok(found)
    }
}
