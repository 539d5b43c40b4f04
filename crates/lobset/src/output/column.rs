//! One column of one row group, gathered row by row or change by change.

use std::borrow::Cow;
use std::hash::BuildHasher;

use dbn::{UNDEF_PRICE, UNDEF_TIMESTAMP};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parquet::basic::Encoding;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;
use rustc_hash::FxBuildHasher;

use super::blocks::Blocks;
use super::chunk::{Compressor, PAGE_BYTES, RawPage};
use super::encoding::{Run, bits, delta_i32, delta_i64, hybrid, index_width};
use super::row_group::room;
use super::runs::RunList;

/// Values that most dictionaries stay below.
const DICTIONARY: usize = 448;

/// The dictionary number that stands for null.
const NULL: u32 = u32::MAX;

/// How the 64 bits of a run's value are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// A price in 1e-9, written as f64 in price units; `UNDEF_PRICE` is null.
    FloatPrice,
    /// A price in 1e-9, written as it is; `UNDEF_PRICE` is null.
    FixedPrice,
    /// The sum of two prices in 1e-9, written as half of it in price units.
    Mid,
    /// An integer of at most 32 bits without sign.
    Unsigned,
    /// An integer of 32 bits with sign.
    Signed,
    /// A character.
    Letter,
    /// A number in a list of texts.
    Text(Vec<String>),
}

impl Cell {
    fn is_null(&self, bits: u64) -> bool {
        matches!(self, Self::FloatPrice | Self::FixedPrice) && bits.cast_signed() == UNDEF_PRICE
    }

    /// Refuses prices that would not survive as floats.
    fn check(&self, values: &[u64]) -> Result<()> {
        let lost = |price: &&u64| {
            let price = price.cast_signed();
            *self == Self::FloatPrice
                && price.unsigned_abs() > 1 << 53
                && (price as f64 / 1e9 * 1e9).round() as i64 != price
        };
        match values.iter().find(lost) {
            Some(price) => {
                let price = price.cast_signed();
                Err(ParquetError::General(format!(
                    "the price {price} (1e-9) does not survive as a float: set price_type = \"fixed\""
                )))
            }
            None => Ok(()),
        }
    }

    fn float(&self, bits: u64) -> f64 {
        let unit = if *self == Self::Mid { 2e9 } else { 1e9 };
        bits.cast_signed() as f64 / unit
    }

    fn text(&self, bits: u64) -> String {
        match self {
            Self::Text(texts) => texts[bits as usize].clone(),
            _ => char::from(bits as u8).to_string(),
        }
    }

    /// Writes values in PLAIN encoding.
    fn plain(&self, values: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
        for bits in values {
            match self {
                Self::FloatPrice | Self::Mid => out.extend_from_slice(&self.float(bits).to_le_bytes()),
                Self::FixedPrice => out.extend_from_slice(&bits.to_le_bytes()),
                Self::Unsigned | Self::Signed => out.extend_from_slice(&(bits as u32).to_le_bytes()),
                Self::Letter | Self::Text(_) => {
                    let text = self.text(bits);
                    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
    }

    fn statistics(&self, values: &[u64], nulls: u64) -> Statistics {
        let nulls = Some(nulls);
        match self {
            Self::FloatPrice | Self::Mid => float_statistics(values.iter().map(|v| self.float(*v)), nulls),
            Self::FixedPrice => {
                let prices = || values.iter().map(|v| v.cast_signed());
                Statistics::int64(prices().min(), prices().max(), None, nulls, false)
            }
            Self::Unsigned => {
                let edge = |v: Option<&u64>| v.map(|v| (*v as u32).cast_signed());
                Statistics::int32(edge(values.iter().min()), edge(values.iter().max()), None, nulls, false)
            }
            Self::Signed => {
                let numbers = || values.iter().map(|v| *v as i32);
                Statistics::int32(numbers().min(), numbers().max(), None, nulls, false)
            }
            Self::Letter | Self::Text(_) => {
                let texts = || values.iter().map(|v| self.text(*v));
                let edge = |v: Option<String>| v.map(|v| ByteArray::from(v.into_bytes()));
                Statistics::byte_array(edge(texts().min()), edge(texts().max()), None, nulls, false)
            }
        }
    }
}

/// Bounds as TYPE_ORDER asks for them: NaN is left out, and as -0.0 and +0.0 are equal in it, a bound of zero takes the sign
/// that covers both.
fn float_statistics(values: impl Iterator<Item = f64> + Clone, nulls: Option<u64>) -> Statistics {
    let numbers = || values.clone().filter(|v| !v.is_nan());
    let zero = |bound: f64, covering: f64| if bound == 0.0 { covering } else { bound };
    let min = numbers().min_by(f64::total_cmp).map(|v| zero(v, -0.0));
    let max = numbers().max_by(f64::total_cmp).map(|v| zero(v, 0.0));
    Statistics::double(min, max, None, nulls, false)
}

/// A column that is told its changes: it keeps runs of equal values, and looks into its dictionary once a run.
pub(super) struct RunColumn {
    cell: Cell,
    /// The value of the run that is open, and the row it began at.
    current: u64,
    start: u32,
    runs: RunList,
    /// Rows of the runs of null.
    nulls: u32,
    /// Places in `values`, found by value.
    numbers: HashTable<u32>,
    values: Vec<u64>,
}

fn hash(value: u64) -> u64 {
    FxBuildHasher.hash_one(value)
}

/// Bytes of pages, kept so that each column writes where the one before did.
pub(super) struct Scratch {
    page: Vec<u8>,
    dictionary: Vec<u8>,
}

impl RunColumn {
    pub(super) fn new(cell: Cell, blocks: &Blocks) -> Self {
        Self {
            cell,
            current: 0,
            start: 0,
            runs: RunList::new(blocks.clone()),
            nulls: 0,
            numbers: HashTable::with_capacity(DICTIONARY),
            values: Vec::with_capacity(DICTIONARY),
        }
    }

    /// Replaces the list of a column of texts.
    pub(super) fn set_texts(&mut self, texts: Vec<String>) {
        self.cell = Cell::Text(texts);
    }

    /// From row `at` on the column has this value. Rows come in order; of several values for a row the last one stays.
    #[inline]
    pub(super) fn set(&mut self, at: u32, value: u64) {
        if value != self.current {
            if at > self.start {
                self.close_run(at);
            }
            self.current = value;
            self.start = at;
        }
    }

    #[inline]
    fn close_run(&mut self, end: u32) {
        let value = self.current;
        let number = if self.cell.is_null(value) {
            self.nulls += end - self.start;
            NULL
        } else {
            let Self { numbers, values, .. } = self;
            let value_of = |number: &u32| values[*number as usize];
            match numbers.entry(hash(value), |n| value_of(n) == value, |n| hash(value_of(n))) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let number = values.len() as u32;
                    new.insert(number);
                    values.push(value);
                    number
                }
            }
        };
        self.runs.push((number, end - self.start));
    }

    /// Encodes the `rows` rows and makes the column empty again, ready for the next row group.
    pub(super) fn finish(
        &mut self,
        rows: u32,
        descr: ColumnDescPtr,
        scratch: &mut Scratch,
        compressor: &mut Compressor,
    ) -> Result<()> {
        if rows > self.start {
            self.close_run(rows);
        }
        self.cell.check(&self.values)?;
        let present = u64::from(rows - self.nulls);
        let statistics = self.cell.statistics(&self.values, self.nulls.into());
        let present_runs = || self.runs.iter().filter(|r| r.0 != NULL);

        let Scratch { page, dictionary, .. } = scratch;
        page.clear();
        dictionary.clear();
        if descr.max_def_level() > 0 {
            match self.nulls {
                0 => definition_levels(page, [(1, rows)].into_iter()),
                _ => definition_levels(page, self.runs.iter().map(|r| (u32::from(r.0 != NULL), r.1))),
            }
        }
        let levels = page.len();
        self.cell.plain(self.values.iter().copied(), dictionary);
        let width = index_width(self.values.len());
        page.push(width as u8);
        hybrid(page, present_runs(), width);

        // Values that hardly repeat are cheaper without a dictionary.
        let plain_size = (dictionary.len() as u64).checked_div(self.values.len() as u64).unwrap_or(0) * present;
        let encoded = (dictionary.len() + page.len() - levels) as u64;
        let plain = encoded > plain_size;
        let (dictionary, encoding) = if plain {
            page.truncate(levels);
            let repeated =
                present_runs().flat_map(|(number, n)| std::iter::repeat_n(self.values[number as usize], n as usize));
            self.cell.plain(repeated, page);
            (None, Encoding::PLAIN)
        } else {
            let dictionary = RawPage { bytes: dictionary, values: self.values.len(), encoding: Encoding::PLAIN };
            (Some(dictionary), Encoding::RLE_DICTIONARY)
        };
        self.start = 0;
        self.nulls = 0;
        // The pages may take the room of the runs.
        self.runs.clear();
        self.numbers.clear();
        self.values.clear();
        let data = RawPage { bytes: page, values: rows as usize, encoding };
        compressor.chunk(descr, rows as usize, dictionary, data, statistics)
    }
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { page: room(PAGE_BYTES), dictionary: Vec::new() }
    }

    /// An empty page.
    fn start(&mut self) -> &mut Vec<u8> {
        self.page.clear();
        &mut self.page
    }
}

/// Definition levels of a version 1 page: their length, then the levels, one bit each.
fn definition_levels(page: &mut Vec<u8>, levels: impl Iterator<Item = Run>) {
    let start = page.len();
    page.extend_from_slice(&[0; 4]);
    hybrid(page, merge_equal(levels), 1);
    let length = (page.len() - start - 4) as u32;
    page[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Joins neighbouring runs of the same value.
fn merge_equal(runs: impl Iterator<Item = Run>) -> impl Iterator<Item = Run> {
    let mut runs = runs.peekable();
    std::iter::from_fn(move || {
        let (value, mut length) = runs.next()?;
        while let Some((_, more)) = runs.next_if(|next| next.0 == value) {
            length += more;
        }
        Some((value, length))
    })
}

/// What stands for null in [`longs`].
pub(super) const NO_LONG: i64 = UNDEF_TIMESTAMP.cast_signed();

/// Timestamps and row numbers; where the column allows null, [`NO_LONG`] is.
pub(super) fn longs(
    values: &[i64],
    descr: ColumnDescPtr,
    scratch: &mut Scratch,
    compressor: &mut Compressor,
) -> Result<()> {
    let page = scratch.start();
    let optional = descr.max_def_level() > 0;
    let mut present = Cow::Borrowed(values);
    if optional {
        definition_levels(page, values.iter().map(|v| (u32::from(*v != NO_LONG), 1)));
        if values.contains(&NO_LONG) {
            present.to_mut().retain(|v| *v != NO_LONG);
        }
    }
    delta_i64(page, &present);
    let nulls = Some((values.len() - present.len()) as u64);
    let statistics =
        Statistics::int64(present.iter().min().copied(), present.iter().max().copied(), None, nulls, false);
    let data = RawPage { bytes: page, values: values.len(), encoding: Encoding::DELTA_BINARY_PACKED };
    compressor.chunk(descr, values.len(), None, data, statistics)
}

/// Integers of 32 bits; `unsigned` tells how their order is meant.
pub(super) fn integers(
    values: &[i32],
    unsigned: bool,
    descr: ColumnDescPtr,
    scratch: &mut Scratch,
    compressor: &mut Compressor,
) -> Result<()> {
    let page = scratch.start();
    delta_i32(page, values);
    let (min, max) = if unsigned {
        let numbers = || values.iter().map(|v| v.cast_unsigned());
        (numbers().min().map(u32::cast_signed), numbers().max().map(u32::cast_signed))
    } else {
        (values.iter().min().copied(), values.iter().max().copied())
    };
    let data = RawPage { bytes: page, values: values.len(), encoding: Encoding::DELTA_BINARY_PACKED };
    compressor.chunk(descr, values.len(), None, data, Statistics::int32(min, max, None, Some(0), false))
}

/// Floats that do not repeat.
pub(super) fn floats(
    values: &[f64],
    descr: ColumnDescPtr,
    scratch: &mut Scratch,
    compressor: &mut Compressor,
) -> Result<()> {
    let page = scratch.start();
    values.iter().for_each(|value| page.extend_from_slice(&value.to_le_bytes()));
    let statistics = float_statistics(values.iter().copied(), Some(0));
    let data = RawPage { bytes: page, values: values.len(), encoding: Encoding::PLAIN };
    compressor.chunk(descr, values.len(), None, data, statistics)
}

/// Booleans.
pub(super) fn flags(
    values: &[bool],
    descr: ColumnDescPtr,
    scratch: &mut Scratch,
    compressor: &mut Compressor,
) -> Result<()> {
    let page = scratch.start();
    bits(page, values);
    let statistics =
        Statistics::boolean(values.iter().min().copied(), values.iter().max().copied(), None, Some(0), false);
    let data = RawPage { bytes: page, values: values.len(), encoding: Encoding::PLAIN };
    compressor.chunk(descr, values.len(), None, data, statistics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_floats_hold_for_the_order_of_their_type() {
        let bounds = |values: &[f64]| {
            let statistics = float_statistics(values.iter().copied(), Some(0));
            let bytes = |bound: Option<&[u8]>| bound.map(|b| b.try_into().map(f64::from_le_bytes).unwrap().to_bits());
            (bytes(statistics.min_bytes_opt()), bytes(statistics.max_bytes_opt()))
        };
        let nan = f64::NAN;
        let is = |min: f64, max: f64| (Some(min.to_bits()), Some(max.to_bits()));
        assert_eq!(bounds(&[]), (None, None));
        assert_eq!(bounds(&[nan, -nan]), (None, None));
        assert_eq!(bounds(&[nan, 2.0, -nan, -1.0]), is(-1.0, 2.0));
        assert_eq!(bounds(&[0.0]), is(-0.0, 0.0));
        assert_eq!(bounds(&[-0.0]), is(-0.0, 0.0));
        assert_eq!(bounds(&[0.0, nan, 3.0]), is(-0.0, 3.0));
        assert_eq!(bounds(&[-0.0, -3.0]), is(-3.0, 0.0));
        assert_eq!(bounds(&[f64::NEG_INFINITY, f64::INFINITY]), is(f64::NEG_INFINITY, f64::INFINITY));
    }
}
