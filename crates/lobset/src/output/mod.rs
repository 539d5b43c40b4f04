//! Output files: columns, row groups, datasets, the card, the manifest, the report, and their atomic publication.

mod arrays;
mod blocks;
mod card;
mod chunk;
mod columns;
mod dataset;
mod derived;
mod encoding;
mod footer;
mod kind;
mod manifest;
mod pages;
mod publish;
mod records;
mod report;
mod row_group;
mod run_column;
mod runs;
mod schema;
mod series;
mod thrift;
mod window;

pub use blocks::ROW_GROUP_ROWS;
pub use card::card;
pub use chunk::EncodedGroup;
pub use columns::{Column, Role, RowLabel};
pub(crate) use columns::{columns, names};
pub use dataset::{
    CONFIG_KEY, DatasetWriter, SYMBOL_KEY, THRESHOLDS_KEY, VERSION_KEY, WrittenFile, dataset_file_name, dataset_stem,
};
pub use kind::Kind;
pub use manifest::{
    DatasetEntry, FileEntry, LARGEST_MANIFEST, Manifest, SplitEntry, Splits3, SymbolEntry, ThresholdsEntry, Timings,
    ValidationEntry,
};
pub use pages::PAGE_ROWS;
pub use publish::{
    CARD, DATASETS, MANIFEST, MARKER, MOVEMENT_TAPE, MOVEMENTS, RECEIPTS, REPORT, SEGMENTS, TAPES, THRESHOLDS,
    Workspace, work_folder, write_whole,
};
pub(crate) use publish::{is_manifest, parent};
pub use records::RecordBatches;
pub use report::report;
pub use row_group::RowGroupEncoder;
pub use schema::DatasetSchema;
pub(crate) use window::{RangeFile, Window, read_metadata};
