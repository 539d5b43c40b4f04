//! Counts, sums and sums of squares of the columns of a dataset, by input file. The means and deviations of any range
//! of files follow from them.
//!
//! | file | what it does |
//! |---|---|
//! | `exact` | adds floats without rounding |
//! | `sums` | adds up columns, files and symbols |
//! | `tally` | adds up the columns of a row group while they are encoded |
//! | `table` | the Parquet file |

mod exact;
mod sums;
mod table;
mod tally;

pub(crate) use sums::SymbolSums;
pub(crate) use table::{MOMENTS_ENDING, columns, moments_file_name, moments_stem, write_moments};
pub(super) use tally::Tally;
