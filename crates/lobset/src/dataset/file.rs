//! Access to a dataset file: a local file is read on demand, an object in an object store in few requests.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use bytes::buf::Reader;
use parquet::arrow::ProjectionMask;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use sha2::{Digest, Sha256};

use crate::error::{InputError, Result};
use crate::input::hex;
use crate::output::{FileRanges, RangeFile, read_metadata};
use crate::storage::{self, Ranges};

/// An open dataset file.
pub(crate) struct DatasetFile {
    file: Ranges,
    bytes: u64,
}

impl DatasetFile {
    /// Opens a dataset.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = storage::stat(path).map_err(|e| InputError::unread(path, e))?.bytes;
        Self::of_size(path, bytes)
    }

    /// Opens a dataset whose size in bytes is known, which saves a request to an object store.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be opened.
    pub fn of_size(path: &Path, bytes: u64) -> Result<Self> {
        let file = Ranges::open(path).map_err(|e| InputError::unread(path, e))?;
        Ok(Self { file, bytes })
    }

    /// Size of the file, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the footer.
    ///
    /// # Errors
    /// When the footer cannot be read or is not a Parquet footer.
    pub fn footer(&self) -> ParquetResult<ParquetMetaData> {
        read_metadata(&self.file, self.bytes)
    }

    /// The SHA-256 of the footer. The footer contains the settings, the boundaries, and the extremes and positions of
    /// all values.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn footer_hash(&self) -> io::Result<String> {
        let ending = 8.min(self.bytes);
        let tail = self.file.range(self.bytes - ending..self.bytes)?;
        let length = tail.first_chunk().map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
        let start = self.bytes.checked_sub(ending + length).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(hex(&Sha256::digest(self.file.range(start..self.bytes)?)))
    }

    /// The whole file, read on demand.
    pub fn whole(self) -> RangeFile {
        RangeFile::new(self.file, self.bytes)
    }

    /// The bytes of columns of a row group: a local file is read on demand, an object in as few requests as possible.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn group(self, footer: &ParquetMetaData, group: usize, columns: &ProjectionMask) -> ParquetResult<GroupBytes> {
        match self.file {
            Ranges::File(file) => Ok(GroupBytes::File(file)),
            file @ Ranges::Object(_) => {
                FileRanges::of_group(&file, self.bytes, footer.row_group(group), columns).map(GroupBytes::Held)
            }
        }
    }
}

/// The bytes of a row group.
pub(crate) enum GroupBytes {
    /// In a local file.
    File(File),
    /// In memory.
    Held(FileRanges),
}

/// Reads the bytes of a row group from an offset.
pub(crate) enum GroupReader {
    File(BufReader<File>),
    Held(Reader<Bytes>),
}

impl Read for GroupReader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.read(into),
            Self::Held(held) => held.read(into),
        }
    }
}

impl Length for GroupBytes {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => Length::len(file),
            Self::Held(held) => held.len(),
        }
    }
}

impl ChunkReader for GroupBytes {
    type T = GroupReader;

    fn get_read(&self, start: u64) -> ParquetResult<GroupReader> {
        match self {
            Self::File(file) => file.get_read(start).map(GroupReader::File),
            Self::Held(held) => held.get_read(start).map(GroupReader::Held),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            Self::File(file) => file.get_bytes(start, length),
            Self::Held(held) => held.get_bytes(start, length),
        }
    }
}
