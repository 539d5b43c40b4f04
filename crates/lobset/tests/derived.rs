//! The columns that `derived` adds, compared with the formulas of DESIGN.md applied to the raw records one by one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt64Type};
use common::{START, Tick, contents, market, messages, metadata, real_data, run, small, ticks, write};
use dbn::{BidAskPair, Mbp10Msg, UNDEF_PRICE};
use lobset::config::{Columns, Derived};
use lobset::dataset::DatasetReader;
use lobset::input::DbnReader;
use lobset::internals::{
    BOOK_WORDS, DatasetSchema, DatasetWriter, LabelBlock, Role, Row, RowGroupEncoder, TargetLabel,
};
use lobset::label::Split;
use lobset::validate::Compare;
use lobset::{Cluster, Config, Duration, Error, Monitor, Options, Threads, process_as_tasks, validate};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

fn all() -> Vec<Derived> {
    Derived::ALL.to_vec()
}

/// The values of a row by name; `None` is null.
type Values = BTreeMap<String, Option<f64>>;

fn float(price: i64) -> f64 {
    price as f64 / 1e9
}

/// The columns of a record, computed in floats and case by case.
fn plain(now: &[BidAskPair; 10], before: Option<&[BidAskPair; 10]>) -> Values {
    let quoted = |level: &BidAskPair| level.bid_px != UNDEF_PRICE && level.ask_px != UNDEF_PRICE;
    let mut values = Values::new();
    let best = &now[0];
    values.insert("spread".to_owned(), Some(float(best.ask_px) - float(best.bid_px)));
    let (bids, asks) = (f64::from(best.bid_sz), f64::from(best.ask_sz));
    let weighted = (float(best.ask_px) * bids + float(best.bid_px) * asks) / (bids + asks);
    values.insert("weighted_mid".to_owned(), (bids + asks > 0.0).then_some(weighted));
    for (place, level) in now.iter().enumerate() {
        let (bids, asks) = (f64::from(level.bid_sz), f64::from(level.ask_sz));
        let imbalance = (bids + asks > 0.0).then_some((bids - asks) / (bids + asks));
        values.insert(format!("imbalance_{place:02}"), imbalance);
        let flow = before.map(|before| &before[place]).filter(|old| quoted(old) && quoted(level)).map(|old| {
            let mut flow = 0.0;
            if level.bid_px >= old.bid_px {
                flow += bids;
            }
            if level.bid_px <= old.bid_px {
                flow -= f64::from(old.bid_sz);
            }
            if level.ask_px <= old.ask_px {
                flow -= asks;
            }
            if level.ask_px >= old.ask_px {
                flow += f64::from(old.ask_sz);
            }
            flow
        });
        values.insert(format!("ofi_{place:02}"), flow);
    }
    values
}

/// The columns of each row of a dataset, by `row`.
fn written(path: &Path) -> BTreeMap<u64, Values> {
    let names: Vec<String> = plain(&Default::default(), None).into_keys().collect();
    let mut rows = BTreeMap::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let numbers = batch.column_by_name("row").unwrap().as_primitive::<UInt64Type>();
        let columns =
            names.iter().map(|name| (name, batch.column_by_name(name).unwrap().as_primitive::<Float64Type>()));
        let columns: Vec<_> = columns.collect();
        for at in 0..batch.num_rows() {
            let value = |column: &arrow_array::Float64Array| column.is_valid(at).then(|| column.value(at));
            let values = columns.iter().map(|(name, column)| ((*name).clone(), value(column))).collect();
            rows.insert(numbers.value(at), values);
        }
    }
    rows
}

/// Compares a dataset with usable records, of which those in `breaks` start a stretch. Returns the number of rows.
fn check(path: &Path, records: &[[BidAskPair; 10]], breaks: &[usize]) -> usize {
    let rows = written(path);
    for (row, found) in &rows {
        let row = *row as usize;
        let before = row.checked_sub(1).filter(|_| !breaks.contains(&row)).map(|before| &records[before]);
        let want = plain(&records[row], before);
        for (name, want) in want {
            let found = found[&name];
            // The columns are exact to one rounding; spreads and weighted mids of floats are not.
            let near = match (want, found) {
                (Some(want), Some(found)) if name == "spread" || name == "weighted_mid" => {
                    (want - found).abs() <= 1e-14 * float(records[row][0].ask_px).abs()
                }
                (want, found) => want == found,
            };
            assert!(near, "row {row}: {name} is {found:?}, not {want:?}");
        }
    }
    rows.len()
}

fn usable(levels: &[BidAskPair; 10]) -> bool {
    let BidAskPair { bid_px, ask_px, .. } = levels[0];
    bid_px != UNDEF_PRICE && ask_px != UNDEF_PRICE && bid_px <= ask_px
}

/// Records whose prices and sizes change at all levels, with levels that come and go.
fn restless(ticks: &[Tick]) -> Vec<Mbp10Msg> {
    let mut all = messages(ticks);
    for (i, message) in all.iter_mut().enumerate() {
        for (place, level) in message.levels.iter_mut().enumerate() {
            let turn = (i / (1 + place)) as u32;
            (level.bid_sz, level.ask_sz) = (turn * 7919 % 5, turn * 104_729 % 7);
            if place > 0 && turn % 11 == 3 {
                (level.bid_px, level.bid_sz) = (UNDEF_PRICE, 0);
            }
            if place > 0 && turn % 13 == 4 {
                (level.ask_px, level.ask_sz) = (UNDEF_PRICE, 0);
            }
        }
    }
    all
}

fn levels(messages: &[Mbp10Msg]) -> Vec<[BidAskPair; 10]> {
    messages.iter().map(|message| message.levels.clone()).filter(usable).collect()
}

/// Runs on threads and as tasks, which must agree, and validates the result against every raw record.
fn produce(folder: &Path, inputs: &[PathBuf], config: &Config) -> PathBuf {
    let (out, tasks) = (folder.join("out"), folder.join("tasks"));
    run(inputs, &out, config).unwrap();
    let options = Options { overwrite: true, ..Options::default() };
    process_as_tasks(Cluster::new(&Threads::new(2)), inputs, &tasks, config, None, &options, &Monitor::silent())
        .unwrap();
    assert_eq!(contents(&out), contents(&tasks));
    validate(&out, Some((inputs, Compare::All)), &options, &Monitor::silent()).unwrap();
    validate(&out, Some((inputs, Compare::Random(5))), &options, &Monitor::silent()).unwrap();
    out
}

#[test]
fn every_value_follows_from_its_record_and_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut ticks = ticks(6_000, START);
    // A pause, another instrument, and quotes that are no rows.
    ticks[2_500..].iter_mut().for_each(|tick| tick.ts += 3_600_000_000_000);
    ticks[4_000..].iter_mut().for_each(|tick| tick.instrument = 8);
    ticks.iter_mut().step_by(17).for_each(|tick| tick.ask = tick.bid - 1);
    let messages = restless(&ticks);
    let row_of = |number: usize| messages[..number].iter().filter(|message| usable(&message.levels)).count();
    let breaks = [row_of(2_500), row_of(4_000)];
    let file = write(folder.path(), "a.dbn", &metadata(&[("M6AM4", 7), ("M6AM4", 8)]), &messages);
    let plain = Config { max_gap: Some(Duration(60_000_000_000)), derived: all(), ..small() };
    // A window of one row behind: the first labelled row of a stretch is its second row.
    let short = Config { lookback_rows: 1, columns: Columns::Book, ..plain.clone() };
    let marked = Config { drop_unbalanced: true, ..plain.clone() };
    for config in [plain, short, marked] {
        let out = produce(folder.path(), std::slice::from_ref(&file), &config);
        let rows = check(&out.join("AUDUSD_M6AM4_dataset.parquet"), &levels(&messages), &breaks);
        assert!(rows > 1_000, "{rows}");
    }
}

#[test]
fn row_groups_know_the_row_before_their_first() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 1, 200_000);
    let config = Config { derived: all(), ..small() };
    let out = produce(folder.path(), &inputs, &config);
    let mut raw: BTreeMap<u32, Vec<[BidAskPair; 10]>> = BTreeMap::new();
    let mut reader = DbnReader::open(&inputs[0]).unwrap();
    while reader.advance().unwrap() {
        let record = reader.record().unwrap();
        if usable(record.levels) {
            raw.entry(record.event.instrument_id).or_default().push(record.levels.clone());
        }
    }
    let records = raw.into_values().max_by_key(Vec::len).unwrap();
    let rows = std::fs::read_dir(&out).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let is_dataset = path.to_string_lossy().ends_with("_dataset.parquet");
        let groups = is_dataset.then(|| {
            let file = File::open(&path).unwrap();
            ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().num_row_groups()
        })?;
        (groups > 1).then(|| check(&path, &records, &[]))
    });
    let rows = rows.sum::<usize>();
    assert!(rows > 131_072, "{rows}");
}

#[test]
fn real_books_agree_with_their_raw_files() {
    for name in ["es", "crypto"] {
        let Some(data) = real_data(name) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let (lookback_rows, lookforward_input) = (500, 500);
        let config = Config { lookback_rows, lookforward_input, min_symbol_samples: 2_000, derived: all(), ..small() };
        produce(folder.path(), &[data], &config);
    }
}

#[test]
fn a_value_that_another_row_has_is_found_by_comparing_with_the_raw_files() {
    let folder = tempfile::tempdir().unwrap();
    let messages = restless(&ticks(3_000, START));
    let [file, other] = ["a.dbn", "b.dbn"].map(|name| {
        let mut messages = messages.clone();
        if name == "b.dbn" {
            // A price in a row that is not written changes the flow into the row after it.
            messages[49].levels[7].bid_px = messages[50].levels[7].bid_px;
        }
        write(&folder.path().join(name), "a.dbn", &metadata(&[("M6AM4", 7)]), &messages)
    });
    let out = folder.path().join("out");
    run(&[&file], &out, &Config { derived: vec![Derived::Ofi], ..small() }).unwrap();
    let options = Options::default();
    for compare in [Compare::All, Compare::Random(1)] {
        validate(&out, Some((&[&file], compare)), &options, &Monitor::silent()).unwrap();
    }
    let error = validate(&out, Some((&[&other], Compare::All)), &options, &Monitor::silent()).unwrap_err();
    let Error::Validation(error) = &error else { panic!("{error}") };
    let row = "AUDUSD_M6AM4_dataset.parquet: row 50: ofi_07 differs from the raw record";
    assert!(error.violations.iter().any(|violation| violation == row), "{error:?}");
}

#[test]
fn derived_columns_stand_before_the_row_number_and_are_features() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.dbn", &metadata(&[("M6AM4", 7)]), &messages(&ticks(3_000, START)));
    let out = folder.path().join("out");
    let dataset = out.join("AUDUSD_M6AM4_dataset.parquet");
    // Their order is that of the table, not that of the setting.
    run(&[&file], &out, &Config { derived: vec![Derived::Ofi, Derived::Spread], ..small() }).unwrap();
    let names: Vec<String> = {
        let file = ParquetRecordBatchReaderBuilder::try_new(File::open(&dataset).unwrap()).unwrap();
        file.schema().fields().iter().map(|field| field.name().clone()).collect()
    };
    let flows = (0..10).map(|level| format!("ofi_{level:02}"));
    let derived: Vec<String> = std::iter::once("spread".to_owned()).chain(flows).collect();
    let at = names.iter().position(|name| name == "spread").unwrap();
    assert_eq!((names[at - 1].as_str(), names[at + 11].as_str()), ("symbol", "row"));
    assert_eq!(names[at..at + 11], derived);
    let reader = DatasetReader::open(&dataset).unwrap();
    for features in [reader.numeric_columns(), reader.book_columns()] {
        assert!(derived.iter().all(|name| features.contains(name)), "{features:?}");
    }
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(card.contains("| `spread` |") && card.contains("`ofi_09`"), "{card}");
}

/// What happens to a row in an encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    Push,
    Skip,
    /// The row starts a stretch, or the rows before it are not known, and it is pushed.
    Leap,
}

proptest! {
    #[test]
    fn skipped_rows_count_as_rows_before_and_leaps_leave_none(
        told in prop::collection::vec((prop_oneof![4 => Just(Told::Push), 3 => Just(Told::Skip), 1 => Just(Told::Leap)], 0u64..6, any::<u64>()), 1..200),
        group in 1usize..60,
    ) {
        let config = Config { derived: all(), ..Config::default() };
        let schema = Arc::new(DatasetSchema::new(&config, false).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let mut writer = DatasetWriter::create(&path, &schema, &[]).unwrap();
        let mut encoder = RowGroupEncoder::new(Arc::clone(&schema), &config);
        let (mut row, mut before) = (Row::default(), None);
        let mut want: BTreeMap<u64, Values> = BTreeMap::new();
        for (place, (told, words, seed)) in told.iter().enumerate() {
            // A few words change, some of them back to an earlier value.
            let old = row.book;
            for word in (0..*words).map(|i| seed.rotate_left(7 * i as u32) as usize % 8) {
                let value = seed.rotate_left(3 * word as u32) % 5;
                row.book[word] = match word % 4 {
                    0 | 1 if value == 4 && word > 3 => UNDEF_PRICE as u64,
                    0 | 1 => value,
                    _ => value | (value * 7 % 3) << 32,
                };
            }
            let changed = (0..BOOK_WORDS).filter(|i| old[*i] != row.book[*i]).fold(0, |mask, i| mask | 1 << i);
            if *told == Told::Leap {
                encoder.leap();
                before = None;
            }
            if *told == Told::Skip {
                encoder.skip(&row, changed);
            } else {
                let number = place as u64;
                let labels = [Some(TargetLabel { movement: 0.0, class: 0, split: Split::Fit, balanced: false, end: 0, touch: None })];
                encoder.push(&row, changed, number);
                encoder.label(&[LabelBlock::from_iter(labels)]);
                let columns = schema.columns().iter().filter(|column| column.role == Role::Derived);
                let columns = columns.filter(|column| column.name != "mid_price");
                let value = |bits: u64| Some(f64::from_bits(bits)).filter(|value| !value.is_nan());
                let values = columns.map(|column| (column.name.clone(), value(column.value(&row, before.as_ref(), number, &labels))));
                want.insert(place as u64, values.collect());
            }
            before = Some(row.book);
            if place % group == 0 {
                encoder.finish("M6AM4").unwrap();
                encoder.take_groups(|group, _| writer.append(group)).unwrap();
            }
        }
        encoder.finish("M6AM4").unwrap();
        encoder.take_groups(|group, _| writer.append(group)).unwrap();
        writer.finish().unwrap();
        let found = if want.is_empty() { BTreeMap::new() } else { written(&path) };
        prop_assert_eq!(found, want);
    }
}
