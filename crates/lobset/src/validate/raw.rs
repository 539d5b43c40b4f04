//! Compares stored rows with raw records, column by column.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray, RecordBatch};
use arrow_schema::DataType;

use super::fields::{Field, Levels, Want, field};
use super::kinds::Verdict;
use crate::config::{Classes, Target};
use crate::input::Record;
use crate::label::Split;
use crate::output::names;

/// Whether the cell of a row equals the given value.
type Check = Box<dyn Fn(usize, Want) -> bool + Send>;

/// A batch of stored rows.
pub(super) struct RawColumns {
    checks: Vec<(String, Field, Check)>,
    rows: PrimitiveArray<UInt64Type>,
    targets: Vec<StoredLabels>,
}

/// The labels of a target in a batch. They follow from the whole stream, not from a single record: [`Label`] is
/// compared with the definition, and the marks with the counts of the manifest.
struct StoredLabels {
    movements: PrimitiveArray<Float64Type>,
    classes: PrimitiveArray<Int32Type>,
    splits: PrimitiveArray<Int32Type>,
    /// The splits, by the keys of `splits`.
    split_names: Vec<Option<Split>>,
    /// The columns `balanced`, `label_end` and `label_touch`, if they are present.
    balanced: Option<BooleanArray>,
    ends: Option<PrimitiveArray<UInt64Type>>,
    touches: Option<PrimitiveArray<UInt64Type>>,
}

impl StoredLabels {
    /// Takes the columns of a target, and adds their names to `taken`; `None` if one is missing or has the wrong type.
    fn new(batch: &RecordBatch, target: &Target, taken: &mut Vec<String>) -> Option<Self> {
        let mut column = |name: &str| {
            let name = target.column(name);
            let found = batch.column_by_name(&name);
            taken.extend(found.map(|_| name));
            found
        };
        /// A column that may be missing, but must not have another type.
        fn optional<T>(column: Option<&ArrayRef>, typed: impl Fn(&ArrayRef) -> Option<T>) -> Option<Option<T>> {
            column.map_or(Some(None), |column| typed(column).map(Some))
        }
        let (movements, classes) = (column(names::PRICE_MOVEMENT), column(names::CLASSIFICATION_LABEL));
        let splits = column(names::SPLIT);
        let (balanced, ends, touches) = (column(names::BALANCED), column(names::LABEL_END), column(names::LABEL_TOUCH));
        let splits = splits?.as_dictionary_opt::<Int32Type>()?;
        let by_key = splits.values().as_string_opt::<i32>()?;
        Some(Self {
            movements: typed(movements?)?,
            classes: typed(classes?)?,
            splits: splits.keys().clone(),
            split_names: by_key.iter().map(|name| name.and_then(Split::from_name)).collect(),
            balanced: optional(balanced, |marks| marks.as_boolean_opt().cloned())?,
            ends: optional(ends, typed)?,
            touches: optional(touches, typed)?,
        })
    }
}

impl RawColumns {
    /// Pairs every column of a batch with its check.
    ///
    /// # Errors
    /// A text for a column without a check.
    pub(super) fn new(batch: &RecordBatch, symbol: &str, targets: &[Target]) -> Result<Self, String> {
        let schema = batch.schema();
        // Label columns are those that were read as such: all other columns are checked against the record.
        let mut of_targets = vec![names::ROW.to_owned()];
        let rows = batch.column_by_name(names::ROW).and_then(typed);
        let targets: Option<Vec<_>> =
            targets.iter().map(|target| StoredLabels::new(batch, target, &mut of_targets)).collect();
        let mut checks = Vec::new();
        for (column, stored) in schema.fields().iter().zip(batch.columns()) {
            let name = column.name().as_str();
            if of_targets.iter().any(|known| known == name) {
                continue;
            }
            let unknown = || format!("there is no way to check the column {name:?}");
            let field = field(name).ok_or_else(unknown)?;
            let check = check(stored, symbol).ok_or_else(unknown)?;
            checks.push((name.to_owned(), field, check));
        }
        match (rows, targets) {
            (Some(rows), Some(targets)) => Ok(Self { checks, rows, targets }),
            _ => Err("a column has the wrong type".to_owned()),
        }
    }

    /// The number of a row in its stream.
    pub(super) fn row(&self, at: usize) -> u64 {
        self.rows.value(at)
    }

    /// The label of a row for each target, `None` where it has no label.
    pub(super) fn labels(&self, at: usize) -> impl Iterator<Item = Option<Label>> + '_ {
        self.targets.iter().map(move |columns| {
            let key = usize::try_from(columns.splits.value(at)).ok();
            columns.movements.is_valid(at).then(|| Label {
                row: self.rows.value(at),
                movement: columns.movements.value(at),
                class: columns.classes.value(at),
                split: key.and_then(|key| columns.split_names.get(key).copied()).flatten(),
                balanced: columns.balanced.as_ref().map(|marks| marks.value(at)),
                end: columns.ends.as_ref().map(|ends| ends.value(at)),
                touch: columns.touches.as_ref().map(|touches| touches.is_valid(at).then(|| touches.value(at))),
            })
        })
    }

    /// Compares a row with its record, and with the levels of the row before it, if its stretch has one.
    ///
    /// # Errors
    /// A text that names the column that differs.
    pub(super) fn compare(&self, row: usize, record: &Record<'_>, before: Option<&Levels>) -> Result<(), String> {
        match self.checks.iter().find(|(_, field, check)| !check(row, field(record, before))) {
            Some((name, ..)) => Err(format!("{name} differs from the raw record")),
            None => Ok(()),
        }
    }
}

/// The way to check the cells of a column; `None` for a type that no dataset column has. A value of another type is
/// always wrong.
fn check(stored: &ArrayRef, symbol: &str) -> Option<Check> {
    Some(match stored.data_type() {
        DataType::Timestamp(..) => numbers::<TimestampNanosecondType>(
            stored,
            |value, want| matches!(want, Want::Time(ts) if value.cast_unsigned() == ts),
        )?,
        DataType::Float64 => numbers::<Float64Type>(stored, |value, want| match want {
            Want::Price(price) => value.to_bits() == (price as f64 / 1e9).to_bits(),
            Want::Float(float) => value.to_bits() == float.to_bits(),
            Want::Mid2(mid2) => value.to_bits() == (mid2 as f64 / 2e9).to_bits(),
            _ => false,
        })?,
        DataType::Int64 => {
            numbers::<Int64Type>(stored, |value, want| matches!(want, Want::Price(price) if value == price))?
        }
        DataType::UInt8 => numbers::<UInt8Type>(stored, |value, want| want == Want::Integer(value.into()))?,
        DataType::UInt16 => numbers::<UInt16Type>(stored, |value, want| want == Want::Integer(value.into()))?,
        DataType::UInt32 => numbers::<UInt32Type>(stored, |value, want| want == Want::Integer(value.into()))?,
        DataType::Int32 => numbers::<Int32Type>(stored, |value, want| want == Want::Integer(value.into()))?,
        DataType::Utf8 => {
            let stored = stored.as_string_opt::<i32>()?.clone();
            Box::new(move |row, want| {
                let Want::Letter(letter) = want else { return false };
                stored.is_valid(row) && *stored.value(row) == *char::from(letter).encode_utf8(&mut [0; 4])
            })
        }
        DataType::Dictionary(..) => {
            let stored = stored.as_dictionary_opt::<Int32Type>()?.clone();
            let texts = stored.values().as_string_opt::<i32>()?;
            let is_symbol: Vec<bool> = texts.iter().map(|text| text == Some(symbol)).collect();
            Box::new(move |row, want| {
                let key = stored.keys().is_valid(row).then(|| usize::try_from(stored.keys().value(row)).ok()).flatten();
                want == Want::Symbol && key.and_then(|key| is_symbol.get(key)) == Some(&true)
            })
        }
        _ => return None,
    })
}

fn typed<T: ArrowPrimitiveType>(column: &ArrayRef) -> Option<PrimitiveArray<T>> {
    column.as_primitive_opt::<T>().cloned()
}

fn numbers<T: ArrowPrimitiveType>(
    stored: &ArrayRef,
    is: impl Fn(T::Native, Want) -> bool + Send + 'static,
) -> Option<Check> {
    let stored = typed::<T>(stored)?;
    Some(Box::new(move |row, want| match want {
        Want::Null => stored.is_null(row),
        want => stored.is_valid(row) && is(stored.value(row), want),
    }))
}

/// The label of a row, as stored.
#[derive(Clone, Copy)]
pub(super) struct Label {
    pub row: u64,
    pub movement: f64,
    pub class: i32,
    /// `None` if the text is not one of the three splits.
    pub split: Option<Split>,
    /// Whether it is marked, if marks are stored.
    pub balanced: Option<bool>,
    /// The last row that it may look at, and the row of the first touch, if they are stored.
    pub end: Option<u64>,
    pub touch: Option<Option<u64>>,
}

/// The label of a row, by the definition.
#[derive(Clone, Copy)]
pub(super) struct Defined {
    pub movement: f64,
    pub class: usize,
    pub split: Split,
    pub end: u64,
    pub touch: Option<u64>,
}

impl Defined {
    /// The label of `target` that follows from `verdict`; `None` if its movement is undefined. `own_ts` is the running
    /// maximum of `ts_recv` at the row; it and the end of the label are compared with the boundary time `until`.
    pub(super) fn new(target: &Target, verdict: &Verdict, boundaries: &[f64], own_ts: u64, until: u64) -> Option<Self> {
        let movement = verdict.movement?;
        let class = match (&target.classes, verdict.touch) {
            (Classes::Touch, None) => 1,
            (Classes::Touch, Some(_)) if movement < 0.0 => 0,
            (Classes::Touch, Some(_)) => 2,
            _ => super::definition::class(boundaries, movement),
        };
        let split = super::definition::split_by_time(own_ts, verdict.end_ts, until);
        Some(Self { movement, class, split, end: verdict.end, touch: verdict.touch })
    }
}

impl Label {
    /// Compares the label of `target` with the definition: `verdict` has its movement and its end, and `own_ts` is the
    /// running maximum of `ts_recv` at the row; both times are compared with the boundary time `until`.
    ///
    /// # Errors
    /// A text that names what differs.
    pub(super) fn compare(
        &self,
        target: &Target,
        verdict: &Verdict,
        boundaries: &[f64],
        own_ts: u64,
        until: u64,
    ) -> Result<(), String> {
        let Self { movement, class, split, end, touch, .. } = *self;
        let Some(want) = Defined::new(target, verdict, boundaries, own_ts, until) else {
            return Err(format!("its {} is undefined, so it has no label", target.column(names::PRICE_MOVEMENT)));
        };
        if movement.to_bits() != want.movement.to_bits() {
            let column = target.column(names::PRICE_MOVEMENT);
            return Err(format!("{column} is {movement:e}, and {:e} by definition", want.movement));
        }
        if usize::try_from(class) != Ok(want.class) {
            let column = target.column(names::CLASSIFICATION_LABEL);
            return Err(format!("{column} is {class}, and {} by definition", want.class));
        }
        if end.is_some_and(|end| end != want.end) {
            let (column, end) = (target.column(names::LABEL_END), end.unwrap_or_default());
            return Err(format!("{column} is {end}, and {} by definition", want.end));
        }
        if touch.is_some_and(|touch| touch != want.touch) {
            return Err(format!("{} is not the row of the first touch", target.column(names::LABEL_TOUCH)));
        }
        if split == Some(want.split) {
            return Ok(());
        }
        let found = split.map_or("unknown", Split::name);
        Err(format!("{} is {found}, and {} by definition", target.column(names::SPLIT), want.split))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::sync::Arc;

    use arrow_array::{DictionaryArray, Float64Array, Int32Array, Int64Array, UInt64Array};
    use arrow_schema::{Field, Schema};
    use dbn::encode::{DbnEncoder, EncodeRecord};
    use dbn::{BidAskPair, MappingInterval, Mbp10Msg, Metadata, RecordHeader, SType, SymbolMapping, rtype};

    use super::*;
    use crate::config::{Config, Derived};
    use crate::input::DbnReader;
    use crate::output::{RecordBatches, Role, columns};

    /// Two records that differ in every field.
    fn write(path: &Path) {
        let interval =
            |start_date, end_date, symbol: &str| MappingInterval { start_date, end_date, symbol: symbol.into() };
        let dates = (time::macros::date!(1970 - 01 - 01), time::macros::date!(1970 - 01 - 02));
        let mappings = [("A", "20"), ("B", "21")].map(|(raw_symbol, id)| SymbolMapping {
            raw_symbol: raw_symbol.into(),
            intervals: vec![interval(dates.0, dates.1, id)],
        });
        let metadata = Metadata::builder()
            .dataset("GLBX.MDP3")
            .schema(Some(dbn::Schema::Mbp10))
            .start(0)
            .stype_in(Some(SType::RawSymbol))
            .stype_out(SType::InstrumentId)
            .mappings(mappings.to_vec())
            .build();
        let mut encoder = DbnEncoder::new(File::create(path).unwrap(), &metadata).unwrap();
        for n in [0, 1_u32] {
            let small = n as u8;
            let level = |level: u32| BidAskPair {
                bid_px: i64::from(1_000 + 2 * level + n),
                ask_px: i64::from(2_000 + 2 * level + n),
                bid_sz: 3_000 + 2 * level + n,
                ask_sz: 4_000 + 2 * level + n,
                bid_ct: 5_000 + 2 * level + n,
                ask_ct: 6_000 + 2 * level + n,
            };
            let message = Mbp10Msg {
                hd: RecordHeader::new::<Mbp10Msg>(rtype::MBP_10, 10 + u16::from(small), 20 + n, 30 + u64::from(n)),
                price: 40 + i64::from(n),
                size: 50 + n,
                action: (b'A' + small).cast_signed(),
                side: (b'M' + small).cast_signed(),
                flags: dbn::FlagSet::new(60 + small),
                depth: 7 + small,
                ts_recv: 80 + u64::from(n),
                ts_in_delta: -90 - small as i32,
                sequence: 100 + n,
                levels: std::array::from_fn(|i| level(i as u32)),
            };
            encoder.encode_record(&message).unwrap();
        }
    }

    /// The batch with these columns replaced or added.
    fn with(batch: &RecordBatch, more: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let schema = batch.schema();
        let kept = schema.fields().iter().zip(batch.columns());
        let kept = kept.filter(|(field, _)| more.iter().all(|(name, _)| name != field.name()));
        let kept = kept.map(|(field, column)| (field.name().clone(), Arc::clone(column))).collect::<Vec<_>>();
        let all = kept.into_iter().chain(more.into_iter().map(|(name, column)| (name.to_owned(), column)));
        let (fields, columns): (Vec<_>, Vec<_>) =
            all.map(|(name, column)| (Field::new(name, column.data_type().clone(), true), column)).unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn targets() -> Vec<Target> {
        Config::default().all_targets()
    }

    /// The two records as rows of a dataset.
    fn rows(path: &Path) -> RecordBatch {
        let batch = RecordBatches::open(path, None, None).unwrap().next().unwrap().unwrap();
        let splits: DictionaryArray<Int32Type> = ["fit", "fit"].into_iter().collect();
        let labels: Vec<(&str, ArrayRef)> = vec![
            ("row", Arc::new(UInt64Array::from(vec![0, 1]))),
            ("mid_price", Arc::new(Float64Array::from(vec![3_000.0 / 2e9, 3_002.0 / 2e9]))),
            ("price_movement", Arc::new(Float64Array::from(vec![0.0, 0.0]))),
            ("classification_label", Arc::new(Int32Array::from(vec![1, 1]))),
            ("split", Arc::new(splits)),
        ];
        with(&with(&batch, labels), derived())
    }

    /// The columns computed from the book: right in the first row, if [`before`] comes before it, and wrong in the second.
    fn derived() -> Vec<(&'static str, ArrayRef)> {
        let names = |stem: &str| (0..10).map(|level| format!("{stem}_{level:02}")).collect::<Vec<_>>();
        let [imbalances, flows] = ["imbalance", "ofi"].map(|stem| names(stem).into_iter().zip(0..10));
        let imbalances = imbalances.map(|(name, level)| (name, -1_000.0 / f64::from(7_000 + 4 * level)));
        let flows = flows.map(|(name, level)| (name, f64::from(1 - (4_000 + 2 * level))));
        let best = [("spread", 1_000.0 / 1e9), ("weighted_mid", 10_000_000.0 / 7_000e9)];
        let all = best.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(imbalances).chain(flows);
        let columns = all.map(|(name, value)| {
            let column: ArrayRef = Arc::new(Float64Array::from(vec![value, value.next_up()]));
            (&*name.leak(), column)
        });
        columns.collect()
    }

    /// The levels of a row before a record: one bid less at each, and an ask price that is worse by one step.
    fn before(record: &Record<'_>) -> Levels {
        record.levels.each_ref().map(|level| BidAskPair {
            ask_px: level.ask_px + 1,
            bid_sz: level.bid_sz - 1,
            ..level.clone()
        })
    }

    #[test]
    fn every_column_that_a_record_holds_is_compared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.dbn");
        write(&path);
        let batch = rows(&path);
        let table = columns(&Config { derived: Derived::ALL.to_vec(), ..Config::default() }, true);
        let mut reader = DbnReader::open(&path).unwrap();
        assert!(reader.advance().unwrap());
        let record = reader.record().unwrap();
        let before = before(&record);
        assert_eq!(RawColumns::new(&batch, "A", &targets()).unwrap().compare(0, &record, Some(&before)), Ok(()));
        let differs = |name: &str| Err(format!("{name} differs from the raw record"));
        let mut compared = 0;
        for column in table.iter().filter(|column| column.role != Role::Target && column.name != names::ROW) {
            let Some(stored) = batch.column_by_name(&column.name) else {
                assert_eq!(column.name, "ts_out");
                continue;
            };
            // The cell of the other record, and a null.
            let other = arrow_array::new_null_array(stored.data_type(), 2);
            for cell in [stored.slice(1, 1), other.slice(0, 1)] {
                let changed = with(&batch.slice(0, 1), vec![(&column.name, cell)]);
                let found = RawColumns::new(&changed, "A", &targets()).unwrap().compare(0, &record, Some(&before));
                assert_eq!(found, differs(&column.name));
            }
            compared += 1;
        }
        assert_eq!(compared, 12 + 60 + 2 + 22);
        // The first row of a stretch has no row before it.
        let alone = RawColumns::new(&batch, "A", &targets()).unwrap().compare(0, &record, None);
        assert_eq!(alone, differs("ofi_00"));
        let nulls = (0..10).map(|level| &*format!("ofi_{level:02}").leak());
        let nulls = nulls.map(|name| (name, arrow_array::new_null_array(&DataType::Float64, 2))).collect();
        assert_eq!(RawColumns::new(&with(&batch, nulls), "A", &targets()).unwrap().compare(0, &record, None), Ok(()));
        let live: ArrayRef = Arc::new(arrow_array::TimestampNanosecondArray::from(vec![5, 5]).with_timezone("UTC"));
        let live = with(&batch, vec![("ts_out", live)]);
        assert_eq!(
            RawColumns::new(&live, "A", &targets()).unwrap().compare(0, &record, Some(&before)),
            differs("ts_out")
        );
    }

    #[test]
    fn a_column_without_a_way_to_be_checked_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.dbn");
        write(&path);
        let batch = rows(&path);
        let more: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 0.5]));
        for name in ["price_movement_fast", "bid_px_10", "bid_px_1", "ask_sz_001", "spread_00", "imbalance", "ofi_10"] {
            let unknown = with(&batch, vec![(name, Arc::clone(&more))]);
            let error = RawColumns::new(&unknown, "A", &targets()).err().unwrap();
            assert_eq!(error, format!("there is no way to check the column {name:?}"));
        }
        // Label columns have types too.
        for name in ["balanced", "label_end", "label_touch"] {
            let retyped = with(&batch, vec![(name, Arc::clone(&more))]);
            assert_eq!(RawColumns::new(&retyped, "A", &targets()).err().unwrap(), "a column has the wrong type");
        }
        // Right as a number, but not of the column's type.
        let signed = with(&batch, vec![("size", Arc::new(Int64Array::from(vec![50, 51])))]);
        let mut reader = DbnReader::open(&path).unwrap();
        assert!(reader.advance().unwrap());
        let record = reader.record().unwrap();
        let compared = RawColumns::new(&signed, "A", &targets()).unwrap().compare(0, &record, Some(&before(&record)));
        assert_eq!(compared, Err("size differs from the raw record".to_owned()));
    }
}
