//! The kind `means`: the relative change of the mean mid price from the past window to the future window, both in rows.

use std::ops::{Add, Range, Sub};

use pulp::{Arch, NullaryFnOnce};

use super::wide::nearest;
use super::{Ahead, Rule, Take, stretches};
use crate::cast::low64;
use crate::config::Means;
use crate::error::Result;
use crate::label::candidates::Candidates;
use crate::tape::{Chunks, SymbolTape};

/// Number of rows computed at a time.
const PIECE: usize = 1024;

/// A bound of the absolute values: less than twice the largest, or zero if all are zero.
#[inline(always)]
fn bound(values: &[i64]) -> u64 {
    values.iter().fold(0, |all, value| all | value.unsigned_abs())
}

/// Passes the sums over the windows behind and ahead of each row to `take`, with the number of the row; see [`Slide`].
#[inline(always)]
fn window_sums<S: Copy + From<i64> + Add<Output = S> + Sub<Output = S>>(
    [mut behind, mut ahead]: [S; 2],
    include_row: bool,
    [here, leaving_behind, leaving_ahead, entering_ahead]: [&[i64]; 4],
    mut take: impl FnMut(usize, S, S),
) -> [S; 2] {
    for (i, here) in here.iter().enumerate() {
        let here = S::from(*here);
        take(i, if include_row { behind + here } else { behind }, ahead);
        behind = behind + here - S::from(leaving_behind[i]);
        ahead = ahead + S::from(entering_ahead.get(i).copied().unwrap_or(0)) - S::from(leaving_ahead[i]);
    }
    [behind, ahead]
}

/// Sets the movements and, unless `known` is empty, the known parts of consecutive rows, at most [`PIECE`]. Returns the
/// sums for the row after the last one. Compiled for the instructions of this machine.
struct Slide<'a> {
    means: Means,
    /// The sums over the rows before the first row and over its window ahead.
    sums: [i128; 2],
    /// The mid2 values of the rows, and of the rows that leave the window behind, leave the window ahead and enter it after
    /// each of them.
    values: [&'a [i64]; 4],
    movements: &'a mut [f64],
    known: &'a mut [f64],
}

impl NullaryFnOnce for Slide<'_> {
    type Output = [i128; 2];

    #[inline(always)]
    fn call(self) -> [i128; 2] {
        let Self { means, sums, values, movements, known } = self;
        let [here, ..] = values;
        let count = here.len();
        let largest = values.iter().fold(0, |all, values| all | bound(values));
        // Each row moves a sum by two values at most.
        let sum_bound =
            2 * (count as u128 + 1) * u128::from(largest) + sums[0].unsigned_abs().max(sums[1].unsigned_abs());
        if sum_bound < 1 << 62 {
            let (mut behind, mut ahead) = ([0; PIECE], [0; PIECE]);
            let (behind, ahead) = (&mut behind[..count], &mut ahead[..count]);
            let narrow = sums.map(|sum| low64(sum.cast_unsigned()).cast_signed());
            let next = window_sums(narrow, means.include_row, values, |i, before, after| {
                (behind[i], ahead[i]) = (before, after);
            });
            let fits = |values: u64, length: u64| u128::from(values) * u128::from(length) < 1 << 62;
            let (lookback, lookforward) = (means.lookback_rows, means.lookforward_input);
            if fits(bound(behind), lookforward) && fits(bound(ahead) | largest, lookback) {
                // Nothing overflows, and without branches several rows are computed at a time.
                let [lookback, lookforward] = [lookback, lookforward].map(u64::cast_signed);
                for ((to, behind), ahead) in movements.iter_mut().zip(&*behind).zip(&*ahead) {
                    let denominator = behind * lookforward;
                    let movement = (ahead * lookback - denominator) as f64 / denominator as f64;
                    *to = if *behind > 0 { movement } else { f64::NAN };
                }
                for ((to, behind), mid2) in known.iter_mut().zip(&*behind).zip(here) {
                    let known = (mid2 * lookback - behind) as f64 / *behind as f64;
                    *to = if *behind > 0 { known } else { f64::NAN };
                }
                return next.map(i128::from);
            }
        }
        window_sums(sums, means.include_row, values, |i, behind, ahead| {
            movements[i] = means.movement(behind, ahead).unwrap_or(f64::NAN);
            if let Some(known) = known.get_mut(i) {
                *known = means.known(behind, here[i]).unwrap_or(f64::NAN);
            }
        })
    }
}

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
        let denominator = behind * i128::from(self.lookforward_input);
        let numerator = ahead * i128::from(self.lookback_rows) - denominator;
        Some(nearest(numerator) / nearest(denominator))
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
        let mids = Chunks::<Vec<i64>>::new(tape);
        for rows in candidates.rows(range) {
            let (first_behind, first_ahead) = (rows.start - self.behind(), rows.start + 1 + self.lookforward_offset);
            let mut behind_first = mids.cursor(first_behind)?;
            // The row itself; with `include_row`, the past window contains it too.
            let mut at_row = mids.cursor(first_behind)?;
            let mut ahead_first = mids.cursor(first_ahead)?;
            let mut ahead_next = mids.cursor(first_ahead)?;
            let mut sums = [at_row.sum(self.behind())?, ahead_next.sum(self.lookforward_input)?];
            let mut left = usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX);
            while left > 0 {
                let leaving_behind = behind_first.values()?;
                let here = at_row.values()?;
                let leaving_ahead = ahead_first.values()?;
                let entering_ahead = ahead_next.values()?;
                // The future window of the last row may end at the end of the tape, so no further row enters it.
                let lengths = [leaving_behind.len(), here.len(), leaving_ahead.len(), PIECE];
                let n =
                    lengths.into_iter().fold(left, usize::min).min(entering_ahead.len().max(usize::from(left == 1)));
                let entering_ahead = &entering_ahead[..n.min(entering_ahead.len())];
                let values = [&here[..n], &leaving_behind[..n], &leaving_ahead[..n], entering_ahead];
                out.iter_mut().for_each(|track| track.resize(n, f64::NAN));
                let Some((movements, known)) = out.split_first_mut() else { return Ok(()) };
                let known = known.first_mut().map_or(&mut [][..], Vec::as_mut_slice);
                sums = Arch::new().dispatch(Slide { means: *self, sums, values, movements, known });
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
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn movements_of_many_rows_are_those_of_each(
            rows in prop::collection::vec(any::<[i64; 4]>(), 1..40), (behind, ahead) in any::<(i64, i64)>(),
            shift in 0u32..64, sum_shift in 0u32..64, lookback_rows in 1u64..3_000, lookforward_input in 1u64..3_000,
            (include_row, wants_known, is_last) in any::<(bool, bool, bool)>(),
        ) {
            let means = Means { lookback_rows, include_row, lookforward_offset: 0, lookforward_input };
            let mut values = [0, 1, 2, 3].map(|of| rows.iter().map(|row| row[of] >> shift).collect::<Vec<_>>());
            if is_last {
                values[3].pop();
            }
            let mut sums = [behind, ahead].map(|sum| i128::from(sum >> sum_shift) * i128::from(lookback_rows));
            let mut movements = vec![0.0; rows.len()];
            let mut known = vec![0.0; if wants_known { rows.len() } else { 0 }];
            let of_slices = values.each_ref().map(Vec::as_slice);
            let slide = Slide { means, sums, values: of_slices, movements: &mut movements, known: &mut known };
            let next = slide.call();
            for i in 0..rows.len() {
                let here = values[0][i];
                let behind = sums[0] + if include_row { i128::from(here) } else { 0 };
                let bits = |movement: Option<f64>| movement.unwrap_or(f64::NAN).to_bits();
                prop_assert_eq!(movements[i].to_bits(), bits(means.movement(behind, sums[1])));
                if wants_known {
                    prop_assert_eq!(known[i].to_bits(), bits(means.known(behind, here)));
                }
                sums[0] += i128::from(here) - i128::from(values[1][i]);
                sums[1] += i128::from(values[3].get(i).copied().unwrap_or(0)) - i128::from(values[2][i]);
            }
            prop_assert_eq!(next, sums);
        }
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
