//! Nothing leaks: data after T never affects the thresholds, and a label depends only on its windows.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{START, Tick, read_labels, run, small, write_files};
use lobset::Config;
use proptest::prelude::*;

fn walk(steps: &[i8], from: u64) -> Vec<Tick> {
    let mut mid = 13_000;
    let step = |(i, step): (usize, &i8)| {
        mid += i64::from(*step);
        Tick { instrument: 7, ts: from + i as u64 * 1_000_000, bid: mid * 50_000, ask: (mid + 1) * 50_000 }
    };
    steps.iter().enumerate().map(step).collect()
}

fn files(steps: &[i8]) -> Vec<Vec<Tick>> {
    let ticks = walk(steps, START);
    ticks.chunks(ticks.len() / 4).map(<[Tick]>::to_vec).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn prices_after_t_change_no_byte_of_the_thresholds(
        steps in prop::collection::vec(-2i8..=2, 900..1200), changes in prop::collection::vec((any::<prop::sample::Index>(), -30i64..30), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(&steps);
        let first = write_files(&folder.path().join("first"), &[("M6AM4", 7)], &files);
        let half = files.len() / 2;
        let until = files[half][0].ts;
        let mut changed = 0;
        for (at, by) in changes {
            let file = half + at.index(files.len() - half);
            let place = at.index(files[file].len());
            let tick = &mut files[file][place];
            prop_assert!(tick.ts >= until);
            tick.bid += by * 50_000;
            tick.ask += by * 50_000;
            changed += by.abs();
        }
        prop_assume!(changed > 0);
        let second = write_files(&folder.path().join("second"), &[("M6AM4", 7)], &files);
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let outcome = run(&first, &a, &small());
        prop_assume!(outcome.is_ok());
        run(&second, &b, &small()).unwrap();
        let read = |out: &std::path::Path| std::fs::read(out.join("thresholds.json")).unwrap();
        prop_assert_eq!(read(&a), read(&b));
        let file = "AUDUSD_M6AM4_dataset.parquet";
        prop_assert_ne!(std::fs::read(a.join(file)).unwrap(), std::fs::read(b.join(file)).unwrap());
    }

    #[test]
    fn a_row_changes_only_labels_whose_windows_hold_it(steps in prop::collection::vec(-2i8..=2, 700..800), place in any::<prop::sample::Index>(), by in 1i64..50) {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(&steps);
        let config = Config { nbins: 2, ..small() };
        let first = write_files(&folder.path().join("first"), &[("M6AM4", 7)], &files);
        // The thresholds stay the same, so that only the label changes.
        let out = folder.path().join("thresholds.json");
        let fitted = lobset::fit_thresholds(&first, &out, &config, &Default::default(), &lobset::Monitor::silent());
        prop_assume!(fitted.is_ok());
        let thresholds = fitted.unwrap();
        let s = place.index(steps.len());
        let per_file = files[0].len();
        let tick = &mut files[s / per_file][s % per_file];
        tick.bid += by * 50_000;
        tick.ask += by * 50_000;
        let second = write_files(&folder.path().join("second"), &[("M6AM4", 7)], &files);
        let labels = |inputs: &[std::path::PathBuf], name: &str| {
            let out = folder.path().join(name);
            lobset::build(inputs, &out, &config, &thresholds, &Default::default(), &lobset::Monitor::silent()).unwrap();
            read_labels(&out.join("AUDUSD_M6AM4_dataset.parquet"))
        };
        let (before, after) = (labels(&first, "a"), labels(&second, "b"));
        prop_assert_eq!(before.len(), after.len());
        let s = s as u64;
        for (a, b) in before.iter().zip(&after) {
            let t = a.row;
            let (l, o, f) = (config.lookback_rows, config.lookforward_offset, config.lookforward_input);
            let within = (t - l..t).contains(&s) || (t + 1 + o..t + 1 + o + f).contains(&s);
            prop_assert_eq!((a.row, &a.split), (b.row, &b.split));
            if within {
                prop_assert_ne!(a.movement, b.movement);
            } else {
                prop_assert_eq!((a.movement, a.label), (b.movement, b.label));
            }
        }
    }
}

#[test]
fn thresholds_alone_are_those_of_the_whole_run_and_build_the_same_datasets() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = common::market(&folder.path().join("market"), 4, 5_000);
    let config = small();
    let (file, whole, built) = (folder.path().join("t.json"), folder.path().join("whole"), folder.path().join("built"));
    let silent = lobset::Monitor::silent();
    let thresholds = lobset::fit_thresholds(&inputs, &file, &config, &Default::default(), &silent).unwrap();
    run(&inputs, &whole, &config).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(whole.join("thresholds.json")).unwrap());
    let manifest = lobset::build(&inputs, &built, &config, &thresholds, &Default::default(), &silent).unwrap();
    assert!(manifest.validation.is_none());
    for (_, dataset) in manifest.datasets() {
        assert_eq!(
            std::fs::read(built.join(&dataset.file)).unwrap(),
            std::fs::read(whole.join(&dataset.file)).unwrap()
        );
    }
    let other = Config { lookback_rows: 60, ..config };
    let refused =
        lobset::build(&inputs, &folder.path().join("other"), &other, &thresholds, &Default::default(), &silent);
    assert!(refused.unwrap_err().to_string().contains("lookback_rows: 60 differs from 50"));
}
