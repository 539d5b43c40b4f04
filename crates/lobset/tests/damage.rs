//! Work files whose bits flip: a run reports it or starts over, and never publishes other data.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use common::{contents, market, small};
use lobset::{
    Cluster, Config, Error, Event, Executor, Manifest, Monitor, Options, Receive, Result, Stage, Task, process,
    process_as_tasks, run_task,
};

/// The bits that a test flips are determined by a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// Work files, except for those that the user is about to get.
fn work_files(folder: &Path) -> Vec<PathBuf> {
    let found = lobset::storage::list(folder).unwrap();
    let ours = |path: &PathBuf| {
        ![folder.join("lock"), folder.join("run.json")].contains(path) && !path.starts_with(folder.join("staged"))
    };
    found.into_iter().filter(|(_, stat)| stat.bytes > 0).map(|(path, _)| path).filter(ours).collect()
}

fn flip_a_bit(path: &Path, random: &mut Random) {
    let mut bytes = std::fs::read(path).unwrap();
    let bit = random.below(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    std::fs::write(path, bytes).unwrap();
}

/// Compares folders without printing megabytes.
fn assert_same(found: &BTreeMap<String, Vec<u8>>, want: &BTreeMap<String, Vec<u8>>, round: u64) {
    let differing: Vec<_> =
        want.iter().filter(|(name, bytes)| found.get(*name) != Some(bytes)).map(|(name, _)| name).collect();
    assert!(differing.is_empty() && found.len() == want.len(), "round {round}: {differing:?} differ");
}

fn assert_damage_is_told(error: &Error) {
    assert!(matches!(error, Error::Output { .. }), "{error:?}");
    assert!(error.to_string().contains("damaged"), "{error}");
    assert!(error.help().unwrap().contains("delete the work folder"), "{error}");
}

fn go(inputs: &[PathBuf], out: &Path, config: &Config, monitor: &Monitor<'_>) -> Result<Manifest> {
    process(inputs, out, config, None, &Options { threads: 2, overwrite: true, ..Options::default() }, monitor)
}

fn simulated(folder: &Path) -> (Vec<PathBuf>, BTreeMap<String, Vec<u8>>) {
    let inputs = market(&folder.join("market"), 2, 3_000);
    go(&inputs, &folder.join("want"), &small(), &Monitor::silent()).unwrap();
    (inputs, contents(&folder.join("want")))
}

#[test]
fn a_damaged_scan_of_an_earlier_run_is_not_reused() {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, _) = simulated(folder.path());
    let out = folder.path().join("out");
    let config = Config { keep_intermediate: true, ..small() };
    go(&inputs, &out, &config, &Monitor::silent()).unwrap();
    let want = contents(&out);
    assert_eq!(go(&inputs, &out, &config, &Monitor::silent()).unwrap().timings.scans_reused, 2);
    let mut random = Random(1);
    let scans = folder.path().join(".out.lobset-work/scans");
    for round in 0..40_u64 {
        let files = work_files(&scans);
        assert_eq!(files.len(), 4);
        flip_a_bit(&files[round as usize % 4], &mut random);
        let manifest = go(&inputs, &out, &config, &Monitor::silent()).unwrap();
        assert_eq!(manifest.timings.scans_reused, 1, "round {round}");
        assert_same(&contents(&out), &want, round);
    }
}

/// A bit flips after the scan, or after the movements were computed, in the same run.
#[test]
fn damage_within_a_run_is_never_published() {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, want) = simulated(folder.path());
    let out = folder.path().join("out");
    let work = folder.path().join(".out.lobset-work");
    let mut refused = 0;
    for round in 0..40_u64 {
        let stage = if round % 2 == 0 { Stage::Plan } else { Stage::Write };
        let random = Mutex::new(Some(Random(round)));
        let report = |event: Event| {
            if matches!(event, Event::Begin(begun, _) if begun == stage)
                && let Some(mut random) = random.lock().unwrap().take()
            {
                // Receipts are for the next run.
                let mut files = work_files(&work);
                files.retain(|path| path.extension().is_some_and(|e| e != "json"));
                flip_a_bit(&files[round as usize / 2 % files.len()], &mut random);
            }
        };
        let stop = AtomicBool::new(false);
        match go(&inputs, &out, &small(), &Monitor::new(&report, &stop)) {
            Ok(_) => assert_same(&contents(&out), &want, round),
            Err(error) => {
                assert_damage_is_told(&error);
                refused += 1;
                // The next run starts the damaged scan over.
                go(&inputs, &out, &small(), &Monitor::silent()).unwrap();
                assert_same(&contents(&out), &want, round);
            }
        }
    }
    assert!(refused >= 20, "only {refused} of 40 flipped bits were seen, the others lie where nobody reads");
}

/// Runs tasks one by one; before one of them, a bit flips in what the earlier ones have left.
struct Flipping<'a> {
    work: &'a Path,
    random: Mutex<Random>,
    /// Number of tasks until then.
    left: Mutex<Cell<usize>>,
}

impl Executor for Flipping<'_> {
    fn map(&self, tasks: &[Task], _: &Monitor<'_>, receive: &mut Receive<'_>) -> Result<()> {
        for (place, task) in tasks.iter().enumerate() {
            let left = self.left.lock().unwrap();
            left.set(left.get().wrapping_sub(1));
            let mut files = work_files(self.work);
            // Once a dataset is proved, the run never reads it again: later damage is for `lobset validate` to find.
            files.retain(|path| task.kind == "prove" || !path.starts_with(self.work.join("datasets")));
            if left.get() == 0 && !files.is_empty() {
                let mut random = self.random.lock().unwrap();
                let file = random.below(files.len());
                flip_a_bit(&files[file], &mut random);
            }
            receive(place, run_task(task.kind, &task.spec, &Monitor::silent())?)?;
        }
        Ok(())
    }
}

#[test]
fn damage_between_tasks_is_never_published() {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, want) = simulated(folder.path());
    let work = folder.path().join(".out.lobset-work");
    let mut refused = 0;
    for round in 0..40_u64 {
        let out = folder.path().join("out");
        let flipping = Flipping {
            work: &work,
            random: Mutex::new(Random(round)),
            left: Mutex::new(Cell::new(2 + round as usize % 12)),
        };
        let run = |executor: &dyn Executor| {
            let options = Options { overwrite: true, ..Options::default() };
            process_as_tasks(Cluster::new(executor), &inputs, &out, &small(), None, &options, &Monitor::silent())
        };
        match run(&flipping) {
            Ok(_) => assert_same(&contents(&out), &want, round),
            Err(error @ Error::Validation(_)) => assert!(error.to_string().contains("SHA-256"), "{error}"),
            Err(error) => {
                assert_damage_is_told(&error);
                refused += 1;
            }
        }
        // Do what the help says, so that the next run succeeds.
        let _ = std::fs::remove_dir_all(&work);
        let _ = std::fs::remove_dir_all(&out);
    }
    assert!(refused >= 5, "only {refused} of 40 flipped bits were seen");
}
