//! A column of prices, as it comes.

use std::borrow::Cow;
use std::iter::repeat_n;
use std::ops::Range;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use dbn::UNDEF_PRICE;
use pulp::Simd;

use super::{DepthSpec, MISSING, lanes};

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

    /// What [`sum`](Self::sum) multiplies cells by.
    pub(super) fn scale(&self, spec: &DepthSpec) -> f64 {
        match self {
            Self::Float(_) => 1.0 / spec.micro_pip_size(),
            Self::Fixed(_) => 1e-9 / spec.micro_pip_size(),
            Self::MicroPips(_) => 1.0,
        }
    }

    /// The sum of the prices present among `rows`, in micro-pips, and how many there are. `floats` is scratch.
    #[inline(always)]
    pub(super) fn sum<S: Simd>(
        &self,
        simd: S,
        spec: &DepthSpec,
        scale: f64,
        rows: Range<usize>,
        floats: &mut Vec<f64>,
    ) -> (i128, usize) {
        let cells = match self {
            Self::Float(cells) => &cells[rows.clone()],
            Self::Fixed(cells) | Self::MicroPips(cells) => {
                floats.clear();
                floats.extend(cells[rows.clone()].iter().map(|price| *price as f64));
                floats
            }
        };
        match (whole_sum(simd, cells, scale), self) {
            (Some(sum), _) => (i128::from(sum), cells.len()),
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

/// Bits after the binary point.
const FRACTION: u32 = 12;

/// Added to a float below [`FAR`], this leaves the float's integer and its [`FRACTION`] in the lowest bits.
const ROUND: f64 = 1.5 * (1_u64 << (52 - FRACTION)) as f64;

/// Bound on the absolute prices that can be summed up.
const FAR: u64 = 1 << 38;

/// Rows whose fractions, each at most two of the last place, add up to less than a half.
const ROWS: usize = 1 << (FRACTION - 3);

/// The sum of `prices * scale`, where all of these are integers but for the rounding of floats; `None` where one of them is
/// no integer, missing, or too far from 0.
#[inline(always)]
fn whole_sum<S: Simd>(simd: S, prices: &[f64], scale: f64) -> Option<i64> {
    let mut total = 0_i64;
    for prices in prices.chunks(ROWS) {
        let (vectors, rest) = S::as_simd_f64s(prices);
        let mut sums = Sums { scale: simd.splat_f64s(scale), sum: simd.splat_u64s(0), bits: simd.splat_u64s(0) };
        for prices in vectors {
            sums.add(simd, *prices);
        }
        if !rest.is_empty() {
            sums.add(simd, simd.partial_load_f64s(rest));
        }
        total = total.checked_add(sums.finish(simd, prices.len().next_multiple_of(S::F64_LANES))?)?;
    }
    Some(total)
}

/// Sums of each lane, of prices with [`FAR`] and one of the fraction's last place added, which leaves them positive.
struct Sums<S: Simd> {
    scale: S::f64s,
    sum: S::u64s,
    /// The bits of all that was summed up.
    bits: S::u64s,
}

impl<S: Simd> Sums<S> {
    const ADDED: u64 = (FAR << FRACTION) + 1;

    #[inline(always)]
    fn add(&mut self, simd: S, prices: S::f64s) {
        let rounded = simd.mul_add_e_f64s(prices, self.scale, simd.splat_f64s(ROUND));
        let zero = simd.splat_u64s(ROUND.to_bits() - Self::ADDED);
        let price = simd.sub_u64s(simd.transmute_u64s_f64s(rounded), zero);
        self.sum = simd.add_u64s(self.sum, price);
        self.bits = simd.or_u64s(self.bits, price);
    }

    /// Of `count` prices in all.
    #[inline(always)]
    fn finish(self, simd: S, count: usize) -> Option<i64> {
        // One place below an integer to two above; what is too far, or not a number, has higher bits.
        let allowed = ((2 * FAR - 1) << FRACTION) | 3;
        let beyond = simd.and_u64s(self.bits, simd.splat_u64s(!allowed));
        let (mut total, mut any) = (0_u64, 0_u64);
        for (sum, beyond) in lanes(&self.sum).iter().zip(lanes::<_, u64>(&beyond)) {
            total = total.wrapping_add(*sum);
            any |= beyond;
        }
        let sum = total.wrapping_sub(count as u64 * Self::ADDED).cast_signed();
        let half = 1 << (FRACTION - 1);
        (any == 0).then_some(sum.wrapping_add(half) >> FRACTION)
    }
}

/// The sum of the prices present and how many there are; each run of equal ones is turned to micro-pips once.
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
