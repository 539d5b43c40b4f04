//! Samples from cache files equal those computed from the dataset itself, whatever the layout of the file.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, UInt8Array,
    UInt32Array, UInt64Array,
};
use lobset::cache::Cache;
use lobset::config::{Derived, Feature, PriceType};
use lobset::dataset::{DatasetReader, Normalise, Period, RowSpec, RowWindows, SampleFilter, SampleIndex};
use lobset::depth::{DepthSpec, WindowCache};
use lobset::label::Split;
use lobset::output::{CONFIG_KEY, LADDER_KEY, Ladder, SYMBOL_KEY};
use lobset::{Config, Duration, Error, Monitor, Options, process};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

fn simulate(folder: &Path, days: u32, rows: u32) {
    lobset_sim::Market { days, rows, ..Default::default() }.write(folder, |_| ()).unwrap();
}

/// A dataset with breaks, whose stretches end anywhere in row groups.
fn dataset(folder: &Path, config: &Config) -> DatasetReader {
    let manifest =
        process(&[folder.join("market")], &folder.join("out"), config, None, &Options::default(), &Monitor::silent());
    let manifest = manifest.unwrap();
    let (_, entry) = manifest.datasets().max_by_key(|(_, entry)| entry.rows).unwrap();
    DatasetReader::open(&folder.join("out").join(&entry.file)).unwrap()
}

fn config() -> Config {
    Config {
        lookback_rows: 50,
        lookforward_input: 50,
        lookforward_offset: 5,
        nbins: 3,
        min_symbol_samples: 1_000,
        max_gap: Some(Duration(40_000_000_000)),
        ..Config::default()
    }
}

fn index(reader: &DatasetReader, window: u64, stride: u64) -> SampleIndex {
    let filter = SampleFilter { split: Split::Fit, period: Period::default(), window, stride, first: 0 };
    reader.index(filter).unwrap().unwrap()
}

/// All tensors of some samples, and their bins.
fn samples(windows: &WindowCache, index: &SampleIndex, every: usize) -> Vec<(Vec<f32>, Vec<i16>, Vec<f32>)> {
    let spec = windows.spec();
    let one = |sample| {
        let place = index.position(sample).unwrap();
        let mut found =
            (vec![2.0; spec.cells()], vec![-2; spec.bin_cells()], vec![-2.0; spec.features().len() * spec.bin_cells()]);
        windows.tensor(place, &mut found.0).unwrap();
        windows.bins(place, &mut found.1, &mut found.2).unwrap();
        let mut painted = vec![2.0_f32; spec.cells()];
        spec.paint_bins(&found.1, &found.2, &mut painted).unwrap();
        assert!(painted == found.0, "painting bins gives the tensor");
        found
    };
    (0..index.len()).step_by(every).chain([index.len() - 1]).map(one).collect()
}

#[test]
fn tensors_from_a_file_are_those_of_the_dataset() {
    let folder = tempfile::tempdir().unwrap();
    simulate(&folder.path().join("market"), 2, 30_000);
    let cache = Cache::at(folder.path().join("cache"));
    let all = Feature::ALL;
    // The price step decides how wide steps are in the file; the features decide which values follow them.
    for (price_type, features, pip, samples_of, length, stride) in [
        (PriceType::Float, all, 0.00001, 1_000, 100, 1),
        (PriceType::Float, &all[..1], 0.00001, 600, 60, 45),
        (PriceType::Fixed, &all[1..], 0.000_000_02, 40, 1, 7),
        (PriceType::Float, &all[..2], 1e-15, 90, 9, 3),
        (PriceType::Float, &all[2..], 0.00005, 2_000, 50, 100),
    ] {
        let config = Config { price_type, ..config() };
        let _ = fs::remove_dir_all(folder.path().join("out"));
        let reader = || dataset_again(folder.path());
        let spec = DepthSpec::new(features, samples_of, length, pip).unwrap();
        let first = dataset(folder.path(), &config);
        let index = index(&first, samples_of, stride);
        assert!(index.stretches().count() > 2 && index.len() > 20, "{} samples", index.len());
        let every = (index.len() / 60).max(1) as usize;
        let plain = WindowCache::new(first, spec.clone(), None).unwrap();
        let want = samples(&plain, &index, every);
        for threads in [3, 1] {
            let on = (threads, &Monitor::silent());
            let cached = WindowCache::with_file(reader(), spec.clone(), (&index, stride), &cache, on).unwrap();
            assert!(samples(&cached, &index, every) == want, "{features:?} {pip} {stride}");
        }
        // A window that is incomplete, or not on a grid, is refused rather than made up.
        let on = (1, &Monitor::silent());
        let cached = WindowCache::with_file(reader(), spec.clone(), (&index, stride), &cache, on).unwrap();
        let mut out = vec![0.0_f32; spec.cells()];
        for stretch in index.stretches() {
            let short = stretch.start + samples_of - 2;
            assert!(cached.tensor(short.min(stretch.end - 1), &mut out).is_err());
        }
        assert!(cached.tensor(u64::MAX, &mut out).is_err());
        assert_eq!(cache.remove(|_| true).unwrap().len(), 1, "both openings share a file");
    }
}

/// The dataset that [`dataset`] has written.
fn dataset_again(folder: &Path) -> DatasetReader {
    let files = fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let largest = files.filter(|path| path.extension().is_some_and(|e| e == "parquet"));
    let largest = largest.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    DatasetReader::open(&largest).unwrap()
}

#[test]
fn a_dataset_written_anew_gets_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    simulate(&folder.path().join("market"), 2, 10_000);
    let cache = Cache::at(folder.path().join("cache"));
    for (number, nbins) in (1..).zip([3, 5]) {
        let _ = fs::remove_dir_all(folder.path().join("out"));
        let reader = dataset(folder.path(), &Config { nbins, ..config() });
        let index = index(&reader, 60, 1);
        let spec = DepthSpec::new(&[Feature::Volume], 60, 20, 0.00001).unwrap();
        WindowCache::with_file(reader, spec, (&index, 1), &cache, (2, &Monitor::silent())).unwrap();
        assert_eq!(cache.files().unwrap().len(), number);
    }
}

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    /// Multiples of `step` above `lowest`; one in `nulls` is null.
    fn prices(&mut self, (lowest, step, steps): (i64, i64, u64), nulls: u64) -> Vec<Option<i64>> {
        let price = |_| (self.next(nulls) > 0).then(|| lowest + step * self.next(steps) as i64);
        (0..ROWS).map(price).collect()
    }
}

const ROWS: usize = 2_000;

/// A column, and its values as f32.
type Case = (&'static str, ArrayRef, Vec<f32>);

/// Columns that need numbers of every width.
fn cases(price_type: PriceType) -> Vec<Case> {
    let mut numbers = Numbers(88172645463325252);
    let nearest = |values: &[Option<f64>]| values.iter().map(|v| v.map_or(f32::NAN, |v| v as f32)).collect::<Vec<_>>();
    let mut cases: Vec<Case> = Vec::new();
    for (name, range, nulls) in [
        ("bid_px_00", (650_000_000, 50_000, 400), u64::MAX),
        ("ask_px_00", (650_050_000, 50_000, 30_000), u64::MAX),
        ("bid_px_01", (-2_000_000_000, 10_000_000, 401), 3),
        ("ask_px_01", (-7, 1, 1 << 52), 50),
        ("bid_px_02", (1, 1, 1_000_000_000), 50),
        ("ask_px_02", (0, 1, 1), 1),
        ("bid_px_03", (123_456_789, 1, 1), u64::MAX),
        ("price", (0, 250_000_000, 60_000), 10),
    ] {
        let prices = numbers.prices(range, nulls);
        let floats: Vec<Option<f64>> = prices.iter().map(|price| price.map(|price| price as f64 / 1e9)).collect();
        match price_type {
            PriceType::Fixed => {
                let want = prices.iter().map(|price| price.map_or(f32::NAN, |price| price as f32)).collect();
                cases.push((name, Arc::new(Int64Array::from(prices)), want));
            }
            PriceType::Float => cases.push((name, Arc::new(Float64Array::from(floats.clone())), nearest(&floats))),
        }
    }
    let mids = numbers.prices((1_300_050_000, 50_000, 60_000), u64::MAX);
    let mids: Vec<Option<f64>> = mids.iter().map(|mid| mid.map(|mid| mid as f64 / 2e9)).collect();
    let thirds: Vec<Option<f64>> = (0..ROWS).map(|row| (row % 5 > 0).then(|| row as f64 / 3.0 - 77.7)).collect();
    for (name, values) in [("mid_price", &mids), ("imbalance_00", &thirds), ("bid_px_04", &thirds)] {
        cases.push((name, Arc::new(Float64Array::from(values.clone())), nearest(values)));
    }
    for (name, most) in [("bid_sz_00", 200), ("bid_sz_01", 60_000), ("ask_sz_00", 70_000), ("ask_sz_01", 1 << 32)] {
        let sizes: Vec<u32> = (0..ROWS).map(|_| numbers.next(most) as u32).collect();
        let want = sizes.iter().map(|size| *size as f32).collect();
        cases.push((name, Arc::new(UInt32Array::from(sizes)), want));
    }
    let flags: Vec<u8> = (0..ROWS).map(|row| row as u8).collect();
    let deltas: Vec<i32> = (0..ROWS).map(|_| numbers.next(1 << 20) as i32 - 500_000).collect();
    let large: Vec<u64> = (0..ROWS).map(|row| u64::MAX / (row as u64 + 1)).collect();
    let want: [Vec<f32>; 3] = [
        flags.iter().map(|flags| f32::from(*flags)).collect(),
        deltas.iter().map(|delta| *delta as f32).collect(),
        large.iter().map(|large| *large as f32).collect(),
    ];
    let own: Vec<f32> = (0..ROWS).map(|row| row as f32 / 7.0).collect();
    let [of_flags, of_deltas, of_large] = want;
    cases.push(("flags", Arc::new(UInt8Array::from(flags)), of_flags));
    cases.push(("ts_in_delta", Arc::new(Int32Array::from(deltas)), of_deltas));
    cases.push(("somebody's_own", Arc::new(UInt64Array::from(large)), of_large));
    cases.push(("another", Arc::new(Float32Array::from(own.clone())), own));
    cases
}

/// Writes columns as a file that passes as a dataset, with a break after row 1,234 and row groups of 700 rows.
fn write_table(path: &Path, config: &Config, cases: &[Case]) {
    let splits: DictionaryArray<Int32Type> = (0..ROWS).map(|_| "fit").collect();
    let rows = (0..ROWS as u64).map(|row| if row > 1_234 { row + 500 } else { row });
    let own: [(&str, ArrayRef); 3] = [
        ("row", Arc::new(UInt64Array::from_iter_values(rows))),
        ("classification_label", Arc::new(Int32Array::from(vec![1; ROWS]))),
        ("split", Arc::new(splits)),
    ];
    let columns = own.into_iter().chain(cases.iter().map(|(name, column, _)| (*name, Arc::clone(column))));
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let pairs = [
        (CONFIG_KEY, serde_json::to_string(config).unwrap()),
        (SYMBOL_KEY, "M6AM4".to_owned()),
        (LADDER_KEY, Ladder::default().to_json()),
    ];
    let pairs = pairs.map(|(key, value)| KeyValue::new(key.to_owned(), value)).to_vec();
    let properties =
        WriterProperties::builder().set_key_value_metadata(Some(pairs)).set_max_row_group_row_count(Some(700));
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn spec(columns: &[&str], length: u64) -> RowSpec {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    RowSpec { columns, length, normalise: Normalise::None }
}

fn window(windows: &RowWindows, place: u64) -> Result<Vec<u32>, Error> {
    let mut out = vec![7.0; windows.cells()];
    windows.read(place, &mut out)?;
    Ok(out.into_iter().map(f32::to_bits).collect())
}

#[test]
fn rows_and_windows_from_a_file_are_the_values_of_the_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"));
    for price_type in [PriceType::Float, PriceType::Fixed] {
        let config = Config { price_type, derived: vec![Derived::Imbalance], ..Config::default() };
        let (path, cases) = (folder.path().join("a_dataset.parquet"), cases(price_type));
        write_table(&path, &config, &cases);
        let mut names: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
        for length in [1, 7, 900] {
            // In any order of the columns; a column may occur twice.
            names.rotate_left(5);
            let columns = [&names[..], &names[3..4]].concat();
            let reader = || DatasetReader::open(&path).unwrap();
            let index = index(&reader(), length, 3);
            let plain = RowWindows::new(reader(), spec(&columns, length)).unwrap();
            let on = (3, &Monitor::silent());
            let cached = RowWindows::new(reader(), spec(&columns, length)).unwrap().with_file(&cache, on).unwrap();
            for place in (0..index.len()).map(|sample| index.position(sample).unwrap()) {
                let rows = (place + 1 - length) as usize..=place as usize;
                assert!(!(rows.contains(&1_234) && rows.contains(&1_235)), "no window crosses the break");
                let of_row = |row: usize| {
                    columns.iter().map(move |name| (*name, row)).map(|(name, row)| {
                        let (_, _, want) = cases.iter().find(|(own, ..)| *own == name).unwrap();
                        want[row].to_bits()
                    })
                };
                let want: Vec<u32> = rows.flat_map(of_row).collect();
                assert!(window(&plain, place).unwrap() == want, "{price_type:?} {length} {place}");
                assert!(window(&cached, place).unwrap() == want, "{price_type:?} {length} {place}");
            }
            for outside in [ROWS as u64, u64::MAX].into_iter().chain((length - 1).checked_sub(1)) {
                assert!(window(&plain, outside).is_err() && window(&cached, outside).is_err());
            }
        }
        assert_eq!(cache.files().unwrap().len(), 1, "the order of columns and the length need no other file");
        let whole: u64 = cache.remove(|_| true).unwrap().iter().map(|file| file.bytes).sum();
        assert!(whole < 80 * ROWS as u64, "{whole} bytes");
    }
}

#[test]
fn normalised_windows_are_the_same_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    simulate(&folder.path().join("market"), 4, 20_000);
    let cache = Cache::at(folder.path().join("cache"));
    for price_type in [PriceType::Float, PriceType::Fixed] {
        let _ = fs::remove_dir_all(folder.path().join("out"));
        let derived = Derived::ALL.to_vec();
        let first = dataset(folder.path(), &Config { price_type, derived, ..config() });
        let columns = first.numeric_columns();
        drop(first);
        for normalise in [Normalise::None, Normalise::Column, Normalise::Group, Normalise::Days(1)] {
            let spec = RowSpec { columns: columns.clone(), length: 100, normalise };
            let plain = RowWindows::new(dataset_again(folder.path()), spec.clone()).unwrap();
            let on = (2, &Monitor::silent());
            let cached = RowWindows::new(dataset_again(folder.path()), spec).unwrap().with_file(&cache, on).unwrap();
            let filter = SampleFilter {
                split: Split::Fit,
                period: Period::default(),
                window: 100,
                stride: 1,
                first: plain.first(),
            };
            let index = plain.reader().index(filter).unwrap().unwrap();
            assert_eq!(plain.first() > 0, normalise == Normalise::Days(1));
            if plain.first() > 0 {
                assert!(window(&plain, plain.first() - 1).is_err() && window(&cached, plain.first() - 1).is_err());
            }
            for sample in (0..index.len()).step_by(97) {
                let place = index.position(sample).unwrap();
                let (found, want) = (window(&cached, place).unwrap(), window(&plain, place).unwrap());
                assert!(found == want, "{normalise:?} {place}");
            }
        }
        assert_eq!(cache.remove(|_| true).unwrap().len(), 1);
    }
    let spec = RowSpec { columns: RowSpec::levels(2), length: 9, normalise: Normalise::Days(4) };
    let none = RowWindows::new(dataset_again(folder.path()), spec).unwrap();
    assert_eq!(none.first(), none.reader().rows(), "no row has four input files before its own");
}

#[test]
fn a_file_of_rows_that_is_damaged_or_foreign_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"));
    let (path, cases) = (folder.path().join("a_dataset.parquet"), cases(PriceType::Float));
    write_table(&path, &Config::default(), &cases);
    let open = |columns: &[&str]| {
        let reader = DatasetReader::open(&path).unwrap();
        RowWindows::new(reader, spec(columns, 5))?.with_file(&cache, (1, &Monitor::silent())).map(drop)
    };
    open(&["bid_px_00", "flags"]).unwrap();
    let own = cache.files().unwrap()[0].path.clone();
    let whole = fs::read(&own).unwrap();
    open(&["bid_px_01", "flags"]).unwrap();
    let other = cache.files().unwrap().into_iter().find(|file| file.path != own).unwrap().path;
    for bytes in [&fs::read(&other).unwrap(), &whole[..whole.len() - 1], &[&whole[..], b"0"].concat(), b""] {
        fs::write(&own, bytes).unwrap();
        let refused = open(&["bid_px_00", "flags"]).unwrap_err().to_string();
        assert!(refused.contains("is not the cache file that its name says, or is damaged"), "{refused}");
    }
    fs::write(&own, &whole).unwrap();
    open(&["flags", "bid_px_00"]).unwrap();
    // The same place, another dataset.
    write_table(&path, &Config { nbins: 5, ..Config::default() }, &cases);
    open(&["bid_px_00", "flags"]).unwrap();
    assert_eq!(cache.files().unwrap().len(), 3);
    let refused = |columns: &[&str], length| {
        let reader = DatasetReader::open(&path).unwrap();
        RowWindows::new(reader, spec(columns, length)).map(drop).unwrap_err().to_string()
    };
    assert!(refused(&["flags"], 0).contains("length: 0 is outside the range 1 to 1000000"));
    assert!(refused(&[], 1).contains("columns: name one at least"));
    assert!(refused(&["split"], 1).contains("is a label, not a feature"));
    let normalised = RowSpec { normalise: Normalise::Group, ..spec(&["flags"], 2) };
    let refused = RowWindows::new(DatasetReader::open(&path).unwrap(), normalised).map(drop).unwrap_err();
    assert!(refused.to_string().contains("a_moments.parquet"), "{refused}");
}
