//! Which value belongs in which column, written by hand: the only place besides the table of columns that says so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use common::up_to_date::{fill, up_to_date};
use common::{START, metadata, write};
use dbn::{BidAskPair, FlagSet, Mbp10Msg, RecordHeader, UNDEF_PRICE, UNDEF_TIMESTAMP, rtype};
use lobset::Config;
use lobset::config::{Columns, Derived, PriceType, Targets};
use lobset::dataset::{DatasetReader, Period, SampleFilter};
use lobset::input::DbnReader;
use lobset::internals::{
    Column, DatasetSchema, DatasetWriter, LabelBlock, ROW_GROUP_ROWS, Row, RowGroupEncoder, TargetLabel, column_table,
};
use lobset::label::Split;
use lobset::output::{CONFIG_KEY, LADDER_KEY, Ladder, RecordBatches, SYMBOL_KEY};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::file::properties::WriterProperties;

/// A record whose fields are all different.
fn message() -> Mbp10Msg {
    Mbp10Msg {
        hd: RecordHeader::new::<Mbp10Msg>(rtype::MBP_10, 11, 7, START + 18),
        price: 1_500_000_001,
        size: 14,
        action: b'C'.cast_signed(),
        side: b'B'.cast_signed(),
        flags: FlagSet::new(130),
        depth: 3,
        ts_recv: START + 17,
        ts_in_delta: -15,
        sequence: 4_000_000_016,
        levels: std::array::from_fn(|i| {
            let far = i as i64 * 1_000;
            let n = i as u32;
            BidAskPair {
                bid_px: 990_000_000 - far,
                ask_px: 1_010_000_002 + far,
                bid_sz: 100 + n,
                ask_sz: 4_000_000_200 + n,
                bid_ct: 300 + n,
                ask_ct: 400 + n,
            }
        }),
    }
}

const NUMBER: u64 = 20;
const LABEL: TargetLabel =
    TargetLabel { movement: 0.0021, class: 6, split: Split::Embargo, balanced: true, end: 0, touch: None };

/// The columns of that record, in order, with their values as text: its event, its book, and what comes after it.
fn expected(fixed: bool) -> [Vec<(String, String)>; 3] {
    let price = |raw: i64| if fixed { raw.to_string() } else { (raw as f64 / 1e9).to_string() };
    let time = |after: u64| (START + after).to_string();
    let event = [
        ("ts_recv", time(17)),
        ("ts_event", time(18)),
        ("ts_out", time(19)),
        ("publisher_id", "11".to_owned()),
        ("instrument_id", "7".to_owned()),
        ("action", "C".to_owned()),
        ("side", "B".to_owned()),
        ("depth", "3".to_owned()),
        ("price", price(1_500_000_001)),
        ("size", "14".to_owned()),
        ("flags", "130".to_owned()),
        ("ts_in_delta", "-15".to_owned()),
        ("sequence", "4000000016".to_owned()),
    ];
    let level = |i: u32| {
        let far = i64::from(i) * 1_000;
        [
            (format!("bid_px_0{i}"), price(990_000_000 - far)),
            (format!("ask_px_0{i}"), price(1_010_000_002 + far)),
            (format!("bid_sz_0{i}"), (100 + i).to_string()),
            (format!("ask_sz_0{i}"), (4_000_000_200 + i).to_string()),
            (format!("bid_ct_0{i}"), (300 + i).to_string()),
            (format!("ask_ct_0{i}"), (400 + i).to_string()),
        ]
    };
    let after = [
        ("symbol", "M6AM4"),
        ("row", "20"),
        ("mid_price", "1.000000001"),
        ("price_movement", "0.0021"),
        ("classification_label", "6"),
        ("split", "embargo"),
        ("balanced", "true"),
    ];
    [
        event.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        (0..10).flat_map(level).collect(),
        after.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
    ]
}

/// The first value of a column, as text.
fn shown(column: &ArrayRef) -> String {
    if column.is_null(0) {
        return "null".to_owned();
    }
    match column.data_type() {
        DataType::Timestamp(..) => column.as_primitive::<TimestampNanosecondType>().value(0).to_string(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(0).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(0).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(0).to_string(),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(0).to_string(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(0).to_string(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(0).to_string(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(0).to_string(),
        DataType::Boolean => column.as_boolean().value(0).to_string(),
        DataType::Utf8 => column.as_string::<i32>().value(0).to_owned(),
        DataType::Dictionary(..) => {
            let column = column.as_dictionary::<Int32Type>();
            column.values().as_string::<i32>().value(column.keys().value(0) as usize).to_owned()
        }
        other => unreachable!("{other}"),
    }
}

fn first_row(batch: &RecordBatch) -> Vec<(String, String)> {
    let schema = batch.schema();
    schema.fields().iter().zip(batch.columns()).map(|(field, column)| (field.name().clone(), shown(column))).collect()
}

/// Writes one row into a dataset of its own.
fn write_row(path: &Path, config: &Config, row: &Row) {
    let schema = Arc::new(DatasetSchema::new(config, true).unwrap());
    let metadata = [
        (CONFIG_KEY, serde_json::to_string(config).unwrap()),
        (SYMBOL_KEY, "M6AM4".to_owned()),
        (LADDER_KEY, Ladder::default().to_json()),
    ];
    let mut writer = DatasetWriter::create(path, &schema, &metadata).unwrap();
    let mut encoder = RowGroupEncoder::new(Arc::clone(&schema), config);
    encoder.push(row, 0, NUMBER);
    encoder.label(&[LabelBlock::from_iter([Some(LABEL)])]);
    encoder.finish("M6AM4").unwrap();
    encoder.take_groups(|group, _| writer.append(group)).unwrap();
    writer.finish().unwrap();
}

fn read_row(path: &Path) -> Vec<(String, String)> {
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    first_row(&reader.next().unwrap().unwrap())
}

/// The record as a row, out of a file, and with a gateway stamp.
fn row_of(path: &Path) -> Row {
    let mut reader = DbnReader::open(path).unwrap();
    assert!(reader.advance().unwrap());
    let mut row = Row::from(&reader.record().unwrap());
    assert_eq!(row.event.ts_out, UNDEF_TIMESTAMP);
    row.event.ts_out = START + 19;
    row
}

#[test]
fn every_field_of_a_record_stands_in_the_column_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.dbn", &metadata(&[("M6AM4", 7)]), &[message()]);
    let row = row_of(&file);
    let out = folder.path().join("a.parquet");
    for price_type in [PriceType::Float, PriceType::Fixed] {
        let config = Config { price_type, ..Config::default() };
        let [event, book, after] = expected(price_type == PriceType::Fixed);
        write_row(&out, &config, &row);
        assert_eq!(read_row(&out), [&event[..], &book, &after].concat());
        write_row(&out, &Config { columns: Columns::Book, force_uniform: false, ..config }, &row);
        assert_eq!(read_row(&out), [&event[1..2], &book, &after[..6]].concat());
    }
    let [mut event, book, after] = expected(false);
    event.remove(2);
    let mut batches = RecordBatches::open(&file, None, None).unwrap();
    assert_eq!(first_row(&batches.next().unwrap().unwrap()), [&event[..], &book, &after[..1]].concat());
    assert!(batches.next().is_none());
}

#[test]
fn what_a_record_leaves_undefined_is_null() {
    let folder = tempfile::tempdir().unwrap();
    let mut undefined = message();
    (undefined.price, undefined.ts_recv, undefined.hd.ts_event) = (UNDEF_PRICE, UNDEF_TIMESTAMP, UNDEF_TIMESTAMP);
    for level in &mut undefined.levels {
        (level.bid_px, level.ask_px) = (UNDEF_PRICE, UNDEF_PRICE);
    }
    let file = write(folder.path(), "a.dbn", &metadata(&[]), &[undefined]);
    let nulls = |row: Vec<(String, String)>| {
        row.into_iter().filter(|(_, value)| value == "null").map(|(name, _)| name).collect::<Vec<_>>()
    };
    let prices = (0..10).flat_map(|i| [format!("bid_px_0{i}"), format!("ask_px_0{i}")]);
    let prices: Vec<String> = std::iter::once("price".to_owned()).chain(prices).collect();
    let mut batches = RecordBatches::open(&file, None, None).unwrap();
    let found = nulls(first_row(&batches.next().unwrap().unwrap()));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(found, [names(&["ts_recv", "ts_event"]), prices.clone(), names(&["symbol"])].concat());

    // A row always has its own time, or it would not be a row.
    let mut row = row_of(&file);
    (row.event.ts_recv, row.event.ts_out) = (START, UNDEF_TIMESTAMP);
    let out = folder.path().join("a.parquet");
    for price_type in [PriceType::Float, PriceType::Fixed] {
        write_row(&out, &Config { price_type, ..Config::default() }, &row);
        assert_eq!(nulls(read_row(&out)), [names(&["ts_event", "ts_out"]), prices.clone()].concat());
    }
}

#[test]
fn features_are_the_numbers_of_the_record_and_never_labels() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.dbn", &metadata(&[("M6AM4", 7)]), &[message()]);
    let (row, out) = (row_of(&file), folder.path().join("a.parquet"));
    let names = |columns: Vec<(String, String)>| columns.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let book: Vec<String> = names(expected(false)[1].clone()).into_iter().chain(["mid_price".to_owned()]).collect();
    let numbers = ["publisher_id", "instrument_id", "depth", "price", "size", "flags", "ts_in_delta", "sequence"];
    let all: Vec<String> = numbers.map(str::to_owned).into_iter().chain(book.clone()).collect();
    for (columns, price_type, want) in [
        (Columns::All, PriceType::Float, &all),
        (Columns::All, PriceType::Fixed, &all),
        (Columns::Book, PriceType::Float, &book),
    ] {
        write_row(&out, &Config { columns, price_type, ..Config::default() }, &row);
        let reader = DatasetReader::open(&out).unwrap();
        assert_eq!(&reader.numeric_columns(), want);
        assert_eq!(reader.book_columns(), book);
    }

    // A number that the table does not know may mean anything, even a label of a future version.
    write_row(&out, &Config::default(), &row);
    let dataset = ParquetRecordBatchReaderBuilder::try_new(File::open(&out).unwrap()).unwrap();
    let batch = dataset.build().unwrap().next().unwrap().unwrap();
    let schema = batch.schema();
    let more = Field::new("price_movement_fast", DataType::Float64, false);
    let fields = schema.fields().iter().map(|field| field.as_ref().clone()).chain([more]);
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let more: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
    let columns = batch.columns().iter().cloned().chain([more]).collect();
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    write_table(&out, &batch);
    assert_eq!(DatasetReader::open(&out).unwrap().numeric_columns(), all);
}

fn all_of(split: Split) -> SampleFilter {
    SampleFilter { split, period: Period::default(), window: 1, stride: 1, first: 0 }
}

/// Writes a table as a file that passes as a dataset, in one row group.
fn write_table(path: &Path, batch: &RecordBatch) {
    let pairs = [
        (CONFIG_KEY, serde_json::to_string(&Config::default()).unwrap()),
        (SYMBOL_KEY, "M6AM4".to_owned()),
        (LADDER_KEY, Ladder::default().to_json()),
    ];
    let pairs = pairs.map(|(key, value)| KeyValue::new(key.to_owned(), value)).to_vec();
    let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn row_groups_larger_than_ours_are_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.parquet");
    let rows = 2 * ROW_GROUP_ROWS + 5;
    let classes: Vec<i32> = (0..rows).map(|row| (row % 7) as i32).collect();
    let splits: DictionaryArray<Int32Type> = (0..rows).map(|row| Split::NAMES[(row * 3 / rows) as usize]).collect();
    let batch = RecordBatch::try_from_iter([
        ("row", Arc::new(UInt64Array::from_iter_values(0..rows)) as ArrayRef),
        ("classification_label", Arc::new(Int32Array::from(classes.clone()))),
        ("split", Arc::new(splits)),
    ]);
    write_table(&out, &batch.unwrap());
    let reader = DatasetReader::open(&out).unwrap();
    let found =
        [Split::Fit, Split::Holdout].map(|split| reader.index(all_of(split)).unwrap().unwrap().classes()[0].clone());
    let want = [Split::Fit, Split::Holdout].map(|split| {
        let of_split = classes.iter().zip(0..rows).filter(|(_, row)| Split::ALL[(row * 3 / rows) as usize] == split);
        of_split.map(|(class, _)| *class as u8).collect::<Vec<_>>()
    });
    assert_eq!(found, want);
}

/// A dataset of one row whose footer claims other numbers of rows.
fn with_rows(path: &Path, claims: &[i64]) {
    let (mut bytes, file) = (std::fs::read(path).unwrap(), File::open(path).unwrap());
    let footer = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
    let tail = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap());
    bytes.truncate(tail - length as usize);
    let claim = |rows: &i64| footer.row_group(0).clone().into_builder().set_num_rows(*rows).build().unwrap();
    let known = footer.file_metadata();
    let all = FileMetaData::new(
        known.version(),
        claims.iter().sum(),
        known.created_by().map(str::to_owned),
        known.key_value_metadata().cloned(),
        known.schema_descr_ptr(),
        known.column_orders().cloned(),
    );
    let footer = ParquetMetaData::new(all, claims.iter().map(claim).collect());
    ParquetMetaDataWriter::new(&mut bytes, &footer).finish().unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn numbers_of_rows_in_a_footer_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.dbn", &metadata(&[("M6AM4", 7)]), &[message()]);
    let (row, out) = (row_of(&file), folder.path().join("a.parquet"));
    for claims in [&[1][..], &[-5], &[i64::MAX], &[2], &[1 << 40], &[1 << 60]] {
        write_row(&out, &Config::default(), &row);
        with_rows(&out, claims);
        let found = DatasetReader::open(&out).and_then(|reader| reader.index(all_of(Split::Embargo)));
        match claims {
            [1] => assert_eq!(found.unwrap().unwrap().len(), 1),
            _ => assert!(found.unwrap_err().to_string().contains("cannot be read"), "{claims:?}"),
        }
    }
}

#[test]
fn the_page_of_columns_is_up_to_date() {
    let of = |config: &Config| DatasetSchema::new(config, true).unwrap().columns().to_vec();
    let plain = of(&Config::default());
    let added = |config: &Config| {
        let names: HashSet<&str> = plain.iter().map(|column| column.name.as_str()).collect();
        let columns: Vec<Column> = of(config).into_iter().filter(|c| !names.contains(c.name.as_str())).collect();
        column_table(&columns)
    };
    let target = "NAME=barrier".parse().unwrap();
    let tables = [
        ("columns", column_table(&plain)),
        ("derived", added(&Config { derived: Derived::ALL.to_vec(), ..Config::default() })),
        ("target", added(&Config { targets: Targets(vec![target]), label_end: true, ..Config::default() })),
    ];
    up_to_date("docs/reference/columns.md", |page| {
        tables.iter().fold(page.to_owned(), |page, (name, table)| fill(&page, name, table))
    });
}
