//! Runs of equal cells. From row to row little of a book changes, so sums over runs beat sums over rows.

/// Cells compared at once.
const STRIP: usize = 64;

/// Calls `run` with each run of equal cells and its length. `differ` tells whether two cells are not equal.
#[inline(always)]
pub(super) fn each_run<T: Copy>(cells: &[T], differ: impl Fn(T, T) -> bool, mut run: impl FnMut(T, usize)) {
    let Some((&last, _)) = cells.split_last() else { return };
    let mut start = 0;
    for (strip, (here, next)) in cells.chunks(STRIP).zip(cells[1..].chunks(STRIP)).enumerate() {
        let mut flags = [0_u8; STRIP];
        for ((flag, a), b) in flags.iter_mut().zip(here).zip(next) {
            *flag = u8::from(differ(*a, *b));
        }
        let (eights, _) = flags.as_chunks::<8>();
        for (eight, flags) in eights.iter().enumerate() {
            // A bit in each byte whose cell is the last of its run.
            let mut ends = u64::from_le_bytes(*flags);
            while ends != 0 {
                let end = strip * STRIP + eight * 8 + ends.trailing_zeros() as usize / 8 + 1;
                run(cells[end - 1], end - start);
                start = end;
                ends &= ends - 1;
            }
        }
    }
    run(last, cells.len() - start);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_all_cells() {
        for length in [0, 1, 2, 63, 64, 65, 127, 128, 129, 200] {
            for step in [1, 2, 7, 64, 65, 300] {
                let cells: Vec<usize> = (0..length).map(|i| i / step).collect();
                let mut again = Vec::new();
                let mut count = 0;
                each_run(
                    &cells,
                    |a, b| a != b,
                    |cell, rows| {
                        again.extend(std::iter::repeat_n(cell, rows));
                        count += 1;
                    },
                );
                assert_eq!(again, cells);
                assert_eq!(count, length.div_ceil(step));
            }
        }
    }
}
