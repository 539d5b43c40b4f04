//! The mean relative spread of the rows that a target is fitted on.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::label::Candidates;
use crate::tape::{RowCursor, SymbolTape};

/// Exact sums over rows, both in 1e-9 of a price unit.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpreadSums {
    /// Sum of best ask minus best bid.
    spread: i128,
    /// Sum of best ask plus best bid.
    mid2: i128,
}

/// The sums as text: JSON numbers of 128 bits are not portable.
#[derive(Serialize, Deserialize)]
pub struct SumsText(String, String);

impl From<SpreadSums> for SumsText {
    fn from(sums: SpreadSums) -> Self {
        Self(sums.spread.to_string(), sums.mid2.to_string())
    }
}

impl TryFrom<SumsText> for SpreadSums {
    type Error = Error;

    fn try_from(SumsText(spread, mid2): SumsText) -> Result<Self> {
        let number = |text: &str| text.parse().map_err(|_| Error::Executor(format!("{text:?} is no sum of spreads")));
        Ok(Self { spread: number(&spread)?, mid2: number(&mid2)? })
    }
}

impl SpreadSums {
    /// The sums over the candidates of a range that have a movement; `movements` are the movements of the range, NaN
    /// where undefined.
    ///
    /// # Errors
    /// [`Error::Output`] when the tape cannot be read.
    pub fn of(tape: &SymbolTape, candidates: &Candidates, range: Range<u64>, movements: &[f64]) -> Result<Self> {
        let mut sums = Self::default();
        let mut movements = movements.iter();
        for rows in candidates.rows(range) {
            let mut cursor = RowCursor::new(tape, rows.start)?;
            for _ in rows {
                cursor.advance()?;
                if movements.next().is_some_and(|movement| !movement.is_nan()) {
                    let book = &cursor.row().book;
                    let [bid, ask] = [book[0], book[1]].map(|price| i128::from(price.cast_signed()));
                    sums.spread += ask - bid;
                    sums.mid2 += ask + bid;
                }
            }
        }
        Ok(sums)
    }

    /// Adds the sums over other rows.
    pub fn add(&mut self, other: Self) {
        self.spread += other.spread;
        self.mid2 += other.mid2;
    }

    /// The sum of spreads over the sum of mid prices.
    pub fn mean_spread(self) -> f64 {
        (2 * self.spread) as f64 / self.mid2 as f64
    }
}
