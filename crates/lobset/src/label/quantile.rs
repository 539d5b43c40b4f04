//! Exact quantiles of any number of values, in constant memory, from parts in any order.
//!
//! Radix selection over the order-preserving image of f64 in u64: a histogram of the highest digit locates the bucket
//! of each wanted rank; the next pass counts the next digit within those buckets only, and so on to the last bit.
//! Histograms of parts can be added, so files and machines can count independently.

use serde::{Deserialize, Serialize};

use crate::cast::{to_u16, to_usize, whole_unsigned};

/// Number of bits in each digit, from the highest. The first covers sign, exponent and four bits of the mantissa.
const DIGITS: [u32; 5] = [16, 12, 12, 12, 12];

/// Marks a bucket without a wanted rank.
const NONE: u16 = u16::MAX;

/// Maps f64 to u64, preserving the order.
#[inline]
fn image(value: f64) -> u64 {
    let bits = value.to_bits();
    bits ^ ((bits.cast_signed() >> 63).cast_unsigned() | 1 << 63)
}

fn value_of(image: u64) -> f64 {
    f64::from_bits(if image >> 63 == 1 { image ^ 1 << 63 } else { !image })
}

/// Counts of one pass; the histograms of parts can be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SparseCounts", into = "SparseCounts")]
pub struct Histogram {
    counts: Vec<u64>,
}

/// Serialized form of a histogram: its length, then for each non-empty bucket the number of empty ones before it and
/// its count.
#[derive(Serialize, Deserialize)]
struct SparseCounts(usize, Vec<(u32, u64)>);

impl From<Histogram> for SparseCounts {
    fn from(histogram: Histogram) -> Self {
        let mut empty = 0;
        let mut gaps = Vec::new();
        for count in &histogram.counts {
            if *count == 0 {
                empty += 1;
            } else {
                gaps.push((std::mem::take(&mut empty), *count));
            }
        }
        Self(histogram.counts.len(), gaps)
    }
}

impl From<SparseCounts> for Histogram {
    fn from(SparseCounts(length, gaps): SparseCounts) -> Self {
        let mut counts = Vec::new();
        for (empty, count) in gaps {
            counts.resize(counts.len() + empty as usize, 0);
            counts.push(count);
        }
        counts.resize(length, 0);
        Self { counts }
    }
}

impl Histogram {
    /// Adds the counts of another part.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
    }
}

/// A wanted rank, as located so far.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// Its rank, from 0, among the values that share the digits so far.
    rank: u64,
    slot: u16,
    /// Number of values that share them.
    equal: u64,
}

/// Serialized form of a selection: for each completed pass, the prefixes with a wanted rank; and whether it is among
/// absolute values.
#[derive(Serialize, Deserialize)]
struct Passes(Vec<Vec<u64>>, bool);

impl From<Selection> for Passes {
    fn from(selection: Selection) -> Self {
        Self(selection.passes, selection.absolute)
    }
}

impl From<Passes> for Selection {
    /// The result is for counting only: the wanted ranks are not serialized.
    fn from(Passes(passes, absolute): Passes) -> Self {
        let mut selection = Self { absolute, ..Self::new() };
        for prefixes in passes {
            selection.descend(prefixes);
        }
        selection
    }
}

/// A selection in progress: alternate [`count`](Self::count) over all values and [`refine`](Self::refine) until the
/// latter returns the values.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Passes", into = "Passes")]
pub struct Selection {
    /// For each completed pass: the prefixes of the slots of the next pass.
    passes: Vec<Vec<u64>>,
    /// For each completed pass: the slot of the next pass for each bucket of each slot.
    tables: Vec<Vec<u16>>,
    /// The prefix of each slot of this pass: the digits that its values share.
    prefixes: Vec<u64>,
    wanted: Vec<Wanted>,
    /// Whether it selects among absolute values.
    absolute: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self::new()
    }
}

impl Selection {
    /// Creates a selection before its first pass.
    pub fn new() -> Self {
        Self { passes: Vec::new(), tables: Vec::new(), prefixes: vec![0], wanted: Vec::new(), absolute: false }
    }

    /// Creates a selection among the absolute values of what is counted.
    pub fn of_absolute_values() -> Self {
        Self { absolute: true, ..Self::new() }
    }

    /// An empty histogram of this pass.
    pub fn empty(&self) -> Histogram {
        Histogram { counts: vec![0; self.prefixes.len() << DIGITS[self.tables.len()]] }
    }

    /// The sum of the histograms of parts.
    pub fn merge<'a>(&self, parts: impl IntoIterator<Item = &'a Histogram>) -> Histogram {
        let mut all = self.empty();
        parts.into_iter().for_each(|part| all.merge(part));
        all
    }

    /// Counts values into a histogram of this pass. NaN is ignored.
    pub fn count(&self, values: &[f64], histogram: &mut Histogram) {
        let numbers = values.iter().copied().filter(|v| !v.is_nan());
        match self.absolute {
            true => self.count_numbers(numbers.map(f64::abs), histogram),
            false => self.count_numbers(numbers, histogram),
        }
    }

    fn count_numbers(&self, numbers: impl Iterator<Item = f64>, histogram: &mut Histogram) {
        match self.tables.split_first() {
            None => {
                for value in numbers {
                    histogram.counts[(image(value) >> 48) as usize] += 1;
                }
            }
            Some((first, rest)) => {
                for value in numbers {
                    let key = image(value);
                    let slot = first[(key >> 48) as usize];
                    if slot != NONE {
                        Self::count_below(rest, key, slot, &mut histogram.counts);
                    }
                }
            }
        }
    }

    fn count_below(tables: &[Vec<u16>], key: u64, mut slot: u16, counts: &mut [u64]) {
        let mut shift = 36;
        for table in tables {
            slot = table[usize::from(slot) << 12 | to_usize(key >> shift) & 0xfff];
            if slot == NONE {
                return;
            }
            shift -= 12;
        }
        counts[usize::from(slot) << 12 | to_usize(key >> shift) & 0xfff] += 1;
    }

    /// Takes the complete histogram of a pass. After the first pass, `ranks` returns the wanted ranks for the number of
    /// values counted. Returns the values at the ranks, in the same order, after the last pass.
    pub fn refine(&mut self, histogram: &Histogram, ranks: impl FnOnce(u64) -> Vec<u64>) -> Option<Vec<f64>> {
        let level = self.tables.len();
        let bits = DIGITS[level];
        if level == 0 {
            let n = histogram.counts.iter().sum();
            self.wanted = ranks(n)
                .into_iter()
                .map(|rank| Wanted { rank: rank.min(n.saturating_sub(1)), slot: 0, equal: n })
                .collect();
        }
        let mut prefixes: Vec<u64> = Vec::new();
        for wanted in &mut self.wanted {
            let base = usize::from(wanted.slot) << bits;
            let mut digit = 0;
            // A rank is always within its slot; the bound is for an empty histogram.
            while digit + 1 < 1 << bits && histogram.counts[base + digit] <= wanted.rank {
                wanted.rank -= histogram.counts[base + digit];
                digit += 1;
            }
            let prefix = self.prefixes[usize::from(wanted.slot)] << bits | digit as u64;
            let slot = prefixes.iter().position(|p| *p == prefix).unwrap_or_else(|| {
                prefixes.push(prefix);
                prefixes.len() - 1
            });
            wanted.slot = to_u16(slot);
            wanted.equal = histogram.counts[base + digit];
        }
        self.descend(prefixes);
        (self.tables.len() == DIGITS.len())
            .then(|| self.wanted.iter().map(|w| value_of(self.prefixes[usize::from(w.slot)])).collect())
    }
}

impl Selection {
    /// After the last pass, the number of values that equal `value`, provided that it is at one of the wanted ranks;
    /// otherwise 0.
    pub fn equal_to(&self, value: f64) -> u64 {
        let found = |wanted: &&Wanted| value_of(self.prefixes[usize::from(wanted.slot)]).to_bits() == value.to_bits();
        match self.tables.len() == DIGITS.len() {
            true => self.wanted.iter().find(found).map_or(0, |wanted| wanted.equal),
            false => 0,
        }
    }

    /// Ends a pass: the next pass counts only values with one of these prefixes, which extend those of this pass.
    fn descend(&mut self, prefixes: Vec<u64>) {
        let bits = DIGITS[self.tables.len()];
        let mut table = vec![NONE; self.prefixes.len() << bits];
        for (slot, prefix) in prefixes.iter().enumerate() {
            if let Some(parent) = self.prefixes.iter().position(|p| *p == prefix >> bits) {
                table[parent << bits | to_usize(prefix & ((1 << bits) - 1))] = to_u16(slot);
            }
        }
        self.tables.push(table);
        self.passes.push(prefixes.clone());
        self.prefixes = prefixes;
    }
}

/// The two ranks between which a quantile of `n` values lies, and its distance from the first, from 0 to 1.
fn place(n: u64, q: f64) -> (u64, u64, f64) {
    let last = n.saturating_sub(1);
    let virtual_index = last as f64 * q;
    let below = virtual_index.floor();
    let rank = whole_unsigned(below);
    (rank.min(last), (rank + 1).min(last), virtual_index - below)
}

/// The ranks needed for the quantiles `qs` of `n` values, two each.
pub fn ranks(n: u64, qs: &[f64]) -> Vec<u64> {
    qs.iter()
        .flat_map(|q| {
            let (a, b, _) = place(n, *q);
            [a, b]
        })
        .collect()
}

/// The quantiles `qs` from the values at [`ranks`], as numpy's `linear` method computes them, bit for bit.
///
/// Source: Hyndman and Fan (1996), type 7; the interpolation from the nearer neighbour is numpy's `_lerp`.
pub fn interpolate(n: u64, qs: &[f64], at_ranks: &[f64]) -> Vec<f64> {
    let (pairs, _) = at_ranks.as_chunks::<2>();
    qs.iter()
        .zip(pairs)
        .map(|(q, [a, b])| {
            let (_, _, t) = place(n, *q);
            let difference = b - a;
            if t >= 0.5 { b - difference * (1.0 - t) } else { a + difference * t }
        })
        .collect()
}

/// The inner quantiles that separate `nbins` classes: k / nbins, k = 1..nbins.
pub fn inner_quantiles(nbins: u16) -> Vec<f64> {
    (1..nbins).map(|k| f64::from(k) / f64::from(nbins)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn select(parts: &[Vec<f64>], qs: &[f64]) -> Vec<f64> {
        let n = parts.iter().map(Vec::len).sum::<usize>() as u64;
        let mut selection = Selection::new();
        loop {
            let mut histogram = selection.empty();
            for part in parts {
                // Counts as a remote machine would.
                let sent: Selection = serde_json::from_str(&serde_json::to_string(&selection).unwrap()).unwrap();
                let mut counted = sent.empty();
                sent.count(part, &mut counted);
                histogram.merge(&serde_json::from_str(&serde_json::to_string(&counted).unwrap()).unwrap());
            }
            if let Some(values) = selection.refine(&histogram, |n| ranks(n, qs)) {
                for value in &values {
                    let equal = parts.iter().flatten().filter(|v| v.to_bits() == value.to_bits()).count() as u64;
                    assert_eq!(selection.equal_to(*value), equal);
                }
                assert_eq!(selection.equal_to(0.123), 0);
                return interpolate(n, qs, &values);
            }
        }
    }

    fn reference(parts: &[Vec<f64>], qs: &[f64]) -> Vec<f64> {
        let mut sorted: Vec<f64> = parts.concat();
        sorted.sort_by(f64::total_cmp);
        qs.iter()
            .map(|q| {
                let at = (sorted.len() - 1) as f64 * q;
                let (i, t) = (at.floor() as usize, at - at.floor());
                let (a, b) = (sorted[i], sorted[(i + 1).min(sorted.len() - 1)]);
                if t >= 0.5 { b - (b - a) * (1.0 - t) } else { a + (b - a) * t }
            })
            .collect()
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let value = prop_oneof![
            -1e-3..1e-3f64,
            (-5i32..5).prop_map(f64::from),
            any::<f64>().prop_filter("a number", |v| v.is_finite() && v.abs() < 1e300),
        ];
        prop::collection::vec(value.prop_map(|v| v + 0.0), 0..60)
    }

    proptest! {
        #[test]
        fn selection_equals_sorting(parts in prop::collection::vec(values(), 1..4), nbins in 2u16..30) {
            prop_assume!(parts.iter().any(|p| !p.is_empty()));
            let mut qs = inner_quantiles(nbins);
            qs.extend([0.0, 0.5, 1.0]);
            let got: Vec<u64> = select(&parts, &qs).into_iter().map(f64::to_bits).collect();
            let want: Vec<u64> = reference(&parts, &qs).into_iter().map(f64::to_bits).collect();
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn images_keep_the_order() {
        let ordered = [f64::NEG_INFINITY, -1.0, -1e-300, 0.0, 1e-300, 1.0, f64::INFINITY];
        assert!(ordered.windows(2).all(|w| image(w[0]) < image(w[1])));
        assert!(ordered.iter().all(|v| value_of(image(*v)) == *v));
    }
}
