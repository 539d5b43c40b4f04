//! Column chunks: compresses encoded bytes into Parquet pages with their metadata.

use std::io::{Cursor, Write};

use bytes::Bytes;
use parquet::basic::{Compression as Codec, Encoding, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::blocks::{BlockBuffer, Blocks, room};
use super::pages::{DataPage, column_index, statistics};
use crate::cast::to_i64;
use crate::config::Compression;

/// The Zstandard level: higher ones take several times as long to save a few percent.
const ZSTD_LEVEL: i32 = 1;

/// Pages below this size use a level that builds no entropy tables: for small pages, these take more time than they are
/// worth.
const SMALL_PAGE: usize = 1024;
const SMALL_ZSTD_LEVEL: i32 = -1;

/// Bytes per row, before compression, that few chunks exceed.
pub(super) const ROW_BYTES: usize = 9;

/// The column chunks of a row group as they will be in a file, in the order of the schema.
pub struct EncodedGroup<'a> {
    /// Contains their pages, among other data.
    pub(super) pages: &'a BlockBuffer,
    /// The footer metadata of each, with offsets into `pages`.
    pub(super) columns: Vec<ColumnCloseResult>,
}

/// A dictionary page before compression.
pub(super) struct Dictionary<'a> {
    /// In PLAIN encoding.
    pub bytes: &'a [u8],
    pub values: usize,
}

/// The data pages of a chunk before compression.
pub(super) struct DataPages<'a> {
    /// The bytes of all pages, one after the other.
    pub bytes: &'a [u8],
    pub pages: &'a [DataPage],
    pub encoding: Encoding,
}

fn large(error: std::num::TryFromIntError) -> ParquetError {
    ParquetError::External(error.into())
}

/// The codec of a setting.
pub(super) fn codec(compression: Compression) -> Codec {
    match compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default()),
        Compression::Snappy => Codec::SNAPPY,
        Compression::Lz4 => Codec::LZ4_RAW,
        Compression::None => Codec::UNCOMPRESSED,
    }
}

/// Recovers the buffer of bytes that have no other owner; returns an empty one otherwise.
fn take_back(bytes: Bytes) -> Vec<u8> {
    bytes.try_into_mut().map_or_else(|_| Vec::new(), Vec::from)
}

/// Compresses pages and appends them to a buffer. Reuses the codec's context and buffers across row groups.
pub(super) struct Compressor {
    codec: Compression,
    zstd: zstd_safe::CCtx<'static>,
    snappy: snap::raw::Encoder,
    small_dictionary: Vec<u8>,
    small_data: Vec<u8>,
    /// The pages of all columns of `groups` and of the current row group.
    done: BlockBuffer,
    columns: Vec<ColumnCloseResult>,
    groups: Vec<Vec<ColumnCloseResult>>,
}

impl Compressor {
    pub(super) fn new(codec: Compression, blocks: Blocks) -> Self {
        Self {
            codec,
            zstd: zstd_safe::CCtx::create(),
            snappy: snap::raw::Encoder::new(),
            small_dictionary: Vec::new(),
            small_data: room(ROW_BYTES),
            done: BlockBuffer::new(blocks),
            columns: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Appends a column chunk: its dictionary, if it has one, and its data pages. If compression saves nothing, the
    /// chunk is stored uncompressed.
    pub(super) fn chunk(
        &mut self,
        descr: ColumnDescPtr,
        dictionary: Option<Dictionary<'_>>,
        data: &DataPages<'_>,
    ) -> Result<()> {
        let kind = descr.physical_type();
        let (mut small_dictionary, mut small_data) =
            (std::mem::take(&mut self.small_dictionary), std::mem::take(&mut self.small_data));
        small_dictionary.clear();
        small_data.clear();
        let raw_size = data.bytes.len() + dictionary.as_ref().map_or(0, |d| d.bytes.len());
        let mut codec = Codec::UNCOMPRESSED;
        // The end of each page in the compressed bytes.
        let mut ends = Vec::with_capacity(data.pages.len());
        if self.codec != Compression::None {
            if let Some(dictionary) = &dictionary {
                self.compress(dictionary.bytes, &mut small_dictionary)?;
            }
            let mut start = 0;
            for page in data.pages {
                self.compress(&data.bytes[start..page.end], &mut small_data)?;
                ends.push(small_data.len());
                start = page.end;
            }
            if small_data.len() + small_dictionary.len() < raw_size {
                codec = self::codec(self.codec);
            }
        }
        // The writer shares the compressed pages; their buffers are recovered later and reused for the next column.
        let stored = codec == Codec::UNCOMPRESSED;
        let small_dictionary = Bytes::from(small_dictionary);
        let small_data = Bytes::from(small_data);
        let pick = |raw: &[u8], small: &Bytes| if stored { Bytes::copy_from_slice(raw) } else { small.clone() };

        let start = self.done.len();
        let offset = |spec: &PageWriteSpec| (start as u64 + spec.offset).cast_signed();
        let mut encodings = Vec::with_capacity(3);
        encodings.push(data.encoding);
        let mut sink = TrackedWrite::new(&mut self.done);
        let mut writer = SerializedPageWriter::new(&mut sink);
        let mut dictionary_offset = None;
        let (mut compressed_size, mut uncompressed_size) = (0, 0);
        if let Some(dictionary) = dictionary {
            let page = Page::DictionaryPage {
                num_values: u32::try_from(dictionary.values).map_err(large)?,
                encoding: Encoding::PLAIN,
                is_sorted: false,
                buf: pick(dictionary.bytes, &small_dictionary),
            };
            let spec = writer.write_page(CompressedPage::new(page, dictionary.bytes.len()))?;
            dictionary_offset = Some(offset(&spec));
            compressed_size += spec.compressed_size;
            uncompressed_size += spec.uncompressed_size;
            encodings.push(Encoding::PLAIN);
        }
        let mut data_offset = None;
        let mut index = OffsetIndexBuilder::new();
        let bytes = pick(data.bytes, &small_data);
        let (mut start, mut raw_start) = (0, 0);
        for (number, page) in data.pages.iter().enumerate() {
            let end = if stored { page.end } else { ends[number] };
            let header = Page::DataPage {
                num_values: u32::try_from(page.rows).map_err(large)?,
                encoding: data.encoding,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
                buf: bytes.slice(start..end),
            };
            let spec = writer.write_page(CompressedPage::new(header, page.end - raw_start))?;
            (start, raw_start) = (end, page.end);
            data_offset.get_or_insert(offset(&spec));
            compressed_size += spec.compressed_size;
            uncompressed_size += spec.uncompressed_size;
            index.append_row_count(to_i64(page.rows));
            index.append_offset_and_size(offset(&spec), i32::try_from(spec.compressed_size).map_err(large)?);
        }
        if descr.max_def_level() > 0 {
            encodings.push(Encoding::RLE);
        }
        sink.flush()?;
        drop((sink, bytes));

        let rows: usize = data.pages.iter().map(|page| page.rows).sum();
        let metadata = ColumnChunkMetaData::builder(descr)
            .set_compression(codec)
            .set_encodings(encodings)
            .set_num_values(to_i64(rows))
            .set_total_compressed_size(to_i64(compressed_size))
            .set_total_uncompressed_size(to_i64(uncompressed_size))
            .set_dictionary_page_offset(dictionary_offset)
            .set_data_page_offset(data_offset.unwrap_or_default())
            .set_statistics(statistics(kind, data.pages))
            .build()?;
        self.columns.push(ColumnCloseResult {
            bytes_written: (self.done.len() - start) as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: None,
            column_index: column_index(kind, data.pages)?,
            offset_index: Some(index.build()),
        });
        (self.small_dictionary, self.small_data) = (take_back(small_dictionary), take_back(small_data));
        Ok(())
    }

    /// Appends the compressed bytes to `out`.
    fn compress(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let fail = |e: &dyn std::fmt::Display| ParquetError::General(format!("cannot compress a page: {e}"));
        let at = out.len();
        match self.codec {
            Compression::Zstd => {
                out.reserve(zstd_safe::compress_bound(bytes.len()));
                let level = if bytes.len() < SMALL_PAGE { SMALL_ZSTD_LEVEL } else { ZSTD_LEVEL };
                let mut end = Cursor::new(out);
                end.set_position(at as u64);
                let done = self.zstd.compress(&mut end, bytes, level);
                done.map_err(|code| fail(&zstd_safe::get_error_name(code)))?;
            }
            Compression::Snappy => {
                out.resize(at + snap::raw::max_compress_len(bytes.len()), 0);
                let length = self.snappy.compress(bytes, &mut out[at..]).map_err(|e| fail(&e))?;
                out.truncate(at + length);
            }
            Compression::Lz4 => {
                out.resize(at + lz4_flex::block::get_maximum_output_size(bytes.len()), 0);
                let length = lz4_flex::block::compress_into(bytes, &mut out[at..]).map_err(|e| fail(&e))?;
                out.truncate(at + length);
            }
            Compression::None => out.extend_from_slice(bytes),
        }
        Ok(())
    }

    /// Starts a row group.
    pub(super) fn start_group(&mut self) {
        self.columns.clear();
    }

    /// Ends the row group, which consists of the column chunks since [`start_group`](Self::start_group).
    pub(super) fn close_group(&mut self) {
        let next = Vec::with_capacity(self.columns.len());
        self.groups.push(std::mem::replace(&mut self.columns, next));
    }

    /// Passes the row groups to `take`, in order, and drops them.
    pub(super) fn take_groups<E>(&mut self, take: impl FnMut(EncodedGroup<'_>) -> Result<(), E>) -> Result<(), E> {
        let pages = &self.done;
        let taken = self.groups.drain(..).map(|columns| EncodedGroup { pages, columns }).try_for_each(take);
        self.done.clear();
        taken
    }
}
