//! The sums of a dataset: compared with sums computed value by value, and read back as means and deviations.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Float64Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use common::markets::{MAPPINGS, Shape, odd_ticks, plain, shape};
use common::reference::Rows;
use common::{contents, run, small, write_files};
use lobset::config::{Columns, Derived, PriceType, Target};
use lobset::dataset::{ColumnMoments, Moments};
use lobset::validate::Compare;
use lobset::{Config, Duration, Manifest, Monitor, Options};
use num_bigint::BigInt;
use num_traits::ToPrimitive;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let rows = reader.metadata().file_metadata().num_rows() as usize;
    reader.with_batch_size(rows.max(1)).build().unwrap().next().unwrap().unwrap()
}

/// A value: a whole number in the unit of its sums, or a float.
#[derive(Clone, Copy)]
enum Cell {
    Whole(i128),
    Float(f64),
}

/// The values of a numeric column; `None` where they are null.
fn cells(name: &str, column: &ArrayRef) -> Vec<Option<Cell>> {
    let price = name == "price" || name.contains("_px_");
    macro_rules! whole {
        ($kind:ty) => {
            column.as_primitive::<$kind>().iter().map(|v| v.map(|v| Cell::Whole(v.into()))).collect()
        };
    }
    match column.data_type() {
        DataType::Float64 => {
            let cell = |value: f64| match name {
                "mid_price" => Cell::Whole((value * 2e9).round() as i128),
                _ if price => Cell::Whole((value * 1e9).round() as i128),
                _ => Cell::Float(value),
            };
            column.as_primitive::<Float64Type>().iter().map(|value| value.map(cell)).collect()
        }
        DataType::Int64 => whole!(Int64Type),
        DataType::Int32 => whole!(Int32Type),
        DataType::UInt8 => whole!(UInt8Type),
        DataType::UInt16 => whole!(UInt16Type),
        DataType::UInt32 => whole!(UInt32Type),
        other => panic!("{other}"),
    }
}

/// A float as a multiple of 2^-`FRACTION`.
const FRACTION: u32 = 160;

fn scaled(value: f64) -> BigInt {
    let (bits, negative) = (value.abs().to_bits(), value < 0.0);
    let number = match (bits >> 52) as u32 {
        0 => BigInt::ZERO,
        exponent => BigInt::from(bits & ((1 << 52) - 1) | 1 << 52) << (exponent + FRACTION - 1075),
    };
    if negative { -number } else { number }
}

/// The sums of a column as text: count, whole sums, sums of floats as their bits.
fn sums(is_float: bool, values: &[Cell]) -> String {
    let (mut sum, mut squares) = (BigInt::ZERO, BigInt::ZERO);
    for value in values {
        let value = match value {
            Cell::Whole(value) => BigInt::from(*value),
            Cell::Float(value) => scaled(*value),
        };
        squares += &value * &value;
        sum += value;
    }
    if !is_float {
        let limit = BigInt::from(10).pow(38);
        let text = |number: BigInt| {
            if number.magnitude() < limit.magnitude() { number.to_string() } else { "null".to_owned() }
        };
        return format!("{} {} {} null null", values.len(), text(sum), text(squares));
    }
    let float = |number: BigInt, bits: u32| number.to_f64().unwrap() * 2_f64.powi(-(bits as i32));
    let [sum, squares] = [float(sum, FRACTION), float(squares, 2 * FRACTION)];
    format!("{} null null {:x} {:x}", values.len(), sum.to_bits(), squares.to_bits())
}

type Found = BTreeMap<(String, String, String), String>;

/// The sums in a file, by input, set and column.
fn stored(path: &Path, targets: &[Target]) -> Found {
    let batch = read(path);
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let (files, names) = (column("file").as_string::<i32>(), column("column").as_string::<i32>());
    let mut found = Found::new();
    let sets = targets.iter().map(|target| ("fit_".to_owned(), target.column("")));
    for (before, after) in [(String::new(), String::new())].into_iter().chain(sets) {
        let of = |name: &str| column(&format!("{before}{name}{after}"));
        for row in 0..batch.num_rows() {
            let decimal = |name: &str| {
                let column = of(name).as_primitive::<Decimal128Type>();
                assert_eq!((column.precision(), column.scale()), (38, 0));
                if column.is_valid(row) { column.value(row).to_string() } else { "null".to_owned() }
            };
            let float = |name: &str| {
                let column = of(name).as_primitive::<Float64Type>();
                if column.is_valid(row) { format!("{:x}", column.value(row).to_bits()) } else { "null".to_owned() }
            };
            let count = of("count").as_primitive::<UInt64Type>().value(row);
            let text = format!(
                "{count} {} {} {} {}",
                decimal("sum"),
                decimal("sum_of_squares"),
                float("sum_float"),
                float("sum_of_squares_float")
            );
            let key = (files.value(row).to_owned(), format!("{before}{after}"), names.value(row).to_owned());
            assert_eq!(found.insert(key, text), None);
        }
    }
    found
}

const FLOATS: [&str; 4] = ["spread", "weighted_mid", "imbalance", "ofi"];
const NOT_NUMERIC: [&str; 8] =
    ["ts_recv", "ts_event", "ts_out", "action", "side", "symbol", "row", "no column of a target"];

/// The sums of a dataset, computed from its rows. `file_of` is the name of the input of a row.
fn expected(path: &Path, targets: &[Target], file_of: impl Fn(u64) -> String) -> Found {
    let batch = read(path);
    let rows = batch.column_by_name("row").unwrap().as_primitive::<UInt64Type>();
    let of_targets: BTreeSet<String> = targets
        .iter()
        .flat_map(|target| {
            ["price_movement", "classification_label", "split", "balanced", "label_end", "label_touch"]
                .map(|name| target.column(name))
        })
        .collect();
    let mut sets = vec![(String::new(), vec![true; batch.num_rows()])];
    for target in targets {
        let splits = batch.column_by_name(&target.column("split")).unwrap().as_dictionary::<Int32Type>();
        let names = splits.values().as_string::<i32>();
        let fit = |row: usize| splits.is_valid(row) && names.value(splits.keys().value(row) as usize) == "fit";
        sets.push((format!("fit_{}", target.column("")), (0..batch.num_rows()).map(fit).collect()));
    }
    let files: Vec<String> = rows.values().iter().map(|row| file_of(*row)).collect();
    let mut found = Found::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let name = field.name().as_str();
        if NOT_NUMERIC.contains(&name) || of_targets.contains(name) {
            continue;
        }
        let (cells, is_float) = (cells(name, column), FLOATS.iter().any(|start| name.starts_with(start)));
        for file in files.iter().collect::<BTreeSet<_>>() {
            for (set, within) in &sets {
                let mine = (0..cells.len()).filter(|row| files[*row] == *file && within[*row]);
                let values: Vec<Cell> = mine.filter_map(|row| cells[row]).collect();
                let key = (file.clone(), set.clone(), name.to_owned());
                found.insert(key, sums(is_float, &values));
            }
        }
    }
    found
}

fn moments_of(out: &Path, manifest: &Manifest) -> Vec<(String, PathBuf, PathBuf)> {
    let of = |(symbol, entry): (&lobset::output::SymbolEntry, &lobset::output::DatasetEntry)| {
        (symbol.symbol.clone(), out.join(&entry.file), out.join(&entry.moments.file))
    };
    manifest.datasets().map(of).collect()
}

/// Settings that differ in which rows are written, which columns, which targets.
fn configs() -> Vec<Config> {
    let several = [
        "h10=means,lookback_rows=1,include_row=true,lookforward_offset=0,lookforward_input=10",
        "fast=time,lookback=0s,offset=0s,ahead=30ms,classes=fixed,boundaries=[0]",
        "touch=barrier,up=0.0001,down=0.0001,horizon=20,lookback_rows=5",
    ];
    let several = several.into_iter().map(|text| text.parse().unwrap()).collect::<Vec<Target>>();
    let all = Derived::ALL.to_vec();
    let small = Config { min_symbol_samples: 20, lookback_rows: 10, lookforward_input: 8, nbins: 2, ..small() };
    vec![
        Config { derived: all.clone(), max_gap: Some(Duration(60_000_000_000)), ..small.clone() },
        Config { price_type: PriceType::Fixed, drop_unbalanced: true, derived: all.clone(), ..small.clone() },
        Config { targets: lobset::config::Targets(several), derived: all, ..small.clone() },
        Config { columns: Columns::Book, force_uniform: false, ..small },
    ]
}

/// Checks the sums of every dataset of a run on files of ticks, and that validation recomputes them.
fn check(shape: &Shape, config: &Config) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let ticks = odd_ticks(shape);
    let paths = write_files(&folder.path().join("in"), &MAPPINGS, &ticks);
    let out = folder.path().join("out");
    // Some shapes have too few rows, or too few different movements.
    let Ok(manifest) = run(&paths, &out, config) else { return false };
    let (symbols, ..) = plain(&ticks, config);
    let names: Vec<String> = paths
        .iter()
        .zip(&ticks)
        .filter(|(_, ticks)| !ticks.is_empty())
        .map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let targets = config.all_targets();
    for (symbol, dataset, moments) in moments_of(&out, &manifest) {
        let rows: &Rows = &symbols[&symbol];
        let file_of = |row: u64| names[rows[row as usize].file].clone();
        assert_eq!(stored(&moments, &targets), expected(&dataset, &targets, file_of));
    }
    let options = Options::default();
    lobset::validate(&out, Some((&paths, Compare::All)), &options, &Monitor::silent()).unwrap();
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn sums_are_those_of_the_rows(shape in shape(), which in 0usize..4) {
        check(&shape, &configs()[which]);
    }
}

#[test]
fn each_kind_of_settings_has_datasets_with_right_sums() {
    let shape = Shape { files: vec![500, 0, 300, 600, 400], seed: 3, odd: [6, 6, 2, 5], roll: Some(100), second: -40 };
    for config in configs() {
        assert!(check(&shape, &config), "{config:?}");
    }
}

#[test]
fn sums_depend_on_neither_threads_nor_the_order_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut inputs = common::market(&folder.path().join("market"), 3, 6_000);
    let config = Config { derived: Derived::ALL.to_vec(), ..small() };
    let with = |inputs: &[PathBuf], threads: usize, name: &str| {
        let (out, options) = (folder.path().join(name), Options { threads, ..Options::default() });
        lobset::process(inputs, &out, &config, None, &options, &Monitor::silent()).unwrap();
        contents(&out)
    };
    let one = with(&inputs, 1, "one");
    inputs.reverse();
    assert_eq!(one, with(&inputs, 4, "four"));
    assert_eq!(one.keys().filter(|name| name.ends_with("_moments.parquet")).count(), 3);
}

/// Mean and sample deviation, in two passes.
fn plain_moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, (squares / (values.len() as f64 - 1.0)).sqrt())
}

#[test]
fn means_and_deviations_are_in_the_unit_of_the_column() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = common::market(&folder.path().join("market"), 4, 6_000);
    for price_type in [PriceType::Float, PriceType::Fixed] {
        let config = Config { derived: Derived::ALL.to_vec(), price_type, ..small() };
        let out = folder.path().join("out");
        let manifest = run(&inputs, &out, &config).unwrap();
        let (_, dataset, _) = moments_of(&out, &manifest).remove(0);
        let moments = Moments::open(&dataset).unwrap();
        let input_names = manifest.inputs.iter().map(|input| &input.name);
        assert!(moments.files().iter().eq(input_names) && moments.symbol() == "M6AM4");
        let batch = read(&dataset);
        let splits = batch.column_by_name("split").unwrap().as_dictionary::<Int32Type>();
        let texts = splits.values().as_string::<i32>();
        let fit: Vec<bool> = splits.keys().values().iter().map(|key| texts.value(*key as usize) == "fit").collect();
        let starts: Vec<u64> = (0..4).map(|file| (0..file).map(|before| moments.rows_of(before)).sum()).collect();
        assert_eq!(starts[3] + moments.rows_of(3), batch.num_rows() as u64);
        for (place, name) in moments.columns().iter().enumerate() {
            let column = batch.column_by_name(name).unwrap();
            let float = arrow_cast(column);
            let near = |found: ColumnMoments, rows: &dyn Fn(usize) -> bool| {
                let values: Vec<f64> = (0..float.len()).filter(|row| rows(*row)).filter_map(|row| float[row]).collect();
                assert_eq!(found.count, values.len() as u64, "{name}");
                let (mean, deviation) = plain_moments(&values);
                let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(mean.abs() * 1e-3).max(1e-12);
                assert!(close(found.mean.unwrap(), mean), "{name}: {found:?}, not {mean}");
                assert!(close(found.deviation.unwrap(), deviation), "{name}: {found:?}, not {deviation}");
            };
            near(moments.of_fit("classic").unwrap()[place], &|row| fit[row]);
            near(moments.of_files(0..4)[place], &|_| true);
            let days = starts[1] as usize..starts[3] as usize;
            near(moments.before(3, 2).unwrap()[place], &|row| days.contains(&row));
        }
        assert_eq!(moments.before(1, 2), None);
        let none = ColumnMoments { count: 0, mean: None, deviation: None };
        assert!(moments.of_files(4..9).iter().chain(&moments.before(2, 0).unwrap()).all(|found| *found == none));
        let error = moments.of_fit("h10").unwrap_err().to_string();
        assert!(error.contains("\"h10\" is not one of the dataset's: classic"), "{error}");
    }
}

/// A numeric column as floats.
fn arrow_cast(column: &ArrayRef) -> Vec<Option<f64>> {
    let whole = |cell: Cell| match cell {
        Cell::Whole(value) => value as f64,
        Cell::Float(value) => value,
    };
    match column.as_primitive_opt::<Float64Type>() {
        Some(floats) => floats.iter().collect(),
        None => cells("", column).into_iter().map(|cell| cell.map(whole)).collect(),
    }
}

#[test]
fn what_is_no_file_of_sums_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = common::market(&folder.path().join("market"), 2, 4_000);
    let out = folder.path().join("out");
    let manifest = run(&inputs, &out, &small()).unwrap();
    let (_, dataset, path) = moments_of(&out, &manifest).remove(0);
    let refused = |path: &Path| {
        let refused = common::refused(Moments::open(path));
        format!("{refused}; {}", refused.help.as_deref().unwrap_or_default())
    };
    assert!(refused(&path).contains("is not the name of a dataset"));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(refused(&dataset).contains("it belongs next to the dataset: copy it too"), "{}", refused(&dataset));
    std::fs::copy(&dataset, &path).unwrap();
    assert!(refused(&dataset).contains("it has no column \"file\""), "{}", refused(&dataset));
    for cut in [0, 3, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        refused(&dataset);
    }
    std::fs::write(&path, bytes).unwrap();
    Moments::open(&dataset).unwrap();
}
