//! The market to simulate: its options and their ranges, and the errors of a simulation.

use std::io;
use std::path::PathBuf;

use time::Date;
use time::macros::date;

/// Errors of a simulation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be written.
    #[error("{}: {cause}", path.display())]
    Output {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// An option that is out of range.
    #[error("{0}")]
    Options(String),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// The last year in which a market may start: nanoseconds since 1970 fit in 64 bits up to 2262, and a market lasts at
/// most ten years.
const LAST_YEAR: i32 = 2250;

/// A market to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct Market {
    /// Number of weekdays, one file each; 1 to 2,600.
    pub days: u32,
    /// Records per file, of all instruments together.
    pub rows: u32,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Chooses price, tick and the root of the symbols; any tag is allowed.
    pub currency: String,
    /// Number of options besides the futures; they share nine tenths of the rows evenly.
    pub options: u32,
    /// The first day, in the years 1970 to 2250.
    pub start: Date,
    /// Besides trades, one in this many records of a file does not end an event; 0: only trades.
    pub mid_event_every: u32,
    /// One in this many records of a file has the flag `F_MAYBE_BAD_BOOK`; 0: none.
    pub bad_book_every: u32,
    /// How much a hidden demand matters, 0 to 1. It comes and goes over some thousand records, makes one side's queues
    /// grow, and moves the fair value in that direction by a fifth of this many standard deviations of its noise per
    /// record. This is what a model can learn from the queues about the next prices, beyond the trends that the market
    /// has anyway.
    pub signal: f64,
}

impl Default for Market {
    fn default() -> Self {
        Self {
            days: 6,
            rows: 290_000,
            seed: 1,
            currency: "AUDUSD".to_owned(),
            options: 0,
            start: date!(2024 - 04 - 01),
            mid_event_every: 0,
            bad_book_every: 0,
            signal: 0.0,
        }
    }
}

impl Market {
    /// Checks the options.
    ///
    /// # Errors
    /// [`Error::Options`] with the first that is out of range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error::Options(text.to_owned()));
        if !(1..=2_600).contains(&self.days) {
            return refuse("days: must be between 1 and 2600");
        }
        if !(1970..=LAST_YEAR).contains(&self.start.year()) {
            return refuse("start: must be a day from 1970 to 2250");
        }
        if self.rows == 0 {
            return refuse("rows: must be at least 1");
        }
        if !(0.0..=1.0).contains(&self.signal) {
            return refuse("signal: must be between 0 and 1");
        }
        if self.options > 1_000_000 {
            return refuse("options: must be at most 1000000");
        }
        if self.currency.is_empty()
            || self.currency.len() > 16
            || !self.currency.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            return refuse("currency: must be 1 to 16 letters and digits");
        }
        Ok(())
    }
}
