//! A file's records as Arrow batches, nothing dropped.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, PrimitiveArray, RecordBatch, RecordBatchReader, StringArray,
    TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use dbn::{UNDEF_PRICE, UNDEF_TIMESTAMP};

use super::stamps::check_stamps;
use super::{DbnReader, Symbols, find};
use crate::error::{InputError, Result};

/// Records of a batch: its columns stay in a core's cache while they are filled.
const BATCH: usize = 8_192;

/// The MBP-10 records of a file in Databento's columns: the event's fields (`ts_out` where the file has it), ten levels,
/// `symbol`. Every record is there,
/// whatever its quote; undefined prices and times are null, and so is the symbol of an instrument without a mapping.
/// Prices are f64 in price units.
pub struct RecordBatches {
    reader: DbnReader,
    symbols: Symbols,
    /// The names by slot: the dictionary of all batches.
    names: ArrayRef,
    /// The slot of the one symbol wanted; `Some(None)` for one that the file does not know.
    only: Option<Option<u32>>,
    schema: SchemaRef,
    ended: bool,
}

/// The columns of records, with or without gateway stamps.
fn schema(ts_out: bool) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut fields = Vec::new();
    let mut add = |name: &str, kind: &DataType, nullable| fields.push(Field::new(name, kind.clone(), nullable));
    add("ts_recv", &time, true);
    add("ts_event", &time, true);
    if ts_out {
        add("ts_out", &time, true);
    }
    add("publisher_id", &DataType::UInt16, false);
    add("instrument_id", &DataType::UInt32, false);
    add("action", &DataType::Utf8, false);
    add("side", &DataType::Utf8, false);
    add("depth", &DataType::UInt8, false);
    add("price", &DataType::Float64, true);
    add("size", &DataType::UInt32, false);
    add("flags", &DataType::UInt8, false);
    add("ts_in_delta", &DataType::Int32, false);
    add("sequence", &DataType::UInt32, false);
    for level in 0..10 {
        for (name, kind) in [("px", &DataType::Float64), ("sz", &DataType::UInt32), ("ct", &DataType::UInt32)] {
            for side in ["bid", "ask"] {
                add(&format!("{side}_{name}_{level:02}"), kind, name == "px");
            }
        }
    }
    add("symbol", &text, true);
    Arc::new(Schema::new(fields))
}

/// The columns of a batch that is being filled.
#[derive(Default)]
struct Columns {
    /// `ts_recv`, `ts_event`, `ts_out`.
    times: [Vec<i64>; 3],
    publisher_id: Vec<u16>,
    instrument_id: Vec<u32>,
    letters: [Vec<u8>; 2],
    depth: Vec<u8>,
    price: Vec<i64>,
    size: Vec<u32>,
    flags: Vec<u8>,
    ts_in_delta: Vec<i32>,
    sequence: Vec<u32>,
    prices: [[Vec<i64>; 2]; 10],
    counts: [[Vec<u32>; 4]; 10],
    symbol: Vec<i32>,
}

/// The slot of a record without a symbol.
const NO_SYMBOL: i32 = -1;

impl RecordBatches {
    /// Opens a file. With `symbol`, only its records are given. A file without mappings takes those of `symbology`, or of
    /// the `symbology.json` beside it.
    ///
    /// # Errors
    /// [`InputError`] when the file is refused.
    pub fn open(path: &Path, symbol: Option<&str>, symbology: Option<&Path>) -> Result<Self> {
        let found = find(&[path], symbology)?;
        let reader = DbnReader::open(path)?;
        let mappings = found.files.first().and_then(|file| file.beside.symbology.as_ref());
        let symbols = Symbols::of_file(path, reader.metadata(), mappings)?;
        let place = |wanted: &str| symbols.names().iter().position(|name| name == wanted);
        let only = symbol.map(|wanted| place(wanted).and_then(|slot| u32::try_from(slot).ok()));
        if let (Some(None), Some(wanted)) = (only, symbol) {
            let known: Vec<&str> = symbols.names().iter().take(8).map(String::as_str).collect();
            return Err(InputError::new(path, format!("maps no symbol {wanted:?}"))
                .with_help(format!("among its symbols are {}", known.join(", ")))
                .into());
        }
        let names = Arc::new(StringArray::from_iter_values(symbols.names()));
        let schema = schema(reader.has_ts_out());
        Ok(Self { reader, symbols, names, only, schema, ended: false })
    }

    fn read(&mut self) -> Result<Option<Columns>> {
        let mut columns = Columns::default();
        while columns.symbol.len() < BATCH && !self.ended {
            if !self.reader.advance()? {
                self.ended = true;
                break;
            }
            let record = self.reader.record()?;
            check_stamps(&record).map_err(|message| self.reader.error(message))?;
            let slot = self.symbols.resolve(record.ts_recv, record.instrument_id);
            let slot = slot.map_err(|message| self.reader.error(message))?;
            if self.only.is_some_and(|only| only != slot) {
                continue;
            }
            columns.times[0].push(record.ts_recv.cast_signed());
            columns.times[1].push(record.ts_event.cast_signed());
            columns.times[2].push(record.ts_out.cast_signed());
            columns.publisher_id.push(record.publisher_id);
            columns.instrument_id.push(record.instrument_id);
            columns.letters[0].push(record.action);
            columns.letters[1].push(record.side);
            columns.depth.push(record.depth);
            columns.price.push(record.price);
            columns.size.push(record.size);
            columns.flags.push(record.flags);
            columns.ts_in_delta.push(record.ts_in_delta);
            columns.sequence.push(record.sequence);
            for ((prices, counts), level) in columns.prices.iter_mut().zip(&mut columns.counts).zip(record.levels) {
                prices[0].push(level.bid_px);
                prices[1].push(level.ask_px);
                counts[0].push(level.bid_sz);
                counts[1].push(level.ask_sz);
                counts[2].push(level.bid_ct);
                counts[3].push(level.ask_ct);
            }
            columns.symbol.push(slot.and_then(|slot| i32::try_from(slot).ok()).unwrap_or(NO_SYMBOL));
        }
        Ok((!columns.symbol.is_empty()).then_some(columns))
    }

    fn batch(&self, columns: Columns) -> Result<RecordBatch, ArrowError> {
        let times = if self.reader.has_ts_out() { 3 } else { 2 };
        let [action, side] = columns.letters.map(letters);
        let mut arrays: Vec<ArrayRef> = columns.times.into_iter().take(times).map(timestamps).collect();
        let event: [ArrayRef; 10] = [
            Arc::new(UInt16Array::from(columns.publisher_id)),
            Arc::new(UInt32Array::from(columns.instrument_id)),
            action,
            side,
            Arc::new(UInt8Array::from(columns.depth)),
            prices(columns.price),
            Arc::new(UInt32Array::from(columns.size)),
            Arc::new(UInt8Array::from(columns.flags)),
            Arc::new(Int32Array::from(columns.ts_in_delta)),
            Arc::new(UInt32Array::from(columns.sequence)),
        ];
        arrays.extend(event);
        for (level, counts) in columns.prices.into_iter().zip(columns.counts) {
            arrays.extend(level.map(prices));
            arrays.extend(counts.map(|column| Arc::new(UInt32Array::from(column)) as ArrayRef));
        }
        let missing = nulls(&columns.symbol, NO_SYMBOL);
        let keys = PrimitiveArray::<Int32Type>::new(columns.symbol.into(), missing);
        arrays.push(Arc::new(DictionaryArray::try_new(keys, Arc::clone(&self.names))?));
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

/// Where `values` are not `missing`; `None` when that is everywhere.
fn nulls<T: Copy + PartialEq>(values: &[T], missing: T) -> Option<NullBuffer> {
    values.contains(&missing).then(|| values.iter().map(|value| *value != missing).collect())
}

fn timestamps(values: Vec<i64>) -> ArrayRef {
    let missing = nulls(&values, UNDEF_TIMESTAMP.cast_signed());
    Arc::new(TimestampNanosecondArray::new(values.into(), missing).with_timezone("UTC"))
}

fn prices(values: Vec<i64>) -> ArrayRef {
    let missing = nulls(&values, UNDEF_PRICE);
    let units: Vec<f64> = values.iter().map(|price| *price as f64 / 1e9).collect();
    Arc::new(Float64Array::new(units.into(), missing))
}

/// One character a record.
fn letters(values: Vec<u8>) -> ArrayRef {
    if values.is_ascii() {
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, values.len()));
        return Arc::new(StringArray::new(offsets, values.into(), None));
    }
    Arc::new(StringArray::from_iter_values(values.into_iter().map(|letter| char::from(letter).to_string())))
}

impl Iterator for RecordBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read() {
            Ok(columns) => columns.map(|columns| self.batch(columns)),
            Err(error) => {
                self.ended = true;
                Some(Err(ArrowError::ExternalError(Box::new(error))))
            }
        }
    }
}

impl RecordBatchReader for RecordBatches {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
