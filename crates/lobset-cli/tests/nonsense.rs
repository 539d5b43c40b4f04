//! Invalid settings of every kind, from files, the environment and flags. Each gives exit code 2 and a message that
//! names the setting, and leaves nothing on disk; the command never panics, hangs or uses unbounded memory.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A command that takes longer than this is considered hung.
const PATIENCE: Duration = Duration::from_secs(60);

struct Place(tempfile::TempDir);

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let ran = place.run("simulate market --days 2 --rows 400", &[]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn names(&self) -> Vec<OsString> {
        let mut names: Vec<_> = std::fs::read_dir(self.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    }

    /// Runs with two gibibytes of address space, which stops anything that reads without end.
    fn run_with(&self, words: &[&OsStr], variables: &[(OsString, OsString)]) -> Ran {
        let files = tempfile::tempdir().unwrap();
        let open = |name: &str| std::fs::File::create(files.path().join(name)).unwrap();
        // No shell: it would drop variables whose names it does not accept.
        let mut child = Command::new("prlimit")
            .args(["--as=2147483648", env!("CARGO_BIN_EXE_lobset")])
            .args(words)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(open("out"))
            .stderr(open("err"))
            .spawn()
            .unwrap();
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{words:?} does not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let text = |name: &str| String::from_utf8(std::fs::read(files.path().join(name)).unwrap()).unwrap();
        Ran { code: status.code(), out: text("out"), err: text("err") }
    }

    fn run(&self, line: &str, variables: &[(&str, &str)]) -> Ran {
        let words: Vec<&OsStr> = line.split_whitespace().map(OsStr::new).collect();
        let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        self.run_with(&words, &variables)
    }

    /// Asserts that the run is refused with a message that contains `parts`, and leaves nothing behind.
    fn refuses(&self, what: &str, ran: &Ran, parts: &[&str]) {
        let Ran { code, out, err } = ran;
        assert_eq!((*code, out.as_str()), (Some(2), ""), "{what}: {err}");
        assert!(err.starts_with("error: ") && !err.contains("panicked"), "{what}: {err}");
        assert!(err.chars().all(|c| c == '\n' || !c.is_control()), "{what}: {err:?}");
        for part in parts {
            assert!(err.contains(part), "{what}: {part:?} in {err}");
        }
        assert!(!self.path().join("out").exists() && !self.path().join(".out.lobset-work").exists(), "{what}");
    }
}

const PROCESS: &str = "process market -o out";

#[test]
fn files_that_are_no_settings() {
    let place = Place::new();
    let put = |name: &str, bytes: &[u8]| std::fs::write(place.path().join(name), bytes).unwrap();
    put("binary.toml", b"nbins = 9\xff\xfe\n");
    put("nul.toml", b"nbins = 9\0\n");
    put("parquet.toml", b"PAR1\x15\x04\x15\x10PAR1");
    std::fs::create_dir(place.path().join("folder.toml")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path().join("dangling.toml")).unwrap();
    std::os::unix::fs::symlink("loop.toml", place.path().join("loop.toml")).unwrap();
    assert!(Command::new("mkfifo").arg(place.path().join("fifo.toml")).status().unwrap().success());
    let before = place.names();
    for name in [
        "missing.toml",
        "binary.toml",
        "nul.toml",
        "parquet.toml",
        "folder.toml",
        "dangling.toml",
        "loop.toml",
        "fifo.toml",
        "/dev/zero",
        "market/missing.toml",
    ] {
        for command in [PROCESS, "thresholds market -o out", "inspect market"] {
            let ran = place.run(&format!("{command} --config {name}"), &[]);
            place.refuses(&format!("{command} --config {name}"), &ran, &[name]);
        }
    }
    assert_eq!(place.names(), before);
}

#[test]
fn text_that_is_no_settings() {
    let place = Place::new();
    let deep = format!("nbins = {}1{}\n", "[".repeat(5_000), "]".repeat(5_000));
    let long = format!("currency = '{}'\n", "A".repeat(100_000));
    let many: String = (0..5_000).map(|i| format!("key_{i} = 1\n")).collect();
    let cases: &[(&str, &[&str])] = &[
        ("nbins", &["line 1"]),
        ("nbins = ", &["line 1"]),
        ("nbins = 9\nnbins = 9\n", &["line 2", "duplicate"]),
        ("nbinz = 9\n", &["nbinz", "did you mean nbins?"]),
        ("nbins = 'nine'\n", &["nbins", "nine"]),
        ("nbins = 9.5\n", &["nbins", "9.5"]),
        ("nbins = true\n", &["nbins", "true"]),
        ("nbins = 2024-10-01\n", &["nbins"]),
        ("nbins = -1\n", &["nbins", "-1"]),
        ("nbins = 99999999999999999999999\n", &[]),
        ("[nbins]\nx = 1\n", &["nbins", "table"]),
        ("nbins = {x = 1}\n", &["nbins", "table"]),
        ("[[nbins]]\nx = 1\n", &["nbins"]),
        ("lookback_rows = 0\n", &["lookback_rows"]),
        ("lookback_rows = 18446744073709551615\n", &[]),
        (
            "lookback_rows = 9223372036854775807\nlookforward_input = 9223372036854775807\n",
            &["lookback_rows", "lookforward_input"],
        ),
        ("lookforward_offset = 9223372036854775807\n", &["lookforward_offset"]),
        ("sample_fraction = nan\n", &["sample_fraction"]),
        ("sample_fraction = inf\n", &["sample_fraction"]),
        ("sample_fraction = 0\n", &["sample_fraction"]),
        ("micro_pip_size = -0.0\n", &["micro_pip_size"]),
        ("micro_pip_size = 1e999\n", &["line 1"]),
        ("samples = 0\n", &["samples"]),
        ("ticks_per_bin = 0\n", &["ticks_per_bin"]),
        ("price_range = [2, 1]\n", &["price_range"]),
        ("price_range = [nan, 1]\n", &["price_range"]),
        ("price_range = [1, 2, 3]\n", &["price_range"]),
        ("price_range = 1\n", &["price_range"]),
        ("max_gap = '0s'\n", &["max_gap"]),
        ("max_gap = '-1m'\n", &["max_gap"]),
        ("max_gap = '99999999999999999999d'\n", &["max_gap"]),
        ("max_gap = 'soon'\n", &["max_gap"]),
        ("fit_until = 'yesterday'\n", &["fit_until"]),
        ("fit_until = '9999-12-31'\n", &["fit_until"]),
        ("fit_until = '0000-00-00'\n", &["fit_until"]),
        ("fit_until = '1969-12-31'\n", &["fit_until"]),
        ("features = []\n", &["features"]),
        ("features = ['volume', 'volume']\n", &["features"]),
        ("features = ['depth']\n", &["features", "depth"]),
        ("publishers = []\n", &["publishers"]),
        ("publishers = [70000]\n", &["publishers"]),
        ("currency = ''\n", &["currency"]),
        ("currency = '../../etc/passwd'\n", &["currency"]),
        ("currency = \"A\\u001b[2JB\"\n", &["currency"]),
        ("compression = 'gzip'\n", &["compression", "gzip"]),
        ("drop_unbalanced = true\nforce_uniform = false\n", &["drop_unbalanced"]),
        ("\"x\\u001b[31m\\nvalidation passed\" = 1\n", &["unknown setting"]),
        ("nbins = \"\\u001b]0;title\\u0007\"\n", &["nbins"]),
        ("\u{1b}[2J = 1\n", &["line 1"]),
        (&deep, &["deep.toml"]),
        (&long, &["currency"]),
        (&many, &["key_0", "key_4999"]),
    ];
    for (text, parts) in cases {
        // Every message names the file, except those about a combination of settings.
        std::fs::write(place.path().join("deep.toml"), text).unwrap();
        let ran = place.run(&format!("{PROCESS} --config deep.toml"), &[]);
        let what: String = text.chars().take(80).collect();
        place.refuses(&what, &ran, parts);
    }
}

#[test]
fn environments_that_are_no_settings() {
    let place = Place::new();
    let cases: &[(&str, &str, &[&str])] = &[
        ("LOBSET_NBINS", "", &["environment", "nbins"]),
        ("LOBSET_NBINS", "nine", &["environment", "nbins", "nine"]),
        ("LOBSET_NBINS", "256", &["nbins", "256"]),
        ("LOBSET_NBINS", " 9", &["environment", "nbins"]),
        ("LOBSET_NBINZ", "9", &["environment", "nbinz", "did you mean nbins?"]),
        ("LOBSET_", "9", &["environment", "unknown setting"]),
        ("LOBSET_X\u{1b}[31m", "9", &["environment", "unknown setting"]),
        ("LOBSET_NBINS", "\u{1b}[2J\u{7}", &["environment", "nbins"]),
        ("LOBSET_FORCE_UNIFORM", "maybe", &["environment", "force_uniform"]),
        ("LOBSET_CURRENCY", "A/B", &["currency"]),
    ];
    for (name, value, parts) in cases {
        let ran = place.run(PROCESS, &[(name, value)]);
        place.refuses(&format!("{name:?}={value:?}"), &ran, parts);
    }
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let words: Vec<&OsStr> = PROCESS.split(' ').map(OsStr::new).collect();
    let value = place.run_with(&words, &[("LOBSET_NBINS".into(), bytes(b"9\xff"))]);
    place.refuses("a value that is not valid UTF-8", &value, &["LOBSET_NBINS"]);
    let name = place.run_with(&words, &[(bytes(b"LOBSET_\xff"), "9".into())]);
    place.refuses("a name that is not valid UTF-8", &name, &["LOBSET_"]);
    // Variables of other programs may contain anything.
    let words: Vec<&OsStr> = ["inspect", "market"].map(OsStr::new).to_vec();
    let other = [(bytes(b"OTHER\xff"), bytes(b"\xfe")), ("NO_COLOR".into(), bytes(b"\xff"))];
    assert_eq!(place.run_with(&words, &other).code, Some(0));
}

#[test]
fn no_folder_for_temporary_files_is_needed() {
    let place = Place::new();
    let line = format!("{PROCESS} --lookback-rows 10 --lookforward-input 10 --nbins 3 --min-symbol-samples 20 -q");
    assert_eq!(place.run(&format!("{line} --lookforward-offset 2"), &[("TMPDIR", "/nowhere")]).code, Some(0));
    let ran = place.run("validate out --against market", &[("TMPDIR", "/nowhere")]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

#[test]
fn flags_that_are_no_settings() {
    let place = Place::new();
    let cases: &[(&str, &[&str])] = &[
        ("--nbins 1", &["nbins"]),
        ("--nbins 256", &["nbins"]),
        ("--nbins=", &["nbins"]),
        ("--nbins 1e3", &["nbins", "1e3"]),
        ("--nbins -5", &["nbins", "-5"]),
        ("--nbins 5 --nbins 6", &["--nbins"]),
        ("--nbinz 5", &["--nbinz", "--nbins"]),
        ("--lookback-rows 0x10", &["lookback_rows"]),
        ("--lookback-rows 18446744073709551615 --lookforward-input 18446744073709551615", &["lookback_rows"]),
        ("--sample-fraction NaN", &["sample_fraction"]),
        ("--sample-fraction 1.0000001", &["sample_fraction"]),
        ("--micro-pip-size 1e-400", &["micro_pip_size"]),
        ("--price-range 1", &["price_range"]),
        ("--price-range -1,-2", &["price_range"]),
        ("--max-gap -1s", &["max_gap"]),
        ("--price-range 1,inf", &["price_range"]),
        ("--max-gap 1y", &["max_gap"]),
        ("--fit-until 2024-13-01", &["fit_until"]),
        ("--unmapped keep", &["unmapped", "keep"]),
        ("--force-uniform=2", &["force_uniform"]),
        ("--threads 0", &["--threads"]),
        ("--threads 65536", &["--threads"]),
        ("--threads many", &["--threads"]),
        ("--config", &["--config"]),
        ("--engine spark", &["--engine"]),
        ("--engine ray", &["--engine ray"]),
    ];
    for (flags, parts) in cases {
        place.refuses(flags, &place.run(&format!("{PROCESS} {flags}"), &[]), parts);
    }
}

#[test]
fn markets_that_cannot_be_simulated() {
    let place = Place::new();
    let before = place.names();
    let cases: &[(&str, &[&str])] = &[
        ("--start 9999-12-31", &["start"]),
        ("--start 0000-01-01", &["start"]),
        ("--start=-9999-01-01", &["start"]),
        ("--start 1969-12-31", &["start"]),
        ("--start 2554-07-21", &["start"]),
        ("--start 2024-02-30", &["--start"]),
        ("--start tomorrow", &["--start"]),
        ("--days 0", &["days"]),
        ("--days 2601", &["days"]),
        ("--days 99999999999", &["--days"]),
        ("--rows 0", &["rows"]),
        ("--rows=-1", &["--rows"]),
        ("--options 1000001", &["options"]),
        ("--currency ../x", &["currency"]),
        ("--currency=", &["currency"]),
        ("--seed 18446744073709551616", &["--seed"]),
    ];
    for (flags, parts) in cases {
        place.refuses(flags, &place.run(&format!("simulate new {flags}"), &[]), parts);
    }
    assert_eq!(place.names(), before);
}
