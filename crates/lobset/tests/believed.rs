//! What files say about themselves is trusted only as far as it is true: their times, their metadata, their values,
//! their symbols.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::PathBuf;

use common::{DAY, START, contents, dbn_bytes, metadata, refused, run, small, ticks, write};
use dbn::encode::DbnMetadataEncoder;
use dbn::{Mbp10Msg, Metadata};
use lobset::input::{DbnReader, Impossible, MAX_METADATA_BYTES};
use lobset::validate::Compare;
use lobset::{Config, Error, Manifest, Monitor, Options, inspect, validate};

const SECOND: u64 = 1_000_000_000;

fn messages(n: u64, from: u64) -> Vec<Mbp10Msg> {
    common::messages(&ticks(n, from))
}

/// Metadata of a query from `start` to `end`.
fn query(start: u64, end: u64) -> Metadata {
    Metadata { start, end: NonZeroU64::new(end), ..metadata(&[("M6AM4", 7)]) }
}

fn inspected(inputs: &[PathBuf], config: &Config) -> Result<lobset::Inspection, Error> {
    inspect(inputs, config, &Options::default(), &Monitor::silent())
}

fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.inputs.iter().map(|input| input.name.as_str()).collect()
}

#[test]
fn one_wrong_stamp_at_the_start_of_a_file_moves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // A query of four days, split by size: all files have its start.
    let whole = query(START, START + 4 * DAY);
    for place in 1..4 {
        for wrong in [START + SECOND / 2, START + 3 * DAY + 7 * SECOND] {
            let outcomes = ["good", "wrong"].map(|kind| {
                let file = |day: u64| {
                    let mut all = messages(600, START + day * DAY);
                    if kind == "wrong" && day == place {
                        all[0].ts_recv = wrong;
                    }
                    write(&folder.path().join(kind), &format!("{}.dbn", 9 - day), &whole, &all)
                };
                let inputs: Vec<PathBuf> = (0..4).map(file).collect();
                run(&inputs, &folder.path().join("out"), &small())
            });
            let [Ok(good), outcome] = outcomes else { panic!("{outcomes:?}") };
            if wrong > START + DAY {
                // All rows of the file are before its first one.
                let error = refused(outcome);
                assert_eq!(error.record, Some(0));
                assert!(
                    error.message.contains("599 of the 600 rows of \"M6AM4\" follow with earlier timestamps"),
                    "{error}"
                );
                continue;
            }
            let wrong = &outcome.unwrap();
            assert_eq!(names(wrong), ["9.dbn", "8.dbn", "7.dbn", "6.dbn"]);
            let moved = wrong.thresholds.fit_until.0 - good.thresholds.fit_until.0;
            // If the wrong stamp is that of T itself, the next one is taken.
            assert_eq!(moved, if place == 2 { 1_000_000 } else { 0 });
        }
    }
}

#[test]
fn records_outside_their_own_metadata_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let outcome = |metadata: &Metadata, change: &dyn Fn(&mut [Mbp10Msg])| {
        let mut all = messages(600, START + 10 * SECOND);
        change(&mut all);
        let input = [write(folder.path(), "a.dbn", metadata, &all)];
        let ran = run(&input, &out, &Config { min_symbol_samples: 1, ..small() });
        if let (Err(error), Err(inspected)) = (&ran, inspected(&input, &small())) {
            assert_eq!(error.to_string(), inspected.to_string());
        }
        ran
    };
    let day = query(START, START + DAY);
    assert!(outcome(&day, &|_| {}).is_ok());
    for wrong in [START - SECOND, START + DAY + SECOND, 0, i64::MAX.cast_unsigned()] {
        let error = refused(outcome(&day, &|all| all[300].ts_recv = wrong));
        assert_eq!(error.record, Some(300));
        let said =
            "but the file's metadata says that its records are from 2024-04-03T00:00:00.000000000Z to 2024-04-04T";
        assert!(error.message.contains(said), "{error}");
    }
    // The last record of a file that was split has the file's end as its time, and clocks may be slightly off.
    let last = START + 10 * SECOND + 599_000_000;
    assert!(outcome(&query(START + 10 * SECOND + 1_000, last), &|_| {}).is_ok());
    // A live capture has no end, and replays what came before its start.
    assert!(outcome(&query(START + DAY, 0), &|_| {}).is_ok());
    assert!(refused(outcome(&query(START + DAY, START), &|_| {})).message.contains("metadata says"));
}

#[test]
fn a_stream_that_runs_backwards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let outcome = |all: &[Mbp10Msg]| run(&[write(folder.path(), "a.dbn", &query(START, 0), all)], &out, &small());
    let good = messages(2_000, START);
    let reversed: Vec<Mbp10Msg> = good.iter().rev().cloned().collect();
    let error = refused(outcome(&reversed));
    assert_eq!(error.record, Some(12));
    let said =
        "the stream of \"M6AM4\" runs backwards: here from 2024-04-03T00:00:01.998000000Z to 2024-04-03T00:00:01.987";
    assert!(
        error.message.contains(said) && error.message.contains("of its 2,000 rows are out of order like this"),
        "{error}"
    );
    // The second half first.
    let error = refused(outcome(&[&good[1_000..], &good[..1_000]].concat()));
    assert_eq!(error.record, Some(1_000));
    // One wrong stamp is enough to put the rows after it behind, including those of the next file.
    for place in [0, 100, 1_500] {
        let mut wrong = good.clone();
        wrong[place].ts_recv += DAY;
        let error = refused(outcome(&wrong));
        assert_eq!(error.record, Some(place as u64), "{error}");
    }
    let mut first = good.clone();
    first[1_999].ts_recv += DAY;
    outcome(&first).unwrap();
    let later: Vec<Mbp10Msg> = messages(2_000, START + 10 * SECOND);
    let two = |first: &[Mbp10Msg]| {
        let files = [("a.dbn", first), ("b.dbn", &later[..])];
        let inputs = files.map(|(name, all)| write(folder.path(), name, &query(START, 0), all));
        run(&inputs, &out, &small())
    };
    two(&good).unwrap();
    let error = refused(two(&first));
    assert!(error.path.ends_with("b.dbn") && error.message.contains("2,000 of its 2,000 rows"), "{error}");
    // A few late rows are counted, and lead to a warning.
    let mut late = good.clone();
    (0..100).for_each(|i| late[100 + i * 19].ts_recv -= SECOND / 20);
    let manifest = outcome(&late).unwrap();
    assert_eq!(manifest.symbols[0].steps_back, 100);
    let said = "ts_recv steps back in 100 of the 2,000 rows of M6AM4";
    assert!(manifest.warnings.iter().any(|warning| warning.starts_with(said)), "{:?}", manifest.warnings);
    let found = inspected(&[folder.path().join("a.dbn")], &small()).unwrap();
    assert!(found.symbols[0].steps_back == 100 && found.warnings[0].starts_with(said), "{:?}", found.warnings);
    // An occasional step back leads to no warning.
    let mut seldom = good;
    (0..9).for_each(|i| seldom[100 + i * 19].ts_recv -= SECOND / 20);
    assert_eq!(outcome(&seldom).unwrap().warnings, Vec::<String>::new());
}

#[test]
fn impossible_values_are_counted_and_refused_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut first = messages(1_000, START);
    first[10].action = b'Z' as _;
    first[20].side = 0;
    first[30].depth = 200;
    first[40].levels[4].bid_px = first[40].levels[3].bid_px;
    first[50].price = i64::MIN;
    first[60].levels[9].ask_px = i64::MIN;
    let second = messages(1_000, START + DAY);
    let mut inputs = vec![
        write(folder.path(), "a.dbn", &metadata(&[("M6AM4", 7)]), &first),
        write(folder.path(), "b.dbn", &metadata(&[("M6AM4", 7)]), &second),
    ];
    let manifest = run(&inputs, &out, &small()).unwrap();
    let found = Impossible { action: 1, side: 1, depth: 1, levels: 1, price: 2 };
    assert_eq!([manifest.inputs[0].impossible, manifest.inputs[1].impossible], [found, Impossible::default()]);
    let said = "impossible values in 1 of 2 files, such as a.dbn (unknown action 1, unknown side 1, depth above 9 1, levels out of order 1, impossible price 2)";
    assert!(manifest.warnings[0].starts_with(said), "{:?}", manifest.warnings);
    let inspection = inspected(&inputs, &small()).unwrap();
    assert_eq!((inspection.files[0].impossible, &inspection.warnings[0]), (found, &manifest.warnings[0]));
    // The datasets contain what the files hold.
    validate(&out, Some((&inputs, Compare::Random(1))), &Options::default(), &Monitor::silent()).unwrap();

    let strict = Config { strict: true, ..small() };
    for (record, said) in [
        (10, "action is 'Z', which is not one of A, C, F, M, N, R, T"),
        (20, "side is '\\u{0}', which is not one of A, B, N"),
        (30, "depth is 200, above 9"),
        (40, "levels 3 and 4 are out of order"),
        (50, "a price is -9223372036854775808"),
        (60, "a price is -9223372036854775808"),
    ] {
        let error = refused(run(&inputs, &folder.path().join("strict"), &strict));
        assert_eq!((error.record, error.message.as_str()), (Some(record), said));
        assert_eq!(refused(inspected(&inputs, &strict)).to_string(), error.to_string());
        first[record as usize] = messages(1_000, START)[record as usize].clone();
        inputs[0] = write(folder.path(), "a.dbn", &metadata(&[("M6AM4", 7)]), &first);
    }
    assert_eq!(run(&inputs, &folder.path().join("strict"), &strict).unwrap().warnings, Vec::<String>::new());
}

/// A price above nine million units takes more than 53 bits in 1e-9.
#[test]
fn a_price_that_is_no_exact_float_is_refused_by_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut messages = messages(400, START);
    // Such a price may still be an exact float.
    messages[100].levels[9].ask_px = 140_000_000_000_000_000;
    let write = |messages: &[Mbp10Msg]| write(folder.path(), "a.dbn", &query(START, START + DAY), messages);
    run(&[write(&messages)], &out, &small()).unwrap();
    messages[200].levels[9].ask_px = 140_000_000_000_000_001;
    let input = [write(&messages)];
    let error = refused(run(&input, &out, &small()));
    assert_eq!(error.record, Some(200));
    assert!(
        error.to_string().ends_with("a.dbn: record 200: the price 140000000000000001 (1e-9) has no exact float value"),
        "{error}"
    );
    assert!(error.help.unwrap().contains("price_type = \"fixed\""));
    let fixed = Config { price_type: lobset::config::PriceType::Fixed, ..small() };
    run(&input, &out, &fixed).unwrap();
    validate(&out, Some((&input, Compare::All)), &Options::default(), &Monitor::silent()).unwrap();
}

#[test]
fn files_without_checksums_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let all = messages(600, START);
    let bytes = fs::read(write(folder.path(), "plain.dbn", &metadata(&[("M6AM4", 7)]), &all)).unwrap();
    let frame = |bytes: &[u8], checksum: bool| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(checksum).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let cut = bytes.len() / 2;
    let two = |first: bool, second: bool| [frame(&bytes[..cut], first), frame(&bytes[cut..], second)].concat();
    // An empty frame and a skippable one of a length that puts the next header across the edge of the read buffer.
    let skippable = |length: usize| {
        let mut frame = [&[0x50, 0x2a, 0x4d, 0x18][..], &(length as u32).to_le_bytes()].concat();
        frame.resize(8 + length, 0);
        frame
    };
    let across = (0..6).map(|back| [skippable((128 << 10) - 8 - back), two(true, false)].concat());
    let mut cases = vec![
        (bytes.clone(), None),
        (two(true, true), Some(true)),
        (two(true, false), Some(false)),
        (two(false, true), Some(false)),
        ([frame(&[], false), two(true, true)].concat(), Some(false)),
        ([skippable(3), two(true, true), skippable(9)].concat(), Some(true)),
    ];
    cases.extend(across.map(|bytes| (bytes, Some(false))));
    for (number, (bytes, want)) in cases.iter().enumerate() {
        let path = folder.path().join(format!("{number}.dbn.zst"));
        fs::write(&path, bytes).unwrap();
        let found = inspected(&[path], &small()).unwrap();
        assert_eq!(found.files[0].checksummed, *want, "{number}");
    }
    let manifest = run(&[folder.path().join("2.dbn.zst")], &folder.path().join("out"), &small()).unwrap();
    assert_eq!(manifest.inputs[0].checksummed, Some(false));
    // Manifests of earlier versions do not mention it.
    let mut old = serde_json::to_value(&manifest).unwrap();
    for key in ["checksummed", "impossible"] {
        old["inputs"][0].as_object_mut().unwrap().remove(key);
    }
    let read: Manifest = serde_json::from_value(old).unwrap();
    assert_eq!((read.inputs[0].checksummed, read.inputs[0].impossible), (None, Impossible::default()));
}

fn read_bytes(bytes: &[u8]) -> lobset::Result<DbnReader> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    DbnReader::open(file.path())
}

#[test]
fn metadata_is_no_longer_than_its_contents_need() {
    let whole = dbn_bytes(&metadata(&[("M6AM4", 7)]), &[]);
    let padded = |length: u32, fill: u8| {
        let mut bytes = whole.clone();
        bytes.resize(8 + length as usize, fill);
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    // A little padding has always been allowed.
    read_bytes(&padded(whole.len() as u32 + 64, 0)).unwrap();
    let zeros = refused(read_bytes(&padded(1 << 20, 0)).map(drop));
    assert!(zeros.message.contains("of which thousands are zeros: the header is damaged"), "{zeros}");
    let bomb = zstd::encode_all(padded(MAX_METADATA_BYTES, 0).as_slice(), 3).unwrap();
    assert!(bomb.len() < 32 << 10, "{}", bomb.len());
    assert_eq!(refused(read_bytes(&bomb).map(drop)).message, zeros.message.replace("1048576", "268435456"));
    let letters = zstd::encode_all(padded(64 << 20, b'A').as_slice(), 3).unwrap();
    let error = refused(read_bytes(&letters).map(drop));
    assert!(error.message.contains("more than a file of its size can need"), "{error}");
    assert!(error.byte.unwrap() < 8 << 20, "{error}");
}

#[test]
fn metadata_with_very_many_mappings_is_read() {
    let names: Vec<String> = (0..40_000).map(|i| format!("SPXW  24{:04}C{i:08}", i % 1_231)).collect();
    let mappings: Vec<(&str, u32)> =
        names.iter().map(|name| (name.as_str(), 7)).zip(0..).map(|((name, _), i)| (name, i)).collect();
    let mut bytes = Vec::new();
    DbnMetadataEncoder::new(&mut bytes).encode(&metadata(&mappings)).unwrap();
    assert!(bytes.len() > 8 << 20, "{}", bytes.len());
    for level in [1, 9] {
        let compressed = zstd::encode_all(bytes.as_slice(), level).unwrap();
        assert_eq!(read_bytes(&compressed).unwrap().metadata().mappings.len(), 40_000);
    }
}

#[test]
fn a_run_over_a_file_cut_at_any_byte_publishes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("a.dbn.zst"), folder.path().join("out"));
    let plain = fs::read(write(folder.path(), "a.dbn", &metadata(&[("M6AM4", 7)]), &messages(2, START))).unwrap();
    let whole = zstd::encode_all(plain.as_slice(), 3).unwrap();
    let records = plain.len() - 2 * 368;
    let cuts = (0..whole.len()).map(|cut| &whole[..cut]);
    // A cut between two records leaves a complete, shorter file.
    let plain_cuts = (0..plain.len()).filter(|cut| *cut < records || !(*cut - records).is_multiple_of(368));
    let mut refusals = 0;
    for bytes in cuts.chain(plain_cuts.map(|cut| &plain[..cut])) {
        fs::write(&file, bytes).unwrap();
        let error = refused(run(&[&file], &out, &small()));
        assert!(error.byte.is_some() && error.path == file, "{}: {error}", bytes.len());
        refusals += 1;
    }
    assert!(refusals > 1_000 && !out.exists(), "{refusals}");
    let left: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| !name.contains("dataset") && !name.contains("manifest")), "{left:?}");
}

#[test]
fn hostile_symbols_make_harmless_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (long, longer) = ("#".repeat(70), "..%2f".repeat(14));
    let names = [
        "..",
        ".",
        "/etc/passwd",
        "../../x",
        "a\nvalidation passed",
        "\u{1b}[2J",
        "<script>",
        "a\\b",
        "%2F",
        "ES H4",
        "con",
        &long,
        &longer,
        "@",
    ];
    let mappings: Vec<(&str, u32)> = names.iter().zip(1..).map(|(name, id)| (*name, id)).collect();
    let mut all = Vec::new();
    for mut message in messages(600, START) {
        for (_, id) in &mappings {
            message.hd.instrument_id = *id;
            all.push(message.clone());
        }
    }
    let input = [write(folder.path(), "a.dbn", &metadata(&mappings), &all)];
    let manifest = run(&input, &out, &small()).unwrap();
    let mut found: Vec<&str> = manifest.datasets().map(|(symbol, _)| symbol.symbol.as_str()).collect();
    found.sort_unstable();
    let mut want = names.to_vec();
    want.sort_unstable();
    assert_eq!(found, want);
    let files = contents(&out);
    assert_eq!(files.len(), 2 * names.len() + 3, "{:?}", files.keys());
    for file in files.keys() {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-%@".contains(c);
        assert!(file.chars().all(plain) && file.len() < 200, "{file}");
    }
    validate(&out, Some((&input, Compare::Random(1))), &Options::default(), &Monitor::silent()).unwrap();
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(!page.contains("<script>") && !page.contains('\u{1b}'));
    for warning in &manifest.warnings {
        assert!(!warning.contains(['\n', '\u{1b}']), "{warning:?}");
    }

    let nameless = [write(folder.path(), "b.dbn", &metadata(&[("", 7)]), &messages(600, START))];
    let error = refused(run(&nameless, &folder.path().join("none"), &small()));
    assert!(error.message.contains("maps an instrument to an empty symbol"), "{error}");
}

#[test]
fn symbols_too_long_for_a_file_name_get_one_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let input = [write(folder.path(), "a.dbn", &metadata(&[]), &{
        let mut all = messages(1_200, START);
        all.iter_mut().enumerate().for_each(|(i, message)| message.hd.instrument_id = 7 + (i % 2) as u32);
        all
    })];
    let [a, b] = ["a", "b"].map(|end| "\u{202e}Ω".repeat(50) + end);
    let day = |id: &str| serde_json::json!([{"d0": "2024-04-03", "d1": "2024-04-04", "s": id}]);
    let json = serde_json::json!({
        "result": {a.as_str(): day("7"), b.as_str(): day("8")}, "stype_in": "raw_symbol", "stype_out": "instrument_id"
    });
    fs::write(folder.path().join("symbology.json"), json.to_string()).unwrap();
    let out = folder.path().join("out");
    let manifest = run(&input, &out, &small()).unwrap();
    let datasets: Vec<_> = manifest.datasets().map(|(symbol, dataset)| (&symbol.symbol, &dataset.file)).collect();
    assert_eq!((datasets[0].0, datasets[1].0), (&a, &b));
    assert!(datasets[0].1 != datasets[1].1 && out.join(datasets[0].1).is_file() && out.join(datasets[1].1).is_file());
    validate(&out, Some((&input, Compare::Random(1))), &Options::default(), &Monitor::silent()).unwrap();
}

#[test]
fn inspect_tells_what_process_would_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = messages(600, START);
    first[100].hd.instrument_id = 99;
    let second = messages(600, START + DAY);
    let two = metadata(&[("M6AM4", 7)]);
    let inputs = [
        write(folder.path(), "a.dbn", &two, &first),
        write(folder.path(), "b.dbn", &two, &second),
        write(folder.path(), "c.dbn", &two, &second),
        write(folder.path(), "d.dbn", &metadata(&[("M6A.c.0", 7)]), &messages(600, START + DAY + SECOND / 10)),
    ];
    let refusals = inspected(&inputs, &small()).unwrap().refusals;
    assert_eq!(refusals.len(), 3, "{refusals:?}");
    for (refusal, part) in refusals.iter().zip([
        "1 records in 1 of 4 files have no symbol, such as in a.dbn",
        "c.dbn holds the same bytes as b.dbn",
        "instrument 7 is both \"M6AM4\" and \"M6A.c.0\" from",
    ]) {
        assert!(refusal.contains(part), "{part} in {refusal}");
    }
    assert_eq!(inspected(&inputs[1..2], &small()).unwrap().refusals, Vec::<String>::new());
}
