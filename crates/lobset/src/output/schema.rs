//! The Arrow and Parquet schemas of a dataset.

use std::sync::Arc;

use arrow_schema::Schema;
use parquet::arrow::{ArrowSchemaConverter, encode_arrow_schema};
use parquet::file::metadata::SortingColumn;
use parquet::schema::types::SchemaDescriptor;

use super::column::Column;
use super::columns::{columns, names};
use super::footer::Layout;
use crate::config::Config;

/// The columns of a Parquet file, in the forms needed to write it.
#[derive(Debug, Clone)]
pub(crate) struct FileSchema {
    pub(crate) parquet: Arc<SchemaDescriptor>,
    /// The Arrow schema, encoded for Parquet's key-value metadata.
    pub(crate) encoded: String,
    pub(super) footer: Arc<Layout>,
}

impl FileSchema {
    /// The schema of a file with these columns.
    pub(super) fn new(arrow: &Schema) -> parquet::errors::Result<Self> {
        let parquet = Arc::new(ArrowSchemaConverter::new().convert(arrow)?);
        let footer = Arc::new(Layout::new(&parquet)?);
        Ok(Self { parquet, encoded: encode_arrow_schema(arrow), footer })
    }
}

/// The columns of a dataset with given settings.
#[derive(Debug, Clone)]
pub struct DatasetSchema {
    columns: Vec<Column>,
    /// The Arrow schema.
    pub arrow: Arc<Schema>,
    pub(crate) file: FileSchema,
}

impl DatasetSchema {
    /// The schema for given settings. `ts_out` says whether the input has gateway stamps.
    pub fn new(config: &Config, ts_out: bool) -> parquet::errors::Result<Self> {
        let columns = columns(config, ts_out);
        let arrow = Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>()));
        let file = FileSchema::new(&arrow)?;
        Ok(Self { columns, arrow, file })
    }

    /// The columns, in their order in the files.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns by which the rows of a file are sorted.
    pub(super) fn sorting_columns(&self) -> Vec<SortingColumn> {
        let rows = (0..).zip(&self.columns).filter(|(_, column)| column.name == names::ROW);
        rows.map(|(column_idx, _)| SortingColumn { column_idx, descending: false, nulls_first: false }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Columns;

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
        assert_eq!(schema.columns().len(), 1 + 60 + 6);
    }
}
