//! Several targets in one run: each compared with the slow reference, and with a run that has only that target.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::markets::{MAPPINGS, odd_ticks, plain, read_plain, shape};
use common::reference::{Rows, Rule, TargetReference, Wanted, Windows, reference_of};
use common::{START, Tick, contents, market, read_labels, read_target, real_data, run, small, write_files};
use lobset::config::{CLASSIC, ClassRule, Targets, ThresholdScope};
use lobset::validate::Compare;
use lobset::{
    Cluster, Config, Duration, Error, Manifest, Monitor, Options, Thresholds, process, process_as_tasks, validate,
};
use proptest::prelude::*;

use ThresholdScope::{Global, Symbol};

/// Targets by their names, the classic one first.
type Named = Vec<(String, Wanted)>;

fn target(name: &str, windows: Windows, rule: Rule, scope: ThresholdScope) -> (String, Wanted) {
    (name.to_owned(), Wanted { windows, rule, scope })
}

/// The settings with further targets, and all targets of them.
fn with_targets(config: Config, further: &[(String, Wanted)]) -> (Config, Named) {
    let classic = (CLASSIC.to_owned(), Wanted::classic(&config));
    let parse = |(name, target): &(String, Wanted)| format!("{name}={}", target.text()).parse().unwrap();
    let targets = Targets(further.iter().map(parse).collect());
    (Config { targets, ..config }, [classic].into_iter().chain(further.iter().cloned()).collect())
}

/// The suffix of the names of a target's columns.
fn suffix(name: &str) -> String {
    if name == CLASSIC { String::new() } else { format!("_{name}") }
}

fn dataset(out: &Path, config: &Config, symbol: &str) -> PathBuf {
    out.join(format!("{}_{symbol}_dataset.parquet", config.tag()))
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Compares a folder with the reference for each target.
fn compare(out: &Path, config: &Config, targets: &Named, references: &[TargetReference]) {
    let thresholds = Thresholds::read(&out.join("thresholds.json")).unwrap();
    let mut written: BTreeMap<&String, BTreeSet<u64>> = BTreeMap::new();
    for ((name, _), want) in targets.iter().zip(references) {
        let found = thresholds.of(name).unwrap();
        let global = found.global.iter().map(|one| (String::new(), one));
        let found: BTreeMap<_, _> = global.chain(found.symbols.iter().map(|(name, one)| (name.clone(), one))).collect();
        assert!(found.keys().eq(want.bounds.keys()), "{name}");
        for (symbol, want) in &want.bounds {
            let found = found[symbol];
            assert_eq!(bits(&found.values), bits(&want.values), "{name} of {symbol:?}");
            assert_eq!((found.fit_rows, found.embargo_rows), (want.fit_rows as u64, want.embargo_rows as u64));
        }
        for (symbol, labels) in &want.labels {
            written.entry(symbol).or_default().extend(labels.iter().map(|label| label.row));
        }
    }
    let manifest = Manifest::read(out).unwrap();
    assert!(manifest.datasets().map(|(symbol, _)| &symbol.symbol).eq(written.keys().copied()));
    for (symbol, rows) in written {
        for ((name, _), want) in targets.iter().zip(references) {
            let found = read_target(&dataset(out, config, symbol), &suffix(name));
            assert!(found.iter().map(|(row, _)| row).eq(&rows), "the rows of {symbol}");
            let found: Vec<_> = found.into_iter().filter_map(|(_, label)| label).collect();
            let none = Vec::new();
            let want = want.labels.get(symbol).unwrap_or(&none);
            assert_eq!(found.len(), want.len(), "{name} of {symbol}");
            found.iter().zip(want).for_each(|(found, want)| assert_eq!(found, want, "{name} of {symbol}"));
        }
    }
}

fn validated(out: &Path, inputs: &[PathBuf]) {
    for rows in [Compare::Random(3), Compare::All] {
        let found = validate(out, Some((inputs, rows)), &Options::default(), &Monitor::silent()).unwrap();
        assert!(found.against.unwrap().rows > 0);
    }
}

/// Compares the results of one target in a run with several targets with those of a run with only that target.
fn compare_with_alone(several: &Path, config: &Config, place: usize, name: &str, alone: &Path) {
    let (all, one) = (Manifest::read(several).unwrap(), Manifest::read(alone).unwrap());
    let text = |out: &Path, name: &str| {
        let thresholds = Thresholds::read(&out.join("thresholds.json")).unwrap();
        (thresholds.fit_until, serde_json::to_string(thresholds.of(name).unwrap()).unwrap())
    };
    assert_eq!(text(several, name), text(alone, CLASSIC), "{name}");
    for (of_all, of_one) in all.symbols.iter().zip(&one.symbols) {
        assert_eq!(of_all.symbol, of_one.symbol);
        let mut entry = of_all.targets[place].clone();
        assert_eq!(std::mem::replace(&mut entry.target, CLASSIC.to_owned()), name);
        assert_eq!(entry, of_one.targets[0], "{name} of {}", of_one.symbol);
        if of_one.dataset.is_some() {
            let found = read_target(&dataset(several, config, &of_all.symbol), &suffix(name));
            let found: Vec<_> = found.into_iter().filter_map(|(_, label)| label).collect();
            assert!(found == read_labels(&dataset(alone, config, &of_one.symbol)), "{name} of {}", of_one.symbol);
        }
    }
}

fn any_windows() -> impl Strategy<Value = Windows> {
    prop_oneof![
        (1i64..60, any::<bool>(), 0i64..9, 1i64..60).prop_map(|(lookback, include_row, offset, ahead)| {
            Windows::Means { lookback, include_row, offset, ahead }
        }),
        // Sometimes too long for the rarer of the two symbols.
        (50i64..200, 50i64..200)
            .prop_map(|(lookback, ahead)| { Windows::Means { lookback, include_row: false, offset: 3, ahead } }),
        (1i64..50).prop_map(|k| Windows::Fi2010 { k }),
        (1i64..50).prop_map(|k| Windows::DeepLob { k }),
        (1i64..50, any::<prop::sample::Index>()).prop_map(|(h, w)| Windows::Tlob { h, w: w.index(h as usize) as i64 }),
        (1i64..50).prop_map(|h| Windows::Return { h }),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        (2u16..5).prop_map(Rule::Quantiles),
        (0.05..0.6).prop_map(Rule::Share),
        (0.01..3.0).prop_map(Rule::Spread),
        prop::collection::btree_set(-40i32..40, 1..5)
            .prop_map(|list| Rule::Fixed(list.into_iter().map(|n| f64::from(n) * 1e-5).collect())),
    ]
}

fn any_target() -> impl Strategy<Value = Wanted> {
    let scope = prop_oneof![4 => Just(Global), 1 => Just(Symbol)];
    (any_windows(), any_rule(), scope).prop_map(|(windows, rule, scope)| Wanted { windows, rule, scope })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn every_target_of_a_run_equals_the_reference(
        shape in shape(), classic in any_target(), further in prop::collection::vec(any_target(), 1..4),
        gap in any::<bool>(), fraction in 0.3..1.0f64, least in 50u64..200, which in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let files = odd_ticks(&shape);
        let inputs = write_files(&folder.path().join("in"), &MAPPINGS, &files);
        let config = classic.alone(&Config {
            sample_fraction: fraction,
            max_gap: gap.then_some(Duration(60_000_000_000)),
            min_symbol_samples: least,
            ..small()
        });
        let further: Named = further.into_iter().enumerate().map(|(i, target)| (format!("t{i}"), target)).collect();
        let (config, targets) = with_targets(config, &further);
        let (symbols, until, fit_files) = plain(&files, &config);
        let reference = |target: &Wanted| reference_of(&symbols, until, &fit_files, &config, target);
        let references: Option<Vec<TargetReference>> = targets.iter().map(|(_, target)| reference(target)).collect();
        let (out, alone) = (folder.path().join("out"), folder.path().join("alone"));
        let outcome = run(&inputs, &out, &config);
        match references {
            Some(references) => {
                outcome.unwrap();
                compare(&out, &config, &targets, &references);
                validated(&out, &inputs);
                let place = which.index(targets.len());
                let (name, target) = &targets[place];
                run(&inputs, &alone, &target.alone(&config)).unwrap();
                compare_with_alone(&out, &config, place, name, &alone);
            }
            None => prop_assert!(matches!(outcome, Err(Error::Data { .. })), "{:?}", outcome.map(|_| ())),
        }
    }
}

/// Four presets and long windows, each rule of classes, both scopes.
fn five() -> Named {
    let long = Windows::Means { lookback: 2_500, include_row: false, offset: 100, ahead: 2_500 };
    vec![
        target("h10", Windows::Return { h: 10 }, Rule::Share(0.4), Global),
        target("near", Windows::Fi2010 { k: 90 }, Rule::Quantiles(3), Symbol),
        target("lob", Windows::DeepLob { k: 50 }, Rule::Spread(0.25), Symbol),
        target("Paper_2", Windows::Tlob { h: 60, w: 9 }, Rule::Fixed(vec![-2e-5, 0.0, 3e-5]), Global),
        target("long", long, Rule::Quantiles(2), Global),
    ]
}

#[test]
fn each_of_five_targets_is_that_of_the_reference_and_of_a_run_with_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 4, 9_000);
    let (config, targets) = with_targets(small(), &five());
    let out = folder.path().join("out");
    let manifest = run(&inputs, &out, &config).unwrap();
    let (symbols, until, fit_files) = read_plain(&inputs);
    let reference = |(_, target): &(String, Wanted)| reference_of(&symbols, until, &fit_files, &config, target);
    let references: Vec<TargetReference> = targets.iter().map(|target| reference(target).unwrap()).collect();
    // Every symbol has a dataset, and one of the symbols is too short for one of the targets.
    assert!(references[0].labels.len() > references[5].labels.len() && !references[5].labels.is_empty());
    compare(&out, &config, &targets, &references);
    validated(&out, &inputs);
    let without = |warning: &&String| warning.contains(", long: no labels: ");
    assert_eq!(manifest.warnings.iter().filter(without).count(), 1, "{:?}", manifest.warnings);
    for (place, (name, target)) in targets.iter().enumerate() {
        let alone = folder.path().join(name);
        run(&inputs, &alone, &target.alone(&config)).unwrap();
        compare_with_alone(&out, &config, place, name, &alone);
    }
}

#[test]
fn threads_and_tasks_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 3, 9_000);
    let (config, _) = with_targets(small(), &five());
    let out = |name: &str| folder.path().join(name);
    let silent = Monitor::silent();
    for threads in 1..=4 {
        let options = Options { threads, ..Options::default() };
        process(&inputs, &out(&threads.to_string()), &config, None, &options, &silent).unwrap();
    }
    let threads = lobset::Threads::new(2);
    process_as_tasks(Cluster::new(&threads), &inputs, &out("tasks"), &config, None, &Options::default(), &silent)
        .unwrap();
    let want = contents(&out("1"));
    assert!(want.len() > 4);
    for other in ["2", "3", "4", "tasks"] {
        assert!(contents(&out(other)) == want, "{other}");
    }
    // The files may be named in any order.
    let reversed: Vec<&PathBuf> = inputs.iter().rev().collect();
    run(&reversed, &out("reversed"), &config).unwrap();
    assert!(contents(&out("reversed")) == want);
}

#[test]
fn thresholds_alone_build_the_same_datasets_and_other_targets_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 3, 9_000);
    let (config, _) = with_targets(small(), &five());
    let place = |name: &str| folder.path().join(name);
    let (options, silent) = (Options::default(), Monitor::silent());
    let thresholds = lobset::fit_thresholds(&inputs, &place("t.json"), &config, &options, &silent).unwrap();
    run(&inputs, &place("whole"), &config).unwrap();
    assert_eq!(std::fs::read(place("t.json")).unwrap(), std::fs::read(place("whole/thresholds.json")).unwrap());
    assert_eq!(Thresholds::read(&place("t.json")).unwrap(), thresholds);
    let manifest = lobset::build(&inputs, &place("built"), &config, &thresholds, &options, &silent).unwrap();
    for (_, dataset) in manifest.datasets() {
        let read = |folder: &str| std::fs::read(place(folder).join(&dataset.file)).unwrap();
        assert!(read("built") == read("whole"), "{}", dataset.file);
    }
    validate(&place("built"), Some((&inputs, Compare::All)), &options, &silent).unwrap();
    let (other, _) = with_targets(small(), &five()[..4]);
    let refused = lobset::build(&inputs, &place("other"), &other, &thresholds, &options, &silent).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("targets: ") && text.contains("long="), "{text}");
}

/// A market whose asks are `ticks` above the bids.
fn quoted(folder: &Path, ticks: i64) -> Vec<PathBuf> {
    let steps: Vec<i8> = (0..900_i32).map(|i| (i * i % 7 - 3) as i8 % 3).collect();
    let mut files = walk(&steps);
    files.iter_mut().flatten().for_each(|tick| tick.ask = tick.bid + ticks * 50_000);
    write_files(folder, &[("M6AM4", 7)], &files)
}

#[test]
fn spreads_of_zero_leave_zeros_stationary_and_spreads_below_zero_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let by_spread = target("s", Windows::Return { h: 5 }, Rule::Spread(2.0), Global);
    let (config, _) = with_targets(Config { keep_crossed: true, nbins: 2, ..small() }, &[by_spread]);
    let out = folder.path().join("out");
    let locked = quoted(&folder.path().join("locked"), 0);
    run(&locked, &out, &config).unwrap();
    let thresholds = Thresholds::read(&out.join("thresholds.json")).unwrap();
    assert_eq!(thresholds.boundaries("s", "M6AM4").unwrap().values, [0.0, f64::from_bits(1)]);
    validated(&out, &locked);
    let crossed = quoted(&folder.path().join("crossed"), -1);
    let error = run(&crossed, &out, &config).unwrap_err();
    let told = format!("{error} help: {}", error.help().unwrap_or_default());
    for part in ["target \"s\": all symbols together: the mean relative spread of the fit rows is -7", "crossed quotes"]
    {
        assert!(matches!(error, Error::Data { .. }) && told.contains(part), "{part} in {told}");
    }
}

#[test]
fn only_several_targets_make_columns_that_can_be_null() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 2, 9_000);
    let (several, targets) = with_targets(small(), &five()[..2]);
    let nullable = |config: &Config| -> Vec<bool> {
        let out = folder.path().join("out");
        run(&inputs, &out, config).unwrap();
        let file = std::fs::File::open(dataset(&out, config, "M6AM4")).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let schema = reader.schema();
        let labels = ["price_movement", "classification_label", "split", "balanced"];
        let names = config.all_targets().into_iter().flat_map(|target| labels.map(|column| target.column(column)));
        names.map(|name| schema.field_with_name(&name).unwrap().is_nullable()).collect()
    };
    assert_eq!(nullable(&small()), [false; 4]);
    assert_eq!(nullable(&several), [true; 12]);
    // Only rows at the ends lack a label of a target: the windows reach at most 50 and 20 rows back, and 45 ahead.
    let rows = read_target(&dataset(&folder.path().join("out"), &several, "M6AM4"), "");
    let first = rows.iter().position(|(_, label)| label.is_some()).unwrap();
    assert_eq!((rows[0].0, first, rows.iter().filter(|(_, label)| label.is_none()).count()), (0, 50, 85));
    assert_eq!(targets.len(), 3);
}

/// Compares a run on real files with the reference.
fn real_files_equal_the_reference(name: &str, config: Config, further: &Named) {
    let Some(data) = real_data(name) else { return };
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(data).unwrap().map(|e| e.unwrap().path()).collect();
    inputs.sort();
    let folder = tempfile::tempdir().unwrap();
    let (config, targets) = with_targets(config, further);
    let out = folder.path().join("out");
    run(&inputs, &out, &config).unwrap();
    let (symbols, until, fit_files): (BTreeMap<String, Rows>, _, _) = read_plain(&inputs);
    let reference = |(_, target): &(String, Wanted)| reference_of(&symbols, until, &fit_files, &config, target);
    let references: Vec<TargetReference> = targets.iter().map(|target| reference(target).unwrap()).collect();
    compare(&out, &config, &targets, &references);
    validate(&out, Some((&inputs, Compare::All)), &Options::default(), &Monitor::silent()).unwrap();
}

fn on_real_files() -> Config {
    Config { lookback_rows: 500, lookforward_input: 500, min_symbol_samples: 2_000, nbins: 13, ..small() }
}

fn of_real_files() -> Named {
    vec![
        target("r100", Windows::Return { h: 100 }, Rule::Share(0.5), Global),
        target("fi", Windows::Fi2010 { k: 50 }, Rule::Spread(1.0), Symbol),
        target("lob", Windows::DeepLob { k: 200 }, Rule::Quantiles(5), Symbol),
        target("tlob", Windows::Tlob { h: 300, w: 9 }, Rule::Fixed(vec![-1e-4, 1e-4]), Global),
    ]
}

#[test]
fn targets_of_real_futures_equal_the_reference() {
    real_files_equal_the_reference("es", on_real_files(), &of_real_files());
}

#[test]
fn targets_of_real_crypto_equal_the_reference() {
    // Also the classic target with another rule of classes.
    let config = Config { classes: ClassRule::Share, include_row: true, ..on_real_files() };
    real_files_equal_the_reference("crypto", config, &of_real_files());
}

/// Targets whose windows are short enough for the walks below.
fn short() -> Named {
    vec![
        target("fi", Windows::Fi2010 { k: 20 }, Rule::Quantiles(3), Global),
        target("lob", Windows::DeepLob { k: 30 }, Rule::Share(0.3), Symbol),
        target("tlob", Windows::Tlob { h: 25, w: 4 }, Rule::Spread(0.5), Global),
        target("ret", Windows::Return { h: 15 }, Rule::Share(0.2), Global),
        target("fix", Windows::Return { h: 7 }, Rule::Fixed(vec![-1e-4, 1e-4]), Global),
    ]
}

/// Four files of a walk of one symbol.
fn walk(steps: &[i8]) -> Vec<Vec<Tick>> {
    let mut mid = 13_000;
    let step = |(i, step): (usize, &i8)| {
        mid += i64::from(*step);
        Tick { instrument: 7, ts: START + i as u64 * 1_000_000, bid: mid * 50_000, ask: (mid + 1) * 50_000 }
    };
    let ticks: Vec<Tick> = steps.iter().enumerate().map(step).collect();
    ticks.chunks(ticks.len() / 4).map(<[Tick]>::to_vec).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn prices_after_t_change_no_byte_of_the_thresholds_of_any_target(
        steps in prop::collection::vec(-2i8..=2, 900..1200), changes in prop::collection::vec((any::<prop::sample::Index>(), 1i64..30, 1i64..9), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (config, _) = with_targets(small(), &short());
        let mut files = walk(&steps);
        let first = write_files(&folder.path().join("first"), &[("M6AM4", 7)], &files);
        let (half, until) = (files.len() / 2, files[files.len() / 2][0].ts);
        for (at, by, wider) in changes {
            let file = half + at.index(files.len() - half);
            let place = at.index(files[file].len());
            let tick = &mut files[file][place];
            prop_assert!(tick.ts >= until);
            tick.bid += by * 50_000;
            // The spread is an input of the boundaries too.
            tick.ask += (by + wider) * 50_000;
        }
        let second = write_files(&folder.path().join("second"), &[("M6AM4", 7)], &files);
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let outcome = run(&first, &a, &config);
        prop_assume!(outcome.is_ok());
        run(&second, &b, &config).unwrap();
        let read = |out: &Path| std::fs::read(out.join("thresholds.json")).unwrap();
        prop_assert_eq!(read(&a), read(&b));
        for (name, _) in short() {
            let read = |out: &Path| read_target(&dataset(out, &config, "M6AM4"), &suffix(&name));
            let (a, b) = (read(&a), read(&b));
            let of = |split: &str, rows: &[(u64, Option<common::Labelled>)]| -> Vec<_> {
                rows.iter().filter_map(|(_, label)| label.clone()).filter(|label| label.split == split).collect()
            };
            prop_assert_eq!(of("fit", &a), of("fit", &b));
            prop_assert_ne!(of("holdout", &a), of("holdout", &b));
        }
    }

    #[test]
    fn a_row_changes_only_labels_whose_windows_hold_it(
        steps in prop::collection::vec(-2i8..=2, 700..800), place in any::<prop::sample::Index>(), by in 1i64..50,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (config, targets) = with_targets(Config { nbins: 2, ..small() }, &short());
        let mut files = walk(&steps);
        let first = write_files(&folder.path().join("first"), &[("M6AM4", 7)], &files);
        let (out, options, silent) = (folder.path().join("t.json"), Options::default(), Monitor::silent());
        let fitted = lobset::fit_thresholds(&first, &out, &config, &options, &silent);
        prop_assume!(fitted.is_ok());
        let thresholds = fitted.unwrap();
        let changed = place.index(steps.len());
        let per_file = files[0].len();
        let tick = &mut files[changed / per_file][changed % per_file];
        tick.bid += by * 50_000;
        tick.ask += by * 50_000;
        let second = write_files(&folder.path().join("second"), &[("M6AM4", 7)], &files);
        for (inputs, name) in [(&first, "a"), (&second, "b")] {
            lobset::build(inputs, &folder.path().join(name), &config, &thresholds, &options, &silent).unwrap();
        }
        for (name, target) in &targets {
            let read = |out: &str| read_target(&dataset(&folder.path().join(out), &config, "M6AM4"), &suffix(name));
            let (before, after) = (read("a"), read("b"));
            prop_assert_eq!(before.len(), after.len());
            let mut moved = 0;
            for ((row, a), (_, b)) in before.iter().zip(&after) {
                prop_assert_eq!(a.is_some(), b.is_some());
                let (Some(a), Some(b)) = (a, b) else { continue };
                prop_assert_eq!((a.row, &a.split), (b.row, &b.split));
                if target.windows.hold(*row, changed as u64) {
                    prop_assert_ne!(a.movement, b.movement);
                    moved += 1;
                } else {
                    prop_assert_eq!((a.movement, a.label), (b.movement, b.label));
                }
            }
            // All rows but the first and last few are in some window.
            prop_assert!(moved > 0 || changed < 100 || changed + 100 > steps.len());
        }
    }
}
