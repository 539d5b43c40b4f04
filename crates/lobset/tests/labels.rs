//! Labels, splits, marks and boundaries against the slow reference, on markets of many shapes and on real files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::markets::{MAPPINGS, Shape, TICK, odd_ticks, plain, read_plain, shape};
use common::reference::{Reference, quantiles, reference};
use common::{DAY, START, Tick, read_labels, run, small, write_files};
use lobset::config::{Config, ThresholdScope};
use lobset::validate::Compare;
use lobset::{Duration, Error, Thresholds};
use proptest::prelude::*;

fn compare(out: &Path, want: &Reference, currency: &str) {
    let thresholds = Thresholds::read(&out.join("thresholds.json")).unwrap();
    let fit = thresholds.classic.global.unwrap();
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&fit.values), bits(&want.boundaries));
    assert_eq!((fit.fit_rows, fit.embargo_rows), (want.fit_rows as u64, want.embargo_rows as u64));
    for (symbol, rows) in &want.datasets {
        let got = read_labels(&out.join(format!("{currency}_{symbol}_dataset.parquet")));
        assert_eq!(got.len(), rows.len(), "{symbol}");
        for (got, want) in got.iter().zip(rows) {
            assert_eq!(got, want, "{symbol}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn runs_equal_the_reference(
        shape in shape(), nbins in 2u16..8, windows in (1u64..60, 0u64..9, 1u64..60), gap in any::<bool>(), fraction in 0.2..1.0f64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let files = odd_ticks(&shape);
        let inputs = write_files(&folder.path().join("in"), &MAPPINGS, &files);
        let config = Config {
            lookback_rows: windows.0,
            lookforward_offset: windows.1,
            lookforward_input: windows.2,
            nbins,
            sample_fraction: fraction,
            max_gap: gap.then_some(Duration(60_000_000_000)),
            ..small()
        };
        let out = folder.path().join("out");
        let (symbols, until, fit_files) = plain(&files, &config);
        let outcome = run(&inputs, &out, &config);
        match reference(&symbols, until, &fit_files, &config) {
            Some(want) => {
                let manifest = outcome.unwrap();
                prop_assert_eq!(manifest.datasets().count(), want.datasets.len());
                compare(&out, &want, "AUDUSD");
                let against = lobset::validate(&out, Some((&inputs, Compare::Random(3))), &Default::default(), &lobset::Monitor::silent()).unwrap();
                prop_assert!(against.against.unwrap().rows > 0);
            }
            None => prop_assert!(matches!(outcome, Err(Error::Data { .. })), "{:?}", outcome.map(|_| ())),
        }
    }
}

#[test]
fn a_simulated_market_equals_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = common::market(&folder.path().join("market"), 4, 9_000);
    let out = folder.path().join("out");
    let config = Config {
        lookback_rows: 400,
        lookforward_input: 300,
        lookforward_offset: 30,
        nbins: 21,
        min_symbol_samples: 400,
        ..Config::default()
    };
    run(&inputs, &out, &config).unwrap();
    let (symbols, until, fit_files) = read_plain(&inputs);
    compare(&out, &reference(&symbols, until, &fit_files, &config).unwrap(), "AUDUSD");
}

fn real_files_equal_the_reference(name: &str, config: &Config) {
    let Some(folder) = common::real_data(name) else { return };
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    inputs.sort();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    run(&inputs, &out, config).unwrap();
    let (symbols, until, fit_files) = read_plain(&inputs);
    compare(&out, &reference(&symbols, until, &fit_files, config).unwrap(), config.tag());
    lobset::validate(&out, Some((&inputs, Compare::Random(1))), &Default::default(), &lobset::Monitor::silent())
        .unwrap();
}

#[test]
fn real_futures_equal_the_reference() {
    let config = Config {
        lookback_rows: 500,
        lookforward_input: 500,
        lookforward_offset: 50,
        nbins: 13,
        min_symbol_samples: 2_000,
        ..Config::preset("ES")
    };
    real_files_equal_the_reference("es", &config);
}

#[test]
fn real_crypto_equals_the_reference() {
    let config = Config {
        lookback_rows: 500,
        lookforward_input: 500,
        lookforward_offset: 50,
        min_symbol_samples: 2_000,
        ..Config::preset("CRYPTO")
    };
    real_files_equal_the_reference("crypto", &config);
}

#[test]
fn each_symbol_can_have_boundaries_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = common::market(&folder.path().join("market"), 4, 6_000);
    let out = folder.path().join("out");
    let config = Config { threshold_scope: ThresholdScope::Symbol, ..small() };
    run(&inputs, &out, &config).unwrap();
    let thresholds = Thresholds::read(&out.join("thresholds.json")).unwrap();
    assert!(thresholds.classic.global.is_none());
    assert!(thresholds.classic.symbols.len() >= 2);
    for (symbol, fit) in &thresholds.classic.symbols {
        let rows = read_labels(&out.join(format!("AUDUSD_{symbol}_dataset.parquet")));
        let fit_rows = rows.iter().filter(|r| r.split == "fit").map(|r| f64::from_bits(r.movement)).collect();
        assert_eq!(fit.values, quantiles(fit_rows, config.nbins), "{symbol}");
    }
}

#[test]
fn dropping_unbalanced_rows_leaves_the_marked_ones() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = common::market(&folder.path().join("market"), 3, 6_000);
    let (all, marked) = (folder.path().join("all"), folder.path().join("marked"));
    run(&inputs, &all, &small()).unwrap();
    run(&inputs, &marked, &Config { drop_unbalanced: true, ..small() }).unwrap();
    let name = "AUDUSD_M6AM4_dataset.parquet";
    let want: Vec<_> = read_labels(&all.join(name)).into_iter().filter(|r| r.balanced).collect();
    assert!(!want.is_empty());
    assert_eq!(read_labels(&marked.join(name)), want);
    lobset::validate(&marked, Some((&inputs, Compare::Random(5))), &Default::default(), &lobset::Monitor::silent())
        .unwrap();
}

/// A symbol that moves all the time, and one with a tenth of the records that stands still except for a few spikes.
fn still_beside_moving() -> Vec<Vec<Tick>> {
    let mut mid = 13_000;
    let file = |day: u64| {
        let tick = |i: u64| {
            let still = i % 10 == 9;
            if !still {
                mid += (i * 7_919 % 5) as i64 - 2 + (i * 31 % 7 / 6) as i64;
            }
            let spike = if i % 1_000 == 509 { 3 } else { 0 };
            let (instrument, bid) = if still { (9, (13_000 + spike) * TICK) } else { (7, mid * TICK) };
            Tick { instrument, ts: START + day * DAY + i * 1_000_000, bid, ask: bid + TICK }
        };
        (0..4_000).map(tick).collect()
    };
    (0..2).map(file).collect()
}

#[test]
fn a_symbol_with_most_rows_in_one_class_has_as_many_marks_of_every_class() {
    let folder = tempfile::tempdir().unwrap();
    let files = still_beside_moving();
    let inputs = write_files(&folder.path().join("in"), &MAPPINGS, &files);
    let config = Config { nbins: 3, lookback_rows: 1, lookforward_input: 1, lookforward_offset: 0, ..small() };
    let out = folder.path().join("out");
    let manifest = run(&inputs, &out, &config).unwrap();
    let (symbols, until, fit_files) = plain(&files, &config);
    compare(&out, &reference(&symbols, until, &fit_files, &config).unwrap(), "AUDUSD");
    let (still, _) = manifest.datasets().find(|(symbol, _)| symbol.symbol == "M6AM4-M6AU4").unwrap();
    let (_, splits) = still.splits().next().unwrap();
    for (split, entry) in splits.named().into_iter().filter(|(split, _)| *split != "embargo") {
        let classes = &entry.classes;
        assert!(classes.iter().all(|c| *c > 0) && entry.rows > 90 * classes[0], "{split}: {classes:?}");
        let k = *classes.iter().min().unwrap();
        assert_eq!((&entry.balanced, &entry.short), (&vec![k; 3], &vec![]), "{split}");
        let told = format!("M6AM4-M6AU4: most classes are small in {split}, so the smallest, with {k} rows, sets");
        assert!(manifest.warnings.iter().any(|w| w.starts_with(&told)), "{:?}", manifest.warnings);
    }
    lobset::validate(&out, Some((&inputs, Compare::All)), &Default::default(), &lobset::Monitor::silent()).unwrap();
}

#[test]
fn the_boundary_time_can_be_set() {
    let folder = tempfile::tempdir().unwrap();
    let files = odd_ticks(&Shape { files: vec![500, 500, 500], seed: 4, odd: [0; 4], roll: None, second: 13_000 });
    let inputs = write_files(&folder.path().join("in"), &MAPPINGS, &files);
    let until = lobset::Timestamp(files[2][250].ts);
    assert!(until.0 < START + DAY);
    let config = Config { fit_until: Some(until), ..small() };
    let out = folder.path().join("out");
    run(&inputs, &out, &config).unwrap();
    let (symbols, until, fit_files) = plain(&files, &config);
    assert_eq!(fit_files, [0, 1, 2]);
    compare(&out, &reference(&symbols, until, &fit_files, &config).unwrap(), "AUDUSD");
}

/// Two files of three instruments in turn: an outright, a similar one, and a calendar spread with positive prices.
fn outrights_and_spread(folder: &Path, symbols: &[(&str, u32)]) -> Vec<PathBuf> {
    let files = [START, START + DAY].map(|start| {
        let mut state = start;
        let mut mids = [13_000_i64, 13_000, 60];
        let mut file = Vec::new();
        for i in 0..6_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let which = i as usize % 3;
            mids[which] += (state >> 33) as i64 % 3 - 1;
            mids[which] = mids[which].max(30);
            let (instrument, bid) = (7 + which as u32, mids[which] * TICK);
            if symbols.iter().any(|(_, id)| *id == instrument) {
                file.push(Tick { instrument, ts: start + i * 1_000_000, bid, ask: bid + TICK });
            }
        }
        file
    });
    write_files(folder, symbols, &files)
}

#[test]
fn a_symbol_far_from_uniform_in_its_own_fit_half_is_warned_of_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let config = |threshold_scope| Config { threshold_scope, nbins: 3, ..small() };
    let global = config(ThresholdScope::Global);
    let about = |warnings: &[String], symbol: &str| -> Vec<String> {
        let prefix = format!("{symbol}: its fit half is");
        warnings.iter().filter(|w| w.starts_with(&prefix)).cloned().collect()
    };
    let mixed = outrights_and_spread(&place("mixed"), &[("M6AM4", 7), ("M6AM4-M6AU4", 9)]);
    let manifest = run(&mixed, &place("out"), &global).unwrap();
    for symbol in ["M6AM4", "M6AM4-M6AU4"] {
        let found = about(&manifest.warnings, symbol);
        assert!(matches!(&found[..], [one] if one.contains("threshold_scope = \"symbol\"")), "{:?}", manifest.warnings);
    }
    for file in ["manifest.json", "report.html"] {
        let text = std::fs::read_to_string(place("out").join(file)).unwrap();
        assert!(text.contains("M6AM4: its fit half is"), "{file}");
    }
    // The suggested setting removes the warning, and similar instruments get none.
    let each = run(&mixed, &place("each"), &config(ThresholdScope::Symbol)).unwrap();
    assert!(!each.warnings.iter().any(|w| w.contains("from uniform")), "{:?}", each.warnings);
    let alike = outrights_and_spread(&place("alike"), &[("M6AM4", 7), ("M6AU4", 8)]);
    let manifest = run(&alike, &place("out-alike"), &global).unwrap();
    assert!(!manifest.warnings.iter().any(|w| w.contains("from uniform")), "{:?}", manifest.warnings);

    // For boundaries from another run, the warning suggests something else.
    let spread = outrights_and_spread(&place("spread"), &[("M6AM4-M6AU4", 9)]);
    run(&spread, &place("out-spread"), &global).unwrap();
    let foreign = Thresholds::read(&place("out-spread").join("thresholds.json")).unwrap();
    let outright = outrights_and_spread(&place("outright"), &[("M6AM4", 7)]);
    let manifest = lobset::process(
        &outright,
        &place("out-foreign"),
        &global,
        Some(&foreign),
        &lobset::Options::default(),
        &lobset::Monitor::silent(),
    )
    .unwrap();
    let found = about(&manifest.warnings, "M6AM4");
    assert!(matches!(&found[..], [one] if one.contains("fit new ones on it")), "{:?}", manifest.warnings);
}
