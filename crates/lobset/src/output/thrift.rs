//! Thrift's compact protocol, as far as needed to find fields in bytes from the `parquet` crate and to write lists.
//!
//! Source: Thrift's `thrift-compact-protocol.md`.

use parquet::errors::{ParquetError, Result};

use super::encoding::put_varint;
use crate::cast::low8;

/// The header of a list field whose number is one above the previous field's.
pub(super) const LIST_FIELD: u8 = 0x19;

/// The header of an empty list of structures.
pub(super) const STRUCT_LIST: u8 = 0x0C;

/// Writes the header of a list of `length` structures.
pub(super) fn put_list_header(bytes: &mut Vec<u8>, length: u64) {
    // The header contains a short length; a longer one follows it.
    match length {
        few @ 0..15 => bytes.push(STRUCT_LIST | low8(few) << 4),
        many => {
            bytes.push(STRUCT_LIST | 0xF0);
            put_varint(bytes, many);
        }
    }
}

/// Reads structures field by field.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self.bytes.get(self.at).ok_or_else(|| ParquetError::EOF("a structure is truncated".to_owned()))?;
        self.at += 1;
        Ok(*byte)
    }

    /// Reads the next varint, without decoding the zigzag of signed numbers.
    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ParquetError::General("a number has more than 64 bits".to_owned()))
    }

    /// Reads the next field header of a structure and returns the field's type, or `None` at the end of the structure.
    /// `number` is the previous field's number on entry, and this field's on return.
    pub(super) fn field(&mut self, number: &mut u64) -> Result<Option<u8>> {
        let header = self.byte()?;
        match (header >> 4, header & 0xF) {
            (_, 0) => return Ok(None),
            (0, _) => *number = self.varint()? >> 1,
            (step, _) => *number += u64::from(step),
        }
        Ok(Some(header & 0xF))
    }

    /// Reads a list header: the length of the list and the type of its elements.
    pub(super) fn list(&mut self) -> Result<(u64, u8)> {
        let header = self.byte()?;
        let length = match header >> 4 {
            0xF => self.varint()?,
            few => few.into(),
        };
        Ok((length, header & 0xF))
    }

    /// Skips a field of this type.
    pub(super) fn skip(&mut self, kind: u8) -> Result<()> {
        match kind {
            // A boolean field encodes its value in its type.
            1 | 2 => {}
            3 => self.at += 1,
            4..=6 => {
                self.varint()?;
            }
            7 => self.at += 8,
            8 => {
                let length = self.varint()?;
                self.at =
                    usize::try_from(length).ok().and_then(|length| self.at.checked_add(length)).unwrap_or(usize::MAX);
            }
            9 | 10 => {
                let (length, kind) = self.list()?;
                // In a list each boolean takes one byte.
                let kind = if kind <= 2 { 3 } else { kind };
                (0..length).try_for_each(|_| self.skip(kind))?;
            }
            12 => {
                let mut number = 0;
                while let Some(kind) = self.field(&mut number)? {
                    self.skip(kind)?;
                }
            }
            other => return Err(ParquetError::General(format!("a field of type {other} is not known"))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_all_types_are_passed_over() {
        let mut bytes = vec![0x11, 0x12, 0x13, 9, 0x14, 0x80, 1, 0x15, 2, 0x16, 4, 0x17];
        bytes.extend([0; 8]);
        // A string; lists of booleans, numbers and structures; nested structures; a number with an explicit field id.
        bytes.extend([0x18, 2, b'a', b'b', 0x19, 0x21, 1, 2, 0x19, 0xF5, 2, 0x80, 1, 3, 0x19, 0x1C, 0x15, 6, 0]);
        bytes.extend([0x1C, 0x1C, 0, 0, 0x05, 40, 8, 0]);
        let mut reader = Reader::new(&bytes);
        let (mut number, mut kinds) = (0, Vec::new());
        while let Some(kind) = reader.field(&mut number).unwrap() {
            kinds.push((number, kind));
            reader.skip(kind).unwrap();
        }
        assert_eq!(reader.at(), bytes.len());
        let kinds: Vec<u8> = kinds.into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds, [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 5]);
        assert_eq!(number, 20);
        for length in 0..bytes.len() {
            assert!(Reader::new(&bytes[..length]).skip(12).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn headers_of_lists_come_back() {
        for length in [0, 1, 14, 15, 16, 200, 70_000] {
            let mut bytes = Vec::new();
            put_list_header(&mut bytes, length);
            assert_eq!(Reader::new(&bytes).list().unwrap(), (length, 12));
        }
    }
}
