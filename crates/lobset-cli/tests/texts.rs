//! Snapshots of what the command prints: help texts, the most common errors, summaries.
//! `INSTA_UPDATE=always cargo test --workspace --locked --test texts` rewrites `snapshots/`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod place;

use std::fmt::Write;

use place::{Place, Ran, SMALL};

/// Replaces anything that differs between runs or machines: times, rates, sizes of files, positions in compressed
/// files.
fn stable(text: &str) -> String {
    let number = |word: &str| {
        let word = word.trim_start_matches('(');
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit() || b",.".contains(&b))
    };
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let unstable = |i: usize| {
            let before = i.checked_sub(1).map_or("", |i| words[i]);
            let after = words.get(i + 1).map_or("", |word| word.trim_end_matches([':', ',', ';', ')']));
            ["s", "MB", "GB", "per"].contains(&after) || ["record", "byte"].contains(&before)
        };
        let shown = words.iter().enumerate().map(|(i, word)| {
            let bare = word.trim_end_matches([':', ',']);
            if number(bare) && unstable(i) {
                word.replace(bare.trim_start_matches('('), "[N]")
            } else {
                (*word).to_owned()
            }
        });
        shown.collect::<Vec<_>>().join(" ")
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Exit code, stdout and stderr of a command, as on a terminal of 80 columns.
fn told(place: &Place, line: &str) -> String {
    let ran = Ran::from(place.command(line).env("COLUMNS", "80").output().unwrap());
    let mut text = format!("$ lobset {line}\nexit code {}\n", ran.code);
    for (name, said) in [("stdout", &ran.out), ("stderr", &ran.err)] {
        assert!(!said.contains('\x1b'), "{said:?}");
        if !said.is_empty() {
            let said = said.replace(&*place.path().to_string_lossy(), "[FOLDER]");
            write!(text, "--- {name} ---\n{}", stable(&said)).unwrap();
        }
    }
    text
}

#[test]
fn helps() {
    let place = Place::empty();
    let help = told(&place, "--help");
    let (_, commands) = help.split_once("\nCommands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    // Lines that continue the description of a command are indented further.
    let commands = commands.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"report") && commands.last() == Some(&"help"), "{commands:?}");
    insta::assert_snapshot!("help", help);
    for command in commands.into_iter().filter(|command| *command != "help") {
        insta::assert_snapshot!(format!("help_{command}"), told(&place, &format!("{command} --help")));
    }
}

#[test]
fn likely_errors() {
    let place = Place::new();
    let put = |name: &str, bytes: &[u8]| std::fs::write(place.path().join(name), bytes).unwrap();
    put("lobset.toml", b"nbinz = 7\n");
    put("notes.txt", b"mine");
    put("lobset.schema.json", b"mine");
    std::fs::create_dir(place.path().join("empty")).unwrap();
    std::fs::create_dir(place.path().join("cut")).unwrap();
    let day = "glbx-mdp3-20240401.mbp-10.dbn.zst";
    let bytes = std::fs::read(place.path().join("market").join(day)).unwrap();
    put(&format!("cut/{day}"), &bytes[..bytes.len() / 2]);
    assert_eq!(place.run(&format!("thresholds market -o thresholds.json {SMALL}")).code, 0);
    assert_eq!(place.run(&format!("build market -o done --thresholds thresholds.json {SMALL}")).code, 0);
    let cases = [
        ("unknown_setting", "process market -o out --config lobset.toml"),
        ("missing_input", "process nowhere -o out"),
        ("missing_settings", "process market -o out --config nowhere.toml"),
        ("no_data_files", "process empty -o out"),
        ("output_exists", &format!("process market -o done {SMALL}")),
        ("output_not_writable", &format!("process market -o notes.txt/out {SMALL}")),
        ("truncated_file", "process cut -o out"),
        ("too_few_rows", "process market -o out"),
        ("thresholds_differ", "build market -o out --thresholds thresholds.json --nbins 7 --lookback-rows 5"),
        ("unknown_flag", "process market -o out --nbinz 7"),
        ("bad_value", "process market -o out --nbins 1 --max-gap soon --unmapped keep --price-range 2,1"),
        ("no_unit", "process market -o out --max-gap 15"),
        ("other_setting", "inspect market --nbins 7"),
        ("simulated_before", "simulate market --days 3 --rows 6000"),
        ("simulate_into_a_file", "simulate notes.txt --days 1 --rows 10"),
        ("no_output", "process market"),
        ("no_input", "inspect"),
        ("no_command", "market -o out"),
        ("no_thresholds", "build market -o out"),
        ("no_such_symbol", "process market -o out --symbol M6AM5"),
        ("unknown_target_key", "process market -o out --target t=time,ahed=5s"),
        ("inputs_as_output", "process market -o market"),
        ("thresholds_missing", "process market -o out --thresholds nowhere.json"),
        ("settings_exist", "init"),
        ("report_of_no_dataset", "report market"),
    ];
    for (name, line) in cases {
        insta::assert_snapshot!(format!("error_{name}"), told(&place, line));
    }
    assert!(!place.path().join("out").exists());
}

#[test]
fn summaries() {
    let place = Place::new();
    for (name, line) in [
        ("simulate", "simulate other --days 2 --rows 1000"),
        ("inspect", "inspect market"),
        ("process", &format!("process market -o out {SMALL}")),
        ("process_verbose", &format!("process market -o out --overwrite -v -j 2 {SMALL}")),
        ("thresholds", &format!("thresholds market -o thresholds.json {SMALL}")),
        ("build", &format!("build market -o built --thresholds thresholds.json {SMALL}")),
        (
            "targets",
            &format!(
                "process market -o several {SMALL} --target h50=return(50),classes=share --target lob=deeplob(60),nbins=3"
            ),
        ),
        (
            "targets_thresholds",
            &format!("thresholds market -o several.json {SMALL} --target h50=return(50),classes=share"),
        ),
        ("targets_validate", "validate several --against market --all"),
        ("validate", "validate out --against market --seed 7"),
        ("validate_all", "validate out --against market --all"),
        ("cache", "cache --folder nowhere"),
        ("init", "init --currency USDJPY"),
        ("man", "man pages"),
        ("dry_run", &format!("process market -o other_out --dry-run -j 2 {SMALL}")),
        ("inspect_verbose", "inspect market -v"),
        ("validate_verbose", "validate out -v"),
        ("report", "report out"),
    ] {
        let told = told(&place, line);
        // Only the tables of -v are wider.
        let wide = |line: &&str| line.chars().count() > 80 && !line.starts_with("$ ");
        let (stdout, _) = told.split_once("--- stderr ---").unwrap_or((&told, ""));
        assert!(line.contains(" -v") || !stdout.lines().any(|line| wide(&line)), "{told}");
        insta::assert_snapshot!(format!("summary_{name}"), told);
    }
    assert!(!place.path().join("other_out").exists());
}

/// With many symbols only the extremes are shown, and on a terminal the verdict and the drift are coloured.
#[test]
fn summaries_of_many_symbols_and_in_colours() {
    let place = Place::empty();
    assert_eq!(place.run("simulate market --days 2 --rows 20000 --options 12").code, 0);
    let windows = "--lookback-rows 20 --lookforward-input 20 --lookforward-offset 2 --min-symbol-samples 200 --nbins 5";
    insta::assert_snapshot!("summary_many", told(&place, &format!("process market -o out {windows}")));
    insta::assert_snapshot!("summary_many_inspect", told(&place, "inspect market"));
    let colours = |line: &str| {
        let ran = Ran::from(place.command(line).env("COLUMNS", "80").env("CLICOLOR_FORCE", "1").output().unwrap());
        // Replace escape sequences so that diffs are readable and `stable` finds the numbers.
        stable(&ran.out.replace('\x1b', "<")).replace("<[0m", "</>")
    };
    insta::assert_snapshot!("summary_in_colours", colours("validate out"));
    insta::assert_snapshot!("summary_in_colours_inspect", colours("inspect market"));
    let plain = place.command("validate out").env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().unwrap();
    assert!(!Ran::from(plain).out.contains('\x1b'));
}

#[test]
fn explanations() {
    let place = Place::new();
    let targets = "--target h50=return(50),classes=share --target t=time,lookback=10m,offset=1m,ahead=10m,nbins=3 \
                   --target b=barrier,up=1.5sigma,down=2spread,horizon=100,lookback_rows=50";
    assert_eq!(place.run(&format!("process market -o out {SMALL} --label-end {targets}")).code, 0);
    for (name, line) in [
        ("row", "explain out M6AM4 3000 --against market"),
        ("json", "explain out M6AM4 3000 --against market --json"),
        ("first_row", "explain out M6AM4 3 --against market"),
        ("last_row", "explain out M6AM4 13265 --against market"),
        ("no_dataset", "explain out M6AM4-M6AU4 100 --against market"),
        ("error_symbol", "explain out M6AM5 3 --against market"),
        ("error_row", "explain out M6AM4 300000 --against market"),
        ("error_inputs", "explain out M6AM4 3000 --against market/glbx-mdp3-20240401.mbp-10.dbn.zst"),
        ("error_folder", "explain market M6AM4 3000 --against market"),
    ] {
        insta::assert_snapshot!(format!("explain_{name}"), told(&place, line));
    }
}

#[test]
fn numbers_that_differ_between_runs_are_replaced() {
    let text = "18,000 records (6 dropped) in 0.53 s: 33,963 per second\n(3.2 MB) a: record 5, byte 77: is cut";
    let want = "18,000 records (6 dropped) in [N] s: [N] per second\n([N] MB) a: record [N], byte [N]: is cut";
    assert_eq!(stable(text), want);
}
