//! Median and variance of the sizes of a level and bin.

use std::hint::select_unpredictable;

use pulp::{Simd, bytemuck};

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

/// Looks for medians: bit by bit from the highest, by counting sizes. No branch hangs on sizes, so that it takes the same
/// time whatever they are.
pub(super) struct Medians {
    ticks_per_bin: usize,
    /// Bits of sizes that are not looked at yet.
    below: u32,
    /// The sizes of a bin, cut down to a byte each.
    bytes: Vec<u8>,
    /// Those of a group.
    vectors: Vec<Vector>,
}

impl Medians {
    /// Room for a group.
    pub(super) fn new(ticks_per_bin: usize) -> Self {
        Self {
            ticks_per_bin,
            below: 0,
            bytes: vec![BEYOND; ticks_per_bin.next_multiple_of(LANES)],
            vectors: vec![[[BEYOND; WORD]; GROUP]; ticks_per_bin.div_ceil(LANES) * 2],
        }
    }

    /// Takes the highest bits of the sizes of a group, the first step to their medians. `largest` is at least as large as
    /// each size. (Bytes just written are slow to read as vectors: other work may come between.)
    #[inline(always)]
    pub(super) fn take(&mut self, bins: &[&[u32]; GROUP], largest: u32) {
        self.below = (u32::BITS - largest.leading_zeros()).saturating_sub(u8::BITS);
        for (bin, sizes) in bins.iter().enumerate() {
            self.narrow(bin, sizes, 0);
        }
    }

    /// Of each bin's sizes, which were taken, the middle one or the mean of the two in the middle; 0 where there are none.
    #[inline(always)]
    pub(super) fn of<S: Simd>(&mut self, simd: S, bins: &[&[u32]; GROUP]) -> [f64; GROUP] {
        let lows = bins.map(|sizes| sizes.len().saturating_sub(1) as u64 / 2);
        let (at_lows, not_above) = self.at_ranks(bins, lows);
        let mut medians = [0.0; GROUP];
        for (bin, median) in medians.iter_mut().enumerate() {
            let (sizes, at_low) = (bins[bin], at_lows[bin]);
            if sizes.is_empty() {
                continue;
            }
            let high = sizes.len() as u64 / 2;
            let at_high = if not_above[bin] > high { at_low } else { least_above(simd, sizes, at_low) };
            *median = (f64::from(at_low) + f64::from(at_high)) / 2.0;
        }
        medians
    }

    /// The size at a rank of each bin, counted from 0, and how many of its sizes do not exceed it.
    #[inline(always)]
    fn at_ranks(&mut self, bins: &[&[u32]; GROUP], ranks: [u64; GROUP]) -> ([u32; GROUP], [u64; GROUP]) {
        let (mut found, mut not_above) = ([0; GROUP], bins.map(|sizes| sizes.len() as u64));
        loop {
            let digits = search(&self.vectors, &ranks, &mut not_above);
            for (found, digit) in found.iter_mut().zip(digits) {
                *found += u32::from(digit) << self.below;
            }
            if self.below == 0 {
                return (found, not_above);
            }
            self.below = self.below.saturating_sub(u8::BITS);
            for (bin, sizes) in bins.iter().enumerate() {
                self.narrow(bin, sizes, found[bin]);
            }
        }
    }

    /// Takes the eight bits above the lowest `below` ones of what each size exceeds `from` by.
    #[inline(always)]
    fn narrow(&mut self, bin: usize, sizes: &[u32], from: u32) {
        let below = self.below;
        let narrow = |size: u32| (size.saturating_sub(from) >> below).min(u32::from(BEYOND)) as u8;
        if sizes.len() < self.ticks_per_bin {
            self.bytes.fill(BEYOND);
        }
        let (chunks, rest) = sizes.as_chunks::<LANES>();
        let mut places = self.bytes.as_chunks_mut::<LANES>().0.iter_mut();
        for (chunk, place) in chunks.iter().zip(places.by_ref()) {
            *place = chunk.map(narrow);
        }
        for (size, place) in rest.iter().zip(places.flatten()) {
            *place = narrow(*size);
        }
        let pairs = self.vectors.as_chunks_mut().0.iter_mut().zip(self.bytes.as_chunks().0.as_chunks().0);
        for ([first, second], words) in pairs {
            [first[bin], second[bin]] = *words;
        }
    }
}

/// Of each bin the least byte that more bytes than its rank do not exceed. `not_above`, how many do not exceed the highest
/// one that it can be, becomes how many do not exceed it.
#[inline(always)]
fn search(vectors: &[Vector], ranks: &[u64; GROUP], not_above: &mut [u64; GROUP]) -> [u8; GROUP] {
    /// The same byte eight times.
    const EACH: u64 = u64::MAX / 0xff;
    let (mut found, mut bit) = ([0; GROUP], 0x80);
    while bit > 0 {
        let most: Vector = found.map(|found: u64| (found | ((bit - 1) * EACH)).to_ne_bytes());
        let counts = count_not_above(vectors, &most);
        for bin in 0..GROUP {
            let higher = counts[bin] <= ranks[bin];
            not_above[bin] = select_unpredictable(higher, not_above[bin], counts[bin]);
            found[bin] |= select_unpredictable(higher, bit * EACH, 0);
        }
        bit >>= 1;
    }
    found.map(|found| found as u8)
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
        for (sum, counts) in sums.iter_mut().zip(counts.map(u64::from_ne_bytes)) {
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
    let largest = vectors.iter().fold(simd.partial_load_u32s(rest), |largest, sizes| simd.max_u32s(largest, *sizes));
    lanes::<S>(&largest).iter().fold(0, |largest, lane| largest.max(*lane))
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
    lanes::<S>(&least).iter().fold(u32::MAX, |least, lane| least.min(*lane))
}

/// Sample variance, exact until the last division; 0 for one row. `largest` is at least as large as each size.
#[inline(always)]
pub(super) fn variance<S: Simd>(simd: S, sizes: &[u32], largest: u32) -> f64 {
    let (n, largest) = (sizes.len() as u64, u64::from(largest));
    if n < 2 {
        return 0.0;
    }
    // n * sum of squares - square of the sum, in the narrowest integers that hold it.
    let numerator = if n * largest >> u32::BITS != 0 {
        large_numerator(sizes)
    } else if n * largest * largest >> u32::BITS != 0 {
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
        let [sum, squares] = [sum, squares].map(|lane| u64::from(lanes::<S>(&lane).iter().sum::<u32>()));
        (n * squares - sum * sum) as f64
    };
    numerator / (n * (n - 1)) as f64
}

/// The numbers of a vector.
#[inline(always)]
fn lanes<S: Simd>(vector: &S::u32s) -> &[u32] {
    bytemuck::cast_slice(std::slice::from_ref(vector))
}

#[cold]
fn large_numerator(sizes: &[u32]) -> f64 {
    let sum: u128 = sizes.iter().map(|size| u128::from(*size)).sum();
    let squares: u128 = sizes.iter().map(|size| u128::from(*size) * u128::from(*size)).sum();
    let numerator = sizes.len() as u128 * squares - sum * sum;
    u64::try_from(numerator).map_or(numerator as f64, |small| small as f64)
}
