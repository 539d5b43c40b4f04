//! Variable-length integers, written and read without a loop.
//!
//! The low three bits of the first byte encode the length: 0 to 6 for one to seven bytes, which store 5 to 53 bits, and
//! 7 for nine bytes, which store all 64. Writing and reading move eight bytes at a time, so a reader needs [`SLACK`]
//! bytes after the last value.

/// Number of bytes that must follow the last value.
pub(super) const SLACK: usize = 8;

/// Writes `value` at `at` and returns the position after it. `buffer` must extend at least nine bytes beyond `at`.
#[inline(always)]
pub(super) fn put(buffer: &mut [u8], at: usize, value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    if bits > 53 {
        buffer[at] = 7;
        buffer[at + 1..at + 9].copy_from_slice(&value.to_le_bytes());
        return at + 9;
    }
    let length = (bits + 10) / 8;
    buffer[at..at + 8].copy_from_slice(&(value << 3 | (length as u64 - 1)).to_le_bytes());
    at + length
}

/// Reads the value at `at` and returns it with the position after it; `None` if the buffer is too short.
#[inline(always)]
pub(super) fn get(buffer: &[u8], at: usize) -> Option<(u64, usize)> {
    let word = |at: usize| {
        buffer.get(at..at + 8).map(|b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
    };
    let first = word(at)?;
    let length = (first & 7) as usize + 1;
    if length == 8 {
        return Some((word(at + 1)?, at + 9));
    }
    Some(((first << (64 - 8 * length)) >> (64 - 8 * length + 3), at + length))
}

/// Maps small numbers, negative or positive, to small unsigned ones.
#[inline(always)]
pub(crate) fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[inline(always)]
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec((any::<u64>(), 0u32..64), 0..50)) {
            let values: Vec<u64> = values.into_iter().map(|(v, shift)| v >> shift).collect();
            let mut buffer = vec![0; values.len() * 9 + 9 + SLACK];
            let end = values.iter().fold(0, |at, v| put(&mut buffer, at, *v));
            buffer.truncate(end + SLACK);
            let mut at = 0;
            for value in values {
                let (read, next) = get(&buffer, at).unwrap();
                prop_assert_eq!(read, value);
                at = next;
            }
            prop_assert_eq!(at, end);
        }

        #[test]
        fn zigzag_is_reversible(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
