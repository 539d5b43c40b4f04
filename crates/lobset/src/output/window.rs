//! Parts of a Parquet file in memory, for readers that expect the whole file: one request instead of many.

use std::io::{BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};

use crate::storage::Ranges;

/// Byte ranges of a file, in memory.
#[derive(Clone)]
pub struct FileRanges {
    /// The start of each range, and its bytes; in order.
    pieces: Vec<(u64, Bytes)>,
    /// Bytes of the whole file.
    length: u64,
}

impl FileRanges {
    fn new(file: &Ranges, length: u64, range: Range<u64>) -> Result<Self> {
        let bytes = file.range(range.clone()).map_err(|e| ParquetError::External(e.into()))?;
        Ok(Self { pieces: vec![(range.start, bytes)], length })
    }

    /// Reads the columns of a row group that `mask` selects, from a file with `length` bytes.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn of_group(file: &Ranges, length: u64, group: &RowGroupMetaData, mask: &ProjectionMask) -> Result<Self> {
        let wanted = group.columns().iter().enumerate().filter(|(place, _)| mask.leaf_included(*place));
        let mut places: Vec<Range<u64>> = wanted
            .map(|(_, column)| {
                let (start, size) = column.byte_range();
                start..start + size
            })
            .collect();
        places.sort_unstable_by_key(|place| place.start);
        let bytes = file.ranges(&places).map_err(|e| ParquetError::External(e.into()))?;
        Ok(Self { pieces: places.iter().map(|place| place.start).zip(bytes).collect(), length })
    }

    /// Reads the bytes of the footer of a file with `length` bytes.
    ///
    /// # Errors
    /// When it cannot be read or does not exist.
    pub fn of_footer(file: &Ranges, length: u64) -> Result<Self> {
        let tail = length.checked_sub(8).ok_or_else(|| ParquetError::EOF("is too short for a footer".to_owned()))?;
        let last = Self::new(file, length, tail..length)?;
        let size = last.slice(tail)?.get_u32_le();
        let start =
            tail.checked_sub(u64::from(size)).ok_or_else(|| ParquetError::EOF("its footer is truncated".to_owned()))?;
        Self::new(file, length, start..length)
    }

    /// The bytes in memory that start at byte `start`.
    fn slice(&self, start: u64) -> Result<Bytes> {
        let after = self.pieces.partition_point(|(from, _)| *from <= start);
        let piece = after.checked_sub(1).map(|place| &self.pieces[place]);
        let held = piece.and_then(|(from, bytes)| Some((bytes, usize::try_from(start - from).ok()?)));
        match held.filter(|(bytes, at)| *at <= bytes.len()) {
            Some((bytes, at)) => Ok(bytes.slice(at..)),
            None => Err(ParquetError::EOF(format!("byte {start} is outside the part that was read"))),
        }
    }
}

impl Length for FileRanges {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for FileRanges {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.slice(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// A whole file, read in pieces on demand.
pub struct RangeFile {
    file: Arc<Ranges>,
    length: u64,
}

impl RangeFile {
    /// A file with `length` bytes.
    pub fn new(file: Ranges, length: u64) -> Self {
        Self { file: Arc::new(file), length }
    }
}

impl Length for RangeFile {
    fn len(&self) -> u64 {
        self.length
    }
}

/// Reads a [`RangeFile`] starting at a given byte.
pub struct RangeReader {
    file: Arc<Ranges>,
    at: u64,
    length: u64,
}

impl Read for RangeReader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = into.len().min(usize::try_from(self.length - self.at).unwrap_or(usize::MAX));
        self.file.read_exact_at(&mut into[..n], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl ChunkReader for RangeFile {
    type T = BufReader<RangeReader>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let reader = RangeReader { file: Arc::clone(&self.file), at: start.min(self.length), length: self.length };
        Ok(BufReader::with_capacity(64 << 10, reader))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.file.range(start..start + length as u64).map_err(|e| ParquetError::External(e.into()))
    }
}

/// Reads the footer of a file with `length` bytes.
///
/// # Errors
/// When it cannot be read or is invalid.
pub fn read_metadata(file: &Ranges, length: u64) -> Result<ParquetMetaData> {
    ParquetMetaDataReader::new().parse_and_finish(&FileRanges::of_footer(file, length)?)
}

/// Reads the page indexes of a file with `length` bytes and this footer.
///
/// # Errors
/// When they cannot be read.
pub fn read_page_index(file: &Ranges, length: u64, metadata: ParquetMetaData) -> Result<ParquetMetaData> {
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let ranges = columns.flat_map(|column| [column.column_index_range(), column.offset_index_range()]).flatten();
    let all = ranges.reduce(|all, range| all.start.min(range.start)..all.end.max(range.end)).unwrap_or_default();
    let window = FileRanges::new(file, length, all)?;
    let reader = ParquetMetaDataReader::new_with_metadata(metadata);
    let mut reader = reader.with_page_index_policy(PageIndexPolicy::Required);
    reader.read_page_indexes(&window)?;
    reader.finish()
}
