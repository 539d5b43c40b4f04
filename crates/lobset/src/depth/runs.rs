//! Runs of equal cells. From row to row little of a book changes, so sums over runs beat sums over rows.

/// Cells compared at once: as many as a word has bits.
const STRIP: usize = 64;

/// A bit for each cell of `here` that differs from the one of `next` at the same place.
#[inline(always)]
fn changes<T: Copy + PartialEq>(here: &[T; STRIP], next: &[T; STRIP]) -> u64 {
    let mut flags = [0_u8; STRIP];
    for ((flag, a), b) in flags.iter_mut().zip(here).zip(next) {
        *flag = u8::from(a != b);
    }
    // The product's highest byte holds the eight bits, each moved to its place.
    let (eights, _) = flags.as_chunks::<8>();
    let byte = |eight: &[u8; 8]| u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    eights.iter().rev().fold(0, |bits, eight| bits << 8 | byte(eight))
}

/// Replaces `ends` by the row after each run of equal cells. A run ends at the latest with its bin of `length` rows; `cells`
/// holds whole bins, at most 2^31 rows.
#[inline(always)]
pub(super) fn run_ends<T: Copy + PartialEq>(cells: &[T], length: usize, ends: &mut Vec<u32>) {
    ends.clear();
    let Some(following) = cells.get(1..) else { return };
    let mut bin_end = length - 1;
    let mut push = |start: usize, mut bits: u64| {
        while bin_end < start + STRIP {
            bits |= 1 << (bin_end - start);
            bin_end += length;
        }
        let count = bits.count_ones() as usize;
        let from = ends.len();
        // Eight at a time, whether they are there or not: that costs less than a branch for each.
        for _ in 0..count.div_ceil(8) {
            let mut eight = [0; 8];
            for end in &mut eight {
                *end = start as u32 + bits.trailing_zeros() + 1;
                bits &= bits.wrapping_sub(1);
            }
            ends.extend_from_slice(&eight);
        }
        ends.truncate(from + count);
    };
    let (strips, _) = cells.as_chunks::<STRIP>();
    let (next, _) = following.as_chunks::<STRIP>();
    let whole = next.len();
    for (number, (here, next)) in strips.iter().zip(next).enumerate() {
        push(number * STRIP, changes(here, next));
    }
    let (start, here, next) = (whole * STRIP, &cells[whole * STRIP..], &following[whole * STRIP..]);
    if !here.is_empty() {
        let bits = here.iter().zip(next).rev().fold(0, |bits, (a, b)| bits << 1 | u64::from(a != b));
        // The last cell has no next one, but it ends a bin.
        push(start, bits);
        while ends.last().is_some_and(|end| *end as usize > cells.len()) {
            ends.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_cells_change_and_with_bins() {
        let mut ends = Vec::new();
        for length in [1, 2, 3, 63, 64, 65, 100, 1000] {
            for step in [1, 2, 7, 64, 65, 300] {
                for bins in [0, 1, 2, 3, 10] {
                    let rows = length * bins;
                    let expect: Vec<u32> = (1..=rows)
                        .filter(|end| end % length == 0 || end / step != (end - 1) / step)
                        .map(|end| end as u32)
                        .collect();
                    let cells: Vec<u32> = (0..rows).map(|row| (row / step) as u32).collect();
                    run_ends(&cells, length, &mut ends);
                    assert_eq!(ends, expect);
                    let cells: Vec<u64> = cells.iter().map(|cell| u64::from(*cell) << 40).collect();
                    run_ends(&cells, length, &mut ends);
                    assert_eq!(ends, expect);
                }
            }
        }
    }
}
