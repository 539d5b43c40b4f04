//! Parquet's value encodings, written from runs and slices in one pass.
//!
//! Source: the Parquet format's `Encodings.md`.

use crate::cast::{low8, low32, to_u8, to_u32};
use crate::tape::zigzag;

/// The dictionary number of a value, and the number of consecutive rows with that value.
pub(super) type Run = (u32, u32);

/// Bits needed for dictionary numbers below `count`. At least one: zero is legal, but not all readers accept it.
pub(super) fn index_width(count: usize) -> u32 {
    (usize::BITS - count.saturating_sub(1).leading_zeros()).max(1)
}

/// Appends a number as a varint, as in Thrift and Parquet: seven bits per byte.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low8(value) | 0x80);
        value >>= 7;
    }
    out.push(low8(value));
}

/// Packs values of `width` bits (0 to 64), lowest bits first, and pads the last byte with zeros.
fn pack(out: &mut Vec<u8>, values: impl Iterator<Item = u64>, width: u32) {
    let mut word = 0u64;
    let mut used = 0;
    for value in values {
        word |= value << used;
        used += width;
        if used >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            used -= 64;
            // The high bits of this value, which did not fit.
            word = if used == 0 { 0 } else { value >> (width - used) };
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8) as usize]);
}

/// Values waiting to be bit-packed: at most 63 groups of eight, so that their header is one byte.
struct Literals {
    values: [u32; Self::MOST],
    count: usize,
    width: u32,
}

impl Literals {
    const MOST: usize = 63 * 8;

    fn push(&mut self, out: &mut Vec<u8>, value: u32, times: u32) {
        let mut left = times as usize;
        while left > 0 {
            let n = left.min(Self::MOST - self.count);
            self.values[self.count..self.count + n].fill(value);
            self.count += n;
            left -= n;
            if self.count == Self::MOST {
                self.flush(out);
            }
        }
    }

    /// Writes the waiting values, padded to a whole group. Only the last call of a stream may have an incomplete group.
    fn flush(&mut self, out: &mut Vec<u8>) {
        if self.count == 0 {
            return;
        }
        let padded = self.count.next_multiple_of(8);
        self.values[self.count..padded].fill(0);
        out.push(to_u8(padded / 8) * 2 + 1);
        pack(out, self.values[..padded].iter().map(|v| u64::from(*v)), self.width);
        self.count = 0;
    }
}

/// Writes runs in the RLE/bit-packing hybrid encoding. Long runs cost time per run, not per value.
pub(super) fn hybrid(out: &mut Vec<u8>, runs: impl IntoIterator<Item = Run>, width: u32) {
    // An RLE run costs a header and a value, and splits the bit-packed values around it. Narrow values pack better, so
    // they need longer runs for RLE to pay off.
    let worth = match width {
        1 => 32,
        2..=4 => 16,
        _ => 8,
    };
    let mut literals = Literals { values: [0; Literals::MOST], count: 0, width };
    let value_bytes = width.div_ceil(8) as usize;
    for (value, mut length) in runs {
        let to_fill = to_u32(literals.count.next_multiple_of(8) - literals.count);
        if length >= worth + to_fill {
            literals.push(out, value, to_fill);
            length -= to_fill;
            literals.flush(out);
            put_varint(out, u64::from(length) << 1);
            out.extend_from_slice(&value.to_le_bytes()[..value_bytes]);
        } else {
            literals.push(out, value, length);
        }
    }
    literals.flush(out);
}

/// Writes 64-bit values in DELTA_BINARY_PACKED.
pub(super) fn delta_i64(out: &mut Vec<u8>, values: &[i64]) {
    delta(out, values, i64::wrapping_sub, |d, min| d.wrapping_sub(min).cast_unsigned());
}

/// Writes 32-bit values in DELTA_BINARY_PACKED; their differences wrap at 32 bits.
pub(super) fn delta_i32(out: &mut Vec<u8>, values: &[i32]) {
    let low = |d: i64| low32(d.cast_unsigned());
    delta(
        out,
        values,
        |a, b| i64::from(a.wrapping_sub(b)),
        // At most 32 bits: readers add it to the minimum in 32-bit arithmetic.
        |d, min| u64::from(low(d).wrapping_sub(low(min))),
    );
}

const DELTA_BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;

fn delta<T: Copy + Into<i64>>(
    out: &mut Vec<u8>,
    values: &[T],
    step: impl Fn(T, T) -> i64,
    above: impl Fn(i64, i64) -> u64,
) {
    put_varint(out, DELTA_BLOCK as u64);
    put_varint(out, MINIBLOCKS as u64);
    put_varint(out, values.len() as u64);
    put_varint(out, zigzag(values.first().map_or(0, |v| (*v).into())));
    let mut deltas = [0i64; DELTA_BLOCK];
    let mut start = 1;
    while start < values.len() {
        let n = DELTA_BLOCK.min(values.len() - start);
        for (i, d) in deltas[..n].iter_mut().enumerate() {
            *d = step(values[start + i], values[start + i - 1]);
        }
        let min = deltas[..n].iter().copied().min().unwrap_or(0);
        put_varint(out, zigzag(min));
        let widths_at = out.len();
        out.extend_from_slice(&[0; MINIBLOCKS]);
        for (i, mini) in deltas[..n].chunks(DELTA_BLOCK / MINIBLOCKS).enumerate() {
            let widest = mini.iter().fold(0, |all, d| all | above(*d, min));
            let width = 64 - widest.leading_zeros();
            out[widths_at + i] = low8(width);
            if width > 0 {
                // Miniblocks are always full: zeros pad the last one.
                let padding = std::iter::repeat_n(0, DELTA_BLOCK / MINIBLOCKS - mini.len());
                pack(out, mini.iter().map(|d| above(*d, min)).chain(padding), width);
            }
        }
        start += n;
    }
}

/// Writes booleans, each 0 or 1, in PLAIN encoding: one bit each, lowest bit first.
pub(super) fn bits(out: &mut Vec<u8>, values: &[u8]) {
    let byte = |eight: &[u8]| eight.iter().rev().fold(0, |byte, value| byte << 1 | value);
    let (whole, rest) = values.as_chunks::<8>();
    // The product moves the lowest bit of each byte, from the first to the last, to the highest byte.
    out.extend(whole.iter().map(|eight| low8(u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56)));
    out.extend(rest.chunks(8).map(byte));
}
