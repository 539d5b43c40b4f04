//! Checks whether a file repeats a period that the files before it already cover for a stream. A stream may step back
//! at the cut between two files, as anywhere else. If the same rows, or other rows of the same period, appear twice,
//! the file is refused.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::Result;
use crate::input::{EDGE, LARGEST_STEP_BACK};
use crate::tape::{Row, RowCursor, SymbolTape};

/// Minimum number of rows of a file that are looked up in earlier files; more are looked up until its clock passes
/// theirs.
const LEAST_COMPARED: u64 = 64;

/// Maximum number of earlier rows that a file is compared with.
const MOST_COMPARED: u64 = 1 << 20;

/// True if `next` begins more than [`LARGEST_STEP_BACK`] before `before` ends, or repeats rows of it. `reached` is the
/// running maximum of `ts_recv` at the end of `before`, `least_ts` the least stamp in `next`.
///
/// # Errors
/// [`Error::Output`](crate::Error::Output) when a work file cannot be read.
pub fn overlaps(before: &SymbolTape, reached: u64, next: &SymbolTape, least_ts: u64) -> Result<bool> {
    let end = middle_stamp(before, before.rows().saturating_sub(EDGE as u64))?;
    let start = middle_stamp(next, 0)?;
    if end.saturating_sub(start) > LARGEST_STEP_BACK {
        return Ok(true);
    }
    let from = before.first_row_at(least_ts)?.max(before.rows().saturating_sub(MOST_COMPARED));
    let mut known = HashSet::new();
    each_pair(before, from, |_, pair| {
        known.insert(pair);
        true
    })?;
    let (mut count, mut clock, mut repeated) = (0, 0, false);
    each_pair(next, 0, |row, pair| {
        repeated = known.contains(&pair);
        count += 1;
        clock = row.event.ts_recv.max(clock);
        !repeated && (count < LEAST_COMPARED || clock <= reached)
    })?;
    Ok(repeated)
}

/// The median of the stamps of the [`EDGE`] rows that start at `first`, or of fewer if the stream ends.
fn middle_stamp(tape: &SymbolTape, first: u64) -> Result<u64> {
    let mut cursor = RowCursor::new(tape, first)?;
    let mut stamps = Vec::new();
    while stamps.len() < EDGE && cursor.advance()?.is_some() {
        stamps.push(cursor.row().event.ts_recv);
    }
    stamps.sort_unstable();
    Ok(stamps.get(stamps.len() / 2).copied().unwrap_or(0))
}

/// Calls `go_on` with a hash of each row and its predecessor, for the rows from `first` that differ from their
/// predecessor, until it returns false. Feeds contain single rows that equal the one before, so only a pair of
/// different rows shows a repetition.
fn each_pair(tape: &SymbolTape, first: u64, mut go_on: impl FnMut(&Row, u64) -> bool) -> Result<()> {
    let mut cursor = RowCursor::new(tape, first)?;
    let mut last: Option<Row> = None;
    while cursor.advance()?.is_some() {
        let row = cursor.row();
        if let Some(last) = last.as_ref().filter(|last| *last != row) {
            let mut hasher = DefaultHasher::new();
            (last, row).hash(&mut hasher);
            if !go_on(row, hasher.finish()) {
                break;
            }
        }
        last = Some(row.clone());
    }
    Ok(())
}
