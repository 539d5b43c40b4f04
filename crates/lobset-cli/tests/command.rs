//! The command as a user runs it: exit codes, what goes to stdout and stderr, and settings from all sources.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod place;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use place::{Place, Ran, SMALL};

#[test]
fn the_main_job_leaves_a_proved_folder() {
    let place = Place::new();
    let ran = place.run(&format!("process market -o out {SMALL}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    let page = std::fs::read_to_string(place.path().join("out/report.html")).unwrap();
    assert!(page.contains(">Validated</p>") && !page.contains("<script"));

    assert_eq!(place.run("validate out --against market --seed 7").code, 0);
    assert_eq!(place.run(&format!("process market -o out {SMALL}")).code, 4);
}

#[test]
fn a_quiet_command_prints_errors_alone() {
    let place = Place::new();
    let silent = |line: &str| {
        let ran = place.run(line);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""), "{line}");
    };
    silent(&format!("process market -o out -q {SMALL}"));
    // The warnings that were not printed are in the manifest.
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path().join("out/manifest.json")).unwrap()).unwrap();
    assert!(!manifest["warnings"].as_array().unwrap().is_empty());
    silent(&format!("thresholds market -o t.json -q {SMALL}"));
    silent(&format!("build market -o built --thresholds t.json -q {SMALL}"));
    silent("validate out -q");
    silent("inspect market -q");
    silent("simulate other --days 1 --rows 10 -q");
    assert!(place.run("inspect market -q --json").out.starts_with('{'));
    let failed = place.run("inspect nowhere -q");
    assert_eq!((failed.code, failed.out.as_str()), (3, ""));
    assert!(failed.err.starts_with("error: nowhere: does not exist\nhelp: "), "{}", failed.err);
}

#[test]
fn inspect_takes_the_settings_that_it_uses() {
    let place = Place::new();
    for setting in lobset::Inspection::settings() {
        let value = match setting.key {
            "aliases" => "keep",
            "price_range" => "0,1",
            "unmapped" => "drop",
            "publishers" => "1",
            "symbols" => "M6AM4",
            "max_gap" => "15m",
            "rows" => "records",
            "bad_book" => "keep",
            _ => "true",
        };
        let ran = place.run(&format!("inspect market --{}={value}", setting.flag()));
        assert_eq!(ran.code, 0, "{}: {}", setting.key, ran.err);
    }
    assert_eq!(place.run("inspect market --nbins 7").code, 2);
    // A settings file for all commands may contain settings that this command does not use.
    std::fs::write(place.path().join("lobset.toml"), "nbins = 7\naliases = 'keep'\n").unwrap();
    assert_eq!(place.run("inspect market --config lobset.toml").code, 0);
}

#[test]
fn phases_can_run_one_by_one() {
    let place = Place::new();
    let fitted = place.run(&format!("thresholds market -o t.json {SMALL}"));
    assert_eq!(fitted.code, 0, "{}", fitted.err);
    // `--overwrite` replaces a thresholds file and nothing else.
    let again = |out: &str| place.run(&format!("thresholds market -o {out} --overwrite {SMALL}"));
    assert_eq!(again("t.json").code, 0);
    std::fs::write(place.path().join("notes.json"), "{}").unwrap();
    let refused = again("notes.json");
    assert_eq!(refused.code, 4);
    assert_eq!(
        refused.err,
        "error: notes.json: exists but is not a lobset thresholds file, so --overwrite does not replace it\n\
         help: choose another name for the file\n"
    );
    assert_eq!(std::fs::read(place.path().join("notes.json")).unwrap(), b"{}");
    // Settings that are not given come from the thresholds file.
    let built = place.run("build market -o built --thresholds t.json --min-symbol-samples 500");
    assert_eq!(built.code, 0, "{}", built.err);
    assert_eq!(place.run("validate built").code, 0);
    let differs = place.run("build market -o other --thresholds t.json --nbins 7 --lookback-rows 5");
    assert_eq!(differs.code, 2);
}

#[test]
fn a_boundary_time_outside_the_data_is_refused_or_warned_of() {
    let place = Place::new();
    // The market runs from Monday to Wednesday; in UTC it starts on Sunday evening.
    for command in ["process market -o out", "thresholds market -o t.json"] {
        let early = place.run(&format!("{command} {SMALL} --fit-until 2024-01-01"));
        assert_eq!(early.code, 1, "{}", early.err);
        for part in [
            "error: the fit half is empty: no row comes before fit_until = 2024-01-01T00:00:00.000000000Z\n",
            "help: set fit_until to a time within the data, which is from 2024-04-01T",
        ] {
            assert!(early.err.contains(part), "{part} in {}", early.err);
        }
        let late = place.run(&format!("{command} {SMALL} --fit-until 2024-05-01"));
        assert_eq!(late.code, 0, "{}", late.err);
        let warning = "the holdout is empty: no row comes at or after fit_until = 2024-05-01T00:00:00.000000000Z";
        assert!(late.err.contains(&format!("warning: {warning}, and the data ends at 2024-04-0")), "{}", late.err);
        assert_eq!(late.err.matches("holdout").count(), 1, "{}", late.err);
    }
    for file in ["manifest.json", "report.html"] {
        assert!(std::fs::read_to_string(place.path().join("out").join(file)).unwrap().contains("the holdout is empty"));
    }
    // Old thresholds may be applied to data without a fit half. Data without a holdout cannot test anything, so it is
    // warned about.
    let applied = place.run(&format!("build market -o applied --thresholds t.json {SMALL}"));
    assert_eq!(applied.code, 0, "{}", applied.err);
    assert!(
        applied.err.contains("no row comes at or after the boundary time of the thresholds file"),
        "{}",
        applied.err
    );
}

#[test]
fn without_a_currency_the_tag_and_its_preset_follow_from_the_data() {
    let place = Place::empty();
    let windows = "--lookback-rows 100 --lookforward-input 100 --lookforward-offset 10 --min-symbol-samples 500";
    // The root of the symbols, the tag, and its number of classes.
    for (root, tag, nbins) in [("M6A", "AUDUSD", 21), ("PJY", "GBPJPY", 9), ("ZZ", "GLBX.MDP3", 21)] {
        let market = format!("market-{root}");
        assert_eq!(place.run(&format!("simulate {market} --days 2 --rows 12000 --currency {root}")).code, 0);
        let ran = place.run(&format!("process {market} -o {root} {windows}"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains(&format!("\n{tag}: boundaries fitted on data before ")), "{}", ran.out);
        assert!(place.path().join(format!("{root}/{tag}_{root}M4_dataset.parquet")).exists(), "{}", ran.out);
        let manifest = std::fs::read_to_string(place.path().join(root).join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(
            (manifest["config"]["currency"].as_str(), manifest["config"]["nbins"].as_u64()),
            (Some(tag), Some(nbins))
        );
        assert_eq!(manifest["config"].get("held"), None);
        assert_eq!(place.run(&format!("validate {root} --against {market}")).code, 0);
        let inspected = place.run(&format!("inspect {market}"));
        assert!(inspected.out.contains(&format!("process would name the datasets {tag}_…\n")), "{}", inspected.out);
    }
    // The user's setting overrides the preset, even if it equals the plain default.
    let ran = place.run(&format!("process market-PJY -o kept {windows} --nbins 21 --json"));
    let manifest: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (manifest["config"]["currency"].as_str(), manifest["config"]["nbins"].as_u64()),
        (Some("GBPJPY"), Some(21))
    );
    assert_eq!(manifest["config"]["micro_pip_size"].as_f64(), Some(0.001));
    // Running the phases one by one gives the same result.
    assert_eq!(place.run(&format!("thresholds market-PJY -o t.json {windows}")).code, 0);
    let read = |path: &str| std::fs::read(place.path().join(path)).unwrap();
    assert_eq!(read("t.json"), read("PJY/thresholds.json"));
    let built = place.run("build market-PJY -o built --thresholds t.json --min-symbol-samples 500");
    assert_eq!(built.code, 0, "{}", built.err);
    assert_eq!(read("built/GBPJPY_PJYM4_dataset.parquet"), read("PJY/GBPJPY_PJYM4_dataset.parquet"));
    let ran = place.run(&format!("process market-PJY -o again {windows} --thresholds t.json"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(read("again/GBPJPY_PJYM4_dataset.parquet"), read("PJY/GBPJPY_PJYM4_dataset.parquet"));
    // The thresholds were fitted with nine classes: the preset of another currency does not fit them.
    let ran = place.run(&format!("process market-PJY -o again --overwrite {windows} --thresholds t.json --nbins 21"));
    assert!(ran.code == 2 && ran.err.contains("nbins: 21 differs from 9"), "{}", ran.err);
    // Case does not matter, and if the input has several markets, the tag is their dataset code.
    let ran = place.run(&format!("process market-PJY -o lower {windows} --currency gbpjpy"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(read("lower/GBPJPY_PJYM4_dataset.parquet"), read("PJY/GBPJPY_PJYM4_dataset.parquet"));
    let inspected = place.run("inspect market-M6A market-PJY");
    assert!(inspected.out.contains("process would name the datasets GLBX.MDP3_…\n"), "{}", inspected.out);
}

#[test]
fn real_data_without_a_currency_has_the_code_of_its_dataset() {
    let place = Place::empty();
    for (name, tag) in [("crypto", "XBIN.DEPTH"), ("es", "GLBX.MDP3")] {
        let Some(data) = place::real_data(name) else { return };
        let ran = place.run(&format!("inspect {}", data.display()));
        assert!(ran.out.contains(&format!("process would name the datasets {tag}_…\n")), "{}", ran.out);
    }
}

#[test]
fn movements_of_exactly_zero_are_counted_where_they_leave_classes_empty() {
    let place = Place::empty();
    let Some(data) = place::real_data("crypto") else { return };
    let windows = "--nbins 3 --lookback-rows 1 --lookforward-offset 0 --lookforward-input 10 --min-symbol-samples 2000";
    let ran = place.run(&format!("thresholds {} -o t.json {windows}", data.display()));
    assert_eq!(ran.code, 1, "{}", ran.err);
    for part in [
        "would get any rows: ",
        " fit movements are exactly zero",
        "help: set classes = \"share\" or classes = \"spread\"",
    ] {
        assert!(ran.err.contains(part), "{part} in {}", ran.err);
    }
}

#[test]
fn json_is_for_machines() {
    let place = Place::new();
    let json = |ran: &Ran| -> serde_json::Value { serde_json::from_str(&ran.out).unwrap() };
    let ran = place.run(&format!("--json process market -o out {SMALL}"));
    let manifest = json(&ran);
    assert_eq!(manifest["config"]["nbins"], 5);
    assert!(manifest["validation"]["rows"].as_u64().unwrap() > 1_000);
    let found = json(&place.run("inspect market --json"));
    assert_eq!(found["files"].as_array().unwrap().len(), 3);
    assert_eq!(found["symbols"][0]["symbol"], "M6AM4");
    assert_eq!(json(&place.run("validate out --json"))["proved"]["datasets"], manifest["validation"]["datasets"]);
    let failed = place.run("process nowhere -o x --json");
    assert_eq!((failed.code, json(&failed)["error"]["class"].as_str()), (3, Some("input")));
}

#[test]
fn a_batch_job_is_held_against_its_manifest() {
    let place = Place::new();
    let entries: Vec<serde_json::Value> = std::fs::read_dir(place.path().join("market"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let sum = Command::new("sha256sum").arg(&path).output().unwrap().stdout;
            let hash = format!("sha256:{}", String::from_utf8_lossy(&sum[..64]));
            let bytes = std::fs::metadata(&path).unwrap().len();
            serde_json::json!({ "filename": path.file_name().unwrap().to_str(), "size": bytes, "hash": hash, "urls": {} })
        })
        .collect();
    let market = place.path().join("market");
    let manifest = serde_json::json!({ "job_id": "GLBX-20240719-5DEFXVTMSM", "files": entries }).to_string();
    std::fs::write(market.join("manifest.json"), manifest).unwrap();
    let degraded = r#"[{"date": "2024-04-02", "condition": "degraded", "last_modified_date": "2024-04-09"}]"#;
    std::fs::write(market.join("condition.json"), degraded).unwrap();
    std::fs::write(market.join("._x.dbn.zst"), "Mac OS X").unwrap();
    for line in ["inspect market".to_owned(), format!("process market -o out {SMALL}")] {
        let ran = place.run(&line);
        assert_eq!(ran.code, 0, "{}", ran.err);
        for part in [
            "all 3 files match manifest.json (GLBX-20240719-5DEFXVTMSM) in size and hash",
            "skipped 1 hidden file: ._x.dbn.zst",
        ] {
            assert!(ran.out.contains(part), "{part} in {}", ran.out);
        }
        let warning = "warning: condition.json: 1 day of the input is degraded: 2024-04-02\n";
        assert!(ran.err.contains(warning), "{}", ran.err);
    }
    let name = "glbx-mdp3-20240402.mbp-10.dbn.zst";
    let mut bytes = std::fs::read(market.join(name)).unwrap();
    let size = bytes.len();
    bytes.pop();
    std::fs::write(market.join(name), bytes).unwrap();
    let ran = place.run(&format!("process market -o other {SMALL}"));
    let want = format!(
        "error: market/{name}: has {} bytes, but manifest.json says {size}\nhelp: download it again\n",
        size - 1
    );
    assert_eq!((ran.code, ran.err), (3, want));
    assert_eq!(place.run("inspect market --symbology gone.json").code, 3);
}

#[test]
fn each_class_of_failure_has_its_exit_code_and_its_cure() {
    let place = Place::new();
    let few = place.run("process market -o out");
    assert_eq!(few.code, 1);
    let long = place.run("process market -o out --lookback-rows 50000");
    assert_eq!(long.code, 1);
    assert!(
        long.err.contains("the windows are longer than the data") && long.err.contains("\nhelp: shorten"),
        "{}",
        long.err
    );
    let few = place.run(&format!("process market -o out {SMALL} --min-symbol-samples=60000"));
    assert!(few.code == 2, "a setting named twice is a usage error: {}", few.err);
    assert_eq!(place.run("process").code, 2);
    let ray = place.run(&format!("process market -o out {SMALL} --engine ray"));
    assert_eq!(ray.code, 2);
    assert!(ray.err.contains("pip install 'lobset[ray]'"), "{}", ray.err);
    assert_eq!(place.run("process market -o out --address auto").code, 2);
    assert_eq!(place.run("frobnicate").code, 2);
    assert_eq!(place.run("process market/*.zip -o out").code, 3);
    std::fs::write(place.path().join("bad.dbn"), "DBN").unwrap();
    let bad = place.run("process bad.dbn -o out");
    assert_eq!(bad.code, 3);
    assert!(bad.err.starts_with("error: bad.dbn: byte 0: "), "{}", bad.err);
    assert_eq!(place.run(&format!("process market -o made/on/the/way {SMALL}")).code, 0);
    assert_eq!(place.run(&format!("process market -o out {SMALL}")).code, 0);
    // A folder without a manifest is not a dataset; a damaged manifest, or any other damaged file, fails validation.
    assert_eq!(place.run("validate market").code, 3);
    let files = ["manifest.json", "thresholds.json", "report.html", "AUDUSD_M6AM4_dataset.parquet"];
    for file in files {
        let path = place.path().join("out").join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() / 2], b"{}", b""] {
            std::fs::write(&path, damaged).unwrap();
            let invalid = place.run("validate out");
            assert_eq!(invalid.code, 5, "{file}: {}", invalid.err);
            assert!(invalid.err.starts_with("error: out: validation failed\n"), "{}", invalid.err);
            assert!(
                invalid.err.contains(&format!("  {file}: ")) && !invalid.err.contains("panicked"),
                "{}",
                invalid.err
            );
        }
        if file != "manifest.json" {
            std::fs::remove_file(&path).unwrap();
            assert_eq!(place.run("validate out").code, 5);
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert_eq!(place.run("validate out").code, 0);
}

#[test]
fn every_row_is_compared_and_a_certificate_is_left() {
    let place = Place::new();
    assert_eq!(place.run(&format!("process market -o out {SMALL}")).code, 0);
    let ran = place.run("validate out --against market --all --certificate proof.json");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let certificate: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path().join("proof.json")).unwrap()).unwrap();
    let sum = Command::new("sha256sum").arg(place.path().join("out/manifest.json")).output().unwrap().stdout;
    assert_eq!(certificate["manifest"]["sha256"], String::from_utf8_lossy(&sum[..64]).as_ref());
    assert_eq!((&certificate["against"]["all"], &certificate["against"]["rows"]), (&true.into(), &certificate["rows"]));
    // A certificate replaces only another certificate, and must be outside the dataset.
    assert_eq!(place.run("validate out --certificate proof.json").code, 0);
    std::fs::write(place.path().join("notes.json"), "{}").unwrap();
    for file in ["notes.json", "out/proof.json", "out/manifest.json", "nowhere/proof.json"] {
        let refused = place.run(&format!("validate out --certificate {file}"));
        assert_eq!(refused.code, 4, "{}", refused.err);
    }
    assert_eq!(std::fs::read(place.path().join("notes.json")).unwrap(), b"{}");
    assert_eq!(place.run("validate out").code, 0);
    // A failed validation writes no certificate.
    std::fs::remove_file(place.path().join("proof.json")).unwrap();
    std::fs::write(place.path().join("out/note.txt"), "mine").unwrap();
    let failed = place.run("validate out --certificate proof.json");
    assert_eq!(failed.code, 5);
    assert!(failed.err.contains("  note.txt: is in the folder, but not in the manifest\n"), "{}", failed.err);
    assert!(!place.path().join("proof.json").exists());
    assert_eq!(place.run("validate out --all").code, 2);
}

#[test]
fn a_thresholds_file_that_is_wrong_says_where() {
    let place = Place::new();
    assert_eq!(place.run(&format!("thresholds market -o t.json {SMALL}")).code, 0);
    let text = std::fs::read_to_string(place.path().join("t.json")).unwrap();
    for (from, to, reason) in [
        ("\"mean\": ", "\"mean\": \"x\", \"was\": ", "invalid type: string \"x\", expected f64"),
        ("\"median\"", "\"mode\"", "unknown field `mode`"),
        ("\"threshold_scope\": \"global\"", "\"threshold_scope\": \"symbol\"", "threshold_scope is \"symbol\""),
        ("\"fit_rows\": ", "\"fit_rows\": 0, \"embargo_rows\": 0, \"x\": ", "unknown field `x`"),
    ] {
        std::fs::write(place.path().join("bad.json"), text.replacen(from, to, 1)).unwrap();
        let ran = place.run("build market -o out --thresholds bad.json --min-symbol-samples 500");
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert!(ran.err.starts_with("error: bad.json: is not a valid thresholds.json: "), "{}", ran.err);
        assert!(ran.err.contains(reason), "{reason} in {}", ran.err);
    }
}

#[test]
fn settings_come_from_file_environment_and_flags_and_mistakes_come_all_at_once() {
    let place = Place::new();
    std::fs::write(
        place.path().join("lobset.toml"),
        "nbins = 7\nlookback_rows = 50\nlookforward_input = 60\nlookforward_offset = 0\nmin_symbol_samples = 500\n",
    )
    .unwrap();
    let mut command = place.command("process market -o out --config lobset.toml --lookback-rows 70 --json");
    let ran = Ran::from(command.env("LOBSET_NBINS", "6").env("LOBSET_LOOKBACK_ROWS", "80").output().unwrap());
    let config = serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["config"].clone();
    assert_eq!(
        (&config["nbins"], &config["lookback_rows"], &config["lookforward_input"]),
        (&6.into(), &70.into(), &60.into())
    );

    std::fs::write(place.path().join("bad.toml"), "nbinz = 7\ncompression = 'gzip'\n").unwrap();
    let mut command = place
        .command("process no-such-folder -o out2 --config bad.toml --nbins 1 --drop-unbalanced --force-uniform=false");
    let ran = Ran::from(command.env("LOBSET_SAMPLES", "7").output().unwrap());
    assert_eq!(ran.code, 2);
    for part in [
        "did you mean nbins?",
        "bad.toml: compression",
        "nbins: 1 is outside",
        "samples: 7",
        "drop_unbalanced: needs force_uniform",
    ] {
        assert!(ran.err.contains(part), "{part} in {}", ran.err);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_stops_a_run_and_leaves_nothing() {
    let place = Place::empty();
    assert_eq!(place.run("simulate market --days 12 --rows 150000").code, 0);
    let mut command = place.command("process market -o out");
    let mut child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let work = place.path().join(".out.lobset-work/scans");
    while !work.is_dir() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["market"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_killed_leaves_out_as_it_was_and_the_next_one_goes_on() {
    let place = Place::empty();
    assert_eq!(place.run("simulate market --days 8 --rows 120000").code, 0);
    assert_eq!(place.run("process market -o out --min-symbol-samples 5000").code, 0);
    let manifest = || std::fs::read(place.path().join("out/manifest.json")).unwrap();
    let before = manifest();
    let scans = place.path().join(".out.lobset-work/scans");
    let finished = || {
        std::fs::read_dir(&scans).map_or(0, |d| {
            d.filter(|e| e.as_ref().is_ok_and(|e| e.path().extension().is_some_and(|x| x == "json"))).count()
        })
    };
    let line = "process market -o out --overwrite --min-symbol-samples 5000 --nbins 11 --json";
    let mut child = place.command(line).stdout(std::process::Stdio::null()).spawn().unwrap();
    while finished() < 3 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(manifest(), before);
    let ran = place.run(line);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert!(json["timings"]["scans_reused"].as_u64().unwrap() >= 3);
    assert_ne!(manifest(), before);
    assert_eq!(place.run("validate out --against market").code, 0);
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// The files of a folder and their bytes, without anything that depends on time.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut bytes = std::fs::read(&path).unwrap();
        if name == "manifest.json" {
            let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            for key in ["timings", "report", "sha256"] {
                json[key].take();
            }
            bytes = json.to_string().into_bytes();
        }
        (name, bytes)
    });
    files.filter(|(name, _)| name != "report.html").collect()
}

#[test]
fn the_portable_ways_make_the_same_output() {
    let place = Place::new();
    let process = |out: &str, portable: bool| {
        let mut command = place.command(&format!("process market -o {out} {SMALL} --overwrite --json"));
        let ran = Ran::from(command.envs(portable.then_some(("TEST_LOBSET_PORTABLE", "1"))).output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert!(json["timings"]["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
        contents(&place.path().join(out))
    };
    let want = process("native", false);
    // Into a new folder, and over an existing one.
    assert_eq!(process("portable", true), want);
    assert_eq!(process("portable", true), want);
    let mut left: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["market", "native", "portable"]);
}

#[cfg(target_os = "linux")]
#[test]
fn fifty_kills_at_random_moments_change_no_byte() {
    let place = Place::empty();
    assert_eq!(place.run("simulate market --days 6 --rows 20000").code, 0);
    let out = place.path().join("out");
    let line = |nbins| format!("process market -o out --overwrite --min-symbol-samples 5000 --nbins {nbins} --json");
    let whole = |nbins| {
        let started = std::time::Instant::now();
        assert_eq!(place.run(&line(nbins)).code, 0);
        (contents(&out), started.elapsed())
    };
    let (seven, _) = whole(7);
    let (eleven, time) = whole(11);
    assert_ne!(seven, eleven);

    let (mut kills, mut random) = (0, 1_u64);
    while kills < 50 {
        // Half of the runs publish as on a file system that cannot swap folders.
        let portable = kills % 4 >= 2;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child = place
            .command(&line([7, 11][kills % 2]))
            .envs(portable.then_some(("TEST_LOBSET_PORTABLE", "1")))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(time.mul_f64((random >> 32) as f64 / f64::from(u32::MAX) * 1.1));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        // It was killed, or had finished before.
        assert!(child.wait().unwrap().code().is_none_or(|code| code == 0));
        // Whenever the kill happened, one of the two results is there, complete. The portable method has a moment
        // without OUT.
        let moved = portable && !out.exists();
        let found = contents(&if moved { place.path().join(".out.lobset-work/replaced") } else { out.clone() });
        assert!(found == seven || found == eleven, "after {kills} kills: {:?}", found.keys());
        if kills % 10 == 0 {
            let ran = place.run(&line(7));
            assert_eq!(ran.code, 0, "{}", ran.err);
            assert!(contents(&out) == seven);
            let mut left: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            left.sort();
            assert_eq!(left, ["market", "out"]);
        }
    }
    // Kill the run after the first scan, which the next run must find. If the run finished first, try again.
    let scans = place.path().join(".out.lobset-work/scans");
    let receipts = || std::fs::read_dir(&scans).into_iter().flatten().flatten().map(|entry| entry.path());
    let resumed = (0..20).any(|_| {
        let mut child = place.command(&line(7)).stdout(std::process::Stdio::null()).spawn().unwrap();
        while child.try_wait().unwrap().is_none() && !receipts().any(|path| path.extension() == Some("json".as_ref())) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let ran = place.run(&line(7));
        let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        json["timings"]["scans_reused"].as_u64().unwrap() > 0
    });
    assert!(resumed, "no scan was found again");
    assert!(contents(&out) == seven);
}
