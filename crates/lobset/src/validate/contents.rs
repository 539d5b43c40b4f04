//! Finds contradictions within a manifest, and between a manifest and its thresholds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::definition::{Marks, within_sessions};
use super::folder::named;
use super::kinds::{is_anchored, rows_needed, with_whole_windows};
use super::known::{is_share, majority_accuracies};
use super::summary::proved_after_writing;
use super::violations::MOST_VIOLATIONS;
use crate::cast::whole_unsigned;
use crate::config::{CLASSIC, Config, Target, ThresholdScope};
use crate::error::ConfigError;
use crate::input::InputEntry;
use crate::label::{Split, Thresholds};
use crate::output::{DatasetEntry, Ladder, MANIFEST, Manifest, SplitEntry, Splits3, SymbolEntry};
use crate::printable::grouped;

/// Maximum number of rows of a stream: sums of row numbers and window lengths stay far below the limit of 64 bits.
const MOST_ROWS: u64 = 1 << 48;

/// The contradictions found, one line each.
#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    fn require(&mut self, holds: bool, reason: impl FnOnce() -> String) {
        if !holds && self.0.len() < MOST_VIOLATIONS {
            self.0.push(format!("{MANIFEST}: {}", reason()));
        }
    }
}

/// All contradictions within a manifest. If there are none, its names are plain file names, its counts add up, and its
/// lists have the lengths that the settings require.
pub(super) fn contradictions(manifest: &Manifest) -> Vec<String> {
    let mut found = Found::default();
    if let Err(ConfigError { problems }) = manifest.config.check() {
        found.0.extend(problems.into_iter().map(|problem| format!("{MANIFEST}: config: {problem}")));
        // The other checks rely on valid settings.
        return found.0;
    }
    check_names(manifest, &mut found);
    check_inputs(manifest, &mut found);
    check_symbols(manifest, &mut found);
    check_validation(manifest, &mut found);
    let timings = &manifest.timings;
    let seconds = [
        timings.scan_seconds,
        timings.plan_seconds,
        timings.write_seconds,
        timings.validate_seconds,
        timings.total_seconds,
        timings.records_per_second,
    ];
    found.require(seconds.iter().all(|v| v.is_finite() && *v >= 0.0), || "timings: a time is negative".to_owned());
    found.0
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn check_names(manifest: &Manifest, found: &mut Found) {
    let mut names = BTreeSet::new();
    for name in named(manifest) {
        // Symbols in file names are percent-encoded; shortened ones have an @ before a hash.
        let plain = !name.is_empty()
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-%@".contains(&b));
        found.require(plain && Path::new(name).file_name().is_some(), || format!("{name:?} is not a plain file name"));
        found.require(names.insert(name), || format!("{name:?} is listed twice"));
    }
    let Manifest { thresholds, card, report, .. } = manifest;
    let hashes = [&thresholds.sha256, &card.sha256, &report.sha256].into_iter();
    let of_datasets = manifest.datasets().flat_map(|(_, entry)| [&entry.sha256, &entry.moments.sha256]);
    for sha256 in hashes.chain(of_datasets) {
        found.require(is_sha256(sha256), || format!("{sha256:?} is not a SHA-256"));
    }
}

/// The sum of counts; `None` if it is too large.
fn sum(counts: impl IntoIterator<Item = u64>) -> Option<u64> {
    counts.into_iter().try_fold(0, u64::checked_add)
}

fn check_inputs(manifest: &Manifest, found: &mut Found) {
    let Manifest { inputs, delivery, symbols, .. } = manifest;
    found.require(!inputs.is_empty(), || "it lists no input".to_owned());
    for input in inputs {
        let InputEntry { name, sha256, records, rows, drops, flags, first_ts, last_ts, .. } = input;
        found.require(is_sha256(sha256), || format!("input {name:?}: {sha256:?} is not a SHA-256"));
        let dropped = sum(drops.named().iter().map(|(_, count)| *count).chain([*rows]));
        found.require(dropped == Some(*records), || {
            format!("input {name:?}: its {records} records are not its {rows} rows plus the dropped records")
        });
        let most = flags.iter().flat_map(|flags| flags.named()).map(|(_, count)| count).max();
        found.require(most.is_none_or(|most| most <= *records), || {
            format!("input {name:?}: more than its {records} records are under one flag")
        });
        let times = match (first_ts, last_ts) {
            (Some(first), Some(last)) => first <= last && *records > 0,
            (None, None) => *records == 0,
            _ => false,
        };
        found.require(times, || format!("input {name:?}: its first and last time do not fit its {records} records"));
    }
    let files = delivery.checked.checked_add(delivery.unchecked);
    found.require(files == Some(inputs.len() as u64), || {
        format!("delivery counts {} and {} files, not {}", delivery.checked, delivery.unchecked, inputs.len())
    });
    let (read, split) = (sum(inputs.iter().map(|i| i.rows)), sum(symbols.iter().map(|s| s.rows)));
    found.require(read.is_some() && read == split, || {
        let text = |sum: Option<u64>| sum.map_or_else(|| "too many to add".to_owned(), grouped);
        format!("the rows of its inputs ({}) are not those of its symbols ({})", text(read), text(split))
    });
}

fn check_symbols(manifest: &Manifest, found: &mut Found) {
    let mut names = BTreeSet::new();
    for symbol in &manifest.symbols {
        found.require(names.insert(&symbol.symbol), || format!("the symbol {:?} is listed twice", symbol.symbol));
        check_symbol(manifest, symbol, found);
    }
    found.require(manifest.datasets().next().is_some(), || "it lists no dataset".to_owned());
    let fitted = manifest.symbols.iter().any(|s| !s.fitted_rows.is_empty());
    found.require(fitted == manifest.thresholds.fitted, || match fitted {
        true => "it says that the thresholds come from a file, but lists rows that they were fitted on".to_owned(),
        false => "it says that the thresholds were fitted, but lists no row that they were fitted on".to_owned(),
    });
}

fn check_symbol(manifest: &Manifest, symbol: &SymbolEntry, found: &mut Found) {
    let config = &manifest.config;
    let SymbolEntry { rows, gaps, breaks, boundary_row, fitted_rows, .. } = symbol;
    let SymbolEntry { in_session, out_of_session, .. } = symbol;
    let mut require =
        |holds: bool, reason: &str| found.require(holds, || format!("symbol {:?}: {reason}", symbol.symbol));
    require((1..=MOST_ROWS).contains(rows), "it has no rows, or too many");
    let ascending = breaks.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = breaks.iter().all(|row| *row > 0 && row < rows);
    require(ascending && inside, "its breaks are not row numbers in ascending order");
    require(boundary_row <= rows, "its boundary row is past its end");
    let ranges = |ranges: &[[u64; 2]]| {
        let mut end = 0;
        ranges.iter().all(|[from, to]| {
            let fits = from < to && *from >= end && to <= rows;
            end = *to;
            fits
        })
    };
    require(ranges(fitted_rows), "the rows fitted on are not ranges of its rows in ascending order");
    let sessions = ranges(in_session.as_deref().unwrap_or_default());
    require(sessions, "the rows within sessions are not ranges of its rows in ascending order");
    require(
        in_session.is_some() == config.sessions.is_some(),
        "it has ranges of rows within sessions if and only if the settings have no sessions",
    );
    if sessions {
        let inside = |ranges: &Vec<[u64; 2]>| ranges.iter().map(|[from, to]| to - from).sum::<u64>();
        require(
            *out_of_session == in_session.as_ref().map_or(0, |ranges| rows - inside(ranges)),
            "its rows out of session are not those outside of its ranges of rows within sessions",
        );
    }
    let longest = gaps.windows(2).all(|pair| pair[0].length() >= pair[1].length());
    require(
        longest && gaps.len() <= 3 && gaps.iter().all(|gap| gap.from < gap.to),
        "its gaps are not a valid list of gaps",
    );
    let targets = config.all_targets();
    let names = symbol.targets.iter().map(|entry| entry.target.as_str());
    if !names.eq(targets.iter().map(|target| target.name.as_str())) {
        require(false, "its targets are not those of the settings");
        return;
    }
    for (target, entry) in targets.iter().zip(&symbol.targets) {
        let mut require = |holds: bool, reason: &str| require(holds, &format!("{}: {reason}", entry.target));
        let share = entry.known_share;
        require(share.is_some() == entry.splits.is_some(), "it must have a known share if and only if it has labels");
        require(share.is_none_or(|share| (0.0..=1.0).contains(&share)), "its known share is not between 0 and 1");
        require(entry.fit_end <= *boundary_row, "its fit rows do not end before the boundary row");
        require(
            share.is_none_or(|share| share == 0.0 || !is_anchored(&target.movement)),
            "its known share is not 0, though its movements start from the price at the row",
        );
        if *rows <= MOST_ROWS
            && ascending
            && inside
            && sessions
            && let Some(needed) = rows_needed(&target.movement)
        {
            let whole = with_whole_windows(needed, *rows, breaks);
            let written = whole.flat_map(|rows| within_sessions(rows, in_session.as_deref()));
            let whole: u64 = written.map(|rows| rows.end - rows.start).sum();
            require(
                entry.labelled_rows.checked_add(entry.undefined_rows) == Some(whole),
                "its labelled and undefined rows are not the rows with complete windows",
            );
            require(
                entry.fit_end == boundary_row.saturating_sub(needed[1]),
                "its fit rows do not end where their windows reach the boundary row",
            );
        }
        match (&entry.splits, &entry.reason) {
            (Some(splits), None) => {
                require(
                    entry.labelled_rows >= config.min_symbol_samples,
                    "it has labels, but fewer rows than that takes",
                );
                check_splits(config, target, entry.labelled_rows, splits, &mut require);
            }
            (None, Some(_)) => {}
            (Some(_), Some(_)) => require(false, "it has labels, and a reason why it has none"),
            (None, None) => require(false, "it has no labels, and no reason why"),
        }
    }
    match (&symbol.dataset, &symbol.reason) {
        (Some(_), Some(_)) => require(false, "it has a dataset, and a reason why it has none"),
        (None, None) => require(false, "it has no dataset, and no reason why"),
        (None, Some(_)) => require(symbol.splits().next().is_none(), "it has labels, but no dataset"),
        (Some(dataset), None) => check_dataset(config, symbol, dataset, &mut require),
    }
}

/// Checks the counts of a target.
fn check_splits(
    config: &Config,
    target: &Target,
    labelled: u64,
    splits: &Splits3<SplitEntry>,
    require: &mut impl FnMut(bool, &str),
) {
    let nbins = target.class_count();
    let mut rows = Some(0_u64);
    for of in Split::ALL {
        let (name, split) = (of.name(), splits.of(of));
        let SplitEntry { rows: of_split, classes, balanced, short, known_accuracy, .. } = split;
        if classes.len() != nbins || balanced.len() != nbins || sum(classes.iter().copied()) != Some(*of_split) {
            require(false, &format!("{name}: its classes are not {nbins} counts that add up to {of_split} rows"));
            return;
        }
        let marks = (config.force_uniform && of != Split::Embargo).then(|| Marks::new(classes));
        let want = marks.as_ref().map_or_else(|| vec![0; nbins], Marks::counts);
        require(*balanced == want, &format!("{name}: its counts of marked rows are not those of the definition"));
        let want = marks.as_ref().map(Marks::short).unwrap_or_default();
        require(*short == want, &format!("{name}: its short classes are not those of the definition"));
        require(
            is_share(*known_accuracy, *of_split),
            &format!("{name}: its known accuracy is not a share of its rows"),
        );
        rows = rows.and_then(|rows| rows.checked_add(*of_split));
    }
    let want = majority_accuracies(splits.named().map(|(_, split)| split.classes.as_slice()));
    let told = splits.named().map(|(_, split)| split.majority_accuracy);
    require(told == want, "its majority accuracies do not follow from its counts");
    require(rows == Some(labelled), "the rows of its splits are not its labelled rows");
}

/// Checks the number of rows of a dataset. With several targets each row has a label of at least one of them.
fn check_dataset(config: &Config, symbol: &SymbolEntry, dataset: &DatasetEntry, require: &mut impl FnMut(bool, &str)) {
    let written = |splits: &Splits3<SplitEntry>| {
        let of_split = |split: &SplitEntry| match config.drop_unbalanced {
            true => sum(split.balanced.iter().copied()),
            false => Some(split.rows),
        };
        splits.named().iter().map(|(_, split)| of_split(split)).try_fold(0_u64, |all, rows| all.checked_add(rows?))
    };
    let rows: Option<Vec<u64>> = symbol.splits().map(|(_, splits)| written(splits)).collect();
    let holds = rows.is_some_and(|rows| match rows.as_slice() {
        [only] => *only == dataset.rows,
        several => {
            let (most, all) = (several.iter().max(), sum(several.iter().copied()));
            most.is_some_and(|most| *most <= dataset.rows) && all.is_none_or(|all| dataset.rows <= all)
        }
    });
    require(dataset.rows > 0 && holds, "the rows of its dataset are not those of its splits");
    require((1..=dataset.rows).contains(&dataset.row_groups), "its dataset has no row groups, or more than rows");
    let Ladder { tick, micro_pip_size, coverage } = dataset.ladder;
    require(
        coverage.is_none_or(|share| (0.0..=1.0).contains(&share)),
        "the coverage of its ladder is not between 0 and 1",
    );
    let step = config
        .micro_pip_size
        .fixed()
        .map_or_else(|| is_round(micro_pip_size * 1e9, tick * 1e9), |size| size.to_bits() == micro_pip_size.to_bits());
    require(tick >= 0.0 && step, "the step of its ladder is not that of the settings, nor a round number of its ticks");
}

/// True if a step is 1, 2 or 5 times a power of ten of ticks, both in 1e-9. Without prices, a tick is 1.
fn is_round(step: f64, tick: f64) -> bool {
    let (step, tick) = (whole_unsigned(step.round()), whole_unsigned(tick.round()).max(1));
    let mut ticks = if step.is_multiple_of(tick) { step / tick } else { 0 };
    while ticks > 0 && ticks.is_multiple_of(10) {
        ticks /= 10;
    }
    [1, 2, 5].contains(&ticks)
}

fn check_validation(manifest: &Manifest, found: &mut Found) {
    let Some(proved) = &manifest.validation else { return };
    let (datasets, rows) = manifest.datasets().fold((0_u64, Some(0_u64)), |(datasets, rows), (_, entry)| {
        (datasets + 1, rows.and_then(|rows| rows.checked_add(entry.rows)))
    });
    found.require(proved.datasets == datasets && Some(proved.rows) == rows, || {
        format!(
            "validation counts {} rows of {} datasets, which do not match its symbols",
            proved.rows, proved.datasets
        )
    });
    if manifest.version == crate::VERSION && Some(proved.rows) == rows {
        found.require(*proved == proved_after_writing(manifest), || {
            "validation lists checks that this version does not make after such a run".to_owned()
        });
    }
}

/// All contradictions between the thresholds of a run and its manifest, apart from their settings.
pub(super) fn check_origin(manifest: &Manifest, thresholds: &Thresholds) -> Vec<String> {
    let mut found = Found::default();
    if !manifest.thresholds.fitted {
        return found.0;
    }
    let config = &manifest.config;
    let mut require = |holds: bool, reason: &str| found.require(holds, || format!("thresholds: {reason}"));
    require(thresholds.version == manifest.version, "they were fitted by another version of lobset");
    require(thresholds.sample_fraction == config.sample_fraction, "their sample_fraction is not that of the settings");
    require(
        thresholds.min_symbol_samples == config.min_symbol_samples,
        "their min_symbol_samples is not that of the settings",
    );
    let mut inputs = manifest.inputs.iter();
    let known = thresholds.files.iter().all(|file| inputs.any(|i| i.name == file.name && i.sha256 == file.sha256));
    require(known, "the files that they were fitted on are not inputs, in order");
    // With drop_unbalanced, a symbol without a dataset may have taken part.
    if config.drop_unbalanced {
        return found.0;
    }
    for target in config.all_targets() {
        let mut require = |holds: bool, reason: &str| {
            let of_target = if target.name == CLASSIC { String::new() } else { format!("{}: ", target.name) };
            found.require(holds, || format!("thresholds: {of_target}{reason}"));
        };
        let Some(fitted) = thresholds.of(&target.name) else { continue };
        // The symbols with labels of the target, and their rows under embargo.
        let labelled: BTreeMap<&str, u64> = manifest
            .symbols
            .iter()
            .filter_map(|symbol| {
                let (_, splits) = symbol.splits().find(|(name, _)| *name == target.name)?;
                Some((symbol.symbol.as_str(), splits.embargo.rows))
            })
            .collect();
        let holds = match (target.threshold_scope, &fitted.global) {
            (ThresholdScope::Global, Some(boundaries)) => {
                boundaries.embargo_rows == labelled.values().copied().fold(0, u64::saturating_add)
            }
            _ => labelled.iter().all(|(symbol, rows)| {
                fitted.symbols.get(*symbol).is_some_and(|boundaries| boundaries.embargo_rows == *rows)
            }),
        };
        require(holds, "their embargo_rows are not those of the datasets");
        let all = fitted.symbols.keys().all(|symbol| labelled.contains_key(symbol.as_str()));
        require(all, "they have boundaries for a symbol without a dataset");
    }
    found.0
}
