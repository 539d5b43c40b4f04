//! Rows to an Arrow batch, the plain way: what our own page writer is compared with, in tests and in the benchmark's floor.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Schema};
use dbn::{UNDEF_PRICE, UNDEF_TIMESTAMP};
use lobset::output::RowLabel;
use lobset::tape::{Row, halves};

fn prices(kind: &DataType, values: impl Iterator<Item = i64>) -> ArrayRef {
    let present = values.map(|v| (v != UNDEF_PRICE).then_some(v));
    match kind {
        DataType::Float64 => Arc::new(present.map(|v| v.map(|v| v as f64 / 1e9)).collect::<Float64Array>()),
        _ => Arc::new(present.collect::<Int64Array>()),
    }
}

fn letters(values: impl Iterator<Item = u8>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values.map(|v| char::from(v).to_string())))
}

/// The batch of `rows` with the columns of `schema`.
pub fn batch(schema: &Arc<Schema>, symbol: &str, rows: &[(Row, RowLabel)]) -> RecordBatch {
    let row = || rows.iter().map(|r| &r.0);
    let label = || rows.iter().map(|r| &r.1);
    let marks = |place: usize| row().map(move |r| r.marks.to_le_bytes()[place]);
    let time = |values: TimestampNanosecondArray| -> ArrayRef { Arc::new(values.with_timezone("UTC")) };
    let column = |name: &str, kind: &DataType| -> ArrayRef {
        let level = || 4 * name[name.len() - 2..].parse::<usize>().unwrap_or_default();
        match name {
            "ts_recv" => time(TimestampNanosecondArray::from_iter_values(row().map(|r| r.ts_recv as i64))),
            "ts_event" => time(row().map(|r| (r.ts_event != UNDEF_TIMESTAMP).then_some(r.ts_event as i64)).collect()),
            "ts_out" => time(row().map(|r| (r.ts_out != UNDEF_TIMESTAMP).then_some(r.ts_out as i64)).collect()),
            "publisher_id" => Arc::new(UInt16Array::from_iter_values(row().map(|r| r.publisher_id))),
            "instrument_id" => Arc::new(UInt32Array::from_iter_values(row().map(|r| r.instrument_id))),
            "action" => letters(marks(0)),
            "side" => letters(marks(1)),
            "flags" => Arc::new(UInt8Array::from_iter_values(marks(2))),
            "depth" => Arc::new(UInt8Array::from_iter_values(marks(3))),
            "price" => prices(kind, row().map(|r| r.price)),
            "size" => Arc::new(UInt32Array::from_iter_values(row().map(|r| r.size))),
            "ts_in_delta" => Arc::new(Int32Array::from_iter_values(row().map(|r| r.ts_in_delta))),
            "sequence" => Arc::new(UInt32Array::from_iter_values(row().map(|r| r.sequence))),
            "symbol" => Arc::new(rows.iter().map(|_| symbol).collect::<DictionaryArray<Int32Type>>()),
            "row" => Arc::new(UInt64Array::from_iter_values(label().map(|l| l.row))),
            "mid_price" => Arc::new(Float64Array::from_iter_values(
                row().map(|r| r.book[0].wrapping_add(r.book[1]) as i64 as f64 / 2e9),
            )),
            "price_movement" => Arc::new(Float64Array::from_iter_values(label().map(|l| l.movement))),
            "classification_label" => Arc::new(Int32Array::from_iter_values(label().map(|l| i32::from(l.class)))),
            "split" => Arc::new(label().map(|l| l.split.name()).collect::<DictionaryArray<Int32Type>>()),
            "balanced" => Arc::new(label().map(|l| Some(l.balanced)).collect::<BooleanArray>()),
            _ => {
                let word = level();
                let half = |word: usize, ask: bool| {
                    UInt32Array::from_iter_values(
                        row().map(move |r| if ask { halves(r.book[word]).1 } else { halves(r.book[word]).0 }),
                    )
                };
                match &name[..6] {
                    "bid_px" => prices(kind, row().map(|r| r.book[word] as i64)),
                    "ask_px" => prices(kind, row().map(|r| r.book[word + 1] as i64)),
                    "bid_sz" => Arc::new(half(word + 2, false)),
                    "ask_sz" => Arc::new(half(word + 2, true)),
                    "bid_ct" => Arc::new(half(word + 3, false)),
                    _ => Arc::new(half(word + 3, true)),
                }
            }
        }
    };
    let columns = schema.fields().iter().map(|f| column(f.name(), f.data_type())).collect();
    match RecordBatch::try_new(Arc::clone(schema), columns) {
        Ok(batch) => batch,
        Err(error) => unreachable!("the columns are those of the schema: {error}"),
    }
}
