//! The page writer against the crate's own `ArrowWriter`: same values, same statistics, whatever the shape of the data.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/arrow_rows.rs"]
mod arrow_rows;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_rows::{LabelledRow, batch};
use bytes::Bytes;
use dbn::{UNDEF_PRICE, UNDEF_TIMESTAMP};
use lobset::Config;
use lobset::config::{Columns, Compression, Derived, PriceType, Targets};
use lobset::input::Event;
use lobset::internals::{
    BOOK_WORDS, DatasetSchema, DatasetWriter, LabelBlock, PAGE_ROWS, Row, RowGroupEncoder, TargetLabel, is_price,
};
use lobset::label::Split;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::basic::{ColumnOrder, Encoding};
use parquet::data_type::AsBytes;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::page_index::RowGroupPageIndex;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, SortingColumn};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

/// Some of the input has gateway stamps, so that the column exists.
const TS_OUT: bool = true;

type Rows = Vec<LabelledRow<Vec<Option<TargetLabel>>>>;

fn label(row: usize, movement: f64, class: u64, split: u64, balanced: bool) -> TargetLabel {
    let touch = class.is_multiple_of(2).then_some(split);
    TargetLabel {
        movement,
        class: class as u8,
        split: Split::ALL[split as usize % 3],
        balanced,
        end: row as u64,
        touch,
    }
}

/// Rows in which every column takes its values from `value(row, column)`, a number below 2^32.
fn rows(count: usize, value: impl Fn(usize, usize) -> u64) -> Rows {
    let price = |v: u64| if v % 1_000_003 == 7 { UNDEF_PRICE } else { (v as i64 - 40) * 50_000 };
    (0..count)
        .map(|i| {
            let at = |column| value(i, column);
            let [action, side, flags, depth] = (at(8) as u32).to_le_bytes();
            let event = Event {
                ts_recv: 1_712_102_400_000_000_000 + at(0),
                ts_event: if at(1) % 1_000_003 == 7 { UNDEF_TIMESTAMP } else { 1_712_102_400_000_000_000 - at(1) },
                ts_out: if at(106) % 3 == 1 { UNDEF_TIMESTAMP } else { 1_712_102_400_000_000_000 + at(106) },
                price: price(at(2)),
                ts_in_delta: at(3) as u32 as i32,
                sequence: at(4) as u32,
                size: at(5) as u32,
                instrument_id: at(6) as u32,
                publisher_id: at(7) as u16,
                action,
                side,
                flags,
                depth,
            };
            let mut row = Row { event, ..Row::default() };
            for word in 0..BOOK_WORDS {
                row.book[word] = match is_price(word) {
                    true => price(at(9 + word)) as u64,
                    false => at(9 + word) | at(60 + word) << 32,
                };
            }
            let label = label(i, (at(103) as f64 - 40.0) * 1e-6, at(101) % 21, at(102), at(105) % 2 == 1);
            (row, i as u64 * (1 + at(104) % 3), vec![Some(label)])
        })
        .collect()
}

/// The same rows with the labels of two more targets, of which each row has at least one.
fn several(mut rows: Rows, value: impl Fn(usize, usize) -> u64) -> Rows {
    for (i, (_, _, labels)) in rows.iter_mut().enumerate() {
        let Some(first) = labels[0] else { continue };
        for target in 1..3 {
            let at = |column: usize| value(i, 103 + 4 * target + column);
            let movement = (at(1) as f64 - 40.0) * 1e-7;
            labels.push((at(0) % 5 > 1).then(|| label(i, movement, at(2) % 3, at(3), !first.balanced)));
        }
        if value(i, 120).is_multiple_of(3) && labels[1..].iter().any(Option::is_some) {
            labels[0] = None;
        }
    }
    rows
}

/// Settings of which the rows of [`several`] are.
fn three_targets(config: Config) -> Config {
    let targets = ["a=return(5)", "b=deeplob(9),classes=share"].map(|text| text.parse().unwrap());
    Config { targets: Targets(targets.to_vec()), ..config }
}

/// Pushes a row with its label for each target.
fn push(encoder: &mut RowGroupEncoder, row: &Row, changed: u64, number: u64, labels: &[Option<TargetLabel>]) {
    encoder.push(row, changed, number);
    let labels: Vec<LabelBlock> = labels.iter().map(|label| LabelBlock::from_iter([*label])).collect();
    encoder.label(&labels);
}

/// Passes the rows to the encoder as a tape would: only what changed.
fn encode(path: &Path, config: &Config, rows: &Rows, group: usize) {
    let schema = Arc::new(DatasetSchema::new(config, TS_OUT).unwrap());
    let mut writer = DatasetWriter::create(path, &schema, &[]).unwrap();
    let mut encoder = RowGroupEncoder::new(Arc::clone(&schema), config);
    let mut before = Row::default();
    for (number, rows) in rows.chunks(group).enumerate() {
        for (row, number, labels) in rows {
            let changed = (0..BOOK_WORDS).filter(|i| before.book[*i] != row.book[*i]).fold(0, |m, i| m | 1 << i);
            push(&mut encoder, row, changed, *number, labels);
            before = row.clone();
        }
        encoder.finish("M6AM4").unwrap();
        // Row groups are taken one by one or together.
        if number % 3 != 0 {
            encoder.take_groups(|group, _| writer.append(group)).unwrap();
        }
    }
    encoder.take_groups(|group, _| writer.append(group)).unwrap();
    writer.finish().unwrap();
}

fn metadata(path: &Path) -> ParquetMetaData {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    reader.parse_and_finish(&File::open(path).unwrap()).unwrap()
}

/// Writes rows both ways, and compares values, statistics and schema. The files stay, for other readers.
fn check(path: &Path, config: &Config, rows: &Rows, group: usize) {
    let plain = path.with_extension("plain.parquet");
    encode(path, config, rows, group);
    let schema = DatasetSchema::new(config, TS_OUT).unwrap();
    let all = batch(&schema, "M6AM4", rows);
    let schema = schema.arrow;
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .build();
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
            // Dictionaries may number their values in any order.
            let text = |b: &arrow_array::RecordBatch| {
                b.column(i).as_any().downcast_ref::<arrow_array::DictionaryArray<arrow_array::types::Int32Type>>().map(
                    |d| {
                        let names = d.downcast_dict::<arrow_array::StringArray>().unwrap();
                        names.into_iter().map(|n| n.map(str::to_owned)).collect::<Vec<_>>()
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
            let double = matches!(b, Statistics::Double(_));
            assert_eq!(a.min_bytes_opt(), type_order_bound(double, b.min_bytes_opt(), -0.0).as_deref(), "{name}");
            assert_eq!(a.max_bytes_opt(), type_order_bound(double, b.max_bytes_opt(), 0.0).as_deref(), "{name}");
            assert_eq!(a.null_count_opt(), b.null_count_opt(), "{name}");
            assert_eq!(ours.num_values(), theirs.num_values());
            // The encodings that readers of the last three years all know.
            let known = [Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY, Encoding::DELTA_BINARY_PACKED];
            assert!(ours.encodings().all(|encoding| known.contains(&encoding)), "{name}");
        }
    }
    check_indexes(&ours, &theirs, rows.len().min(group) > PAGE_ROWS);
}

/// Compares the page indexes. Files whose chunks have one page each have none.
fn check_indexes(ours: &ParquetMetaData, theirs: &ParquetMetaData, indexed: bool) {
    assert_eq!(ours.page_index().is_some(), indexed);
    let row = ours.file_metadata().schema_descr().columns().iter().position(|c| c.name() == "row").unwrap();
    for (number, group) in ours.row_groups().iter().enumerate() {
        let sorted = SortingColumn { column_idx: row as i32, descending: false, nulls_first: false };
        assert_eq!(group.sorting_columns(), Some(&vec![sorted]));
        if !indexed {
            continue;
        }
        let [ours, theirs] = [ours, theirs].map(|metadata| metadata.page_index_for_row_group(number));
        for (place, column) in group.columns().iter().enumerate() {
            let name = column.column_path().string();
            let first_rows = |index: &RowGroupPageIndex| {
                index.page_locations(place).unwrap().iter().map(|page| page.first_row_index).collect::<Vec<_>>()
            };
            let want: Vec<i64> = (0..group.num_rows()).step_by(PAGE_ROWS).collect();
            assert_eq!(first_rows(&ours), want, "{name}");
            assert_eq!(first_rows(&theirs), want, "{name}");
            let (a, b) = (ours.column_index(place).unwrap(), theirs.column_index(place).unwrap());
            assert_eq!(a.get_boundary_order(), b.get_boundary_order(), "{name}");
            for page in 0..want.len() {
                assert_eq!(a.is_null_page(page), b.is_null_page(page), "{name}");
                assert_eq!(a.null_count(page), b.null_count(page), "{name}");
                let [min, max] = bounds(b, page);
                let double = matches!(b, ColumnIndexMetaData::DOUBLE(_));
                let want = [(min, -0.0), (max, 0.0)].map(|(bound, zero)| type_order_bound(double, bound, zero));
                assert_eq!(bounds(a, page), want.each_ref().map(Option::as_deref), "{name}");
            }
        }
    }
}

/// The bounds of a page, none where all is null.
fn bounds(index: &ColumnIndexMetaData, page: usize) -> [Option<&[u8]>; 2] {
    macro_rules! bounds {
        ($($kind:ident),*) => {
            match index {
                $(ColumnIndexMetaData::$kind(index) => {
                    [index.min_value(page), index.max_value(page)].map(|bound| bound.map(AsBytes::as_bytes))
                })*
                ColumnIndexMetaData::BYTE_ARRAY(index) => [index.min_value(page), index.max_value(page)],
                other => unreachable!("{other:?}"),
            }
        };
    }
    bounds!(BOOLEAN, INT32, INT64, DOUBLE)
}

/// A bound that the crate took in the total order of IEEE 754, as TYPE_ORDER wants it: a zero has the sign that covers both.
fn type_order_bound(double: bool, bound: Option<&[u8]>, zero: f64) -> Option<Vec<u8>> {
    let is_zero = |bytes: &[u8]| double && bytes.try_into().is_ok_and(|bytes| f64::from_le_bytes(bytes) == 0.0);
    bound.map(|bytes| if is_zero(bytes) { zero.to_le_bytes().to_vec() } else { bytes.to_vec() })
}

/// Where other readers look for the files: `tests/python` compares both files of each pair.
fn kept(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("round_trip");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name).with_extension("parquet")
}

fn config(compression: Compression, price_type: PriceType) -> Config {
    Config { compression, price_type, derived: Derived::ALL.to_vec(), ..Config::default() }
}

#[test]
fn awkward_shapes_come_back_and_stay_for_other_readers() {
    let scrambled = |i: usize, c: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (c as u64 * 0x5851)) >> 32;
    let shapes: [(&str, Rows, Compression, PriceType); 15] = [
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
            "null-pages",
            rows(3 * PAGE_ROWS + 1, |i, c| match i / PAGE_ROWS {
                1 => 7,
                2 => scrambled(i / 3, c) % 8,
                page => 100 * page as u64 + scrambled(i / 50, c) % 90,
            }),
            Compression::Zstd,
            PriceType::Float,
        ),
        (
            "zeros-by-page",
            rows(2 * PAGE_ROWS, |i, c| 39 + (i / PAGE_ROWS + c) as u64 % 2),
            Compression::None,
            PriceType::Float,
        ),
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

    // Labels that are null: here and there, in runs, in whole pages, in all rows.
    let targets = three_targets(config(Compression::Zstd, PriceType::Float));
    let here_and_there = |i: usize, c: usize| scrambled(i, c) % 60;
    let in_runs = |i: usize, c: usize| scrambled(i / 23, c) % 60;
    let in_pages = |i: usize, c: usize| match (c >= 103, i / PAGE_ROWS) {
        (true, 1) => 0,
        (_, page) => page as u64 * 50 + scrambled(i / 9, c) % 60,
    };
    for (name, count, value) in [
        ("targets-null-here-and-there", 3_001, &here_and_there as &dyn Fn(usize, usize) -> u64),
        ("targets-null-in-runs", 3_000, &in_runs),
        ("targets-null-in-pages", 3 * PAGE_ROWS + 1, &in_pages),
    ] {
        let rows = several(rows(count, value), value);
        assert!((0..3).all(|target| rows.iter().any(|(_, _, labels)| labels[target].is_none())), "{name}");
        check(&kept(name), &targets, &rows, 2 * PAGE_ROWS);
    }
    let mut none = several(rows(700, here_and_there), here_and_there);
    none.iter_mut().for_each(|(_, _, labels)| (labels[1], labels[2]) = (None, labels[0].or(labels[2]).or(labels[1])));
    check(&kept("targets-all-null"), &targets, &none, 300);
}

/// A file that counts the bytes that are read of it.
struct Counted<R>(R, Arc<AtomicU64>);

impl Length for Counted<File> {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Counted<File> {
    type T = Counted<BufReader<File>>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(Counted(self.0.get_read(start)?, Arc::clone(&self.1)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.1.fetch_add(length as u64, Ordering::Relaxed);
        self.0.get_bytes(start, length)
    }
}

impl Read for Counted<BufReader<File>> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(into)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[test]
fn a_window_of_rows_is_read_from_the_pages_that_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let rows = rows(100_000, |i, c| match c {
        9 | 103 => (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40,
        _ => c as u64,
    });
    let config = Config::default();
    encode(&path, &config, &rows, 100_000);
    let all = batch(&DatasetSchema::new(&config, TS_OUT).unwrap(), "M6AM4", &rows);
    let columns = ["row", "bid_px_00", "price_movement"];
    let chunks = metadata(&path).row_group(0).columns().to_vec();
    let sizes = chunks.iter().filter(|c| columns.contains(&c.column_descr().name())).map(|c| c.compressed_size());
    let size = sizes.sum::<i64>() as u64;
    for from in [0, 50_000, 4 * PAGE_ROWS - 50, 99_900] {
        let count = Arc::new(AtomicU64::new(0));
        let file = Counted(File::open(&path).unwrap(), Arc::clone(&count));
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
        count.store(0, Ordering::Relaxed);
        let selection = RowSelection::from_consecutive_ranges(std::iter::once(from..from + 100), rows.len());
        let mask = ProjectionMask::columns(reader.parquet_schema(), columns);
        let mut reader = reader.with_projection(mask).with_row_selection(selection).build().unwrap();
        let batch = reader.next().unwrap().unwrap();
        for name in columns {
            assert_eq!(batch.column_by_name(name).unwrap(), &all.column_by_name(name).unwrap().slice(from, 100));
        }
        // Two pages of seven at most.
        let read = count.load(Ordering::Relaxed);
        assert!(read > 0 && read < size / 3, "{read} of {size} bytes from row {from}");
    }
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
        let config = config(Compression::Zstd, price_type);
        check(&folder.path().join("a.parquet"), &config, &rows, group);
        let rows = several(rows, |i, c| values[(i / lengths[c % lengths.len()] + 3 * c) % values.len()]);
        check(&folder.path().join("b.parquet"), &three_targets(config), &rows, group);
    }
}

#[test]
fn prices_that_do_not_survive_as_floats_are_refused() {
    let mut rows = rows(3, |_, c| c as u64);
    rows[1].0.book[4] = (1u64 << 53) + 1;
    let schema = Arc::new(DatasetSchema::new(&Config::default(), false).unwrap());
    let mut encoder = RowGroupEncoder::new(schema, &Config::default());
    rows.iter().for_each(|(row, number, labels)| push(&mut encoder, row, u64::MAX >> 24, *number, labels));
    let error = encoder.finish("BTCKRW").err().unwrap();
    assert!(error.to_string().contains("price_type = \"fixed\""), "{error}");
}
