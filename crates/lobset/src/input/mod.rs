//! DBN bytes to rows: strict reading, files in order, symbols by day, usable quotes.

mod batches;
mod catalog;
mod quote;
mod reader;
mod source;
mod symbols;

pub use batches::RecordBatches;
pub use catalog::{CatalogFile, catalog, file_name, find, total_bytes};
pub use quote::{Drops, QuoteRules};
pub use reader::{DbnReader, MAX_METADATA_BYTES, Record};
pub(crate) use source::hex;
pub use symbols::{Slot, Symbols};
