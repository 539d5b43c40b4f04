//! Columns of prices, in the units that inputs have.

use std::borrow::Cow;
use std::iter::repeat_n;
use std::ops::Range;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use dbn::UNDEF_PRICE;
use pulp::Simd;

use super::lanes::lanes;
use super::spec::{DepthSpec, MISSING};

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

impl<'a> Prices<'a> {
    /// Wraps an Arrow column, with nulls as missing prices; `None` when it is neither float64 nor int64.
    pub(super) fn from_array(column: &'a dyn Array) -> Option<Self> {
        if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
            return Some(Self::Float(match floats.null_count() {
                0 => Cow::Borrowed(floats.values()),
                _ => Cow::Owned(floats.iter().map(|v| v.unwrap_or(f64::NAN)).collect()),
            }));
        }
        let fixed = column.as_primitive_opt::<Int64Type>()?;
        Some(Self::Fixed(match fixed.null_count() {
            0 => Cow::Borrowed(fixed.values()),
            _ => Cow::Owned(fixed.iter().map(|v| v.unwrap_or(UNDEF_PRICE)).collect()),
        }))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(cells) => cells.len(),
            Self::Fixed(cells) | Self::MicroPips(cells) => cells.len(),
        }
    }

    /// Whether there are no rows.
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

    /// Whether a row has a price.
    pub(super) fn is_present(&self, row: usize) -> bool {
        match self {
            Self::Float(cells) => !cells[row].is_nan(),
            Self::Fixed(cells) => cells[row] != UNDEF_PRICE,
            Self::MicroPips(cells) => cells[row] != MISSING,
        }
    }

    /// Factor by which [`sum`](Self::sum) multiplies cells.
    pub(super) fn scale(&self, spec: &DepthSpec) -> f64 {
        match self {
            Self::Float(_) => 1.0 / spec.micro_pip_size(),
            Self::Fixed(_) => 1e-9 / spec.micro_pip_size(),
            Self::MicroPips(_) => 1.0,
        }
    }

    /// Sums the prices of `rows` in micro-pips; the sum is valid only if `check` passes. `floats` is scratch space.
    #[inline(always)]
    pub(super) fn whole_sum<S: Simd>(
        &self,
        simd: S,
        scale: f64,
        rows: Range<usize>,
        floats: &mut Vec<f64>,
        check: &mut Check<S>,
    ) -> i64 {
        whole_sum(simd, self.floats(rows, floats), scale, check)
    }

    /// Sums the prices present in `rows`, in micro-pips, and counts them. `floats` is scratch space.
    #[inline(always)]
    pub(super) fn sum<S: Simd>(
        &self,
        simd: S,
        spec: &DepthSpec,
        scale: f64,
        rows: Range<usize>,
        floats: &mut Vec<f64>,
    ) -> (i128, usize) {
        let mut check = Check::new(simd);
        let sum = self.whole_sum(simd, scale, rows.clone(), floats, &mut check);
        match self {
            _ if check.passed() => (i128::from(sum), rows.len()),
            Self::Float(cells) => sum_by_runs(&cells[rows], |price| float(spec, price)),
            Self::Fixed(cells) => sum_by_runs(&cells[rows], |price| fixed(spec, price)),
            Self::MicroPips(cells) => sum_by_runs(&cells[rows], present),
        }
    }

    /// The cells of `rows` as floats, NaN where missing. Integer columns are converted into `scratch`.
    #[inline(always)]
    fn floats<'s>(&'s self, rows: Range<usize>, scratch: &'s mut Vec<f64>) -> &'s [f64] {
        match self {
            Self::Float(cells) => &cells[rows.clone()],
            Self::Fixed(cells) | Self::MicroPips(cells) => {
                // Converted to a float, the marker of a missing price could be a whole number of micro-pips.
                let missing = if matches!(self, Self::Fixed(_)) { UNDEF_PRICE } else { MISSING };
                let float = |price: &i64| if *price == missing { f64::NAN } else { *price as f64 };
                scratch.clear();
                scratch.extend(cells[rows.clone()].iter().map(float));
                // This is all of `scratch`, but lets the compiler use a constant number of rows where it knows one.
                &scratch[..rows.len()]
            }
        }
    }

    /// The cells in micro-pips, [`MISSING`] where missing.
    pub(super) fn to_micro_pips(&self, spec: &DepthSpec) -> Cow<'_, [i64]> {
        match self {
            Self::Float(cells) => by_runs(cells, |price| float(spec, price)).into(),
            Self::Fixed(cells) => by_runs(cells, |price| fixed(spec, price)).into(),
            Self::MicroPips(cells) => Cow::Borrowed(cells),
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

/// Bits after the binary point.
const FRACTION: u32 = 12;

/// Floats from this value to twice it store an integer and its [`FRACTION`] bits in their lowest bits.
const ROUND: f64 = (1_u64 << (52 - FRACTION)) as f64;

/// Bound on the absolute value of prices that can be summed.
const FAR: u64 = 1 << 38;

/// Number of rows summed at once: their fractions, each at most two units in the last place, add up to less than a
/// half.
const ROWS: usize = 1 << (FRACTION - 3);

/// Records whether all prices are ones that [`whole_sum`] can sum.
pub(super) struct Check<S: Simd> {
    simd: S,
    /// Bitwise OR of all prices, as [`whole_sum`] represents them.
    bits: S::u64s,
}

impl<S: Simd> Check<S> {
    #[inline(always)]
    pub(super) fn new(simd: S) -> Self {
        Self { simd, bits: simd.splat_u64s(0) }
    }

    /// Fails the check, for a sum that does not fit 64 bits.
    #[cold]
    fn fail(&mut self) -> i64 {
        self.bits = self.simd.splat_u64s(u64::MAX);
        0
    }

    /// Whether all prices were whole micro-pips, up to the rounding of floats, and none was missing or too far from 0.
    #[inline(always)]
    pub(super) fn passed(&self) -> bool {
        // From one unit in the last place below an integer to two above. NaN and prices too far from 0 have higher bits
        // set.
        let allowed = ((2 * FAR - 1) << FRACTION) | 3;
        let beyond = self.simd.and_u64s(self.bits, self.simd.splat_u64s(!allowed));
        lanes(&beyond).iter().fold(0, |any, lane: &u64| any | lane) == 0
    }
}

/// Sums `prices * scale` as whole numbers; the sum is valid only if `check` passes.
#[inline(always)]
fn whole_sum<S: Simd>(simd: S, prices: &[f64], scale: f64, check: &mut Check<S>) -> i64 {
    /// Added to each price to make whole ones positive: [`FAR`] plus one unit in the last place of the fraction.
    const ADDED: u64 = (FAR << FRACTION) + 1;
    let added = ROUND + ADDED as f64 / (1 << FRACTION) as f64;
    let (scale, added, round) = (simd.splat_f64s(scale), simd.splat_f64s(added), simd.splat_u64s(ROUND.to_bits()));
    let mut total = 0_i64;
    for prices in prices.chunks(ROWS) {
        let mut sum = simd.splat_u64s(0);
        let mut add = |prices| {
            let price = simd.transmute_u64s_f64s(simd.mul_add_e_f64s(prices, scale, added));
            sum = simd.add_u64s(sum, price);
            check.bits = simd.or_u64s(check.bits, simd.xor_u64s(price, round));
        };
        let (vectors, rest) = S::as_simd_f64s(prices);
        for prices in vectors {
            add(*prices);
        }
        if !rest.is_empty() {
            add(simd.partial_load_f64s(rest));
        }
        let summed_up = prices.len().next_multiple_of(S::F64_LANES) as u64;
        let sum = lanes(&sum).iter().fold(0, |sum: u64, lane| sum.wrapping_add(*lane));
        let sum = sum.wrapping_sub(summed_up.wrapping_mul(ROUND.to_bits() + ADDED)).cast_signed();
        let half = 1 << (FRACTION - 1);
        total = total.checked_add(sum.wrapping_add(half) >> FRACTION).unwrap_or_else(|| check.fail());
    }
    total
}

/// Sums and counts the prices present; converts each run of equal prices to micro-pips once.
#[cold]
fn sum_by_runs<T: Copy + PartialEq>(cells: &[T], micro_pips: impl Fn(T) -> Option<i64>) -> (i128, usize) {
    let runs = cells.chunk_by(PartialEq::eq);
    let present = runs.filter_map(|run| micro_pips(run[0]).map(|price| (i128::from(price), run.len())));
    present.fold((0, 0), |(sum, count), (price, rows)| (sum + price * rows as i128, count + rows))
}

/// Converts all prices to micro-pips, each run of equal prices once.
fn by_runs<T: Copy + PartialEq>(cells: &[T], micro_pips: impl Fn(T) -> Option<i64>) -> Vec<i64> {
    let runs = cells.chunk_by(PartialEq::eq);
    runs.flat_map(|run| repeat_n(micro_pips(run[0]).unwrap_or(MISSING), run.len())).collect()
}
