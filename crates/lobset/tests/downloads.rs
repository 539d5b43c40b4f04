//! Batch jobs as Databento delivers them: a folder of data with `manifest.json`, `condition.json`, `metadata.json` and
//! `symbology.json`, each of them wrong in turn; and other files that folders contain.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::{DAY, START, contents, dbn_bytes, metadata, real_data, run, small, ticks};
use lobset::config::Unmapped;
use lobset::input::Delivery;
use lobset::validate::Compare;
use lobset::{
    Cluster, Config, Error, Manifest, Monitor, Options, Threads, inspect, process, process_as_tasks, validate,
};
use serde_json::json;
use sha2::{Digest, Sha256};

const NAMES: [&str; 3] =
    ["glbx-mdp3-20240403.mbp-10.dbn.zst", "glbx-mdp3-20240404.mbp-10.dbn.zst", "glbx-mdp3-20240405.mbp-10.dbn.zst"];

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The data of one day in two zstd frames; the second one begins between two records.
fn frames(day: u64, mappings: &[(&str, u32)]) -> [Vec<u8>; 2] {
    let bytes = dbn_bytes(&metadata(mappings), &ticks(600, START + day * DAY));
    let cut = bytes.len() - 300 * 368;
    [&bytes[..cut], &bytes[cut..]].map(|part| zstd::encode_all(part, 1).unwrap())
}

/// A batch job in its own folder.
struct Job {
    root: tempfile::TempDir,
    folder: PathBuf,
}

impl Job {
    /// Three days of one symbol, whose files carry these mappings.
    fn with_mappings(mappings: &[(&str, u32)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("GLBX-20240719-5DEFXVTMSM");
        std::fs::create_dir(&folder).unwrap();
        let job = Self { root, folder };
        for (day, name) in NAMES.iter().enumerate() {
            job.write(name, frames(day as u64, mappings).concat());
        }
        let day = |day, condition| json!({"date": day, "condition": condition, "last_modified_date": "2024-07-01"});
        let days = [day("2024-04-03", "available"), day("2024-04-04", "available"), day("2024-04-05", "available")];
        job.write("condition.json", json!(days).to_string());
        job.write("metadata.json", json!({"version": 1, "job_id": "G", "query": {"schema": "mbp-10"}}).to_string());
        job.write("symbology.json", symbology("raw_symbol", "instrument_id", json!({"M6AM4": [interval("7")]})));
        job.list();
        job
    }

    fn new() -> Self {
        Self::with_mappings(&[("M6AM4", 7)])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(self.path(name)).unwrap();
        change(&mut bytes);
        self.write(name, bytes);
    }

    /// Writes a `manifest.json` of the files that exist.
    fn list(&self) {
        let mut entries: Vec<_> = std::fs::read_dir(&self.folder).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        let files: Vec<_> = entries
            .iter()
            .filter(|path| !path.ends_with("manifest.json"))
            .map(|path| {
                let (name, bytes) = (path.file_name().unwrap().to_string_lossy(), std::fs::read(path).unwrap());
                let urls = json!({"https": format!("https://api.databento.com/v0/batch/download/X/G/{name}")});
                json!({"filename": name, "size": bytes.len(), "hash": format!("sha256:{}", sha256(&bytes)), "urls": urls})
            })
            .collect();
        self.write("manifest.json", json!({"job_id": "GLBX-20240719-5DEFXVTMSM", "files": files}).to_string());
    }

    fn edit_manifest(&self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut json = serde_json::from_slice(&std::fs::read(self.path("manifest.json")).unwrap()).unwrap();
        change(&mut json);
        self.write("manifest.json", json.to_string());
    }

    /// Writes a file, and lists it in `manifest.json`.
    fn write_listed(&self, name: &str, bytes: impl AsRef<[u8]>) {
        self.write(name, bytes);
        self.list();
    }

    /// A file of 1 TiB that no `manifest.json` names.
    fn write_huge(&self, name: &str) {
        std::fs::remove_file(self.path("manifest.json")).unwrap();
        std::fs::File::create(self.path(name)).unwrap().set_len(1 << 40).unwrap();
    }

    /// A file of the right size with one other byte in the middle.
    fn flip(&self, name: &str) {
        self.edit(name, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
    }

    fn out(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn process(&self) -> lobset::Result<Manifest> {
        run(&[&self.folder], &self.out("out"), &small())
    }
}

fn interval(symbol: &str) -> serde_json::Value {
    json!({"d0": "2024-04-03", "d1": "2024-04-06", "s": symbol})
}

fn symbology(stype_in: &str, stype_out: &str, result: serde_json::Value) -> String {
    json!({
        "result": result, "symbols": ["ALL_SYMBOLS"], "stype_in": stype_in, "stype_out": stype_out,
        "start_date": "2024-04-03", "end_date": "2024-04-06", "partial": [], "not_found": [], "message": "OK", "status": 0
    })
    .to_string()
}

/// What a change of the folder must lead to.
enum Want {
    /// Refused as an input: the file (unless any file may be read first), a part of the message, a part of the help.
    Refused(&'static str, &'static str, &'static str),
    /// Read, with this in a warning.
    Warned(&'static str),
    /// Read without a warning.
    Read,
}
use Want::{Read, Refused, Warned};

type Case = (&'static str, fn(&Job), Want);

const CASES: &[Case] = &[
    ("as delivered", |_| {}, Read),
    (
        "data cut at the edge of a zstd frame",
        |job| job.write(NAMES[1], &frames(1, &[("M6AM4", 7)])[0]),
        Refused("glbx-mdp3-20240404.mbp-10.dbn.zst", "bytes, but manifest.json says", "download it again"),
    ),
    (
        "data with another byte",
        |job| job.flip(NAMES[1]),
        Refused("glbx-mdp3-20240404.mbp-10.dbn.zst", "has the SHA-256", "download it again"),
    ),
    (
        "data of another file of the same size",
        |job| {
            let mut other = std::fs::read(job.path(NAMES[0])).unwrap();
            // A skippable frame fills up the difference in size.
            let size = std::fs::read(job.path(NAMES[1])).unwrap().len() + 64;
            job.edit(NAMES[1], |bytes| bytes.extend([&[0x50, 0x2a, 0x4d, 0x18, 56, 0, 0, 0][..], &[0; 56]].concat()));
            job.list();
            let pad = size - other.len() - 8;
            other.extend([&[0x50, 0x2a, 0x4d, 0x18, pad as u8, 0, 0, 0][..], &vec![0; pad]].concat());
            job.write(NAMES[1], other);
        },
        Refused("glbx-mdp3-20240404.mbp-10.dbn.zst", "has the SHA-256", "download it again"),
    ),
    (
        "data emptied",
        |job| job.write(NAMES[2], []),
        Refused("glbx-mdp3-20240405.mbp-10.dbn.zst", "has 0 bytes, but manifest.json says", "download it again"),
    ),
    (
        "data overwritten by garbage of the same size",
        |job| job.edit(NAMES[0], |bytes| bytes.fill(b'x')),
        Refused(
            "glbx-mdp3-20240403.mbp-10.dbn.zst",
            "; decoding it fails too: does not start with a DBN header",
            "again",
        ),
    ),
    (
        "data missing",
        |job| std::fs::remove_file(job.path(NAMES[1])).unwrap(),
        Refused("glbx-mdp3-20240404.mbp-10.dbn.zst", "is listed in manifest.json but is missing", "download it again"),
    ),
    (
        "all data missing",
        |job| NAMES.iter().for_each(|name| std::fs::remove_file(job.path(name)).unwrap()),
        Refused("glbx-mdp3-20240403.mbp-10.dbn.zst", "is listed in manifest.json but is missing", "download it again"),
    ),
    (
        "data that is not listed",
        |job| job.write("glbx-mdp3-20240406.mbp-10.dbn.zst", frames(3, &[("M6AM4", 7)]).concat()),
        Warned("1 data file is next to a manifest.json that does not list it: glbx-mdp3-20240406.mbp-10.dbn.zst"),
    ),
    ("manifest.json missing", |job| std::fs::remove_file(job.path("manifest.json")).unwrap(), Read),
    (
        "manifest.json cut",
        |job| job.edit("manifest.json", |bytes| bytes.truncate(bytes.len() / 2)),
        Refused(
            "manifest.json",
            "cannot be read as Databento's manifest.json: EOF",
            "if it is not from Databento, move it",
        ),
    ),
    (
        "manifest.json empty",
        |job| job.write("manifest.json", []),
        Refused("manifest.json", "cannot be read as Databento's manifest.json: EOF", "again"),
    ),
    (
        "manifest.json garbage",
        |job| job.write("manifest.json", [0xff; 4096]),
        Refused("manifest.json", "cannot be read as Databento's manifest.json: expected value", "again"),
    ),
    (
        "manifest.json nested a million deep",
        |job| job.write("manifest.json", format!("{{\"files\": {}", "[".repeat(1 << 20))),
        Refused("manifest.json", "EOF while parsing a list", "again"),
    ),
    (
        "manifest.json huge",
        |job| job.write_huge("manifest.json"),
        Refused("manifest.json", "is larger than 256 MiB, which no manifest.json from Databento is", "again"),
    ),
    (
        "manifest.json without files",
        |job| job.edit_manifest(|json| drop(json["files"].take())),
        Refused("manifest.json", "cannot be read as Databento's manifest.json: invalid type: null", "again"),
    ),
    (
        "manifest.json that names a file elsewhere",
        |job| job.edit_manifest(|json| json["files"][0]["filename"] = "../../etc/passwd".into()),
        Refused("manifest.json", "\"../../etc/passwd\" is not a file name", "again"),
    ),
    (
        "manifest.json with a hash of another kind",
        |job| job.edit_manifest(|json| json["files"][0]["hash"] = "md5:00".into()),
        Refused("manifest.json", "is not a SHA-256: \"md5:00\"", "again"),
    ),
    (
        "manifest.json with a negative size",
        |job| job.edit_manifest(|json| json["files"][0]["size"] = (-1).into()),
        Refused("manifest.json", "cannot be read as Databento's manifest.json: invalid value: integer `-1`", "again"),
    ),
    (
        "manifest.json of another program",
        |job| job.write("manifest.json", json!({"name": "web app", "icons": []}).to_string()),
        Read,
    ),
    (
        "condition.json with bad days",
        |job| {
            let day = |day, condition| json!({"date": day, "condition": condition, "last_modified_date": null});
            job.write(
                "condition.json",
                json!([day("2024-04-04", "degraded"), day("2024-04-05", "missing")]).to_string(),
            );
            job.list();
        },
        Warned("condition.json: 1 day of the input is degraded: 2024-04-04"),
    ),
    (
        "condition.json changed",
        |job| job.flip("condition.json"),
        Refused("condition.json", "has the SHA-256", "download it again"),
    ),
    (
        "condition.json cut",
        |job| job.edit("condition.json", |bytes| bytes.truncate(20)),
        Refused("condition.json", "has 20 bytes, but manifest.json says", "download it again"),
    ),
    (
        "condition.json missing",
        |job| std::fs::remove_file(job.path("condition.json")).unwrap(),
        Refused("condition.json", "is listed in manifest.json but is missing", "download it again"),
    ),
    (
        "condition.json damaged before it was listed",
        |job| job.write_listed("condition.json", r#"[{"date": "yesterday", "condition": "available"}]"#),
        Refused("condition.json", "\"yesterday\" is not a date such as 2024-04-03", "again"),
    ),
    (
        "condition.json huge",
        |job| job.write_huge("condition.json"),
        Refused("condition.json", "is larger than 16 MiB, which no condition.json from Databento is", "again"),
    ),
    (
        "metadata.json changed",
        |job| job.flip("metadata.json"),
        Refused("metadata.json", "has the SHA-256", "download it again"),
    ),
    (
        "metadata.json missing",
        |job| std::fs::remove_file(job.path("metadata.json")).unwrap(),
        Refused("metadata.json", "is listed in manifest.json but is missing", "download it again"),
    ),
    (
        "symbology.json changed",
        |job| job.flip("symbology.json"),
        Refused("symbology.json", "has the SHA-256", "download it again"),
    ),
    (
        "symbology.json missing",
        |job| std::fs::remove_file(job.path("symbology.json")).unwrap(),
        Refused("symbology.json", "is listed in manifest.json but is missing", "download it again"),
    ),
    ("symbology.json damaged, and not needed", |job| job.write_listed("symbology.json", "{"), Read),
    ("hidden files of macOS", |job| job.write("._glbx-mdp3-20240403.mbp-10.dbn.zst", "Mac OS X"), Read),
];

/// The same for data without mappings, whose symbols come from `symbology.json`.
const CASES_WITHOUT_MAPPINGS: &[Case] = &[
    ("as delivered", |_| {}, Read),
    (
        "the inverse direction",
        |job| {
            job.write_listed(
                "symbology.json",
                symbology("instrument_id", "raw_symbol", json!({"7": [interval("M6AM4")]})),
            )
        },
        Read,
    ),
    (
        "symbology.json missing",
        |job| {
            std::fs::remove_file(job.path("symbology.json")).unwrap();
            job.list();
        },
        Refused(
            "",
            "instrument 7 has no symbol: the file has no mappings, and there is no symbology.json next to it",
            "--symbology FILE",
        ),
    ),
    (
        "symbology.json cut",
        |job| {
            job.edit("symbology.json", |bytes| bytes.truncate(40));
            job.list();
        },
        Refused("symbology.json", "cannot be read as Databento's symbology.json: EOF", "download symbology.json again"),
    ),
    (
        "symbology.json nested a million deep",
        |job| job.write_listed("symbology.json", "[".repeat(1 << 20)),
        Refused("symbology.json", "cannot be read as Databento's symbology.json", "again"),
    ),
    (
        "symbology.json huge",
        |job| job.write_huge("symbology.json"),
        Refused("symbology.json", "is larger than 512 MiB, which no symbology.json from Databento is", "again"),
    ),
    (
        "symbology.json without instrument ids",
        |job| {
            job.write_listed(
                "symbology.json",
                symbology("continuous", "raw_symbol", json!({"M6A.c.0": [interval("M6AM4")]})),
            )
        },
        Refused(
            "symbology.json",
            "maps \"continuous\" to \"raw_symbol\", and neither is \"instrument_id\"",
            "stype_out=\"instrument_id\"",
        ),
    ),
    (
        "symbology.json of a parent symbol",
        |job| {
            let two = json!({"M6A.FUT": [interval("7"), interval("8")]});
            job.write_listed("symbology.json", symbology("parent", "instrument_id", two));
        },
        Refused("symbology.json", "\"M6A.FUT\" means both instrument 7 and instrument 8 on 2024-04-03", "raw_symbol"),
    ),
    (
        "symbology.json that does not know the instrument",
        |job| {
            job.write_listed(
                "symbology.json",
                symbology("raw_symbol", "instrument_id", json!({"M6AU4": [interval("8")]})),
            )
        },
        Refused("", "instrument 7 has no symbol on 2024-04-0", "unmapped"),
    ),
];

/// Runs cases on threads and as tasks; prints a table of the results.
fn check(cases: &[Case], mappings: &[(&str, u32)]) {
    for (name, change, want) in cases {
        let job = Job::with_mappings(mappings);
        change(&job);
        let over_tasks = process_as_tasks(
            Cluster::new(&Threads::new(1)),
            &[&job.folder],
            &job.out("tasks"),
            &small(),
            None,
            &Options::default(),
            &Monitor::silent(),
        );
        let inspected = inspect(&[&job.folder], &small(), &Options::default(), &Monitor::silent());
        let outcomes = [job.process(), over_tasks].map(|outcome| outcome.map(|manifest| manifest.warnings));
        for outcome in outcomes {
            match (want, outcome) {
                (Refused(file, message, help), Err(error)) => {
                    let Error::Input(refused) = &error else { panic!("{name}: {error:?}") };
                    println!(
                        "{name} | {} | {}",
                        refused.to_string().rsplit('/').next().unwrap(),
                        error.help().unwrap()
                    );
                    assert!(file.is_empty() || refused.path.ends_with(file), "{name}: {refused}");
                    assert!(refused.message.contains(message), "{name}: {refused}");
                    assert!(error.help().unwrap().contains(help), "{name}: {:?}", error.help());
                    assert!(!job.out("out").exists() && !job.out("tasks").exists(), "{name}");
                    // Inspecting drops and counts instruments without a mapping.
                    if !message.contains("has no symbol") {
                        assert_eq!(inspected.as_ref().unwrap_err().to_string(), error.to_string(), "{name}");
                    }
                }
                (Warned(part), Ok(warnings)) => {
                    println!("{name} | ok | {}", warnings.join("; "));
                    assert!(warnings.iter().any(|warning| warning.contains(part)), "{name}: {warnings:?}");
                    assert!(inspected.as_ref().unwrap().warnings.iter().any(|w| w.contains(part)), "{name}");
                }
                (Read, Ok(warnings)) => {
                    println!("{name} | ok |");
                    assert!(warnings.iter().all(|w| !w.contains(".json")), "{name}: {warnings:?}");
                }
                (_, outcome) => panic!("{name}: {outcome:?}"),
            }
        }
    }
}

#[test]
fn each_file_of_a_batch_job_wrong_in_turn() {
    check(CASES, &[("M6AM4", 7)]);
}

#[test]
fn each_symbology_wrong_in_turn() {
    check(CASES_WITHOUT_MAPPINGS, &[]);
}

fn delivery_of(job: &Job) -> Delivery {
    job.process().unwrap().delivery
}

#[test]
fn the_manifest_tells_what_was_checked_and_what_was_left_out() {
    let job = Job::new();
    let complete = delivery_of(&job);
    assert_eq!((complete.checked, complete.unchecked, complete.jobs.len()), (3, 0, 1));
    assert!(
        complete.sentences()[0].contains("all 3 files match manifest.json (GLBX-20240719-5DEFXVTMSM) in size and hash")
    );

    std::fs::create_dir(job.path(".cache")).unwrap();
    job.write("._glbx-mdp3-20240403.mbp-10.dbn.zst", "Mac OS X");
    job.write(".cache/old.dbn", "");
    job.write(".DS_Store", "");
    job.write("glbx-mdp3-20240406.mbp-10.dbn.zst", frames(3, &[("M6AM4", 7)]).concat());
    let partly = delivery_of(&job);
    assert_eq!((partly.checked, partly.unchecked, partly.hidden), (3, 1, 2));
    assert_eq!(partly.unlisted, ["glbx-mdp3-20240406.mbp-10.dbn.zst"]);
    let sentences = partly.sentences().join("\n");
    for part in ["3 of 4 files", "completeness of the other 1 was not checked", "skipped 2 hidden files: "] {
        assert!(sentences.contains(part), "{part} in {sentences}");
    }

    std::fs::remove_file(job.path("manifest.json")).unwrap();
    let unknown = delivery_of(&job);
    assert_eq!((unknown.checked, unknown.unchecked), (0, 4));
    assert!(unknown.sentences()[0].contains("completeness was not checked"), "{:?}", unknown.sentences());
    let page = std::fs::read_to_string(job.out("out/report.html")).unwrap();
    assert!(page.contains("completeness was not checked") && page.contains("skipped 2 hidden files"));
}

#[test]
fn a_hidden_file_that_is_named_is_read() {
    let job = Job::new();
    std::fs::rename(job.path(NAMES[0]), job.path(".first.dbn.zst")).unwrap();
    std::fs::remove_file(job.path("manifest.json")).unwrap();
    let names = |inputs: &[PathBuf]| -> Vec<String> {
        run(inputs, &job.out("out"), &small()).unwrap().inputs.into_iter().map(|input| input.name).collect()
    };
    assert_eq!(names(&[job.path(".first.dbn.zst"), job.path(NAMES[1])]), [".first.dbn.zst", NAMES[1]]);
    assert_eq!(names(&[job.path(".f*.dbn.zst"), job.path(NAMES[1])]), [".first.dbn.zst", NAMES[1]]);
    assert_eq!(names(&[job.path("*.dbn.zst")]), NAMES[1..]);
    assert_eq!(names(&[job.path("*")]), NAMES[1..]);
    let only = job.root.path().join("only");
    std::fs::create_dir(&only).unwrap();
    std::fs::rename(job.path(".first.dbn.zst"), only.join(".first.dbn.zst")).unwrap();
    let error = run(&[only], &job.out("out"), &small()).unwrap_err().to_string();
    assert!(
        error.contains("this folder and its subfolders contain no .dbn or .dbn.zst file, except 1 hidden"),
        "{error}"
    );
}

#[test]
fn what_nobody_asked_for_may_be_missing() {
    let job = Job::new();
    std::fs::remove_file(job.path(NAMES[0])).unwrap();
    std::fs::remove_file(job.path("metadata.json")).unwrap();
    let go = |inputs: &[PathBuf]| run(inputs, &job.out("out"), &small());
    assert_eq!(go(&[job.path(NAMES[1]), job.path(NAMES[2])]).unwrap().delivery.checked, 2);
    // A glob that matches the file asks for it, and so does the folder above.
    for input in [job.path("*.mbp-10.dbn.zst"), job.path("*2024040[34].mbp-10.dbn.zst"), job.root.path().to_owned()] {
        let error = go(std::slice::from_ref(&input)).unwrap_err().to_string();
        assert!(error.contains(NAMES[0]) && error.contains("is missing"), "{}: {error}", input.display());
    }
    assert_eq!(go(&[job.path("*2024040[45].mbp-10.dbn.zst")]).unwrap().delivery.checked, 2);
}

#[test]
fn days_count_where_the_inputs_cover_them() {
    let job = Job::new();
    let day = |day, condition| json!({"date": day, "condition": condition, "last_modified_date": null});
    let days = ["2024-04-02", "2024-04-04", "2024-04-09"].map(|date| day(date, "degraded"));
    job.write("condition.json", json!(days).to_string());
    std::fs::remove_file(job.path("manifest.json")).unwrap();
    let dates = |delivery: Delivery| delivery.days.into_iter().map(|day| day.date).collect::<Vec<_>>();
    assert_eq!(dates(delivery_of(&job)), ["2024-04-04"]);
    let first = run(&[job.path(NAMES[0])], &job.out("out"), &small()).unwrap();
    assert!(first.delivery.days.is_empty() && first.warnings.is_empty(), "{:?}", first.warnings);
    // A complete job covers every day that it was requested for.
    job.list();
    assert_eq!(dates(delivery_of(&job)), ["2024-04-02", "2024-04-04", "2024-04-09"]);
}

#[test]
fn a_symbology_file_gives_the_names_that_mappings_would() {
    let (job, mapped) = (Job::with_mappings(&[]), Job::new());
    let mapping = symbology("raw_symbol", "instrument_id", json!({"M6AM4": [interval("7")]}));
    let file = job.root.path().join("names.json");
    std::fs::write(&file, &mapping).unwrap();
    std::fs::remove_file(job.path("symbology.json")).unwrap();
    job.list();

    let options = || Options { overwrite: true, symbology: Some(file.clone()), ..Options::default() };
    let go = |out: &str| process(&[&job.folder], &job.out(out), &small(), None, &options(), &Monitor::silent());
    let manifest = go("out").unwrap();
    assert_eq!(manifest.symbols[0].symbol, "M6AM4");
    assert_eq!(manifest.inputs[0].symbology, Some(sha256(mapping.as_bytes())));
    let want = run(&[&mapped.folder], &mapped.out("out"), &small()).unwrap();
    assert_eq!(want.inputs[0].symbology, None);
    let dataset = |job: &Job| std::fs::read(job.out("out/AUDUSD_M6AM4_dataset.parquet")).unwrap();
    // The thresholds name the hashes of the files, which differ; the rows do not.
    assert_eq!(manifest.symbols[0].rows, want.symbols[0].rows);
    assert!(!dataset(&job).is_empty() && !dataset(&mapped).is_empty());

    process_as_tasks(
        Cluster::new(&Threads::new(2)),
        &[&job.folder],
        &job.out("tasks"),
        &small(),
        None,
        &options(),
        &Monitor::silent(),
    )
    .unwrap();
    assert_eq!(contents(&job.out("out")), contents(&job.out("tasks")));
    let proof =
        validate(&job.out("out"), Some((&[&job.folder], Compare::Random(5))), &options(), &Monitor::silent()).unwrap();
    assert!(proof.against.unwrap().rows > 500);
    let found = inspect(&[&job.folder], &small(), &options(), &Monitor::silent()).unwrap();
    assert_eq!(found.symbols[0].symbol, "M6AM4");

    // A file given by name is read at once, without falling back to another.
    std::fs::write(&file, "{}").unwrap();
    let error = go("out").unwrap_err().to_string();
    assert!(error.contains("names.json: cannot be read as Databento's symbology.json"), "{error}");
    let gone = Options { symbology: Some(job.out("gone.json")), ..Options::default() };
    let error = process(&[&mapped.folder], &job.out("x"), &small(), None, &gone, &Monitor::silent()).unwrap_err();
    assert!(error.to_string().contains("gone.json: does not exist"), "{error}");
}

#[test]
fn other_symbols_are_another_scan() {
    let job = Job::with_mappings(&[]);
    std::fs::remove_file(job.path("manifest.json")).unwrap();
    let config = Config { keep_intermediate: true, ..small() };
    let symbol = |name: &str| {
        job.write("symbology.json", symbology("raw_symbol", "instrument_id", json!({name: [interval("7")]})));
        let manifest = run(&[&job.folder], &job.out("out"), &config).unwrap();
        (manifest.symbols[0].symbol.clone(), manifest.timings.scans_reused)
    };
    assert_eq!(symbol("M6AM4"), ("M6AM4".to_owned(), 0));
    assert_eq!(symbol("M6AU4"), ("M6AU4".to_owned(), 0));
}

#[test]
fn a_file_without_mappings_that_drops_everything_is_named() {
    let job = Job::new();
    std::fs::remove_file(job.path("manifest.json")).unwrap();
    std::fs::remove_file(job.path("symbology.json")).unwrap();
    job.write(NAMES[2], frames(2, &[]).concat());
    let manifest = run(&[&job.folder], &job.out("out"), &Config { unmapped: Unmapped::Drop, ..small() }).unwrap();
    let want = format!("{}: none of its records has a symbol, so all were dropped", NAMES[2]);
    assert!(manifest.warnings.iter().any(|warning| warning.starts_with(&want)), "{:?}", manifest.warnings);
}

fn with_schema(schema: Option<dbn::Schema>) -> Vec<u8> {
    let mut metadata = metadata(&[("M6AM4", 7)]);
    metadata.schema = schema;
    zstd::encode_all(dbn_bytes(&metadata, &[]).as_slice(), 1).unwrap()
}

#[test]
fn a_folder_of_several_schemas_names_the_glob_to_use() {
    let job = Job::new();
    std::fs::remove_file(job.path("manifest.json")).unwrap();
    job.write("glbx-mdp3-20240403.trades.dbn.zst", with_schema(Some(dbn::Schema::Trades)));
    job.write("glbx-mdp3-20240404.trades.dbn.zst", with_schema(Some(dbn::Schema::Trades)));
    job.write("glbx-mdp3-20240403.mbo.dbn.zst", with_schema(Some(dbn::Schema::Mbo)));
    let glob = job.path("*.mbp-10.dbn.zst");
    let refused = |error: Error| {
        let text = error.to_string();
        for part in [
            "is not mbp-10; the input contains mbp-10 in glbx-mdp3-20240403.mbp-10.dbn.zst, glbx-mdp3-20240404.mbp-10.dbn.zst and 1 more",
            "mbo in glbx-mdp3-20240403.mbo.dbn.zst",
            "trades in glbx-mdp3-20240403.trades.dbn.zst and glbx-mdp3-20240404.trades.dbn.zst",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(error.help().unwrap(), format!("pass only the mbp-10 files: '{}'", glob.display()));
    };
    refused(job.process().unwrap_err());
    refused(
        process_as_tasks(
            Cluster::new(&Threads::new(1)),
            &[&job.folder],
            &job.out("tasks"),
            &small(),
            None,
            &Options::default(),
            &Monitor::silent(),
        )
        .unwrap_err(),
    );
    assert_eq!(run(&[glob], &job.out("out"), &small()).unwrap().inputs.len(), 3);

    // If the files are in their own folders, the glob reaches below. If no glob can tell them apart, the help names
    // none.
    std::fs::create_dir(job.path("may")).unwrap();
    std::fs::rename(job.path(NAMES[2]), job.path("may").join(NAMES[2])).unwrap();
    let help = job.process().unwrap_err().help().unwrap().to_owned();
    assert_eq!(help, format!("pass only the mbp-10 files: '{}'", job.path("**/*.mbp-10.dbn.zst").display()));
    std::fs::rename(job.path(NAMES[0]), job.path("plain.dbn.zst")).unwrap();
    assert!(job.process().unwrap_err().help().unwrap().contains("pass only the mbp-10 files"));
}

#[test]
fn dbz_is_named_as_the_format_before_dbn() {
    let job = Job::new();
    let Some(venues) = real_data("venues") else { return };
    let dbz = venues.join("legacy-test_data.mbp-10.dbz");
    let error = run(&[&dbz], &job.out("out"), &small()).unwrap_err();
    assert!(error.to_string().ends_with("is DBZ, the format that Databento used before DBN"), "{error}");
    assert!(error.help().unwrap().ends_with("dbn legacy-test_data.mbp-10.dbz -o legacy-test_data.mbp-10.dbn.zst"));
    // It is also recognised by its content, and in a folder with other files.
    std::os::unix::fs::symlink(&dbz, job.out("renamed.dbn.zst")).unwrap();
    let error = run(&[job.out("renamed.dbn.zst")], &job.out("out"), &small()).unwrap_err();
    assert!(error.to_string().contains("is DBZ"), "{error}");
    std::os::unix::fs::symlink(&dbz, job.path("old.mbp-10.dbz")).unwrap();
    let error = job.process().unwrap_err();
    assert!(error.to_string().contains("old.mbp-10.dbz: is DBZ"), "{error}");
    assert!(error.help().unwrap().ends_with(&format!("or leave it out: '{}'", job.path("**/*.dbn*").display())));
    assert_eq!(run(&[job.path("**/*.dbn*")], &job.out("out"), &small()).unwrap().inputs.len(), 3);
}

#[test]
fn files_of_four_venues_are_read() {
    let Some(venues) = real_data("venues") else { return };
    let silent = Monitor::silent();
    let look = |input: &Path| inspect(&[input], &small(), &Options::default(), &silent);
    // Blanks and `!` in symbols, prices that are all undefined, books with one side.
    let expected = [
        ("glbx-mdp3", "GLBX.MDP3"),
        ("ifeu-impact", "IFEU.IMPACT"),
        ("ndex-impact", "NDEX.IMPACT"),
        ("xnas-itch", "XNAS.ITCH"),
    ];
    for (venue, dataset) in expected {
        let found = look(&venues.join(format!("{venue}-test_data.mbp-10.v3.dbn.zst"))).unwrap();
        let file = &found.files[0];
        println!("{venue}: {} records, {} rows, {:?}, {:?}", file.records, file.rows, file.drops, found.symbols);
        assert_eq!(file.dataset, dataset);
        assert!(file.records > 0);
        assert_eq!(file.records, file.rows + file.drops.total());
    }
    let error = look(&venues.join("live-mixed-schemas.dbn.zst")).unwrap_err();
    assert!(error.to_string().contains("has a mix of schemas, as live captures do"), "{error}");

    // For the folder: first the file that cannot be read, then the schemas, then that there are too few rows for a
    // dataset.
    let folder = tempfile::tempdir().unwrap();
    let fails = |input: PathBuf| {
        let error = run(&[input], &folder.path().join("out"), &small()).unwrap_err();
        (error.to_string(), error.help().unwrap().to_owned())
    };
    let (error, help) = fails(venues.clone());
    assert!(error.contains("legacy-test_data.mbp-10.dbz: is DBZ") && help.contains("/**/*.dbn*'"), "{error} {help}");
    let (error, help) = fails(venues.join("*.dbn*"));
    assert!(error.contains("live-mixed-schemas.dbn.zst: is not mbp-10; the input contains mbp-10 in "), "{error}");
    assert!(error.ends_with("; a mix of schemas in live-mixed-schemas.dbn.zst"), "{error}");
    assert!(help.starts_with("pass only the mbp-10 files: '") && help.ends_with("/*mbp-10*.dbn*'"), "{help}");
    // The files that the help names are read.
    let (error, _) = fails(venues.join("*mbp-10*.dbn*"));
    assert!(error.contains("the windows are longer than the data"), "{error}");
}
