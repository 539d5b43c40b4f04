//! The kind `means`: the relative change of the mean mid price from the past window to the future window, both in rows.

use std::ops::Range;

use pulp::Arch;

use super::wide::nearest;
use super::{Ahead, Rule, Take, stretches};
use crate::config::Means;
use crate::error::Result;
use crate::label::candidates::Candidates;
use crate::tape::{Chunks, SymbolTape};

impl Means {
    /// O + F: distance in rows from the row to the last row of its future window.
    pub(crate) fn reach(&self) -> u64 {
        self.lookforward_offset + self.lookforward_input
    }

    /// Distance in rows from the first row of the past window to the row.
    pub(crate) fn behind(&self) -> u64 {
        self.lookback_rows - u64::from(self.include_row)
    }

    /// `(A*L - B*F) / (B*F)` from the sums B over the L rows behind and A over the F rows ahead, both of `mid2`.
    ///
    /// Numerator and denominator are exact; each is rounded to f64 once. `None` where B <= 0: the movement is undefined.
    /// With windows of at most [`MAX_WINDOW_ROWS`](crate::config::MAX_WINDOW_ROWS) nothing overflows.
    #[inline(always)]
    pub fn movement(self, behind: i128, ahead: i128) -> Option<f64> {
        if behind <= 0 {
            return None;
        }
        // The products of short windows fit in 64 bits, where arithmetic takes a fraction of the time.
        if let Some([numerator, denominator]) = self.narrow_fraction(behind, ahead) {
            return Some(numerator as f64 / denominator as f64);
        }
        let denominator = behind * i128::from(self.lookforward_input);
        let numerator = ahead * i128::from(self.lookback_rows) - denominator;
        Some(nearest(numerator) / nearest(denominator))
    }

    /// The numerator and the denominator of the movement, if they and all products fit in 64 bits.
    #[inline(always)]
    fn narrow_fraction(self, behind: i128, ahead: i128) -> Option<[i64; 2]> {
        let (behind, ahead) = (i64::try_from(behind).ok()?, i64::try_from(ahead).ok()?);
        let denominator = behind.checked_mul(self.lookforward_input.cast_signed())?;
        let numerator = ahead.checked_mul(self.lookback_rows.cast_signed())?.checked_sub(denominator)?;
        Some([numerator, denominator])
    }

    /// `(mid2*L - B) / B`: the movement if the mean ahead were the price at the row, whose `mid2` is given.
    #[inline(always)]
    pub fn known(self, behind: i128, mid2: i64) -> Option<f64> {
        Self { lookforward_input: 1, ..self }.movement(behind, i128::from(mid2))
    }

    /// Whether movements start from the price at the row.
    fn is_anchored(&self) -> bool {
        self.include_row && self.lookback_rows == 1
    }
}

impl Rule for Means {
    fn candidates(&self, tape: &SymbolTape, breaks: &[u64]) -> Result<Candidates> {
        let whole = |stretch: Range<u64>| stretch.start + self.behind()..stretch.end.saturating_sub(self.reach());
        Ok(Candidates::new(stretches(tape.rows(), breaks).map(whole)))
    }

    fn fit_end(&self, _: &SymbolTape, _: u64, boundary_row: u64) -> Result<u64> {
        Ok(boundary_row.saturating_sub(self.reach()))
    }

    fn ahead(&self) -> Ahead {
        Ahead::Rows(self.reach())
    }

    fn seen(&self, _: &SymbolTape, rows: Range<u64>) -> Result<Range<u64>> {
        Ok(rows.start - self.behind()..rows.end + self.reach())
    }

    fn end(&self, row: u64, _: [f64; 2]) -> u64 {
        row + self.reach()
    }

    fn span(&self) -> u64 {
        self.lookback_rows + self.reach()
    }

    fn tracks(&self) -> usize {
        if self.is_anchored() { 1 } else { 2 }
    }

    fn known_track(&self) -> Option<usize> {
        (!self.is_anchored()).then_some(1)
    }

    /// The windows slide: each row reads four tape values, however long the windows are. At most eight chunks of tape are
    /// in memory.
    fn compute(
        &self,
        tape: &SymbolTape,
        _: &[u64],
        candidates: &Candidates,
        range: Range<u64>,
        take: &mut Take<'_>,
    ) -> Result<()> {
        let mut out = vec![Vec::new(); self.tracks()];
        let mids = Chunks::<i64>::new(tape);
        for rows in candidates.rows(range) {
            let (first_behind, first_ahead) = (rows.start - self.behind(), rows.start + 1 + self.lookforward_offset);
            let mut behind_first = mids.cursor(first_behind)?;
            // The row itself; with `include_row`, the past window contains it too.
            let mut at_row = mids.cursor(first_behind)?;
            let mut ahead_first = mids.cursor(first_ahead)?;
            let mut ahead_next = mids.cursor(first_ahead)?;
            let mut before = at_row.sum(self.behind())?;
            let mut ahead = ahead_next.sum(self.lookforward_input)?;
            let mut left = usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX);
            while left > 0 {
                let leaving_behind = behind_first.values()?;
                let here = at_row.values()?;
                let leaving_ahead = ahead_first.values()?;
                let entering_ahead = ahead_next.values()?;
                // The future window of the last row may end at the end of the tape, so no further row enters it.
                let lengths = [leaving_behind.len(), here.len(), leaving_ahead.len()];
                let n =
                    lengths.into_iter().fold(left, usize::min).min(entering_ahead.len().max(usize::from(left == 1)));
                out.iter_mut().for_each(|track| track.resize(n, f64::NAN));
                let Some((movements, known)) = out.split_first_mut() else { return Ok(()) };
                let known = known.first_mut().map_or(&mut [][..], Vec::as_mut_slice);
                let (here, leaving_behind, leaving_ahead) = (&here[..n], &leaving_behind[..n], &leaving_ahead[..n]);
                // Compiled for the instructions of this machine.
                (before, ahead) = Arch::new().dispatch(|| {
                    let (mut before, mut ahead) = (before, ahead);
                    for (i, movement) in movements.iter_mut().enumerate() {
                        let behind = if self.include_row { before + i128::from(here[i]) } else { before };
                        *movement = self.movement(behind, ahead).unwrap_or(f64::NAN);
                        if let Some(known) = known.get_mut(i) {
                            *known = self.known(behind, here[i]).unwrap_or(f64::NAN);
                        }
                        before += i128::from(here[i]) - i128::from(leaving_behind[i]);
                        ahead += i128::from(entering_ahead.get(i).copied().unwrap_or(0)) - i128::from(leaving_ahead[i]);
                    }
                    (before, ahead)
                });
                take(&out)?;
                left -= n;
                behind_first.skip(n);
                at_row.skip(n);
                ahead_first.skip(n);
                if left > 0 {
                    ahead_next.skip(n);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::MAX_WINDOW_ROWS;
    use crate::tape::SymbolTape;

    const MEANS: Means = Means { lookback_rows: 2, include_row: false, lookforward_offset: 0, lookforward_input: 3 };

    #[test]
    fn a_movement_is_the_ratio_of_means_less_one() {
        // Means 10 and 11.
        assert_eq!(MEANS.movement(20, 33), Some(0.1));
        assert_eq!(MEANS.movement(20, 30), Some(0.0));
        assert_eq!(MEANS.movement(0, 30), None);
        assert_eq!(MEANS.movement(-20, 30), None);
    }

    #[test]
    fn the_largest_windows_of_the_largest_prices_do_not_overflow() {
        let rows = MAX_WINDOW_ROWS;
        let means = Means { lookback_rows: rows, lookforward_input: rows, ..MEANS };
        let largest = i128::from(i64::MAX) * i128::from(rows);
        assert_eq!(means.movement(1, largest), Some(((largest - 1) * i128::from(rows)) as f64 / rows as f64));
        assert!(means.movement(largest, -largest).unwrap() < -1.9);
    }

    proptest! {
        #[test]
        fn candidates_are_the_rows_with_whole_windows(
            lookback_rows in 1u64..6, include_row: bool, lookforward_offset in 0u64..4, lookforward_input in 1u64..6,
            rows in 0u64..80, mut breaks in prop::collection::btree_set(1u64..80, 0..5),
        ) {
            breaks.retain(|b| *b < rows);
            let breaks: Vec<u64> = breaks.into_iter().collect();
            let means = Means { lookback_rows, include_row, lookforward_offset, lookforward_input };
            let whole = |t: &u64| {
                let first = (t + u64::from(include_row)).checked_sub(lookback_rows);
                let last = t + lookforward_offset + lookforward_input;
                first.is_some_and(|first| last < rows && !breaks.iter().any(|b| first < *b && *b <= last))
            };
            let want: Vec<u64> = (0..rows).filter(whole).collect();
            let tape: SymbolTape =
                serde_json::from_str(&format!(r#"{{"first_row": 0, "rows": {rows}, "files": []}}"#)).unwrap();
            let candidates = means.candidates(&tape, &breaks).unwrap();
            prop_assert_eq!(candidates.rows(0..candidates.count()).flatten().collect::<Vec<_>>(), want);
        }
    }
}
