//! Reads written datasets by path or URL: their columns, their rows as vectors, and the rows that are samples.

mod decode;
mod file;
mod index;
mod moments;
mod packing;
mod period;
mod reader;
mod recent;
mod row_file;
mod rows;
mod scale;
mod search;

pub(crate) use file::DatasetFile;
pub use index::{SampleFilter, SampleIndex};
pub(crate) use moments::StoredSums;
pub use moments::{ColumnMoments, Moments};
pub use period::Period;
pub(crate) use period::first_at;
pub use reader::DatasetReader;
pub(crate) use recent::Recent;
pub use rows::{RowSpec, RowWindows};
pub use scale::Normalise;
