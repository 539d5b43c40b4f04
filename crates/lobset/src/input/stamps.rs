//! Which times a record may have.

use dbn::UNDEF_TIMESTAMP;

use super::Record;

/// Checks that the stamps of a record fit the signed 64 bits of Arrow and Parquet, or are undefined.
///
/// # Errors
/// A text that names the stamp.
#[inline(always)]
pub(crate) fn check_stamps(record: &Record<'_>) -> Result<(), String> {
    let fits = |ts: u64| ts <= i64::MAX.cast_unsigned() || ts == UNDEF_TIMESTAMP;
    if fits(record.ts_recv) && fits(record.ts_event) && fits(record.ts_out) {
        return Ok(());
    }
    Err(late(record))
}

#[cold]
fn late(record: &Record<'_>) -> String {
    let stamps = [("ts_recv", record.ts_recv), ("ts_event", record.ts_event), ("ts_out", record.ts_out)];
    let late = stamps.iter().find(|(_, ts)| *ts > i64::MAX.cast_unsigned() && *ts != UNDEF_TIMESTAMP);
    let (name, ts) = late.copied().unwrap_or(stamps[0]);
    format!("{name} is {ts}, after the year 2262, the last that nanoseconds in 64 bits reach")
}
