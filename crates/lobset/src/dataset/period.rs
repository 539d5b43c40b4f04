//! Periods of time that samples are taken from, and how far their labels look.

use std::fmt;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt64Type};

use super::reader::DatasetReader;
use crate::error::{InputError, Result};
use crate::label::{Ahead, Split};
use crate::output::names;
use crate::time_text::Timestamp;

/// A period of time. The labels of a period that ends at a moment never look at the same row as those of a period that
/// begins at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    /// The first moment: rows before it are not samples. The windows of later rows may begin before it.
    pub since: Option<Timestamp>,
    /// The moment before which labels must end, by the rule of the split `fit`: a sample's label never looks at a row
    /// with `ts_recv` at this moment or later, and a horizon that is a length of time ends before it.
    pub until: Option<Timestamp>,
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.since, self.until) {
            (Some(since), Some(until)) => {
                write!(f, "was received at {since} or later and has a label that ends before {until}")
            }
            (Some(since), None) => write!(f, "was received at {since} or later"),
            (None, Some(until)) => write!(f, "has a label that ends before {until}"),
            (None, None) => f.write_str("is in the period"),
        }
    }
}

/// Decides whether the rows of a dataset are in a period, for labels of certain targets.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// The first row at or after the beginning, as a position in the file.
    first: u64,
    /// Distance to the last row that a label looks at, and the last row before the end, which that row must not pass.
    /// `None` if no row is before the end.
    rows: Option<(u64, Option<u64>)>,
    /// Length of time that a label looks ahead, and the end.
    time: Option<(u64, u64)>,
    /// The running maximum of `ts_recv`.
    latest: u64,
}

impl Limits {
    /// Finds the limits of a period in a dataset.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read, or lacks the column `ts_recv`.
    pub fn new(reader: &DatasetReader, period: Period, split: Split) -> Result<Self> {
        let mut limits = Self::default();
        if let Some(since) = period.since {
            limits.first = first_at(reader, since.0)?;
        }
        let Some(until) = period.until else { return Ok(limits) };
        // Every label of the split `fit` ends before the boundary time. The rows there may not be in the file.
        if split == Split::Fit && until >= reader.fit_until()? {
            return Ok(limits);
        }
        let ahead = || reader.targets().iter().map(|target| target.movement.rule().ahead());
        let rows = ahead().filter_map(|ahead| if let Ahead::Rows(rows) = ahead { Some(rows) } else { None }).max();
        let time = ahead().filter_map(|ahead| if let Ahead::Time(time) = ahead { Some(time) } else { None }).max();
        if let Some(rows) = rows {
            let end = first_at(reader, until.0)?;
            let last = end.checked_sub(1).map(|place| row_at(reader, place)).transpose()?;
            limits.rows = Some((rows, last));
        }
        limits.time = time.map(|time| (time, until.0));
        Ok(limits)
    }

    /// Whether [`contains`](Self::contains) needs the times of rows.
    pub fn needs_times(&self) -> bool {
        self.time.is_some()
    }

    /// Whether the next row of the file is in the period: the row at `place` with the number `row`, received at `ts` (0
    /// if times are not needed).
    pub fn contains(&mut self, place: u64, row: u64, ts: u64) -> bool {
        self.latest = self.latest.max(ts);
        place >= self.first
            && self.rows.is_none_or(|(ahead, last)| last.is_some_and(|last| row.saturating_add(ahead) <= last))
            && self.time.is_none_or(|(ahead, until)| self.latest.saturating_add(ahead) < until)
    }
}

/// The times of the rows of a row group; 0 where there is none.
pub(super) fn times(reader: &DatasetReader, group: usize) -> Result<Vec<u64>> {
    let batch = reader.read(group, &[names::TS_RECV])?;
    let Some(column) = batch.column_by_name(names::TS_RECV) else {
        return Err(InputError::new(reader.path(), "has no column \"ts_recv\", by which a period is found")
            .with_help("write it again with columns = \"all\", or leave out since and until")
            .into());
    };
    let column = column.as_primitive_opt::<TimestampNanosecondType>();
    let column = column.ok_or_else(|| reader.foreign(names::TS_RECV))?;
    let time = |place| if column.is_null(place) { Ok(0) } else { u64::try_from(column.value(place)) };
    (0..column.len()).map(time).collect::<Result<_, _>>().map_err(|_| reader.foreign(names::TS_RECV))
}

/// The position of the first row at or after a moment, where the running maximum of `ts_recv` reaches it.
pub(crate) fn first_at(reader: &DatasetReader, moment: u64) -> Result<u64> {
    for (group, rows) in reader.groups().enumerate() {
        // Row groups whose statistics say that they end earlier need not be read.
        if reader.latest(group).is_some_and(|latest| latest < moment) {
            continue;
        }
        let place = times(reader, group)?.iter().position(|ts| *ts >= moment);
        if let Some(place) = place {
            return Ok(rows.start + place as u64);
        }
    }
    Ok(reader.rows())
}

/// The number of the row at a position.
fn row_at(reader: &DatasetReader, place: u64) -> Result<u64> {
    let (group, row) = reader.locate(place);
    let batch = reader.read(group, &[names::ROW])?;
    let rows = reader.column(&batch, names::ROW)?.as_primitive_opt::<UInt64Type>();
    let rows = rows.filter(|rows| rows.is_valid(row)).ok_or_else(|| reader.foreign(names::ROW))?;
    Ok(rows.value(row))
}
