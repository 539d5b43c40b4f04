//! The same bytes whatever the order, the threads or what happened before; OUT whole or not at all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{contents, market, run, small};
use lobset::config::{Columns, Compression, PriceType};
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
        let proof = lobset::validate(&out, Some((&inputs, 9)), &Options::default(), &Monitor::silent()).unwrap();
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
    go(true).unwrap();
    assert!(!out.join("notes.txt").exists());
    let foreign = folder.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("data.parquet"), "precious").unwrap();
    let error = run(&inputs, &foreign, &small()).unwrap_err();
    assert!(error.to_string().contains("is no dataset of lobset"), "{error}");
    assert_eq!(std::fs::read(foreign.join("data.parquet")).unwrap(), b"precious");
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
    assert!(message.contains("another run is working on it"), "{message}");
}

#[test]
fn validation_finds_what_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 2, 5_000);
    let out = folder.path().join("out");
    run(&inputs, &out, &small()).unwrap();
    let check = || lobset::validate(&out, None::<(&[&Path], u64)>, &Options::default(), &Monitor::silent());
    check().unwrap();
    let violations = |change: &dyn Fn(&mut serde_json::Value)| {
        let path = out.join("manifest.json");
        let before = std::fs::read(&path).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(&before).unwrap();
        change(&mut json);
        std::fs::write(&path, json.to_string()).unwrap();
        let error = check().unwrap_err();
        std::fs::write(&path, before).unwrap();
        assert!(matches!(error, Error::Validation(_)), "{error}");
        error.to_string()
    };
    let boundary = violations(&|m| {
        let row = m["symbols"][0]["boundary_row"].as_u64().unwrap();
        m["symbols"][0]["boundary_row"] = (row + 3).into();
    });
    assert!(boundary.contains("split is embargo, but it is fit by its place"), "{boundary}");
    let classes = violations(&|m| {
        let fit = &mut m["symbols"][0]["dataset"]["splits"]["fit"]["classes"];
        let (a, b) = (fit[0].as_u64().unwrap(), fit[1].as_u64().unwrap());
        fit[0] = (a + 40).into();
        fit[1] = (b - 40).into();
    });
    assert!(classes.contains("balanced is") && classes.contains("rows by class are"), "{classes}");
    let fitted = violations(&|m| {
        let range = &mut m["symbols"][0]["fitted_rows"][0];
        range[0] = (range[0].as_u64().unwrap() + 200).into();
    });
    assert!(fitted.contains("fit rows"), "{fitted}");
    assert!(violations(&|m| m["symbols"][0]["dataset"]["rows"] = 1.into()).contains("rows, not 1"));

    let dataset = out.join("AUDUSD_M6AM4_dataset.parquet");
    let before = std::fs::read(&dataset).unwrap();
    let mut bytes = before.clone();
    bytes[5_000] ^= 1;
    std::fs::write(&dataset, &bytes).unwrap();
    assert!(check().unwrap_err().to_string().contains("SHA-256") || matches!(check(), Err(Error::Input(_))));
    std::fs::write(&dataset, before).unwrap();

    let thresholds = out.join("thresholds.json");
    let text = std::fs::read_to_string(&thresholds).unwrap();
    std::fs::write(&thresholds, text.replace("\"fit_rows\"", " \"fit_rows\"")).unwrap();
    assert!(check().unwrap_err().to_string().contains("thresholds.json: its SHA-256"));
    std::fs::write(&thresholds, text).unwrap();

    // The card is there for its owner to add a license to.
    let card = out.join("README.md");
    let text = std::fs::read_to_string(&card).unwrap();
    std::fs::write(&card, text.replacen("# license:", "license: other #", 1)).unwrap();
    check().unwrap();
    std::fs::remove_file(&card).unwrap();
    assert!(check().unwrap_err().to_string().contains("README.md: cannot be read"));
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
    let error = lobset::validate(&out, Some((&other, 1)), &Options::default(), &Monitor::silent()).unwrap_err();
    assert!(error.to_string().contains("is not what the raw record holds"), "{error}");
}
