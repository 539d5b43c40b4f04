//! Converts rows to an Arrow batch the plain way: the comparison for lobset's own page writer, in tests and in the
//! benchmark's floor. The table of columns says which value belongs in which column; `tests/columns.rs` has a table of
//! its own.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use dbn::{UNDEF_PRICE, UNDEF_TIMESTAMP};
use lobset::internals::{DatasetSchema, Kind, Role, Row, TargetLabel};

/// A row with its number in the stream and its label for each target.
pub type LabelledRow<L> = (Row, u64, L);

/// The bits in a target's columns of a row without a label.
const NO_LABEL: u64 = f64::NAN.to_bits();

/// The batch of `rows` with the columns of `schema`.
pub fn batch<L: AsRef<[Option<TargetLabel>]>>(
    schema: &DatasetSchema,
    symbol: &str,
    rows: &[LabelledRow<L>],
) -> RecordBatch {
    let columns = schema.columns().iter().map(|column| -> ArrayRef {
        // All rows are of one stretch.
        let before = std::iter::once(None).chain(rows.iter().map(|(row, ..)| Some(&row.book)));
        let bits = rows
            .iter()
            .zip(before)
            .map(|((row, number, labels), before)| column.value(row, before, *number, labels.as_ref()));
        let number = bits.clone().map(|v| v as i64);
        let price = number.clone().map(|v| (v != UNDEF_PRICE).then_some(v));
        let labelled = |v: u64| (column.role != Role::Target || v != NO_LABEL).then_some(v);
        match column.kind {
            Kind::Time => {
                let times = bits.map(|v| (v != UNDEF_TIMESTAMP).then_some(v as i64));
                Arc::new(times.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
            }
            Kind::FloatPrice => Arc::new(price.map(|v| v.map(|v| v as f64 / 1e9)).collect::<Float64Array>()),
            Kind::FixedPrice => Arc::new(price.collect::<Int64Array>()),
            Kind::Mid => Arc::new(Float64Array::from_iter_values(number.map(|v| v as f64 / 2e9))),
            Kind::Float => {
                let floats = bits.map(f64::from_bits).map(|v| (!v.is_nan()).then_some(v));
                Arc::new(floats.collect::<Float64Array>())
            }
            Kind::U8 => Arc::new(UInt8Array::from_iter_values(bits.map(|v| v as u8))),
            Kind::U16 => Arc::new(UInt16Array::from_iter_values(bits.map(|v| v as u16))),
            Kind::U32 => Arc::new(UInt32Array::from_iter_values(bits.map(|v| v as u32))),
            Kind::U64 => Arc::new(UInt64Array::from_iter_values(bits)),
            Kind::I32 => Arc::new(bits.map(|v| labelled(v).map(|v| v as i32)).collect::<Int32Array>()),
            Kind::Bool => Arc::new(bits.map(|v| labelled(v).map(|v| v != 0)).collect::<BooleanArray>()),
            Kind::Letter => Arc::new(StringArray::from_iter_values(bits.map(|v| char::from(v as u8).to_string()))),
            Kind::Symbol => Arc::new(rows.iter().map(|_| symbol).collect::<DictionaryArray<Int32Type>>()),
            Kind::Name(names) => {
                let names = bits.map(|v| labelled(v).map(|v| names[v as usize]));
                Arc::new(names.collect::<DictionaryArray<Int32Type>>())
            }
        }
    });
    match RecordBatch::try_new(Arc::clone(&schema.arrow), columns.collect()) {
        Ok(batch) => batch,
        Err(error) => unreachable!("the columns are those of the schema: {error}"),
    }
}
