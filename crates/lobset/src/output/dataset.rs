//! A dataset file: encoded row groups, spliced one after the other.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::ChunkReader;
use parquet::file::writer::SerializedFileWriter;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chunk::EncodedGroup;
use super::schema::DatasetSchema;
use super::window::{Window, read_metadata};
use crate::error::{Error, Result};
use crate::input::hex;
use crate::storage;

/// Key-value metadata: the version of lobset.
pub const VERSION_KEY: &str = "lobset.version";
/// Key-value metadata: the settings, as JSON.
pub const CONFIG_KEY: &str = "lobset.config";
/// Key-value metadata: `thresholds.json`.
pub const THRESHOLDS_KEY: &str = "lobset.thresholds";
/// Key-value metadata: the symbol, as the exchange writes it.
pub const SYMBOL_KEY: &str = "lobset.symbol";

/// The file name of a symbol's dataset.
pub fn dataset_file_name(currency: &str, symbol: &str) -> String {
    dataset_stem(currency, symbol) + ".parquet"
}

/// The same without its extension. Bytes outside `[A-Za-z0-9._-]` are percent-encoded.
pub fn dataset_stem(currency: &str, symbol: &str) -> String {
    use std::fmt::Write;
    let mut name = format!("{currency}_");
    for byte in symbol.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name + "_dataset"
}

/// A file whose bytes are hashed and counted on their way.
struct HashingFile {
    file: storage::Writer,
    hash: Sha256,
    bytes: u64,
}

impl Write for HashingFile {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let n = self.file.write(buffer)?;
        self.hash.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// What came of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its row groups.
    pub row_groups: u64,
}

/// Writes a dataset file row group by row group. Holds nothing but the footer to come: about 15 KB a row group.
pub struct DatasetWriter {
    path: PathBuf,
    writer: SerializedFileWriter<HashingFile>,
    row_groups: u64,
}

impl DatasetWriter {
    /// Creates the file. `metadata` becomes its key-value metadata.
    ///
    /// # Errors
    /// [`Error::Output`] when it cannot be written.
    pub fn create(path: &Path, schema: &DatasetSchema, metadata: &[(&str, String)]) -> Result<Self> {
        let fail = |e: &dyn std::fmt::Display| Error::output(path, e);
        let pairs = metadata.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
        let arrow = KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), schema.encoded.clone());
        let properties = WriterProperties::builder()
            .set_created_by(format!("lobset version {}", crate::VERSION))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_key_value_metadata(Some(pairs.chain([arrow]).collect()))
            .build();
        let file = storage::Writer::create(path).map_err(|e| fail(&e))?;
        let file = HashingFile { file, hash: Sha256::new(), bytes: 0 };
        let root = schema.parquet.root_schema_ptr();
        let writer = SerializedFileWriter::new(file, root, Arc::new(properties)).map_err(|e| fail(&e))?;
        Ok(Self { path: path.to_owned(), writer, row_groups: 0 })
    }

    /// Appends a row group.
    ///
    /// # Errors
    /// [`Error::Output`] when it cannot be written.
    pub fn append(&mut self, encoded: EncodedGroup) -> Result<()> {
        self.append_columns(encoded.columns.into_iter()).map_err(|e| Error::output(&self.path, e))
    }

    /// Appends the row groups of another file with the same columns. Their bytes are copied as they are.
    ///
    /// # Errors
    /// [`Error::Output`] when either cannot be read or written.
    pub fn splice(&mut self, segment: &Path, mut spliced: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let fail = |e: &dyn std::fmt::Display| Error::output(segment, format!("cannot be spliced: {e}"));
        let bytes = storage::stat(segment).map_err(|e| fail(&e))?.bytes;
        let file = storage::Ranges::open(segment).map_err(|e| fail(&e))?;
        let metadata = read_metadata(&file, bytes).map_err(|e| fail(&e))?;
        for group in metadata.row_groups() {
            let window = Window::of_group(&file, bytes, group).map_err(|e| fail(&e))?;
            let close = |column: &parquet::file::metadata::ColumnChunkMetaData| ColumnCloseResult {
                bytes_written: column.compressed_size().cast_unsigned(),
                rows_written: group.num_rows().cast_unsigned(),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            let columns = group.columns().iter().map(|column| (window.clone(), close(column)));
            self.append_columns(columns).map_err(|e| fail(&e))?;
            spliced(group.num_rows().cast_unsigned())?;
        }
        Ok(())
    }

    fn append_columns<R: ChunkReader>(
        &mut self,
        columns: impl Iterator<Item = (R, ColumnCloseResult)>,
    ) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for (bytes, column) in columns {
            group.append_column(&bytes, column)?;
        }
        group.close()?;
        self.row_groups += 1;
        Ok(())
    }

    /// Writes the footer. Publishing makes the file durable.
    ///
    /// # Errors
    /// [`Error::Output`] when it cannot be written.
    pub fn finish(self) -> Result<WrittenFile> {
        let Self { path, writer, row_groups } = self;
        let HashingFile { file, hash, bytes } = writer.into_inner().map_err(|e| Error::output(&path, e))?;
        file.finish().map_err(|e| Error::output(&path, e))?;
        Ok(WrittenFile { bytes, sha256: hex(&hash.finalize()), row_groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_become_harmless_file_names() {
        assert_eq!(dataset_file_name("AUDUSD", "M6AM4"), "AUDUSD_M6AM4_dataset.parquet");
        assert_eq!(dataset_file_name("ES", "../a b/é%"), "ES_..%2Fa%20b%2F%C3%A9%25_dataset.parquet");
    }
}
