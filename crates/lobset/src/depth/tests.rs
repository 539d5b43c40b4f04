//! Compares tensors with the definition, cell by cell.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dbn::UNDEF_PRICE;
use proptest::prelude::*;
#[cfg(target_arch = "x86_64")]
use pulp::x86::V3;
use pulp::{Arch, Simd, WithSimd};

use super::*;
use crate::config::Feature;

/// One level of a row: price in micro-pips, size, count.
type Cell = (Option<i64>, u32, u32);

/// Rows of bids and asks, ten levels each.
type Book = Vec<[[Cell; LEVELS]; 2]>;

/// Units of the input prices; a micro-pip is 0.01.
#[derive(Debug, Clone, Copy)]
enum Units {
    Float,
    /// Floats that are not whole micro-pips.
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

/// The value of a feature for a bin's cells of one level.
fn value(cells: &[Cell], feature: Feature) -> f64 {
    let mut sizes: Vec<u128> = cells.iter().map(|cell| u128::from(cell.1)).collect();
    sizes.sort_unstable();
    let n = sizes.len() as u128;
    match feature {
        Feature::Volume => (sizes[(sizes.len() - 1) / 2] + sizes[sizes.len() / 2]) as f64 / 2.0,
        Feature::Variance if n == 1 => 0.0,
        // Exact until the division: the difference of two sides in a crossed bin would show any rounding before it.
        Feature::Variance => {
            let (sum, squares) = (sizes.iter().sum::<u128>(), sizes.iter().map(|s| s * s).sum::<u128>());
            (n * squares - sum * sum) as f64 / (n * (n - 1)) as f64
        }
        Feature::TradeCounts => cells.iter().map(|cell| f64::from(cell.2)).sum(),
    }
}

/// A literal implementation of section 8 of the design.
fn reference(book: &Book, feature: Feature, ticks_per_bin: usize) -> Vec<f32> {
    let last = book.last().unwrap();
    let base = (last[0][0].0.unwrap() + last[1][0].0.unwrap() + 1).div_euclid(2);
    let ladder = base - 201..=base + 200;
    let mut columns = Vec::new();
    for bin in book.chunks(ticks_per_bin) {
        let [bids, asks] = [0, 1].map(|side| {
            let mut steps = BTreeMap::new();
            for level in 0..LEVELS {
                let cells: Vec<Cell> = bin.iter().map(|row| row[side][level]).filter(|cell| cell.0.is_some()).collect();
                if cells.is_empty() {
                    continue;
                }
                let price = cells.iter().map(|cell| cell.0.unwrap()).sum::<i64>().div_euclid(cells.len() as i64);
                if ladder.contains(&price) {
                    steps.insert(price, f64::from(value(&cells, feature) as f32));
                }
            }
            steps
        });
        let column = ladder.clone().rev().map(|step| {
            let asks = asks.range(..=step).fold(0.0, |sum, (_, value)| sum + value);
            let bids = bids.range(step..).rev().fold(0.0, |sum, (_, value)| sum + value);
            asks - bids
        });
        columns.push(column.collect::<Vec<f64>>());
    }
    let largest = columns.iter().flatten().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let scale = if largest == 0.0 { 1.0 } else { largest };
    (0..LADDER).flat_map(|row| columns.iter().map(move |column| (column[row] / scale) as f32)).collect()
}

fn tensor(book: &Book, features: &[Feature], ticks_per_bin: usize, units: Units) -> Vec<f32> {
    let spec = DepthSpec::new(features, book.len() as u64, ticks_per_bin as u64, 0.01).unwrap();
    let mut cells = vec![f32::NAN; spec.cells()];
    spec.process(&levels(book, units), &mut cells).unwrap();
    cells
}

/// Checks that every cell equals the definition, to the last bit.
fn check(book: &Book, features: &[Feature], ticks_per_bin: usize) {
    let mut features = features.to_vec();
    features.sort_unstable();
    let want: Vec<f32> = features.iter().flat_map(|feature| reference(book, *feature, ticks_per_bin)).collect();
    for units in Units::ALL {
        let found = tensor(book, &features, ticks_per_bin, units);
        assert_eq!(found.len(), want.len());
        let differs = found.iter().zip(&want).position(|(a, b)| a.to_bits() != b.to_bits());
        if let Some(cell) = differs {
            let (found, want) = (found[cell], want[cell]);
            panic!("cell {cell} of {features:?}, {units:?} prices: {found:?} instead of {want:?}");
        }
    }
}

/// How the price of a book moves from its first row to its last.
#[derive(Debug, Clone)]
struct Path {
    /// Mid price of the last row.
    end: i64,
    /// Rise from the first row to the last.
    rise: i64,
    /// From the best bid to the best ask; below 0 in crossed rows.
    spread: i64,
}

fn path() -> impl Strategy<Value = Path> {
    let rise = prop_oneof![2 => Just(0), 2 => -150..150_i64, 3 => -700..700_i64];
    let spread = prop_oneof![6 => Just(4), 1 => -60..60_i64, 1 => -500..0_i64];
    (prop_oneof![Just(1_000), Just(0)], rise, spread).prop_map(|(end, rise, spread)| Path { end, rise, spread })
}

/// Prices that stay, step, trend across the ladder and beyond, disappear with their level or their whole side, collide
/// and cross; sizes that repeat or do not.
fn book() -> impl Strategy<Value = (Book, usize)> {
    let cell = (
        prop_oneof![8 => (-3..4_i64).prop_map(Some), 1 => Just(None), 1 => (-400..400_i64).prop_map(Some)],
        prop_oneof![4 => 0..5_u32, 1 => (any::<u32>(), 0..32).prop_map(|(v, bits)| v >> bits)],
        0..4_u32,
    );
    let gone = prop_oneof![8 => Just(None), 1 => (0..2_usize).prop_map(Some)];
    let row = (prop::array::uniform2(prop::array::uniform10(cell)), gone);
    (prop::collection::vec((row, 1..40_usize), 1..8), 1..50_usize, path()).prop_map(|(rows, ticks, path)| {
        let mut book: Book = Vec::new();
        for ((mut row, gone), times) in rows {
            if let Some(side) = gone {
                row[side] = row[side].map(|(_, size, count)| (None, size, count));
            }
            book.extend(std::iter::repeat_n(row, times));
        }
        let whole = book.len() - book.len() % ticks;
        let ticks = if whole == 0 { 1 } else { ticks };
        book.truncate(whole.max(1));
        let rows = book.len() as i64;
        for (number, row) in (1..).zip(&mut book) {
            let bid = path.end - path.rise * (rows - number) / rows - path.spread / 2;
            for (side, (best, sign)) in row.iter_mut().zip([(bid, -1), (bid + path.spread, 1)]) {
                for (level, cell) in (0..).zip(side) {
                    cell.0 = cell.0.map(|wiggle| best + sign * 3 * level + wiggle);
                }
            }
        }
        for side in book.last_mut().unwrap() {
            side[0].0 = side[0].0.or(Some(path.end));
        }
        (book, ticks)
    })
}

/// A row with these steps and sizes, from the best level on; the other levels are missing.
fn row(bids: &[(i64, u32)], asks: &[(i64, u32)]) -> [[Cell; LEVELS]; 2] {
    [bids, asks].map(|side| {
        std::array::from_fn(|level| side.get(level).map_or((None, 0, 0), |(step, size)| (Some(*step), *size, 1)))
    })
}

/// The first column of the volume channel, as runs of equal cells from the highest step down. Each of `rows` is a bin;
/// a last row is added, whose ladder runs from step 799 to 1200 and whose value, 8, is the largest.
fn first_column(rows: &[[[Cell; LEVELS]; 2]]) -> Vec<(usize, f32)> {
    let mut book = rows.to_vec();
    book.push(row(&[(999, 8)], &[(1_001, 8)]));
    let column: Vec<f32> = tensor(&book, &[Feature::Volume], 1, Units::Float).into_iter().step_by(book.len()).collect();
    assert!(column.iter().all(|cell| cell.to_bits() != (-0.0_f32).to_bits()), "no cell is a negative zero");
    column.chunk_by(PartialEq::eq).map(|run| (run.len(), run[0] * 8.0)).collect()
}

#[test]
fn both_sides_follow_the_price_over_the_whole_ladder() {
    let at = |mid: i64| first_column(&[row(&[(mid - 1, 3), (mid - 3, 2)], &[(mid + 1, 4), (mid + 4, 1)])]);
    assert_eq!(at(1_000), [(197, 5.0), (3, 4.0), (1, 0.0), (2, -3.0), (199, -5.0)], "where the last row stands");
    assert_eq!(at(900), [(297, 5.0), (3, 4.0), (1, 0.0), (2, -3.0), (99, -5.0)], "the price has risen since");
    assert_eq!(at(1_100), [(97, 5.0), (3, 4.0), (1, 0.0), (2, -3.0), (299, -5.0)], "the price has fallen since");
    assert_eq!(at(800), [(397, 5.0), (3, 4.0), (1, 0.0), (1, -3.0)], "one bid is left");
    assert_eq!(at(1_199), [(1, 4.0), (1, 0.0), (2, -3.0), (398, -5.0)], "one ask is left");
}

#[test]
fn levels_beyond_the_ladder_are_left_out() {
    let at = |mid: i64| first_column(&[row(&[(mid - 1, 3), (mid - 3, 2)], &[(mid + 1, 4), (mid + 4, 1)])]);
    assert_eq!(at(799), [(398, 5.0), (3, 4.0), (1, 0.0)], "no bid, though the mid lies on the lowest step");
    assert_eq!(at(795), [(402, 1.0)], "only the second ask, on the lowest step");
    assert_eq!(at(1_201), [(2, -3.0), (400, -5.0)], "no ask, though the mid is close");
    assert_eq!(at(1_203), [(402, -2.0)], "only the second bid, on the highest step");
    assert_eq!(at(790), [(402, 0.0)]);
    assert_eq!(at(1_300), [(402, 0.0)]);
    assert_eq!(at(-5_000), [(402, 0.0)]);
}

#[test]
fn a_crossed_bin_holds_the_difference() {
    let crossed = |bids: &[(i64, u32)], asks: &[(i64, u32)]| first_column(&[row(bids, asks)]);
    assert_eq!(crossed(&[(1_010, 3)], &[(990, 5)]), [(190, 5.0), (21, 2.0), (191, -3.0)]);
    assert_eq!(crossed(&[(1_000, 3)], &[(1_000, 5)]), [(200, 5.0), (1, 2.0), (201, -3.0)], "on the same step");
    assert_eq!(crossed(&[(1_000, 4)], &[(1_000, 4)]), [(200, 4.0), (1, 0.0), (201, -4.0)], "and of the same size");
    assert_eq!(crossed(&[(1_001, 4)], &[(1_000, 4)]), [(199, 4.0), (2, 0.0), (201, -4.0)]);
    assert_eq!(crossed(&[(1_200, 7)], &[(799, 2)]), [(402, -5.0)], "over the whole ladder");
    // Each side accumulates from its own best price: two asks and two bids that alternate.
    let between = crossed(&[(1_006, 1), (1_002, 2)], &[(1_000, 3), (1_004, 1)]);
    assert_eq!(between, [(194, 4.0), (3, 3.0), (1, 2.0), (3, 0.0), (201, -3.0)]);
}

#[test]
fn the_largest_value_is_that_of_a_cell() {
    // Every cell of the only bin is 5 - 3: neither side's own sum is a value of the channel.
    let book = vec![row(&[(1_200, 3)], &[(799, 5)])];
    assert!(tensor(&book, &[Feature::Volume], 1, Units::Float).iter().all(|cell| *cell == 1.0));
    let book = vec![row(&[(1_200, 5)], &[(799, 3)])];
    assert!(tensor(&book, &[Feature::Volume], 1, Units::Float).iter().all(|cell| *cell == -1.0));
    let book = vec![row(&[(1_200, 5)], &[(799, 5)])];
    assert!(tensor(&book, &[Feature::Volume], 1, Units::Float).iter().all(|cell| cell.to_bits() == 0));
}

#[test]
fn bins_with_one_side_or_none() {
    assert_eq!(first_column(&[row(&[], &[(950, 4)])]), [(251, 4.0), (151, 0.0)]);
    assert_eq!(first_column(&[row(&[(1_050, 4)], &[])]), [(150, 0.0), (252, -4.0)]);
    assert_eq!(first_column(&[row(&[], &[])]), [(402, 0.0)]);
}

#[test]
fn of_two_levels_on_one_step_the_deeper_one_stays() {
    let column = first_column(&[row(&[(950, 3), (950, 1)], &[(952, 6), (953, 2), (952, 4)])]);
    assert_eq!(column, [(248, 6.0), (1, 4.0), (1, 0.0), (152, -1.0)]);
}

#[test]
fn windows_whose_price_trends_across_the_ladder() {
    // A book of five levels per side moves by 3 steps per row, ten rows per bin, and reverses on the way.
    let at = |mid: i64, sizes: u32| {
        let level = |sign: i64| [1, 2, 4, 7, 11].map(|away| (mid + sign * away, (sizes + away as u32) % 9));
        row(&level(-1), &level(1))
    };
    for sign in [-1, 1] {
        for turn in [0, 150, 299] {
            let mids = (0..300_i64).map(|number| 1_000 + sign * 3 * (number - turn).abs());
            let book: Book = (0..).zip(mids).map(|(number, mid)| at(mid, number)).collect();
            check(&book, &[Feature::Volume, Feature::Variance, Feature::TradeCounts], 10);
        }
    }
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

/// Prices in micro-pips: on the grid, close to it, halfway, anywhere, missing.
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
fn a_missing_price_is_no_price_whatever_the_step() {
    // With this step size, UNDEF_PRICE is a whole number of micro-pips, as the prices are.
    let size = (1 << 30) as f64 * 1e-9;
    let spec = DepthSpec::new(&[Feature::Volume], 3, 3, size).unwrap();
    let prices = Prices::Fixed(Cow::Borrowed(&[3 << 30, UNDEF_PRICE, 5 << 30]));
    for arch in architectures() {
        assert_eq!(arch.dispatch(Sum { prices: &prices, spec: &spec }), (8, 2));
    }
}

#[test]
fn bins_of_many_different_sizes() {
    for rows in [1, 15, 16, 17, 100, 129, 300, 2_040, 2_041, 5_000] {
        // Sizes are unordered and each occurs twice; a few rows lack a price.
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
    assert!(
        spec.process(&levels(&book, Units::Float), &mut out).unwrap_err().to_string().contains("exactly 4 rows, not 6")
    );
    let mut cut = book[..4].to_vec();
    cut[3][1][0].0 = None;
    assert!(spec.process(&levels(&cut, Units::Float), &mut out).unwrap_err().to_string().contains("best ask"));
    assert!(DepthSpec::new(&[Feature::Volume], 5, 2, 0.01).is_err());
    assert!(DepthSpec::new(&[], 4, 2, 0.01).is_err());
}
