//! Exact quantiles of any number of values, in constant memory, from parts in any order.
//!
//! Radix selection over the order-preserving image of f64 in u64: a histogram of the highest digit locates the bucket
//! of each wanted rank; the next pass counts the next digit within those buckets only, and so on. Once these buckets
//! have few values, a last pass gathers them. Histograms of parts can be added, so files and machines can count
//! independently.

use serde::{Deserialize, Serialize};

use crate::cast::{to_u16, to_usize, whole_unsigned};

/// Number of bits in each digit, from the highest. The first covers sign, exponent and four bits of the mantissa.
const DIGITS: [u32; 5] = [16, 12, 12, 12, 12];

/// Number of values that are gathered at most: 4 MiB of keys.
const MOST_GATHERED: u64 = 1 << 19;

/// The key of 0, often the most frequent value. It is counted, never gathered.
const ZERO: u64 = 1 << 63;

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
    /// Number of zeros, counted by the first pass.
    zeros: u64,
    /// The keys of the values in wanted buckets, in any order, except for zeros. Filled by a pass that gathers.
    keys: Vec<u64>,
}

/// Serialized form of a histogram: the number of its buckets, and for each that is not empty the number of empty ones
/// before it and its count; the number of zeros; and the keys.
#[derive(Serialize, Deserialize)]
struct SparseCounts(usize, Vec<(u32, u64)>, u64, Vec<u64>);

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
        Self(histogram.counts.len(), gaps, histogram.zeros, histogram.keys)
    }
}

impl From<SparseCounts> for Histogram {
    fn from(SparseCounts(length, gaps, zeros, keys): SparseCounts) -> Self {
        let mut counts = Vec::new();
        for (empty, count) in gaps {
            counts.resize(counts.len() + empty as usize, 0);
            counts.push(count);
        }
        counts.resize(length, 0);
        Self { counts, zeros, keys }
    }
}

impl Histogram {
    /// Adds the counts of another part.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        self.zeros += other.zeros;
        self.keys.extend_from_slice(&other.keys);
    }
}

/// What a pass does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    /// Counts the next digit.
    Count,
    /// Gathers the values in wanted buckets.
    Gather,
    /// Nothing: the values at the wanted ranks are known.
    Done,
}

/// A wanted rank, as located so far.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// Its rank, from 0, among the values that share the digits so far.
    rank: u64,
    slot: u16,
    /// Number of values that share them; at the end, the number of values that equal this one.
    equal: u64,
    /// At the end, the key of the value at this rank.
    key: u64,
}

/// Serialized form of a selection: for each completed pass that counted, the prefixes with a wanted rank; what the next
/// pass does; and whether it is among absolute values.
#[derive(Serialize, Deserialize)]
struct Passes(Vec<Vec<u64>>, Step, bool);

impl From<Selection> for Passes {
    fn from(selection: Selection) -> Self {
        Self(selection.passes, selection.step, selection.absolute)
    }
}

impl From<Passes> for Selection {
    /// The result is for counting only: the wanted ranks are not serialized.
    fn from(Passes(passes, step, absolute): Passes) -> Self {
        let mut selection = Self { absolute, ..Self::new() };
        for prefixes in passes {
            selection.descend(prefixes);
        }
        Self { step, ..selection }
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
    /// Number of zeros among all values.
    zeros: u64,
    step: Step,
    /// Number of values that are gathered at most.
    most_gathered: u64,
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
        Self {
            passes: Vec::new(),
            tables: Vec::new(),
            prefixes: vec![0],
            wanted: Vec::new(),
            zeros: 0,
            step: Step::Count,
            most_gathered: MOST_GATHERED,
            absolute: false,
        }
    }

    /// Creates a selection among the absolute values of what is counted.
    pub fn of_absolute_values() -> Self {
        Self { absolute: true, ..Self::new() }
    }

    /// Sets the number of values that are gathered at most; if wanted buckets have more, another digit is counted.
    #[must_use]
    pub fn with_most_gathered(self, most_gathered: u64) -> Self {
        Self { most_gathered, ..self }
    }

    /// An empty histogram of this pass.
    pub fn empty(&self) -> Histogram {
        let buckets = match self.step {
            Step::Count => self.prefixes.len() << DIGITS[self.tables.len()],
            Step::Gather | Step::Done => 0,
        };
        Histogram { counts: vec![0; buckets], zeros: 0, keys: Vec::new() }
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
        let Histogram { counts, zeros, keys } = histogram;
        match (self.step, self.tables.split_first()) {
            (Step::Done, _) => {}
            (_, None) => {
                for key in numbers.map(image) {
                    counts[(key >> 48) as usize] += 1;
                    *zeros += u64::from(key == ZERO);
                }
            }
            (step, Some((first, rest))) => {
                for key in numbers.map(image) {
                    let slot = first[(key >> 48) as usize];
                    if slot == NONE {
                        continue;
                    }
                    match step {
                        Step::Gather if key != ZERO && Self::slot_below(rest, key, slot).is_some() => keys.push(key),
                        Step::Gather | Step::Done => {}
                        Step::Count => {
                            if let Some((slot, shift)) = Self::slot_below(rest, key, slot) {
                                counts[usize::from(slot) << 12 | to_usize(key >> shift) & 0xfff] += 1;
                            }
                        }
                    }
                }
            }
        }
    }

    /// The slot of a key after the passes with these tables, and the number of bits below the digit that follows.
    #[inline]
    fn slot_below(tables: &[Vec<u16>], key: u64, mut slot: u16) -> Option<(u16, u32)> {
        let mut shift = 36;
        for table in tables {
            slot = table[usize::from(slot) << 12 | to_usize(key >> shift) & 0xfff];
            if slot == NONE {
                return None;
            }
            shift -= 12;
        }
        Some((slot, shift))
    }

    /// Takes the complete histogram of a pass. After the first pass, `ranks` returns the wanted ranks for the number of
    /// values counted. Returns the values at the ranks, in the same order, once they are known.
    pub fn refine(&mut self, histogram: Histogram, ranks: impl FnOnce(u64) -> Vec<u64>) -> Option<Vec<f64>> {
        match self.step {
            Step::Count => self.locate(&histogram, ranks),
            Step::Gather => self.pick(histogram.keys),
            Step::Done => {}
        }
        (self.step == Step::Done).then(|| self.wanted.iter().map(|w| value_of(w.key)).collect())
    }

    /// Locates the wanted ranks by the counts of the next digit.
    fn locate(&mut self, histogram: &Histogram, ranks: impl FnOnce(u64) -> Vec<u64>) {
        let level = self.tables.len();
        let bits = DIGITS[level];
        if level == 0 {
            let n = histogram.counts.iter().sum();
            self.zeros = histogram.zeros;
            self.wanted = ranks(n)
                .into_iter()
                .map(|rank| Wanted { rank: rank.min(n.saturating_sub(1)), slot: 0, equal: n, key: 0 })
                .collect();
        }
        let mut prefixes: Vec<u64> = Vec::new();
        // Number of values in wanted buckets.
        let mut left = 0;
        for wanted in &mut self.wanted {
            let base = usize::from(wanted.slot) << bits;
            let mut digit = 0;
            // A rank is always within its slot; the bound is for an empty histogram.
            while digit + 1 < 1 << bits && histogram.counts[base + digit] <= wanted.rank {
                wanted.rank -= histogram.counts[base + digit];
                digit += 1;
            }
            wanted.key = self.prefixes[usize::from(wanted.slot)] << bits | digit as u64;
            wanted.equal = histogram.counts[base + digit];
            let slot = prefixes.iter().position(|p| *p == wanted.key).unwrap_or_else(|| {
                prefixes.push(wanted.key);
                left += wanted.equal;
                prefixes.len() - 1
            });
            wanted.slot = to_u16(slot);
        }
        self.descend(prefixes);
        let below = self.bits_below();
        if self.prefixes.contains(&(ZERO >> below)) {
            left = left.saturating_sub(self.zeros);
        }
        self.step = match left {
            _ if below == 0 => Step::Done,
            _ if left <= self.most_gathered => Step::Gather,
            _ => Step::Count,
        };
    }

    /// Picks the values at the wanted ranks from the keys of all values in wanted buckets but the zeros.
    fn pick(&mut self, mut keys: Vec<u64>) {
        keys.sort_unstable();
        let below = self.bits_below();
        let at = |key: u64| keys.partition_point(|k| *k < key) as u64;
        for wanted in &mut self.wanted {
            let prefix = self.prefixes[usize::from(wanted.slot)];
            // The rank among the sorted keys, as if there were no zeros.
            let rank = at(prefix << below) + wanted.rank;
            let zeros = if ZERO >> below == prefix { at(ZERO)..at(ZERO) + self.zeros } else { 0..0 };
            if zeros.contains(&rank) {
                (wanted.key, wanted.equal) = (ZERO, self.zeros);
                continue;
            }
            let rank = if rank < zeros.end { rank } else { rank - (zeros.end - zeros.start) };
            let key = keys.get(to_usize(rank)).or(keys.last()).copied().unwrap_or(ZERO);
            let not_above = keys.partition_point(|k| *k <= key) as u64;
            (wanted.key, wanted.equal) = (key, not_above - at(key));
        }
        self.step = Step::Done;
    }

    /// Number of bits below the prefixes.
    fn bits_below(&self) -> u32 {
        DIGITS[self.tables.len()..].iter().sum()
    }
}

impl Selection {
    /// Once the values are known, the number of values that equal `value`, provided that it is at one of the wanted ranks;
    /// otherwise 0.
    pub fn equal_to(&self, value: f64) -> u64 {
        let found = self.wanted.iter().find(|wanted| self.step == Step::Done && wanted.key == image(value));
        found.map_or(0, |wanted| wanted.equal)
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

    fn select(parts: &[Vec<f64>], qs: &[f64], most_gathered: u64) -> Vec<f64> {
        let n = parts.iter().map(Vec::len).sum::<usize>() as u64;
        let mut selection = Selection::new().with_most_gathered(most_gathered);
        loop {
            let mut histogram = selection.empty();
            for part in parts {
                // Counts as a remote machine would.
                let sent: Selection = serde_json::from_str(&serde_json::to_string(&selection).unwrap()).unwrap();
                let mut counted = sent.empty();
                sent.count(part, &mut counted);
                histogram.merge(&serde_json::from_str(&serde_json::to_string(&counted).unwrap()).unwrap());
            }
            if let Some(values) = selection.refine(histogram, |n| ranks(n, qs)) {
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
        fn selection_equals_sorting(
            parts in prop::collection::vec(values(), 1..4), nbins in 2u16..30,
            most_gathered in prop_oneof![Just(0), 1..20u64, Just(MOST_GATHERED)],
        ) {
            prop_assume!(parts.iter().any(|p| !p.is_empty()));
            let mut qs = inner_quantiles(nbins);
            qs.extend([0.0, 0.5, 1.0]);
            let got: Vec<u64> = select(&parts, &qs, most_gathered).into_iter().map(f64::to_bits).collect();
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
