//! Output folders that were changed: `validate` notices, even if hashes were updated to match.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{
    Array, DictionaryArray, Float64Array, Int32Array, StringArray, TimestampNanosecondArray, UInt64Array,
};
use common::changed::{DATASET, Edit, Place, check, fit_hashes, refused, sha256};
use common::small;
use lobset::validate::{Certificate, Compare};
use lobset::{Config, Error, Manifest, Monitor, Options, Timestamp};

#[test]
fn every_byte_of_every_file_counts() {
    let place = Place::new(&small());
    for (name, bytes) in &place.files {
        // Changes to the other files are found later, so testing each takes longer: try fewer.
        let step = match name.as_str() {
            "manifest.json" | "thresholds.json" => bytes.len() / 300,
            _ => bytes.len() / 12,
        };
        let out = place.out();
        for at in (0..bytes.len()).step_by(step.max(1)).chain([bytes.len() - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(out.join(name), &changed).unwrap();
            if name == "README.md" {
                // Its owner may change it, and validation reports that it was not checked.
                let not_checked = check(&out).unwrap().proved.not_checked;
                assert!(
                    not_checked.iter().any(|line| line.starts_with("README.md: changed since the run")),
                    "{not_checked:?}"
                );
            } else {
                let text = refused(&out);
                assert!(text.contains(&format!("{name}: ")), "{name}, byte {at}: {text}");
            }
        }
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(out.join(name), &bytes[..cut]).unwrap();
            if name != "README.md" {
                refused(&out);
            }
        }
    }
}

#[test]
fn nothing_is_missing_and_nothing_else_lies_there() {
    let place = Place::new(&small());
    for name in place.files.keys() {
        let out = place.out();
        std::fs::remove_file(out.join(name)).unwrap();
        match name.as_str() {
            // Without it a folder is not a dataset.
            "manifest.json" => assert!(matches!(check(&out), Err(Error::Input(_)))),
            _ => assert!(refused(&out).contains(&format!("{name}: is missing"))),
        }
        std::fs::create_dir(out.join(name)).unwrap();
        assert!(refused(&out).contains(&format!("{name}: is not a regular file")));
        std::fs::remove_dir(out.join(name)).unwrap();
        std::os::unix::fs::symlink(place.folder.path().join("made").join(name), out.join(name)).unwrap();
        assert!(refused(&out).contains(&format!("{name}: is not a regular file")));
    }
    for name in ["notes.txt", ".hidden", "AUDUSD_X_dataset.parquet", "a\nb\u{1b}[2J"] {
        let out = place.out();
        std::fs::write(out.join(name), "x").unwrap();
        let text = refused(&out);
        let shown = lobset::printable(name);
        assert!(text.contains(&format!("{shown}: is in the folder, but not in the manifest")), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
    let out = place.out();
    std::fs::create_dir(out.join("cache")).unwrap();
    assert!(refused(&out).contains("cache: is in the folder"));
}

#[test]
fn a_manifest_that_contradicts_itself_is_refused() {
    let place = Place::new(&small());
    type Change = fn(&mut Manifest);
    let changes: [(Change, &str); 41] = [
        (|m| m.symbols.clear(), "it lists no dataset"),
        (|m| m.inputs.clear(), "it lists no input"),
        (|m| drop(m.inputs.pop()), "the rows of its inputs"),
        (|m| m.inputs[0].rows -= 1, "are not its"),
        (|m| m.inputs[0].records += 1, "are not its"),
        (|m| m.inputs[0].drops.crossed += 1, "are not its"),
        (|m| m.inputs[0].first_ts = None, "first and last time"),
        (|m| m.inputs[0].sha256 = "x".to_owned(), "is not a SHA-256"),
        (|m| m.delivery.unchecked += 1, "delivery counts"),
        (|m| m.thresholds.fitted = false, "lists rows that they were fitted on"),
        (|m| m.symbols.iter_mut().for_each(|s| s.fitted_rows.clear()), "lists no row that they were fitted on"),
        (|m| m.thresholds.file = "../thresholds.json".to_owned(), "is not a plain file name"),
        (|m| m.card.file = "/etc/passwd".to_owned(), "is not a plain file name"),
        (|m| m.report.file = "README.md".to_owned(), "\"README.md\" is listed twice"),
        (|m| m.report.file = "manifest.json".to_owned(), "\"manifest.json\" is listed twice"),
        (|m| m.symbols[0].dataset.as_mut().unwrap().file = "..".to_owned(), "is not a plain file name"),
        (|m| m.symbols[0].dataset.as_mut().unwrap().file = String::new(), "is not a plain file name"),
        (|m| m.symbols[1].symbol = m.symbols[0].symbol.clone(), "is listed twice"),
        (|m| m.symbols[0].rows += 1, "the rows of its inputs"),
        (|m| m.symbols[0].rows = u64::MAX, "it has no rows, or too many"),
        (|m| m.symbols[0].targets[0].labelled_rows -= 1, "are not the rows with complete windows"),
        (|m| m.symbols[0].targets[0].undefined_rows = u64::MAX, "are not the rows with complete windows"),
        (|m| m.symbols[0].breaks = vec![9, 8], "its breaks are not row numbers in ascending order"),
        (|m| m.symbols[0].breaks = vec![2_000], "are not the rows with complete windows"),
        (|m| m.symbols[0].boundary_row = u64::MAX, "its boundary row is past its end"),
        (
            |m| m.symbols[0].fitted_rows = vec![[5, 3]],
            "the rows fitted on are not ranges of its rows in ascending order",
        ),
        (
            |m| m.symbols[0].fitted_rows[0][1] = u64::MAX,
            "the rows fitted on are not ranges of its rows in ascending order",
        ),
        (|m| m.symbols[0].gaps.reverse(), "its gaps are not a valid list of gaps"),
        (|m| m.symbols[0].reason = Some("none".to_owned()), "it has a dataset, and a reason why it has none"),
        (|m| m.symbols[0].dataset = None, "it has no dataset, and no reason why"),
        (|m| m.symbols[0].targets[0].splits.as_mut().unwrap().fit.classes.truncate(4), "are not 5 counts"),
        (|m| m.symbols[0].targets[0].splits.as_mut().unwrap().fit.classes[0] = u64::MAX, "are not 5 counts"),
        (|m| m.symbols[0].targets[0].splits.as_mut().unwrap().holdout.balanced.clear(), "are not 5 counts"),
        (|m| m.symbols[0].targets[0].splits.as_mut().unwrap().fit.balanced[0] += 1, "counts of marked rows"),
        (|m| m.symbols[0].targets[0].splits.as_mut().unwrap().fit.short = vec![77], "its short classes"),
        (|m| m.symbols[0].dataset.as_mut().unwrap().rows = 1, "are not those of its splits"),
        (|m| m.symbols[0].dataset.as_mut().unwrap().row_groups = 0, "has no row groups"),
        (|m| m.config.nbins = 1, "config: nbins: 1 is outside the range 2 to 255"),
        (|m| m.validation.as_mut().unwrap().rows += 1, "validation counts"),
        (|m| drop(m.validation.as_mut().unwrap().checks.pop()), "validation lists checks"),
        (|m| m.timings.scan_seconds = -1.0, "a time is negative"),
    ];
    for (change, reason) in changes {
        let text = place.changed(change);
        assert!(text.contains(reason), "{reason} in {text}");
    }
    // Changes that are consistent within the manifest, but do not match the files.
    let others: [(Change, &str); 7] = [
        (|m| m.version = "0.0.9".to_owned(), "they were fitted by another version of lobset"),
        (|m| m.config.lookback_rows += 1, "are not the rows with complete windows"),
        (|m| m.config.samples += 100, "its metadata \"lobset.config\" is not that of the manifest"),
        (|m| m.config.min_symbol_samples -= 1, "their min_symbol_samples is not that of the settings"),
        (|m| m.thresholds.fit_until = Timestamp(1), "its boundary time is"),
        (|m| m.symbols[0].boundary_row += 3, "its fit rows do not end where their windows reach"),
        (|m| m.symbols[0].fitted_rows[0][0] += 200, "such fit rows"),
    ];
    for (change, reason) in others {
        let text = place.changed(change);
        assert!(text.contains(reason), "{reason} in {text}");
    }
}

#[test]
fn a_dataset_that_was_encoded_again_has_to_say_the_same() {
    let place = Place::new(&small());
    // The same values in another encoding are fine.
    let same = check(&place.encoded(|_| ())).unwrap();
    assert!(same.recomputed > 0 && same.recomputed < same.proved.rows, "{}", same.recomputed);

    let next = |v: f64| f64::from_bits(v.to_bits() + 1);
    let tick = |v: f64| ((v * 1e9).round() + 1_000.0) / 1e9;
    let changes: [(&str, Edit<'_>, &str); 13] = [
        ("a movement, by the least that can be", &|c| c.float("price_movement", 1_000, next), "but its windows give"),
        ("a mid price", &|c| c.float("mid_price", 1_000, next), "but its best bid and ask give"),
        ("the best bid", &|c| c.float("bid_px_00", 1_000, tick), "but its best bid and ask give"),
        ("the best ask, by the least", &|c| c.float("ask_px_00", 1_000, next), "is not a multiple of 1e-9"),
        (
            "a missing bid",
            &|c| {
                c.replace("bid_px_00", |column| {
                    let values = column.as_primitive::<Float64Type>().iter().enumerate();
                    Arc::new(values.map(|(i, v)| v.filter(|_| i != 1_000)).collect::<Float64Array>())
                });
            },
            "its quote is not usable: one-sided",
        ),
        (
            "bid above ask",
            &|c| c.float("bid_px_00", 1_000, |v| ((v * 1e9).round() + 1e9) / 1e9),
            "its quote is not usable: crossed",
        ),
        (
            "both quotes and the mid price",
            &|c| {
                c.float("bid_px_00", 1_000, |v| ((v * 1e9).round() - 50_000.0) / 1e9);
                c.float("ask_px_00", 1_000, |v| ((v * 1e9).round() + 150_000.0) / 1e9);
                let at = |name: &str| c.batch.column_by_name(name).unwrap().as_primitive::<Float64Type>().value(1_000);
                let mid2 = (at("bid_px_00") * 1e9).round() + (at("ask_px_00") * 1e9).round();
                c.float("mid_price", 1_000, |_| mid2 / 2e9);
            },
            "but its windows give",
        ),
        (
            "a symbol",
            &|c| {
                c.replace("symbol", |column| {
                    let names = StringArray::from(vec!["M6AM4", "M6AU4"]);
                    let keys: Int32Array = (0..column.len() as i32).map(|i| i32::from(i == 1_000)).collect();
                    Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(names)).unwrap())
                });
            },
            "its symbol is not \"M6AM4\"",
        ),
        (
            "a row twice",
            &|c| {
                c.replace("row", |column| {
                    let mut rows: Vec<u64> = column.as_primitive::<UInt64Type>().values().to_vec();
                    rows[1_000] = rows[999];
                    Arc::new(UInt64Array::from(rows))
                });
            },
            "comes after row",
        ),
        (
            "rows moved by one",
            &|c| {
                c.replace("row", |column| {
                    let rows = column.as_primitive::<UInt64Type>().values().iter().map(|row| row + 1);
                    Arc::new(rows.collect::<UInt64Array>())
                });
            },
            "it is embargo by its place",
        ),
        (
            "a class",
            &|c| {
                c.replace("classification_label", |column| {
                    let classes = column.as_primitive::<Int32Type>().values().iter().enumerate();
                    Arc::new(classes.map(|(i, v)| if i == 1_000 { (v + 1) % 5 } else { *v }).collect::<Int32Array>())
                });
            },
            "classification_label is",
        ),
        (
            "the settings in the metadata",
            &|c| {
                drop(c.metadata.insert("lobset.config".to_owned(), "{}".to_owned()));
            },
            "its metadata \"lobset.config\" is not that of the manifest",
        ),
        (
            "a key in the metadata",
            &|c| {
                drop(c.metadata.insert("note".to_owned(), "mine".to_owned()));
            },
            "its metadata has 7 keys, not 6",
        ),
    ];
    for (what, change, reason) in changes {
        let text = refused(&place.encoded(change));
        assert!(text.contains(reason), "{what}: {text}");
        assert!(text.contains(DATASET), "{what}: {text}");
    }
}

#[test]
fn what_only_the_raw_files_know_is_told_and_compared_with_them() {
    let place = Place::new(&small());
    let all = |out: &Path| {
        let against = Some((&place.inputs[..], Compare::All));
        lobset::validate(out, against, &Options::default(), &Monitor::silent())
    };
    let found = all(&place.out()).unwrap();
    let against = found.against.unwrap();
    assert_eq!((against.rows, against.seed, against.all), (found.proved.rows, None, true));
    assert_eq!(found.proved.not_checked, [""; 0]);
    let changes: [(Edit<'_>, &str); 3] = [
        (&|c| c.float("bid_px_03", 1_000, |v| v - 0.5), "bid_px_03 differs from the raw record"),
        (
            &|c| {
                c.replace("ts_event", |column| {
                    let stamps = column.as_primitive::<TimestampNanosecondType>().iter().enumerate();
                    let stamps = stamps.map(|(i, v)| if i == 1_000 { v.map(|v| v + 1) } else { v });
                    Arc::new(stamps.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
                });
            },
            "ts_event differs from the raw record",
        ),
        // The past window of the first row extends outside the file, and so do the ends of all classes.
        (&|c| c.float("price_movement", c.rows() - 1, |v| f64::from_bits(v.to_bits() + 1)), "by definition"),
    ];
    for (change, reason) in changes {
        let out = place.encoded(change);
        let found = check(&out).unwrap();
        assert!(found.proved.not_checked.iter().any(|line| line.contains("--against INPUT --all")));
        let error = all(&out).unwrap_err();
        assert!(matches!(&error, Error::Validation(_)) && error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn statistics_of_the_thresholds_are_those_of_the_fit_rows() {
    for scope in [lobset::config::ThresholdScope::Global, lobset::config::ThresholdScope::Symbol] {
        let place = Place::new(&Config { threshold_scope: scope, ..small() });
        type Change = fn(&mut lobset::label::Boundaries);
        let changes: [(Change, &str); 8] = [
            (|f| f.mean *= 1.0 + 1e-6, "the mean is"),
            (|f| f.std *= 1.0 + 1e-9, "the standard deviation is"),
            (|f| f.min *= 1.0 + 1e-15, "the minimum is"),
            (|f| f.max *= 1.0 + 1e-15, "the maximum is"),
            (|f| f.median = f64::from_bits(f.median.to_bits() + 1), "the median is"),
            (|f| f.values[2] = f64::from_bits(f.values[2].to_bits() + 1), "boundary 3 is"),
            (|f| f.fit_rows -= 1, "such fit rows"),
            (|f| f.embargo_rows += 1, "embargo_rows are not those of the datasets"),
        ];
        for (change, reason) in changes {
            let text = place
                .fitted(|t| t.classic.global.iter_mut().chain(t.classic.symbols.values_mut()).take(1).for_each(change));
            assert!(text.contains(reason), "{reason} in {text}");
        }
        assert!(place.fitted(|t| t.sample_fraction = 0.5).contains("their sample_fraction is not"));
        assert!(place.fitted(|t| t.files.clear()).contains("files lists no file"));
        assert!(place.fitted(|t| t.files[0].sha256 = "0".repeat(64)).contains("are not inputs"));
    }
}

#[test]
fn no_damage_to_a_dataset_brings_validation_down() {
    let place = Place::new(&small());
    let bytes = &place.files[DATASET];
    let out = place.out();
    let mut random = 7_u64;
    let mut below = |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % bound
    };
    let mut noticed = 0;
    for case in 0..60 {
        let mut changed = bytes.clone();
        // Half of the changes are in the footer, which a reader reads first.
        let from = if case % 2 == 0 { bytes.len() - 4_096 } else { 0 };
        for _ in 0..=below(3) {
            changed[from + below(bytes.len() - from)] ^= 1 << below(8);
        }
        std::fs::write(out.join(DATASET), &changed).unwrap();
        fit_hashes(&out);
        match check(&out) {
            Ok(_) => {}
            Err(Error::Validation(_)) => noticed += 1,
            Err(other) => panic!("case {case}: {other}"),
        }
    }
    assert!(noticed > 20, "{noticed}");
}

#[test]
fn a_certificate_says_what_was_proved_and_replaces_nothing_else() {
    let place = Place::new(&small());
    let out = place.out();
    let found = check(&out).unwrap();
    let path = place.folder.path().join("certificate.json");
    let certificate = Certificate::new(&out, &found);
    certificate.write(&path, &out).unwrap();
    let read = Certificate::read(&path).unwrap();
    assert_eq!(read, certificate);
    assert_eq!(read.manifest.sha256, sha256(&place.files["manifest.json"]));
    for file in &read.files {
        assert_eq!(file.sha256, sha256(&place.files[&file.file]), "{}", file.file);
    }
    let inputs: Vec<String> = place.inputs.iter().map(|path| sha256(&std::fs::read(path).unwrap())).collect();
    assert_eq!(read.inputs.iter().map(|input| input.sha256.clone()).collect::<Vec<_>>(), inputs);
    assert_eq!((read.rows, &read.checks), (found.proved.rows, &found.proved.checks));
    // A later certificate replaces it.
    certificate.write(&path, &out).unwrap();

    let refused = |path: &Path, reason: &str| {
        let before = std::fs::read(path).ok();
        let error = certificate.write(path, &out).unwrap_err();
        assert!(matches!(&error, Error::Output { .. }) && error.to_string().contains(reason), "{error}");
        assert_eq!(std::fs::read(path).ok(), before);
    };
    let notes = place.folder.path().join("notes.json");
    std::fs::write(&notes, "{}").unwrap();
    refused(&notes, "is not a lobset certificate");
    refused(&out.join("certificate.json"), "is inside the folder being validated");
    refused(&out.join("manifest.json"), "is inside the folder being validated");
    let link = place.folder.path().join("link.json");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    refused(&link, "is a symbolic link");
    check(&out).unwrap();
}
