//! Work files: the input is decoded once, and every later step reads these.
//!
//! Scanning a file writes two tapes for each symbol. The *mid2 tape* is the input of the labels, eight bytes a row. The
//! *row tape* stores each row as its changes from the row before: only a few of the 40 words of a book change, so a row
//! takes about a tenth of the size of its record, and the reader learns which cells to update.

mod cursor;
mod movements;
mod row;
mod varint;
mod writer;

pub(crate) use cursor::check_chunks;
pub use cursor::{MidCursor, RowCursor, SymbolTape, Tape};
pub(crate) use movements::{BlockWriter, MOVEMENT_BLOCK, read_blocks, read_movements, to_bytes};
pub use row::{BOOK_WORDS, Book, Row, each_bit, halves, is_price};
pub(crate) use row::{Level, book, level};
pub(crate) use varint::zigzag;
pub use writer::{Chunk, TapeWriter};
