//! Encodes rows and their labels as the columns of a row group.

use std::sync::Arc;

use parquet::errors::Result;

use super::blocks::{Blocks, room};
use super::chunk::{Compressor, EncodedGroup};
use super::column::{Column, Source, WordPart};
use super::kind::{Kind, NO_FLOAT};
use super::labels::LabelBlock;
use super::moments::{SymbolSums, Tally};
use super::run_column::{Cell, RunColumn, Scratch};
use super::schema::DatasetSchema;
use super::series::Series;
use crate::cast::to_u32;
use crate::config::{Config, PriceType};
use crate::input::Event;
use crate::tape::{BOOK_WORDS, Book, Level, Row, each_bit, halves, is_price, level};

/// Rows gathered before their values are added to the columns; few enough to stay in a core's cache.
pub(crate) const ENCODER_BLOCK_ROWS: usize = 256;

/// Mask of all words of the book.
const WHOLE_BOOK: u64 = u64::MAX >> (64 - BOOK_WORDS);

/// The values of a column in the current row group.
#[expect(clippy::large_enum_variant, reason = "there is one for each column")]
enum ColumnValues {
    Series(Series),
    Runs(RunColumn),
    /// Stored in [`BookWord`], because the book arrives as changes of its words.
    Book(usize, WordPart),
    /// Stored in the [`LevelColumn`] with this number, because it changes with its level of the book.
    Level(usize),
}

impl ColumnValues {
    /// The values of a column; a column computed from the book is added to `derived`.
    fn new(column: &Column, derived: &mut Vec<LevelColumn>, blocks: &Blocks) -> Self {
        let formula = match column.source {
            Source::Book(word, part) => return Self::Book(word, part),
            Source::Level(level, value) => Some((level, Formula::Level(value))),
            Source::Change(level, value) => Some((level, Formula::Change(value))),
            Source::Event(_) | Source::Symbol | Source::Row | Source::Label(..) => None,
        };
        let cell = match column.kind {
            Kind::Time => return Self::Series(Series::Times(room(1))),
            Kind::U64 => return Self::Series(Series::Longs(room(1))),
            Kind::I32 if !column.repeats => return Self::Series(Series::Signed(room(1))),
            Kind::U32 if !column.repeats => return Self::Series(Series::Unsigned(room(1))),
            Kind::Float if !column.repeats => return Self::Series(Series::Floats(room(1))),
            Kind::Bool => return Self::Series(Series::Bools(room(1))),
            Kind::U8 | Kind::U16 | Kind::U32 => Cell::Unsigned,
            Kind::I32 => Cell::Signed,
            Kind::FloatPrice => Cell::FloatPrice,
            Kind::FixedPrice => Cell::FixedPrice,
            Kind::Mid => Cell::Mid,
            Kind::Float => Cell::Float,
            Kind::Letter => Cell::Letter,
            Kind::Symbol => Cell::Text(vec![String::new()]),
            Kind::Name(names) => Cell::Text(names.iter().map(|name| (*name).to_owned()).collect()),
        };
        let column = RunColumn::new(cell, blocks);
        let Some((level, formula)) = formula else { return Self::Runs(column) };
        derived.push(LevelColumn { column, level, formula });
        Self::Level(derived.len() - 1)
    }

    /// Appends the values of the rows from `at` on.
    fn extend(&mut self, at: u32, values: &[u64]) {
        match self {
            Self::Series(series) => series.extend(values),
            Self::Runs(runs) => (at..).zip(values).for_each(|(at, value)| runs.set(at, *value)),
            Self::Book(..) | Self::Level(_) => {}
        }
    }
}

/// How a column is computed from a level of the book.
#[derive(Clone, Copy)]
enum Formula {
    Level(fn(&Level) -> u64),
    /// From the level in the row before, and in the row itself.
    Change(fn(&Level, &Level) -> u64),
}

/// A column computed from a level of the book.
struct LevelColumn {
    column: RunColumn,
    level: usize,
    formula: Formula,
}

impl LevelColumn {
    /// Mask of the words of the level.
    fn words(&self) -> u64 {
        0b1111 << (4 * self.level)
    }
}

/// The book of the row before, for the columns that compare with it.
struct Before {
    book: Book,
    /// Whether the row before is known: the next row may be the first of a stretch.
    known: bool,
    /// Words that changed in the last row pushed or in any row since. Columns of these levels may have a new value in
    /// the next row even if the levels do not change in it.
    stale: u64,
}

impl Before {
    /// Forgets the row before.
    fn leap(&mut self) {
        self.known = false;
        self.stale = WHOLE_BOOK;
    }

    /// Moves to `book`, which differs from the previous book in the words `changed`.
    fn advance(&mut self, book: &Book, changed: u64) {
        if self.known {
            each_bit(changed, |word| self.book[word] = book[word]);
        } else {
            self.book = *book;
            self.known = true;
        }
    }
}

/// Rows not yet added to the columns, without their books.
struct Block {
    events: Vec<Event>,
    rows: Vec<u64>,
}

/// The columns of a word of the book.
#[expect(clippy::large_enum_variant, reason = "there is one for each word, and every row goes through some")]
enum BookWord {
    Price(RunColumn),
    /// Sizes or numbers of orders, of the bid and of the ask.
    Counts(RunColumn, RunColumn),
}

impl BookWord {
    fn new(word: usize, price: &Cell, blocks: &Blocks) -> Self {
        let counts = || RunColumn::new(Cell::Unsigned, blocks);
        if is_price(word) {
            Self::Price(RunColumn::new(price.clone(), blocks))
        } else {
            Self::Counts(counts(), counts())
        }
    }

    fn column(&mut self, part: WordPart) -> &mut RunColumn {
        match self {
            Self::Price(column) => column,
            Self::Counts(_, asks) if part == WordPart::High => asks,
            Self::Counts(bids, _) => bids,
        }
    }
}

/// Encodes row groups, one after the other. Keeps in memory the rows of one row group (41 bytes each, and two bytes for
/// each run of a column), its dictionaries, and the pages of finished row groups that have not been taken. The pages of
/// a column reuse the memory of its runs.
pub struct RowGroupEncoder {
    schema: Arc<DatasetSchema>,
    compressor: Compressor,
    scratch: Scratch,
    /// One for each column of the schema.
    columns: Vec<ColumnValues>,
    book: Vec<BookWord>,
    derived: Vec<LevelColumn>,
    /// `None` if no column compares with the row before.
    before: Option<Box<Before>>,
    block: Block,
    tally: Tally,
    /// The values of a column in the block.
    values: Vec<u64>,
    /// Rows before the block.
    rows: u32,
    /// Words of the book that changed since the last row pushed.
    pending: u64,
}

impl RowGroupEncoder {
    /// Creates an encoder without rows.
    pub fn new(schema: Arc<DatasetSchema>, config: &Config) -> Self {
        let price = match config.price_type {
            PriceType::Float => Cell::FloatPrice,
            PriceType::Fixed => Cell::FixedPrice,
        };
        let blocks = Blocks::default();
        let mut derived = Vec::new();
        let columns = schema.columns().iter().map(|column| ColumnValues::new(column, &mut derived, &blocks)).collect();
        let compares = derived.iter().any(|derived| matches!(derived.formula, Formula::Change(_)));
        let before = Before { book: [0; BOOK_WORDS], known: false, stale: WHOLE_BOOK };
        Self {
            compressor: Compressor::new(config.compression, blocks.clone()),
            scratch: Scratch::new(),
            columns,
            book: (0..BOOK_WORDS).map(|word| BookWord::new(word, &price, &blocks)).collect(),
            derived,
            before: compares.then(|| Box::new(before)),
            block: Block {
                events: Vec::with_capacity(ENCODER_BLOCK_ROWS),
                rows: Vec::with_capacity(ENCODER_BLOCK_ROWS),
            },
            tally: Tally::new(config),
            values: Vec::with_capacity(ENCODER_BLOCK_ROWS),
            rows: 0,
            pending: WHOLE_BOOK,
            schema,
        }
    }

    /// Whether any column compares a row with the row before it. If so, that row must be passed to [`skip`](Self::skip)
    /// after a [`leap`](Self::leap), unless the next row starts an unbroken stretch.
    pub fn compares_rows(&self) -> bool {
        self.before.is_some()
    }

    /// Sets the index of the input file that the following rows come from; it is 0 at first.
    pub fn set_file(&mut self, file: usize) {
        self.tally.set_file(file);
    }

    /// Marks the whole book as changed, because the next row does not follow the previous one.
    pub fn leap(&mut self) {
        self.pending = WHOLE_BOOK;
        if let Some(before) = &mut self.before {
            before.leap();
        }
    }

    /// Skips a row that is not written, but keeps its changes for the next row that is.
    #[inline]
    pub fn skip(&mut self, row: &Row, changed: u64) {
        self.pending |= changed;
        if let Some(before) = &mut self.before {
            before.stale |= changed;
            before.advance(&row.book, changed);
        }
    }

    /// Appends a row with its number in the symbol's stream. `changed` has a bit for each word of the book that differs
    /// from the previous row, whether that row was pushed or skipped. [`label`](Self::label) must be called with the
    /// labels of these rows at least every [`ENCODER_BLOCK_ROWS`] rows.
    #[inline]
    pub fn push(&mut self, row: &Row, changed: u64, number: u64) {
        let at = self.rows + to_u32(self.block.events.len());
        let before = self.before.as_deref();
        let (known, stale) = before.map_or((None, 0), |b| (b.known.then_some(&b.book), b.stale | changed));
        let since_before = changed;
        let changed = changed | self.pending;
        self.pending = 0;
        for derived in &mut self.derived {
            let (words, now) = (derived.words(), level(&row.book, derived.level));
            match derived.formula {
                Formula::Level(value) if changed & words != 0 => derived.column.set(at, value(now)),
                Formula::Change(value) if stale & words != 0 => {
                    let value = known.map_or(NO_FLOAT, |before| value(level(before, derived.level), now));
                    derived.column.set(at, value);
                }
                Formula::Level(_) | Formula::Change(_) => {}
            }
        }
        if let Some(before) = &mut self.before {
            before.stale = if before.known { since_before } else { WHOLE_BOOK };
            before.advance(&row.book, since_before);
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
        self.block.events.push(row.event);
        self.block.rows.push(number);
    }

    /// Labels the rows pushed since the last call, and moves them into the columns; `labels` contains the same number
    /// of rows for each target.
    pub fn label(&mut self, labels: &[LabelBlock]) {
        self.tally.rows(labels);
        let Self { schema, columns, block, values, .. } = self;
        for (column, of_column) in schema.columns().iter().zip(columns) {
            match column.source {
                Source::Event(value) => value.fill(&block.events, values),
                Source::Row => {
                    values.clear();
                    values.extend_from_slice(&block.rows);
                }
                Source::Label(target, field) => {
                    of_column.extend(self.rows, labels[target].of(field));
                    continue;
                }
                Source::Book(..) | Source::Level(..) | Source::Change(..) | Source::Symbol => continue,
            }
            of_column.extend(self.rows, values);
        }
        self.rows += to_u32(block.events.len());
        block.events.clear();
        block.rows.clear();
    }

    /// Encodes the labelled rows so far, all of `symbol`, as a row group, and starts the next one. Does nothing if
    /// there are no rows.
    ///
    /// # Errors
    /// When a codec fails.
    pub fn finish(&mut self, symbol: &str) -> Result<()> {
        let rows = self.rows;
        if rows == 0 {
            return Ok(());
        }
        self.compressor.start_group();
        let Self { schema, columns, book, derived, scratch, compressor, tally, .. } = self;
        for ((column, values), descr) in schema.columns().iter().zip(columns).zip(schema.file.parquet.columns()) {
            let descr = Arc::clone(descr);
            let runs = match values {
                ColumnValues::Series(series) => {
                    if column.is_feature()
                        && let Some(values) = series.integers()
                    {
                        tally.series(column, values);
                    }
                    series.finish(descr, scratch, compressor)?;
                    continue;
                }
                ColumnValues::Book(word, part) => book[*word].column(*part),
                ColumnValues::Level(number) => &mut derived[*number].column,
                ColumnValues::Runs(runs) => runs,
            };
            if column.kind == Kind::Symbol {
                runs.set_texts(vec![symbol.to_owned()]);
            }
            runs.finish(rows, descr, scratch, compressor, |runs, values| {
                if column.is_feature() {
                    tally.runs(column, runs, values);
                }
            })?;
        }
        tally.finish();
        self.rows = 0;
        self.compressor.close_group();
        Ok(())
    }

    /// Passes the finished row groups and the sums of their columns to `take`, in order, and drops them.
    ///
    /// # Errors
    /// The first error of `take`, which is not called again after it.
    pub fn take_groups<E>(
        &mut self,
        mut take: impl FnMut(EncodedGroup<'_>, SymbolSums) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { compressor, tally, .. } = self;
        compressor.take_groups(|group| take(group, tally.take()))
    }
}
