//! The 64 bits of a column's values as an Arrow array.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, PrimitiveArray, StringArray,
    TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::ArrowError;

use super::kind::{Kind, mid, price};

/// Values as `kind` explains them. Symbols are not among them: their names are not known here.
///
/// # Errors
/// For symbols, and for names that are not in their list.
pub(super) fn array(kind: Kind, values: impl Iterator<Item = u64>) -> Result<ArrayRef, ArrowError> {
    /// An array of integers, cut to their bits.
    macro_rules! integers {
        ($array:ty, $native:ty) => {
            Arc::new(<$array>::from(values.map(|value| value as $native).collect::<Vec<_>>()))
        };
    }
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
        Kind::Float => Arc::new(Float64Array::from_iter_values(values.map(f64::from_bits))),
        Kind::U8 => integers!(UInt8Array, u8),
        Kind::U16 => integers!(UInt16Array, u16),
        Kind::U32 => integers!(UInt32Array, u32),
        Kind::U64 => integers!(UInt64Array, u64),
        Kind::I32 => integers!(Int32Array, i32),
        Kind::Bool => Arc::new(BooleanArray::from(values.map(|value| value != 0).collect::<Vec<_>>())),
        Kind::Letter => letters(values.map(|letter| letter as u8).collect()),
        Kind::Name(names) => {
            let names = Arc::new(StringArray::from_iter_values(names));
            dictionary(values.map(|number| Some(number as i32)).collect(), names)?
        }
        Kind::Symbol => return Err(ArrowError::SchemaError("the names of symbols are not known".to_owned())),
    })
}

/// Texts by their numbers in a list.
///
/// # Errors
/// When a number lies outside of it.
pub(super) fn dictionary(keys: PrimitiveArray<Int32Type>, names: ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(DictionaryArray::try_new(keys, names)?))
}

/// Values, and where they are not null; `None` when that is everywhere.
fn signed(kind: Kind, values: impl Iterator<Item = u64>) -> (Vec<i64>, Option<NullBuffer>) {
    let values: Vec<i64> = values.map(u64::cast_signed).collect();
    let null = kind.null().map(u64::cast_signed);
    let nulls = null.filter(|null| values.contains(null));
    let nulls = nulls.map(|null| values.iter().map(|value| *value != null).collect());
    (values, nulls)
}

/// One character each.
fn letters(values: Vec<u8>) -> ArrayRef {
    if values.is_ascii() {
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, values.len()));
        return Arc::new(StringArray::new(offsets, values.into(), None));
    }
    Arc::new(StringArray::from_iter_values(values.into_iter().map(|letter| char::from(letter).to_string())))
}
