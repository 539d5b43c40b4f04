use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::*;

/// The part of a manifest that publication reads.
const OURS: &str = r#"{
    "version": "0.1.0", "config": {}, "thresholds": {"file": "thresholds.json"}, "card": "README.md", "report": "report.html",
    "symbols": [
        {"symbol": "A", "dataset": {"file": "A_dataset.parquet", "moments": {"file": "A_moments.parquet"}}},
        {"symbol": "B", "dataset": null}
    ]
}"#;

/// Writes the files that publication checks in a dataset, with `name` in the card.
fn write_dataset(folder: &Path, name: &str) {
    fs::create_dir_all(folder).unwrap();
    let small = [("README.md", name), ("thresholds.json", "{}"), ("report.html", "")];
    for (file, text) in
        small.into_iter().chain([("A_dataset.parquet", ""), ("A_moments.parquet", ""), (MANIFEST, OURS)])
    {
        fs::write(folder.join(file), text).unwrap();
    }
}

fn name_of(folder: &Path) -> Option<String> {
    folder.join(MANIFEST).is_file().then(|| fs::read_to_string(folder.join("README.md")).unwrap())
}

fn open(out: &Path, overwrite: bool, platform: &Platform) -> Result<Workspace> {
    Workspace::beside(out, overwrite, platform.clone(), check_folder)
}

/// Opens, stages and publishes, and leaves the work folder behind as if the process had been killed.
fn publish(out: &Path, name: &str, overwrite: bool, platform: &Platform) -> Result<()> {
    let workspace = open(out, overwrite, platform)?;
    write_dataset(&workspace.staged(), name);
    workspace.publish()?.map_or(Ok(()), |note| Err(Error::output(out, note)))
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Whether `platform` can swap two folders in one step on the file system of the tests.
fn swaps(platform: &Platform) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    fs::create_dir(&a).unwrap();
    fs::create_dir(&b).unwrap();
    platform.exchange(&a, &b).unwrap()
}

fn both() -> [Platform; 2] {
    [Platform::default(), Platform::portable()]
}

#[test]
fn a_result_appears_and_is_replaced_when_asked() {
    for platform in both() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        publish(&out, "first", false, &platform).unwrap();
        assert_eq!(name_of(&out).unwrap(), "first");
        let error = publish(&out, "second", false, &platform).unwrap_err();
        assert!(error.to_string().ends_with("out: already exists"), "{error}");
        publish(&out, "second", true, &platform).unwrap();
        assert_eq!(name_of(&out).unwrap(), "second");
        fs::remove_dir_all(&out).unwrap();
        fs::create_dir(&out).unwrap();
        publish(&out, "over an empty folder", true, &platform).unwrap();
        assert_eq!(name_of(&out).unwrap(), "over an empty folder");
        open(&out, true, &platform).unwrap().remove().unwrap();
        assert_eq!(names_in(folder.path()), ["out"]);
    }
}

/// One case for each rename after which a process may die: OUT is whole, or the next run restores it.
#[test]
fn a_kill_between_any_two_renames_loses_nothing() {
    for platform in both() {
        for overwrite_again in [true, false] {
            let mut outs_missing = 0;
            for renames in 0.. {
                assert!(renames < 10, "publication fails without a rename that does");
                let folder = tempfile::tempdir().unwrap();
                let out = folder.path().join("out");
                write_dataset(&out, "old");
                let outcome = publish(&out, "new", true, &platform.killed_after(renames));
                if outcome.is_ok() {
                    assert!(renames >= 3, "{renames} renames are all that it takes");
                    break;
                }
                // A reader now finds the old dataset, the new one, or, without an atomic swap, none.
                let seen = name_of(&out);
                assert!(matches!(seen.as_deref(), None | Some("old" | "new")));
                assert_eq!(seen.is_none(), !out.exists());
                outs_missing += usize::from(seen.is_none());

                let next = open(&out, overwrite_again, &platform);
                let healed = name_of(&out).unwrap();
                assert_eq!(healed, seen.unwrap_or_else(|| "old".to_owned()));
                if !overwrite_again {
                    assert!(next.err().unwrap().to_string().ends_with("out: already exists"));
                    continue;
                }
                let next = next.unwrap();
                assert_eq!(names_in(next.folder()), ["lock", "scans"], "after {renames} renames");
                write_dataset(&next.staged(), "third");
                next.publish().unwrap();
                next.remove().unwrap();
                assert_eq!(name_of(&out).unwrap(), "third");
                assert_eq!(names_in(folder.path()), ["out"]);
            }
            assert_eq!(outs_missing, usize::from(!swaps(&platform)));
        }
    }
}

/// A run whose rename fails restores OUT itself.
#[test]
fn a_rename_that_fails_leaves_out_whole() {
    for platform in both() {
        for renames in 0.. {
            assert!(renames < 10, "publication fails without a rename that does");
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join("out");
            write_dataset(&out, "old");
            let workspace = open(&out, true, &platform.failing_once_after(renames)).unwrap();
            write_dataset(&workspace.staged(), "new");
            let outcome = workspace.publish();
            let seen = name_of(&out).unwrap();
            // Only steps after the last one visible to readers may fail with the new dataset in place.
            assert!(seen == "old" || outcome.is_ok() || !workspace.staged().exists(), "after {renames} renames");
            workspace.remove().unwrap();
            assert_eq!(name_of(&out).unwrap(), seen);
            assert_eq!(names_in(folder.path()), ["out"]);
            if outcome.is_ok() {
                break;
            }
        }
    }
}

/// Without an atomic swap, a run dies after moving OUT away, and something else is created in its place.
#[test]
fn what_appears_in_the_place_of_an_out_that_was_moved_away_is_left_alone() {
    let portable = Platform::portable();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut renames = 0;
    let moved_away = loop {
        drop(open(&out, true, &portable).unwrap());
        write_dataset(&out, "old");
        publish(&out, "new", true, &portable.killed_after(renames)).unwrap_err();
        if !out.exists() {
            break folder.path().join(".out.lobset-work/replaced");
        }
        renames += 1;
    };
    fs::create_dir(&out).unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let error = open(&out, true, &portable).err().unwrap();
    assert!(error.to_string().contains("is not a lobset dataset"), "{error}");
    fs::remove_dir_all(&out).unwrap();
    write_dataset(&out, "another");
    let error = open(&out, true, &portable).err().unwrap();
    assert!(error.to_string().contains("there is now something else at"), "{error}");
    assert_eq!(name_of(&out).unwrap(), "another");
    assert_eq!(name_of(&moved_away).unwrap(), "old");
    fs::remove_dir_all(&out).unwrap();
    open(&out, true, &portable).unwrap();
    assert_eq!(name_of(&out).unwrap(), "old");
}

#[test]
fn what_appears_while_a_run_is_at_work_is_left_alone() {
    for platform in both() {
        for overwrite in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join("out");
            let at_work = |appear: &dyn Fn()| {
                let workspace = open(&out, overwrite, &platform).unwrap();
                write_dataset(&workspace.staged(), "new");
                appear();
                let outcome = workspace.publish();
                workspace.remove().unwrap();
                outcome
            };
            at_work(&|| {
                fs::create_dir(&out).unwrap();
                fs::write(out.join("notes.txt"), "mine").unwrap();
            })
            .unwrap_err();
            assert_eq!(fs::read(out.join("notes.txt")).unwrap(), b"mine");
            fs::remove_dir_all(&out).unwrap();
            at_work(&|| fs::write(&out, "mine").unwrap()).unwrap_err();
            assert_eq!(fs::read(&out).unwrap(), b"mine");
            fs::remove_file(&out).unwrap();
            let outcome = at_work(&|| write_dataset(&out, "another"));
            assert_eq!(outcome.is_ok(), overwrite);
            assert_eq!(name_of(&out).unwrap(), if overwrite { "new" } else { "another" });
            assert_eq!(names_in(folder.path()), ["out"]);
        }
    }
}

/// A kill just after the exchange, when another process had replaced OUT with its own folder a moment before.
#[test]
fn a_folder_that_is_no_dataset_is_not_removed_from_the_work_folder() {
    for platform in both() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        write_dataset(&out, "new");
        let replaced = folder.path().join(".out.lobset-work/replaced");
        fs::create_dir_all(&replaced).unwrap();
        fs::write(replaced.join("notes.txt"), "mine").unwrap();
        let error = open(&out, true, &platform).err().unwrap();
        assert!(error.to_string().contains("replaced: exists but is not a lobset dataset"), "{error}");
        assert_eq!(fs::read(replaced.join("notes.txt")).unwrap(), b"mine");
        assert_eq!(name_of(&out).unwrap(), "new");
    }
}

#[test]
fn a_manifest_of_somebody_elses_makes_no_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("GLBX-20240403-ABCDEFGHIJ");
    fs::create_dir(&out).unwrap();
    // Like the manifest of a Databento batch job.
    for text in [r#"{"job_id": "GLBX-20240403-ABCDEFGHIJ", "files": []}"#, "[]", "", "{\"version\": \"1\"}"] {
        fs::write(out.join(MANIFEST), text).unwrap();
        fs::write(out.join("data.dbn.zst"), "bought").unwrap();
        let error = open(&out, true, &Platform::default()).err().unwrap();
        assert!(error.to_string().contains("is not a lobset dataset"), "{error}");
        assert_eq!(names_in(folder.path()), ["GLBX-20240403-ABCDEFGHIJ"]);
    }
}

/// A thresholds file with one class boundary.
const THRESHOLDS: &str = r#"{
    "version": "0.1.0", "fit_until": "2024-04-04T00:00:00Z", "sample_fraction": 1.0, "min_symbol_samples": 1,
    "files": [{"name": "a.dbn", "sha256": "0"}],
    "settings": {
        "lookback_rows": 1, "lookforward_input": 1, "lookforward_offset": 0, "nbins": 2, "threshold_scope": "global",
        "keep_crossed": false, "price_range": null, "max_gap": null
    },
    "boundaries": [0.0], "fit_rows": 2, "embargo_rows": 0, "mean": 0.0, "std": 1.0, "min": -1.0, "max": 1.0, "median": 0.0
}"#;

/// Something that a user may have put into a dataset's folder, and how the refusal names it.
type Guest = (fn(&Path) -> io::Result<()>, &'static str);

const GUESTS: [Guest; 8] = [
    (|out| fs::write(out.join("notes.txt"), "mine"), r#""notes.txt""#),
    (|out| fs::write(out.join(".hidden"), "mine"), r#"".hidden""#),
    (|out| fs::create_dir(out.join("raw")), r#""raw""#),
    (|out| symlink("README.md", out.join("link")), r#""link""#),
    (|out| fs::write(out.join("a\nvalidation passed"), "mine"), r#""a\nvalidation passed""#),
    // A name from the manifest, but not a regular file.
    (
        |out| fs::remove_file(out.join("README.md")).and_then(|()| fs::create_dir(out.join("README.md"))),
        r#""README.md""#,
    ),
    (
        |out| {
            fs::rename(out.join("A_dataset.parquet"), out.join("../kept"))?;
            symlink("../kept", out.join("A_dataset.parquet"))
        },
        r#""A_dataset.parquet""#,
    ),
    // A name that a file of lobset could have, but not one from the manifest.
    (|out| fs::write(out.join("B_moments.parquet"), "mine"), r#""B_moments.parquet""#),
];

#[test]
fn a_dataset_with_guests_is_not_replaced() {
    for platform in both() {
        for (put, name) in GUESTS {
            for late in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let out = folder.path().join("out");
                write_dataset(&out, "old");
                if !late {
                    put(&out).unwrap();
                }
                let outcome = open(&out, true, &platform).and_then(|workspace| {
                    write_dataset(&workspace.staged(), "new");
                    if late {
                        put(&out).unwrap();
                    }
                    let outcome = workspace.publish();
                    workspace.remove()?;
                    outcome
                });
                let error = outcome.unwrap_err();
                let want = format!(
                    "out: contains files that are not part of the dataset, so --overwrite does not replace it: {name}"
                );
                assert!(error.to_string().ends_with(&want), "{error}");
                assert!(error.help().unwrap().contains("elsewhere"));
                assert!(
                    out.join(MANIFEST).is_file() && names_in(folder.path()).iter().all(|n| n != ".out.lobset-work")
                );
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    write_dataset(folder.path(), "old");
    for name in ["c", "b", "d"] {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    let error = check_folder(folder.path(), true).unwrap_err();
    assert!(error.to_string().ends_with(r#": "b" and 2 more"#), "{error}");
}

/// A file is added between the last check of OUT and the swap.
#[test]
fn a_guest_in_what_was_replaced_stays() {
    for name in ["replaced", "discarded"] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        write_dataset(&out, "new");
        let old = folder.path().join(".out.lobset-work").join(name);
        write_dataset(&old, "old");
        fs::write(old.join("notes.txt"), "mine").unwrap();
        let error = open(&out, true, &Platform::default()).err().unwrap();
        assert!(error.to_string().ends_with(r#"does not replace it: "notes.txt""#), "{error}");
        assert_eq!(fs::read(old.join("notes.txt")).unwrap(), b"mine");
        fs::remove_file(old.join("notes.txt")).unwrap();
        // Half removed by a run that was killed.
        if name == "discarded" {
            fs::remove_file(old.join("README.md")).unwrap();
        }
        open(&out, true, &Platform::default()).unwrap().remove().unwrap();
        assert_eq!(names_in(folder.path()), ["out"]);
        assert_eq!(name_of(&out).unwrap(), "new");
    }
}

#[test]
fn links_and_names_that_lead_out_of_the_folder_make_no_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let (dataset, out) = (folder.path().join("dataset"), folder.path().join("out"));
    write_dataset(&dataset, "old");
    symlink(&dataset, &out).unwrap();
    for link in [out.clone(), out.join("")] {
        let error = open(&link, true, &Platform::default()).err().unwrap();
        assert!(error.to_string().contains("is a symbolic link"), "{error}");
    }
    fs::remove_file(&out).unwrap();

    write_dataset(&out, "old");
    for name in ["../precious", "/precious", "raw/precious", "..", ""] {
        fs::write(out.join(MANIFEST), OURS.replace("README.md", name)).unwrap();
        let error = open(&out, true, &Platform::default()).err().unwrap();
        assert!(error.to_string().contains("is not a lobset dataset"), "{name}: {error}");
    }
    // A manifest that is a link is not accepted.
    fs::remove_file(out.join(MANIFEST)).unwrap();
    symlink(dataset.join(MANIFEST), out.join(MANIFEST)).unwrap();
    let error = open(&out, true, &Platform::default()).err().unwrap();
    assert!(error.to_string().contains("is not a lobset dataset"), "{error}");
    // Fields that other versions lack.
    fs::remove_file(out.join(MANIFEST)).unwrap();
    for file in ["README.md", "report.html", "A_moments.parquet"] {
        fs::remove_file(out.join(file)).unwrap();
    }
    let old = r#"{"version": "0", "config": {}, "thresholds": {"file": "thresholds.json", "new": 1},
        "symbols": [{"dataset": {"file": "A_dataset.parquet"}}]}"#;
    fs::write(out.join(MANIFEST), old).unwrap();
    publish(&out, "new", true, &Platform::default()).unwrap();
}

#[test]
fn only_a_thresholds_file_is_replaced_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let (target, out) = (folder.path().join("target"), folder.path().join("out"));
    fs::write(&target, THRESHOLDS).unwrap();
    let refused = |path: &Path, want: &str| {
        let error = check_file(path, true).unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    };
    check_file(&target, true).unwrap();
    symlink(&target, &out).unwrap();
    refused(&out, "is not a regular file");
    refused(Path::new("/dev/null"), "is not a regular file");
    refused(folder.path(), "is a folder");
    for text in ["", "mine", "{}", OURS] {
        fs::write(&target, text).unwrap();
        refused(&target, "is not a lobset thresholds file");
    }
    // Too large for a thresholds file: not read at all.
    File::create(&target).unwrap().set_len(1 << 40).unwrap();
    refused(&target, "is not a lobset thresholds file");
}

#[test]
fn a_file_is_published_whole_and_replaces_only_when_asked() {
    for platform in both() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("thresholds.json");
        let open = |overwrite| Workspace::beside(&out, overwrite, platform.clone(), check_file);
        let workspace = open(false).unwrap();
        workspace.publish_file(THRESHOLDS).unwrap();
        workspace.remove().unwrap();
        assert!(open(false).is_err());
        let workspace = open(true).unwrap();
        workspace.publish_file("second").unwrap();
        workspace.remove().unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"second");

        // No longer a thresholds file.
        let error = open(true).err().unwrap();
        assert!(error.to_string().contains("is not a lobset thresholds file"), "{error}");
        fs::remove_file(&out).unwrap();

        for before in [None, Some(THRESHOLDS)] {
            if let Some(text) = before {
                fs::write(&out, text).unwrap();
            }
            let workspace = open(true).unwrap();
            fs::write(&out, "mine").unwrap();
            let error = workspace.publish_file("third").unwrap_err();
            assert!(error.to_string().contains("is not a lobset thresholds file"), "{error}");
            // As if the process had been killed: the next run clears this away.
            drop(workspace);
            assert_eq!(fs::read(&out).unwrap(), b"mine");
            fs::remove_file(&out).unwrap();
        }

        let workspace = open(false).unwrap();
        fs::write(&out, "mine").unwrap();
        let error = workspace.publish_file("third").unwrap_err();
        assert!(error.to_string().contains("appeared during the run"), "{error}");
        workspace.remove().unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"mine");
        assert_eq!(names_in(folder.path()), ["thresholds.json"]);
    }
}

/// Runs change nothing at the target of a link that replaces the work folder or an entry of it.
#[test]
fn links_in_the_place_of_work_files_are_refused() {
    for name in ["", "lock", "scans", "staged", "replaced", "discarded", "movements.f64", "tapes"] {
        let folder = tempfile::tempdir().unwrap();
        let (out, work) = (folder.path().join("out"), folder.path().join(".out.lobset-work"));
        let mine = folder.path().join("mine");
        let is_file = ["lock", "movements.f64"].contains(&name);
        if is_file {
            fs::write(&mine, "precious").unwrap();
        } else {
            for inside in ["scans", "staged", "tapes"] {
                fs::create_dir_all(mine.join(inside)).unwrap();
                fs::write(mine.join(inside).join("notes.json"), "precious").unwrap();
            }
        }
        if !name.is_empty() {
            fs::create_dir(&work).unwrap();
        }
        // With a trailing slash, the link would be followed.
        symlink(&mine, work.join(name).components().as_path()).unwrap();
        let error = open(&out, true, &Platform::default()).err().unwrap();
        assert!(error.to_string().contains(name) && error.help().unwrap().contains("move it"), "{name}: {error}");
        if is_file {
            assert_eq!(fs::read(&mine).unwrap(), b"precious");
        } else {
            for inside in ["scans", "staged", "tapes"] {
                assert_eq!(fs::read(mine.join(inside).join("notes.json")).unwrap(), b"precious", "{name}");
            }
        }
    }
}

#[test]
fn what_is_published_is_what_was_staged() {
    type Change = fn(&Path) -> io::Result<()>;
    let changes: [(Change, &str); 6] = [
        (|staged| fs::remove_file(staged.join("A_dataset.parquet")), "\"A_dataset.parquet\" is not the file"),
        (|staged| fs::remove_file(staged.join("A_moments.parquet")), "\"A_moments.parquet\" is not the file"),
        (|staged| fs::write(staged.join("A_dataset.parquet"), "longer"), "\"A_dataset.parquet\" is not the file"),
        (|staged| fs::remove_file(staged.join("README.md")), "\"README.md\" is not the file"),
        (|staged| fs::write(staged.join("extra"), ""), "it contains files that its manifest does not list"),
        (|staged| fs::remove_file(staged.join("../lock")), "lock: was removed during the run"),
    ];
    for (change, want) in changes {
        for before in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join("out");
            if before {
                write_dataset(&out, "old");
            }
            let workspace = open(&out, true, &Platform::default()).unwrap();
            write_dataset(&workspace.staged(), "new");
            let manifest = OURS.replace("\"A_dataset.parquet\"", "\"A_dataset.parquet\", \"bytes\": 0");
            fs::write(workspace.staged().join(MANIFEST), manifest).unwrap();
            change(&workspace.staged()).unwrap();
            let error = workspace.publish().unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
            assert_eq!(name_of(&out), before.then(|| "old".to_owned()));
        }
    }
}

/// The replaced dataset cannot be moved to `discarded`: the run returns a note, and OUT is complete anyway.
#[test]
fn a_cleanup_that_fails_after_publication_is_told_and_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    write_dataset(&out, "old");
    // The rename to `discarded` is the last one.
    let renames = if swaps(&Platform::default()) { 2 } else { 4 };
    let workspace = open(&out, true, &Platform::default().failing_once_after(renames)).unwrap();
    write_dataset(&workspace.staged(), "new");
    let note = workspace.publish().unwrap().unwrap();
    assert!(note.contains("out is complete, but") && note.contains("replaced"), "{note}");
    assert_eq!(name_of(&out).unwrap(), "new");
    workspace.remove().unwrap();
    assert_eq!(names_in(folder.path()), ["out"]);
}

#[test]
fn what_no_run_has_made_stays_in_the_work_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let workspace = open(&out, false, &Platform::default()).unwrap();
    fs::write(workspace.folder().join("notes.txt"), "mine").unwrap();
    fs::write(workspace.scans().join("abc.json"), "").unwrap();
    assert_eq!(workspace.finished_scans(), 1);
    let error = workspace.remove().unwrap_err();
    assert!(error.to_string().ends_with("contains files that no run of lobset has created, so it is kept"), "{error}");
    assert_eq!(names_in(&folder.path().join(".out.lobset-work")), ["notes.txt"]);
}

#[test]
fn names_that_are_no_text_have_work_folders_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &[u8]| folder.path().join(std::ffi::OsStr::from_bytes(name));
    // Not every file system supports such names: Apple's refuse them.
    if fs::create_dir(out(b"a\xff")).is_ok() {
        let first = open(&out(b"a\xff"), true, &Platform::default()).unwrap();
        let second = open(&out(b"a\xfe"), true, &Platform::default()).unwrap();
        assert_ne!(first.folder(), second.folder());
    }
}
