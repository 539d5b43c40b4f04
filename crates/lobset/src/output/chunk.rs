//! Column chunks: encoded bytes to compressed Parquet pages with their metadata.

use bytes::Bytes;
use parquet::basic::{Compression as Codec, Encoding, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use crate::config::Compression;

/// The level of Zstandard: higher ones cost several times as much for a few percent.
const ZSTD_LEVEL: i32 = 1;

/// A column chunk as it will stand in a file.
pub struct EncodedColumn {
    /// Its pages.
    pub(super) bytes: Bytes,
    /// What the footer will say of it, with offsets relative to `bytes`.
    pub(super) close: ColumnCloseResult,
}

/// A page before compression.
pub(super) struct RawPage {
    pub bytes: Vec<u8>,
    pub values: usize,
    pub encoding: Encoding,
}

/// Compresses pages. Keeps the codec's context between them.
pub(super) struct Compressor {
    codec: Compression,
    zstd: zstd_safe::CCtx<'static>,
    snappy: snap::raw::Encoder,
}

impl Compressor {
    pub(super) fn new(codec: Compression) -> Self {
        Self { codec, zstd: zstd_safe::CCtx::create(), snappy: snap::raw::Encoder::new() }
    }

    fn compress(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        let fail = |e: &dyn std::fmt::Display| ParquetError::General(format!("cannot compress a page: {e}"));
        let mut out = Vec::new();
        match self.codec {
            Compression::None => return Ok(None),
            Compression::Zstd => {
                out.reserve_exact(zstd_safe::compress_bound(bytes.len()));
                let done = self.zstd.compress(&mut out, bytes, ZSTD_LEVEL);
                done.map_err(|code| fail(&zstd_safe::get_error_name(code)))?;
            }
            Compression::Snappy => out = self.snappy.compress_vec(bytes).map_err(|e| fail(&e))?,
            Compression::Lz4 => out = lz4_flex::block::compress(bytes),
        }
        Ok(Some(out))
    }

    fn codec(&self) -> Codec {
        match self.codec {
            Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default()),
            Compression::Snappy => Codec::SNAPPY,
            Compression::Lz4 => Codec::LZ4_RAW,
            Compression::None => Codec::UNCOMPRESSED,
        }
    }

    /// Makes a column chunk of `rows` rows from its dictionary, if it has one, and its one data page. Where compression
    /// saves nothing the chunk is stored as it is.
    pub(super) fn chunk(
        &mut self,
        descr: ColumnDescPtr,
        rows: usize,
        dictionary: Option<RawPage>,
        data: RawPage,
        statistics: Statistics,
    ) -> Result<EncodedColumn> {
        let raw_size = data.bytes.len() + dictionary.as_ref().map_or(0, |d| d.bytes.len());
        let small_dictionary = dictionary.as_ref().map(|d| self.compress(&d.bytes)).transpose()?.flatten();
        let small_data = self.compress(&data.bytes)?;
        let small_size = small_data.as_ref().map_or(usize::MAX, |d| d.len() + small_dictionary.as_ref().map_or(0, Vec::len));
        let (codec, small_dictionary, small_data) = if small_size < raw_size {
            (self.codec(), small_dictionary, small_data)
        } else {
            (Codec::UNCOMPRESSED, None, None)
        };

        let mut encodings = vec![data.encoding];
        let mut sink = TrackedWrite::new(Vec::with_capacity(small_size.min(raw_size) + 128));
        let mut writer = SerializedPageWriter::new(&mut sink);
        let mut dictionary_offset = None;
        let (mut compressed_size, mut uncompressed_size) = (0, 0);
        if let Some(dictionary) = dictionary {
            let size = dictionary.bytes.len();
            let page = Page::DictionaryPage {
                num_values: dictionary.values as u32,
                encoding: dictionary.encoding,
                is_sorted: false,
                buf: small_dictionary.unwrap_or(dictionary.bytes).into(),
            };
            let spec = writer.write_page(CompressedPage::new(page, size))?;
            dictionary_offset = Some(spec.offset as i64);
            compressed_size += spec.compressed_size;
            uncompressed_size += spec.uncompressed_size;
            encodings.push(dictionary.encoding);
        }
        let size = data.bytes.len();
        let page = Page::DataPage {
            num_values: data.values as u32,
            encoding: data.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
            buf: small_data.unwrap_or(data.bytes).into(),
        };
        let spec = writer.write_page(CompressedPage::new(page, size))?;
        compressed_size += spec.compressed_size;
        uncompressed_size += spec.uncompressed_size;
        if descr.max_def_level() > 0 {
            encodings.push(Encoding::RLE);
        }

        let metadata = ColumnChunkMetaData::builder(descr)
            .set_compression(codec)
            .set_encodings(encodings)
            .set_num_values(rows as i64)
            .set_total_compressed_size(compressed_size as i64)
            .set_total_uncompressed_size(uncompressed_size as i64)
            .set_dictionary_page_offset(dictionary_offset)
            .set_data_page_offset(spec.offset as i64)
            .set_statistics(statistics)
            .build()?;
        let bytes = sink.into_inner()?;
        Ok(EncodedColumn {
            close: ColumnCloseResult {
                bytes_written: bytes.len() as u64,
                rows_written: rows as u64,
                metadata,
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            },
            bytes: bytes.into(),
        })
    }
}
