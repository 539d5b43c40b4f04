//! What [`explain`](super::explain) finds, as data. Its text is in `text.rs`.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::super::definition::Break;
use super::super::kinds::{RowTime, Steps};
use crate::error::{Result, ValidationError};
use crate::time_text::Timestamp;

/// One row of a stream, and how its labels follow from the raw files. `to_string()` formats it as text.
///
/// Sums and fractions are exact integers of any size, written as decimal digits. `mid2` is best bid plus best ask, in
/// 1e-9. Times of rows are running maxima of `ts_recv`, which windows and splits depend on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The symbol, as in the manifest.
    pub symbol: String,
    /// The number of the row in the symbol's stream, from 0.
    pub row: u64,
    /// Number of rows of the stream.
    pub rows: u64,
    /// The boundary time T.
    pub fit_until: Timestamp,
    /// The record of the row.
    pub record: RecordAt,
    /// Number of records of the symbol between the previous row and this one that are not rows.
    pub dropped_count: u64,
    /// The first of these records, at most 20.
    pub dropped_before: Vec<DroppedRecord>,
    /// The unbroken part of the stream around the row.
    pub stretch: Stretch,
    /// Whether the row is within the sessions; `None` without sessions.
    pub in_session: Option<bool>,
    /// The targets, the classic one first.
    pub targets: Vec<TargetExplanation>,
    /// What the dataset contains for the row.
    pub stored: StoredRow,
    /// Whether the dataset agrees with the raw files about this row.
    pub agrees: bool,
    /// The differences, one line each: the file, the row, and what differs.
    pub differences: Vec<String>,
}

impl Explanation {
    /// Fails if the dataset in `folder` does not agree with the raw files.
    ///
    /// # Errors
    /// [`ValidationError`] with the differences.
    pub fn check(&self, folder: &Path) -> Result<()> {
        if self.agrees {
            return Ok(());
        }
        Err(ValidationError { path: folder.to_owned(), violations: self.differences.clone() }.into())
    }
}

/// A record of a raw file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordAt {
    /// The file, by its name in the manifest.
    pub file: String,
    /// The number of the record in the file, from 0.
    pub record: u64,
    /// Its `ts_recv`.
    pub ts_recv: Timestamp,
    /// The running maximum of `ts_recv` in its stream, which is later where `ts_recv` steps back.
    pub time: Timestamp,
    /// Its instrument.
    pub instrument_id: u32,
    /// Best bid and best ask in 1e-9.
    pub bid_px: i64,
    /// See `bid_px`.
    pub ask_px: i64,
    /// Their sum, in 1e-9.
    pub mid2: i64,
    /// The mid price in price units.
    pub mid_price: f64,
}

/// A record that is not a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DroppedRecord {
    /// The file, by its name in the manifest.
    pub file: String,
    /// The number of the record in the file, from 0.
    pub record: u64,
    /// Why it is not a row.
    pub reason: String,
}

/// An unbroken part of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stretch {
    /// Its first row.
    pub first: RowTime,
    /// Why it begins there; `None` for the first row of the stream.
    pub begins: Option<Break>,
    /// Its last row; `None` if it continues beyond all rows that the labels depend on.
    pub last: Option<RowTime>,
    /// Why the next one begins after it; `None` if this is not known, or there is no next one.
    pub ends: Option<Break>,
}

/// How the label of one target follows from the rows, as far as it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetExplanation {
    /// The name of the target.
    pub name: String,
    /// The target as text: its kind and its settings.
    pub definition: String,
    /// Windows or path; `None` if they are not complete.
    pub steps: Option<Steps>,
    /// The movement.
    pub movement: Option<MovementStep>,
    /// The class; `None` if no boundaries apply to the symbol.
    pub class: Option<ClassStep>,
    /// The end of the label: the last row that it may look at, and the moment up to which it looks.
    pub end: Option<RowTime>,
    /// The split: `fit`, `embargo` or `holdout`.
    pub split: Option<SplitStep>,
    /// The mark; `None` without `force_uniform`.
    pub mark: Option<MarkStep>,
    /// Why the row has no label of the target, or why the dataset has no labels of it.
    pub no_label: Option<String>,
}

/// A movement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MovementStep {
    /// The numerator of the fraction; an exact integer.
    pub numerator: String,
    /// Its denominator; an exact integer.
    pub denominator: String,
    /// The movement: both integers are rounded once, then divided. `None` if it is undefined.
    pub value: Option<f64>,
    /// The known part of the movement: its value if the price stayed what it is at the row, which needs no forecast. 0
    /// where movements start from that price. `None` if the movement is undefined.
    pub known: Option<f64>,
}

/// A class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassStep {
    /// The class, from 0.
    pub class: usize,
    /// Number of classes.
    pub classes: usize,
    /// The boundary at or below the movement, and the one above it; `None` beyond the outermost, and for barriers.
    pub at_least: Option<f64>,
    /// See `at_least`.
    pub below: Option<f64>,
}

/// A split, and the times it follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SplitStep {
    /// `fit`, `embargo` or `holdout`.
    pub split: &'static str,
    /// The time of the row, compared with T first.
    pub time: Timestamp,
    /// The moment up to which the label looks, compared with T next.
    pub end: Timestamp,
}

/// A mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MarkStep {
    /// Whether the row is marked; `None` if this is unknown because `drop_unbalanced` has left out other rows.
    pub balanced: Option<bool>,
    /// c: rows of the class in the split, from the manifest.
    pub class_rows: u64,
    /// k: the number of marked rows of each class that has at least k rows, from the counts in the manifest.
    pub marked_rows: u64,
    /// j: the number of the row among those of its class and split, from 1, counted in the dataset.
    pub number: Option<u64>,
    /// floor((j-1)*k/c) and floor(j*k/c): the row is marked if they differ. `None` if all rows of the class are marked,
    /// or none.
    pub floors: Option<[u64; 2]>,
}

/// What a dataset contains for a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredRow {
    /// The file of the dataset; `None` if the symbol has none.
    pub file: Option<String>,
    /// Whether the dataset contains the row.
    pub present: bool,
    /// Why it does not, by the definition; `None` if it should.
    pub absent_because: Option<String>,
    /// Whether the columns of the record, its book and what is derived from it, are those of the raw record.
    pub record_agrees: Option<bool>,
    /// The columns of the labels.
    pub values: Vec<StoredValue>,
}

/// A value of a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredValue {
    /// The column.
    pub column: String,
    /// The value in the dataset.
    pub stored: Value,
    /// The value by the definition.
    pub computed: Value,
    /// Whether the two are the same, floats to the last bit.
    pub agrees: bool,
}
