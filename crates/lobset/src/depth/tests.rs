//! Tensors against the definition, cell by cell.

use std::borrow::Cow;

use dbn::UNDEF_PRICE;
use proptest::prelude::*;
#[cfg(target_arch = "x86_64")]
use pulp::x86::V3;
use pulp::{Arch, Simd, WithSimd};

use super::*;

/// One level of a row: price in micro-pips, size, count.
type Cell = (Option<i64>, u32, u32);

/// Rows of bids and asks, ten levels each.
type Book = Vec<[[Cell; LEVELS]; 2]>;

/// How prices come; a micro-pip is 0.01.
#[derive(Debug, Clone, Copy)]
enum Units {
    Float,
    /// Between micro-pips.
    Between,
    Fixed,
    MicroPips,
}

impl Units {
    const ALL: [Self; 4] = [Self::Float, Self::Between, Self::Fixed, Self::MicroPips];

    fn prices(self, pips: impl Iterator<Item = Option<i64>>) -> Prices<'static> {
        match self {
            Self::Float => Prices::Float(pips.map(|p| p.map_or(f64::NAN, |p| p as f64 * 0.01)).collect()),
            Self::Between => Prices::Float(pips.map(|p| p.map_or(f64::NAN, |p| p as f64 * 0.01 + 0.003)).collect()),
            Self::Fixed => Prices::Fixed(pips.map(|p| p.map_or(UNDEF_PRICE, |p| p * 10_000_000)).collect()),
            Self::MicroPips => Prices::MicroPips(pips.map(|p| p.unwrap_or(MISSING)).collect()),
        }
    }
}

fn levels(book: &Book, units: Units) -> Levels<'static> {
    let column = |side: usize, level: usize| book.iter().map(move |row| row[side][level]);
    let each = |make: &dyn Fn(usize, usize) -> Cow<'static, [u32]>| {
        std::array::from_fn(|side| std::array::from_fn(|level| make(side, level)))
    };
    let price = |side, level| units.prices(column(side, level).map(|c| c.0));
    Levels::new(
        std::array::from_fn(|side| std::array::from_fn(|level| price(side, level))),
        each(&|side, level| column(side, level).map(|c| c.1).collect()),
        each(&|side, level| column(side, level).map(|c| c.2).collect()),
    )
    .unwrap()
}

/// Section 8 of the design, word by word.
fn reference(book: &Book, feature: Feature, ticks_per_bin: usize) -> Vec<f32> {
    let last = book.last().unwrap();
    let m = (last[0][0].0.unwrap() + last[1][0].0.unwrap()) as f64 / 2.0;
    let base = (m + 0.5).floor() as i64;
    let bins: Vec<_> = book.chunks(ticks_per_bin).collect();
    let mut picture = vec![vec![0.0; bins.len()]; LADDER];
    for (t, bin) in bins.iter().enumerate() {
        for side in 0..2 {
            let mut half = vec![0.0; 201];
            for level in 0..LEVELS {
                let cells: Vec<_> = bin.iter().map(|row| row[side][level]).filter(|c| c.0.is_some()).collect();
                let n = cells.len() as f64;
                if cells.is_empty() {
                    continue;
                }
                let price = (cells.iter().map(|c| c.0.unwrap()).sum::<i64>() as f64 / n).floor() as i64;
                let mut sizes: Vec<f64> = cells.iter().map(|c| f64::from(c.1)).collect();
                sizes.sort_by(f64::total_cmp);
                let mean = sizes.iter().sum::<f64>() / n;
                let value = match feature {
                    Feature::Volume => (sizes[(sizes.len() - 1) / 2] + sizes[sizes.len() / 2]) / 2.0,
                    Feature::Variance if cells.len() == 1 => 0.0,
                    Feature::Variance => sizes.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / (n - 1.0),
                    Feature::TradeCounts => cells.iter().map(|c| f64::from(c.2)).sum(),
                };
                let distance = if side == 1 { price - base } else { base - 1 - price };
                if (0..201).contains(&distance) {
                    half[distance as usize] = value;
                }
            }
            let mut sum = 0.0;
            for (distance, value) in half.into_iter().enumerate() {
                sum += value;
                let (row, sign) = if side == 1 { (200 - distance, 1.0) } else { (201 + distance, -1.0) };
                picture[row][t] = sign * sum;
            }
        }
    }
    let largest = picture.iter().flatten().fold(0.0_f64, |a, b| a.max(b.abs()));
    let scale = if largest == 0.0 { 1.0 } else { largest };
    picture.iter().flatten().map(|v| (v / scale) as f32).collect()
}

fn check(book: &Book, features: &[Feature], ticks_per_bin: usize) {
    let spec = DepthSpec::new(features, book.len() as u64, ticks_per_bin as u64, 0.01).unwrap();
    let want: Vec<_> = spec.features().iter().map(|feature| reference(book, *feature, ticks_per_bin)).collect();
    for units in Units::ALL {
        let mut found = vec![f32::NAN; spec.cells()];
        spec.process(&levels(book, units), &mut found).unwrap();
        for ((feature, want), channel) in spec.features().iter().zip(&want).zip(found.chunks(want[0].len())) {
            let differs = channel.iter().zip(want).position(|(a, b)| (a - b).abs() > 1e-6);
            assert_eq!(differs, None, "{feature:?} of {units:?} prices at cell {differs:?}");
        }
    }
}

/// Prices that hold, step, vanish, collide and leave the ladder; sizes that repeat or do not.
fn book() -> impl Strategy<Value = (Book, usize)> {
    let cell = (
        prop_oneof![8 => (-3..4_i64).prop_map(Some), 1 => Just(None), 1 => (-400..400_i64).prop_map(Some)],
        prop_oneof![4 => 0..5_u32, 1 => (any::<u32>(), 0..32).prop_map(|(v, bits)| v >> bits)],
        0..4_u32,
    );
    let row = prop::array::uniform2(prop::array::uniform10(cell));
    (prop::collection::vec((row, 1..40_usize), 1..8), 1..50_usize).prop_map(|(rows, ticks)| {
        let mut book: Book = rows.iter().flat_map(|(row, times)| std::iter::repeat_n(*row, *times)).collect();
        for row in &mut book {
            for (side, sign) in row.iter_mut().zip([-1, 1]) {
                for (level, cell) in (0..).zip(side) {
                    cell.0 = cell.0.map(|wiggle| 1_000 + sign * (2 + 3 * level) + wiggle);
                }
            }
        }
        let whole = book.len() - book.len() % ticks;
        let ticks = if whole == 0 { 1 } else { ticks };
        book.truncate(whole.max(1));
        let last = book.last_mut().unwrap();
        for side in last {
            side[0].0 = side[0].0.or(Some(1_000));
        }
        (book, ticks)
    })
}

/// Instruction sets of this machine.
fn architectures() -> Vec<Arch> {
    let all = [
        Some(Arch::Scalar),
        #[cfg(target_arch = "x86_64")]
        V3::try_new().map(Arch::V3),
        Some(Arch::new()),
    ];
    all.into_iter().flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]
    #[test]
    fn every_cell_is_that_of_the_definition((book, ticks) in book()) {
        check(&book, &[Feature::TradeCounts, Feature::Volume, Feature::Variance], ticks);
    }

    #[test]
    fn bins_are_the_same_by_all_instruction_sets_and_for_all_units((book, ticks) in book()) {
        let features = [Feature::TradeCounts, Feature::Volume, Feature::Variance];
        let spec = DepthSpec::new(&features, book.len() as u64, ticks as u64, 0.01).unwrap();
        let bins = |arch, units| Bin::of_rows_with(arch, &spec, &levels(&book, units), 0..book.len());
        let all = architectures().into_iter().flat_map(|arch| Units::ALL.map(|units| (arch, units)));
        let all: Vec<_> = all.map(|(arch, units)| bins(arch, units)).collect();
        prop_assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn prices_are_rounded_one_by_one(prices in prices(), size in prop_oneof![Just(0.01), Just(1e-5), 1e-9..10.0]) {
        let units: Vec<f64> = prices.iter().map(|price| price * size).collect();
        let spec = DepthSpec::new(&[Feature::Volume], units.len() as u64, units.len() as u64, size).unwrap();
        let steps: Vec<i128> =
            units.iter().filter(|p| !p.is_nan()).map(|p| i128::from((p / size).round_ties_even() as i64)).collect();
        let fixed: Vec<i64> = prices.iter().map(|p| *p as i64).filter(|p| *p != UNDEF_PRICE).collect();
        let of_fixed = fixed.iter().map(|p| i128::from((*p as f64 / 1e9 / size).round_ties_even() as i64));
        let of_fixed = (of_fixed.sum(), fixed.len());
        for arch in architectures() {
            let sum = |prices| arch.dispatch(Sum { prices: &prices, spec: &spec });
            prop_assert_eq!(sum(Prices::Float(Cow::Borrowed(&units))), (steps.iter().sum(), steps.len()));
            prop_assert_eq!(sum(Prices::Fixed(Cow::Borrowed(&fixed))), of_fixed);
        }
    }
}

/// Prices in micro-pips: on the grid, close to it, half-way, anywhere, none.
fn prices() -> impl Strategy<Value = Vec<f64>> {
    let whole = prop_oneof![-1_000..1_000_i64, -(1_i64 << 45)..1 << 45, Just((1 << 38) - 1), Just(-(1 << 38))];
    let off = prop_oneof![Just(0.0), Just(0.5), Just(0.25), -1e-3..1e-3, 0.499..0.501];
    let odd = prop_oneof![any::<f64>().prop_map(|p| p / 1e20), Just(f64::NAN), Just(f64::INFINITY), Just(1e300)];
    let grid = whole.clone().prop_map(|w| w as f64);
    let mixed = prop_oneof![20 => grid.clone(), 2 => (whole, off).prop_map(|(w, off)| w as f64 + off), 1 => odd];
    prop_oneof![prop::collection::vec(grid, 1..1_500), prop::collection::vec(mixed, 1..40)]
}

struct Sum<'a> {
    prices: &'a Prices<'a>,
    spec: &'a DepthSpec,
}

impl WithSimd for Sum<'_> {
    type Output = (i128, usize);

    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let Self { prices, spec } = self;
        prices.sum(simd, spec, prices.scale(spec), 0..prices.len(), &mut Vec::new())
    }
}

#[test]
fn bins_of_many_different_sizes() {
    for rows in [1, 15, 16, 17, 100, 129, 300, 2_040, 2_041, 5_000] {
        // Sizes come in no order, and twice each; a few rows lack a price.
        let cell = |row: u32, level: u32| {
            let there = row % 37 != 36 || row + 1 == rows;
            (there.then_some(1_000 + 3 * i64::from(level)), (row * 7_919 + level) % rows / 2, row)
        };
        let side = |row, at| std::array::from_fn(|level| cell(row, at * (level as u32 + 1)));
        let book: Book = (0..rows).map(|row| [side(row, 1), side(row, 2)]).collect();
        check(&book, &[Feature::Volume, Feature::Variance, Feature::TradeCounts], rows as usize);
    }
}

#[test]
fn bins_after_those_of_the_largest_sizes() {
    let book: Book = vec![[[(Some(1_000), u32::MAX, 1); LEVELS]; 2]; 9];
    check(&book, &[Feature::Volume, Feature::Variance], 1);
}

#[test]
fn what_has_no_picture_is_refused() {
    let book: Book = vec![[[(Some(10), 1, 1); LEVELS]; 2]; 6];
    let spec = DepthSpec::new(&[Feature::Volume], 4, 2, 0.01).unwrap();
    let mut out = vec![0.0; spec.cells()];
    assert!(spec.process(&levels(&book, Units::Float), &mut out).unwrap_err().contains("exactly 4 rows, not 6"));
    let mut cut = book[..4].to_vec();
    cut[3][1][0].0 = None;
    assert!(spec.process(&levels(&cut, Units::Float), &mut out).unwrap_err().contains("best ask"));
    assert!(DepthSpec::new(&[Feature::Volume], 5, 2, 0.01).is_err());
    assert!(DepthSpec::new(&[], 4, 2, 0.01).is_err());
}
