//! Sessions: which rows are written, which stretches they break, and what is counted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::reference::{Rows, quantiles, reference};
use common::{DAY, START, Tick, market, read_labels, run, small, ticks, write_files};
use lobset::config::{Session, ThresholdScope};
use lobset::validate::Compare;
use lobset::{
    Cluster, Config, Executor, Manifest, Monitor, Options, Receive, Result, Task, Thresholds, Timestamp,
    process_as_tasks, run_task,
};
use proptest::prelude::*;

fn sessions(texts: &[&str]) -> Option<Vec<Session>> {
    Some(texts.iter().map(|text| text.parse().unwrap()).collect())
}

fn validated(out: &Path, inputs: &[PathBuf]) {
    for rows in [Compare::All, Compare::Random(1)] {
        lobset::validate(out, Some((inputs, rows)), &Options::default(), &Monitor::silent()).unwrap();
    }
}

/// Files of a quote with a record every so often, cut at these places.
fn files(folder: &Path, steps: &[u64], cuts: &[usize]) -> (Vec<PathBuf>, Vec<Tick>) {
    let mut rows = ticks(steps.len() as u64, START);
    let mut ts = START;
    for (row, step) in rows.iter_mut().zip(steps) {
        ts += step;
        row.ts = ts;
    }
    let mut cuts = [cuts, &[0, rows.len()]].concat();
    cuts.sort_unstable();
    cuts.dedup();
    let pieces: Vec<Vec<Tick>> = cuts.windows(2).map(|cut| rows[cut[0]..cut[1]].to_vec()).collect();
    (write_files(folder, &[("M6AM4", 7)], &pieces), rows)
}

const SECOND: u64 = 1_000_000_000;

fn any_session() -> impl Strategy<Value = Session> {
    const DAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = || prop::sample::select(DAYS);
    (0..96_u32, 0..96_u32, day(), day()).prop_map(|(open, close, first, last)| {
        let time = |quarter: u32| format!("{:02}:{:02}", quarter / 4, quarter % 4 * 15);
        format!("{}-{} UTC {first}-{last}", time(open), time(close)).parse().unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn rows_and_breaks_are_those_of_the_plain_rule(
        steps in prop::collection::vec(
            prop_oneof![20 => 30..300_u64, 2 => Just(900_u64), 1 => 3_600..90_000_u64].prop_map(|s| s * SECOND), 900),
        cuts in prop::collection::vec(1..899_usize, 0..3),
        list in prop::collection::vec(any_session(), 1..3),
        breaks: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (inputs, rows) = files(folder.path(), &steps, &cuts);
        let config = Config {
            lookback_rows: 8,
            lookforward_input: 5,
            lookforward_offset: 2,
            nbins: 3,
            min_symbol_samples: 1,
            sessions: Some(list),
            session_breaks: breaks,
            fit_until: Some(Timestamp(rows[600].ts)),
            ..small()
        };
        let out = folder.path().join("out");
        let usable: Rows = rows.iter().map(|row| row.row(0)).collect();
        let symbols = BTreeMap::from([("M6AM4".to_owned(), usable)]);
        match (run(&inputs, &out, &config), reference(&symbols, rows[600].ts, &[0], &config)) {
            (Ok(manifest), Some(want)) => {
                let found = read_labels(&out.join("AUDUSD_M6AM4_dataset.parquet"));
                prop_assert_eq!(&found, &want.datasets["M6AM4"]);
                let symbol = &manifest.symbols[0];
                let inside: u64 = symbol.in_session.iter().flatten().map(|[from, to]| to - from).sum();
                prop_assert_eq!(symbol.out_of_session, 900 - inside);
                let thresholds = Thresholds::read(&out.join("thresholds.json")).unwrap();
                prop_assert_eq!(&thresholds.settings.sessions, &config.sessions);
                prop_assert_eq!(thresholds.classic.global.unwrap().fit_rows, want.fit_rows as u64);
                validated(&out, &inputs);
            }
            (Err(_), None) => {}
            (found, want) => panic!("{found:?} where the reference has {}", want.is_some()),
        }
    }
}

/// The labels of a run's only symbol, and the manifest of the run.
fn labels(inputs: &[PathBuf], out: &Path, config: &Config) -> (Vec<common::Labelled>, Manifest) {
    let manifest = run(inputs, out, config).unwrap();
    validated(out, inputs);
    (read_labels(&out.join("AUDUSD_M6AM4_dataset.parquet")), manifest)
}

#[test]
fn hours_in_a_time_zone_are_those_in_utc_and_windows_still_see_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("in"), 3, 20_000);
    let out = folder.path().join("out");
    let own = || Config { threshold_scope: ThresholdScope::Symbol, ..small() };
    let of = |texts: &[&str], session_breaks| {
        let config = Config { sessions: sessions(texts), session_breaks, ..own() };
        labels(&inputs, &out, &config)
    };
    let (all, plain) = labels(&inputs, &out, &own());
    // Chicago is five hours behind UTC in April.
    let (chicago, manifest) = of(&["08:30-15:00 America/Chicago mon-fri"], false);
    assert_eq!(of(&["13:30-20:00 UTC"], false).0, chicago);
    // Movements are those of the run without sessions: windows reach beyond the hours.
    let of_all: BTreeMap<u64, u64> = all.iter().map(|label| (label.row, label.movement)).collect();
    assert!(chicago.iter().all(|label| of_all[&label.row] == label.movement));
    assert!(chicago.len() > 5_000 && chicago.len() < all.len() - 5_000, "{} of {}", chicago.len(), all.len());
    let symbol = |manifest: &Manifest| manifest.symbols.iter().find(|s| s.symbol == "M6AM4").unwrap().clone();
    let (with, without) = (symbol(&manifest), symbol(&plain));
    assert_eq!((with.rows, &with.breaks), (without.rows, &without.breaks));
    assert_eq!(with.in_session.as_ref().unwrap().len(), 3);
    assert_eq!((without.in_session, without.out_of_session), (None, 0));
    // Boundaries are fitted only on the rows that are written.
    let fit = chicago.iter().filter(|label| label.split == "fit").map(|label| f64::from_bits(label.movement)).collect();
    let thresholds = Thresholds::read(&out.join("thresholds.json")).unwrap();
    assert_eq!(thresholds.classic.symbols["M6AM4"].values, quantiles(fit, 5));

    let (broken, manifest) = of(&["08:30-15:00 America/Chicago mon-fri"], true);
    assert_eq!(broken.len(), chicago.len() - 3 * (50 + 45));
    assert_eq!(symbol(&manifest).breaks.len(), 6);
}

/// Runs tasks one by one.
struct OneByOne;

impl Executor for OneByOne {
    fn map(&self, tasks: &[Task], _: &Monitor<'_>, receive: &mut Receive<'_>) -> Result<()> {
        let run = |task: &Task| run_task(task.kind, &task.spec, &Monitor::silent());
        tasks.iter().enumerate().try_for_each(|(place, task)| receive(place, run(task)?))
    }
}

#[test]
fn work_over_tasks_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("in"), 2, 9_000);
    let config =
        Config { sessions: sessions(&["17:00-16:00 America/Chicago sun-thu"]), session_breaks: true, ..small() };
    let here = folder.path().join("here");
    run(&inputs, &here, &config).unwrap();
    let there = folder.path().join("there");
    let (options, monitor) = (Options::default(), Monitor::silent());
    process_as_tasks(Cluster::new(&OneByOne), &inputs, &there, &config, None, &options, &monitor).unwrap();
    assert_eq!(common::contents(&here), common::contents(&there));
}

#[test]
fn sessions_without_rows_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, _) = files(folder.path(), &[1_000_000; 900], &[]);
    let failure = |texts: &[&str]| {
        let config = Config { sessions: sessions(texts), ..small() };
        let error = run(&inputs, &folder.path().join("out"), &config).unwrap_err();
        format!("{error} help: {}", error.help().unwrap_or_default())
    };
    // 3 April 2024 is a Wednesday.
    let error = failure(&["00:00-12:00 UTC sat-sun"]);
    assert!(error.contains("0 of its 900 rows are within sessions") && error.contains("time zone, hours and days"));
    let alone = Config { session_breaks: true, ..small() }.check().unwrap_err().to_string();
    assert!(alone.contains("session_breaks: needs sessions"), "{alone}");
}

#[test]
fn gaps_that_sessions_break_are_not_told_as_spanned() {
    let folder = tempfile::tempdir().unwrap();
    // Three bursts on three days.
    let steps: Vec<u64> = (0..1_500).map(|i| if i % 500 == 0 && i > 0 { DAY } else { SECOND }).collect();
    let (inputs, _) = files(folder.path(), &steps, &[]);
    let of = |session_breaks| {
        let config = Config { sessions: sessions(&["00:00-01:00 UTC"]), session_breaks, ..small() };
        labels(&inputs, &folder.path().join("out"), &config).1.symbols[0].clone()
    };
    assert_eq!(of(false).gaps[0].length(), DAY);
    assert!(of(true).gaps.iter().all(|gap| gap.length() == SECOND));
    assert_eq!(of(true).breaks, [500, 1_000]);
}
