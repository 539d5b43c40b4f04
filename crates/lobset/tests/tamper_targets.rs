//! Changes to further targets of an output folder: `validate` notices, even if hashes were updated to match.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use arrow_array::builder::BooleanBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int32Array};
use common::changed::{Columns, Edit, Place, check};
use common::small;
use lobset::config::{Targets, ThresholdScope};
use lobset::label::{Boundaries, Fitted};
use lobset::validate::Compare;
use lobset::{Config, Error, Manifest, Monitor, Options, Thresholds};

/// Three further targets: one that most symbols do not qualify for, one by quantiles, and one by spreads.
fn config() -> Config {
    let texts = [
        "h30=deeplob(30),classes=share,stationary=0.3",
        "wide=tlob(60,9),classes=spread,multiple=0.5,threshold_scope=symbol",
        "long=means,lookback_rows=1200,lookforward_offset=0,lookforward_input=800,nbins=2",
    ];
    Config { targets: Targets(texts.map(|text| text.parse().unwrap()).to_vec()), ..small() }
}

/// Sets the value of a column at a row to null or to another value, for the four types of label columns.
fn change(columns: &mut Columns, name: &str, row: usize, null: bool) {
    columns.replace(name, |column| -> ArrayRef {
        if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
            let next = |v: f64| f64::from_bits(v.to_bits() + 1);
            let value = |i: usize| match (i == row, null) {
                (true, true) => None,
                (true, false) => Some(if floats.is_valid(i) { next(floats.value(i)) } else { 1e-6 }),
                _ => floats.is_valid(i).then(|| floats.value(i)),
            };
            return Arc::new((0..floats.len()).map(value).collect::<Float64Array>());
        }
        let other = |value: Option<i32>| match (null, value) {
            (true, _) => None,
            (false, Some(value)) => Some((value + 1) % 3),
            (false, None) => Some(0),
        };
        if let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() {
            let keys = dictionary.keys().iter().enumerate().map(|(i, key)| if i == row { other(key) } else { key });
            let keys: Int32Array = keys.collect();
            return Arc::new(arrow_array::DictionaryArray::try_new(keys, Arc::clone(dictionary.values())).unwrap());
        }
        if let Some(classes) = column.as_primitive_opt::<Int32Type>() {
            let changed = classes.iter().enumerate().map(|(i, class)| if i == row { other(class) } else { class });
            return Arc::new(changed.collect::<Int32Array>());
        }
        let mut marks = BooleanBuilder::new();
        for (i, mark) in column.as_boolean().iter().enumerate() {
            marks.append_option(match (i == row, null) {
                (true, true) => None,
                (true, false) => Some(!mark.unwrap_or(false)),
                (false, _) => mark,
            });
        }
        Arc::new(marks.finish())
    });
}

fn labels(target: &str) -> [String; 4] {
    ["price_movement", "classification_label", "split", "balanced"].map(|column| format!("{column}_{target}"))
}

#[test]
fn every_value_of_a_further_target_counts() {
    let place = Place::new(&config());
    let same = check(&place.encoded(|_| ())).unwrap();
    assert!(same.recomputed > 0);
    let found = |what: &str, change: Edit<'_>, reason: &str| {
        let text = common::changed::refused(&place.encoded(change));
        assert!(text.contains(reason), "{what}: {text}");
    };
    // A row in the middle has labels of all targets, the first none of the classic one.
    let first = std::cell::Cell::new(0);
    place.encoded(|columns| first.set(columns.batch.column_by_name("price_movement").unwrap().null_count()));
    assert!(first.get() > 0, "there are nulls");
    let middle = 1_800;
    for target in ["h30", "wide"] {
        let [movement, class, split, balanced] = labels(target);
        let changed = |name: &str, row, null| {
            let name = name.to_owned();
            move |columns: &mut Columns| change(columns, &name, row, null)
        };
        found("a movement", &changed(&movement, middle, false), &format!("{movement} is"));
        found("a class", &changed(&class, middle, false), &format!("{class} is"));
        found("a split", &changed(&split, middle, false), &format!("{split} is"));
        found("a mark", &changed(&balanced, middle, false), &format!("{balanced} is"));
        for name in labels(target) {
            let some = format!("only some of the columns of {movement} are null");
            found("one null", &changed(&name, middle, true), &some);
        }
        let all = |row, null| {
            let names = labels(target);
            move |columns: &mut Columns| names.iter().for_each(|name| change(columns, name, row, null))
        };
        found("no label", &all(middle, true), "as the manifest says");
    }
    // A label where windows are not complete: the classic target at the first row.
    for name in ["price_movement", "classification_label", "split", "balanced"] {
        found(
            "a value",
            &|columns| change(columns, name, 0, false),
            "only some of the columns of price_movement are null",
        );
    }
    let all = |columns: &mut Columns| {
        for name in ["price_movement", "classification_label", "split", "balanced"] {
            change(columns, name, 0, false);
        }
    };
    found("a label", &all, "row ");
}

#[test]
fn against_the_raw_files_every_label_of_every_target_counts() {
    let place = Place::new(&config());
    let all = |out: &std::path::Path| {
        let against = Some((&place.inputs[..], Compare::All));
        lobset::validate(out, against, &Options::default(), &Monitor::silent())
    };
    assert_eq!(all(&place.out()).unwrap().proved.not_checked, [""; 0]);
    // The future windows of the last rows extend outside the file: only the target with the shortest has labels there.
    let out = place.encoded(|columns| {
        let name = "price_movement_h30";
        change(columns, name, columns.rows() - 1, false);
    });
    check(&out).unwrap();
    let error = all(&out).unwrap_err();
    assert!(matches!(&error, Error::Validation(_)), "{error}");
    assert!(error.to_string().contains("price_movement_h30"), "{error}");
}

#[test]
fn thresholds_of_further_targets_are_those_of_their_fit_rows() {
    let place = Place::new(&config());
    type Change = fn(&mut Boundaries);
    let changes: [(Change, &str); 7] = [
        (|b| b.mean *= 1.0 + 1e-6, "the mean is"),
        (|b| b.std *= 1.0 + 1e-9, "the standard deviation is"),
        (|b| b.min *= 1.0 + 1e-15, "the minimum is"),
        (|b| b.max *= 1.0 + 1e-15, "the maximum is"),
        (|b| b.median = f64::from_bits(b.median.to_bits() + 1), "the median is"),
        (|b| b.fit_rows -= 1, "such fit rows"),
        (|b| b.embargo_rows += 1, "embargo_rows are not those of the datasets"),
    ];
    let of = |fitted: &mut Fitted, change: Change| {
        fitted.global.iter_mut().chain(fitted.symbols.values_mut()).take(1).for_each(change);
    };
    for target in ["h30", "wide", "long"] {
        for (change, reason) in changes {
            let text = place.fitted(|t| of(t.targets.get_mut(target).unwrap(), change));
            assert!(text.contains(reason) && text.contains(target), "{target}: {reason} in {text}");
        }
        let other: Change = |b| {
            let up = b.values.len() - 1;
            b.values[up] = b.values[up].next_up();
            if let [low, high] = &mut b.values[..] {
                *low = -high.next_down();
            }
        };
        let text = place.fitted(|t| of(t.targets.get_mut(target).unwrap(), other));
        assert!(text.contains("the boundaries were fitted on other data") && text.contains(target), "{text}");
    }
    let text = place.fitted(|t| drop(t.targets.remove("h30")));
    assert!(text.contains("target \"h30\": it contains no boundaries"), "{text}");
    let text = place.fitted(|t| {
        let copy = t.targets["h30"].clone();
        t.targets.insert("other".to_owned(), copy);
    });
    assert!(text.contains("its settings have no target \"other\""), "{text}");
}

#[test]
fn a_manifest_that_contradicts_its_targets_is_refused() {
    let place = Place::new(&config());
    let manifest = Manifest::read(&place.out()).unwrap();
    // A symbol with a dataset that has no labels of the last target.
    let without = |symbol: &lobset::output::SymbolEntry| symbol.dataset.is_some() && symbol.targets[3].splits.is_none();
    let long = manifest.symbols.iter().position(without).unwrap();
    assert!(manifest.symbols.iter().any(|symbol| symbol.targets[3].splits.is_some()));
    let changed = |change: &dyn Fn(&mut Manifest), reason: &str| {
        let text = place.changed(|manifest| change(manifest));
        assert!(text.contains(reason), "{reason} in {text}");
    };
    changed(&|m| drop(m.symbols[0].targets.pop()), "its targets are not those of the settings");
    changed(&|m| m.symbols[0].targets.swap(1, 2), "its targets are not those of the settings");
    changed(&|m| m.symbols[0].targets[1].target = "h31".to_owned(), "its targets are not those of the settings");
    changed(&|m| drop(m.config.targets.0.pop()), "its targets are not those of the settings");
    changed(&|m| m.config.targets.0[0].threshold_scope = ThresholdScope::Symbol, "thresholds");
    changed(&|m| m.symbols[0].targets[1].fit_end += 1, "h30: its fit rows do not end where their windows reach");
    changed(&|m| m.symbols[0].targets[2].fit_end = u64::MAX, "wide: its fit rows do not end before the boundary row");
    changed(&|m| m.symbols[0].targets[1].labelled_rows -= 1, "h30: its labelled and undefined rows are not the rows");
    changed(&|m| m.symbols[0].targets[1].splits = None, "h30: it has no labels, and no reason why");
    changed(&|m| m.symbols[0].targets[1].reason = Some("none".to_owned()), "h30: it has labels, and a reason why");
    changed(&|m| m.symbols[0].targets[1].known_share = None, "h30: it must have a known share");
    changed(
        &|m| {
            let target = &mut m.symbols[0].targets[1];
            (target.splits, target.known_share) = (None, None);
            target.reason = Some("few rows".to_owned());
        },
        "embargo_rows are not those of the datasets",
    );
    changed(
        &|m| {
            let [classic, .., target] = &mut m.symbols[long].targets[..] else { unreachable!() };
            (target.splits, target.known_share) = (classic.splits.clone(), classic.known_share);
            target.reason = None;
        },
        "long: it has labels, but fewer rows than that takes",
    );
    let count = |m: &mut Manifest, change: fn(&mut lobset::output::SplitEntry)| {
        change(&mut m.symbols[0].targets[1].splits.as_mut().unwrap().fit);
    };
    changed(&|m| count(m, |fit| fit.balanced[0] += 1), "h30: fit: its counts of marked rows");
    changed(&|m| count(m, |fit| fit.short = vec![2]), "h30: fit: its short classes");
    changed(
        &|m| count(m, |fit| (fit.rows, fit.classes[0]) = (fit.rows + 1, fit.classes[0] + 1)),
        "h30: the rows of its splits are not its labelled rows",
    );
    changed(
        &|m| {
            let symbol = &mut m.symbols[0];
            let most = symbol.targets.iter().map(|target| target.labelled_rows).max().unwrap();
            symbol.dataset.as_mut().unwrap().rows = most - 1;
        },
        "the rows of its dataset are not those of its splits",
    );
    changed(&|m| m.symbols[0].dataset.as_mut().unwrap().rows += 1, "");
}

#[test]
fn thresholds_are_refused_where_keys_are_unknown_or_missing() {
    let place = Place::new(&config());
    let text = String::from_utf8(place.files["thresholds.json"].clone()).unwrap();
    let path = place.folder.path().join("t.json");
    let read = |json: &serde_json::Value| {
        std::fs::write(&path, json.to_string()).unwrap();
        Thresholds::read(&path)
    };
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read(&json).unwrap().to_json(), text);
    type Change = fn(&mut serde_json::Value);
    let changes: [(Change, &str); 6] = [
        (|j| j["targets"]["h30"]["mode"] = 0.into(), "unknown field `mode`"),
        (|j| j["targets"]["h30"]["mean"] = serde_json::Value::Null, "lack mean"),
        (|j| j["targets"]["wide"] = serde_json::json!({}), "target \"wide\": it contains no boundaries"),
        (|j| j["settings"]["targets"][0]["horizon"] = 7.into(), "\"horizon\" is not a key of the target \"h30\""),
        (|j| j["settings"]["targets"][0]["name"] = "../x".into(), "\"../x\" is not a name"),
        (|j| j["settings"]["targets"][0]["kind"] = "magic".into(), "unknown variant `magic`"),
    ];
    for (change, reason) in changes {
        let mut changed = json.clone();
        change(&mut changed);
        let told = read(&changed).unwrap_err().to_string();
        assert!(told.contains(reason), "{reason} in {told}");
    }
}
