//! The end of a file: the indexes of its pages and its footer. Row groups are kept in their final, serialized form, and
//! compressed: the structures they come from take many times the memory, and a symbol may have thousands of row groups.
//!
//! Source: the Parquet format's `parquet.thrift`, in Thrift's compact protocol. The `parquet` crate writes everything
//! except the column orders. Its bytes are cut and joined here, around the list of row groups, in which the offsets of
//! the indexes are corrected.

use std::io::Write;
use std::sync::Arc;

use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::page_index::{PageIndex, PageIndexBuilder};
use parquet::file::metadata::{
    FileMetaData, KeyValue, ParquetMetaDataBuilder, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::schema::types::{SchemaDescriptor, Type};

use super::encoding::put_varint;
use super::thrift::{LIST_FIELD, Reader, STRUCT_LIST, put_list_header};
use crate::cast::to_usize;
use crate::tape::zigzag;

/// The Zstandard level for serialized row groups.
const ZSTD_LEVEL: i32 = 1;

/// Version of the format: data pages of version 1, and no encoding that requires a later version.
const VERSION: i32 = 1;

/// The magic bytes at the start and at the end of a file.
pub(super) const NAME: &[u8; 4] = b"PAR1";

/// Bytes after a footer: four for its length, and the magic bytes.
const TAIL: usize = 4 + NAME.len();

/// Footer bytes of a file without rows: zero rows; the header of field 4, a list; an empty list of structures.
const NO_ROWS: [u8; 3] = [0, LIST_FIELD, STRUCT_LIST];

/// The parts that are the same in the footers of all files with the same columns.
#[derive(Debug)]
pub(crate) struct Layout {
    /// All bytes before [`NO_ROWS`].
    before: Vec<u8>,
    /// The result of [`type_orders`] for the columns.
    orders: Vec<u8>,
    /// A file without columns, which adds few bytes around a row group.
    bare: FileMetaData,
    bare_cut: Cut,
}

impl Layout {
    /// The layout of files with these columns.
    pub(super) fn new(schema: &Arc<SchemaDescriptor>) -> Result<Self> {
        let file = |schema| FileMetaData::new(VERSION, 0, Some(String::new()), Some(Vec::new()), schema, None);
        let no_columns = SchemaDescriptor::new(Arc::new(Type::group_type_builder("schema").build()?));
        let bare = file(Arc::new(no_columns));
        let before = Cut::of(&file(Arc::clone(schema)), &bare)?.before;
        let bare_cut = Cut::of(&bare, &bare)?;
        Ok(Self { before, orders: type_orders(schema.num_columns()), bare, bare_cut })
    }

    /// The footer bytes after the row groups, for these key-value metadata and this writer's name.
    fn after(&self, pairs: Vec<KeyValue>, created_by: String) -> Result<Vec<u8>> {
        let schema = self.bare.schema_descr_ptr();
        let file = FileMetaData::new(VERSION, 0, Some(created_by), Some(pairs), schema, None);
        let (_, mut bytes) = encode(&file, Vec::new(), None)?;
        let from = self.bare_cut.before.len() + NO_ROWS.len();
        let to = bytes.strip_suffix(&type_orders(0)[..]).ok_or_else(unlike)?.len();
        bytes.truncate(to);
        bytes.extend_from_slice(&self.orders);
        Ok(bytes.split_off(from))
    }
}

/// Serialized metadata of a written row group, compressed: a dataset may have thousands, kept until the file ends.
struct Group {
    packed: Vec<u8>,
    /// Lengths in bytes of its structure in the footer, of its column indexes and of its offset indexes.
    lengths: [usize; 3],
}

impl Group {
    fn new(structure: &[u8], indexes: &[u8], column_indexes: usize) -> Result<Self> {
        let all = [structure, indexes].concat();
        let mut packed = Vec::with_capacity(zstd_safe::compress_bound(all.len()));
        zstd_safe::compress(&mut packed, &all, ZSTD_LEVEL).map_err(zstd)?;
        packed.shrink_to_fit();
        Ok(Self { packed, lengths: [structure.len(), column_indexes, indexes.len() - column_indexes] })
    }

    fn unpack(&self) -> Result<Unpacked> {
        let [structure, column_indexes, _] = self.lengths;
        let mut all = Vec::with_capacity(self.lengths.iter().sum());
        zstd_safe::decompress(&mut all, &self.packed).map_err(zstd)?;
        let offset_indexes = all.split_off(structure + column_indexes);
        let column_indexes = all.split_off(structure);
        Ok(Unpacked { structure: all, column_indexes, offset_indexes })
    }
}

fn zstd(code: usize) -> ParquetError {
    ParquetError::General(format!("a footer cannot be packed: {}", zstd_safe::get_error_name(code)))
}

/// Everything that a file contains for a row group, except its pages.
struct Unpacked {
    /// Its structure in the footer. Offsets of indexes assume that the indexes are at the start of the file.
    structure: Vec<u8>,
    column_indexes: Vec<u8>,
    offset_indexes: Vec<u8>,
}

impl Unpacked {
    /// Returns the structure for the footer of a file in which the column indexes and the offset indexes of this row
    /// group begin at the bytes `starts`. With `None`, the file has no indexes, and the structure does not refer to
    /// any.
    fn placed(&self, starts: Option<[u64; 2]>) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(2 * self.structure.len());
        let mut done = 0;
        for field in index_fields(&self.structure)? {
            bytes.extend_from_slice(&self.structure[done..field.start]);
            done = field.end;
            let Some([column_at, offset_at]) = starts else { continue };
            let value = match field.number {
                OFFSET_INDEX => offset_at + field.value - self.column_indexes.len() as u64,
                COLUMN_INDEX => column_at + field.value,
                _ => field.value,
            };
            bytes.push(self.structure[field.start]);
            put_varint(&mut bytes, value << 1);
        }
        bytes.extend_from_slice(&self.structure[done..]);
        Ok(bytes)
    }
}

/// Fields of a `ColumnChunk`: offset and length of its offset index, then offset and length of its column index.
const OFFSET_INDEX: u64 = 4;
const COLUMN_INDEX: u64 = 6;
const COLUMN_INDEX_LENGTH: u64 = 7;

/// A field of a column chunk that locates an index, and the bytes of the field in the row group.
struct IndexField {
    number: u64,
    value: u64,
    start: usize,
    end: usize,
}

/// The fields that locate indexes.
fn index_fields(group: &[u8]) -> Result<Vec<IndexField>> {
    let mut reader = Reader::new(group);
    let mut fields = Vec::new();
    // The columns are the first field.
    reader.field(&mut 0)?;
    let (columns, _) = reader.list()?;
    for _ in 0..columns {
        let mut number = 0;
        loop {
            let start = reader.at();
            let Some(kind) = reader.field(&mut number)? else { break };
            if !(OFFSET_INDEX..=COLUMN_INDEX_LENGTH).contains(&number) {
                reader.skip(kind)?;
                continue;
            }
            // Zigzag encoding of a value that is never negative.
            let value = reader.varint()? >> 1;
            fields.push(IndexField { number, value, start, end: reader.at() });
        }
    }
    Ok(fields)
}

/// The row groups written so far, and the rest of the footer.
pub(super) struct Footer {
    layout: Arc<Layout>,
    after: Vec<u8>,
    groups: Vec<Group>,
    rows: i64,
    /// Whether any column chunk has several pages.
    several_pages: bool,
}

impl Footer {
    /// Creates the footer of a file without row groups, with the columns of the layout.
    pub(super) fn new(layout: Arc<Layout>, pairs: Vec<KeyValue>, created_by: String) -> Result<Self> {
        let after = layout.after(pairs, created_by)?;
        Ok(Self { layout, after, groups: Vec::new(), rows: 0, several_pages: false })
    }

    /// Number of row groups so far.
    pub(super) fn row_groups(&self) -> u64 {
        self.groups.len() as u64
    }

    /// Adds a row group with the indexes of its columns.
    pub(super) fn push(
        &mut self,
        group: RowGroupMetaData,
        column_indexes: Vec<Option<ColumnIndexMetaData>>,
        offset_indexes: Vec<Option<OffsetIndexMetaData>>,
    ) -> Result<()> {
        let rows = group.num_rows();
        let mut index = PageIndexBuilder::new(1, group.num_columns());
        for (column, offset_index) in offset_indexes.into_iter().enumerate() {
            let missing = || ParquetError::General("a column chunk without an offset index".to_owned());
            let offset_index = offset_index.ok_or_else(missing)?;
            self.several_pages |= offset_index.page_locations().len() > 1;
            index.put_offset_index(offset_index, 0, column);
        }
        for (column, column_index) in column_indexes.into_iter().enumerate() {
            if let Some(column_index) = column_index {
                index.put_column_index(column_index, 0, column);
            }
        }
        let Layout { bare, bare_cut, .. } = &*self.layout;
        let (indexes, bytes) = encode(bare, vec![group], Some(index.build()))?;
        let from = with_rows(&bare_cut.before, rows, 1).len();
        let bytes = bytes.get(from..bytes.len() - bare_cut.after.len()).ok_or_else(unlike)?;
        let first = index_fields(bytes)?.into_iter().find(|field| field.number == OFFSET_INDEX);
        let column_indexes = to_usize(first.ok_or_else(unlike)?.value);
        self.groups.push(Group::new(bytes, &indexes, column_indexes)?);
        self.rows += rows;
        Ok(())
    }

    /// Writes the end of a file of `at` bytes: its indexes, its footer, the footer's length, the magic bytes. If no
    /// chunk has several pages, the indexes only repeat the statistics in the footer, and are written only if
    /// `keep_indexes` is true.
    pub(super) fn finish(self, at: u64, keep_indexes: bool, out: &mut impl Write) -> Result<()> {
        let indexed = keep_indexes || self.several_pages;
        if indexed {
            for group in &self.groups {
                out.write_all(&group.unpack()?.column_indexes)?;
            }
            for group in &self.groups {
                out.write_all(&group.unpack()?.offset_indexes)?;
            }
        }
        let mut length = 0;
        let mut put = |part: &[u8]| {
            length += part.len();
            out.write_all(part)
        };
        put(&with_rows(&self.layout.before, self.rows, self.row_groups()))?;
        let mut column_at = at;
        let mut offset_at = at + self.groups.iter().map(|group| group.lengths[1] as u64).sum::<u64>();
        for group in &self.groups {
            put(&group.unpack()?.placed(indexed.then_some([column_at, offset_at]))?)?;
            let [_, column_indexes, offset_indexes] = group.lengths;
            column_at += column_indexes as u64;
            offset_at += offset_indexes as u64;
        }
        put(&self.after)?;
        let length = u32::try_from(length).map_err(|_| ParquetError::General("a footer beyond 4 GiB".to_owned()))?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(NAME)?;
        Ok(())
    }
}

/// The footer of a file without rows, cut in two around [`NO_ROWS`].
#[derive(Debug)]
struct Cut {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Cut {
    fn of(file: &FileMetaData, bare: &FileMetaData) -> Result<Self> {
        let row = RowGroupMetaData::builder(bare.schema_descr_ptr()).set_num_rows(1).build()?;
        let (none, one) = (encode(file, Vec::new(), None)?.1, encode(file, vec![row], None)?.1);
        // The number of rows is the first byte that differs.
        let at = none.iter().zip(&one).position(|(a, b)| a != b).ok_or_else(unlike)?;
        match none[at..].strip_prefix(&NO_ROWS) {
            Some(after) => Ok(Self { before: none[..at].to_vec(), after: after.to_vec() }),
            None => Err(unlike()),
        }
    }
}

/// The footer bytes before the row groups, with the numbers of rows and row groups.
fn with_rows(before: &[u8], rows: i64, row_groups: u64) -> Vec<u8> {
    let mut bytes = before.to_vec();
    put_varint(&mut bytes, zigzag(rows));
    bytes.push(LIST_FIELD);
    put_list_header(&mut bytes, row_groups);
    bytes
}

/// The end of a footer: the list of column orders without its field header, then the end of the footer itself. Every
/// column has TYPE_ORDER. For floats the crate writes IEEE_754_TOTAL_ORDER, which readers from before 2026 reject or do
/// not use for pruning.
fn type_orders(columns: usize) -> Vec<u8> {
    // Field 1 of the union, an empty structure; the end of the structure; the end of the union.
    const TYPE_ORDER: [u8; 3] = [0x1C, 0, 0];
    let mut bytes = Vec::new();
    put_list_header(&mut bytes, columns as u64);
    (0..columns).for_each(|_| bytes.extend_from_slice(&TYPE_ORDER));
    bytes.push(0);
    bytes
}

fn unlike() -> ParquetError {
    ParquetError::General("a footer with another layout than expected".to_owned())
}

/// Serializes indexes and a footer as if no bytes preceded them in the file.
fn encode(
    file: &FileMetaData,
    row_groups: Vec<RowGroupMetaData>,
    index: Option<PageIndex>,
) -> Result<(Vec<u8>, Vec<u8>)> {
    let metadata = ParquetMetaDataBuilder::new(file.clone()).set_row_groups(row_groups);
    let metadata = metadata.set_page_index(index.map(|index| Arc::new(index) as _)).build();
    let mut indexes = Vec::new();
    ParquetMetaDataWriter::new(&mut indexes, &metadata).finish()?;
    let (rest, tail) = indexes.split_at_checked(indexes.len().saturating_sub(TAIL)).ok_or_else(unlike)?;
    let length = tail.first_chunk().map(|length| u32::from_le_bytes(*length) as usize).ok_or_else(unlike)?;
    let start = rest.len().checked_sub(length).ok_or_else(unlike)?;
    let footer = rest[start..].to_vec();
    indexes.truncate(start);
    indexes.shrink_to_fit();
    Ok((indexes, footer))
}

#[cfg(test)]
mod tests {
    use parquet::basic::{ColumnOrder, Repetition, Type as Physical};
    use parquet::data_type::{DoubleType, Int64Type};
    use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;

    use super::*;

    fn pairs() -> Vec<KeyValue> {
        vec![KeyValue::new("key".to_owned(), "value".to_owned())]
    }

    /// A file written by the crate's own writer, with pages of 16 rows.
    fn written(kinds: &[Physical], groups: usize, rows: i64) -> (Vec<u8>, ParquetMetaData) {
        let column = |(number, physical): (usize, &Physical)| {
            let name = format!("c{number}");
            let column = Type::primitive_type_builder(&name, *physical).with_repetition(Repetition::REQUIRED);
            Arc::new(column.build().unwrap())
        };
        let columns = kinds.iter().enumerate().map(column).collect();
        let root = Type::group_type_builder("schema").with_fields(columns).build().unwrap();
        let properties = WriterProperties::builder()
            .set_created_by("somebody".to_owned())
            .set_key_value_metadata(Some(pairs()))
            .set_data_page_row_count_limit(16)
            .set_write_batch_size(16);
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(root), Arc::new(properties.build())).unwrap();
        let values: Vec<i64> = (0..rows).collect();
        let floats: Vec<f64> = values.iter().map(|v| *v as f64).collect();
        for _ in 0..groups {
            let mut group = writer.next_row_group().unwrap();
            for physical in kinds {
                let mut column = group.next_column().unwrap().unwrap();
                match physical {
                    Physical::DOUBLE => column.typed::<DoubleType>().write_batch(&floats, None, None).unwrap(),
                    _ => column.typed::<Int64Type>().write_batch(&values, None, None).unwrap(),
                };
                column.close().unwrap();
            }
            group.close().unwrap();
        }
        let metadata = writer.close().unwrap();
        (bytes, metadata)
    }

    /// The same end of the file, joined from its parts.
    fn joined(metadata: &ParquetMetaData, at: u64, keep_indexes: bool) -> Vec<u8> {
        let layout = Arc::new(Layout::new(&metadata.file_metadata().schema_descr_ptr()).unwrap());
        let mut footer = Footer::new(layout, pairs(), "somebody".to_owned()).unwrap();
        for (number, group) in metadata.row_groups().iter().enumerate() {
            let index = metadata.page_index_for_row_group(number);
            let columns = 0..group.num_columns();
            let column_indexes = columns.clone().map(|column| index.column_index(column).cloned()).collect();
            let offset_indexes = columns.map(|column| index.offset_index(column).cloned()).collect();
            footer.push(group.clone(), column_indexes, offset_indexes).unwrap();
        }
        assert_eq!(footer.row_groups(), metadata.num_row_groups() as u64);
        let mut end = Vec::new();
        footer.finish(at, keep_indexes, &mut end).unwrap();
        end
    }

    fn first_index(metadata: &ParquetMetaData) -> u64 {
        metadata.row_groups().first().map_or(0, |group| group.column(0).column_index_range().unwrap().start)
    }

    /// Joined row groups have the same indexes and the same footer as those of the crate's own writer.
    #[test]
    fn footers_are_those_of_the_crate() {
        for (groups, rows) in [(0, 0), (1, 1), (2, 63), (3, 64), (14, 1000), (15, 8192), (16, 5), (200, 70)] {
            let (bytes, metadata) = written(&[Physical::INT64; 2], groups, rows);
            let end = joined(&metadata, first_index(&metadata), true);
            assert_eq!(end, bytes[bytes.len() - end.len()..], "{groups} row groups of {rows}");
        }
    }

    /// Floats have TYPE_ORDER too, and nothing else differs from what the crate writes.
    #[test]
    fn every_column_has_the_order_of_its_type() {
        for floats in [1, 20] {
            let kinds = [vec![Physical::DOUBLE; floats], vec![Physical::INT64]].concat();
            let (bytes, theirs) = written(&kinds, 2, 40);
            let end = joined(&theirs, first_index(&theirs), true);
            let (ours, theirs) = (read(&end), read(&bytes));
            let orders = ours.file_metadata().column_orders().unwrap();
            assert_eq!(orders.len(), floats + 1);
            assert!(orders.iter().all(|order| matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(_))), "{orders:?}");
            assert_eq!(ours.row_groups(), theirs.row_groups());
            assert_eq!(ours.file_metadata().schema_descr(), theirs.file_metadata().schema_descr());
        }
    }

    /// Reads the footer at the end of a file.
    fn read(end: &[u8]) -> ParquetMetaData {
        let length = end.len() - TAIL;
        let footer = u32::from_le_bytes(end[length..][..4].try_into().unwrap()) as usize;
        ParquetMetaDataReader::decode_metadata(&end[length - footer..length]).unwrap()
    }

    /// If no chunk has several pages, the indexes add nothing.
    #[test]
    fn indexes_of_single_pages_are_kept_only_for_a_larger_file() {
        for rows in [16, 17] {
            let (_, metadata) = written(&[Physical::INT64, Physical::DOUBLE], 3, rows);
            let at = first_index(&metadata);
            let [short, long] = [false, true].map(|keep| joined(&metadata, at, keep));
            let indexed = |end: &[u8]| {
                let metadata = read(end);
                let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
                let ranges = columns.flat_map(|column| [column.column_index_range(), column.offset_index_range()]);
                let found: Vec<bool> = ranges.map(|range| range.is_some()).collect();
                assert!(found.iter().all(|one| *one == found[0]));
                found[0]
            };
            assert!(indexed(&long));
            assert_eq!(indexed(&short), rows > 16);
            assert_eq!(short == long, rows > 16);
        }
    }
}
