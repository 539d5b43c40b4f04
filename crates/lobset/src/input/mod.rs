//! DBN bytes to rows: strict reading, files in order, symbols by day, usable quotes.

mod batches;
mod catalog;
mod file_streams;
mod gaps;
mod quote;
mod reader;
mod source;
mod symbols;

pub use batches::RecordBatches;
pub use catalog::{CatalogFile, catalog, file_name, find, total_bytes};
pub(crate) use file_streams::{FileStreams, StreamNames, with_publisher};
pub use gaps::{Gap, Gaps};
pub use quote::{Drops, QuoteRules};
pub use reader::{DbnReader, MAX_METADATA_BYTES, Record};
pub(crate) use source::hex;
pub use symbols::{Slot, Symbols};
