//! The columns of a dataset, in order.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::{ArrowSchemaConverter, encode_arrow_schema};
use parquet::file::metadata::SortingColumn;
use parquet::schema::types::SchemaDescriptor;

use super::footer::Layout;
use crate::config::{Columns, Config, PriceType};
use crate::tape::BOOK_WORDS;

/// What fills a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    TsRecv,
    TsEvent,
    PublisherId,
    InstrumentId,
    Action,
    Side,
    Depth,
    Price,
    Size,
    Flags,
    TsInDelta,
    Sequence,
    /// A word of the book that holds a price.
    BookPrice(usize),
    /// A word of the book that holds two numbers, and which half is meant.
    BookCount(usize, bool),
    Symbol,
    Row,
    MidPrice,
    PriceMovement,
    ClassificationLabel,
    Split,
    Balanced,
}

/// A line of the table of columns.
pub(super) struct Column {
    pub content: Content,
    /// Name, type, and whether it may be null.
    pub field: Field,
    /// What it holds, for people; it stands in Markdown as it is. The columns of the ten levels share theirs.
    pub meaning: &'static str,
}

/// The columns that a dataset has with given settings.
#[derive(Debug, Clone)]
pub struct DatasetSchema {
    pub(crate) contents: Vec<Content>,
    /// As Arrow sees it.
    pub arrow: Arc<Schema>,
    pub(crate) parquet: Arc<SchemaDescriptor>,
    /// The Arrow schema as Parquet's key-value metadata carry it.
    pub(crate) encoded: String,
    pub(super) footer: Arc<Layout>,
}

impl DatasetSchema {
    /// The columns that the settings ask for.
    pub fn new(config: &Config) -> parquet::errors::Result<Self> {
        let (contents, fields): (Vec<_>, Vec<_>) = columns(config).into_iter().map(|c| (c.content, c.field)).unzip();
        let arrow = Arc::new(Schema::new(fields));
        let parquet = Arc::new(ArrowSchemaConverter::new().convert(&arrow)?);
        let encoded = encode_arrow_schema(&arrow);
        let footer = Arc::new(Layout::new(&parquet)?);
        Ok(Self { contents, arrow, parquet, encoded, footer })
    }

    /// The order of the rows of a file.
    pub(super) fn sorting_columns(&self) -> Vec<SortingColumn> {
        let rows = self.contents.iter().position(|content| *content == Content::Row);
        let column = |place| SortingColumn { column_idx: place as i32, descending: false, nulls_first: false };
        rows.map(column).into_iter().collect()
    }
}

/// The table of columns, in the order of the files.
pub(super) fn columns(config: &Config) -> Vec<Column> {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let price = match config.price_type {
        PriceType::Float => DataType::Float64,
        PriceType::Fixed => DataType::Int64,
    };
    let all = config.columns == Columns::All;
    let mut columns = Vec::new();
    let mut add = |content, name: &str, kind: &DataType, nullable, meaning| {
        columns.push(Column { content, field: Field::new(name, kind.clone(), nullable), meaning });
    };
    if all {
        add(Content::TsRecv, "ts_recv", &time, false, "when Databento received the record");
    }
    add(Content::TsEvent, "ts_event", &time, true, "when the exchange made the event");
    if all {
        add(Content::PublisherId, "publisher_id", &DataType::UInt16, false, "the publisher: dataset and venue");
        add(Content::InstrumentId, "instrument_id", &DataType::UInt32, false, "the instrument, unique within its day");
        add(
            Content::Action,
            "action",
            &DataType::Utf8,
            false,
            "A add, C cancel, M modify, R clear, T trade, F fill, N none",
        );
        add(Content::Side, "side", &DataType::Utf8, false, "the side that began the event: A ask, B bid, N none");
        add(Content::Depth, "depth", &DataType::UInt8, false, "the level that the event changed");
        add(Content::Price, "price", &price, true, "the event's price");
        add(Content::Size, "size", &DataType::UInt32, false, "the event's size");
        add(Content::Flags, "flags", &DataType::UInt8, false, "Databento's bits: end of event, quality of the data");
        add(
            Content::TsInDelta,
            "ts_in_delta",
            &DataType::Int32,
            false,
            "nanoseconds between sending by the venue and ts_recv",
        );
        add(Content::Sequence, "sequence", &DataType::UInt32, false, "the venue's message number");
    }
    for level in 0..BOOK_WORDS / 4 {
        let word = 4 * level;
        let count = &DataType::UInt32;
        let mut add = |content, stem, kind, nullable, meaning| {
            add(content, &format!("{stem}_{level:02}"), kind, nullable, meaning);
        };
        add(Content::BookPrice(word), "bid_px", &price, true, "bid price of the level, best first");
        add(Content::BookPrice(word + 1), "ask_px", &price, true, "ask price of the level, best first");
        add(Content::BookCount(word + 2, false), "bid_sz", count, false, "size of the bids at that price");
        add(Content::BookCount(word + 2, true), "ask_sz", count, false, "size of the asks at that price");
        add(Content::BookCount(word + 3, false), "bid_ct", count, false, "number of the bids at that price");
        add(Content::BookCount(word + 3, true), "ask_ct", count, false, "number of the asks at that price");
    }
    let (float, class) = (&DataType::Float64, &DataType::Int32);
    add(Content::Symbol, "symbol", &text, false, "the instrument's name");
    add(Content::Row, "row", &DataType::UInt64, false, "the row's number in the symbol's whole stream, from 0");
    add(Content::MidPrice, "mid_price", float, false, "(best bid + best ask) / 2, in price units");
    add(Content::PriceMovement, "price_movement", float, false, "mean mid price ahead / mean mid price behind - 1");
    add(
        Content::ClassificationLabel,
        "classification_label",
        class,
        false,
        "the class: how many boundaries are not above the movement",
    );
    add(Content::Split, "split", &text, false, "fit, embargo or holdout");
    if config.force_uniform {
        add(Content::Balanced, "balanced", &DataType::Boolean, false, "in the uniform subset of the row's split");
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_stand_in_the_order_of_the_contract() {
        let schema = DatasetSchema::new(&Config::default()).unwrap();
        let names: Vec<&str> = schema.arrow.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names.len(), 12 + 60 + 7);
        assert_eq!(
            names[..13],
            [
                "ts_recv",
                "ts_event",
                "publisher_id",
                "instrument_id",
                "action",
                "side",
                "depth",
                "price",
                "size",
                "flags",
                "ts_in_delta",
                "sequence",
                "bid_px_00"
            ]
        );
        assert_eq!(
            names[71..],
            ["ask_ct_09", "symbol", "row", "mid_price", "price_movement", "classification_label", "split", "balanced"]
        );
    }

    #[test]
    fn settings_choose_columns() {
        let config = Config { columns: Columns::Book, force_uniform: false, ..Config::default() };
        let schema = DatasetSchema::new(&config).unwrap();
        assert_eq!(schema.arrow.field(0).name(), "ts_event");
        assert_eq!(schema.contents.len(), 1 + 60 + 6);
    }
}
