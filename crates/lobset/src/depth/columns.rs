//! Columns of an order book, in the types that inputs have.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};

use super::error::DepthError;
use super::prices::Prices;
use super::spec::{DepthSpec, LEVELS};
use crate::cast::to_usize;
use crate::dataset::DatasetReader;
use crate::error::{InputError, Result};
use crate::output::names;

/// Ten levels per side of consecutive rows; the first index is the side: 0 bids, 1 asks.
#[derive(Debug, Clone)]
pub struct Levels<'a> {
    rows: usize,
    pub(super) prices: [[Prices<'a>; LEVELS]; 2],
    pub(super) sizes: [[Cow<'a, [u32]>; LEVELS]; 2],
    pub(super) counts: [[Cow<'a, [u32]>; LEVELS]; 2],
}

impl<'a> Levels<'a> {
    /// Creates levels from columns of equal length. Sizes and counts may be empty where no feature needs them.
    ///
    /// # Errors
    /// [`DepthError::Lengths`] when the lengths differ.
    pub fn new(
        prices: [[Prices<'a>; LEVELS]; 2],
        sizes: [[Cow<'a, [u32]>; LEVELS]; 2],
        counts: [[Cow<'a, [u32]>; LEVELS]; 2],
    ) -> Result<Self, DepthError> {
        let rows = prices[0][0].len();
        let whole = prices.iter().flatten().all(|p| p.len() == rows)
            && sizes.iter().chain(&counts).flatten().all(|c| c.is_empty() || c.len() == rows);
        if whole { Ok(Self { rows, prices, sizes, counts }) } else { Err(DepthError::Lengths) }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The centre of the ladder of a window that ends at `row`; `None` if the row has no best bid or no best ask.
    pub(super) fn base(&self, spec: &DepthSpec, row: usize) -> Option<i64> {
        let best = |side: usize| self.prices[side][0].micro_pips(spec, row);
        DepthSpec::base(best(0), best(1))
    }

    /// Reads consecutive rows of a dataset, with prices in micro-pips and the columns that the features need.
    pub(crate) fn read(reader: &DatasetReader, spec: &DepthSpec, rows: Range<u64>) -> Result<Levels<'static>> {
        let columns = spec.columns();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut levels = Levels::empty();
        for (number, group) in reader.groups().enumerate() {
            let (start, end) = (rows.start.max(group.start), rows.end.min(group.end));
            if start < end {
                let within = to_usize(start - group.start)..to_usize(end - group.start);
                let batch = reader.read_ranges(number, &[within], &columns)?;
                let more = Levels::from_batch(&batch, spec).map_err(|e| InputError::unreadable(reader.path(), e))?;
                let more = more.into_micro_pips(spec);
                match levels.rows {
                    0 => levels = more,
                    _ => levels.append(&more, 0..more.rows),
                }
            }
        }
        Ok(levels)
    }

    /// Reads the levels of a table with columns named as in a dataset. Prices are floats in price units or 64-bit
    /// integers in 1e-9; sizes and counts are any integers that fit 32 bits. Reads only the columns that the features
    /// need.
    ///
    /// # Errors
    /// [`DepthError`] with the column that is missing or has the wrong type.
    pub fn from_batch(batch: &'a RecordBatch, spec: &DepthSpec) -> Result<Self, DepthError> {
        let names: Vec<&str> = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        Self::from_columns(
            spec,
            &names,
            |place| Prices::from_array(batch.column(place)),
            |place| integers(batch.column(place)),
        )
    }

    /// Reads the levels from columns called `names`. `prices` and `integers` return the column at an index, or `None`
    /// if it has the wrong type. Reads only the columns that the features need.
    ///
    /// # Errors
    /// [`DepthError`] with the column that is missing or has the wrong type.
    pub fn from_columns(
        spec: &DepthSpec,
        names: &[&str],
        prices: impl Fn(usize) -> Option<Prices<'a>>,
        integers: impl Fn(usize) -> Option<Cow<'a, [u32]>>,
    ) -> Result<Self, DepthError> {
        // Columns are often in the order of lookup, so try the next one first.
        let next = Cell::new(0);
        let place = |name: &str| {
            let is_it = |place: &usize| names.get(*place) == Some(&name);
            let place = Some(next.get()).filter(is_it).or_else(|| (0..names.len()).find(is_it));
            next.set(place.map_or(0, |place| place + 1));
            place.ok_or_else(|| DepthError::NoColumn(name.to_owned()))
        };
        let price = |side, level| {
            let name = names::of_level("px", side, level);
            prices(place(&name)?).ok_or(DepthError::Prices(name))
        };
        let integer = |needed: bool, kind: &str, side, level| {
            if !needed {
                return Ok(Cow::Borrowed(&[][..]));
            }
            let name = names::of_level(kind, side, level);
            integers(place(&name)?).ok_or(DepthError::Integers(name))
        };
        Self::new(
            both_sides(price)?,
            both_sides(|side, level| integer(spec.needs_sizes(), "sz", side, level))?,
            both_sides(|side, level| integer(spec.needs_counts(), "ct", side, level))?,
        )
    }

    /// Converts prices to micro-pips and copies borrowed columns, so that the result does not depend on the table.
    fn into_micro_pips(self, spec: &DepthSpec) -> Levels<'static> {
        let own = |columns: [[Cow<'_, [u32]>; LEVELS]; 2]| columns.map(|side| side.map(|c| Cow::Owned(c.into_owned())));
        Levels {
            rows: self.rows,
            prices: self
                .prices
                .map(|side| side.map(|p| Prices::MicroPips(Cow::Owned(p.to_micro_pips(spec).into_owned())))),
            sizes: own(self.sizes),
            counts: own(self.counts),
        }
    }
}

/// Calls `make` for each of the ten levels of both sides.
fn both_sides<T, E>(mut make: impl FnMut(usize, usize) -> Result<T, E>) -> Result<[[T; LEVELS]; 2], E> {
    let mut side = |side| {
        let mut level = |level| make(side, level);
        Ok([
            level(0)?,
            level(1)?,
            level(2)?,
            level(3)?,
            level(4)?,
            level(5)?,
            level(6)?,
            level(7)?,
            level(8)?,
            level(9)?,
        ])
    };
    Ok([side(0)?, side(1)?])
}

/// Reads a column of sizes or counts; `None` when a value is null or does not fit 32 bits, or the type is not
/// supported.
fn integers(column: &dyn Array) -> Option<Cow<'_, [u32]>> {
    if column.null_count() > 0 {
        return None;
    }
    if let Some(column) = column.as_primitive_opt::<UInt32Type>() {
        return Some(Cow::Borrowed(column.values()));
    }
    macro_rules! convert {
        ($($kind:ty),*) => {
            $(if let Some(column) = column.as_primitive_opt::<$kind>() {
                return column.values().iter().map(|v| u32::try_from(*v).ok()).collect();
            })*
        };
    }
    convert!(Int64Type, UInt64Type, Int32Type);
    None
}

impl Levels<'_> {
    /// Levels without rows, with prices in micro-pips.
    pub(super) fn empty() -> Levels<'static> {
        let none = || std::array::from_fn(|_| std::array::from_fn(|_| Cow::Owned(Vec::new())));
        let prices = std::array::from_fn(|_| std::array::from_fn(|_| Prices::MicroPips(Cow::Owned(Vec::new()))));
        Levels { rows: 0, prices, sizes: none(), counts: none() }
    }

    /// Appends `rows` of `other`, which has the same columns and prices in micro-pips.
    pub(super) fn append(&mut self, other: &Self, rows: Range<usize>) {
        let prices = self.prices.iter_mut().flatten().zip(other.prices.iter().flatten());
        for (mine, theirs) in prices {
            if let (Prices::MicroPips(mine), Prices::MicroPips(theirs)) = (mine, theirs) {
                mine.to_mut().extend_from_slice(&theirs[rows.clone()]);
            }
        }
        let integers = self.sizes.iter_mut().chain(&mut self.counts).flatten();
        for (mine, theirs) in integers.zip(other.sizes.iter().chain(&other.counts).flatten()) {
            if !theirs.is_empty() {
                mine.to_mut().extend_from_slice(&theirs[rows.clone()]);
            }
        }
        self.rows += rows.len();
    }
}
