//! What is fuzzed: each function takes any bytes and panics where lobset breaks a promise. cargo-fuzz calls them through
//! `fuzz_targets`, and the test `corpus` of the library calls them with the files of `corpus`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a finding is a panic")]

mod edit;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use lobset::input::DbnReader;
use lobset::internals::{Selection, inner_quantiles, interpolate, ranks};
use lobset::output::RecordBatches;
use lobset::settings::{Layer, resolve};
use lobset::{Config, Error, Manifest, Monitor, Options, Thresholds};

/// Bytes to rows: a DBN file, compressed or not. Both readers find the same number of records.
pub fn rows(data: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(if data.starts_with(b"DBN") { "day.dbn" } else { "day.dbn.zst" });
    std::fs::write(&path, data).unwrap();
    let records = seen(DbnReader::open(&path).and_then(|mut reader| {
        while reader.advance()? {
            reader.record()?;
        }
        assert_eq!(reader.sha256(), sha256(data));
        Ok(reader.records())
    }));
    let batches = RecordBatches::open(&path, None, None).and_then(|batches| {
        // A reader of Arrow batches gives its errors as Arrow's.
        batches.map(|batch| batch.map(|batch| batch.num_rows() as u64)).sum::<Result<u64, _>>().or(Ok(u64::MAX))
    });
    if let (Some(records), Some(batches)) = (records, seen(batches)) {
        assert!(batches == records || batches == u64::MAX, "{batches} of {records} records in batches");
    }
    seen(lobset::inspect(&[&path], &Config::default(), &one_thread(), &Monitor::silent()));
}

/// Text to settings: a TOML document, and each of its lines as an environment variable.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let layers = Layer::from_toml("lobset.toml", &text).map_err(Error::from);
    if let Some(layer) = seen(layers) {
        checked(&[layer]);
    }
    let variable = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.strip_prefix("LOBSET_")?.to_ascii_lowercase(), value.to_owned()))
    };
    checked(&[Layer { origin: "environment".to_owned(), values: text.lines().filter_map(variable).collect() }]);
}

/// Settings that come out of text are within their ranges.
fn checked(layers: &[Layer]) {
    if let Some(config) = seen(resolve(layers).map_err(Error::from)) {
        config.check().unwrap();
    }
}

/// A `thresholds.json`: what is taken can be written and read again, and its classes are classes.
pub fn thresholds(data: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("thresholds.json");
    std::fs::write(&path, data).unwrap();
    let Some(found) = seen(Thresholds::read(&path)) else { return };
    std::fs::write(&path, found.to_json()).unwrap();
    assert_eq!(Thresholds::read(&path).unwrap(), found);
    for fit in found.classic.global.iter().chain(found.classic.symbols.values()) {
        for movement in [f64::MIN, -1e-4, 0.0, 1e-4, f64::MAX] {
            assert!(fit.class(movement) < usize::from(found.settings.nbins));
        }
    }
}

/// A `manifest.json` in the place of a dataset's own: it passes only as lobset writes it. What could be one is checked again
/// with a hash made to fit.
pub fn manifest(data: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), dataset_files());
    let path = folder.path().join("manifest.json");
    std::fs::write(&path, data).unwrap();
    if let Some(read) = seen(Manifest::read(folder.path())) {
        assert_eq!(read.to_json().as_bytes(), data);
    }
    if let Ok(mut manifest) = serde_json::from_slice::<Manifest>(data) {
        manifest.seal();
        std::fs::write(&path, manifest.to_json()).unwrap();
        if let Some(read) = seen(Manifest::read(folder.path())) {
            assert_eq!(read, manifest);
        }
        validate(folder.path());
    }
}

/// A dataset under the edits that the bytes describe, with sizes and hashes made to fit.
pub fn dataset(data: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let mut files = dataset_files().clone();
    edit::apply(data, &mut files);
    lay_out(folder.path(), &files);
    let manifest = files.get("manifest.json").map(|bytes| serde_json::from_slice::<Manifest>(bytes));
    if let Some(Ok(mut manifest)) = manifest {
        for entry in manifest.symbols.iter_mut().filter_map(|symbol| symbol.dataset.as_mut()) {
            if let Some(bytes) = files.get(&entry.file) {
                entry.bytes = bytes.len() as u64;
                entry.sha256 = sha256(bytes);
            }
        }
        if let Some(bytes) = files.get(&manifest.thresholds.file) {
            manifest.thresholds.sha256 = sha256(bytes);
        }
        manifest.seal();
        std::fs::write(folder.path().join("manifest.json"), manifest.to_json()).unwrap();
    }
    validate(folder.path());
}

fn validate(folder: &Path) {
    seen(lobset::validate(folder, None::<(&[&Path], _)>, &one_thread(), &Monitor::silent()));
}

/// The exact quantiles of any numbers, in parts, are those of the sorted numbers.
pub fn quantile(data: &[u8]) {
    let Some((nbins, bytes)) = data.split_first() else { return };
    let (whole, _) = bytes.as_chunks::<8>();
    let values: Vec<f64> =
        whole.iter().map(|bytes| f64::from_le_bytes(*bytes) + 0.0).filter(|v| v.is_finite()).collect();
    let Some(last) = values.len().checked_sub(1) else { return };
    let mut qs = inner_quantiles(u16::from(*nbins).max(2));
    qs.push(0.5);
    // A histogram has a bucket for every value of a digit, so few parts are fast.
    let parts = values.chunks(values.len().div_ceil(2));
    // Few values would never be counted to the last digit.
    let mut selection = Selection::new().with_most_gathered(u64::from(*nbins % 8));
    let found = loop {
        let counted: Vec<_> = parts
            .clone()
            .map(|part| {
                let mut histogram = selection.empty();
                selection.count(part, &mut histogram);
                histogram
            })
            .collect();
        let histogram = selection.merge(&counted);
        if let Some(values) = selection.refine(histogram, |n| ranks(n, &qs)) {
            break interpolate(last as u64 + 1, &qs, &values);
        }
    };
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    for (q, found) in qs.iter().zip(found) {
        let place = last as f64 * q;
        let (below, t) = (place.floor() as usize, place - place.floor());
        let (a, b) = (sorted[below], sorted[(below + 1).min(last)]);
        let want = if t >= 0.5 { b - (b - a) * (1.0 - t) } else { a + (b - a) * t };
        assert_eq!(found.to_bits(), want.to_bits(), "quantile {q} of {} values", values.len());
    }
}

/// The value, or nothing for a refusal, whose text must not steer a terminal.
fn seen<T>(outcome: Result<T, Error>) -> Option<T> {
    let error = match outcome {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let text = format!("{error}\n{}", error.help().unwrap_or_default());
    assert!(!text.is_empty() && text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    None
}

fn one_thread() -> Options {
    Options { threads: 1, ..Options::default() }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lay_out(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
}

/// The files of a small dataset, which is made once.
pub fn dataset_files() -> &'static BTreeMap<String, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (market, out) = (folder.path().join("market"), folder.path().join("out"));
        lobset_sim::Market { days: 2, rows: 400, ..Default::default() }.write(&market, |_| ()).unwrap();
        lobset::process(&[market], &out, &small(), None, &one_thread(), &Monitor::silent()).unwrap();
        let file = |path: std::path::PathBuf| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
        };
        std::fs::read_dir(out).unwrap().map(|entry| file(entry.unwrap().path())).collect()
    })
}

/// Settings for a few hundred rows.
pub fn small() -> Config {
    Config {
        lookback_rows: 10,
        lookforward_input: 10,
        lookforward_offset: 2,
        nbins: 3,
        min_symbol_samples: 20,
        samples: 100,
        ticks_per_bin: 10,
        ..Config::default()
    }
}
