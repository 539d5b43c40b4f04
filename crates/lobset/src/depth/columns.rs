//! The columns of a book, as they come.

use std::borrow::Cow;
use std::iter::repeat_n;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use dbn::UNDEF_PRICE;
use pulp::bytemuck::{self, NoUninit};

use super::runs::run_ends;
use super::{DepthSpec, LEVELS, MISSING, column_name};

/// A column of prices.
#[derive(Debug, Clone)]
pub enum Prices<'a> {
    /// In price units; NaN is missing.
    Float(Cow<'a, [f64]>),
    /// In 1e-9; `UNDEF_PRICE` is missing.
    Fixed(Cow<'a, [i64]>),
    /// In micro-pips; [`MISSING`] is missing.
    MicroPips(Cow<'a, [i64]>),
}

impl Prices<'_> {
    /// Its rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(cells) => cells.len(),
            Self::Fixed(cells) | Self::MicroPips(cells) => cells.len(),
        }
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn micro_pips(&self, spec: &DepthSpec, row: usize) -> Option<i64> {
        match self {
            Self::Float(cells) => float(spec, cells[row]),
            Self::Fixed(cells) => fixed(spec, cells[row]),
            Self::MicroPips(cells) => present(cells[row]),
        }
    }

    /// Those of `rows` that have a price.
    #[inline(always)]
    pub(super) fn present(&self, spec: &DepthSpec, rows: Range<usize>) -> impl Iterator<Item = usize> {
        rows.filter(|row| self.micro_pips(spec, *row).is_some())
    }

    /// Calls `bin` with each bin of `rows`: the sum of the prices present, in micro-pips, and how many there are. `ends` is
    /// scratch.
    #[inline(always)]
    pub(super) fn sums(&self, spec: &DepthSpec, rows: Range<usize>, ends: &mut Vec<u32>, bin: impl FnMut(i128, usize)) {
        let length = spec.ticks_per_bin();
        match self {
            Self::Float(cells) => sums(&cells[rows], length, ends, |price| float(spec, price), bin),
            Self::Fixed(cells) => sums(&cells[rows], length, ends, |price| fixed(spec, price), bin),
            Self::MicroPips(cells) => sums(&cells[rows], length, ends, present, bin),
        }
    }

    /// The column in micro-pips.
    pub(super) fn to_micro_pips(&self, spec: &DepthSpec) -> Vec<i64> {
        match self {
            Self::Float(cells) => by_runs(cells, f64::to_bits, |price| float(spec, price)),
            Self::Fixed(cells) => by_runs(cells, i64::cast_unsigned, |price| fixed(spec, price)),
            Self::MicroPips(cells) => cells.to_vec(),
        }
    }
}

fn float(spec: &DepthSpec, price: f64) -> Option<i64> {
    (!price.is_nan()).then(|| spec.micro_pips(price))
}

fn fixed(spec: &DepthSpec, price: i64) -> Option<i64> {
    (price != UNDEF_PRICE).then(|| spec.micro_pips(price as f64 / 1e9))
}

fn present(price: i64) -> Option<i64> {
    (price != MISSING).then_some(price)
}

/// Each run of equal prices is turned to micro-pips once.
#[inline(always)]
fn sums<T: NoUninit>(
    cells: &[T],
    length: usize,
    ends: &mut Vec<u32>,
    micro_pips: impl Fn(T) -> Option<i64>,
    mut bin: impl FnMut(i128, usize),
) {
    // Prices are equal when their bits are.
    run_ends(bytemuck::cast_slice::<T, u64>(cells), length, ends);
    let (mut start, mut bin_end) = (0, length);
    let (mut sum, mut count) = (0, 0);
    for end in ends.iter().map(|end| *end as usize) {
        if let Some(price) = micro_pips(cells[end - 1]) {
            sum += i128::from(price) * (end - start) as i128;
            count += end - start;
        }
        start = end;
        if end == bin_end {
            bin(sum, count);
            (sum, count) = (0, 0);
            bin_end += length;
        }
    }
}

/// Every price in micro-pips.
fn by_runs<T: Copy>(cells: &[T], bits: impl Fn(T) -> u64, micro_pips: impl Fn(T) -> Option<i64>) -> Vec<i64> {
    let runs = cells.chunk_by(|a, b| bits(*a) == bits(*b));
    runs.flat_map(|run| repeat_n(micro_pips(run[0]).unwrap_or(MISSING), run.len())).collect()
}

/// Ten levels a side of consecutive rows; the first index is the side: 0 bids, 1 asks.
#[derive(Debug, Clone)]
pub struct Levels<'a> {
    rows: usize,
    pub(super) prices: [[Prices<'a>; LEVELS]; 2],
    pub(super) sizes: [[Cow<'a, [u32]>; LEVELS]; 2],
    pub(super) counts: [[Cow<'a, [u32]>; LEVELS]; 2],
}

impl<'a> Levels<'a> {
    /// From columns of equal length. Sizes and counts may be empty where no feature asks for them.
    ///
    /// # Errors
    /// A message when the lengths differ.
    pub fn new(
        prices: [[Prices<'a>; LEVELS]; 2],
        sizes: [[Cow<'a, [u32]>; LEVELS]; 2],
        counts: [[Cow<'a, [u32]>; LEVELS]; 2],
    ) -> Result<Self, String> {
        let rows = prices[0][0].len();
        let whole = prices.iter().flatten().all(|p| p.len() == rows)
            && sizes.iter().chain(&counts).flatten().all(|c| c.is_empty() || c.len() == rows);
        if whole { Ok(Self { rows, prices, sizes, counts }) } else { Err("columns of different lengths".to_owned()) }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A price in micro-pips, where present.
    pub(super) fn micro_pips(&self, spec: &DepthSpec, side: usize, level: usize, row: usize) -> Option<i64> {
        self.prices[side][level].micro_pips(spec, row)
    }

    /// The levels of a table with columns named as in a dataset. Prices are floats in price units or 64-bit integers in
    /// 1e-9; sizes and counts any integers that fit 32 bits. Only what the features need is looked for.
    ///
    /// # Errors
    /// A message that names the column that is missing or of the wrong type.
    pub fn from_batch(batch: &'a RecordBatch, spec: &DepthSpec) -> Result<Self, String> {
        let column = |kind: &str, side, level| {
            let name = column_name(kind, side, level);
            batch.column_by_name(&name).map(|cells| (cells.as_ref(), name.clone())).ok_or(format!("no column {name:?}"))
        };
        let price = |side, level| {
            let (cells, name) = column("px", side, level)?;
            prices(cells).ok_or_else(|| format!("{name} is neither float64 nor int64"))
        };
        let integer = |needed: bool, kind: &str, side, level| {
            if !needed {
                return Ok(Cow::Borrowed(&[][..]));
            }
            let (cells, name) = column(kind, side, level)?;
            integers(cells).ok_or_else(|| format!("{name} does not hold whole numbers of 32 bits"))
        };
        Self::new(
            both_sides(price)?,
            both_sides(|side, level| integer(spec.needs_sizes(), "sz", side, level))?,
            both_sides(|side, level| integer(spec.needs_counts(), "ct", side, level))?,
        )
    }

    /// The same levels with prices in micro-pips, independent of the table they came from.
    pub(super) fn into_micro_pips(self, spec: &DepthSpec) -> Levels<'static> {
        let own = |columns: [[Cow<'_, [u32]>; LEVELS]; 2]| columns.map(|side| side.map(|c| Cow::Owned(c.into_owned())));
        Levels {
            rows: self.rows,
            prices: self.prices.map(|side| side.map(|p| Prices::MicroPips(Cow::Owned(p.to_micro_pips(spec))))),
            sizes: own(self.sizes),
            counts: own(self.counts),
        }
    }
}

/// Something for ten levels of two sides.
fn both_sides<T>(mut make: impl FnMut(usize, usize) -> Result<T, String>) -> Result<[[T; LEVELS]; 2], String> {
    let mut side = |side| -> Result<[T; LEVELS], String> {
        let levels: Vec<T> = (0..LEVELS).map(|level| make(side, level)).collect::<Result<_, _>>()?;
        levels.try_into().map_err(|_| format!("not {LEVELS} levels"))
    };
    Ok([side(0)?, side(1)?])
}

/// A column of prices as Arrow holds it, nulls as missing; `None` when it is neither float nor integer of 64 bits.
fn prices(column: &dyn Array) -> Option<Prices<'_>> {
    if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
        return Some(Prices::Float(match floats.null_count() {
            0 => Cow::Borrowed(floats.values()),
            _ => Cow::Owned(floats.iter().map(|v| v.unwrap_or(f64::NAN)).collect()),
        }));
    }
    let fixed = column.as_primitive_opt::<Int64Type>()?;
    Some(Prices::Fixed(match fixed.null_count() {
        0 => Cow::Borrowed(fixed.values()),
        _ => Cow::Owned(fixed.iter().map(|v| v.unwrap_or(UNDEF_PRICE)).collect()),
    }))
}

/// A column of sizes or counts; `None` when a value is null or does not fit.
fn integers(column: &dyn Array) -> Option<Cow<'_, [u32]>> {
    if column.null_count() > 0 {
        return None;
    }
    if let Some(column) = column.as_primitive_opt::<UInt32Type>() {
        return Some(Cow::Borrowed(column.values()));
    }
    macro_rules! convert {
        ($($kind:ty),*) => {
            $(if let Some(column) = column.as_primitive_opt::<$kind>() {
                return column.values().iter().map(|v| u32::try_from(*v).ok()).collect();
            })*
        };
    }
    convert!(Int64Type, UInt64Type, Int32Type);
    None
}

impl Levels<'_> {
    /// No rows, of the same columns in micro-pips.
    pub(super) fn empty() -> Levels<'static> {
        let none = || std::array::from_fn(|_| std::array::from_fn(|_| Cow::Owned(Vec::new())));
        let prices = std::array::from_fn(|_| std::array::from_fn(|_| Prices::MicroPips(Cow::Owned(Vec::new()))));
        Levels { rows: 0, prices, sizes: none(), counts: none() }
    }

    /// Appends rows of levels that are in micro-pips and have the same columns.
    pub(super) fn append(&mut self, other: &Self, rows: Range<usize>) {
        let prices = self.prices.iter_mut().flatten().zip(other.prices.iter().flatten());
        for (mine, theirs) in prices {
            if let (Prices::MicroPips(mine), Prices::MicroPips(theirs)) = (mine, theirs) {
                mine.to_mut().extend_from_slice(&theirs[rows.clone()]);
            }
        }
        let integers = self.sizes.iter_mut().chain(&mut self.counts).flatten();
        for (mine, theirs) in integers.zip(other.sizes.iter().chain(&other.counts).flatten()) {
            if !theirs.is_empty() {
                mine.to_mut().extend_from_slice(&theirs[rows.clone()]);
            }
        }
        self.rows += rows.len();
    }
}
