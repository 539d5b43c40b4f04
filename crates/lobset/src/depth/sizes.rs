//! Medians and variances of a level's sizes, for several bins at once.

use std::hint::select_unpredictable;

use pulp::Simd;

use super::lanes::lanes;
use crate::cast::{low8, low64};

/// Number of bins in a group; each bin has one word of every vector.
pub(super) const GROUP: usize = 8;

/// Number of sizes of a bin in a vector, one byte each.
const WORD: usize = size_of::<u64>();

/// Number of sizes narrowed at once.
const LANES: usize = 2 * WORD;

/// Eight sizes of each bin.
type Vector = [[u8; WORD]; GROUP];

/// A byte above all limits that are counted against.
const BEYOND: u8 = u8::MAX;

/// Sums for the variances of a group, and the bits for its medians.
pub(super) struct Summary<S: Simd> {
    /// Sums and sums of squares of each bin, modulo 2^32.
    sums: [u32; GROUP],
    squares: [u32; GROUP],
    /// Bitwise OR of all sizes.
    bits: S::u32s,
}

impl<S: Simd> Summary<S> {
    #[inline(always)]
    pub(super) fn new(simd: S) -> Self {
        Self { sums: [0; GROUP], squares: [0; GROUP], bits: simd.splat_u32s(0) }
    }

    /// Adds the sizes of a bin.
    #[inline(always)]
    pub(super) fn add(&mut self, simd: S, bin: usize, sizes: &[u32]) {
        let (vectors, rest) = S::as_simd_u32s(sizes);
        let mut sum = simd.partial_load_u32s(rest);
        let mut squares = simd.mul_u32s(sum, sum);
        self.bits = simd.or_u32s(self.bits, sum);
        for sizes in vectors {
            sum = simd.add_u32s(sum, *sizes);
            squares = simd.add_u32s(squares, simd.mul_u32s(*sizes, *sizes));
            self.bits = simd.or_u32s(self.bits, *sizes);
        }
        (self.sums[bin], self.squares[bin]) = (total(simd, sum), total(simd, squares));
    }

    /// Bitwise OR of all sizes added.
    #[inline(always)]
    pub(super) fn bits(&self) -> u32 {
        lanes(&self.bits).iter().fold(0, |bits, lane: &u32| bits | lane)
    }

    /// Sample variances, exact until the last division; 0 for one row or none.
    #[inline(always)]
    pub(super) fn variances<'a>(&self, bins: usize, sizes: impl Fn(usize) -> &'a [u32]) -> [f64; GROUP] {
        let mut variances = [0.0; GROUP];
        for (bin, variance) in variances.iter_mut().enumerate().take(bins) {
            let sizes = sizes(bin);
            let (n, largest) = (sizes.len() as u64, u64::from(self.bits()));
            // n * sum of squares - square of the sum, in the narrowest integers that hold it.
            let numerator = if (n * largest) >> u32::BITS != 0 {
                large_numerator(sizes)
            } else if (n * largest * largest) >> u32::BITS != 0 {
                let squares: u64 = sizes.iter().map(|size| u64::from(*size) * u64::from(*size)).sum();
                (n * squares - u64::from(self.sums[bin]).pow(2)) as f64
            } else {
                (n * u64::from(self.squares[bin]) - u64::from(self.sums[bin]).pow(2)) as f64
            };
            *variance = numerator / (n * n.saturating_sub(1)).max(1) as f64;
        }
        variances
    }
}

/// Finds the medians of a group bit by bit, from the highest bit down, by counting sizes. Branches depend on the data
/// only through the bit length of the largest size and through whether the two middle sizes differ.
pub(super) struct Medians {
    /// Sizes of a bin, narrowed to a byte each.
    bytes: Vec<u8>,
    /// Narrowed sizes of the group.
    vectors: Vec<Vector>,
}

impl Medians {
    /// Room for a group.
    pub(super) fn new(ticks_per_bin: usize) -> Self {
        Self {
            bytes: vec![BEYOND; ticks_per_bin],
            vectors: vec![[[BEYOND; WORD]; GROUP]; ticks_per_bin.div_ceil(WORD)],
        }
    }

    /// Returns the median of each of `bins` bins: the middle size, or the mean of the two middle sizes; 0 for an empty
    /// bin. `bits` is the bitwise OR of all sizes, which were [taken](Self::take) with `below` 0.
    #[inline(always)]
    pub(super) fn find<'a, S: Simd>(
        &mut self,
        simd: S,
        bins: usize,
        sizes: impl Fn(usize) -> &'a [u32],
        bits: u32,
    ) -> [f64; GROUP] {
        // For the lower middle size: its rank, counted from 0, and the number of sizes up to the highest value it can
        // have.
        let (mut ranks, mut not_above) = ([0; GROUP], [0; GROUP]);
        let mut digit = Digit::first(bits);
        for bin in 0..bins {
            let sizes = sizes(bin);
            (ranks[bin], not_above[bin]) = (sizes.len().saturating_sub(1) as u64 / 2, sizes.len() as u64);
            if digit.below > 0 {
                self.take(bin, sizes, 0, digit.below);
            }
        }
        let mut found = self.search(digit, &ranks, &mut not_above);
        while digit.below > 0 {
            digit = digit.next();
            for (bin, found) in found.into_iter().enumerate().take(bins) {
                self.take(bin, sizes(bin), found, digit.below);
            }
            let more = self.search(digit, &ranks, &mut not_above);
            for (found, more) in found.iter_mut().zip(more) {
                *found += more;
            }
        }
        let mut medians = [0.0; GROUP];
        for bin in 0..bins {
            let (sizes, low) = (sizes(bin), found[bin]);
            let both = not_above[bin] > sizes.len() as u64 / 2;
            let high = if both || sizes.is_empty() { low } else { least_above(simd, sizes, low) };
            medians[bin] = (f64::from(low) + f64::from(high)) / 2.0;
        }
        medians
    }

    /// Takes a byte of each size of a bin: its excess over `from`, without the lowest `below` bits.
    #[inline(always)]
    pub(super) fn take(&mut self, bin: usize, sizes: &[u32], from: u32, below: u32) {
        let (whole, rest) = sizes.split_at(sizes.len() / LANES * LANES);
        for (byte, size) in self.bytes.iter_mut().zip(whole) {
            *byte = narrow(*size, from, below);
        }
        let mut vectors = self.vectors.iter_mut();
        for (word, vector) in self.bytes[..whole.len()].as_chunks().0.iter().zip(vectors.by_ref()) {
            vector[bin] = *word;
        }
        // The last sizes, padded with `BEYOND`.
        let mut last = u128::MAX;
        for size in rest.iter().rev() {
            last = last << u8::BITS | u128::from(narrow(*size, from, below));
        }
        for vector in vectors {
            vector[bin] = low64(last).to_le_bytes();
            last = last >> u64::BITS | u128::MAX << u64::BITS;
        }
    }

    /// Finds the digit, shifted to its place, of the size with the given rank in each bin.
    #[inline(always)]
    fn search(&self, digit: Digit, ranks: &[u64; GROUP], not_above: &mut [u64; GROUP]) -> [u32; GROUP] {
        let mut digits = [0; GROUP];
        for (place, found) in digits.iter_mut().zip(search(&self.vectors, digit.bits, ranks, not_above)) {
            *place = u32::from(low8(found)) << digit.below;
        }
        digits
    }
}

/// Consecutive bits of sizes, taken from the highest down: at most as many as a byte has.
#[derive(Clone, Copy)]
struct Digit {
    bits: u32,
    /// Number of bits below the digit.
    below: u32,
}

impl Digit {
    fn first(bits: u32) -> Self {
        Self { bits: 0, below: u32::BITS - bits.leading_zeros() }.next()
    }

    fn next(self) -> Self {
        let bits = self.below.min(u8::BITS);
        Self { bits, below: self.below - bits }
    }
}

/// The sum of a vector's lanes, modulo 2^32.
#[inline(always)]
fn total<S: Simd>(simd: S, vector: S::u32s) -> u32 {
    let mut total = vector;
    let mut distance = S::U32_LANES / 2;
    while distance > 0 {
        total = simd.add_u32s(total, simd.rotate_left_u32s(total, distance));
        distance /= 2;
    }
    lanes(&total)[0]
}

/// The excess of `size` over `from`, without its lowest `below` bits, capped at [`BEYOND`].
#[inline(always)]
fn narrow(size: u32, from: u32, below: u32) -> u8 {
    low8((size.saturating_sub(from) >> below).min(u32::from(BEYOND)))
}

/// Returns, for each bin, the least byte of `bits` bits such that more bytes than its rank are at most that byte,
/// repeated eight times. On entry `not_above` is the number of bytes up to the highest possible result; on return, up
/// to the result.
#[inline(always)]
fn search(vectors: &[Vector], bits: u32, ranks: &[u64; GROUP], not_above: &mut [u64; GROUP]) -> [u64; GROUP] {
    /// The same byte eight times.
    const EACH: u64 = u64::MAX / 0xff;
    let mut found = [0; GROUP];
    let mut bit = 1 << bits >> 1;
    while bit > 0 {
        let mut most: Vector = [[0; WORD]; GROUP];
        for (most, found) in most.iter_mut().zip(found) {
            *most = (found | ((bit - 1) * EACH)).to_ne_bytes();
        }
        let counts = count_not_above(vectors, &most);
        for bin in 0..GROUP {
            let higher = counts[bin] <= ranks[bin];
            not_above[bin] = select_unpredictable(higher, not_above[bin], counts[bin]);
            found[bin] |= select_unpredictable(higher, bit * EACH, 0);
        }
        bit >>= 1;
    }
    found
}

/// Counts the bytes of each bin that are at most those of `most`, which are less than [`BEYOND`].
#[inline(always)]
fn count_not_above(vectors: &[Vector], most: &Vector) -> [u64; GROUP] {
    /// Every other byte.
    const EVEN: u64 = u64::MAX / 0xffff * 0xff;
    let mut sums = [0; GROUP];
    // As many vectors as a byte can count.
    for part in vectors.chunks(usize::from(u8::MAX)) {
        let mut counts: Vector = [[0; WORD]; GROUP];
        for vector in part {
            let bytes = vector.as_flattened().iter().zip(most.as_flattened());
            for (count, (byte, most)) in counts.as_flattened_mut().iter_mut().zip(bytes) {
                *count += u8::from(byte <= most);
            }
        }
        for (sum, counts) in sums.iter_mut().zip(counts) {
            let counts = u64::from_ne_bytes(counts);
            let pairs = (counts & EVEN) + (counts >> 8 & EVEN);
            // The highest two bytes of the product are the sum of the pairs.
            *sum += pairs.wrapping_mul(u64::MAX / 0xffff) >> 48;
        }
    }
    sums
}

/// The least of `sizes` above `limit`; `u32::MAX` if there is none.
#[inline(always)]
fn least_above<S: Simd>(simd: S, sizes: &[u32], limit: u32) -> u32 {
    let (limit, none) = (simd.splat_u32s(limit), simd.splat_u32s(u32::MAX));
    let (vectors, rest) = S::as_simd_u32s(sizes);
    // Lanes without a size are 0, which exceeds no limit.
    let rest = simd.partial_load_u32s(rest);
    let mut least = simd.select_u32s(simd.greater_than_u32s(rest, limit), rest, none);
    for sizes in vectors {
        least = simd.min_u32s(least, simd.select_u32s(simd.greater_than_u32s(*sizes, limit), *sizes, none));
    }
    lanes(&least).iter().fold(u32::MAX, |least, lane| least.min(*lane))
}

#[cold]
fn large_numerator(sizes: &[u32]) -> f64 {
    let sum: u128 = sizes.iter().map(|size| u128::from(*size)).sum();
    let squares: u128 = sizes.iter().map(|size| u128::from(*size) * u128::from(*size)).sum();
    let numerator = sizes.len() as u128 * squares - sum * sum;
    u64::try_from(numerator).map_or(numerator as f64, |small| small as f64)
}
