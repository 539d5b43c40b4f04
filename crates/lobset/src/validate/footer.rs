//! Checks the footer of a dataset before any of its pages is read.

use parquet::arrow::{ARROW_SCHEMA_META_KEY, parquet_to_arrow_schema};
use parquet::file::metadata::ParquetMetaData;

use crate::config::Config;
use crate::label::Thresholds;
use crate::output::{
    CONFIG_KEY, DatasetEntry, DatasetSchema, LADDER_KEY, Ladder, ROW_GROUP_ROWS, SYMBOL_KEY, SymbolEntry,
    THRESHOLDS_KEY, VERSION_KEY,
};

/// The expected contents that the footers of all datasets of a folder share.
pub(super) struct FooterCheck<'a> {
    schema: &'a DatasetSchema,
    thresholds: &'a Thresholds,
    version: &'a str,
    config: String,
    /// The text of the thresholds, if it is the same for all symbols: with many files it is long.
    shared: Option<String>,
}

impl<'a> FooterCheck<'a> {
    pub(super) fn new(
        schema: &'a DatasetSchema,
        (version, config): (&'a str, &Config),
        thresholds: &'a Thresholds,
    ) -> Self {
        let shared = (!thresholds.differ_by_symbol()).then(|| thresholds.to_json());
        Self { schema, thresholds, version, config: serde_json::to_string(config).unwrap_or_default(), shared }
    }

    /// Checks schema, rows, row groups and metadata of a dataset with `bytes` bytes; returns the number of groups.
    pub(super) fn check(
        &self,
        footer: &ParquetMetaData,
        bytes: u64,
        symbol: &SymbolEntry,
        entry: &DatasetEntry,
    ) -> Result<usize, String> {
        let file = footer.file_metadata();
        let pairs = file.key_value_metadata().map_or(&[][..], Vec::as_slice);
        let value = |key: &str| pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref());
        let Self { schema, .. } = self;
        // Schemas with different texts may still be equal.
        if *file.schema_descr() != *schema.file.parquet || value(ARROW_SCHEMA_META_KEY) != Some(&schema.file.encoded) {
            let found = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata());
            if found.map_err(|e| e.to_string())?.fields() != schema.arrow.fields() {
                return Err("its columns are not those of the settings".to_owned());
            }
        }
        if u64::try_from(file.num_rows()) != Ok(entry.rows) {
            return Err(format!("has {} rows, not {} as the manifest says", file.num_rows(), entry.rows));
        }
        let groups = footer.num_row_groups();
        if groups as u64 != entry.row_groups {
            return Err(format!("has {groups} row groups, not {} as the manifest says", entry.row_groups));
        }
        self.check_metadata(pairs, &value, &symbol.symbol, &entry.ladder)?;
        check_groups(footer, bytes, entry.rows)?;
        Ok(groups)
    }

    /// Checks the key-value metadata, which make each file self-describing.
    fn check_metadata<'v>(
        &self,
        pairs: &[parquet::file::metadata::KeyValue],
        value: &impl Fn(&str) -> Option<&'v str>,
        symbol: &str,
        ladder: &Ladder,
    ) -> Result<(), String> {
        let own = self.shared.is_none().then(|| self.thresholds.only([symbol]).to_json());
        let thresholds = self.shared.as_deref().or(own.as_deref()).unwrap_or_default();
        let ladder = ladder.to_json();
        let wanted = [
            (SYMBOL_KEY, symbol),
            (VERSION_KEY, self.version),
            (CONFIG_KEY, &self.config),
            (THRESHOLDS_KEY, thresholds),
            (LADDER_KEY, &ladder),
        ];
        for (key, want) in wanted {
            if value(key) != Some(want) {
                return Err(match key {
                    SYMBOL_KEY => format!("its metadata does not name the symbol {symbol:?}"),
                    _ => format!("its metadata {key:?} is not that of the manifest and the thresholds"),
                });
            }
        }
        if pairs.len() != wanted.len() + 1 {
            return Err(format!("its metadata has {} keys, not {}", pairs.len(), wanted.len() + 1));
        }
        Ok(())
    }
}

/// Maximum bytes of a column per row before compression: eight for the value, and room for its dictionary and levels.
const VALUE_BYTES: u64 = 32;

/// Further bytes allowed for a column of a row group: the headers of its pages, the texts of its dictionary.
const CHUNK_BYTES: u64 = 1 << 20;

/// Checks that the row groups are inside the file and no larger than lobset writes them: these numbers determine how
/// much memory is allocated.
fn check_groups(footer: &ParquetMetaData, bytes: u64, rows: u64) -> Result<(), String> {
    let mut found = 0_u64;
    for (number, group) in footer.row_groups().iter().enumerate() {
        let in_group = u64::try_from(group.num_rows()).ok().filter(|rows| (1..=ROW_GROUP_ROWS).contains(rows));
        let Some(in_group) = in_group else {
            return Err(format!("row group {number} has {} rows, not 1 to {ROW_GROUP_ROWS}", group.num_rows()));
        };
        found += in_group;
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let end = start.checked_add(column.compressed_size());
            let inside =
                start >= 4 && column.compressed_size() > 0 && end.is_some_and(|end| end.cast_unsigned() <= bytes);
            let unpacked = u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX);
            if unpacked > in_group * VALUE_BYTES + CHUNK_BYTES {
                return Err(format!(
                    "row group {number}: the column {:?} claims {unpacked} bytes, too many for {in_group} rows",
                    column.column_path().string()
                ));
            }
            if !inside || column.num_values() != group.num_rows() {
                return Err(format!(
                    "row group {number}: the column {:?} is not inside the file, or does not have one value for each row",
                    column.column_path().string()
                ));
            }
        }
    }
    if found != rows {
        return Err(format!("its row groups have {found} rows together, not {rows} as the manifest says"));
    }
    Ok(())
}
