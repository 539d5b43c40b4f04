//! DBN bytes to rows: strict reading, files in order, symbols by day, usable quotes.

mod batch;
mod batches;
mod catalog;
mod delivery;
mod file_streams;
mod find;
mod gaps;
mod head;
mod impossible;
mod quote;
mod reader;
mod schemas;
mod source;
mod stamps;
mod symbology;
mod symbols;

pub(crate) use batch::verified;
pub use batch::{DayCondition, MAX_MANIFEST_BYTES, MAX_SUPPORT_BYTES};
pub use batches::RecordBatches;
pub use catalog::{CatalogFile, catalog, file_name, total_bytes};
pub(crate) use catalog::{check_unchanged, open_all};
pub use delivery::Delivery;
pub(crate) use file_streams::{FileStreams, StreamNames, with_publisher};
pub use find::{Beside, Found, FoundFile, find};
pub use gaps::{Gap, Gaps};
pub use head::Head;
pub(crate) use head::{EDGE, LARGEST_STEP_BACK};
pub use impossible::Impossible;
pub use quote::{Drops, QuoteRules};
pub(crate) use quote::{inexact_price, is_exact_float};
pub use reader::{DbnReader, MAX_METADATA_BYTES, Record};
pub(crate) use schemas::explain_schemas;
pub(crate) use source::{file_sha256, hex};
pub(crate) use stamps::{Times, check_stamps};
pub use symbology::{MAX_SYMBOLOGY_BYTES, SymbologyFile};
pub use symbols::{Mappings, Slot, Symbols};
