//! Every file in an input folder is read or reported, all refused files are reported at once, and none of the files may
//! change during a run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{DAY, START, Tick, refused, run, small, ticks, write_files};
use lobset::error::InputError;
use lobset::validate::Compare;
use lobset::{Cluster, Event, Monitor, Options, Stage, Threads, inspect, process, process_as_tasks, validate};

/// A folder with one file a day, `part-0.dbn`, `part-1.dbn.zst` and so on.
fn days(folder: &Path, days: u64) -> Vec<PathBuf> {
    let files: Vec<Vec<Tick>> = (0..days).map(|day| ticks(600, START + day * DAY)).collect();
    write_files(folder, &[("M6AM4", 7)], &files)
}

/// The names of all refused files, in order.
fn names(error: &InputError) -> Vec<String> {
    let name = |error: &InputError| error.path.file_name().unwrap().to_string_lossy().into_owned();
    std::iter::once(error).chain(&error.others).map(name).collect()
}

fn fifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn what_cannot_be_read_in_a_folder_is_named() {
    let root = tempfile::tempdir().unwrap();
    let (folder, out) = (root.path().join("in"), root.path().join("out"));
    days(&folder, 2);
    let elsewhere = root.path().join("elsewhere");
    symlink(&elsewhere, folder.join("a.dbn.zst")).unwrap();
    symlink(folder.join("b.dbn"), folder.join("b.dbn")).unwrap();
    fifo(&folder.join("c.dbn"));
    let _socket = UnixListener::bind(folder.join("d.dbn.zst")).unwrap();
    // This may be a folder on a disk that is not mounted.
    symlink(&elsewhere, folder.join("2024-04-05")).unwrap();
    let error = refused(run(&[&folder], &out, &small()));
    assert_eq!(names(&error), ["2024-04-05", "a.dbn.zst", "b.dbn", "c.dbn", "d.dbn.zst"]);
    let text = error.to_string();
    for part in [
        "5 problems with the input",
        "a.dbn.zst: cannot be read: is a dangling symbolic link",
        "b.dbn: cannot be read: ",
        "c.dbn: cannot be read: is a named pipe, not a regular file",
        "d.dbn.zst: cannot be read: is a socket, not a regular file",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(refused(inspect(&[&folder], &small(), &Options::default(), &Monitor::silent())).to_string(), text);
    assert!(!out.exists());
    // Entries whose names are not those of data are ignored, unless data may be behind them.
    for name in ["a.dbn.zst", "b.dbn", "c.dbn", "d.dbn.zst", "2024-04-05"] {
        fs::remove_file(folder.join(name)).unwrap();
    }
    fifo(&folder.join("pipe"));
    symlink(&elsewhere, folder.join(".#lock")).unwrap();
    assert_eq!(run(&[&folder], &out, &small()).unwrap().inputs.len(), 2);
}

#[test]
fn a_folder_that_cannot_be_listed_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let (folder, out) = (root.path().join("in"), root.path().join("out"));
    days(&folder, 2);
    let closed = folder.join("closed");
    days(&closed, 1);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
    // The superuser can read it anyway.
    let closed_to_us = fs::read_dir(&closed).is_err();
    let outcome = run(&[&folder], &out, &small());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    let error = refused(outcome);
    if closed_to_us {
        assert_eq!(names(&error), ["closed"]);
    } else {
        assert!(error.message.contains("holds the same bytes"), "{error}");
    }
}

#[test]
fn named_pipes_are_refused_and_not_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let pipe = root.path().join("pipe");
    fifo(&pipe);
    for name in [pipe.as_path(), Path::new("/dev/zero")] {
        let error = refused(run(&[name], &root.path().join("out"), &small()));
        assert!(
            error.message.contains("is a named pipe, not a regular file") || error.message.contains("is a device"),
            "{error}"
        );
        assert!(refused(lobset::input::DbnReader::open(name).map(drop)).message.contains("not a regular file"));
    }
    // The same for a pipe in place of a file that accompanies the data.
    let folder = root.path().join("in");
    days(&folder, 2);
    fifo(&folder.join("condition.json"));
    assert_eq!(names(&refused(run(&[&folder], &root.path().join("out"), &small()))), ["condition.json"]);
}

#[test]
fn links_to_folders_are_followed_once() {
    let root = tempfile::tempdir().unwrap();
    let (folder, out) = (root.path().join("in"), root.path().join("out"));
    days(&folder, 1);
    let elsewhere = root.path().join("elsewhere");
    for file in days(&elsewhere, 3) {
        // The first day is in the folder itself.
        if file.ends_with("part-0.dbn") {
            fs::remove_file(file).unwrap();
        }
    }
    symlink(&elsewhere, folder.join("april")).unwrap();
    symlink(&elsewhere, folder.join("april again")).unwrap();
    symlink(&folder, folder.join("here")).unwrap();
    symlink(&folder, elsewhere.join("back")).unwrap();
    let manifest = run(&[&folder], &out, &small()).unwrap();
    let read: Vec<&str> = manifest.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(read, ["part-0.dbn", "part-1.dbn.zst", "part-2.dbn"]);
    // The output must not be inside the target of a link.
    let inside = run(&[&folder], &elsewhere.join("out"), &small()).unwrap_err();
    assert!(inside.to_string().contains("is inside the input folder"), "{inside}");
    symlink(root.path(), folder.join("around")).unwrap();
    let error = refused(run(&[&folder], &out, &small()));
    assert!(error.to_string().contains("is a link to a folder that contains the input folder"), "{error}");
}

#[test]
fn all_refused_files_are_named_at_once() {
    let root = tempfile::tempdir().unwrap();
    let (folder, out) = (root.path().join("in"), root.path().join("out"));
    let files = days(&folder, 6);
    let cut = |file: &Path, bytes: u64| fs::File::options().write(true).open(file).unwrap().set_len(bytes).unwrap();
    cut(&files[1], 100);
    cut(&files[4], 30);
    fs::write(&files[2], "no DBN").unwrap();
    // This file can be opened, but turns out to be damaged at its end.
    cut(&files[3], fs::metadata(&files[3]).unwrap().len() - 1);
    let error = refused(run(&[&folder], &out, &small()));
    assert_eq!(names(&error), ["part-1.dbn.zst", "part-2.dbn", "part-3.dbn.zst", "part-4.dbn"]);
    assert!(error.to_string().starts_with("4 problems with the input\n  "), "{error}");
    // The same for files that are refused further in. The others are scanned, and the next run reuses the scans.
    days(&folder, 6);
    let whole = [&files[0], &files[5]].map(|file| (file, fs::read(file).unwrap()));
    whole.iter().for_each(|(file, bytes)| cut(file, bytes.len() as u64 - 1));
    let options = Options { threads: 2, ..Options::default() };
    let go = |out: &Path| process(&[&folder], out, &small(), None, &options, &Monitor::silent());
    let error = refused(go(&out));
    assert_eq!(names(&error), ["part-0.dbn", "part-5.dbn.zst"]);
    assert_eq!(error.others[0].record, None);
    assert_eq!(error.record, Some(599));
    let inspected = refused(inspect(&[&folder], &small(), &options, &Monitor::silent()));
    assert_eq!(inspected.to_string(), error.to_string());
    let silent = Monitor::silent();
    let over_tasks = || {
        process_as_tasks(
            Cluster::new(&Threads::new(2)),
            &[&folder],
            &root.path().join("tasks"),
            &small(),
            None,
            &options,
            &silent,
        )
    };
    assert_eq!(refused(over_tasks()).to_string(), error.to_string());
    whole.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    assert_eq!(go(&out).unwrap().timings.scans_reused, 4);
    // A refusal is not stored: its cause may be fixed elsewhere.
    assert_eq!(over_tasks().unwrap().timings.scans_reused, 4);
}

#[test]
fn all_repetitions_are_named_at_once() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("in");
    let files = days(&folder, 3);
    for (i, file) in files.iter().enumerate().skip(1) {
        fs::copy(file, folder.join(format!("again-{i}.dbn"))).unwrap();
    }
    let error = refused(run(&[&folder], &root.path().join("out"), &small()));
    assert_eq!(names(&error).len(), 2, "{error}");
    assert_eq!(error.to_string().matches("holds the same bytes as").count(), 2, "{error}");
}

/// Returns whether an event is the awaited one.
type Moment = fn(Event) -> bool;

/// Runs `work` under a monitor and adds a byte to `file` at the first event that `when` accepts.
fn touched<T>(file: &Path, when: Moment, work: impl FnOnce(&Monitor<'_>) -> T) -> T {
    let seen = AtomicUsize::new(0);
    let report = |event: Event| {
        if when(event) && seen.fetch_add(1, Ordering::SeqCst) == 0 {
            fs::File::options().append(true).open(file).unwrap().write_all(&[0]).unwrap();
        }
    };
    let stop = AtomicBool::new(false);
    let outcome = work(&Monitor::new(&report, &stop));
    assert!(seen.into_inner() > 0, "the news did not come");
    outcome
}

#[test]
fn input_that_changes_during_a_run_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let (folder, out) = (root.path().join("in"), root.path().join("out"));
    let options = Options::default();
    let moments: [(&str, Moment); 4] = [
        ("before it is read", |event| matches!(event, Event::Begin(Stage::Scan, _))),
        ("after it was read", |event| matches!(event, Event::End(Stage::Scan))),
        ("while labels are made", |event| matches!(event, Event::Begin(Stage::Write, _))),
        ("while datasets are proved", |event| matches!(event, Event::End(Stage::Validate))),
    ];
    for count in [1, 3] {
        for (name, moment) in moments {
            let files = days(&folder, count);
            let changed = files.last().unwrap();
            let error = touched(changed, moment, |monitor| {
                refused(process(&[&folder], &out, &small(), None, &options, monitor))
            });
            assert!(error.message.contains("has changed since the run began: it had "), "{name}: {error}");
            assert_eq!(error.path, *changed, "{name}");
            assert!(!out.exists(), "{name}");
            let files = days(&folder, count);
            let error = touched(files.last().unwrap(), moment, |monitor| {
                let out = root.path().join("tasks");
                refused(process_as_tasks(
                    Cluster::new(&Threads::new(2)),
                    &[&folder],
                    &out,
                    &small(),
                    None,
                    &options,
                    monitor,
                ))
            });
            assert!(error.message.contains("has changed since the run began"), "{name}: {error}");
        }
    }
    fs::remove_file(folder.join("part-2.dbn")).unwrap();
    // A file of the same size with another modification time has changed too.
    let files = days(&folder, 2);
    process(&[&folder], &out, &small(), None, &options, &Monitor::silent()).unwrap();
    let moments: [Moment; 2] =
        [|event| matches!(event, Event::End(Stage::Scan)), |event| matches!(event, Event::Begin(Stage::Scan, _))];
    let rewritten = |moment: Moment, work: &dyn Fn(&Monitor<'_>) -> InputError| {
        let report = |event: Event| {
            if moment(event) {
                fs::write(&files[0], fs::read(&files[0]).unwrap()).unwrap();
            }
        };
        let stop = AtomicBool::new(false);
        // File systems store times with a precision of a few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let error = work(&Monitor::new(&report, &stop));
        assert!(error.message.contains("has changed since the run began: it was modified"), "{error}");
    };
    let again = root.path().join("again");
    rewritten(moments[0], &|monitor| refused(process(&[&folder], &again, &small(), None, &options, monitor)));
    rewritten(moments[1], &|monitor| {
        refused(validate(&out, Some((&[&folder], Compare::Random(1))), &options, monitor))
    });
}
