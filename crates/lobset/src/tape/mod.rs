//! Work files: the input is decoded once, and every later step reads these.
//!
//! Scanning a file writes two tapes for each symbol. The *mid2 tape* is the input of the labels, eight bytes a row. The
//! *row tape* stores each row as its changes from the row before: only a few of the 40 words of a book change, so a row
//! takes about a tenth of the size of its record, and the reader learns which cells to update. If a target needs them,
//! a third tape stores the *moments* (time and spread), sixteen bytes a row.

mod chunks;
mod cursor;
mod moments;
mod movements;
mod row;
mod tick;
mod varint;
mod writer;

pub(crate) use chunks::Chunks;
pub use cursor::{RowCursor, SymbolTape};
pub(crate) use cursor::{Tape, check_chunks};
pub(crate) use moments::{Moment, Points};
pub(crate) use movements::{BlockWriter, MOVEMENT_BLOCK, read_blocks};
pub use row::{BOOK_WORDS, Row, is_price};
pub(crate) use row::{Book, Level, book, each_bit, halves, level};
pub(crate) use tick::common_divisor;
pub(crate) use varint::zigzag;
pub use writer::TapeWriter;
pub(crate) use writer::{Chunk, SymbolTapes};
