//! The steps as tasks: the same bytes as the engine of one machine, whatever happens to the tasks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{contents, market, real_data, run, small};
use lobset::config::{Derived, MicroPipSize, ThresholdScope};
use lobset::validate::{Certificate, Compare};
use lobset::{
    Cluster, Config, Duration, Error, Event, Executor, Manifest, Monitor, Options, Receive, Result, Stage, Task,
    Threads, process, process_as_tasks, run_task,
};

fn as_tasks(executor: &dyn Executor, inputs: &[PathBuf], out: &Path, config: &Config) -> Result<Manifest> {
    process_as_tasks(Cluster::new(executor), inputs, out, config, None, &Options::default(), &Monitor::silent())
}

/// Files below a folder, without the lock.
fn files(folder: &Path) -> Vec<PathBuf> {
    let found = lobset::storage::list(folder).unwrap();
    found.into_iter().map(|(path, _)| path).filter(|path| !path.ends_with("lock")).collect()
}

/// Runs tasks one by one, and lets a test interfere with each.
struct Each<F>(F);

impl<F: Fn(usize, &Task) -> Result<String>> Executor for Each<F> {
    fn map(&self, tasks: &[Task], _: &Monitor<'_>, receive: &mut Receive<'_>) -> Result<()> {
        // The last one first: no result may depend on the order.
        tasks.iter().enumerate().rev().try_for_each(|(place, task)| receive(place, (self.0)(place, task)?))
    }
}

fn here(task: &Task) -> Result<String> {
    run_task(task.kind, &task.spec, &Monitor::silent())
}

#[test]
fn tasks_give_the_bytes_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 4, 8_000);
    let configs = [
        small(),
        Config { threshold_scope: ThresholdScope::Symbol, ..small() },
        Config { drop_unbalanced: true, sample_fraction: 0.5, ..small() },
        Config { max_gap: Some(Duration(120_000_000_000)), force_uniform: false, ..small() },
        Config { micro_pip_size: MicroPipSize::Auto, samples: 1_000, ..small() },
        // Both find the currency in the data.
        Config { currency: None, ..small() },
    ];
    for (i, config) in configs.iter().enumerate() {
        let out = |name: &str| folder.path().join(format!("{name}-{i}"));
        run(&inputs, &out("threads"), config).unwrap();
        as_tasks(&Each(|_, task: &Task| here(task)), &inputs, &out("tasks"), config).unwrap();
        assert_eq!(contents(&out("threads")), contents(&out("tasks")));
    }
    run(&inputs[..1], &folder.path().join("threads"), &small()).unwrap();
    as_tasks(&Threads::new(3), &inputs[..1], &folder.path().join("tasks"), &small()).unwrap();
    assert_eq!(contents(&folder.path().join("threads")), contents(&folder.path().join("tasks")));
    // No work folder is left behind.
    assert!(std::fs::read_dir(&folder).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().starts_with('.')));
}

#[test]
#[cfg(unix)]
fn a_name_that_work_files_cannot_record_is_refused_before_the_first_task() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 2, 2_000);
    let out = folder.path().join(std::ffi::OsStr::from_bytes(b"out-\xff"));
    let ran = AtomicUsize::new(0);
    let counted = Each(|_, task: &Task| {
        ran.fetch_add(1, Ordering::Relaxed);
        here(task)
    });
    let of_tasks = as_tasks(&counted, &inputs, &out, &small()).unwrap_err().to_string();
    assert!(of_tasks.ends_with("is not valid UTF-8, which output names must be"), "{of_tasks}");
    assert_eq!(of_tasks, run(&inputs, &out, &small()).unwrap_err().to_string());
    let estimated = lobset::estimate(&inputs, &out, &small(), None, &Options::default(), &Monitor::silent());
    assert_eq!(of_tasks, estimated.unwrap_err().to_string());
    assert_eq!(ran.into_inner(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is written");
}

#[test]
fn segments_of_a_large_symbol_are_spliced_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 2, 1_000_000);
    let config = Config { min_symbol_samples: 100_000, derived: vec![Derived::Ofi], ..Config::default() };
    run(&inputs, &folder.path().join("threads"), &config).unwrap();
    let merges = AtomicUsize::new(0);
    let counting = Each(|_, task: &Task| {
        merges.fetch_add(usize::from(task.kind == "merge"), Ordering::Relaxed);
        here(task)
    });
    as_tasks(&counting, &inputs, &folder.path().join("tasks"), &config).unwrap();
    assert_eq!(contents(&folder.path().join("threads")), contents(&folder.path().join("tasks")));
    assert_eq!(merges.into_inner(), 1);
}

#[test]
fn file_urls_are_paths() {
    let folder = tempfile::tempdir().unwrap();
    market(&folder.path().join("market"), 2, 6_000);
    let url = |name: &str| PathBuf::from(format!("file://{}/{name}", folder.path().display()));
    run(&[url("market")], &url("threads"), &small()).unwrap();
    as_tasks(&Threads::new(2), &[url("market")], &url("tasks"), &small()).unwrap();
    let proof = lobset::validate(
        &url("tasks"),
        Some((&[url("market")], Compare::Random(3))),
        &Options::default(),
        &Monitor::silent(),
    )
    .unwrap();
    assert_eq!(proof.against.unwrap().rows, 1_000);
    assert_eq!(contents(&folder.path().join("threads")), contents(&folder.path().join("tasks")));
    lobset::Thresholds::read(&url("tasks/thresholds.json")).unwrap();
    assert_eq!(lobset::Manifest::read(&url("tasks")).unwrap(), proof.manifest);
    let certificate = Certificate::new(&url("tasks"), &proof);
    certificate.write(&url("certificate.json"), &url("tasks")).unwrap();
    assert_eq!(Certificate::read(&url("certificate.json")).unwrap(), certificate);
    assert!(Certificate::check_place(&url("tasks/certificate.json"), &url("tasks")).is_err());
    let day = std::fs::read_dir(folder.path().join("market")).unwrap().next().unwrap().unwrap().file_name();
    lobset::input::DbnReader::open(&url(&format!("market/{}", day.to_str().unwrap()))).unwrap();
}

#[test]
fn real_data_gives_the_same_bytes_too() {
    let Some(data) = real_data("es") else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = Config { nbins: 13, min_symbol_samples: 2_000, ..small() };
    run(&[&data], &folder.path().join("threads"), &config).unwrap();
    as_tasks(&Threads::new(2), &[data], &folder.path().join("tasks"), &config).unwrap();
    assert_eq!(contents(&folder.path().join("threads")), contents(&folder.path().join("tasks")));
}

#[test]
fn a_run_goes_on_from_receipts_and_one_that_is_published_is_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 4, 6_000);
    let (want, out) = (folder.path().join("want"), folder.path().join("out"));
    let ran = AtomicUsize::new(0);
    let counting = |last: usize| {
        let ran = &ran;
        Each(move |_, task: &Task| {
            if ran.fetch_add(1, Ordering::Relaxed) == last {
                return Err(Error::Executor("the driver is lost".to_owned()));
            }
            here(task)
        })
    };
    as_tasks(&counting(usize::MAX), &inputs, &want, &small()).unwrap();
    let whole = ran.swap(0, Ordering::Relaxed);
    let mut tries = 0;
    let manifest = loop {
        match as_tasks(&counting(ran.load(Ordering::Relaxed) + 1), &inputs, &out, &small()) {
            Ok(manifest) => break manifest,
            Err(e) => assert!(e.to_string().contains("the driver is lost"), "{e}"),
        }
        tries += 1;
    };
    assert!(tries > 3);
    // Each failed attempt costs only the task that failed.
    assert_eq!(ran.swap(0, Ordering::Relaxed), whole + tries);
    assert_eq!(manifest.timings.scans_reused, 4);
    assert_eq!(contents(&want), contents(&out));
    assert_eq!(as_tasks(&counting(0), &inputs, &out, &small()).unwrap(), manifest);
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    // Other settings are another run, and OUT exists.
    let other = Config { nbins: 4, ..small() };
    assert!(matches!(as_tasks(&counting(0), &inputs, &out, &other), Err(Error::Output { .. })));
}

#[test]
fn of_two_tries_one_counts_and_the_other_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 3, 6_000);
    let config = Config { keep_intermediate: true, ..small() };
    let (want, out) = (folder.path().join("want"), folder.path().join("out"));
    as_tasks(&Each(|_, task: &Task| here(task)), &inputs, &want, &config).unwrap();
    let both = Each(|_, task: &Task| {
        std::thread::scope(|scope| {
            let [a, b] = [0, 1].map(|_| scope.spawn(|| here(task)));
            let (a, b) = (a.join().unwrap()?, b.join().unwrap()?);
            assert_eq!(a, b);
            Ok(a)
        })
    });
    as_tasks(&both, &inputs, &out, &config).unwrap();
    assert_eq!(contents(&want), contents(&out));
    let count = |name: &str| files(&folder.path().join(format!(".{name}.lobset-work"))).len();
    assert_eq!(count("out"), count("want"));
}

#[test]
fn a_task_that_wakes_after_the_end_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 2, 6_000);
    let out = folder.path().join("out");
    let frozen = Mutex::new(Vec::new());
    let keeping = Each(|_, task: &Task| {
        frozen.lock().unwrap().push(task.clone());
        here(task)
    });
    as_tasks(&keeping, &inputs, &out, &small()).unwrap();
    let want = files(folder.path());
    for task in frozen.into_inner().unwrap() {
        assert!(here(&task).is_err());
    }
    assert_eq!(files(folder.path()), want);

    // The same if the folders still exist, as they always do in an object store.
    let work = folder.path().join(".out.lobset-work");
    let frozen = Mutex::new(Vec::new());
    let keeping = Each(|_, task: &Task| {
        frozen.lock().unwrap().push(task.clone());
        here(task)
    });
    std::fs::remove_dir_all(&out).unwrap();
    let config = Config { keep_intermediate: true, ..small() };
    as_tasks(&keeping, &inputs, &out, &config).unwrap();
    for file in files(&work) {
        if !["tapes", "movements"].iter().any(|kept| file.starts_with(work.join(kept))) {
            std::fs::remove_file(file).unwrap();
        }
    }
    let want = files(&work);
    for task in frozen.into_inner().unwrap() {
        assert!(matches!(here(&task), Err(Error::Interrupted)), "{}", task.kind);
    }
    assert_eq!(files(&work), want);
}

/// The dataset of the symbol M6AM4 among the files of a run.
fn dataset(work: &Path) -> PathBuf {
    let mut found = files(work);
    found.retain(|path| path.to_string_lossy().contains("M6AM4_dataset"));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_proof_that_cannot_read_for_the_moment_may_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 1, 6_000);
    let (want, out) = (folder.path().join("want"), folder.path().join("out"));
    let proofs = AtomicUsize::new(0);
    let failing = Each(|_, task: &Task| {
        if task.kind == "prove" {
            proofs.fetch_add(1, Ordering::Relaxed);
            let (file, away) = (dataset(&folder.path().join(".out.lobset-work")), folder.path().join("away"));
            std::fs::rename(&file, &away).unwrap();
            // Neither a missing file nor an unreadable one: the system fails to open it.
            std::os::unix::fs::symlink(&file, &file).unwrap();
            let error = here(task).unwrap_err();
            assert!(matches!(error, Error::Input(_)) && error.is_transient(), "{error:?}");
            std::fs::remove_file(&file).unwrap();
            std::fs::rename(&away, &file).unwrap();
        }
        here(task)
    });
    as_tasks(&failing, &inputs, &out, &small()).unwrap();
    assert_eq!(proofs.into_inner(), 1);
    run(&inputs, &want, &small()).unwrap();
    assert_eq!(contents(&want), contents(&out));
}

#[test]
fn damage_is_told_in_the_same_words_by_threads_and_by_tasks() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(Damage, &str); 3] = [
        (|bytes| bytes[2_000] ^= 4, "its SHA-256 is"),
        (|bytes| bytes.truncate(3_000), "has 3000 bytes, not"),
        (|bytes| *bytes = vec![7; bytes.len()], "its SHA-256 is"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 1, 6_000);
    let (out, work) = (folder.path().join("out"), folder.path().join(".out.lobset-work"));
    let violations = |outcome: Result<Manifest>| match outcome {
        Err(Error::Validation(found)) => found.violations,
        other => panic!("{other:?}"),
    };
    for (damage, reason) in damages {
        let hurt = |file: &Path| {
            let mut bytes = std::fs::read(file).unwrap();
            damage(&mut bytes);
            std::fs::write(file, bytes).unwrap();
        };
        let hurting = Each(|_, task: &Task| {
            if task.kind == "prove" {
                hurt(&dataset(&work));
            }
            here(task)
        });
        let by_tasks = violations(as_tasks(&hurting, &inputs, &out, &small()));
        std::fs::remove_dir_all(&work).unwrap();
        let stop = AtomicBool::new(false);
        let report = |event| {
            if matches!(event, Event::Begin(Stage::Validate, _)) {
                hurt(&dataset(&work));
            }
        };
        let monitor = Monitor::new(&report, &stop);
        let by_threads = violations(process(&inputs, &out, &small(), None, &Options::default(), &monitor));
        std::fs::remove_dir_all(&work).unwrap();
        assert!(by_threads.len() == 1 && by_threads[0].contains(reason), "{by_threads:?}");
        assert_eq!(by_threads, by_tasks);
    }
}

#[test]
fn versions_that_differ_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 1, 6_000);
    let other = Each(|_, task: &Task| {
        let mut spec: serde_json::Value = serde_json::from_str(&task.spec).unwrap();
        spec["version"] = "9.9.9".into();
        spec["job"] = "of a form that this version does not know".into();
        run_task(task.kind, &spec.to_string(), &Monitor::silent())
    });
    let error = as_tasks(&other, &inputs, &folder.path().join("out"), &small()).unwrap_err();
    assert!(matches!(error, Error::Config(_)) && !error.is_transient());
    let text = error.to_string();
    assert!(text.contains("driver runs lobset 9.9.9") && text.contains(lobset::VERSION), "{text}");
}

#[test]
fn a_run_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 3, 6_000);
    let out = folder.path().join("out");
    for after in [0, 2, 9] {
        let stop = AtomicBool::new(false);
        let begun = AtomicUsize::new(0);
        let report = |_| {
            if begun.fetch_add(1, Ordering::Relaxed) == after {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let monitor = Monitor::new(&report, &stop);
        let options = Options::default();
        let outcome =
            process_as_tasks(Cluster::new(&Threads::new(2)), &inputs, &out, &small(), None, &options, &monitor);
        assert!(matches!(outcome, Err(Error::Interrupted)), "{outcome:?}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }
}
