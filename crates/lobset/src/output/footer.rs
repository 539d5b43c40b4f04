//! The footer of a file in the making. Row groups are kept as the footer will hold them: the structures that they come from
//! take several times as much, and a symbol may have thousands.
//!
//! Source: the Parquet format's `parquet.thrift`, in Thrift's compact protocol. The `parquet` crate writes all of it but the
//! columns' orders; its bytes are cut and joined here, around the list of row groups.

use std::io::Write;
use std::sync::Arc;

use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::encoding::put_varint;
use crate::tape::zigzag;

/// Version of the format: data pages of version 1, and no encoding that asks for more.
const VERSION: i32 = 1;

/// The format's name: the first and the last bytes of a file.
pub(super) const NAME: &[u8; 4] = b"PAR1";

/// What follows a footer: its length, in four bytes, and the format's name.
const TAIL: usize = 4 + NAME.len();

/// The header of a field with a list whose number is one above that of the field before.
const LIST_FIELD: u8 = 0x19;

/// The header of an empty list of structures.
const STRUCT_LIST: u8 = 0x0C;

/// A file without rows says: no rows; then field 4, a list; it holds no structure.
const NO_ROWS: [u8; 3] = [0, LIST_FIELD, STRUCT_LIST];

/// What the footers of all files with the same columns share.
#[derive(Debug)]
pub(crate) struct Layout {
    /// All that comes before [`NO_ROWS`].
    before: Vec<u8>,
    /// What [`type_orders`] says of the columns.
    orders: Vec<u8>,
    /// A file without columns: around a row group it is short.
    bare: FileMetaData,
    bare_cut: Cut,
}

impl Layout {
    /// That of files with these columns.
    pub(super) fn new(schema: &Arc<SchemaDescriptor>) -> Result<Self> {
        let file = |schema| FileMetaData::new(VERSION, 0, Some(String::new()), Some(Vec::new()), schema, None);
        let no_columns = SchemaDescriptor::new(Arc::new(Type::group_type_builder("schema").build()?));
        let bare = file(Arc::new(no_columns));
        let before = Cut::of(&file(Arc::clone(schema)), &bare)?.before;
        let bare_cut = Cut::of(&bare, &bare)?;
        Ok(Self { before, orders: type_orders(schema.num_columns()), bare, bare_cut })
    }

    /// What comes after the row groups of a file with these key-value metadata and this writer's name.
    fn after(&self, pairs: Vec<KeyValue>, created_by: String) -> Result<Vec<u8>> {
        let schema = self.bare.schema_descr_ptr();
        let file = FileMetaData::new(VERSION, 0, Some(created_by), Some(pairs), schema, None);
        let mut bytes = encode(&file, Vec::new())?;
        let from = self.bare_cut.before.len() + NO_ROWS.len();
        let to = bytes.strip_suffix(&type_orders(0)[..]).ok_or_else(unlike)?.len();
        bytes.truncate(to);
        bytes.extend_from_slice(&self.orders);
        Ok(bytes.split_off(from))
    }
}

/// Row groups that were written, and what else the footer will hold.
pub(super) struct Footer {
    layout: Arc<Layout>,
    after: Vec<u8>,
    row_groups: Vec<Vec<u8>>,
    rows: i64,
}

impl Footer {
    /// The footer of a file without row groups, whose columns are those of the layout.
    pub(super) fn new(layout: Arc<Layout>, pairs: Vec<KeyValue>, created_by: String) -> Result<Self> {
        let after = layout.after(pairs, created_by)?;
        Ok(Self { layout, after, row_groups: Vec::new(), rows: 0 })
    }

    /// Row groups so far.
    pub(super) fn row_groups(&self) -> u64 {
        self.row_groups.len() as u64
    }

    /// Adds a row group.
    pub(super) fn push(&mut self, group: RowGroupMetaData) -> Result<()> {
        let rows = group.num_rows();
        let Layout { bare, bare_cut, .. } = &*self.layout;
        let bytes = encode(bare, vec![group])?;
        let from = with_rows(&bare_cut.before, rows, 1).len();
        let group = bytes.get(from..bytes.len() - bare_cut.after.len()).ok_or_else(unlike)?;
        self.row_groups.push(group.to_vec());
        self.rows += rows;
        Ok(())
    }

    /// Writes the end of the file: its footer, the length of it, the format's name.
    pub(super) fn finish(self, out: &mut impl Write) -> Result<()> {
        let before = with_rows(&self.layout.before, self.rows, self.row_groups());
        let length = before.len() + self.row_groups.iter().map(Vec::len).sum::<usize>() + self.after.len();
        let length = u32::try_from(length).map_err(|_| ParquetError::General("a footer beyond 4 GiB".to_owned()))?;
        let parts = std::iter::once(&before).chain(&self.row_groups).chain([&self.after]);
        parts.map(Vec::as_slice).chain([&length.to_le_bytes()[..], NAME]).try_for_each(|part| out.write_all(part))?;
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
        let (none, one) = (encode(file, Vec::new())?, encode(file, vec![row])?);
        // The number of rows is the first that differs.
        let at = none.iter().zip(&one).position(|(a, b)| a != b).ok_or_else(unlike)?;
        match none[at..].strip_prefix(&NO_ROWS) {
            Some(after) => Ok(Self { before: none[..at].to_vec(), after: after.to_vec() }),
            None => Err(unlike()),
        }
    }
}

/// What comes before the row groups of a file that has some.
fn with_rows(before: &[u8], rows: i64, row_groups: u64) -> Vec<u8> {
    let mut bytes = before.to_vec();
    put_varint(&mut bytes, zigzag(rows));
    bytes.push(LIST_FIELD);
    put_list_header(&mut bytes, row_groups);
    bytes
}

/// The header of a list of `length` structures.
fn put_list_header(bytes: &mut Vec<u8>, length: u64) {
    // A short list's length stands in its header, a longer one's behind it.
    match length {
        few @ 0..15 => bytes.push(STRUCT_LIST | (few as u8) << 4),
        many => {
            bytes.push(STRUCT_LIST | 0xF0);
            put_varint(bytes, many);
        }
    }
}

/// The end of a footer: the list of column orders without the header of its field, then the footer's own end. Every column
/// has TYPE_ORDER. The crate writes IEEE_754_TOTAL_ORDER for floats, which readers from before 2026 refuse or do not prune by.
fn type_orders(columns: usize) -> Vec<u8> {
    // Field 1 of the union, an empty structure; the end of that; the end of the union.
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

/// A footer as it stands in a file.
fn encode(file: &FileMetaData, row_groups: Vec<RowGroupMetaData>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ParquetMetaDataWriter::new(&mut bytes, &ParquetMetaData::new(file.clone(), row_groups)).finish()?;
    bytes.truncate(bytes.len().saturating_sub(TAIL));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use parquet::basic::{ColumnOrder, Repetition, Type as Physical};
    use parquet::data_type::{DoubleType, Int64Type};
    use parquet::file::metadata::ParquetMetaDataReader;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;

    use super::*;

    /// Joined row groups make the same footer as the crate's own writer makes of them.
    #[test]
    fn footers_are_those_of_the_crate() {
        let column = |name| {
            let column = Type::primitive_type_builder(name, Physical::INT64).with_repetition(Repetition::REQUIRED);
            Arc::new(column.build().unwrap())
        };
        let root = Type::group_type_builder("schema").with_fields(vec![column("a"), column("b")]).build().unwrap();
        let root = Arc::new(root);
        for (groups, rows) in [(0, 0), (1, 1), (2, 63), (3, 64), (14, 1000), (15, 8192), (16, 5), (200, 70)] {
            let pairs = vec![KeyValue::new("key".to_owned(), "value".to_owned())];
            let properties = WriterProperties::builder()
                .set_created_by("somebody".to_owned())
                .set_key_value_metadata(Some(pairs.clone()))
                .set_offset_index_disabled(true);
            let mut bytes = Vec::new();
            let properties = Arc::new(properties.build());
            let mut writer = SerializedFileWriter::new(&mut bytes, Arc::clone(&root), properties).unwrap();
            let values: Vec<i64> = (0..rows).collect();
            for _ in 0..groups {
                let mut group = writer.next_row_group().unwrap();
                while let Some(mut column) = group.next_column().unwrap() {
                    column.typed::<Int64Type>().write_batch(&values, None, None).unwrap();
                    column.close().unwrap();
                }
                group.close().unwrap();
            }
            let metadata = writer.close().unwrap();
            let of = metadata.file_metadata();
            let layout = Arc::new(Layout::new(&of.schema_descr_ptr()).unwrap());
            let mut footer = Footer::new(layout, pairs, "somebody".to_owned()).unwrap();
            metadata.row_groups().iter().for_each(|group| footer.push(group.clone()).unwrap());
            assert_eq!(footer.row_groups(), groups);
            let mut end = Vec::new();
            footer.finish(&mut end).unwrap();
            assert_eq!(end, bytes[bytes.len() - end.len()..], "{groups} row groups of {rows}");
        }
    }

    /// Floats have the order of their type too, and nothing else differs from what the crate writes.
    #[test]
    fn every_column_has_the_order_of_its_type() {
        let column = |name: String, physical| {
            let column = Type::primitive_type_builder(&name, physical).with_repetition(Repetition::REQUIRED);
            Arc::new(column.build().unwrap())
        };
        for floats in [1, 20] {
            let columns = (0..floats).map(|i| column(format!("f{i}"), Physical::DOUBLE));
            let columns = columns.chain([column("a".to_owned(), Physical::INT64)]).collect();
            let root = Arc::new(Type::group_type_builder("schema").with_fields(columns).build().unwrap());
            let mut bytes = Vec::new();
            let properties = Arc::new(WriterProperties::builder().set_created_by("somebody".to_owned()).build());
            let mut writer = SerializedFileWriter::new(&mut bytes, root, properties).unwrap();
            let mut group = writer.next_row_group().unwrap();
            for _ in 0..floats {
                let mut column = group.next_column().unwrap().unwrap();
                column.typed::<DoubleType>().write_batch(&[1.5, 2.5], None, None).unwrap();
                column.close().unwrap();
            }
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<Int64Type>().write_batch(&[1, 2], None, None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
            let theirs = writer.close().unwrap();
            let of = theirs.file_metadata();
            let layout = Arc::new(Layout::new(&of.schema_descr_ptr()).unwrap());
            let mut footer = Footer::new(layout, Vec::new(), "somebody".to_owned()).unwrap();
            footer.push(theirs.row_group(0).clone()).unwrap();
            let mut end = Vec::new();
            footer.finish(&mut end).unwrap();
            let ours = ParquetMetaDataReader::decode_metadata(&end[..end.len() - 8]).unwrap();
            let orders = ours.file_metadata().column_orders().unwrap();
            assert_eq!(orders.len(), floats + 1);
            assert!(orders.iter().all(|order| matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(_))), "{orders:?}");
            assert_eq!(ours.row_groups(), theirs.row_groups());
            assert_eq!(ours.file_metadata().schema_descr(), of.schema_descr());
        }
    }
}
