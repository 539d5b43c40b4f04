//! Errors of depth tensors.

use thiserror::Error;

/// Why a table has no depth tensor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DepthError {
    /// A column is missing.
    #[error("no column {0:?}")]
    NoColumn(String),
    /// A column of prices has another type.
    #[error("{0} is neither float64 nor int64")]
    Prices(String),
    /// A column of sizes or counts has another type, or values that are null or too large.
    #[error("{0} is not a column of 32-bit unsigned integers without nulls")]
    Integers(String),
    /// The columns do not form a table.
    #[error("the columns have different lengths")]
    Lengths,
    /// The table has another number of rows than a window.
    #[error("a depth tensor takes exactly {samples} rows, not {rows}")]
    Rows {
        /// Rows of a window.
        samples: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// The price ladder has no centre.
    #[error("the last row has no best bid or no best ask, so the price ladder has no centre")]
    NoMid,
}
