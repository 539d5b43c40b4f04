//! A column of a row group as runs of equal values, set row by row or change by change.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parquet::basic::Encoding;
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::ColumnDescPtr;
use rustc_hash::FxBuildHasher;

use super::blocks::{Blocks, room};
use super::chunk::{Compressor, DataPages, Dictionary, ROW_BYTES};
use super::encoding::{Run, hybrid, index_width};
use super::kind::{NO_FLOAT, NO_PRICE, mid, price};
use super::pages::{Bound, DataPage, PAGE_ROWS, float_bounds, float_order, signed_order};
use super::runs::{PageRuns, RunList};
use crate::cast::{low8, low32, to_u32, to_usize};
use crate::input::is_exact_float;

/// Number of values that few dictionaries reach.
const DICTIONARY: usize = 448;

/// Number of values whose dictionary numbers are cached: most runs repeat one of a few recent values.
const RECENT: usize = 32;

/// The dictionary number that represents null.
const NULL: u32 = u32::MAX;

/// How the 64 bits of a run's value are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// A price in 1e-9, written as f64 in price units; `UNDEF_PRICE` is null.
    FloatPrice,
    /// A price in 1e-9, written unchanged; `UNDEF_PRICE` is null.
    FixedPrice,
    /// The sum of two prices in 1e-9, written as half of it in price units.
    Mid,
    /// The bits of an f64; [`NO_FLOAT`] is null.
    Float,
    /// An unsigned integer of at most 32 bits.
    Unsigned,
    /// A signed integer of 32 bits; [`NO_FLOAT`] is null.
    Signed,
    /// A character.
    Letter,
    /// An index into a list of texts; [`NO_FLOAT`] is null.
    Text(Vec<String>),
}

impl Cell {
    fn is_null(&self, bits: u64) -> bool {
        match self {
            Self::FloatPrice | Self::FixedPrice => bits == NO_PRICE,
            Self::Float | Self::Signed | Self::Text(_) => bits == NO_FLOAT,
            _ => false,
        }
    }

    /// Refuses prices that floats cannot represent exactly.
    fn check(&self, values: &[u64]) -> Result<()> {
        let lost = |price: &&u64| *self == Self::FloatPrice && !is_exact_float(price.cast_signed());
        match values.iter().find(lost) {
            Some(price) => {
                let price = price.cast_signed();
                Err(ParquetError::General(format!(
                    "the price {price} (1e-9) has no exact float value: set price_type = \"fixed\""
                )))
            }
            None => Ok(()),
        }
    }

    fn float(&self, bits: u64) -> f64 {
        match self {
            Self::Float => f64::from_bits(bits),
            Self::Mid => mid(bits),
            _ => price(bits),
        }
    }

    fn text(&self, bits: u64) -> String {
        match self {
            Self::Text(texts) => texts[to_usize(bits)].clone(),
            _ => char::from(low8(bits)).to_string(),
        }
    }

    /// Writes values in PLAIN encoding.
    fn plain(&self, values: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
        for bits in values {
            match self {
                Self::FloatPrice | Self::Mid | Self::Float => out.extend_from_slice(&self.float(bits).to_le_bytes()),
                Self::FixedPrice => out.extend_from_slice(&bits.to_le_bytes()),
                Self::Unsigned | Self::Signed => out.extend_from_slice(&low32(bits).to_le_bytes()),
                Self::Letter | Self::Text(_) => {
                    let text = self.text(bits);
                    out.extend_from_slice(&to_u32(text.len()).to_le_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
    }

    /// A sort key: compares as the values do.
    fn order(&self, bits: u64) -> u64 {
        match self {
            Self::FloatPrice | Self::FixedPrice | Self::Mid => signed_order(bits.cast_signed()),
            Self::Float => float_order(f64::from_bits(bits)),
            Self::Signed => signed_order(low32(bits).cast_signed().into()),
            Self::Unsigned | Self::Letter => bits,
            Self::Text(texts) => texts.iter().filter(|text| **text < texts[to_usize(bits)]).count() as u64,
        }
    }

    /// The bounds of a page with these least and greatest values.
    fn bounds(&self, min: u64, max: u64) -> [Bound; 2] {
        match self {
            Self::FloatPrice | Self::Mid | Self::Float => float_bounds(self.float(min), self.float(max)),
            _ => [min, max].map(|bits| {
                let mut bytes = Vec::new();
                match self {
                    Self::Letter | Self::Text(_) => bytes.extend_from_slice(self.text(bits).as_bytes()),
                    _ => self.plain(std::iter::once(bits), &mut bytes),
                }
                Bound { order: self.order(bits), bytes }
            }),
        }
    }
}

/// A column built from its changes: it stores runs of equal values, with one dictionary lookup per run.
pub(super) struct RunColumn {
    cell: Cell,
    /// The value of the open run, and the row at which it began.
    current: u64,
    start: u32,
    runs: RunList,
    /// Number of rows in runs of null.
    nulls: u32,
    /// Indexes into `values`, by value.
    numbers: HashTable<u32>,
    /// Recent values by their hash, with their indexes; [`NULL`] in unused entries.
    recent: [(u64, u32); RECENT],
    values: Vec<u64>,
}

fn hash(value: u64) -> u64 {
    // FxHash only carries bits upwards, and floats that are whole numbers differ only in their highest bits.
    FxBuildHasher.hash_one(value ^ value >> 32)
}

/// The pages of one column chunk before compression. Each column reuses the buffers of the previous one.
pub(super) struct Scratch {
    bytes: Vec<u8>,
    pages: Vec<DataPage>,
    dictionary: Vec<u8>,
    /// The runs of a page.
    runs: Vec<Run>,
    /// Sort keys of the values of a dictionary.
    orders: Vec<u64>,
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
            recent: [(0, NULL); RECENT],
            values: Vec::with_capacity(DICTIONARY),
        }
    }

    /// Replaces the list of texts of a text column.
    pub(super) fn set_texts(&mut self, texts: Vec<String>) {
        self.cell = Cell::Text(texts);
    }

    /// Sets the value of row `at` and the rows after it. Rows must be in order; of several values for a row, the last
    /// one counts.
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
            let hash = hash(value);
            let recent = to_usize(hash) % RECENT;
            if self.recent[recent].0 != value || self.recent[recent].1 == NULL {
                self.recent[recent] = (value, self.number(value, hash));
            }
            self.recent[recent].1
        };
        self.runs.push((number, end - self.start));
    }

    /// The dictionary number of a value.
    fn number(&mut self, value: u64, hash_of_value: u64) -> u32 {
        let Self { numbers, values, .. } = self;
        let value_of = |number: &u32| values[*number as usize];
        match numbers.entry(hash_of_value, |n| value_of(n) == value, |n| hash(value_of(n))) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let number = to_u32(values.len());
                new.insert(number);
                values.push(value);
                number
            }
        }
    }

    /// Encodes the `rows` rows and clears the column for the next row group. Passes its runs and their values to
    /// `add_up`. Null has a number that is not an index into the values.
    pub(super) fn finish(
        &mut self,
        rows: u32,
        descr: ColumnDescPtr,
        scratch: &mut Scratch,
        compressor: &mut Compressor,
        add_up: impl FnOnce(&mut dyn Iterator<Item = Run>, &[u64]),
    ) -> Result<()> {
        if rows > self.start {
            self.close_run(rows);
        }
        self.cell.check(&self.values)?;
        add_up(&mut self.runs.iter(), &self.values);
        scratch.dictionary.clear();
        self.cell.plain(self.values.iter().copied(), &mut scratch.dictionary);
        scratch.orders.clear();
        scratch.orders.extend(self.values.iter().map(|value| self.cell.order(*value)));
        let optional = descr.max_def_level() > 0;
        let width = index_width(self.values.len());
        let encoded = self.write_pages(optional, scratch, |runs, page| {
            page.push(low8(width));
            hybrid(page, present(runs), width);
        });

        // Values that rarely repeat are smaller without a dictionary.
        let dictionary_size = scratch.dictionary.len();
        let present_values = (rows - self.nulls) as usize;
        let plain_size = dictionary_size.checked_div(self.values.len()).unwrap_or(0) * present_values;
        let encoding = if dictionary_size + encoded > plain_size {
            self.write_pages(optional, scratch, |runs, page| {
                let values = present(runs).flat_map(|(number, n)| std::iter::repeat_n(number, n as usize));
                self.cell.plain(values.map(|number| self.values[number as usize]), page);
            });
            Encoding::PLAIN
        } else {
            Encoding::RLE_DICTIONARY
        };
        let dictionary = (encoding == Encoding::RLE_DICTIONARY).then_some(self.values.len());
        self.start = 0;
        self.nulls = 0;
        // Returns the blocks of the runs, so that the pages can use them.
        self.runs.clear();
        self.numbers.clear();
        self.recent = [(0, NULL); RECENT];
        self.values.clear();
        let dictionary = dictionary.map(|values| Dictionary { bytes: &scratch.dictionary, values });
        compressor.chunk(descr, dictionary, &scratch.data(encoding))
    }

    /// Encodes the pages, with `write` for the values of each. Returns the number of bytes of all values.
    fn write_pages(&self, optional: bool, scratch: &mut Scratch, write: impl Fn(&[Run], &mut Vec<u8>)) -> usize {
        scratch.start();
        let Scratch { bytes, pages, runs, orders, .. } = scratch;
        let mut all = PageRuns::new(self.runs.iter());
        let mut encoded = 0;
        loop {
            let rows = all.next_page(PAGE_ROWS, runs);
            if rows == 0 {
                return encoded;
            }
            let nulls = runs.iter().filter(|run| run.0 == NULL).map(|run| run.1 as usize).sum();
            if optional {
                match nulls {
                    0 => definition_levels(bytes, std::iter::once((1, to_u32(rows)))),
                    _ => definition_levels(bytes, runs.iter().map(|run| (u32::from(run.0 != NULL), run.1))),
                }
            }
            let from = bytes.len();
            write(runs, bytes);
            encoded += bytes.len() - from;
            let ends = extremes(orders, present(runs).map(|run| run.0));
            let bounds = ends.map(|ends| ends.map(|number| self.values[number as usize]));
            let bounds = bounds.map(|[min, max]| self.cell.bounds(min, max));
            pages.push(DataPage { end: bytes.len(), rows, nulls, bounds });
        }
    }
}

/// The runs that are not null.
fn present(runs: &[Run]) -> impl Iterator<Item = Run> {
    runs.iter().copied().filter(|run| run.0 != NULL)
}

/// The dictionary numbers of the least and the greatest value, compared by `orders`.
fn extremes(orders: &[u64], mut numbers: impl Iterator<Item = u32>) -> Option<[u32; 2]> {
    let first = numbers.next()?;
    let order = |number: u32| orders[number as usize];
    let [mut min, mut max] = [(order(first), first); 2];
    for number in numbers {
        let order = order(number);
        if order < min.0 {
            min = (order, number);
        } else if order > max.0 {
            max = (order, number);
        }
    }
    Some([min.1, max.1])
}

impl Scratch {
    pub(super) fn new() -> Self {
        let (pages, dictionary, runs, orders) = Default::default();
        Self { bytes: room(ROW_BYTES), pages, dictionary, runs, orders }
    }

    /// Discards the pages of the previous column.
    fn start(&mut self) {
        self.bytes.clear();
        self.pages.clear();
    }

    /// The pages so far.
    pub(super) fn data(&self, encoding: Encoding) -> DataPages<'_> {
        DataPages { bytes: &self.bytes, pages: &self.pages, encoding }
    }

    /// Encodes the values of a column as pages. `encode` writes the values of one page, and returns the number of nulls
    /// and the bounds of the other values.
    pub(super) fn write_pages<T>(
        &mut self,
        values: &[T],
        encode: impl Fn(&[T], &mut Vec<u8>) -> (usize, Option<[Bound; 2]>),
    ) {
        self.start();
        for values in values.chunks(PAGE_ROWS) {
            let (nulls, bounds) = encode(values, &mut self.bytes);
            self.pages.push(DataPage { end: self.bytes.len(), rows: values.len(), nulls, bounds });
        }
    }
}

/// Writes the definition levels of a version 1 page: their length, then the levels, one bit each.
pub(super) fn definition_levels(page: &mut Vec<u8>, levels: impl Iterator<Item = Run>) {
    let start = page.len();
    page.extend_from_slice(&[0; 4]);
    hybrid(page, merge_equal(levels), 1);
    let length = to_u32(page.len() - start - 4);
    page[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Merges neighbouring runs of the same value.
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
