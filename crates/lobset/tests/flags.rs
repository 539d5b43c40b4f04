//! Flags of records: which of them are rows, where they break a stream, and how they are counted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::reference::{PlainRow, Rows as UsableRows, reference};
use common::{DAY, START, messages, metadata, read_labels, run, small, ticks, write};
use dbn::{FlagSet, Mbp10Msg, UNDEF_PRICE};
use lobset::config::{BadBook, Rows};
use lobset::input::Flags;
use lobset::validate::Compare;
use lobset::{Config, Manifest, Monitor, Options, Thresholds, Timestamp};
use proptest::prelude::*;

const LAST: u8 = 128;
const SNAPSHOT: u8 = 32;
const BAD_BOOK: u8 = 4;

const MAPPINGS: [(&str, u32); 2] = [("M6AM4", 7), ("M6AU4", 8)];

/// Records of two symbols, taken in turn from one wandering quote, with these flags.
fn records(flags: &[u8]) -> Vec<Mbp10Msg> {
    let mut all = messages(&ticks(flags.len() as u64, START));
    for (i, (message, flags)) in all.iter_mut().zip(flags).enumerate() {
        message.hd.instrument_id = 7 + u32::from(i % 3 == 2);
        message.flags = FlagSet::new(*flags);
        if i % 17 == 5 {
            message.levels[0].bid_px = UNDEF_PRICE;
        }
    }
    all
}

/// Writes records to files that are cut at these places.
fn cut(folder: &Path, records: &[Mbp10Msg], cuts: &[usize]) -> Vec<PathBuf> {
    let mut cuts = [cuts, &[0, records.len()]].concat();
    cuts.sort_unstable();
    cuts.dedup();
    let pieces = cuts.windows(2).map(|cut| &records[cut[0]..cut[1]]);
    pieces.enumerate().map(|(i, piece)| write(folder, &format!("{i}.dbn"), &metadata(&MAPPINGS), piece)).collect()
}

/// The rows of each symbol, by the documentation: one record after the other. Each stretch has its own instrument
/// number, which is how the reference tells stretches apart.
fn usable(records: &[Mbp10Msg], config: &Config) -> BTreeMap<String, UsableRows> {
    let mut symbols: BTreeMap<String, UsableRows> = BTreeMap::new();
    let mut stretches = [0; 2];
    for record in records {
        let which = record.hd.instrument_id as usize - 7;
        if record.flags.raw() & BAD_BOOK != 0 && config.bad_book == BadBook::Drop {
            stretches[which] += 1;
            continue;
        }
        if record.flags.raw() & LAST == 0 && config.rows == Rows::Events {
            continue;
        }
        let best = &record.levels[0];
        if best.bid_px != UNDEF_PRICE {
            let row = PlainRow {
                instrument: stretches[which],
                ts: record.ts_recv,
                bid: best.bid_px,
                ask: best.ask_px,
                file: 0,
            };
            symbols.entry(MAPPINGS[which].0.to_owned()).or_default().push(row);
        }
    }
    symbols
}

fn validated(out: &Path, inputs: &[PathBuf], rows: Compare) {
    lobset::validate(out, Some((inputs, rows)), &Options::default(), &Monitor::silent()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn rows_and_breaks_are_those_of_the_plain_rule_whatever_the_files(
        mut flags in prop::collection::vec(prop_oneof![
            12 => Just(LAST), 6 => Just(0), 2 => Just(LAST | SNAPSHOT), 1 => any::<u8>().prop_map(|flags| flags & !BAD_BOOK)
        ], 900),
        bad_books in prop::collection::vec((0..900_usize, 0..4_usize, any::<u8>()), 0..12),
        cuts in prop::collection::vec(1..899_usize, 0..5),
        events: bool, keep: bool,
    ) {
        for (from, more, also) in bad_books {
            flags.iter_mut().skip(from).take(1 + more).for_each(|flags| *flags = also | BAD_BOOK);
        }
        let folder = tempfile::tempdir().unwrap();
        let records = records(&flags);
        let inputs = cut(folder.path(), &records, &cuts);
        let config = Config {
            lookback_rows: 20,
            lookforward_input: 15,
            lookforward_offset: 3,
            nbins: 3,
            min_symbol_samples: 1,
            rows: if events { Rows::Events } else { Rows::Records },
            bad_book: if keep { BadBook::Keep } else { BadBook::Drop },
            fit_until: Some(Timestamp(records[600].ts_recv)),
            ..small()
        };
        let out = folder.path().join("out");
        let symbols = usable(&records, &config);
        match (run(&inputs, &out, &config), reference(&symbols, records[600].ts_recv, &[0], &config)) {
            (Ok(manifest), Some(want)) => {
                for (symbol, want) in want.datasets {
                    let found = read_labels(&out.join(format!("AUDUSD_{symbol}_dataset.parquet")));
                    prop_assert_eq!(found, want);
                }
                for symbol in &manifest.symbols {
                    let rows = &symbols[&symbol.symbol];
                    let breaks: Vec<u64> = (1..rows.len()).filter(|i| rows[*i].instrument != rows[i - 1].instrument).map(|i| i as u64).collect();
                    prop_assert_eq!(&symbol.breaks, &breaks);
                }
                let dropped: u64 = manifest.inputs.iter().map(|input| input.drops.bad_book).sum();
                let bad = flags.iter().filter(|flags| **flags & BAD_BOOK != 0).count() as u64;
                prop_assert_eq!(dropped, if keep { 0 } else { bad });
                let counted = manifest.inputs.iter().map(|input| input.flags.unwrap().maybe_bad_book).sum::<u64>();
                prop_assert_eq!(counted, bad);
                validated(&out, &inputs, Compare::All);
                validated(&out, &inputs, Compare::Random(1));
            }
            (Err(_), None) => {}
            (found, want) => panic!("{:?} where the reference has {}", found.map(|_| ()), want.is_some()),
        }
    }
}

fn failure(inputs: &[PathBuf], folder: &Path, config: &Config) -> String {
    let error = run(inputs, &folder.join("out"), config).unwrap_err();
    format!("{error} help: {}", error.help().unwrap_or_default())
}

#[test]
fn a_symbol_without_an_end_of_an_event_is_an_error_with_rows_of_events() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = records(&[LAST; 1_200]);
    records.iter_mut().filter(|record| record.hd.instrument_id == 8).for_each(|record| record.flags = FlagSet::new(0));
    let inputs = cut(folder.path(), &records, &[600]);
    let config = Config { rows: Rows::Events, ..small() };
    let error = failure(&inputs, folder.path(), &config);
    let wanted = "none of the records of \"M6AU4\" (publisher 1) ends an event of the venue (F_LAST)";
    assert!(error.contains(wanted) && error.contains("rows = \"records\""), "{error}");
    let inspect = |config: &Config| lobset::inspect(&inputs, config, &Options::default(), &Monitor::silent()).unwrap();
    assert!(inspect(&config).refusals.iter().any(|refusal| refusal.contains(wanted)));
    assert_eq!(inspect(&small()).refusals, [""; 0]);

    // One end in any file is enough, even on a quote that is not usable.
    let last = records.iter_mut().rfind(|record| record.hd.instrument_id == 8).unwrap();
    last.flags = FlagSet::new(LAST);
    last.levels[0].ask_px = UNDEF_PRICE;
    let inputs = cut(folder.path(), &records, &[600]);
    let manifest = run(&inputs, &folder.path().join("out"), &config).unwrap();
    let names: Vec<&str> = manifest.symbols.iter().map(|symbol| symbol.symbol.as_str()).collect();
    assert_eq!(names, ["M6AM4"]);
    validated(&folder.path().join("out"), &inputs, Compare::All);
}

#[test]
fn flags_and_drops_are_counted_in_the_manifest_and_by_inspect() {
    let folder = tempfile::tempdir().unwrap();
    let mut flags = vec![LAST; 1_000];
    flags[..100].fill(0);
    flags[100..103].fill(BAD_BOOK);
    flags[200] = LAST | SNAPSHOT | BAD_BOOK;
    flags[300] = LAST | 64 | 16 | 8 | 2;
    let inputs = cut(folder.path(), &records(&flags), &[]);
    let want = Flags { last: 897, tob: 1, snapshot: 1, mbp: 1, bad_ts_recv: 1, maybe_bad_book: 4, other: 1 };
    for (rows, bad_book, drops) in [
        (Rows::Records, BadBook::Drop, (4, 0)),
        (Rows::Records, BadBook::Keep, (0, 0)),
        (Rows::Events, BadBook::Drop, (4, 100)),
        (Rows::Events, BadBook::Keep, (0, 103)),
    ] {
        let config = Config { rows, bad_book, ..small() };
        let manifest = run(&inputs, &folder.path().join("out"), &config).unwrap();
        let entry = &manifest.inputs[0];
        assert_eq!((entry.drops.bad_book, entry.drops.mid_event), drops, "{config:?}");
        assert_eq!(entry.flags, Some(want));
        let found = lobset::inspect(&inputs, &config, &Options::default(), &Monitor::silent()).unwrap();
        assert_eq!((found.flags, found.drops), (want, entry.drops));
    }
}

#[test]
fn a_bad_book_in_a_file_without_rows_of_its_symbol_breaks_the_next_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = messages(&ticks(1_500, START));
    all.iter_mut().for_each(|message| message.flags = FlagSet::new(LAST));
    // The file in the middle has one record of the symbol, with a bad book, and rows of another one.
    all[700].flags = FlagSet::new(BAD_BOOK);
    all[701..760].iter_mut().for_each(|message| message.hd.instrument_id = 8);
    let inputs = cut(folder.path(), &all, &[700, 760]);
    let out = folder.path().join("out");
    let breaks = |bad_book| {
        let manifest = run(&inputs, &out, &Config { bad_book, ..small() }).unwrap();
        validated(&out, &inputs, Compare::All);
        let found = lobset::inspect(&inputs, &Config { bad_book, ..small() }, &Options::default(), &Monitor::silent());
        (manifest.symbols[0].breaks.clone(), found.unwrap().symbols[0].gaps.longest()[0].length())
    };
    assert_eq!(breaks(BadBook::Drop), (vec![700], 1_000_000));
    // Without the break, the pause during the 59 records of the other symbol is one that windows span.
    assert_eq!(breaks(BadBook::Keep), (vec![], 60_000_000));
}

#[test]
fn a_break_at_a_bad_book_stays_where_the_clock_of_an_earlier_file_takes_pauses_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = messages(&ticks(1_200, START));
    all.iter_mut().for_each(|message| message.flags = FlagSet::new(LAST));
    // The clock of the first file runs ahead, past a pause at the start of the second file, where a book is bad too.
    all[599].ts_recv += 30_000_000;
    all[605..].iter_mut().for_each(|message| message.ts_recv += 8_000_000);
    all[610].flags = FlagSet::new(BAD_BOOK);
    let inputs = cut(folder.path(), &all, &[600]);
    let config = Config { max_gap: Some("5ms".parse().unwrap()), ..small() };
    let out = folder.path().join("out");
    let manifest = run(&inputs, &out, &config).unwrap();
    assert_eq!(manifest.symbols[0].breaks, [599, 610]);
    validated(&out, &inputs, Compare::All);
}

#[test]
fn work_of_other_rules_is_not_reused_and_thresholds_of_other_rules_do_not_apply() {
    let folder = tempfile::tempdir().unwrap();
    let market =
        lobset_sim::Market { days: 2, rows: 6_000, mid_event_every: 9, bad_book_every: 1_000, ..Default::default() };
    let inputs = market.write(&folder.path().join("in"), |_| ()).unwrap();
    let out = folder.path().join("out");
    let mut rows = Vec::new();
    for (of, bad_book) in
        [(Rows::Records, BadBook::Keep), (Rows::Records, BadBook::Drop), (Rows::Events, BadBook::Drop)]
    {
        let config = Config { rows: of, bad_book, keep_intermediate: true, ..small() };
        let manifest = run(&inputs, &out, &config).unwrap();
        validated(&out, &inputs, Compare::All);
        rows.push(manifest.inputs.iter().map(|input| input.rows).sum::<u64>());
    }
    assert!(rows[0] - 12 <= rows[1] && rows[1] < rows[0] && rows[2] < rows[1] - 500, "{rows:?}");
    let thresholds = Thresholds::read(&out.join("thresholds.json")).unwrap();
    let problems = thresholds.check_settings(&small()).unwrap_err().problems;
    assert_eq!(problems, ["rows: records differs from events in the thresholds file"]);
}

#[test]
fn files_of_versions_without_the_settings_are_read_as_they_were_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut flags = vec![LAST; 1_500];
    flags[800..805].fill(BAD_BOOK);
    let inputs = cut(folder.path(), &records(&flags), &[]);
    let out = folder.path().join("out");
    run(&inputs, &out, &Config { bad_book: BadBook::Keep, ..small() }).unwrap();
    let mut manifest = serde_json::to_value(Manifest::read(&out).unwrap()).unwrap();
    let mut thresholds: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("thresholds.json")).unwrap()).unwrap();
    let remove = |place: &mut serde_json::Value, keys: &[&str]| {
        keys.iter().for_each(|key| drop(place.as_object_mut().unwrap().remove(*key).unwrap()));
    };
    let later = ["include_row", "classes", "stationary", "multiple", "targets", "session_breaks"];
    remove(&mut manifest["config"], &["rows", "bad_book"]);
    remove(&mut manifest["config"], &later);
    remove(&mut manifest["inputs"][0], &["flags"]);
    remove(&mut manifest["inputs"][0]["drops"], &["bad_book", "mid_event"]);
    remove(&mut thresholds["settings"], &["rows", "bad_book"]);
    remove(&mut thresholds["settings"], &later);
    remove(&mut thresholds["settings"], &["boundaries", "sessions"]);
    let file = folder.path().join("old.json");
    std::fs::write(&file, thresholds.to_string()).unwrap();
    let thresholds = Thresholds::read(&file).unwrap();
    assert_eq!((thresholds.settings.rows, thresholds.settings.bad_book), (Rows::Records, BadBook::Keep));
    let problems = thresholds.check_settings(&small()).unwrap_err().problems;
    assert_eq!(problems, ["bad_book: drop differs from keep in the thresholds file"]);
    let manifest: Manifest = serde_json::from_value(manifest).unwrap();
    assert_eq!((manifest.config.rows, manifest.config.bad_book), (Rows::Records, BadBook::Keep));
    assert_eq!(manifest.inputs[0].flags, None);
}

#[test]
fn flags_are_those_of_each_file_where_days_have_several() {
    let folder = tempfile::tempdir().unwrap();
    let days = [LAST, 0, LAST | SNAPSHOT].map(|flags| records(&[flags; 500]));
    let mut inputs = Vec::new();
    for (i, mut day) in days.into_iter().enumerate() {
        day.iter_mut().for_each(|message| message.ts_recv += i as u64 * DAY);
        inputs.push(write(folder.path(), &format!("{i}.dbn"), &metadata(&MAPPINGS), &day));
    }
    let found = lobset::inspect(&inputs, &small(), &Options::default(), &Monitor::silent()).unwrap();
    let counts: Vec<_> = found.files.iter().map(|file| file.flags.unwrap()).map(|f| (f.last, f.snapshot)).collect();
    assert_eq!(counts, [(500, 0), (0, 0), (500, 500)]);
    assert_eq!((found.flags.last, found.flags.snapshot), (1_000, 500));
}
