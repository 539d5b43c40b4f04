//! The page writer against the crate's own `ArrowWriter`: same values, same statistics, whatever the shape of the data.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/arrow_rows.rs"]
mod arrow_rows;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_rows::batch;
use dbn::{UNDEF_PRICE, UNDEF_TIMESTAMP};
use lobset::Config;
use lobset::config::{Columns, Compression, PriceType};
use lobset::label::Split;
use lobset::output::{DatasetSchema, DatasetWriter, RowGroupEncoder, RowLabel};
use lobset::tape::{BOOK_WORDS, Row, is_price};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{ColumnOrder, Encoding};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

type Rows = Vec<(Row, RowLabel)>;

/// Rows whose every column takes its values from `value(row, column)`, a number below 2^32.
fn rows(count: usize, value: impl Fn(usize, usize) -> u64) -> Rows {
    let price = |v: u64| if v % 1_000_003 == 7 { UNDEF_PRICE } else { (v as i64 - 40) * 50_000 };
    (0..count)
        .map(|i| {
            let at = |column| value(i, column);
            let mut row = Row {
                ts_recv: 1_712_102_400_000_000_000 + at(0),
                ts_event: if at(1) % 1_000_003 == 7 { UNDEF_TIMESTAMP } else { 1_712_102_400_000_000_000 - at(1) },
                price: price(at(2)),
                ts_in_delta: at(3) as u32 as i32,
                sequence: at(4) as u32,
                size: at(5) as u32,
                instrument_id: at(6) as u32,
                publisher_id: at(7) as u16,
                marks: at(8) as u32,
                ..Row::default()
            };
            for word in 0..BOOK_WORDS {
                row.book[word] = match is_price(word) {
                    true => price(at(9 + word)) as u64,
                    false => at(9 + word) | at(60 + word) << 32,
                };
            }
            let class = (at(101) % 21) as u8;
            let split = Split::ALL[at(102) as usize % 3];
            let movement = (at(103) as f64 - 40.0) * 1e-6;
            (row, RowLabel { row: i as u64 * (1 + at(104) % 3), movement, class, split, balanced: at(105) % 2 == 1 })
        })
        .collect()
}

/// Tells the encoder of the rows as a tape would: only what changed.
fn encode(path: &Path, config: &Config, rows: &Rows, group: usize) {
    let schema = Arc::new(DatasetSchema::new(config).unwrap());
    let mut writer = DatasetWriter::create(path, &schema, &[]).unwrap();
    let mut encoder = RowGroupEncoder::new(Arc::clone(&schema), config);
    let mut before = Row::default();
    for (number, rows) in rows.chunks(group).enumerate() {
        for (row, label) in rows {
            let changed = (0..BOOK_WORDS).filter(|i| before.book[*i] != row.book[*i]).fold(0, |m, i| m | 1 << i);
            encoder.push(row, changed, *label);
            before = row.clone();
        }
        encoder.finish("M6AM4").unwrap();
        // Row groups are taken one by one or together.
        if number % 3 != 0 {
            encoder.take_groups(|group| writer.append(group)).unwrap();
        }
    }
    encoder.take_groups(|group| writer.append(group)).unwrap();
    writer.finish().unwrap();
}

fn metadata(path: &Path) -> ParquetMetaData {
    SerializedFileReader::new(File::open(path).unwrap()).unwrap().metadata().clone()
}

/// Writes rows both ways, and compares values, statistics and schema. The files stay, for other readers.
fn check(path: &Path, config: &Config, rows: &Rows, group: usize) {
    let plain = path.with_extension("plain.parquet");
    encode(path, config, rows, group);
    let schema = DatasetSchema::new(config).unwrap().arrow;
    let all = batch(&schema, "M6AM4", rows);
    let properties =
        parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer =
        ArrowWriter::try_new(File::create(&plain).unwrap(), Arc::clone(&schema), Some(properties)).unwrap();
    writer.write(&all).unwrap();
    writer.close().unwrap();

    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    assert_eq!(reader.schema().fields(), schema.fields());
    let mut at = 0;
    for got in reader.with_batch_size(4_000).build().unwrap() {
        let got = got.unwrap();
        let want = all.slice(at, got.num_rows());
        for (i, field) in schema.fields().iter().enumerate() {
            // Dictionaries may number their values as they like.
            let text = |b: &arrow_array::RecordBatch| {
                b.column(i).as_any().downcast_ref::<arrow_array::DictionaryArray<arrow_array::types::Int32Type>>().map(
                    |d| {
                        let names = d.downcast_dict::<arrow_array::StringArray>().unwrap();
                        names.into_iter().map(|n| n.unwrap().to_owned()).collect::<Vec<_>>()
                    },
                )
            };
            match text(&got) {
                Some(texts) => assert_eq!(Some(texts), text(&want), "{}", field.name()),
                None => assert_eq!(got.column(i), want.column(i), "{}", field.name()),
            }
        }
        at += got.num_rows();
    }
    assert_eq!(at, rows.len());

    let (ours, theirs) = (metadata(path), metadata(&plain));
    assert_eq!(ours.num_row_groups(), theirs.num_row_groups());
    let orders = ours.file_metadata().column_orders().unwrap();
    assert_eq!(orders.len(), schema.fields().len());
    assert!(orders.iter().all(|order| matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(_))));
    for (ours, theirs) in ours.row_groups().iter().zip(theirs.row_groups()) {
        for (ours, theirs) in ours.columns().iter().zip(theirs.columns()) {
            let name = ours.column_path().string();
            let (a, b) = (ours.statistics().unwrap(), theirs.statistics().unwrap());
            assert_eq!(a.min_bytes_opt(), type_order_bound(b, b.min_bytes_opt(), -0.0).as_deref(), "{name}");
            assert_eq!(a.max_bytes_opt(), type_order_bound(b, b.max_bytes_opt(), 0.0).as_deref(), "{name}");
            assert_eq!(a.null_count_opt(), b.null_count_opt(), "{name}");
            assert_eq!(ours.num_values(), theirs.num_values());
            // The encodings that readers of the last three years all know.
            let known = [Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY, Encoding::DELTA_BINARY_PACKED];
            assert!(ours.encodings().all(|encoding| known.contains(&encoding)), "{name}");
        }
    }
}

/// A bound that the crate took in the total order of IEEE 754, as TYPE_ORDER wants it: a zero has the sign that covers both.
fn type_order_bound(statistics: &Statistics, bound: Option<&[u8]>, zero: f64) -> Option<Vec<u8>> {
    let double = matches!(statistics, Statistics::Double(_));
    let is_zero = |bytes: &[u8]| double && bytes.try_into().map(f64::from_le_bytes) == Ok(0.0);
    bound.map(|bytes| if is_zero(bytes) { zero.to_le_bytes().to_vec() } else { bytes.to_vec() })
}

/// Where other readers look for the files: `tests/python` compares both files of each pair.
fn kept(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("round_trip");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name).with_extension("parquet")
}

fn config(compression: Compression, price_type: PriceType) -> Config {
    Config { compression, price_type, ..Config::default() }
}

#[test]
fn awkward_shapes_come_back_and_stay_for_other_readers() {
    let scrambled = |i: usize, c: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (c as u64 * 0x5851)) >> 32;
    let shapes: [(&str, Rows, Compression, PriceType); 13] = [
        ("one-row", rows(1, |_, c| c as u64), Compression::Zstd, PriceType::Float),
        ("all-equal", rows(3_000, |_, c| c as u64), Compression::Zstd, PriceType::Float),
        ("all-zero", rows(9, |_, _| 0), Compression::None, PriceType::Float),
        ("zero-prices", rows(20, |_, _| 40), Compression::Zstd, PriceType::Float),
        ("all-different", rows(3_001, scrambled), Compression::Zstd, PriceType::Fixed),
        ("runs-of-1", rows(2_000, |i, c| (i + c) as u64 % 2), Compression::Snappy, PriceType::Float),
        ("runs-of-7", rows(2_003, |i, c| ((i + c) / 7) as u64 % 5), Compression::Lz4, PriceType::Float),
        ("runs-of-8", rows(2_000, |i, _| (i / 8) as u64 % 3), Compression::Snappy, PriceType::Fixed),
        ("runs-of-9", rows(2_007, |i, c| ((i + c) / 9) as u64 % 300), Compression::Zstd, PriceType::Float),
        (
            "mixed-runs",
            rows(5_000, |i, c| scrambled(i / (1 + (i / 100 + c) % 40), c) % 40),
            Compression::None,
            PriceType::Float,
        ),
        (
            "nulls",
            rows(3_000, |i, c| if scrambled(i / 3, c) % 4 == 0 { 7 } else { scrambled(i, c) % 90 }),
            Compression::Zstd,
            PriceType::Float,
        ),
        ("all-null", rows(500, |_, _| 7), Compression::Zstd, PriceType::Float),
        (
            "large-dictionary",
            rows(131_072, |i, c| ((i * 3 / 4) as u64 + c as u64) % 90_000),
            Compression::Zstd,
            PriceType::Float,
        ),
    ];
    for (name, rows, compression, price_type) in shapes {
        check(&kept(name), &config(compression, price_type), &rows, 100_000);
    }
    let book = Config { columns: Columns::Book, force_uniform: false, ..Config::default() };
    check(&kept("book"), &book, &rows(2_500, |i, c| scrambled(i / 5, c) % 50), 1_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_rows_come_back(
        count in 1usize..900, group in 1usize..500, values in prop::collection::vec(prop_oneof![0u64..5, 0u64..3000, any::<u32>().prop_map(u64::from)], 1..40),
        lengths in prop::collection::vec(1usize..30, 1..9), fixed: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let rows = rows(count, |i, c| values[(i / lengths[c % lengths.len()] + c) % values.len()]);
        let price_type = if fixed { PriceType::Fixed } else { PriceType::Float };
        check(&folder.path().join("a.parquet"), &config(Compression::Zstd, price_type), &rows, group);
    }
}

#[test]
fn prices_that_do_not_survive_as_floats_are_refused() {
    let mut rows = rows(3, |_, c| c as u64);
    rows[1].0.book[4] = (1u64 << 53) + 1;
    let schema = Arc::new(DatasetSchema::new(&Config::default()).unwrap());
    let mut encoder = RowGroupEncoder::new(schema, &Config::default());
    rows.iter().for_each(|(row, label)| encoder.push(row, u64::MAX >> 24, *label));
    let error = encoder.finish("BTCKRW").err().unwrap();
    assert!(error.to_string().contains("price_type = \"fixed\""), "{error}");
}
