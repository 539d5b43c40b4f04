//! Checks the stamps of records.

use dbn::{Metadata, UNDEF_TIMESTAMP};

use super::{LARGEST_STEP_BACK, Record};
use crate::time_text::Timestamp;

/// Checks that the stamps of a record fit the signed 64 bits of Arrow and Parquet, or are undefined.
///
/// # Errors
/// A message that names the stamp.
#[inline(always)]
pub(crate) fn check_stamps(record: &Record<'_>) -> Result<(), String> {
    let fits = |ts: u64| ts <= i64::MAX.cast_unsigned() || ts == UNDEF_TIMESTAMP;
    if fits(record.event.ts_recv) && fits(record.event.ts_event) && fits(record.event.ts_out) {
        return Ok(());
    }
    Err(late(record))
}

/// The times that records may have according to the metadata of their file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Start and end of the query, if both are known. Databento filters by `ts_recv`. The end is exclusive, except in
    /// files that were split, where it is the time of the last record. A live capture has no end, and its start is not
    /// a lower bound, because replayed records precede it.
    query: Option<(u64, u64)>,
    first: u64,
    span: u64,
}

impl Times {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let query = metadata.end.map(|end| (metadata.start, end.get()));
        let (first, last) = query.map_or((0, i64::MAX.cast_unsigned()), |(start, end)| {
            (start.saturating_sub(LARGEST_STEP_BACK), end.saturating_add(LARGEST_STEP_BACK))
        });
        Self { query, first, span: last.saturating_sub(first) }
    }

    /// Checks that the stamps of a record fit signed 64 bits, and that `ts_recv` is defined and within the query of the
    /// file, give or take [`LARGEST_STEP_BACK`].
    ///
    /// # Errors
    /// A message that names the stamp.
    #[inline(always)]
    pub(crate) fn check(&self, record: &Record<'_>) -> Result<(), String> {
        check_stamps(record)?;
        if record.event.ts_recv.wrapping_sub(self.first) <= self.span && record.event.ts_recv != UNDEF_TIMESTAMP {
            return Ok(());
        }
        Err(self.outside(record.event.ts_recv))
    }

    #[cold]
    fn outside(&self, ts_recv: u64) -> String {
        match self.query {
            Some((start, end)) if ts_recv != UNDEF_TIMESTAMP => format!(
                "ts_recv is {}, but the file's metadata says that its records are from {} to {}",
                Timestamp(ts_recv),
                Timestamp(start),
                Timestamp(end)
            ),
            _ => "ts_recv is undefined, so the record has no place in time".to_owned(),
        }
    }
}

#[cold]
fn late(record: &Record<'_>) -> String {
    let stamps =
        [("ts_recv", record.event.ts_recv), ("ts_event", record.event.ts_event), ("ts_out", record.event.ts_out)];
    let late = stamps.iter().find(|(_, ts)| *ts > i64::MAX.cast_unsigned() && *ts != UNDEF_TIMESTAMP);
    let (name, ts) = late.copied().unwrap_or(stamps[0]);
    format!("{name} is {ts}, after the year 2262, the last that signed 64-bit nanoseconds can represent")
}
