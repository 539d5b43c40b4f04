//! The same bytes whatever the order, the threads or what happened before; OUT is complete or absent.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{contents, market, run, small};
use lobset::config::{Columns, Compression, PriceType};
use lobset::validate::Compare;
use lobset::{Config, Error, Event, Monitor, Options, Stage, process};

#[test]
fn order_threads_and_ways_of_naming_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mut inputs = market(&folder.path().join("market"), 4, 8_000);
    let out = |name: &str| folder.path().join(name);
    run(&inputs, &out("first"), &small()).unwrap();
    let want = contents(&out("first"));
    assert!(want.len() >= 5, "{:?}", want.keys());
    inputs.reverse();
    inputs.swap(0, 2);
    for threads in [1, 3, 8] {
        let name = format!("threads-{threads}");
        process(&inputs, &out(&name), &small(), None, &Options { threads, ..Options::default() }, &Monitor::silent())
            .unwrap();
        assert_eq!(contents(&out(&name)), want);
    }
    run(&[folder.path().join("market")], &out("folder"), &small()).unwrap();
    run(&[folder.path().join("mark*").join("*.zst")], &out("glob"), &small()).unwrap();
    assert_eq!(contents(&out("folder")), want);
    assert_eq!(contents(&out("glob")), want);
    // No work folder is left behind.
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().starts_with('.')), "{left:?}");
}

#[test]
fn every_form_of_output_is_validated_against_the_raw_files() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 2, 6_000);
    for (i, compression) in
        [Compression::Snappy, Compression::Lz4, Compression::None, Compression::Zstd].into_iter().enumerate()
    {
        let config = Config {
            compression,
            price_type: if i % 2 == 0 { PriceType::Fixed } else { PriceType::Float },
            columns: if i < 2 { Columns::All } else { Columns::Book },
            force_uniform: i != 3,
            ..small()
        };
        let out = folder.path().join(format!("out-{i}"));
        let manifest = run(&inputs, &out, &config).unwrap();
        assert!(manifest.validation.is_some());
        let proof =
            lobset::validate(&out, Some((&inputs, Compare::Random(9))), &Options::default(), &Monitor::silent())
                .unwrap();
        assert_eq!(proof.against.unwrap().rows, 1_000);
    }
}

#[test]
fn an_output_that_exists_is_replaced_only_when_asked_and_only_if_it_is_ours() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 2, 4_000);
    let out = folder.path().join("out");
    let go = |overwrite| {
        process(&inputs, &out, &small(), None, &Options { overwrite, ..Options::default() }, &Monitor::silent())
    };
    go(false).unwrap();
    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    let error = go(false).unwrap_err();
    assert!(matches!(error, Error::Output { .. }) && error.help().unwrap().contains("--overwrite"));
    let error = go(true).unwrap_err();
    assert!(error.to_string().ends_with(r#"does not replace it: "notes.txt""#), "{error}");
    assert_eq!(std::fs::read(out.join("notes.txt")).unwrap(), b"mine");
    std::fs::remove_file(out.join("notes.txt")).unwrap();
    go(true).unwrap();
    let foreign = folder.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("data.parquet"), "precious").unwrap();
    let error = run(&inputs, &foreign, &small()).unwrap_err();
    assert!(error.to_string().contains("is not a lobset dataset"), "{error}");
    assert_eq!(std::fs::read(foreign.join("data.parquet")).unwrap(), b"precious");

    // A file that appears during the run.
    let stop = AtomicBool::new(false);
    let report = |event: Event| {
        if matches!(event, Event::Begin(Stage::Validate, _)) {
            std::fs::write(out.join("notes.txt"), "mine").unwrap();
        }
    };
    let options = Options { overwrite: true, ..Options::default() };
    let before = std::fs::read(out.join("manifest.json")).unwrap();
    let error = process(&inputs, &out, &small(), None, &options, &Monitor::new(&report, &stop)).unwrap_err();
    assert!(
        error.to_string().ends_with(
            r#"out: contains files that are not part of the dataset, so --overwrite does not replace it: "notes.txt""#
        ),
        "{error}"
    );
    assert_eq!(std::fs::read(out.join("notes.txt")).unwrap(), b"mine");
    assert_eq!(std::fs::read(out.join("manifest.json")).unwrap(), before);
}

#[test]
fn out_and_the_input_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let inputs = market(&at("ov/raw"), 2, 4_000);
    // A dataset around the input, as if left by an earlier run.
    run(&inputs, &at("made"), &small()).unwrap();
    for file in std::fs::read_dir(at("made")).unwrap().map(|entry| entry.unwrap().path()) {
        std::fs::copy(&file, at("ov").join(file.file_name().unwrap())).unwrap();
    }
    std::os::unix::fs::symlink(at("ov"), at("link")).unwrap();
    let bytes: Vec<_> = inputs.iter().map(|path| std::fs::read(path).unwrap()).collect();
    std::fs::create_dir(at(".x.lobset-work")).unwrap();
    let inside = at(".x.lobset-work/day.dbn.zst");
    std::fs::copy(&inputs[0], &inside).unwrap();

    let (raw, one) = (at("ov/raw"), inputs[0].clone());
    let cases = [
        (&raw, at("ov"), "it contains the input folder"),
        (&raw, at("link"), "it contains the input folder"),
        (&raw, at("nowhere/../ov"), "it contains the input folder"),
        (&raw, at("ov/raw"), "it is the input folder"),
        (&raw, at("ov/raw/out"), "it is inside the input folder"),
        (&raw, at("link/raw/new/out"), "it is inside the input folder"),
        (&raw, one.clone(), "it is inside the input folder"),
        (&one, raw.clone(), "it contains the input file"),
        (&one, one.clone(), "it is the input file"),
        (&inside, at("x"), "its work folder contains the input file"),
    ];
    let before = |folder: &Path| -> Vec<_> {
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let there = [before(folder.path()), before(&at("ov")), before(&raw)];
    let options = Options { overwrite: true, ..Options::default() };
    for (input, out, want) in cases {
        let real = std::fs::canonicalize(input).unwrap();
        for error in [
            run(&[input], &out, &small()).unwrap_err(),
            lobset::fit_thresholds(&[input], &out, &small(), &options, &Monitor::silent()).unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(matches!(error, Error::Output { .. }) && text.starts_with(out.to_str().unwrap()), "{text}");
            assert!(text.ends_with(&format!("{want} {real:?}")), "{text}");
        }
    }
    assert_eq!([before(folder.path()), before(&at("ov")), before(&raw)], there);
    assert!(inputs.iter().zip(bytes).all(|(path, bytes)| std::fs::read(path).unwrap() == bytes));
    // Next to an input file is not inside it.
    let plain = market(&at("plain"), 1, 4_000);
    run(&plain, &at("plain/beside"), &small()).unwrap();
    // A run never adds to a dataset, and never replaces anything in it.
    let text = run(&[&one], &at("ov/raw/beside"), &small()).unwrap_err().to_string();
    assert!(text.ends_with("ov: is a lobset dataset, which must not contain anything else"), "{text}");
    let inside = lobset::fit_thresholds(&inputs, &at("ov/thresholds.json"), &small(), &options, &Monitor::silent());
    assert!(inside.unwrap_err().to_string().ends_with("is a lobset dataset, which must not contain anything else"));
    assert_eq!(before(&at("ov")), there[1]);
}

#[test]
fn a_run_that_fails_late_leaves_out_alone_and_the_next_one_goes_on_from_its_scans() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 3, 5_000);
    let out = folder.path().join("out");
    let error = run(&inputs, &out, &Config { min_symbol_samples: 1_000_000, ..small() }).unwrap_err();
    assert!(matches!(error, Error::Data { .. }));
    assert!(!out.exists());
    let work = folder.path().join(".out.lobset-work");
    assert!(work.is_dir());
    // One of the files changes, and one receipt is damaged: those two are scanned again.
    let bytes = std::fs::read(&inputs[2]).unwrap();
    std::fs::remove_file(&inputs[2]).unwrap();
    lobset_sim::Market { days: 3, rows: 5_100, ..Default::default() }
        .write(&folder.path().join("other"), |_| ())
        .unwrap();
    std::fs::copy(folder.path().join("other").join(inputs[2].file_name().unwrap()), &inputs[2]).unwrap();
    assert_ne!(std::fs::read(&inputs[2]).unwrap(), bytes);
    let manifest = run(&inputs, &out, &small()).unwrap();
    assert_eq!(manifest.timings.scans_reused, 2);
    assert!(!work.exists());
    let again = folder.path().join("again");
    run(&inputs, &again, &small()).unwrap();
    assert_eq!(contents(&out), contents(&again));
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 3, 20_000);
    for stage in [Stage::Scan, Stage::Plan, Stage::Write, Stage::Validate] {
        let stop = AtomicBool::new(false);
        let begun = AtomicU64::new(0);
        let report = |event: Event| {
            if let Event::Begin(now, _) = event
                && now == stage
            {
                begun.fetch_add(1, Ordering::SeqCst);
                stop.store(true, Ordering::SeqCst);
            }
        };
        let out = folder.path().join("out");
        let outcome = process(&inputs, &out, &small(), None, &Options::default(), &Monitor::new(&report, &stop));
        assert!(matches!(outcome, Err(Error::Interrupted)), "{stage:?}");
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["market"], "{stage:?}");
    }
}

#[test]
fn two_runs_do_not_share_an_output() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 2, 4_000);
    let out = folder.path().join("out");
    let stop = AtomicBool::new(false);
    let second = std::sync::Mutex::new(None);
    let report = |event: Event| {
        if matches!(event, Event::Begin(Stage::Write, _)) {
            *second.lock().unwrap() = Some(run(&inputs, &out, &small()).unwrap_err().to_string());
        }
    };
    process(&inputs, &out, &small(), None, &Options::default(), &Monitor::new(&report, &stop)).unwrap();
    let message = second.into_inner().unwrap().unwrap();
    assert!(message.contains("another run is using it"), "{message}");
}

#[test]
fn other_raw_files_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 2, 5_000);
    let out = folder.path().join("out");
    run(&inputs, &out, &small()).unwrap();
    let other = lobset_sim::Market { days: 2, rows: 5_000, seed: 2, ..Default::default() }
        .write(&folder.path().join("other"), |_| ())
        .unwrap();
    let error = lobset::validate(&out, Some((&other, Compare::Random(1))), &Options::default(), &Monitor::silent())
        .unwrap_err();
    let error = error.to_string();
    for part in ["differs from the raw record", "its SHA-256 is ", ", but the input of this name had "] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let error = lobset::validate(&out, Some((&inputs[..1], Compare::All)), &Options::default(), &Monitor::silent());
    let error = error.unwrap_err().to_string();
    assert!(error.contains(": was an input but was not given"), "{error}");
}
