//! The setting `symbols`: keeps some of the input's symbols, as if the others were not in the input.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::{DAY, START, market, messages, metadata, run, small, ticks, write};
use lobset::validate::Compare;
use lobset::{Config, Manifest, Monitor, Options};

fn only(symbols: &[&str]) -> Config {
    Config { symbols: Some(symbols.iter().map(|symbol| (*symbol).to_owned()).collect()), ..small() }
}

fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.symbols.iter().map(|symbol| symbol.symbol.as_str()).collect()
}

fn failure(inputs: &[PathBuf], out: &Path, config: &Config) -> [String; 2] {
    let error = run(inputs, out, config).unwrap_err();
    assert!(!out.exists());
    [error.to_string(), error.help().unwrap_or_default().to_owned()]
}

#[test]
fn a_symbol_alone_is_what_it_would_be_without_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // Two instruments in each of four files, the second with every third record; and the same files without the second.
    let (mut both, mut alone, mut dropped) = (Vec::new(), Vec::new(), 0);
    for day in 0..4 {
        let mut all = messages(&ticks(900, START + day * DAY));
        all.iter_mut().skip(1).step_by(3).for_each(|m| m.hd.instrument_id = 8);
        let own: Vec<_> = all.iter().filter(|m| m.hd.instrument_id == 7).cloned().collect();
        dropped += all.len() - own.len();
        let metadata = metadata(&[("A", 7), ("B", 8)]);
        both.push(write(folder.path(), &format!("both-{day}.dbn"), &metadata, &all));
        alone.push(write(folder.path(), &format!("alone-{day}.dbn"), &metadata, &own));
    }
    let picked = run(&both, &path("picked"), &only(&["A"])).unwrap();
    let want = run(&alone, &path("want"), &small()).unwrap();
    assert_eq!(names(&run(&both, &path("all"), &small()).unwrap()), ["A", "B"]);
    assert_eq!(names(&picked), ["A"]);
    let drops: u64 = picked.inputs.iter().map(|input| input.drops.other_symbol).sum();
    assert_eq!(drops, dropped as u64);
    // These must be equal: the boundary time, the rows that boundaries are fitted on, and every label.
    assert_eq!(picked.thresholds.fit_until, want.thresholds.fit_until);
    assert_eq!(picked.symbols[0].targets, want.symbols[0].targets);
    let labels = |out: &str| common::read_labels(&path(out).join("AUDUSD_A_dataset.parquet"));
    assert!(labels("want").len() > 500);
    assert_eq!(labels("picked"), labels("want"));
    let against = Some((both.as_slice(), Compare::All));
    lobset::validate(&path("picked"), against, &Options::default(), &Monitor::silent()).unwrap();
    let found = lobset::inspect(&both, &only(&["B"]), &Options::default(), &Monitor::silent()).unwrap();
    assert_eq!(found.symbols.iter().map(|s| s.symbol.as_str()).collect::<Vec<_>>(), ["B"]);
}

#[test]
fn files_of_other_symbols_do_not_move_the_boundary_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = |symbol: &str| {
        let name = format!("{symbol}.dbn");
        write(folder.path(), &name, &metadata(&[(symbol, 7)]), &messages(&ticks(2_000, START)))
    };
    // A job that is split by symbol: all files begin at the same time.
    let files = ["A", "B", "C", "D"].map(file);
    let config = Config { aliases: lobset::config::Aliases::Keep, ..only(&["C"]) };
    let picked = run(&files, &folder.path().join("picked"), &config).unwrap();
    let alone = run(&files[2..3], &folder.path().join("alone"), &small()).unwrap();
    assert_eq!(picked.thresholds.fit_until, alone.thresholds.fit_until);
    assert_eq!(picked.symbols[0].fitted_rows, alone.symbols[0].fitted_rows);
    assert_eq!(picked.inputs.len(), 4);
}

#[test]
fn the_tag_follows_from_the_symbols_that_take_part() {
    let folder = tempfile::tempdir().unwrap();
    let mappings = [("M6AM4", 7), ("M6EM4", 8)];
    let mut all = messages(&ticks(3_000, START));
    all.iter_mut().step_by(2).for_each(|m| m.hd.instrument_id = 8);
    let file = [write(folder.path(), "both.dbn", &metadata(&mappings), &all)];
    for (symbols, tag) in [(vec!["M6AM4"], "AUDUSD"), (vec!["M6EM4"], "EURUSD"), (vec!["M6AM4", "M6EM4"], "GLBX.MDP3")]
    {
        let config = Config { currency: None, ..only(&symbols) };
        let manifest = run(&file, &folder.path().join(tag), &config).unwrap();
        assert_eq!((manifest.config.tag(), names(&manifest)), (tag, symbols));
    }
}

#[test]
fn symbols_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = market(&folder.path().join("market"), 2, 3_000);
    let out = folder.path().join("out");
    let [message, help] = failure(&files, &out, &only(&["M6AM4", "M6AM5"]));
    assert_eq!(message, "symbols: the input does not have \"M6AM5\" (did you mean M6AM4?)");
    assert_eq!(help, "the input has M6AM4, M6AM4-M6AU4, M6AU4, M6AZ4");
    let found = lobset::inspect(&files, &only(&["M6AM5"]), &Options::default(), &Monitor::silent()).unwrap();
    assert_eq!(found.refusals, [message]);
    // These are mapped, but have no records.
    let file = [write(folder.path(), "a.dbn", &metadata(&[("A", 7), ("B", 8)]), &messages(&ticks(2_000, START)))];
    let [message, _] = failure(&file, &out, &only(&["B"]));
    assert_eq!(message, "none of the usable records is of symbols = [\"B\"]");
    let manifest = run(&file, &out, &only(&["A", "B"])).unwrap();
    assert!(manifest.warnings.contains(&"B has no rows in the input".to_owned()), "{:?}", manifest.warnings);
}
