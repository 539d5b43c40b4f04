//! Closed, full and limited stdout and stderr, and text that must not reach a terminal.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod place;

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use place::{Place, Ran, SMALL};

/// A pipe whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn a_reader_who_goes_is_no_failure() {
    let place = Place::new();
    for line in
        ["inspect market", "inspect market --json", "--help", &format!("process market -o out {SMALL}"), "validate out"]
    {
        let ran = Ran::from(place.command(line).stdout(closed()).output().unwrap());
        assert_eq!((ran.code, ran.err.contains("panicked")), (0, false), "{line}: {}", ran.err);
    }
    // An error still sets the exit code, even if its message cannot be printed.
    for line in ["inspect absent", "inspect absent --json", "validate market"] {
        let outcome = place.command(line).stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(outcome.code(), Some(3), "{line}");
    }
}

#[test]
fn machines_get_the_problems_one_by_one() {
    let place = Place::new();
    let problems = |line: &str| {
        let ran = place.run(line);
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        report["error"]["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(problems("process market -o out --nbins 1 --lookback-rows 0 --json").len(), 2);
    for name in ["a.dbn", "b.dbn"] {
        std::fs::write(place.path().join("market").join(name), "no data").unwrap();
    }
    let files = problems("process market -o out --json");
    assert!(files.len() == 2 && files[0].contains("a.dbn: ") && files[1].contains("b.dbn: "), "{files:?}");
    let error = place.command("process market -o").arg(std::ffi::OsStr::from_bytes(b"o\xff")).output().unwrap();
    assert_eq!(Ran::from(error).code, 4);
}

#[test]
fn a_full_disk_behind_stdout_is_told_with_what_was_done() {
    let place = Place::new();
    let process = format!("process market -o out {SMALL}");
    let thresholds = format!("thresholds market -o thresholds.json {SMALL}");
    for (line, done) in [
        ("inspect market", None),
        (&*process, Some("out")),
        (&*thresholds, Some("thresholds.json")),
        ("simulate other --days 1 --rows 10", Some("other")),
    ] {
        let ran = Ran::from(place.command(line).stdout(full()).output().unwrap());
        assert_eq!(ran.code, 4, "{line}: {}", ran.err);
        assert!(ran.err.contains("error: standard output: cannot be written: No space left on device"), "{}", ran.err);
        let help = done.map(|done| format!("help: {done} is complete: only this report was lost"));
        assert!(help.is_none_or(|help| ran.err.contains(&help)), "{}", ran.err);
    }
    assert_eq!(place.run("validate out").code, 0);
    // Nothing can be printed, but nothing is lost.
    let outcome = place.command("validate out").stderr(full()).output().unwrap();
    assert_eq!(outcome.status.code(), Some(0));
}

/// Reaching a file size limit is an error, like a full disk.
#[test]
fn a_limit_on_the_size_of_files_is_an_error() {
    let place = Place::new();
    let limited = |kib: u32| {
        let line = format!("ulimit -f {kib}; exec \"$0\" process market -o out {SMALL}");
        let mut shell = Command::new("bash");
        shell.current_dir(place.path()).args(["-c", &line, env!("CARGO_BIN_EXE_lobset")]).env_clear();
        Ran::from(shell.output().unwrap())
    };
    for kib in [1, 100, 300] {
        let ran = limited(kib);
        assert_eq!(ran.code, 4, "{}", ran.err);
        assert!(ran.err.contains("File too large"), "{}", ran.err);
        assert!(!place.path().join("out").exists());
    }
    let ran = limited(1 << 20);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn names_of_files_and_folders_do_not_steer_the_terminal() {
    let place = Place::new();
    let hostile = "x\u{1b}[2J\u{202e}\r\nvalidation passed";
    let folder = place.path().join(hostile);
    std::fs::rename(place.path().join("market"), &folder).unwrap();
    let run = |command: &str, more: &str| {
        let mut ran = place.command(command);
        let ran = Ran::from(ran.arg(hostile).args(more.split_whitespace()).output().unwrap());
        for text in [&ran.out, &ran.err] {
            assert!(text.chars().all(|c| c == '\n' || (c != '\u{202e}' && !c.is_control())), "{text:?}");
            assert!(
                text.lines().all(|line| !line.starts_with("validation passed") || line.contains(" datasets")),
                "{text}"
            );
        }
        ran
    };
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::copy(&file, folder.join("y\u{7}\n.dbn.zst")).unwrap();
    let ran = run("inspect", "");
    assert!(
        ran.out.contains("y\\u{7}\\n.dbn.zst") || ran.err.contains("y\\u{7}\\n.dbn.zst"),
        "{} {}",
        ran.out,
        ran.err
    );
    let ran = run("process", &format!("-o out {SMALL}"));
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("x\\u{1b}[2J\\u{202e}\\r\\nvalidation passed/"), "{}", ran.err);
    std::fs::remove_file(folder.join("y\u{7}\n.dbn.zst")).unwrap();
    let out = format!("out{hostile}");
    let mut command = place.command("process");
    let ran = Ran::from(command.arg(hostile).args(["-o", &out]).args(SMALL.split_whitespace()).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.chars().all(|c| c == '\n' || (c != '\u{202e}' && !c.is_control())), "{:?}", ran.out);
    std::fs::write(place.path().join(&out).join("a\nb"), "").unwrap();
    assert!(ran.out.contains("validation passed: "));
    run("validate", "");
}
