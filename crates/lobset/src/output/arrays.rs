//! Converts the 64-bit values of a column to an Arrow array.

use std::sync::Arc;

use arrow_array::types::{Int32Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, Float64Array, Int64Array, PrimitiveArray, StringArray,
    TimestampNanosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::ArrowError;

use super::kind::{Kind, mid, price};
use crate::cast::{low8, low16, low32};

/// Converts values according to `kind`. Symbols are not supported: their names are not available here.
///
/// # Errors
/// For symbols, and for numbers outside the list of names.
pub(super) fn array(kind: Kind, values: impl Iterator<Item = u64>) -> Result<ArrayRef, ArrowError> {
    Ok(match kind {
        Kind::Time => {
            let (values, nulls) = signed(kind, values);
            Arc::new(TimestampNanosecondArray::new(values.into(), nulls).with_timezone("UTC"))
        }
        Kind::FixedPrice => {
            let (values, nulls) = signed(kind, values);
            Arc::new(Int64Array::new(values.into(), nulls))
        }
        Kind::FloatPrice => {
            let (values, nulls) = signed(kind, values);
            let units: Vec<f64> = values.into_iter().map(|value| price(value.cast_unsigned())).collect();
            Arc::new(Float64Array::new(units.into(), nulls))
        }
        Kind::Mid => Arc::new(Float64Array::from_iter_values(values.map(mid))),
        Kind::Float => {
            let (values, nulls) = signed(kind, values);
            let floats: Vec<f64> = values.into_iter().map(|value| f64::from_bits(value.cast_unsigned())).collect();
            Arc::new(Float64Array::new(floats.into(), nulls))
        }
        Kind::U8 => integers::<UInt8Type>(values, low8),
        Kind::U16 => integers::<UInt16Type>(values, low16),
        Kind::U32 => integers::<UInt32Type>(values, low32),
        Kind::U64 => integers::<UInt64Type>(values, |value| value),
        Kind::I32 => integers::<Int32Type>(values, |value| low32(value).cast_signed()),
        Kind::Bool => Arc::new(BooleanArray::from(values.map(|value| value != 0).collect::<Vec<_>>())),
        Kind::Letter => letters(values.map(low8).collect()),
        Kind::Name(names) => {
            let names = Arc::new(StringArray::from_iter_values(names));
            dictionary(values.map(|number| Some(low32(number).cast_signed())).collect(), names)?
        }
        Kind::Symbol => return Err(ArrowError::SchemaError("the names of symbols are not known".to_owned())),
    })
}

/// Creates an array of integers by applying `narrow` to the values.
fn integers<T: ArrowPrimitiveType>(values: impl Iterator<Item = u64>, narrow: impl Fn(u64) -> T::Native) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(values.map(narrow)))
}

/// Creates a dictionary array from keys and the list of names.
///
/// # Errors
/// When a key is outside the list.
pub(super) fn dictionary(keys: PrimitiveArray<Int32Type>, names: ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(DictionaryArray::try_new(keys, names)?))
}

/// Returns the values and their validity, which is `None` when no value is null.
fn signed(kind: Kind, values: impl Iterator<Item = u64>) -> (Vec<i64>, Option<NullBuffer>) {
    let values: Vec<i64> = values.map(u64::cast_signed).collect();
    let null = kind.null().map(u64::cast_signed);
    let nulls = null.filter(|null| values.contains(null));
    let nulls = nulls.map(|null| values.iter().map(|value| *value != null).collect());
    (values, nulls)
}

/// Creates an array of strings of one character each.
fn letters(values: Vec<u8>) -> ArrayRef {
    if values.is_ascii() {
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, values.len()));
        return Arc::new(StringArray::new(offsets, values.into(), None));
    }
    Arc::new(StringArray::from_iter_values(values.into_iter().map(|letter| char::from(letter).to_string())))
}
