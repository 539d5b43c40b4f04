//! The footer of a file in the making. Row groups are kept as the footer will hold them: the structures that they come from
//! take several times as much, and a symbol may have thousands.
//!
//! Source: the Parquet format's `parquet.thrift`, in Thrift's compact protocol. The `parquet` crate writes all of it; its
//! bytes are cut and joined here, around the list of row groups.

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

/// A file without rows says: no rows; then field 4, a list; it holds no structure.
const NO_ROWS: [u8; 3] = [0, 0x19, 0x0C];

/// What the footers of all files with the same columns share.
#[derive(Debug)]
pub(crate) struct Layout {
    /// All that comes before [`NO_ROWS`].
    before: Vec<u8>,
    /// The columns' orders, and the end.
    orders: Vec<u8>,
    /// A file without columns: around a row group it is short.
    bare: FileMetaData,
    bare_cut: Cut,
    bare_orders: Vec<u8>,
}

impl Layout {
    /// That of files with these columns.
    pub(super) fn new(schema: &Arc<SchemaDescriptor>) -> Result<Self> {
        let file = |schema| FileMetaData::new(VERSION, 0, Some(String::new()), Some(Vec::new()), schema, None);
        let no_columns = SchemaDescriptor::new(Arc::new(Type::group_type_builder("schema").build()?));
        let bare = file(Arc::new(no_columns));
        let cut = Cut::of(&file(Arc::clone(schema)), &bare)?;
        let bare_cut = Cut::of(&bare, &bare)?;
        // Key-value metadata and the writer's name come before, the same in both.
        let differ = |(a, b)| a != b;
        let at = cut.after.iter().zip(&bare_cut.after).position(differ).ok_or_else(unlike)?;
        let (orders, bare_orders) = (cut.after[at..].to_vec(), bare_cut.after[at..].to_vec());
        Ok(Self { before: cut.before, orders, bare, bare_cut, bare_orders })
    }

    /// What comes after the row groups of a file with these key-value metadata and this writer's name.
    fn after(&self, pairs: Vec<KeyValue>, created_by: String) -> Result<Vec<u8>> {
        let schema = self.bare.schema_descr_ptr();
        let file = FileMetaData::new(VERSION, 0, Some(created_by), Some(pairs), schema, None);
        let mut bytes = encode(&file, Vec::new())?;
        let from = self.bare_cut.before.len() + NO_ROWS.len();
        let to = bytes.strip_suffix(&self.bare_orders[..]).ok_or_else(unlike)?.len();
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
    let [_, field, list] = NO_ROWS;
    let mut bytes = before.to_vec();
    put_varint(&mut bytes, zigzag(rows));
    bytes.push(field);
    // A short list's length stands in its header, a longer one's behind it.
    match row_groups {
        few @ 0..15 => bytes.push(list | (few as u8) << 4),
        many => {
            bytes.push(list | 0xF0);
            put_varint(&mut bytes, many);
        }
    }
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
    use parquet::basic::{Repetition, Type as Physical};
    use parquet::data_type::Int64Type;
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
}
