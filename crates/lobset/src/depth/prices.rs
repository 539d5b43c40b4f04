//! A column of prices, as it comes.

use std::borrow::Cow;
use std::iter::repeat_n;
use std::ops::Range;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use dbn::UNDEF_PRICE;
use pulp::{Simd, bytemuck};

use super::{DepthSpec, MISSING};

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
    /// A column as Arrow holds it, nulls as missing; `None` when it is neither float nor integer of 64 bits.
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

    /// The sum of the prices present among `rows`, in micro-pips, and how many there are.
    #[inline(always)]
    pub(super) fn sum<S: Simd>(
        &self,
        simd: S,
        spec: &DepthSpec,
        rows: Range<usize>,
        floats: &mut Vec<f64>,
    ) -> (i128, usize) {
        let count = rows.len();
        let mut to_floats = |cells: &[i64]| {
            floats.clear();
            floats.extend(cells.iter().map(|price| *price as f64));
        };
        let sum = match self {
            Self::Float(cells) => vector_sum(simd, &cells[rows.clone()], 1.0 / spec.micro_pip_size()),
            Self::Fixed(cells) => {
                to_floats(&cells[rows.clone()]);
                vector_sum(simd, floats, 1e-9 / spec.micro_pip_size())
            }
            Self::MicroPips(cells) => {
                to_floats(&cells[rows.clone()]);
                vector_sum(simd, floats, 1.0)
            }
        };
        match (sum, self) {
            (Some(sum), _) => (i128::from(sum), count),
            (None, Self::Float(cells)) => sum_by_runs(&cells[rows], |price| float(spec, price)),
            (None, Self::Fixed(cells)) => sum_by_runs(&cells[rows], |price| fixed(spec, price)),
            (None, Self::MicroPips(cells)) => sum_by_runs(&cells[rows], present),
        }
    }

    /// The column in micro-pips.
    pub(super) fn to_micro_pips(&self, spec: &DepthSpec) -> Vec<i64> {
        match self {
            Self::Float(cells) => by_runs(cells, |price| float(spec, price)),
            Self::Fixed(cells) => by_runs(cells, |price| fixed(spec, price)),
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

/// Added to a float of less than 2^51, this leaves the nearest integer in its lowest bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// How far from an integer a price may be for its rounding to be beyond doubt.
const OFF: f64 = 0.49;

/// Bound on the sum of squares: prices below 2^40 micro-pips, whose sum fits 64 bits.
const FAR: f64 = (1_u128 << 80) as f64;

/// The sum of `prices * scale`, each rounded to the nearest integer; `None` where one of them is missing or huge, or where
/// rounding `price / size` might give another integer than rounding `price * scale`.
#[inline(always)]
fn vector_sum<S: Simd>(simd: S, prices: &[f64], scale: f64) -> Option<i64> {
    let none = simd.splat_f64s(0.0);
    let mut sums = Sums { scale: simd.splat_f64s(scale), sum: simd.splat_u64s(0), off: none, far: none };
    let (vectors, rest) = S::as_simd_f64s(prices);
    for prices in vectors {
        sums.add(simd, *prices);
    }
    if !rest.is_empty() {
        sums.add(simd, simd.partial_load_f64s(rest));
    }
    sums.finish(simd, prices.len().next_multiple_of(S::F64_LANES))
}

/// Sums of each lane.
struct Sums<S: Simd> {
    scale: S::f64s,
    /// Of prices, each with [`ROUND`]'s bits.
    sum: S::u64s,
    /// The largest distance from an integer.
    off: S::f64s,
    /// Of squares. What is not a number stays in it.
    far: S::f64s,
}

impl<S: Simd> Sums<S> {
    #[inline(always)]
    fn add(&mut self, simd: S, prices: S::f64s) {
        let round = simd.splat_f64s(ROUND);
        let rounded = simd.mul_add_e_f64s(prices, self.scale, round);
        self.sum = simd.add_u64s(self.sum, simd.transmute_u64s_f64s(rounded));
        let minus_whole = simd.sub_f64s(round, rounded);
        let off = simd.mul_add_e_f64s(prices, self.scale, minus_whole);
        self.off = simd.max_f64s(self.off, simd.abs_f64s(off));
        self.far = simd.mul_add_e_f64s(minus_whole, minus_whole, self.far);
    }

    /// Of `count` prices in all.
    #[inline(always)]
    fn finish(self, simd: S, count: usize) -> Option<i64> {
        let near = simd.less_than_f64s(self.off, simd.splat_f64s(OFF));
        let sure = simd.and_m64s(near, simd.less_than_f64s(self.far, simd.splat_f64s(FAR)));
        let doubtful = simd.not_m64s(sure);
        let lanes: &[u64] = bytemuck::cast_slice(std::slice::from_ref(&self.sum));
        let sum = lanes.iter().fold(0_u64, |sum, lane| sum.wrapping_add(*lane));
        let sum = sum.wrapping_sub((count as u64).wrapping_mul(ROUND.to_bits())).cast_signed();
        bytemuck::bytes_of(&doubtful).iter().all(|byte| *byte == 0).then_some(sum)
    }
}

/// The same for all prices: each run of equal ones is turned to micro-pips once.
#[cold]
fn sum_by_runs<T: Copy + PartialEq>(cells: &[T], micro_pips: impl Fn(T) -> Option<i64>) -> (i128, usize) {
    let runs = cells.chunk_by(PartialEq::eq);
    let present = runs.filter_map(|run| micro_pips(run[0]).map(|price| (i128::from(price), run.len())));
    present.fold((0, 0), |(sum, count), (price, rows)| (sum + price * rows as i128, count + rows))
}

/// Every price in micro-pips; each run of equal ones is turned once.
fn by_runs<T: Copy + PartialEq>(cells: &[T], micro_pips: impl Fn(T) -> Option<i64>) -> Vec<i64> {
    let runs = cells.chunk_by(PartialEq::eq);
    runs.flat_map(|run| repeat_n(micro_pips(run[0]).unwrap_or(MISSING), run.len())).collect()
}
