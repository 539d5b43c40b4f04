//! Output files: columns, row groups, datasets, the card, the manifest, the report, and their atomic publication.

mod arrays;
pub(crate) mod blocks;
pub(crate) mod card;
mod chunk;
pub(crate) mod column;
pub(crate) mod columns;
pub(crate) mod dataset;
mod derived;
mod encoding;
mod footer;
pub(crate) mod kind;
pub(crate) mod labels;
mod ladder;
mod manifest;
mod moments;
pub(crate) mod pages;
mod publish;
mod records;
pub(crate) mod row_group;
mod run_column;
mod runs;
pub(crate) mod schema;
mod series;
mod thrift;
mod window;

pub(crate) use blocks::ROW_GROUP_ROWS;
pub(crate) use card::card;
pub(crate) use chunk::EncodedGroup;
pub(crate) use column::{Column, Role};
pub(crate) use columns::{columns, names};
pub use dataset::{CONFIG_KEY, LADDER_KEY, SYMBOL_KEY, THRESHOLDS_KEY, VERSION_KEY};
pub(crate) use dataset::{DatasetWriter, WrittenFile, dataset_file_name, dataset_stem, symbol_in_name};
pub(crate) use derived::definition as derived_definition;
pub(crate) use kind::{Bits, NO_LABEL};
pub(crate) use labels::{LabelBlock, LabelField};
pub use ladder::Ladder;
pub(crate) use manifest::LARGEST_MANIFEST;
pub use manifest::{
    DatasetEntry, FileEntry, Manifest, MomentsEntry, SplitEntry, Splits3, SymbolEntry, TargetEntry, ThresholdsEntry,
    Timings, ValidationEntry,
};
pub(crate) use moments::{
    MOMENTS_ENDING, SymbolSums, columns as moments_columns, moments_file_name, moments_stem, write_moments,
};
pub(crate) use pages::PAGE_ROWS;
pub use publish::{CARD, MANIFEST, REPORT, THRESHOLDS};
pub(crate) use publish::{
    DATASETS, MARKER, MOVEMENT_TAPE, MOVEMENTS, RECEIPTS, SEGMENTS, TAPES, Workspace, check_out, is_manifest, parent,
    work_folder, write_whole,
};
pub use records::RecordBatches;
pub(crate) use row_group::{ENCODER_BLOCK_ROWS, RowGroupEncoder};
pub(crate) use schema::DatasetSchema;
pub(crate) use window::{FileRanges, RangeFile, read_metadata};
