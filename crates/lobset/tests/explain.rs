//! Explanations of rows: equal to the datasets, and to sums that are computed here one by one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array};
use common::changed::{Columns, DATASET, Place};
use common::markets::{MAPPINGS, Shape, odd_ticks, read_plain};
use common::reference::PlainRow;
use common::{
    START, Tick, market, messages, metadata, read_target, real_data, refused, run, small, ticks, write, write_files,
};
use lobset::config::Targets;
use lobset::validate::{Break, Explanation, Steps, Window};
use lobset::{Config, Duration, Manifest, Monitor, Options, explain};

fn explained(out: &Path, symbol: &str, row: u64, inputs: &[PathBuf]) -> Explanation {
    explain(out, symbol, row, inputs, &Options::default(), &Monitor::silent()).unwrap()
}

/// Targets of all kinds, presets and rules.
fn all_kinds() -> Config {
    let texts = [
        "h10=return(10),classes=share",
        "fi=fi2010(20),classes=spread,multiple=0.1",
        "lob=deeplob(30),nbins=3,threshold_scope=symbol",
        "tlob=tlob(60,9),classes=fixed,boundaries=-0.00002/0.00002",
        "slow=time,lookback=10m,offset=1m,ahead=10m,nbins=3",
        "moment=time,lookback=0s,offset=5m,ahead=0s,classes=spread",
        "share=barrier,up=0.0002,down=0.0003,horizon=90",
        "wide=barrier,up=2spread,down=1spread,horizon=20m",
        "sigma=barrier,up=3sigma,down=4sigma,horizon=70,lookback_rows=25",
    ];
    Config { label_end: true, targets: Targets(texts.map(|text| text.parse().unwrap()).to_vec()), ..small() }
}

/// Rows spread over a stream, including its ends.
fn spread(rows: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |i| i * (rows - 1) / (count - 1))
}

/// Compares an explanation with the dataset, and returns whether the dataset contains the row.
fn agrees(out: &Path, manifest: &Manifest, symbol: &str, row: u64, inputs: &[PathBuf]) -> bool {
    let found = explained(out, symbol, row, inputs);
    assert!(found.agrees, "{found}");
    let text = found.to_string();
    let compared = text.ends_with("the dataset agrees with the raw files about this row\n");
    assert_eq!(compared, found.stored.file.is_some(), "{text}");
    let long = text.lines().find(|line| line.chars().count() > 80 && !line.contains("stored in"));
    assert_eq!(long, None, "{text}");
    let entry = manifest.symbols.iter().find(|entry| entry.symbol == symbol).unwrap();
    let mut any = false;
    for (target, counts) in found.targets.iter().zip(&entry.targets) {
        let suffix = if target.name == "classic" { String::new() } else { format!("_{}", target.name) };
        let Some(dataset) = &entry.dataset else { continue };
        let labels = read_target(&out.join(&dataset.file), &suffix);
        let label = labels.into_iter().find(|(number, _)| *number == row).and_then(|(_, label)| label);
        any |= label.is_some();
        match (label, counts.splits.is_some() && target.no_label.is_none()) {
            (Some(label), true) => {
                assert_eq!(target.movement.as_ref().unwrap().value.unwrap().to_bits(), label.movement);
                assert_eq!(i32::try_from(target.class.unwrap().class).unwrap(), label.label);
                assert_eq!(target.split.unwrap().split, label.split);
                assert_eq!(target.mark.unwrap().balanced, Some(label.balanced));
            }
            (None, false) => {}
            (None, true) => assert!(!found.stored.present, "{text}"),
            (Some(_), false) => panic!("{text}"),
        }
    }
    assert_eq!(any, found.stored.present);
    any
}

/// The sum over rows, one by one.
fn check_rows(window: &Window, rows: &[PlainRow], from: u64, to: u64) {
    let part = &rows[from as usize..=to as usize];
    let sum: i128 = part.iter().map(|row| i128::from(row.bid) + i128::from(row.ask)).sum();
    assert_eq!((window.first.row, window.last.row, window.weight), (from, to, to - from + 1));
    assert_eq!(window.sum, sum.to_string());
    assert_eq!([window.first.time.0, window.last.time.0], [part[0].ts, part.last().unwrap().ts]);
}

/// The integral over a time, from row to row.
fn check_time(window: &Window, rows: &[PlainRow], from: u64, to: u64) {
    let mid2 = |row: &PlainRow| i128::from(row.bid) + i128::from(row.ask);
    let as_of = |ts: u64| rows.iter().rposition(|row| row.ts <= ts).unwrap();
    let sum: i128 = if from == to {
        mid2(&rows[as_of(to)])
    } else {
        (0..rows.len())
            .map(|i| {
                let end = rows.get(i + 1).map_or(u64::MAX, |next| next.ts);
                let length = end.min(to).saturating_sub(rows[i].ts.max(from));
                mid2(&rows[i]) * i128::from(length)
            })
            .sum()
    };
    assert_eq!(window.sum, sum.to_string());
    assert_eq!(window.times.unwrap().map(|time| time.0), [from, to]);
    assert_eq!([window.first.row, window.last.row], [as_of(from) as u64, as_of(to) as u64]);
}

#[test]
fn rows_of_a_simulated_market_are_explained_as_stored_and_as_added_up_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 3, 6_000);
    let out = folder.path().join("out");
    let manifest = run(&inputs, &out, &all_kinds()).unwrap();
    let (symbols, ..) = read_plain(&inputs);
    let mut present = 0;
    for entry in &manifest.symbols {
        for row in spread(entry.rows, 12) {
            present += u64::from(agrees(&out, &manifest, &entry.symbol, row, &inputs));
        }
    }
    assert!(present > 10);
    const MINUTE: u64 = 60_000_000_000;
    let rows: Vec<PlainRow> = symbols["M6AM4"].clone();
    assert!(rows.is_sorted_by_key(|row| row.ts), "no steps back, so that times are running maxima");
    for row in [2_000, 5_000, 5_571] {
        let found = explained(&out, "M6AM4", row, &inputs);
        let steps: BTreeMap<&str, &Steps> =
            found.targets.iter().map(|target| (target.name.as_str(), target.steps.as_ref().unwrap())).collect();
        let means = |name: &str, [behind, ahead]: [[u64; 2]; 2]| {
            let Steps::Means(found) = steps[name] else { panic!("{name}") };
            check_rows(&found.behind, &rows, behind[0], behind[1]);
            check_rows(&found.ahead, &rows, ahead[0], ahead[1]);
        };
        means("classic", [[row - 50, row - 1], [row + 6, row + 45]]);
        means("h10", [[row, row], [row + 10, row + 10]]);
        means("fi", [[row, row], [row + 1, row + 20]]);
        means("lob", [[row - 29, row], [row + 1, row + 30]]);
        means("tlob", [[row - 9, row], [row + 51, row + 60]]);
        let ts = rows[row as usize].ts;
        let Steps::Time(slow) = steps["slow"] else { panic!() };
        check_time(&slow.behind, &rows, ts - 10 * MINUTE, ts);
        check_time(&slow.ahead, &rows, ts + MINUTE, ts + 11 * MINUTE);
        let Steps::Time(moment) = steps["moment"] else { panic!() };
        check_time(&moment.behind, &rows, ts, ts);
        check_time(&moment.ahead, &rows, ts + 5 * MINUTE, ts + 5 * MINUTE);
        let Steps::Barrier(share) = steps["share"] else { panic!() };
        let mid = |row: &PlainRow| (row.bid + row.ask) as f64;
        let change = |to: usize| (mid(&rows[to]) - mid(&rows[row as usize])) / mid(&rows[row as usize]);
        let touch = (row as usize + 1..=row as usize + 90).find(|to| change(*to) >= 2e-4 || change(*to) <= -3e-4);
        assert_eq!(share.touch.map(|touch| touch.row), touch.map(|row| row as u64));
        assert_eq!(share.last.row, row + 90);
        assert_eq!(share.barriers.unwrap().map(|barrier| barrier.distance), [2e-4, 3e-4]);
        let Steps::Barrier(wide) = steps["wide"] else { panic!() };
        let here = &rows[row as usize];
        let spread = (here.ask - here.bid) as f64;
        assert_eq!(wide.spread as f64, spread);
        assert_eq!(wide.barriers.unwrap()[0].distance, 2.0 * (2.0 * spread / mid(here)));
        let last = rows.iter().rposition(|row| row.ts <= ts + 20 * MINUTE).unwrap();
        assert_eq!(wide.last.row, last as u64);
        let Steps::Barrier(sigma) = steps["sigma"] else { panic!() };
        let changes: Vec<f64> = rows[row as usize - 24..=row as usize]
            .windows(2)
            .map(|pair| (mid(&pair[1]) - mid(&pair[0])) / mid(&pair[0]))
            .collect();
        let mean = changes.iter().sum::<f64>() / 24.0;
        let variance = changes.iter().map(|change| (change - mean).powi(2)).sum::<f64>() / 23.0;
        assert!((sigma.sigma.unwrap() / variance.sqrt() - 1.0).abs() < 1e-6);
    }
}

#[test]
fn rows_of_awkward_markets_agree_too() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { files: vec![500, 0, 400, 550], seed: 5, odd: [6, 6, 2, 4], roll: Some(100), second: 3 };
    let inputs = write_files(&folder.path().join("in"), &MAPPINGS, &odd_ticks(&shape));
    let short = |config: Config| Config {
        lookback_rows: 20,
        lookforward_input: 10,
        lookforward_offset: 2,
        nbins: 3,
        max_gap: Some(Duration(60_000_000_000)),
        min_symbol_samples: 50,
        ..config
    };
    for (name, config) in
        [("marks", short(all_kinds())), ("dropped", Config { drop_unbalanced: true, ..short(small()) })]
    {
        let config = Config {
            targets: if name == "marks" { Targets(config.targets.0[..2].to_vec()) } else { config.targets },
            ..config
        };
        let out = folder.path().join(name);
        let manifest = run(&inputs, &out, &config).unwrap();
        let mut reasons = String::new();
        for entry in &manifest.symbols {
            let near = entry.breaks.iter().flat_map(|row| [row - 1, *row, row + 25]).filter(|row| *row < entry.rows);
            for row in spread(entry.rows, 40).chain(near.take(30)) {
                let found = explained(&out, &entry.symbol, row, &inputs);
                assert!(found.agrees, "{found}");
                reasons += &found.to_string();
            }
        }
        let want: &[&str] = match name {
            "marks" => &[
                "the stream begins with row 0",
                "its stretch begins with row",
                "the stream ends with row",
                "its stretch ends with row",
                "another instrument",
                "a gap longer",
                "one_sided",
                "crossed",
            ],
            _ => &["drop_unbalanced writes only marked rows", "j cannot be counted"],
        };
        let reasons = reasons.split_whitespace().collect::<Vec<_>>().join(" ");
        want.iter().for_each(|text| assert!(reasons.contains(text), "{name}: {text}"));
    }
}

#[test]
fn bad_books_sessions_and_undefined_movements_are_given_as_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let mut list = messages(&ticks(900, START));
    list[300].flags = dbn::FlagSet::new(4);
    let input = write(&folder.path().join("in"), "a.dbn", &metadata(&[("M6AM4", 7)]), &list);
    let inputs = [input];
    let out = folder.path().join("out");
    // One record a millisecond: the first half second lies within the session.
    let sessions = Some(vec!["00:00:00-00:00:01 UTC".parse().unwrap()]);
    let config = Config { sessions, nbins: 2, ..small() };
    run(&inputs, &out, &config).unwrap();
    let found = explained(&out, "M6AM4", 310, &inputs);
    assert!(found.agrees, "{found}");
    assert_eq!((found.stretch.begins, found.stretch.first.row), (Some(Break::BadBook), 300));
    assert_eq!(found.in_session, Some(true));
    let at_break = explained(&out, "M6AM4", 300, &inputs);
    assert_eq!((at_break.record.record, at_break.dropped_count), (301, 1));
    assert_eq!((at_break.dropped_before[0].record, at_break.dropped_before[0].reason.as_str()), (300, "bad_book"));
    assert!(at_break.targets[0].no_label.as_ref().unwrap().contains("bad book"), "{at_break}");
    let before = explained(&out, "M6AM4", 299, &inputs);
    assert_eq!((before.stretch.last.unwrap().row, before.stretch.ends), (299, Some(Break::BadBook)));

    let late = messages(&ticks(900, START + 500_000_000));
    let inputs = [write(&folder.path().join("late"), "a.dbn", &metadata(&[("M6AM4", 7)]), &late)];
    let out = folder.path().join("late_out");
    run(&inputs, &out, &config).unwrap();
    let outside = explained(&out, "M6AM4", 700, &inputs);
    assert!(outside.agrees && !outside.stored.present, "{outside}");
    assert_eq!(outside.in_session, Some(false));
    assert!(outside.stored.absent_because.as_ref().unwrap().contains("outside the sessions"));

    // Prices around zero in the middle.
    let zero = |n: u64| Tick {
        instrument: 7,
        ts: START + n * 1_000_000,
        bid: if (400..500).contains(&n) { -100_000 } else { 50_000 * (20 + (n * 7 % 13) as i64) },
        ask: if (400..500).contains(&n) { 50_000 } else { 50_000 * (21 + (n * 7 % 13) as i64) },
    };
    let list: Vec<Tick> = (0..900).map(zero).collect();
    let inputs = [write(&folder.path().join("zero"), "a.dbn", &metadata(&[("M6AM4", 7)]), &messages(&list))];
    let out = folder.path().join("zero_out");
    let targets = Targets(vec!["b=barrier,up=0.01,down=0.01,horizon=20".parse().unwrap()]);
    run(&inputs, &out, &Config { nbins: 2, targets, ..small() }).unwrap();
    let found = explained(&out, "M6AM4", 460, &inputs);
    assert!(found.agrees, "{found}");
    for (target, reason) in found.targets.iter().zip(["the sum behind, B = -2,500,000", "the mid price of the row"]) {
        assert!(target.no_label.as_ref().unwrap().contains(reason), "{found}");
        assert_eq!(target.movement.as_ref().unwrap().value, None);
    }
}

/// A column with the value of a row changed.
fn change(columns: &mut Columns, name: &str, row: usize) {
    columns.replace(name, |column| -> ArrayRef {
        if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
            let next = |(i, value): (usize, &f64)| if i == row { f64::from_bits(value.to_bits() + 1) } else { *value };
            return Arc::new(floats.values().iter().enumerate().map(next).collect::<Float64Array>());
        }
        if let Some(classes) = column.as_primitive_opt::<Int32Type>() {
            let other = |(i, class): (usize, &i32)| if i == row { (class + 1) % 3 } else { *class };
            return Arc::new(classes.values().iter().enumerate().map(other).collect::<Int32Array>());
        }
        let marks = column
            .as_boolean()
            .iter()
            .enumerate()
            .map(|(i, mark)| if i == row { !mark.unwrap() } else { mark.unwrap() });
        Arc::new(BooleanArray::from(marks.collect::<Vec<bool>>()))
    });
}

#[test]
fn a_changed_value_is_named() {
    let place = Place::new(&small());
    let numbers: Vec<u64> = read_target(&place.out().join(DATASET), "").into_iter().map(|(row, _)| row).collect();
    let at = 700;
    for column in ["price_movement", "classification_label", "balanced", "bid_px_03"] {
        let out = place.encoded(|columns| change(columns, column, at));
        let found = explained(&out, "M6AM4", numbers[at], &place.inputs);
        assert!(!found.agrees);
        let error = found.check(&out).unwrap_err().to_string();
        assert!(error.contains(&format!("{DATASET}: row {}: {column} ", numbers[at])), "{error}");
        assert!(found.to_string().contains(error.lines().last().unwrap().trim()), "{found}");
        // The row before does not depend on it.
        assert!(explained(&out, "M6AM4", numbers[at - 1], &place.inputs).agrees);
    }
}

#[test]
fn what_does_not_exist_or_is_not_the_input_is_refused_with_a_cure() {
    let place = Place::new(&small());
    let out = place.out();
    let try_row = |symbol: &str, row: u64, inputs: &[PathBuf]| {
        refused(explain(&out, symbol, row, inputs, &Options::default(), &Monitor::silent()))
    };
    let unknown = try_row("M6AM5", 0, &place.inputs);
    assert!(unknown.message.contains("no symbol") && unknown.help.unwrap().contains("\"M6AM4\", \"M6AU4\""));
    let rows = Manifest::read(&out).unwrap().symbols.iter().find(|s| s.symbol == "M6AM4").unwrap().rows;
    let beyond = try_row("M6AM4", rows, &place.inputs);
    assert!(beyond.message.contains("rows in all"), "{beyond}");
    let missing = try_row("M6AM4", 700, &place.inputs[..1]);
    assert!(missing.to_string().contains("was not given"), "{missing}");
    // Another size; then the same size and other bytes.
    let other = place.folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let copy = |change: &dyn Fn(&mut Vec<u8>)| {
        let first = &place.inputs[0];
        let mut bytes = std::fs::read(first).unwrap();
        change(&mut bytes);
        let path = other.join(first.file_name().unwrap());
        std::fs::write(&path, bytes).unwrap();
        vec![path, place.inputs[1].clone()]
    };
    let empty_frame = zstd::encode_all(&b""[..], 1).unwrap();
    let longer = copy(&|bytes| bytes.extend_from_slice(&empty_frame));
    let size = try_row("M6AM4", 700, &longer);
    assert!(size.message.contains("but the input of this name had"), "{size}");
    let all: Vec<u8> = zstd::decode_all(std::fs::read(&place.inputs[0]).unwrap().as_slice()).unwrap();
    let plain = folder_of(&place, &all);
    let out = place.folder.path().join("plain_out");
    run(&[&plain], &out, &small()).unwrap();
    let mut changed = all;
    let last = changed.len() - 1;
    changed[last] ^= 1;
    std::fs::write(&plain, changed).unwrap();
    // A row early in the file: the file's hash is checked although its end is not decoded.
    let hash = refused(explain(&out, "M6AM4", 100, &[&plain], &Options::default(), &Monitor::silent()));
    assert!(hash.message.contains("no input had its SHA-256"), "{hash}");
    assert!(hash.help.unwrap().contains("manifest.json"));
}

/// A folder with one plain file of these bytes.
fn folder_of(place: &Place, bytes: &[u8]) -> PathBuf {
    let folder = place.folder.path().join("plain");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("plain.dbn");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn real_rows_agree() {
    for name in ["crypto", "es"] {
        let Some(data) = real_data(name) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let targets = ["h=return(100),classes=share", "t=time,lookback=1s,ahead=2s,classes=share"];
        let targets = Targets(targets.map(|text| text.parse().unwrap()).to_vec());
        let config = Config {
            lookback_rows: 500,
            lookforward_input: 500,
            lookforward_offset: 50,
            min_symbol_samples: 2_000,
            nbins: 5,
            targets,
            ..Config::preset(name)
        };
        let manifest = run(&[&data], &out, &config).unwrap();
        let (symbol, _) = manifest.datasets().next().unwrap();
        for row in spread(symbol.rows, 4) {
            let found = explain(&out, &symbol.symbol, row, &[&data], &Options::default(), &Monitor::silent()).unwrap();
            assert!(found.agrees, "{found}");
        }
    }
}
