//! Median and variance of the sizes of a level and bin.

use std::hint::select_unpredictable;

use pulp::Simd;

use super::lanes;

/// Bins whose medians are looked for together: each has a word of every vector.
pub(super) const GROUP: usize = 8;

/// Sizes of a bin in a vector, a byte each.
const WORD: usize = size_of::<u64>();

/// Sizes that are cut down at once.
const LANES: usize = 2 * WORD;

/// Eight sizes of each bin.
type Vector = [[u8; WORD]; GROUP];

/// What no limit asked for reaches.
const BEYOND: u8 = u8::MAX;

/// Looks for the medians of a group: bit by bit from the highest, by counting sizes. What is found decides about no branch,
/// only how many bits the largest size has and whether the two sizes in the middle differ.
pub(super) struct Medians {
    /// The sizes of a bin, cut down to a byte each.
    bytes: Vec<u8>,
    /// Those of the group.
    vectors: Vec<Vector>,
    /// The rank of the lower middle size of each bin, counted from 0.
    ranks: [u64; GROUP],
    /// The bits of that size that are found.
    found: [u32; GROUP],
    /// How many bits are not looked at yet.
    below: [u32; GROUP],
    /// How many sizes do not exceed the highest that it can be.
    not_above: [u64; GROUP],
}

impl Medians {
    /// Room for a group.
    pub(super) fn new(ticks_per_bin: usize) -> Self {
        Self {
            bytes: vec![BEYOND; ticks_per_bin],
            vectors: vec![[[BEYOND; WORD]; GROUP]; ticks_per_bin.div_ceil(LANES) * 2],
            ranks: [0; GROUP],
            found: [0; GROUP],
            below: [0; GROUP],
            not_above: [0; GROUP],
        }
    }

    /// Begins a group, which may have fewer bins than the one before.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        (self.found, self.below) = ([0; GROUP], [0; GROUP]);
    }

    /// Takes the sizes of a bin, none of which exceeds `largest`.
    #[inline(always)]
    pub(super) fn take(&mut self, bin: usize, sizes: &[u32], largest: u32) {
        self.ranks[bin] = sizes.len().saturating_sub(1) as u64 / 2;
        self.below[bin] = u32::BITS - largest.leading_zeros();
        self.not_above[bin] = sizes.len() as u64;
        self.take_next(bin, sizes);
    }

    /// Takes the next eight bits of the same sizes: by how much each exceeds what is found, without the bits below.
    #[inline(always)]
    pub(super) fn take_next(&mut self, bin: usize, sizes: &[u32]) {
        self.below[bin] = self.below[bin].saturating_sub(u8::BITS);
        let (from, below) = (self.found[bin], self.below[bin]);
        let (whole, rest) = sizes.split_at(sizes.len() / LANES * LANES);
        for (byte, size) in self.bytes.iter_mut().zip(whole) {
            *byte = narrow(*size, from, below);
        }
        let mut pairs = self.vectors.as_chunks_mut().0.iter_mut();
        let words = self.bytes[..whole.len()].as_chunks().0.as_chunks().0;
        for ([low, high], [first, second]) in words.iter().zip(pairs.by_ref()) {
            (first[bin], second[bin]) = (*low, *high);
        }
        // The last sizes, and nothing beyond them.
        let mut last = u128::MAX;
        for size in rest.iter().rev() {
            last = last << u8::BITS | u128::from(narrow(*size, from, below));
        }
        for [first, second] in pairs {
            (first[bin], second[bin]) = ((last as u64).to_le_bytes(), ((last >> u64::BITS) as u64).to_le_bytes());
            last = u128::MAX;
        }
    }

    /// Finds the bits that were taken. Returns whether those were the last ones of all bins.
    #[inline(always)]
    pub(super) fn search(&mut self) -> bool {
        let digits = search(&self.vectors, &self.ranks, &mut self.not_above);
        for ((found, digit), below) in self.found.iter_mut().zip(digits).zip(self.below) {
            *found += u32::from(digit as u8) << below;
        }
        self.below == [0; GROUP]
    }

    /// The middle one of the sizes of a bin, or the mean of the two in the middle, once all bits are found; 0 for none.
    #[inline(always)]
    pub(super) fn median<S: Simd>(&self, simd: S, bin: usize, sizes: &[u32]) -> f64 {
        if sizes.is_empty() {
            return 0.0;
        }
        let low = self.found[bin];
        let both = self.not_above[bin] > sizes.len() as u64 / 2;
        let high = if both { low } else { least_above(simd, sizes, low) };
        (f64::from(low) + f64::from(high)) / 2.0
    }
}

/// The eight bits above the lowest `below` ones of what `size` exceeds `from` by.
#[inline(always)]
fn narrow(size: u32, from: u32, below: u32) -> u8 {
    (size.saturating_sub(from) >> below).min(u32::from(BEYOND)) as u8
}

/// Of each bin the least byte, eight times, that more bytes than its rank do not exceed. `not_above`, how many do not exceed the highest
/// one that it can be, becomes how many do not exceed it.
#[inline(always)]
fn search(vectors: &[Vector], ranks: &[u64; GROUP], not_above: &mut [u64; GROUP]) -> [u64; GROUP] {
    /// The same byte eight times.
    const EACH: u64 = u64::MAX / 0xff;
    let mut found = [0; GROUP];
    let mut bit = 0x80;
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

/// How many bytes of each bin are at most those of `most`, which are less than [`BEYOND`].
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
            // Their sum, in the highest two bytes of the product.
            *sum += pairs.wrapping_mul(u64::MAX / 0xffff) >> 48;
        }
    }
    sums
}

/// The largest of `sizes`; 0 for none.
#[inline(always)]
pub(super) fn largest<S: Simd>(simd: S, sizes: &[u32]) -> u32 {
    let (vectors, rest) = S::as_simd_u32s(sizes);
    let mut largest = simd.partial_load_u32s(rest);
    for sizes in vectors {
        largest = simd.max_u32s(largest, *sizes);
    }
    let mut distance = S::U32_LANES / 2;
    while distance > 0 {
        largest = simd.max_u32s(largest, simd.rotate_left_u32s(largest, distance));
        distance /= 2;
    }
    lanes(&largest)[0]
}

/// The least of `sizes` that exceeds `limit`; the highest number where there is none.
#[inline(always)]
fn least_above<S: Simd>(simd: S, sizes: &[u32], limit: u32) -> u32 {
    let (limit, none) = (simd.splat_u32s(limit), simd.splat_u32s(u32::MAX));
    let (vectors, rest) = S::as_simd_u32s(sizes);
    // Lanes without a size hold 0, which exceeds no limit.
    let rest = simd.partial_load_u32s(rest);
    let mut least = simd.select_u32s(simd.greater_than_u32s(rest, limit), rest, none);
    for sizes in vectors {
        least = simd.min_u32s(least, simd.select_u32s(simd.greater_than_u32s(*sizes, limit), *sizes, none));
    }
    lanes(&least).iter().fold(u32::MAX, |least, lane| least.min(*lane))
}

/// Sample variance, exact until the last division; 0 for one row. `largest` is at least as large as each size.
#[inline(always)]
pub(super) fn variance<S: Simd>(simd: S, sizes: &[u32], largest: u32) -> f64 {
    let (n, largest) = (sizes.len() as u64, u64::from(largest));
    if n < 2 {
        return 0.0;
    }
    // n * sum of squares - square of the sum, in the narrowest integers that hold it.
    let numerator = if (n * largest) >> u32::BITS != 0 {
        large_numerator(sizes)
    } else if (n * largest * largest) >> u32::BITS != 0 {
        let sum: u64 = sizes.iter().map(|size| u64::from(*size)).sum();
        let squares: u64 = sizes.iter().map(|size| u64::from(*size) * u64::from(*size)).sum();
        (n * squares - sum * sum) as f64
    } else {
        let (vectors, rest) = S::as_simd_u32s(sizes);
        let mut sum = simd.partial_load_u32s(rest);
        let mut squares = simd.mul_u32s(sum, sum);
        for sizes in vectors {
            sum = simd.add_u32s(sum, *sizes);
            squares = simd.add_u32s(squares, simd.mul_u32s(*sizes, *sizes));
        }
        let sum = u64::from(lanes(&sum).iter().sum::<u32>());
        let squares = u64::from(lanes(&squares).iter().sum::<u32>());
        (n * squares - sum * sum) as f64
    };
    numerator / (n * (n - 1)) as f64
}

#[cold]
fn large_numerator(sizes: &[u32]) -> f64 {
    let sum: u128 = sizes.iter().map(|size| u128::from(*size)).sum();
    let squares: u128 = sizes.iter().map(|size| u128::from(*size) * u128::from(*size)).sum();
    let numerator = sizes.len() as u128 * squares - sum * sum;
    u64::try_from(numerator).map_or(numerator as f64, |small| small as f64)
}
