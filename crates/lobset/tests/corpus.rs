//! Runs the fuzzers' corpus through the functions that are fuzzed, so that bugs found once stay fixed. `make fuzz`
//! continues from it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::path::PathBuf;

use common::{START, Tick, dbn_bytes, messages, metadata, old_bytes, v4_message};
use dbn::encode::EncodeRecord;
use dbn::encode::dbn::v4;

/// The name of a fuzzer and what it calls.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 6] = [
    ("rows", targets::rows),
    ("config", targets::config),
    ("thresholds", targets::thresholds),
    ("manifest", targets::manifest),
    ("dataset", targets::dataset),
    ("quantile", targets::quantile),
];

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

#[test]
fn the_corpus_breaks_no_promise() {
    for (name, target) in TARGETS {
        let mut files: Vec<_> = std::fs::read_dir(folder(name)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            if let Err(panic) = std::panic::catch_unwind(|| target(&bytes)) {
                eprintln!("fuzz/corpus/{name}/{}", file.file_name().unwrap().display());
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// The code that made the first files of the corpus. Inputs that a fuzzer finds are added by hand.
#[test]
#[ignore = "writes fuzz/corpus"]
fn make_the_corpus() {
    let put = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(folder(target)).unwrap();
        std::fs::write(folder(target).join(name), bytes).unwrap();
    };
    for (name, bytes) in dbn_files() {
        put("rows", name, &bytes);
        put("rows", &format!("{name}-zst"), &zstd::encode_all(bytes.as_slice(), 1).unwrap());
    }
    let dataset = targets::dataset_files();
    put("thresholds", "fitted", &dataset["thresholds.json"]);
    put("manifest", "written", &dataset["manifest.json"]);
    put("manifest", "empty", b"{}");
    put("config", "defaults", &toml::to_string(&lobset::Config::default()).unwrap().into_bytes());
    let texts: [(&str, &[u8]); 4] = [
        (
            "flat",
            b"currency = 'EURUSD'\nnbins = 9\nmax_gap = '15m'\nfit_until = 2024-10-01\nprice_range = [0.5, 1.5]\n",
        ),
        ("environment", b"LOBSET_NBINS=9\nLOBSET_PUBLISHERS=[39, 40]\nLOBSET_FIT_UNTIL=2024-10-01T00:00:00Z\n"),
        ("wrong", b"nbinz = 7\ncompression = 'gzip'\nlookback_rows = -1\nsample_fraction = nan\n"),
        ("table", b"[nbins]\nx = 1\n[[targets]]\nkind = 'time'\n"),
    ];
    texts.iter().for_each(|(name, text)| put("config", name, text));
    let edits: [(&str, &[u8]); 5] = [
        ("none", b""),
        ("flip", &[1, 0, 200, 10, 0, 0, 1, 0]),
        ("footer", &[1, 0, 31, 0, 0, 0, 255, 0]),
        ("classes", &[3, 1, 40, 0, 0, 0, 0, 0, 3, 5, 90, 0, 0, 0, 0, 0]),
        ("missing", &[2, 254, 0, 0, 0, 0, 0, 0]),
    ];
    edits.iter().for_each(|(name, bytes)| put("dataset", name, bytes));
    let numbers = |nbins: u8, values: &[f64]| -> Vec<u8> {
        std::iter::once(nbins).chain(values.iter().flat_map(|v| v.to_le_bytes())).collect()
    };
    put("quantile", "few", &numbers(5, &[0.25, -1.0, 3.5, 0.0, -0.0, 1e-300, 1e300]));
    put("quantile", "equal", &numbers(21, &[1e-4; 40]));
    put("quantile", "close", &numbers(3, &[1.0, 1.0 + f64::EPSILON, 1.0 - f64::EPSILON / 2.0, f64::MIN_POSITIVE]));
}

/// A few records in every version of DBN.
fn dbn_files() -> Vec<(&'static str, Vec<u8>)> {
    let tick = |i: u64| Tick { instrument: 7, ts: START + i * 1_000, bid: 650_000_000, ask: 650_050_000 };
    let ticks: Vec<Tick> = (0..4).map(tick).collect();
    let messages = messages(&ticks);
    let old = |version: u8| old_bytes(version, &messages);
    let mut newest = metadata(&[("M6AM4", 7)]);
    newest.version = 4;
    newest.layout = Some(dbn::v4::layouts::default_layout().clone());
    let mut encoder = v4::Encoder::new(Vec::new(), &newest).unwrap();
    messages.iter().for_each(|m| encoder.encode(&v4_message(m)).unwrap());
    let mut stamped = metadata(&[("M6AM4", 7)]);
    stamped.ts_out = true;
    let mut with_stamps = dbn::encode::DbnEncoder::new(Vec::new(), &stamped).unwrap();
    messages.iter().for_each(|m| with_stamps.encode_record(&dbn::WithTsOut::new(m.clone(), m.ts_recv + 5)).unwrap());
    vec![
        ("v1", old(1)),
        ("v2", old(2)),
        ("v3", old(3)),
        ("v4", encoder.get_ref().clone()),
        ("stamps", std::mem::take(with_stamps.get_mut())),
        ("two-symbols", dbn_bytes(&metadata(&[("M6AM4", 7), ("M6AU4", 8)]), &ticks)),
        ("no-mappings", dbn_bytes(&metadata(&[]), &ticks)),
        ("no-records", dbn_bytes(&metadata(&[("M6AM4", 7)]), &[])),
    ]
}
