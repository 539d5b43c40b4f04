//! Work files between the one decoding of the input and everything after it.
//!
//! Scanning a file leaves two tapes for each symbol. The *mid2 tape* is what labels are made of, eight bytes a row. The
//! *row tape* holds the rows themselves as their changes from row to row: of the 40 words of a book only a few change, so
//! that a row takes about a tenth of its record, and whoever reads the tape is told which cells to touch.

mod cursor;
mod movements;
mod row;
mod varint;
mod writer;

pub(crate) use cursor::check_chunks;
pub use cursor::{MidCursor, RowCursor, SymbolTape, Tape};
pub(crate) use movements::{BlockWriter, MOVEMENT_BLOCK, read_blocks, read_movements, to_bytes};
pub(crate) use row::book;
pub use row::{BOOK_WORDS, Book, Row, each_bit, halves, is_price};
pub(crate) use varint::zigzag;
pub use writer::{Chunk, TapeWriter};
