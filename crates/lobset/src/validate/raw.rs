//! Stored rows against raw records, column by column.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};
use dbn::{BidAskPair, UNDEF_PRICE, UNDEF_TIMESTAMP};

use crate::input::Record;
use crate::label::Split;

/// Columns that no record holds: they follow from the whole stream, and are checked by other means.
const DERIVED: [&str; 5] = ["row", "price_movement", "classification_label", "split", "balanced"];

/// Whether the value in a row is that of a record and its mid2.
type Check = Box<dyn Fn(usize, &Record<'_>, i64) -> bool + Send>;

/// A batch of stored rows.
pub(super) struct RawColumns {
    checks: Vec<(String, Check)>,
    rows: PrimitiveArray<UInt64Type>,
    movements: PrimitiveArray<Float64Type>,
    classes: PrimitiveArray<Int32Type>,
    splits: PrimitiveArray<Int32Type>,
    /// By the keys of `splits`.
    split_names: Vec<Option<Split>>,
}

impl RawColumns {
    /// Every column of a batch with the way to check it.
    ///
    /// # Errors
    /// A text for a column that has no way to be checked.
    pub(super) fn new(batch: &RecordBatch, symbol: &str) -> Result<Self, String> {
        let schema = batch.schema();
        let mut checks = Vec::new();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            let name = field.name();
            if DERIVED.contains(&name.as_str()) {
                continue;
            }
            let check = check(name, column, symbol);
            checks.push((name.clone(), check.ok_or_else(|| format!("there is no way to check the column {name:?}"))?));
        }
        let column = |name: &str| batch.column_by_name(name);
        let labels = || {
            let splits = column("split")?.as_dictionary_opt::<Int32Type>()?;
            let names = splits.values().as_string_opt::<i32>()?;
            Some(Self {
                checks,
                rows: typed(column("row")?)?,
                movements: typed(column("price_movement")?)?,
                classes: typed(column("classification_label")?)?,
                splits: splits.keys().clone(),
                split_names: names.iter().map(|name| name.and_then(Split::from_name)).collect(),
            })
        };
        labels().ok_or_else(|| "a column has another type than its name promises".to_owned())
    }

    /// What the label of a row says.
    pub(super) fn label(&self, at: usize) -> Label {
        let key = usize::try_from(self.splits.value(at)).ok();
        Label {
            row: self.rows.value(at),
            movement: self.movements.value(at),
            class: self.classes.value(at),
            split: key.and_then(|key| self.split_names.get(key).copied()).flatten(),
        }
    }

    /// Compares a row with its record.
    ///
    /// # Errors
    /// A text that names the column that differs.
    pub(super) fn compare(&self, row: usize, record: &Record<'_>, mid2: i64) -> Result<(), String> {
        match self.checks.iter().find(|(_, check)| !check(row, record, mid2)) {
            Some((name, _)) => Err(format!("{name} is not what the raw record holds")),
            None => Ok(()),
        }
    }
}

fn check(name: &str, column: &ArrayRef, symbol: &str) -> Option<Check> {
    match name {
        "ts_recv" => times(column, |r| r.ts_recv),
        "ts_event" => times(column, |r| r.ts_event),
        "ts_out" => times(column, |r| r.ts_out),
        "publisher_id" => numbers::<UInt16Type>(column, |r| r.publisher_id),
        "instrument_id" => numbers::<UInt32Type>(column, |r| r.instrument_id),
        "action" => letters(column, |r| r.action),
        "side" => letters(column, |r| r.side),
        "depth" => numbers::<UInt8Type>(column, |r| r.depth),
        "price" => prices(column, |r| r.price),
        "size" => numbers::<UInt32Type>(column, |r| r.size),
        "flags" => numbers::<UInt8Type>(column, |r| r.flags),
        "ts_in_delta" => numbers::<Int32Type>(column, |r| r.ts_in_delta),
        "sequence" => numbers::<UInt32Type>(column, |r| r.sequence),
        "mid_price" => {
            let column = typed::<Float64Type>(column)?;
            Some(Box::new(move |row, _, mid2| column.value(row).to_bits() == (mid2 as f64 / 2e9).to_bits()))
        }
        "symbol" => {
            let column = column.as_dictionary_opt::<Int32Type>()?.clone();
            let names = column.values().as_string_opt::<i32>()?;
            let named: Arc<[bool]> = names.iter().map(|name| name == Some(symbol)).collect();
            Some(Box::new(move |row, _, _| {
                let key = usize::try_from(column.keys().value(row)).ok();
                key.and_then(|key| named.get(key)) == Some(&true)
            }))
        }
        _ => {
            let (stem, level) = name.rsplit_once('_')?;
            let level = level.parse::<usize>().ok().filter(|l| name.len() == stem.len() + 3 && *l < 10)?;
            match stem {
                "bid_px" => prices(column, move |r| r.levels[level].bid_px),
                "ask_px" => prices(column, move |r| r.levels[level].ask_px),
                "bid_sz" => of_level(column, level, |l| l.bid_sz),
                "ask_sz" => of_level(column, level, |l| l.ask_sz),
                "bid_ct" => of_level(column, level, |l| l.bid_ct),
                "ask_ct" => of_level(column, level, |l| l.ask_ct),
                _ => None,
            }
        }
    }
}

fn typed<T: ArrowPrimitiveType>(column: &ArrayRef) -> Option<PrimitiveArray<T>> {
    column.as_primitive_opt::<T>().cloned()
}

fn numbers<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    want: impl Fn(&Record<'_>) -> T::Native + Send + 'static,
) -> Option<Check>
where
    T::Native: PartialEq,
{
    let column = typed::<T>(column)?;
    Some(Box::new(move |row, record, _| column.is_valid(row) && column.value(row) == want(record)))
}

fn of_level(column: &ArrayRef, level: usize, want: impl Fn(&BidAskPair) -> u32 + Send + 'static) -> Option<Check> {
    numbers::<UInt32Type>(column, move |record| want(&record.levels[level]))
}

fn times(column: &ArrayRef, want: impl Fn(&Record<'_>) -> u64 + Send + 'static) -> Option<Check> {
    let column = typed::<TimestampNanosecondType>(column)?;
    Some(Box::new(move |row, record, _| match want(record) {
        UNDEF_TIMESTAMP => column.is_null(row),
        want => column.is_valid(row) && column.value(row).cast_unsigned() == want,
    }))
}

fn prices(column: &ArrayRef, want: impl Fn(&Record<'_>) -> i64 + Send + 'static) -> Option<Check> {
    if let Some(column) = typed::<Int64Type>(column) {
        return Some(Box::new(move |row, record, _| match want(record) {
            UNDEF_PRICE => column.is_null(row),
            want => column.is_valid(row) && column.value(row) == want,
        }));
    }
    let column = typed::<Float64Type>(column)?;
    Some(Box::new(move |row, record, _| match want(record) {
        UNDEF_PRICE => column.is_null(row),
        want => column.is_valid(row) && column.value(row).to_bits() == (want as f64 / 1e9).to_bits(),
    }))
}

fn letters(column: &ArrayRef, want: impl Fn(&Record<'_>) -> u8 + Send + 'static) -> Option<Check> {
    let column = column.as_string_opt::<i32>()?.clone();
    Some(Box::new(move |row, record, _| {
        column.is_valid(row) && *column.value(row) == *char::from(want(record)).encode_utf8(&mut [0; 4])
    }))
}

/// What a row's label says.
#[derive(Clone, Copy)]
pub(super) struct Label {
    pub row: u64,
    movement: f64,
    class: i32,
    /// `None` for none of the three.
    split: Option<Split>,
}

impl Label {
    /// Compares it with what the definition gives: the movement, the boundaries, and the running maximum of `ts_recv` at the row
    /// and at the last row of its future window, held against the boundary time.
    ///
    /// # Errors
    /// A text that names what differs.
    pub(super) fn compare(
        &self,
        want: Option<f64>,
        boundaries: &[f64],
        [own_ts, last_ts]: [u64; 2],
        until: u64,
    ) -> Result<(), String> {
        let Self { movement, class, split, .. } = *self;
        let Some(want) = want else { return Err("its movement is undefined, so it has no label".to_owned()) };
        if movement.to_bits() != want.to_bits() {
            return Err(format!("price_movement is {movement:e}, and {want:e} by definition"));
        }
        let count = super::definition::class(boundaries, want);
        if i64::from(class) != count as i64 {
            return Err(format!("classification_label is {class}, and {count} by definition"));
        }
        let want = super::definition::split_by_time(own_ts, last_ts, until);
        if split == Some(want) {
            return Ok(());
        }
        Err(format!("split is {}, and {want} by definition", split.map_or("none of the three", Split::name)))
    }
}
