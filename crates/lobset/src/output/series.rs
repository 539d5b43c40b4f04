//! Columns whose values rarely repeat, stored as one value per row.

use std::borrow::Cow;

use parquet::basic::Encoding;
use parquet::errors::Result;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::Compressor;
use super::encoding::{bits, delta_i32, delta_i64};
use super::kind::{NO_LABEL, NO_TIME};
use super::pages::{Bound, float_bounds, signed_order};
use super::run_column::{Scratch, definition_levels};
use crate::cast::{low32, put_le_bytes, to_u32};

/// Values of a column, in their width in Parquet.
pub(super) enum Series {
    /// Nanoseconds.
    Times(Vec<i64>),
    /// Unsigned integers of 64 bits.
    Longs(Vec<i64>),
    /// Signed integers of 32 bits.
    Signed(Vec<i32>),
    /// Unsigned integers of 32 bits.
    Unsigned(Vec<i32>),
    Floats(Vec<f64>),
    /// 0 or 1; [`NO_BOOL`] is null.
    Bools(Vec<u8>),
}

impl Series {
    /// Appends values, each given as 64 bits.
    pub(super) fn extend(&mut self, values: &[u64]) {
        match self {
            Self::Times(all) | Self::Longs(all) => all.extend(values.iter().map(|v| v.cast_signed())),
            Self::Signed(all) | Self::Unsigned(all) => all.extend(values.iter().map(|v| low32(*v).cast_signed())),
            Self::Floats(all) => all.extend(values.iter().map(|v| f64::from_bits(*v))),
            Self::Bools(all) => {
                all.extend(values.iter().map(|v| if *v == NO_LABEL { NO_BOOL } else { u8::from(*v != 0) }))
            }
        }
    }

    /// The values of a column of whole numbers that are never null.
    pub(super) fn integers(&self) -> Option<Box<dyn Iterator<Item = i64> + '_>> {
        match self {
            Self::Signed(values) => Some(Box::new(values.iter().map(|value| i64::from(*value)))),
            Self::Unsigned(values) => Some(Box::new(values.iter().map(|value| i64::from(value.cast_unsigned())))),
            Self::Times(_) | Self::Longs(_) | Self::Floats(_) | Self::Bools(_) => None,
        }
    }

    /// Encodes the values and clears them for the next row group.
    pub(super) fn finish(
        &mut self,
        descr: ColumnDescPtr,
        scratch: &mut Scratch,
        compressor: &mut Compressor,
    ) -> Result<()> {
        match self {
            Self::Times(values) => times(values, descr, scratch, compressor)?,
            Self::Longs(values) => longs(values, descr, scratch, compressor)?,
            Self::Signed(values) => integers(values, false, descr, scratch, compressor)?,
            Self::Unsigned(values) => integers(values, true, descr, scratch, compressor)?,
            Self::Floats(values) => floats(values, descr, scratch, compressor)?,
            Self::Bools(values) => bools(values, descr, scratch, compressor)?,
        }
        match self {
            Self::Times(values) | Self::Longs(values) => values.clear(),
            Self::Signed(values) | Self::Unsigned(values) => values.clear(),
            Self::Floats(values) => values.clear(),
            Self::Bools(values) => values.clear(),
        }
        Ok(())
    }
}

/// The value that represents null in [`times`].
const NO_STAMP: i64 = NO_TIME.cast_signed();

/// Encodes times; in a nullable column [`NO_STAMP`] is null. The encoding is PLAIN: DELTA_BINARY_PACKED saves 4 % of a
/// dataset, but fastparquet (2024.2 to 2026.9) misreads differences of more than 28 bits, a quarter of a second.
fn times(values: &[i64], descr: ColumnDescPtr, scratch: &mut Scratch, compressor: &mut Compressor) -> Result<()> {
    let optional = descr.max_def_level() > 0;
    scratch.write_pages(values, |values, page| {
        let present = present(values, optional, |value| *value == NO_STAMP, page);
        put_le_bytes(page, &present);
        let bound = |value: i64| Bound::new(signed_order(value), value.to_le_bytes());
        (values.len() - present.len(), bounds_by(&present, |value| value, bound))
    });
    compressor.chunk(descr, None, &scratch.data(Encoding::PLAIN))
}

/// The values that are not null. Writes the definition levels of a column that may be null.
fn present<'a, T: Copy>(
    values: &'a [T],
    optional: bool,
    is_null: impl Fn(&T) -> bool,
    page: &mut Vec<u8>,
) -> Cow<'a, [T]> {
    let mut present = Cow::Borrowed(values);
    // Without a way out, the loop can look at several values at a time.
    if optional && values.iter().fold(false, |any, value| any | is_null(value)) {
        definition_levels(page, values.iter().map(|v| (u32::from(!is_null(v)), 1)));
        present.to_mut().retain(|v| !is_null(v));
    } else if optional {
        definition_levels(page, std::iter::once((1, to_u32(values.len()))));
    }
    present
}

/// Encodes unsigned 64-bit integers that grow in small steps, such as row numbers; in a nullable column [`NO_LABEL`] is
/// null.
fn longs(values: &[i64], descr: ColumnDescPtr, scratch: &mut Scratch, compressor: &mut Compressor) -> Result<()> {
    let optional = descr.max_def_level() > 0;
    scratch.write_pages(values, |values, page| {
        let present = present(values, optional, |value| value.cast_unsigned() == NO_LABEL, page);
        delta_i64(page, &present);
        let bound = |value: i64| Bound::new(value.cast_unsigned(), value.to_le_bytes());
        (values.len() - present.len(), bounds_by(&present, i64::cast_unsigned, bound))
    });
    compressor.chunk(descr, None, &scratch.data(Encoding::DELTA_BINARY_PACKED))
}

/// Returns the bounds of values, compared by `key`; `None` without values.
fn bounds_by<T: Copy, K: Ord>(values: &[T], key: impl Fn(T) -> K, bound: impl Fn(T) -> Bound) -> Option<[Bound; 2]> {
    let (min, max) = values.iter().min_by_key(|v| key(**v)).zip(values.iter().max_by_key(|v| key(**v)))?;
    Some([bound(*min), bound(*max)])
}

/// Encodes 32-bit integers; `unsigned` says how they compare.
fn integers(
    values: &[i32],
    unsigned: bool,
    descr: ColumnDescPtr,
    scratch: &mut Scratch,
    compressor: &mut Compressor,
) -> Result<()> {
    let order = |value: i32| if unsigned { value.cast_unsigned().into() } else { signed_order(value.into()) };
    let bound = |value: i32| Bound::new(order(value), value.to_le_bytes());
    scratch.write_pages(values, |values, page| {
        delta_i32(page, values);
        (0, bounds_by(values, order, bound))
    });
    compressor.chunk(descr, None, &scratch.data(Encoding::DELTA_BINARY_PACKED))
}

/// Returns the bounds of floats, ignoring NaN.
fn bounds_of_floats(values: &[f64]) -> Option<[Bound; 2]> {
    let [mut min, mut max] = [f64::INFINITY, f64::NEG_INFINITY];
    for value in values.iter().copied() {
        min = if value < min { value } else { min };
        max = if value > max { value } else { max };
    }
    (min <= max).then(|| float_bounds(min, max))
}

/// Encodes floats that do not repeat; in a nullable column NaN is null.
fn floats(values: &[f64], descr: ColumnDescPtr, scratch: &mut Scratch, compressor: &mut Compressor) -> Result<()> {
    let optional = descr.max_def_level() > 0;
    scratch.write_pages(values, |values, page| {
        let present = present(values, optional, |value| value.is_nan(), page);
        put_le_bytes(page, &present);
        (values.len() - present.len(), bounds_of_floats(&present))
    });
    compressor.chunk(descr, None, &scratch.data(Encoding::PLAIN))
}

/// The value that represents null in [`bools`].
const NO_BOOL: u8 = 2;

/// Encodes booleans; in a nullable column [`NO_BOOL`] is null.
fn bools(values: &[u8], descr: ColumnDescPtr, scratch: &mut Scratch, compressor: &mut Compressor) -> Result<()> {
    let optional = descr.max_def_level() > 0;
    let bound = |value: bool| Bound::new(value.into(), [value.into()]);
    scratch.write_pages(values, |values, page| {
        let present = present(values, optional, |value| *value == NO_BOOL, page);
        bits(page, &present);
        let [all, any] = present.iter().fold([1, 0], |[all, any], value| [all & value, any | value]);
        (values.len() - present.len(), (!present.is_empty()).then(|| [bound(all == 1), bound(any == 1)]))
    });
    compressor.chunk(descr, None, &scratch.data(Encoding::PLAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_floats_hold_for_the_order_of_their_type() {
        let bounds = |values: &[f64]| {
            let bounds = bounds_of_floats(values);
            bounds.map(|b| b.map(|b| f64::from_le_bytes(b.bytes.try_into().unwrap()).to_bits()))
        };
        let nan = f64::NAN;
        let is = |min: f64, max: f64| Some([min.to_bits(), max.to_bits()]);
        assert_eq!(bounds(&[]), None);
        assert_eq!(bounds(&[nan, -nan]), None);
        assert_eq!(bounds(&[nan, 2.0, -nan, -1.0]), is(-1.0, 2.0));
        assert_eq!(bounds(&[0.0]), is(-0.0, 0.0));
        assert_eq!(bounds(&[-0.0]), is(-0.0, 0.0));
        assert_eq!(bounds(&[0.0, nan, 3.0]), is(-0.0, 3.0));
        assert_eq!(bounds(&[-0.0, -3.0]), is(-3.0, 0.0));
        assert_eq!(bounds(&[f64::NEG_INFINITY, f64::INFINITY]), is(f64::NEG_INFINITY, f64::INFINITY));
    }
}
