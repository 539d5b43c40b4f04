//! Whether a stream keeps to the order of time. Single steps back are counted; a stream that runs backwards is refused.

use crate::error::InputError;
use crate::input::{DbnReader, LARGEST_STEP_BACK};
use crate::time_text::Timestamp;

/// Rows of a stream that may be late, whatever their share.
const HANDFUL: u64 = 9;

/// A stream is refused when more than one in so many of its rows are late.
const MOST_LATE: u64 = 10;

/// How many rows of a stream in one file are late. A row is late when it lies more than [`LARGEST_STEP_BACK`] before a time
/// that two rows in a row have reached: one wrong stamp makes no other row late.
#[derive(Debug)]
pub struct Order {
    before: u64,
    clock: u64,
    rows: u64,
    late: u64,
    first_late: Option<Late>,
}

#[derive(Debug, Clone, Copy)]
struct Late {
    record: u64,
    ts: u64,
    clock: u64,
}

impl Order {
    /// Begins before the first row.
    pub fn new() -> Self {
        Self { before: 0, clock: 0, rows: 0, late: 0, first_late: None }
    }

    /// Takes the stamp of the next row, whose record has this number.
    #[inline(always)]
    pub fn push(&mut self, ts: u64, record: u64) {
        self.clock = self.clock.max(ts.min(self.before));
        self.before = ts;
        self.rows += 1;
        if ts < self.clock.saturating_sub(LARGEST_STEP_BACK) {
            self.note(Late { record, ts, clock: self.clock });
        }
    }

    #[cold]
    fn note(&mut self, late: Late) {
        self.late += 1;
        self.first_late.get_or_insert(late);
    }

    /// Refuses a stream of which more than a handful and more than a tenth of the rows are late.
    ///
    /// # Errors
    /// [`InputError`] at the first late row.
    pub fn check(&self, reader: &DbnReader, symbol: &str) -> Result<(), InputError> {
        let Some(first) = self.first_late else { return Ok(()) };
        if self.late <= HANDFUL.max(self.rows / MOST_LATE) {
            return Ok(());
        }
        let message = format!(
            "the stream of {symbol:?} runs backwards: here from {} to {}, and {} of its {} rows lie as late",
            Timestamp(first.clock),
            Timestamp(first.ts),
            self.late,
            self.rows
        );
        Err(reader.error_at(first.record, message).with_help("sort the file by ts_recv, or download it again"))
    }
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
        // Packets that change places.
        assert_eq!(late((0..1_000).map(|i| (i ^ 1) * 1_000_000)), 0);
    }
}
