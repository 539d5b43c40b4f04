//! The summaries of `process`, `build` and `validate`: the verdict, a table of symbols and targets, and where things are.

use std::collections::BTreeSet;
use std::path::Path;

use lobset::config::CLASSIC;
use lobset::label::Drift;
use lobset::output::{SplitEntry, SymbolEntry, TargetEntry};
use lobset::validate::Validation;
use lobset::{Manifest, REPORT, THRESHOLDS, grouped};

use super::histogram::{LEGEND, histogram};
use super::{LEAST_GAP, checksums, counted, shown, size, span};
use crate::args::to_second;
use crate::page::{Column, Page, Style, Table, shortened, wrapped};

/// The largest number of symbols and targets that fit on a screen. If there are more, the extremes are shown.
const MOST_SHOWN: usize = 6;

/// The summary of `process` and `build`.
pub fn manifest(out: &Path, manifest: &Manifest, verbose: bool) -> Page {
    let mut page = Page::default();
    let rows = manifest.datasets().map(|(_, dataset)| dataset.rows).sum();
    let what = format!("{} rows of {}", grouped(rows), counted(manifest.datasets().count(), "dataset"));
    match &manifest.validation {
        Some(_) => page.push(Style::Good, "validation passed").push(Style::Plain, format!(": {what}")),
        None => page.push(Style::Caution, "not validated").push(Style::Plain, format!(": {what}")),
    };
    if !manifest.warnings.is_empty() {
        page.push(Style::Plain, ", ").push(Style::Caution, counted(manifest.warnings.len(), "warning"));
    }
    page.line("");
    let origin = if manifest.thresholds.fitted { "fitted" } else { "from a file, fitted" };
    let until = to_second(manifest.thresholds.fit_until);
    page.sentence(&format!("{}: boundaries {origin} on data before {until} only", manifest.config.tag()));
    page.line("");
    statistics(manifest, verbose, &mut page);
    page.line("");
    if let Some(line) = longest_gap(manifest) {
        page.sentence(&line);
    }
    if manifest.config.sessions.is_some() {
        let outside = manifest.symbols.iter().map(|symbol| symbol.out_of_session).sum();
        page.sentence(&format!("{} rows lie outside of the sessions and are not written", grouped(outside)));
    }
    for sentence in checksums(&manifest.inputs).into_iter().chain(manifest.delivery.sentences()) {
        page.sentence(&sentence);
    }
    speed(manifest, verbose, &mut page);
    places(out, manifest, &mut page);
    page
}

/// The summary of `validate`.
pub fn validation(folder: &Path, found: &Validation, verbose: bool) -> Page {
    let mut page = Page::default();
    let proved = &found.proved;
    let bytes = found.manifest.datasets().map(|(_, d)| d.bytes).sum();
    page.push(Style::Good, "validation passed").push(
        Style::Plain,
        format!(
            ": {} rows of {} ({}) in {:.2} s\n",
            grouped(proved.rows),
            counted(usize::try_from(proved.datasets).unwrap_or(usize::MAX), "dataset"),
            size(bytes),
            found.seconds
        ),
    );
    page.line(format!("folder: {}", shown(folder)));
    page.line("");
    statistics(&found.manifest, verbose, &mut page);
    page.line("");
    if verbose {
        proved.checks.iter().for_each(|check| {
            page.sentence(&format!("passed: {check}"));
        });
    } else {
        page.line(format!("passed: {} (-v lists them)", counted(proved.checks.len(), "check")));
    }
    if let Some(against) = &found.against {
        let rows = grouped(against.rows);
        page.sentence(&match against.seed {
            Some(seed) => format!("passed: {rows} random rows (seed {seed}) match the raw files in all columns"),
            None => format!("passed: all {rows} rows match the raw files in all columns, and none is missing"),
        });
    }
    proved.not_checked.iter().for_each(|check| {
        page.sentence(&format!("not checked: {check}"));
    });
    page
}

/// A symbol and one of its targets.
#[derive(Clone, Copy)]
struct TargetLine<'a> {
    symbol: &'a SymbolEntry,
    target: &'a TargetEntry,
    fit: &'a SplitEntry,
    holdout: &'a SplitEntry,
    drift: Option<Drift>,
}

impl TargetLine<'_> {
    fn rows(&self) -> u64 {
        self.fit.rows + self.holdout.rows
    }

    fn known_share(&self) -> f64 {
        self.target.known_share.unwrap_or(0.0)
    }
}

fn all_labels(manifest: &Manifest) -> Vec<TargetLine<'_>> {
    let of_targets =
        manifest.datasets().flat_map(|(symbol, _)| symbol.targets.iter().map(move |target| (symbol, target)));
    let labels = of_targets.filter_map(|(symbol, target)| {
        let splits = target.splits.as_ref()?;
        Some(TargetLine { symbol, target, fit: &splits.fit, holdout: &splits.holdout, drift: splits.drift() })
    });
    labels.collect()
}

/// The symbols and targets that fit on a screen: all, or the extremes, each with a description.
fn extremes<'a>(all: &[TargetLine<'a>]) -> Vec<(TargetLine<'a>, &'static str)> {
    if all.len() <= MOST_SHOWN {
        return all.iter().map(|labels| (*labels, "")).collect();
    }
    let most = |key: &dyn Fn(&TargetLine<'_>) -> f64| {
        (0..all.len()).rev().max_by(|a, b| key(&all[*a]).total_cmp(&key(&all[*b])))
    };
    let drift = |labels: &TargetLine<'_>| labels.drift.map_or(0.0, |drift| drift.0);
    let found = [
        (most(&|labels| labels.rows() as f64), "most rows"),
        (most(&|labels| -(labels.rows() as f64)), "fewest rows"),
        (most(&drift), "most drift"),
        (most(&|labels| -drift(labels)), "least drift"),
        (most(&|labels| labels.known_share()), "most known"),
        (most(&|labels| -labels.known_share()), "least known"),
    ];
    let mut shown = BTreeSet::new();
    let each_once = found.into_iter().filter_map(|(place, what)| Some((place?, what)));
    each_once.filter(|(place, _)| shown.insert(*place)).map(|(place, what)| (all[place], what)).collect()
}

/// The table of symbols and targets, and what its columns mean.
fn statistics(manifest: &Manifest, verbose: bool, page: &mut Page) {
    let all = all_labels(manifest);
    let shown = if verbose { all.iter().map(|labels| (*labels, "")).collect() } else { extremes(&all) };
    let mut table = Table::new([
        Column::Left("symbol"),
        Column::Left("split"),
        Column::Right("rows"),
        Column::Left("classes"),
        Column::Right("drift"),
        Column::Right("known"),
        Column::Right("baselines"),
    ]);
    let width = if verbose { usize::MAX } else { 13 };
    for (labels, what) in &shown {
        let TargetLine { symbol, target, fit, holdout, drift } = labels;
        let several = symbol.targets.len() > 1;
        // The second line names the target, or the extreme.
        let second = match (several, *what) {
            (true, "") => target.target.as_str(),
            (true, what) if target.target == CLASSIC => what,
            (true, _) => target.target.as_str(),
            (false, what) => what,
        };
        let known = target.known_share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", 100.0 * share));
        let (drift, style) =
            drift.map_or(("-".to_owned(), Style::Plain), |drift| (format!("{:.2}", drift.0), colour(drift)));
        table.styled([
            (Style::Strong, shortened(&symbol.symbol, width)),
            (Style::Plain, "fit".to_owned()),
            (Style::Plain, short(fit.rows)),
            (Style::Plain, histogram(&fit.classes)),
            (Style::Plain, String::new()),
            (Style::Plain, known),
            (Style::Plain, baselines(fit)),
        ]);
        table.styled([
            (Style::Faint, shortened(second, width)),
            (Style::Plain, "holdout".to_owned()),
            (Style::Plain, short(holdout.rows)),
            (Style::Plain, histogram(&holdout.classes)),
            (style, drift),
            (Style::Plain, String::new()),
            (Style::Plain, baselines(holdout)),
        ]);
    }
    page.table(&table);
    if shown.len() < all.len() {
        others(&all, all.len() - shown.len(), page);
    }
    page.note(LEGEND);
    page.note("drift of the classes from fit to holdout: up to 0.1 stable, above 0.25 large");
    page.note(
        "known: share of the movement that is known at the row; baselines: accuracy of the majority class / the class of \
         the known part, which need no forecast: compare models with these, not with chance",
    );
    if verbose {
        details(&all, page);
    }
}

/// Sums up the symbols that are not shown.
fn others(all: &[TargetLine<'_>], count: usize, page: &mut Page) {
    let range = |values: &mut dyn Iterator<Item = f64>, show: &dyn Fn(f64) -> String| {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        match sorted.as_slice() {
            [] => "none".to_owned(),
            [first, .., last] => {
                format!("{} to {} (median {})", show(*first), show(*last), show(sorted[sorted.len() / 2]))
            }
            [one] => show(*one),
        }
    };
    let drift = range(&mut all.iter().filter_map(|labels| Some(labels.drift?.0)), &|drift| format!("{drift:.2}"));
    let known = range(&mut all.iter().map(TargetLine::known_share), &|share| format!("{:.0}%", 100.0 * share));
    let large = all.iter().filter(|labels| labels.drift.is_some_and(|drift| drift.name() == "large")).count();
    page.sentence(&format!(
        "and {} (-v lists all); of all {}: drift {drift}, large for {large}; known {known}",
        counted(count, "other"),
        all.len()
    ));
}

/// The counts of every split, and the share of every class.
fn details(all: &[TargetLine<'_>], page: &mut Page) {
    page.line("");
    let mut table = Table::new([
        Column::Left("symbol"),
        Column::Left("target"),
        Column::Left("split"),
        Column::Right("rows"),
        Column::Right("balanced"),
        Column::Right("from uniform"),
        Column::Right("majority"),
        Column::Right("known class"),
    ]);
    let percent = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", 100.0 * share));
    let splits = || {
        all.iter().flat_map(|labels| {
            let named = labels.target.splits.iter().flat_map(|splits| splits.named());
            named.map(move |(name, split)| (labels, name, split))
        })
    };
    for (labels, name, split) in splits() {
        table.row([
            labels.symbol.symbol.clone(),
            labels.target.target.clone(),
            name.to_owned(),
            grouped(split.rows),
            grouped(split.balanced.iter().sum()),
            percent(Some(split.from_uniform()).filter(|_| split.rows > 0)),
            percent(split.majority_accuracy),
            percent(split.known_accuracy),
        ]);
    }
    page.table(&table).line("").line("share of every class in percent:");
    for (labels, name, split) in splits().filter(|(_, _, split)| split.rows > 0) {
        let shares = split.classes.iter().map(|c| format!("{:.2}", 100.0 * *c as f64 / split.rows as f64));
        let shares = shares.collect::<Vec<_>>().join(" ");
        page.line(format!("  {}, {}, {name}", labels.symbol.symbol, labels.target.target));
        page.push(Style::Plain, format!("    {}\n", wrapped(&shares, 76, "    ")));
    }
}

fn colour(drift: Drift) -> Style {
    match drift.name() {
        "stable" => Style::Good,
        "moderate" => Style::Caution,
        _ => Style::Bad,
    }
}

/// The accuracies that need no forecast.
fn baselines(split: &SplitEntry) -> String {
    match (split.majority_accuracy, split.known_accuracy) {
        (None, None) => "-".to_owned(),
        (majority, known) => {
            let percent = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |s| format!("{:.0}", 100.0 * s));
            format!("{} / {}%", percent(majority), percent(known))
        }
    }
}

/// A count in at most seven characters.
fn short(count: u64) -> String {
    match count {
        0..1_000_000 => grouped(count),
        1_000_000..1_000_000_000 => format!("{:.1}M", count as f64 / 1e6),
        _ => format!("{:.1}G", count as f64 / 1e9),
    }
}

/// Describes the longest gap of all datasets and whether windows cross it.
fn longest_gap(manifest: &Manifest) -> Option<String> {
    let longest = |symbol: &'_ SymbolEntry| symbol.gaps.first().copied();
    let found = manifest.datasets().filter_map(|(symbol, _)| Some((longest(symbol)?, symbol)));
    let (gap, symbol) = found.max_by_key(|(gap, _)| gap.length()).filter(|(gap, _)| gap.length() >= LEAST_GAP)?;
    let line = format!("longest gap: {} in {} from {}", span(gap.length()), symbol.symbol, to_second(gap.from));
    Some(match manifest.config.max_gap {
        Some(most) if gap.length() > most.0 => format!("{line}, where its stream breaks (max_gap)"),
        Some(_) => line,
        None => format!("{line}; windows span gaps unless max_gap is set"),
    })
}

fn speed(manifest: &Manifest, verbose: bool, page: &mut Page) {
    let timings = &manifest.timings;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, shown without decimals")]
    let rate = timings.records_per_second as u64;
    let drops = manifest.inputs.iter().map(|i| i.drops.total()).sum();
    page.sentence(&format!(
        "{} records of {} ({} dropped) in {:.2} s: {} per second",
        grouped(manifest.records()),
        counted(manifest.inputs.len(), "file"),
        grouped(drops),
        timings.total_seconds,
        grouped(rate)
    ));
    if verbose {
        page.sentence(&format!(
            "scan {:.2} s, plan {:.2} s, write {:.2} s, validate {:.2} s; {}; peak memory {}",
            timings.scan_seconds,
            timings.plan_seconds,
            timings.write_seconds,
            timings.validate_seconds,
            counted(timings.threads, "thread"),
            timings.peak_memory_bytes.map_or_else(|| "unknown".to_owned(), size)
        ));
    }
}

/// Where the datasets, the report and the thresholds are.
fn places(out: &Path, manifest: &Manifest, page: &mut Page) {
    page.line("");
    let bytes = size(manifest.datasets().map(|(_, dataset)| dataset.bytes).sum());
    let mut datasets = manifest.datasets();
    if let Some((_, first)) = datasets.next() {
        let more = datasets.count();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        page.line(format!("datasets    {}{more} ({bytes})", shown(&out.join(&first.file))));
    }
    page.line(format!("thresholds  {}", shown(&out.join(THRESHOLDS))));
    page.line(format!("report      {}", shown(&out.join(REPORT))));
    if manifest.validation.is_none() {
        page.line(format!("to validate: lobset validate {}", shown(out)));
    }
}
