//! The commands that set up a project or a machine: `init`, `completions`, `man`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod place;

use std::process::{Command, Stdio};

use place::{Place, Ran};

#[test]
fn a_settings_file_is_written_once_and_can_be_used() {
    let place = Place::new();
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
    assert_eq!(place.run("init").code, 0);
    let written = read("lobset.toml");
    assert!(written.starts_with("#:schema ./lobset.schema.json\n"), "{written}");
    serde_json::from_str::<serde_json::Value>(&read("lobset.schema.json")).unwrap();
    // Edit the file as a user would.
    let edited = written.replace("#lookback_rows = 5000", "lookback_rows = 100");
    let edited = edited.replace("#min_symbol_samples = 50000", "min_symbol_samples = 500");
    std::fs::write(place.path().join("lobset.toml"), &edited).unwrap();
    let ran = place.run(
        "process market -o out --config lobset.toml --lookforward-input 100 --lookforward-offset 10 --nbins 5 --json",
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let manifest: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(manifest["config"]["lookback_rows"], 100);
    // Neither of the two files is replaced.
    for kept in ["lobset.toml", "lobset.schema.json"] {
        let refused = place.run("init --currency USDJPY");
        assert_eq!(refused.code, 4);
        assert!(refused.err.starts_with(&format!("error: {kept}: already exists\nhelp: ")), "{}", refused.err);
        assert_eq!(read("lobset.toml"), edited);
        // For the second round: a schema from another program, and no settings file.
        std::fs::write(place.path().join("lobset.schema.json"), "mine").unwrap();
        if kept == "lobset.toml" {
            continue;
        }
        std::fs::remove_file(place.path().join("lobset.toml")).unwrap();
        assert_eq!(place.run("init").code, 4);
        assert!(!place.path().join("lobset.toml").exists());
        assert_eq!(read("lobset.schema.json"), "mine");
    }
    // In another folder, with the preset of a currency. An existing schema of this version is accepted.
    assert_eq!(place.run("init made/here --currency usdjpy").code, 0);
    assert!(read("made/here/lobset.toml").contains("\ncurrency = \"USDJPY\"\n"));
    std::fs::remove_file(place.path().join("made/here/lobset.toml")).unwrap();
    assert_eq!(place.run("init made/here").code, 0);
    let wrong = place.run("init other --currency ../x");
    assert_eq!((wrong.code, place.path().join("other").exists()), (2, false), "{}", wrong.err);
}

#[test]
fn shells_complete_commands_and_flags() {
    let place = Place::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = place.run(&format!("completions {shell}"));
        assert_eq!(ran.code, 0);
        for word in ["process", "lookback-rows", "dry-run"] {
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
    std::fs::write(place.path().join("script"), place.run("completions bash").out).unwrap();
    let complete =
        "source ./script; COMP_WORDS=(lobset insp); COMP_CWORD=1; _lobset lobset insp lobset; echo ${COMPREPLY[@]}";
    let ran = Command::new("bash").args(["-c", complete]).current_dir(place.path()).output().unwrap();
    assert_eq!(Ran::from(ran).out, "inspect\n");
    assert_eq!(place.run("completions tcsh").code, 2);
    for line in ["completions bash", "man"] {
        let quiet = place.run(&format!("{line} -q")).out;
        let found: serde_json::Value = serde_json::from_str(&place.run(&format!("{line} --json")).out).unwrap();
        assert!(!quiet.is_empty() && found["text"] == quiet, "{line}");
    }
}

#[test]
fn manual_pages_are_rendered_and_replace_nothing_else() {
    let place = Place::empty();
    let page = place.run("man");
    assert!(page.code == 0 && page.out.contains(".TH lobset 1") && page.out.contains("process"), "{}", page.out);
    for _ in 0..2 {
        assert_eq!(place.run("man pages").code, 0);
    }
    let names = |folder: &str| std::fs::read_dir(place.path().join(folder)).unwrap().count();
    assert_eq!(names("pages"), 13);
    let process = std::fs::read_to_string(place.path().join("pages/lobset-process.1")).unwrap();
    assert!(process.contains(".TH lobset-process 1") && process.contains("lookback\\-rows"), "{process}");
    std::fs::create_dir(place.path().join("mine")).unwrap();
    std::fs::write(place.path().join("mine/lobset-build.1"), "mine").unwrap();
    let refused = place.run("man mine");
    assert_eq!((refused.code, names("mine")), (4, 1), "{}", refused.err);
}

#[test]
fn a_dry_run_says_what_a_run_would_do_and_writes_nothing() {
    let place = Place::new();
    let line = format!("process market -o out {}", place::SMALL);
    let before = std::fs::read_dir(place.path()).unwrap().count();
    let dry = place.run(&format!("{line} --dry-run --json"));
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), before);
    let found: serde_json::Value = serde_json::from_str(&dry.out).unwrap();
    let ran = place.run(&format!("{line} --json"));
    let manifest: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(found["fit_until"], manifest["thresholds"]["fit_until"]);
    assert_eq!(found["currency"], manifest["config"]["currency"]);
    assert_eq!(place.run(&format!("{line} --dry-run")).code, 4, "OUT exists");
    assert_eq!(place.run(&format!("{line} --dry-run --overwrite")).code, 0);
    assert_eq!(place.run(&format!("{line} --dry-run --engine ray")).code, 2);
    // With stdout discarded, nothing fails.
    let quiet = place.command(&format!("{line} --dry-run --overwrite -q")).stdout(Stdio::null()).output().unwrap();
    assert!(quiet.status.success() && quiet.stderr.is_empty());
}
