//! Estimates of a run, against the run itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::{DAY, START, market, messages, metadata, run, small, ticks, write};
use lobset::{Config, Error, Estimate, Monitor, Options, Result, Timestamp};

fn estimate(inputs: &[PathBuf], out: &Path, config: &Config) -> Result<Estimate> {
    lobset::estimate(inputs, out, config, None, &Options::default(), &Monitor::silent())
}

#[test]
fn a_small_input_is_counted_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let files = market(&folder.path().join("market"), 3, 6_000);
    let out = folder.path().join("on/the/way/out");
    let found = estimate(&files, &out, &small()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is written");
    let manifest = run(&files, &out, &small()).unwrap();
    assert_eq!((found.records, found.sampled_records), (18_000, 18_000));
    assert_eq!(found.rows, manifest.inputs.iter().map(|input| input.rows).sum::<u64>());
    assert_eq!(found.fit_until, Some(manifest.thresholds.fit_until));
    assert_eq!(found.bytes, manifest.inputs.iter().map(|input| input.bytes).sum::<u64>());
    assert_eq!(found.files.len(), 3);
    let (symbols, rows): (Vec<_>, Vec<_>) = found.symbols.iter().map(|s| (s.symbol.as_str(), s.rows)).unzip();
    assert_eq!(symbols, ["M6AM4", "M6AU4", "M6AM4-M6AU4", "M6AZ4"]);
    assert!(rows.is_sorted_by(|a, b| a >= b));
    for symbol in &manifest.symbols {
        assert_eq!(found.symbols.iter().find(|s| s.symbol == symbol.symbol).unwrap().rows, symbol.rows);
    }
    let written: u64 = manifest.datasets().map(|(_, dataset)| dataset.bytes).sum();
    assert!((written / 2..written * 2).contains(&found.dataset_bytes), "{} for {written}", found.dataset_bytes);
    assert!(found.free_bytes.is_some_and(|free| free > 0));
}

#[test]
fn a_large_input_is_estimated_from_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    let files = market(&folder.path().join("market"), 2, 150_000);
    let found = estimate(&files, &folder.path().join("out"), &small()).unwrap();
    assert_eq!(found.sampled_records, 200_000);
    assert!((270_000..330_000).contains(&found.records), "{}", found.records);
}

#[test]
fn what_a_run_would_refuse_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = market(&folder.path().join("market"), 2, 2_000);
    let out = folder.path().join("out");
    let class = |outcome: Result<Estimate>| outcome.unwrap_err();
    std::fs::create_dir(&out).unwrap();
    assert!(matches!(class(estimate(&files, &out, &small())), Error::Output { .. }));
    std::fs::remove_dir(&out).unwrap();
    assert!(matches!(class(estimate(&files, files[0].parent().unwrap(), &small())), Error::Output { .. }));
    assert!(matches!(class(estimate(&[folder.path().join("none")], &out, &small())), Error::Input(_)));
    assert!(matches!(class(estimate(&files, &out, &Config { nbins: 1, ..small() })), Error::Config(_)));
    let unknown = Config { symbols: Some(vec!["X".to_owned()]), ..small() };
    assert!(matches!(class(estimate(&files, &out, &unknown)), Error::Data { .. }));
}

#[test]
fn the_boundary_time_is_that_of_the_run_where_it_can_be_known() {
    let folder = tempfile::tempdir().unwrap();
    let file = |symbol: &str| {
        write(folder.path(), &format!("{symbol}.dbn"), &metadata(&[(symbol, 7)]), &messages(&ticks(2_000, START)))
    };
    let files = ["A", "B"].map(file);
    let out = folder.path().join("out");
    let until = |files: &[PathBuf], config: &Config| estimate(files, &out, config).unwrap().fit_until;
    assert_eq!(until(&files[..1], &small()), None);
    assert_eq!(until(&files, &small()), Some(Timestamp(START)));
    assert_eq!(until(&files, &Config { symbols: Some(vec!["A".to_owned()]), ..small() }), None);
    let set = Config { fit_until: Some(Timestamp(START + 5)), ..small() };
    assert_eq!(until(&files, &set), Some(Timestamp(START + 5)));
}

#[test]
fn a_wrong_stamp_at_the_start_of_a_file_moves_the_boundary_time_as_in_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // The file of T begins with a stamp that is earlier than those of the other files.
    let file = |name: &str, symbol: &str, wrong: Option<u64>, from: u64| {
        let mut all = messages(&ticks(600, from));
        all[0].ts_recv = wrong.unwrap_or(all[0].ts_recv);
        write(folder.path(), &format!("{name}.dbn"), &metadata(&[(symbol, 7)]), &all)
    };
    let until = |files: &[PathBuf]| estimate(files, &out, &small()).unwrap().fit_until;
    let of_run = |files: &[PathBuf]| run(files, &folder.path().join("ran"), &small()).unwrap().thresholds.fit_until;
    let days: Vec<PathBuf> = (0..4).map(|day| file(&format!("day-{day}"), "M6AM4", None, START + day * DAY)).collect();
    assert_eq!((until(&days), of_run(&days)), (Some(Timestamp(START + 2 * DAY)), Timestamp(START + 2 * DAY)));
    file("day-2", "M6AM4", Some(START + 1), START + 2 * DAY);
    let second = Timestamp(START + 2 * DAY + 1_000_000);
    assert_eq!((until(&days), of_run(&days)), (Some(second), second));
    // If files overlap, such a stamp is the quiet start of a symbol.
    let second = START + 5_000_000_000;
    let quiet = ["M6AM4", "M6AU4"].map(|symbol| match symbol {
        "M6AM4" => file("first", symbol, None, second),
        _ => file("second", symbol, Some(START), second + 100_000_000),
    });
    assert_eq!(until(&quiet), Some(Timestamp(START)));
}

#[test]
fn labelled_rows_are_counted_to_the_last_one_for_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.dbn", &metadata(&[("A", 7)]), &messages(&ticks(2_000, START)));
    for (target, labelled) in [
        ("h=return(1)", 1_999),
        ("h=means,lookback_rows=3,lookforward_offset=2,lookforward_input=4", 2_000 - 9),
        ("h=barrier,up=0.1,down=0.1,horizon=10", 1_990),
        ("h=barrier,up=2sigma,down=0.1,horizon=10,lookback_rows=5", 1_986),
    ] {
        let until = Some(Timestamp(START + 1_900_000_000));
        let mut config = Config { lookback_rows: 1_500, fit_until: until, min_symbol_samples: 1, ..small() };
        config.targets.0.push(target.parse().unwrap());
        let input = std::slice::from_ref(&file);
        let found = estimate(input, &folder.path().join("out"), &config).unwrap();
        assert_eq!(found.symbols[0].labelled_rows, labelled, "{target}");
        let manifest = run(input, &folder.path().join("ran"), &config).unwrap();
        assert_eq!(manifest.symbols[0].targets[1].labelled_rows, labelled, "{target}");
    }
}
