//! The part of a label that is known at its row: `known_share` and the accuracies of baselines, against a slow
//! reference; and a manifest with other values.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, UInt64Type};
use common::{START, Tick, market, real_data, run, small, write_files};
use lobset::config::{Config, Targets, ThresholdScope};
use lobset::output::{SplitEntry, SymbolEntry, TargetEntry};
use lobset::validate::{Compare, Validation};
use lobset::{Duration, Error, Manifest, Monitor, Options, Thresholds};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

fn targets(texts: &[&str]) -> Targets {
    Targets(texts.iter().map(|text| text.parse().unwrap()).collect())
}

fn validate(out: &Path, inputs: &[PathBuf], compare: Option<Compare>) -> lobset::Result<Validation> {
    lobset::validate(out, compare.map(|compare| (inputs, compare)), &Options::default(), &Monitor::silent())
}

/// The symbol's entry, and that of one of its targets.
fn entry<'a>(manifest: &'a Manifest, symbol: &str, target: &str) -> (&'a SymbolEntry, &'a TargetEntry) {
    let symbol = manifest.symbols.iter().find(|entry| entry.symbol == symbol).unwrap();
    (symbol, symbol.targets.iter().find(|entry| entry.target == target).unwrap())
}

/// The labels of a dataset in the columns that end in `suffix`: row, movement, class, split.
fn labels(path: &Path, suffix: &str) -> Vec<(usize, f64, usize, String)> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let mut labels = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(&format!("{name}{suffix}")).unwrap();
        let rows = batch.column_by_name("row").unwrap().as_primitive::<UInt64Type>();
        let movements = column("price_movement").as_primitive::<Float64Type>();
        let classes = column("classification_label").as_primitive::<Int32Type>();
        let splits = column("split").as_dictionary::<Int32Type>();
        let names = splits.values().as_string::<i32>();
        for i in (0..batch.num_rows()).filter(|i| movements.is_valid(*i)) {
            let split = names.value(splits.keys().value(i) as usize).to_owned();
            labels.push((rows.value(i) as usize, movements.value(i), classes.value(i) as usize, split));
        }
    }
    labels
}

/// Compares the manifest's values for a target with the definition: `mids` has `mid2` of all rows, and the past window
/// has `lookback` rows, including the row itself with `include_row`.
fn compare(
    mids: &[i64],
    (lookback, include_row): (usize, bool),
    labels: &[(usize, f64, usize, String)],
    boundaries: &[f64],
    entry: &TargetEntry,
) {
    let known = |row: usize| {
        let end = row + usize::from(include_row);
        let behind: i128 = mids[end - lookback..end].iter().map(|mid2| i128::from(*mid2)).sum();
        (i128::from(mids[row]) * lookback as i128 - behind) as f64 / behind as f64
    };
    let class = |value: f64| boundaries.iter().filter(|boundary| **boundary <= value).count();
    let fit: Vec<_> = labels.iter().filter(|(.., split)| split == "fit").collect();
    let mut counts = vec![0; boundaries.len() + 1];
    fit.iter().for_each(|(_, _, class, _)| counts[*class] += 1);
    let majority = counts.iter().position(|count| *count == counts.iter().copied().max().unwrap());
    for (name, split) in entry.splits.as_ref().unwrap().named() {
        let mine: Vec<_> = labels.iter().filter(|(.., split)| split == name).collect();
        let share = |right: usize| (!mine.is_empty()).then(|| right as f64 / mine.len() as f64);
        let of_majority = mine.iter().filter(|(_, _, class, _)| Some(*class) == majority).count();
        let of_known = mine.iter().filter(|(row, _, found, _)| class(known(*row)) == *found).count();
        assert_eq!(split.majority_accuracy, share(of_majority).filter(|_| !fit.is_empty()), "{name}");
        assert_eq!(split.known_accuracy, share(of_known), "{name}");
    }
    let pairs: Vec<(f64, f64)> = fit.iter().map(|(row, movement, ..)| (*movement, known(*row))).collect();
    let n = pairs.len() as f64;
    let (x, y) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
    let variance = sum(&|p| (p.0 - x).powi(2)) * sum(&|p| (p.1 - y).powi(2));
    let want = if variance > 0.0 { sum(&|p| (p.0 - x) * (p.1 - y)).powi(2) / variance } else { 0.0 };
    let got = entry.known_share.unwrap();
    assert!((got - want).abs() < 1e-9, "{got} {want}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_known_equals_the_reference(
        seed: u64, days in prop::collection::vec(300..900usize, 2..4), windows in (1u64..60, 0u64..9, 1u64..60),
        include_row: bool, drop_unbalanced: bool, gap: bool,
    ) {
        let mut state = seed;
        let mut random = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let (mut ts, mut mid) = (START, 13_000_i64);
        let mut files = Vec::new();
        for rows in &days {
            let mut tick = || {
                ts += if random(200) == 0 { 90_000_000_000 } else { 1 + random(1_000_000) };
                mid += random(5) as i64 - 2;
                Tick { instrument: 7, ts, bid: mid * 50_000, ask: (mid + 1 + random(2) as i64) * 50_000 }
            };
            files.push((0..*rows).map(|_| tick()).collect::<Vec<_>>());
            ts += 3_600_000_000_000;
        }
        let folder = tempfile::tempdir().unwrap();
        let inputs = write_files(&folder.path().join("in"), &[("M6AM4", 7)], &files);
        let mids: Vec<i64> = files.iter().flatten().map(|tick| tick.mid2().unwrap()).collect();
        let (lookback_rows, lookforward_offset, lookforward_input) = windows;
        let more = ["up=means,lookback_rows=7,include_row=true,lookforward_offset=0,lookforward_input=9,classes=fixed,boundaries=-0.0001/0/0.0001", "k=fi2010(5),classes=share"];
        let config = Config {
            lookback_rows,
            lookforward_offset,
            lookforward_input,
            include_row,
            max_gap: gap.then_some(Duration(60_000_000_000)),
            drop_unbalanced,
            targets: if drop_unbalanced { Targets::default() } else { targets(&more) },
            min_symbol_samples: 1,
            ..small()
        };
        let out = folder.path().join("out");
        let manifest = match run(&inputs, &out, &config) {
            Ok(manifest) => manifest,
            // Too few rows, or too many equal movements.
            Err(Error::Data { .. }) => return Ok(()),
            Err(other) => panic!("{other}"),
        };
        // The labels of all rows, whichever rows are written.
        let all = folder.path().join("all");
        run(&inputs, &all, &Config { drop_unbalanced: false, ..config.clone() }).unwrap();
        let thresholds = Thresholds::read(&out.join("thresholds.json")).unwrap();
        let windows = [("classic", (lookback_rows, include_row)), ("up", (7, true)), ("k", (1, true))];
        for (target, (lookback, include_row)) in windows.into_iter().take(if drop_unbalanced { 1 } else { 3 }) {
            let suffix = if target == "classic" { String::new() } else { format!("_{target}") };
            let labels = labels(&all.join("AUDUSD_M6AM4_dataset.parquet"), &suffix);
            let boundaries = &thresholds.boundaries(target, "M6AM4").unwrap().values;
            let (_, entry) = entry(&manifest, "M6AM4", target);
            compare(&mids, (lookback as usize, include_row), &labels, boundaries, entry);
            if (lookback, include_row) == (1, true) {
                prop_assert_eq!(entry.known_share, Some(0.0));
            }
        }
        validate(&out, &inputs, None).unwrap();
        let proved = validate(&out, &inputs, Some(Compare::All)).unwrap().proved;
        prop_assert!(proved.checks.iter().any(|check| check.starts_with("known_share and known_accuracy")));
        prop_assert!(proved.not_checked.iter().all(|line| !line.contains("known_share")), "{:?}", proved.not_checked);
    }
}

/// Whatever else a run computes, and on however many threads, the manifest says the same about a target, bit for bit.
#[test]
fn a_target_is_told_the_same_alone_and_among_others() {
    let folder = tempfile::tempdir().unwrap();
    // More than two blocks of candidates, which other targets cut elsewhere.
    let inputs = market(&folder.path().join("market"), 2, 40_000);
    let process = |name: &str, config: &Config, threads| {
        let options = Options { threads, ..Options::default() };
        lobset::process(&inputs, &folder.path().join(name), config, None, &options, &Monitor::silent()).unwrap()
    };
    let alone = process("alone", &small(), 1);
    let config = Config { targets: targets(&["d=deeplob(3),nbins=2", "h=fi2010(900),nbins=3"]), ..small() };
    let among = process("among", &config, 3);
    let mut shares = 0;
    for symbol in alone.symbols.iter().filter(|symbol| symbol.dataset.is_some()) {
        let (_, one) = entry(&among, &symbol.symbol, "classic");
        assert_eq!(&symbol.targets[0], one);
        shares += usize::from(one.known_share.unwrap() > 0.0);
    }
    assert!(shares > 0);
}

#[test]
fn real_books_tell_half_of_the_classic_movement_at_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let share = |data: &Path, config: &Config, symbol: &str| {
        let out = folder.path().join(symbol);
        let manifest = run(&[data], &out, config).unwrap();
        validate(&out, &[data.to_owned()], Some(Compare::All)).unwrap();
        entry(&manifest, symbol, "classic").1.known_share.unwrap()
    };
    if let Some(data) = real_data("es") {
        let windows =
            Config { lookback_rows: 500, lookforward_input: 500, lookforward_offset: 50, ..Config::default() };
        let es = share(&data, &Config { min_symbol_samples: 5_000, ..windows }, "ESH4");
        assert!((0.46..0.49).contains(&es), "{es}");
    }
    if let Some(data) = real_data("crypto") {
        let config = Config { threshold_scope: ThresholdScope::Symbol, min_symbol_samples: 5_000, ..Config::default() };
        // Perpetuals; all of their rows are in the fit half.
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            let share = share(&data, &config, symbol);
            assert!((0.34..0.47).contains(&share), "{symbol}: {share}");
        }
    }
}

#[test]
fn a_manifest_that_says_otherwise_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 2, 4_000);
    // On its own, and with a target whose labels begin with the first row, so that the dataset contains more windows.
    let config = Config { targets: targets(&["h=fi2010(20),classes=share"]), ..small() };
    let made = [("alone", small()), ("both", config)].map(|(name, config)| {
        let out = folder.path().join(name);
        (run(&inputs, &out, &config).unwrap(), out)
    });
    let refused_of = |(made, out): &(Manifest, PathBuf), change: &dyn Fn(&mut TargetEntry), target: usize, compare| {
        let mut manifest = made.clone();
        change(&mut manifest.symbols[0].targets[target]);
        manifest.seal();
        std::fs::write(out.join("manifest.json"), manifest.to_json()).unwrap();
        match validate(out, &inputs, compare) {
            Err(error @ Error::Validation(_)) => Some(error.to_string()),
            Ok(_) => None,
            Err(other) => panic!("{other}"),
        }
    };
    let [alone, both] = &made;
    let refused = |change: &dyn Fn(&mut TargetEntry), target, compare| refused_of(both, change, target, compare);
    fn fit(entry: &mut TargetEntry) -> &mut SplitEntry {
        &mut entry.splits.as_mut().unwrap().fit
    }
    // Adds rows to those that the class of the known part predicts.
    fn more(split: &mut SplitEntry, rows: f64) {
        let right = (split.known_accuracy.unwrap() * split.rows as f64).round() + rows;
        split.known_accuracy = Some(right / split.rows as f64);
    }
    type Change = fn(&mut TargetEntry);
    let contradictions: [(Change, usize, &str); 7] = [
        (|e| e.known_share = None, 0, "it must have a known share if and only if"),
        (|e| e.known_share = Some(1.5), 0, "is not between 0 and 1"),
        (|e| e.known_share = Some(0.1), 1, "its known share is not 0, though its movements start from the price"),
        (|e| fit(e).majority_accuracy = Some(0.5), 0, "its majority accuracies do not follow from its counts"),
        (|e| e.splits.as_mut().unwrap().holdout.majority_accuracy = None, 0, "its majority accuracies do not follow"),
        (|e| fit(e).known_accuracy = Some(1e-9), 0, "fit: its known accuracy is not a share of its rows"),
        (|e| fit(e).known_accuracy = None, 0, "fit: its known accuracy is not a share of its rows"),
    ];
    for (change, target, reason) in contradictions {
        let text = refused(&change, target, None).unwrap();
        assert!(text.contains(reason), "{reason} in {text}");
    }
    // Only some of the known parts follow from the dataset: those of rows whose windows it contains.
    let text = refused(&|e| more(fit(e), 300.0), 0, None).unwrap();
    assert!(text.contains("fit: the known_accuracy of price_movement is"), "{text}");
    let text = refused(&|e| more(fit(e), -300.0), 1, None).unwrap();
    assert!(text.contains("fit: the known_accuracy of price_movement_h is"), "{text}");
    let embargo = |e: &mut TargetEntry| more(&mut e.splits.as_mut().unwrap().embargo, 1.0);
    let text = refused_of(alone, &embargo, 0, None).unwrap();
    assert!(text.contains("embargo: the known_accuracy of price_movement is"), "{text}");
    // All of them follow from the raw files.
    let changes: [(Change, &str); 2] = [
        (|e| more(fit(e), 1.0), "fit: the known_accuracy of price_movement is"),
        (|e| *e.known_share.as_mut().unwrap() += 1e-6, "the known_share of price_movement is"),
    ];
    for (change, reason) in changes {
        assert_eq!(refused_of(alone, &change, 0, None), None, "{reason}");
        let text = refused_of(alone, &change, 0, Some(Compare::All)).unwrap();
        assert!(text.contains(reason), "{reason} in {text}");
    }
    assert_eq!(refused_of(alone, &|_| (), 0, Some(Compare::All)), None);
}
