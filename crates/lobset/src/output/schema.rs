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
    TsOut,
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
    /// The columns that the settings ask for. `ts_out` says whether the input has gateway stamps.
    pub fn new(config: &Config, ts_out: bool) -> parquet::errors::Result<Self> {
        let (contents, fields): (Vec<_>, Vec<_>) = columns(config, ts_out).into_iter().unzip();
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

fn columns(config: &Config, ts_out: bool) -> Vec<(Content, Field)> {
    let field = |name: &str, kind: &DataType, nullable| Field::new(name, kind.clone(), nullable);
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let price = match config.price_type {
        PriceType::Float => DataType::Float64,
        PriceType::Fixed => DataType::Int64,
    };
    let all = config.columns == Columns::All;
    let mut columns = Vec::new();
    let mut add = |content, name: &str, kind: &DataType, nullable| columns.push((content, field(name, kind, nullable)));
    if all {
        add(Content::TsRecv, "ts_recv", &time, false);
    }
    add(Content::TsEvent, "ts_event", &time, true);
    if all && ts_out {
        // Null in the rows of files without the stamps.
        add(Content::TsOut, "ts_out", &time, true);
    }
    if all {
        add(Content::PublisherId, "publisher_id", &DataType::UInt16, false);
        add(Content::InstrumentId, "instrument_id", &DataType::UInt32, false);
        add(Content::Action, "action", &DataType::Utf8, false);
        add(Content::Side, "side", &DataType::Utf8, false);
        add(Content::Depth, "depth", &DataType::UInt8, false);
        add(Content::Price, "price", &price, true);
        add(Content::Size, "size", &DataType::UInt32, false);
        add(Content::Flags, "flags", &DataType::UInt8, false);
        add(Content::TsInDelta, "ts_in_delta", &DataType::Int32, false);
        add(Content::Sequence, "sequence", &DataType::UInt32, false);
    }
    for level in 0..BOOK_WORDS / 4 {
        let word = 4 * level;
        add(Content::BookPrice(word), &format!("bid_px_{level:02}"), &price, true);
        add(Content::BookPrice(word + 1), &format!("ask_px_{level:02}"), &price, true);
        add(Content::BookCount(word + 2, false), &format!("bid_sz_{level:02}"), &DataType::UInt32, false);
        add(Content::BookCount(word + 2, true), &format!("ask_sz_{level:02}"), &DataType::UInt32, false);
        add(Content::BookCount(word + 3, false), &format!("bid_ct_{level:02}"), &DataType::UInt32, false);
        add(Content::BookCount(word + 3, true), &format!("ask_ct_{level:02}"), &DataType::UInt32, false);
    }
    add(Content::Symbol, "symbol", &text, false);
    add(Content::Row, "row", &DataType::UInt64, false);
    add(Content::MidPrice, "mid_price", &DataType::Float64, false);
    add(Content::PriceMovement, "price_movement", &DataType::Float64, false);
    add(Content::ClassificationLabel, "classification_label", &DataType::Int32, false);
    add(Content::Split, "split", &text, false);
    if config.force_uniform {
        add(Content::Balanced, "balanced", &DataType::Boolean, false);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_stand_in_the_order_of_the_contract() {
        let schema = DatasetSchema::new(&Config::default(), false).unwrap();
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
    fn gateway_stamps_come_after_the_time_of_the_event() {
        let schema = DatasetSchema::new(&Config::default(), true).unwrap();
        let names: Vec<&str> = schema.arrow.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names[..4], ["ts_recv", "ts_event", "ts_out", "publisher_id"]);
        assert_eq!(names.len(), 12 + 1 + 60 + 7);
    }

    #[test]
    fn settings_choose_columns() {
        let config = Config { columns: Columns::Book, force_uniform: false, ..Config::default() };
        let schema = DatasetSchema::new(&config, true).unwrap();
        assert_eq!(schema.arrow.field(0).name(), "ts_event");
        assert_eq!(schema.contents.len(), 1 + 60 + 6);
    }
}
