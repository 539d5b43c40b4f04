//! All records of a file as Arrow batches.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchReader, StringArray};
use arrow_schema::{ArrowError, Schema, SchemaRef};

use super::arrays::{array, dictionary};
use super::column::{Column, Source, WordPart};
use super::columns::record_columns;
use crate::error::{InputError, Result};
use crate::input::{DbnReader, Event, Symbols, check_stamps, find};
use crate::tape::{BOOK_WORDS, book};

/// Records per batch: few enough that its columns stay in a core's cache while they are filled.
const BATCH: usize = 8_192;

/// The MBP-10 records of a file in Databento's columns: the event's fields (`ts_out` where the file has it), ten
/// levels, `symbol`. Every record is included, even without a usable quote; undefined prices and times are null, and so
/// is the symbol of an instrument without a mapping. Prices are f64 in price units.
pub struct RecordBatches {
    reader: DbnReader,
    symbols: Symbols,
    /// The symbols' names by slot: the dictionary of all batches.
    names: ArrayRef,
    /// The slot of the requested symbol, if one is requested; `Some(None)` for a symbol that is not in the file.
    only: Option<Option<u32>>,
    columns: Vec<Column>,
    schema: SchemaRef,
    gathered: Gathered,
    ended: bool,
}

/// The records of the batch being filled.
struct Gathered {
    events: Vec<Event>,
    /// The books as one vector per word, as columns need them.
    book: [Vec<u64>; BOOK_WORDS],
    /// The symbols' slots; `None` without a mapping.
    slots: Vec<Option<i32>>,
}

impl Gathered {
    fn new() -> Self {
        let book = std::array::from_fn(|_| Vec::with_capacity(BATCH));
        Self { events: Vec::with_capacity(BATCH), book, slots: Vec::with_capacity(BATCH) }
    }

    fn clear(&mut self) {
        self.events.clear();
        self.book.iter_mut().for_each(Vec::clear);
        self.slots.clear();
    }
}

impl RecordBatches {
    /// Opens a file. With `symbol`, only its records are returned. A file without mappings uses those of `symbology`,
    /// or of the `symbology.json` beside it.
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
            return Err(InputError::new(path, format!("has no symbol {wanted:?}"))
                .with_help(format!("its symbols include {}", known.join(", ")))
                .into());
        }
        let names = Arc::new(StringArray::from_iter_values(symbols.names()));
        let columns = record_columns(reader.has_ts_out());
        let schema = Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>()));
        Ok(Self { reader, symbols, names, only, columns, schema, gathered: Gathered::new(), ended: false })
    }

    /// Gathers the records of the next batch, which is empty at the end of the file.
    fn read(&mut self) -> Result<()> {
        let Self { reader, symbols, only, gathered, ended, .. } = self;
        gathered.clear();
        while gathered.events.len() < BATCH && !*ended {
            if !reader.advance()? {
                *ended = true;
                break;
            }
            let record = reader.record()?;
            check_stamps(&record).map_err(|message| reader.error(message))?;
            let slot = symbols.resolve(record.event.ts_recv, record.event.instrument_id);
            let slot = slot.map_err(|message| reader.error(message))?;
            if only.is_some_and(|only| only != slot) {
                continue;
            }
            gathered.events.push(record.event);
            gathered.book.iter_mut().zip(book(record.levels)).for_each(|(words, word)| words.push(word));
            gathered.slots.push(slot.and_then(|slot| i32::try_from(slot).ok()));
        }
        Ok(())
    }

    fn batch(&self) -> Result<RecordBatch, ArrowError> {
        let Gathered { events, book, slots } = &self.gathered;
        let mut values = Vec::new();
        let mut of_column = |column: &Column| match column.source {
            Source::Event(value) => {
                value.fill(events, &mut values);
                array(column.kind, values.iter().copied())
            }
            // A separate loop for each part, so that the part is not matched for each value.
            Source::Book(word, WordPart::Whole) => array(column.kind, book[word].iter().copied()),
            Source::Book(word, WordPart::Low) => {
                array(column.kind, book[word].iter().map(|word| WordPart::Low.of(*word)))
            }
            Source::Book(word, WordPart::High) => {
                array(column.kind, book[word].iter().map(|word| WordPart::High.of(*word)))
            }
            Source::Symbol => dictionary(slots.iter().copied().collect(), Arc::clone(&self.names)),
            Source::Level(..) | Source::Change(..) | Source::Row | Source::Label(..) => {
                Err(ArrowError::SchemaError(format!("a record holds no {}", column.name)))
            }
        };
        let arrays = self.columns.iter().map(&mut of_column).collect::<Result<_, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

impl Iterator for RecordBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read() {
            Ok(()) => (!self.gathered.events.is_empty()).then(|| self.batch()),
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
