//! Time bins that begin at every row: each is the previous one without its first row and with one more at its end.

use std::borrow::Cow;
use std::ops::Range;

use super::bin::BinLevel;
use super::spec::FEATURES;
use super::{Bin, DepthSpec, LEVELS, Levels, MISSING};
use crate::cast::single;
use crate::config::Feature;

/// Bins that are filled at a time, level by level: about 160 kB.
const BINS_AT_ONCE: usize = 256;

/// The largest size that is its own index in a [`Window`]; larger sizes are numbered.
const LARGEST_INDEX: u32 = u16::MAX as u32;

/// Passes on the bins that begin at each row of `starts`, in order. All their rows are in `levels`.
pub(super) fn slide<E>(
    spec: &DepthSpec,
    levels: &Levels<'_>,
    starts: Range<usize>,
    mut take: impl FnMut(usize, &Bin) -> Result<(), E>,
) -> Result<(), E> {
    let mut columns: Vec<Column<'_>> = Vec::new();
    for (side, level) in (0..2).flat_map(|side| (0..LEVELS).map(move |level| (side, level))) {
        columns.push(Column::new(spec, levels, (side, level), starts.start));
    }
    let mut bins = vec![Bin::EMPTY; BINS_AT_ONCE.min(starts.len())];
    for block in starts.clone().step_by(BINS_AT_ONCE) {
        let rows = block..starts.end.min(block + BINS_AT_ONCE);
        for (place, column) in columns.iter_mut().enumerate() {
            let (side, level) = (place / LEVELS, place % LEVELS);
            for (bin, start) in bins.iter_mut().zip(rows.clone()) {
                bin.levels[side][level] = column.at(start);
            }
        }
        for (bin, start) in bins.iter().zip(rows) {
            take(start, bin)?;
        }
    }
    Ok(())
}

/// One level of one side, and the bin that moves along it.
struct Column<'a> {
    length: usize,
    /// In micro-pips.
    prices: Cow<'a, [i64]>,
    sizes: &'a [u32],
    counts: &'a [u32],
    /// Whether each feature is wanted, in [`Feature`]'s order.
    wanted: [bool; FEATURES],
    /// The first row of the bin.
    start: usize,
    /// Number of rows with a price, and their sums.
    present: u64,
    price_sum: i128,
    size_sum: u128,
    squares: u128,
    count_sum: u64,
    window: Window,
    /// The bin at `start`.
    found: BinLevel,
}

impl<'a> Column<'a> {
    /// The column with its bin at `start`.
    fn new(spec: &DepthSpec, levels: &'a Levels<'_>, (side, level): (usize, usize), start: usize) -> Self {
        let wanted = spec.wanted();
        let sizes = &levels.sizes[side][level];
        let mut column = Self {
            length: spec.ticks_per_bin(),
            prices: levels.prices[side][level].to_micro_pips(spec),
            sizes,
            counts: &levels.counts[side][level],
            wanted,
            start,
            present: 0,
            price_sum: 0,
            size_sum: 0,
            squares: 0,
            count_sum: 0,
            window: Window::new(if wanted[Feature::Volume as usize] { sizes } else { &[] }),
            found: BinLevel::MISSING,
        };
        (start..start + column.length).for_each(|row| column.add(row));
        column.found = column.summary();
        column
    }

    /// The bin that begins at `start`: where the last one began, or one row later.
    fn at(&mut self, start: usize) -> BinLevel {
        if start > self.start {
            let (out, new) = (self.start, self.start + self.length);
            self.start = start;
            let unlike = |column: &[u32]| !column.is_empty() && column[out] != column[new];
            if self.prices[out] != self.prices[new] || unlike(self.sizes) || unlike(self.counts) {
                self.remove(out);
                self.add(new);
                self.found = self.summary();
            }
        }
        self.found
    }

    fn add(&mut self, row: usize) {
        if self.prices[row] == MISSING {
            return;
        }
        self.present += 1;
        self.price_sum += i128::from(self.prices[row]);
        if let Some(size) = self.sizes.get(row).copied() {
            self.size_sum += u128::from(size);
            self.squares += u128::from(size) * u128::from(size);
            self.window.add(row, size);
        }
        self.count_sum += self.counts.get(row).map_or(0, |count| u64::from(*count));
    }

    fn remove(&mut self, row: usize) {
        if self.prices[row] == MISSING {
            return;
        }
        self.present -= 1;
        self.price_sum -= i128::from(self.prices[row]);
        if let Some(size) = self.sizes.get(row).copied() {
            self.size_sum -= u128::from(size);
            self.squares -= u128::from(size) * u128::from(size);
            self.window.remove(row, size);
        }
        self.count_sum -= self.counts.get(row).map_or(0, |count| u64::from(*count));
    }

    fn summary(&mut self) -> BinLevel {
        if self.present == 0 {
            return BinLevel::MISSING;
        }
        let n = u128::from(self.present);
        let step = match i64::try_from(self.price_sum) {
            Ok(sum) => sum.div_euclid(self.present.cast_signed()),
            // The mean of 64-bit numbers fits 64 bits.
            Err(_) => i64::try_from(self.price_sum.div_euclid(n.cast_signed())).unwrap_or(MISSING),
        };
        let [volume, variance, trade_counts] = self.wanted;
        let mut values = [0.0; FEATURES];
        if volume {
            values[Feature::Volume as usize] = single(self.window.median(self.present));
        }
        if variance {
            let numerator = n * self.squares - self.size_sum * self.size_sum;
            let numerator = u64::try_from(numerator).map_or_else(|_| numerator as f64, |numerator| numerator as f64);
            values[Feature::Variance as usize] = single(numerator / (n * (n - 1)).max(1) as f64);
        }
        if trade_counts {
            values[Feature::TradeCounts as usize] = self.count_sum as f32;
        }
        BinLevel { step, values }
    }
}

/// The sizes of a bin, for their median.
struct Window {
    /// Number of each size in the bin, and a bit for each that is present.
    counts: Vec<u32>,
    there: Vec<u64>,
    /// The sizes by index, and the index in each row; empty where a size is its own index.
    sizes: Vec<u32>,
    indexes: Vec<u32>,
    /// An index near the lower middle, and the number of sizes below it.
    middle: usize,
    below: u64,
}

impl Window {
    /// A window for bins of a column; its sizes are those that may be added.
    fn new(column: &[u32]) -> Self {
        let largest = column.iter().copied().max().unwrap_or(0);
        let (mut sizes, mut indexes) = (Vec::new(), Vec::new());
        if largest > LARGEST_INDEX {
            sizes = column.to_vec();
            sizes.sort_unstable();
            sizes.dedup();
            let index = |size: &u32| crate::cast::to_u32(sizes.partition_point(|other| other < size));
            indexes = column.iter().map(index).collect();
        }
        let count = if sizes.is_empty() { largest as usize + 1 } else { sizes.len() };
        Self { counts: vec![0; count], there: vec![0; count.div_ceil(64)], sizes, indexes, middle: 0, below: 0 }
    }

    fn index(&self, row: usize, size: u32) -> usize {
        self.indexes.get(row).copied().unwrap_or(size) as usize
    }

    fn add(&mut self, row: usize, size: u32) {
        let index = self.index(row, size);
        let Some(count) = self.counts.get_mut(index) else { return };
        *count += 1;
        self.there[index / 64] |= 1 << (index % 64);
        self.below += u64::from(index < self.middle);
    }

    fn remove(&mut self, row: usize, size: u32) {
        let index = self.index(row, size);
        let Some(count) = self.counts.get_mut(index) else { return };
        *count -= 1;
        if *count == 0 {
            self.there[index / 64] &= !(1 << (index % 64));
        }
        self.below -= u64::from(index < self.middle);
    }

    /// The median of the `n` sizes in the window, at least one.
    fn median(&mut self, n: u64) -> f64 {
        let low = (n - 1) / 2;
        while self.below > low {
            self.middle = self.before(self.middle);
            self.below -= u64::from(self.counts[self.middle]);
        }
        while self.below + u64::from(self.counts[self.middle]) <= low {
            self.below += u64::from(self.counts[self.middle]);
            self.middle = self.after(self.middle);
        }
        let both = self.below + u64::from(self.counts[self.middle]) > n / 2;
        let high = if both { self.middle } else { self.after(self.middle) };
        (f64::from(self.size(self.middle)) + f64::from(self.size(high))) / 2.0
    }

    fn size(&self, index: usize) -> u32 {
        self.sizes.get(index).copied().unwrap_or_else(|| crate::cast::to_u32(index))
    }

    /// The next index that is present. There must be one.
    fn after(&self, index: usize) -> usize {
        let mut word = (index + 1) / 64;
        let mut bits = self.there[word] & (u64::MAX << ((index + 1) % 64));
        while bits == 0 {
            word += 1;
            bits = self.there[word];
        }
        word * 64 + bits.trailing_zeros() as usize
    }

    /// The last index before this one that is present. There must be one.
    fn before(&self, index: usize) -> usize {
        let mut word = index / 64;
        let mut bits = self.there[word] & !(u64::MAX << (index % 64));
        while bits == 0 {
            word -= 1;
            bits = self.there[word];
        }
        word * 64 + 63 - bits.leading_zeros() as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Prices;
    use super::*;

    /// A column's rows: price in micro-pips, size, count.
    fn cells(most: u32) -> impl Strategy<Value = Vec<(Option<i64>, u32, u32)>> {
        let size = prop_oneof![4 => 0..9u32, 2 => 0..=most, 1 => Just(most)];
        let cell = (prop_oneof![1 => Just(None), 6 => (-300..300i64).prop_map(Some)], size, 0..50u32);
        prop::collection::vec(cell, 30..90)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn bins_that_slide_are_those_of_their_rows(
            (cells, length, all, from) in prop_oneof![Just(20), Just(70_000), Just(u32::MAX)]
                .prop_flat_map(|most| (cells(most), 1..12usize, 1..4usize, 0..9usize)),
        ) {
            let prices: Vec<i64> = cells.iter().map(|cell| cell.0.unwrap_or(MISSING)).collect();
            let (sizes, counts): (Vec<u32>, Vec<u32>) = cells.iter().map(|cell| (cell.1, cell.2)).unzip();
            let turned = |cells: &[u32], by: usize| Cow::Owned([&cells[by..], &cells[..by]].concat());
            // Each level has the same cells, rotated to start at another row.
            let each = |cells: &[u32]| std::array::from_fn(|side| {
                std::array::from_fn(|level| turned(cells, side * LEVELS + level))
            });
            let of = |by: usize| Prices::MicroPips(Cow::Owned([&prices[by..], &prices[..by]].concat()));
            let prices = std::array::from_fn(|side| std::array::from_fn(|level| of(side * LEVELS + level)));
            let levels = Levels::new(prices, each(&sizes), each(&counts)).unwrap();
            let spec = DepthSpec::new(&Feature::ALL[..all], length as u64 * 2, length as u64, 1.0).unwrap();
            let mut next = from;
            let starts = from..cells.len() - length + 1;
            slide(&spec, &levels, starts.clone(), |start, bin| {
                assert_eq!(start, next);
                next += 1;
                assert_eq!(bin, &Bin::of_rows(&spec, &levels, start..start + length)[0], "rows from {start}");
                Ok::<(), ()>(())
            }).unwrap();
            prop_assert_eq!(next, starts.end);
        }
    }
}
