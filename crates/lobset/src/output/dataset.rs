//! A dataset file: encoded row groups, spliced one after the other.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ProjectionMask};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, SortingColumn,
};
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::reader::ChunkReader;
use parquet::file::writer::{SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::SchemaDescPtr;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chunk::EncodedGroup;
use super::footer::{self, Footer};
use super::schema::{DatasetSchema, FileSchema};
use super::window::{FileRanges, read_metadata, read_page_index};
use crate::error::{Cause, Error, Result};
use crate::input::hex;
use crate::storage;

/// Key-value metadata: the version of lobset.
pub const VERSION_KEY: &str = "lobset.version";
/// Key-value metadata: the settings, as JSON.
pub const CONFIG_KEY: &str = "lobset.config";
/// Key-value metadata: `thresholds.json`.
pub const THRESHOLDS_KEY: &str = "lobset.thresholds";
/// Key-value metadata: the price ladder of depth tensors, as JSON.
pub const LADDER_KEY: &str = "lobset.ladder";
/// Key-value metadata: the symbol, as the exchange writes it.
pub const SYMBOL_KEY: &str = "lobset.symbol";

/// The file name of a symbol's dataset.
pub fn dataset_file_name(currency: &str, symbol: &str) -> String {
    dataset_stem(currency, symbol) + ".parquet"
}

/// Maximum length of a symbol in a file name. File systems allow names of 255 bytes, which also contain the tag, the
/// ending and the marks of unfinished files.
const MAX_SYMBOL_IN_NAME: usize = 150;

/// The file name of a symbol's dataset without its extension.
pub fn dataset_stem(currency: &str, symbol: &str) -> String {
    format!("{currency}_{}_dataset", symbol_in_name(symbol))
}

/// A symbol as a part of a file name. Bytes outside `[A-Za-z0-9._-]` are percent-encoded. If a symbol is too long for a
/// file name, it is truncated, and `@` and the first half of its SHA-256 are appended.
pub fn symbol_in_name(symbol: &str) -> String {
    let mut encoded = String::new();
    let mut cut = 0;
    for byte in symbol.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex(&[byte]).to_ascii_uppercase());
        }
        if encoded.len() <= MAX_SYMBOL_IN_NAME - 33 {
            cut = encoded.len();
        }
    }
    if encoded.len() > MAX_SYMBOL_IN_NAME {
        // No encoded symbol contains an `@`, so the name is unique.
        encoded.truncate(cut);
        encoded = format!("{encoded}@{}", hex(&Sha256::digest(symbol)[..16]));
    }
    encoded
}

/// A file that hashes and counts the bytes written to it.
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

/// Size, hash and row groups of a finished dataset file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Number of row groups.
    pub row_groups: u64,
}

/// The column chunks of a row group of a written file, in the form that closing them returned.
fn closed(metadata: &ParquetMetaData, number: usize) -> Vec<ColumnCloseResult> {
    let (group, index) = (metadata.row_group(number), metadata.page_index_for_row_group(number));
    let close = |(place, column): (usize, &ColumnChunkMetaData)| ColumnCloseResult {
        bytes_written: column.compressed_size().cast_unsigned(),
        rows_written: group.num_rows().cast_unsigned(),
        metadata: column.clone(),
        bloom_filter: None,
        column_index: index.column_index(place).cloned(),
        offset_index: index.offset_index(place).cloned(),
    };
    group.columns().iter().enumerate().map(close).collect()
}

/// Writes a dataset file row group by row group. Keeps in memory only the footer and the page indexes, compressed:
/// about 10 KB per row group.
pub struct DatasetWriter {
    path: PathBuf,
    file: TrackedWrite<HashingFile>,
    schema: SchemaDescPtr,
    properties: WriterPropertiesPtr,
    footer: Footer,
}

impl DatasetWriter {
    /// Creates the file. `metadata` becomes its key-value metadata.
    ///
    /// # Errors
    /// [`Error::Output`] when it cannot be written.
    pub fn create(path: &Path, schema: &DatasetSchema, metadata: &[(&str, String)]) -> Result<Self> {
        Self::with_schema(path, &schema.file, schema.sorting_columns(), metadata)
    }

    /// Creates a file with the columns of `schema`, whose rows are sorted by `sorted`.
    ///
    /// # Errors
    /// [`Error::Output`] when it cannot be written.
    pub(super) fn with_schema(
        path: &Path,
        schema: &FileSchema,
        sorted: Vec<SortingColumn>,
        metadata: &[(&str, String)],
    ) -> Result<Self> {
        let fail = |e: &dyn Cause| Error::output(path, e);
        let pairs = metadata.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
        let arrow = KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), schema.encoded.clone());
        let pairs = pairs.chain([arrow]).collect();
        let created_by = format!("lobset version {}", crate::VERSION);
        let footer = Footer::new(Arc::clone(&schema.footer), pairs, created_by).map_err(|e| fail(&e))?;
        let schema = Arc::clone(&schema.parquet);
        let file = storage::Writer::create(path).map_err(|e| fail(&e))?;
        let mut file = TrackedWrite::new(HashingFile { file, hash: Sha256::new(), bytes: 0 });
        file.write_all(footer::NAME).map_err(|e| fail(&e))?;
        let sorted = Some(sorted).filter(|columns| !columns.is_empty());
        let properties = WriterProperties::builder().set_sorting_columns(sorted).build();
        Ok(Self { path: path.to_owned(), file, schema, properties: Arc::new(properties), footer })
    }

    /// Appends a row group.
    ///
    /// # Errors
    /// [`Error::Output`] when it cannot be written.
    pub fn append(&mut self, encoded: EncodedGroup<'_>) -> Result<()> {
        self.append_columns(&encoded.pages, encoded.columns).map_err(|e| Error::output(&self.path, e))
    }

    /// Appends the row groups of a segment with the same columns. Their bytes are copied unchanged.
    ///
    /// # Errors
    /// [`Error::Output`] when the segment cannot be read or the dataset cannot be written.
    pub fn splice(&mut self, segment: &Path, mut spliced: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let fail = |e: &dyn std::fmt::Display| Error::output(segment, format!("cannot be spliced: {e}"));
        let bytes = storage::stat(segment).map_err(|e| fail(&e))?.bytes;
        let file = storage::Ranges::open(segment).map_err(|e| fail(&e))?;
        let metadata = read_metadata(&file, bytes).map_err(|e| fail(&e))?;
        let metadata = read_page_index(&file, bytes, metadata).map_err(|e| fail(&e))?;
        for (number, group) in metadata.row_groups().iter().enumerate() {
            let window = FileRanges::of_group(&file, bytes, group, &ProjectionMask::all()).map_err(|e| fail(&e))?;
            self.append_columns(&window, closed(&metadata, number)).map_err(|e| fail(&e))?;
            spliced(group.num_rows().cast_unsigned())?;
        }
        Ok(())
    }

    /// Appends the row groups of a whole file in memory with the same columns.
    ///
    /// # Errors
    /// [`Error::Output`] when it cannot be written.
    pub(super) fn append_file(&mut self, bytes: &Bytes) -> Result<()> {
        let mut append = || {
            let reader = ParquetMetaDataReader::new().with_offset_index_policy(PageIndexPolicy::Required);
            let metadata = reader.parse_and_finish(bytes)?;
            (0..metadata.num_row_groups()).try_for_each(|number| self.append_columns(bytes, closed(&metadata, number)))
        };
        append().map_err(|e| Error::output(&self.path, e))
    }

    fn append_columns(
        &mut self,
        pages: &impl ChunkReader,
        columns: Vec<ColumnCloseResult>,
    ) -> Result<(), ParquetError> {
        let Self { file, schema, properties, footer, .. } = self;
        let ordinal = i32::try_from(footer.row_groups()).map_err(|e| ParquetError::External(e.into()))?;
        let keep = |_: &mut _, group, _, columns, offsets| footer.push(group, columns, offsets);
        let (schema, properties) = (Arc::clone(schema), Arc::clone(properties));
        let mut group = SerializedRowGroupWriter::new(schema, properties, file, ordinal, Some(Box::new(keep)));
        for column in columns {
            group.append_column(pages, column)?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes the page indexes and the footer. The file is synced to disk only when it is published.
    ///
    /// # Errors
    /// [`Error::Output`] when it cannot be written.
    pub fn finish(self) -> Result<WrittenFile> {
        self.end(false)
    }

    /// Finishes a segment, a file for [`splice`](Self::splice): it has page indexes whatever its size, because the
    /// whole dataset may need them.
    ///
    /// # Errors
    /// [`Error::Output`] when it cannot be written.
    pub fn finish_segment(self) -> Result<WrittenFile> {
        self.end(true)
    }

    fn end(self, keep_indexes: bool) -> Result<WrittenFile> {
        let Self { path, mut file, footer, .. } = self;
        let row_groups = footer.row_groups();
        let fail = |e: &dyn Cause| Error::output(&path, e);
        footer.finish(file.bytes_written() as u64, keep_indexes, &mut file).map_err(|e| fail(&e))?;
        let HashingFile { file, hash, bytes } = file.into_inner().map_err(|e| fail(&e))?;
        file.finish().map_err(|e| fail(&e))?;
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
        let whole = "x".repeat(150);
        assert_eq!(dataset_stem("ES", &whole), format!("ES_{whole}_dataset"));
        let long = dataset_file_name("ES", &"é".repeat(127));
        // 19 characters take six bytes each, and the next one does not fit before the hash.
        assert!(long.starts_with(&format!("ES_{}%C3@", "%C3%A9".repeat(19))), "{long}");
        assert!(long.len() < 200 && long != dataset_file_name("ES", &"é".repeat(126)));
    }
}
