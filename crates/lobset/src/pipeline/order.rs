//! Checks that a stream is in order of time. Occasional steps back are counted; a stream that runs backwards is
//! refused.

use crate::error::InputError;
use crate::input::{DbnReader, LARGEST_STEP_BACK};
use crate::printable::grouped;
use crate::time_text::Timestamp;

/// Number of rows of a stream that may be late or behind, whatever share of its rows that is.
const HANDFUL: u64 = 9;

/// A stream is refused when more than one in this number of its rows is late or behind.
const MOST_LATE: u64 = 10;

/// Counts the rows of a stream in one file that are late or behind. A row is late when its stamp is more than
/// [`LARGEST_STEP_BACK`] before a time that two consecutive rows have reached: one wrong stamp makes no other row late.
/// A row is behind when its stamp is more than that before the stamp of any earlier row: one wrong stamp puts all later
/// rows behind.
#[derive(Debug)]
pub struct Order {
    before: u64,
    clock: u64,
    /// The largest stamp, and its record.
    reached: u64,
    reached_at: u64,
    rows: u64,
    late: u64,
    first_late: Option<Late>,
    behind: u64,
    /// For the first row that is behind: the record with the largest stamp before it, and that stamp.
    first_ahead: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Late {
    record: u64,
    ts: u64,
    clock: u64,
}

impl Order {
    /// Starts before the first row.
    pub fn new() -> Self {
        Self {
            before: 0,
            clock: 0,
            reached: 0,
            reached_at: 0,
            rows: 0,
            late: 0,
            first_late: None,
            behind: 0,
            first_ahead: None,
        }
    }

    /// Adds the stamp of the next row, from the record with this number.
    #[inline(always)]
    pub fn push(&mut self, ts: u64, record: u64) {
        self.clock = self.clock.max(ts.min(self.before));
        self.before = ts;
        self.rows += 1;
        if ts > self.reached {
            (self.reached, self.reached_at) = (ts, record);
        } else if ts < self.reached.saturating_sub(LARGEST_STEP_BACK) {
            self.note(ts, record);
        }
    }

    #[cold]
    fn note(&mut self, ts: u64, record: u64) {
        self.behind += 1;
        self.first_ahead.get_or_insert((self.reached_at, self.reached));
        if ts < self.clock.saturating_sub(LARGEST_STEP_BACK) {
            self.late += 1;
            self.first_late.get_or_insert(Late { record, ts, clock: self.clock });
        }
    }

    /// Refuses a stream in which too many rows are late or behind.
    ///
    /// # Errors
    /// [`InputError`] at the first late row, or at the row with the wrong stamp.
    pub fn check(&self, reader: &DbnReader, symbol: &str) -> Result<(), InputError> {
        let late = self.first_late.filter(|_| too_many(self.late, self.rows));
        let Some(first) = late else { return self.check_behind(reader, symbol) };
        let message = format!(
            "the stream of {symbol:?} runs backwards: here from {} to {}, and {} of its {} rows are out of order like this",
            Timestamp(first.clock),
            Timestamp(first.ts),
            grouped(self.late),
            grouped(self.rows)
        );
        Err(reader.error_at(first.record, message).with_help("sort the file by ts_recv, or download it again"))
    }
}

impl Order {
    fn check_behind(&self, reader: &DbnReader, symbol: &str) -> Result<(), InputError> {
        let ahead = self.first_ahead.filter(|_| too_many(self.behind, self.rows));
        let Some((record, ts)) = ahead else { return Ok(()) };
        let message = format!(
            "ts_recv is {}, but {} of the {} rows of {symbol:?} follow with earlier timestamps",
            Timestamp(ts),
            grouped(self.behind),
            grouped(self.rows)
        );
        Err(reader.error_at(record, message).with_help("download the file again, or leave it out"))
    }
}

/// True if more than a handful of a stream's rows, and more than a tenth of them, contradict the order of time.
pub fn too_many(wrong: u64, rows: u64) -> bool {
    wrong > HANDFUL.max(rows / MOST_LATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn late(stamps: impl IntoIterator<Item = u64>) -> u64 {
        let mut order = Order::new();
        stamps.into_iter().zip(0..).for_each(|(ts, record)| order.push(ts, record));
        order.late
    }

    #[test]
    fn a_wrong_stamp_makes_no_other_row_late() {
        let good: Vec<u64> = (100..1_100).map(|i| i * SECOND).collect();
        assert_eq!(late(good.iter().copied()), 0);
        for wrong in [0, 5_000 * SECOND] {
            for place in [0, 1, 500, 999] {
                let mut stamps = good.clone();
                stamps[place] = wrong;
                assert!(late(stamps) <= 1, "{wrong} at {place}");
            }
        }
    }

    #[test]
    fn rows_that_run_backwards_are_late() {
        assert_eq!(late((0..1_000).rev().map(|i| i * SECOND)), 998);
        // The second half first.
        assert_eq!(late((500..1_000).chain(0..500).map(|i| i * SECOND)), 500);
        // Packets that swap places.
        assert_eq!(late((0..1_000).map(|i| (i ^ 1) * 1_000_000)), 0);
    }
}
