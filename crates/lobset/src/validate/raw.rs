//! Stored rows against raw records, column by column.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};

use crate::input::Record;
use crate::label::Split;
use crate::output::{Column, Kind, names};
use crate::tape::book;

/// Columns that no record holds. They follow from the whole stream: [`Label`] is compared with the definition, and the
/// marks with the counts of the manifest.
const LABELS: [&str; 5] =
    [names::ROW, names::PRICE_MOVEMENT, names::CLASSIFICATION_LABEL, names::SPLIT, names::BALANCED];

/// Whether the value in a row is this one, in the 64 bits of the table of columns.
type Check = Box<dyn Fn(usize, u64) -> bool + Send>;

/// A batch of stored rows.
pub(super) struct RawColumns {
    checks: Vec<(Column, Check)>,
    rows: PrimitiveArray<UInt64Type>,
    movements: PrimitiveArray<Float64Type>,
    classes: PrimitiveArray<Int32Type>,
    splits: PrimitiveArray<Int32Type>,
    /// By the keys of `splits`.
    split_names: Vec<Option<Split>>,
}

impl RawColumns {
    /// Every column of a batch with the way to check it. `table` has the columns that the dataset may have.
    ///
    /// # Errors
    /// A text for a column that has no way to be checked.
    pub(super) fn new(batch: &RecordBatch, table: &[Column], symbol: &str) -> Result<Self, String> {
        let schema = batch.schema();
        let mut checks = Vec::new();
        for (field, stored) in schema.fields().iter().zip(batch.columns()) {
            let name = field.name().as_str();
            let unknown = || format!("there is no way to check the column {name:?}");
            let column = table.iter().find(|column| column.name == name).ok_or_else(unknown)?;
            if column.is_label() {
                if !LABELS.contains(&name) {
                    return Err(unknown());
                }
                continue;
            }
            let check = check(column.kind, stored, symbol);
            let check = check.ok_or_else(|| format!("the column {name:?} has another type than its name promises"))?;
            checks.push((column.clone(), check));
        }
        let column = |name: &str| batch.column_by_name(name);
        let labels = || {
            let splits = column(names::SPLIT)?.as_dictionary_opt::<Int32Type>()?;
            let by_key = splits.values().as_string_opt::<i32>()?;
            Some(Self {
                checks,
                rows: typed(column(names::ROW)?)?,
                movements: typed(column(names::PRICE_MOVEMENT)?)?,
                classes: typed(column(names::CLASSIFICATION_LABEL)?)?,
                splits: splits.keys().clone(),
                split_names: by_key.iter().map(|name| name.and_then(Split::from_name)).collect(),
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
    pub(super) fn compare(&self, row: usize, record: &Record<'_>) -> Result<(), String> {
        let book = book(record.levels);
        let holds = |(column, check): &&(Column, Check)| match column.of_record(&record.event, &book) {
            Some(want) => check(row, want),
            None => false,
        };
        match self.checks.iter().find(|pair| !holds(pair)) {
            Some((column, _)) => Err(format!("{} is not what the raw record holds", column.name)),
            None => Ok(()),
        }
    }
}

/// The way to check stored values of a kind; `None` where they have another type.
fn check(kind: Kind, stored: &ArrayRef, symbol: &str) -> Option<Check> {
    match kind {
        Kind::Time => numbers::<TimestampNanosecondType>(kind, stored, |value, want| value.cast_unsigned() == want),
        Kind::FixedPrice => numbers::<Int64Type>(kind, stored, |value, want| value.cast_unsigned() == want),
        Kind::FloatPrice => floats(kind, stored, |want| want.cast_signed() as f64 / 1e9),
        Kind::Mid => floats(kind, stored, |want| want.cast_signed() as f64 / 2e9),
        Kind::Float => floats(kind, stored, f64::from_bits),
        Kind::U8 => numbers::<UInt8Type>(kind, stored, |value, want| u64::from(value) == want),
        Kind::U16 => numbers::<UInt16Type>(kind, stored, |value, want| u64::from(value) == want),
        Kind::U32 => numbers::<UInt32Type>(kind, stored, |value, want| u64::from(value) == want),
        Kind::U64 => numbers::<UInt64Type>(kind, stored, |value, want| value == want),
        Kind::I32 => numbers::<Int32Type>(kind, stored, |value, want| value == want as i32),
        Kind::Bool => {
            let stored = stored.as_boolean_opt()?.clone();
            Some(Box::new(move |row, want| stored.is_valid(row) && u64::from(stored.value(row)) == want))
        }
        Kind::Letter => {
            let stored = stored.as_string_opt::<i32>()?.clone();
            Some(Box::new(move |row, want| {
                stored.is_valid(row) && *stored.value(row) == *char::from(want as u8).encode_utf8(&mut [0; 4])
            }))
        }
        Kind::Symbol => texts(stored, &[symbol]),
        Kind::Name(names) => texts(stored, names),
    }
}

fn typed<T: ArrowPrimitiveType>(column: &ArrayRef) -> Option<PrimitiveArray<T>> {
    column.as_primitive_opt::<T>().cloned()
}

fn numbers<T: ArrowPrimitiveType>(
    kind: Kind,
    stored: &ArrayRef,
    is: impl Fn(T::Native, u64) -> bool + Send + 'static,
) -> Option<Check> {
    let stored = typed::<T>(stored)?;
    let null = kind.null();
    Some(Box::new(move |row, want| match Some(want) == null {
        true => stored.is_null(row),
        false => stored.is_valid(row) && is(stored.value(row), want),
    }))
}

/// Floats, bit for bit.
fn floats(kind: Kind, stored: &ArrayRef, float: impl Fn(u64) -> f64 + Send + 'static) -> Option<Check> {
    numbers::<Float64Type>(kind, stored, move |value, want| value.to_bits() == float(want).to_bits())
}

/// Texts by their numbers in a list.
fn texts(stored: &ArrayRef, list: &[&str]) -> Option<Check> {
    let stored = stored.as_dictionary_opt::<Int32Type>()?.clone();
    let texts = stored.values().as_string_opt::<i32>()?;
    // By key, the number of its text in the list.
    let number = |text: &str| list.iter().position(|known| *known == text).map(|number| number as u64);
    let numbers: Vec<Option<u64>> = texts.iter().map(|text| text.and_then(number)).collect();
    Some(Box::new(move |row, want| {
        let key = stored.keys().is_valid(row).then(|| usize::try_from(stored.keys().value(row)).ok()).flatten();
        key.and_then(|key| numbers.get(key).copied()).flatten() == Some(want)
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
        let count = boundaries.iter().filter(|b| **b <= want).count();
        if i64::from(class) != count as i64 {
            return Err(format!("classification_label is {class}, and {count} by definition"));
        }
        let want = match () {
            () if own_ts >= until => Split::Holdout,
            () if last_ts >= until => Split::Embargo,
            () => Split::Fit,
        };
        if split == Some(want) {
            return Ok(());
        }
        Err(format!("split is {}, and {want} by definition", split.map_or("none of the three", Split::name)))
    }
}
