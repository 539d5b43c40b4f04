//! The relative change of the mean mid price from the past window to the future window.

use std::ops::Range;

use super::windows::{Candidates, Windows};
use crate::error::Result;
use crate::tape::{MidCursor, SymbolTape};

/// `(A*L - B*F) / (B*F)` from the sums B over the L rows before and A over the F rows ahead, both of `mid2`.
///
/// Numerator and denominator are exact; each is rounded to f64 once. `None` where B <= 0: the movement is undefined.
/// With windows of at most [`MAX_WINDOW_ROWS`](crate::config::MAX_WINDOW_ROWS) nothing overflows.
#[inline]
pub fn movement(windows: Windows, behind: i128, ahead: i128) -> Option<f64> {
    if behind <= 0 {
        return None;
    }
    let denominator = behind * i128::from(windows.ahead);
    let numerator = ahead * i128::from(windows.lookback) - denominator;
    Some(nearest(numerator) / nearest(denominator))
}

/// Rounds to f64. Nearly all sums fit 64 bits, where this is one instruction and rounds the same way.
#[inline]
fn nearest(value: i128) -> f64 {
    match i64::try_from(value) {
        Ok(value) => value as f64,
        Err(_) => value as f64,
    }
}

/// Passes the movements of a range of candidates to `take` in order, a few thousand at a time, NaN where undefined.
///
/// The windows slide: each row costs four tape values for windows of any length; four chunks of tape are in memory.
///
/// # Errors
/// [`Error::Output`](crate::Error::Output) when the tape cannot be read; any error of `take`.
pub fn movements(
    tape: &SymbolTape,
    windows: Windows,
    candidates: &Candidates,
    range: Range<u64>,
    mut take: impl FnMut(&[f64]) -> Result<()>,
) -> Result<()> {
    let mut out = Vec::new();
    for rows in candidates.rows(range) {
        let mut behind_first = MidCursor::new(tape, rows.start - windows.lookback)?;
        let mut behind_next = MidCursor::new(tape, rows.start - windows.lookback)?;
        let mut ahead_first = MidCursor::new(tape, rows.start + 1 + windows.offset)?;
        let mut ahead_next = MidCursor::new(tape, rows.start + 1 + windows.offset)?;
        let mut behind = behind_next.sum(windows.lookback)?;
        let mut ahead = ahead_next.sum(windows.ahead)?;
        let mut left = usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX);
        while left > 0 {
            let leaving_behind = behind_first.values()?;
            let entering_behind = behind_next.values()?;
            let leaving_ahead = ahead_first.values()?;
            let entering_ahead = ahead_next.values()?;
            // The future window of the last row may end at the end of the tape, so no further row enters it.
            let lengths = [leaving_behind.len(), entering_behind.len(), leaving_ahead.len()];
            let n = lengths.into_iter().fold(left, usize::min).min(entering_ahead.len().max(usize::from(left == 1)));
            out.clear();
            for i in 0..n {
                out.push(movement(windows, behind, ahead).unwrap_or(f64::NAN));
                behind += i128::from(entering_behind[i]) - i128::from(leaving_behind[i]);
                ahead += i128::from(entering_ahead.get(i).copied().unwrap_or(0)) - i128::from(leaving_ahead[i]);
            }
            take(&out)?;
            left -= n;
            behind_first.skip(n);
            behind_next.skip(n);
            ahead_first.skip(n);
            if left > 0 {
                ahead_next.skip(n);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows = Windows { lookback: 2, offset: 0, ahead: 3 };

    #[test]
    fn a_movement_is_the_ratio_of_means_less_one() {
        // Means 10 and 11.
        assert_eq!(movement(WINDOWS, 20, 33), Some(0.1));
        assert_eq!(movement(WINDOWS, 20, 30), Some(0.0));
        assert_eq!(movement(WINDOWS, 0, 30), None);
        assert_eq!(movement(WINDOWS, -20, 30), None);
    }

    #[test]
    fn the_largest_windows_of_the_largest_prices_do_not_overflow() {
        let rows = crate::config::MAX_WINDOW_ROWS;
        let windows = Windows { lookback: rows, offset: 0, ahead: rows };
        let largest = i128::from(i64::MAX) * i128::from(rows);
        assert_eq!(movement(windows, 1, largest), Some(((largest - 1) * i128::from(rows)) as f64 / rows as f64));
        assert!(movement(windows, largest, -largest).unwrap() < -1.9);
    }
}
