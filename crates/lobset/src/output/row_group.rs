//! Rows and their labels to the encoded columns of one row group.

use std::sync::Arc;

use parquet::errors::Result;

use super::blocks::Blocks;
use super::chunk::{Compressor, EncodedGroup};
use super::column::{Cell, RunColumn, Scratch, flags, floats, integers, row_numbers, stamps};
use super::schema::{Content, DatasetSchema};
use crate::config::{Config, PriceType};
use crate::label::Split;
use crate::tape::{BOOK_WORDS, Row, each_bit, halves, is_price};

/// Rows of a full row group.
pub const ROW_GROUP_ROWS: u64 = 131_072;

/// Room for so many values of each row of a full row group. Only what is used becomes memory, and a vector that need not grow
/// leaves no holes behind.
pub(super) fn room<T>(values: usize) -> Vec<T> {
    Vec::with_capacity(values * ROW_GROUP_ROWS as usize)
}

/// What the labels say of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowLabel {
    /// Its index in the symbol's stream.
    pub row: u64,
    /// Mean mid price ahead over mean mid price behind, less one.
    pub movement: f64,
    /// Its class.
    pub class: u8,
    /// Its side of the boundary time.
    pub split: Split,
    /// Whether it belongs to the uniform subset.
    pub balanced: bool,
}

/// Columns without runs worth keeping: one value a row.
struct Series {
    ts_recv: Vec<i64>,
    ts_event: Vec<i64>,
    /// Kept only where the schema has the column.
    ts_out: Option<Vec<i64>>,
    ts_in_delta: Vec<i32>,
    sequence: Vec<i32>,
    rows: Vec<i64>,
    movements: Vec<f64>,
    balanced: Vec<bool>,
}

impl Series {
    fn new(ts_out: bool) -> Self {
        Self {
            ts_recv: room(1),
            ts_event: room(1),
            ts_out: ts_out.then(|| room(1)),
            ts_in_delta: room(1),
            sequence: room(1),
            rows: room(1),
            movements: room(1),
            balanced: room(1),
        }
    }
}

/// The columns that are kept as runs, apart from the book.
struct Runs {
    publisher_id: RunColumn,
    instrument_id: RunColumn,
    action: RunColumn,
    side: RunColumn,
    flags: RunColumn,
    depth: RunColumn,
    price: RunColumn,
    size: RunColumn,
    mid: RunColumn,
    symbol: RunColumn,
    class: RunColumn,
    split: RunColumn,
}

/// What a word of the book holds.
enum BookWord {
    Price(RunColumn),
    /// Of the bid and of the ask.
    Counts(RunColumn, RunColumn),
}

impl BookWord {
    fn new(word: usize, price: &Cell, blocks: &Blocks) -> Self {
        if is_price(word) {
            Self::Price(RunColumn::new(price.clone(), blocks))
        } else {
            Self::Counts(RunColumn::new(Cell::Unsigned, blocks), RunColumn::new(Cell::Unsigned, blocks))
        }
    }

    fn column(&mut self, ask: bool) -> &mut RunColumn {
        match self {
            Self::Price(column) => column,
            Self::Counts(_, asks) if ask => asks,
            Self::Counts(bids, _) => bids,
        }
    }
}

/// Encodes row groups, one after the other. Holds the rows of one, 36 bytes each and two for each run of a column, what its
/// dictionaries need, and the pages of those that nobody has taken. A column's pages take the room that its runs give back.
pub struct RowGroupEncoder {
    schema: Arc<DatasetSchema>,
    compressor: Compressor,
    scratch: Scratch,
    series: Series,
    runs: Runs,
    book: Vec<BookWord>,
    /// Rows so far.
    rows: u32,
    /// The words of the book that changed while no row was taken.
    pending: u64,
}

impl RowGroupEncoder {
    /// An encoder without rows.
    pub fn new(schema: Arc<DatasetSchema>, config: &Config) -> Self {
        let price = match config.price_type {
            PriceType::Float => Cell::FloatPrice,
            PriceType::Fixed => Cell::FixedPrice,
        };
        let blocks = Blocks::default();
        let new = |cell| RunColumn::new(cell, &blocks);
        let ts_out = schema.contents.contains(&Content::TsOut);
        let split_names = Split::ALL.map(|s| s.name().to_owned()).to_vec();
        Self {
            schema,
            compressor: Compressor::new(config.compression, blocks.clone()),
            scratch: Scratch::new(),
            series: Series::new(ts_out),
            runs: Runs {
                publisher_id: new(Cell::Unsigned),
                instrument_id: new(Cell::Unsigned),
                action: new(Cell::Letter),
                side: new(Cell::Letter),
                flags: new(Cell::Unsigned),
                depth: new(Cell::Unsigned),
                price: new(price.clone()),
                size: new(Cell::Unsigned),
                mid: new(Cell::Mid),
                symbol: new(Cell::Text(vec![String::new()])),
                class: new(Cell::Signed),
                split: new(Cell::Text(split_names)),
            },
            book: (0..BOOK_WORDS).map(|word| BookWord::new(word, &price, &blocks)).collect(),
            rows: 0,
            pending: u64::MAX >> (64 - BOOK_WORDS),
        }
    }

    /// Tells that the next row does not follow the one before: all of its book is to be looked at.
    pub fn leap(&mut self) {
        self.pending = u64::MAX >> (64 - BOOK_WORDS);
    }

    /// Passes over a row that is not written: only what changed matters for the next one that is.
    #[inline]
    pub fn skip(&mut self, changed: u64) {
        self.pending |= changed;
    }

    /// Takes a row; `changed` has a bit for each word of the book that differs from the row before.
    #[inline]
    pub fn push(&mut self, row: &Row, changed: u64, label: RowLabel) {
        let at = self.rows;
        self.series.ts_recv.push(row.ts_recv.cast_signed());
        self.series.ts_event.push(row.ts_event.cast_signed());
        if let Some(ts_out) = &mut self.series.ts_out {
            ts_out.push(row.ts_out.cast_signed());
        }
        self.series.ts_in_delta.push(row.ts_in_delta);
        self.series.sequence.push(row.sequence.cast_signed());
        self.series.rows.push(label.row.cast_signed());
        self.series.movements.push(label.movement);
        self.series.balanced.push(label.balanced);

        let runs = &mut self.runs;
        runs.publisher_id.set(at, row.publisher_id.into());
        runs.instrument_id.set(at, row.instrument_id.into());
        let [action, side, flags, depth] = row.marks.to_le_bytes();
        runs.action.set(at, action.into());
        runs.side.set(at, side.into());
        runs.flags.set(at, flags.into());
        runs.depth.set(at, depth.into());
        runs.price.set(at, row.price.cast_unsigned());
        runs.size.set(at, row.size.into());
        runs.class.set(at, label.class.into());
        runs.split.set(at, label.split as u64);

        let changed = changed | self.pending;
        self.pending = 0;
        if changed & 3 != 0 {
            // Both are quoted and their sum fits, or the row would not be one.
            runs.mid.set(at, row.book[0].wrapping_add(row.book[1]));
        }
        each_bit(changed, |word| {
            let value = row.book[word];
            match &mut self.book[word] {
                BookWord::Price(column) => column.set(at, value),
                BookWord::Counts(bids, asks) => {
                    let (bid, ask) = halves(value);
                    bids.set(at, bid.into());
                    asks.set(at, ask.into());
                }
            }
        });
        self.rows += 1;
    }

    /// Encodes the rows so far, all of them of `symbol`, as a row group, and starts the next one. Without rows there is none.
    ///
    /// # Errors
    /// When a codec fails.
    pub fn finish(&mut self, symbol: &str) -> Result<()> {
        let rows = self.rows;
        if rows == 0 {
            return Ok(());
        }
        self.compressor.start_group();
        self.runs.symbol.set_texts(vec![symbol.to_owned()]);
        let schema = Arc::clone(&self.schema);
        let (series, runs, scratch, codec) = (&self.series, &mut self.runs, &mut self.scratch, &mut self.compressor);
        for (content, descr) in schema.contents.iter().zip(schema.parquet.columns()) {
            let descr = Arc::clone(descr);
            let mut finish = |column: &mut RunColumn, descr| column.finish(rows, descr, scratch, codec);
            match *content {
                Content::PublisherId => finish(&mut runs.publisher_id, descr),
                Content::InstrumentId => finish(&mut runs.instrument_id, descr),
                Content::Action => finish(&mut runs.action, descr),
                Content::Side => finish(&mut runs.side, descr),
                Content::Depth => finish(&mut runs.depth, descr),
                Content::Price => finish(&mut runs.price, descr),
                Content::Size => finish(&mut runs.size, descr),
                Content::Flags => finish(&mut runs.flags, descr),
                Content::BookPrice(word) => finish(self.book[word].column(false), descr),
                Content::BookCount(word, ask) => finish(self.book[word].column(ask), descr),
                Content::Symbol => finish(&mut runs.symbol, descr),
                Content::MidPrice => finish(&mut runs.mid, descr),
                Content::ClassificationLabel => finish(&mut runs.class, descr),
                Content::Split => finish(&mut runs.split, descr),
                Content::TsRecv => stamps(&series.ts_recv, descr, scratch, codec),
                Content::TsEvent => stamps(&series.ts_event, descr, scratch, codec),
                Content::TsOut => stamps(series.ts_out.as_deref().unwrap_or_default(), descr, scratch, codec),
                Content::TsInDelta => integers(&series.ts_in_delta, false, descr, scratch, codec),
                Content::Sequence => integers(&series.sequence, true, descr, scratch, codec),
                Content::Row => row_numbers(&series.rows, descr, scratch, codec),
                Content::PriceMovement => floats(&series.movements, descr, scratch, codec),
                Content::Balanced => flags(&series.balanced, descr, scratch, codec),
            }?;
        }
        let series = &mut self.series;
        series.ts_recv.clear();
        series.ts_event.clear();
        series.ts_out.iter_mut().for_each(Vec::clear);
        series.ts_in_delta.clear();
        series.sequence.clear();
        series.rows.clear();
        series.movements.clear();
        series.balanced.clear();
        self.rows = 0;
        self.compressor.close_group();
        Ok(())
    }

    /// Hands over the row groups so far, in order, and forgets them.
    ///
    /// # Errors
    /// What `take` returns, which gets no further group then.
    pub fn take_groups<E>(&mut self, take: impl FnMut(EncodedGroup<'_>) -> Result<(), E>) -> Result<(), E> {
        self.compressor.take_groups(take)
    }
}
